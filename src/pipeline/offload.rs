//! Selects the flows that the kernel may forward, and their verdicts: the engine must have sent on
//! each such packet in the same way.

use super::observe::watchers::{Watch, Wish};
use super::outcome::{FlowOutcome, Forward};
use super::tables::Tables;
use crate::flow::{Flow, FlowKey, Instant, Side};
use crate::packet::{Fragment, Packet, Protocol, TcpFacts};
use crate::vpc::{Generation, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// Packets both ways before a flow is worth its cache entries, which cost as much as some twenty
/// judged packets: more than the nine of a connection with one request and one reply.
const TWO_WAY: u64 = 12;
/// Packets of a flow without replies, such as metrics and logs. A client repeats a name lookup
/// without an answer a few times.
const ONE_WAY: u64 = 24;

/// A flow that may be offloaded, with the verdicts for it.
#[derive(Debug)]
pub struct Candidate {
    /// The flow.
    pub flow: Arc<Flow>,
    /// The configuration under which both verdicts were made.
    pub generation: Generation,
    /// From the task.
    pub egress: Forward,
    /// Back to the task; `None` if nothing may come back.
    pub returned: Option<Forward>,
    /// The time for which the flow may be idle.
    pub idle: Duration,
}

/// Returns the verdicts for a flow with this key that asked to be offloaded; `None`, after
/// declining the request, if it is to stay in user space.
pub(super) fn candidate(tables: &Tables, snapshot: &Snapshot, key: &FlowKey) -> Option<Candidate> {
    let flow = Arc::clone(&tables.flows.get(key)?.flow);
    // Read before the list of watchers: a watch that ends in between changes the number.
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
    // The kernel judges segments of one side of TCP by the other side's numbers.
    let one_way = flow.inside().protocol() != Protocol::Tcp;
    if returned.is_none() && !one_way {
        return None;
    }
    let idle = flow.idle_timeout(&snapshot.parts().timeouts);
    Some(Candidate { flow: Arc::clone(flow), generation, egress, returned, idle })
}

/// Withdraws a flow that has just been offloaded, if it must no longer be: it was judged again
/// meanwhile, or a watch has begun.
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

/// Begins to watch, until the [`Watch`] is dropped. User space handles the packets that are
/// watched, because the kernel reports none. Flows that were withdrawn for the watch are offloaded
/// again with their next packets after its end.
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

/// Examines a punted packet of an offloaded flow, before it is judged. A packet that begins or ends
/// a connection ends the flow's cache entries: the engine must see the packets after it, until the
/// flow is steady again. After any other packet, the reordering barrier of its direction may be
/// released.
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

/// Marks a packet after which its flow may be offloaded: once per request of the flow.
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
        // Packets of other protocols have nothing that tells flows apart.
        Protocol::Other(_) => false,
    }
}

/// Decides whether a packet neither begins nor ends a connection, and is whole.
fn is_plain(packet: &Packet<'_>) -> bool {
    let changes = |tcp: TcpFacts| tcp.flags.syn() || tcp.flags.fin() || tcp.flags.rst();
    packet.fragment() == Fragment::Whole && !packet.tcp().is_some_and(changes)
}
