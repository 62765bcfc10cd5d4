//! Rows of packets whose verdict changes.

use super::super::coverage::{PortSpan, Span, address_spans, port_spans};
use super::super::names::{self, DecidedBy};
use super::super::reachability::Known;
use super::merge::{Merged, merge};
use super::question::Changes;
use super::side::Sources;
use crate::pipeline::reach::{Changed, ChangedSide, Ports};
use crate::vpc::Snapshot;
use serde::Serialize;
use std::net::Ipv4Addr;

/// Packets that pass by one configuration only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeRow {
    /// The services, in the order of the configuration before.
    pub services: Vec<String>,
    /// `lost` if the packets passed before, `gained` if they pass after.
    pub change: &'static str,
    /// Their verdict before.
    pub before: SideOfChange,
    /// Their verdict after.
    pub after: SideOfChange,
    /// Their source, if it is not everything: subnets, source ports, addresses and ports of a NAT
    /// gateway.
    pub from: Vec<String>,
    /// The destinations, by name if they have one.
    pub names: Vec<String>,
    /// The destination addresses.
    pub destinations: Vec<Span<Ipv4Addr>>,
    /// The protocols with their destination ports.
    pub ports: Vec<PortSpan>,
    /// The protocols with their destination ports, to be shown.
    #[serde(skip)]
    pub(super) shown_ports: Ports,
}

impl ChangeRow {
    /// Decides whether two rows differ in nothing except the services.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let own = Self { services: other.services.clone(), ..self.clone() };
        own == *other
    }
}

/// The verdict by one of two configurations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideOfChange {
    /// `forward` or `drop`.
    pub verdict: &'static str,
    /// The reason why packets are dropped.
    pub reason: Option<&'static str>,
    /// The rule that admits or drops them.
    pub decided_by: Option<DecidedBy>,
}

/// Makes the rows of services with equal attachments.
pub(super) fn rows(services: &[String], changes: &Changes, known: &Known) -> Vec<ChangeRow> {
    let sources = Sources::new(changes);
    let sides: Vec<[SideOfChange; 2]> =
        changes.changed.iter().map(|changed| sides(changed, changes)).collect();
    let single = |(first, changed): (usize, &Changed)| Merged {
        verdicts: [sides[first][0].name(), sides[first][1].name()],
        others: sources.others(changed),
        attachments: sources.attachments(changed),
        destinations: changed.destinations.clone(),
        ports: changed.ports.clone(),
        first,
    };
    let mut merged = merge(changes.changed.iter().enumerate().map(single).collect());
    merged.sort_by_cached_key(|one| {
        let is_public = !one.destinations.intersection(&known.internet).is_empty();
        let to = (one.destinations.clone(), one.ports.clone());
        (is_public, to, one.attachments.clone(), one.others.clone())
    });
    let row = |one: Merged| {
        let mut from = sources.shown(&one.attachments);
        from.extend(one.others.iter().cloned());
        let own = sides[one.first].clone();
        row(services, one, own, from, known)
    };
    merged.into_iter().map(row).collect()
}

fn row(
    services: &[String],
    one: Merged,
    [before, after]: [SideOfChange; 2],
    from: Vec<String>,
    known: &Known,
) -> ChangeRow {
    ChangeRow {
        services: services.to_vec(),
        change: if before.reason.is_none() { "lost" } else { "gained" },
        before,
        after,
        from,
        names: known.words(&one.destinations),
        destinations: address_spans(&one.destinations),
        ports: port_spans(&one.ports),
        shown_ports: one.ports,
    }
}

fn sides(changed: &Changed, changes: &Changes) -> [SideOfChange; 2] {
    let before = side(&changed.before, &changes.before.snapshot);
    [before, side(&changed.after, &changes.after.snapshot)]
}

fn side(changed: &ChangedSide, snapshot: &Snapshot) -> SideOfChange {
    let rule = changed.denial.map(|denial| denial.decided_by).or(changed.admitted_by);
    SideOfChange {
        verdict: if changed.passes() { "forward" } else { "drop" },
        reason: changed.denial.map(|denial| denial.reason.name()),
        decided_by: rule.map(|rule| names::decided_by(rule, snapshot)),
    }
}

impl SideOfChange {
    fn name(&self) -> String {
        let rule = self.decided_by.as_ref().map(ToString::to_string);
        format!("{} {}", self.reason.unwrap_or_default(), rule.unwrap_or_default())
    }
}
