//! Sends every kind of frame to the tc programs: which frames get to a TUN, and by which reason the
//! rest is counted. The kernel runs the programs on bytes that are given to it, so this needs root
//! and no network.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::root::is_root;
use super::{Netns, Steer, SteerReason, netns};
use crate::packet::ipv6::of_task;
use std::net::Ipv4Addr;

/// The kernel runs programs as if on its loopback device, whose MAC address is all zero.
const LOOPBACK: u32 = 1;
const TUN: u32 = 7;
const REDIRECTED: u32 = 7;
const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const MANY: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ROUTER: [u8; 6] = [0; 6];
const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 0, 9];
const BROADCAST: [u8; 6] = [0xff; 6];
const MULTICAST: [u8; 6] = [1, 0, 0x5e, 0, 0, 0xfb];

/// The programs, with and without the flow cache, where the loopback device is the link of a task
/// and of a space.
struct Bed {
    name: String,
    steer: Steer,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = netns::remove(&self.name);
    }
}

impl Bed {
    /// Loads the programs; `None` without root.
    fn new(name: &str, with_cache: bool) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("egret-unit-{name}-{with_cache}-{}", std::process::id());
        let netns = Netns::create(&name).unwrap();
        let mut steer = match with_cache {
            true => Steer::load_for_test_runs(&netns).unwrap().0,
            false => Steer::load(&netns).unwrap(),
        };
        assert_eq!(steer.attach_task("lo", TASK, TUN).unwrap(), LOOPBACK);
        assert_eq!(steer.attach_space("lo", 1).unwrap(), LOOPBACK);
        steer.own(1, HOST, TUN).unwrap();
        Some(Self { name, steer })
    }

    /// Returns whether a program sends a frame to the TUN.
    fn passes(&self, program: &'static str, frame: &[u8]) -> bool {
        self.steer.run(program, frame, 0).0 == REDIRECTED
    }

    fn dropped(&self, reason: SteerReason) -> u64 {
        let counters = self.steer.counters().unwrap();
        counters.iter().filter(|(_, counted, _)| *counted == reason).map(|counter| counter.2).sum()
    }

    /// Returns why a program drops a frame; `None` if it does not.
    fn reason(&self, program: &'static str, frame: &[u8]) -> Option<SteerReason> {
        let before = self.steer.counters().unwrap();
        if self.passes(program, frame) {
            assert_eq!(self.steer.counters().unwrap(), before);
            return None;
        }
        let after = self.steer.counters().unwrap();
        let grown: Vec<_> = after.iter().filter(|counter| !before.contains(counter)).collect();
        assert_eq!(grown.len(), 1, "{before:?} {after:?}");
        Some(grown[0].1)
    }
}

fn frame(to: [u8; 6], ethertype: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &[2, 0, 0, 0, 0, 1], &ethertype.to_be_bytes(), body].concat()
}

/// Makes a header of any version, with the addresses where IPv4 has them, or IPv6. The kernel runs
/// no program on less than a whole header.
fn header(version: u8, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut header = [0; 40];
    header[0] = version << 4 | 5;
    if version == 6 {
        header[8..24].copy_from_slice(&of_task(source).octets());
        header[24..].copy_from_slice(&of_task(destination).octets());
        return header.to_vec();
    }
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    header.to_vec()
}

#[test]
fn regression_every_ethertype_lets_pass_only_the_tasks_own_ipv4_and_ipv6() {
    for with_cache in [false, true] {
        let Some(bed) = Bed::new("ethertype", with_cache) else { return };
        let bodies = [(4, TASK), (4, OTHER), (6, TASK), (6, OTHER)]
            .map(|(version, source)| ((version, source), header(version, source, HOST)));
        let mut passed = Vec::new();
        for ethertype in 0..=u16::MAX {
            for (what, body) in &bodies {
                if bed.passes("task_ingress", &frame(ROUTER, ethertype, body)) {
                    passed.push((ethertype, *what));
                }
            }
        }
        let expected = [(IPV4, (4, TASK)), (IPV6, (6, TASK))];
        assert_eq!(passed, expected);
        assert_eq!(bed.dropped(SteerReason::Ipv6), 1);
        assert_eq!(bed.dropped(SteerReason::NotIp), 4 * (65_536 - 2));
    }
}

