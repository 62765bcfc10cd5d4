//! Tests public endpoints of applications in a VPC: user space and its flows know them by their
//! public addresses only; the VPC's internet gateway maps these 1:1, and translates nothing inside
//! a message (spec 3.6).

use super::adoption::successor;
use super::world::*;
use crate::flow::Space;
use crate::packet::field::{icmp, ipv4, u16_at};
use crate::packet::{Tuple, builder};
use crate::pipeline::{Component, Detail, Evidence, Link, Outcome, Reason, Stage, Verdict};
use crate::vpc::ResourceIx;
use std::net::Ipv4Addr;

const API: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);
const OTHER_API: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 51);
/// The address of both in their VPCs, and that of `neighbour` in the task's.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const HTTPS: (Ipv4Addr, u16) = (API, 443);
const DNS: (Ipv4Addr, u16) = (API, 53);

/// Returns [`LAB`] with two more VPCs, each with a public endpoint.
fn lab() -> String {
    let vpc = |name: &str, public: Ipv4Addr| {
        format!(
            r#"
[[vpc]]
id = "vpc-{name}"
cidr = "10.0.0.0/16"
internet_gateway = "igw-{name}"
[[subnet]]
id = "subnet-{name}"
vpc = "vpc-{name}"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-{name}"
[[route_table]]
id = "rtb-{name}"
vpc = "vpc-{name}"
routes = [{{ destination = "0.0.0.0/0", target = "igw-{name}" }}]
[[security_group]]
id = "sg-{name}"
vpc = "vpc-{name}"
ingress = [{{ protocol = "all", from = "198.51.100.0/24" }}]
[[resource]]
name = "{name}"
subnet = "subnet-{name}"
address = "{PRIVATE}"
public_ip = "{public}"
security_groups = ["sg-{name}"]
"#
        )
    };
    LAB.to_owned() + &vpc("api", API) + &vpc("other", OTHER_API)
}

fn endpoint(world: &World, public: Ipv4Addr) -> ResourceIx {
    world.snapshot.public_endpoint(public).unwrap()
}

/// Returns the packet that the endpoint received, as its kernel has it.
fn at_endpoint(out: Tuple) -> Tuple {
    Tuple { dst: PRIVATE, ..out }
}

/// Returns the beginning of a packet, as an error quotes it.
fn quote(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(ipv4::MIN_LEN + 8)]
}

/// Returns the translation that an internet gateway makes of a request into its VPC.
fn mapping(evidence: &Evidence) -> (Component, Tuple, Tuple) {
    let enters = |step: &&crate::pipeline::Step| {
        step.stage == Stage::InternetGateway && step.outcome == Outcome::Translate
    };
    let step = evidence.steps.iter().rev().find(enters).unwrap();
    let Detail::Translated { before, after } = step.detail else { panic!("{step:?}") };
    (step.component, before, after)
}

#[test]
fn the_internet_gateway_maps_the_address_and_keeps_ports() {
    let mut world = World::new(&lab());
    for (service, sender) in [("web", NAT_PUBLIC), ("public", APP_RUNNER)] {
        let task = world.task(service, 1);
        for (public, name) in [(API, "vpc-api"), (OTHER_API, "vpc-other")] {
            let (component, before, after) = mapping(&world.explain(&syn(task, 1, (public, 443))));
            let Component::InternetGateway(vpc) = component else { panic!("{component:?}") };
            assert_eq!(world.snapshot.vpc(vpc).id, name);
            assert_eq!((before.src, before.dst), (sender, public));
            assert_eq!(after, at_endpoint(before));
            let (out, link) = world.connects(task, 40_000, (public, 443));
            assert_eq!(link, Link::PublicEndpoint(endpoint(&world, public)));
            assert_eq!((out.src, out.dst, out.dport), (sender, public, 443));
        }
        assert_eq!(world.leased(Space::INTERNET, sender), 2);
    }
}

/// The flow of the handover was admitted by the groups of one of them. The next process's file may
/// give the address to another.
#[test]
fn a_flow_that_is_handed_over_ends_where_another_resource_has_its_public_address() {
    let mut before = World::new(&lab());
    let task = before.task("web", 1);
    before.connects(task, 40_000, HTTPS);
    let data = tcp(task, 40_000, HTTPS, ACK, 101, 501);
    let public = |address: Ipv4Addr| format!("public_ip = \"{address}\"");
    let unused = public(Ipv4Addr::new(203, 0, 113, 99));
    let moved = lab()
        .replace(&public(API), &unused)
        .replace(&public(OTHER_API), &public(API))
        .replace(&unused, &public(OTHER_API));
    let mut world = successor(&before, &moved, before.now, 0);
    assert_eq!(world.refuses(&data), Reason::TcpNoFlow);
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
    let mut world = successor(&before, &lab(), before.now, 1);
    world.passes(&data);
}

/// The packet as the task sent it has the public address, by which its kernel knows the connection.
#[test]
fn an_error_from_the_endpoint_quotes_its_private_address_and_the_task_gets_its_own_packet() {
    let mut world = World::new(&lab());
    for service in ["web", "public"] {
        let task = world.task(service, 1);
        let (tcp_out, link) = world.connects(task, 40_000, HTTPS);
        let (udp_out, _) = world.opens(&udp(task, 5353, DNS));
        let (ping_out, _) = world.opens(&ping(task, API, 7));
        let packets = [
            (tcp_out, segment(at_endpoint(tcp_out), ACK, 101, 501), 40_000),
            (udp_out, datagram(at_endpoint(udp_out), b"query"), 5353),
            (ping_out, ping(ping_out.src, PRIVATE, ping_out.sport), 7),
        ];
        for (out, packet, port) in packets {
            let error = builder::icmp_error(API, out.src, 3, 3, quote(&packet));
            let seen = world.arrive(link, &error, 0);
            let (tuple, to) = seen.forwarded();
            assert_eq!((tuple.src, tuple.dst, to), (API, task, Link::Task(task)));
            let own = Tuple { src: task, sport: port, ..out };
            assert_eq!(icmp_error_of(&seen.bytes), (3, 3, own));
        }
    }
}

