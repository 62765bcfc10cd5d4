//! Compares names that the services' resolvers answer with other addresses under another
//! configuration.

use super::super::asking::vpc_of;
use super::super::destination_names::{Unresolved, addresses_of_name, given_names};
use super::question::Pair;
use crate::vpc::{Snapshot, VpcIx};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// Names with the same addresses before and with the same others after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NameRow {
    /// The services whose resolver is used, in the order of the configuration before.
    pub services: Vec<String>,
    /// `lost` if the names resolve before only, `gained` if after only, `moved` if both times.
    pub change: &'static str,
    /// The names, in lower case; `*.` stands for every label.
    pub names: Vec<String>,
    /// Their addresses before.
    pub before: Resolved,
    /// Their addresses after.
    pub after: Resolved,
}

/// The answer of a resolver by one of two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Resolved {
    /// The addresses, in ascending order.
    pub addresses: Vec<Ipv4Addr>,
    /// The reason why there are none.
    pub reason: Option<Unresolved>,
}

/// Compares the addresses of every name in either configuration.
pub(super) fn rows(before: &Snapshot, after: &Snapshot, pairs: &[Pair]) -> Vec<NameRow> {
    let names: BTreeSet<String> = given_names(before).chain(given_names(after)).collect();
    let mut rows: Vec<NameRow> = Vec::new();
    let mut known = HashMap::new();
    for (vpcs, services) in views(before, after, pairs) {
        for (names, [before, after]) in changes([before, after], vpcs, &names) {
            let key = (names.clone(), before.clone(), after.clone());
            let at = *known.entry(key).or_insert(rows.len());
            match rows.get_mut(at) {
                Some(row) => row.services.extend(services.iter().cloned()),
                None => rows.push(row(services.clone(), names, before, after)),
            }
        }
    }
    rows
}

/// Lists the VPCs whose resolvers are used before and after, with the services that use them.
fn views(before: &Snapshot, after: &Snapshot, pairs: &[Pair]) -> Vec<(Vpcs, Vec<String>)> {
    let mut views: Vec<(Vpcs, Vec<String>)> = Vec::new();
    let mut known = HashMap::new();
    for pair in pairs {
        let vpcs = [vpc_of(pair.before, before), vpc_of(pair.after, after)];
        let at = *known.entry(vpcs).or_insert(views.len());
        match views.get_mut(at) {
            Some((_, services)) => services.extend(pair.names.iter().cloned()),
            None => views.push((vpcs, pair.names.clone())),
        }
    }
    views
}

/// The VPC whose resolver is used before, and that after; `None` is App Runner's own.
type Vpcs = [Option<VpcIx>; 2];

/// Lists the names that resolve to other addresses, those with equal changes together.
fn changes(
    [before, after]: [&Snapshot; 2],
    vpcs: Vpcs,
    names: &BTreeSet<String>,
) -> Vec<(Vec<String>, [Resolved; 2])> {
    let mut found: Vec<(Vec<String>, [Resolved; 2])> = Vec::new();
    let mut known = HashMap::new();
    for name in names {
        let sides = [resolved(name, vpcs[0], before), resolved(name, vpcs[1], after)];
        if sides[0].addresses == sides[1].addresses {
            continue;
        }
        let at = *known.entry(sides.clone()).or_insert(found.len());
        match found.get_mut(at) {
            Some((names, _)) => names.push(name.clone()),
            None => found.push((vec![name.clone()], sides)),
        }
    }
    found
}

fn resolved(name: &str, vpc: Option<VpcIx>, snapshot: &Snapshot) -> Resolved {
    match addresses_of_name(name, vpc, snapshot) {
        Ok(mut addresses) => {
            addresses.sort();
            Resolved { addresses, reason: None }
        }
        Err(reason) => Resolved { addresses: Vec::new(), reason: Some(reason) },
    }
}

fn row(services: Vec<String>, names: Vec<String>, before: Resolved, after: Resolved) -> NameRow {
    let change = match (before.reason, after.reason) {
        (None, Some(_)) => "lost",
        (Some(_), None) => "gained",
        (None, None) | (Some(_), Some(_)) => "moved",
    };
    NameRow { services, change, names, before, after }
}
