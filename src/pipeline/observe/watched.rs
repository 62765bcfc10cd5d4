//! Judges packets while a watcher is present: the same verdict from the same code, and a record of
//! it. Nothing is judged twice; the effect on a flow is found by a look at it before and after.

use super::tell::{FlowFacts, offer};
use super::watchers::{
    FlowEvent, Frames, PacketSeen, Party, Seen, WatchRecord, Watcher, is_exhaustion,
};
use crate::flow::{Flow, FlowKey, Side, TcpState};
use crate::packet::{Inside, Outside, Packet, Protocol, Tuple, VnetHeader};
use crate::pipeline::arrival::Arrival;
use crate::pipeline::context::Moment;
use crate::pipeline::ipv6;
use crate::pipeline::judge::{Judged, Received, judge};
use crate::pipeline::whole::is_current;
use crate::pipeline::{Device, Off, Step, Verdict};
use crate::vpc::{Generation, NatGatewayIx, RuleRef, Task};
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};

/// Judges a packet while a watcher is present.
#[cold]
#[inline(never)]
pub(in crate::pipeline) fn judge_watched(
    moment: &Moment<'_>,
    received: Received<'_>,
    answer: &mut [u8],
) -> Judged {
    let Received { device, bytes, vnet } = received;
    let before = Before::look(moment, device, bytes, vnet);
    let watchers = moment.tables.watchers.list();
    let watchers: Vec<&Arc<Watcher>> =
        watchers.iter().filter(|one| one.may_want(before.server())).collect();
    let arrived = watchers
        .iter()
        .any(|one| one.wants_bytes())
        .then(|| Box::from(bytes.get(..before.len).unwrap_or_default()));
    let mut steps: Vec<Step> = Vec::new();
    let received = Received { device, bytes: &mut *bytes, vnet };
    let judged = if watchers.iter().any(|one| one.wants_steps()) {
        judge(moment, received, answer, &mut steps)
    } else {
        judge(moment, received, answer, &mut Off)
    };
    if !watchers.is_empty() {
        let after = After::look(moment, &before, judged, bytes, vnet);
        let wanted = Bytes { arrived, sent: bytes, vnet, answer };
        let seen = packet(&before, &after, judged, steps, wanted);
        let tell = |of, seen| {
            let generation = moment.snapshot.generation;
            let record = WatchRecord { at: moment.now, generation, of, seen };
            offer(watchers.iter().copied(), moment.snapshot, &record);
        };
        report(&before, &after, judged, seen, tell);
    }
    judged
}

/// A flow at one moment.
struct Known {
    /// Identifies the flow: while this is held, no other flow has the same address in memory.
    flow: Weak<Flow>,
    facts: FlowFacts,
    state: TcpState,
    expired: bool,
    /// The event to report if the flow is no longer in the table, when it cannot be asked any more.
    /// The end of a closed flow was reported when it closed.
    ended: Option<FlowEvent>,
}

impl Known {
    fn look(moment: &Moment<'_>, key: &FlowKey) -> Option<Self> {
        let Moment { tables, now, snapshot } = *moment;
        let entry = tables.flows.get(key)?;
        let flow = &entry.flow;
        let (state, expired) = (flow.tcp.state(), flow.is_expired(now, &snapshot.parts().timeouts));
        let ended = match state {
            TcpState::Closed => None,
            TcpState::Opening | TcpState::Established if expired => Some(FlowEvent::Expired),
            TcpState::Opening | TcpState::Established if entry.generation < snapshot.generation => {
                Some(FlowEvent::Moved)
            }
            TcpState::Opening | TcpState::Established => Some(FlowEvent::Evicted),
        };
        let facts = FlowFacts::of(snapshot, flow);
        Some(Self { flow: Arc::downgrade(flow), facts, state, expired, ended })
    }
}

/// A packet as it arrives.
struct Before {
    device: Device,
    side: Side,
    /// Bytes of the packet.
    len: usize,
    segments: u32,
    bytes: u64,
    resets: bool,
    /// `None` if it could not be read.
    packet: Option<(FlowKey, Tuple)>,
    /// The task that sent an IPv6 packet.
    ipv6_sender: Option<Task>,
    flow: Option<Known>,
    hit: bool,
}

