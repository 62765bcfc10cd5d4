//! The argument that names a running lab.

use crate::config::lab_name;

/// The name of a lab whose file gives none.
pub(super) const DEFAULT_LAB: &str = "egret";

/// Which running lab.
#[derive(Clone, Debug, clap::Args)]
pub struct LabArg {
    /// The lab's name, as `lab = "…"` in its file
    #[arg(
        long,
        env = "EGRET_LAB",
        default_value = DEFAULT_LAB,
        value_name = "NAME",
        value_parser = lab_name
    )]
    pub lab: String,
}
