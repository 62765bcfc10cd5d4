//! Produces every reason by a small scenario of the engine, or lists the part that produces it.

use super::fragments::split;
use super::gateway_endpoint::{BUCKET, with_endpoint};
use super::middlebox::{BEYOND, OFF, OPEN, inspected};
use super::network_acl::{ALLOW_ALL, DATA, HOME, acl};
use super::peering::{BACK, CACHE, peered};
use super::security_group::{EGRESS, INGRESS};
use super::untracked;
use super::world::*;
use crate::packet::field::{icmp as icmp_field, ipv4, tcp as tcp_field};
use crate::packet::{Inside, Protocol, TcpFlags, Tuple, VnetHeader, builder};
use crate::pipeline::{Device, Reason};
use crate::vpc::NatGatewayIx;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);
const DNS: (Ipv4Addr, u16) = (EXAMPLE, 53);
const RESOLVER: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 2), 53);
const ROUTE: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;
const WAY_OUT: &str = r#"{ destination = "0.0.0.0/0", target = "igw" }"#;
const NAT: &str = "public_ip = \"198.51.100.7\"";
const DENY: &str = r#"{ rule = 1, action = "deny", protocol = "all", cidr = "0.0.0.0/0" }"#;

/// The reasons that other parts produce.
const ELSEWHERE: [(Reason, &str); 11] = [
    (Reason::NoOwner, "the tc program at a VPC's and the internet's link"),
    (Reason::NotIp, "the tc program at a task's link"),
    (Reason::NotForRouter, "the tc program at the link of a task, a VPC or the internet"),
    (Reason::NoLink, "the tc program at a TUN device"),
    (Reason::ForeignSource, "the tc program at a TUN device"),
    (Reason::DeviceUnknown, "the worker of a device that comes or goes with a reload"),
    (Reason::EngineFault, "the worker, around an engine that failed"),
    (Reason::WriteFailed, "the worker, when the TUN does not take a packet"),
    (Reason::ReadFailed, "the worker, when the TUN does not give a packet"),
    (Reason::LinkDropped, "the kernel, at the link of a task, a VPC or the internet"),
    (Reason::QueueFull, "the kernel, when the worker is slower than what comes"),
];

type Scenario = fn() -> Option<Reason>;

/// Returns the reason for the drop of a packet of `web`'s first task.
fn sent(lab: &str, packet: impl Fn(Ipv4Addr) -> Vec<u8>) -> Option<Reason> {
    let world = World::new(lab);
    let web = world.task("web", 1);
    reason(&world, web, &packet(web))
}

fn reason(world: &World, task: Ipv4Addr, packet: &[u8]) -> Option<Reason> {
    world.push(world.device_of(task), packet, VnetHeader::default()).reason()
}

/// Returns the reason for the drop of a damaged SYN.
fn damaged(edit: impl Fn(&mut Vec<u8>)) -> Option<Reason> {
    sent(LAB, |web| {
        let mut bytes = syn(web, 1, OUT);
        edit(&mut bytes);
        bytes
    })
}

/// Sends a segment with a source route (RFC 791 3.1).
fn source_route() -> Option<Reason> {
    damaged(|bytes| {
        let route = [131, 7, 4, 10, 0, 0, 1, 0];
        bytes.splice(ipv4::MIN_LEN..ipv4::MIN_LEN, route);
        bytes[ipv4::VERSION_AND_LENGTH] += 2;
        bytes[ipv4::TOTAL_LEN + 1] += 8;
        builder::update_header_checksum(bytes);
    })
}

/// Returns the reason for the drop of a SYN under another lab.
fn opening(lab: &str, to: (Ipv4Addr, u16)) -> Option<Reason> {
    sent(lab, |web| syn(web, 1, to))
}

fn replaced(old: &str, new: &str, to: (Ipv4Addr, u16)) -> Option<Reason> {
    opening(&with(LAB, old, new), to)
}

/// Returns the reason for the drop of the second datagram, if there is room for one.
fn second(limit: &str) -> Option<Reason> {
    let lab = LAB.replace("apprunner_public_ip = \"198.51.100.99\"", "");
    let world = World::new(&format!("[limits]\n{limit} = 1\n{lab}"));
    let web = world.task("web", 1);
    assert_eq!(reason(&world, web, &udp(web, 1, DNS)), None);
    reason(&world, web, &udp(web, 2, DNS))
}

