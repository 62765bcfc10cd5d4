//! The engine of one lab: its tables, and everything that is asked of them. What each question does is in the files below.

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

    /// Lets flows ask to be offloaded from their first packets on: what is not is lost with the process.
    #[must_use]
    pub fn offloading_at_once(self) -> Self {
        self.tables.flows.offload_at_once();
        self.offloading()
    }

    /// Parses what was read and judges it: what a worker calls. `answer` takes what egret sends back itself.
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

    /// Judges as [`Engine::judge`] does, with a recorder.
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

    /// Shows what a packet would meet, without sending it, taking a port, or making a flow: the answer to `egret explain`.
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

    /// Decides what admits a packet, or why it or its reply is dropped: [`Engine::explain`] without the evidence.
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

    /// Forecasts what `snapshot`, which is not applied yet, makes of a flow. Its generation must be newer than the flow's.
    pub fn forecast(&self, now: Instant, snapshot: &Snapshot, flow: &Flow) -> Forecast {
        forecast::forecast(&mut self.without_packet(now, snapshot, &mut Off), flow)
    }

    /// Resumes a flow of another process with the ports that it had; to be called before any packet is judged.
    ///
    /// # Errors
    /// The flow would leave by another gateway, or its task or its ports do not exist any more.
    pub fn adopt(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        record: &HandoverRecord,
        carried: [CacheCounters; 2],
    ) -> Result<(), Denial> {
        handover::adopt(&mut self.without_packet(now, snapshot, &mut Off), record, carried)
    }

    /// Returns by what to carry a flow that asked to be offloaded ([`Judged::offload`]); `None` if it is to stay in user
    /// space.
    pub fn candidate(&self, snapshot: &Snapshot, key: &FlowKey) -> Option<Candidate> {
        offload::candidate(&self.tables, snapshot, key)
    }

    /// Takes a flow back that has just been offloaded, if it is not to be any longer.
    pub fn confirm(&self, snapshot: &Snapshot, candidate: &Candidate) {
        offload::confirm(&self.tables, snapshot, candidate);
    }

    /// Begins to watch, until the [`Watch`] is dropped. What is watched is carried in user space.
    #[must_use]
    pub fn watch(&self, snapshot: &Snapshot, wish: Wish) -> Watch {
        offload::watch(&self.tables, snapshot, wish)
    }

    /// Adds what the kernel has carried by itself to every counter.
    pub fn sync(&self) {
        // A visit syncs a flow, and the totals of its NATs with it.
        self.tables.flows.for_each(|_| {});
    }

    /// Ends what was idle for too long, and returns how many flows ended. To be called about once a second; calling it more
    /// often does no harm.
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

    /// Forgets the flows of a task that was removed; returns how many.
    pub fn forget_task(&self, now: Instant, snapshot: &Snapshot, address: Ipv4Addr) -> usize {
        self.forget_flows(now, snapshot, |flow| flow.inside().src() == address)
    }

    /// Forgets the flows for which `ends` is true; returns how many.
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

    /// Forgets what is kept for the addresses of ENIs and NAT gateways that this configuration does not have. To be called
    /// when no packet is judged under an earlier one any more.
    pub fn forget_addresses(&self, snapshot: &Snapshot) {
        let exists = |(space, address): SpaceAddr| {
            // App Runner's own egress is no interface.
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

    /// Writes the next of the fragments that were held for a datagram into `out`, in the order of the datagram, and returns
    /// its length. To be judged like any other, and called again until there is none.
    pub fn next_held(&self, datagram: &DatagramKey, out: &mut [u8]) -> Option<usize> {
        self.tables.fragments.release(datagram, out)
    }

    /// Returns what the NATs of this configuration carried together, in no order. Every flow is visited.
    pub fn tallies(&self, snapshot: &Snapshot) -> Vec<(NatPair, SummedCounters)> {
        self.tables.totals.tallies(&self.tables.flows, snapshot)
    }

    /// Returns the metrics of every NAT gateway of this configuration, in its order. Every flow is visited.
    pub fn nat_metrics(&self, now: Instant, snapshot: &Snapshot) -> Vec<NatMetrics> {
        nat_metrics::all(&self.at(now, snapshot))
    }

    /// Returns the fullest pools of ports with those who hold the most of them, the fullest first. Every flow is visited.
    pub fn port_holders(&self, snapshot: &Snapshot) -> Vec<PortHolders> {
        port_holders::fullest(&self.tables.flows, snapshot)
    }

    /// Returns those who watch.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.tables.watchers
    }

    /// Returns the flow table.
    pub fn flows(&self) -> &FlowTable<FlowOutcome> {
        &self.tables.flows
    }

    /// Returns the drops.
    pub fn drops(&self) -> &Drops {
        &self.tables.drops
    }

    /// Returns the tables, for tests of what is kept.
    #[cfg(test)]
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    #[inline]
    fn at<'a>(&'a self, now: Instant, snapshot: &'a Snapshot) -> Moment<'a> {
        Moment { tables: &self.tables, now, snapshot }
    }

    /// Makes a context for what no packet brings about: no device, and no room for an answer.
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
