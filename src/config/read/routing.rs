//! Reads `[[route_table]]`, `[[prefix_list]]`, `[[vpc_endpoint]]`, `[[vpc_peering_connection]]`.

use super::name_tag::NAME_TAG;
use crate::config::diagnostic::At;
use crate::config::form;
use crate::config::key::{Condition, Key, Table, Type, When, words};
use crate::config::names::ObjectKind;
use crate::config::reader::{Section, Value};
use crate::config::spec::{
    Destination, EndpointKind, Peering, PrefixList, Route, RouteTable, Target, VpcEndpoint,
};
use crate::config::text;
use crate::vpc::PeeringState;

pub(super) static TABLE: Table = Table::new(
    "[[route_table]]",
    &[
        Key::required("id", Type::Text(form::ID), "The route table's id."),
        NAME_TAG,
        Key::required("vpc", Type::Text(form::REFERENCE), "The id of its VPC."),
        Key::optional(
            "main",
            Type::Boolean,
            "Whether this is the VPC's main table; false if absent.",
        ),
        Key::optional(
            "routes",
            Type::Tables(&ROUTE),
            "Its routes, besides the local route of each CIDR block of the VPC.",
        ),
    ],
);

static ROUTE: Table = Table::new(
    "a route",
    &[
        Key::required(
            "destination",
            Type::Text(form::ROUTED),
            "The CIDR block or prefix list that the route leads to, each once in a table.",
        ),
        Key::required(
            "target",
            Type::Text(form::STRING),
            "The id of a NAT gateway, internet gateway, endpoint, peering connection or network \
             interface, or local or blackhole.",
        ),
        Key::optional(
            "state",
            Type::Words(&words(&ROUTE_STATES)),
            "With blackhole the packets are dropped, and the target need not exist; active if absent.",
        ),
    ],
);

/// Whether a route in this state is a blackhole.
const ROUTE_STATES: [(&str, bool); 2] = [("active", false), ("blackhole", true)];

pub(super) fn route_table(section: &Section<'_>) -> Option<RouteTable> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[ObjectKind::Vpc]);
    let main = section.get("main").and_then(|v| v.boolean());
    let routes = section.get("routes").map(|v| v.tables()).unwrap_or_default();
    let routes = routes.iter().filter_map(route).collect();
    Some(RouteTable { id: id?, vpc: vpc?, main, routes, line: section.line() })
}

fn route(section: &Section<'_>) -> Option<Route> {
    let destination = section.required("destination").and_then(|v| destination(&v));
    let is_blackhole = section
        .get("state")
        .and_then(|v| v.one_of(&ROUTE_STATES))
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

pub(super) static PREFIX_LIST: Table = Table::new(
    "[[prefix_list]]",
    &[
        Key::required("id", Type::Text(form::ID), "The prefix list's id."),
        NAME_TAG,
        Key::required(
            "entries",
            Type::list(&Type::Text(form::CIDR)),
            "Its CIDR blocks, for routes and for rules of security groups.",
        ),
    ],
);

pub(super) fn prefix_list(section: &Section<'_>) -> Option<PrefixList> {
    let id = section.word("id");
    let given = section.required("entries");
    let entries = section.list("entries", |v| v.cidr());
    given?;
    let entries = entries.iter().map(|at| at.value).collect();
    Some(PrefixList { id: id?, entries, line: section.line() })
}

pub(super) static ENDPOINT: Table = Table::new(
    "[[vpc_endpoint]]",
    &[
        Key::required("id", Type::Text(form::ID), "The endpoint's id."),
        NAME_TAG,
        Key::required("vpc", Type::Text(form::REFERENCE), "The id of its VPC."),
        Key::required(
            "kind",
            Type::Words(&words(&KINDS)),
            "A route target for a prefix list, addresses in the VPC, or a fleet of appliances that \
             routes lead through.",
        ),
        Key::required(
            "service",
            Type::Text(form::ENDPOINT_SERVICE),
            "Its service, such as com.amazonaws.us-east-1.s3.",
        ),
        Key::optional(
            "prefix_list",
            Type::Text(form::REFERENCE),
            "The prefix list with the public addresses of a gateway endpoint's service.",
        ),
        Key::optional(
            "route_tables",
            Type::distinct(&Type::Text(form::REFERENCE)),
            "The route tables that get the route to a gateway endpoint.",
        ),
        Key::optional(
            "subnets",
            Type::distinct(&Type::Text(form::REFERENCE)),
            "The subnets of an interface endpoint, one in each Availability Zone, or the one of a \
             Gateway Load Balancer endpoint.",
        ),
        Key::optional(
            "addresses",
            Type::list(&Type::Text(form::ADDRESS)),
            "The addresses of an interface endpoint, in the order of its subnets.",
        ),
        Key::optional(
            "security_groups",
            Type::distinct(&Type::Text(form::REFERENCE)),
            "The security groups of an interface endpoint; the VPC's default group if absent.",
        ),
        Key::optional("listen", super::listen::LISTEN, "Where it answers, such as 443/tcp."),
        Key::optional(
            "private_dns_enabled",
            Type::Boolean,
            "Whether the service's public name leads to an interface endpoint; true if absent.",
        ),
    ],
)
.with(&[Condition::when(When::Is("kind", &["gateway"])).needs(&["prefix_list"])]);

const KINDS: [(&str, EndpointKind); 3] = [
    (EndpointKind::Gateway.as_str(), EndpointKind::Gateway),
    (EndpointKind::Interface.as_str(), EndpointKind::Interface),
    (EndpointKind::GatewayLoadBalancer.as_str(), EndpointKind::GatewayLoadBalancer),
];

pub(super) fn vpc_endpoint(section: &Section<'_>) -> Option<VpcEndpoint> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[ObjectKind::Vpc]);
    let kind = section.required("kind").and_then(|v| v.one_of(&KINDS));
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
        listen: super::listen::listen(section),
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

pub(super) static PEERING: Table = Table::new(
    "[[vpc_peering_connection]]",
    &[
        Key::required("id", Type::Text(form::ID), "The peering connection's id."),
        NAME_TAG,
        Key::required("requester_vpc", Type::Text(form::REFERENCE), "The id of one VPC."),
        Key::required("accepter_vpc", Type::Text(form::REFERENCE), "The id of the other VPC."),
        Key::optional(
            "state",
            Type::Words(&words(&PEERING_STATES)),
            "Its state; routes to a connection that is not active (the state if absent) drop.",
        ),
        Key::optional(
            "requester_dns_resolution",
            Type::Boolean,
            "Whether public names of the requester's resources lead the accepter to private \
             addresses; false if absent.",
        ),
        Key::optional(
            "accepter_dns_resolution",
            Type::Boolean,
            "Whether public names of the accepter's resources lead the requester to private \
             addresses; false if absent.",
        ),
    ],
);

const PEERING_STATES: [(&str, PeeringState); 5] = [
    (PeeringState::Active.as_str(), PeeringState::Active),
    (PeeringState::PendingAcceptance.as_str(), PeeringState::PendingAcceptance),
    (PeeringState::Rejected.as_str(), PeeringState::Rejected),
    (PeeringState::Expired.as_str(), PeeringState::Expired),
    (PeeringState::Deleted.as_str(), PeeringState::Deleted),
];

pub(super) fn peering(section: &Section<'_>) -> Option<Peering> {
    let id = section.word("id");
    let requester_vpc = section.reference("requester_vpc", &[ObjectKind::Vpc]);
    let accepter_vpc = section.reference("accepter_vpc", &[ObjectKind::Vpc]);
    let state = section.get("state").and_then(|v| v.one_of(&PEERING_STATES));
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
