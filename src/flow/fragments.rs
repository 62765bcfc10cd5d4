//! Keeps the flow of each fragmented datagram: only the first fragment has ports, and the others
//! have its identification. Fragments that arrive before the first are held until it arrives.
//!
//! Only the slow path uses this, hence one lock. Datagrams and held fragments live for 30 s, as
//! long as a host waits for missing fragments. Both are bounded, and the oldest is evicted
//! (checklist U14).

use super::datagram::LIFETIME;
use super::held::{HeldFragment, HeldFragments};
use super::{DatagramKey, FlowKey, Instant};
use crate::packet::Packet;
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of datagrams that are tracked at once: about half a MiB.
const DATAGRAMS: usize = 4096;
/// The outcome of a first fragment, which the others share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<D> {
    /// The fragments belong to this flow, and leave with this identification.
    Follows(FlowKey, u16),
    /// The first fragment was denied, and so are the others.
    Denied(D),
}

/// The datagrams whose first fragment has been seen, and the held fragments of others. `D` is the
/// upper layer's type of a denial, `W` names the device from which a packet was read.
#[derive(Debug)]
pub struct Fragments<D, W> {
    state: Mutex<State<D, W>>,
}

#[derive(Debug)]
struct State<D, W> {
    datagrams: HashMap<DatagramKey, (Instant, Datagram<D>), FixedState>,
    order: VecDeque<(DatagramKey, Instant)>,
    identification: u16,
    waiting: HeldFragments<W>,
}

impl<D: Copy, W: Copy> Fragments<D, W> {
    /// Makes an empty table.
    pub fn new(seed: u64) -> Self {
        let datagrams = HashMap::with_hasher(FixedState::with_seed(seed));
        // Any 16 bits of the seed will do.
        let identification = (seed >> 16) as u16 ^ seed as u16;
        let (order, waiting) = (VecDeque::new(), HeldFragments::new(seed));
        Self { state: Mutex::new(State { datagrams, order, identification, waiting }) }
    }

    /// Returns an identification for a datagram that leaves in fragments. None of the last 65,535
    /// such datagrams has it, so the fragments of different tasks do not mix behind a NAT
    /// (RFC 6864 5.2, checklist 7857-9). A whole packet keeps its task's identification: if a
    /// router beyond egret fragments it, its fragments may meet others of the same identification.
    pub fn next_identification(&self) -> u16 {
        let mut state = self.state();
        state.identification = state.identification.wrapping_add(1);
        state.identification
    }

    /// Records the outcome of a first fragment.
    pub fn put(&self, now: Instant, key: DatagramKey, datagram: Datagram<D>) {
        let mut state = self.state();
        if state.order.len() >= DATAGRAMS {
            state.forget_oldest();
        }
        state.order.push_back((key, now));
        state.datagrams.insert(key, (now, datagram));
    }

    /// Returns the outcome that a later fragment shares; `None` if the first one has not been seen.
    pub fn get(&self, now: Instant, key: &DatagramKey) -> Option<Datagram<D>> {
        let state = self.state();
        let (at, datagram) = state.datagrams.get(key)?;
        (now.since(*at) <= LIFETIME).then_some(*datagram)
    }

    /// Holds a later fragment until the first one arrives. Returns the fragments that were evicted
    /// for it, oldest first.
    pub fn hold(
        &self,
        now: Instant,
        key: DatagramKey,
        read_from: W,
        fragment: &Packet<'_>,
    ) -> Vec<HeldFragment<W>> {
        self.state().waiting.hold(now, key, read_from, fragment)
    }

    /// Returns whether fragments of a datagram are held.
    pub fn holds(&self, key: &DatagramKey) -> bool {
        self.state().waiting.holds(key)
    }

    /// Writes the held fragment with the lowest offset in a datagram into `out`, forgets it, and
    /// returns its length. The caller repeats this until it returns `None`.
    pub fn release(&self, key: &DatagramKey, out: &mut [u8]) -> Option<usize> {
        self.state().waiting.release(key, out)
    }

    /// Forgets the datagrams and the held fragments that are too old, and returns the latter.
    pub fn sweep(&self, now: Instant) -> Vec<HeldFragment<W>> {
        let mut state = self.state();
        while state.order.front().is_some_and(|(_, at)| now.since(*at) > LIFETIME) {
            state.forget_oldest();
        }
        state.waiting.sweep(now)
    }

    /// Counts every table's size, for the expected-state tests.
    #[cfg(test)]
    pub fn census(&self, census: &mut super::Census) {
        let Self { state } = self;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { datagrams, order, identification: _, waiting } = &*state;
        census.add("datagrams", datagrams.len());
        census.add("datagrams in order", order.len());
        waiting.census(census);
    }

    /// Locks the tables. They are consistent even if a thread panicked while it held the lock.
    fn state(&self) -> MutexGuard<'_, State<D, W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D, W> State<D, W> {
    fn forget_oldest(&mut self) {
        let Some((key, at)) = self.order.pop_front() else { return };
        // A later datagram may have the same key; that one stays.
        if self.datagrams.get(&key).is_some_and(|(put, _)| *put == at) {
            self.datagrams.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Space;
    use crate::packet::{Protocol, Tuple};
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn key(n: u32) -> DatagramKey {
        DatagramKey::numbered(n)
    }

    fn flow() -> FlowKey {
        let src = Ipv4Addr::new(100, 64, 0, 1);
        let tuple = Tuple { protocol: Protocol::Udp, src, dst: src, sport: 1, dport: 2 };
        FlowKey::new(Space::TASKS, tuple)
    }

    #[test]
    fn ten_thousand_datagrams_that_never_end_leave_room_for_the_newest() {
        let fragments = Fragments::<(), ()>::new(1);
        for n in 0..10_000 {
            fragments.put(Instant(u64::from(n)), key(n), Datagram::Follows(flow(), 0));
        }
        let now = Instant(10_000);
        assert!(fragments.get(now, &key(9_999)).is_some());
        assert!(fragments.get(now, &key(10_000 - 4096)).is_some());
        assert!(fragments.get(now, &key(9_999 - 4096)).is_none());
        let state = fragments.state();
        assert_eq!((state.order.len(), state.datagrams.len()), (DATAGRAMS, DATAGRAMS));
    }

    #[test]
    fn a_datagram_is_forgotten_after_its_time_and_not_before_its_successor() {
        let fragments = Fragments::<_, ()>::new(1);
        let late = Instant::ZERO + Duration::from_secs(20);
        fragments.put(Instant::ZERO, key(1), Datagram::Denied("first"));
        fragments.put(late, key(1), Datagram::Denied("second"));
        fragments.sweep(late + Duration::from_secs(20));
        let at = |seconds| fragments.get(late + Duration::from_secs(seconds), &key(1));
        assert_eq!(at(30), Some(Datagram::Denied("second")));
        assert_eq!(at(31), None);
        fragments.sweep(late + Duration::from_secs(31));
        assert!(fragments.state().datagrams.is_empty());
    }

    #[test]
    fn identifications_do_not_repeat_while_they_are_followed() {
        let fragments = Fragments::<(), ()>::new(0xffff_0000);
        let drawn: std::collections::HashSet<u16> =
            (0..DATAGRAMS).map(|_| fragments.next_identification()).collect();
        assert_eq!(drawn.len(), DATAGRAMS);
    }
}
