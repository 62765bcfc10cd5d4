//! VPC connectors, the services that use them, and the tasks of a service (spec 1.6, 2.2, 2.3).

use super::{ConnectorIx, EniIx, Line, SecurityGroupIx, ServiceIx, Snapshot, SubnetIx};
use std::net::Ipv4Addr;

/// A VPC connector: subnets and security groups, and nothing else that the data path knows.
#[derive(Clone, Debug)]
pub struct Connector {
    /// `VpcConnectorName`.
    pub name: String,
    /// One Hyperplane ENI in each, once a service uses the connector.
    pub subnets: Vec<SubnetIx>,
    /// The groups of those ENIs, sorted.
    pub security_groups: Vec<SecurityGroupIx>,
    /// Where it stands in the lab file.
    pub line: Line,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// `ServiceName`.
    pub name: String,
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

impl Snapshot {
    /// The ENI for the `number`th task of a service (from 1): round robin over the connector's Availability Zones, and
    /// over the subnets within a zone. AWS does not document the spread (spec 2.3); this one is deterministic.
    pub fn choose_eni(&self, service: ServiceIx, number: u16) -> Option<EniIx> {
        let Egress::Vpc(connector) = self.service(service).egress else { return None };
        let connector = self.connector(connector);
        let mut zones: Vec<(&str, Vec<SubnetIx>)> = Vec::new();
        for &subnet in &connector.subnets {
            let zone = self.subnet(subnet).availability_zone.as_str();
            match zones.iter_mut().find(|(name, _)| *name == zone) {
                Some((_, subnets)) => subnets.push(subnet),
                None => zones.push((zone, vec![subnet])),
            }
        }
        zones.sort();
        let turn = usize::from(number.saturating_sub(1));
        let (_, subnets) = zones.get(turn.checked_rem(zones.len())?)?;
        let subnet = *subnets.get((turn / zones.len()).checked_rem(subnets.len())?)?;
        self.eni_of(subnet, &connector.security_groups)
    }
}
