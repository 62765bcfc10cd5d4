//! The arguments that select packets and flows.

use super::completion::values;
use crate::explain::Selection;
use clap_complete::engine::ArgValueCompleter;

/// Which packets and flows.
#[derive(Clone, Debug, clap::Args)]
pub struct SelectionArgs {
    /// Show only this service, or one of its tasks
    #[arg(long, value_name = "SERVICE[/N]", add = ArgValueCompleter::new(values::services_and_tasks))]
    service: Option<String>,
    /// Show only traffic through this ENI or NAT gateway, by id, device or name; `app-runner` for App
    /// Runner's own egress
    #[arg(long, value_name = "ID|NAME", add = ArgValueCompleter::new(values::interfaces))]
    eni: Option<String>,
    /// Show only traffic with this server: a block, or a name
    #[arg(long, value_name = "CIDR|NAME[:PORT]", add = ArgValueCompleter::new(values::destinations))]
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
