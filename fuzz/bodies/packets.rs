//! The packet path: a lab, then packets, answers, time and reloads as the input determines, through
//! `Engine::judge`.
//!
//! For every input: nothing panics; a forwarded packet has the checksums that it came with or valid
//! ones, and goes to the link of its destination; no private source goes to the internet; an answer
//! goes only to the sender; and when everything has been idle for long enough, nothing is left.

use super::tape::Tape;
use egret::config::Lab;
use egret::flow::Instant;
use egret::packet::{Packet, Protocol, TcpFlags, Tuple, VnetHeader, builder};
use egret::pipeline::{Device, Engine, Link, Received, Verdict};
use egret::vpc::{Egress, Generation, Interface, ServiceIx, Snapshot, Task};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::OnceLock;
use std::time::Duration;

const LABS: [&str; 3] = [
    include_str!("../../examples/three-az.toml"),
    include_str!("../../examples/walkthrough.toml"),
    include_str!("../../examples/minimal.toml"),
];
const FIRST_TASK: u32 = 0x6440_0001;
/// The most steps of one input. None needs more, and the fuzzer should not spend its time on long
/// inputs.
const STEPS: usize = 200;
const RELOADS: u32 = 3;

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    forwards(data);
}

/// Runs one input, and returns the number of forwarded packets.
pub(crate) fn forwards(data: &[u8]) -> usize {
    let mut tape = Tape(data);
    let Some(first) = tape.byte() else { return 0 };
    let mut world = World::new(usize::from(first));
    for _ in 0..STEPS {
        if world.step(&mut tape).is_none() {
            break;
        }
    }
    let forwarded = world.forwarded;
    world.end();
    forwarded
}

struct World {
    engine: Engine,
    lab: Lab,
    snapshot: Snapshot,
    now: Instant,
    devices: Vec<Device>,
    addresses: Vec<Ipv4Addr>,
    /// The last packet that left toward a VPC or the internet, and its link.
    last: Option<(Tuple, Link, Vec<u8>)>,
    forwarded: usize,
}

impl World {
    fn new(seed: usize) -> Self {
        let lab = lab(seed);
        let snapshot = attached(&lab, Generation(1));
        let mut world = Self {
            engine: Engine::new(seed as u64),
            lab,
            snapshot,
            now: Instant(1_000_000_000),
            devices: Vec::new(),
            addresses: Vec::new(),
            last: None,
            forwarded: 0,
        };
        world.look_around();
        world
    }

    fn look_around(&mut self) {
        let parts = self.snapshot.parts();
        self.devices = Device::all(&self.snapshot).collect();
        let tasks = self.snapshot.tasks().map(|task| task.address);
        let enis = parts.enis.iter().map(|eni| eni.address);
        let resources = parts.resources.iter().map(|resource| resource.address);
        let hosts = parts.internet_hosts.iter().map(|host| host.address);
        let seen = self.last.as_ref().map(|(tuple, _, _)| tuple.src);
        let others = [Ipv4Addr::new(169, 254, 169, 253), Ipv4Addr::new(10, 0, 0, 2)];
        self.addresses =
            tasks.chain(enis).chain(resources).chain(hosts).chain(seen).chain(others).collect();
        self.addresses.sort();
    }

    fn step(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        match tape.byte()? % 12 {
            0 => self.sweep_after(Duration::from_millis(u64::from(tape.u16()?))),
            1 => self.sweep_after(Duration::from_secs(u64::from(tape.u16()? % 1000))),
            2 => self.reload(tape.byte()?),
            3 => {
                let address = tape.choose(&self.addresses)?;
                self.engine.forget_task(self.now, &self.snapshot, address);
            }
            4 => {
                let device = tape.choose(&self.devices)?;
                let vnet = VnetHeader::from_bytes(&array(tape.take(10)));
                let len = usize::from(tape.byte()?);
                self.judge(device, tape.take(len).to_vec(), vnet);
            }
            5 | 6 => self.answer(tape)?,
            7 => self.complain(tape)?,
            _ => self.send(tape)?,
        }
        Some(())
    }

    /// Sends a packet that a host might send.
    fn send(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        let (from, to) = (tape.choose(&self.addresses)?, tape.choose(&self.addresses)?);
        let own =
            self.snapshot.task(from).map(|task| task.eni.map_or(Device::AppRunner, Device::Eni));
        let device = match own {
            Some(device) => device,
            None => tape.choose(&self.devices)?,
        };
        let mut bytes = made(tape, from, to)?;
        let mut vnet = VnetHeader::default();
        match tape.byte()? {
            0 => vnet = builder::to_partial(&mut bytes),
            1 => vnet = builder::to_super_packet(&mut bytes, tape.u16()?),
            2 => fragment(&mut bytes, tape.u16()?),
            3 => {
                let (at, byte) = (usize::from(tape.u16()?), tape.byte()?);
                let len = bytes.len().max(1);
                if let Some(place) = bytes.get_mut(at % len) {
                    *place = byte;
                }
                if tape.byte()? % 2 == 0 {
                    repair_header(&mut bytes);
                }
            }
            _ => {}
        }
        self.judge(device, bytes, vnet);
        Some(())
    }

