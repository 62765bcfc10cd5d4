//! The flow table: two entries per flow, one per direction, each under the key by which its packets arrive.

#[cfg(test)]
use super::Census;
use super::graves::{Graveyard, Tombstone};
use super::offload::{Limbo, Offload};
use super::{Counters, FlowKey, Instant, Lease, PoolKey, Tally, TcpState, TcpTracker};
use crate::packet::Protocol;
use crate::vpc::{
    EniIx, Generation, Interface, NatGatewayIx, RuleRef, ServiceIx, Snapshot, Timeouts,
};
use dashmap::DashMap;
use dashmap::mapref::one::Ref;
use foldhash::fast::FixedState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Which way a packet goes, seen from the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the task.
    Egress,
    /// Back to the task.
    Return,
}

/// One conversation between a task and a destination.
#[derive(Debug)]
pub struct Flow {
    /// Packets from the task.
    pub egress: FlowKey,
    /// Packets back to it, as they arrive from outside.
    pub returned: FlowKey,
    /// The service of the task.
    pub service: ServiceIx,
    /// The ENI, and its port; `None` for App Runner's own egress.
    pub eni: Option<(EniIx, Lease)>,
    /// The last NAT on the way out, if there is one behind the ENI.
    pub nat: Option<(Option<NatGatewayIx>, Lease)>,
    /// The rule that admitted it.
    pub admitted_by: RuleRef,
    /// The configuration that `admitted_by`, `eni`, `nat` and `service` belong to: under another one their positions
    /// name something else. See [`Flow::eni_in`] and its like.
    pub admitted_under: Generation,
    /// TCP state; unused for other protocols.
    pub tcp: TcpTracker,
    /// From the task.
    pub sent: Counters,
    /// Back to the task.
    pub received: Counters,
    /// What is known of its path, where it leaves what it carried.
    pub tally: Arc<Tally>,
    /// When its first packet came.
    pub began: Instant,
    last_seen: AtomicU64,
    pub(super) offload: Offload,
}

/// What a [`Flow`] begins with.
#[derive(Debug)]
pub struct FlowStart {
    /// Packets from the task.
    pub egress: FlowKey,
    /// Packets back to it, as they arrive from outside.
    pub returned: FlowKey,
    /// The service of the task.
    pub service: ServiceIx,
    /// The ENI, and its port.
    pub eni: Option<(EniIx, Lease)>,
    /// The last NAT on the way out.
    pub nat: Option<(Option<NatGatewayIx>, Lease)>,
    /// The rule that admitted it.
    pub admitted_by: RuleRef,
    /// The configuration that rule belongs to.
    pub admitted_under: Generation,
    /// What is known of its path.
    pub tally: Arc<Tally>,
}

impl Flow {
    /// A flow that begins now.
    pub fn new(now: Instant, start: FlowStart) -> Self {
        let FlowStart { egress, returned, service, eni, nat, admitted_by, admitted_under, tally } =
            start;
        if egress.tuple().protocol == Protocol::Tcp {
            tally.lives.count_attempt();
        }
        Self {
            egress,
            returned,
            service,
            eni,
            nat,
            admitted_by,
            admitted_under,
            tally,
            tcp: TcpTracker::default(),
            sent: Counters::default(),
            received: Counters::default(),
            began: now,
            last_seen: AtomicU64::new(now.0),
            offload: Offload::default(),
        }
    }

    /// The ENI in this configuration, whose tables may be ordered otherwise: found by its address, in its VPC.
    pub fn eni_in(&self, snapshot: &Snapshot) -> Option<EniIx> {
        let PoolKey { space, address, .. } = *self.eni.as_ref()?.1.key();
        match snapshot.interface(snapshot.vpc_in(space)?, address)? {
            Interface::Eni(ix) => Some(ix),
            Interface::NatGateway(_) | Interface::Resource(_) => None,
        }
    }

    /// The NAT gateway in this configuration, found by the address that the flow has there: the public one toward the
    /// internet, the private one toward the VPC and what it is connected to.
    pub fn nat_gateway_in(&self, snapshot: &Snapshot) -> Option<NatGatewayIx> {
        let (Some(_), lease) = self.nat.as_ref()? else { return None };
        let PoolKey { space, address, .. } = *lease.key();
        match snapshot.vpc_in(space) {
            None => snapshot.nat_gateway_of(address),
            Some(vpc) => match snapshot.interface(vpc, address)? {
                Interface::NatGateway(ix) => Some(ix),
                Interface::Eni(_) | Interface::Resource(_) => None,
            },
        }
    }

    /// The service in this configuration: that of the task, which flows do not outlive.
    pub fn service_in(&self, snapshot: &Snapshot) -> Option<ServiceIx> {
        snapshot.task(self.egress.tuple().src).map(|task| task.service)
    }

    /// Marks its ports as seen on the wire, so that they rest when they come back.
    pub fn mark_ports_used(&self) {
        let (eni, nat) = (self.eni.as_ref(), self.nat.as_ref());
        let leases = eni.map(|(_, lease)| lease).into_iter().chain(nat.map(|(_, lease)| lease));
        leases.for_each(Lease::mark_used);
    }

