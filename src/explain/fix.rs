//! The exact line to add or change in the lab file, where the evidence is enough to say it.

use super::packet::{destination_vpc, eni_of, packet_at, protocol_word, whereabouts};
use crate::packet::Tuple;
use crate::pipeline::{Component, Detail, Evidence, Outcome, Reason, Stage, Step};
use crate::vpc::path::{self, Hop};
use crate::vpc::{
    Connectivity, Destination, Direction, Egress, Interface, Line, NatGateway, NatGatewayIx,
    NatGatewayState, NetworkAclIx, PeeringIx, ResourceIx, RouteTableIx, RuleRef, SecurityGroupIx,
    Snapshot, VpcIx, everywhere,
};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// A change to the lab file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The object to change.
    pub id: String,
    /// Its line in the lab file; 0 where it is implied.
    pub at: Line,
    /// What to do, such as `add to egress`.
    pub action: String,
    /// The rule in the lab file's syntax.
    pub rule: String,
}

/// Replies go to the ports of NAT gateways and Hyperplane ENIs (spec 5).
const REPLY_PORTS: &str = "1024-65535";

/// The change that would let the packet pass the gate that dropped it; `None` where it takes a person to decide.
pub fn fix(evidence: &Evidence, snapshot: &Snapshot) -> Option<Fix> {
    let denial = evidence.denial?;
    match denial.decided_by {
        RuleRef::EniSecurityGroups(_) => security_group_egress(evidence, snapshot),
        RuleRef::DestinationSecurityGroups(..) => security_group_ingress(evidence, snapshot),
        RuleRef::NetworkAclRule(acl, direction, position, _) => {
            network_acl(evidence, snapshot, acl, direction, Some(position))
        }
        RuleRef::NetworkAclImplicitDeny(acl, direction, _) => {
            network_acl(evidence, snapshot, acl, direction, None)
        }
        RuleRef::RouteTable(table) | RuleRef::Route(table, _)
            if denial.reason == Reason::ReplyNotRoutedBack =>
        {
            route_back(evidence, snapshot, table)
        }
        RuleRef::RouteTable(table) => route_to_peer(evidence, snapshot, table)
            .or_else(|| add_route(evidence, snapshot, table)),
        RuleRef::Route(table, position) => change_route(evidence, snapshot, table, position),
        RuleRef::InternetGateway(_) if is_of_a_task(evidence, snapshot) => {
            public_address(evidence, snapshot)
        }
        RuleRef::InternetGateway(_) => {
            let (table, position) = evidence.steps.iter().rev().find_map(followed_route)?;
            change_route(evidence, snapshot, table, position)
        }
        RuleRef::ApplianceSecurityGroups(appliance, direction) => {
            appliance_group(evidence, snapshot, appliance, direction)
        }
        RuleRef::NetworkInterface(appliance) => {
            let resource = snapshot.parts().resources.get(appliance.get())?;
            Some(Fix {
                id: resource.name.clone(),
                at: resource.line,
                action: "change".to_owned(),
                rule: "source_dest_check = false".to_owned(),
            })
        }
        RuleRef::Packet
        | RuleRef::SourceCheck
        | RuleRef::ExemptAddress
        | RuleRef::SecurityGroupRule(..)
        | RuleRef::NatGateway(_)
        | RuleRef::GatewayEndpoint(_)
        | RuleRef::InterfaceEndpoint(_)
        | RuleRef::GatewayLoadBalancerEndpoint(_)
        | RuleRef::Peering(_)
        | RuleRef::Eni(_)
        | RuleRef::AppRunner
        | RuleRef::Vpc(_)
        | RuleRef::Internet
        | RuleRef::FlowTable => None,
    }
}

/// Whether the internet gateway dropped what came from a task's own ENI for want of a public address.
fn is_of_a_task(evidence: &Evidence, snapshot: &Snapshot) -> bool {
    let eni = eni_of(evidence, snapshot).and_then(|ix| snapshot.parts().enis.get(ix.get()));
    evidence.denial.is_some_and(|denial| denial.reason == Reason::IgwNoPublicAddress)
        && eni.is_some_and(|eni| eni.task.is_some())
}

fn public_address(evidence: &Evidence, snapshot: &Snapshot) -> Option<Fix> {
    let task = snapshot.parts().enis.get(eni_of(evidence, snapshot)?.get())?.task?;
    let own = Egress::Vpc(task.connector);
    let service = snapshot.parts().services.iter().find(|service| service.egress == own)?;
    Some(Fix {
        id: service.name.clone(),
        at: service.line,
        action: "change".to_owned(),
        rule: "assign_public_ip = true".to_owned(),
    })
}

