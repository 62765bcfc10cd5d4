//! Tests gateway endpoints: a route and nothing more (spec 7.1; surprise 12).

use super::world::*;
use crate::flow::Space;
use crate::packet::builder;
use crate::pipeline::{Link, Reason};
use crate::vpc::GatewayEndpointIx;
use std::net::Ipv4Addr;

/// An address of the service.
pub(super) const BUCKET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const ENDPOINT: Link = Link::Endpoint(GatewayEndpointIx(0));

/// Returns the lab of all tests, with an endpoint that adds its route to the connector's table.
pub(super) fn with_endpoint() -> String {
    LAB.to_owned()
        + r#"
[[prefix_list]]
id = "pl-s3"
entries = ["192.0.2.0/24", "198.18.0.0/24"]
[[vpc_endpoint]]
id = "vpce-s3"
vpc = "vpc"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-s3"
route_tables = ["rtb-private"]
[[internet_host]]
name = "bucket"
address = "192.0.2.10"
"#
}

#[test]
fn the_service_sees_the_enis_private_address() {
    let mut world = World::new(&with_endpoint());
    let web = world.task("web", 1);
    let (out, link) = world.opens(&syn(web, 40_000, (BUCKET, 443)));
    assert_eq!((out.src, out.dst, link), (ENI_A, BUCKET, ENDPOINT));
    assert_eq!(world.comes_back(link, &answer(out)).dst, web);
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0, "no NAT gateway has a part in it");
    assert_eq!(world.leased(Space::nth_vpc(0), ENI_A), 1);
    let (_, link) = world.opens(&ping(web, BUCKET, 7));
    assert_eq!(link, ENDPOINT);
}

/// `VPCE_GATEWAY_PROTOCOL_RESTRICTION`.
#[test]
fn only_tcp_and_icmp_echo() {
    let mut world = World::new(&with(
        &with_endpoint(),
        r#"{ protocol = "udp", ports = "53", to = "0.0.0.0/0" }"#,
        r#"{ protocol = "all", to = "0.0.0.0/0" }"#,
    ));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&udp(web, 1, (BUCKET, 53))), Reason::EndpointProtocol);
    assert_eq!(world.refuses(&other(47, web, BUCKET)), Reason::EndpointProtocol);
    let timestamp = builder::icmp_error(web, BUCKET, 13, 0, &[0; 12]);
    assert_eq!(world.refuses(&timestamp), Reason::IcmpUnsupported);
}

/// Surprise 12: the route does not help if the group does not let the packet out.
#[test]
fn the_enis_groups_must_allow_the_public_addresses() {
    let rule = r#"{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" },"#;
    let mut world = World::new(&with(&with_endpoint(), rule, ""));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (BUCKET, 443))), Reason::SgEgressImplicitDeny);
    let by_list = r#"{ protocol = "tcp", ports = "443", to = "pl-s3" },"#;
    let mut world = World::new(&with(&with_endpoint(), rule, by_list));
    let web = world.task("web", 1);
    world.connects(web, 1, (BUCKET, 443));
    assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 443))), Reason::SgEgressImplicitDeny);
}

/// Surprise 12: a more specific or identical route of the user's wins; other addresses keep using
/// the NAT gateway.
#[test]
fn a_route_of_the_users_wins_if_it_is_as_specific() {
    let route = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;
    let by_nat = |lab: &str, to: Ipv4Addr| {
        let mut world = World::new(lab);
        let (out, link) = world.opens(&syn(world.task("web", 1), 1, (to, 443)));
        assert_eq!(out.src == NAT_PUBLIC, link == Link::Internet);
        link == Link::Internet
    };
    let lab = |destination: &str| {
        let routes = format!("{route} {{ destination = \"{destination}\", target = \"nat\" }},");
        with(&with_endpoint(), route, &routes)
    };
    assert!(!by_nat(&with_endpoint(), BUCKET) && by_nat(&with_endpoint(), EXAMPLE));
    assert!(by_nat(&lab("192.0.2.0/24"), BUCKET), "identical");
    assert!(by_nat(&lab("192.0.2.0/28"), BUCKET), "more specific");
    assert!(!by_nat(&lab("192.0.2.64/26"), BUCKET), "more specific, for other addresses");
    assert!(!by_nat(&lab("192.0.0.0/16"), BUCKET), "less specific");
}

/// The ACL of its subnet judges, and no other.
#[test]
fn the_acl_of_the_enis_subnet_is_asked_both_ways() {
    let marked = "id = \"subnet-a\"\nvpc = \"vpc\"\n";
    let lab = |egress: &str, ingress: &str| {
        let lab = with(&with_endpoint(), marked, &format!("{marked}network_acl = \"acl\"\n"));
        format!(
            "{lab}[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = [{egress}]\ningress = [{ingress}]\n"
        )
    };
    let allow = r#"{ rule = 1, action = "allow", protocol = "tcp", ports = "0-65535", cidr = "192.0.2.0/24" }"#;
    let mut world = World::new(&lab("", allow));
    assert_eq!(
        world.refuses(&syn(world.task("web", 1), 1, (BUCKET, 443))),
        Reason::NaclEgressImplicitDeny
    );
    let mut world = World::new(&lab(allow, ""));
    let (out, link) = world.opens(&syn(world.task("web", 1), 1, (BUCKET, 443)));
    assert_eq!(world.stays_out(link, &answer(out)), Reason::NaclReturnImplicitDeny);
    let mut world = World::new(&lab(allow, allow));
    world.connects(world.task("web", 1), 1, (BUCKET, 443));
}

/// After a reload without the endpoint its flows would leave from another address, so they end.
#[test]
fn flows_move_when_the_endpoint_goes() {
    let mut world = World::new(&with_endpoint());
    let web = world.task("web", 1);
    world.connects(web, 1, (BUCKET, 443));
    world.reload(&with(&with_endpoint(), "route_tables = [\"rtb-private\"]", ""));
    let late = tcp(web, 1, (BUCKET, 443), ACK, 101, 501);
    assert_eq!(world.drops_with(&late, -1), Reason::FlowMoved);
}