impl Before {
    fn look(moment: &Moment<'_>, device: Device, bytes: &mut [u8], vnet: VnetHeader) -> Self {
        let Moment { tables, now, snapshot } = *moment;
        let len = bytes.len();
        let Ok(packet) = Packet::parse(bytes, vnet) else {
            return Self {
                device,
                side: Side::Egress,
                len,
                segments: 1,
                bytes: u64::try_from(len).unwrap_or(u64::MAX),
                resets: false,
                packet: None,
                ipv6_sender: ipv6::sender(snapshot, device, bytes),
                flow: None,
                hit: false,
            };
        };
        let tuple = packet.tuple();
        let arrival = Arrival::of(snapshot, device, tuple.dst).of_sender(snapshot, tuple.src);
        let key = FlowKey::new(arrival.space, tuple);
        let current = |entry: &_| is_current(now, snapshot, entry, &packet);
        Self {
            device,
            side: arrival.side,
            len: packet.len(),
            segments: packet.wire_segments(),
            bytes: packet.wire_bytes(),
            resets: packet.tcp().is_some_and(|tcp| tcp.flags.rst()),
            packet: Some((key, tuple)),
            ipv6_sender: None,
            hit: tables.flows.get(&key).is_some_and(|entry| current(&*entry)),
            flow: Known::look(moment, &key),
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

/// The packet after it has been judged.
struct After {
    flow: Option<Known>,
    inside: Option<Inside>,
    outside: Option<Outside>,
    party: Party,
    decided_under: Generation,
}

impl After {
    fn look(
        moment: &Moment<'_>,
        before: &Before,
        judged: Judged,
        bytes: &mut [u8],
        vnet: VnetHeader,
    ) -> Self {
        let snapshot = moment.snapshot;
        let flow = before
            .packet
            .and_then(|(key, _)| Known::look(moment, &key))
            .filter(|known| !known.expired);
        let sent = sent(judged, bytes, vnet);
        let arrived = before.packet.map(|(_, tuple)| tuple);
        let either = flow.as_ref().or(before.flow.as_ref()).map(|known| known.facts);
        let (inside, outside) = match before.side {
            Side::Egress => (arrived.map(Inside::new), sent.map(Outside::new)),
            Side::Return => {
                let own = sent.map(Inside::new);
                let inside = own.or(either.map(|facts| facts.inside.reversed()));
                (inside, arrived.map(Outside::new))
            }
        };
        let task = inside.map(|inside| match before.side {
            Side::Egress => inside.src(),
            Side::Return => inside.dst(),
        });
        let task = task.and_then(|address| snapshot.task(address));
        let task = task.copied().or(before.ipv6_sender);
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
            _ => snapshot.generation,
        };
        Self { flow, inside, outside, party, decided_under }
    }
}

/// Returns the NAT gateway that dropped a packet.
fn refused_at(verdict: Verdict) -> Option<NatGatewayIx> {
    match verdict {
        Verdict::Reply { decided_by: RuleRef::NatGateway(ix), .. }
        | Verdict::Drop { decided_by: RuleRef::NatGateway(ix), .. } => Some(ix),
        Verdict::Forward { .. } | Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold => {
            None
        }
    }
}

/// Reports the flow that ended or began, the packet, and the effect of the packet on its flow, in
/// this order.
fn report(
    before: &Before,
    after: &After,
    judged: Judged,
    packet: PacketSeen,
    tell: impl Fn(Party, Seen),
) {
    let happened = |known: &Known, event| {
        let party = Party { device: Some(before.device), ..known.facts.party };
        tell(party, Seen::Flow(known.facts.seen(event)));
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
            happened(old, end);
        }
        if let (Some(new), Side::Egress) = (&after.flow, before.side) {
            happened(new, FlowEvent::Created);
        }
    }
    tell(after.party, Seen::Packet(Box::new(packet)));
    if let (true, Some(old), Some(new)) = (same, &before.flow, &after.flow)
        && old.state != TcpState::Closed
        && new.state == TcpState::Closed
    {
        happened(new, if before.resets { FlowEvent::Reset } else { FlowEvent::Closed });
    }
    if let (Verdict::Drop { reason, decided_by }, Some(inside)) = (judged.verdict, after.inside)
        && is_exhaustion(reason)
    {
        tell(after.party, Seen::PortsExhausted { holder: decided_by, inside });
    }
}

/// The bytes of a packet, as far as a watcher wants them.
struct Bytes<'a> {
    /// The packet as it arrived, if a watcher wants it.
    arrived: Option<Box<[u8]>>,
    /// The packet as it was sent on.
    sent: &'a [u8],
    vnet: VnetHeader,
    /// The packet that egret itself sent back.
    answer: &'a [u8],
}

impl Bytes<'_> {
    fn frames(self, side: Side, judged: Judged) -> Frames {
        let Some(arrived) = self.arrived else { return Frames::default() };
        let (sent, answer) = match judged.verdict {
            Verdict::Forward { .. } => (self.sent.get(..judged.len).map(Box::from), None),
            Verdict::Reply { len, .. } => (None, self.answer.get(..len).map(Box::from)),
            Verdict::Drop { .. } | Verdict::Hold => (None, None),
        };
        let (inside, outside) = match side {
            Side::Egress => (Some(arrived), sent),
            Side::Return => (sent, Some(arrived)),
        };
        Frames { vnet: self.vnet, inside, outside, answer }
    }
}

fn packet(
    before: &Before,
    after: &After,
    judged: Judged,
    steps: Vec<Step>,
    bytes: Bytes<'_>,
) -> PacketSeen {
    PacketSeen {
        side: before.side,
        inside: after.inside,
        outside: after.outside,
        verdict: judged.verdict,
        decided_under: after.decided_under,
        hit: before.hit,
        segments: before.segments,
        bytes: before.bytes,
        steps,
        frames: bytes.frames(before.side, judged),
    }
}

/// Returns the addresses and ports with which a packet was sent, if it was forwarded.
fn sent(judged: Judged, bytes: &mut [u8], vnet: VnetHeader) -> Option<Tuple> {
    match judged.verdict {
        Verdict::Forward { .. } => {
            let packet = Packet::parse(bytes.get_mut(..judged.len)?, vnet).ok()?;
            Some(packet.tuple())
        }
        Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold => None,
    }
}
