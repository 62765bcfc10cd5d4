//! Sending by a flow's entry, the fast path, and what egret answers where a packet is too old or too big to be sent on.

use super::arrival::Place;
use super::engine::{Engine, FlowOutcome, Forward, NOT_HERE, drop_packet};
use super::{Denial, Reason, Recorder, Verdict, offload};
use crate::flow::{Flow, FlowEntry, FlowKey, Instant, Side};
use crate::packet::icmp::{fragmentation_needed, time_exceeded};
use crate::packet::{Packet, Protocol, clamp_mss};
use crate::vpc::{RuleRef, Snapshot};
use dashmap::mapref::one::Ref;
use std::sync::Arc;

impl Engine {
    /// Sends by an entry that was just put in place.
    #[expect(clippy::too_many_arguments, reason = "those of `handle`, and the key")]
    pub(super) fn send_by<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        place: Place,
        key: &FlowKey,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        match self.flows().get(key) {
            Some(entry) => self.send_current(now, snapshot, place, entry, packet, reply, recorder),
            // Another worker has ended the flow in between.
            None => drop_packet(Reason::FlowExpired),
        }
    }

    /// Sends by an entry of this configuration or of a newer one.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "those of `handle`, and the entry")]
    pub(super) fn send_current<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        place: Place,
        entry: Ref<'_, FlowKey, FlowEntry<FlowOutcome>>,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        if let FlowOutcome::Drop(_) = entry.outcome
            && entry.generation > snapshot.generation
        {
            let (flow, side) = (Arc::clone(&entry.flow), entry.side);
            drop(entry);
            return match self.own_entry(now, snapshot, flow, side, recorder) {
                Ok(own) => send(now, place, &own, packet, reply),
                Err(moved) => moved.into(),
            };
        }
        send(now, place, &entry, packet, reply)
    }

    /// What this configuration makes of a flow that a newer one denies: that one's rules have other names here, and what is
    /// counted and told is of one configuration.
    #[cold]
    fn own_entry<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        flow: Arc<Flow>,
        side: Side,
        recorder: &mut R,
    ) -> Result<FlowEntry<FlowOutcome>, Denial> {
        let (egress, returned) = self.review(now, snapshot, &flow, recorder)?;
        let outcome = match side {
            Side::Egress => egress,
            Side::Return => returned,
        };
        Ok(FlowEntry { flow, side, generation: snapshot.generation, outcome })
    }
}

/// Sends a packet by its flow's entry: the fast path.
#[inline]
fn send(
    now: Instant,
    place: Place,
    entry: &FlowEntry<FlowOutcome>,
    packet: &mut Packet<'_>,
    reply: &mut [u8],
) -> Verdict {
    let forward = match &entry.outcome {
        FlowOutcome::Forward(forward) => forward,
        FlowOutcome::Drop(denial) => return (*denial).into(),
    };
    if forward.read_at.is_some_and(|own| own != place) {
        return NOT_HERE.into();
    }
    if forward.rewrite.decrement_ttl && packet.ttl() <= 1 {
        return expire_ttl(forward, packet, reply);
    }
    if packet.max_segment_len() > usize::from(forward.mtu) {
        if !may_be_fragmented(packet) {
            return refuse_size(forward, packet, reply);
        }
        packet.fragment_to(forward.mtu);
    }
    let flow = &entry.flow;
    if flow.is_offloaded() {
        offload::came_up(now, flow, entry.side, packet);
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
        flow.count(now, entry.side, segments, bytes);
    } else {
        flow.count_only(entry.side, segments, bytes);
    }
    forward.rewrite.apply(packet);
    offload::ask(flow, packet);
    Verdict::Forward { link: forward.link, decided_by: flow.admitted_by }
}

#[cold]
fn expire_ttl(forward: &Forward, packet: &Packet<'_>, reply: &mut [u8]) -> Verdict {
    let (octets, vnet) = (packet.bytes(), packet.vnet());
    match forward.answers_from.and_then(|from| time_exceeded(octets, vnet, from, reply)) {
        Some(len) => {
            Verdict::Reply { len, reason: Reason::TtlExpired, decided_by: RuleRef::Packet }
        }
        None => drop_packet(Reason::TtlExpiredNoAnswer),
    }
}

/// Whether a packet that is too big may leave in fragments (checklist U13). A segment of TCP fits, since its MSS was
/// clamped or its path discovered; the kernel is to cut super-packets at their own size, and no other.
#[cold]
fn may_be_fragmented(packet: &Packet<'_>) -> bool {
    let cut_by_kernel = packet.vnet().is_super_packet() || packet.protocol() == Protocol::Tcp;
    !packet.dont_fragment() && !cut_by_kernel
}

#[cold]
fn refuse_size(forward: &Forward, packet: &Packet<'_>, reply: &mut [u8]) -> Verdict {
    let (octets, vnet) = (packet.bytes(), packet.vnet());
    let answer = forward
        .answers_from
        .filter(|_| packet.dont_fragment())
        .and_then(|from| fragmentation_needed(octets, vnet, from, forward.mtu, reply));
    match answer {
        Some(len) => {
            Verdict::Reply { len, reason: Reason::MtuExceeded, decided_by: RuleRef::Packet }
        }
        None => drop_packet(Reason::MtuExceededNoAnswer),
    }
}
