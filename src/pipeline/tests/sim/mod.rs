//! A simulated world: tasks, VPC resources and internet hosts behind bad links, with egret in the
//! middle and a virtual clock that jumps to the next event. Every packet is real bytes through
//! [`Engine::judge`], every lab a lab file, and a sweep comes every virtual second. All of it
//! depends on one seed, which a failing test prints.
//!
//! [`Engine::judge`]: crate::pipeline::Engine::judge

mod bulk;
mod errors;
mod exhaustion;
mod host;
mod link;
mod reload;
mod tcp;
mod timeouts;
mod tracking;
mod transfer;

use super::world::*;
use crate::flow::{Instant, Space};
use crate::packet::field::{icmp as icmp_field, ipv4, put_u16, udp as udp_field};
use crate::packet::{Packet, VnetHeader, builder};
use crate::pipeline::{Link, Reason, Verdict};
use host::{Bytes, Host, Socket};
use link::{Impairment, Random};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::{Endpoint, State};

const SECOND: Duration = Duration::from_secs(1);
const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);
/// The router between egret and the internet hosts.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// An event at some time, for the host at a position.
#[derive(Debug)]
enum Event {
    /// A packet of a host arrives at egret.
    AtEgret(usize, Bytes),
    /// A packet arrives at a host.
    AtHost(usize, Bytes),
    /// A connection's deadline has come.
    Deadline(usize, Socket),
}

/// The internet's router, which may drop packets from egret.
#[derive(Debug, Default)]
struct Router {
    /// The MTU: larger packets are dropped with ICMP 3/4.
    mtu: Option<usize>,
    /// Destinations whose packets are dropped, with the type and code of the ICMP error.
    refuses: BTreeMap<Ipv4Addr, (u8, u8)>,
}

struct Sim {
    world: World,
    seed: u64,
    random: Random,
    links: Impairment,
    router: Router,
    hosts: Vec<Host>,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    pending: BTreeMap<u64, Event>,
    number: u64,
    swept: Instant,
    forwarded: u64,
    /// Packets that egret dropped or answered, by reason.
    drops: BTreeMap<Reason, u64>,
    /// The number of packets forwarded to an address without a host, or sent to one that egret does
    /// not have.
    nowhere: u64,
}

impl Sim {
    #[track_caller]
    fn new(text: &str, seed: u64) -> Self {
        let world = World::seeded(text, seed);
        let parts = world.snapshot.parts();
        let mut hosts: Vec<Host> =
            world.tasks().map(|address| Host::new(address, Link::Task(address))).collect();
        hosts.extend(parts.resources.iter().map(|resource| {
            let vpc = world.snapshot.subnet(resource.subnet).vpc;
            Host::new(resource.address, Link::Vpc(vpc))
        }));
        hosts.extend(parts.internet_hosts.iter().map(|h| Host::new(h.address, Link::Internet)));
        Self {
            seed,
            random: Random::new(seed),
            links: Impairment::NONE,
            router: Router::default(),
            hosts,
            events: BinaryHeap::new(),
            pending: BTreeMap::new(),
            number: 0,
            swept: world.now,
            forwarded: 0,
            drops: BTreeMap::new(),
            nowhere: 0,
            world,
        }
    }

    fn task(&self, service: &str, number: u16) -> usize {
        self.at(self.world.task(service, number))
    }

    #[track_caller]
    fn at(&self, address: Ipv4Addr) -> usize {
        self.hosts.iter().position(|host| host.address == address).expect("a host")
    }

    fn host(&mut self, address: Ipv4Addr) -> &mut Host {
        let at = self.at(address);
        &mut self.hosts[at]
    }

    /// Begins a connection from a host, with data to send.
    fn connect(&mut self, from: usize, port: u16, to: (Ipv4Addr, u16), data: &[u8]) -> Socket {
        let socket = (port, SocketAddrV4::new(to.0, to.1));
        let first = self.hosts[from].connect(self.world.now, socket);
        self.emit(from, first);
        self.write(from, socket, data);
        socket
    }

    fn write(&mut self, from: usize, socket: Socket, data: &[u8]) {
        self.endpoint(from, socket).write(data);
        self.pump(from, socket);
    }

    fn close(&mut self, from: usize, socket: Socket) {
        self.endpoint(from, socket).close();
        self.pump(from, socket);
    }

    fn endpoint(&mut self, of: usize, socket: Socket) -> &mut Endpoint {
        self.hosts[of].sockets.get_mut(&socket).expect("a connection")
    }

    fn state(&self, of: usize, socket: Socket) -> State {
        self.hosts[of].sockets[&socket].state
    }

