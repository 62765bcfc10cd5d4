//! The argument that names a running lab.

use crate::config::lab_name;

/// Which running lab.
#[derive(Clone, Debug, clap::Args)]
pub struct LabArg {
    /// The lab's name, as `lab = "…"` in its file
    #[arg(
        long,
        env = "EGRET_LAB",
        default_value = "egret",
        value_name = "NAME",
        value_parser = lab_name
    )]
    pub lab: String,
}
