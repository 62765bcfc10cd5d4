//! The engine: a packet in, a verdict out. No sockets, no clock, no formatting; every packet gets a verdict.

use super::admission::can_start;
use super::arrival::{Arrival, Place};
use super::drops::{DropKey, Drops};
use super::fragments::ReadFrom;
use super::nat_metrics::NatDrops;
use super::paths::Places;
use super::port_lease::{Leases, Purpose};
use super::walk::{Path, Probe, Walk};
use super::{
    Component, Denial, Detail, Device, Evidence, Link, Off, Outcome, Reason, Recorder, Stage, Step,
    Turn, Verdict, Watchers, exempt, fragments, icmp,
};
use crate::flow::{
    DatagramKey, EgressTotals, Flow, FlowEntry, FlowKey, FlowTable, Fragments, Instant, PortPools,
    Side, TcpState,
};
use crate::packet::{Fragment, IcmpKind, Packet, Protocol, Rewrite, Tuple, VnetHeader};
use crate::vpc::{Generation, RuleRef, Snapshot, Task};
use dashmap::DashMap;
use foldhash::fast::FixedState;
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What is remembered of a flow's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOutcome {
    /// Rewrite and send on.
    Forward(Forward),
    /// Drop.
    Drop(Denial),
}

/// How packets of one direction are sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The only NAT at whose device they may be read, for packets of a task: their key does not say where it is attached.
    /// A reply's key does, by the NAT's address.
    pub read_at: Option<Place>,
    /// All header changes.
    pub rewrite: Rewrite,
    /// Where they leave.
    pub link: Link,
    /// The largest IP packet on that link.
    pub mtu: u16,
    /// What the MSS of a SYN is lowered to; `None` where no NAT gateway is on the way (spec 6).
    pub max_mss: Option<u16>,
    /// Who sends time exceeded and fragmentation needed; `None` where nothing may be sent to the packet's sender.
    pub answers_from: Option<Ipv4Addr>,
}

/// A verdict on octets, with what to send: `len` octets of the packet in its place, under this header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Octets of the packet, which may be fewer than arrived.
    pub len: usize,
    /// The largest fragment to forward the packet in, in octets, if it must leave in fragments ([`Fragmenter`]). Its
    /// checksums are complete.
    ///
    /// [`Fragmenter`]: crate::packet::Fragmenter
    pub fragments_to: Option<u16>,
    /// The key of a packet whose flow the kernel may carry by itself from here on: [`Engine::candidate`] says by what. If
    /// the kernel carries it already, the packet's direction is to be opened when it is sent on ([`Flow::release_barrier`]). Either is
    /// asked for once, until somebody has answered.
    pub offload: Option<FlowKey>,
    /// The datagram that it is the first fragment of, if others were held for it: [`Engine::next_held`] has them.
    pub releases: Option<DatagramKey>,
}

/// The engine of one lab, shared by all its workers.
#[derive(Debug)]
pub struct Engine {
    flows: FlowTable<FlowOutcome>,
    pub(super) pools: Arc<PortPools>,
    fragments: Fragments<(Generation, Denial), ReadFrom>,
    drops: Drops,
    watchers: Arc<Watchers>,
    pub(super) nat_drops: NatDrops,
    pub(super) tallies: DashMap<Places, Arc<EgressTotals>, FixedState>,
    pub(super) to_resolver: exempt::ToResolver,
    /// Whether the kernel may carry flows by itself.
    pub(super) offloads: bool,
}

impl Engine {
    /// An engine that knows no flow. `seed` decides hashing and the choice of ports.
    pub fn new(seed: u64) -> Self {
        Self {
            flows: FlowTable::new(seed),
            pools: PortPools::new(seed),
            fragments: Fragments::new(seed),
            drops: Drops::new(seed),
            watchers: Arc::default(),
            nat_drops: NatDrops::new(seed),
            tallies: DashMap::with_hasher(FixedState::with_seed(seed)),
            to_resolver: exempt::ToResolver::new(seed),
            offloads: false,
        }
    }

    /// The same, for somebody who makes entries in the kernel for the flows that it asks for ([`Judged::offload`]).
    #[must_use]
    pub fn offloading(self) -> Self {
        Self { offloads: true, ..self }
    }

    /// The same, and what can be carried by the kernel is from its first packets on: what is not is lost with the process.
    #[must_use]
    pub fn offloading_at_once(self) -> Self {
        self.flows.offload_at_once();
        self.offloading()
    }