/// Returns the reason for the drop of the answer to a SYN.
fn answered(lab: &str) -> Option<Reason> {
    let mut world = World::new(lab);
    let (out, link) = world.opens(&syn(world.task("web", 1), 1, LOCAL));
    Some(world.stays_out(link, &answer(out)))
}

fn from_internet(packet: &[u8]) -> Option<Reason> {
    let gateway = Device::NatGateway(NatGatewayIx(0));
    World::new(LAB).push(gateway, packet, VnetHeader::default()).reason()
}

fn large(web: Ipv4Addr, dont_fragment: bool) -> Vec<u8> {
    let (src, dst) = (SocketAddrV4::new(web, 1), SocketAddrV4::new(EXAMPLE, 53));
    let bytes = builder::udp(src, dst, &[0; 2000]);
    if dont_fragment { bytes } else { with_byte(bytes, 6, 0) }
}

fn forged() -> Option<Reason> {
    let world = World::new(LAB);
    let (one, two) = (world.task("web", 1), world.task("web", 2));
    let task = *world.snapshot.task(one)?;
    let inside = Tuple { protocol: Protocol::Tcp, src: two, dst: EXAMPLE, sport: 1, dport: 443 };
    let evidence =
        world.engine.explain(world.now, &world.snapshot, &task, Inside::new(inside), (0, 0));
    Some(evidence.denial?.reason)
}

fn partial_checksum_of_another_protocol() -> Option<Reason> {
    let world = World::new(LAB);
    let web = world.task("web", 1);
    let vnet = VnetHeader { flags: 1, csum_start: 20, csum_offset: 6, ..VnetHeader::default() };
    world.push(world.device_of(web), &syn(web, 1, OUT), vnet).reason()
}

fn expired() -> Option<Reason> {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    world.connects(web, 1, OUT);
    world.advance(Duration::from_secs(351));
    reason(&world, web, &tcp(web, 1, OUT, ACK, 101, 501))
}

fn moved() -> Option<Reason> {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    world.connects(web, 1, OUT);
    world.reload(&with(LAB, NAT, "public_ip = \"198.51.100.8\""));
    reason(&world, web, &tcp(web, 1, OUT, ACK, 101, 501))
}

fn unclaimed() -> Option<Reason> {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    assert_eq!(reason(&world, web, &split(&large(web, false), 1, 1480).remove(1)), None);
    world.advance(Duration::from_secs(31));
    world.engine.sweep(world.now, &world.snapshot);
    let counted = |reason: &&Reason| world.engine.drops().packets(**reason) > 0;
    Reason::ALL.iter().find(counted).copied()
}

fn error_at_the_end_of_its_ttl() -> Option<Reason> {
    let mut world = World::new(LAB);
    let (out, link) = world.opens(&udp(world.task("web", 1), 1, DNS));
    let error = builder::icmp_error(EXAMPLE, NAT_PUBLIC, 3, 3, &datagram(out, b""));
    Some(world.stays_out(link, &with_ttl(error, 1)))
}

