//! Drops by name: the rows of `egret drops` that outlive the configuration, the task or the device
//! that they were counted under. Names are resolved here, on the control side, before what they
//! name is removed; packets are only counted.
//!
//! Memory stays bounded: at most [`KEPT`] rows are kept between two commands. The least recently
//! seen make room, and their packets are added up.

use super::flow_row::millis;
use crate::explain::{DropRow, RuleIdentity, RuleIndex, decided_by};
use crate::flow::Instant;
use crate::pipeline::{DeviceId, Reason};
use crate::vpc::{Generation, Line, RuleRef, Snapshot};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The most rows that are kept: a port scan must not fill the memory.
const KEPT: usize = 4096;

/// The key of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NamedDrop {
    pub(super) reason: Reason,
    /// The device where the packet was read, if it was read from one.
    pub(super) device: Option<DeviceId>,
    pub(super) rule: NamedRule,
    /// The names and addresses of the packet. Rule, packets and times are left out.
    pub(super) packet: DropRow,
}

/// The name of the decider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum NamedRule {
    /// A rule that the configuration had.
    Of(RuleIdentity),
    /// Anything else, as text.
    Text(String),
}

/// The number of packets, their times, and the name of the rule at that time.
#[derive(Clone, Debug)]
struct Seen {
    packets: u64,
    first: Instant,
    last: Instant,
    called: Called,
}

/// The name, line and generation of a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Called {
    text: String,
    line: Option<Line>,
    /// The newest configuration under which the rule dropped a packet, if the rule's name can
    /// change.
    generation: Option<Generation>,
}

/// Drops by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptDrops {
    rows: HashMap<NamedDrop, Seen>,
    /// Packets of the rows that made room.
    beyond: u64,
}

/// Names a rule by the configuration that decided.
pub(super) fn named_rule(rule: RuleRef, then: &Snapshot) -> (NamedRule, Called) {
    let decided = decided_by(rule, then);
    let generation = decided.is_positional().then_some(then.generation);
    let text = decided.to_string();
    let named = match RuleIdentity::of(rule, then) {
        Some(identity) => NamedRule::Of(identity),
        None => NamedRule::Text(text.clone()),
    };
    (named, Called { text, line: decided.line, generation })
}

impl Called {
    pub(super) fn text(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl KeptDrops {
    /// Adds packets, and extends the row's times.
    pub(super) fn add(
        &mut self,
        drop: NamedDrop,
        called: Called,
        packets: u64,
        (first, last): (Instant, Instant),
    ) {
        match self.rows.entry(drop) {
            Entry::Vacant(slot) => {
                slot.insert(Seen { packets, first, last, called });
            }
            Entry::Occupied(mut slot) => {
                let seen = slot.get_mut();
                seen.packets += packets;
                seen.first = seen.first.min(first);
                seen.last = seen.last.max(last);
                if called.generation >= seen.called.generation {
                    seen.called = called;
                }
            }
        }
    }

    /// Forgets the least recently seen rows beyond [`KEPT`].
    pub(super) fn make_room(&mut self) {
        let Some(excess) = self.rows.len().checked_sub(KEPT).filter(|excess| *excess > 0) else {
            return;
        };
        let mut times: Vec<Instant> = self.rows.values().map(|seen| seen.last).collect();
        let (_, &mut newest, _) = times.select_nth_unstable(excess - 1);
        let mut left = excess;
        let beyond = &mut self.beyond;
        self.rows.retain(|_, seen| {
            let keeps = left == 0 || seen.last > newest;
            if !keeps {
                left -= 1;
                *beyond += seen.packets;
            }
            keeps
        });
    }

    /// Returns the packets of the rows that made room.
    pub(super) fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Lists the packets that were read from a device, by device and reason.
    pub(super) fn packets(&self) -> impl Iterator<Item = (DeviceId, Reason, u64)> {
        let read = |(drop, seen): (&NamedDrop, &Seen)| {
            Some((drop.device.clone()?, drop.reason, seen.packets))
        };
        self.rows.iter().filter_map(read)
    }

    /// Lists the rows. A rule has its committed name and line if nothing about it has changed.
    pub(crate) fn rows(&self, snapshot: &Snapshot, now: Instant) -> Vec<DropRow> {
        let index = RuleIndex::new(snapshot);
        let row = |(drop, seen): (&NamedDrop, &Seen)| {
            let called = &seen.called;
            let present = match &drop.rule {
                NamedRule::Of(identity) => index.find(identity),
                NamedRule::Text(_) => None,
            };
            let (rule, line, earlier) = match present {
                Some(present) => (present.to_string(), present.line, None),
                None => (called.text.clone(), called.line, called.generation),
            };
            let earlier = earlier.filter(|generation| *generation != snapshot.generation);
            DropRow {
                rule,
                line,
                rule_generation: earlier.map(|generation| generation.0),
                packets: seen.packets,
                first_seen_ms_ago: millis(now, seen.first),
                last_seen_ms_ago: millis(now, seen.last),
                ..drop.packet.clone()
            }
        };
        // Rows that differ only in what is not shown, such as the device, are one.
        DropRow::merged(self.rows.iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::unnamed_drop;

    fn text(number: usize) -> NamedDrop {
        NamedDrop {
            reason: Reason::QueueFull,
            device: None,
            rule: NamedRule::Text(number.to_string()),
            packet: unnamed_drop(Reason::QueueFull.name()),
        }
    }

    #[test]
    fn the_least_recently_seen_rows_make_room_and_their_packets_are_added_up() {
        let mut kept = KeptDrops::default();
        for number in 0..KEPT + 3 {
            let at = Instant(number as u64);
            kept.add(text(number), Called::text(number.to_string()), 2, (at, at));
        }
        // Row 1 is seen again.
        let again = Instant(u64::MAX / 2);
        kept.add(text(1), Called::text("1".to_owned()), 5, (again, again));
        kept.make_room();
        assert_eq!((kept.rows.len(), kept.beyond()), (KEPT, 6));
        assert!([0, 2, 3].iter().all(|removed| !kept.rows.contains_key(&text(*removed))));
        let seen = kept.rows.get(&text(1)).map(|seen| (seen.packets, seen.first, seen.last));
        assert_eq!(seen, Some((7, Instant(1), again)));
    }
}
