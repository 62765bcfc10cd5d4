//! Proposes rules that a network ACL lacks.

use super::change::Change;
use super::failing::Failing;
use super::senders::Senders;
use super::terms::{MOST_RULES, addresses, blocks, holds, replies, traffic};
use crate::explain::packet::destination_vpc;
use crate::vpc::{
    AclAction, AclRule, Direction, Interface, NetworkAclIx, PortMatch, TrafficMatch, everywhere,
};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Replies go to the ports of NAT gateways and Hyperplane ENIs (spec 5).
const REPLY_PORTS: PortMatch = PortMatch { from: 1024, to: u16::MAX };

/// The ports of Fargate tasks, whose ENIs keep them.
const OWN_PORTS: PortMatch = PortMatch { from: 1, to: u16::MAX };

/// Lists the rules that let the packets pass an ACL, which denies them by the rule at a position,
/// or by none.
pub(super) fn of_acl(
    failing: &Failing<'_>,
    acl: NetworkAclIx,
    direction: Direction,
    denied_by: Option<u16>,
) -> Vec<Change> {
    let Some(remote) = failing.crossing() else { return Vec::new() };
    let traffics = match failing.drops_replies() {
        true => vec![replies(&failing.ports, REPLY_PORTS), replies(&failing.ports, OWN_PORTS)],
        false => vec![traffic(&failing.ports)],
    };
    let blocks = opened_for(failing, remote, denied_by);
    let rules = |blocks: &Vec<Ipv4Network>, traffic: &Vec<TrafficMatch>| {
        let rules = rules(failing, (acl, direction), denied_by, (traffic, blocks))?;
        Some(Change::AclRules { acl, direction, rules })
    };
    let mut changes: Vec<Change> = Vec::new();
    for traffic in traffics {
        changes.extend(blocks.iter().filter_map(|blocks| rules(blocks, &traffic)));
    }
    changes
}

/// Lists blocks for the other end, the best first. An ENI or a NAT gateway has neighbours in other
/// zones that the service's other tasks use, so it is their VPC's block; a reply may come from
/// anywhere on the internet, unless a rule forbids this one.
fn opened_for(
    failing: &Failing<'_>,
    remote: Ipv4Addr,
    denied_by: Option<u16>,
) -> Vec<Vec<Ipv4Network>> {
    if let Some(senders) = Senders::of(failing).filter(|own| own.have(remote)) {
        return opened_for_public(failing, &senders, denied_by);
    }
    let Some(own) = failing.vpc() else { return Vec::new() };
    let snapshot = failing.snapshot;
    let cidrs = &snapshot.vpc(own).cidrs;
    let is_destination = remote == failing.evidence.inside.dst();
    let is_outside = destination_vpc(failing.evidence, snapshot).is_none();
    let mut all: Vec<Vec<Ipv4Network>> = Vec::new();
    match snapshot.interface(own, remote) {
        Some(Interface::Eni(_) | Interface::NatGateway(_)) => {}
        None if failing.drops_replies() && denied_by.is_none() && is_outside => {
            all.push(vec![everywhere()]);
        }
        Some(Interface::Resource(_)) | None if is_destination => {
            all.extend(blocks(&failing.destinations));
        }
        Some(Interface::Resource(_)) | None => {}
    }
    all.extend(cidrs.iter().filter(|block| block.contains(remote)).map(|block| vec![*block]));
    if is_destination {
        let vpcs = snapshot.parts().vpcs.iter().flat_map(|vpc| &vpc.cidrs);
        let mut holding = vpcs.filter(|block| holds(&addresses(**block), &failing.destinations));
        all.extend(holding.next().map(|block| vec![*block]));
        all.push(vec![everywhere()]);
    }
    if all.is_empty() {
        all.push(vec![remote.into()]);
    }
    all.dedup();
    all
}

