//! Reports to watchers flows and fragments that end without a packet.

use super::watchers::{FlowEvent, FlowSeen, Frames, PacketSeen, Party, Seen, WatchRecord, Watcher};
use crate::flow::{Flow, Side, TcpState};
use crate::packet::{Inside, Outside, Tuple};
use crate::pipeline::context::Moment;
use crate::pipeline::{Device, Reason, Verdict};
use crate::vpc::{Generation, RuleRef, Snapshot};
use std::sync::Arc;

/// Reports to watchers that a flow has ended, other than by a packet. The end of a TCP flow that
/// both sides had ended, or one had reset, was reported at that time.
pub(in crate::pipeline) fn tell_end(moment: &Moment<'_>, flow: &Flow, event: FlowEvent) {
    if !moment.tables.watchers.any() || flow.tcp.state() == TcpState::Closed {
        return;
    }
    let facts = FlowFacts::of(moment.snapshot, flow);
    tell_all(moment, facts.party, Seen::Flow(facts.seen(event)));
}

/// A held fragment whose first one has not come.
pub(in crate::pipeline) struct Unclaimed {
    /// The device from which it was read, if that still exists.
    pub(in crate::pipeline) device: Option<Device>,
    /// Its direction.
    pub(in crate::pipeline) side: Side,
    /// Its addresses; only the first fragment of a datagram has ports.
    pub(in crate::pipeline) tuple: Tuple,
    /// The whole fragment.
    pub(in crate::pipeline) bytes: Box<[u8]>,
}

/// Reports to watchers a fragment that was dropped because its first one has not come.
pub(in crate::pipeline) fn tell_unclaimed(moment: &Moment<'_>, fragment: Unclaimed) {
    if !moment.tables.watchers.any() {
        return;
    }
    let Unclaimed { device, side, tuple, bytes } = fragment;
    let (length, bytes) = (bytes.len(), Some(bytes));
    let frames = match side {
        Side::Egress => Frames { inside: bytes, ..Frames::default() },
        Side::Return => Frames { outside: bytes, ..Frames::default() },
    };
    let (inside, outside, server) = match side {
        Side::Egress => (Some(Inside::new(tuple)), None, tuple.dst),
        Side::Return => (None, Some(Outside::new(tuple)), tuple.src),
    };
    let task = inside.and_then(|inside| moment.snapshot.task(inside.src()));
    let of = Party {
        device,
        task: task.map(|task| (task.service, task.number)),
        server: Some((server, tuple.protocol, 0)),
        eni: task.and_then(|task| task.eni),
        nat_gateway: None,
    };
    let (reason, decided_by) = (Reason::FragmentUnclaimed, RuleRef::FlowTable);
    let seen = PacketSeen {
        side,
        inside,
        outside,
        verdict: Verdict::Drop { reason, decided_by },
        decided_under: moment.snapshot.generation,
        hit: false,
        segments: 1,
        bytes: u64::try_from(length).unwrap_or(u64::MAX),
        steps: Vec::new(),
        frames,
    };
    tell_all(moment, of, Seen::Packet(Box::new(seen)));
}

fn tell_all(moment: &Moment<'_>, of: Party, seen: Seen) {
    let record = WatchRecord { at: moment.now, generation: moment.snapshot.generation, of, seen };
    let watchers = moment.tables.watchers.list();
    offer(watchers.iter(), moment.snapshot, &record);
}

/// Offers a record to the watchers that want it.
pub(in crate::pipeline) fn offer<'w>(
    watchers: impl IntoIterator<Item = &'w Arc<Watcher>>,
    snapshot: &Snapshot,
    record: &WatchRecord,
) {
    for watcher in watchers {
        if watcher.wants(snapshot, record) {
            watcher.offer(record);
        }
    }
}

/// The facts that are reported of a flow, without keeping its ports.
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct FlowFacts {
    pub(in crate::pipeline) party: Party,
    pub(in crate::pipeline) inside: Inside,
    outside: Outside,
    admitted_by: RuleRef,
    pub(in crate::pipeline) admitted_under: Generation,
}

impl FlowFacts {
    pub(in crate::pipeline) fn of(snapshot: &Snapshot, flow: &Flow) -> Self {
        Self {
            party: Party::of_flow(snapshot, flow),
            inside: flow.inside(),
            outside: flow.outside(),
            admitted_by: flow.admitted_by,
            admitted_under: flow.admitted_under,
        }
    }

    pub(in crate::pipeline) fn seen(&self, event: FlowEvent) -> FlowSeen {
        let Self { inside, outside, admitted_by, admitted_under, .. } = *self;
        FlowSeen { event, inside, outside, admitted_by, admitted_under }
    }
}
