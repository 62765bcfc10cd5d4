//! Sends the same packets on both paths: through the tc programs with the engine behind them, and
//! through an engine alone. Verdicts, bytes and counters must be the same. The kernel runs the
//! programs on bytes that are given to it, so this needs root and no network.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::flow_cache::{FlowCache, lock};
use super::root::is_root;
use super::{Link, Mac, Netns, Steer, clock, netns};
use crate::config::Lab;
use crate::flow::{Flow, FlowKey, Instant, Side, TcpState};
use crate::packet::{Protocol, TcpFlags, VnetHeader, builder, checksum, vnet};
use crate::pipeline::{Device, Engine, Judged, Received, Verdict};
use crate::vpc::{Generation, ServiceIx, Snapshot, Space, Task};
use ipnetwork::Ipv4Network;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
/// The kernel runs programs as if on its loopback device.
const LOOPBACK: u32 = 1;
const TUN: u32 = 7;
const REDIRECTED: u32 = 7;
const STEPS: u32 = 60_000;

const LAB: &str = r#"
internet_mtu = 1400
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"
[[subnet]]
id = "public"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "private"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
[[route_table]]
id = "rtb-public"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]
[[route_table]]
id = "rtb-private"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "nat" }]
[[nat_gateway]]
id = "nat"
subnet = "public"
[[security_group]]
id = "sg"
vpc = "vpc"
egress = [{ protocol = "all", to = "0.0.0.0/0" }]
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[resource]]
name = "db"
subnet = "private"
address = "10.0.1.10"
security_groups = ["sg"]
[[internet_host]]
name = "host"
address = "203.0.113.10"
[[vpc_connector]]
name = "main"
subnets = ["private"]
security_groups = ["sg"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "main"
"#;

#[test]
fn both_paths_give_the_same_verdicts_bytes_and_counters() {
    if !is_root() {
        return;
    }
    for seed in 1..=3 {
        let mut bed = Bed::new(seed);
        (0..STEPS).for_each(|_| bed.step());
        bed.same_figures();
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
            let [cached, judged] = bed.carried[&protocol.number()];
            assert!(cached > 2000 && judged > 500, "{protocol}: {cached} and {judged}");
        }
    }
}

/// The end of an offloaded connection.
#[derive(Clone, Copy, Debug)]
enum End {
    Fins,
    TaskResets,
    ServerResets,
}

/// More than half of all sequence numbers pass between two syncs of the kernel's counters.
#[test]
fn regression_a_fast_connection_that_the_kernel_carries_ends() {
    each_end(|call| call.exchange(300, 8 << 20));
}

#[test]
fn regression_an_acknowledgement_of_what_was_never_sent_hides_no_end() {
    for off in [1 << 28, 1 << 20, 1, 1 << 31, u32::MAX << 28] {
        for egress in [true, false] {
            // In the kernel, and then in user space, to which a segment with options is punted.
            for options in [false, true] {
                each_end(|call| {
                    call.exchange(3, 1000);
                    call.acknowledges(egress, off, options);
                });
            }
        }
    }
}

#[test]
fn regression_more_in_flight_than_is_accepted_hides_no_end() {
    for segments_in_flight in [9, 13, 40] {
        for egress in [true, false] {
            each_end(|call| call.stream(egress, 600, segments_in_flight, 8 << 20));
        }
    }
}

/// A segment that user space has judged may still be unsent when the next one comes to the kernel.
#[test]
fn data_in_sequence_do_not_overtake_what_was_judged_and_is_not_sent_on() {
    if !is_root() {
        return;
    }
    let mut call = Call::new();
    let flow = call.flow();
    flow.withdraw_offload();
    assert!(flow.ask_for_offload());
    call.bed.open_or_offload(&flow.egress);
    call.opens = false;
    let release_barrier_in_sequence =
        || flow.release_barrier_in_sequence(Side::Egress, flow.punted(Side::Egress).unwrap());
    assert!(call.says(true), "it is closed");
    release_barrier_in_sequence();
    assert!(call.says_with_options(), "no plain segment is punted, whatever is open");
    assert!(call.says(true), "that one may not be sent on");
    release_barrier_in_sequence();
    assert!(!call.says(true), "all were");
    assert!(!call.says(true) && flow.punted(Side::Egress).is_none());
}