/// Lists blocks for the public addresses that the network ACL of a public endpoint sees, the best
/// first: unless a rule forbids it, replies may go anywhere on the internet, and requests may come
/// from there as a last resort.
fn opened_for_public(
    failing: &Failing<'_>,
    senders: &Senders,
    denied_by: Option<u16>,
) -> Vec<Vec<Ipv4Network>> {
    let mut all: Vec<Vec<Ipv4Network>> = senders.known().and_then(blocks).into_iter().collect();
    if denied_by.is_none() {
        let at = if failing.drops_replies() { 0 } else { all.len() };
        all.insert(at, vec![everywhere()]);
    }
    all
}

/// Makes the rules; `None` if they are too many, or the ACL has no numbers for them.
fn rules(
    failing: &Failing<'_>,
    (acl, direction): (NetworkAclIx, Direction),
    denied_by: Option<u16>,
    (traffic, blocks): (&[TrafficMatch], &[Ipv4Network]),
) -> Option<Vec<AclRule>> {
    let acl = failing.snapshot.network_acl(acl);
    let mut numbers: Vec<u16> = acl.rules(direction).iter().map(|rule| rule.number).collect();
    let mut position = denied_by.map(usize::from);
    let pairs = traffic.iter().flat_map(|one| blocks.iter().map(move |block| (*one, *block)));
    let mut rules = Vec::new();
    for (traffic, cidr) in pairs {
        let number = match &mut position {
            Some(at) => {
                let number = before(&numbers, *at)?;
                insert(&mut numbers, number);
                *at += 1;
                number
            }
            None => {
                let number = after(&numbers)?;
                insert(&mut numbers, number);
                number
            }
        };
        rules.push(AclRule { number, action: AclAction::Allow, traffic, cidr, line: 0 });
    }
    (rules.len() <= MOST_RULES).then_some(rules)
}

/// Adds a number to ascending ones.
fn insert(numbers: &mut Vec<u16>, number: u16) {
    numbers.insert(numbers.partition_point(|own| *own < number), number);
}

/// Returns a free rule number before the one at `position`: halfway to its predecessor, or else the
/// highest one below that.
fn before(numbers: &[u16], position: usize) -> Option<u16> {
    let denies = *numbers.get(position)?;
    let previous = position.checked_sub(1).and_then(|p| numbers.get(p)).copied().unwrap_or(0);
    let number = previous + (denies - previous) / 2;
    if number > previous { Some(number) } else { highest_free(numbers, denies.saturating_sub(1)) }
}

/// Returns a rule number after all others, a multiple of a hundred as is usual on AWS, or else the
/// highest free one.
fn after(numbers: &[u16]) -> Option<u16> {
    const HIGHEST: u16 = 32_766;
    let last = numbers.last().copied().unwrap_or(0);
    let next = (last / 100).saturating_add(1).saturating_mul(100);
    if next <= HIGHEST { Some(next) } else { highest_free(numbers, HIGHEST) }
}

/// Returns the highest number up to `highest` that is not among ascending numbers.
fn highest_free(numbers: &[u16], highest: u16) -> Option<u16> {
    (1..=highest).rev().find(|number| numbers.binary_search(number).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_before_a_deny_is_free_or_there_is_none() {
        assert_eq!(before(&[100], 0), Some(50));
        assert_eq!(before(&[100, 110], 1), Some(105));
        assert_eq!(before(&[100, 101], 1), Some(99));
        assert_eq!(before(&[98, 99, 100], 2), Some(97));
        assert_eq!(before(&[1, 2, 3], 2), None);
        assert_eq!(before(&[1], 0), None);
        assert_eq!(before(&[1], 7), None);
    }

    #[test]
    fn a_number_after_the_rules_is_the_next_hundred_or_the_highest_free_one() {
        assert_eq!(after(&[]), Some(100));
        assert_eq!(after(&[100, 120]), Some(200));
        assert_eq!(after(&[32_700]), Some(32_766));
        assert_eq!(after(&[32_766]), Some(32_765));
        assert_eq!(after(&[100, 32_765, 32_766]), Some(32_764));
        assert_eq!(after(&(1..=32_766).collect::<Vec<_>>()), None);
    }
}
