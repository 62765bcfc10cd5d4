//! Reads `[[route_table]]`, `[[prefix_list]]`, `[[vpc_endpoint]]`, `[[vpc_peering_connection]]`.

use crate::config::diagnostic::At;
use crate::config::names::ObjectKind;
use crate::config::reader::{Section, Value};
use crate::config::spec::{
    Destination, EndpointKind, Peering, PrefixList, Route, RouteTable, Target, VpcEndpoint,
};
use crate::config::text;
use crate::vpc::PeeringState;

pub(super) const TABLE: [&str; 4] = ["id", "vpc", "main", "routes"];

pub(super) fn route_table(section: &Section<'_>) -> Option<RouteTable> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[ObjectKind::Vpc]);
    let main = section.get("main").and_then(|v| v.boolean());
    let routes = section
        .get("routes")
        .map(|v| v.tables("a route", &["destination", "target", "state"]))
        .unwrap_or_default();
    let routes = routes.iter().filter_map(route).collect();
    Some(RouteTable { id: id?, vpc: vpc?, main, routes, line: section.line() })
}

fn route(section: &Section<'_>) -> Option<Route> {
    let destination = section.required("destination").and_then(|v| destination(&v));
    let is_blackhole = section
        .get("state")
        .and_then(|v| v.one_of(&[("active", false), ("blackhole", true)]))
        .is_some_and(|is_blackhole| *is_blackhole);
    let target = section.required("target").and_then(|v| target(section, &v, is_blackhole));
    Some(Route { destination: destination?, target: target?, line: section.line() })
}

fn destination(value: &Value<'_>) -> Option<At<Destination>> {
    let text = value.string()?;
    if looks_like_address(&text) {
        return Some(value.cidr()?.map(Destination::Cidr));
    }
    Some(value.reference(&[ObjectKind::PrefixList])?.map(Destination::PrefixList))
}

/// Decides whether a word is meant as an address rather than an id.
pub(super) fn looks_like_address(text: &str) -> bool {
    text.contains(['/', ':']) || text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn target(section: &Section<'_>, value: &Value<'_>, is_blackhole: bool) -> Option<At<Target>> {
    let id = value.string()?;
    let target = match id.as_str() {
        "blackhole" => Target::Blackhole(None),
        _ if is_blackhole => Target::Blackhole(Some(value.parse(text::word)?.value)),
        "local" => Target::Local,
        _ => match section.reader.names.kind_of(&ObjectKind::ROUTE_TARGETS, &id) {
            Some(ObjectKind::InternetGateway) => Target::InternetGateway(id.value.clone()),
            Some(ObjectKind::NatGateway) => Target::NatGateway(id.value.clone()),
            Some(ObjectKind::VpcEndpoint) => Target::VpcEndpoint(id.value.clone()),
            Some(ObjectKind::Peering) => Target::Peering(id.value.clone()),
            Some(ObjectKind::NetworkInterface) => Target::NetworkInterface(id.value.clone()),
            Some(
                ObjectKind::Vpc
                | ObjectKind::Subnet
                | ObjectKind::RouteTable
                | ObjectKind::SecurityGroup
                | ObjectKind::PrefixList
                | ObjectKind::NetworkAcl
                | ObjectKind::Resource
                | ObjectKind::InternetHost
                | ObjectKind::Connector
                | ObjectKind::Service,
            )
            | None => {
                report_unknown_target(section, &id);
                return None;
            }
        },
    };
    Some(At { value: target, span: id.span })
}

/// Returns the name of a target that AWS has and a lab does not have, by the form of its id.
fn foreign_target(id: &str) -> Option<&'static str> {
    let kinds = [
        ("i-", "instance"),
        ("tgw-", "transit gateway"),
        ("vgw-", "virtual private gateway"),
        ("eigw-", "egress-only internet gateway"),
        ("cagw-", "carrier gateway"),
        ("lgw-", "local gateway"),
    ];
    kinds.into_iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, kind)| kind)
}

