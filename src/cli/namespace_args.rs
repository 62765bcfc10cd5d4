//! The options by which a command names a network namespace that another program made.

use super::CliError;
use crate::linux::Foreign;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The interface that a namespace gets if the user names none.
const INTERFACE: &str = "eth0";

/// A namespace, and the interface that it gets.
#[derive(Debug, clap::Args)]
#[group(id = "namespace", multiple = true)]
pub(super) struct NamespaceArgs {
    /// The network namespace, by its path, such as `/run/netns/blue`
    #[arg(long, value_name = "PATH", conflicts_with = "pid", value_hint = clap::ValueHint::FilePath)]
    netns: Option<PathBuf>,
    /// The network namespace of this process
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The name of the interface that the lab makes in the namespace, in place of eth0
    #[arg(long, value_name = "NAME")]
    ifname: Option<String>,
}

impl NamespaceArgs {
    pub(super) fn interface(&self) -> &str {
        self.ifname.as_deref().unwrap_or(INTERFACE)
    }

    /// Opens the namespace.
    ///
    /// # Errors
    /// There is none, or only root may open it.
    pub(super) fn open(&self) -> Result<OwnedFd, CliError> {
        let opened = match (&self.netns, self.pid) {
            (Some(path), _) => Foreign::at(path),
            (None, Some(pid)) => Foreign::of_process(pid),
            (None, None) => {
                let said = "give the namespace with --netns PATH or --pid PID";
                return Err(CliError::Usage(said.to_owned()));
            }
        };
        opened.map(OwnedFd::from).map_err(|error| CliError::Usage(error.to_string()))
    }
}
