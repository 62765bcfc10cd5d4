//! A task cannot send from an address that is not its own, nor anything that is no whole packet.

use crate::support::frames::{self, with};
use crate::support::lab::{Agent, Lab, for_both_kinds};
use egret::linux::Mac;
use etherparse::{IcmpEchoHeader, Icmpv4Type};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    another_source_address_gets_nothing_through,
    broken_ipv4_packets_are_counted_by_their_fault,
    segments_that_cannot_begin_a_flow_do_not,
);

const FIRST: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const RESOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

fn another_source_address_gets_nothing_through(device: &str) {
    let lab = Lab::up(device, crate::offload::LAB);
    let mut outside = Outside::watch(&lab);
    // An honest kernel sends from an address that the task gave itself.
    lab.exec_ok("web/2", "ip address add 100.64.0.9/32 dev eth0");
    let drop = lab.drops_for("source-forged", "", || {
        assert!(!lab.pings("web/2", &format!("-I 100.64.0.9 {RESOURCE}")));
    });
    assert_eq!((drop.service.as_deref(), drop.task, drop.packets), (Some("web"), Some(2), 1));
    // Addresses of another task, the ENI, the VPC and the internet: TCP, UDP, ICMP.
    let mut task = lab.task("web/2");
    let request = || Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 1 });
    for source in [FIRST, ENI, RESOURCE, HOST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        let forged = [
            frames::tcp_ack(source, HOST, 443),
            frames::udp(source, RESOURCE, 53),
            frames::icmp(source, RESOURCE, request(), b""),
        ];
        let drop = lab.drops_for("source-forged", "", || {
            for packet in &forged {
                send(&mut task, packet);
            }
        });
        assert_eq!((drop.task, drop.packets), (Some(2), 3), "{source}");
    }
    outside.saw_nothing();
    assert_eq!(lab.flows(), []);
    assert!(lab.pings("web/2", &RESOURCE.to_string()), "from its own address it may");
    assert_eq!(outside.agents[0].0.sniffed("vpc0"), [(ENI.to_string(), 1)]);
}

/// Statement 35: only whole IPv4 packets pass, and the others are counted by their fault.
fn broken_ipv4_packets_are_counted_by_their_fault(device: &str) {
    let lab = Lab::up(device, crate::offload::LAB);
    let mut outside = Outside::watch(&lab);
    let mut task = lab.task("web/2");
    let udp = || frames::udp(SECOND, RESOURCE, 53);
    let echo = |payload: &[u8]| {
        let request = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 1 });
        frames::icmp(SECOND, RESOURCE, request, payload)
    };
    let cases: [(&str, Vec<u8>); 8] = [
        ("malformed-truncated", udp()[..12].to_vec()),
        ("malformed-version", with(udp(), |p| p[0] = 0x55)),
        ("malformed-header-length", with(udp(), |p| p[0] = 0x44)),
        (
            "malformed-total-length",
            with(udp(), |p| p[2..4].copy_from_slice(&500_u16.to_be_bytes())),
        ),
        ("malformed-header-checksum", {
            let mut packet = udp();
            packet[10] ^= 1;
            packet
        }),
        ("malformed-l4-header", with(udp(), |p| p[24..26].copy_from_slice(&4_u16.to_be_bytes()))),
        ("malformed-l4-header", with(udp()[..24].to_vec(), |p| p[3] = 24)),
        ("malformed-icmp-checksum", {
            let mut packet = echo(b"abcd");
            packet[22] ^= 1;
            packet
        }),
    ];
    for (reason, packet) in &cases {
        let drop = lab.drops_for(reason, "", || send(&mut task, packet));
        assert_eq!(drop.packets, 1, "{reason}");
    }
    let mut ipv6 = [0; 40];
    ipv6[0] = 0x60;
    ipv6[6] = 59;
    for (reason, ethertype, payload) in
        [("ipv6", 0x86dd, &ipv6[..]), ("not-ip", 0x88b5, b"hello"), ("not-ip", 0x0806, &[0; 28])]
    {
        lab.drops_for(reason, "", || {
            task.ok(&json!([
                "frames",
                "eth0",
                frames::frame(Mac::near(SECOND), ethertype, payload)
            ]));
        });
    }
    outside.saw_nothing();
    assert!(lab.pings("web/2", &RESOURCE.to_string()), "{:#?}", lab.drops());
    assert_eq!(lab.packets_dropped("engine-fault"), 0);
}

fn segments_that_cannot_begin_a_flow_do_not(device: &str) {
    let lab = Lab::up(device, crate::offload::LAB);
    let mut outside = Outside::watch(&lab);
    let mut task = lab.task("web/2");
    let to = |address: [u8; 4]| frames::udp(SECOND, Ipv4Addr::from(address), 53);
    let timestamp = || Icmpv4Type::Unknown { type_u8: 13, code_u8: 0, bytes5to8: [0; 4] };
    let unreachable = Icmpv4Type::Unknown { type_u8: 3, code_u8: 1, bytes5to8: [0; 4] };
    let quote = frames::udp(RESOURCE, SECOND, 53);
    let error_in_fragments =
        frames::with(frames::icmp(SECOND, RESOURCE, unreachable, &quote), |p| p[6] = 0x20);
    let cases = [
        ("tcp-no-flow", frames::tcp_ack(SECOND, RESOURCE, 5432)),
        ("tcp-no-flow", frames::tcp_ack(SECOND, HOST, 443)),
        ("icmp-unsupported", frames::icmp(SECOND, RESOURCE, timestamp(), &[0; 12])),
        ("destination-not-unicast", to([224, 0, 0, 251])),
        ("destination-not-unicast", to([255, 255, 255, 255])),
        ("destination-not-unicast", to([127, 0, 0, 1])),
        ("exempt-address-unserved", to([169, 254, 169, 254])),
        ("exempt-address-unserved", to([10, 0, 1, 1])),
        ("fragment", error_in_fragments),
    ];
    // The fragment waits for its first fragment, which never comes.
    send(&mut task, &frames::later_fragment(SECOND, RESOURCE));
    for (reason, packet) in &cases {
        let drop = lab.drops_for(reason, "", || send(&mut task, packet));
        assert_eq!((drop.task, drop.packets, drop.source), (Some(2), 1, Some(SECOND)), "{reason}");
    }
    outside.saw_nothing();
    assert_eq!(lab.flows(), []);
}

fn send(task: &mut Agent, packet: &[u8]) {
    task.ok(&json!(["frames", "eth0", frames::ipv4(Mac::near(SECOND), packet)]));
}

/// The namespaces where packets come out: the VPC and the internet.
struct Outside {
    agents: [(Agent, &'static str); 2],
}

impl Outside {
    fn watch(lab: &Lab) -> Self {
        lab.egret_ok("task add web");
        let watch = |role, device| {
            let mut agent = Lab::agent(&lab.netns(role));
            agent.ok(&json!(["sniff", device]));
            (agent, device)
        };
        Self { agents: [watch("vpc-a", "vpc0"), watch("internet", "net0")] }
    }

    fn saw_nothing(&mut self) {
        for (agent, device) in &mut self.agents {
            assert_eq!(agent.sniffed(device), [], "{device}");
        }
    }
}
