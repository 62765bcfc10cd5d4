//! ICMP errors about a flow: translated outside and in, never refreshing or ending it (RFC 5508; checklist I3 to I6).

use super::arrival::Arrival;
use super::engine::{FlowOutcome, drop_packet};
use super::network_acl;
use super::way::{Gone, Way};
use super::{Denial, Link, Reason, Stage, Verdict};
use crate::flow::{Flow, FlowKey, FlowTable, Instant, Side, Space};
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

/// Translates an error and the packet that it quotes.
pub(super) fn translate(
    flows: &FlowTable<FlowOutcome>,
    now: Instant,
    snapshot: &Snapshot,
    arrival: Arrival,
    error: IcmpError,
    packet: &mut Packet<'_>,
) -> Verdict {
    let space = match arrival.side {
        Side::Egress => Space::TASKS,
        Side::Return => arrival.space,
    };
    let key = FlowKey::new(space, error.quoted.reversed());
    let Some((flow, outcome)) = flows
        .get(&key)
        .filter(|e| e.side == arrival.side)
        .map(|e| (Arc::clone(&e.flow), e.outcome))
    else {
        return drop_packet(Reason::IcmpErrorNoFlow);
    };
    if flow.is_expired(now, &snapshot.parts().timeouts) {
        return drop_packet(Reason::IcmpErrorNoFlow);
    }
    if let Some(denial) = refusal(snapshot, &flow, arrival.side, error, packet) {
        return denial.into();
    }
    // RFC 1122 3.2.2: no error about an error.
    if flow.nat.is_some() && packet.ttl() <= 1 {
        return drop_packet(Reason::TtlExpiredNoAnswer);
    }
    match arrival.side {
        Side::Egress => to_outside(&flow, outcome, error, packet),
        Side::Return => to_inside(&flow, packet),
    }
}

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
        Err(Gone) => {
            let decided_by = RuleRef::FlowTable;
            return Some(Denial { reason: Reason::IcmpErrorNoFlow, decided_by });
        }
    };
    let traffic =
        Traffic { protocol: Protocol::Icmp, port: 0, icmp: (error.icmp_type, error.code) };
    match side {
        Side::Egress => {
            network_acl::refusal(snapshot, way.outbound(snapshot, traffic), Stage::NetworkAclEgress)
        }
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
    error: IcmpError,
    packet: &mut Packet<'_>,
) -> Verdict {
    let back = flow.returned.tuple();
    // Where its requests do not pass, it does not either.
    let link = match outcome {
        FlowOutcome::Forward(forward) => forward.link,
        FlowOutcome::Drop(denial) => return denial.into(),
    };
    let honest = packet.src() == error.quoted.dst && packet.dst() == error.quoted.src;
    if !honest {
        return drop_packet(Reason::IcmpErrorNoFlow);
    }
    rewrite_icmp_error(packet, back.dst, back.src, back, flow.nat.is_some());
    Verdict::Forward { link, decided_by: flow.admitted_by }
}