    /// Counts a packet that passes, and restarts the idle timer.
    #[inline]
    pub fn count(&self, now: Instant, side: Side, segments: u32, bytes: u64) {
        self.count_only(side, segments, bytes);
        self.last_seen.store(now.0, Relaxed);
    }

    /// Counts a packet that passes and is no sign of life.
    #[inline]
    pub fn count_only(&self, side: Side, segments: u32, bytes: u64) {
        match side {
            Side::Egress => self.sent.add(segments, bytes),
            Side::Return => self.received.add(segments, bytes),
        }
        self.tell_kernel(side);
    }

    /// When its last packet passed, in either direction.
    #[inline]
    pub fn last_seen(&self) -> Instant {
        Instant(self.last_seen.load(Relaxed))
    }

    /// A packet passed then, which was not counted here.
    pub(super) fn saw(&self, at: Instant) {
        self.last_seen.fetch_max(at.0, Relaxed);
    }

    /// How long it may be idle in its present state.
    #[inline]
    pub fn idle_timeout(&self, timeouts: &Timeouts) -> Duration {
        match self.egress.tuple().protocol {
            Protocol::Tcp => match self.tcp.state() {
                TcpState::Opening => timeouts.tcp_opening,
                TcpState::Established if self.tcp.is_half_closed() => timeouts.tcp_half_closed,
                TcpState::Established => timeouts.tcp_idle,
                TcpState::Closed if self.tcp.is_reset() => timeouts.tcp_reset,
                TcpState::Closed => timeouts.tcp_closing,
            },
            Protocol::Udp if !self.is_tracked_by_an_eni_alone() => timeouts.udp_idle,
            Protocol::Udp if self.is_stream() => timeouts.eni_udp_stream,
            Protocol::Udp => timeouts.eni_udp,
            Protocol::Icmp => timeouts.icmp_idle,
            Protocol::Other(_) => timeouts.other_idle,
        }
    }

    /// Whether no NAT is behind the ENI.
    #[inline]
    fn is_tracked_by_an_eni_alone(&self) -> bool {
        self.eni.is_some() && self.nat.is_none()
    }

    /// Whether there was more than one request and reply (spec 4.4).
    #[inline]
    fn is_stream(&self) -> bool {
        self.sent.packets() > 1 && self.received.packets() > 1
    }

    /// Whether it has been idle for too long.
    #[inline]
    pub fn is_expired(&self, now: Instant, timeouts: &Timeouts) -> bool {
        now.since(self.last_seen()) > self.idle_timeout(timeouts)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.tally.over.gather(&self.sent, &self.received);
        if self.tcp.was_established() {
            self.tally.lives.count_established();
        }
    }
}

/// One direction of a flow: its cached outcome, and the configuration that it was decided under.
#[derive(Debug)]
pub struct FlowEntry<O> {
    /// The flow.
    pub flow: Arc<Flow>,
    /// Which direction.
    pub side: Side,
    /// Decided under this configuration.
    pub generation: Generation,
    /// What was decided.
    pub outcome: O,
}

/// All flows. `O` is what a packet's fate is to the floor above.
#[derive(Debug)]
pub struct FlowTable<O> {
    entries: DashMap<FlowKey, FlowEntry<O>, FixedState>,
    graves: Graveyard,
    limbo: Arc<Limbo>,
}

