//! What the tc programs dropped before, or after, the engine saw it: their counters know how many, this knows since when.

use crate::flow::Instant;
use crate::linux::{Steer, SteerReason};
use crate::pipeline::Reason;
use std::collections::BTreeMap;

/// How many, and when.
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

/// Drops by interface of the router namespace, and reason.
#[derive(Debug, Default)]
pub(super) struct SteerDrops {
    pub(super) seen: BTreeMap<(u32, SteerReason), Seen>,
}

impl SteerDrops {
    /// Reads the counters. One that went down belongs to an interface that is new under an old number.
    pub(super) fn update(&mut self, now: Instant, steer: &Steer) {
        let Ok(counters) = steer.counters() else { return };
        for (ifindex, reason, packets) in counters {
            let seen = self.seen.entry((ifindex, reason)).or_insert(Seen::new(now));
            seen.update(now, packets);
        }
    }

    /// How many packets were dropped at an interface.
    pub(super) fn packets(&self, ifindex: u32) -> u64 {
        self.seen.iter().filter(|((at, _), _)| *at == ifindex).map(|(_, seen)| seen.packets).sum()
    }

    /// Forgets an interface that is gone: the kernel gives its number out again.
    pub(super) fn forget(&mut self, ifindex: u32) {
        self.seen.retain(|(seen, _), _| *seen != ifindex);
    }
}

/// The engine's word for a tc program's reason.
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
        SteerReason::NoLink
        | SteerReason::UnknownDevice
        | SteerReason::NoHeadroom
        | SteerReason::Other(_) => Reason::NoLink,
    }
}
