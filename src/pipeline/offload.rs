//! Which flows the kernel may carry by itself, and under which verdicts: each packet that it carries must be one that the
//! engine would have sent on in the same way.

use super::observe::watchers::{Watch, Wish};
use super::outcome::{FlowOutcome, Forward};
use super::tables::Tables;
use crate::flow::{Flow, FlowKey, Instant, Side};
use crate::packet::{Fragment, Packet, Protocol, TcpFacts};
use crate::vpc::{Generation, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// Packets both ways before a flow is worth its cache entries, which cost as much as some twenty packets that are judged:
/// more than the nine of a connection that says one thing, hears another and ends.
const TWO_WAY: u64 = 12;
/// Packets of a flow without replies, as metrics and logs are sent. A name looked up in vain is tried a few times.
const ONE_WAY: u64 = 24;

/// A flow that may be offloaded, and the verdicts to carry it by.
#[derive(Debug)]
pub struct Candidate {
    /// The flow.
    pub flow: Arc<Flow>,
    /// The configuration that both verdicts were made under.
    pub generation: Generation,
    /// From the task.
    pub egress: Forward,
    /// Back to it; `None` where nothing may come back.
    pub returned: Option<Forward>,
    /// How long the flow may be idle.
    pub idle: Duration,
}

/// Returns by what to carry a flow that asked for it with this key; `None`, and the flow has been answered so, if it is to
/// stay in user space.
pub(super) fn candidate(tables: &Tables, snapshot: &Snapshot, key: &FlowKey) -> Option<Candidate> {
    let flow = Arc::clone(&tables.flows.get(key)?.flow);
    // Before the look: a watch that ends in between is another number.
    let watches_ended = tables.watchers.ended();
    if tables.watchers.select(snapshot, &flow) {
        flow.decline_offload_while_watched(watches_ended);
        return None;
    }
    let candidate = verdicts(tables, snapshot, &flow);
    if candidate.is_none() {
        flow.decline_offload();
    }
    candidate
}

fn verdicts(tables: &Tables, snapshot: &Snapshot, flow: &Arc<Flow>) -> Option<Candidate> {
    let generation = snapshot.generation;
    let forward = |key: &FlowKey| {
        let entry = tables.flows.get(key)?;
        let own = Arc::ptr_eq(&entry.flow, flow) && entry.generation == generation;
        match entry.outcome {
            FlowOutcome::Forward(forward) if own => Some(forward),
            FlowOutcome::Forward(_) | FlowOutcome::Drop(_) => None,
        }
    };
    let (egress, returned) = (forward(&flow.egress)?, forward(&flow.returned));
    // What one side of TCP says is judged by what the other has said.
    let one_way = flow.inside().protocol() != Protocol::Tcp;
    if returned.is_none() && !one_way {
        return None;
    }
    let idle = flow.idle_timeout(&snapshot.parts().timeouts);
    Some(Candidate { flow: Arc::clone(flow), generation, egress, returned, idle })
}

/// Takes a flow back that has just been offloaded, if it is not to be any longer: it was judged again meanwhile, or a watch
/// has begun.
pub(super) fn confirm(tables: &Tables, snapshot: &Snapshot, candidate: &Candidate) {
    let Candidate { flow, generation, .. } = candidate;
    let current = tables
        .flows
        .get(&flow.egress)
        .is_some_and(|e| Arc::ptr_eq(&e.flow, flow) && e.generation == *generation);
    if !current || tables.watchers.select(snapshot, flow) {
        flow.withdraw_offload();
    }
}

/// Begins to watch, until the [`Watch`] is dropped. User space carries what is watched: the kernel reports no
/// packets. Flows that were taken back for it are offloaded again with their next packets after the end.
pub(super) fn watch(tables: &Tables, snapshot: &Snapshot, wish: Wish) -> Watch {
    let mut watch = tables.watchers.watch(wish);
    tables.flows.for_each(|entry| {
        if tables.watchers.select(snapshot, &entry.flow) {
            watch.taken_back += usize::from(entry.flow.is_offloaded());
            entry.flow.withdraw_offload();
        }
    });
    watch
}

/// Looks at a punted packet of an offloaded flow, before it is judged. One that begins or ends something ends the flow's
/// cache entries: what comes after it is the engine's to see, until the flow is steady again. After any other one, the
/// reordering barrier of its direction may be lifted.
#[cold]
pub(super) fn punted(now: Instant, flow: &Arc<Flow>, side: Side, packet: &mut Packet<'_>) {
    if packet.fragment() != Fragment::Whole {
        flow.back_off();
    } else if !is_plain(packet) || flow.offload_is_stale(now) {
        flow.withdraw_offload();
    } else if flow.request_barrier_release(side) {
        packet.mark();
    }
}

/// Marks a packet after which its flow may be offloaded: asked once for each flow.
#[inline]
pub(super) fn ask(tables: &Tables, flow: &Flow, packet: &mut Packet<'_>) {
    if flow.was_watched() {
        flow.reopen_offload_after_watch(tables.watchers.ended());
    }
    if flow.may_be_offloaded() && is_worth_it(flow) && is_plain(packet) && flow.ask_for_offload() {
        packet.mark();
    }
}

#[inline]
fn is_worth_it(flow: &Flow) -> bool {
    let (sent, received) = (flow.sent.packets(), flow.received.packets());
    if sent + received < flow.backs_off_until() {
        return false;
    }
    let enough = if flow.offloads_at_once() { 0 } else { TWO_WAY };
    let two_way = received > 0 && sent + received >= enough;
    match flow.inside().protocol() {
        Protocol::Tcp => two_way && flow.tcp.is_steady(),
        Protocol::Udp => two_way || sent >= ONE_WAY,
        Protocol::Icmp => two_way,
        // Nothing in them tells flows apart.
        Protocol::Other(_) => false,
    }
}

/// Decides whether a packet neither begins nor ends a connection, and is whole.
fn is_plain(packet: &Packet<'_>) -> bool {
    let changes = |tcp: TcpFacts| tcp.flags.syn() || tcp.flags.fin() || tcp.flags.rst();
    packet.fragment() == Fragment::Whole && !packet.tcp().is_some_and(changes)
}
