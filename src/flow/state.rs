//! The state of one flow.

use super::cache_entries::{CacheEntries, CounterDelta, CounterSink};
use super::offload_state::{OFFLOADED, Offload};
use super::{
    Counters, EgressTotals, FlowKey, Instant, PoolKey, PortLease, Side, TcpState, TcpTracker,
};
use crate::packet::{Inside, Outside, Protocol};
use crate::vpc::{
    EniIx, Generation, Interface, NatGatewayIx, RuleRef, ServiceIx, Snapshot, Space, Timeouts,
};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One conversation between a task and a destination.
#[derive(Debug)]
pub struct Flow {
    /// Packets from the task.
    pub egress: FlowKey,
    /// Packets back to it, as they arrive from outside.
    pub returned: FlowKey,
    /// The service of the task.
    pub service: ServiceIx,
    /// The ENI and the flow's port at it; `None` for App Runner's own egress.
    pub eni: Option<(EniIx, PortLease)>,
    /// The last NAT on the path out, if there is one after the ENI.
    pub nat: Option<(Option<NatGatewayIx>, PortLease)>,
    /// The private address of the public endpoint that admitted it, in its VPC's space; `None` if
    /// its destination is not a public endpoint. Another interface that gets the public address has
    /// not admitted it.
    pub endpoint: Option<(Space, Ipv4Addr)>,
    /// The rule that admitted it.
    pub admitted_by: RuleRef,
    /// Set if its ENI does not track it: then rules of the ENI's groups must allow each of its
    /// packets (spec 4.4).
    pub untracked: bool,
    /// The generation that `admitted_by`, `eni`, `nat` and `service` belong to: in another one
    /// their positions refer to other objects. See [`Flow::eni_in`], [`Flow::nat_gateway_in`] and
    /// [`Flow::service_in`].
    pub admitted_under: Generation,
    /// TCP state; unused for other protocols.
    pub tcp: TcpTracker,
    /// From the task.
    pub sent: Counters,
    /// Back to the task.
    pub received: Counters,
    /// The totals of its egress, to which it adds its counts when it ends.
    pub totals: Arc<EgressTotals>,
    /// Arrival of its first packet.
    pub began: Instant,
    last_seen: AtomicU64,
    pub(super) offload: Offload,
}

/// The facts with which a [`Flow`] begins.
#[derive(Debug)]
pub struct FlowStart {
    /// Packets from the task.
    pub egress: FlowKey,
    /// Packets back to it, as they arrive from outside.
    pub returned: FlowKey,
    /// The service of the task.
    pub service: ServiceIx,
    /// The ENI and the flow's port at it.
    pub eni: Option<(EniIx, PortLease)>,
    /// The last NAT on the path out.
    pub nat: Option<(Option<NatGatewayIx>, PortLease)>,
    /// The private address of the public endpoint that admitted it.
    pub endpoint: Option<(Space, Ipv4Addr)>,
    /// The rule that admitted it.
    pub admitted_by: RuleRef,
    /// Set if its ENI does not track it.
    pub untracked: bool,
    /// The generation that the rule belongs to.
    pub admitted_under: Generation,
    /// The totals of its egress.
    pub totals: Arc<EgressTotals>,
}

impl Flow {
    /// Returns the tuple of the packets from the task, as the task sends them.
    #[inline]
    pub fn inside(&self) -> Inside {
        Inside::new(self.egress.tuple())
    }

    /// Returns the tuple of the same packets, as the server receives them.
    #[inline]
    pub fn outside(&self) -> Outside {
        Outside::new(self.returned.tuple().reversed())
    }

    /// Makes a flow that begins now.
    pub fn new(now: Instant, start: FlowStart) -> Self {
        let FlowStart {
            egress,
            returned,
            service,
            eni,
            nat,
            endpoint,
            admitted_by,
            untracked,
            admitted_under,
            totals,
        } = start;
        if egress.tuple().protocol == Protocol::Tcp {
            totals.lives.count_attempt();
        }
        Self {
            egress,
            returned,
            service,
            eni,
            nat,
            endpoint,
            admitted_by,
            untracked,
            admitted_under,
            totals,
            tcp: TcpTracker::default(),
            sent: Counters::default(),
            received: Counters::default(),
            began: now,
            last_seen: AtomicU64::new(now.0),
            offload: Offload::default(),
        }
    }

