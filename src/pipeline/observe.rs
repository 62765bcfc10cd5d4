//! The path of packets while somebody watches: the same verdict from the same code, and a record of it. Nothing is judged
//! a second time; what became of a flow is seen by looking at it before and after.

use super::arrival::Arrival;
use super::engine::{Engine, Judged, is_current};
use super::watch::{
    FlowSeen, Frames, PacketSeen, Party, Record, Seen, Turn, Watcher, is_exhaustion,
};
use super::{Device, Off, Reason, Step, Verdict};
use crate::flow::{Flow, FlowKey, Instant, Side, TcpState};
use crate::packet::{Packet, Protocol, Tuple, VnetHeader};
use crate::vpc::{Generation, RuleRef, Snapshot};
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};

impl Engine {
    /// [`Engine::judge`] while somebody watches.
    #[cold]
    #[inline(never)]
    pub(super) fn judge_watched(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        octets: &mut [u8],
        vnet: VnetHeader,
        reply: &mut [u8],
    ) -> Judged {
        let before = Before::look(self, now, snapshot, device, octets, vnet);
        let watchers = self.watchers().list();
        let watchers: Vec<&Arc<Watcher>> =
            watchers.iter().filter(|one| one.may_want(before.server())).collect();
        let arrived = watchers
            .iter()
            .any(|one| one.wants_octets())
            .then(|| Box::from(octets.get(..before.len).unwrap_or_default()));
        let mut steps: Vec<Step> = Vec::new();
        let judged = if watchers.iter().any(|one| one.wants_steps()) {
            self.judge_recording(now, snapshot, device, octets, vnet, reply, &mut steps)
        } else {
            self.judge_recording(now, snapshot, device, octets, vnet, reply, &mut Off)
        };
        if !watchers.is_empty() {
            let after = After::look(self, now, snapshot, &before, judged, octets, vnet);
            let frames = frames(&before, arrived, judged, octets, vnet, reply);
            let tell = |of, seen| {
                let record = Record { at: now, generation: snapshot.generation, of, seen };
                offer(&watchers, snapshot, &record);
            };
            report(&before, &after, judged, steps, frames, tell);
        }
        judged
    }

    /// Tells watchers that a flow is over, other than by a packet. A TCP flow that both sides had ended, or one had reset,
    /// was told of then.
    pub(super) fn tell_end(&self, now: Instant, snapshot: &Snapshot, flow: &Flow, turn: Turn) {
        if !self.watchers().any() || flow.tcp.state() == TcpState::Closed {
            return;
        }
        let known = FlowFacts::of(snapshot, flow);
        let record = Record {
            at: now,
            generation: snapshot.generation,
            of: known.party,
            seen: Seen::Flow(known.seen(turn)),
        };
        let watchers = self.watchers().list();
        offer(&watchers.iter().collect::<Vec<_>>(), snapshot, &record);
    }

    /// Tells watchers of a fragment that was held, whose first one did not come; `device` is where it was read, if that is
    /// still there.
    pub(super) fn tell_unclaimed(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Option<Device>,
        side: Side,
        tuple: Tuple,
        octets: Box<[u8]>,
    ) {
        if !self.watchers().any() {
            return;
        }
        let (length, octets) = (octets.len(), Some(octets));
        let frames = match side {
            Side::Egress => Frames { inside: octets, ..Frames::default() },
            Side::Return => Frames { outside: octets, ..Frames::default() },
        };
        let (inside, outside, server) = match side {
            Side::Egress => (Some(tuple), None, tuple.dst),
            Side::Return => (None, Some(tuple), tuple.src),
        };
        let task = inside.and_then(|inside| snapshot.task(inside.src));
        let of = Party {
            device,
            task: task.map(|task| (task.service, task.number)),
            // Only the first fragment of a datagram has ports.
            server: Some((server, tuple.protocol, 0)),
            eni: task.and_then(|task| task.eni),
            nat_gateway: None,
        };
        let seen = PacketSeen {
            side,
            inside,
            outside,
            verdict: Verdict::Drop {
                reason: Reason::FragmentUnclaimed,
                decided_by: RuleRef::FlowTable,
            },
            decided_under: snapshot.generation,
            hit: false,
            segments: 1,
            octets: u64::try_from(length).unwrap_or(u64::MAX),
            steps: Vec::new(),
            frames,
        };
        let seen = Seen::Packet(Box::new(seen));
        let record = Record { at: now, generation: snapshot.generation, of, seen };
        let watchers = self.watchers().list();
        offer(&watchers.iter().collect::<Vec<_>>(), snapshot, &record);
    }
}