fn security_group_egress(evidence: &Evidence, snapshot: &Snapshot) -> Option<Fix> {
    let eni = snapshot.parts().enis.get(eni_of(evidence, snapshot)?.get())?;
    let group = *eni.security_groups.first()?;
    let peer = match destination_group(evidence, snapshot) {
        Some(peer) => id(snapshot, peer)?.0,
        None => format!("{}/32", evidence.inside.dst()),
    };
    let rule = format!("{{ {}, to = \"{peer}\" }}", traffic(evidence.inside.tuple()));
    add_to_group(snapshot, group, "add to egress", rule)
}

fn security_group_ingress(evidence: &Evidence, snapshot: &Snapshot) -> Option<Fix> {
    let eni = snapshot.parts().enis.get(eni_of(evidence, snapshot)?.get())?;
    let packet = packet_at(evidence, evidence.steps.len());
    let preserved = evidence.denial?.reason != Reason::SgIngressBehindMiddlebox;
    let from_eni = preserved && (packet.src == eni.address || packet.src == evidence.inside.src());
    let peer = match eni.security_groups.first() {
        Some(&group) if from_eni => id(snapshot, group)?.0,
        _ => format!("{}/32", packet.src),
    };
    let rule = format!("{{ {}, from = \"{peer}\" }}", traffic(evidence.inside.tuple()));
    add_to_group(snapshot, destination_group(evidence, snapshot)?, "add to ingress", rule)
}

/// What is routed through an appliance, by addresses: of a reply as of a request.
fn appliance_group(
    evidence: &Evidence,
    snapshot: &Snapshot,
    appliance: ResourceIx,
    direction: Direction,
) -> Option<Fix> {
    let group = *snapshot.parts().resources.get(appliance.get())?.security_groups.first()?;
    let packet = packet_at(evidence, evidence.steps.len());
    let (key, address) = match direction {
        Direction::Egress => ("to", packet.dst),
        Direction::Ingress => ("from", packet.src),
    };
    let rule = format!("{{ {}, {key} = \"{address}/32\" }}", traffic(packet));
    add_to_group(snapshot, group, &format!("add to {direction}"), rule)
}

fn add_to_group(
    snapshot: &Snapshot,
    group: SecurityGroupIx,
    action: &str,
    rule: String,
) -> Option<Fix> {
    let (id, at) = id(snapshot, group)?;
    Some(Fix { id, at, action: action.to_owned(), rule })
}

fn id(snapshot: &Snapshot, group: SecurityGroupIx) -> Option<(String, Line)> {
    snapshot.parts().security_groups.get(group.get()).map(|g| (g.id.clone(), g.line))
}

/// The first group of the resource that has the destination address.
fn destination_group(evidence: &Evidence, snapshot: &Snapshot) -> Option<SecurityGroupIx> {
    let (vpc, _) = destination_vpc(evidence, snapshot)?;
    match snapshot.interface(vpc, evidence.inside.dst())? {
        Interface::Resource(resource) => {
            snapshot.parts().resources.get(resource.get())?.security_groups.first().copied()
        }
        Interface::Eni(_) | Interface::NatGateway(_) => None,
    }
}

fn traffic(packet: Tuple) -> String {
    let protocol = protocol_word(packet.protocol);
    if packet.protocol.has_ports() {
        format!("protocol = \"{protocol}\", ports = \"{}\"", packet.dport)
    } else {
        format!("protocol = \"{protocol}\"")
    }
}

fn network_acl(
    evidence: &Evidence,
    snapshot: &Snapshot,
    acl: NetworkAclIx,
    direction: Direction,
    denied_by: Option<u16>,
) -> Option<Fix> {
    let acl = snapshot.parts().network_acls.get(acl.get())?;
    let numbers: Vec<u16> = acl.rules(direction).iter().map(|r| r.number).collect();
    let number = match denied_by {
        Some(position) => before(&numbers, usize::from(position))?,
        None => after(&numbers)?,
    };
    let (remote, port) = crossing(evidence)?;
    let cidr = opened_for(evidence, snapshot, remote, denied_by)?;
    let protocol = protocol_word(evidence.inside.protocol());
    let reply = evidence.denial?.reason.stage() == Stage::NetworkAclReturn;
    let ports = match (evidence.inside.protocol().has_ports(), reply) {
        (true, true) => format!(", ports = \"{REPLY_PORTS}\""),
        (true, false) => format!(", ports = \"{port}\""),
        (false, _) => String::new(),
    };
    let rule = format!(
        "{{ rule = {number}, action = \"allow\", protocol = \"{protocol}\"{ports}, cidr = \"{cidr}\" }}"
    );
    Some(Fix { id: acl.id.clone(), at: acl.line, action: format!("add to {direction}"), rule })
}

