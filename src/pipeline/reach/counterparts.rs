//! What one of two configurations has in the place of what the other one has: attachments, and addresses of NAT gateways.

use super::answer::{Answer, Class, GatewayAddress};
use super::map::HashMap;
use super::ranges::Ranges;
use crate::vpc::path::Attachment;
use crate::vpc::{NatGatewayIx, SecurityGroupIx, ServiceKind, Snapshot};
use std::hash::Hash;

/// An answer, with the configuration that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// The answer.
    pub answer: &'a Answer,
}

/// An attachment with private addresses of its ENI; those of App Runner's own egress are empty.
pub type At = (Attachment, Ranges);

/// Matches the attachments and gateways of two answers.
pub(super) struct Counterparts<'a> {
    before: Answered<'a>,
    after: Answered<'a>,
    /// The attachments after, by those before.
    attachments: HashMap<Attachment, Attachment>,
    alone: (Vec<Attachment>, Vec<Attachment>),
    /// True if each attachment before is compared with each one after.
    are_moved: bool,
    addresses: [Addresses; 2],
}

/// All private addresses that an answer is about.
struct Addresses {
    enis: HashMap<Attachment, Ranges>,
    gateways: HashMap<(NatGatewayIx, usize), Ranges>,
}

/// The addresses of the NAT gateways on either side.
pub(super) struct Gateways {
    pub(super) before: Vec<GatewayAddress>,
    pub(super) after: Vec<GatewayAddress>,
    /// True if both sides have the same gateway.
    pub(super) is_one: bool,
}

impl<'a> Counterparts<'a> {
    pub(super) fn new(before: Answered<'a>, after: Answered<'a>) -> Self {
        let (a, b) = (numbered(before), numbered(after));
        let matched = |(name, at): (&Name, &Attachment)| Some((*at, *b.get(name)?));
        let alone = |own: &HashMap<Name, Attachment>, others: &HashMap<Name, Attachment>| {
            let own = own.iter().filter(|(name, _)| !others.contains_key(*name));
            let mut own: Vec<Attachment> = own.map(|(_, at)| *at).collect();
            own.sort_by_key(|at| match at {
                Attachment::Eni(ix) => Some(*ix),
                Attachment::AppRunner => None,
            });
            own
        };
        Self {
            before,
            after,
            attachments: a.iter().filter_map(matched).collect(),
            alone: (alone(&a, &b), alone(&b, &a)),
            are_moved: false,
            addresses: [Addresses::of(before), Addresses::of(after)],
        }
    }

    /// Matches every attachment with every other, whatever their private addresses.
    pub(super) fn of_moved(before: Answered<'a>, after: Answered<'a>) -> Self {
        Self { are_moved: true, ..Self::new(before, after) }
    }

    /// Returns the attachments that only one side has.
    pub(super) fn alone(self) -> (Vec<Attachment>, Vec<Attachment>) {
        self.alone
    }

    /// Lists the attachments that two classes have in common, with the addresses that they have in common.
    pub(super) fn attachments(&self, before: &Class, after: &Class) -> Vec<(At, At)> {
        if self.are_moved {
            let at = |class: &Class| {
                let first = class.attachments.first().copied()?;
                Some((first, own(class, first)))
            };
            return at(before).zip(at(after)).into_iter().collect();
        }
        let pair = |at: &Attachment| {
            let other = *self.attachments.get(at)?;
            if !after.attachments.contains(&other) {
                return None;
            }
            let [all_before, all_after] = &self.addresses;
            let all = (all_before.enis.get(at), all_after.enis.get(&other));
            let (a, b) = met((own(before, *at), own(after, other)), all)?;
            Some(((*at, a), (other, b)))
        };
        before.attachments.iter().filter_map(pair).collect()
    }

    /// Returns the addresses of the gateways of two classes, restricted to what they have in common; `None` if that is
    /// nothing.
    pub(super) fn gateways(&self, before: &Class, after: &Class) -> Option<Gateways> {
        let (a, b) = (&before.gateway_addresses, &after.gateway_addresses);
        let is_one = match (a.first(), b.first()) {
            (Some(a), Some(b)) => {
                let id = |of: Answered<'_>, at: &GatewayAddress| {
                    of.snapshot.nat_gateway(at.gateway).id.clone()
                };
                id(self.before, a) == id(self.after, b)
            }
            (None, _) | (_, None) => false,
        };
        if !is_one {
            return Some(Gateways { before: a.clone(), after: b.clone(), is_one });
        }
        let pairs = a.iter().filter_map(|a| self.gateway_address(a, b));
        let (before, after): (Vec<_>, Vec<_>) = pairs.unzip();
        (!before.is_empty()).then_some(Gateways { before, after, is_one })
    }

    fn gateway_address(
        &self,
        before: &GatewayAddress,
        after: &[GatewayAddress],
    ) -> Option<(GatewayAddress, GatewayAddress)> {
        let after = after.iter().find(|after| after.position == before.position)?;
        let [all_before, all_after] = &self.addresses;
        let all = |all: &'_ Addresses, at: &GatewayAddress| {
            all.gateways.get(&(at.gateway, at.position)).cloned()
        };
        let (all_a, all_b) = (all(all_before, before), all(all_after, after));
        let own = (before.private.clone(), after.private.clone());
        let (a, b) = met(own, (all_a.as_ref(), all_b.as_ref()))?;
        let with = |at: &GatewayAddress, private| GatewayAddress { private, ..at.clone() };
        Some((with(before, a), with(after, b)))
    }
}

