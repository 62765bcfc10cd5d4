//! Makes the questions to compare: for services that both configurations have, all destinations
//! that they may reach in either.

use super::super::reachability::{Asked, alike, asked, destinations, exempt_addresses};
use super::super::resolution::{internet, internet_hosts, public_endpoints};
use crate::pipeline::reach::{
    self, Addresses, Answer, Answered, Changed, Class, Interrupted, Ports, Ranges, difference,
    difference_of_moved,
};
use crate::pipeline::{Denial, Reason};
use crate::vpc::path::Attachment;
use crate::vpc::{RuleRef, ServiceIx, Snapshot};

/// Services that both configurations have, with equal attachments in each of them.
pub(super) struct Pair {
    /// One that stands for all, in the configuration before.
    pub(super) before: ServiceIx,
    /// The same service in the configuration after.
    pub(super) after: ServiceIx,
    pub(super) names: Vec<String>,
}

/// The packets of a service whose verdict changes, with both answers.
pub(super) struct Changes {
    pub(super) before: Asked,
    pub(super) after: Asked,
    pub(super) changed: Vec<Changed>,
}

/// Lists the services that both configurations have.
pub(super) fn pairs(before: &Snapshot, after: &Snapshot) -> Vec<Pair> {
    let groups = |snapshot: &Snapshot| {
        let all: Vec<ServiceIx> =
            (0..snapshot.parts().services.len()).map(ServiceIx::from).collect();
        alike(&all, snapshot, Addresses::Open)
    };
    let others = groups(after);
    let mut found = Vec::new();
    for own in groups(before) {
        for other in &others {
            let is_common = |name: &&String| other.names.contains(name);
            let names: Vec<String> = own.names.iter().filter(is_common).cloned().collect();
            if !names.is_empty() {
                found.push(Pair { before: own.first, after: other.first, names });
            }
        }
    }
    found
}

/// Compares the verdicts on all packets that a service may send.
pub(super) fn changes(
    before: &Snapshot,
    after: &Snapshot,
    pair: &Pair,
    goes_on: &mut dyn FnMut(&str) -> bool,
) -> Result<Changes, Interrupted> {
    let destinations = all_destinations(before, after, pair);
    let endpoints = public_endpoints(before).union(&public_endpoints(after));
    let mut side = |snapshot, service| {
        let everything = (destinations.clone(), Ports::all());
        let mut asked = asked(snapshot, service, Addresses::Open, everything, goes_on)?;
        let hosts = public_endpoints(snapshot).union(&internet_hosts(snapshot));
        let missing = endpoints.difference(&hosts).intersection(&internet(snapshot));
        asked.answer.classes = not_reached(asked.answer.classes, &missing);
        Ok(asked)
    };
    let (before, after) = (side(before, pair.before)?, side(after, pair.after)?);
    let changed = changed(&before, &after);
    Ok(Changes { before, after, changed })
}

/// Returns the interfaces that a service may reach in either configuration, the public endpoints of
/// both, the services that AWS itself provides, and the internet of both: other public addresses of
/// one lab are not hosts of the other.
fn all_destinations(before: &Snapshot, after: &Snapshot, pair: &Pair) -> Ranges {
    let outside = (internet(before), internet(after));
    let own = |service, snapshot| {
        let exempt = exempt_addresses(service, snapshot).map(|(address, _)| (address, address));
        let all = destinations(service, snapshot).union(&Ranges::new(exempt));
        (all.difference(&outside.0.union(&outside.1)), public_endpoints(snapshot))
    };
    let (before, after) = (own(pair.before, before), own(pair.after, after));
    let interfaces = before.0.union(&after.0).union(&before.1).union(&after.1);
    interfaces.union(&outside.0.intersection(&outside.1))
}

/// Marks packets to these addresses as dropped: the addresses are public endpoints in the other
/// configuration, and in this one the internet has no host there.
fn not_reached(classes: Vec<Class>, missing: &Ranges) -> Vec<Class> {
    let denial = Denial { reason: Reason::NoSuchInternetHost, decided_by: RuleRef::Internet };
    let split = |class: Class| {
        let lost = class.destinations.intersection(missing);
        if !class.passes() || lost.is_empty() {
            return [Some(class), None];
        }
        let rest = class.destinations.difference(&lost);
        let kept = Class { destinations: rest, ..class.clone() };
        let dropped = Class { destinations: lost, denial: Some(denial), ..class };
        [Some(kept).filter(|kept| !kept.destinations.is_empty()), Some(dropped)]
    };
    classes.into_iter().flat_map(split).flatten().collect()
}

/// Lists the packets that pass by one answer only. Attachments that only one side has are compared
/// with those that only the other side has; if it has none of its own, with all of them.
fn changed(before: &Asked, after: &Asked) -> Vec<Changed> {
    let found = difference(answered(before), answered(after));
    let mut changed = found.changes;
    if found.only_before.is_empty() && found.only_after.is_empty() {
        return changed;
    }
    let moved = |asked: &Asked, alone: Vec<Attachment>| {
        let wanted = if alone.is_empty() { attachments(&asked.answer) } else { alone };
        Answer { classes: one_each(&asked.answer.classes, &wanted), ..asked.answer.clone() }
    };
    let (a, b) = (moved(before, found.only_before), moved(after, found.only_after));
    changed.extend(difference_of_moved(
        Answered { snapshot: &before.snapshot, answer: &a },
        Answered { snapshot: &after.snapshot, answer: &b },
    ));
    changed
}

fn answered(asked: &Asked) -> Answered<'_> {
    Answered { snapshot: &asked.snapshot, answer: &asked.answer }
}

pub(super) fn attachments(answer: &reach::Answer) -> Vec<Attachment> {
    let mut all: Vec<Attachment> = Vec::new();
    for at in answer.classes.iter().flat_map(|class| &class.attachments) {
        if !all.contains(at) {
            all.push(*at);
        }
    }
    all
}

/// Splits classes by attachment, and keeps those of wanted ones.
fn one_each(classes: &[Class], wanted: &[Attachment]) -> Vec<Class> {
    let of = |class: &Class| {
        let own = class.attachments.iter().filter(|at| wanted.contains(at)).copied();
        let one = |at| Class { attachments: vec![at], ..class.clone() };
        own.map(one).collect::<Vec<_>>()
    };
    classes.iter().flat_map(of).collect()
}
