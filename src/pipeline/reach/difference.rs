//! Computes the difference of two answers to one question: the packets that pass by one of them
//! only.
//!
//! Both answers are products of sets, so their difference is too: classes are intersected dimension
//! by dimension. Only classes whose destinations overlap are compared.

use super::answer::{Class, GatewayAddress};
use super::counterparts::{Answered, At, Counterparts};
use super::map::HashMap;
use super::ports::Ports;
use super::ranges::Ranges;
use crate::pipeline::Denial;
use crate::vpc::RuleRef;
use crate::vpc::path::Attachment;

/// The difference of two answers to one question.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// The packets that pass by one answer only.
    pub changes: Vec<Changed>,
    /// The attachments that only the configuration before has. Their packets are not compared.
    pub only_before: Vec<Attachment>,
    /// The attachments that only the configuration after has.
    pub only_after: Vec<Attachment>,
}

impl Difference {
    /// Lists the packets that passed before and no longer do.
    pub fn lost(&self) -> impl Iterator<Item = &Changed> {
        self.changes.iter().filter(|changed| changed.before.passes())
    }
}

/// Packets with their verdicts by two answers. They contain every combination of the values listed
/// here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Their verdict by the answer before.
    pub before: ChangedSide,
    /// Their verdict by the answer after.
    pub after: ChangedSide,
    /// The ports of the ENI (ICMP: identifiers); `None` for App Runner's own egress.
    pub source_ports: Option<Ranges>,
    /// The destination addresses.
    pub destinations: Ranges,
    /// The protocols with their destination ports.
    pub ports: Ports,
}

/// The verdict on packets by one of two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedSide {
    /// The position of their class in the answer.
    pub class: usize,
    /// The reason for which they or their replies are dropped; `None` if they pass.
    pub denial: Option<Denial>,
    /// The rule that admits them, if they reach their destinations.
    pub admitted_by: Option<RuleRef>,
    /// The attachments of the tasks, in the same order as on the other side, each with the private
    /// addresses of its ENI; those of App Runner's own egress are empty.
    pub attachments: Vec<At>,
    /// The addresses of the NAT gateway, if they decide.
    pub gateway_addresses: Vec<GatewayAddress>,
    /// The ports of the NAT gateway, if they decide.
    pub gateway_ports: Option<Ranges>,
}

impl ChangedSide {
    /// Decides whether the packets pass.
    pub const fn passes(&self) -> bool {
        self.denial.is_none()
    }
}

/// Compares two answers to one question.
///
/// Attachments are the same if subnet, groups and kind of service are, by their ids; NAT gateways
/// if their ids are, and their addresses by position. If an ENI or a gateway has none of its
/// private addresses on the other side, all of its addresses there stand for them.
pub fn difference(before: Answered<'_>, after: Answered<'_>) -> Difference {
    let counterparts = Counterparts::new(before, after);
    let changes = common_packets(before, after, &counterparts, |a, b| a != b);
    let (only_before, only_after) = counterparts.alone();
    Difference { changes, only_before, only_after }
}

/// Compares the answers for a service whose attachments have moved: each attachment before with
/// each one after.
pub fn difference_of_moved(before: Answered<'_>, after: Answered<'_>) -> Vec<Changed> {
    common_packets(before, after, &Counterparts::of_moved(before, after), |a, b| a != b)
}

/// Lists the packets that are dropped by both answers. The reasons need not be the same.
pub fn dropped_by_both(before: Answered<'_>, after: Answered<'_>) -> Vec<Changed> {
    common_packets(before, after, &Counterparts::new(before, after), |a, b| !a && !b)
}

/// Lists the packets that two answers have in common, for each pair of verdicts that is wanted.
fn common_packets(
    before: Answered<'_>,
    after: Answered<'_>,
    counterparts: &Counterparts<'_>,
    wanted: fn(bool, bool) -> bool,
) -> Vec<Changed> {
    let (a, b) = (&before.answer.classes, &after.answer.classes);
    let mut found = Vec::new();
    for (at_a, at_b, destinations) in overlapping(a, b, wanted) {
        let both = Both { before: (at_a, &a[at_a]), after: (at_b, &b[at_b]) };
        found.extend(both.changed(destinations, counterparts));
    }
    found.sort_by_key(|changed| (changed.before.class, changed.after.class));
    found
}

/// A class of each answer.
struct Both<'c> {
    before: (usize, &'c Class),
    after: (usize, &'c Class),
}

impl Both<'_> {
    fn changed(&self, destinations: Ranges, counterparts: &Counterparts<'_>) -> Option<Changed> {
        let ((_, before), (_, after)) = (self.before, self.after);
        let ports = Ports(before.ports.0.intersection(&after.ports.0));
        let source_ports = common(before.source_ports.as_ref(), after.source_ports.as_ref())?;
        if ports.0.is_empty() {
            return None;
        }
        let attachments = counterparts.attachments(before, after);
        let gateways = counterparts.gateways(before, after)?;
        let (gateway_ports_before, gateway_ports_after) = match gateways.is_one {
            true => {
                let both = common(before.gateway_ports.as_ref(), after.gateway_ports.as_ref())?;
                (both.clone(), both)
            }
            false => (before.gateway_ports.clone(), after.gateway_ports.clone()),
        };
        if attachments.is_empty() {
            return None;
        }
        let (attachments_before, attachments_after) = attachments.into_iter().unzip();
        Some(Changed {
            before: side(self.before, attachments_before, gateways.before, gateway_ports_before),
            after: side(self.after, attachments_after, gateways.after, gateway_ports_after),
            source_ports,
            destinations,
            ports,
        })
    }
}

