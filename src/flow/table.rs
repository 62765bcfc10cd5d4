//! The flow table: two entries per flow, one per direction, each under the key by which its packets
//! arrive.

#[cfg(test)]
use super::Census;
use super::offload_state::DeferredFree;
use super::tombstones::{Tombstone, Tombstones};
use super::{Flow, FlowKey, Instant, Side, TcpState};
#[cfg(test)]
use crate::fail_point::FailPoint;
use crate::vpc::{Generation, Timeouts};
use dashmap::DashMap;
use dashmap::mapref::one::Ref;
use foldhash::fast::FixedState;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The number of parts of the table, each with its own lock. A visit of every flow holds one lock
/// at a time, and packets of that part wait meanwhile: among 900,000 flows those of 3,500 entries.
const SHARDS: usize = 512;

/// One direction of a flow: its cached outcome, and the generation under which that was decided.
#[derive(Debug)]
pub struct FlowEntry<O> {
    /// The flow.
    pub flow: Arc<Flow>,
    /// The direction.
    pub side: Side,
    /// The generation under which the outcome was decided.
    pub generation: Generation,
    /// The outcome.
    pub outcome: O,
}

/// All flows. `O` is the outcome of a packet in the layer above.
#[derive(Debug)]
pub struct FlowTable<O> {
    entries: DashMap<FlowKey, FlowEntry<O>, FixedState>,
    tombstones: Tombstones,
    deferred_free: Arc<DeferredFree>,
    /// A fail point that is passed when only one direction of a flow is in the table.
    #[cfg(test)]
    pub(crate) between_directions: FailPoint,
}

