//! The arguments that select packets and flows.

use crate::explain::Selection;

/// Which packets and flows.
#[derive(Clone, Debug, clap::Args)]
pub struct SelectionArgs {
    /// Show only this service, or one of its tasks
    #[arg(long, value_name = "SERVICE[/N]")]
    service: Option<String>,
    /// Show only traffic through this ENI or NAT gateway, by id or device; `app-runner` for App
    /// Runner's own egress
    #[arg(long, value_name = "ID")]
    eni: Option<String>,
    /// Show only traffic with this server: a block, or a name
    #[arg(long, value_name = "CIDR|NAME[:PORT]")]
    dst: Option<String>,
}

impl SelectionArgs {
    pub(super) fn selection(&self, only: Option<&str>) -> Selection {
        Selection {
            service: self.service.clone(),
            interface: self.eni.clone(),
            destination: self.dst.clone(),
            only: only.map(str::to_owned),
        }
    }
}
