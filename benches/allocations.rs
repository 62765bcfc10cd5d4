//! The fast path allocates nothing, neither for a packet of an established flow nor for a drop that
//! was counted before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use egret::packet::{TcpFlags, builder};
use egret::pipeline::watch::Wish;
use egret::pipeline::{Device, Verdict};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddrV4};
use support::{DATABASE, OUTSIDE, World, from_task};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes allocated and not freed.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, with counts for each thread.
struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without; it passes everything on")]
// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_bytes(layout.size(), 0);
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps to what the trait asks for, and nothing is changed on the way.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_bytes(0, layout.size());
        // SAFETY: the caller keeps to what the trait asks for, and nothing is changed on the way.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_bytes(size, layout.size());
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps to what the trait asks for, and nothing is changed on the way.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count_bytes(taken: usize, given_back: usize) {
    let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + taken as i64 - given_back as i64));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PACKETS: usize = 10_000;

/// Judges the same packet many times, in an existing buffer, and returns the number of allocations.
fn allocations(world: &mut World, device: Device, packet: &[u8], forwards: bool) -> u64 {
    let mut buffer = packet.to_vec();
    let before = ALLOCATIONS.get();
    for _ in 0..PACKETS {
        buffer.copy_from_slice(packet);
        let judged = world.judge(device, &mut buffer);
        assert_eq!(matches!(judged.verdict, Verdict::Forward { .. }), forwards, "{judged:?}");
    }
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

/// The test has an eighth of a million flows through a NAT gateway, over the number of destinations
/// that this takes. Tables double, so an eighth of the flows needs tables an eighth as large, and a
/// million needs eight times as much memory; the bench `flow_table` creates a million flows and
/// asks the kernel.
#[test]
fn a_million_flows_live_within_a_gibibyte() {
    let mut world = World::new();
    let before = BYTES.get();
    world.fill(125_000);
    assert_eq!(world.engine.flows().len(), 125_000);
    let bytes = BYTES.get() - before;
    println!("{} bytes per flow through a NAT gateway", bytes / 125_000);
    assert!(bytes * 8 < 1 << 30, "{bytes} bytes for an eighth of a million flows");
}

#[test]
fn packets_of_established_flows_in_both_directions() {
    let mut world = World::new();
    for to in [(OUTSIDE, 443), (DATABASE, 443)] {
        let (out, back, device) = world.connect(40_000, to);
        let eni = world.eni;
        assert_eq!(allocations(&mut world, eni, &out, true), 0, "to {to:?}");
        assert_eq!(allocations(&mut world, device, &back, true), 0, "from {to:?}");
    }
}

#[test]
fn packets_after_the_last_watcher_has_left() {
    let mut world = World::new();
    let (out, back, device) = world.connect(40_000, (OUTSIDE, 443));
    let eni = world.eni;
    let watch = world.engine.watchers().watch(Wish { queue: 10, ..Wish::default() });
    assert_ne!(allocations(&mut world, eni, &out, true), 0, "records are allocated");
    drop(watch);
    assert_eq!(allocations(&mut world, eni, &out, true), 0);
    assert_eq!(allocations(&mut world, device, &back, true), 0);
}

#[test]
fn drops_that_were_counted_before() {
    let mut world = World::new();
    let (eni, gateway) = (world.eni, world.gateway);
    let stranger = SocketAddrV4::new(OUTSIDE, 444);
    let gateway_address = Ipv4Addr::new(198, 51, 100, 1);
    let nat = SocketAddrV4::new(gateway_address, 5000);
    let unsolicited = builder::tcp(stranger, nat, TcpFlags::SYN, 1, 0, &[]);
    for (device, packet) in [
        (eni, from_task(1, (OUTSIDE, 80), TcpFlags::SYN, 1, 0)),
        (eni, from_task(1, (Ipv4Addr::new(172, 1, 2, 3), 443), TcpFlags::SYN, 1, 0)),
        (eni, from_task(1, (OUTSIDE, 443), TcpFlags::ACK, 1, 0)),
        (gateway, unsolicited),
        (gateway, vec![0x60; 40]),
    ] {
        world.judge(device, &mut packet.clone());
        assert_eq!(allocations(&mut world, device, &packet, false), 0, "{packet:?}");
    }
}
