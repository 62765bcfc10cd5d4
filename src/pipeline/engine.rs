//! The engine of one lab: its tables, and its entry points. The files below do the work of each.

use super::arrival::{Arrival, SpaceAddr};
use super::context::{Context, Moment};
use super::evaluation::Probe;
use super::forecast::{self, Forecast};
use super::judge::{Judged, Received, judge};
use super::leases::Purpose;
use super::observe::port_holders::{self, PortHolders};
use super::observe::totals::NatPair;
use super::observe::watchers::{FlowEvent, Watch, Watchers, Wish};
use super::observe::{drops::Drops, nat_metrics, nat_metrics::NatMetrics, tell, watched};
use super::offload::{self, Candidate};
use super::outcome::FlowOutcome;
use super::tables::Tables;
use super::{Denial, Device, Evidence, Off, Step, fragments, handover, walk};
use crate::flow::{
    CacheCounters, DatagramKey, Flow, FlowKey, FlowTable, HandoverRecord, Instant, Side, Space,
    SummedCounters,
};
use crate::packet::Inside;
use crate::vpc::{Interface, RuleRef, Snapshot, Task};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The engine of one lab, shared by all its workers.
#[derive(Debug)]
pub struct Engine {
    tables: Tables,
}

impl Engine {
    /// Makes an engine that knows no flow. `seed` decides hashing and the choice of ports.
    pub fn new(seed: u64) -> Self {
        Self { tables: Tables::new(seed) }
    }

    /// Lets flows ask to be offloaded ([`Judged::offload`]).
    #[must_use]
    pub fn offloading(self) -> Self {
        Self { tables: Tables { offloads: true, ..self.tables } }
    }

    /// Lets flows ask to be offloaded from their first packets on: a flow that is not offloaded is
    /// lost with the process.
    #[must_use]
    pub fn offloading_at_once(self) -> Self {
        self.tables.flows.offload_at_once();
        self.offloading()
    }

    /// Parses the bytes that a worker has read and judges the packet. `answer` receives the packet
    /// that egret itself sends back.
    #[inline]
    pub fn judge(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        received: Received<'_>,
        answer: &mut [u8],
    ) -> Judged {
        let moment = self.at(now, snapshot);
        if self.tables.watchers.any() {
            return watched::judge_watched(&moment, received, answer);
        }
        judge(&moment, received, answer, &mut Off)
    }

