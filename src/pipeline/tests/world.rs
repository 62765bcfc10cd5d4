//! A lab, its engine, and a clock that only the test moves.
//!
//! Every step declares its changes: the number of flows that begin or end, and, by its verdict, the
//! drop that is counted. Any change that was not declared fails the test and shows the whole state.

use crate::config::Lab;
use crate::flow::{DatagramKey, Instant, Space};
use crate::packet::field::{address_at, ipv4};
use crate::packet::{IcmpKind, Inside, Packet, Protocol, TcpFlags, Tuple, VnetHeader, builder};
use crate::pipeline::delivery::owned;
use crate::pipeline::{
    Device, Engine, Evidence, Judged, Link, Off, Reason, Received, Recorder, Verdict,
};
use crate::vpc::{Egress, Generation, ServiceIx, Snapshot, Task};
use etherparse::{Icmpv4Slice, Ipv4HeaderSlice, TcpSlice, UdpSlice};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

pub(super) const SYN: TcpFlags = TcpFlags::SYN;
pub(super) const ACK: TcpFlags = TcpFlags::ACK;
pub(super) const FIN: TcpFlags = TcpFlags::FIN;
pub(super) const RST: TcpFlags = TcpFlags::RST;
pub(super) const SYN_ACK: TcpFlags = SYN.with(ACK);

pub(super) const EXAMPLE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(super) const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
pub(super) const NAT_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
pub(super) const NAT_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(super) const APP_RUNNER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 99);
/// The first free address of `subnet-a`: the ENI of odd tasks.
pub(super) const ENI_A: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);

/// Two private subnets behind a NAT gateway, a data subnet without a default route, a service in
/// the VPC and one outside.
pub(super) const LAB: &str = r#"
apprunner_public_ip = "198.51.100.99"

[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"

[[subnet]]
id = "subnet-public"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "subnet-a"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
[[subnet]]
id = "subnet-b"
vpc = "vpc"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
route_table = "rtb-private"
[[subnet]]
id = "subnet-data"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24"

[[route_table]]
id = "rtb-public"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]
[[route_table]]
id = "rtb-private"
vpc = "vpc"
routes = [
    { destination = "0.0.0.0/0", target = "nat" },
]

[[nat_gateway]]
id = "nat"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[security_group]]
id = "sg-app"
vpc = "vpc"
egress = [
    { protocol = "tcp", ports = "5432", to = "sg-db" },
    { protocol = "tcp", ports = "443", to = "0.0.0.0/0" },
    { protocol = "udp", ports = "53", to = "0.0.0.0/0" },
    { protocol = "icmp", to = "0.0.0.0/0" },
]
[[security_group]]
id = "sg-db"
vpc = "vpc"
ingress = [
    { protocol = "tcp", ports = "5432", from = "sg-app" },
    { protocol = "udp", ports = "53", from = "sg-app" },
    { protocol = "icmp", icmp_type = 8, from = "sg-app" },
]

[[resource]]
name = "db"
subnet = "subnet-data"
address = "10.0.3.10"
security_groups = ["sg-db"]
[[resource]]
name = "neighbour"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-db"]

[[internet_host]]
name = "example"
address = "203.0.113.10"

[[vpc_connector]]
name = "connector"
subnets = ["subnet-a", "subnet-b"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "connector"
tasks = 4
[[service]]
name = "public"
egress = "default"
"#;

/// Returns a lab text with internet hosts at more addresses.
pub(super) fn with_hosts(text: &str, addresses: &[Ipv4Addr]) -> String {
    let host = |address| {
        format!("\n[[internet_host]]\nname = \"host-{address}\"\naddress = \"{address}\"\n")
    };
    text.to_owned() + &addresses.iter().map(host).collect::<String>()
}

/// Returns a lab text with one passage replaced, which must be there.
#[track_caller]
pub(super) fn with(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old:?} must occur once in the lab");
    text.replace(old, new)
}

/// The result of a packet.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    /// The bytes that left egret: the packet rewritten, or egret's own answer; nothing for a drop.
    pub(super) bytes: Vec<u8>,
    pub(super) tuple: Option<Tuple>,
    /// The largest fragment in which it leaves, if it is fragmented.
    pub(super) fragments_to: Option<u16>,
    /// The datagram whose held fragments are to be judged next.
    pub(super) releases: Option<DatagramKey>,
}

impl Seen {
    pub(super) fn reason(&self) -> Option<Reason> {
        match self.verdict {
            Verdict::Forward { .. } | Verdict::Hold => None,
            Verdict::Reply { reason, .. } | Verdict::Drop { reason, .. } => Some(reason),
        }
    }