    /// Parses octets and judges them: what a worker calls. `reply` takes what egret answers.
    #[inline]
    pub fn judge(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        octets: &mut [u8],
        vnet: VnetHeader,
        reply: &mut [u8],
    ) -> Judged {
        if self.watchers.any() {
            return self.judge_watched(now, snapshot, device, octets, vnet, reply);
        }
        self.judge_recording(now, snapshot, device, octets, vnet, reply, &mut Off)
    }

    #[inline]
    #[expect(clippy::too_many_arguments, reason = "those of `judge`, and the recorder")]
    pub(super) fn judge_recording<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        octets: &mut [u8],
        vnet: VnetHeader,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Judged {
        match Packet::parse(octets, vnet) {
            Ok(mut packet) => {
                let first = fragments::first_of(snapshot, device, &packet);
                let tuple = packet.tuple();
                let verdict = self.handle(now, snapshot, device, &mut packet, reply, recorder);
                let releases = first.filter(|datagram| self.fragments.holds(datagram));
                let (len, fragments_to) = (packet.len(), packet.fragments_to());
                let offload = packet
                    .is_marked()
                    .then(|| FlowKey::new(Arrival::of(snapshot, device, tuple.dst).space, tuple));
                Judged { verdict, len, fragments_to, offload, releases }
            }
            Err(malformed) => {
                let denial =
                    Denial { reason: Reason::from(malformed), decided_by: RuleRef::Packet };
                let unknown = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, Protocol::Other(0), 0);
                self.drops
                    .count(now, DropKey::new(snapshot.generation, device, None, denial, unknown));
                let verdict = denial.into();
                Judged { verdict, len: 0, fragments_to: None, offload: None, releases: None }
            }
        }
    }

    /// Judges a packet that was read from `device`: flow table first, the walk on a miss or under a new generation
    /// (spec 13). A forwarded packet is rewritten in place; what egret answers itself is written into `reply`.
    #[inline]
    pub fn handle<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        let tuple = packet.tuple();
        let arrival = Arrival::of(snapshot, device, tuple.dst);
        let verdict = match self.judge_exempt(now, snapshot, device, packet, recorder) {
            Some(verdict) => verdict,
            None => self.decide(now, snapshot, arrival, packet, reply, recorder),
        };
        match verdict {
            Verdict::Forward { .. } => {
                if packet.fragments_to().is_some() {
                    self.prepare_fragmenting(arrival, packet);
                }
            }
            Verdict::Hold => {}
            Verdict::Reply { reason, decided_by, .. } | Verdict::Drop { reason, decided_by } => {
                self.count_drop(now, snapshot, arrival, Denial { reason, decided_by }, tuple);
            }
        }
        verdict
    }

    #[inline]
    fn decide<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        if packet.fragment() != Fragment::Whole {
            return self.decide_fragment(now, snapshot, arrival, packet, reply, recorder);
        }
        self.decide_unfragmented(now, snapshot, arrival, packet, reply, recorder)
    }

    /// Judges a packet that has all of its headers.
    #[inline]
    pub(super) fn decide_unfragmented<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        packet: &mut Packet<'_>,
        reply: &mut [u8],
        recorder: &mut R,
    ) -> Verdict {
        let key = FlowKey::new(arrival.space, packet.tuple());
        match (packet.icmp(), arrival.side) {
            (None, _)
            | (Some(IcmpKind::EchoRequest), Side::Egress)
            | (Some(IcmpKind::EchoReply), Side::Return) => {}
            (Some(IcmpKind::Error { icmp_type, code, quoted }), _) => {
                let error = icmp::IcmpError { icmp_type, code, quoted };
                return self.translate_error(now, snapshot, arrival, error, packet, recorder);
            }
            // The tuples of all others may be that of an echo with the identifier 0: the flow table is not for them.
            (Some(IcmpKind::EchoRequest), Side::Return) => {
                return self.refuse(now, snapshot, arrival, &key, packet, recorder).into();
            }
            (Some(IcmpKind::EchoReply), Side::Egress) | (Some(IcmpKind::Other { .. }), _) => {
                return drop_packet(Reason::IcmpUnsupported);
            }
        }
        let known = match self.flows.get(&key) {
            Some(entry) if is_current(now, snapshot, &entry, packet) => {
                if R::ON {
                    record_hit(snapshot, &entry, recorder);
                }
                return self.send_current(
                    now,
                    snapshot,
                    arrival.place,
                    entry,
                    packet,
                    reply,
                    recorder,
                );
            }
            Some(entry) => Some((Arc::clone(&entry.flow), entry.side)),
            None => None,
        };
        match known {
            Some((flow, _)) if flow.is_expired(now, &snapshot.parts().timeouts) => {
                self.flows.expire(now, &flow)
            }
            Some((flow, Side::Egress)) if starts_anew(&flow, packet) => self.flows.remove(&flow),
            Some((flow, _)) => match self.walk_again(now, snapshot, &flow, recorder) {
                Ok(()) => {
                    let place = arrival.place;
                    return self.send_by(now, snapshot, place, &key, packet, reply, recorder);
                }
                Err(moved) if arrival.side == Side::Return || !can_start(packet) => {
                    return moved.into();
                }
                Err(_) => {}
            },
            None => {}
        }
        match arrival.side {
            Side::Egress => {
                match self.begin_flow(now, snapshot, arrival, &key, packet, reply, recorder) {
                    Ok(verdict) => verdict,
                    Err(denial) => self.answer_late(now, snapshot, &key, denial, packet, reply),
                }
            }
            Side::Return => self.refuse(now, snapshot, arrival, &key, packet, recorder).into(),
        }
    }

    /// What a packet would meet, without sending it, taking a port, or making a flow: the answer to `egret explain`.
    pub fn explain(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        task: &Task,
        inside: Tuple,
        icmp: (u8, u8),
    ) -> Evidence {
        let mut steps: Vec<Step> = Vec::new();
        let probe = Probe { inside, icmp, fragment: false, task: *task };
        let path = self.walk(now, snapshot, probe, Purpose::DryRun, &mut steps);
        let (outside, admitted_by, denial) = match path {
            Ok(path) => (Some(path.outside), Some(path.admitted_by), path.reply_denied),
            Err(denial) => (None, None, Some(denial)),
        };
        Evidence { generation: snapshot.generation, inside, outside, denial, admitted_by, steps }
    }

    /// What admits a packet, or why it or its reply dies: [`Engine::explain`] without the evidence, hence without cost.
    ///
    /// # Errors
    /// The denial that `explain` gives.
    pub fn check(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        task: &Task,
        inside: Tuple,
        icmp: (u8, u8),
    ) -> Result<RuleRef, Denial> {
        let probe = Probe { inside, icmp, fragment: false, task: *task };
        let path = self.walk(now, snapshot, probe, Purpose::DryRun, &mut Off)?;
        path.reply_denied.map_or(Ok(path.admitted_by), Err)
    }

    pub(super) fn walk<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        probe: Probe,
        purpose: Purpose<'_>,
        recorder: &mut R,
    ) -> Result<Path, Denial> {
        let leases = Leases { now, pools: &self.pools, purpose, peeked: Cell::new(0) };
        Walk { snapshot, probe, leases, recorder }.run()
    }

    /// Ends what was idle for too long. To be called about once a second; calling it more often does no harm.
    /// Returns how many flows ended.
    pub fn sweep(&self, now: Instant, snapshot: &Snapshot) -> usize {
        let timeouts = &snapshot.parts().timeouts;
        self.pools.set_now(now);
        let ended = self
            .flows
            .sweep(now, timeouts, |flow| self.tell_end(now, snapshot, flow, Turn::Expired));
        self.pools.sweep(now, timeouts.port_quarantine);
        for held in self.fragments.sweep(now) {
            self.count_unclaimed(now, snapshot, held);
        }
        ended
    }

    /// Forgets the flows of a task that is gone; returns how many.
    pub fn forget_task(&self, now: Instant, snapshot: &Snapshot, address: Ipv4Addr) -> usize {
        self.forget_flows(now, snapshot, |flow| flow.egress.tuple().src == address)
    }

    /// Forgets the flows that `is_over`; returns how many.
    pub fn forget_flows(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        mut is_over: impl FnMut(&Flow) -> bool,
    ) -> usize {
        self.flows.remove_where(|flow| {
            let over = is_over(flow);
            if over {
                self.tell_end(now, snapshot, flow, Turn::Evicted);
            }
            over
        })
    }

    /// Who watches.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// The flow table.
    pub fn flows(&self) -> &FlowTable<FlowOutcome> {
        &self.flows
    }

    /// The datagrams that come in fragments.
    pub(super) fn fragments(&self) -> &Fragments<(Generation, Denial), ReadFrom> {
        &self.fragments
    }

    /// The drops.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// The ports.
    #[cfg(test)]
    pub(super) fn pools(&self) -> &PortPools {
        &self.pools
    }

    /// Every counter and table size by name, for the expected-state tests.
    #[cfg(test)]
    pub(super) fn census(&self) -> crate::flow::Census {
        let Self {
            flows,
            pools,
            fragments,
            drops,
            nat_drops,
            tallies: _,
            to_resolver,
            watchers: _,
            offloads: _,
        } = self;
        let mut census = crate::flow::Census::default();
        flows.census(&mut census);
        flows.for_each(|entry| {
            if entry.flow.egress.tuple().protocol == Protocol::Tcp {
                census.add(entry.flow.tcp.state().as_str(), 1);
            }
            if let FlowOutcome::Drop(_) = entry.outcome {
                census.add("denied", 1);
            }
        });
        pools.census(&mut census);
        fragments.census(&mut census);
        drops.census(&mut census);
        nat_drops.census(&mut census);
        to_resolver.census(&mut census);
        for (places, crate::flow::SummedCounters { sent, received }) in self.carried() {
            let name = super::paths::name(places);
            census.add_packets(&format!("sent {name}"), sent.packets());
            census.add_packets(&format!("received {name}"), received.packets());
        }
        census
    }

    #[cold]
    pub(super) fn count_drop(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        denial: Denial,
        tuple: Tuple,
    ) {
        self.nat_drops.count(snapshot, denial);
        let own = |address| snapshot.task(address).map(|task| task.service);
        let (service, destination, port) = match arrival.side {
            Side::Egress => (own(tuple.src), tuple.dst, tuple.dport),
            Side::Return => match self.flows.get(&FlowKey::new(arrival.space, tuple)) {
                Some(entry) => {
                    (entry.flow.service_in(snapshot), entry.flow.egress.tuple().src, tuple.sport)
                }
                None => (own(tuple.src), tuple.dst, 0),
            },
        };
        let port = if tuple.protocol.has_ports() { port } else { 0 };
        let packet = (tuple.src, destination, tuple.protocol, port);
        let key = DropKey::new(snapshot.generation, arrival.device, service, denial, packet);
        self.drops.count(now, key);
    }
}

