//! Handover: flows that began in another process, which was killed while the kernel forwarded them.

use super::context::{Context, MOVED};
use super::evaluation::Probe;
use super::leases::Purpose;
use super::{Denial, NatPair, Recorder, review, walk};
use crate::flow::{
    CacheCounters, Flow, FlowStart, HandoverRecord, LastNat, NatPort, PortLease, Space,
};
use crate::packet::{Inside, Protocol};
use crate::vpc::{EniIx, Interface, NatGatewayIx, RuleRef, Snapshot};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Resumes a flow under this configuration, with its ports: it is reviewed as under any new
/// configuration, and if it is no longer allowed, its next packet is dropped by name. `carried` is
/// the count of the packets that the kernel has forwarded since the record was made.
///
/// # Errors
/// The flow would leave by another gateway, or its task or its ports no longer exist. It is not
/// resumed then.
pub(super) fn adopt<R: Recorder>(
    context: &mut Context<'_, R>,
    record: &HandoverRecord,
    carried: [CacheCounters; 2],
) -> Result<(), Denial> {
    let start = start_again(context, record).ok_or(MOVED)?;
    let flow = Arc::new(Flow::resume(start, record, carried));
    let outcomes = review::review(context, &flow)?;
    let (tables, snapshot) = (context.tables, context.snapshot);
    if tables.offloads {
        tables.flows.allow_offload(&flow);
    }
    tables.flows.put(&flow, snapshot.generation, outcomes.egress, outcomes.returned);
    if flow.is_expired(context.now, &snapshot.parts().timeouts) {
        tables.flows.expire(context.now, &flow);
    }
    Ok(())
}

fn start_again<R: Recorder>(
    context: &mut Context<'_, R>,
    record: &HandoverRecord,
) -> Option<FlowStart> {
    let (tables, snapshot) = (context.tables, context.snapshot);
    let inside = record.egress.tuple();
    let task = *snapshot.task(inside.src)?;
    let icmp = if inside.protocol == Protocol::Icmp { (8, 0) } else { (0, 0) };
    // The rule that admitted a tracked flow may have been removed since.
    let probe = Probe::new(task, Inside::new(inside), icmp);
    let admission = walk::walk(&mut context.evaluation(probe, Purpose::DryRun)).ok();
    let admission = admission.filter(|admission| admission.reply_denied.is_none());
    let eni = match record.eni {
        Some(port) => Some(keep_on_eni(context, record, port)?),
        None => None,
    };
    let nat = match record.nat {
        Some((nat, port)) => Some(keep_on_nat(context, record, nat, port)?),
        None => None,
    };
    let nats = NatPair {
        eni: eni.as_ref().map(|(ix, _)| *ix),
        nat_gateway: nat.as_ref().and_then(|(ix, _)| *ix),
    };
    Some(FlowStart {
        egress: record.egress,
        returned: record.returned,
        service: task.service,
        eni,
        nat,
        // The endpoint at the handover: the review ends the flow if the address leads to another
        // interface now.
        endpoint: record.endpoint,
        admitted_by: admission.map_or(RuleRef::FlowTable, |admission| admission.admitted_by),
        untracked: record.untracked,
        admitted_under: snapshot.generation,
        totals: tables.totals.tally(snapshot, nats),
    })
}

/// Takes the flow's port at its ENI again: the task's own port if the ENI is the task's, its pool's
/// otherwise.
fn keep_on_eni<R: Recorder>(
    context: &Context<'_, R>,
    record: &HandoverRecord,
    port: NatPort,
) -> Option<(EniIx, PortLease)> {
    let ix = eni_of(context.snapshot, port)?;
    let (pools, pool) = (&context.tables.pools, record.pool(port));
    let lease = match context.snapshot.eni(ix).task {
        Some(_) => pools.own(pool, port.port, u32::MAX),
        None => pools.claim(pool, port.port),
    };
    Some((ix, lease.ok()?))
}

/// Takes the flow's port at the last NAT again.
fn keep_on_nat<R: Recorder>(
    context: &Context<'_, R>,
    record: &HandoverRecord,
    nat: LastNat,
    port: NatPort,
) -> Option<(Option<NatGatewayIx>, PortLease)> {
    let gateway = match nat {
        LastNat::Gateway => Some(gateway_of(context.snapshot, port)?),
        LastNat::AppRunner => None,
    };
    Some((gateway, context.tables.pools.claim(record.pool(port), port.port).ok()?))
}

fn eni_of(snapshot: &Snapshot, port: NatPort) -> Option<EniIx> {
    match interface(snapshot, port.space, port.address)? {
        Interface::Eni(ix) => Some(ix),
        Interface::NatGateway(_) | Interface::Resource(_) => None,
    }
}

fn gateway_of(snapshot: &Snapshot, port: NatPort) -> Option<NatGatewayIx> {
    if port.space == Space::INTERNET {
        return snapshot.nat_gateway_of(port.address);
    }
    match interface(snapshot, port.space, port.address)? {
        Interface::NatGateway(ix) => Some(ix),
        Interface::Eni(_) | Interface::Resource(_) => None,
    }
}

fn interface(snapshot: &Snapshot, space: Space, address: Ipv4Addr) -> Option<Interface> {
    snapshot.interface(snapshot.vpc_in(space)?, address)
}
