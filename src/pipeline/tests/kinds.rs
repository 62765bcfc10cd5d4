//! Tests Lambda functions and Fargate tasks: the same path, by ENIs of their own.

use super::world::*;
use crate::explain::first_candidate;
use crate::flow::{CacheCounters, HandoverRecord, Space, Window};
use crate::packet::{Protocol, Tuple, builder};
use crate::pipeline::{Device, Link, Reason};
use crate::vpc::VpcIx;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::Duration;

const VPC: Link = Link::Vpc(VpcIx(0));
pub(super) const QUERY: (Ipv4Addr, u16) = (DB, 5432);
pub(super) const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);

fn lab() -> String {
    let fargate = |name: &str, subnets: &str, more: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nkind = \"fargate\"\nsubnets = [{subnets}]\n\
             security_groups = [\"sg-app\"]\n{more}\n"
        )
    };
    let both = "\"subnet-a\", \"subnet-b\"";
    [
        LAB.to_owned(),
        "[[service]]\nname = \"resize\"\nkind = \"lambda\"\nvpc_connector = \"connector\"\ntasks = 2\n".to_owned(),
        format!("[[service]]\nname = \"notify\"\nkind = \"lambda\"\nsubnets = [{both}]\nsecurity_groups = [\"sg-app\"]\n"),
        "[[service]]\nname = \"outside\"\nkind = \"lambda\"\n".to_owned(),
        fargate("job", both, "tasks = 3"),
        fargate("edge", "\"subnet-public\"", "assign_public_ip = true"),
        fargate("trap", "\"subnet-public\"", ""),
    ]
    .concat()
}

fn eni(world: &World, task: Ipv4Addr) -> (Ipv4Addr, Option<Ipv4Addr>) {
    let Device::Eni(ix) = world.device_of(task) else { panic!("by no ENI") };
    let eni = world.snapshot.eni(ix);
    (eni.address, eni.public_address())
}

#[test]
fn functions_share_enis_with_each_other_and_with_no_connector() {
    let mut world = World::new(&lab());
    let [first, second, notify] =
        [("resize", 1), ("resize", 2), ("notify", 1)].map(|(name, n)| world.task(name, n));
    assert_eq!(eni(&world, first), eni(&world, notify), "one pair of subnet and groups");
    assert_ne!(eni(&world, first), eni(&world, second), "zones in turn");
    assert_ne!(eni(&world, first), eni(&world, world.task("web", 1)));
    // Their groups are the connector's, so the database admits them.
    let (out, link) = world.connects(first, 40_000, QUERY);
    assert_eq!((out.src, link), (eni(&world, first).0, VPC));
    assert_eq!(world.connects(notify, 40_000, OUT).0.src, NAT_PUBLIC);
    // Without a VPC a function leaves like App Runner's public egress, and reaches no VPC.
    let outside = world.task("outside", 1);
    assert_eq!(world.connects(outside, 40_000, OUT).0.src, APP_RUNNER);
    assert_eq!(world.refuses(&syn(outside, 1, QUERY)), Reason::AppRunnerPrivateDestination);
}

#[test]
fn each_fargate_task_has_an_address_of_its_own_and_keeps_its_ports() {
    let mut world = World::new(&lab());
    let tasks = [1, 2, 3].map(|n| world.task("job", n));
    let addresses = tasks.map(|task| eni(&world, task).0);
    assert!(
        addresses.iter().all(|own| addresses.iter().filter(|other| own == *other).count() == 1)
    );
    for (task, address) in tasks.into_iter().zip(addresses) {
        // All use the same port toward the same destination.
        let (out, _) = world.connects(task, 999, QUERY);
        assert_eq!((out.src, out.sport), (address, 999));
        let evidence = world.explain(&syn(task, 998, QUERY));
        assert_eq!(evidence.outside.map(|outside| outside.sport()), Some(998));
    }
    // Behind it a NAT gateway takes ports as usual.
    let (out, _) = world.connects(tasks[0], 40_000, OUT);
    assert_eq!(out.src, NAT_PUBLIC);
    let (out, _) = world.opens(&ping(tasks[1], DB, 77));
    assert_eq!((out.src, out.sport), (addresses[1], 77), "the identifier of an echo is one too");
    assert_eq!(world.comes_back(VPC, &answer(out)).dst, tasks[1]);
}

