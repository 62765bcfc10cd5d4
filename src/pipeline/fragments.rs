//! Fragments: the first is judged like a whole packet, the others share its fate, addresses rewritten only.
//!
//! A later fragment before its first one has no ports to be judged by: it is held until that one comes (checklist U14). A
//! NAT gateway lets UDP's pass and drops TCP's and ICMP's (spec 6).

use super::arrival::{Arrival, place};
use super::drops::DropKey;
use super::engine::{Engine, FlowOutcome, drop_packet, is_current};
use super::{Denial, Device, Reason, Recorder, Verdict};
use crate::flow::{Datagram, DatagramKey, Flow, FlowEntry, FlowKey, HeldFragment, Instant, Side};
use crate::packet::{Fragment, IcmpKind, Packet, Protocol, complete_checksum, set_identification};
use crate::vpc::{Generation, RuleRef, Snapshot};
use std::sync::Arc;

/// Where a fragment that is held was read, and under which configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadFrom {
    arrival: Arrival,
    generation: Generation,
}

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
        let datagram = DatagramKey::of(arrival.space, packet);
        let key = FlowKey::new(arrival.space, packet.tuple());
        let refused = self.flows().get(&key).and_then(|e| refusal(snapshot, &e.flow));
        let verdict = match (packet.icmp(), refused) {
            // An error is at most 576 octets (RFC 1812 4.3.2.3), and its checksum cannot be verified before all is there.
            (Some(IcmpKind::Error { .. }), _) => drop_packet(Reason::Fragment),
            (_, Some(denial)) => denial.into(),
            (_, None) => self.decide_unfragmented(now, snapshot, arrival, packet, reply, recorder),
        };
        let fate = match verdict {
            Verdict::Drop { reason, decided_by } => {
                Datagram::Denied((snapshot.generation, Denial { reason, decided_by }))
            }
            Verdict::Forward { .. } | Verdict::Reply { .. } | Verdict::Hold => {
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
            Some(Datagram::Denied((generation, denial))) if generation == snapshot.generation => {
                return denial.into();
            }
            // Without ports it cannot be judged again, and the rule that refused it has another name by now.
            Some(Datagram::Denied(_)) => return drop_packet(Reason::Fragment),
            None => return self.hold(now, snapshot, arrival, datagram, packet),
        };
        let verdict = match self.find(now, snapshot, &key, packet) {
            Some(Found::Current(entry)) => {
                self.send_current(now, snapshot, arrival.place, entry, packet, reply, recorder)
            }
            Some(Found::Stale(flow)) => match self.walk_again(now, snapshot, &flow, recorder) {
                Ok(()) => self.send_by(now, snapshot, arrival.place, &key, packet, reply, recorder),
                Err(moved) => moved.into(),
            },
            None => drop_packet(Reason::Fragment),
        };
        if let Verdict::Forward { .. } = verdict {
            set_identification(packet, identification);
        }
        verdict
    }

    fn hold(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        datagram: DatagramKey,
        packet: &Packet<'_>,
    ) -> Verdict {
        let read_from = ReadFrom { arrival, generation: snapshot.generation };
        for evicted in self.fragments().hold(now, datagram, read_from, packet) {
            self.count_unclaimed(now, snapshot, evicted);
        }
        Verdict::Hold
    }

    /// Writes the next of the fragments that were held for a datagram into `out`, in the order of the datagram; its
    /// length. To be judged like any other, and called again until there is none.
    pub fn next_held(&self, datagram: &DatagramKey, out: &mut [u8]) -> Option<usize> {
        self.fragments().release(datagram, out)
    }

    /// What leaves in fragments needs a complete checksum, since nobody could complete it later, and, from a task, an
    /// identification that no other datagram in fragments has.
    #[cold]
    pub(super) fn prepare_fragmenting(&self, arrival: Arrival, packet: &mut Packet<'_>) {
        complete_checksum(packet);
        if packet.fragment() == Fragment::Whole && arrival.side == Side::Egress {
            set_identification(packet, self.fragments().next_identification());
        }
    }

    /// A held fragment whose first one did not come.
    #[cold]
    pub(super) fn count_unclaimed(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        held: HeldFragment<ReadFrom>,
    ) {
        let HeldFragment { read_from: ReadFrom { arrival, generation }, tuple, bytes } = held;
        let denial = Denial { reason: Reason::FragmentUnclaimed, decided_by: RuleRef::FlowTable };
        let here = |device: &Device| place(snapshot, *device) == arrival.place;
        let device = Device::all(snapshot).find(here);
        match device {
            Some(device) => {
                let arrival = Arrival { device, ..arrival };
                self.count_drop(now, snapshot, arrival, denial, tuple);
            }
            // It was read where nothing is any more: it is told as of then.
            None => {
                let packet = (tuple.src, tuple.dst, tuple.protocol, 0);
                let key = DropKey::new(generation, arrival.device, None, denial, packet);
                self.drops().count(now, key);
            }
        }
        self.tell_unclaimed(now, snapshot, device, arrival.side, tuple, bytes);
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

/// The datagram that a packet is the first fragment of.
#[inline]
pub(super) fn first_of(
    snapshot: &Snapshot,
    device: Device,
    packet: &Packet<'_>,
) -> Option<DatagramKey> {
    if packet.fragment() != Fragment::First {
        return None;
    }
    let arrival = Arrival::of(snapshot, device, packet.dst());
    Some(DatagramKey::of(arrival.space, packet))
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
