//! Port leases: the right to a source port of a NAT's address toward one destination.
//!
//! AWS counts per (protocol, destination address, destination port) (spec 6), so each of these has
//! a pool. Ports are drawn from a seeded random start (RFC 6056), come back when the [`PortLease`]
//! is dropped, and then rest for the quarantine. Finding a port in a full pool takes hardly more
//! steps than in an empty one: see `port_set.rs`.

use super::port_set::PortSet;
use super::{Instant, Space};
use crate::packet::Protocol;
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The first port that a NAT gateway and a Hyperplane ENI use: 1024 to 65535 (spec 2.1, 6).
const FIRST: u16 = 1024;

/// The key of a pool: a NAT's address, and a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The space of the NAT's address.
    pub space: Space,
    /// The NAT's address.
    pub address: Ipv4Addr,
    /// The protocol. One without ports has a single lease per destination.
    pub protocol: u8,
    /// The destination's address.
    pub destination: Ipv4Addr,
    /// The destination's port.
    pub port: u16,
}

/// The limits on the number of leases.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// In one pool.
    pub per_destination: u32,
    /// Of one address, over all destinations.
    pub per_address: u32,
}

/// No port is free, or a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port is free toward this destination")]
pub struct Exhausted;

/// All pools.
#[derive(Debug)]
pub struct PortPools {
    pools: DashMap<PoolKey, Pool, FixedState>,
    totals: DashMap<(Space, Ipv4Addr), Arc<AtomicU32>, FixedState>,
    /// The next of each NAT's addresses, as a position in a rotation over them.
    rotations: DashMap<(Space, Ipv4Addr), u32, FixedState>,
    random: AtomicU64,
    /// The time that the engine set last: dropping a lease has no argument.
    now: AtomicU64,
}

#[derive(Debug, Default)]
struct Pool {
    taken: PortSet,
    leased: u32,
    resting: VecDeque<(u16, Instant)>,
}

/// The right to one port. Dropping it gives the port back.
#[derive(Debug)]
pub struct PortLease {
    pools: Arc<PortPools>,
    total: Arc<AtomicU32>,
    key: PoolKey,
    port: u16,
    used: AtomicBool,
    /// Set if the port is taken in its pool; unset for a sender's own port.
    is_drawn: bool,
}

impl PortLease {
    /// Marks the port as used on the wire: it rests after it is given back. An unused port is free
    /// again at once.
    pub fn mark_used(&self) {
        self.used.store(true, Relaxed);
    }

    /// Returns the port; 0 for a protocol without ports.
    #[inline]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the key of the pool that the port is from.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.total.fetch_sub(1, Relaxed);
        if !self.is_drawn {
            return;
        }
        let now = Instant(self.pools.now.load(Relaxed));
        if let Some(mut pool) = self.pools.pools.get_mut(&self.key) {
            pool.leased = pool.leased.saturating_sub(1);
            if self.used.load(Relaxed) {
                pool.resting.push_back((self.port, now));
                return;
            }
            pool.taken.remove(self.port);
        }
        // Otherwise a scan of refused destinations leaves a pool for each until the next sweep.
        self.pools.pools.remove_if(&self.key, |_, pool| pool.is_idle());
    }
}

