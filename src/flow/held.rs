//! Holds fragments that arrived before the first one of their datagram, and cannot be judged
//! without its ports.
//!
//! Their number, bytes and age are bounded, so that incomplete datagrams neither fill the memory
//! nor stop complete ones (checklist U14). If there is no room, the owner with the largest share
//! loses its oldest fragment: no task and no host outside displaces the fragments of others.

use super::datagram::{LIFETIME, Owner};
use super::{DatagramKey, Instant};
use crate::packet::{Packet, Tuple};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most fragments that are held at once.
const MAX_FRAGMENTS: usize = 1024;
/// The most bytes that they have together.
const MAX_BYTES: usize = 4 << 20;

/// A held fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFragment<W> {
    /// The device from which it was read.
    pub read_from: W,
    /// Its addresses and protocol.
    pub tuple: Tuple,
    /// The whole fragment, from its IPv4 header on.
    pub bytes: Box<[u8]>,
}

#[derive(Debug)]
pub(super) struct HeldFragments<W> {
    datagrams: HashMap<DatagramKey, Vec<Fragment<W>>, FixedState>,
    /// The datagrams of the held fragments, in the order of arrival.
    order: BTreeMap<u64, DatagramKey>,
    /// The numbers and bytes of the held fragments, by owner.
    shares: BTreeMap<Owner, Share>,
    bytes: usize,
    next: u64,
}

#[derive(Debug, Default)]
struct Share {
    numbers: BTreeSet<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Fragment<W> {
    number: u64,
    at: Instant,
    /// Its offset in the datagram, in units of 8 bytes.
    offset: u16,
    held: HeldFragment<W>,
}

impl<W: Copy> HeldFragments<W> {
    pub(super) fn new(seed: u64) -> Self {
        let datagrams = HashMap::with_hasher(FixedState::with_seed(seed));
        let (order, shares) = (BTreeMap::new(), BTreeMap::new());
        Self { datagrams, order, shares, bytes: 0, next: 0 }
    }

    pub(super) fn hold(
        &mut self,
        now: Instant,
        key: DatagramKey,
        read_from: W,
        fragment: &Packet<'_>,
    ) -> Vec<HeldFragment<W>> {
        let mut evicted = Vec::new();
        while let Some(number) = self.to_give_way(fragment.len()) {
            match self.take_number(number) {
                Some(held) => evicted.push(held),
                None => break,
            }
        }
        let bytes: Box<[u8]> = fragment.bytes().into();
        let length = bytes.len();
        let held = HeldFragment { read_from, tuple: fragment.tuple(), bytes };
        let offset = fragment.fragment_offset();
        let fragment = Fragment { number: self.next, at: now, offset, held };
        self.next += 1;
        self.bytes += length;
        self.order.insert(fragment.number, key);
        let share = self.shares.entry(key.owner()).or_default();
        share.numbers.insert(fragment.number);
        share.bytes += length;
        self.datagrams.entry(key).or_default().push(fragment);
        evicted
    }

    /// Returns the number of the oldest fragment of the owner with the largest share, if there is
    /// no room for `bytes` more bytes.
    fn to_give_way(&self, bytes: usize) -> Option<u64> {
        let greatest = if self.order.len() >= MAX_FRAGMENTS {
            self.shares.values().max_by_key(|share| share.numbers.len())
        } else if self.bytes + bytes > MAX_BYTES {
            self.shares.values().max_by_key(|share| share.bytes)
        } else {
            None
        };
        greatest?.numbers.first().copied()
    }

    pub(super) fn holds(&self, key: &DatagramKey) -> bool {
        self.datagrams.contains_key(key)
    }

    pub(super) fn release(&mut self, key: &DatagramKey, out: &mut [u8]) -> Option<usize> {
        let fragments = self.datagrams.get(key)?;
        let (position, _) = fragments.iter().enumerate().min_by_key(|(_, f)| f.offset)?;
        let fragment = self.take(key, position)?;
        let bytes = &fragment.held.bytes;
        let len = bytes.len();
        out.get_mut(..len)?.copy_from_slice(bytes);
        Some(len)
    }

    pub(super) fn sweep(&mut self, now: Instant) -> Vec<HeldFragment<W>> {
        let mut over = Vec::new();
        while self.oldest().is_some_and(|fragment| now.since(fragment.at) > LIFETIME) {
            let Some((&number, _)) = self.order.first_key_value() else { break };
            over.extend(self.take_number(number));
        }
        over
    }

    /// Counts every table's size, for the expected-state tests.
    #[cfg(test)]
    pub(super) fn census(&self, census: &mut super::Census) {
        let Self { datagrams, order, shares: _, bytes, next: _ } = self;
        census.add("held fragments", order.len());
        census.add("datagrams that wait", datagrams.len());
        census.add("held bytes", *bytes);
    }

    fn oldest(&self) -> Option<&Fragment<W>> {
        let (number, key) = self.order.first_key_value()?;
        self.datagrams.get(key)?.iter().find(|fragment| fragment.number == *number)
    }

    fn take_number(&mut self, number: u64) -> Option<HeldFragment<W>> {
        let key = *self.order.get(&number)?;
        let position = self.datagrams.get(&key)?.iter().position(|f| f.number == number)?;
        self.take(&key, position).map(|fragment| fragment.held)
    }