    /// Answers the last packet that left, as a host that may lie.
    fn answer(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        let (flags, seq, ack) = (TcpFlags(tape.byte()?), tape.u32()?, tape.u32()?);
        let len = usize::from(tape.byte()? % 16);
        let payload = tape.take(len);
        let Some((out, link, _)) = self.last.clone() else { return Some(()) };
        let back = out.reversed();
        let Some(device) = self.owner(link, back.dst) else { return Some(()) };
        let from = SocketAddrV4::new(back.src, back.sport);
        let to = SocketAddrV4::new(back.dst, back.dport);
        let bytes = match out.protocol {
            Protocol::Tcp => builder::tcp(from, to, flags, seq, ack, payload),
            Protocol::Udp => builder::udp(from, to, payload),
            Protocol::Icmp | Protocol::Other(_) => {
                builder::icmp_echo_reply(back.src, back.dst, back.dport, 1, payload)
            }
        };
        self.judge(device, bytes, VnetHeader::default());
        Some(())
    }

    /// Sends an ICMP error about the last packet that left.
    fn complain(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        let (icmp_type, code) = (tape.choose(&[3, 4, 5, 11, 12])?, tape.byte()?);
        let (is_router, len) = (tape.byte()? % 2 == 0, usize::from(tape.byte()?));
        let Some((out, link, bytes)) = self.last.clone() else { return Some(()) };
        let Some(device) = self.owner(link, out.src) else { return Some(()) };
        let from = if is_router { Ipv4Addr::new(192, 0, 2, 1) } else { out.dst };
        let quoted = bytes.get(..len).unwrap_or(&bytes);
        let error = builder::icmp_error(from, out.src, icmp_type, code, quoted);
        self.judge(device, error, VnetHeader::default());
        Some(())
    }

    /// Returns the device that has an address, on a link that is not a task's.
    fn owner(&self, link: Link, address: Ipv4Addr) -> Option<Device> {
        let interface = |vpc| match self.snapshot.interface(vpc, address)? {
            Interface::Eni(ix) => Some(Device::Eni(ix)),
            Interface::NatGateway(ix) => Some(Device::NatGateway(ix)),
            _ => None,
        };
        match link {
            Link::Task(_) | Link::Services => None,
            Link::Vpc(vpc) => interface(vpc),
            Link::Endpoint(ix) => interface(self.snapshot.gateway_endpoint(ix).vpc),
            Link::Internet | Link::PublicEndpoint(_) => {
                let own = self.snapshot.parts().apprunner_address == Some(address);
                let gateway = self.snapshot.nat_gateway_of(address).map(Device::NatGateway);
                gateway.or(own.then_some(Device::AppRunner))
            }
        }
    }

    fn judge(&mut self, device: Device, mut bytes: Vec<u8>, vnet: VnetHeader) {
        let before = bytes.clone();
        let mut reply = [0; 2048];
        let received = Received { device, bytes: &mut bytes, vnet };
        let judged = self.engine.judge(self.now, &self.snapshot, received, &mut reply);
        match judged.verdict {
            Verdict::Forward { link, .. } => {
                bytes.truncate(judged.len);
                self.forwarded += 1;
                self.check_forwarded(link, &before, bytes, vnet);
            }
            Verdict::Reply { len, .. } => {
                let answer = &mut reply[..len];
                assert!(is_valid(answer), "an answer with a wrong checksum");
                assert_eq!(answer[16..20], before[12..16], "an answer goes to the sender");
                assert!(Packet::parse(answer, VnetHeader::default()).is_ok());
            }
            Verdict::Drop { .. } | Verdict::Hold => {}
        }
        let Some(datagram) = judged.releases else { return };
        let mut held = vec![0; 65_535];
        while let Some(len) = self.engine.next_held(&datagram, &mut held) {
            self.judge(device, held[..len].to_vec(), VnetHeader::default());
        }
    }