    #[track_caller]
    pub(super) fn forwarded(&self) -> (Tuple, Link) {
        match self.verdict {
            Verdict::Forward { link, .. } => (self.tuple.unwrap(), link),
            Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold => {
                panic!("not forwarded: {self:?}")
            }
        }
    }
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) lab: Lab,
    pub(super) snapshot: Snapshot,
    pub(super) now: Instant,
    tasks: Vec<(String, u16, Ipv4Addr)>,
    flows: usize,
    drops: BTreeMap<Reason, u64>,
}

impl World {
    #[track_caller]
    pub(super) fn new(text: &str) -> Self {
        Self::seeded(text, 1)
    }

    #[track_caller]
    pub(super) fn seeded(text: &str, seed: u64) -> Self {
        let lab = parse(text);
        let snapshot = lab.lower(Generation(1));
        let mut world = Self {
            engine: Engine::new(seed),
            lab,
            snapshot,
            now: Instant(1_000_000_000),
            tasks: Vec::new(),
            flows: 0,
            drops: BTreeMap::new(),
        };
        let services: Vec<_> =
            world.lab.spec.services.iter().map(|s| (s.name.value.clone(), s.tasks)).collect();
        for (name, tasks) in services {
            for number in 1..=tasks {
                let address = Ipv4Addr::from(0x6440_0001 + world.tasks.len() as u32);
                world.tasks.push((name.clone(), number, address));
            }
        }
        world.attach_tasks();
        world
    }

    fn attach_tasks(&mut self) {
        self.snapshot = self.with_tasks(self.snapshot.clone());
    }

    fn with_tasks(&self, mut snapshot: Snapshot) -> Snapshot {
        for (name, number, address) in &self.tasks {
            let found = snapshot.parts().services.iter().position(|s| s.name == *name);
            let Some(service) = found.map(ServiceIx::from) else { continue };
            let eni = match snapshot.service(service).egress {
                Egress::Default => None,
                Egress::Vpc(_) => Some(snapshot.choose_eni(service, *number).unwrap()),
            };
            let task = Task { service, number: *number, address: *address, eni };
            snapshot = snapshot.with_task(task);
        }
        snapshot
    }

    /// Returns the configuration that [`World::reload`] would apply.
    #[track_caller]
    pub(super) fn next(&self, text: &str) -> (Lab, Snapshot) {
        let lab = Lab::parse_after(Some(&self.lab), "lab.toml", text).unwrap();
        let next = lab.lower(Generation(self.snapshot.generation.0 + 1));
        (lab, self.with_tasks(next))
    }

    /// Applies another configuration under the next generation, with the same tasks as far as their
    /// services still exist.
    #[track_caller]
    pub(super) fn reload(&mut self, text: &str) {
        (self.lab, self.snapshot) = self.next(text);
    }