/// Without a withdrawal the kernel would forward by the entries that it had by then, and no flow
/// would own them.
#[test]
fn a_panic_in_the_midst_of_offloading_leaves_the_kernel_nothing_of_the_flow() {
    if !is_root() {
        return;
    }
    let mut call = Call::new();
    let flow = call.flow();
    flow.withdraw_offload();
    assert!(flow.ask_for_offload());
    call.bed.cache.after_an_entry.arm(|| panic!("a test wants half an offload"));
    let bed = &mut call.bed;
    let offload = std::panic::AssertUnwindSafe(|| bed.open_or_offload(&flow.egress));
    assert!(std::panic::catch_unwind(offload).is_err());
    let entries = lock(&call.bed.cache.entries).keys().count();
    assert!(!flow.is_offloaded() && entries == 0, "{entries}");
    assert!(call.says(true) && call.says(false), "it goes on in user space");
}

/// Lets two ends talk so that the kernel forwards their packets, ends their connection in each way,
/// and finds it closed.
fn each_end(talk: impl Fn(&mut Call)) {
    if !is_root() {
        return;
    }
    for end in [End::Fins, End::TaskResets, End::ServerResets] {
        let mut call = Call::new();
        talk(&mut call);
        let state = call.end(end);
        assert_eq!(state, TcpState::Closed, "{end:?}: {:?}", call.flow().tcp);
    }
}

/// A TCP connection whose packets the kernel forwards.
struct Call {
    bed: Bed,
    outside: SocketAddrV4,
    /// The next sequence number of each side.
    at: [u32; 2],
    /// True if user space releases the reordering barriers.
    opens: bool,
}

impl Call {
    const INSIDE: SocketAddrV4 = SocketAddrV4::new(TASK, 5000);
    const SERVER: SocketAddrV4 = SocketAddrV4::new(HOST, 443);