    fn check_forwarded(&mut self, link: Link, before: &[u8], mut bytes: Vec<u8>, vnet: VnetHeader) {
        let mut original = before[..bytes.len().min(before.len())].to_vec();
        builder::complete(&mut original, vnet);
        builder::complete(&mut bytes, vnet);
        assert!(header_sum(&bytes) == 0xffff, "a wrong IPv4 checksum left egret");
        assert!(!is_valid(&original) || is_valid(&bytes), "a valid checksum was made wrong");
        let source = Ipv4Addr::from(array::<4>(&bytes[12..16]));
        let destination = Ipv4Addr::from(array::<4>(&bytes[16..20]));
        match link {
            Link::Task(task) => assert_eq!(destination, task),
            Link::Internet | Link::PublicEndpoint(_) => {
                let shared = matches!(source.octets(), [100, 64..=127, ..]);
                assert!(!source.is_private() && !shared, "{source} toward the internet");
            }
            Link::Services => assert_eq!(bytes[16..20], before[16..20]),
            Link::Vpc(_) | Link::Endpoint(_) => {
                assert!(self.snapshot.task(source).is_none(), "a task's own address in a VPC");
            }
        }
        let mut copy = bytes.clone();
        if let (Ok(packet), false) =
            (Packet::parse(&mut copy, VnetHeader::default()), matches!(link, Link::Task(_)))
        {
            self.last = Some((packet.tuple(), link, bytes));
        }
    }

    fn sweep_after(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.engine.sweep(self.now, &self.snapshot);
    }

    fn reload(&mut self, which: u8) {
        let generation = Generation(self.snapshot.generation.0 + 1);
        if generation.0 > RELOADS {
            return;
        }
        let text = LABS[usize::from(which) % LABS.len()];
        self.lab = Lab::parse_after(Some(&self.lab), "lab.toml", text).expect("an example");
        self.snapshot = attached(&self.lab, generation);
        self.look_around();
    }

    /// Checks that all flows end when they are idle for long enough.
    fn end(mut self) {
        let timeouts = self.snapshot.parts().timeouts;
        for _ in 0..3 {
            self.sweep_after(timeouts.longest() + timeouts.port_quarantine);
        }
        assert!(self.engine.flows().is_empty(), "a flow that never expires");
    }
}

/// Returns one of the labs. They are parsed once, because that takes longer than a whole input.
fn lab(which: usize) -> Lab {
    static READ: OnceLock<Vec<Lab>> = OnceLock::new();
    let parse = |text: &&str| Lab::parse("lab.toml", text).expect("an example");
    let labs = READ.get_or_init(|| LABS.iter().map(parse).collect());
    labs[which % labs.len()].clone()
}

/// Returns the lab's snapshot with all its tasks, at consecutive addresses.
fn attached(lab: &Lab, generation: Generation) -> Snapshot {
    let mut snapshot = lab.lower(generation);
    let mut next = FIRST_TASK;
    for (position, service) in lab.spec.services.iter().enumerate() {
        let ix = ServiceIx::from(position);
        for number in 1..=service.tasks.min(4) {
            let eni = match snapshot.service(ix).egress {
                Egress::Default => None,
                Egress::Vpc(_) => snapshot.choose_eni(ix, number),
            };
            let address = Ipv4Addr::from(next);
            snapshot = snapshot.with_task(Task { service: ix, number, address, eni });
            next += 1;
        }
    }
    snapshot
}

fn made(tape: &mut Tape<'_>, from: Ipv4Addr, to: Ipv4Addr) -> Option<Vec<u8>> {
    let ports = [53, 80, 443, 5432, 6379, 40_000, 40_001];
    let (sport, dport) = (tape.choose(&ports)?, tape.choose(&ports)?);
    let (src, dst) = (SocketAddrV4::new(from, sport), SocketAddrV4::new(to, dport));
    Some(match tape.byte()? % 8 {
        0..3 => builder::tcp(src, dst, TcpFlags::SYN, tape.u32()?, 0, &[]),
        3 => {
            let flags = TcpFlags(tape.byte()?);
            builder::tcp(src, dst, flags, tape.u32()?, tape.u32()?, tape.take(40))
        }
        4 | 5 => {
            let len = usize::from(tape.byte()?) * 8;
            builder::udp(src, dst, &vec![0x5a; len])
        }
        6 => builder::icmp_echo_request(from, to, sport, dport, tape.take(16)),
        _ => {
            let mut bytes = builder::udp(src, dst, tape.take(8));
            if let Some(protocol) = bytes.get_mut(9) {
                *protocol = tape.byte()?;
            }
            repair_header(&mut bytes);
            bytes
        }
    })
}

/// Makes a packet a fragment with the given flags and offset, so that several packets can make up a
/// datagram.
fn fragment(bytes: &mut [u8], word: u16) {
    if let Some(field) = bytes.get_mut(6..8) {
        field.copy_from_slice(&(word & 0x203f).to_be_bytes());
    }
    repair_header(bytes);
}