impl Addresses {
    fn of(Answered { answer, .. }: Answered<'_>) -> Self {
        let (mut enis, mut gateways) = (HashMap::default(), HashMap::default());
        for class in &answer.classes {
            for (eni, own) in &class.eni_addresses {
                add(&mut enis, Attachment::Eni(*eni), own);
            }
            for address in &class.gateway_addresses {
                add(&mut gateways, (address.gateway, address.position), &address.private);
            }
        }
        Self { enis: united(enis), gateways: united(gateways) }
    }
}

fn add<'r, K: Hash + Eq>(sets: &mut HashMap<K, Vec<&'r Ranges>>, key: K, ranges: &'r Ranges) {
    let known = sets.entry(key).or_default();
    if !known.contains(&ranges) {
        known.push(ranges);
    }
}

fn united<K: Hash + Eq>(sets: HashMap<K, Vec<&Ranges>>) -> HashMap<K, Ranges> {
    let union = |sets: Vec<&Ranges>| Ranges::new(sets.into_iter().flat_map(Ranges::iter));
    sets.into_iter().map(|(key, sets)| (key, union(sets))).collect()
}

/// Returns what two sets of addresses have in common, once for either side; `None` if that is nothing. If all addresses of
/// one side are others than those of the other, they stand for each other.
fn met(own: (Ranges, Ranges), all: (Option<&Ranges>, Option<&Ranges>)) -> Option<(Ranges, Ranges)> {
    if let (Some(all_a), Some(all_b)) = all
        && all_a.intersection(all_b).is_empty()
    {
        return Some(own);
    }
    if own.0.is_empty() && own.1.is_empty() {
        return Some(own);
    }
    let both = own.0.intersection(&own.1);
    (!both.is_empty()).then(|| (both.clone(), both))
}

fn own(class: &Class, at: Attachment) -> Ranges {
    let mut own = class.eni_addresses.iter();
    own.find(|(eni, _)| Attachment::Eni(*eni) == at).map(|(_, own)| own.clone()).unwrap_or_default()
}

/// The name of an attachment that two configurations share.
type Name = (Option<Place>, u16);

/// A subnet, groups and the kind of service, by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    kind: ServiceKind,
    subnet: String,
    groups: Vec<String>,
}

/// Names the attachments of an answer. Tasks with an ENI each in one subnet are told apart by their numbers, of which the
/// lowest counts as the first.
fn numbered(Answered { snapshot, answer }: Answered<'_>) -> HashMap<Name, Attachment> {
    let mut all: Vec<(Option<Place>, u16, Attachment)> = Vec::new();
    for at in answer.classes.iter().flat_map(|class| &class.attachments) {
        if all.iter().all(|(.., known)| known != at) {
            let (place, number) = place(snapshot, *at);
            all.push((place, number, *at));
        }
    }
    let first = |place: &Option<Place>| {
        let there = all.iter().filter(|(other, ..)| other == place);
        there.map(|(_, number, _)| *number).min()
    };
    let name = |(place, number, at): &(Option<Place>, u16, Attachment)| {
        let number = if first(place) == Some(*number) { 0 } else { *number };
        ((place.clone(), number), *at)
    };
    all.iter().map(name).collect()
}

/// Names a group. The default group of a VPC is known by its VPC, as a lab file may imply it or give it an id.
fn group_name(snapshot: &Snapshot, ix: SecurityGroupIx) -> String {
    let group = snapshot.security_group(ix);
    let vpc = snapshot.vpc(group.vpc);
    match vpc.default_security_group == ix {
        true => format!("the default group of {}", vpc.id),
        false => group.id.clone(),
    }
}

fn place(snapshot: &Snapshot, at: Attachment) -> (Option<Place>, u16) {
    let Attachment::Eni(ix) = at else { return (None, 0) };
    let eni = snapshot.eni(ix);
    let groups = eni.security_groups.iter().map(|group| group_name(snapshot, *group));
    let mut groups: Vec<String> = groups.collect();
    groups.sort();
    let subnet = snapshot.subnet(eni.subnet).id.clone();
    let place = Place { kind: eni.kind, subnet, groups };
    (Some(place), eni.task.map_or(0, |task| task.number))
}