/// The other end that a rule should be for. An ENI or a NAT gateway has neighbours in other zones that the service's
/// other tasks use, so it is their VPC's block; an answer may come from anywhere on the internet, unless a rule
/// forbids this one.
fn opened_for(
    evidence: &Evidence,
    snapshot: &Snapshot,
    remote: Ipv4Addr,
    denied_by: Option<u16>,
) -> Option<Ipv4Network> {
    let (_, ix) = whereabouts(eni_of(evidence, snapshot)?, snapshot)?;
    let vpc = snapshot.parts().vpcs.get(ix.get())?;
    let reply = evidence.denial?.reason.stage() == Stage::NetworkAclReturn;
    match snapshot.interface(ix, remote) {
        Some(Interface::Eni(_) | Interface::NatGateway(_)) => {
            vpc.cidrs.iter().copied().find(|block| block.contains(remote))
        }
        None if reply && denied_by.is_none() && destination_vpc(evidence, snapshot).is_none() => {
            Some(everywhere())
        }
        Some(Interface::Resource(_)) | None => Some(remote.into()),
    }
}

/// A free rule number just before the one at `position`, halfway to its predecessor.
fn before(numbers: &[u16], position: usize) -> Option<u16> {
    let denies = *numbers.get(position)?;
    let previous = position.checked_sub(1).and_then(|p| numbers.get(p)).copied().unwrap_or(0);
    let number = previous + (denies - previous) / 2;
    (number > previous).then_some(number)
}

/// A rule number after all others, in AWS's habit of hundreds.
fn after(numbers: &[u16]) -> Option<u16> {
    const HIGHEST: u16 = 32_766;
    let last = numbers.last().copied().unwrap_or(0);
    let next = (last / 100).saturating_add(1).saturating_mul(100).min(HIGHEST);
    (next > last).then_some(next)
}

fn crossing(evidence: &Evidence) -> Option<(Ipv4Addr, u16)> {
    let dropped = evidence.steps.iter().rev().find(|s| s.outcome == Outcome::Drop)?;
    let Detail::Crossing { remote, port } = dropped.detail else { return None };
    Some((remote, port))
}

fn add_route(evidence: &Evidence, snapshot: &Snapshot, table: RouteTableIx) -> Option<Fix> {
    let found = snapshot.parts().route_tables.get(table.get())?;
    let target = better_target(evidence, snapshot, table)?;
    Some(Fix {
        id: found.id.clone(),
        at: found.line,
        action: "add to routes".to_owned(),
        rule: format!("{{ destination = \"0.0.0.0/0\", target = \"{target}\" }}"),
    })
}

/// A destination that a peered VPC has: its block, by the connection.
fn route_to_peer(evidence: &Evidence, snapshot: &Snapshot, table: RouteTableIx) -> Option<Fix> {
    let (vpc, peering) = destination_vpc(evidence, snapshot)?;
    if connector_table(evidence, snapshot) != Some(table) {
        return None;
    }
    peering_route(snapshot, table, (vpc, evidence.inside.dst()), peering?)
}

/// The way back from a peered VPC: the source's block, by the connection that the request came by.
fn route_back(evidence: &Evidence, snapshot: &Snapshot, table: RouteTableIx) -> Option<Fix> {
    let (_, peering) = destination_vpc(evidence, snapshot)?;
    let (_, own) = whereabouts(eni_of(evidence, snapshot)?, snapshot)?;
    peering_route(snapshot, table, (own, evidence.outside?.src()), peering?)
}

fn peering_route(
    snapshot: &Snapshot,
    table: RouteTableIx,
    (vpc, address): (VpcIx, Ipv4Addr),
    peering: PeeringIx,
) -> Option<Fix> {
    let parts = snapshot.parts();
    let (table, peering) =
        (parts.route_tables.get(table.get())?, parts.peerings.get(peering.get())?);
    let cidrs = &parts.vpcs.get(vpc.get())?.cidrs;
    let block = cidrs.iter().find(|block| block.contains(address))?;
    Some(Fix {
        id: table.id.clone(),
        at: table.line,
        action: "add to routes".to_owned(),
        rule: format!("{{ destination = \"{block}\", target = \"{}\" }}", peering.id),
    })
}

