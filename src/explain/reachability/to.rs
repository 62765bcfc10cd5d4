//! Answers which services reach a destination, and by which rule.

use super::super::asking::{AskError, vpc_of};
use super::super::destination::{Destination, DestinationSpec};
use super::super::explained::{NAME_NOT_RESOLVED, no_host_at};
use super::super::names::{self, DecidedBy};
use super::super::resolution::{Found, Resolution, resolve, without_host};
use super::super::target::TargetError;
use super::alike::Alike;
use super::path::path;
use super::question::asked;
use crate::pipeline::reach::{Addresses, Class, Ranges, SetVerdict};
use crate::vpc::Snapshot;
use serde::Serialize;
use std::net::Ipv4Addr;

/// The result for services and one destination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReacherRow {
    /// The services, which have equal attachments.
    pub services: Vec<String>,
    /// `all`, `part` or `none` of the packets that the question leaves open.
    pub reaches: &'static str,
    /// The part that passes, from 0 to 1.
    pub share: f64,
    /// The reasons why packets are dropped; empty if all pass.
    pub reasons: Vec<&'static str>,
    /// The rules that drop packets; those that admit them if all pass.
    pub decided_by: Vec<DecidedBy>,
    /// The paths of those that pass.
    pub paths: Vec<Vec<String>>,
}

/// Makes the row of services with equal attachments, for a destination.
pub(super) fn row(
    snapshot: &Snapshot,
    alike: &Alike,
    destination: &str,
    addresses: Addresses,
    goes_on: &mut dyn FnMut(&str) -> bool,
) -> Result<ReacherRow, AskError> {
    let parsed = Destination::parse(destination, None)?;
    let found = match resolve(&parsed, vpc_of(alike.first, snapshot), snapshot)? {
        Resolution::Found(found) => found,
        Resolution::NotResolved { .. } => return Ok(not_resolved(alike)),
    };
    let Found { destinations, ports, .. } = found;
    if destinations.is_empty() {
        return Err(TargetError::NoAddress(destination.to_owned()).into());
    }
    let asked = asked(snapshot, alike.first, addresses, (destinations, ports), goes_on)?;
    let counted: Vec<&Class> = asked.answer.classes.iter().filter(|c| c.counts).collect();
    Ok(of_classes(alike, asked.answer.verdict, &counted, &asked.snapshot))
}

/// Returns a note that packets of services pass to one address where the lab has no host.
pub(super) fn missing_host_note(
    snapshot: &Snapshot,
    destination: &str,
    rows: &[ReacherRow],
) -> Option<String> {
    let Destination { place: DestinationSpec::Named(word), .. } =
        Destination::parse(destination, None).ok()?
    else {
        return None;
    };
    let address = word.parse::<Ipv4Addr>().ok()?.to_bits();
    let is_missing = !without_host(&Ranges::of(address, address), snapshot).is_empty();
    let passes = rows.iter().any(|row| row.reaches != "none");
    (is_missing && passes).then(|| no_host_at(&word))
}

/// Returns a note with the public address of the resource that a destination names: the rows are
/// about its private address alone.
pub(super) fn public_address_note(snapshot: &Snapshot, destination: &str) -> Option<String> {
    let Destination { place: DestinationSpec::Named(word), .. } =
        Destination::parse(destination, None).ok()?
    else {
        return None;
    };
    let named = snapshot.parts().resources.iter().filter(|resource| resource.name == word);
    let public = named.filter_map(|resource| resource.public_address).next()?;
    Some(format!(
        "{word} also has the public address {public}; these rows are about its private address: ask with --to {public}"
    ))
}

fn not_resolved(alike: &Alike) -> ReacherRow {
    ReacherRow {
        services: alike.names.clone(),
        reaches: "none",
        share: 0.0,
        reasons: vec![NAME_NOT_RESOLVED],
        decided_by: Vec::new(),
        paths: Vec::new(),
    }
}

fn of_classes(
    alike: &Alike,
    verdict: SetVerdict,
    classes: &[&Class],
    snapshot: &Snapshot,
) -> ReacherRow {
    let passing = || classes.iter().filter(|class| class.passes());
    let ratio = |class: &&&Class| class.share.ratio();
    let (passed, all): (f64, f64) =
        (passing().map(|c| ratio(&c)).sum(), classes.iter().map(|c| ratio(&c)).sum());
    let deciding = classes.iter().filter(|class| {
        let admits = verdict == SetVerdict::Forward;
        class.passes() == admits
    });
    let rule = |class: &&Class| {
        let rule = class.denial.map(|denial| denial.decided_by).or(class.admitted_by)?;
        Some(names::decided_by(rule, snapshot))
    };
    let mut decided_by: Vec<DecidedBy> = Vec::new();
    for rule in deciding.filter_map(rule) {
        if !decided_by.contains(&rule) {
            decided_by.push(rule);
        }
    }
    let (reaches, share) = match verdict {
        SetVerdict::Forward => ("all", 1.0),
        SetVerdict::Mixed => ("part", passed / all),
        SetVerdict::Drop => ("none", 0.0),
    };
    let mut paths: Vec<Vec<String>> = passing().map(|c| path(&c.sample, snapshot)).collect();
    paths.sort_unstable();
    paths.dedup();
    let reasons = classes.iter().filter_map(|class| Some(class.denial?.reason.name()));
    let mut reasons: Vec<&'static str> = reasons.collect();
    reasons.sort_unstable();
    reasons.dedup();
    ReacherRow { services: alike.names.clone(), reaches, share, reasons, decided_by, paths }
}
