//! Tests packets after a NAT gateway without the internet: private gateways, and public ones on the
//! path to a private destination. The gateway's own subnet decides the route, and the destination
//! sees the gateway's private address (spec 6, 13).

use super::peering::{CACHE, peered};
use super::world::*;
use crate::packet::field::ipv4;
use crate::pipeline::{Detail, Device, Link, Outcome, Reason, Stage, Verdict};
use crate::vpc::VpcIx;
use std::net::Ipv4Addr;

const NAT: &str = "public_ip = \"198.51.100.7\"";
const ROUTE: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;
const FROM_APP: &str = r#"{ protocol = "tcp", ports = "5432", from = "sg-app" },"#;
const VPC: Link = Link::Vpc(VpcIx(0));
const TO_DB: (Ipv4Addr, u16) = (DB, 5432);

/// Returns a lab in which the gateway is on the path to the database's subnet, and the database
/// admits it.
fn detour(gateway: &str) -> String {
    let route = format!("{ROUTE} {{ destination = \"10.0.3.0/24\", target = \"nat\" }},");
    let lab = with(&with(LAB, ROUTE, &route), NAT, gateway);
    with(&lab, FROM_APP, r#"{ protocol = "tcp", ports = "5432", from = "10.0.0.0/24" },"#)
}

/// Adds ACLs on the gateway's subnet and the database's that allow these ports in and out, and
/// nothing else.
fn with_acl(lab: &str, subnet: &str, egress: &str, ingress: &str) -> String {
    let table = format!("{subnet}\"\n");
    let at = format!("id = \"{table}");
    let named = with(lab, &at, &format!("{at}network_acl = \"acl\"\n"));
    let rule = |ports: &str| {
        format!(
            "[{{ rule = 1, action = \"allow\", protocol = \"tcp\", ports = \"{ports}\", cidr = \"10.0.0.0/16\" }}]"
        )
    };
    format!(
        "{named}\n[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = {}\ningress = {}\n",
        rule(egress),
        rule(ingress)
    )
}

#[test]
fn a_private_gateway_delivers_within_the_vpc_with_its_own_address() {
    let mut world = World::new(&detour("connectivity = \"private\""));
    let (out, link) = world.connects(world.task("web", 1), 1, TO_DB);
    assert_eq!((out.src, link), (NAT_PRIVATE, VPC));
    let owner = world.device_toward(VPC, out.src);
    assert!(matches!(owner, Device::NatGateway(_)), "replies come to the gateway: {owner:?}");
}

/// Spec 6: inside the VPC the peer sees the private address even of a public gateway.
#[test]
fn a_public_gateway_shows_its_private_address_inside_the_vpc_and_its_public_one_outside() {
    let mut world = World::new(&detour(NAT));
    let web = world.task("web", 1);
    assert_eq!(world.connects(web, 1, TO_DB).0.src, NAT_PRIVATE);
    assert_eq!(world.connects(web, 2, (EXAMPLE, 443)).0.src, NAT_PUBLIC);
    let tallies = world.engine.tallies(&world.snapshot);
    assert_eq!(tallies.len(), 1, "one path, whichever way it goes on");
}

/// Surprise 10: behind a middlebox a reference to a group matches no sender, and a CIDR block does.
#[test]
fn surprise_10_a_reference_to_a_group_does_not_match_behind_a_nat_gateway() {
    let route = format!("{ROUTE} {{ destination = \"10.0.3.0/24\", target = \"nat\" }},");
    let mut world = World::new(&with(LAB, ROUTE, &route));
    let web = world.task("web", 1);
    let packet = syn(web, 1, TO_DB);
    assert_eq!(world.refuses(&packet), Reason::SgIngressBehindNat);
    let evidence = world.explain(&packet);
    let dropped = evidence.steps.last().unwrap();
    assert_eq!((dropped.stage, dropped.outcome), (Stage::SecurityGroupIngress, Outcome::Drop));
    assert!(matches!(dropped.detail, Detail::NearMiss(miss, _) if !miss.peer && miss.ports));
    // If even the ENI's would not match, it is the usual denial.
    let closed = with(&with(LAB, ROUTE, &route), FROM_APP, "");
    let mut world = World::new(&closed);
    assert_eq!(world.refuses(&packet), Reason::SgIngressImplicitDeny);
}

/// Surprise 7: both legs cross the ACL of the gateway's subnet, there and back, and the replies
/// need the ephemeral ports.
#[test]
fn surprise_7_both_legs_cross_the_acl_of_the_gateways_subnet() {
    let lab = detour("connectivity = \"private\"");
    let sent = |egress: &str, ingress: &str| {
        let mut world = World::new(&with_acl(&lab, "subnet-public", egress, ingress));
        let packet = syn(world.task("web", 1), 1, TO_DB);
        let evidence = world.explain(&packet);
        let crossings = evidence.steps.iter().filter(|step| {
            matches!(step.stage, Stage::NetworkAclEgress | Stage::NetworkAclIngress | Stage::NetworkAclReturn)
                && matches!(step.component, crate::pipeline::Component::NetworkAcl(_, s) if world.snapshot.subnet(s).id == "subnet-public")
        });
        let crossings = crossings.count();
        match evidence.denial {
            None => {
                world.connects(world.task("web", 1), 1, TO_DB);
                Ok(crossings)
            }
            Some(denial) => Err((denial.reason, crossings)),
        }
    };
    assert_eq!(sent("1-65535", "1-65535"), Ok(4), "in, out, and both again for the reply");
    assert_eq!(sent("1-65535", "1-1023"), Err((Reason::NaclIngressImplicitDeny, 1)));
    assert_eq!(sent("1-1023", "1-65535"), Err((Reason::NaclEgressImplicitDeny, 2)));
    assert_eq!(sent("1024-65535", "5432"), Err((Reason::NaclReturnImplicitDeny, 3)));
    assert_eq!(sent("5432", "1024-65535"), Err((Reason::NaclReturnImplicitDeny, 4)));
}

#[test]
fn the_destinations_own_acl_sees_the_gateways_address() {
    let lab = detour("connectivity = \"private\"");
    let acl = |cidr: &str| {
        with_acl(&lab, "subnet-data", "1-65535", "1-65535")
            .replace("10.0.0.0/16\" }]", &format!("{cidr}\" }}]"))
    };
    let mut world = World::new(&acl("10.0.0.0/24"));
    world.connects(world.task("web", 1), 1, TO_DB);
    let mut world = World::new(&acl("10.0.1.0/24"));
    let packet = syn(world.task("web", 1), 1, TO_DB);
    assert_eq!(world.refuses(&packet), Reason::NaclIngressImplicitDeny);
}

/// In the gateway's own subnet neither an ACL nor a route is asked after it (surprise 16).
#[test]
fn a_neighbour_of_the_gateway_is_reached_without_acl_and_route() {
    let neighbour = r#"
[[resource]]
name = "near"
subnet = "subnet-public"
address = "10.0.0.50"
security_groups = ["sg-db"]
"#;
    let route = format!("{ROUTE} {{ destination = \"10.0.0.0/24\", target = \"nat\" }},");
    let lab = with(&with(LAB, ROUTE, &route), NAT, "connectivity = \"private\"") + neighbour;
    let lab = with(&lab, FROM_APP, r#"{ protocol = "tcp", ports = "443", from = "10.0.0.0/24" },"#);
    let mut world = World::new(&with_acl(&lab, "subnet-public", "1024-65535", "443"));
    let near = (Ipv4Addr::new(10, 0, 0, 50), 443);
    let (out, link) = world.connects(world.task("web", 1), 1, near);
    assert_eq!((out.src, link), (NAT_PRIVATE, VPC));
}

/// Returns a lab in which a private gateway, whose own subnet has the route to the connection, is
/// on the path to a peered VPC.
fn through_the_gateway() -> String {
    let back = r#"{ destination = "10.0.0.0/16", target = "pcx" }"#;
    let lab = peered("10.9.0.0/16", back);
    let there = r#"{ destination = "10.9.0.0/16", target = "pcx" },"#;
    let lab = with(&lab, there, "");
    let lab =
        with(&lab, r#"{ destination = "0.0.0.0/0", target = "igw" }"#, there.trim_end_matches(','));
    with(
        &with(&lab, NAT, "connectivity = \"private\""),
        r#"from = "sg-app" },
    { protocol = "icmp", from = "10.0.0.0/16" },"#,
        r#"from = "10.0.0.0/24" },"#,
    )
}

#[test]
fn a_private_gateway_leads_into_a_peered_vpc() {
    let mut world = World::new(&through_the_gateway());
    let (out, link) = world.connects(world.task("web", 1), 1, (CACHE, 443));
    assert_eq!((out.src, link), (NAT_PRIVATE, Link::Vpc(VpcIx(1))));
}

#[test]
fn a_private_gateway_leads_to_a_gateway_endpoint() {
    let endpoint = r#"
[[prefix_list]]
id = "pl-s3"
entries = ["203.0.113.0/24"]
[[vpc_endpoint]]
id = "vpce-s3"
vpc = "vpc"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-s3"
route_tables = ["rtb-public"]
"#;
    let mut world = World::new(&(with(LAB, NAT, "connectivity = \"private\"") + endpoint));
    let (out, link) = world.connects(world.task("web", 1), 1, (EXAMPLE, 443));
    assert_eq!(out.src, NAT_PRIVATE);
    assert!(matches!(link, Link::Endpoint(_)), "{link:?}");
}

/// If the gateway's subnet leads only to the internet by now, the gateway's private address has no
/// meaning there.
#[test]
fn regression_replies_get_no_answer_where_requests_may_not_go() {
    let mut world = World::new(&through_the_gateway());
    let (out, link) = world.opens(&syn(world.task("web", 1), 1, (CACHE, 443)));
    let late = with_ttl(answer(out), 1);
    let seen = world.arrive(link, &late, 0);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
    let removed =
        with(&through_the_gateway(), r#"{ destination = "10.9.0.0/16", target = "pcx" }"#, "");
    world.reload(&removed);
    let seen = world.arrive(link, &late, 0);
    let drop = matches!(seen.verdict, Verdict::Drop { reason: Reason::TtlExpiredNoAnswer, .. });
    assert!(drop, "{seen:?}");
    let back = segment(out.reversed(), SYN_ACK, 500, 101);
    world.comes_back(link, &back);
}

/// The internet's MTU does not concern a flow that does not go there.
#[test]
fn regression_the_mss_is_that_of_the_links_on_the_way() {
    let lab = format!("mtu = 9001\ninternet_mtu = 1400\n{}", detour("connectivity = \"private\""));
    let mut world = World::new(&lab);
    world.opens(&syn(world.task("web", 1), 1, TO_DB));
    let mtu = world.snapshot.parts().mtu;
    let mut seen = Vec::new();
    world.engine.flows().for_each(|entry| match entry.outcome {
        crate::pipeline::FlowOutcome::Forward(forward) => seen.push(forward.max_mss),
        crate::pipeline::FlowOutcome::Drop(denial) => panic!("{denial:?}"),
    });
    assert_eq!((seen, mtu.internet), (vec![Some(mtu.task.min(mtu.vpc) - 40)], 1400));
}

/// A private address does not pass an internet gateway.
#[test]
fn a_private_gateway_has_no_internet_whatever_else_it_reaches() {
    let mut world = World::new(&detour("connectivity = \"private\""));
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (EXAMPLE, 443))), Reason::IgwPrivateNat);
    world.connects(web, 2, TO_DB);
}

#[test]
fn the_gateway_is_a_hop_and_clamps_the_mss() {
    let mut world = World::new(&detour("connectivity = \"private\""));
    let web = world.task("web", 1);
    let device = world.device_of(web);
    let (out, _) = world.opens(&syn(web, 1, TO_DB));
    let seen = world.step(device, &with_ttl(tcp(web, 1, TO_DB, ACK, 101, 501), 1), 0);
    assert_eq!(seen.reason(), Some(Reason::TtlExpired));
    assert_eq!(source(&seen.bytes), NAT_PRIVATE, "traceroute shows the private address");
    let seen = world.step(device, &with_ttl(tcp(web, 1, TO_DB, ACK, 101, 501), 9), 0);
    assert_eq!(seen.bytes[ipv4::TTL], 8);
    let mut forwards = 0;
    world.engine.flows().for_each(|entry| {
        let crate::pipeline::FlowOutcome::Forward(forward) = entry.outcome else { panic!() };
        assert!(forward.max_mss.is_some());
        forwards += 1;
    });
    assert_eq!((forwards, out.src), (1, NAT_PRIVATE));
}

/// An error about such a flow comes to the gateway's private address, and reaches the task as one
/// about its own packet.
#[test]
fn icmp_errors_find_their_flow() {
    let mut world = World::new(&detour("connectivity = \"private\""));
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 1, TO_DB);
    let quoted = segment(out, ACK, 101, 501);
    let error = crate::packet::builder::icmp_error(DB, out.src, 3, 3, &quoted);
    let seen = world.arrive(link, &error, 0);
    let (_, _, reported) = icmp_error_of(&seen.bytes);
    assert_eq!((reported.src, reported.sport, reported.dst, reported.dport), (web, 1, DB, 5432));
}

#[test]
fn every_address_of_a_private_gateway_is_used_in_turn() {
    let mut world =
        World::new(&detour("connectivity = \"private\"\nsecondary_private_ip_count = 2"));
    let web = world.task("web", 1);
    let seen: Vec<u8> =
        (1..=4).map(|sport| world.connects(web, sport, TO_DB).0.src.octets()[3]).collect();
    assert_eq!(seen, [4, 5, 6, 4]);
}

#[test]
fn a_flow_stays_over_a_reload_and_ends_where_its_way_is_another() {
    let lab = detour("connectivity = \"private\"");
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let first = world.connects(web, 1, TO_DB).0;
    world.reload(&lab);
    assert_eq!(world.passes(&tcp(web, 1, TO_DB, ACK, 101, 501)).0, first);
    world.reload(&with(&lab, r#"{ destination = "10.0.3.0/24", target = "nat" },"#, ""));
    assert_eq!(world.drops_with(&tcp(web, 1, TO_DB, ACK, 101, 501), -1), Reason::FlowMoved);
}
