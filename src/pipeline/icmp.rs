//! ICMP errors about a flow: translated outside and in, never refreshing or ending it (RFC 5508; checklist I3 to I6).

use super::arrival::{Arrival, Place};
use super::engine::{Engine, FlowOutcome, NOT_HERE, drop_packet};
use super::way::{Gone, Way};
use super::{Denial, Link, Reason, Recorder, Verdict};
use crate::flow::{Flow, FlowKey, Instant, Side, Space};
use crate::packet::{Packet, Protocol, Tuple, rewrite_icmp_error};
use crate::vpc::{RuleRef, Snapshot, Traffic};
use std::sync::Arc;

/// What an ICMP error says.
#[derive(Clone, Copy, Debug)]
pub(super) struct IcmpError {
    pub(super) icmp_type: u8,
    pub(super) code: u8,
    /// The packet that it is about, as its sender of the error saw it.
    pub(super) quoted: Tuple,
}

impl Engine {
    /// Translates an error and the packet that it quotes.
    #[cold]
    pub(super) fn translate_error<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        error: IcmpError,
        packet: &mut Packet<'_>,
        recorder: &mut R,
    ) -> Verdict {
        let space = match arrival.side {
            Side::Egress => Space::TASKS,
            // The sender chooses what it quotes: no task speaks of another one's flow.
            Side::Return if snapshot.task(packet.src()).is_some() => {
                return drop_packet(Reason::IcmpErrorNoFlow);
            }
            Side::Return => arrival.space,
        };
        let key = FlowKey::new(space, error.quoted.reversed());
        let (flow, outcome) = match self.tracked(now, snapshot, arrival.side, &key, recorder) {
            Ok(tracked) => tracked,
            Err(denial) => return denial.into(),
        };
        if let Some(denial) = refusal(snapshot, &flow, arrival.side, error, packet) {
            return denial.into();
        }
        // RFC 1122 3.2.2: no error about an error.
        if flow.nat.is_some() && packet.ttl() <= 1 {
            return drop_packet(Reason::TtlExpiredNoAnswer);
        }
        match arrival.side {
            Side::Egress => to_outside(&flow, outcome, arrival.place, error, packet),
            Side::Return => to_inside(&flow, packet),
        }
    }

    /// The flow that an error is about, and what this configuration makes of its side: routes act at once, on errors too.
    fn tracked<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        side: Side,
        key: &FlowKey,
        recorder: &mut R,
    ) -> Result<(Arc<Flow>, FlowOutcome), Denial> {
        let (flow, outcome, generation) = self
            .flows()
            .get(key)
            .filter(|e| e.side == side && !e.flow.is_expired(now, &snapshot.parts().timeouts))
            .map(|e| (Arc::clone(&e.flow), e.outcome, e.generation))
            .ok_or(NO_FLOW)?;
        if generation >= snapshot.generation {
            return Ok((flow, outcome));
        }
        // One that would leave by another gateway is not ended here: no error ends a flow.
        let (egress, returned) =
            self.review(now, snapshot, &flow, recorder).map_err(|_moved| NO_FLOW)?;
        self.flows().update(&flow, snapshot.generation, egress, returned);
        let outcome = match side {
            Side::Egress => egress,
            Side::Return => returned,
        };
        Ok((flow, outcome))
    }
}

const NO_FLOW: Denial = Denial { reason: Reason::IcmpErrorNoFlow, decided_by: RuleRef::FlowTable };

/// ACLs are stateless: they judge the error as the ICMP message that it is. Groups let it pass, it belongs to a tracked flow.
fn refusal(
    snapshot: &Snapshot,
    flow: &Flow,
    side: Side,
    error: IcmpError,
    packet: &Packet<'_>,
) -> Option<Denial> {
    let way = match Way::of(snapshot, flow) {
        Ok(way) => way?,
        Err(Gone) => return Some(NO_FLOW),
    };
    let traffic =
        Traffic { protocol: Protocol::Icmp, port: 0, icmp: (error.icmp_type, error.code) };
    match side {
        Side::Egress => way.refusal_outbound(snapshot, traffic),
        Side::Return => {
            // A router on the way may be the sender.
            let way = way.with_server(packet.src());
            way.refusal_inbound(snapshot, traffic)
        }
    }
}

/// The packet that it quotes is ours as it left: show the task its own.
fn to_inside(flow: &Flow, packet: &mut Packet<'_>) -> Verdict {
    let inside = flow.egress.tuple();
    let from = packet.src();
    rewrite_icmp_error(packet, from, inside.src, inside, flow.nat.is_some());
    Verdict::Forward { link: Link::Task(inside.src), decided_by: flow.admitted_by }
}

/// The packet that it quotes is a reply as the task got it: show the server its own. The source becomes the NAT's (I5).
fn to_outside(
    flow: &Flow,
    outcome: FlowOutcome,
    read_at: Place,
    error: IcmpError,
    packet: &mut Packet<'_>,
) -> Verdict {
    let back = flow.returned.tuple();
    // Where its requests do not pass, it does not either.
    let forward = match outcome {
        FlowOutcome::Forward(forward) => forward,
        FlowOutcome::Drop(denial) => return denial.into(),
    };
    if forward.read_at.is_some_and(|own| own != read_at) {
        return NOT_HERE.into();
    }
    let honest = packet.src() == error.quoted.dst && packet.dst() == error.quoted.src;
    if !honest {
        return drop_packet(Reason::IcmpErrorNoFlow);
    }
    rewrite_icmp_error(packet, back.dst, back.src, back, flow.nat.is_some());
    Verdict::Forward { link: forward.link, decided_by: flow.admitted_by }
}