    #[track_caller]
    pub(super) fn task(&self, service: &str, number: u16) -> Ipv4Addr {
        self.tasks.iter().find(|(s, n, _)| s == service && *n == number).unwrap().2
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.tasks.iter().map(|(_, _, address)| *address)
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    /// Sweeps, and expects this many flows to end.
    #[track_caller]
    pub(super) fn sweep_ends(&mut self, flows: usize) {
        assert_eq!(self.engine.sweep(self.now, &self.snapshot), flows, "flows ended by the sweep");
        self.flows -= flows;
        self.check_state("sweep");
    }

    /// Returns the device from which a task's packets are read.
    pub(super) fn device_of(&self, task: Ipv4Addr) -> Device {
        let eni = self.snapshot.task(task).and_then(|task| task.eni);
        eni.map_or(Device::AppRunner, Device::Eni)
    }

    /// Returns the device from which a packet from a VPC or the internet is read.
    #[track_caller]
    pub(super) fn device_toward(&self, link: Link, to: Ipv4Addr) -> Device {
        let owner = self.owner(link, to);
        owner.unwrap_or_else(|| panic!("nothing at {to} takes packets from {link:?}"))
    }

    /// Returns the device that has this address, as a link sees it.
    pub(super) fn owner(&self, link: Link, to: Ipv4Addr) -> Option<Device> {
        let space = match link {
            Link::Vpc(vpc) => self.snapshot.space(vpc),
            Link::Endpoint(ix) => self.snapshot.space(self.snapshot.gateway_endpoint(ix).vpc),
            Link::Internet | Link::PublicEndpoint(_) => Space::INTERNET,
            Link::Services => return Some(self.device_of(to)),
            Link::Task(_) => Space::TASKS,
        };
        let takes = |device: &Device| owned(&self.snapshot, *device).contains(&(space, to));
        Device::all(&self.snapshot).find(takes)
    }

    /// Pushes one packet through [`Engine::judge`], without checking undeclared changes.
    pub(super) fn push(&self, device: Device, bytes: &[u8], vnet: VnetHeader) -> Seen {
        let mut bytes = bytes.to_vec();
        let mut reply = [0; 2048];
        let received = Received { device, bytes: &mut bytes, vnet };
        let judged = self.engine.judge(self.now, &self.snapshot, received, &mut reply);
        bytes.truncate(judged.len);
        let bytes = match judged.verdict {
            Verdict::Forward { .. } => bytes,
            Verdict::Reply { len, .. } => reply[..len].to_vec(),
            Verdict::Drop { .. } | Verdict::Hold => Vec::new(),
        };
        let tuple =
            Packet::parse(&mut bytes.clone(), VnetHeader::default()).ok().map(|p| p.tuple());
        let Judged { verdict, fragments_to, releases, .. } = judged;
        Seen { verdict, bytes, tuple, fragments_to, releases }
    }

    /// Sends a packet, and expects this many flows to begin or, if negative, to end.
    #[track_caller]
    pub(super) fn step(&mut self, device: Device, bytes: &[u8], flows: isize) -> Seen {
        let seen = self.push(device, bytes, VnetHeader::default());
        if !seen.bytes.is_empty() {
            assert_checksums(&seen.bytes);
        }
        if let Some(reason) = seen.reason() {
            *self.drops.entry(reason).or_default() += 1;
        }
        self.flows = self.flows.checked_add_signed(flows).unwrap();
        self.check_state(&format!("{:?} at {device:?}", seen.verdict));
        seen
    }

    #[track_caller]
    fn check_state(&self, after: &str) {
        let drops: BTreeMap<Reason, u64> = Reason::ALL
            .iter()
            .map(|r| (*r, self.engine.drops().packets(*r)))
            .filter(|(_, packets)| *packets > 0)
            .collect();
        let mut flows = Vec::new();
        self.engine
            .flows()
            .for_each(|e| flows.push(format!("{:?} {:?}", e.flow.egress, e.outcome)));
        assert_eq!(
            (self.engine.flows().len(), &drops),
            (self.flows, &self.drops),
            "undeclared change after {after}\nflows:\n{}",
            flows.join("\n")
        );
    }

    /// Declares that packets were dropped outside of a step.
    #[track_caller]
    pub(super) fn were_dropped(&mut self, reason: Reason, packets: u64) {
        *self.drops.entry(reason).or_default() += packets;
        self.check_state("drops outside of a step");
    }

    /// Declares that flows began outside of a step.
    pub(super) fn flows_begin(&mut self, flows: usize) {
        self.flows += flows;
    }

    /// Declares that flows ended outside of a step.
    pub(super) fn flows_end(&mut self, flows: usize) {
        self.flows -= flows;
    }

    /// Sends a task's packet that begins a flow.
    #[track_caller]
    pub(super) fn opens(&mut self, bytes: &[u8]) -> (Tuple, Link) {
        self.step(self.device_of(source(bytes)), bytes, 1).forwarded()
    }

    /// Sends a task's packet that passes; no flow begins or ends.
    #[track_caller]
    pub(super) fn passes(&mut self, bytes: &[u8]) -> (Tuple, Link) {
        self.step(self.device_of(source(bytes)), bytes, 0).forwarded()
    }

    /// Sends a task's packet that is dropped without an answer; no flow begins or ends.
    #[track_caller]
    pub(super) fn refuses(&mut self, bytes: &[u8]) -> Reason {
        self.drops_with(bytes, 0)
    }

    /// Sends a task's segment that is dropped and answered with RST; no flow begins or ends.
    #[track_caller]
    pub(super) fn resets(&mut self, bytes: &[u8]) -> Reason {
        let seen = self.step(self.device_of(source(bytes)), bytes, 0);
        assert!(matches!(seen.verdict, Verdict::Reply { .. }), "{seen:?}");
        let mut reset = seen.bytes.clone();
        let reset = Packet::parse(&mut reset, VnetHeader::default()).unwrap();
        assert!(reset.tcp().unwrap().flags.rst());
        assert_eq!((reset.src(), reset.dst()), (destination(bytes), source(bytes)));
        seen.reason().unwrap()
    }

    /// Sends a task's packet that is dropped without an answer, and expects this many flows to
    /// begin or end.
    #[track_caller]
    pub(super) fn drops_with(&mut self, bytes: &[u8], flows: isize) -> Reason {
        let seen = self.step(self.device_of(source(bytes)), bytes, flows);
        assert!(matches!(seen.verdict, Verdict::Drop { .. }), "{seen:?}");
        seen.reason().unwrap()
    }

    /// Sends a packet from a VPC or the internet, and expects this many flows to end.
    #[track_caller]
    pub(super) fn arrive(&mut self, link: Link, bytes: &[u8], flows: isize) -> Seen {
        self.step(self.device_toward(link, destination(bytes)), bytes, flows)
    }

    /// Sends a packet from a VPC or the internet that reaches a task.
    #[track_caller]
    pub(super) fn comes_back(&mut self, link: Link, bytes: &[u8]) -> Tuple {
        let (tuple, to) = self.arrive(link, bytes, 0).forwarded();
        assert_eq!(to, Link::Task(tuple.dst));
        tuple
    }

    /// Sends a packet from a VPC or the internet that is dropped without an answer.
    #[track_caller]
    pub(super) fn stays_out(&mut self, link: Link, bytes: &[u8]) -> Reason {
        self.arrive(link, bytes, 0).reason().expect("must not reach the task")
    }

    /// Returns the evidence of `egret explain`.
    pub(super) fn explain(&self, bytes: &[u8]) -> Evidence {
        let mut bytes = bytes.to_vec();
        let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
        let task = *self.snapshot.task(packet.src()).unwrap();
        let icmp = packet.icmp_type_code();
        self.engine.explain(self.now, &self.snapshot, &task, Inside::new(packet.tuple()), icmp)
    }

    /// Completes a TCP handshake; returns the first packet as it reached its destination.
    #[track_caller]
    pub(super) fn connects(
        &mut self,
        task: Ipv4Addr,
        sport: u16,
        to: (Ipv4Addr, u16),
    ) -> (Tuple, Link) {
        let (out, link) = self.opens(&tcp(task, sport, to, SYN, 100, 0));
        let back = self.comes_back(link, &segment(out.reversed(), SYN_ACK, 500, 101));
        assert_eq!((back.src, back.sport, back.dst, back.dport), (to.0, to.1, task, sport));
        self.passes(&tcp(task, sport, to, ACK, 101, 501));
        (out, link)
    }

    /// Returns the number of leased ports of an address.
    pub(super) fn leased(&self, space: Space, address: Ipv4Addr) -> u32 {
        self.engine.pools().leased(space, address)
    }

    /// Pushes the same packet through the engine with a recorder that records.
    pub(super) fn push_recorded(&self, device: Device, bytes: &[u8]) -> Option<Verdict> {
        self.push_with(device, bytes, &mut Vec::new())
    }

    /// Pushes a packet as [`World::push`] does, without parsing the result.
    pub(super) fn push_quietly(&self, device: Device, bytes: &[u8]) -> Option<Verdict> {
        self.push_with(device, bytes, &mut Off)
    }

    /// Returns the verdict on bytes that can be parsed.
    pub(super) fn push_with(
        &self,
        device: Device,
        bytes: &[u8],
        recorder: &mut impl Recorder,
    ) -> Option<Verdict> {
        let (mut bytes, vnet) = (bytes.to_vec(), VnetHeader::default());
        Packet::parse(&mut bytes, vnet).ok()?;
        let received = Received { device, bytes: &mut bytes, vnet };
        Some(self.engine.judge_recording(self.now, &self.snapshot, received, recorder).verdict)
    }
}

#[track_caller]
fn parse(text: &str) -> Lab {
    match Lab::parse("lab.toml", text) {
        Ok(lab) => lab,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

pub(super) fn source(bytes: &[u8]) -> Ipv4Addr {
    address_at(bytes, ipv4::SRC)
}

pub(super) fn destination(bytes: &[u8]) -> Ipv4Addr {
    address_at(bytes, ipv4::DST)
}

/// Builds a TCP segment from a task.
pub(super) fn tcp(
    task: Ipv4Addr,
    sport: u16,
    (to, dport): (Ipv4Addr, u16),
    flags: TcpFlags,
    seq: u32,
    ack: u32,
) -> Vec<u8> {
    let (src, dst) = (SocketAddrV4::new(task, sport), SocketAddrV4::new(to, dport));
    builder::tcp(src, dst, flags, seq, ack, &[])
}

pub(super) fn syn(task: Ipv4Addr, sport: u16, to: (Ipv4Addr, u16)) -> Vec<u8> {
    tcp(task, sport, to, SYN, 100, 0)
}

/// Builds a TCP segment with a tuple.
pub(super) fn segment(tuple: Tuple, flags: TcpFlags, seq: u32, ack: u32) -> Vec<u8> {
    let (src, dst) =
        (SocketAddrV4::new(tuple.src, tuple.sport), SocketAddrV4::new(tuple.dst, tuple.dport));
    builder::tcp(src, dst, flags, seq, ack, &[])
}

/// Builds a datagram with a tuple.
pub(super) fn datagram(tuple: Tuple, payload: &[u8]) -> Vec<u8> {
    let (src, dst) =
        (SocketAddrV4::new(tuple.src, tuple.sport), SocketAddrV4::new(tuple.dst, tuple.dport));
    builder::udp(src, dst, payload)
}

pub(super) fn udp(task: Ipv4Addr, sport: u16, (to, dport): (Ipv4Addr, u16)) -> Vec<u8> {
    builder::udp(SocketAddrV4::new(task, sport), SocketAddrV4::new(to, dport), b"query")
}

pub(super) fn ping(task: Ipv4Addr, to: Ipv4Addr, id: u16) -> Vec<u8> {
    builder::icmp_echo_request(task, to, id, 1, b"abcdefgh")
}

/// Builds a packet that answers `out`, the packet as it reached its destination.
pub(super) fn answer(out: Tuple) -> Vec<u8> {
    let back = out.reversed();
    match out.protocol {
        Protocol::Tcp => segment(back, SYN_ACK, 500, 101),
        Protocol::Udp => datagram(back, b"answer"),
        Protocol::Icmp => builder::icmp_echo_reply(back.src, back.dst, back.dport, 1, b"abcdefgh"),
        Protocol::Other(number) => other(number, back.src, back.dst),
    }
}

/// Builds a packet of a protocol that egret does not read.
pub(super) fn other(protocol: u8, src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
    let mut bytes = builder::udp(SocketAddrV4::new(src, 0), SocketAddrV4::new(dst, 0), b"opaque");
    bytes[ipv4::PROTOCOL] = protocol;
    fix_ip_checksum(&mut bytes);
    bytes
}

/// Sets one byte of the IPv4 header, and the header checksum.
pub(super) fn with_byte(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    bytes[at] = byte;
    fix_ip_checksum(&mut bytes);
    bytes
}

pub(super) fn with_ttl(bytes: Vec<u8>, ttl: u8) -> Vec<u8> {
    with_byte(bytes, ipv4::TTL, ttl)
}

pub(super) fn fix_ip_checksum(bytes: &mut [u8]) {
    builder::update_header_checksum(bytes);
}

/// Verifies every checksum with etherparse's arithmetic, not with ours.
#[track_caller]
pub(super) fn assert_checksums(bytes: &[u8]) {
    let header = Ipv4HeaderSlice::from_slice(bytes).unwrap();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum(), "IPv4");
    // The checksum of a datagram covers all of its fragments.
    if header.is_fragmenting_payload() {
        return;
    }
    let (src, dst) = (header.source(), header.destination());
    let l4 = &bytes[header.slice().len()..];
    match header.protocol().0 {
        6 => {
            let tcp = TcpSlice::from_slice(l4).unwrap();
            assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv4(src, dst).unwrap(), "TCP");
        }
        17 => {
            let udp = UdpSlice::from_slice(l4).unwrap();
            let sum = udp.to_header().calc_checksum_ipv4_raw(src, dst, udp.payload()).unwrap();
            assert!(udp.checksum() == 0 || udp.checksum() == sum, "UDP");
        }
        1 => {
            let icmp = Icmpv4Slice::from_slice(l4).unwrap();
            let sum = icmp.header().icmp_type.calc_checksum(icmp.payload());
            assert_eq!(icmp.checksum(), sum, "ICMP");
        }
        _ => {}
    }
}

/// Returns the type, code, and quoted tuple of an ICMP error.
#[track_caller]
pub(super) fn icmp_error_of(bytes: &[u8]) -> (u8, u8, Tuple) {
    let mut bytes = bytes.to_vec();
    let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
    match packet.icmp() {
        Some(IcmpKind::Error { icmp_type, code, quoted }) => (icmp_type, code, quoted),
        other => panic!("no ICMP error: {other:?}"),
    }
}