impl PortPools {
    /// Makes empty pools; `seed` decides which ports will be drawn.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            pools: DashMap::with_hasher(FixedState::with_seed(seed)),
            totals: DashMap::with_hasher(FixedState::with_seed(seed)),
            rotations: DashMap::with_hasher(FixedState::with_seed(seed)),
            random: AtomicU64::new(seed),
            now: AtomicU64::new(0),
        })
    }

    /// Sets the time for the leases that end before the next call.
    #[inline]
    pub fn set_now(&self, now: Instant) {
        self.now.store(now.0, Relaxed);
    }

    /// Takes a port.
    ///
    /// # Errors
    /// [`Exhausted`] when a limit is reached or every port is leased; a resting port is taken
    /// before that happens.
    pub fn lease(
        self: &Arc<Self>,
        now: Instant,
        key: PoolKey,
        limit: Limit,
        quarantine: Duration,
    ) -> Result<PortLease, Exhausted> {
        self.set_now(now);
        let total = Arc::clone(&self.totals.entry((key.space, key.address)).or_default());
        if total.fetch_add(1, Relaxed) >= limit.per_address {
            total.fetch_sub(1, Relaxed);
            return Err(Exhausted);
        }
        let mut pool = self.pools.entry(key).or_default();
        match pool.take(
            now,
            limit.per_destination,
            quarantine,
            key.first_port(),
            self.next_random(),
        ) {
            Some(port) => Ok(PortLease {
                pools: Arc::clone(self),
                total,
                key,
                port,
                used: AtomicBool::new(false),
                is_drawn: true,
            }),
            None => {
                total.fetch_sub(1, Relaxed);
                Err(Exhausted)
            }
        }
    }

    /// Leases the sender's own port at an address that no other sender uses: no port is drawn, and
    /// it does not rest.
    ///
    /// # Errors
    /// [`Exhausted`] when the address has `per_address` leases already.
    pub fn own(
        self: &Arc<Self>,
        key: PoolKey,
        port: u16,
        per_address: u32,
    ) -> Result<PortLease, Exhausted> {
        let total = Arc::clone(&self.totals.entry((key.space, key.address)).or_default());
        if total.fetch_add(1, Relaxed) >= per_address {
            total.fetch_sub(1, Relaxed);
            return Err(Exhausted);
        }
        let (pools, used) = (Arc::clone(self), AtomicBool::new(false));
        Ok(PortLease { pools, total, key, port, used, is_drawn: false })
    }

    /// Takes one given port for a flow that began in another process. No limit is checked: it was
    /// checked there.
    ///
    /// # Errors
    /// [`Exhausted`] when it is taken.
    pub fn claim(self: &Arc<Self>, key: PoolKey, port: u16) -> Result<PortLease, Exhausted> {
        let mut pool = self.pools.entry(key).or_default();
        if !pool.claim(key.first_port(), port) {
            return Err(Exhausted);
        }
        let total = Arc::clone(&self.totals.entry((key.space, key.address)).or_default());
        total.fetch_add(1, Relaxed);
        let (pools, used) = (Arc::clone(self), AtomicBool::new(true));
        Ok(PortLease { pools, total, key, port, used, is_drawn: true })
    }

    /// Returns the port that a lease would get after `before` others, without taking it: for dry
    /// runs.
    ///
    /// # Errors
    /// [`Exhausted`] when a lease would be refused.
    pub fn peek(&self, key: PoolKey, limit: Limit, before: u64) -> Result<u16, Exhausted> {
        let total = self.totals.get(&(key.space, key.address)).map_or(0, |t| t.load(Relaxed));
        if total >= limit.per_address {
            return Err(Exhausted);
        }
        let steps = STEP.wrapping_mul(before.wrapping_add(1));
        let random = mix(self.random.load(Relaxed).wrapping_add(steps));
        let port = match self.pools.get(&key) {
            Some(pool) => pool.choose(limit.per_destination, key.first_port(), random),
            None => Pool::default().choose(limit.per_destination, key.first_port(), random),
        };
        port.ok_or(Exhausted)
    }

    /// Returns the position of a NAT with several addresses in its rotation over them.
    pub fn rotation(&self, nat: (Space, Ipv4Addr)) -> u32 {
        self.rotations.get(&nat).map_or(0, |position| *position)
    }

    /// Returns the position of a NAT in its rotation, and moves it on by one.
    pub fn advance_rotation(&self, nat: (Space, Ipv4Addr)) -> u32 {
        let mut position = self.rotations.entry(nat).or_default();
        let taken = *position;
        *position = taken.wrapping_add(1);
        taken
    }

    /// Forgets the rotations of NATs that no longer exist.
    pub fn retain_rotations(&self, is_there: impl Fn((Space, Ipv4Addr)) -> bool) {
        self.rotations.retain(|nat, _| is_there(*nat));
    }

    /// Forgets pools with no leased and no resting port.
    pub fn sweep(&self, now: Instant, quarantine: Duration) {
        self.set_now(now);
        self.pools.retain(|_, pool| {
            pool.wake(now, quarantine);
            !pool.is_idle()
        });
        self.totals.retain(|_, total| Arc::strong_count(total) > 1);
    }

    /// Returns how many ports of an address are leased.
    pub fn leased(&self, space: Space, address: Ipv4Addr) -> u32 {
        self.totals.get(&(space, address)).map_or(0, |t| t.load(Relaxed))
    }

    /// Counts every pool's size, for the expected-state tests.
    #[cfg(test)]
    pub fn census(&self, census: &mut super::Census) {
        let Self { pools, totals, rotations, random: _, now: _ } = self;
        census.add("destinations", pools.len());
        census.add("rotations", rotations.len());
        for entry in pools {
            let Pool { taken, leased, resting } = entry.value();
            let PoolKey { space: _, address, protocol: _, destination: _, port: _ } = entry.key();
            census.add(&format!("pooled {address}"), *leased as usize);
            census.add("resting", resting.len());
            census.add("taken", taken.len());
        }
        for entry in totals {
            let total = entry.value().load(Relaxed) as usize;
            census.add(&format!("ports {}", entry.key().1), total);
        }
    }

    fn next_random(&self) -> u64 {
        mix(self.random.fetch_add(STEP, Relaxed).wrapping_add(STEP))
    }
}