    fn new() -> Self {
        let bed = Bed::new(u64::from(std::process::id()));
        let mut call = Self { bed, outside: Self::SERVER, at: [u32::MAX - 5000, 77], opens: true };
        let syn = TcpFlags::SYN;
        let sent = call.send(true, syn, &[]).unwrap();
        let [a, b, c, d] = sent[12..16].try_into().unwrap();
        let port = u16::from_be_bytes([sent[20], sent[21]]);
        call.outside = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port);
        call.send(false, syn.with(TcpFlags::ACK), &[]);
        for _ in 0..20 {
            call.says(true);
            call.says(false);
        }
        assert!(call.flow().is_offloaded());
        assert!(!call.says(true) && !call.says(false), "both directions are open");
        call
    }

    fn flow(&self) -> Arc<Flow> {
        let mut found = None;
        self.bed.engines[0].flows().for_each(|entry| found = Some(Arc::clone(&entry.flow)));
        found.unwrap()
    }

    /// Sends a segment with data; returns whether user space got it.
    fn says(&mut self, egress: bool) -> bool {
        self.send(egress, TcpFlags::ACK.with(TcpFlags::PSH), b"hello").is_some()
    }

    /// Sends a segment with data from the task that the kernel does not forward, since it has
    /// options.
    fn says_with_options(&mut self) -> bool {
        let mut bytes = self.segment(true, TcpFlags::ACK, self.at[1], b"hello");
        with_options(&mut bytes);
        self.at[0] = self.at[0].wrapping_add(5);
        self.pass(true, &bytes).is_some()
    }

    /// Sends `times` segments from the server, each with a sequence number `ahead` of the one
    /// before, and each acknowledged.
    fn exchange(&mut self, times: u32, ahead: u32) {
        for _ in 0..times {
            self.at[1] = self.at[1].wrapping_add(ahead - 5);
            assert!(!self.says(false) && !self.says(true), "the kernel carries it");
        }
    }

    /// Sends `times` segments from one side, each with a sequence number `ahead` of the one before.
    /// The other side acknowledges a segment once `in_flight` segments have followed it.
    fn stream(&mut self, egress: bool, times: usize, in_flight: usize, ahead: u32) {
        let side = usize::from(!egress);
        let mut sent = Vec::new();
        for time in 0..times + in_flight {
            if time < times {
                self.at[side] = self.at[side].wrapping_add(ahead - 5);
                assert!(!self.says(egress), "the kernel carries it");
                sent.push(self.at[side]);
            }
            if let Some(acknowledged) = time.checked_sub(in_flight) {
                let bytes = self.segment(!egress, TcpFlags::ACK, sent[acknowledged], &[]);
                assert!(self.pass(!egress, &bytes).is_none(), "the kernel carries it");
            }
        }
    }

    /// Acknowledges, from one side, `off` more than was sent.
    fn acknowledges(&mut self, egress: bool, off: u32, options: bool) {
        let ack = self.at[usize::from(egress)].wrapping_add(off);
        let mut bytes = self.segment(egress, TcpFlags::ACK, ack, &[]);
        if options {
            with_options(&mut bytes);
        }
        assert_eq!(self.pass(egress, &bytes).is_some(), options);
    }

    fn end(&mut self, end: End) -> TcpState {
        let fin = TcpFlags::FIN.with(TcpFlags::ACK);
        match end {
            End::Fins => {
                self.send(false, fin, &[]);
                self.send(true, fin, &[]);
            }
            End::TaskResets => drop(self.send(true, TcpFlags::RST, &[])),
            End::ServerResets => drop(self.send(false, TcpFlags::RST, &[])),
        }
        self.flow().tcp.state()
    }

    /// Sends a segment; returns what user space sends on, if the segment is punted.
    fn send(&mut self, egress: bool, flags: TcpFlags, payload: &[u8]) -> Option<Vec<u8>> {
        let ack = self.at[usize::from(egress)];
        let bytes = self.segment(egress, flags, ack, payload);
        let turn = u32::from(flags.syn() || flags.fin());
        let own = &mut self.at[usize::from(!egress)];
        *own = own.wrapping_add(payload.len() as u32 + turn);
        self.pass(egress, &bytes)
    }

    fn segment(&self, egress: bool, flags: TcpFlags, ack: u32, payload: &[u8]) -> Vec<u8> {
        let (src, dst) =
            if egress { (Self::INSIDE, Self::SERVER) } else { (Self::SERVER, self.outside) };
        builder::tcp(src, dst, flags, self.at[usize::from(!egress)], ack, payload)
    }

    fn pass(&mut self, egress: bool, bytes: &[u8]) -> Option<Vec<u8>> {
        let device = if egress { Device::Eni(0.into()) } else { Device::NatGateway(0.into()) };
        let vnet = VnetHeader::default();
        let sample = Sample { bytes: bytes.to_vec(), vnet, egress, device };
        if self.bed.run(&sample).0 == REDIRECTED {
            return None;
        }
        let (judged, sent) = self.bed.judge(0, &sample);
        if let Some(key) = judged.offload.filter(|_| self.opens) {
            self.bed.open_or_offload(&key);
        }
        assert!(matches!(judged.verdict, Verdict::Forward { .. }), "{judged:?}");
        Some(sent)
    }
}

/// Puts an IPv4 option into a header, which makes it longer than the plain 20 bytes.
fn with_options(bytes: &mut Vec<u8>) {
    bytes.splice(20..20, [1, 1, 1, 0]);
    bytes[0] = 0x46;
    let length = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes[10..12].fill(0);
    let sum = checksum::checksum(&bytes[..24]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// A generator that needs no crate: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ word >> 31) % u64::from(bound)) as u32
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }
}

/// Two ends that exchange packets through egret.
struct Talk {
    protocol: Protocol,
    server: SocketAddrV4,
    port: u16,
    /// The task as the server sees it, from the last packet that arrived there.
    outside: Option<SocketAddrV4>,
    /// The position of each side in what it sends.
    at: [u32; 2],
    /// The progress of the handshake.
    phase: u32,
}

struct Sample {
    bytes: Vec<u8>,
    vnet: VnetHeader,
    egress: bool,
    device: Device,
}