impl<O: Copy> FlowTable<O> {
    /// An empty table.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            entries: DashMap::with_hasher_and_shard_amount(hasher.clone(), 64),
            graves: Graveyard::new(hasher),
            limbo: Arc::default(),
        }
    }

    /// The entry under a key, its flow settled. The guard keeps writers off its shard: hold it briefly, and insert nothing
    /// meanwhile.
    #[inline]
    pub fn get(&self, key: &FlowKey) -> Option<Ref<'_, FlowKey, FlowEntry<O>>> {
        let entry = self.entries.get(key)?;
        entry.flow.settle();
        Some(entry)
    }

    /// Lets the kernel carry a flow, which nobody else knows yet, once somebody asks for it.
    pub fn allow_offload(&self, flow: &Flow) {
        flow.allow_offload(&self.limbo);
    }

    /// Has flows offloaded as soon as they can be.
    pub fn offload_at_once(&self) {
        self.limbo.at_once.store(true, Relaxed);
    }

    /// Puts both directions of a flow in place. A flow with the same key that another worker put there meanwhile ends.
    pub fn put(&self, flow: &Arc<Flow>, generation: Generation, egress: O, returned: O) {
        let entry = |side, outcome| FlowEntry { flow: Arc::clone(flow), side, generation, outcome };
        self.entries.insert(flow.returned, entry(Side::Return, returned));
        let previous = self.entries.insert(flow.egress, entry(Side::Egress, egress));
        if let Some(previous) = previous
            && !Arc::ptr_eq(&previous.flow, flow)
        {
            self.remove(&previous.flow);
        }
    }

    /// Gives both directions of a flow a new outcome, where they are still this flow's and of no newer
    /// configuration: another worker may have ended it, or have that one already.
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

    /// Forgets a flow, unless that has been done; its leases end with its last user.
    pub fn remove(&self, flow: &Arc<Flow>) {
        self.take(flow);
    }

    /// Whether it was this call that forgot the flow.
    fn take(&self, flow: &Arc<Flow>) -> bool {
        flow.finish_offload();
        let taken = self.entries.remove_if(&flow.egress, |_, e| Arc::ptr_eq(&e.flow, flow));
        self.entries.remove_if(&flow.returned, |_, e| Arc::ptr_eq(&e.flow, flow));
        taken.is_some()
    }

    /// Ends a flow that was idle for too long: forgotten, but for a tombstone under each of its keys. A TCP flow that
    /// both sides had ended, or one had reset, leaves none: its idleness is no news to them.
    pub fn expire(&self, now: Instant, flow: &Arc<Flow>) {
        let taken = self.take(flow);
        let keys = [flow.egress, flow.returned];
        if flow.tcp.state() == TcpState::Closed {
            self.graves.forget(keys);
        } else {
            if taken {
                flow.tally.lives.count_idle_timeout();
            }
            let through_nat_gateway = flow.nat.as_ref().is_some_and(|n| n.0.is_some());
            self.graves.bury(keys, Tombstone { at: now, through_nat_gateway });
        }
    }

    /// What is left of an expired flow with this key.
    pub fn tombstone(&self, key: &FlowKey) -> Option<Tombstone> {
        self.graves.get(key)
    }

    /// Whether a TCP flow may have expired through a NAT gateway that no tombstone tells of any more.
    pub fn has_forgotten(&self) -> bool {
        self.graves.any_forgotten()
    }

    /// Expires the flows that were idle for too long, and forgets tombstones as old as the longest timeout.
    /// Calls `tell` with each flow that ends; returns how many do.
    pub fn sweep(&self, now: Instant, timeouts: &Timeouts, tell: impl Fn(&Flow)) -> usize {
        let mut over = Vec::new();
        self.limbo.sweep();
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
        self.graves.sweep(now, timeouts.longest());
        over.len()
    }

    /// Forgets the flows that `is_over`, both directions and no tombstone; returns how many.
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

    /// Calls `visit` with every flow once, settled.
    pub fn for_each(&self, mut visit: impl FnMut(&FlowEntry<O>)) {
        for entry in &self.entries {
            if entry.side == Side::Egress {
                entry.flow.settle();
                visit(&entry);
            }
        }
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.entries.len() / 2
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every table's size, for the expected-state tests.
    #[cfg(test)]
    pub fn census(&self, census: &mut Census) {
        let Self { entries, graves, limbo } = self;
        let count = |side| entries.iter().filter(|e| e.side == side).count();
        census.add("flows", count(Side::Egress));
        census.add("return entries", count(Side::Return));
        graves.census(census);
        limbo.census(census);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Space;
    use crate::packet::{TcpFacts, TcpFlags, Tuple};
    use std::net::Ipv4Addr;

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
            admitted_by: RuleRef::Packet,
            admitted_under: Generation(1),
            tally: Arc::default(),
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

    /// One worker walks a flow again while another ends it: it must not come back, least of all over its successor.
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

    /// What is found by one key only would never be swept, nor would its ports come back.
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

    /// A worker may still hold a flow whose keys another flow has taken over.
    #[test]
    fn removing_a_flow_does_not_remove_its_successor() {
        let (old, new) = (flow(Protocol::Udp, 1), flow(Protocol::Udp, 1));
        let table = with(&[&old, &new]);
        table.remove(&old);
        assert_eq!(table.len(), 1);
        assert!(table.get(&new.egress).is_some_and(|e| Arc::ptr_eq(&e.flow, &new)));
    }

    #[test]
    fn a_sweep_ends_what_was_idle_and_buries_tombstones_in_the_end() {
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

    /// Whatever the settings: the lifetime was once that of the protocols without a timeout of their own.
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
    fn a_flow_counts_for_itself_and_leaves_that_to_its_path() {
        let flow = flow(Protocol::Udp, 1);
        flow.count(Instant(1), Side::Egress, 3, 4500);
        flow.count(Instant(2), Side::Egress, 1, 40);
        flow.count(Instant(3), Side::Return, 1, 60);
        let counted = |c: &Counters| (c.packets(), c.segments(), c.bytes());
        assert_eq!(counted(&flow.sent), (2, 4, 4540));
        assert_eq!(flow.last_seen(), Instant(3));
        let tally = Arc::clone(&flow.tally);
        drop(flow);
        assert_eq!(counted(&tally.over.sent), (2, 4, 4540));
        assert_eq!(counted(&tally.over.received), (1, 1, 60));
    }

    #[test]
    fn flows_are_forgotten_by_a_predicate() {
        let (one, two) = (flow(Protocol::Udp, 1), flow(Protocol::Udp, 2));
        let table = with(&[&one, &two]);
        assert_eq!(table.remove_where(|f| f.egress.tuple().sport == 1), 1);
        let mut left = Vec::new();
        table.for_each(|e| left.push(e.flow.egress.tuple().sport));
        assert_eq!(left, [2]);
    }
}