    fn take(&mut self, key: &DatagramKey, position: usize) -> Option<Fragment<W>> {
        let fragments = self.datagrams.get_mut(key)?;
        let fragment = fragments.swap_remove(position);
        if fragments.is_empty() {
            self.datagrams.remove(key);
        }
        let length = fragment.held.bytes.len();
        self.order.remove(&fragment.number);
        self.bytes -= length;
        if let Some(share) = self.shares.get_mut(&key.owner()) {
            share.numbers.remove(&fragment.number);
            share.bytes -= length;
            if share.numbers.is_empty() {
                self.shares.remove(&key.owner());
            }
        }
        Some(fragment)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Space;
    use super::*;
    use crate::packet::field::{ipv4, put_u16, udp};
    use crate::packet::{VnetHeader, builder};
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::time::Duration;

    const HEADERS: usize = ipv4::MIN_LEN + udp::HEADER_LEN;

    /// Builds a later fragment at this offset of the datagram with this number.
    fn fragment(identification: u16, offset: u16, len: usize) -> Vec<u8> {
        let socket = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 1), 9);
        let mut bytes = builder::udp(socket, socket, &vec![0; len - HEADERS]);
        put_u16(&mut bytes, ipv4::IDENTIFICATION, identification);
        put_u16(&mut bytes, ipv4::FLAGS_AND_OFFSET, offset);
        builder::update_header_checksum(&mut bytes);
        bytes
    }

    fn hold(waiting: &mut HeldFragments<()>, now: Instant, mut bytes: Vec<u8>) -> usize {
        let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
        let key = DatagramKey::of(Space::TASKS, &packet);
        waiting.hold(now, key, (), &packet).len()
    }

    fn key(mut bytes: Vec<u8>) -> DatagramKey {
        DatagramKey::of(Space::TASKS, &Packet::parse(&mut bytes, VnetHeader::default()).unwrap())
    }

    #[test]
    fn held_fragments_are_released_once_and_in_the_order_of_the_datagram() {
        let mut waiting = HeldFragments::new(1);
        for offset in [30, 10, 20] {
            assert_eq!(hold(&mut waiting, Instant::ZERO, fragment(7, offset, 60)), 0);
        }
        hold(&mut waiting, Instant::ZERO, fragment(8, 40, 60));
        let key = key(fragment(7, 10, 60));
        let mut out = [0; 100];
        for offset in [10, 20, 30] {
            assert!(waiting.holds(&key));
            assert_eq!(waiting.release(&key, &mut out), Some(60));
            assert_eq!(out[..60], fragment(7, offset, 60));
        }
        assert!(!waiting.holds(&key));
        assert_eq!(waiting.release(&key, &mut out), None);
        assert_eq!((waiting.order.len(), waiting.datagrams.len(), waiting.bytes), (1, 1, 60));
    }

    /// Checklist U14: a flood from one task displaces no fragment of another task or of a host
    /// outside.
    #[test]
    fn regression_a_flood_displaces_fragments_of_its_sender_alone() {
        let from = |source: u8, space: Space| {
            let mut bytes = fragment(1, 1, 60);
            bytes[ipv4::SRC + 3] = source;
            builder::update_header_checksum(&mut bytes);
            (bytes, space)
        };
        let mut waiting = HeldFragments::new(1);
        let quiet = [from(2, Space::TASKS), from(3, Space::TASKS), from(9, Space::INTERNET)];
        let keys = quiet.map(|(mut bytes, space)| {
            let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
            let key = DatagramKey::of(space, &packet);
            assert_eq!(waiting.hold(Instant::ZERO, key, (), &packet).len(), 0);
            key
        });
        for n in 0..5_000 {
            hold(&mut waiting, Instant(1), fragment(n, 1, 60));
        }
        for n in 0..500 {
            hold(&mut waiting, Instant(1), fragment(n, 1, 60_000));
        }
        assert!(keys.iter().all(|key| waiting.holds(key)));
        assert!(waiting.bytes <= MAX_BYTES);
        keys.iter().for_each(|key| assert_eq!(waiting.release(key, &mut [0; 60]), Some(60)));
        waiting.sweep(Instant(1) + LIFETIME + Duration::from_nanos(1));
        assert_eq!((waiting.shares.len(), waiting.order.len(), waiting.bytes), (0, 0, 0));
    }

    /// Checklist U14: a flood without first fragments has a bound in number, in bytes and in time.
    #[test]
    fn a_flood_of_later_fragments_is_bounded_and_the_newest_stay() {
        let mut waiting = HeldFragments::new(1);
        let evicted: usize = (0..10_000)
            .map(|n| hold(&mut waiting, Instant(u64::from(n)), fragment(n, 1, 60)))
            .sum();
        assert_eq!((evicted, waiting.order.len()), (10_000 - MAX_FRAGMENTS, MAX_FRAGMENTS));
        assert!(waiting.holds(&key(fragment(9_999, 1, 60))));
        assert!(!waiting.holds(&key(fragment(0, 1, 60))));
        for n in 0..1_000 {
            hold(&mut waiting, Instant(10_000), fragment(n, 1, 60_000));
        }
        assert!(waiting.bytes <= MAX_BYTES && waiting.order.len() == MAX_BYTES / 60_000);
        let late = Instant(10_000) + LIFETIME;
        assert_eq!(waiting.sweep(late), []);
        let over = waiting.sweep(late + Duration::from_nanos(1));
        assert_eq!(
            (over.len(), waiting.bytes, waiting.datagrams.len()),
            (MAX_BYTES / 60_000, 0, 0)
        );
    }
}
