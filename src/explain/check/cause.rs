//! Finds the rule that tells packets apart that differ in one property, which the configuration
//! leaves open.

use super::place;
use super::view::{View, gateway_ports};
use crate::pipeline::Stage;
use crate::pipeline::reach::{Class, Ranges};
use crate::vpc::{
    Destination, Direction, EniIx, NatGatewayIx, NetworkAclIx, Peer, RuleRef, Snapshot, SubnetIx,
};
use ipnetwork::Ipv4Network;

/// The one property in which packets differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apart {
    EniPort,
    GatewayPort(NatGatewayIx),
    EniAddress(EniIx),
    GatewayAddress(NatGatewayIx),
}

/// The rule that tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A network ACL drops replies to some ports, by its rules in one direction.
    ReplyPorts(NetworkAclIx, Direction),
    /// A rule applies to some addresses of a subnet.
    Addresses(RuleRef, SubnetIx),
}

/// Finds the rule that tells the packets of two classes apart; `None` if senders use none of the
/// ports that fail.
pub(super) fn cause(view: &View, (failing, passing): (&Class, &Class), by: Apart) -> Option<Cause> {
    match subnet(view, by) {
        Some(subnet) => {
            let rule = splitting(view.snapshot(), (failing, passing), subnet)?;
            Some(Cause::Addresses(rule, subnet))
        }
        None => reply_ports(view, failing, by),
    }
}

fn reply_ports(view: &View, failing: &Class, by: Apart) -> Option<Cause> {
    let denial = failing.denial?;
    let dropped = ports(failing, by)?;
    let is_reply = denial.reason.stage() == Stage::NetworkAclReturn;
    let (acl, direction) = place::acl(denial.decided_by)?;
    let found = Cause::ReplyPorts(acl, direction);
    (is_reply && dropped.meets(&drawn(view, by))).then_some(found)
}

/// Returns the ports of a class, if packets differ by them.
pub(super) fn ports(class: &Class, by: Apart) -> Option<&Ranges> {
    match by {
        Apart::EniPort => class.source_ports.as_ref(),
        Apart::GatewayPort(_) => class.gateway_ports.as_ref(),
        Apart::EniAddress(_) | Apart::GatewayAddress(_) => None,
    }
}

/// Returns the ports from which the sender draws.
pub(super) fn drawn(view: &View, by: Apart) -> Ranges {
    match by {
        Apart::EniPort => view.source_ports(),
        Apart::GatewayPort(_) | Apart::EniAddress(_) | Apart::GatewayAddress(_) => gateway_ports(),
    }
}

/// Returns the subnet of the addresses, if packets differ by them.
fn subnet(view: &View, by: Apart) -> Option<SubnetIx> {
    match by {
        Apart::EniAddress(eni) => Some(view.eni_subnet(eni)),
        Apart::GatewayAddress(gateway) => Some(view.gateway_subnet(gateway)),
        Apart::EniPort | Apart::GatewayPort(_) => None,
    }
}

/// Returns the first rule that applies to a part of the subnet, among those by which the two
/// classes differ.
fn splitting(
    snapshot: &Snapshot,
    (failing, passing): (&Class, &Class),
    subnet: SubnetIx,
) -> Option<RuleRef> {
    let cidr = snapshot.subnet(subnet).cidr;
    let (passing, failing) = (&passing.sample.steps, &failing.sample.steps);
    let differing = passing.iter().zip(failing).filter(|(a, b)| a.rule != b.rule);
    let mut rules = differing.flat_map(|(a, b)| [a.rule, b.rule]).flatten();
    rules.find(|rule| blocks(snapshot, *rule).iter().any(|block| is_part(*block, cidr)))
}

/// Decides whether a block is a part of a subnet.
fn is_part(block: Ipv4Network, cidr: Ipv4Network) -> bool {
    cidr.contains(block.network()) && block.prefix() > cidr.prefix()
}

/// Lists the blocks to which a rule applies.
fn blocks(snapshot: &Snapshot, rule: RuleRef) -> Vec<Ipv4Network> {
    let of_list = |list| snapshot.prefix_list(list).entries.clone();
    if let RuleRef::SecurityGroupRule(group, direction, position) = rule {
        let rules = snapshot.security_group(group).rules(direction);
        match rules.get(usize::from(position)).map(|rule| rule.peer) {
            Some(Peer::Cidr(block)) => vec![block],
            Some(Peer::PrefixList(list)) => of_list(list),
            Some(Peer::SecurityGroup(_)) | None => Vec::new(),
        }
    } else if let RuleRef::NetworkAclRule(acl, direction, position, _) = rule {
        let rules = snapshot.network_acl(acl).rules(direction);
        rules.get(usize::from(position)).map(|rule| rule.cidr).into_iter().collect()
    } else if let RuleRef::Route(table, position) = rule {
        let routes = &snapshot.route_table(table).routes;
        match routes.get(usize::from(position)).map(|route| route.destination) {
            Some(Destination::Cidr(block)) => vec![block],
            Some(Destination::PrefixList(list)) => of_list(list),
            None => Vec::new(),
        }
    } else {
        Vec::new()
    }
}
