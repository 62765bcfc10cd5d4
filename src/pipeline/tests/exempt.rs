//! Tests exempt addresses (spec 4.3, 8): no security group, no ACL, no flow, no translation, and no
//! other sender may use them.

use super::network_acl::{HOME, acl};
use super::security_group::EGRESS;
use super::world::*;
use crate::packet::{Packet, VnetHeader, builder};
use crate::pipeline::{Detail, Device, Link, Reason, Stage};
use crate::vpc::exempt::Service;
use crate::vpc::{EniIx, NatGatewayIx, VpcIx};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const VPC_RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
const TIME_SYNC: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 123);
const TASK_METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
const SERVED: [Ipv4Addr; 4] = [VPC_RESOLVER, RESOLVER, TIME_SYNC, TASK_METADATA];
const VPC: &str = "cidr = \"10.0.0.0/16\"";

/// Checks that a packet passes to the service and back, byte by byte.
#[track_caller]
fn passes_untouched(world: &mut World, packet: &[u8]) {
    let (device, task) = (world.device_of(source(packet)), source(packet));
    let sent = world.step(device, packet, 0);
    assert_eq!(sent.forwarded().1, Link::Services, "{packet:?}");
    assert_eq!(sent.bytes, packet);
    let reply = answer(sent.tuple.unwrap());
    let came = world.step(device, &reply, 0);
    assert_eq!(came.forwarded().1, Link::Task(task));
    assert_eq!(came.bytes, reply);
}

/// Surprise 11 of spec 14.
#[test]
fn security_group_egress_without_port_53_still_resolves() {
    for rules in
        ["egress = []", r#"egress = [{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" }]"#]
    {
        let mut world = World::new(&with(LAB, EGRESS, rules));
        let web = world.task("web", 1);
        for to in SERVED {
            passes_untouched(&mut world, &udp(web, 5353, (to, 53)));
            passes_untouched(&mut world, &syn(web, 5353, (to, 53)));
            passes_untouched(&mut world, &tcp(web, 5353, (to, 53), ACK, 7, 9));
            passes_untouched(&mut world, &ping(web, to, 3));
        }
        assert_eq!(
            world.refuses(&udp(web, 5353, (EXAMPLE, 53))).stage(),
            Stage::SecurityGroupEgress
        );
        assert_eq!(world.leased(world.snapshot.space(VpcIx(0)), ENI_A), 0, "no port was taken");
    }
}

#[test]
fn no_network_acl_filters_it() {
    let mut world = World::new(&acl(HOME, "", ""));
    let web = world.task("web", 1);
    passes_untouched(&mut world, &udp(web, 5353, (VPC_RESOLVER, 53)));
    let evidence = world.explain(&udp(web, 5353, (VPC_RESOLVER, 53)));
    assert_eq!(evidence.denial, None);
    assert_eq!(evidence.outside.unwrap().tuple(), evidence.inside.tuple());
    let last = evidence.steps.last().unwrap();
    assert_eq!(
        (last.stage, last.detail),
        (Stage::ExemptAddress, Detail::Exempt(Service::Resolver))
    );
}

#[test]
fn a_service_without_a_connector_has_a_resolver_too() {
    let mut world = World::new(LAB);
    let public = world.task("public", 1);
    passes_untouched(&mut world, &udp(public, 5353, (RESOLVER, 53)));
    passes_untouched(&mut world, &syn(public, 5353, (TASK_METADATA, 80)));
    let reason = world.refuses(&udp(public, 5353, (VPC_RESOLVER, 53)));
    assert_eq!(reason, Reason::AppRunnerPrivateDestination, "no VPC's");
}

#[test]
fn fragments_and_errors_pass_without_a_flow_as_well() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (from, to) = (SocketAddrV4::new(web, 1), SocketAddrV4::new(VPC_RESOLVER, 53));
    let whole = with_byte(builder::udp(from, to, &[0; 2000]), 6, 0);
    for fragment in super::fragments::split(&whole, 1, 1480).iter().rev() {
        let sent = world.step(world.device_of(web), fragment, 0);
        assert_eq!(sent.forwarded().1, Link::Services);
    }
    let error = builder::icmp_error(VPC_RESOLVER, web, 3, 3, &udp(web, 1, (VPC_RESOLVER, 99)));
    assert_eq!(world.step(world.device_of(web), &error, 0).forwarded().1, Link::Task(web));
}

