//! Translates ICMP errors about a flow, outside and in; they never refresh or end the flow
//! (RFC 5508; checklist I3 to I6).

use super::context::{Context, NOT_HERE, drop_packet};
use super::evaluation::{Message, Probe};
use super::leases::Purpose;
use super::outcome::FlowOutcome;
use super::review;
use super::walk::{self, Removed, ReturnPoint};
use super::{Denial, Reason, Recorder, Verdict};
use crate::flow::{Flow, FlowKey, Side, Space};
use crate::packet::{Packet, Tuple, rewrite_icmp_error};
use crate::vpc::RuleRef;
use crate::vpc::path::Link;
use std::sync::Arc;

/// The content of an ICMP error.
#[derive(Clone, Copy, Debug)]
pub(super) struct IcmpError {
    pub(super) icmp_type: u8,
    pub(super) code: u8,
    /// The packet that it is about, as the sender of the error saw it.
    pub(super) quoted: Tuple,
}

const NO_FLOW: Denial = Denial { reason: Reason::IcmpErrorNoFlow, decided_by: RuleRef::FlowTable };

/// Translates an error and its quoted packet.
#[cold]
pub(super) fn translate<R: Recorder>(
    context: &mut Context<'_, R>,
    error: IcmpError,
    packet: &mut Packet<'_>,
) -> Verdict {
    let side = context.arrival.side;
    let space = match side {
        Side::Egress => Space::TASKS,
        // The sender chooses what it quotes: no task may send an error about another task's flow.
        Side::Return if context.snapshot.task(packet.src()).is_some() => {
            return drop_packet(Reason::IcmpErrorNoFlow);
        }
        Side::Return => context.arrival.space,
    };
    let error = IcmpError { quoted: quoted(context, error.quoted, packet), ..error };
    let key = FlowKey::new(space, error.quoted.reversed());
    let (flow, outcome) = match tracked(context, &key) {
        Ok(tracked) => tracked,
        Err(denial) => return denial.into(),
    };
    if let Some(denial) = refusal(context, &flow, error, packet) {
        return denial.into();
    }
    // RFC 1122 3.2.2: no error about an error.
    if flow.nat.is_some() && packet.ttl() <= 1 {
        return drop_packet(Reason::TtlExpiredNoAnswer);
    }
    match side {
        Side::Egress => to_outside(context, &flow, outcome, error, packet),
        Side::Return => to_inside(&flow, packet),
    }
}

/// Returns the packet that an error is about as it crossed the internet: a public endpoint quotes
/// it with its own private address, which no internet gateway translates back inside a message.
fn quoted<R>(context: &Context<'_, R>, quoted: Tuple, packet: &Packet<'_>) -> Tuple {
    let sender = packet.src();
    let is_own = || context.snapshot.private_address_of(sender) == Some(quoted.dst);
    match context.arrival.side == Side::Return && is_own() {
        true => Tuple { dst: sender, ..quoted },
        false => quoted,
    }
}

/// Finds the flow that an error is about, and the outcome of its direction in this configuration:
/// routes apply to errors at once, too.
fn tracked<R: Recorder>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
) -> Result<(Arc<Flow>, FlowOutcome), Denial> {
    let (now, snapshot, side) = (context.now, context.snapshot, context.arrival.side);
    let flows = &context.tables.flows;
    let (flow, outcome, generation) = flows
        .get(key)
        .filter(|e| e.side == side && !e.flow.is_expired(now, &snapshot.parts().timeouts))
        .map(|e| (Arc::clone(&e.flow), e.outcome, e.generation))
        .ok_or(NO_FLOW)?;
    if generation >= snapshot.generation {
        return Ok((flow, outcome));
    }
    // A flow that would leave by another gateway is not ended here: no error ends a flow.
    let outcomes = review::review(context, &flow).map_err(|_moved| NO_FLOW)?;
    flows.update(&flow, snapshot.generation, outcomes.egress, outcomes.returned);
    Ok((flow, outcomes.of(side)))
}

/// Evaluates the error's own path: ACLs are stateless and judge it as the ICMP message that it is.
/// Groups pass it, since it belongs to a tracked flow.
fn refusal<R>(
    context: &mut Context<'_, R>,
    flow: &Flow,
    error: IcmpError,
    packet: &Packet<'_>,
) -> Option<Denial> {
    let to = match ReturnPoint::of_flow(context.snapshot, flow) {
        Ok(to) => to,
        Err(Removed) => return Some(NO_FLOW),
    };
    let Ok(probe) = review::probe(context.snapshot, flow) else { return Some(NO_FLOW) };
    let message = Message::IcmpError { icmp: (error.icmp_type, error.code) };
    let (side, source) = (context.arrival.side, packet.src());
    context.quietly(|context| {
        let probe = Probe { message, ..probe };
        let mut evaluation = context.evaluation(probe, Purpose::Tracked(flow));
        match side {
            Side::Egress => walk::request(&mut evaluation).err(),
            // A router on the path may be the sender.
            Side::Return => walk::return_from(&mut evaluation, &to, (source, message)).err(),
        }
    })
}

/// Translates an error for the task: the quoted packet is the task's own as it left egret, and
/// becomes the one that the task sent.
fn to_inside(flow: &Flow, packet: &mut Packet<'_>) -> Verdict {
    let inside = flow.inside();
    let from = packet.src();
    rewrite_icmp_error(packet, from, inside.src(), inside.tuple(), flow.nat.is_some());
    Verdict::Forward { link: Link::Task(inside.src()), decided_by: flow.admitted_by }
}

/// Translates an error for the server: the quoted packet is a reply as the task received it, and
/// becomes the one that the server sent. The source becomes the NAT's (I5).
fn to_outside<R>(
    context: &Context<'_, R>,
    flow: &Flow,
    outcome: FlowOutcome,
    error: IcmpError,
    packet: &mut Packet<'_>,
) -> Verdict {
    let back = flow.returned.tuple();
    // If the flow's requests do not pass, the error does not either.
    let forward = match outcome {
        FlowOutcome::Forward(forward) => forward,
        FlowOutcome::Drop(denial) => return denial.into(),
    };
    if forward.read_at.is_some_and(|own| own != context.arrival.nat) {
        return NOT_HERE.into();
    }
    let honest = packet.src() == error.quoted.dst && packet.dst() == error.quoted.src;
    if !honest {
        return drop_packet(Reason::IcmpErrorNoFlow);
    }
    // The reply as a public endpoint sent it, before its internet gateway.
    let src = context.snapshot.private_address_of(back.src).unwrap_or(back.src);
    let sent = Tuple { src, ..back };
    rewrite_icmp_error(packet, back.dst, back.src, sent, flow.nat.is_some());
    Verdict::Forward { link: forward.link, decided_by: flow.admitted_by }
}
