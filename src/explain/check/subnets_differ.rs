//! `subnets-differ`: a destination is reached from one subnet of a connector and not from another.

use super::super::names::{decided_by, subnet_id};
use super::reasons::{is_found_elsewhere, is_of_protocol};
use super::view::{Subject, View};
use crate::config::LabFinding;
use crate::pipeline::reach::{Ports, Ranges, Region};
use crate::pipeline::{Denial, Reason};
use crate::vpc::SubnetIx;
use std::collections::{BTreeMap, BTreeSet};

/// Destinations and ports that one subnet reaches and another does not.
pub(super) struct Difference {
    /// The subnets that reach them.
    pub(super) reaching: BTreeSet<SubnetIx>,
    /// One that does not.
    pub(super) failing: SubnetIx,
    /// Why it does not.
    pub(super) denial: Denial,
    destinations: Ranges,
    ports: Ports,
}

/// Finds where the subnets of a connector differ.
pub(super) fn find(subject: &Subject<'_>) -> Option<LabFinding> {
    let found = merged(differences(subject.view));
    let first = found.first()?;
    let snapshot = subject.view.snapshot();
    let (failing, rule) =
        (subnet_id(snapshot, first.failing), decided_by(first.denial.decided_by, snapshot));
    let reaching: Vec<String> =
        first.reaching.iter().map(|own| format!("{:?}", subnet_id(snapshot, *own))).collect();
    let others = match found.len() - 1 {
        0 => String::new(),
        1 => "; and 1 more difference".to_owned(),
        more => format!("; and {more} more differences"),
    };
    let message = format!(
        "{} reaches {} from {} and not from {failing:?}: {rule} ({}){others}",
        subject.title(),
        subject.view.named(&first.destinations, &first.ports),
        reaching.join(", "),
        first.denial.reason,
    );
    let help = format!(
        "give its subnets routes, network ACLs and rules alike, or take {failing:?} out of it: AWS chooses the subnet of \
         each task"
    );
    Some(subject.warning("subnets-differ", subject.span_of_subnet(failing), (message, help)))
}

/// Lists the differences, those of interfaces before those of the internet.
pub(super) fn differences(view: &View) -> Vec<Difference> {
    let mut found: Vec<Difference> =
        view.regions.iter().flat_map(|region| of_region(view, region)).collect();
    found.sort_by_cached_key(|own| {
        (!view.has_interface(&own.destinations), own.destinations.clone(), own.ports.clone())
    });
    found
}

fn of_region(view: &View, region: &Region) -> Vec<Difference> {
    let mut reaching = BTreeSet::new();
    let mut failing: BTreeMap<SubnetIx, Denial> = BTreeMap::new();
    for class in view.classes_of(region) {
        match class.denial {
            None => reaching.extend(view.subnets_of(class)),
            Some(denial) => {
                for subnet in view.subnets_of(class) {
                    failing.entry(subnet).or_insert(denial);
                }
            }
        }
    }
    failing.retain(|subnet, denial| !reaching.contains(subnet) && counts(denial.reason));
    if reaching.is_empty() || failing.is_empty() {
        return Vec::new();
    }
    let destinations = view.heard(&region.destinations, &region.ports);
    if destinations.is_empty() {
        return Vec::new();
    }
    let difference = |(failing, denial)| Difference {
        reaching: reaching.clone(),
        failing,
        denial,
        destinations: destinations.clone(),
        ports: region.ports.clone(),
    };
    failing.into_iter().map(difference).collect()
}

/// Decides whether the reason for a drop is one that only this finding is about.
pub(super) const fn counts(reason: Reason) -> bool {
    !is_of_protocol(reason) && !is_found_elsewhere(reason)
}

/// Joins differences between the same subnets that one rule decides.
fn merged(all: Vec<Difference>) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for one in all {
        let is_like = |own: &&mut Difference| {
            (&own.reaching, own.failing, own.denial) == (&one.reaching, one.failing, one.denial)
        };
        match found.iter_mut().find(is_like) {
            Some(own) if own.ports == one.ports => {
                own.destinations = own.destinations.union(&one.destinations);
            }
            Some(own) if own.destinations == one.destinations => {
                own.ports = own.ports.union(&one.ports);
            }
            Some(_) => {}
            None => found.push(one),
        }
    }
    found
}
