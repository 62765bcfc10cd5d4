//! Checks gateway endpoints: the tables that they add their route to, and the routes that may name
//! them (spec 7.1).

use super::wrong_vpc::wrong_vpc;
use crate::config::address::overlap;
use crate::config::diagnostic::{At, Report};
use crate::config::spec::{
    Destination, EndpointKind, Route, RouteTable, Spec, Target, VpcEndpoint,
};
use crate::config::text::private_blocks;
use std::collections::HashMap;

pub(super) fn check(spec: &Spec, report: &Report) {
    // From (table, list) to the endpoint that adds the route.
    let mut added: HashMap<(&str, &str), &VpcEndpoint> = HashMap::new();
    for endpoint in &spec.vpc_endpoints {
        if endpoint.kind == EndpointKind::Gateway {
            public_addresses(spec, endpoint, report);
        }
        for id in &endpoint.route_tables {
            let Some(table) = spec.route_tables.iter().find(|t| *t.id == **id) else { continue };
            match endpoint.kind {
                EndpointKind::Gateway => {}
                EndpointKind::Interface => {
                    not_for_interfaces(id, report);
                    continue;
                }
                // Reported with the other keys that such an endpoint does not have.
                EndpointKind::GatewayLoadBalancer => continue,
            }
            if *table.vpc != *endpoint.vpc {
                wrong_vpc((spec, report), "route table", id, &table.vpc, &endpoint.vpc);
            }
            let Some(list) = &endpoint.prefix_list else { continue };
            if let Some(other) = added.insert((&table.id, list), endpoint) {
                let owner = format!("{:?} adds it", other.id.value);
                already_there(id, list, &owner, report);
            }
            written_otherwise(endpoint, id, table, report);
        }
    }
}

/// Checks that the services behind a gateway endpoint have public addresses. A private address is a
/// task's, the VPC's own or a peer's, and must not be sent to the service.
fn public_addresses(spec: &Spec, endpoint: &VpcEndpoint, report: &Report) {
    let Some(id) = &endpoint.prefix_list else { return };
    let Some(list) = spec.prefix_lists.iter().find(|list| *list.id == **id) else { return };
    let own = spec.vpc(&endpoint.vpc).map_or(&[][..], |vpc| &vpc.cidrs);
    let taken = own
        .iter()
        .map(|block| (**block, format!("VPC {:?}", endpoint.vpc.value)))
        .chain([(*spec.task_cidr, "the tasks' addresses, task_cidr".to_owned())])
        .chain(private_blocks().map(|block| (block, "private addresses".to_owned())))
        .collect::<Vec<_>>();
    for entry in &list.entries {
        let Some((block, whose)) = taken.iter().find(|(block, _)| overlap(*entry, *block)) else {
            continue;
        };
        report.error(
            id.span,
            "endpoint-not-public",
            format!("{entry} of prefix list {:?} overlaps {block}, {whose}", id.value),
            "the service of a gateway endpoint has public addresses: leave that entry out of its list",
        );
    }
}

fn not_for_interfaces(id: &At<String>, report: &Report) {
    report.error(
        id.span,
        "not-a-route-target",
        "an interface endpoint adds no route to any table",
        "remove route_tables: tasks reach it by its address",
    );
}

/// Reports a route for the same list that the file has and that is not the endpoint's own.
fn written_otherwise(endpoint: &VpcEndpoint, id: &At<String>, table: &RouteTable, report: &Report) {
    let Some(list) = &endpoint.prefix_list else { return };
    let written = table
        .routes
        .iter()
        .find(|r| r.destination.value == Destination::PrefixList(list.value.clone()));
    if let Some(route) = written.filter(|r| !is_to(r, &endpoint.id)) {
        already_there(id, list, &format!("line {}", route.line), report);
    }
}

fn is_to(route: &Route, endpoint: &str) -> bool {
    matches!(&route.target.value, Target::VpcEndpoint(id) if id == endpoint)
}

fn already_there(id: &At<String>, list: &At<String>, place: &str, report: &Report) {
    report.error(
        id.span,
        "route-already-exists",
        format!("{:?} has a route for {:?} already: {place}", id.value, list.value),
        "a route table has one route for each service: associate one endpoint with it",
    );
}

/// Checks that a route to a gateway endpoint is for its prefix list: AWS adds that route by itself,
/// and none for another destination.
pub(super) fn route(route: &Route, endpoint: &VpcEndpoint, report: &Report) {
    let Some(list) = &endpoint.prefix_list else { return };
    if route.destination.value == Destination::PrefixList(list.value.clone()) {
        return;
    }
    report.error(
        route.destination.span,
        "gateway-endpoint-route",
        format!(
            "a route to gateway endpoint {:?} cannot be for {}",
            endpoint.id.value, route.destination.value
        ),
        format!(
            "its destination is the endpoint's prefix list, {:?}; or leave the route out and name the table in the \
             endpoint's route_tables",
            list.value
        ),
    );
}
