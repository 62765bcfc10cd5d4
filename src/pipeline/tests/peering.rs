//! Tests VPC peering: both sides' routes, references across, nothing beyond the peer.

use super::world::*;
use crate::flow::Space;
use crate::packet::builder;
use crate::pipeline::{Link, Reason, Stage};
use crate::vpc::{RouteTableIx, RuleRef, VpcIx};
use std::net::Ipv4Addr;
use std::time::Duration;

pub(super) const CACHE: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 10);
pub(super) const BACK: &str = r#"{ destination = "10.0.0.0/16", target = "pcx" }"#;
const PEER: Link = Link::Vpc(VpcIx(1));
const NAT_ROUTE: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;

/// Returns the lab of all tests, with a VPC on the other side of a peering connection: the route
/// there, and those back.
pub(super) fn peered(to: &str, back: &str) -> String {
    let there = format!("{NAT_ROUTE} {{ destination = \"{to}\", target = \"pcx\" }},");
    with(LAB, NAT_ROUTE, &there)
        + &format!(
            r#"
[[vpc]]
id = "vpc-2"
cidr = "10.9.0.0/16"
internet_gateway = "igw-2"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc"
accepter_vpc = "vpc-2"
[[subnet]]
id = "subnet-cache"
vpc = "vpc-2"
availability_zone = "us-east-1a"
cidr = "10.9.1.0/24"
[[route_table]]
id = "rtb-2"
vpc = "vpc-2"
main = true
routes = [{back}]
[[security_group]]
id = "sg-cache"
vpc = "vpc-2"
ingress = [
    {{ protocol = "tcp", ports = "443", from = "sg-app" }},
    {{ protocol = "icmp", from = "10.0.0.0/16" }},
    {{ protocol = "udp", ports = "53", from = "0.0.0.0/0" }},
]
[[resource]]
name = "cache"
subnet = "subnet-cache"
address = "10.9.1.10"
security_groups = ["sg-cache"]
"#
        )
}

fn usual() -> String {
    peered("10.9.0.0/16", BACK)
}

/// The peer sees the ENI's private address, and a rule there may name a group from here (spec 4.2).
#[test]
fn a_connection_reaches_the_peer_from_the_enis_private_address() {
    let mut world = World::new(&usual());
    let web = world.task("web", 1);
    let (out, link) = world.opens(&syn(web, 40_000, (CACHE, 443)));
    assert_eq!((out.src, out.dst, link), (ENI_A, CACHE, PEER));
    assert_eq!(world.comes_back(link, &answer(out)).dst, web);
    world.connects(web, 40_001, (CACHE, 443));
    world.opens(&ping(web, CACHE, 7));
    assert_eq!(world.refuses(&syn(web, 1, (CACHE, 5432))), Reason::SgEgressImplicitDeny);
}

/// Without a rule that names it, the group of the peer admits nothing; and a rule here may name a
/// group from there.
#[test]
fn references_match_across_an_active_connection_only() {
    let named = r#"{ protocol = "tcp", ports = "5432", to = "sg-db" },"#;
    let across = format!("{named} {{ protocol = \"tcp\", ports = \"6379\", to = \"sg-cache\" }},");
    let lab = with(&usual(), named, &across);
    let lab = with(&lab, r#"ports = "443", from = "sg-app""#, r#"ports = "6379", from = "sg-app""#);
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    world.connects(web, 1, (CACHE, 6379));
    assert_eq!(world.refuses(&syn(web, 1, (DB, 6379))), Reason::SgEgressImplicitDeny);
    // If the connection is deleted, the rule is stale: it matches no sender, although the addresses
    // are the same.
    let deleted =
        with(&lab, "accepter_vpc = \"vpc-2\"", "accepter_vpc = \"vpc-2\"\nstate = \"deleted\"");
    let mut world = World::new(&deleted);
    assert_eq!(
        world.refuses(&syn(world.task("web", 1), 1, (CACHE, 6379))),
        Reason::SgEgressImplicitDeny
    );
}

#[test]
fn a_connection_that_is_not_active_makes_its_routes_blackholes() {
    for state in ["pending-acceptance", "rejected", "expired", "deleted"] {
        let state = format!("accepter_vpc = \"vpc-2\"\nstate = \"{state}\"");
        let mut world = World::new(&with(&usual(), "accepter_vpc = \"vpc-2\"", &state));
        let web = world.task("web", 1);
        assert_eq!(world.refuses(&syn(web, 1, (CACHE, 443))), Reason::RouteBlackhole);
    }
}

/// Neither the peer's internet gateway nor anything else that it can reach (spec 6 "Who may use
/// it", 7.1).
#[test]
fn nothing_behind_the_peer_is_reached() {
    let mut world = World::new(&peered("203.0.113.0/24", BACK));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 443))), Reason::PeeringOutsideCidr);
    let mut world = World::new(&usual());
    let web = world.task("web", 1);
    assert_eq!(
        world.refuses(&syn(web, 1, (Ipv4Addr::new(10, 9, 1, 77), 443))),
        Reason::NoInterface
    );
    assert_eq!(world.refuses(&syn(web, 1, (Ipv4Addr::new(10, 9, 7, 1), 443))), Reason::NoInterface);
}