/// AWS keeps the limit for each network interface, and it counts packets, not questions.
#[test]
fn an_eni_sends_1024_packets_per_second_to_the_resolver() {
    let mut world = World::new(LAB);
    let (web, other) = (world.task("web", 1), world.task("web", 2));
    for n in 0..1024 {
        let to = if n % 2 == 0 { VPC_RESOLVER } else { RESOLVER };
        world.passes_exempt(&udp(web, 5353, (to, 53)));
    }
    for to in [VPC_RESOLVER, RESOLVER] {
        assert_eq!(world.refuses(&udp(web, 5353, (to, 53))), Reason::DnsThrottled);
    }
    let same_eni = world.task("web", 3);
    assert_eq!(world.device_of(web), world.device_of(same_eni));
    assert_eq!(world.refuses(&syn(same_eni, 1, (RESOLVER, 53))), Reason::DnsThrottled);
    world.passes_exempt(&udp(other, 5353, (VPC_RESOLVER, 53)));
    world.passes_exempt(&udp(web, 123, (TIME_SYNC, 123)));
    world.advance(Duration::from_millis(999));
    assert_eq!(world.refuses(&udp(web, 5353, (RESOLVER, 53))), Reason::DnsThrottled);
    world.advance(Duration::from_millis(1));
    world.passes_exempt(&udp(web, 5353, (RESOLVER, 53)));
}

#[test]
fn regression_a_throttled_packet_is_not_reported_as_delivered() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let question = udp(web, 5353, (VPC_RESOLVER, 53));
    (0..1024).for_each(|_| world.passes_exempt(&question));
    let mut steps: Vec<crate::pipeline::Step> = Vec::new();
    let device = world.device_of(web);
    let verdict = world.push_with(device, &question, &mut steps).unwrap();
    assert!(matches!(verdict, crate::pipeline::Verdict::Drop { .. }), "{verdict:?}");
    let reported: Vec<_> = steps.iter().map(|step| (step.stage, step.outcome)).collect();
    assert_eq!(reported.last(), Some(&(Stage::ExemptAddress, crate::pipeline::Outcome::Drop)));
    assert!(!reported.iter().any(|(_, outcome)| *outcome == crate::pipeline::Outcome::Deliver));
}

#[test]
fn without_dns_support_only_the_resolver_is_silent() {
    let mut world = World::new(&with(LAB, VPC, &format!("{VPC}\nenable_dns_support = false")));
    let (web, public) = (world.task("web", 1), world.task("public", 1));
    for to in [VPC_RESOLVER, RESOLVER] {
        let question = udp(web, 5353, (to, 53));
        assert_eq!(world.explain(&question).denial.unwrap().reason, Reason::DnsSupportDisabled);
        assert_eq!(world.refuses(&question), Reason::DnsSupportDisabled);
    }
    passes_untouched(&mut world, &udp(web, 123, (TIME_SYNC, 123)));
    passes_untouched(&mut world, &udp(public, 5353, (RESOLVER, 53)));
}

/// A packet from a VPC or the internet comes to an ENI's, a gateway's or App Runner's own address:
/// with an exempt source it gets no further. (With a task's address as destination it does not even
/// come to a device: `netns-tests/dns.rs`.)
#[test]
fn an_exempt_source_from_elsewhere_reaches_no_task() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    world.connects(web, 7, (DB, 5432));
    let places = [
        (Device::Eni(EniIx(0)), ENI_A),
        (Device::NatGateway(NatGatewayIx(0)), NAT_PUBLIC),
        (Device::NatGateway(NatGatewayIx(0)), web),
        (Device::AppRunner, APP_RUNNER),
    ];
    for (device, to) in places {
        for from in SERVED {
            let seen = world.step(device, &udp(from, 53, (to, 1024)), 0);
            assert_eq!(seen.reason(), Some(Reason::Unsolicited), "{from} to {to}");
        }
    }
}

