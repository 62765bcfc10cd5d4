//! Reads `[[vpc]]`, `[[subnet]]`, `[[nat_gateway]]`.

use super::name_tag::NAME_TAG;
use crate::config::diagnostic::At;
use crate::config::form;
use crate::config::key::{Condition, Key, Table, Type, When, words};
use crate::config::names::ObjectKind;
use crate::config::reader::{Section, Value};
use crate::config::spec::{NatGateway, Subnet, Vpc};
use crate::config::text;
use crate::vpc::{Connectivity, NatGatewayState};
use ipnetwork::Ipv4Network;

pub(super) static VPC: Table = Table::new(
    "[[vpc]]",
    &[
        Key::required("id", Type::Text(form::ID), "The VPC's id."),
        NAME_TAG,
        Key::required(
            "cidr",
            Type::filled(&Type::Text(form::NETWORK)),
            "Its CIDR blocks, the primary one first, each from /16 to /28.",
        ),
        Key::optional(
            "region",
            Type::Text(form::REGION),
            "The region of a peered VPC elsewhere; the lab's if absent.",
        ),
        Key::optional(
            "internet_gateway",
            Type::Text(form::ID),
            "The id of the internet gateway that is attached.",
        ),
        Key::optional(
            "main_route_table",
            Type::Text(form::REFERENCE),
            "The route table of the subnets that name none.",
        ),
        Key::optional(
            "enable_dns_support",
            Type::Boolean,
            "Whether the VPC's resolver answers; true if absent.",
        ),
        Key::optional(
            "enable_dns_hostnames",
            Type::Boolean,
            "Whether private zones and private DNS names work in the VPC, with enable_dns_support; \
             false if absent.",
        ),
    ],
);

pub(super) fn vpc(section: &Section<'_>) -> Option<Vpc> {
    let id = section.word("id");
    let given = section.required("cidr");
    let cidrs = section.list("cidr", aws_sized);
    let region = section.get("region").and_then(|v| v.parse(text::region));
    let internet_gateway = section.get("internet_gateway").and_then(|v| v.parse(text::word));
    let main_route_table =
        section.optional_reference("main_route_table", &[ObjectKind::RouteTable]);
    if let Some(given) = given.filter(|given| given.elements().is_empty()) {
        given.error(
            "empty-list",
            "a VPC has at least one CIDR block",
            "write cidr = \"10.0.0.0/16\"",
        );
    }
    let attribute = |key| section.get(key).and_then(|v| v.boolean());
    let vpc = Vpc {
        id: id?,
        cidrs,
        region,
        internet_gateway,
        main_route_table,
        enable_dns_support: attribute("enable_dns_support"),
        enable_dns_hostnames: attribute("enable_dns_hostnames"),
        line: section.line(),
    };
    (!vpc.cidrs.is_empty()).then_some(vpc)
}

pub(super) static SUBNET: Table = Table::new(
    "[[subnet]]",
    &[
        Key::required("id", Type::Text(form::ID), "The subnet's id."),
        NAME_TAG,
        Key::required("vpc", Type::Text(form::REFERENCE), "The id of its VPC."),
        Key::required(
            "availability_zone",
            Type::Text(form::ZONE),
            "Its Availability Zone, such as us-east-1a.",
        ),
        Key::required(
            "cidr",
            Type::Text(form::NETWORK),
            "A block within the VPC's, from /16 to /28, without overlap with other subnets.",
        ),
        Key::optional(
            "route_table",
            Type::Text(form::REFERENCE),
            "The id of its route table; the VPC's main table if absent.",
        ),
        Key::optional(
            "network_acl",
            Type::Text(form::REFERENCE),
            "The id of its network ACL; the VPC's default ACL, which allows everything, if absent.",
        ),
    ],
);

pub(super) fn subnet(section: &Section<'_>) -> Option<Subnet> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[ObjectKind::Vpc]);
    let availability_zone = section.required("availability_zone").and_then(|v| v.parse(text::zone));
    let cidr = section.required("cidr").and_then(|v| aws_sized(&v));
    let route_table = section.optional_reference("route_table", &[ObjectKind::RouteTable]);
    let network_acl = section.optional_reference("network_acl", &[ObjectKind::NetworkAcl]);
    Some(Subnet {
        id: id?,
        vpc: vpc?,
        availability_zone: availability_zone?.value,
        cidr: cidr?,
        route_table,
        network_acl,
        line: section.line(),
    })
}

/// Reads a block of a size that AWS takes for VPCs and subnets: /28 to /16.
fn aws_sized(value: &Value<'_>) -> Option<At<Ipv4Network>> {
    let cidr = value.cidr()?;
    if (16..=28).contains(&cidr.prefix()) {
        return Some(cidr);
    }
    value.error(
        "bad-cidr",
        format!("a /{} is not a size that AWS takes here", cidr.prefix()),
        "VPCs and subnets are from /16 (65,536 addresses) to /28 (16 addresses)",
    );
    None
}

