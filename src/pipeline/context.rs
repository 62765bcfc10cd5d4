//! The arguments that every function that judges a packet needs.

use super::arrival::{Arrival, device_of};
use super::evaluation::{Evaluation, Probe};
use super::leases::{Leases, Purpose};
use super::tables::Tables;
use super::{Denial, Off, Reason, Stage, Verdict};
use crate::flow::{FlowKey, Instant};
use crate::packet::Packet;
use crate::vpc::{RuleRef, Snapshot, Task};
use std::cell::Cell;
use std::net::Ipv4Addr;

/// The circumstances of one packet.
pub(super) struct Context<'a, R> {
    pub(super) tables: &'a Tables,
    pub(super) now: Instant,
    pub(super) snapshot: &'a Snapshot,
    pub(super) arrival: Arrival,
    /// Receives the packet that egret itself sends back.
    pub(super) answer: &'a mut [u8],
    pub(super) recorder: &'a mut R,
}

/// A configuration at one moment, for work that concerns no single packet.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) tables: &'a Tables,
    pub(super) now: Instant,
    pub(super) snapshot: &'a Snapshot,
}

impl<'a, R> Context<'a, R> {
    /// Returns the circumstances without the packet's own.
    pub(super) fn moment(&self) -> Moment<'a> {
        Moment { tables: self.tables, now: self.now, snapshot: self.snapshot }
    }

    /// Returns the key by which the flow table knows a packet.
    #[inline]
    pub(super) fn key(&self, packet: &Packet<'_>) -> FlowKey {
        FlowKey::new(self.arrival.space, packet.tuple())
    }

    /// Returns the same circumstances with another recorder.
    pub(super) fn recording<'b, S>(&'b mut self, recorder: &'b mut S) -> Context<'b, S> {
        let Self { tables, now, snapshot, arrival, .. } = *self;
        Context { tables, now, snapshot, arrival, answer: self.answer, recorder }
    }

    /// Evaluates with a recorder that records nothing.
    pub(super) fn quietly<T>(&mut self, evaluate: impl FnOnce(&mut Context<'_, Off>) -> T) -> T {
        evaluate(&mut self.recording(&mut Off))
    }

    /// Returns the task that has an address, if it is attached to the device from which the packet
    /// was read.
    pub(super) fn task_here(&self, address: Ipv4Addr) -> Option<Task> {
        let is_here = |task: &&Task| device_of(self.snapshot, task) == Some(self.arrival.device);
        self.snapshot.task(address).filter(is_here).copied()
    }

    /// Begins the evaluation of a probe's path.
    pub(super) fn evaluation<'e>(
        &'e mut self,
        probe: Probe,
        purpose: Purpose<'e>,
    ) -> Evaluation<'e, R> {
        let leases =
            Leases { now: self.now, pools: &self.tables.pools, purpose, peeked: Cell::new(0) };
        let (snapshot, recorder) = (self.snapshot, &mut *self.recorder);
        Evaluation { snapshot, probe, leases, recorder, expired_at: None }
    }
}

/// Drops a packet that is itself the cause, or that needs a flow and has none.
pub(super) fn drop_packet(reason: Reason) -> Verdict {
    let in_table = reason.stage() == Stage::FlowTable;
    let decided_by = if in_table { RuleRef::FlowTable } else { RuleRef::Packet };
    Verdict::Drop { reason, decided_by }
}

/// The denial of a task's packet that was read from a device to which the task is not attached.
pub(super) const NOT_HERE: Denial =
    Denial { reason: Reason::SourceUnknown, decided_by: RuleRef::SourceCheck };

/// The denial of a flow that this configuration would send by another gateway, where it has no
/// port.
pub(super) const MOVED: Denial =
    Denial { reason: Reason::FlowMoved, decided_by: RuleRef::FlowTable };