#[test]
fn a_public_address_leads_to_the_internet_and_back() {
    let mut world = World::new(&lab());
    let edge = world.task("edge", 1);
    let (private, public) = eni(&world, edge);
    let public = public.unwrap();
    let (out, link) = world.connects(edge, 40_000, OUT);
    assert_eq!((out.src, out.sport, link), (public, 40_000, Link::Internet));
    // Inside the VPC it has its private address.
    assert_eq!(world.connects(edge, 40_000, QUERY).0.src, private);
    // No hop decrements the TTL, as none translates ports: a packet with a TTL of 1 arrives.
    world.passes(&with_ttl(tcp(edge, 40_000, OUT, ACK, 101, 501), 1));

    let sent = segment(out, ACK, 101, 501);
    let error = builder::icmp_error(Ipv4Addr::new(192, 0, 2, 1), public, 11, 0, &sent[..28]);
    let seen = world.arrive(Link::Internet, &error, 0);
    assert_eq!(seen.forwarded().1, Link::Task(edge));
    assert_eq!(icmp_error_of(&seen.bytes), (11, 0, Tuple { src: edge, ..out }));

    // No unsolicited packet comes in: neither to the public address nor to the private one.
    let stray = Tuple { sport: 22, ..out }.reversed();
    assert_eq!(world.stays_out(Link::Internet, &segment(stray, SYN, 1, 0)), Reason::Unsolicited);
    let neighbour = Tuple { src: private, ..out }.reversed();
    assert_eq!(world.stays_out(VPC, &segment(neighbour, SYN, 1, 0)), Reason::Unsolicited);
    assert_eq!(world.refuses(&syn(world.task("web", 1), 1, (private, 443))), Reason::EniAddress);
    assert_eq!(world.refuses(&syn(edge, 1, (public, 443))), Reason::NatHairpin);
    let private_network = (Ipv4Addr::new(192, 168, 0, 1), 443);
    assert_eq!(world.refuses(&syn(edge, 1, private_network)), Reason::IgwPrivateDestination);
}

#[test]
fn without_a_public_address_a_public_subnet_is_the_trap() {
    let mut world = World::new(&lab());
    let packet = syn(world.task("trap", 1), 1, OUT);
    assert_eq!(world.refuses(&packet), Reason::IgwNoPublicAddress);
    let fix = first_candidate(&world.explain(&packet), &world.snapshot).unwrap();
    assert_eq!((fix.id.as_str(), fix.rule.as_str()), ("trap", "assign_public_ip = true"));
    assert!(fix.at > 0);
    assert_eq!(world.connects(world.task("trap", 1), 1, QUERY).0.sport, 1);
}

#[test]
fn the_reply_crosses_the_acl_of_the_tasks_subnet() {
    let acl = "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n\
         egress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]\n\
         ingress = [{ rule = 100, action = \"allow\", protocol = \"tcp\", ports = \"1024-65535\", cidr = \"0.0.0.0/0\" }]\n";
    let lab = with(
        &lab(),
        "route_table = \"rtb-public\"",
        "route_table = \"rtb-public\"\nnetwork_acl = \"acl\"",
    );
    let mut world = World::new(&format!("{lab}{acl}"));
    let edge = world.task("edge", 1);
    world.connects(edge, 1024, OUT);
    // The port is the task's own, and rules judge a reply by it.
    let (out, link) = world.opens(&syn(edge, 1023, OUT));
    assert_eq!(world.stays_out(link, &answer(out)), Reason::NaclReturnImplicitDeny);
}

