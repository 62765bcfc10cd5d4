//! `[[vpc]]`, `[[subnet]]`, `[[nat_gateway]]`.

use crate::config::diagnostic::At;
use crate::config::names::Kind;
use crate::config::reader::{Section, Value};
use crate::config::spec::{NatGateway, Subnet, Vpc};
use crate::config::text;
use crate::vpc::{Connectivity, NatGatewayState};
use ipnetwork::Ipv4Network;

pub(super) const VPC: [&str; 6] = [
    "id",
    "cidr",
    "internet_gateway",
    "main_route_table",
    "enable_dns_support",
    "enable_dns_hostnames",
];

pub(super) fn vpc(section: &Section<'_>) -> Option<Vpc> {
    let id = section.word("id");
    let given = section.required("cidr");
    let cidrs = super::list(section, "cidr", aws_sized);
    let internet_gateway = section.get("internet_gateway").and_then(|v| v.parse(text::word));
    let main_route_table = section.optional_reference("main_route_table", &[Kind::RouteTable]);
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
        internet_gateway,
        main_route_table,
        enable_dns_support: attribute("enable_dns_support"),
        enable_dns_hostnames: attribute("enable_dns_hostnames"),
        line: section.line(),
    };
    (!vpc.cidrs.is_empty()).then_some(vpc)
}

pub(super) const SUBNET: [&str; 6] =
    ["id", "vpc", "availability_zone", "cidr", "route_table", "network_acl"];

pub(super) fn subnet(section: &Section<'_>) -> Option<Subnet> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[Kind::Vpc]);
    let availability_zone = section.required("availability_zone").and_then(|v| v.string());
    let cidr = section.required("cidr").and_then(|v| aws_sized(&v));
    let route_table = section.optional_reference("route_table", &[Kind::RouteTable]);
    let network_acl = section.optional_reference("network_acl", &[Kind::NetworkAcl]);
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

/// AWS takes VPCs and subnets from /28 to /16.
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

pub(super) const NAT_GATEWAY: [&str; 6] =
    ["id", "subnet", "connectivity", "public_ip", "private_ip", "state"];

pub(super) fn nat_gateway(section: &Section<'_>) -> Option<NatGateway> {
    let id = section.word("id");
    let subnet = section.reference("subnet", &[Kind::Subnet]);
    let connectivity = section.get("connectivity").and_then(|v| {
        v.one_of(&[("public", Connectivity::Public), ("private", Connectivity::Private)])
    });
    let connectivity = connectivity.map_or(Connectivity::Public, |at| at.value);
    let public_ip = section.get("public_ip").and_then(|v| v.parse(text::public_address));
    let private_ip = section.get("private_ip").and_then(|v| v.parse(text::address));
    let states = [
        NatGatewayState::Available,
        NatGatewayState::Pending,
        NatGatewayState::Failed,
        NatGatewayState::Deleting,
        NatGatewayState::Deleted,
    ]
    .map(|state| (state.as_str(), state));
    let state = section.get("state").and_then(|v| v.one_of(&states));
    if let (Connectivity::Private, Some(public_ip)) = (connectivity, &public_ip) {
        section.reader.report.error(
            public_ip.span,
            "public-ip-on-private",
            "a private NAT gateway has no public address",
            "remove public_ip, or write connectivity = \"public\"",
        );
    }
    Some(NatGateway {
        id: id?,
        subnet: subnet?,
        connectivity,
        public_ip,
        private_ip,
        state: state.map_or(NatGatewayState::Available, |at| at.value),
        line: section.line(),
    })
}
