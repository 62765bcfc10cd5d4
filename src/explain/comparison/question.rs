//! The questions to compare: for services that both configurations have, everything that they may reach in either.

use super::super::reachability::{Asked, alike, asked, destinations, exempt_addresses};
use super::super::resolution::beyond_internet_gateways;
use crate::pipeline::reach::{
    self, Addresses, Answer, Answered, Changed, Class, Interrupted, Ports, Ranges, difference,
    difference_of_moved,
};
use crate::vpc::path::Attachment;
use crate::vpc::{ServiceIx, Snapshot};

/// Services that both configurations have, attached alike in each of them.
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

/// Compares what becomes of everything that a service may send.
pub(super) fn changes(
    before: &Snapshot,
    after: &Snapshot,
    pair: &Pair,
    goes_on: &mut dyn FnMut(&str) -> bool,
) -> Result<Changes, Interrupted> {
    // One side may have a host, or nothing, where the other has a public endpoint.
    let outside = (beyond_internet_gateways(before), beyond_internet_gateways(after));
    let both_internets = outside.0.union(&outside.1);
    let internet = outside.0.intersection(&outside.1);
    let own = |service, snapshot| {
        let exempt = exempt_addresses(service, snapshot).map(|(address, _)| (address, address));
        destinations(service, snapshot).union(&Ranges::new(exempt))
    };
    let interfaces = own(pair.before, before).union(&own(pair.after, after));
    // The lab's own public addresses differ; what one configuration has of them is no host in the other.
    let destinations = interfaces.difference(&both_internets).union(&internet);
    let everything = || (destinations.clone(), Ports::all());
    let before = asked(before, pair.before, Addresses::Open, everything(), goes_on)?;
    let after = asked(after, pair.after, Addresses::Open, everything(), goes_on)?;
    let changed = changed(&before, &after);
    Ok(Changes { before, after, changed })
}

/// Lists the packets that pass by one answer only. Attachments that one side has alone are compared with those that the other
/// side has alone; if that has none, with all of it.
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

/// Lists the attachments that an answer is about.
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
