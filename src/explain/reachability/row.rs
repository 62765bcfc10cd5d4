//! Makes rows of the destinations that a service reaches: regions with the same verdict, rules and
//! paths.

use super::super::asking::AskError;
use super::super::coverage::{PortSpan, Span, address_spans, port_spans};
use super::super::names::{self, DecidedBy};
use super::alike::Alike;
use super::known::Known;
use super::path::path;
use super::question::{asked, destinations};
use crate::pipeline::reach::{Addresses, Class, Interrupted, Ports, Ranges, Region, regions};
use crate::vpc::Snapshot;
use serde::Serialize;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Destinations and ports with one verdict, the same deciding rules and the same paths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReachRow {
    /// The services, which have equal attachments.
    pub services: Vec<String>,
    /// `forward`, `mixed` or `drop`.
    pub verdict: &'static str,
    /// The part of the packets to one destination and port that pass, from 0 to 1.
    pub share: f64,
    /// The reasons why packets are dropped; empty if all pass.
    pub reasons: Vec<&'static str>,
    /// The rules that admit the packets; in a list of drops, those that drop them.
    pub decided_by: Vec<DecidedBy>,
    /// The paths of those that pass: gateways, middleboxes and peering connections in order, or
    /// `local`.
    pub paths: Vec<Vec<String>>,
    /// The destinations, by name if they have one: `db (10.0.1.20)`, `internet`, a block.
    pub names: Vec<String>,
    /// The destination addresses.
    pub destinations: Vec<Span<Ipv4Addr>>,
    /// The protocols with their destination ports.
    pub ports: Vec<PortSpan>,
    /// The protocols with their destination ports, to be shown.
    #[serde(skip)]
    pub(super) shown_ports: Ports,
}

#[cfg(test)]
impl ReachRow {
    pub(in crate::explain) fn shown_ports(&self) -> &Ports {
        &self.shown_ports
    }
}

/// Makes the rows of a service: of the packets that pass, or of those that are dropped.
pub(super) fn rows(
    snapshot: &Snapshot,
    alike: &Alike,
    addresses: Addresses,
    drops: bool,
    goes_on: &mut dyn FnMut(&str) -> bool,
) -> Result<Vec<ReachRow>, AskError> {
    let everything = (destinations(alike.first, snapshot), Ports::all());
    let asked = asked(snapshot, alike.first, addresses, everything, goes_on)?;
    let known = Known::new(alike.first, snapshot);
    let of_classes: Vec<OfClass> =
        asked.answer.classes.iter().map(|class| OfClass::new(class, &asked.snapshot)).collect();
    let wanted = |region: &Region| {
        let key = Key::new(region, &of_classes, drops);
        let is_wanted = if drops { !key.reasons.is_empty() } else { key.passes() };
        is_wanted.then(|| (key, region.destinations.clone(), region.ports.clone()))
    };
    let name = alike.names.first().map_or("", String::as_str);
    let mut goes_on = || goes_on(name);
    let regions = regions(&asked.answer.classes, &mut goes_on)?;
    let mut found = merged(regions.iter().filter_map(wanted), &mut goes_on)?;
    found.sort_by_cached_key(|(_, destinations, ports)| {
        let is_public = !destinations.intersection(&known.internet).is_empty();
        (is_public, destinations.clone(), ports.clone())
    });
    Ok(found.into_iter().map(|all| row(alike, all, &of_classes, &known)).collect())
}

/// The values of a class in a row.
struct OfClass {
    rule: Option<DecidedBy>,
    rule_text: String,
    reason: Option<&'static str>,
    path: Vec<String>,
}

impl OfClass {
    fn new(class: &Class, snapshot: &Snapshot) -> Self {
        let rule = class.denial.map(|denial| denial.decided_by).or(class.admitted_by);
        let rule = rule.map(|rule| names::decided_by(rule, snapshot));
        Self {
            rule_text: rule.as_ref().map(ToString::to_string).unwrap_or_default(),
            rule,
            reason: class.denial.map(|denial| denial.reason.name()),
            path: if class.passes() { path(&class.sample, snapshot) } else { Vec::new() },
        }
    }
}

