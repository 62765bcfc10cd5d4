//! Reviews a flow under a configuration: the outcomes that its entries cache.

use super::arrival::{SpaceAddr, own_address};
use super::context::{Context, MOVED};
use super::evaluation::Probe;
use super::leases::Purpose;
use super::outcome::{FlowOutcome, Forward};
use super::walk::{self, Removed, ReturnPoint};
use super::{Denial, Device, Recorder};
use crate::flow::{Flow, Side};
use crate::packet::{Protocol, Rewrite, Tuple};
use crate::vpc::path::Link;
use crate::vpc::{Snapshot, Task};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The outcomes of a flow's two directions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcomes {
    /// From the task.
    pub(super) egress: FlowOutcome,
    /// Back to it.
    pub(super) returned: FlowOutcome,
}

impl Outcomes {
    /// Returns the outcome of one direction.
    pub(super) fn of(&self, side: Side) -> FlowOutcome {
        match side {
            Side::Egress => self.egress,
            Side::Return => self.returned,
        }
    }

    /// Denies the replies.
    pub(super) fn deny_replies(self, denial: Option<Denial>) -> Self {
        Self { returned: denial.map_or(self.returned, FlowOutcome::Drop), ..self }
    }
}

/// Walks a flow again under a newer configuration, with its own ports offered: a flow that is still
/// allowed keeps them.
///
/// # Errors
/// The flow would leave by another gateway and is ended.
pub(super) fn walk_again<R: Recorder>(
    context: &mut Context<'_, R>,
    flow: &Arc<Flow>,
) -> Result<(), Denial> {
    match review(context, flow) {
        Ok(Outcomes { egress, returned }) => {
            let generation = context.snapshot.generation;
            context.tables.flows.update(flow, generation, egress, returned);
            Ok(())
        }
        Err(moved) => {
            context.tables.flows.remove(flow);
            Err(moved)
        }
    }
}

/// Decides the outcomes of a flow under a configuration, in both directions; no table changes.
///
/// # Errors
/// The flow would leave by another gateway.
pub(super) fn review<R: Recorder>(
    context: &mut Context<'_, R>,
    flow: &Flow,
) -> Result<Outcomes, Denial> {
    let snapshot = context.snapshot;
    let probe = probe(snapshot, flow)?;
    let mut evaluation = context.evaluation(probe, Purpose::Tracked(flow));
    match walk::walk(&mut evaluation) {
        Ok(admission) => {
            let stays = admission.outside == flow.outside()
                && admission.space == flow.returned.space
                && admission.endpoint == flow.endpoint;
            if !stays {
                return Err(MOVED);
            }
            let read_at = snapshot.attachment(&probe.task);
            let read_at = read_at.map(|at| own_address(snapshot, Device::from(at)));
            let ends = Ends { read_at, link: admission.link, ttl_hop: admission.ttl_hop };
            Ok(outcomes(snapshot, flow, &ends).deny_replies(admission.reply_denied))
        }
        Err(denial) => {
            let (egress, returned) = (FlowOutcome::Drop(denial), replies(context, flow, probe));
            Ok(Outcomes { egress, returned })
        }
    }
}

/// Makes the probe of a flow's packet, if its task is still attached where the flow was made: only
/// there the flow has its port.
///
/// # Errors
/// The task is no longer attached there.
pub(super) fn probe(snapshot: &Snapshot, flow: &Flow) -> Result<Probe, Denial> {
    let inside = flow.inside();
    let task = snapshot.task(inside.src()).filter(|task| is_at_its_nat(snapshot, task, flow));
    let icmp = if inside.protocol() == Protocol::Icmp { (8, 0) } else { (0, 0) };
    task.map(|&task| Probe::new(task, inside, icmp)).ok_or(MOVED)
}

fn is_at_its_nat(snapshot: &Snapshot, task: &Task, flow: &Flow) -> bool {
    let now = task.eni.map(|ix| own_address(snapshot, Device::Eni(ix)));
    now == flow.eni.as_ref().map(|(_, lease)| (lease.key().space, lease.key().address))
}