    /// Judges like [`Engine::judge`], with a recorder.
    #[cfg(test)]
    pub(super) fn judge_recording<R: super::Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        received: Received<'_>,
        recorder: &mut R,
    ) -> Judged {
        judge(&self.at(now, snapshot), received, &mut [0; 2048], recorder)
    }

    /// Returns the evidence for a packet, without sending it, taking a port, or making a flow: the
    /// answer to `egret explain`.
    pub fn explain(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        task: &Task,
        inside: Inside,
        icmp: (u8, u8),
    ) -> Evidence {
        let mut steps: Vec<Step> = Vec::new();
        let probe = Probe::new(*task, inside, icmp);
        let mut context = self.without_packet(now, snapshot, &mut steps);
        let walked = walk::walk(&mut context.evaluation(probe, Purpose::DryRun));
        let (outside, admitted_by, denial) = match walked {
            Ok(passed) => (Some(passed.outside), Some(passed.admitted_by), passed.reply_denied),
            Err(denial) => (None, None, Some(denial)),
        };
        Evidence { generation: snapshot.generation, inside, outside, denial, admitted_by, steps }
    }

    /// Returns the rule that admits a packet, or the denial of the packet or its reply:
    /// [`Engine::explain`] without the evidence.
    ///
    /// # Errors
    /// The denial that `explain` gives.
    pub fn check(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        task: &Task,
        inside: Inside,
        icmp: (u8, u8),
    ) -> Result<RuleRef, Denial> {
        let mut off = Off;
        let mut context = self.without_packet(now, snapshot, &mut off);
        let probe = Probe::new(*task, inside, icmp);
        let passed = walk::walk(&mut context.evaluation(probe, Purpose::DryRun))?;
        passed.reply_denied.map_or(Ok(passed.admitted_by), Err)
    }

    /// Forecasts the effect of `snapshot`, which is not applied yet, on a flow. Its generation must
    /// be newer than the flow's.
    pub fn forecast(&self, now: Instant, snapshot: &Snapshot, flow: &Flow) -> Forecast {
        forecast::forecast(&mut self.without_packet(now, snapshot, &mut Off), flow)
    }

    /// Resumes a flow of another process with its ports. The caller calls this before any packet is
    /// judged.
    ///
    /// # Errors
    /// The flow would leave by another gateway, or its task or its ports no longer exist.
    pub fn adopt(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        record: &HandoverRecord,
        carried: [CacheCounters; 2],
    ) -> Result<(), Denial> {
        handover::adopt(&mut self.without_packet(now, snapshot, &mut Off), record, carried)
    }

    /// Returns the verdicts by which to offload a flow that asked for it ([`Judged::offload`]);
    /// `None` if it is to stay in user space.
    pub fn candidate(&self, snapshot: &Snapshot, key: &FlowKey) -> Option<Candidate> {
        offload::candidate(&self.tables, snapshot, key)
    }

    /// Withdraws a flow that has just been offloaded, if it must no longer be.
    pub fn confirm(&self, snapshot: &Snapshot, candidate: &Candidate) {
        offload::confirm(&self.tables, snapshot, candidate);
    }

    /// Begins to watch, until the [`Watch`] is dropped. User space handles the packets that are
    /// watched.
    #[must_use]
    pub fn watch(&self, snapshot: &Snapshot, wish: Wish) -> Watch {
        offload::watch(&self.tables, snapshot, wish)
    }

    /// Adds the counts of packets that the kernel has forwarded to every counter.
    pub fn sync(&self) {
        // A visit syncs a flow, and the totals of its NATs with it.
        self.tables.flows.for_each(|_| {});
    }

    /// Ends flows that were idle for too long, and returns their number. The caller calls this
    /// about once a second; more often does no harm.
    pub fn sweep(&self, now: Instant, snapshot: &Snapshot) -> usize {
        let (tables, timeouts) = (&self.tables, &snapshot.parts().timeouts);
        let moment = self.at(now, snapshot);
        tables.pools.set_now(now);
        let tell = |flow: &Flow| tell::tell_end(&moment, flow, FlowEvent::Expired);
        let ended = tables.flows.sweep(now, timeouts, tell);
        tables.pools.sweep(now, timeouts.port_quarantine);
        for held in tables.fragments.sweep(now) {
            fragments::count_unclaimed(&moment, held);
        }
        ended
    }

    /// Removes the flows of a task that was removed; returns their number.
    pub fn forget_task(&self, now: Instant, snapshot: &Snapshot, address: Ipv4Addr) -> usize {
        self.forget_flows(now, snapshot, |flow| flow.inside().src() == address)
    }

    /// Removes the flows for which `ends` is true; returns their number.
    pub fn forget_flows(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        mut ends: impl FnMut(&Flow) -> bool,
    ) -> usize {
        let moment = self.at(now, snapshot);
        self.tables.flows.remove_where(|flow| {
            let ends = ends(flow);
            if ends {
                tell::tell_end(&moment, flow, FlowEvent::Evicted);
            }
            ends
        })
    }

    /// Drops the records of ENIs and NAT gateways whose addresses this configuration does not have.
    /// The caller calls this when no packet is judged under an earlier configuration any more.
    pub fn forget_addresses(&self, snapshot: &Snapshot) {
        let exists = |(space, address): SpaceAddr| {
            // App Runner's own egress is not an interface.
            space == Space::INTERNET
                || snapshot.vpc_in(space).is_some_and(|vpc| {
                    match snapshot.interface(vpc, address) {
                        Some(Interface::Eni(_) | Interface::NatGateway(_)) => true,
                        Some(Interface::Resource(_)) | None => false,
                    }
                })
        };
        self.tables.totals.retain(snapshot);
        self.tables.nat_drops.retain(exists);
        self.tables.resolver_limit.retain(exists);
        self.tables.pools.retain_rotations(exists);
    }

    /// Writes the next of the fragments that were held for a datagram into `out`, in the order of
    /// the datagram, and returns its length. The caller judges it like any other packet, and
    /// repeats this until there is none.
    pub fn next_held(&self, datagram: &DatagramKey, out: &mut [u8]) -> Option<usize> {
        self.tables.fragments.release(datagram, out)
    }

    /// Returns the counts of the NATs of this configuration, per pair, in no order. Every flow is
    /// visited.
    pub fn tallies(&self, snapshot: &Snapshot) -> Vec<(NatPair, SummedCounters)> {
        self.tables.totals.tallies(&self.tables.flows, snapshot)
    }

    /// Returns the metrics of every NAT gateway of this configuration, in its order. Every flow is
    /// visited.
    pub fn nat_metrics(&self, now: Instant, snapshot: &Snapshot) -> Vec<NatMetrics> {
        nat_metrics::all(&self.at(now, snapshot))
    }

    /// Returns the fullest pools of ports, each with the tasks that hold most of its ports, the
    /// fullest first. Every flow is visited.
    pub fn port_holders(&self, snapshot: &Snapshot) -> Vec<PortHolders> {
        port_holders::fullest(&self.tables.flows, snapshot)
    }

    /// Returns the watchers.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.tables.watchers
    }

    /// Returns the flow table.
    pub fn flows(&self) -> &FlowTable<FlowOutcome> {
        &self.tables.flows
    }

    /// Returns the counts of drops.
    pub fn drops(&self) -> &Drops {
        &self.tables.drops
    }

    /// Returns the tables, for tests of their contents.
    #[cfg(test)]
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    #[inline]
    fn at<'a>(&'a self, now: Instant, snapshot: &'a Snapshot) -> Moment<'a> {
        Moment { tables: &self.tables, now, snapshot }
    }

    /// Makes a context for work that no packet causes: no device, and no room for an answer.
    fn without_packet<'a, R>(
        &'a self,
        now: Instant,
        snapshot: &'a Snapshot,
        recorder: &'a mut R,
    ) -> Context<'a, R> {
        let nat = (Space::INTERNET, Ipv4Addr::UNSPECIFIED);
        let (device, space, side) = (Device::AppRunner, Space::TASKS, Side::Egress);
        let arrival = Arrival { device, nat, space, side };
        Context { tables: &self.tables, now, snapshot, arrival, answer: &mut [], recorder }
    }
}