#[test]
fn an_error_from_the_task_shows_the_endpoint_its_own_packet() {
    let mut world = World::new(&lab());
    for (service, sender) in [("web", NAT_PUBLIC), ("public", APP_RUNNER)] {
        let task = world.task(service, 1);
        let (out, link) = world.opens(&udp(task, 5353, DNS));
        let reply = world.arrive(link, &answer(out), 0).bytes;
        let error = builder::icmp_error(task, API, 3, 3, quote(&reply));
        let seen = world.step(world.device_of(task), &error, 0);
        let (tuple, to) = seen.forwarded();
        assert_eq!((tuple.src, tuple.dst, to), (sender, API, link));
        assert_eq!(icmp_error_of(&seen.bytes), (3, 3, at_endpoint(out).reversed()));
    }
}

#[test]
fn errors_of_a_gateway_to_the_endpoint_quote_its_private_address() {
    for (service, sender) in [("web", NAT_PUBLIC), ("public", APP_RUNNER)] {
        let mut world = World::new(&lab());
        let (out, link) = world.opens(&udp(world.task(service, 1), 5353, DNS));
        let large = datagram(out.reversed(), &[3; 3000]);
        let mut replies = vec![(large, (3, 4), Reason::MtuExceeded)];
        // App Runner's own NAT is not a hop.
        if service == "web" {
            replies.push((with_ttl(answer(out), 1), (11, 0), Reason::TtlExpired));
        }
        for (reply, (icmp_type, code), reason) in replies {
            let seen = world.arrive(link, &reply, 0);
            assert_eq!(seen.reason(), Some(reason));
            assert!(matches!(seen.verdict, Verdict::Reply { .. }), "{seen:?}");
            assert_eq!((source(&seen.bytes), destination(&seen.bytes)), (sender, API));
            let own = at_endpoint(out).reversed();
            assert_eq!(icmp_error_of(&seen.bytes), (icmp_type, code, own));
            if icmp_type == 3 {
                assert_eq!(u16_at(&seen.bytes, ipv4::MIN_LEN + icmp::NEXT_HOP_MTU), 1500);
            }
        }
    }
}

/// The task's own VPC has the address too.
#[test]
fn endpoints_with_one_private_address_in_two_vpcs_do_not_collide() {
    let group = "{ protocol = \"tcp\", ports = \"443\", to = \"0.0.0.0/0\" },";
    let more = "{ protocol = \"tcp\", ports = \"5432\", from = \"sg-app\" },";
    let admitting =
        format!("{more}\n    {{ protocol = \"tcp\", ports = \"443\", from = \"sg-app\" }},");
    let text = with(&lab(), more, &admitting);
    assert!(text.contains(group));
    let mut world = World::new(&text);
    let web = world.task("web", 1);
    let (local, _) = world.connects(web, 40_000, (PRIVATE, 443));
    let (api, api_link) = world.connects(web, 40_000, HTTPS);
    let (other, other_link) = world.connects(web, 40_000, (OTHER_API, 443));
    assert_eq!(local.dst, PRIVATE);
    assert_ne!(api_link, other_link);
    for (out, link, public) in [(api, api_link, API), (other, other_link, OTHER_API)] {
        let back = world.comes_back(link, &segment(out.reversed(), ACK, 501, 101));
        assert_eq!((back.src, back.dport), (public, 40_000));
        // Both quote the same private address: the sender shows which VPC it belongs to.
        let packet = segment(at_endpoint(out), ACK, 101, 501);
        let error = builder::icmp_error(public, NAT_PUBLIC, 3, 1, quote(&packet));
        let seen = world.arrive(link, &error, 0);
        assert_eq!(icmp_error_of(&seen.bytes).2.dst, public);
    }
    // An error from another sender quotes the packet as it crossed the internet.
    let router = Ipv4Addr::new(192, 0, 2, 1);
    let packet = segment(at_endpoint(api), ACK, 101, 501);
    let error = builder::icmp_error(router, NAT_PUBLIC, 11, 0, quote(&packet));
    assert_eq!(world.stays_out(Link::Internet, &error), Reason::IcmpErrorNoFlow);
}

#[test]
fn a_reload_without_the_route_of_the_endpoints_table_denies_replies_at_once() {
    let route = r#"routes = [{ destination = "0.0.0.0/0", target = "igw-api" }]"#;
    let mut world = World::new(&lab());
    let flows = ["web", "public"].map(|service| {
        let task = world.task(service, 1);
        (task, world.connects(task, 40_000, HTTPS))
    });
    world.reload(&with(&lab(), route, ""));
    for (task, (out, link)) in flows {
        let reply = segment(out.reversed(), ACK, 501, 101);
        assert_eq!(world.stays_out(link, &reply), Reason::ReplyNotRoutedBack);
        assert_eq!(world.passes(&tcp(task, 40_000, HTTPS, ACK, 101, 501)).0, out);
    }
    world.reload(&lab());
    for (task, (out, link)) in flows {
        let reply = segment(out.reversed(), ACK, 501, 101);
        assert_eq!(world.comes_back(link, &reply).dst, task);
    }
}
