//! Matches the attachments and the addresses of NAT gateways of two configurations.

use super::answer::{Answer, Class, GatewayAddress};
use super::map::HashMap;
use super::ranges::Ranges;
use crate::vpc::path::Attachment;
use crate::vpc::{NatGatewayIx, SecurityGroupIx, ServiceKind, Snapshot};
use std::hash::Hash;

/// An answer, with its configuration.
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
    /// Set if each attachment before is compared with each one after.
    are_moved: bool,
    addresses: [Addresses; 2],
}

/// All private addresses of an answer.
struct Addresses {
    enis: HashMap<Attachment, Ranges>,
    gateways: HashMap<(NatGatewayIx, usize), Ranges>,
}

/// The addresses of the NAT gateways on either side.
pub(super) struct Gateways {
    pub(super) before: Vec<GatewayAddress>,
    pub(super) after: Vec<GatewayAddress>,
    /// Set if both sides have the same gateway, or App Runner's own NAT, so that a port is the same
    /// port.
    pub(super) is_one: bool,
}

impl<'a> Counterparts<'a> {
    pub(super) fn new(before: Answered<'a>, after: Answered<'a>) -> Self {
        let (mut a, mut b) = (named(before), named(after));
        let mut attachments = HashMap::default();
        // Tasks with one place are equivalent, whatever their numbers.
        for same_number in [true, false] {
            for are_groups in [Placement::has_groups_of, Placement::has_known_groups_of] {
                let same = |a: &Named, b: &Named| {
                    (!same_number || a.number == b.number) && a.is_where(b, are_groups)
                };
                match_off(&mut a, &mut b, &mut attachments, same);
            }
        }
        let alone = |own: Vec<Named>| own.into_iter().map(|one| one.at).collect();
        Self {
            before,
            after,
            attachments,
            alone: (alone(a), alone(b)),
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

    /// Lists the attachments that two classes have in common, with the addresses that they have in
    /// common.
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

    /// Returns the addresses of the gateways of two classes, restricted to the common ones; `None`
    /// if there are none.
    pub(super) fn gateways(&self, before: &Class, after: &Class) -> Option<Gateways> {
        let (a, b) = (&before.gateway_addresses, &after.gateway_addresses);
        let by_app_runner = |of: &Class| of.attachments.contains(&Attachment::AppRunner);
        if by_app_runner(before) && by_app_runner(after) {
            return Some(Gateways { before: Vec::new(), after: Vec::new(), is_one: true });
        }
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

/// Returns the common part of two sets of addresses, once for either side; `None` if it is empty.
/// If all addresses of one side differ from those of the other, they stand for each other.
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

/// An attachment of an answer, by what identifies it in both configurations.
struct Named {
    /// `None` for App Runner's own egress.
    place: Option<Placement>,
    /// The number of the task whose ENI it is; 0 for a shared one.
    number: u16,
    at: Attachment,
}

impl Named {
    fn is_where(&self, other: &Self, are_groups: fn(&Placement, &Placement) -> bool) -> bool {
        match (&self.place, &other.place) {
            (Some(a), Some(b)) => a.kind == b.kind && a.subnet == b.subnet && are_groups(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// A subnet, groups and the kind of service.
struct Placement {
    kind: ServiceKind,
    /// The subnet's id.
    subnet: String,
    /// The groups' ids.
    groups: Vec<String>,
    /// The groups, with a default group known by its VPC: a lab file may imply it or give it an id.
    known_groups: Vec<String>,
}

impl Placement {
    fn has_groups_of(&self, other: &Self) -> bool {
        self.groups == other.groups
    }

    fn has_known_groups_of(&self, other: &Self) -> bool {
        self.known_groups == other.known_groups
    }
}

/// Names the attachments of an answer, in the order of their ENIs.
fn named(Answered { snapshot, answer }: Answered<'_>) -> Vec<Named> {
    let mut all: Vec<Attachment> = Vec::new();
    for at in answer.classes.iter().flat_map(|class| &class.attachments) {
        if !all.contains(at) {
            all.push(*at);
        }
    }
    all.sort_by_key(|at| match at {
        Attachment::Eni(ix) => Some(*ix),
        Attachment::AppRunner => None,
    });
    all.into_iter().map(|at| name(snapshot, at)).collect()
}

/// Removes the attachments that are the same, each with the first of the other side.
fn match_off(
    before: &mut Vec<Named>,
    after: &mut Vec<Named>,
    matched: &mut HashMap<Attachment, Attachment>,
    are_same: impl Fn(&Named, &Named) -> bool,
) {
    before.retain(|one| match after.iter().position(|other| are_same(one, other)) {
        Some(position) => {
            matched.insert(one.at, after.remove(position).at);
            false
        }
        None => true,
    });
}

/// Returns the identity of an attachment.
fn name(snapshot: &Snapshot, at: Attachment) -> Named {
    let Attachment::Eni(ix) = at else { return Named { place: None, number: 0, at } };
    let eni = snapshot.eni(ix);
    let sorted = |name: fn(&Snapshot, SecurityGroupIx) -> String| {
        let mut names: Vec<String> =
            eni.security_groups.iter().map(|group| name(snapshot, *group)).collect();
        names.sort();
        names
    };
    let groups = sorted(|snapshot, group| snapshot.security_group(group).id.clone());
    let subnet = snapshot.subnet(eni.subnet).id.clone();
    let place = Placement { kind: eni.kind, subnet, groups, known_groups: sorted(group_name) };
    Named { place: Some(place), number: eni.task.map_or(0, |task| task.number), at }
}

/// Returns the name of a group, of a default group by its VPC.
fn group_name(snapshot: &Snapshot, ix: SecurityGroupIx) -> String {
    let group = snapshot.security_group(ix);
    let vpc = snapshot.vpc(group.vpc);
    match vpc.default_security_group == ix {
        true => format!("the default group of {}", vpc.id),
        false => group.id.clone(),
    }
}