/// The devices and links of a flow's packets.
#[derive(Debug)]
pub(super) struct Ends {
    /// The NAT at whose device the task's packets are read.
    pub(super) read_at: Option<SpaceAddr>,
    /// The link by which they leave.
    pub(super) link: Link,
    /// The address of the NAT that decrements the TTL.
    pub(super) ttl_hop: Option<Ipv4Addr>,
}

/// Returns the outcomes of a flow that passes both ways.
pub(super) fn outcomes(snapshot: &Snapshot, flow: &Flow, ends: &Ends) -> Outcomes {
    let (inside, back) = (flow.inside(), flow.returned.tuple());
    let &Ends { read_at, link, ttl_hop } = ends;
    let mtu = snapshot.parts().mtu;
    let own = flow.eni.as_ref().map_or(back.dst, |(_, lease)| lease.key().address);
    let (beyond, back_mtu) = match link {
        Link::Internet => (mtu.internet, mtu.task),
        // An internet gateway of the lab forwards no larger packet in either direction.
        Link::PublicEndpoint(_) => (mtu.internet, mtu.task.min(mtu.internet)),
        Link::Vpc(_) | Link::Endpoint(_) => (mtu.vpc, mtu.task),
        Link::Task(_) | Link::Services => (mtu.task, mtu.task),
    };
    // An MSS limits the other direction, so both SYNs get the limit that both links allow, less 40
    // bytes of headers.
    let max_mss = ttl_hop.map(|_| mtu.task.min(beyond).saturating_sub(40));
    let egress = Forward {
        read_at,
        max_mss,
        rewrite: rewrite_to(back.reversed(), ttl_hop.is_some()),
        link,
        mtu: beyond,
        answers_from: Some(ttl_hop.unwrap_or(own)),
    };
    let returned = Forward {
        read_at: None,
        max_mss,
        rewrite: rewrite_to(inside.reversed().tuple(), ttl_hop.is_some()),
        link: Link::Task(inside.src()),
        mtu: back_mtu,
        // Toward the outside only the address that the outside knows may send.
        answers_from: Some(back.dst),
    };
    Outcomes { egress: FlowOutcome::Forward(egress), returned: FlowOutcome::Forward(returned) }
}

/// Decides the outcome of the replies of a flow whose requests are no longer allowed: ACLs and the
/// server's own route table judge them (spec 4.4, 5, 13).
fn replies<R: Recorder>(context: &mut Context<'_, R>, flow: &Flow, probe: Probe) -> FlowOutcome {
    let snapshot = context.snapshot;
    let denial = match ReturnPoint::of_flow(snapshot, flow) {
        Ok(to) => context.quietly(|context| {
            walk::reply(&mut context.evaluation(probe, Purpose::Tracked(flow)), &to).err()
        }),
        Err(Removed) => Some(MOVED),
    };
    if let Some(denial) = denial {
        return FlowOutcome::Drop(denial);
    }
    let ttl_hop = flow.nat.as_ref().map(|_| flow.returned.tuple().dst);
    let by_internet = || {
        let endpoint = snapshot.public_endpoint(flow.returned.tuple().src);
        endpoint.map_or(Link::Internet, Link::PublicEndpoint)
    };
    let link = snapshot.vpc_in(flow.returned.space).map_or_else(by_internet, Link::Vpc);
    match outcomes(snapshot, flow, &Ends { read_at: None, link, ttl_hop }).returned {
        // egret must send no answer where the flow itself may not go: another host may have the
        // address by now.
        FlowOutcome::Forward(forward) => {
            FlowOutcome::Forward(Forward { answers_from: None, ..forward })
        }
        denied @ FlowOutcome::Drop(_) => denied,
    }
}

fn rewrite_to(tuple: Tuple, decrement_ttl: bool) -> Rewrite {
    let Tuple { src, dst, sport, dport, .. } = tuple;
    Rewrite { src, dst, sport, dport, decrement_ttl }
}
