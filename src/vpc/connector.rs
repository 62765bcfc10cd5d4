//! VPC connectors, the services that use them, and the tasks of a service (spec 1.6, 2.2, 2.3).

use super::{ConnectorIx, EniIx, Line, SecurityGroupIx, ServiceIx, SubnetIx};
use std::net::Ipv4Addr;

/// What runs a service's tasks. The data path is the same; what differs is whose ENIs they leave by.
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
    /// The lab file's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppRunner => "apprunner",
            Self::Lambda => "lambda",
            Self::Fargate => "fargate",
        }
    }
}

/// A VPC connector: subnets and security groups, and nothing else that the data path knows. A Lambda function's VPC
/// configuration and a Fargate service's network configuration are one too.
#[derive(Clone, Debug)]
pub struct Connector {
    /// `VpcConnectorName`; for a function or a Fargate service its kind and name, such as `lambda/resize`.
    pub name: String,
    /// Who may use it.
    pub kind: ServiceKind,
    /// One Hyperplane ENI in each, once a service uses the connector; for Fargate, as many as there are tasks.
    pub subnets: Vec<SubnetIx>,
    /// The groups of those ENIs, sorted.
    pub security_groups: Vec<SecurityGroupIx>,
    /// `assignPublicIp`, of a Fargate service: each task's ENI has a public address.
    pub assign_public_ip: bool,
    /// Where it stands in the lab file.
    pub line: Line,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// `ServiceName`.
    pub name: String,
    /// What runs its tasks.
    pub kind: ServiceKind,
    /// Where its tasks' packets go.
    pub egress: Egress,
    /// How many tasks the lab starts with.
    pub tasks: u16,
    /// Where it stands in the lab file.
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
    /// Counted from 1 within the service.
    pub number: u16,
    /// From the task pool, not in any VPC.
    pub address: Ipv4Addr,
    /// The ENI that it is attached to. `None` is for services with [`Egress::Default`], which leave by App Runner's own
    /// public address; a task of another service without an ENI reaches nothing.
    pub eni: Option<EniIx>,
}

/// The subnet for the `number`th task (from 1), each given with its Availability Zone: round robin over the zones, and over
/// the subnets within a zone. AWS does not document the spread (spec 2.3); this one is deterministic.
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