fn offer(watchers: &[&Arc<Watcher>], snapshot: &Snapshot, record: &Record) {
    for watcher in watchers {
        if watcher.wants(snapshot, record) {
            watcher.offer(record);
        }
    }
}

/// What there is to say about a flow, without keeping its ports.
#[derive(Clone, Copy)]
struct FlowFacts {
    party: Party,
    inside: Tuple,
    outside: Tuple,
    admitted_by: RuleRef,
    admitted_under: Generation,
}

impl FlowFacts {
    fn of(snapshot: &Snapshot, flow: &Flow) -> Self {
        Self {
            party: Party::of_flow(snapshot, flow),
            inside: flow.egress.tuple(),
            outside: flow.returned.tuple().reversed(),
            admitted_by: flow.admitted_by,
            admitted_under: flow.admitted_under,
        }
    }

    fn seen(&self, turn: Turn) -> FlowSeen {
        let Self { inside, outside, admitted_by, admitted_under, .. } = *self;
        FlowSeen { turn, inside, outside, admitted_by, admitted_under }
    }
}

/// A flow at one moment.
struct Known {
    /// Tells flows apart: while it is held, no other one has the same place in memory.
    flow: Weak<Flow>,
    facts: FlowFacts,
    state: TcpState,
    expired: bool,
    /// How it has ended, if its place turns out to be empty or another's: nothing is left to ask then. One that was
    /// closed was told of when it was.
    ended: Option<Turn>,
}

impl Known {
    fn look(engine: &Engine, now: Instant, snapshot: &Snapshot, key: &FlowKey) -> Option<Self> {
        let entry = engine.flows().get(key)?;
        let flow = &entry.flow;
        let (state, expired) = (flow.tcp.state(), flow.is_expired(now, &snapshot.parts().timeouts));
        let ended = match state {
            TcpState::Closed => None,
            TcpState::Opening | TcpState::Established if expired => Some(Turn::Expired),
            TcpState::Opening | TcpState::Established if entry.generation < snapshot.generation => {
                Some(Turn::Moved)
            }
            TcpState::Opening | TcpState::Established => Some(Turn::Evicted),
        };
        let facts = FlowFacts::of(snapshot, flow);
        Some(Self { flow: Arc::downgrade(flow), facts, state, expired, ended })
    }
}

/// A packet as it arrives.
struct Before {
    device: Device,
    side: Side,
    /// Octets of the packet.
    len: usize,
    segments: u32,
    octets: u64,
    resets: bool,
    /// `None` if it could not be read.
    packet: Option<(FlowKey, Tuple)>,
    flow: Option<Known>,
    hit: bool,
}

impl Before {
    fn look(
        engine: &Engine,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        octets: &mut [u8],
        vnet: VnetHeader,
    ) -> Self {
        let len = octets.len();
        let Ok(packet) = Packet::parse(octets, vnet) else {
            return Self {
                device,
                side: Side::Egress,
                len,
                segments: 1,
                octets: u64::try_from(len).unwrap_or(u64::MAX),
                resets: false,
                packet: None,
                flow: None,
                hit: false,
            };
        };
        let tuple = packet.tuple();
        let arrival = Arrival::of(snapshot, device, tuple.dst);
        let key = FlowKey::new(arrival.space, tuple);
        let current = |entry: &_| is_current(now, snapshot, entry, &packet);
        Self {
            device,
            side: arrival.side,
            len: packet.len(),
            segments: packet.wire_segments(),
            octets: packet.wire_bytes(),
            resets: packet.tcp().is_some_and(|tcp| tcp.flags.rst()),
            packet: Some((key, tuple)),
            hit: engine.flows().get(&key).is_some_and(|entry| current(&*entry)),
            flow: Known::look(engine, now, snapshot, &key),
        }
    }

    fn server(&self) -> Option<(Ipv4Addr, Protocol, u16)> {
        let (_, tuple) = self.packet?;
        Some(match self.side {
            Side::Egress => (tuple.dst, tuple.protocol, tuple.dport),
            Side::Return => (tuple.src, tuple.protocol, tuple.sport),
        })
    }
}

/// The same once it has been judged.
struct After {
    flow: Option<Known>,
    inside: Option<Tuple>,
    outside: Option<Tuple>,
    party: Party,
    decided_under: Generation,
}