pub(super) static NAT_GATEWAY: Table = Table::new(
    "[[nat_gateway]]",
    &[
        Key::required("id", Type::Text(form::ID), "The NAT gateway's id."),
        NAME_TAG,
        Key::required("subnet", Type::Text(form::REFERENCE), "The id of the subnet that it is in."),
        Key::optional(
            "connectivity",
            Type::Words(&words(&CONNECTIVITIES)),
            "Whether it leads to the internet (public, if absent) or to private networks only.",
        ),
        Key::optional(
            "availability_mode",
            Type::Words(&words(&MODES)),
            "Always zonal: egret does not have regional NAT gateways.",
        ),
        Key::optional(
            "public_ip",
            Type::Text(form::PUBLIC_ADDRESS),
            "Its Elastic IP; a free address of 198.51.100.0/24 if absent.",
        ),
        Key::optional(
            "private_ip",
            Type::Text(form::ADDRESS),
            "Its address in the subnet; the first free one if absent.",
        ),
        Key::optional(
            "secondary_public_ips",
            Type::list(&Type::Text(form::PUBLIC_ADDRESS)),
            "More Elastic IPs.",
        ),
        Key::optional(
            "secondary_private_ips",
            Type::list(&Type::Text(form::ADDRESS)),
            "The private addresses of the secondary Elastic IPs, in the same order.",
        ),
        Key::optional(
            "secondary_private_ip_count",
            Type::Integer(0, 31),
            "How many secondary private addresses egret chooses, not together with \
             secondary_private_ips; 0 if absent.",
        ),
        Key::optional(
            "state",
            Type::Words(&words(&STATES)),
            "Its state; routes to a gateway that is not available (the state if absent) drop.",
        ),
    ],
)
.with(&[
    Condition::when(When::Is("connectivity", &["private"])).refuses(&["public_ip"]),
    Condition::when(When::Is("availability_mode", &["regional"])).refuses(&["availability_mode"]),
]);

pub(super) fn nat_gateway(section: &Section<'_>) -> Option<NatGateway> {
    let id = section.word("id");
    if !is_zonal(section) {
        return None;
    }
    let subnet = section.reference("subnet", &[ObjectKind::Subnet]);
    let connectivity = section.get("connectivity").and_then(|v| v.one_of(&CONNECTIVITIES));
    let public_ip = section.get("public_ip").and_then(|v| v.parse(text::public_address));
    let private_ip = section.get("private_ip").and_then(|v| v.parse(text::address));
    let count = section.get("secondary_private_ip_count").and_then(|v| v.integer());
    let state = section.get("state").and_then(|v| v.one_of(&STATES));
    let gateway = NatGateway {
        id: id?,
        subnet: subnet?,
        connectivity: connectivity.map_or(Connectivity::Public, |at| at.value),
        public_ip,
        private_ip,
        secondary_public_ips: section
            .list("secondary_public_ips", |v| v.parse(text::public_address)),
        secondary_private_ips: section.list("secondary_private_ips", |v| v.parse(text::address)),
        secondary_private_ip_count: count.and_then(|at| u8::try_from(at.value).ok()),
        state: state.map_or(NatGatewayState::Available, |at| at.value),
        line: section.line(),
    };
    addresses(section, &gateway);
    Some(gateway)
}

const CONNECTIVITIES: [(&str, Connectivity); 2] =
    [("public", Connectivity::Public), ("private", Connectivity::Private)];

/// Whether a gateway of this mode is zonal.
const MODES: [(&str, bool); 2] = [("zonal", true), ("regional", false)];

const STATES: [(&str, NatGatewayState); 5] = [
    (NatGatewayState::Available.as_str(), NatGatewayState::Available),
    (NatGatewayState::Pending.as_str(), NatGatewayState::Pending),
    (NatGatewayState::Failed.as_str(), NatGatewayState::Failed),
    (NatGatewayState::Deleting.as_str(), NatGatewayState::Deleting),
    (NatGatewayState::Deleted.as_str(), NatGatewayState::Deleted),
];

/// Decides whether a NAT gateway is zonal. Regional ones are in no subnet, have a table of their
/// own, and grow by themselves (spec 6): egret does not support them.
fn is_zonal(section: &Section<'_>) -> bool {
    let mode = section.get("availability_mode");
    let Some(mode) = mode.and_then(|v| v.one_of(&MODES)) else {
        return true;
    };
    if !mode.value {
        section.reader.report.error(
            mode.span,
            "regional-nat-gateway",
            "regional NAT gateways are not supported",
            "declare a zonal one in each Availability Zone, and remove availability_mode",
        );
    }
    mode.value
}

/// Checks the number and the kind of a gateway's addresses (spec 6).
fn addresses(section: &Section<'_>, gateway: &NatGateway) {
    let report = section.reader.report;
    if let (Connectivity::Private, Some(public)) =
        (gateway.connectivity, gateway.public_ips().next())
    {
        report.error(
            public.span,
            "public-ip-on-private",
            "a private NAT gateway has no public address",
            "remove it, or write connectivity = \"public\"",
        );
    }
    let all = gateway.addresses();
    if all > crate::vpc::NatGateway::MAX_ADDRESSES {
        report.error(
            gateway.id.span,
            "too-many-addresses",
            format!("NAT gateway {:?} has {all} addresses", gateway.id.value),
            "a zonal NAT gateway has one primary address and up to seven secondary ones",
        );
    }
    if let (Some(_), Some(first)) =
        (gateway.secondary_private_ip_count, gateway.secondary_private_ips.first())
    {
        report.error(
            first.span,
            "addresses-and-count",
            "secondary_private_ips and secondary_private_ip_count exclude each other",
            "name the addresses, or say how many egret shall choose",
        );
    }
}