#[rustfmt::skip]
const SCENARIOS: &[(Reason, Scenario)] = &[
    (Reason::MalformedTruncated, || damaged(|b| b.truncate(19))),
    (Reason::Ipv6, || damaged(|b| b[0] = 0x65)),
    (Reason::MalformedVersion, || damaged(|b| b[0] = 0x75)),
    (Reason::MalformedHeaderLength, || damaged(|b| b[0] = 0x44)),
    (Reason::MalformedTotalLength, || damaged(|b| b[ipv4::TOTAL_LEN + 1] += 1)),
    (Reason::MalformedHeaderChecksum, || damaged(|b| b[ipv4::CHECKSUM] ^= 1)),
    (Reason::SourceRoute, source_route),
    (Reason::MalformedL4, || damaged(|b| b[ipv4::MIN_LEN + tcp_field::DATA_OFFSET] = 0x40)),
    (Reason::MalformedIcmpChecksum, || sent(LAB, |web| {
        let mut echo = ping(web, EXAMPLE, 1);
        echo[ipv4::MIN_LEN + icmp_field::CHECKSUM] ^= 1;
        echo
    })),
    (Reason::MalformedVnetHeader, partial_checksum_of_another_protocol),
    (Reason::SourceForged, forged),
    (Reason::SourceUnknown, || sent(LAB, |_| syn(Ipv4Addr::new(100, 99, 0, 1), 1, OUT))),
    (Reason::DestinationNotUnicast, || opening(LAB, (Ipv4Addr::BROADCAST, 443))),
    (Reason::ExemptAddressUnserved, || opening(LAB, (Ipv4Addr::new(169, 254, 169, 254), 443))),
    (Reason::SgEgressNoRules, || replaced(EGRESS, "egress = []", OUT)),
    (Reason::SgEgressImplicitDeny, || opening(LAB, (EXAMPLE, 80))),
    (Reason::NaclEgressDeny, || opening(&acl(HOME, DENY, ALLOW_ALL), OUT)),
    (Reason::NaclEgressImplicitDeny, || opening(&acl(HOME, "", ALLOW_ALL), OUT)),
    (Reason::NaclIngressDeny, || opening(&acl(DATA, ALLOW_ALL, DENY), LOCAL)),
    (Reason::NaclIngressImplicitDeny, || opening(&acl(DATA, ALLOW_ALL, ""), LOCAL)),
    (Reason::NaclReturnDeny, || answered(&acl(HOME, ALLOW_ALL, DENY))),
    (Reason::NaclReturnImplicitDeny, || answered(&acl(HOME, ALLOW_ALL, ""))),
    (Reason::NoRoute, || replaced(ROUTE, "", OUT)),
    (Reason::RouteBlackhole, || replaced(NAT, &format!("{NAT}\nstate = \"deleted\""), OUT)),
    (Reason::SgIngressBehindNat, || {
        let longer = r#"{ destination = "10.0.3.0/24", target = "nat" },"#;
        replaced(ROUTE, longer, LOCAL)
    }),
    (Reason::SgIngressPublicAddress, || {
        let public = "[[resource]]\nname = \"api\"\nsubnet = \"subnet-public\"\naddress = \"10.0.0.20\"\n\
                      public_ip = \"203.0.113.50\"\nsecurity_groups = [\"sg-api\"]\n\
                      [[security_group]]\nid = \"sg-api\"\nvpc = \"vpc\"\n\
                      ingress = [{ protocol = \"tcp\", ports = \"443\", from = \"sg-app\" }]\n";
        opening(&format!("{LAB}{public}"), (Ipv4Addr::new(203, 0, 113, 50), 443))
    }),
    (Reason::InterfaceEndpointProtocol, || {
        let endpoint = r#"
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
subnets = ["subnet-data"]
addresses = ["10.0.3.99"]
security_groups = ["sg-db"]
"#;
        sent(&format!("{LAB}{endpoint}"), |web| ping(web, Ipv4Addr::new(10, 0, 3, 99), 1))
    }),
    (Reason::NatGatewayState, || replaced(NAT, &format!("{NAT}\nstate = \"pending\""), OUT)),
    (Reason::NatProtocol, || {
        let lab = with(LAB, EGRESS, r#"egress = [{ protocol = "all", to = "0.0.0.0/0" }]"#);
        sent(&lab, |web| other(47, web, EXAMPLE))
    }),
    (Reason::NatFragment, || {
        sent(LAB, |web| split(&builder::icmp_echo_request(web, EXAMPLE, 1, 1, &[0; 2000]), 1, 1480).remove(0))
    }),
    (Reason::NatNoRoute, || replaced(WAY_OUT, "", OUT)),
    (Reason::NatRoutesToNat, || {
        replaced(WAY_OUT, r#"{ destination = "0.0.0.0/0", target = "nat" }"#, OUT)
    }),
    (Reason::NatBlackhole, || {
        replaced(WAY_OUT, r#"{ destination = "0.0.0.0/0", target = "igw-gone", state = "blackhole" }"#, OUT)
    }),
    (Reason::NatAddress, || sent(LAB, |web| ping(web, NAT_PRIVATE, 1))),
    (Reason::IgwNoPublicAddress, || {
        replaced(ROUTE, r#"{ destination = "0.0.0.0/0", target = "igw" },"#, OUT)
    }),
    (Reason::IgwPrivateDestination, || opening(LAB, (Ipv4Addr::new(192, 168, 1, 1), 443))),
    (Reason::IgwSharedDestination, || opening(LAB, (Ipv4Addr::new(100, 127, 255, 1), 443))),
    (Reason::IgwPrivateNat, || replaced(NAT, "connectivity = \"private\"", OUT)),
    (Reason::NatHairpin, || opening(LAB, (NAT_PUBLIC, 443))),
    (Reason::NoInterface, || opening(LAB, (Ipv4Addr::new(10, 0, 3, 77), 443))),
    (Reason::EniAddress, || opening(LAB, (Ipv4Addr::new(10, 0, 2, 4), 443))),
    (Reason::SgIngressNoRules, || replaced(INGRESS, "ingress = []", LOCAL)),
    (Reason::SgIngressImplicitDeny, || opening(LAB, (DB, 443))),
    (Reason::EniPortsExhausted, || second("eni_connections")),
    (Reason::NatPortsExhausted, || second("nat_connections_per_destination")),
    (Reason::TcpNoFlow, || sent(LAB, |web| tcp(web, 1, OUT, ACK, 1, 1))),
    (Reason::FlowExpired, expired),
    (Reason::Unsolicited, || from_internet(&syn(EXAMPLE, 1, (NAT_PUBLIC, 443)))),
    (Reason::IcmpErrorNoFlow, || {
        from_internet(&builder::icmp_error(EXAMPLE, NAT_PUBLIC, 3, 3, &udp(NAT_PUBLIC, 1, DNS)))
    }),
    (Reason::IcmpUnsupported, || sent(LAB, |web| builder::icmp_error(web, EXAMPLE, 13, 0, &[0; 12]))),
    (Reason::FlowMoved, moved),
    (Reason::Fragment, || {
        sent(LAB, |web| split(&builder::icmp_error(web, EXAMPLE, 3, 3, &large(web, false)), 1, 1480).remove(0))
    }),
    (Reason::FragmentUnclaimed, unclaimed),
    (Reason::TtlExpired, || sent(LAB, |web| with_ttl(udp(web, 1, DNS), 1))),
    (Reason::MtuExceeded, || sent(LAB, |web| large(web, true))),
    (Reason::MtuExceededNoAnswer, || sent(LAB, |web| {
        let (src, dst) = (SocketAddrV4::new(web, 1), SocketAddrV4::new(EXAMPLE, 443));
        with_byte(builder::tcp(src, dst, SYN, 1, 0, &[0; 2000]), 6, 0)
    })),
    (Reason::TtlExpiredNoAnswer, error_at_the_end_of_its_ttl),
    (Reason::AppRunnerPrivateDestination, || {
        let world = World::new(LAB);
        let public = world.task("public", 1);
        reason(&world, public, &syn(public, 1, LOCAL))
    }),
    (Reason::PeeringOutsideCidr, || opening(&peered("10.8.0.0/15", BACK), (Ipv4Addr::new(10, 8, 0, 1), 443))),
    (Reason::ReplyNotRoutedBack, || {
        let mut world = World::new(&peered("10.9.0.0/16", ""));
        let (out, link) = world.opens(&syn(world.task("web", 1), 1, (CACHE, 443)));
        Some(world.stays_out(link, &answer(out)))
    }),
    (Reason::SgUntrackedFlow, || {
        let (open, shut) = (untracked::OPEN_OUT, "egress = []");
        let [open, shut] = [open, shut].map(|egress| untracked::lab(egress, untracked::OPEN_IN));
        let mut world = World::new(&open);
        let job = world.task("job", 1);
        world.connects(job, 1, LOCAL);
        world.reload(&shut);
        reason(&world, job, &tcp(job, 1, LOCAL, ACK, 101, 501))
    }),
    (Reason::EndpointProtocol, || sent(&with_endpoint(), |web| udp(web, 1, (BUCKET, 53)))),
    (Reason::DnsSupportDisabled, || {
        replaced("cidr = \"10.0.0.0/16\"", "cidr = \"10.0.0.0/16\"\nenable_dns_support = false", RESOLVER)
    }),
    (Reason::DnsThrottled, || {
        let world = World::new(&format!("{LAB}\n[limits]\ndns_packets_per_second = 1\n"));
        let web = world.task("web", 1);
        assert_eq!(reason(&world, web, &udp(web, 1, RESOLVER)), None);
        reason(&world, web, &udp(web, 2, RESOLVER))
    }),
    (Reason::SourceDestCheck, || opening(&with(&inspected("eni-fw"), OFF, ""), LOCAL)),
    (Reason::MiddleboxLoop, || {
        let round = BEYOND.replace("0.0.0.0/0", "10.0.3.0/24").replace("\"nat\"", "\"eni-fw\"");
        opening(&with(&inspected("eni-fw"), BEYOND, &round), LOCAL)
    }),
    (Reason::ApplianceSgIngress, || {
        opening(&with(&inspected("eni-fw"), OPEN, "ingress = []"), LOCAL)
    }),
    (Reason::ApplianceSgEgress, || {
        opening(&with(&inspected("eni-fw"), OPEN, &format!("{OPEN}\negress = []")), LOCAL)
    }),
    (Reason::SgIngressBehindMiddlebox, || {
        opening(&with(&inspected("vpce-gwlb"), "from = \"10.0.1.0/24\"", "from = \"sg-app\""), LOCAL)
    }),
    (Reason::NoSuchInternetHost, || opening(LAB, (Ipv4Addr::new(192, 0, 2, 7), 443))),
    (Reason::MalformedQuote, || sent(LAB, |web| builder::icmp_error(web, EXAMPLE, 3, 3, &[0x45; 27]))),
];

#[test]
fn every_scenario_produces_its_reason() {
    for (reason, scenario) in SCENARIOS {
        assert_eq!(scenario(), Some(*reason), "{reason}");
    }
}

#[test]
fn every_reason_has_a_scenario_or_comes_from_elsewhere() {
    for reason in Reason::ALL {
        let here = SCENARIOS.iter().filter(|(produced, _)| produced == reason).count();
        let elsewhere = ELSEWHERE.iter().filter(|(other, _)| other == reason).count();
        assert_eq!(here + elsewhere, 1, "{reason}: give it a scenario, or say who produces it");
    }
}

#[test]
fn regression_a_syn_that_ends_what_it_begins_opens_no_flow() {
    let (fin, syn, rst) = (TcpFlags::FIN.0, TcpFlags::SYN.0, TcpFlags::RST.0);
    for flags in [syn | fin, syn | rst, syn | fin | rst] {
        let world = World::new(LAB);
        let web = world.task("web", 1);
        let odd = tcp(web, 1, OUT, TcpFlags(flags), 100, 0);
        assert_eq!(reason(&world, web, &odd), Some(Reason::TcpNoFlow), "{flags:#x}");
        let next = tcp(web, 1, OUT, TcpFlags::ACK, 101, 1);
        assert_eq!(reason(&world, web, &next), Some(Reason::TcpNoFlow), "{flags:#x}");
    }
    assert_eq!(opening(LAB, OUT), None, "an honest one passes");
}

/// A sound header names the sender and the destination of the packet; an unsound one names nothing.
#[test]
fn regression_a_malformed_packet_with_a_sound_header_names_its_task_and_destination() {
    type Damage = fn(&mut Vec<u8>);
    let sound: [(Reason, Damage); 2] = [
        (Reason::MalformedL4, |packet| packet[25] = 4),
        (Reason::SourceRoute, |packet| {
            packet.splice(20..20, [131, 3, 4, 0]);
            packet[0] = 0x46;
            packet[3] += 4;
            builder::update_header_checksum(packet);
        }),
    ];
    for (reason, damage) in sound {
        let mut world = World::new(LAB);
        let web = world.task("web", 1);
        let mut packet = udp(web, 5353, (DB, 53));
        damage(&mut packet);
        assert_eq!(world.refuses(&packet), reason);
        let row = world.engine.drops().rows()[0].0;
        assert_eq!((row.source, row.destination, row.port), (web, DB.into(), 0));
        assert_eq!(row.service, world.snapshot.task(web).map(|task| task.service));
    }
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let mut packet = udp(web, 5353, (DB, 53));
    packet[11] ^= 1;
    assert_eq!(world.refuses(&packet), Reason::MalformedHeaderChecksum);
    assert_eq!(world.engine.drops().rows()[0].0.source, Ipv4Addr::UNSPECIFIED);
}
