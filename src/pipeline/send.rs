//! Sends packets by a flow's entry: the fast path.

use super::answer;
use super::context::{Context, NOT_HERE, drop_packet};
use super::evaluation::Probe;
use super::leases::Purpose;
use super::outcome::{FlowOutcome, Forward};
use super::review;
use super::walk;
use super::{Denial, Outcome, Reason, Recorder, Step, Verdict, offload};
use crate::flow::{Flow, FlowEntry, FlowKey, Side};
use crate::packet::{Packet, Protocol, clamp_mss};
use dashmap::mapref::one::Ref;
use std::sync::Arc;

/// Sends by an entry that was just inserted.
pub(super) fn send_by<R: Recorder>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
    packet: &mut Packet<'_>,
) -> Verdict {
    match context.tables.flows.get(key) {
        Some(entry) => send_current(context, entry, packet),
        // Another worker has ended the flow in between.
        None => drop_packet(Reason::FlowExpired),
    }
}

/// Sends by an entry of this configuration or of a newer one.
#[inline]
pub(super) fn send_current<R: Recorder>(
    context: &mut Context<'_, R>,
    entry: Ref<'_, FlowKey, FlowEntry<FlowOutcome>>,
    packet: &mut Packet<'_>,
) -> Verdict {
    if let FlowOutcome::Drop(_) = entry.outcome
        && entry.generation > context.snapshot.generation
    {
        let (flow, side) = (Arc::clone(&entry.flow), entry.side);
        drop(entry);
        return match own_entry(context, flow, side) {
            Ok(own) => send(context, &own, packet),
            Err(moved) => moved.into(),
        };
    }
    send(context, &entry, packet)
}

/// Reviews a flow that a newer configuration denies: that configuration's rules have other
/// positions here, and counts and output refer to one configuration.
#[cold]
fn own_entry<R>(
    context: &mut Context<'_, R>,
    flow: Arc<Flow>,
    side: Side,
) -> Result<FlowEntry<FlowOutcome>, Denial> {
    let outcome = context.quietly(|context| review::review(context, &flow))?.of(side);
    Ok(FlowEntry { flow, side, generation: context.snapshot.generation, outcome })
}

#[inline]
fn send<R: Recorder>(
    context: &mut Context<'_, R>,
    entry: &FlowEntry<FlowOutcome>,
    packet: &mut Packet<'_>,
) -> Verdict {
    let forward = match &entry.outcome {
        FlowOutcome::Forward(forward) => forward,
        FlowOutcome::Drop(denial) => return deny(context, entry, *denial, packet),
    };
    if forward.read_at.is_some_and(|own| own != context.arrival.nat) {
        return NOT_HERE.into();
    }
    if forward.rewrite.decrement_ttl && packet.ttl() <= 1 {
        return answer::expire_ttl(context, (&entry.flow, entry.side), forward, packet);
    }
    if packet.max_segment_len() > usize::from(forward.mtu) {
        if !may_be_fragmented(packet) {
            return answer::refuse_size(context, (&entry.flow, entry.side), forward, packet);
        }
        packet.fragment_to(forward.mtu);
    }
    forward_packet(context, entry, forward, packet)
}

#[inline]
fn forward_packet<R>(
    context: &Context<'_, R>,
    entry: &FlowEntry<FlowOutcome>,
    forward: &Forward,
    packet: &mut Packet<'_>,
) -> Verdict {
    let flow = &entry.flow;
    if flow.is_offloaded() {
        offload::punted(context.now, flow, entry.side, packet);
    }
    let mut sign_of_life = true;
    if let Some(segment) = packet.tcp() {
        sign_of_life = flow.tcp.observe(&segment, entry.side == Side::Egress);
        if let (true, Some(max_mss)) = (segment.flags.syn(), forward.max_mss) {
            clamp_mss(packet, max_mss);
        }
    }
    let (segments, bytes) = (packet.wire_segments(), packet.wire_bytes());
    if sign_of_life {
        flow.count(context.now, entry.side, segments, bytes);
    } else {
        flow.count_only(entry.side, segments, bytes);
    }
    forward.rewrite.apply(packet);
    offload::ask(context.tables, flow, packet);
    Verdict::Forward { link: forward.link, decided_by: flow.admitted_by }
}

/// Drops a packet of a flow that is denied. If its time to live ends at a NAT gateway before the
/// hop that denies the flow, the gateway answers it.
#[cold]
fn deny<R: Recorder>(
    context: &mut Context<'_, R>,
    entry: &FlowEntry<FlowOutcome>,
    denial: Denial,
    packet: &Packet<'_>,
) -> Verdict {
    let flow = &entry.flow;
    let by_nat_gateway = flow.nat.as_ref().is_some_and(|(gateway, _)| gateway.is_some());
    let may_be_answered = entry.side == Side::Egress && packet.ttl() <= 1 && by_nat_gateway;
    if may_be_answered && let Ok(probe) = review::probe(context.snapshot, flow) {
        let probe = Probe { last_hop: true, ..probe };
        let expired_at = context.quietly(|context| {
            let mut evaluation = context.evaluation(probe, Purpose::Tracked(flow));
            let _ = walk::request(&mut evaluation);
            evaluation.expired_at
        });
        if let Some(gateway) = expired_at {
            return answer::expire_ttl_at_nat_gateway(context, probe, gateway, packet);
        }
    }
    if R::ON {
        record_denial(context, flow, denial);
    }
    denial.into()
}

/// Records the step at which a flow is denied: the cached outcome does not contain it, so the
/// flow's path is evaluated again.
fn record_denial<R: Recorder>(context: &mut Context<'_, R>, flow: &Flow, denial: Denial) {
    let mut steps: Vec<Step> = Vec::new();
    let _ = review::review(&mut context.recording(&mut steps), flow);
    let decided =
        |step: &&Step| step.outcome == Outcome::Drop && step.rule == Some(denial.decided_by);
    if let Some(step) = steps.iter().find(decided) {
        context.recorder.step(*step);
    }
}

/// Decides whether a packet that is too big may leave in fragments (checklist U13). A TCP segment
/// fits, since its MSS was clamped or its path MTU discovered; the kernel must cut super-packets at
/// their own size, and no other.
#[cold]
fn may_be_fragmented(packet: &Packet<'_>) -> bool {
    let cut_by_kernel = packet.vnet().is_super_packet() || packet.protocol() == Protocol::Tcp;
    !packet.dont_fragment() && !cut_by_kernel
}