fn side(
    (position, class): (usize, &Class),
    attachments: Vec<At>,
    gateway_addresses: Vec<GatewayAddress>,
    gateway_ports: Option<Ranges>,
) -> ChangedSide {
    let Class { denial, admitted_by, .. } = *class;
    ChangedSide {
        class: position,
        denial,
        admitted_by,
        attachments,
        gateway_addresses,
        gateway_ports,
    }
}

/// Intersects two sets, of which one that is `None` stands for everything. Returns `None` if the
/// intersection is empty.
fn common(a: Option<&Ranges>, b: Option<&Ranges>) -> Option<Option<Ranges>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(Some(a.intersection(b))).filter(|both| !is_none(both.as_ref())),
        (one, other) => Some(one.or(other).cloned()),
    }
}

fn is_none(ranges: Option<&Ranges>) -> bool {
    ranges.is_some_and(Ranges::is_empty)
}

/// Classes by their destinations, each set once.
struct ByDestinations<'c> {
    sets: Vec<(&'c Ranges, Vec<usize>)>,
}

impl<'c> ByDestinations<'c> {
    fn new(classes: &'c [Class], passing: bool) -> Self {
        let mut sets: Vec<(&Ranges, Vec<usize>)> = Vec::new();
        let mut known: HashMap<&Ranges, usize> = HashMap::default();
        for (position, class) in classes.iter().enumerate().filter(|(_, c)| c.passes() == passing) {
            let at = *known.entry(&class.destinations).or_insert(sets.len());
            match sets.get_mut(at) {
                Some((_, positions)) => positions.push(position),
                None => sets.push((&class.destinations, vec![position])),
            }
        }
        Self { sets }
    }

    /// Lists all ranges, by their first addresses, each with the position of its set.
    fn ranges(&self) -> Vec<(u32, u32, usize)> {
        let of = |(at, (ranges, _)): (usize, &(&'c Ranges, Vec<usize>))| {
            ranges.iter().map(move |(first, last)| (first, last, at)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.sets.iter().enumerate().flat_map(of).collect();
        all.sort_unstable();
        all
    }
}

/// Lists the classes with wanted verdicts that have destinations and ports in common, with those
/// destinations.
fn overlapping(
    before: &[Class],
    after: &[Class],
    wanted: fn(bool, bool) -> bool,
) -> Vec<(usize, usize, Ranges)> {
    let mut found = Vec::new();
    let pairs = [true, false].into_iter().flat_map(|a| [(a, true), (a, false)]);
    for (pass_a, pass_b) in pairs.filter(|(a, b)| wanted(*a, *b)) {
        let (a, b) = (ByDestinations::new(before, pass_a), ByDestinations::new(after, pass_b));
        for (of_a, of_b) in meeting(&a.ranges(), &b.ranges()) {
            let ((set_a, classes_a), (set_b, classes_b)) = (&a.sets[of_a], &b.sets[of_b]);
            let pairs = classes_a.iter().flat_map(|a| classes_b.iter().map(move |b| (*a, *b)));
            let mut pairs = pairs.filter(|(a, b)| meet(&before[*a].ports, &after[*b].ports));
            let Some(first) = pairs.next() else { continue };
            let both = set_a.intersection(set_b);
            found.extend(std::iter::once(first).chain(pairs).map(|(a, b)| (a, b, both.clone())));
        }
    }
    found
}

fn meet(a: &Ports, b: &Ports) -> bool {
    !a.0.intersection(&b.0).is_empty()
}

/// Lists the sets of either side that have an address in common. Ranges are ascending by their
/// first addresses.
fn meeting(a: &[(u32, u32, usize)], b: &[(u32, u32, usize)]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    // The ranges that begin before the next one and do not end before it: the last address, and the
    // set.
    let mut open_a: Vec<(u32, usize)> = Vec::new();
    let mut open_b: Vec<(u32, usize)> = Vec::new();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let is_a = match (a.peek(), b.peek()) {
            (Some(a), Some(b)) => a.0 <= b.0,
            (None, None) => return sorted(found),
            (one, _) => one.is_some(),
        };
        let Some((first, last, set)) = (if is_a { a.next() } else { b.next() }) else {
            return sorted(found);
        };
        open_a.retain(|(last, _)| last >= first);
        open_b.retain(|(last, _)| last >= first);
        if is_a {
            found.extend(open_b.iter().map(|(_, other)| (*set, *other)));
            open_a.push((*last, *set));
        } else {
            found.extend(open_a.iter().map(|(_, other)| (*other, *set)));
            open_b.push((*last, *set));
        }
    }
}

fn sorted(mut pairs: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}