/// The values that the regions of a row have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The share of packets that pass, in millionths; all and nothing are exact.
    share: u32,
    reasons: Vec<&'static str>,
    /// The names of the deciding rules, with the position of a class that each decides.
    rules: Vec<(String, usize)>,
    paths: Vec<Vec<String>>,
}

/// The whole share.
const WHOLE: u32 = 1_000_000;

impl Key {
    fn new(region: &Region, of_classes: &[OfClass], drops: bool) -> Self {
        let own = || region.classes.iter().filter_map(|at| Some((*at, of_classes.get(*at)?)));
        let passing = || own().filter(|(_, class)| class.reason.is_none());
        let failing = || own().filter(|(_, class)| class.reason.is_some());
        let share = match (passing().next(), failing().next()) {
            (_, None) => WHOLE,
            (None, _) => 0,
            (Some(_), Some(_)) => millionths(region.passing_share),
        };
        let rules = own().filter(|(_, class)| class.reason.is_some() == drops);
        Self {
            share,
            reasons: unique(failing().filter_map(|(_, class)| class.reason)),
            rules: first_of_each(rules.map(|(at, class)| (class.rule_text.clone(), at))),
            paths: unique(passing().map(|(_, class)| class.path.clone())),
        }
    }

    fn passes(&self) -> bool {
        !self.paths.is_empty()
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
fn millionths(share: f64) -> u32 {
    (share * f64::from(WHOLE)).round().clamp(1.0, f64::from(WHOLE - 1)) as u32
}

fn unique<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Sorts rules by name, each with the first class that it decides.
fn first_of_each(rules: impl Iterator<Item = (String, usize)>) -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = rules.collect();
    all.sort_unstable();
    all.dedup_by(|(name, _), (before, _)| name == before);
    all
}

/// The number of regions after which the caller is asked.
const STEPS: usize = 64;

type Merged = (Key, Ranges, Ports);

/// Merges regions with one key: first those with the same ports, then those with the same
/// destinations.
fn merged(
    regions: impl Iterator<Item = Merged>,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Merged>, Interrupted> {
    let mut by_ports: HashMap<(KeyByName, Ports), (Key, Vec<Ranges>)> = HashMap::new();
    for (number, (key, destinations, ports)) in regions.enumerate() {
        if number.is_multiple_of(STEPS) && !goes_on() {
            return Err(Interrupted);
        }
        let known = by_ports.entry((key.by_name(), ports));
        known.or_insert_with(|| (key, Vec::new())).1.push(destinations);
    }
    let mut by_destinations: HashMap<(KeyByName, Ranges), (Key, Ports)> = HashMap::new();
    for ((name, ports), (key, all)) in by_ports {
        let destinations = Ranges::new(all.iter().flat_map(Ranges::iter));
        let known = by_destinations.entry((name, destinations));
        let (first, union) = known.or_insert_with(|| (key.clone(), Ports::new([])));
        *union = union.union(&ports);
        // Among rules with one name, the class that comes first in the answer represents all.
        if key.rules < first.rules {
            *first = key;
        }
    }
    Ok(by_destinations.into_iter().map(|((_, to), (key, ports))| (key, to, ports)).collect())
}

/// A key without the classes.
type KeyByName = (u32, Vec<&'static str>, Vec<String>, Vec<Vec<String>>);

impl Key {
    fn by_name(&self) -> KeyByName {
        let rules = self.rules.iter().map(|(name, _)| name.clone()).collect();
        (self.share, self.reasons.clone(), rules, self.paths.clone())
    }
}

fn row(
    alike: &Alike,
    (key, destinations, ports): Merged,
    of_classes: &[OfClass],
    known: &Known,
) -> ReachRow {
    let rules = key.rules.iter().filter_map(|(_, at)| of_classes.get(*at)?.rule.clone());
    ReachRow {
        services: alike.names.clone(),
        verdict: match key.share {
            0 => "drop",
            WHOLE => "forward",
            _ => "mixed",
        },
        share: f64::from(key.share) / f64::from(WHOLE),
        decided_by: rules.collect(),
        reasons: key.reasons,
        paths: key.paths,
        names: known.words(&destinations),
        destinations: address_spans(&destinations),
        ports: port_spans(&ports),
        shown_ports: ports,
    }
}
