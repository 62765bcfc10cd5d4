//! Begins flows with their first packets.

use super::context::{Context, NOT_HERE};
use super::evaluation::Probe;
use super::leases::{Grant, Purpose};
use super::review::{self, Ends};
use super::walk::{self, Admission};
use super::{Denial, NatPair, Reason, Recorder, Verdict, answer, send};
use crate::flow::{Flow, FlowKey, FlowStart};
use crate::packet::{Fragment, IcmpKind, Inside, Packet, Protocol};
use crate::vpc::{NatGatewayIx, RuleRef, Task};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Makes a flow of its first packet, and sends the packet. If the packet is not sent on, because it
/// is too old or too big, no flow remains, and no port rests in quarantine, since no host has seen
/// it.
pub(super) fn begin_flow<R: Recorder>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
    packet: &mut Packet<'_>,
) -> Result<Verdict, Denial> {
    let probe = probe(context, key, packet)?;
    let flow = match admit(context, key, probe) {
        Ok(flow) => flow,
        Err(Refused { denial: _, expired_at: Some(gateway) }) => {
            return Ok(answer::expire_ttl_at_nat_gateway(context, probe, gateway, packet));
        }
        Err(Refused { denial, expired_at: None }) => return Err(denial),
    };
    let verdict = send::send_by(context, key, packet);
    match verdict {
        Verdict::Forward { .. } => flow.mark_ports_used(),
        Verdict::Reply { .. } | Verdict::Drop { .. } | Verdict::Hold => {
            // Another worker may have sent a packet of the flow by now.
            if flow.sent.packets() == 0 {
                context.tables.flows.remove(&flow);
            }
        }
    }
    Ok(verdict)
}

/// Makes the probe of a packet that may begin a flow here.
fn probe<R>(context: &Context<'_, R>, key: &FlowKey, packet: &Packet<'_>) -> Result<Probe, Denial> {
    let inside = Inside::new(key.tuple());
    let task = context.task_here(inside.src()).ok_or(NOT_HERE)?;
    require_start(context, key, packet)?;
    let (fragment, last_hop) = (packet.fragment() != Fragment::Whole, packet.ttl() <= 1);
    Ok(Probe { fragment, last_hop, ..Probe::new(task, inside, packet.icmp_type_code()) })
}

/// Requires a packet that may be the first of a flow; any other packet is late, or never belonged
/// to a flow.
fn require_start<R>(
    context: &Context<'_, R>,
    key: &FlowKey,
    packet: &Packet<'_>,
) -> Result<(), Denial> {
    if can_start(packet) {
        return Ok(());
    }
    let reason = if context.tables.flows.tombstone(key).is_some() {
        Reason::FlowExpired
    } else if key.tuple().protocol == Protocol::Tcp {
        Reason::TcpNoFlow
    } else {
        Reason::IcmpUnsupported
    };
    Err(Denial { reason, decided_by: RuleRef::FlowTable })
}

/// A first packet that makes no flow.
struct Refused {
    denial: Denial,
    /// The NAT gateway at which its time to live ended.
    expired_at: Option<(NatGatewayIx, Ipv4Addr)>,
}

fn admit<R: Recorder>(
    context: &mut Context<'_, R>,
    key: &FlowKey,
    probe: Probe,
) -> Result<Arc<Flow>, Refused> {
    let mut evaluation = context.evaluation(probe, Purpose::NewFlow);
    let walked = walk::walk(&mut evaluation);
    let expired_at = evaluation.expired_at;
    let admission = walked.map_err(|denial| Refused { denial, expired_at })?;
    let (tables, snapshot) = (context.tables, context.snapshot);
    let read_at = Some(context.arrival.nat);
    let ends = Ends { read_at, link: admission.link, ttl_hop: admission.ttl_hop };
    let reply_denied = admission.reply_denied;
    let flow = Arc::new(begin(context, &probe.task, key, admission));
    if tables.offloads {
        tables.flows.allow_offload(&flow);
    }
    let outcomes = review::outcomes(snapshot, &flow, &ends).deny_replies(reply_denied);
    tables.flows.put(&flow, snapshot.generation, outcomes.egress, outcomes.returned);
    Ok(flow)
}

fn begin<R>(context: &Context<'_, R>, task: &Task, inside: &FlowKey, admission: Admission) -> Flow {
    let lease = Grant::into_lease;
    let nats = NatPair {
        eni: admission.eni.as_ref().map(|(ix, _)| *ix),
        nat_gateway: admission.nat.as_ref().and_then(|(ix, _)| *ix),
    };
    let returned = admission.outside.reversed().tuple();
    let start = FlowStart {
        egress: *inside,
        returned: FlowKey::new(admission.space, returned),
        service: task.service,
        eni: admission.eni.and_then(|(ix, grant)| Some((ix, lease(grant)?))),
        nat: admission.nat.and_then(|(ix, grant)| Some((ix, lease(grant)?))),
        endpoint: admission.endpoint,
        admitted_by: admission.admitted_by,
        untracked: admission.untracked,
        admitted_under: context.snapshot.generation,
        totals: context.tables.totals.tally(context.snapshot, nats),
    };
    Flow::new(context.now, start)
}

/// Decides whether a packet may be the first of a flow.
pub(super) fn can_start(packet: &Packet<'_>) -> bool {
    match packet.protocol() {
        Protocol::Tcp => packet.tcp().is_some_and(|tcp| tcp.flags.begins_connection()),
        Protocol::Icmp => packet.icmp() == Some(IcmpKind::EchoRequest),
        Protocol::Udp | Protocol::Other(_) => true,
    }
}