/// Whether an entry may be used as it is. One of a newer configuration may: another worker has that one already, this one
/// will have it with its next batch.
#[inline]
pub(super) fn is_current(
    now: Instant,
    snapshot: &Snapshot,
    entry: &FlowEntry<FlowOutcome>,
    packet: &Packet<'_>,
) -> bool {
    entry.generation >= snapshot.generation
        && !entry.flow.is_expired(now, &snapshot.parts().timeouts)
        && !(entry.side == Side::Egress && starts_anew(&entry.flow, packet))
}

/// A SYN on a flow that is over begins another one with the same tuple.
#[inline]
fn starts_anew(flow: &Flow, packet: &Packet<'_>) -> bool {
    packet.tcp().is_some_and(|tcp| tcp.flags.syn() && !tcp.flags.ack())
        && flow.tcp.state() == TcpState::Closed
}

/// A task's packet that was read where the task is not attached.
pub(super) const NOT_HERE: Denial =
    Denial { reason: Reason::SourceUnknown, decided_by: RuleRef::SourceCheck };

/// A drop that the packet itself is to blame for, or the want of a flow.
pub(super) fn drop_packet(reason: Reason) -> Verdict {
    let in_table = reason.stage() == Stage::FlowTable;
    let decided_by = if in_table { RuleRef::FlowTable } else { RuleRef::Packet };
    Verdict::Drop { reason, decided_by }
}

fn record_hit<R: Recorder>(snapshot: &Snapshot, entry: &FlowEntry<FlowOutcome>, recorder: &mut R) {
    let outcome = match entry.outcome {
        FlowOutcome::Forward(_) => Outcome::Pass,
        FlowOutcome::Drop(_) => Outcome::Drop,
    };
    let (task, service) = (entry.flow.egress.tuple().src, entry.flow.service_in(snapshot));
    recorder.step(Step {
        stage: Stage::FlowTable,
        component: service.map_or(Component::Task(task), Component::Service),
        rule: Some(entry.flow.admitted_by),
        outcome,
        detail: Detail::Tracked,
    });
}
