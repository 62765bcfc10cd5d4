//! The cost of each phase of a packet in a worker, on a TUN device with the kernel at the other
//! end.
//!
//! The phases do not include what the worker does once for many packets: waiting, the clock, the
//! configuration, statistics. Nor do they include what the receiver's kernel does with a packet,
//! which on a lab's TUN device happens within the write.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench reports, and stops at the first surprise"
)]

mod support;

use egret::flow::{FlowKey, Space};
use egret::linux::tun::BUFFER;
use egret::linux::{Device, DeviceKind, Netns, netns};
use egret::packet::{Packet, TcpFlags, VnetHeader, builder};
use egret::pipeline::{Engine, Received, Verdict};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{NOW, OUTSIDE, TASK, World};

/// Packets in the device's queue at the start of each round: a worker's full batch.
const BATCH: usize = 64;
const ROUNDS: usize = 1000;
const HEADROOM: usize = BUFFER - 65536;
/// The NAT gateway's public address in [`support::largest_lab`], to which replies come.
const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const PHASES: [&str; 5] = ["read", "parse", "lookup", "rewrite", "write"];

fn main() {
    if !nix::unistd::geteuid().is_root() {
        println!("worker: skipped: TUN devices and network namespaces need root");
        return;
    }
    let bed = Bed::new();
    if bed.tun.kind() == DeviceKind::Plain {
        println!("worker: skipped: this kernel's TUN devices have no vnet header");
        return;
    }
    let clock = clock_cost();
    println!("ns per packet, the median of {ROUNDS} rounds of {BATCH} packets each");
    println!("{:<28}{}{:>10}", "", PHASES.map(|phase| format!("{phase:>16}")).concat(), "all");
    for (name, payload) in [("40-byte TCP segments", 0), ("64 KiB TCP super-packets", 65_160)] {
        let costs = bed.measure(payload, clock);
        let all: f64 = costs.iter().sum();
        let cell =
            |cost: &f64| format!("{:>16}", format!("{cost:.0} ({:.0} %)", cost / all * 100.0));
        println!("{name:<28}{}{all:>10.0}", costs.iter().map(cell).collect::<String>());
    }
}

/// A TUN device, and another one that feeds it through the kernel's forwarding.
struct Bed {
    tun: Device,
    feeder: Device,
    _netns: OwnNetns,
}

struct OwnNetns(Netns);

impl Drop for OwnNetns {
    fn drop(&mut self) {
        let _ = netns::remove(self.0.name());
    }
}

impl Bed {
    fn new() -> Self {
        let netns =
            OwnNetns(Netns::create(&format!("egret-bench-{}", std::process::id())).unwrap());
        let open = |name| Device::open(&netns.0, name, DeviceKind::Auto, 1500).unwrap();
        let (tun, feeder) = (open("tun"), open("feeder"));
        let ip = |line: &str| {
            let ended =
                Command::new("ip").args(["-n", netns.0.name()]).args(line.split(' ')).status();
            assert!(ended.unwrap().success(), "ip {line}");
        };
        ip(&format!("route add {NAT} dev tun"));
        // A written packet gets no further than a look-up of its route.
        ip(&format!("route add blackhole {TASK}"));
        ip(&format!("route add {OUTSIDE} dev feeder"));
        let forward = || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        netns.0.run(forward).unwrap().unwrap();
        Self { tun, feeder, _netns: netns }
    }

    /// Measures each phase's cost in nanoseconds. Parsing and the look-up are measured alone, in
    /// every other round, since they are part of the engine's verdict: the rest of the verdict is
    /// the rewrite, with state and counters.
    fn measure(&self, payload: usize, clock: f64) -> [f64; 5] {
        let mut world = World::new();
        let (_, back, device) = world.connect(40_000, (OUTSIDE, 443));
        let (packet, vnet) = segment(&back, payload);
        let mut feed = vec![0; BUFFER];
        let mut buffer = vec![0; BUFFER];
        let mut spent: [Vec<f64>; 5] = Default::default();
        for round in 0..2 * ROUNDS {
            for _ in 0..BATCH {
                feed[HEADROOM..][..packet.len()].copy_from_slice(&packet);
                self.feeder.write(&mut feed, packet.len(), vnet).unwrap();
            }
            let mut sums = [Duration::ZERO; 5];
            for _ in 0..BATCH {
                let begun = Instant::now();
                let (vnet, len) = self.next(&mut buffer);
                let read = Instant::now();
                let bytes = &mut buffer[HEADROOM..][..len];
                if round % 2 == 0 {
                    let key = key(bytes, vnet);
                    let parsed = Instant::now();
                    black_box(found(&world.engine, &key));
                    let found = Instant::now();
                    sums[1] += parsed - read;
                    sums[2] += found - parsed;
                    continue;
                }
                let mut reply = [0; 1024];
                let received = Received { device, bytes, vnet };
                let judged = world.engine.judge(NOW, &world.snapshot, received, &mut reply);
                let done = Instant::now();
                assert!(matches!(judged.verdict, Verdict::Forward { .. }), "{judged:?}");
                let before = Instant::now();
                self.tun.write(&mut buffer, judged.len, vnet).unwrap();
                let written = Instant::now();
                sums[0] += read - begun;
                sums[3] += done - read;
                sums[4] += written - before;
            }
            for (phase, sum) in spent.iter_mut().zip(sums) {
                if !sum.is_zero() {
                    phase.push((sum.as_nanos() as f64 / BATCH as f64 - clock).max(0.0));
                }
            }
        }
        let [read, parse, lookup, judge, write] = spent.map(median);
        [read, parse, lookup, (judge - parse - lookup).max(0.0), write]
    }

    /// Reads the next IPv4 packet, and skips others that the kernel sends, such as router
    /// solicitations.
    fn next(&self, buffer: &mut [u8]) -> (VnetHeader, usize) {
        loop {
            let (vnet, len) = self.tun.read(buffer).unwrap().expect("as many as were fed");
            if buffer[HEADROOM] >> 4 == 4 {
                return (vnet, len);
            }
        }
    }
}

/// Returns a segment back to the task with `payload` bytes of data, and the virtio-net header that
/// precedes it.
fn segment(back: &[u8], payload: usize) -> (Vec<u8>, VnetHeader) {
    let port = u16::from_be_bytes([back[22], back[23]]);
    let (src, dst) = (SocketAddrV4::new(OUTSIDE, 443), SocketAddrV4::new(NAT, port));
    let mut packet = builder::tcp(src, dst, TcpFlags::ACK, 500, 101, &vec![0; payload]);
    let vnet = if payload > 0 {
        builder::to_super_packet(&mut packet, 1448)
    } else {
        VnetHeader::default()
    };
    (packet, vnet)
}

#[inline(never)]
fn key(bytes: &mut [u8], vnet: VnetHeader) -> FlowKey {
    FlowKey::new(Space::INTERNET, Packet::parse(bytes, vnet).unwrap().tuple())
}

#[inline(never)]
fn found(engine: &Engine, key: &FlowKey) -> bool {
    engine.flows().get(key).is_some()
}

/// Returns what one look at the clock adds to a phase, in nanoseconds.
fn clock_cost() -> f64 {
    let costs = (0..1000).map(|_| {
        let begun = Instant::now();
        for _ in 0..100 {
            black_box(Instant::now());
        }
        begun.elapsed().as_nanos() as f64 / 100.0
    });
    median(costs.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