/// User space may trust the source address: whatever the bytes, none that pass have another one.
#[test]
fn bytes_at_random_that_pass_have_the_tasks_source() {
    let Some(bed) = Bed::new("random", true) else { return };
    let mut state = 1_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    };
    let mut passed = 0;
    for _ in 0..200_000 {
        let to = [ROUTER, ROUTER, NEIGHBOUR, BROADCAST, MULTICAST][random() as usize % 5];
        let ethertype = [IPV4, IPV6, 0x8100, 0x88a8][random() as usize % 4];
        let source = [TASK, OTHER][random() as usize % 2];
        let mut body = header([4, 4, 6, random() as u8 & 15][random() as usize % 4], source, HOST);
        body[0] = body[0] & 0xf0 | random() as u8 & 15;
        if bed.passes("task_ingress", &frame(to, ethertype, &body)) {
            passed += 1;
            let own = match body[0] >> 4 {
                4 => body[12..16] == TASK.octets(),
                _ => body[8..24] == of_task(TASK).octets(),
            };
            assert!(own, "{ethertype:x} {body:x?}");
        }
    }
    assert!(passed > 10_000, "{passed}");
}

/// The program and user space agree on the address, bit by bit.
#[test]
fn ipv6_from_any_other_address_is_counted_as_the_tasks() {
    for with_cache in [false, true] {
        let Some(bed) = Bed::new("ipv6", with_cache) else { return };
        let own = header(6, TASK, HOST);
        assert_eq!(bed.reason("task_ingress", &frame(ROUTER, IPV6, &own)), None);
        for bit in 0..128 {
            let mut other = own.clone();
            other[8 + bit / 8] ^= 1 << (bit % 8);
            let reason = bed.reason("task_ingress", &frame(ROUTER, IPV6, &other));
            assert_eq!(reason, Some(SteerReason::Ipv6), "bit {bit}");
        }
    }
}

#[test]
fn a_version_that_the_frame_does_not_announce_has_a_reason_of_its_own() {
    let Some(bed) = Bed::new("version", true) else { return };
    for program in ["task_ingress", "space_ingress"] {
        for version in (0..16).filter(|version| *version != 4) {
            let frame = frame(ROUTER, IPV4, &header(version, TASK, HOST));
            assert_eq!(bed.reason(program, &frame), Some(SteerReason::OtherVersion), "{version}");
        }
    }
    for version in (0..16).filter(|version| *version != 6) {
        let frame = frame(ROUTER, IPV6, &header(version, TASK, HOST));
        assert_eq!(
            bed.reason("task_ingress", &frame),
            Some(SteerReason::OtherVersion),
            "{version}"
        );
    }
}

#[test]
fn regression_a_frame_for_another_mac_address_is_not_taken() {
    let Some(bed) = Bed::new("mac", true) else { return };
    let other = Some(SteerReason::NotForRouter);
    let (one, many, v6) = (header(4, TASK, HOST), header(4, TASK, MANY), header(6, TASK, HOST));
    for (to, ethertype, body, expected) in [
        (ROUTER, IPV4, &one, None),
        (ROUTER, IPV4, &many, None),
        (NEIGHBOUR, IPV4, &one, other),
        (NEIGHBOUR, IPV4, &many, other),
        (NEIGHBOUR, IPV6, &v6, other),
        (BROADCAST, IPV4, &one, other),
        (MULTICAST, IPV4, &one, other),
        // The engine has a reason for these.
        (BROADCAST, IPV4, &many, None),
        (MULTICAST, IPV4, &many, None),
        (MULTICAST, IPV6, &v6, None),
        (BROADCAST, 0x0806, &one, Some(SteerReason::NotIp)),
    ] {
        let frame = frame(to, ethertype, body);
        assert_eq!(bed.reason("task_ingress", &frame), expected, "{to:x?} {ethertype:x} {body:?}");
    }
    for to in [NEIGHBOUR, BROADCAST, MULTICAST] {
        assert_eq!(bed.reason("space_ingress", &frame(to, IPV4, &one)), other, "{to:x?}");
    }
    let no_owner = bed.reason("space_ingress", &frame(MULTICAST, IPV4, &many));
    assert_eq!(no_owner, Some(SteerReason::NoOwner));
    assert_eq!(bed.reason("space_ingress", &frame(ROUTER, IPV4, &one)), None);
}
