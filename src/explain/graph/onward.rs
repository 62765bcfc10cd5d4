//! Finds what lies behind the targets that packets are routed through: NAT gateways, the network
//! interfaces of appliances, and Gateway Load Balancer endpoints. They lead on by the route table
//! of their own subnet, and the paths of packets say where.

use super::model::{Edge, Kind, key};
use crate::vpc::path::{DeadEnd, Lead, Link, leads};
use crate::vpc::{NatGatewayState, Resource, RuleRef, Snapshot, Target, VpcIx};

/// The ends of the packets that pass such targets, over all subnets.
pub(super) struct Onward {
    ends: Vec<End>,
}

/// Packets that pass a target.
#[derive(PartialEq, Eq)]
struct End {
    /// The key of the target's node.
    through: String,
    /// Their end, or a sentence about why they get no further.
    result: Result<Reached, &'static str>,
}

/// The end of packets that get on.
#[derive(PartialEq, Eq)]
struct Reached {
    /// The key of the node at the end.
    to: String,
    /// The gateways between, in order.
    gateways: Vec<String>,
}

impl Onward {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let subnets = 0..snapshot.parts().subnets.len();
        let leads = subnets.flat_map(|position| leads(snapshot, position.into()));
        let mut ends = Vec::new();
        for end in leads.filter_map(|lead| end(snapshot, &lead)) {
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
        Self { ends }
    }

    /// Returns the lines that say how a target leads on.
    pub(super) fn lines(&self, through: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for reached in self.reached(through).filter(|reached| !reached.gateways.is_empty()) {
            let line = format!("then {}", reached.gateways.join(" > "));
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        if self.reached(through).next().is_none() {
            lines.extend(
                self.of_target(through)
                    .find_map(|end| end.result.as_ref().err())
                    .map(|why| (*why).to_owned()),
            );
        }
        lines
    }

    /// Returns the edges from a target to what lies behind it.
    pub(super) fn edges(&self, through: &str) -> impl Iterator<Item = Edge> {
        self.reached(through).map(|Reached { to, gateways }| {
            let label = (!gateways.is_empty()).then(|| gateways.join(" > "));
            Edge { label, ..Edge::new(through.to_owned(), to.clone()) }
        })
    }

    fn reached(&self, through: &str) -> impl Iterator<Item = &Reached> {
        self.of_target(through).filter_map(|end| end.result.as_ref().ok())
    }

    fn of_target(&self, through: &str) -> impl Iterator<Item = &End> {
        self.ends.iter().filter(move |end| end.through == through)
    }
}

/// Returns the end of packets that are routed through such a target; `None` if they are not.
fn end(snapshot: &Snapshot, lead: &Lead) -> Option<End> {
    let (_, target) = followed(snapshot, lead.route?)?;
    let nat_gateway = lead.nat_gateway.map(|ix| snapshot.nat_gateway(ix).id.clone());
    let (through, nat_gateway) = match *target {
        Target::NatGateway(ix) => (key(Kind::NatGateway, &snapshot.nat_gateway(ix).id), None),
        Target::NetworkInterface(ix) => {
            (key(Kind::NetworkInterface, interface_id(snapshot.resource(ix))), nat_gateway)
        }
        Target::GatewayLoadBalancerEndpoint(ix) => {
            let id = &snapshot.gateway_load_balancer_endpoint(ix).id;
            (key(Kind::GatewayLoadBalancerEndpoint, id), nat_gateway)
        }
        Target::Local
        | Target::InternetGateway
        | Target::GatewayEndpoint(_)
        | Target::Peering(_)
        | Target::Blackhole(_) => return None,
    };
    let last = lead.last_route.and_then(|route| gateway(snapshot, route));
    let gateways = nat_gateway.into_iter().chain(last).collect();
    let result = match (refusal(snapshot, lead), lead.end) {
        (Some(why), _) => Err(why),
        (None, Ok(link)) => Ok(Reached { to: behind(snapshot, link)?, gateways }),
        (None, Err(dead_end)) => Err(sentence(dead_end)?),
    };
    Some(End { through, result })
}

/// Returns a short sentence about a NAT gateway that lets no such packets through.
fn refusal(snapshot: &Snapshot, lead: &Lead) -> Option<&'static str> {
    let gateway = snapshot.nat_gateway(lead.nat_gateway?);
    if gateway.state != NatGatewayState::Available {
        return Some("carries nothing");
    }
    let is_private = gateway.public_address().is_none();
    (is_private && lead.end == Ok(Link::Internet)).then_some("no public address")
}

/// Returns the target of the route that a lead names, and the VPC of its table.
fn followed(snapshot: &Snapshot, route: RuleRef) -> Option<(VpcIx, &Target)> {
    let RuleRef::Route(table, position) = route else { return None };
    let table = snapshot.route_table(table);
    Some((table.vpc, &table.routes.get(usize::from(position))?.target))
}

/// Returns the id of the gateway that a chain's last route leads to, if it leads to one that packets
/// leave the VPC by.
fn gateway(snapshot: &Snapshot, route: RuleRef) -> Option<String> {
    let (vpc, target) = followed(snapshot, route)?;
    match *target {
        Target::InternetGateway => {
            snapshot.vpc(vpc).internet_gateway.as_ref().map(|own| own.id.clone())
        }
        Target::Peering(ix) => Some(snapshot.peering(ix).id.clone()),
        Target::GatewayEndpoint(ix) => Some(snapshot.gateway_endpoint(ix).id.clone()),
        Target::Local
        | Target::NatGateway(_)
        | Target::NetworkInterface(_)
        | Target::GatewayLoadBalancerEndpoint(_)
        | Target::Blackhole(_) => None,
    }
}

/// Returns the key of the node that stands for a link.
fn behind(snapshot: &Snapshot, link: Link) -> Option<String> {
    match link {
        Link::Vpc(ix) => Some(key(Kind::Vpc, &snapshot.vpc(ix).id)),
        Link::Endpoint(ix) => {
            Some(key(Kind::EndpointService, &snapshot.gateway_endpoint(ix).service))
        }
        Link::Internet | Link::PublicEndpoint(_) => Some(key(Kind::Internet, INTERNET)),
        Link::Task(_) | Link::Services => None,
    }
}

/// Returns a short sentence about a dead end of route tables.
fn sentence(dead_end: DeadEnd) -> Option<&'static str> {
    match dead_end {
        DeadEnd::NoRoute(_) | DeadEnd::NatNoRoute(_) => Some("its subnet has no route"),
        DeadEnd::Blackhole(..) | DeadEnd::NatBlackhole(..) => Some("then blackhole"),
        DeadEnd::Loop(..) | DeadEnd::NatLoop(..) => Some("its subnet routes back"),
        DeadEnd::NatToNat(..) => Some("then another NAT gateway"),
        DeadEnd::OutsidePeer(_) => Some("not in the peer VPC"),
        DeadEnd::NoInterface(_)
        | DeadEnd::EniAddress(_)
        | DeadEnd::NatAddress(_)
        | DeadEnd::NotRoutedBack(..) => None,
    }
}

/// Returns the id of the interface by which routes name an appliance.
pub(super) fn interface_id(resource: &Resource) -> &str {
    resource.network_interface.as_ref().map_or(&resource.name, |own| &own.id)
}

/// The name of the internet.
pub(super) const INTERNET: &str = "internet";
