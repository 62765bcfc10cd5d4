//! Which flows the kernel may carry by itself, and under which verdicts: each packet that it carries must be one that the
//! engine would have sent on in the same way.

use super::engine::{Engine, FlowOutcome, Forward};
use super::watch::{Watch, Wish};
use crate::flow::{Flow, FlowKey, Instant, Side};
use crate::packet::{Fragment, Packet, Protocol};
use crate::vpc::{Generation, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// Packets both ways before a flow is worth its entries, which cost as much as some twenty packets that are judged: more
/// than the nine of a connection that says one thing, hears another and ends.
const TWO_WAY: u64 = 12;
/// Packets of a flow that nobody answers, as metrics and logs are sent. A name looked up in vain is tried a few times.
const ONE_WAY: u64 = 24;

/// A flow that the kernel may carry, and the verdicts to carry it by.
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

impl Engine {
    /// What to carry a flow by that was asked for with this key ([`Judged::offload`](super::Judged::offload)); `None`, and
    /// the flow has been told so, if it is to stay in user space.
    pub fn candidate(&self, snapshot: &Snapshot, key: &FlowKey) -> Option<Candidate> {
        let flow = Arc::clone(&self.flows().get(key)?.flow);
        let candidate = self.verdicts(snapshot, &flow);
        if candidate.is_none() {
            flow.decline_offload();
        }
        candidate
    }

    fn verdicts(&self, snapshot: &Snapshot, flow: &Arc<Flow>) -> Option<Candidate> {
        let generation = snapshot.generation;
        let forward = |key: &FlowKey| {
            let entry = self.flows().get(key)?;
            let own = Arc::ptr_eq(&entry.flow, flow) && entry.generation == generation;
            match entry.outcome {
                FlowOutcome::Forward(forward) if own => Some(forward),
                FlowOutcome::Forward(_) | FlowOutcome::Drop(_) => None,
            }
        };
        let (egress, returned) = (forward(&flow.egress)?, forward(&flow.returned));
        // What one side of TCP says is judged by what the other has said.
        let one_way = flow.egress.tuple().protocol != Protocol::Tcp;
        if returned.is_none() && !one_way || self.watchers().select(snapshot, flow) {
            return None;
        }
        let idle = flow.idle_timeout(&snapshot.parts().timeouts);
        Some(Candidate { flow: Arc::clone(flow), generation, egress, returned, idle })
    }

    /// Takes a flow back that the kernel has just begun to carry, if that is not to be any longer: it was judged anew
    /// meanwhile, or somebody has begun to watch.
    pub fn confirm(&self, snapshot: &Snapshot, candidate: &Candidate) {
        let Candidate { flow, generation, .. } = candidate;
        let current = self
            .flows()
            .get(&flow.egress)
            .is_some_and(|e| Arc::ptr_eq(&e.flow, flow) && e.generation == *generation);
        if !current || self.watchers().select(snapshot, flow) {
            flow.withdraw_offload();
        }
    }

    /// Begins to watch, until the [`Watch`] is dropped. User space carries what is watched: the kernel tells nobody. What
    /// was taken back for it goes to the kernel again with its next packets after the end.
    #[must_use]
    pub fn watch(&self, snapshot: &Snapshot, wish: Wish) -> Watch {
        let watch = self.watchers().watch(wish);
        self.flows().for_each(|entry| {
            if self.watchers().select(snapshot, &entry.flow) {
                entry.flow.withdraw_offload();
            }
        });
        watch
    }

    /// Adds what the kernel has carried by itself to every figure.
    pub fn settle(&self) {
        // Whoever visits finds flows settled, and their paths with them.
        self.flows().for_each(|_| {});
    }
}

/// Before a packet of a flow that the kernel carries is judged here. One that begins or ends something ends the flow's
/// entries: what comes after it is the engine's to see, until the flow is steady again. After any other one, its direction
/// may be opened.
#[cold]
pub(super) fn came_up(now: Instant, flow: &Arc<Flow>, side: Side, packet: &mut Packet<'_>) {
    if packet.fragment() != Fragment::Whole {
        flow.back_off();
    } else if !is_plain(packet) || flow.offload_is_stale(now) {
        flow.withdraw_offload();
    } else if flow.request_barrier_release(side) {
        packet.mark();
    }
}

/// Marks a packet after which its flow may be carried by the kernel: asked once for each flow.
#[inline]
pub(super) fn ask(flow: &Flow, packet: &mut Packet<'_>) {
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
    match flow.egress.tuple().protocol {
        Protocol::Tcp => two_way && flow.tcp.is_steady(),
        Protocol::Udp => two_way || sent >= ONE_WAY,
        Protocol::Icmp => two_way,
        // Nothing in them tells flows apart.
        Protocol::Other(_) => false,
    }
}

fn is_plain(packet: &Packet<'_>) -> bool {
    let turns =
        |tcp: crate::packet::TcpFacts| tcp.flags.syn() || tcp.flags.fin() || tcp.flags.rst();
    packet.fragment() == Fragment::Whole && !packet.tcp().is_some_and(turns)
}
