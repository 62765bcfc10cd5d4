//! Refuses packets that belong to no flow, or to none that still exists, and answers some of them.

use super::context::Context;
use super::evaluation::Probe;
use super::leases::Purpose;
use super::walk;
use super::{Denial, Reason, Recorder, Verdict};
use crate::flow::FlowKey;
use crate::packet::icmp::tcp_reset;
use crate::packet::{Fragment, Inside, Packet};
use crate::vpc::RuleRef;

/// Returns the denial of a packet to a NAT's own address: it is late, no task asked for it, or a
/// task sent it.
#[cold]
pub(super) fn refuse<R: Recorder>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
    packet: &Packet<'_>,
) -> Denial {
    if let Some(task) = context.task_here(packet.src()) {
        let probe = Probe::new(task, Inside::new(packet.tuple()), packet.icmp_type_code());
        if let Err(denial) = walk::walk(&mut context.evaluation(probe, Purpose::DryRun)) {
            return denial;
        }
    }
    let expired = context.tables.flows.tombstone(key).is_some();
    let reason = if expired { Reason::FlowExpired } else { Reason::Unsolicited };
    Denial { reason, decided_by: RuleRef::FlowTable }
}

/// Answers a late segment of a flow behind a NAT gateway with RST, to the inside only (spec 6),
/// however late it is: after the tombstone of an expired flow was dropped, any segment without a
/// flow may belong to it, and gets an answer if it would pass a NAT gateway. Before that only a
/// segment of a flow that is known to have expired gets one.
#[cold]
pub(super) fn answer<R>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
    denial: Denial,
    packet: &Packet<'_>,
) -> Verdict {
    let Denial { reason, decided_by } = denial;
    let flows = &context.tables.flows;
    let late = if reason == Reason::FlowExpired {
        flows.tombstone(key).is_some_and(|tombstone| tombstone.through_nat_gateway)
    } else {
        reason == Reason::TcpNoFlow
            && flows.has_forgotten()
            && goes_by_a_nat_gateway(context, packet)
    };
    match if late { tcp_reset(packet, context.answer) } else { None } {
        Some(len) => Verdict::Reply { len, reason, decided_by },
        None => denial.into(),
    }
}

/// Decides whether a segment within a connection would pass a NAT gateway if it were the first.
fn goes_by_a_nat_gateway<R>(context: &mut Context<'_, R>, packet: &Packet<'_>) -> bool {
    let begins = packet.tcp().is_none_or(|tcp| tcp.flags.syn() || tcp.flags.rst());
    let task = context.snapshot.task(packet.src()).filter(|_| !begins);
    let Some(&task) = task else { return false };
    let fragment = packet.fragment() != Fragment::Whole;
    let probe = Probe { fragment, ..Probe::new(task, Inside::new(packet.tuple()), (0, 0)) };
    context.quietly(|context| {
        walk::passes_nat_gateway(&mut context.evaluation(probe, Purpose::DryRun))
    })
}
