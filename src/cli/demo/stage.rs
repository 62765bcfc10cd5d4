//! The stage of the demo: the running lab's namespaces, tasks and destinations by name.

use super::DemoError;
use crate::daemon::Running;
use crate::explain::{EniRow, PsRow};
use crate::linux::Netns;
use crate::vpc::Snapshot;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// A task to send from.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) row: PsRow,
    pub(super) netns: Netns,
}

impl Sender {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.row.service, self.row.task)
    }
}

/// The lab as the probes need it.
pub(super) struct Stage {
    snapshot: Arc<Snapshot>,
    tasks: Vec<PsRow>,
    enis: Vec<EniRow>,
    pub(super) vpc: Netns,
    pub(super) internet: Netns,
}

impl Stage {
    pub(super) async fn of(running: &mut Running) -> Result<Self, DemoError> {
        let snapshot = running.snapshot();
        let lab = running.lab().name.clone();
        let vpc = snapshot.parts().vpcs.first().map(|vpc| vpc.id.clone());
        let vpc = vpc.ok_or_else(|| DemoError::NotInLab("VPC".to_owned()))?;
        Ok(Self {
            tasks: running.ps_rows(),
            enis: running.eni_rows().await,
            vpc: Netns::open(&format!("{lab}-{vpc}"))?,
            internet: Netns::open(&format!("{lab}-internet"))?,
            snapshot,
        })
    }

    /// Returns the first task of a service.
    pub(super) fn task(&self, service: &str) -> Result<Sender, DemoError> {
        let row = self.tasks.iter().find(|row| row.service == service);
        sender(row.ok_or_else(|| DemoError::NotInLab(format!("service `{service}`")))?)
    }

    /// Returns one task for each ENI that the service's tasks use.
    pub(super) fn one_task_per_eni(&self, service: &str) -> Result<Vec<Sender>, DemoError> {
        let mut rows: Vec<&PsRow> = self.tasks.iter().filter(|r| r.service == service).collect();
        rows.sort_by(|a, b| (&a.availability_zone, &a.eni).cmp(&(&b.availability_zone, &b.eni)));
        rows.dedup_by(|a, b| a.eni == b.eni);
        rows.into_iter().map(sender).collect()
    }

    /// Returns a task of each service, behind the same ENI, and that ENI's private address.
    pub(super) fn sharing(
        &self,
        one: &str,
        other: &str,
    ) -> Result<(Sender, Sender, Ipv4Addr), DemoError> {
        let other = self.task(other)?;
        let missing = || {
            let (service, task) = (one, other.name());
            DemoError::NotInLab(format!("task of `{service}` behind the ENI of {task}"))
        };
        let eni = self.enis.iter().find(|eni| Some(&eni.id) == other.row.eni.as_ref());
        let address = eni.and_then(|eni| eni.address).ok_or_else(missing)?;
        let one = self.tasks.iter().find(|r| r.service == one && r.eni == other.row.eni);
        Ok((sender(one.ok_or_else(missing)?)?, other, address))
    }

    /// Returns the address of a resource or an internet host.
    pub(super) fn address(&self, name: &str) -> Result<Ipv4Addr, DemoError> {
        let parts = self.snapshot.parts();
        let resources = parts.resources.iter().map(|r| (&r.name, r.address));
        let hosts = parts.internet_hosts.iter().map(|h| (&h.name, h.address));
        let found = resources.chain(hosts).find(|(known, _)| *known == name);
        found
            .map(|(_, address)| address)
            .ok_or_else(|| DemoError::NotInLab(format!("resource or internet host `{name}`")))
    }

    pub(super) fn endpoint(&self, name: &str, port: u16) -> Result<SocketAddrV4, DemoError> {
        Ok(SocketAddrV4::new(self.address(name)?, port))
    }

    /// Returns the NAT gateway's private and public address.
    pub(super) fn nat_gateway(&self) -> Result<(Ipv4Addr, Ipv4Addr), DemoError> {
        let gateway = self.snapshot.parts().nat_gateways.first();
        gateway
            .and_then(|nat| Some((nat.private_address(), nat.public_address()?)))
            .ok_or_else(|| DemoError::NotInLab("public NAT gateway".to_owned()))
    }

    /// Returns the public address of services without a connector.
    pub(super) fn app_runner_address(&self) -> Result<Ipv4Addr, DemoError> {
        let address = self.snapshot.parts().apprunner_address;
        address.ok_or_else(|| DemoError::NotInLab("service with egress = \"default\"".to_owned()))
    }
}

fn sender(row: &PsRow) -> Result<Sender, DemoError> {
    Ok(Sender { netns: Netns::open(&row.namespace)?, row: row.clone() })
}
