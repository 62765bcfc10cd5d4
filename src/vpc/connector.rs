//! VPC connectors, the services that use them, and the tasks of a service (spec 1.6, 2.2, 2.3).

use super::{ConnectorIx, EniIx, Line, SecurityGroupIx, ServiceIx, SubnetIx};
use std::net::Ipv4Addr;

/// The system that runs a service's tasks. The data path is the same for all; the ENIs by which
/// tasks leave differ.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    /// App Runner: tasks share the Hyperplane ENIs of a VPC connector.
    #[default]
    AppRunner,
    /// Lambda: functions share Hyperplane ENIs among themselves (spec 2.1).
    Lambda,
    /// ECS on Fargate, in the `awsvpc` network mode: each task has an ENI of its own.
    Fargate,
}

impl ServiceKind {
    /// Returns the word of the lab file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppRunner => "apprunner",
            Self::Lambda => "lambda",
            Self::Fargate => "fargate",
        }
    }
}

/// A VPC connector: subnets and security groups, and nothing else that concerns the data path. A
/// Lambda function's VPC configuration and a Fargate service's network configuration are one too.
#[derive(Clone, Debug)]
pub struct Connector {
    /// `VpcConnectorName`; for a function or a Fargate service its kind and name, such as
    /// `lambda/resize`.
    pub name: String,
    /// The kind of service that may use it.
    pub kind: ServiceKind,
    /// The subnets. Each has one Hyperplane ENI, once a service uses the connector; for Fargate, as
    /// many as there are tasks.
    pub subnets: Vec<SubnetIx>,
    /// The groups of those ENIs, sorted.
    pub security_groups: Vec<SecurityGroupIx>,
    /// `assignPublicIp`, of a Fargate service: each task's ENI has a public address.
    pub assign_public_ip: bool,
    /// Its line in the lab file.
    pub line: Line,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// `ServiceName`.
    pub name: String,
    /// The system that runs its tasks.
    pub kind: ServiceKind,
    /// The network that its tasks' packets enter.
    pub egress: Egress,
    /// The number of tasks that the lab starts with.
    pub tasks: u16,
    /// Its line in the lab file.
    pub line: Line,
}

/// `EgressType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// `DEFAULT`: App Runner's own public address.
    Default,
    /// `VPC`: everything through a connector.
    Vpc(ConnectorIx),
}

/// A task: one network namespace with one address from the task pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its service.
    pub service: ServiceIx,
    /// Its number within the service, from 1.
    pub number: u16,
    /// Its address, from the task pool and not in any VPC.
    pub address: Ipv4Addr,
    /// The ENI that it is attached to. `None` is for services with [`Egress::Default`], which leave
    /// by App Runner's own public address. A task of another service without an ENI reaches
    /// nothing.
    pub eni: Option<EniIx>,
}

/// Returns the subnet for the `number`th task (from 1): round robin over the Availability Zones,
/// and over the subnets within a zone. Each subnet is given with its zone. AWS does not document
/// the spread (spec 2.3); this one is deterministic.
pub fn turn<'z, S: Copy + Ord>(
    subnets: impl Iterator<Item = (&'z str, S)>,
    number: u16,
) -> Option<S> {
    let mut zones: Vec<(&str, Vec<S>)> = Vec::new();
    for (zone, subnet) in subnets {
        match zones.iter_mut().find(|(name, _)| *name == zone) {
            Some((_, subnets)) => subnets.push(subnet),
            None => zones.push((zone, vec![subnet])),
        }
    }
    zones.sort();
    let turn = usize::from(number.saturating_sub(1));
    let (_, subnets) = zones.get(turn.checked_rem(zones.len())?)?;
    subnets.get((turn / zones.len()).checked_rem(subnets.len())?).copied()
}
