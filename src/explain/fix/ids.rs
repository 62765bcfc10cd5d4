//! Ids for what is new in the lab file.

use crate::vpc::Snapshot;
use std::collections::BTreeSet;

/// Returns a word that nothing in the lab is called by: this one, or with a number behind it.
pub(super) fn free_id(snapshot: &Snapshot, word: &str) -> String {
    let taken = taken(snapshot);
    let numbered = (2..).map(|number: u32| format!("{word}-{number}"));
    let mut words = std::iter::once(word.to_owned()).chain(numbered);
    words.find(|word| !taken.contains(word)).unwrap_or_default()
}

/// Lists the ids of all that egret may add, and of what may not have the same.
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
