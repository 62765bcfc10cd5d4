//! The ids that an expectation may name, and the check that they are on a path.

use crate::explain::explained::NAME_NOT_RESOLVED;
use crate::explain::names;
use crate::pipeline::reach::{Class, Ranges};
use crate::pipeline::{Component, Reason};
use crate::vpc::Snapshot;

/// Lists the ids of objects that can be on a path: gateways, endpoints, peering connections and
/// appliances' interfaces.
pub(super) fn on_paths(snapshot: &Snapshot) -> Vec<&str> {
    let parts = snapshot.parts();
    let gateways = parts.vpcs.iter().filter_map(|vpc| vpc.internet_gateway.as_ref());
    let endpoints = parts.resources.iter().filter_map(|resource| resource.endpoint.as_ref());
    let interfaces = parts.resources.iter().filter_map(|r| r.network_interface.as_ref());
    let middleboxes = &parts.gateway_load_balancer_endpoints;
    let ids = parts.nat_gateways.iter().map(|gateway| &gateway.id);
    let ids = ids.chain(gateways.map(|gateway| &gateway.id));
    let ids = ids.chain(parts.gateway_endpoints.iter().map(|endpoint| &endpoint.id));
    let ids = ids.chain(endpoints.map(|endpoint| &endpoint.id));
    let ids = ids.chain(middleboxes.iter().map(|endpoint| &endpoint.id));
    let ids = ids.chain(parts.peerings.iter().map(|peering| &peering.id));
    unique(ids.chain(interfaces.map(|interface| &interface.id)).map(String::as_str))
}

/// Lists the ids of objects that can decide.
pub(super) fn deciding(snapshot: &Snapshot) -> Vec<&str> {
    let parts = snapshot.parts();
    let ids = parts.security_groups.iter().map(|group| &group.id);
    let ids = ids.chain(parts.network_acls.iter().map(|acl| &acl.id));
    let ids = ids.chain(parts.route_tables.iter().map(|table| &table.id));
    let ids = ids.chain(parts.vpcs.iter().map(|vpc| &vpc.id));
    let ids = ids.chain(parts.enis.iter().map(|eni| &eni.id)).map(String::as_str);
    unique(ids.chain(on_paths(snapshot)))
}

/// Lists the names of drop reasons.
pub(super) fn reasons() -> Vec<&'static str> {
    Reason::ALL.iter().map(|reason| reason.name()).chain([NAME_NOT_RESOLVED]).collect()
}

/// Decides whether all packets of a class that passes go through the object with an id.
pub(super) fn is_on_path(class: &Class, id: &str, snapshot: &Snapshot) -> bool {
    class.sample.steps.iter().any(|step| match step.component {
        Component::NetworkInterface(ix) => {
            let interface = snapshot.resource(ix).network_interface.as_ref();
            interface.is_some_and(|interface| interface.id == id)
        }
        Component::Resource(ix) => {
            let endpoint = snapshot.resource(ix).endpoint.as_ref();
            endpoint.is_some_and(|endpoint| endpoint.id == id) && is_endpoint(class, id, snapshot)
        }
        Component::NatGateway(_)
        | Component::InternetGateway(_)
        | Component::GatewayEndpoint(_)
        | Component::GatewayLoadBalancerEndpoint(_)
        | Component::Peering(_) => names::component(step.component, snapshot) == id,
        Component::Task(_)
        | Component::Service(_)
        | Component::Eni(_)
        | Component::AppRunner
        | Component::NetworkAcl(..)
        | Component::RouteTable(..)
        | Component::Vpc(_)
        | Component::Internet => false,
    })
}

/// Decides whether an interface endpoint has all destinations of a class. Interfaces with the same
/// groups are in one class, of which the steps show one alone.
fn is_endpoint(class: &Class, id: &str, snapshot: &Snapshot) -> bool {
    let of_endpoint =
        snapshot.parts().resources.iter().filter(|resource| {
            resource.endpoint.as_ref().is_some_and(|endpoint| endpoint.id == id)
        });
    let addresses = of_endpoint.map(|resource| resource.address.to_bits());
    let own = Ranges::new(addresses.map(|address| (address, address)));
    class.destinations.difference(&own).is_empty()
}

fn unique<'s>(ids: impl Iterator<Item = &'s str>) -> Vec<&'s str> {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