impl<O: Copy> FlowTable<O> {
    /// Makes an empty table.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            entries: DashMap::with_hasher_and_shard_amount(hasher.clone(), SHARDS),
            tombstones: Tombstones::new(hasher),
            deferred_free: Arc::default(),
            #[cfg(test)]
            between_directions: FailPoint::default(),
        }
    }

    /// Returns the entry under a key, its counters synced. The guard blocks writers of its shard:
    /// hold it briefly, and insert nothing meanwhile.
    #[inline]
    pub fn get(&self, key: &FlowKey) -> Option<Ref<'_, FlowKey, FlowEntry<O>>> {
        let entry = self.entries.get(key)?;
        entry.flow.sync_counters();
        Some(entry)
    }

    /// Permits offloading a flow that is not in the table yet.
    pub fn allow_offload(&self, flow: &Flow) {
        flow.allow_offload(&self.deferred_free);
    }

    /// Makes flows ask for offloading as soon as possible.
    pub fn offload_at_once(&self) {
        self.deferred_free.at_once.store(true, Relaxed);
    }

    /// Inserts both directions of a flow. A flow with the same key that another worker inserted
    /// meanwhile ends.
    pub fn put(&self, flow: &Arc<Flow>, generation: Generation, egress: O, returned: O) {
        let entry = |side, outcome| FlowEntry { flow: Arc::clone(flow), side, generation, outcome };
        let mut half = HalfFlow { table: self, flow, is_whole: false };
        self.entries.insert(flow.returned, entry(Side::Return, returned));
        #[cfg(test)]
        self.between_directions.pass();
        let previous = self.entries.insert(flow.egress, entry(Side::Egress, egress));
        half.is_whole = true;
        if let Some(previous) = previous
            && !Arc::ptr_eq(&previous.flow, flow)
        {
            self.remove(&previous.flow);
        }
    }

    /// Gives both directions of a flow a new outcome, if the entries are still this flow's and not
    /// of a newer generation: another worker may have ended the flow, or updated it already.
    pub fn update(&self, flow: &Arc<Flow>, generation: Generation, egress: O, returned: O) {
        flow.withdraw_offload();
        for (key, outcome) in [(&flow.returned, returned), (&flow.egress, egress)] {
            if let Some(mut entry) = self.entries.get_mut(key)
                && Arc::ptr_eq(&entry.flow, flow)
                && entry.generation <= generation
            {
                entry.generation = generation;
                entry.outcome = outcome;
            }
        }
    }

    /// Removes a flow. Its leases end with the last reference to it.
    pub fn remove(&self, flow: &Arc<Flow>) {
        self.take(flow);
    }

    /// Removes a flow, and returns whether it was still in the table.
    fn take(&self, flow: &Arc<Flow>) -> bool {
        flow.finish_offload();
        let taken = self.entries.remove_if(&flow.egress, |_, e| Arc::ptr_eq(&e.flow, flow));
        self.entries.remove_if(&flow.returned, |_, e| Arc::ptr_eq(&e.flow, flow));
        taken.is_some()
    }

    /// Removes a flow that was idle for too long, and leaves a tombstone under each of its keys. A
    /// TCP flow that both sides had ended, or one had reset, leaves none.
    pub fn expire(&self, now: Instant, flow: &Arc<Flow>) {
        let taken = self.take(flow);
        let keys = [flow.egress, flow.returned];
        if flow.tcp.state() == TcpState::Closed {
            self.tombstones.forget(keys);
        } else {
            if taken {
                flow.totals.lives.count_idle_timeout();
            }
            let through_nat_gateway = flow.nat.as_ref().is_some_and(|n| n.0.is_some());
            self.tombstones.put(keys, Tombstone { at: now, through_nat_gateway });
        }
    }

    /// Returns the tombstone of an expired flow with this key.
    pub fn tombstone(&self, key: &FlowKey) -> Option<Tombstone> {
        self.tombstones.get(key)
    }

    /// Returns whether a TCP flow through a NAT gateway may have expired and its tombstone may have
    /// been dropped.
    pub fn has_forgotten(&self) -> bool {
        self.tombstones.has_forgotten()
    }

    /// Expires the flows that were idle for too long, and drops tombstones as old as the longest
    /// timeout. Calls `tell` with each flow that ends, and returns how many do.
    pub fn sweep(&self, now: Instant, timeouts: &Timeouts, tell: impl Fn(&Flow)) -> usize {
        let mut over = Vec::new();
        self.deferred_free.sweep();
        self.for_each(|entry| {
            entry.flow.reopen_offload();
            if entry.flow.is_expired(now, timeouts) {
                over.push(Arc::clone(&entry.flow));
            }
        });
        for flow in &over {
            tell(flow);
            self.expire(now, flow);
        }
        self.tombstones.sweep(now, timeouts.longest());
        over.len()
    }

    /// Removes the flows for which `is_over` holds, without tombstones, and returns their number.
    pub fn remove_where(&self, mut is_over: impl FnMut(&Flow) -> bool) -> usize {
        let mut over = Vec::new();
        self.for_each(|entry| {
            if is_over(&entry.flow) {
                over.push(Arc::clone(&entry.flow));
            }
        });
        over.iter().for_each(|flow| self.remove(flow));
        over.len()
    }

    /// Calls `visit` with every flow once, its counters synced.
    pub fn for_each(&self, mut visit: impl FnMut(&FlowEntry<O>)) {
        for entry in &self.entries {
            if entry.side == Side::Egress {
                entry.flow.sync_counters();
                visit(&entry);
            }
        }
    }

    /// Returns the number of flows.
    pub fn len(&self) -> usize {
        self.entries.len() / 2
    }

    /// Returns whether there are no flows.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Counts every table's size, for the expected-state tests.
    #[cfg(test)]
    pub fn census(&self, census: &mut Census) {
        let Self { entries, tombstones, deferred_free, between_directions: _ } = self;
        let count = |side| entries.iter().filter(|e| e.side == side).count();
        census.add("flows", count(Side::Egress));
        census.add("return entries", count(Side::Return));
        tombstones.census(census);
        deferred_free.census(census);
    }
}

/// Removes a flow of which a panic has let only one direction into the table: otherwise replies
/// would pass that nothing sweeps or reviews.
struct HalfFlow<'a, O: Copy> {
    table: &'a FlowTable<O>,
    flow: &'a Arc<Flow>,
    is_whole: bool,
}

