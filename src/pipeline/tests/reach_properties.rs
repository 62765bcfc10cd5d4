//! Classes partition the packets of a question, and each of their packets has their verdict: by the
//! walk, and by the oracle.

mod difference;
mod oracle;

use super::generator::{self, Tape};
use super::world::*;
use crate::flow::Instant;
use crate::packet::{Inside, Protocol, Tuple};
use crate::pipeline::evaluation::{Evaluation, Probe};
use crate::pipeline::leases::{Choice, Leases, Purpose};
use crate::pipeline::reach::{
    self, Addresses, Answer, Class, PortRange, Ports, Question, Ranges, Tasks,
};
use crate::pipeline::{Denial, Off, walk};
use crate::vpc::path::{self, Attachment};
use crate::vpc::{EniIx, NatGatewayIx, ServiceIx, Snapshot, Task};
use proptest::prelude::*;
use std::cell::Cell;
use std::net::Ipv4Addr;

/// One packet of a set, with all that a question leaves open.
#[derive(Clone, Copy, Debug)]
struct Packet {
    attachment: Attachment,
    to: u32,
    protocol: Protocol,
    port: u16,
    choice: Choice,
}

/// Judges a packet, without the code under test.
fn judge(
    world: &World,
    snapshot: &Snapshot,
    service: ServiceIx,
    packet: &Packet,
) -> Option<Denial> {
    let eni = match packet.attachment {
        Attachment::Eni(ix) => Some(ix),
        Attachment::AppRunner => None,
    };
    let address = Ipv4Addr::new(100, 127, 0, 9);
    let task = Task { service, number: 9, address, eni };
    let (protocol, dport) = (packet.protocol, packet.port);
    let sport = packet.choice.eni_port;
    let dst = Ipv4Addr::from(packet.to);
    let inside = Inside::new(Tuple { protocol, src: address, dst, sport, dport });
    let icmp = if protocol == Protocol::Icmp { (8, 0) } else { (0, 0) };
    let leases = Leases {
        now: Instant::ZERO,
        pools: &world.engine.tables().pools,
        purpose: Purpose::Chosen(packet.choice),
        peeked: Cell::new(0),
    };
    let probe = Probe::new(task, inside, icmp);
    let mut evaluation =
        Evaluation { snapshot, probe, leases, recorder: &mut Off, expired_at: None };
    match walk::walk(&mut evaluation) {
        Ok(passed) => passed.reply_denied,
        Err(denial) => Some(denial),
    }
}

/// Draws numbers for choices.
struct Draw<'a>(&'a mut dyn FnMut() -> u64);

impl Draw<'_> {
    fn from(&mut self, ranges: &Ranges) -> Option<u32> {
        let count = ranges.count();
        if count == 0 { None } else { ranges.nth((self.0)() % count) }
    }

    fn one<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        let at = (self.0)().checked_rem(from.len() as u64)?;
        from.get(at as usize)
    }
}

fn protocol_and_port(ports: &Ports, draw: &mut Draw<'_>) -> (Protocol, u16) {
    let ranges: Vec<PortRange> = ports.iter().collect();
    match *draw.one(&ranges).unwrap() {
        PortRange::Of(protocol, first, last) => {
            let port = draw.from(&Ranges::of(first.into(), last.into())).unwrap();
            (protocol, port as u16)
        }
        PortRange::Echo => (Protocol::Icmp, 0),
        PortRange::Protocols(first, last) => {
            let number = draw.from(&Ranges::of(first.into(), last.into())).unwrap();
            (Protocol::from(number as u8), 0)
        }
    }
}

/// Draws a packet of a class.
fn member(class: &Class, draw: &mut Draw<'_>) -> Packet {
    let attachment = *draw.one(&class.attachments).unwrap();
    let eni = class.eni_addresses.iter().find(|(ix, _)| attachment == Attachment::Eni(*ix));
    let (protocol, port) = protocol_and_port(&class.ports, draw);
    let gateway = draw.one(&class.gateway_addresses).cloned();
    let any = Ranges::of(1024, 65_535);
    let choice = Choice {
        eni_address: eni.and_then(|(_, all)| draw.from(all)).unwrap_or(0).into(),
        eni_port: class.source_ports.as_ref().and_then(|all| draw.from(all)).unwrap_or(0) as u16,
        nat_position: gateway.as_ref().map_or(0, |at| at.position),
        nat_address: gateway.and_then(|at| draw.from(&at.private)).map(Ipv4Addr::from),
        nat_port: draw.from(class.gateway_ports.as_ref().unwrap_or(&any)).unwrap() as u16,
    };
    let to = draw.from(&class.destinations).unwrap();
    Packet { attachment, to, protocol, port, choice }
}

