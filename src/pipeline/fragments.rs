//! Fragments: the first is judged like a whole packet, the others share its fate, addresses rewritten only.
//!
//! They are followed in order: a later fragment before its first one has no ports to be judged by, and is not held back
//! for it. A NAT gateway lets UDP's pass and drops TCP's and ICMP's (spec 6).

use super::arrival::Arrival;
use super::engine::{Engine, FlowOutcome, drop_packet, is_current, send};
use super::{Denial, Device, Reason, Recorder, Verdict};
use crate::flow::{Datagram, DatagramKey, Flow, FlowEntry, FlowKey, Instant, Side};
use crate::packet::{Fragment, IcmpKind, Packet, Protocol, set_identification};
use crate::vpc::{RuleRef, Snapshot};
use std::sync::Arc;

impl Engine {
    /// Judges a fragment.
    #[cold]
    pub(super) fn decide_fragment<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        if let (Side::Return, Device::NatGateway(ix)) = (arrival.side, arrival.device)
            && dies_at_a_nat_gateway(packet.protocol())
        {
            return refused_by(RuleRef::NatGateway(ix)).into();
        }
        match packet.fragment() {
            Fragment::First | Fragment::Whole => {
                self.decide_first(now, snapshot, arrival, packet, reply, recorder)
            }
            Fragment::Later => self.decide_later(now, snapshot, arrival, packet, reply, recorder),
        }
    }

    fn decide_first<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        // An error is at most 576 octets (RFC 1812 4.3.2.3), and its checksum cannot be verified before all is there.
        if let Some(IcmpKind::Error { .. }) = packet.icmp() {
            return drop_packet(Reason::Fragment);
        }
        let datagram = DatagramKey::of(arrival.space, packet);
        let key = FlowKey::new(arrival.space, packet.tuple());
        let refused = self.flows().get(&key).and_then(|e| refusal(snapshot, &e.flow));
        let verdict = match refused {
            Some(denial) => denial.into(),
            None => self.decide_unfragmented(now, snapshot, arrival, packet, reply, recorder),
        };
        let fate = match verdict {
            Verdict::Drop { reason, decided_by } => Datagram::Denied(Denial { reason, decided_by }),
            Verdict::Forward { .. } | Verdict::Reply { .. } => {
                Datagram::Follows(key, self.identification(arrival.side, packet))
            }
        };
        self.fragments().put(now, datagram, fate);
        if let (Verdict::Forward { .. }, Datagram::Follows(_, identification)) = (verdict, fate) {
            set_identification(packet, identification);
        }
        verdict
    }

    /// Tasks draw their identifications independently of each other; a server knows only the NAT, and draws its own for it.
    fn identification(&self, side: Side, packet: &Packet<'_>) -> u16 {
        match side {
            Side::Egress => self.fragments().next_identification(),
            Side::Return => packet.identification(),
        }
    }

    fn decide_later<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        let datagram = DatagramKey::of(arrival.space, packet);
        let (key, identification) = match self.fragments().get(now, &datagram) {
            Some(Datagram::Follows(key, identification)) => (key, identification),
            Some(Datagram::Denied(denial)) => return denial.into(),
            None => return drop_packet(Reason::Fragment),
        };
        let verdict = match self.find(now, snapshot, &key, packet) {
            Some(Found::Current(entry)) => send(now, arrival.place, &entry, packet, reply),
            Some(Found::Stale(flow)) => match self.walk_again(now, snapshot, &flow, recorder) {
                Ok(()) => self.send_by(now, arrival.place, &key, packet, reply),
                Err(moved) => moved.into(),
            },
            None => drop_packet(Reason::Fragment),
        };
        if let Verdict::Forward { .. } = verdict {
            set_identification(packet, identification);
        }
        verdict
    }

    fn find(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        key: &FlowKey,
        packet: &Packet<'_>,
    ) -> Option<Found<'_>> {
        let entry = self.flows().get(key)?;
        if is_current(now, snapshot, &entry, packet) {
            Some(Found::Current(entry))
        } else if entry.flow.is_expired(now, &snapshot.parts().timeouts) {
            None
        } else {
            Some(Found::Stale(Arc::clone(&entry.flow)))
        }
    }
}

/// The flow of a fragment.
enum Found<'a> {
    /// As it is.
    Current(dashmap::mapref::one::Ref<'a, FlowKey, FlowEntry<FlowOutcome>>),
    /// Of an older configuration.
    Stale(Arc<Flow>),
}

/// Whether a NAT gateway drops the fragments of a protocol (spec 6).
pub(super) const fn dies_at_a_nat_gateway(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Icmp)
}

/// A flow that whole packets have made lets no fragment through a NAT gateway either.
fn refusal(snapshot: &Snapshot, flow: &Flow) -> Option<Denial> {
    let ix = flow.nat_gateway_in(snapshot)?;
    dies_at_a_nat_gateway(flow.egress.tuple().protocol).then(|| refused_by(RuleRef::NatGateway(ix)))
}

fn refused_by(decided_by: RuleRef) -> Denial {
    Denial { reason: Reason::NatFragment, decided_by }
}
