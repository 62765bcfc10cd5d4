//! Counts the packets that the kernel drops at the router's ends of links, before a tc program sees
//! them: packets larger than the end's MTU, and those that its queue had no room for.

use super::steer_drops::Seen;
use crate::flow::Instant;
use std::collections::BTreeMap;

/// A router's end of a link.
#[derive(Clone, Debug)]
pub(super) struct NearEnd {
    pub(super) name: String,
    pub(super) mtu: u16,
    /// The task of the link, by service and number, if the link is a task's.
    pub(super) task: Option<(String, u16)>,
}

impl NearEnd {
    /// Describes the drop, in place of a rule.
    pub(super) fn said(&self) -> String {
        format!("larger than MTU {} of {}, or its queue was full", self.mtu, self.name)
    }
}

/// The drops by the interface index of the router's end.
#[derive(Debug, Default)]
pub(super) struct LinkDrops {
    pub(super) seen: BTreeMap<u32, (NearEnd, Seen)>,
}

impl LinkDrops {
    /// Takes the kernel's counter of an end.
    pub(super) fn update(&mut self, now: Instant, ifindex: u32, end: NearEnd, packets: u64) {
        if packets == 0 && !self.seen.contains_key(&ifindex) {
            return;
        }
        let (known, seen) = self.seen.entry(ifindex).or_insert((end.clone(), Seen::new(now)));
        *known = end;
        seen.update(now, packets);
    }

    /// Takes out the drops of an end that is removed: the kernel reuses its interface index.
    pub(super) fn take(&mut self, ifindex: u32) -> Option<(NearEnd, Seen)> {
        self.seen.remove(&ifindex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end() -> NearEnd {
        NearEnd { name: "t-64400001".to_owned(), mtu: 1500, task: Some(("web".to_owned(), 1)) }
    }

    #[test]
    fn an_end_without_drops_is_not_listed_and_a_removed_one_begins_at_zero() {
        let mut drops = LinkDrops::default();
        drops.update(Instant(1), 7, end(), 0);
        assert!(drops.seen.is_empty());
        drops.update(Instant(2), 7, end(), 3);
        drops.update(Instant(3), 7, end(), 5);
        let taken = drops.take(7);
        let taken = taken.map(|(end, seen)| (end.said(), seen.packets, seen.first, seen.last));
        let said = "larger than MTU 1500 of t-64400001, or its queue was full".to_owned();
        assert_eq!(taken, Some((said, 5, Instant(2), Instant(3))));
        assert!(drops.take(7).is_none());
    }
}