impl<O: Copy> Drop for HalfFlow<'_, O> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.table.remove(self.flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Counters, FlowStart, Space};
    use crate::packet::{Protocol, TcpFacts, TcpFlags, Tuple};
    use crate::vpc::{RuleRef, ServiceIx};
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
    const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
    const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

    fn flow(protocol: Protocol, sport: u16) -> Arc<Flow> {
        let inside = Tuple { protocol, src: TASK, dst: SERVER, sport, dport: 443 };
        let back = Tuple { protocol, src: SERVER, dst: NAT, sport: 443, dport: sport };
        let start = FlowStart {
            egress: FlowKey::new(Space::TASKS, inside),
            returned: FlowKey::new(Space::INTERNET, back),
            service: ServiceIx(0),
            eni: None,
            nat: None,
            endpoint: None,
            admitted_by: RuleRef::Packet,
            untracked: false,
            admitted_under: Generation(1),
            totals: Arc::default(),
        };
        Arc::new(Flow::new(Instant::ZERO, start))
    }

    fn with(flows: &[&Arc<Flow>]) -> FlowTable<u8> {
        let table = FlowTable::new(1);
        flows.iter().for_each(|flow| table.put(flow, Generation(1), 1, 2));
        table
    }

    #[test]
    fn each_direction_is_found_by_its_own_key() {
        let flow = flow(Protocol::Udp, 1);
        let table = with(&[&flow]);
        let found = |key| table.get(key).map(|e| (e.side, e.outcome));
        assert_eq!(found(&flow.egress), Some((Side::Egress, 1)));
        assert_eq!(found(&flow.returned), Some((Side::Return, 2)));
        assert_eq!(table.len(), 1);
        table.update(&flow, Generation(2), 3, 4);
        assert_eq!(found(&flow.egress), Some((Side::Egress, 3)));
        assert_eq!(found(&flow.returned), Some((Side::Return, 4)));
        assert_eq!(table.len(), 1);
    }

    /// One worker walks a flow again while another ends it: the flow must not come back, and must
    /// not replace its successor.
    #[test]
    fn regression_a_new_outcome_revives_no_flow() {
        let (old, new) = (flow(Protocol::Udp, 1), flow(Protocol::Udp, 1));
        let table = with(&[&old]);
        table.remove(&old);
        table.update(&old, Generation(2), 3, 4);
        assert!(table.is_empty());
        table.put(&new, Generation(2), 5, 6);
        table.update(&old, Generation(2), 3, 4);
        assert_eq!(table.get(&new.egress).map(|e| e.outcome), Some(5));
    }

    /// A flow under one key only would never be swept, and its ports would never be given back.
    #[test]
    fn regression_a_flow_that_is_replaced_leaves_nothing_behind() {
        let first = flow(Protocol::Udp, 1);
        let mut second = flow(Protocol::Udp, 1);
        let back = Tuple { protocol: Protocol::Udp, src: SERVER, dst: NAT, sport: 443, dport: 2 };
        if let Some(second) = Arc::get_mut(&mut second) {
            second.returned = FlowKey::new(Space::INTERNET, back);
        }
        let table = with(&[&first, &second]);
        assert_eq!((table.len(), table.get(&first.returned).is_none()), (1, true));
    }

    #[test]
    fn removing_leaves_no_tombstone_and_expiring_does() {
        let (removed, expired) = (flow(Protocol::Udp, 1), flow(Protocol::Udp, 2));
        let table = with(&[&removed, &expired]);
        table.remove(&removed);
        table.expire(Instant(5), &expired);
        assert!(table.is_empty());
        assert_eq!(table.tombstone(&removed.egress), None);
        let tombstone = Tombstone { at: Instant(5), through_nat_gateway: false };
        assert_eq!(table.tombstone(&expired.egress), Some(tombstone));
        assert_eq!(table.tombstone(&expired.returned), Some(tombstone));
    }

    #[test]
    fn a_panic_between_the_directions_of_a_flow_leaves_neither() {
        let flow = flow(Protocol::Udp, 1);
        let table: FlowTable<u8> = FlowTable::new(1);
        table.between_directions.arm(|| panic!("a test wants half a flow"));
        let put = std::panic::AssertUnwindSafe(|| table.put(&flow, Generation(1), 1, 2));
        assert!(std::panic::catch_unwind(put).is_err());
        assert!(table.get(&flow.returned).is_none() && table.entries.is_empty());
        table.put(&flow, Generation(1), 1, 2);
        assert_eq!(table.len(), 1);
    }

    /// A worker may still hold a flow after another flow has taken over its keys.
    #[test]
    fn removing_a_flow_does_not_remove_its_successor() {
        let (old, new) = (flow(Protocol::Udp, 1), flow(Protocol::Udp, 1));
        let table = with(&[&old, &new]);
        table.remove(&old);
        assert_eq!(table.len(), 1);
        assert!(table.get(&new.egress).is_some_and(|e| Arc::ptr_eq(&e.flow, &new)));
    }

    #[test]
    fn a_sweep_ends_what_was_idle_and_forgets_tombstones_in_the_end() {
        let (udp, icmp) = (flow(Protocol::Udp, 1), flow(Protocol::Icmp, 2));
        let table = with(&[&udp, &icmp]);
        let timeouts = Timeouts { icmp_idle: Duration::from_secs(10), ..Timeouts::default() };
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(table.sweep(at(10), &timeouts, |_| {}), 0, "idle for exactly the timeout");
        assert_eq!(table.sweep(at(11), &timeouts, |_| {}), 1);
        udp.count(at(300), Side::Return, 1, 100);
        assert_eq!(table.sweep(at(400), &timeouts, |_| {}), 0, "a reply keeps a flow");
        assert!(table.tombstone(&icmp.egress).is_some());
        assert_eq!(table.sweep(at(651), &timeouts, |_| {}), 1);
        assert!(table.tombstone(&icmp.egress).is_none());
        assert!(table.tombstone(&udp.egress).is_some());
    }

    /// The longest timeout applies with any settings: once the lifetime was that of the protocols
    /// without a timeout of their own.
    #[test]
    fn regression_a_tombstone_lives_as_long_as_the_longest_timeout() {
        let udp = flow(Protocol::Udp, 1);
        let table = with(&[&udp]);
        let other_idle = Duration::from_secs(1);
        let timeouts = Timeouts { other_idle, ..Timeouts::default() };
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        table.sweep(at(351), &timeouts, |_| {});
        table.sweep(at(700), &timeouts, |_| {});
        assert!(table.tombstone(&udp.egress).is_some());
        table.sweep(at(701), &timeouts, |_| {});
        assert!(table.tombstone(&udp.egress).is_none());
    }

    #[test]
    fn regression_a_closed_flow_leaves_no_tombstone_and_takes_an_older_one_along() {
        let (idle, closed) = (flow(Protocol::Tcp, 1), flow(Protocol::Tcp, 1));
        let table = with(&[&idle]);
        table.expire(Instant(1), &idle);
        assert!(table.tombstone(&idle.egress).is_some());
        table.put(&closed, Generation(1), 1, 2);
        let reset = TcpFacts { flags: TcpFlags::RST, seq: 0, ack: 0, window: 0, payload_len: 0 };
        closed.tcp.observe(&reset, true);
        table.expire(Instant(2), &closed);
        assert_eq!(table.tombstone(&closed.egress), None);
        assert_eq!(table.tombstone(&closed.returned), None);
    }

    #[test]
    fn every_protocol_has_its_own_timeout() {
        let timeouts = Timeouts::default();
        for (protocol, seconds) in [
            (Protocol::Tcp, 60),
            (Protocol::Udp, 350),
            (Protocol::Icmp, 350),
            (Protocol::Other(50), 600),
        ] {
            assert_eq!(flow(protocol, 1).idle_timeout(&timeouts), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_flow_counts_for_itself_and_adds_that_to_its_egress() {
        let flow = flow(Protocol::Udp, 1);
        flow.count(Instant(1), Side::Egress, 3, 4500);
        flow.count(Instant(2), Side::Egress, 1, 40);
        flow.count(Instant(3), Side::Return, 1, 60);
        let counted = |c: &Counters| (c.packets(), c.segments(), c.bytes());
        assert_eq!(counted(&flow.sent), (2, 4, 4540));
        assert_eq!(flow.last_seen(), Instant(3));
        let totals = Arc::clone(&flow.totals);
        drop(flow);
        assert_eq!(counted(&totals.ended.sent), (2, 4, 4540));
        assert_eq!(counted(&totals.ended.received), (1, 1, 60));
    }

    #[test]
    fn flows_are_removed_by_a_predicate() {
        let (one, two) = (flow(Protocol::Udp, 1), flow(Protocol::Udp, 2));
        let table = with(&[&one, &two]);
        assert_eq!(table.remove_where(|f| f.egress.tuple().sport == 1), 1);
        let mut left = Vec::new();
        table.for_each(|e| left.push(e.flow.egress.tuple().sport));
        assert_eq!(left, [2]);
    }
}
