//! Finds ids for new objects in the lab file.

use crate::vpc::Snapshot;
use std::collections::BTreeSet;

/// Returns an id that no object in the lab has: this word, or the word with a number after it.
pub(super) fn free_id(snapshot: &Snapshot, word: &str) -> String {
    let taken = taken(snapshot);
    let numbered = (2..).map(|number: u32| format!("{word}-{number}"));
    let mut words = std::iter::once(word.to_owned()).chain(numbered);
    words.find(|word| !taken.contains(word)).unwrap_or_default()
}

/// Lists the ids of all kinds of objects that egret may add, and of those that must differ from
/// them.
fn taken(snapshot: &Snapshot) -> BTreeSet<&String> {
    let parts = snapshot.parts();
    let gateways = parts.vpcs.iter().filter_map(|vpc| Some(&vpc.internet_gateway.as_ref()?.id));
    let endpoints = parts.resources.iter().filter_map(|own| Some(&own.endpoint.as_ref()?.id));
    let interfaces =
        parts.resources.iter().filter_map(|own| Some(&own.network_interface.as_ref()?.id));
    gateways
        .chain(endpoints)
        .chain(interfaces)
        .chain(parts.gateway_endpoints.iter().map(|own| &own.id))
        .chain(parts.gateway_load_balancer_endpoints.iter().map(|own| &own.id))
        .chain(parts.nat_gateways.iter().map(|own| &own.id))
        .chain(parts.peerings.iter().map(|own| &own.id))
        .chain(parts.prefix_lists.iter().map(|own| &own.id))
        .chain(parts.security_groups.iter().map(|own| &own.id))
        .chain(parts.route_tables.iter().map(|own| &own.id))
        .collect()
}
