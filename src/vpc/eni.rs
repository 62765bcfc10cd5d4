//! ENIs. A Hyperplane ENI exists once per (subnet, set of security groups) and kind of service; all
//! connectors and services with that pair share it (spec 2.1). A Fargate task has an ENI of its
//! own.

use super::security_group::RuleSet;
use super::{ConnectorIx, SecurityGroupIx, ServiceKind, SubnetIx};
use std::net::Ipv4Addr;

/// An ENI that tasks leave by.
#[derive(Clone, Debug)]
pub struct Eni {
    /// The kind of service whose tasks leave by it. Lambda makes ENIs of its own type and App
    /// Runner those with its own tag, each by its own role, so they share none with each other.
    pub kind: ServiceKind,
    /// The only task that uses it; `None` for a Hyperplane ENI.
    pub task: Option<TaskEni>,
    /// `eni-` and 17 hex digits, derived from subnet and groups.
    pub id: String,
    /// The name of its TUN device: `eni-` and the first 8 hex digits of the id.
    pub device: String,
    /// Its subnet.
    pub subnet: SubnetIx,
    /// Its groups, sorted.
    pub security_groups: Vec<SecurityGroupIx>,
    /// Its private address. Only a task's own ENI may have a public one beside it.
    pub address: Ipv4Addr,
    pub(super) egress: RuleSet,
    pub(super) ingress: RuleSet,
    /// The address of its VPC's resolver.
    pub(super) resolver: Ipv4Addr,
}

/// The further fields of the ENI of a single task, which translates the address and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskEni {
    /// The network configuration of the task's service.
    pub connector: ConnectorIx,
    /// The task's number within the service.
    pub number: u16,
    /// The public address that an internet gateway maps the private one to.
    pub public_address: Option<Ipv4Addr>,
}

impl Eni {
    /// Makes a Hyperplane ENI of App Runner's. Its rules are not resolved yet:
    /// [`Snapshot::build`](super::Snapshot::build) does that.
    pub fn new(
        id: String,
        device: String,
        subnet: SubnetIx,
        security_groups: Vec<SecurityGroupIx>,
        address: Ipv4Addr,
    ) -> Self {
        let (egress, ingress) = (RuleSet::default(), RuleSet::default());
        let (kind, task, resolver) = (ServiceKind::AppRunner, None, Ipv4Addr::UNSPECIFIED);
        Self { kind, task, id, device, subnet, security_groups, address, egress, ingress, resolver }
    }

    /// Returns the ENI with another kind, and perhaps for a single task.
    #[must_use]
    pub fn of(self, kind: ServiceKind, task: Option<TaskEni>) -> Self {
        Self { kind, task, ..self }
    }

    /// Returns its public address, if it has one.
    #[inline]
    pub fn public_address(&self) -> Option<Ipv4Addr> {
        self.task.and_then(|task| task.public_address)
    }

    /// Returns the address of its VPC's resolver, which every packet needs.
    #[inline]
    pub fn resolver(&self) -> Ipv4Addr {
        self.resolver
    }

    /// Returns the union of its groups' outbound rules.
    #[inline]
    pub fn egress(&self) -> &RuleSet {
        &self.egress
    }

    /// Returns the union of its groups' inbound rules. They let no flow begin: tasks take no
    /// requests.
    pub fn ingress(&self) -> &RuleSet {
        &self.ingress
    }
}