#[test]
fn a_port_is_free_again_at_once_and_flows_are_limited() {
    let mut world = World::new(&format!("{}[limits]\neni_connections = 1\n", lab()));
    let job = world.task("job", 1);
    let (first, second) = (udp(job, 5353, (DB, 53)), udp(job, 5354, (DB, 53)));
    let (out, _) = world.opens(&first);
    assert_eq!(world.refuses(&second), Reason::EniPortsExhausted);
    assert_eq!(world.explain(&second).denial.unwrap().reason, Reason::EniPortsExhausted);
    assert_eq!(world.leased(Space::nth_vpc(0), out.src), 1);
    world.advance(Duration::from_secs(121));
    world.sweep_ends(1);
    assert_eq!(world.opens(&first).0, out, "no quarantine");
}

#[test]
fn a_reload_that_takes_the_public_address_moves_its_flows_and_no_others() {
    let mut world = World::new(&lab());
    let edge = world.task("edge", 1);
    world.connects(edge, 40_000, OUT);
    let (inside, _) = world.connects(edge, 40_000, QUERY);
    let (private, _) = eni(&world, edge);
    world.reload(&with(&lab(), "assign_public_ip = true", "assign_public_ip = false"));
    assert_eq!(eni(&world, edge), (private, None), "the ENI stays");
    let data = |to| tcp(edge, 40_000, to, ACK, 101, 501);
    assert_eq!(world.passes(&data(QUERY)).0, inside);
    let reason = world.refuses(&data(OUT));
    assert_eq!(reason, Reason::IgwNoPublicAddress);
    world.reload(&lab());
    assert_ne!(eni(&world, edge).1, None);
}

#[test]
fn another_process_goes_on_with_any_port() {
    let mut before = World::new(&lab());
    let edge = before.task("edge", 1);
    let flows = [before.connects(edge, 80, OUT).0, before.connects(edge, 80, QUERY).0];
    let mut world = World::seeded(&lab(), 2);
    world.now = before.now;
    let passed = CacheCounters {
        packets: 1,
        segments: 1,
        bytes: 40,
        last_seen: before.now,
        window: Window { end: 501, ack: 501, claimed: 0 },
    };
    before.engine.flows().for_each(|entry| {
        let record = HandoverRecord::of(&entry.flow);
        world.engine.adopt(world.now, &world.snapshot, &record, [passed; 2]).unwrap();
    });
    world.flows_begin(2);
    for (to, tuple) in [(OUT, flows[0]), (QUERY, flows[1])] {
        assert_eq!(world.passes(&tcp(edge, 80, to, ACK, 101, 501)).0, tuple);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any packet of a Fargate task, if no NAT gateway is on the path: its own address, its own
    /// port, and back.
    #[test]
    fn a_fargate_task_keeps_the_source_port(
        port in 1_u16..,
        which in 0_usize..4,
        protocol in prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp)],
        outside: bool,
    ) {
        let mut world = World::new(&lab());
        let (name, number) = [("job", 1), ("job", 2), ("edge", 1), ("edge", 1)][which];
        let task = world.task(name, number);
        let (private, public) = eni(&world, task);
        let to_internet = outside && public.is_some();
        let to = if to_internet { EXAMPLE } else { DB };
        let packet = match protocol {
            Protocol::Tcp => syn(task, port, (to, if to_internet { 443 } else { 5432 })),
            Protocol::Udp => udp(task, port, (to, 53)),
            _ => ping(task, to, port),
        };
        let (out, link) = world.opens(&packet);
        prop_assert_eq!(out.sport, port);
        prop_assert_eq!(out.src, if to_internet { public.unwrap() } else { private });
        let back = world.comes_back(link, &answer(out));
        prop_assert_eq!((back.src, back.dst), (to, task));
        prop_assert_eq!(back.dport, port);
    }
}
