//! Judges fragments: the first like a whole packet; the others share its verdict, with only their
//! addresses rewritten.
//!
//! A later fragment that arrives before its first one has no ports by which to judge it: it is held
//! until the first one comes (checklist U14). A NAT gateway passes fragments of UDP and drops those
//! of TCP and ICMP (spec 6).

use super::arrival::{Arrival, own_address};
use super::context::{Context, Moment, drop_packet};
use super::observe::count::count_drop;
use super::observe::drops::DropKey;
use super::observe::tell::{Unclaimed, tell_unclaimed};
use super::outcome::FlowOutcome;
use super::stage::nat_gateway::drops_fragments_of;
use super::tables::ReadFrom;
use super::whole::{self, is_current};
use super::{Denial, Device, Reason, Recorder, Verdict, review, send};
use crate::flow::{Datagram, DatagramKey, Flow, FlowEntry, FlowKey, HeldFragment, Side};
use crate::packet::{Fragment, IcmpKind, Packet, complete_checksum, set_identification};
use crate::vpc::{RuleRef, Snapshot};
use dashmap::mapref::one::Ref;
use std::sync::Arc;

/// Judges a fragment.
#[cold]
pub(super) fn judge<R: Recorder>(context: &mut Context<'_, R>, packet: &mut Packet<'_>) -> Verdict {
    if let (Side::Return, Device::NatGateway(ix)) = (context.arrival.side, context.arrival.device)
        && drops_fragments_of(packet.protocol())
    {
        return refused_by(RuleRef::NatGateway(ix)).into();
    }
    match packet.fragment() {
        Fragment::First | Fragment::Whole => judge_first(context, packet),
        Fragment::Later => judge_later(context, packet),
    }
}

fn judge_first<R: Recorder>(context: &mut Context<'_, R>, packet: &mut Packet<'_>) -> Verdict {
    let datagram = DatagramKey::of(context.arrival.space, packet);
    let key = context.key(packet);
    let flows = &context.tables.flows;
    let refused = flows.get(&key).and_then(|entry| refusal(context.snapshot, &entry.flow));
    let verdict = match (packet.icmp(), refused) {
        // An error is at most 576 bytes (RFC 1812 4.3.2.3), and its checksum cannot be verified
        // before all of it has arrived.
        (Some(IcmpKind::Error { .. }), _) => drop_packet(Reason::Fragment),
        (_, Some(denial)) => denial.into(),
        (_, None) => whole::judge(context, packet),
    };
    let followers = match verdict {
        Verdict::Drop { reason, decided_by } => {
            Datagram::Denied((context.snapshot.generation, Denial { reason, decided_by }))
        }
        Verdict::Forward { .. } | Verdict::Reply { .. } | Verdict::Hold => {
            Datagram::Follows(key, identification(context, packet))
        }
    };
    context.tables.fragments.put(context.now, datagram, followers);
    if let (Verdict::Forward { .. }, Datagram::Follows(_, identification)) = (verdict, followers) {
        set_identification(packet, identification);
    }
    verdict
}

/// Returns the identification of a datagram that leaves. Tasks draw theirs independently of each
/// other; a server sees only the NAT, and draws its own for it.
fn identification<R>(context: &Context<'_, R>, packet: &Packet<'_>) -> u16 {
    match context.arrival.side {
        Side::Egress => context.tables.fragments.next_identification(),
        Side::Return => packet.identification(),
    }
}