impl PoolKey {
    fn first_port(&self) -> Option<u16> {
        // An ICMP query identifier is translated like a port (RFC 5508).
        match Protocol::from(self.protocol) {
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp => Some(FIRST),
            Protocol::Other(_) => None,
        }
    }
}

impl Pool {
    fn take(
        &mut self,
        now: Instant,
        limit: u32,
        quarantine: Duration,
        first: Option<u16>,
        random: u64,
    ) -> Option<u16> {
        self.wake(now, quarantine);
        let port = self.choose(limit, first, random)?;
        // A leased port that is chosen nevertheless is the one that has rested longest.
        if self.resting.front().is_some_and(|(resting, _)| *resting == port) {
            self.resting.pop_front();
        }
        self.taken.insert(port);
        self.leased += 1;
        Some(port)
    }

    fn claim(&mut self, first: Option<u16>, port: u16) -> bool {
        let free = match first {
            Some(first) => port >= first && self.taken.first_free(port, &mut 0) == Some(port),
            None => port == 0 && self.leased == 0,
        };
        if free {
            self.taken.insert(port);
            self.leased += 1;
        }
        free
    }

    fn choose(&self, limit: u32, first: Option<u16>, random: u64) -> Option<u16> {
        if self.leased >= limit {
            return None;
        }
        let Some(first) = first else {
            return (self.leased == 0).then_some(0);
        };
        self.search(first, random, &mut 0)
    }

    /// Returns a free port, or else the one that has rested longest.
    fn search(&self, first: u16, random: u64, steps: &mut u32) -> Option<u16> {
        let span = u64::from(u16::MAX - first) + 1;
        let start = first + u16::try_from(random % span).unwrap_or(0);
        self.taken
            .first_free(start, steps)
            .or_else(|| self.taken.first_free(first, steps))
            .or_else(|| self.resting.front().map(|(port, _)| *port))
    }

    /// Returns whether no port is leased and none rests.
    fn is_idle(&self) -> bool {
        self.leased == 0 && self.resting.is_empty()
    }