fn contains(class: &Class, packet: &Packet, gateway: Option<NatGatewayIx>) -> bool {
    let Choice { eni_address, eni_port, nat_position, nat_address, nat_port } = packet.choice;
    let of_eni = |ix: EniIx| packet.attachment == Attachment::Eni(ix);
    let at_gateway = |at: &reach::GatewayAddress| {
        Some(at.gateway) == gateway
            && at.position == nat_position
            && nat_address.is_none_or(|address| at.private.contains(address.to_bits()))
    };
    class.attachments.contains(&packet.attachment)
        && class
            .eni_addresses
            .iter()
            .filter(|(ix, _)| of_eni(*ix))
            .all(|(_, all)| all.contains(eni_address.to_bits()))
        && class.source_ports.as_ref().is_none_or(|all| all.contains(eni_port.into()))
        && (class.gateway_addresses.is_empty() || class.gateway_addresses.iter().any(at_gateway))
        && class.gateway_ports.as_ref().is_none_or(|all| all.contains(nat_port.into()))
        && class.destinations.contains(packet.to)
        && class.ports.contains(packet.protocol, packet.port)
}

/// A question, with its lab.
struct Asked {
    world: World,
    snapshot: Snapshot,
    question: Question,
    text: String,
}

fn asked(lab: &[u8], choices: &[u8]) -> Asked {
    let text = generator::lab(&mut Tape::new(lab));
    let world = World::new(&text);
    let mut tape = Tape::new(choices);
    let service = ServiceIx::from(tape.below(world.snapshot.parts().services.len()));
    let block = |cidr: &str| {
        let network: ipnetwork::Ipv4Network = cidr.parse().unwrap();
        (network.network().to_bits(), network.broadcast().to_bits())
    };
    let blocks = match tape.below(5) {
        0 => vec!["0.0.0.0/0"],
        1 => vec!["10.0.0.0/16", "10.1.0.0/16"],
        2 => vec!["203.0.113.0/24", "192.0.2.0/24"],
        3 => vec!["10.0.1.0/24", "172.20.0.0/24", "169.254.169.0/24"],
        _ => vec!["10.0.0.10/31", "203.0.113.10/32", "10.1.2.10/31"],
    };
    let ports = match tape.below(4) {
        0 => Ports::new([PortRange::Of(Protocol::Tcp, 443, 443)]),
        1 => Ports::new([PortRange::Of(Protocol::Udp, 1, 6000), PortRange::Echo]),
        _ => Ports::all(),
    };
    let gateway_addresses = tape.pick(&[Addresses::Open, Addresses::Real]);
    let (snapshot, attachments) =
        reach::attachments(&world.snapshot, service, Tasks::Possible, gateway_addresses);
    let question = Question {
        service,
        attachments,
        gateway_addresses,
        destinations: Ranges::new(blocks.into_iter().map(block)),
        ports,
        source_port: tape.pick(&[None, Some(40_000)]),
    };
    Asked { world, snapshot, question, text }
}

impl Asked {
    fn answer(&self) -> Answer {
        reach::ask(&self.snapshot, &self.question, &mut || true).unwrap()
    }

    /// Checks that a packet has the class's verdict, including the reason; addresses that do not
    /// count are dropped, for any reason.
    fn agrees(&self, class: &Class, packet: &Packet) {
        let service = self.question.service;
        let walked = judge(&self.world, &self.snapshot, service, packet).map(|d| d.reason);
        let said = class.denial.map(|denial| denial.reason);
        let show = || format!("{packet:?}\n{class:#?}\n{}", self.text);
        if class.counts {
            assert_eq!(walked, said, "the walk, {}", show());
        } else {
            assert!(walked.is_some(), "the walk, {}", show());
        }
        if let Some(expected) = oracle::expected(self, packet) {
            assert_eq!(expected, walked, "the oracle, {}", show());
        }
    }

    fn gateway(&self, packet: &Packet) -> Option<NatGatewayIx> {
        let to = Ipv4Addr::from(packet.to);
        path::request(&self.snapshot, packet.attachment, to).nat_gateway()
    }
}

/// Returns numbers that look random, the same for each seed.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The number of classes that are examined in detail, if there are many.
const CLASSES: usize = 60;