    /// Returns a connected pair over which a few bytes went both ways, with the network quiet.
    #[track_caller]
    fn connected(&mut self, from: usize, port: u16, to: (Ipv4Addr, u16)) -> Socket {
        let socket = self.connect(from, port, to, b"hello");
        self.run_for(SECOND);
        assert_eq!(self.endpoint(from, socket).received, b"hello");
        socket
    }

    fn send_datagram(&mut self, from: usize, port: u16, to: (Ipv4Addr, u16), payload: &[u8]) {
        let here = SocketAddrV4::new(self.hosts[from].address, port);
        let datagram = builder::udp(here, SocketAddrV4::new(to.0, to.1), payload);
        self.emit(from, vec![(datagram, VnetHeader::default())]);
    }

    fn send_ping(&mut self, from: usize, to: Ipv4Addr, id: u16) {
        let ping = builder::icmp_echo_request(self.hosts[from].address, to, id, 1, b"abcdefgh");
        self.emit(from, vec![(ping, VnetHeader::default())]);
    }

    #[track_caller]
    fn reload(&mut self, text: &str) {
        self.world.reload(text);
    }

    /// Runs until no packet is in transit and no connection waits.
    fn run(&mut self) {
        while let Some(Reverse((at, number))) = self.events.pop() {
            self.advance_to(at);
            self.happen(number);
        }
    }

    /// Runs for this long.
    fn run_for(&mut self, duration: Duration) {
        let end = self.world.now + duration;
        while self.events.peek().is_some_and(|Reverse((at, _))| *at <= end) {
            let Some(Reverse((at, number))) = self.events.pop() else { break };
            self.advance_to(at);
            self.happen(number);
        }
        self.advance_to(end);
    }

    /// Advances the clock, with a sweep for every second that passes.
    fn advance_to(&mut self, to: Instant) {
        while self.swept + SECOND <= to {
            self.swept = self.swept + SECOND;
            self.world.engine.sweep(self.swept, &self.world.snapshot);
        }
        self.world.now = to;
    }

    fn happen(&mut self, number: u64) {
        let now = self.world.now;
        match self.pending.remove(&number).expect("an event") {
            Event::AtEgret(from, bytes) => self.judge(from, bytes),
            Event::AtHost(to, (mut bytes, vnet)) => {
                builder::complete(&mut bytes, vnet);
                assert_checksums(&bytes);
                let (answers, socket) = self.hosts[to].take(now, bytes);
                self.emit(to, answers);
                if let Some(socket) = socket {
                    self.pump(to, socket);
                }
            }
            Event::Deadline(of, socket) => {
                let again = self.hosts[of].expire(now, socket, now);
                self.emit(of, again);
                self.watch(of, socket);
            }
        }
    }

    fn judge(&mut self, from: usize, (bytes, vnet): Bytes) {
        let Host { address, link, .. } = self.hosts[from];
        let device = match link {
            Link::Task(_) => Some(self.world.device_of(address)),
            _ => self.world.owner(link, destination(&bytes)),
        };
        let Some(device) = device else {
            self.nowhere += 1;
            return;
        };
        let seen = self.world.push(device, &bytes, vnet);
        match seen.verdict {
            Verdict::Forward { link, .. } => {
                self.forwarded += 1;
                self.forward(link, (seen.bytes, vnet));
            }
            Verdict::Reply { reason, .. } => {
                *self.drops.entry(reason).or_default() += 1;
                assert_eq!(destination(&seen.bytes), address, "an answer goes back only");
                self.carry(from, (seen.bytes, VnetHeader::default()));
            }
            Verdict::Drop { reason, .. } => *self.drops.entry(reason).or_default() += 1,
            Verdict::Hold => panic!("no host sends fragments: {seen:?}"),
        }
    }

    fn forward(&mut self, link: Link, (bytes, vnet): Bytes) {
        let to = destination(&bytes);
        if link == Link::Internet {
            assert!(!is_private(source(&bytes)), "{} on the internet", source(&bytes));
            if let Some(error) = self.router.error(&bytes, vnet) {
                return self.answer_from_router(error);
            }
        }
        match self.hosts.iter().position(|host| host.link == link && host.address == to) {
            Some(host) => self.carry(host, (bytes, vnet)),
            None => self.nowhere += 1,
        }
    }

    fn answer_from_router(&mut self, error: Vec<u8>) {
        let to = destination(&error);
        let device = self.world.owner(Link::Internet, to).expect("the error's addressee");
        let seen = self.world.push(device, &error, VnetHeader::default());
        match seen.verdict {
            Verdict::Forward { link, .. } => {
                self.forwarded += 1;
                self.forward(link, (seen.bytes, VnetHeader::default()));
            }
            Verdict::Reply { reason, .. } | Verdict::Drop { reason, .. } => {
                *self.drops.entry(reason).or_default() += 1;
            }
            Verdict::Hold => panic!("no error comes in fragments: {seen:?}"),
        }
    }