struct Bed {
    _netns: Removed,
    steer: Steer,
    cache: Arc<FlowCache>,
    snapshot: Snapshot,
    /// The engine behind the tc programs, and the engine alone.
    engines: [Engine; 2],
    talks: Vec<Talk>,
    random: Random,
    /// Packets by protocol: those that the cache forwarded, and those that the engine forwarded.
    carried: BTreeMap<u8, [u32; 2]>,
}

struct Removed(Netns);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = netns::remove(self.0.name());
    }
}

impl Bed {
    fn new(seed: u64) -> Self {
        let snapshot = Lab::parse("lab.toml", LAB).unwrap().lower(Generation(1));
        let eni = snapshot.choose_eni(ServiceIx(0), 1);
        let task = Task { service: ServiceIx(0), number: 1, address: TASK, eni };
        let snapshot = snapshot.with_task(task);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        let netns = Netns::create(&format!("egret-unit-{}-{count}", std::process::id())).unwrap();
        let (steer, cache) = Steer::load_for_test_runs(&netns).unwrap();
        let address = snapshot.eni(eni.unwrap()).address;
        let nat = snapshot.parts().nat_gateways[0].addresses[0];
        let link = Link { ifindex: LOOPBACK, near: Mac([2; 6]), far: Mac([4; 6]) };
        {
            let mut tables = cache.tables();
            let vpc = Space::nth_vpc(0);
            tables.tasks.insert(TASK, link);
            tables.spaces.insert(LOOPBACK, 1);
            for (space, address) in [(vpc.0, address), (1, address), (1, nat.public.unwrap())] {
                tables.owners.insert((u32::from(space), address), TUN);
            }
            let all = Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0).unwrap();
            tables.deliveries.insert(TUN, BTreeMap::from([(all, Some(link.into()))]));
        }
        cache.use_generation(snapshot.generation).unwrap();
        let talk = |protocol, server: Ipv4Addr, port| Talk {
            protocol,
            server: SocketAddrV4::new(server, if protocol == Protocol::Icmp { 0 } else { 443 }),
            port,
            outside: None,
            at: [u32::MAX - 5000, 77],
            phase: 0,
        };
        let mut talks = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
            for server in [HOST, DB] {
                talks.extend((1..=3).map(|port| talk(protocol, server, 5000 + port)));
            }
        }
        Self {
            _netns: Removed(netns),
            steer,
            cache: Arc::new(cache),
            snapshot,
            engines: [Engine::new(seed).offloading(), Engine::new(seed)],
            talks,
            random: Random(seed),
            carried: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        if self.random.one_in(500) {
            let now = Instant(clock::now());
            self.engines.iter().for_each(|engine| {
                engine.sweep(now, &self.snapshot);
            });
        }
        let index = self.random.below(self.talks.len() as u32) as usize;
        let Some(mut sample) = self.sample(index) else { return };
        self.twist(&mut sample);
        let alone = self.judge(1, &sample);
        let (code, out) = self.run(&sample);
        let protocol = self.talks[index].protocol.number();
        let counted = self.carried.entry(protocol).or_default();
        if code == REDIRECTED {
            counted[0] += 1;
            let Verdict::Forward { .. } = alone.0.verdict else {
                panic!(
                    "the engine would not have sent on: {:?} {:02x?}",
                    alone.0,
                    &sample.bytes[..28]
                )
            };
            assert_eq!(out[..12], [[4; 6], [2; 6]].concat());
            let same = out[14..] == alone.1;
            assert!(
                same,
                "{:02x?}\n{:02x?}\n{:02x?}",
                &sample.bytes[..28],
                &out[14..42],
                &alone.1[..28]
            );
        } else {
            counted[1] += 1;
            let behind = self.judge(0, &sample);
            assert_eq!((behind.0.verdict, &behind.1), (alone.0.verdict, &alone.1));
            if let Some(key) = behind.0.offload {
                self.open_or_offload(&key);
            }
        }
        if sample.egress
            && let Verdict::Forward { .. } = alone.0.verdict
        {
            let [a, b, c, d] = alone.1[12..16].try_into().unwrap();
            let at = if protocol == 1 { 24 } else { 20 };
            let port = u16::from_be_bytes([alone.1[at], alone.1[at + 1]]);
            self.talks[index].outside = Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port));
        }
    }

    /// Returns the next packet of a conversation, as an honest stack would send it.
    fn sample(&mut self, index: usize) -> Option<Sample> {
        let random = &mut self.random;
        let talk = &mut self.talks[index];
        let mut egress = random.one_in(2);
        let mut flags = TcpFlags::ACK;
        if talk.protocol == Protocol::Tcp {
            (egress, flags) = match (talk.phase, random.below(100)) {
                (0, _) => (true, TcpFlags::SYN),
                (1, _) => (false, TcpFlags::SYN.with(TcpFlags::ACK)),
                (2, _) => (true, TcpFlags::ACK),
                (_, 0) => (egress, TcpFlags::FIN.with(TcpFlags::ACK)),
                (_, 1) => (egress, TcpFlags::RST),
                (_, 2) => (true, TcpFlags::SYN),
                (_, 3) => (egress, TcpFlags::PSH),
                _ => (egress, TcpFlags::ACK.with(TcpFlags::PSH)),
            };
            talk.phase = if flags.syn() && egress { 1 } else { talk.phase + 1 };
        }
        let mut vnet = VnetHeader::default();
        let payload: Vec<u8> = (0..random.below(1300)).map(|n| (n * 7) as u8).collect();
        let payload = if flags == TcpFlags::ACK.with(TcpFlags::PSH) || random.one_in(2) {
            &payload[..]
        } else {
            &payload[..payload.len().min(100)]
        };
        if payload.len() > 100 && talk.protocol != Protocol::Icmp && random.one_in(3) {
            vnet.gso_type =
                if talk.protocol == Protocol::Tcp { vnet::GSO_TCPV4 } else { vnet::GSO_UDP_L4 };
            vnet.gso_size = 20 + random.below(300) as u16;
        }
        let inside = SocketAddrV4::new(TASK, talk.port);
        let (src, dst) = if egress { (inside, talk.server) } else { (talk.server, talk.outside?) };
        let side = usize::from(!egress);
        let bytes = match talk.protocol {
            Protocol::Tcp => {
                if random.one_in(50) {
                    talk.at[side] = talk.at[side].wrapping_add(random.below(1 << 27));
                }
                let off = if random.one_in(30) { 1 << random.below(32) } else { 0 };
                let (seq, ack) = (talk.at[side], talk.at[1 - side] ^ off);
                let turn = u32::from(flags.syn() || flags.fin());
                let payload = if flags.syn() { &[][..] } else { payload };
                if !flags.rst() && !random.one_in(10) {
                    talk.at[side] = seq.wrapping_add(payload.len() as u32 + turn);
                }
                let seq = if flags.rst() && random.one_in(2) { seq ^ 0x4000_0000 } else { seq };
                builder::tcp(src, dst, flags, seq, ack, payload)
            }
            Protocol::Udp => builder::udp(src, dst, payload),
            Protocol::Icmp | Protocol::Other(_) => {
                let payload =
                    &payload[..payload.len().min(if random.one_in(4) { 800 } else { 110 })];
                match egress {
                    true => builder::icmp_echo_request(*src.ip(), *dst.ip(), talk.port, 1, payload),
                    false => builder::icmp_echo_reply(*src.ip(), *dst.ip(), dst.port(), 1, payload),
                }
            }
        };
        let vpc = *talk.server.ip() == DB;
        let device =
            if egress || vpc { Device::Eni(0.into()) } else { Device::NatGateway(0.into()) };
        Some(Sample { bytes, vnet, egress, device })
    }

    /// Changes a packet into one that an honest stack seldom sends.
    fn twist(&mut self, sample: &mut Sample) {
        let random = &mut self.random;
        let bytes = &mut sample.bytes;
        let mut fix_sum = true;
        match random.below(60) {
            0 => bytes[8] = random.below(3) as u8,
            1 => {
                fix_sum = {
                    bytes[10] ^= 1 << random.below(8);
                    false
                }
            }
            2 => bytes[6] = 0x20,
            3 => bytes[7] = random.below(4) as u8,
            4 => bytes[6] ^= 0x40,
            5 => bytes[1] = random.below(256) as u8,
            6 => bytes.extend_from_slice(&[0; 3]),
            7 => bytes.truncate(bytes.len() - 1),
            8 => bytes[3] = bytes[3].wrapping_sub(random.below(9) as u8),
            9 => {
                bytes.splice(20..20, [1, 1, 1, 0]);
                bytes[0] = 0x46;
                let length = bytes.len() as u16;
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
            }
            10 => bytes[0] = random.below(256) as u8,
            11 | 12 if bytes[9] == 17 => bytes[26..28].fill(0),
            13 => {
                let at = 20 + random.below(bytes.len() as u32 - 20) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            14 => bytes[12 + random.below(8) as usize] ^= 1 << random.below(8),
            15 => {
                bytes[9] = [1, 6, 17, 47][random.below(4) as usize];
                sample.vnet = VnetHeader::default();
            }
            16 if bytes[9] == 17 => bytes[25] = random.below(256) as u8,
            _ => return,
        }
        // Bytes that say where the header ends may be beyond the packet now.
        let length = (usize::from(bytes[0] & 15) * 4).min(bytes.len());
        if fix_sum && length >= 20 {
            bytes[10..12].fill(0);
            let sum = checksum::checksum(&bytes[..length]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// Runs a tc program on a packet: returns its verdict and the resulting frame.
    fn run(&self, sample: &Sample) -> (u32, Vec<u8>) {
        let frame = [&[0; 12][..], &[8, 0], &sample.bytes].concat();
        let program = if sample.egress { "task_ingress" } else { "space_ingress" };
        self.steer.run(program, &frame, sample.vnet.gso_size)
    }

    /// Returns the verdict of an engine, and the bytes that it sends.
    fn judge(&self, engine: usize, sample: &Sample) -> (Judged, Vec<u8>) {
        let (mut bytes, mut reply) = (sample.bytes.clone(), [0; 2048]);
        let now = Instant(clock::now());
        let Sample { device, vnet, .. } = *sample;
        let engine = &self.engines[engine];
        let received = Received { device, bytes: &mut bytes, vnet };
        let judged = engine.judge(now, &self.snapshot, received, &mut reply);
        let sent = match judged.verdict {
            Verdict::Forward { .. } => bytes[..judged.len].to_vec(),
            Verdict::Reply { len, .. } => reply[..len].to_vec(),
            Verdict::Drop { .. } | Verdict::Hold => Vec::new(),
        };
        (judged, sent)
    }

    /// Does what a worker does when it has sent on all that it has read.
    fn open_or_offload(&self, key: &FlowKey) {
        let engine = &self.engines[0];
        let (flow, side) =
            engine.flows().get(key).map(|entry| (Arc::clone(&entry.flow), entry.side)).unwrap();
        if flow.is_offloaded() {
            if let Some(punted) = flow.punted(side) {
                flow.release_barrier(side, punted);
            }
            return;
        }
        let candidate = engine.candidate(&self.snapshot, key).unwrap();
        assert!(self.cache.carry(&candidate));
        engine.confirm(&self.snapshot, &candidate);
        assert!(candidate.flow.is_offloaded());
    }

    fn same_figures(&self) {
        let figures = |engine: &Engine| {
            let mut all = BTreeMap::new();
            engine.flows().for_each(|entry| {
                let flow = &entry.flow;
                let counted = [&flow.sent, &flow.received]
                    .map(|counters| (counters.packets(), counters.segments(), counters.bytes()));
                let key = flow.inside().to_string();
                all.insert(key, (counted, format!("{:?}", flow.tcp)));
            });
            let tallies: Vec<_> = engine
                .tallies(&self.snapshot)
                .iter()
                .map(|(path, tally)| {
                    let counted = [&tally.sent, &tally.received];
                    (*path, counted.map(|c| (c.packets(), c.segments(), c.bytes())))
                })
                .collect();
            (all, tallies)
        };
        let [behind, alone] = [0, 1].map(|index| figures(&self.engines[index]));
        assert!(alone.0.len() >= 12, "{alone:#?}");
        assert_eq!(behind, alone);
    }
}