fn cases() -> u32 {
    ProptestConfig::default().cases.min(4096)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { cases() } else { 64 },
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_packet_of_a_class_has_its_verdict(
        lab in proptest::collection::vec(any::<u8>(), 0..900),
        choices in proptest::collection::vec(any::<u8>(), 5),
        seed in any::<u64>(),
    ) {
        let asked = asked(&lab, &choices);
        let mut numbers = numbers(seed);
        for class in asked.answer().classes.iter().take(CLASSES) {
            for constant in [0, u64::MAX] {
                let mut ends = || constant;
                asked.agrees(class, &end(class, constant == 0, &mut Draw(&mut ends)));
            }
            for _ in 0..20 {
                asked.agrees(class, &member(class, &mut Draw(&mut numbers)));
            }
        }
    }

    /// So an ENI and a NAT gateway whose addresses are both open pass no packet by having the same
    /// address.
    #[test]
    fn a_path_by_a_nat_gateway_in_the_subnet_of_the_eni_is_a_dead_end(
        lab in proptest::collection::vec(any::<u8>(), 0..900),
        destinations in proptest::collection::vec(any::<u32>(), 8),
    ) {
        let text = generator::lab(&mut Tape::new(&lab));
        let snapshot = World::new(&text).snapshot;
        let parts = snapshot.parts();
        let known = parts.resources.iter().map(|r| r.address).chain([Ipv4Addr::new(203, 0, 113, 9)]);
        let all: Vec<_> = known.chain(destinations.into_iter().map(Ipv4Addr::from)).collect();
        for (ix, eni) in (0..).map(EniIx).zip(&parts.enis) {
            for to in &all {
                let hops = path::request(&snapshot, Attachment::Eni(ix), *to);
                let Some(nat) = hops.nat_gateway() else { continue };
                if snapshot.nat_gateway(nat).subnet == eni.subnet {
                    prop_assert!(hops.dead_end.is_some(), "{:?}\n{}", hops, text);
                }
            }
        }
    }

    #[test]
    fn every_packet_is_in_one_class(
        lab in proptest::collection::vec(any::<u8>(), 0..900),
        choices in proptest::collection::vec(any::<u8>(), 5),
        seed in any::<u64>(),
    ) {
        let asked = asked(&lab, &choices);
        let answer = asked.answer();
        let shares: f64 = answer.classes.iter().filter(|c| c.counts).map(|c| c.share.ratio()).sum();
        prop_assert!((shares - 1.0).abs() < 1e-9, "{shares}\n{:#?}\n{}", answer.classes, asked.text);
        let mut numbers = numbers(seed);
        let mut draw = Draw(&mut numbers);
        for _ in 0..200 {
            let packet = any_packet(&asked, &answer, &mut draw);
            let gateway = asked.gateway(&packet);
            let classes = answer.classes.iter().filter(|class| contains(class, &packet, gateway));
            prop_assert_eq!(classes.count(), 1, "{:?}\n{:#?}\n{}", packet, answer.classes, asked.text);
        }
    }
}

/// Draws a packet of the whole question: its sides come from different classes.
fn any_packet(asked: &Asked, answer: &Answer, draw: &mut Draw<'_>) -> Packet {
    let attachment = draw.one(&asked.question.attachments).unwrap().attachment;
    let with = |class: &&Class| class.attachments.contains(&attachment);
    let of: Vec<&Class> = answer.classes.iter().filter(with).collect();
    let any = |draw: &mut Draw<'_>| {
        let class = draw.one(&of).unwrap();
        let mut class = (*class).clone();
        class.attachments = vec![attachment];
        member(&class, draw)
    };
    let (a, b) = (any(draw), any(draw));
    let (to, (protocol, port)) = match draw.from(&Ranges::of(0, 1)) {
        Some(0) => {
            let to = draw.from(&asked.question.destinations).unwrap();
            (to, protocol_and_port(&asked.question.ports, draw))
        }
        _ => (a.to, (b.protocol, b.port)),
    };
    let mut packet = Packet { to, protocol, port, ..a };
    packet.choice.nat_position = 0;
    packet.choice.nat_address = None;
    if let Some(gateway) = asked.gateway(&packet) {
        let of_it =
            |class: &&&Class| class.gateway_addresses.iter().any(|at| at.gateway == gateway);
        let all: Vec<&Class> = of.iter().filter(of_it).copied().collect();
        if let Some(class) = draw.one(&all) {
            let at = draw.one(&class.gateway_addresses).unwrap();
            packet.choice.nat_position = at.position;
            packet.choice.nat_address = draw.from(&at.private).map(Ipv4Addr::from);
        }
    }
    packet
}

/// Returns the packet of a class that is the first on every side, or the last.
fn end(class: &Class, first: bool, draw: &mut Draw<'_>) -> Packet {
    let at = |ranges: &Ranges| {
        let range = if first { ranges.first() } else { ranges.last() };
        Ranges::new(range.map(|number| (number, number)))
    };
    let mut class = class.clone();
    for (_, addresses) in &mut class.eni_addresses {
        *addresses = at(addresses);
    }
    for address in &mut class.gateway_addresses {
        address.private = at(&address.private);
    }
    class.source_ports = class.source_ports.as_ref().map(at);
    class.gateway_ports = class.gateway_ports.as_ref().map(at);
    class.destinations = at(&class.destinations);
    let ranges: Vec<PortRange> = class.ports.iter().collect();
    let range = if first { ranges.first() } else { ranges.last() };
    class.ports = Ports::new(range.map(|range| match (*range, first) {
        (PortRange::Of(protocol, port, _), true) | (PortRange::Of(protocol, _, port), false) => {
            PortRange::Of(protocol, port, port)
        }
        (PortRange::Protocols(number, _), true) | (PortRange::Protocols(_, number), false) => {
            PortRange::Protocols(number, number)
        }
        (PortRange::Echo, _) => PortRange::Echo,
    }));
    member(&class, draw)
}
