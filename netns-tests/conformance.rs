//! A real kernel confirms what the NAT checklist requires: fragments in any order, sizes, forged
//! resets.

use crate::icmp::{HOST, LAB, PUBLIC, TASK};
use crate::support::frames;
use crate::support::lab::{Agent, Lab, for_both_kinds, snmp};
use egret::linux::{Mac, Netns};
use etherparse::PacketBuilder;
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    fragments_pass_in_any_order_and_what_is_too_big_leaves_in_fragments,
    a_forged_reset_reaches_the_task_and_ends_nothing,
);

fn lab_with_far_host(device: &str) -> (Lab, Netns) {
    let mut lab = Lab::up(device, &format!("mtu = 9001\n{LAB}"));
    let far = lab.far("internet", "net0", &[HOST]);
    (lab, far)
}

/// Returns a datagram of 4,000 bytes in three fragments, the last one first, as frames to send.
fn reversed_fragments(
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    identification: u8,
    mac: Mac,
) -> Vec<String> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.0.octets(), to.0.octets(), 64).udp(from.1, to.1);
    builder.write(&mut packet, &[7; 4000]).unwrap();
    let chunks: Vec<&[u8]> = packet[20..].chunks(1480).collect();
    let fragment = |(number, chunk): (usize, &&[u8])| {
        let more = if number + 1 < chunks.len() { 0x2000 } else { 0 };
        let place = u16::try_from(number * 185).unwrap() | more;
        let bytes = [&packet[..20], chunk].concat();
        let length = u16::try_from(bytes.len()).unwrap();
        let bytes = frames::with(bytes, |bytes| {
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..6].copy_from_slice(&[0, identification]);
            bytes[6..8].copy_from_slice(&place.to_be_bytes());
        });
        frames::ipv4(mac, &bytes)
    };
    chunks.iter().enumerate().map(fragment).rev().collect()
}

fn send(agent: &mut Agent, frames: Vec<String>) {
    let request: Vec<_> =
        ["frames".to_owned(), "eth0".to_owned()].into_iter().chain(frames).collect();
    agent.ok(&json!(request));
}

/// Checklist U13, U14: the kernel at the other end reassembles fragments that came in reverse
/// order, and a packet that egret had to split.
fn fragments_pass_in_any_order_and_what_is_too_big_leaves_in_fragments(device: &str) {
    let (lab, far) = lab_with_far_host(device);
    let web = lab.netns("web-1");
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve_udp", HOST, 53]));
    let mut task = lab.task("web");
    // From the task, whose kernel has no such socket and says so to the server: an ICMP error from
    // inside.
    send(&mut task, reversed_fragments((TASK, 5000), (HOST, 53), 1, Mac::near(TASK)));
    // Everything sent before it on the same path has arrived when this datagram has.
    task.udp(HOST, 53);
    let peers = server.peers();
    assert!(peers.len() == 2 && peers.iter().all(|peer| peer.0 == PUBLIC), "{peers:?}");
    assert_eq!(snmp(&far, "Ip", "ReasmOKs"), 1);
    // To the task, last fragment first too. The echo of the first datagram came in fragments as
    // well, in order.
    let reassembled = snmp(&web, "Ip", "ReasmOKs");
    assert_eq!(reassembled, 1);
    let (_, port) = peers[0];
    send(&mut server, reversed_fragments((HOST, 53), (PUBLIC, port), 2, Mac::near(HOST)));
    task.udp(HOST, 53);
    assert_eq!(snmp(&web, "Ip", "ReasmOKs"), reassembled + 1);
    // With DF, the task's kernel learns the MTU, and then refuses by itself.
    assert_eq!(task.ask(&json!(["udp", HOST, 53, 0, 4000, 5.0])), "EMSGSIZE");
    assert_eq!(lab.packets_dropped("mtu-exceeded"), 1);
    // Without DF, egret splits the packet. It goes to another port, for which the kernel has learnt
    // nothing.
    web.run(|| std::fs::write("/proc/sys/net/ipv4/ip_no_pmtu_disc", "1")).unwrap().unwrap();
    web.run(|| std::fs::write("/proc/sys/net/ipv4/route/flush", "1")).unwrap().unwrap();
    let reassembled = snmp(&far, "Ip", "ReasmOKs");
    assert!(task.ask(&json!(["udp", HOST, 53, 0, 8000, 5.0])).is_u64());
    assert_eq!(snmp(&far, "Ip", "ReasmOKs"), reassembled + 1);
    for netns in [&far, &web] {
        assert_eq!((snmp(netns, "Ip", "ReasmFails"), snmp(netns, "Udp", "InCsumErrors")), (0, 0));
    }
    assert_eq!(lab.packets_dropped("fragment-unclaimed") + lab.packets_dropped("fragment"), 0);
}

/// Checklist 7857-RST, T4: the task itself ignores a reset out of the window, and the connection
/// continues. A SYN that no task has asked for is not answered.
fn a_forged_reset_reaches_the_task_and_ends_nothing(device: &str) {
    let (lab, far) = lab_with_far_host(device);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    assert!(task.open("kept", HOST, 443).is_u64());
    let (_, port) = server.peers()[0];
    task.ok(&json!(["sniff", "eth0"]));
    let segment = |port: u16, seq: u32, reset: bool| {
        let builder = PacketBuilder::ipv4(HOST.octets(), PUBLIC.octets(), 64);
        let builder = builder.tcp(443, port, seq, 1000);
        let builder = if reset { builder.rst() } else { builder.syn() };
        let mut packet = Vec::new();
        builder.write(&mut packet, &[]).unwrap();
        frames::ipv4(Mac::near(HOST), &packet)
    };
    // Of eight sequence numbers at equal distances, at most one is in the window.
    let resets = (0..8).map(|eighth| segment(port, eighth << 29, true)).collect();
    send(&mut server, resets);
    task.ok(&json!(["say", "kept"]));
    let received: u64 = task.sniffed("eth0").iter().map(|(_, count)| count).sum();
    assert!(received >= 9, "the resets and the echo: {received}");
    let flows = lab.flows();
    assert!(flows.iter().any(|flow| flow.state == "established"), "{flows:?}");
    let mut internet = Lab::agent(&far);
    internet.ok(&json!(["sniff", "eth0"]));
    lab.drops_for("unsolicited", "flow-table", || {
        send(&mut server, vec![segment(port ^ 1, 1, false)]);
        task.ok(&json!(["say", "kept"]));
    });
    let answers: u64 = internet.sniffed("eth0").iter().map(|(_, count)| count).sum();
    assert!(answers <= 2, "nothing but data and its acknowledgement: {answers}");
}