impl After {
    fn look(
        engine: &Engine,
        now: Instant,
        snapshot: &Snapshot,
        before: &Before,
        judged: Judged,
        octets: &mut [u8],
        vnet: VnetHeader,
    ) -> Self {
        let flow = before
            .packet
            .and_then(|(key, _)| Known::look(engine, now, snapshot, &key))
            .filter(|known| !known.expired);
        let sent = match judged.verdict {
            Verdict::Forward { .. } => octets
                .get_mut(..judged.len)
                .and_then(|octets| Packet::parse(octets, vnet).ok())
                .map(|packet| packet.tuple()),
            Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold => None,
        };
        let arrived = before.packet.map(|(_, tuple)| tuple);
        let either = flow.as_ref().or(before.flow.as_ref()).map(|known| known.facts);
        let (inside, outside) = match before.side {
            Side::Egress => (arrived, sent),
            Side::Return => (sent.or(either.map(|facts| facts.inside.reversed())), arrived),
        };
        let task = inside.map(|inside| match before.side {
            Side::Egress => inside.src,
            Side::Return => inside.dst,
        });
        let task = task.and_then(|address| snapshot.task(address));
        let party = Party {
            device: Some(before.device),
            task: task.map(|task| (task.service, task.number)),
            server: before.server(),
            eni: either.and_then(|facts| facts.party.eni).or(task.and_then(|task| task.eni)),
            nat_gateway: either
                .and_then(|facts| facts.party.nat_gateway)
                .or_else(|| refused_at(judged.verdict)),
        };
        let decided_under = match (judged.verdict, either) {
            (Verdict::Forward { .. }, Some(facts)) => facts.admitted_under,
            (Verdict::Forward { .. }, None)
            | (Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold, _) => {
                snapshot.generation
            }
        };
        Self { flow, inside, outside, party, decided_under }
    }
}

/// The NAT gateway that let a packet go no further.
fn refused_at(verdict: Verdict) -> Option<crate::vpc::NatGatewayIx> {
    match verdict {
        Verdict::Reply { decided_by: RuleRef::NatGateway(ix), .. }
        | Verdict::Drop { decided_by: RuleRef::NatGateway(ix), .. } => Some(ix),
        Verdict::Forward { .. } | Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold => {
            None
        }
    }
}

/// Tells of the flow that ended or began, of the packet, and of what the packet did to its flow, in this order.
fn report(
    before: &Before,
    after: &After,
    judged: Judged,
    steps: Vec<Step>,
    frames: Frames,
    tell: impl Fn(Party, Seen),
) {
    let turn = |known: &Known, turn| {
        let party = Party { device: Some(before.device), ..known.facts.party };
        tell(party, Seen::Flow(known.facts.seen(turn)));
    };
    let same = match (&before.flow, &after.flow) {
        (Some(old), Some(new)) => Weak::ptr_eq(&old.flow, &new.flow),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !same {
        if let Some(old) = &before.flow
            && let Some(end) = old.ended
        {
            turn(old, end);
        }
        if let (Some(new), Side::Egress) = (&after.flow, before.side) {
            turn(new, Turn::Created);
        }
    }
    tell(after.party, Seen::Packet(Box::new(packet(before, after, judged, steps, frames))));
    if let (true, Some(old), Some(new)) = (same, &before.flow, &after.flow)
        && old.state != TcpState::Closed
        && new.state == TcpState::Closed
    {
        turn(new, if before.resets { Turn::Reset } else { Turn::Closed });
    }
    if let (Verdict::Drop { reason, decided_by }, Some(inside)) = (judged.verdict, after.inside)
        && is_exhaustion(reason)
    {
        tell(after.party, Seen::PortsExhausted { holder: decided_by, inside });
    }
}

fn packet(
    before: &Before,
    after: &After,
    judged: Judged,
    steps: Vec<Step>,
    frames: Frames,
) -> PacketSeen {
    PacketSeen {
        side: before.side,
        inside: after.inside,
        outside: after.outside,
        verdict: judged.verdict,
        decided_under: after.decided_under,
        hit: before.hit,
        segments: before.segments,
        octets: before.octets,
        steps,
        frames,
    }
}

fn frames(
    before: &Before,
    arrived: Option<Box<[u8]>>,
    judged: Judged,
    octets: &[u8],
    vnet: VnetHeader,
    reply: &[u8],
) -> Frames {
    let Some(arrived) = arrived else { return Frames::default() };
    let (sent, answer) = match judged.verdict {
        Verdict::Forward { .. } => (octets.get(..judged.len).map(Box::from), None),
        Verdict::Reply { len, .. } => (None, reply.get(..len).map(Box::from)),
        Verdict::Drop { .. } | Verdict::Hold => (None, None),
    };
    let (inside, outside) = match before.side {
        Side::Egress => (Some(arrived), sent),
        Side::Return => (sent, Some(arrived)),
    };
    Frames { vnet, inside, outside, answer }
}
