//! Which flow the fragments of a datagram belong to: only the first has ports, the others have its identification. Those
//! that come before it are held until it does.
//!
//! Slow-path only, hence one lock. Datagrams and held fragments live for 30 s, as long as a host waits for what is
//! missing; there is a bound to each, and the oldest makes room (checklist U14).

use super::held::{Held, Waiting};
use super::{FlowKey, Instant, Space};
use crate::packet::{Packet, Protocol};
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many datagrams are followed at once: about half a MiB.
const DATAGRAMS: usize = 4096;
/// For how long a datagram is followed.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// What the fragments of a datagram have in common (RFC 791).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatagramKey {
    space: Space,
    protocol: Protocol,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    identification: u16,
}

impl DatagramKey {
    /// The datagram that a fragment from this space is part of.
    pub fn of(space: Space, fragment: &Packet<'_>) -> Self {
        Self {
            space,
            protocol: fragment.protocol(),
            src: fragment.src(),
            dst: fragment.dst(),
            identification: fragment.identification(),
        }
    }

    pub(super) fn owner(&self) -> Owner {
        let address = if self.space == Space::TASKS { self.src } else { self.dst };
        (self.space, address)
    }
}

/// Who has a share of the room: a task, or the outside address of a NAT that others send to.
pub(super) type Owner = (Space, Ipv4Addr);

/// What became of a first fragment, and will become of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<D> {
    /// They belong to this flow, and leave with this identification.
    Follows(FlowKey, u16),
    /// They share its denial.
    Denied(D),
}

/// The datagrams whose first fragment has been seen, and the fragments that wait for one. `D` is what a denial is to the
/// floor above, `W` where a packet was read.
#[derive(Debug)]
pub struct Fragments<D, W> {
    state: Mutex<State<D, W>>,
}

#[derive(Debug)]
struct State<D, W> {
    datagrams: HashMap<DatagramKey, (Instant, Datagram<D>), FixedState>,
    order: VecDeque<(DatagramKey, Instant)>,
    identification: u16,
    waiting: Waiting<W>,
}

impl<D: Copy, W: Copy> Fragments<D, W> {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        let datagrams = HashMap::with_hasher(FixedState::with_seed(seed));
        // Any 16 bits of the seed will do.
        let identification = (seed >> 16) as u16 ^ seed as u16;
        let (order, waiting) = (VecDeque::new(), Waiting::new(seed));
        Self { state: Mutex::new(State { datagrams, order, identification, waiting }) }
    }

    /// An identification for a datagram that leaves in fragments: no other of the last 65,535 such has it, so the fragments
    /// of different tasks do not mix behind a NAT (RFC 6864 5.2, checklist 7857-9). A whole packet keeps its task's: where
    /// a router beyond egret breaks it up, its fragments may meet others of the same identification.
    pub fn next_identification(&self) -> u16 {
        let mut state = self.state();
        state.identification = state.identification.wrapping_add(1);
        state.identification
    }

    /// Remembers what became of a first fragment.
    pub fn put(&self, now: Instant, key: DatagramKey, datagram: Datagram<D>) {
        let mut state = self.state();
        if state.order.len() >= DATAGRAMS {
            state.forget_oldest();
        }
        state.order.push_back((key, now));
        state.datagrams.insert(key, (now, datagram));
    }

    /// What becomes of a later fragment; `None` if its first one has not been seen.
    pub fn get(&self, now: Instant, key: &DatagramKey) -> Option<Datagram<D>> {
        let state = self.state();
        let (at, datagram) = state.datagrams.get(key)?;
        (now.since(*at) <= LIFETIME).then_some(*datagram)
    }

    /// Holds a later fragment until its first one comes. Returns those that had to make room for it, oldest first.
    pub fn hold(
        &self,
        now: Instant,
        key: DatagramKey,
        read_from: W,
        fragment: &Packet<'_>,
    ) -> Vec<Held<W>> {
        self.state().waiting.hold(now, key, read_from, fragment)
    }

    /// Whether fragments of a datagram wait for its first one.
    pub fn holds(&self, key: &DatagramKey) -> bool {
        self.state().waiting.holds(key)
    }

    /// Writes the held fragment of a datagram that comes first in it into `out`, and forgets it; its length. To be called
    /// again until there is none.
    pub fn release(&self, key: &DatagramKey, out: &mut [u8]) -> Option<usize> {
        self.state().waiting.release(key, out)
    }

    /// Forgets the datagrams that are too old. Returns the held fragments that are.
    pub fn sweep(&self, now: Instant) -> Vec<Held<W>> {
        let mut state = self.state();
        while state.order.front().is_some_and(|(_, at)| now.since(*at) > LIFETIME) {
            state.forget_oldest();
        }
        state.waiting.sweep(now)
    }

    /// Every table's size, for the expected-state tests.
    #[cfg(test)]
    pub fn census(&self, census: &mut super::Census) {
        let Self { state } = self;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { datagrams, order, identification: _, waiting } = &*state;
        census.add("datagrams", datagrams.len());
        census.add("datagrams in order", order.len());
        waiting.census(census);
    }

    /// A thread that failed while it held the lock left tables behind that are whole.
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
    use crate::packet::Tuple;

    fn key(n: u32) -> DatagramKey {
        let (src, dst) = (Ipv4Addr::from(n), Ipv4Addr::new(203, 0, 113, 10));
        DatagramKey { space: Space::TASKS, protocol: Protocol::Udp, src, dst, identification: 7 }
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