fn report_unknown_target(section: &Section<'_>, id: &At<String>) {
    let (report, names) = (section.reader.report, section.reader.names);
    if names.kind_of(&[ObjectKind::Resource], id).is_some() {
        return report.error(
            id.span,
            "not-a-route-target",
            format!("{:?} is a resource: a route names a network interface", id.value),
            "give the resource network_interface = \"eni-...\", and name that here",
        );
    }
    if let Some(kind) = foreign_target(id) {
        return report.error(
            id.span,
            "target-unsupported",
            format!("{kind} {:?} as a route's target works in AWS, and this version of egret does not have it", id.value),
            "route to a NAT gateway, or give the route state = \"blackhole\" to say that its packets are dropped",
        );
    }
    if !id.starts_with("igw-") {
        return names.report_dangling(report, id, &ObjectKind::ROUTE_TARGETS);
    }
    report.error(
        id.span,
        "no-internet-gateway",
        format!("internet gateway {:?} is attached to no VPC", id.value),
        format!("add internet_gateway = {:?} to the [[vpc]] of this table", id.value),
    );
}

pub(super) const PREFIX_LIST: [&str; 2] = ["id", "entries"];

pub(super) fn prefix_list(section: &Section<'_>) -> Option<PrefixList> {
    let id = section.word("id");
    let given = section.required("entries");
    let entries = section.list("entries", |v| v.cidr());
    given?;
    let entries = entries.iter().map(|at| at.value).collect();
    Some(PrefixList { id: id?, entries, line: section.line() })
}

pub(super) const ENDPOINT: [&str; 11] = [
    "id",
    "vpc",
    "kind",
    "service",
    "prefix_list",
    "route_tables",
    "subnets",
    "addresses",
    "security_groups",
    "listen",
    "private_dns_enabled",
];

pub(super) fn vpc_endpoint(section: &Section<'_>) -> Option<VpcEndpoint> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[ObjectKind::Vpc]);
    let kinds = [EndpointKind::Gateway, EndpointKind::Interface, EndpointKind::GatewayLoadBalancer];
    let kinds = kinds.map(|kind| (kind.as_str(), kind));
    let kind = section.required("kind").and_then(|v| v.one_of(&kinds));
    let service = section.required("service").and_then(|v| v.parse(text::endpoint_service));
    let prefix_list = match kind.map(|kind| kind.value) {
        Some(EndpointKind::Gateway) => {
            Some(section.reference("prefix_list", &[ObjectKind::PrefixList])?)
        }
        Some(EndpointKind::Interface | EndpointKind::GatewayLoadBalancer) | None => {
            section.optional_reference("prefix_list", &[ObjectKind::PrefixList])
        }
    };
    let route_tables = section.references("route_tables", &[ObjectKind::RouteTable]);
    let private_dns = section.get("private_dns_enabled").and_then(|v| v.boolean());
    Some(VpcEndpoint {
        subnets: section.references("subnets", &[ObjectKind::Subnet]),
        addresses: section.list("addresses", |v| v.parse(text::address)),
        security_groups: section.references("security_groups", &[ObjectKind::SecurityGroup]),
        listen: super::endpoints::listen(section),
        private_dns_enabled: private_dns.is_none_or(|at| at.value),
        id: id?,
        vpc: vpc?,
        kind: kind?.value,
        service: service?.value,
        prefix_list,
        route_tables,
        line: section.line(),
    })
}

pub(super) const PEERING: [&str; 6] = [
    "id",
    "requester_vpc",
    "accepter_vpc",
    "state",
    "requester_dns_resolution",
    "accepter_dns_resolution",
];

pub(super) fn peering(section: &Section<'_>) -> Option<Peering> {
    let id = section.word("id");
    let requester_vpc = section.reference("requester_vpc", &[ObjectKind::Vpc]);
    let accepter_vpc = section.reference("accepter_vpc", &[ObjectKind::Vpc]);
    let states = [
        PeeringState::Active,
        PeeringState::PendingAcceptance,
        PeeringState::Rejected,
        PeeringState::Expired,
        PeeringState::Deleted,
    ];
    let states = states.map(|state| (state.as_str(), state));
    let state = section.get("state").and_then(|v| v.one_of(&states));
    let allows = |key| section.get(key).and_then(|v| v.boolean()).is_some_and(|at| at.value);
    let (requester_dns_resolution, accepter_dns_resolution) =
        (allows("requester_dns_resolution"), allows("accepter_dns_resolution"));
    Some(Peering {
        id: id?,
        requester_vpc: requester_vpc?,
        accepter_vpc: accepter_vpc?,
        state: state.map(|at| at.value).unwrap_or_default(),
        requester_dns_resolution,
        accepter_dns_resolution,
        line: section.line(),
    })
}