    /// Returns the ENI's position in this configuration, found by its address in its VPC.
    pub fn eni_in(&self, snapshot: &Snapshot) -> Option<EniIx> {
        let PoolKey { space, address, .. } = *self.eni.as_ref()?.1.key();
        match snapshot.interface(snapshot.vpc_in(space)?, address)? {
            Interface::Eni(ix) => Some(ix),
            Interface::NatGateway(_) | Interface::Resource(_) => None,
        }
    }

    /// Returns the NAT gateway's position in this configuration, found by the flow's address at the
    /// gateway: the public one toward the internet, the private one toward the VPC and its peers.
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

    /// Returns the position of the task's service in this configuration. Flows do not outlive their
    /// task.
    pub fn service_in(&self, snapshot: &Snapshot) -> Option<ServiceIx> {
        snapshot.task(self.egress.tuple().src).map(|task| task.service)
    }

    /// Marks its ports as used on the wire, so that they rest when they are given back.
    pub fn mark_ports_used(&self) {
        let (eni, nat) = (self.eni.as_ref(), self.nat.as_ref());
        let leases = eni.map(|(_, lease)| lease).into_iter().chain(nat.map(|(_, lease)| lease));
        leases.for_each(PortLease::mark_used);
    }

    /// Counts a packet that passes, and restarts the idle timer.
    #[inline]
    pub fn count(&self, now: Instant, side: Side, segments: u32, bytes: u64) {
        self.count_only(side, segments, bytes);
        self.last_seen.store(now.0, Relaxed);
    }

    /// Counts a packet that passes and does not restart the idle timer.
    #[inline]
    pub fn count_only(&self, side: Side, segments: u32, bytes: u64) {
        match side {
            Side::Egress => self.sent.add(segments, bytes),
            Side::Return => self.received.add(segments, bytes),
        }
        self.tell_cache(side);
    }

    /// Informs the flow cache of what was observed of a direction of an offloaded TCP flow: in a
    /// segment that was punted, for instance.
    #[inline]
    fn tell_cache(&self, side: Side) {
        if self.offload.is(OFFLOADED) && self.egress.tuple().protocol == Protocol::Tcp {
            self.tell_offloaded(side);
        }
    }

    #[cold]
    fn tell_offloaded(&self, side: Side) {
        if let Some(active) = self.offload.active().as_deref() {
            self.tell(side, &*active.entries);
        }
    }

    /// Informs these cache entries of what was observed of a direction, if the flow is TCP.
    pub(super) fn tell(&self, side: Side, entries: &dyn CacheEntries) {
        if self.egress.tuple().protocol == Protocol::Tcp {
            let [sent, received] = self.tcp.windows();
            entries.tell(side, if side == Side::Egress { sent } else { received });
        }
    }

    /// Returns when its last packet passed, in either direction.
    #[inline]
    pub fn last_seen(&self) -> Instant {
        Instant(self.last_seen.load(Relaxed))
    }

    /// Moves the time of the last packet forward to `at`, for a packet that was counted elsewhere.
    pub(super) fn saw(&self, at: Instant) {
        self.last_seen.fetch_max(at.0, Relaxed);
    }

    /// Returns the time for which the flow may be idle in its present state.
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

    /// Returns whether no NAT follows the ENI.
    #[inline]
    fn is_tracked_by_an_eni_alone(&self) -> bool {
        self.eni.is_some() && self.nat.is_none()
    }

    /// Returns whether there was more than one request and reply (spec 4.4).
    #[inline]
    fn is_stream(&self) -> bool {
        self.sent.packets() > 1 && self.received.packets() > 1
    }

    /// Returns whether it has been idle for too long.
    #[inline]
    pub fn is_expired(&self, now: Instant, timeouts: &Timeouts) -> bool {
        now.since(self.last_seen()) > self.idle_timeout(timeouts)
    }
}

impl CounterSink for Flow {
    fn add_delta(&self, side: Side, delta: CounterDelta) {
        let CounterDelta { packets, segments, bytes, last_seen, window } = delta;
        let is_egress = side == Side::Egress;
        let counters = if is_egress { &self.sent } else { &self.received };
        counters.add_offloaded(packets, segments, bytes);
        self.saw(last_seen);
        if self.egress.tuple().protocol == Protocol::Tcp {
            self.tcp.catch_up(is_egress, window);
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.totals.ended.gather(&self.sent, &self.received);
        if self.tcp.was_established() {
            self.totals.lives.count_established();
        }
    }
}
