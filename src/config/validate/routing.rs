//! Checks route tables: their VPC, the main table, and the targets of routes (spec 3.2, 3.5).

use super::wrong_vpc::wrong_vpc;
use super::{gateway_endpoints, more_specific};
use crate::config::diagnostic::{At, Report};
use crate::config::spec::{Destination, EndpointKind, Route, RouteTable, Spec, Target, Vpc};
use std::collections::HashMap;

pub(super) fn check(spec: &Spec, report: &Report) {
    associations(spec, report);
    main_tables(spec, report);
    for table in &spec.route_tables {
        let Some(vpc) = spec.vpc(&table.vpc) else { continue };
        duplicates(table, report);
        for route in &table.routes {
            more_specific::check(spec, vpc, route, report);
            target(spec, vpc, route, report);
        }
    }
}

/// Checks that a subnet's table and ACL are of its own VPC.
fn associations(spec: &Spec, report: &Report) {
    for subnet in &spec.subnets {
        let table = subnet.route_table.as_ref().and_then(|id| {
            let table = spec.route_tables.iter().find(|table| *table.id == **id)?;
            Some(("route table", id, &table.vpc))
        });
        let acl = subnet.network_acl.as_ref().and_then(|id| {
            let acl = spec.network_acls.iter().find(|acl| *acl.id == **id)?;
            Some(("network ACL", id, &acl.vpc))
        });
        for (what, id, vpc) in table.into_iter().chain(acl) {
            if **vpc != *subnet.vpc {
                wrong_vpc((spec, report), what, id, vpc, &subnet.vpc);
            }
        }
    }
}

/// Checks that a VPC has one main table, named by the VPC or by the table, and that it is its own.
fn main_tables(spec: &Spec, report: &Report) {
    let table = |id: &str| spec.route_tables.iter().find(|table| *table.id == id);
    let mut mains: HashMap<&str, &str> = HashMap::new();
    for vpc in &spec.vpcs {
        let Some(id) = &vpc.main_route_table else { continue };
        mains.insert(&vpc.id, id);
        if let Some(table) = table(id).filter(|table| *table.vpc != *vpc.id) {
            wrong_vpc((spec, report), "route table", id, &table.vpc, &vpc.id);
        }
    }
    for table in &spec.route_tables {
        let Some(main) = table.main else { continue };
        let other = mains.get(table.vpc.as_str()).copied().filter(|other| *other != *table.id);
        match other {
            Some(other) if *main => report.error(
                main.span,
                "two-main-tables",
                format!("{other:?} is the main table of VPC {:?} already", table.vpc.value),
                "a VPC has one main route table",
            ),
            None if !*main && mains.contains_key(table.vpc.as_str()) => report.error(
                main.span,
                "two-main-tables",
                format!("VPC {:?} names this table as its main one", table.vpc.value),
                "remove main = false, or main_route_table in the VPC",
            ),
            _ => {}
        }
        if *main {
            mains.insert(&table.vpc, &table.id);
        }
    }
}

fn duplicates(table: &RouteTable, report: &Report) {
    let mut seen: HashMap<&Destination, &Route> = HashMap::new();
    for route in &table.routes {
        if let Some(earlier) = seen.insert(&route.destination.value, route) {
            already_exists(report, route, &format!("line {}", earlier.line));
        }
    }
}

pub(super) fn already_exists(report: &Report, route: &Route, place: &str) {
    let destination = &route.destination.value;
    report.error(
        route.destination.span,
        "route-already-exists",
        format!("RouteAlreadyExists: the route for {destination} exists already: {place}"),
        "a route table has one route for each destination",
    );
}

/// Checks that the target can be reached from the table's VPC.
fn target(spec: &Spec, vpc: &Vpc, route: &Route, report: &Report) {
    let named = |id: &str| At { value: id.to_owned(), span: route.target.span };
    match &route.target.value {
        Target::Local | Target::Blackhole(_) => {}
        Target::InternetGateway(id) => internet_gateway(vpc, &named(id), report),
        Target::NatGateway(id) => {
            let subnet = spec.nat_gateway(id).and_then(|nat| spec.subnet(&nat.subnet));
            if let Some(subnet) = subnet.filter(|subnet| *subnet.vpc != *vpc.id) {
                wrong_vpc((spec, report), "NAT gateway", &named(id), &subnet.vpc, &vpc.id);
            }
        }
        Target::VpcEndpoint(id) => {
            let Some(endpoint) = spec.vpc_endpoints.iter().find(|e| *e.id == *id) else { return };
            if *endpoint.vpc != *vpc.id {
                wrong_vpc((spec, report), "VPC endpoint", &named(id), &endpoint.vpc, &vpc.id);
            }
            match endpoint.kind {
                EndpointKind::Gateway => gateway_endpoints::route(route, endpoint, report),
                EndpointKind::GatewayLoadBalancer => {}
                EndpointKind::Interface => report.error(
                    route.target.span,
                    "not-a-route-target",
                    format!("{id:?} is an interface endpoint, which no route can name"),
                    "tasks reach it by its address; gateway and Gateway Load Balancer endpoints are route targets",
                ),
            }
        }
        Target::NetworkInterface(id) => {
            let resource = spec.network_interface(id);
            let subnet = resource.and_then(|resource| spec.subnet(&resource.subnet));
            if let Some(subnet) = subnet.filter(|subnet| *subnet.vpc != *vpc.id) {
                wrong_vpc((spec, report), "network interface", &named(id), &subnet.vpc, &vpc.id);
            }
        }
        Target::Peering(id) => {
            let Some(peering) = spec.peerings.iter().find(|p| *p.id == *id) else { return };
            let (requester, accepter) = (&peering.requester_vpc, &peering.accepter_vpc);
            if **requester != *vpc.id && **accepter != *vpc.id {
                wrong_vpc((spec, report), "peering connection", &named(id), requester, &vpc.id);
            }
        }
    }
}

fn internet_gateway(vpc: &Vpc, id: &At<String>, report: &Report) {
    let (message, help) = match &vpc.internet_gateway {
        Some(attached) if **attached == **id => return,
        Some(attached) => (
            format!("internet gateway {:?} is attached to another VPC", id.value),
            format!("{:?} is attached to VPC {:?}", attached.value, vpc.id.value),
        ),
        None => (
            format!("VPC {:?} has no internet gateway attached", vpc.id.value),
            "one internet gateway serves one VPC: add internet_gateway to this VPC too".to_owned(),
        ),
    };
    report.error(id.span, "no-internet-gateway", message, help);
}