    /// Puts a packet on its way to a host.
    fn carry(&mut self, to: usize, bytes: Bytes) {
        for after in self.links.arrivals(&mut self.random) {
            self.schedule(after, Event::AtHost(to, bytes.clone()));
        }
    }

    /// Puts a host's packets on their way to egret.
    fn emit(&mut self, from: usize, packets: Vec<Bytes>) {
        for bytes in packets {
            for after in self.links.arrivals(&mut self.random) {
                self.schedule(after, Event::AtEgret(from, bytes.clone()));
            }
        }
    }

    fn pump(&mut self, of: usize, socket: Socket) {
        let packets = self.hosts[of].pump(self.world.now, socket);
        self.emit(of, packets);
        self.watch(of, socket);
    }

    /// Makes an event of a connection's deadline; one that has moved meanwhile no longer belongs to
    /// the connection.
    fn watch(&mut self, of: usize, socket: Socket) {
        let Some(deadline) = self.hosts[of].sockets.get(&socket).and_then(|e| e.deadline) else {
            return;
        };
        self.schedule(deadline.since(self.world.now), Event::Deadline(of, socket));
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.number += 1;
        self.pending.insert(self.number, event);
        self.events.push(Reverse((self.world.now + after, self.number)));
    }

    /// Returns the numbers of leased ports of the NAT gateway's address and of the first ENI's.
    fn leased(&self) -> (u32, u32) {
        let eni = self.world.leased(Space::nth_vpc(0), ENI_A);
        (self.world.leased(Space::INTERNET, NAT_PUBLIC), eni)
    }

    fn dropped(&self, reason: Reason) -> u64 {
        self.drops.get(&reason).copied().unwrap_or(0)
    }

    /// Returns the outcome as text.
    fn outcome(&self) -> String {
        let mut lines = vec![
            format!("after {:.1} s", self.world.now.since(Instant(1_000_000_000)).as_secs_f64()),
            format!("egret forwarded {} packets, {} went nowhere", self.forwarded, self.nowhere),
        ];
        lines.extend(self.drops.iter().map(|(r, n)| format!("egret dropped {n}: {}", r.name())));
        let census = self.world.engine.census();
        let tables = ["flows", "tombstones", "destinations", "resting"]
            .map(|name| format!("{} {name}", census.0.get(name).unwrap_or(&0)));
        lines.push(format!("egret holds {}", tables.join(", ")));
        for host in self.hosts.iter().filter(|host| matches!(host.link, Link::Task(_))) {
            for ((port, peer), endpoint) in &host.sockets {
                lines.push(format!(
                    "{}:{port} > {peer} {:?}, {} bytes back, {} retransmissions",
                    host.address,
                    endpoint.state,
                    endpoint.received.len(),
                    endpoint.retransmissions
                ));
            }
        }
        lines.join("\n")
    }
}

impl Router {
    fn error(&self, bytes: &[u8], vnet: VnetHeader) -> Option<Vec<u8>> {
        let mut quoted = bytes.to_vec();
        let packet = Packet::parse(&mut quoted, vnet).unwrap();
        let (from, segment) = (packet.src(), packet.max_segment_len());
        let error = |icmp_type, code, mtu: usize| {
            let quoted = &bytes[..bytes.len().min(ipv4::MIN_LEN + udp_field::HEADER_LEN)];
            let mut error = builder::icmp_error(ROUTER, from, icmp_type, code, quoted);
            let message = &mut error[ipv4::MIN_LEN..];
            put_u16(message, icmp_field::NEXT_HOP_MTU, mtu as u16);
            put_u16(message, icmp_field::CHECKSUM, 0);
            let sum = crate::packet::checksum::checksum(message);
            put_u16(message, icmp_field::CHECKSUM, sum);
            error
        };
        if let Some((icmp_type, code)) = self.refuses.get(&packet.dst()) {
            return Some(error(*icmp_type, *code, 0));
        }
        let mtu = self.mtu.filter(|mtu| segment > *mtu && packet.dont_fragment())?;
        Some(error(3, 4, mtu))
    }
}

/// Prints, if a test fails, how to repeat it.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulated world had the seed {}\n{}", self.seed, self.outcome());
        }
    }
}

fn is_private(address: Ipv4Addr) -> bool {
    address.is_private() || matches!(address.octets(), [100, 64..=127, ..])
}

/// Returns bytes that show their position.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