#[test]
fn the_peer_needs_a_route_back() {
    let blackhole = r#"{ destination = "10.0.1.0/24", target = "blackhole" }"#;
    let table = RouteTableIx(2);
    for (back, rule) in [
        ("", RuleRef::RouteTable(table)),
        (r#"{ destination = "0.0.0.0/0", target = "igw-2" }"#, RuleRef::Route(table, 1)),
        (&format!("{BACK}, {blackhole}"), RuleRef::Route(table, 2)),
    ] {
        let mut world = World::new(&peered("10.9.0.0/16", back));
        let web = world.task("web", 1);
        let denial = world.explain(&syn(web, 1, (CACHE, 443))).denial.unwrap();
        assert_eq!((denial.reason, denial.decided_by), (Reason::ReplyNotRoutedBack, rule));
        // The request arrives nevertheless.
        let (out, link) = world.opens(&syn(web, 1, (CACHE, 443)));
        assert_eq!(link, PEER);
        assert_eq!(world.stays_out(link, &answer(out)), Reason::ReplyNotRoutedBack);
    }
}

/// Routes apply at once, to existing flows too, and the flow continues when the route is there
/// again (spec 4.4).
#[test]
fn a_route_back_that_goes_and_comes_again() {
    let (lab, without) = (usual(), peered("10.9.0.0/16", ""));
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 1, (CACHE, 443));
    let data = segment(out.reversed(), ACK, 501, 101);
    world.comes_back(link, &data);
    world.reload(&without);
    assert_eq!(world.stays_out(link, &data), Reason::ReplyNotRoutedBack);
    world.reload(&lab);
    world.comes_back(link, &data);
    // The route there is removed: requests are dropped, and the peer's packets still arrive (ACLs
    // and its own routes alone decide).
    world.reload(&with(&lab, r#"{ destination = "10.9.0.0/16", target = "pcx" },"#, ""));
    let late = tcp(web, 1, (CACHE, 443), ACK, 101, 501);
    assert_eq!(world.drops_with(&late, 0), Reason::IgwPrivateDestination);
    world.comes_back(link, &data);
    let neither = peered("203.0.113.0/24", "");
    world.reload(&neither);
    assert_eq!(world.stays_out(link, &data), Reason::ReplyNotRoutedBack);
}

#[test]
fn acls_of_both_sides_are_asked_both_ways() {
    let deny = r#"{ rule = 1, action = "deny", protocol = "all", cidr = "0.0.0.0/0" }"#;
    let allow = r#"{ rule = 1, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }"#;
    let acl = |vpc: &str, subnet: &str, egress: &str, ingress: &str| {
        let marked = format!("id = \"{subnet}\"\nvpc = \"{vpc}\"\n");
        let lab = with(&usual(), &marked, &format!("{marked}network_acl = \"acl\"\n"));
        format!(
            "{lab}\n[[network_acl]]\nid = \"acl\"\nvpc = \"{vpc}\"\negress = [{egress}]\ningress = [{ingress}]\n"
        )
    };
    for (lab, request, reply) in [
        (acl("vpc", "subnet-a", deny, allow), Some(Reason::NaclEgressDeny), None),
        (acl("vpc-2", "subnet-cache", allow, deny), Some(Reason::NaclIngressDeny), None),
        (acl("vpc-2", "subnet-cache", deny, allow), None, Some(Reason::NaclReturnDeny)),
        (acl("vpc", "subnet-a", allow, deny), None, Some(Reason::NaclReturnDeny)),
    ] {
        let mut world = World::new(&lab);
        let packet = syn(world.task("web", 1), 1, (CACHE, 443));
        match (request, reply) {
            (Some(reason), _) => assert_eq!(world.refuses(&packet), reason),
            (None, reply) => {
                let (out, link) = world.opens(&packet);
                assert_eq!(Some(world.stays_out(link, &answer(out))), reply);
            }
        }
    }
}

#[test]
fn errors_come_back_from_the_peer_and_go_there() {
    let mut world = World::new(&usual());
    let web = world.task("web", 1);
    let (out, link) = world.opens(&udp(web, 1, (CACHE, 53)));
    let unreachable = builder::icmp_error(CACHE, ENI_A, 3, 3, &datagram(out, b"query"));
    assert_eq!(world.comes_back(link, &unreachable).dst, web);
    let answered = world.comes_back(link, &answer(out));
    let refused = builder::icmp_error(web, CACHE, 3, 3, &datagram(answered, b"answer"));
    let (error, by) = world.passes(&refused);
    assert_eq!((error.src, by), (ENI_A, PEER));
}

/// An idle flow, and its port, end as with any destination.
#[test]
fn flows_to_a_peer_end() {
    let mut world = World::new(&usual());
    world.connects(world.task("web", 1), 1, (CACHE, 443));
    assert_eq!(world.leased(Space::nth_vpc(0), ENI_A), 1);
    world.advance(Duration::from_secs(351));
    world.sweep_ends(1);
    assert_eq!(world.leased(Space::nth_vpc(0), ENI_A), 0);
}

#[test]
fn the_hops_are_listed_in_order() {
    let world = World::new(&usual());
    let evidence = world.explain(&syn(world.task("web", 1), 1, (CACHE, 443)));
    let stages: Vec<Stage> = evidence.steps.iter().map(|step| step.stage).collect();
    let ours = [Stage::NetworkAclEgress, Stage::RouteTable, Stage::Peering];
    let theirs = [Stage::NetworkAclIngress, Stage::SecurityGroupIngress, Stage::Deliver];
    let back = [Stage::NetworkAclReturn, Stage::RouteTableReturn, Stage::NetworkAclReturn];
    assert!(stages.ends_with(&[ours, theirs, back].concat()), "{stages:?}");
    assert_eq!(evidence.denial, None);
}