fn repair_header(bytes: &mut [u8]) {
    if bytes.len() >= 20 && header_len(bytes) <= bytes.len() {
        bytes[10..12].fill(0);
        let sum = !header_sum(bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

fn header_len(bytes: &[u8]) -> usize {
    usize::from(bytes[0] & 0xf) * 4
}

fn header_sum(bytes: &[u8]) -> u16 {
    sum(&[&bytes[..header_len(bytes).min(bytes.len())]])
}

/// Returns the one's complement sum of RFC 1071, independently of the engine's own arithmetic.
fn sum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Returns whether the IPv4 checksum and that of TCP, UDP or ICMP are right; a fragment has none of
/// the latter.
fn is_valid(bytes: &[u8]) -> bool {
    let Some(l4) = bytes.get(header_len(bytes)..) else { return false };
    if header_sum(bytes) != 0xffff {
        return false;
    }
    if u16::from_be_bytes([bytes[6], bytes[7]]) & 0x3fff != 0 {
        return true;
    }
    let pseudo = [&bytes[12..20], &[0, bytes[9]], &(l4.len() as u16).to_be_bytes()];
    match bytes[9] {
        6 => sum(&[pseudo[0], pseudo[1], pseudo[2], l4]) == 0xffff,
        17 if l4.get(6..8) == Some(&[0, 0]) => true,
        17 => sum(&[pseudo[0], pseudo[1], pseudo[2], l4]) == 0xffff,
        1 => sum(&[l4]) == 0xffff,
        _ => true,
    }
}

/// Returns the beginning of a slice, with zeros where it is too short.
fn array<const N: usize>(from: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    let len = from.len().min(N);
    array[..len].copy_from_slice(&from[..len]);
    array
}

/// Returns inputs that reach deep into the engine: connections with their answers, errors about
/// them, fragments, reloads.
pub(crate) fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for lab in 0..LABS.len() as u8 {
        let world = World::new(usize::from(lab));
        let at = |address: Ipv4Addr| world.addresses.iter().position(|a| *a == address);
        let tasks: Vec<u8> =
            world.snapshot.tasks().filter_map(|task| at(task.address)).map(|at| at as u8).collect();
        // A SYN, its answer, an ACK with data, the end from both sides, and time for the flow to
        // expire.
        let syn = |task: u8, to: u8, port: u8| vec![8, task, to, 5, port, 0, 0, 0, 0, 100, 9];
        let answer = |flags: u8, seq: u8, ack: u8| vec![5, flags, 0, 0, 0, seq, 0, 0, 0, ack, 0];
        let quiet = vec![1, 1, 95];
        for (kind, rest) in [
            (
                "connection",
                [
                    answer(0x12, 50, 101),
                    answer(0x10, 51, 101),
                    answer(0x11, 51, 101),
                    vec![0, 9, 0],
                ],
            ),
            (
                "reset",
                [answer(0x12, 50, 101), answer(0x04, 51, 0), quiet.clone(), answer(0x10, 51, 101)],
            ),
            (
                "error",
                [
                    answer(0x12, 50, 101),
                    vec![7, 0, 1, 0, 60],
                    vec![7, 3, 0, 1, 28],
                    vec![7, 0, 4, 0, 8],
                ],
            ),
            (
                "reload",
                [answer(0x12, 50, 101), vec![2, lab + 1], answer(0x10, 51, 101), vec![2, lab]],
            ),
            ("late", [quiet.clone(), answer(0x10, 51, 101), vec![0, 4, 0], answer(0x10, 51, 101)]),
        ] {
            let mut bytes = vec![lab];
            for task in &tasks {
                for to in (0..world.addresses.len() as u8).rev() {
                    bytes.extend(syn(*task, to, 2 + to % 3));
                    bytes.extend(rest.iter().flatten());
                }
            }
            bytes.truncate(500);
            seeds.push((format!("{kind}-{lab}"), bytes));
        }
        let mut bytes = vec![lab];
        let last = world.addresses.len() as u8 - 1;
        for (task, to) in tasks.iter().zip((0..last).rev()) {
            for word in [0x2000_u16, 0x2004, 0x0008, 0x0004] {
                bytes.extend([9, *task, to, 5, 0, 4, 4, 2]);
                bytes.extend(word.to_be_bytes());
            }
            bytes.extend([
                8, *task, to, 5, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 6, 1, 1,
            ]);
            bytes.extend([8, *task, to, 5, 2, 3, 0x10, 0, 0, 0, 1, 0, 0, 0, 1]);
            bytes.extend([7; 40]);
            bytes.extend([1, 0, 16]);
        }
        seeds.push((format!("fragments-{lab}"), bytes));
    }
    seeds
}