fn change_route(
    evidence: &Evidence,
    snapshot: &Snapshot,
    table: RouteTableIx,
    position: u16,
) -> Option<Fix> {
    let found = snapshot.parts().route_tables.get(table.get())?;
    let route = found.routes.get(usize::from(position))?;
    let Destination::Cidr(destination) = route.destination else { return None };
    let target = better_target(evidence, snapshot, table)?;
    Some(Fix {
        id: found.id.clone(),
        at: route.line,
        action: "change the route".to_owned(),
        rule: format!("{{ destination = \"{destination}\", target = \"{target}\" }}"),
    })
}

/// Where the table ought to lead: the connector's to a NAT gateway, the NAT gateway's own to an internet gateway.
fn better_target(evidence: &Evidence, snapshot: &Snapshot, table: RouteTableIx) -> Option<String> {
    let reason = evidence.denial?.reason;
    let connector =
        matches!(reason, Reason::NoRoute | Reason::RouteBlackhole | Reason::IgwNoPublicAddress);
    let gateway =
        matches!(reason, Reason::NatNoRoute | Reason::NatRoutesToNat | Reason::NatBlackhole);
    if connector {
        working_nat_gateway(evidence, snapshot, table)
    } else if gateway
        && !evidence.inside.dst().is_private()
        && !through_private_nat_gateway(evidence, snapshot)
        && connector_table(evidence, snapshot) != Some(table)
    {
        internet_gateway(snapshot, table)
    } else {
        None
    }
}

/// No route helps a private one out to the internet (spec 3.6).
fn through_private_nat_gateway(evidence: &Evidence, snapshot: &Snapshot) -> bool {
    evidence.steps.iter().any(|step| {
        let Component::NatGateway(gateway) = step.component else { return false };
        let gateway = snapshot.parts().nat_gateways.get(gateway.get());
        gateway.is_some_and(|gateway| gateway.connectivity == Connectivity::Private)
    })
}

fn followed_route(step: &Step) -> Option<(RouteTableIx, u16)> {
    let Some(RuleRef::Route(table, position)) = step.rule else { return None };
    Some((table, position))
}

/// A public NAT gateway of the VPC whose path leads to the internet, and would still: one on whose path `changed` is asked
/// would be led to itself.
fn working_nat_gateway(
    evidence: &Evidence,
    snapshot: &Snapshot,
    changed: RouteTableIx,
) -> Option<String> {
    let parts = snapshot.parts();
    let vpc = parts.route_tables.get(changed.get())?.vpc;
    let works = |(ix, gateway): &(NatGatewayIx, &NatGateway)| {
        gateway.connectivity == Connectivity::Public
            && gateway.state == NatGatewayState::Available
            && snapshot.subnet(gateway.subnet).vpc == vpc
            && leads_out(snapshot, *ix, evidence.inside.dst(), changed)
    };
    let (_, gateway) = (0..).map(NatGatewayIx).zip(&parts.nat_gateways).find(works)?;
    Some(gateway.id.clone())
}

/// Decides whether a NAT gateway leads to an address by an internet gateway, without asking one table.
fn leads_out(
    snapshot: &Snapshot,
    gateway: NatGatewayIx,
    to: Ipv4Addr,
    without: RouteTableIx,
) -> bool {
    let hops = path::request_beyond(snapshot, gateway, to);
    let asks = |hop: &Hop| matches!(*hop, Hop::RouteTable { subnet, .. } if snapshot.subnet(subnet).route_table == without);
    hops.pass_internet_gateway() && !hops.as_slice().iter().any(asks)
}

fn connector_table(evidence: &Evidence, snapshot: &Snapshot) -> Option<RouteTableIx> {
    let (subnet, _) = whereabouts(eni_of(evidence, snapshot)?, snapshot)?;
    Some(snapshot.parts().subnets.get(subnet.get())?.route_table)
}

fn internet_gateway(snapshot: &Snapshot, table: RouteTableIx) -> Option<String> {
    let vpc = snapshot.parts().route_tables.get(table.get())?.vpc;
    let gateway = snapshot.parts().vpcs.get(vpc.get())?.internet_gateway.as_ref()?;
    Some(gateway.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_before_a_deny_is_free_or_there_is_none() {
        assert_eq!(before(&[100], 0), Some(50));
        assert_eq!(before(&[100, 110], 1), Some(105));
        assert_eq!(before(&[100, 101], 1), None);
        assert_eq!(before(&[1], 0), None);
        assert_eq!(before(&[1], 7), None);
    }

    #[test]
    fn a_number_after_the_rules_is_the_next_hundred_up_to_the_highest() {
        assert_eq!(after(&[]), Some(100));
        assert_eq!(after(&[100, 120]), Some(200));
        assert_eq!(after(&[32_700]), Some(32_766));
        assert_eq!(after(&[32_766]), None);
    }
}