fn judge_later<R: Recorder>(context: &mut Context<'_, R>, packet: &mut Packet<'_>) -> Verdict {
    let datagram = DatagramKey::of(context.arrival.space, packet);
    let generation = context.snapshot.generation;
    let (key, identification) = match context.tables.fragments.get(context.now, &datagram) {
        Some(Datagram::Follows(key, identification)) => (key, identification),
        Some(Datagram::Denied((under, denial))) if under == generation => return denial.into(),
        // Without ports it cannot be judged again, and the rule that refused it has another
        // position by now.
        Some(Datagram::Denied(_)) => return drop_packet(Reason::Fragment),
        None => return hold(context, datagram, packet),
    };
    let verdict = match find(context, &key, packet) {
        Some(Found::Current(entry)) => send::send_current(context, entry, packet),
        Some(Found::Stale(flow)) => match review::walk_again(context, &flow) {
            Ok(()) => send::send_by(context, &key, packet),
            Err(moved) => moved.into(),
        },
        None => drop_packet(Reason::Fragment),
    };
    if let Verdict::Forward { .. } = verdict {
        set_identification(packet, identification);
    }
    verdict
}

fn hold<R>(context: &Context<'_, R>, datagram: DatagramKey, packet: &Packet<'_>) -> Verdict {
    let read_from = ReadFrom { arrival: context.arrival, generation: context.snapshot.generation };
    for evicted in context.tables.fragments.hold(context.now, datagram, read_from, packet) {
        count_unclaimed(&context.moment(), evicted);
    }
    Verdict::Hold
}

/// Prepares a packet to leave in fragments: it needs a complete checksum, since no later hop could
/// complete it, and, if a task sends it, an identification that no other fragmented datagram has.
#[cold]
pub(super) fn prepare_fragmenting<R>(context: &Context<'_, R>, packet: &mut Packet<'_>) {
    complete_checksum(packet);
    if packet.fragment() == Fragment::Whole && context.arrival.side == Side::Egress {
        set_identification(packet, context.tables.fragments.next_identification());
    }
}

/// Counts a held fragment whose first one has not come.
#[cold]
pub(super) fn count_unclaimed(moment: &Moment<'_>, held: HeldFragment<ReadFrom>) {
    let HeldFragment { read_from: ReadFrom { arrival, generation }, tuple, bytes } = held;
    let denial = Denial { reason: Reason::FragmentUnclaimed, decided_by: RuleRef::FlowTable };
    let here = |device: &Device| own_address(moment.snapshot, *device) == arrival.nat;
    let device = Device::all(moment.snapshot).find(here);
    match device {
        Some(device) => count_drop(moment, Arrival { device, ..arrival }, denial, tuple),
        // The device from which it was read no longer exists: it is counted under the generation of
        // that time.
        None => {
            let packet = (tuple.src, tuple.dst, tuple.protocol, 0);
            let key = DropKey::new(generation, arrival.device, None, denial, packet);
            moment.tables.drops.count(moment.now, key);
        }
    }
    tell_unclaimed(moment, Unclaimed { device, side: arrival.side, tuple, bytes });
}

/// The flow of a fragment.
enum Found<'a> {
    /// By an entry that may be used unchanged.
    Current(Ref<'a, FlowKey, FlowEntry<FlowOutcome>>),
    /// Of an older configuration.
    Stale(Arc<Flow>),
}

fn find<'a, R>(context: &Context<'a, R>, key: &FlowKey, packet: &Packet<'_>) -> Option<Found<'a>> {
    let (now, snapshot) = (context.now, context.snapshot);
    let entry = context.tables.flows.get(key)?;
    if is_current(now, snapshot, &entry, packet) {
        Some(Found::Current(entry))
    } else if entry.flow.is_expired(now, &snapshot.parts().timeouts) {
        None
    } else {
        Some(Found::Stale(Arc::clone(&entry.flow)))
    }
}

/// Returns the denial of a fragment of a flow that whole packets have made through a NAT gateway.
fn refusal(snapshot: &Snapshot, flow: &Flow) -> Option<Denial> {
    let ix = flow.nat_gateway_in(snapshot)?;
    drops_fragments_of(flow.inside().protocol()).then(|| refused_by(RuleRef::NatGateway(ix)))
}

fn refused_by(decided_by: RuleRef) -> Denial {
    Denial { reason: Reason::NatFragment, decided_by }
}
