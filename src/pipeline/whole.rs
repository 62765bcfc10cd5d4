//! Judges a packet that has all of its headers: flow table first, the walk on a miss or under a new
//! generation (spec 13). Only the hit is inlined: it is the fast path.

use super::context::{Context, drop_packet};
use super::icmp_error::{self, IcmpError};
use super::outcome::FlowOutcome;
use super::{
    Component, Detail, Outcome, Reason, Recorder, Stage, Step, Verdict, admit, late, review, send,
};
use crate::flow::{Flow, FlowEntry, FlowKey, Instant, Side, TcpState};
use crate::packet::{IcmpKind, Packet};
use crate::vpc::Snapshot;
use std::sync::Arc;

#[inline]
pub(super) fn judge<R: Recorder>(context: &mut Context<'_, R>, packet: &mut Packet<'_>) -> Verdict {
    let key = context.key(packet);
    match (packet.icmp(), context.arrival.side) {
        (None, _)
        | (Some(IcmpKind::EchoRequest), Side::Egress)
        | (Some(IcmpKind::EchoReply), Side::Return) => {}
        (Some(IcmpKind::Error { icmp_type, code, quoted }), _) => {
            return icmp_error::translate(context, IcmpError { icmp_type, code, quoted }, packet);
        }
        // The tuples of all other kinds may equal that of an echo with the identifier 0: the flow
        // table is not for them.
        (Some(IcmpKind::EchoRequest), Side::Return) => {
            return late::refuse(context, &key, packet).into();
        }
        (Some(IcmpKind::EchoReply), Side::Egress) | (Some(IcmpKind::Other { .. }), _) => {
            return drop_packet(Reason::IcmpUnsupported);
        }
    }
    match context.tables.flows.get(&key) {
        Some(entry) if is_current(context.now, context.snapshot, &entry, packet) => {
            if R::ON {
                record_hit(context, &entry);
            }
            send::send_current(context, entry, packet)
        }
        Some(entry) => {
            let (flow, side) = (Arc::clone(&entry.flow), entry.side);
            drop(entry);
            judge_outdated(context, &key, (&flow, side), packet)
        }
        None => judge_first(context, &key, packet),
    }
}

/// Judges a packet whose flow is known but not current: the flow may be over, or of an older
/// configuration.
#[inline(never)]
fn judge_outdated<R: Recorder>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
    (flow, side): (&Arc<Flow>, Side),
    packet: &mut Packet<'_>,
) -> Verdict {
    if flow.is_expired(context.now, &context.snapshot.parts().timeouts) {
        context.tables.flows.expire(context.now, flow);
    } else if side == Side::Egress && starts_again(flow, packet) {
        context.tables.flows.remove(flow);
    } else {
        match review::walk_again(context, flow) {
            Ok(()) => return send::send_by(context, key, packet),
            Err(moved) if context.arrival.side == Side::Return || !admit::can_start(packet) => {
                return moved.into();
            }
            Err(_) => {}
        }
    }
    judge_first(context, key, packet)
}

/// Judges a packet without a flow: it may begin one.
#[inline(never)]
fn judge_first<R: Recorder>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
    packet: &mut Packet<'_>,
) -> Verdict {
    match context.arrival.side {
        Side::Egress => match admit::begin_flow(context, key, packet) {
            Ok(verdict) => verdict,
            Err(denial) => late::answer(context, key, denial, packet),
        },
        Side::Return => late::refuse(context, key, packet).into(),
    }
}

/// Decides whether an entry may be used unchanged. One of a newer configuration may: another worker
/// has that configuration already, and this one gets it with its next batch.
#[inline]
pub(super) fn is_current(
    now: Instant,
    snapshot: &Snapshot,
    entry: &FlowEntry<FlowOutcome>,
    packet: &Packet<'_>,
) -> bool {
    entry.generation >= snapshot.generation
        && !entry.flow.is_expired(now, &snapshot.parts().timeouts)
        && !(entry.side == Side::Egress && starts_again(&entry.flow, packet))
}

/// Decides whether a packet is a SYN on a flow that is over: it begins another flow with the same
/// tuple.
#[inline]
fn starts_again(flow: &Flow, packet: &Packet<'_>) -> bool {
    packet.tcp().is_some_and(|tcp| tcp.flags.begins_connection())
        && flow.tcp.state() == TcpState::Closed
}

/// Records that the flow table has a flow for the packet.
fn record_hit<R: Recorder>(context: &mut Context<'_, R>, entry: &FlowEntry<FlowOutcome>) {
    let (task, service) = (entry.flow.inside().src(), entry.flow.service_in(context.snapshot));
    let component = service.map_or(Component::Task(task), Component::Service);
    context.recorder.step(Step {
        stage: Stage::FlowTable,
        component,
        rule: Some(entry.flow.admitted_by),
        outcome: Outcome::Pass,
        detail: Detail::Tracked,
    });
}