    /// Frees the ports that have rested long enough.
    fn wake(&mut self, now: Instant, quarantine: Duration) {
        while let Some(&(port, since)) = self.resting.front() {
            if now.since(since) < quarantine {
                break;
            }
            self.resting.pop_front();
            self.taken.remove(port);
        }
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Applies SplitMix64's output function.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const NO_REST: Duration = Duration::ZERO;
    const LIMIT: Limit = Limit { per_destination: 55_000, per_address: u32::MAX };

    fn key(port: u16) -> PoolKey {
        PoolKey {
            space: Space::INTERNET,
            address: Ipv4Addr::new(198, 51, 100, 7),
            protocol: 6,
            destination: Ipv4Addr::new(203, 0, 113, 10),
            port,
        }
    }

    #[test]
    fn every_port_up_to_the_limit_once_then_exhausted_and_other_destinations_unaffected() {
        let pools = PortPools::new(7);
        let leases: Vec<_> = (0..55_000)
            .map(|_| pools.lease(Instant::ZERO, key(443), LIMIT, NO_REST).unwrap())
            .collect();
        let ports: HashSet<_> = leases.iter().map(PortLease::port).collect();
        assert_eq!(ports.len(), 55_000);
        assert!(ports.iter().all(|p| *p >= 1024));
        assert_eq!(pools.lease(Instant::ZERO, key(443), LIMIT, NO_REST).unwrap_err(), Exhausted);
        assert_eq!(pools.peek(key(443), LIMIT, 0), Err(Exhausted));
        assert!(pools.lease(Instant::ZERO, key(80), LIMIT, NO_REST).is_ok());
    }

    #[test]
    fn the_last_free_port_is_found() {
        let pools = PortPools::new(1);
        let limit = Limit { per_destination: 64_512, per_address: u32::MAX };
        let mut leases: Vec<_> = (0..64_512)
            .map(|_| pools.lease(Instant::ZERO, key(443), limit, NO_REST).unwrap())
            .collect();
        let freed = leases.swap_remove(12_345).port();
        assert_eq!(pools.lease(Instant::ZERO, key(443), limit, NO_REST).unwrap().port(), freed);
    }

    /// Checklist 5.3, in steps instead of time: finding the last free port costs no
    /// more than the first.
    #[test]
    fn a_pool_that_is_99_percent_full_is_searched_in_bounded_steps() {
        let mut pool = Pool::default();
        let mut random = (0..).map(|n| mix(STEP.wrapping_mul(n)));
        for leased in 0..64_512u32 {
            let mut steps = 0;
            let port = pool.search(FIRST, random.next().unwrap(), &mut steps).unwrap();
            assert!(steps <= 2 * PortSet::MAX_STEPS, "{steps} steps with {leased} leased");
            pool.taken.insert(port);
        }
    }

    #[test]
    fn a_port_rests_before_it_is_given_again_unless_no_other_is_free() {
        let pools = PortPools::new(3);
        let rest = Duration::from_secs(1);
        let limit = Limit { per_destination: 64_512, per_address: u32::MAX };
        let mut leases: Vec<_> = (0..64_511)
            .map(|_| pools.lease(Instant::ZERO, key(443), limit, rest).unwrap())
            .collect();
        leases.iter().for_each(PortLease::mark_used);
        let resting = leases.pop().unwrap().port();
        let first = pools.lease(Instant::ZERO, key(443), limit, rest).unwrap();
        assert_ne!(first.port(), resting);
        let second = pools.lease(Instant::ZERO, key(443), limit, rest).unwrap();
        assert_ne!(second.port(), first.port());
        assert_eq!(leases.len() + 2, 64_512);
    }

    #[test]
    fn when_every_port_rests_the_one_that_has_rested_longest_is_taken() {
        let pools = PortPools::new(3);
        let rest = Duration::from_secs(1);
        let limit = Limit { per_destination: 64_512, per_address: u32::MAX };
        let lease = || pools.lease(Instant::ZERO, key(443), limit, rest).unwrap();
        let leases: Vec<_> = (0..64_512).map(|_| lease()).collect();
        leases.iter().for_each(PortLease::mark_used);
        let ports: Vec<u16> = leases.iter().map(PortLease::port).collect();
        drop(leases);
        let again: Vec<_> = (0..64_512).map(|_| lease()).collect();
        assert_eq!(again.iter().map(PortLease::port).collect::<Vec<_>>(), ports);
        assert_eq!(pools.lease(Instant::ZERO, key(443), limit, rest).unwrap_err(), Exhausted);
    }

    #[test]
    fn ten_times_the_limit_in_churn_leaks_nothing() {
        let pools = PortPools::new(9);
        let limit = Limit { per_destination: 100, per_address: 100 };
        for round in 0..10u64 {
            let now = Instant(round * 2_000_000_000);
            let leases: Vec<_> = (0..100)
                .map(|_| pools.lease(now, key(443), limit, Duration::from_secs(1)).unwrap())
                .collect();
            leases.iter().for_each(PortLease::mark_used);
            assert_eq!(pools.leased(Space::INTERNET, key(443).address), 100);
            drop(leases);
        }
        pools.sweep(Instant(100_000_000_000), Duration::from_secs(1));
        assert_eq!(pools.leased(Space::INTERNET, key(443).address), 0);
        assert!(pools.pools.is_empty());
        assert!(pools.totals.is_empty());
    }

    #[test]
    fn a_port_is_claimed_once_and_comes_back_like_a_leased_one() {
        let pools = PortPools::new(2);
        let claimed = pools.claim(key(443), 4711).unwrap();
        assert_eq!((claimed.port(), pools.leased(Space::INTERNET, key(443).address)), (4711, 1));
        assert_eq!(pools.claim(key(443), 4711).unwrap_err(), Exhausted);
        assert_eq!(pools.claim(key(443), 80).unwrap_err(), Exhausted, "no NAT gives that one");
        let limit = Limit { per_destination: 64_512, per_address: u32::MAX };
        let others: HashSet<_> = (0..64_511)
            .map(|_| pools.lease(Instant::ZERO, key(443), limit, NO_REST).unwrap())
            .map(|lease| lease.port())
            .collect();
        assert!(!others.contains(&4711));
        drop(claimed);
        pools.sweep(Instant(1), NO_REST);
        assert_eq!(pools.leased(Space::INTERNET, key(443).address), 0);
        let (udp, esp) = (PoolKey { protocol: 17, ..key(443) }, PoolKey { protocol: 50, ..key(0) });
        assert!(pools.claim(udp, 4711).is_ok());
        let only = pools.claim(esp, 0).unwrap();
        assert_eq!(pools.claim(esp, 0).unwrap_err(), Exhausted);
        drop(only);
    }

    #[test]
    fn ports_depend_on_the_seed_alone() {
        let draw = |seed| {
            let pools = PortPools::new(seed);
            (0..50)
                .map(|_| {
                    pools.lease(Instant::ZERO, key(443), LIMIT, NO_REST).map(|l| l.port()).unwrap()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn peek_says_what_lease_then_takes() {
        let pools = PortPools::new(5);
        let peeked = pools.peek(key(1), LIMIT, 0).unwrap();
        let second = pools.peek(key(2), LIMIT, 1).unwrap();
        let lease = |port| pools.lease(Instant::ZERO, key(port), LIMIT, NO_REST).unwrap();
        assert_eq!((lease(1).port(), lease(2).port()), (peeked, second));
    }
}
