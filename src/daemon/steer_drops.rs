//! Drops of the tc programs, before or after the engine saw the packet: the kernel's counters have
//! no times, so these are kept here.

use crate::flow::Instant;
use crate::linux::{Steer, SteerReason};
use crate::pipeline::Reason;
use std::collections::BTreeMap;

/// The number of packets and their times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) packets: u64,
    pub(super) first: Instant,
    pub(super) last: Instant,
}

impl Seen {
    pub(super) fn new(now: Instant) -> Self {
        Self { packets: 0, first: now, last: now }
    }

    /// Takes the counter's value at a time.
    pub(super) fn update(&mut self, now: Instant, packets: u64) {
        if packets < self.packets {
            self.first = now;
        }
        if packets != self.packets {
            self.packets = packets;
            self.last = now;
        }
    }
}

/// Takes out all kinds that were seen at one place.
pub(super) fn taken<P: Ord, K: Ord>(
    from: &mut BTreeMap<(P, K), Seen>,
    place: &P,
) -> Vec<(K, Seen)> {
    let (taken, left) = std::mem::take(from).into_iter().partition(|((at, _), _)| at == place);
    *from = left;
    let taken: BTreeMap<_, _> = taken;
    taken.into_iter().map(|((_, kind), seen)| (kind, seen)).collect()
}

/// The drops by interface of the router namespace, and reason.
#[derive(Debug, Default)]
pub(super) struct SteerDrops {
    pub(super) seen: BTreeMap<(u32, SteerReason), Seen>,
}

impl SteerDrops {
    /// Reads the counters. A counter that went down belongs to a new interface with a reused index.
    pub(super) fn update(&mut self, now: Instant, steer: &Steer) {
        let Ok(counters) = steer.counters() else { return };
        for (ifindex, reason, packets) in counters {
            let seen = self.seen.entry((ifindex, reason)).or_insert(Seen::new(now));
            seen.update(now, packets);
        }
    }

    /// Takes out the drops at an interface that is removed, with its last counters: the kernel
    /// reuses its index.
    pub(super) fn take(
        &mut self,
        now: Instant,
        ifindex: u32,
        last: &[(SteerReason, u64)],
    ) -> Vec<(SteerReason, Seen)> {
        for &(reason, packets) in last {
            self.seen.entry((ifindex, reason)).or_insert(Seen::new(now)).update(now, packets);
        }
        taken(&mut self.seen, &ifindex)
    }
}

/// Returns the engine's reason for a tc program's.
pub(super) fn reason(reason: SteerReason) -> Reason {
    match reason {
        SteerReason::Forged => Reason::SourceForged,
        SteerReason::NotIp => Reason::NotIp,
        SteerReason::NoOwner => Reason::NoOwner,
        SteerReason::ForeignSource => Reason::ForeignSource,
        SteerReason::Truncated => Reason::MalformedTruncated,
        SteerReason::NotForRouter => Reason::NotForRouter,
        SteerReason::Ipv6 => Reason::Ipv6,
        SteerReason::OtherVersion => Reason::MalformedVersion,
        SteerReason::CutOff => Reason::EngineFault,
        SteerReason::NoLink
        | SteerReason::UnknownDevice
        | SteerReason::NoHeadroom
        | SteerReason::Other(_) => Reason::NoLink,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_a_removed_interface_are_read_with_its_last_counters() {
        let mut drops = SteerDrops::default();
        let seen = |packets| Seen { packets, ..Seen::new(Instant(1)) };
        drops.seen.insert((7, SteerReason::NoOwner), seen(3));
        drops.seen.insert((8, SteerReason::NoOwner), seen(4));
        let last = [(SteerReason::NoOwner, 5), (SteerReason::NoLink, 2)];
        let taken = drops.take(Instant(9), 7, &last);
        let taken: Vec<_> = taken.iter().map(|(r, s)| (*r, s.packets, s.first, s.last)).collect();
        let (then, now) = (Instant(1), Instant(9));
        let expected = [(SteerReason::NoOwner, 5, then, now), (SteerReason::NoLink, 2, now, now)];
        assert_eq!(taken, expected);
        assert_eq!(drops.seen.keys().collect::<Vec<_>>(), [&(8, SteerReason::NoOwner)]);
    }
}