#[test]
fn only_served_addresses_answer_and_only_tasks_of_the_device_are_answered() {
    let mut world = World::new(LAB);
    let (web, other) = (world.task("web", 1), world.task("web", 2));
    let device = world.device_of(web);
    for (from, to) in [
        (Ipv4Addr::new(169, 254, 169, 254), web),
        (Ipv4Addr::new(10, 0, 0, 3), web),
        (RESOLVER, other),
        (RESOLVER, Ipv4Addr::new(100, 99, 0, 1)),
    ] {
        let seen = world.step(device, &udp(from, 53, (to, 1024)), 0);
        assert_eq!(seen.reason(), Some(Reason::SourceUnknown), "{from} to {to}");
    }
}

/// An ENI carries more than its flows.
#[test]
fn packets_to_and_from_exempt_addresses_count_as_their_enis() {
    let mut world = World::new(LAB);
    let (web, public) = (world.task("web", 1), world.task("public", 1));
    let question = udp(web, 5353, (VPC_RESOLVER, 53));
    (0..3).for_each(|_| passes_untouched(&mut world, &question));
    passes_untouched(&mut world, &udp(public, 5353, (RESOLVER, 53)));
    let connects = syn(web, 5353, (TASK_METADATA, 80));
    passes_untouched(&mut world, &connects);
    let carried = |eni| {
        let all = world.engine.tallies(&world.snapshot);
        let own: Vec<_> = all.iter().filter(|(nats, _)| nats.eni == eni).collect();
        let [(_, sum)] = own[..] else { panic!("{} pairs", own.len()) };
        (sum.sent.segments(), sum.sent.bytes(), sum.received.segments())
    };
    let bytes = 3 * question.len() + connects.len();
    let Device::Eni(eni) = world.device_of(web) else { unreachable!("web has a connector") };
    assert_eq!(carried(Some(eni)), (4, bytes as u64, 4));
    assert_eq!(carried(None), (1, question.len() as u64, 1));
}

/// Each of two VPCs with the same addresses has its own resolver at the same address.
#[test]
fn overlapping_vpcs_share_the_address_of_the_resolver() {
    let other = r#"
[[vpc]]
id = "vpc-2"
cidr = "10.0.0.0/16"
enable_dns_support = false
[[subnet]]
id = "subnet-2"
vpc = "vpc-2"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[vpc_connector]]
name = "connector-2"
subnets = ["subnet-2"]
[[service]]
name = "twin"
vpc_connector = "connector-2"
"#;
    let mut world = World::new(&format!("{LAB}{other}"));
    let (web, twin) = (world.task("web", 1), world.task("twin", 1));
    passes_untouched(&mut world, &udp(web, 5353, (VPC_RESOLVER, 53)));
    assert_eq!(world.refuses(&udp(twin, 5353, (VPC_RESOLVER, 53))), Reason::DnsSupportDisabled);
}

impl World {
    #[track_caller]
    fn passes_exempt(&mut self, packet: &[u8]) {
        let sent = self.step(self.device_of(source(packet)), packet, 0);
        assert_eq!(sent.forwarded().1, Link::Services);
    }
}

#[test]
fn a_super_packet_counts_its_segments() {
    let mut world = World::new(&format!("{LAB}\n[limits]\ndns_packets_per_second = 3\n"));
    let web = world.task("web", 1);
    let (from, to) = (SocketAddrV4::new(web, 1), SocketAddrV4::new(RESOLVER, 53));
    let bytes = builder::tcp(from, to, ACK, 1, 1, &[0; 4000]);
    // Three segments of up to 1,448 bytes (struct virtio_net_hdr: TCPv4 with a partial checksum).
    let vnet = VnetHeader {
        flags: 1,
        gso_type: 1,
        hdr_len: 40,
        gso_size: 1448,
        csum_start: 20,
        csum_offset: 16,
    };
    let mut copy = bytes.clone();
    assert_eq!(Packet::parse(&mut copy, vnet).unwrap().wire_segments(), 3);
    let device = world.device_of(web);
    assert_eq!(world.push(device, &bytes, vnet).reason(), None);
    assert_eq!(world.push(device, &bytes, vnet).reason(), Some(Reason::DnsThrottled));
    world.flows_end(0);
}
