//! Packets of no flow, or of none any longer: why they go no further, and who is told.

use super::admission::attached_to;
use super::arrival::Arrival;
use super::engine::Engine;
use super::port_lease::Purpose;
use super::walk::Probe;
use super::{Denial, Off, Reason, Recorder, Verdict};
use crate::flow::{FlowKey, Instant};
use crate::packet::icmp::tcp_reset;
use crate::packet::{Fragment, Packet};
use crate::vpc::{RuleRef, Snapshot, Task};

impl Engine {
    /// Why a packet to a NAT's own address goes no further: late, unasked for, or a task's own.
    #[cold]
    pub(super) fn refuse<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        arrival: Arrival,
        key: &FlowKey,
        packet: &Packet<'_>,
        recorder: &mut R,
    ) -> Denial {
        let here = |task: &&Task| attached_to(snapshot, task) == Some(arrival.device);
        if let Some(&task) = snapshot.task(packet.src()).filter(here) {
            let probe = Probe {
                inside: packet.tuple(),
                icmp: packet.icmp_type_code(),
                fragment: false,
                task,
            };
            if let Err(denial) = self.walk(now, snapshot, probe, Purpose::DryRun, recorder) {
                return denial;
            }
        }
        let expired = self.flows().tombstone(key).is_some();
        let reason = if expired { Reason::FlowExpired } else { Reason::Unsolicited };
        Denial { reason, decided_by: RuleRef::FlowTable }
    }

    /// A late segment of a flow behind a NAT gateway is answered with RST, to the inside only (spec 6), however late it is:
    /// once an expired flow has been forgotten, any segment of no flow may be its, and is answered if it would go by a NAT
    /// gateway. Until then nothing but a flow that is known to have expired is.
    #[cold]
    pub(super) fn answer_late(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        key: &FlowKey,
        denial: Denial,
        packet: &Packet<'_>,
        reply: &mut [u8],
    ) -> Verdict {
        let Denial { reason, decided_by } = denial;
        let late = if reason == Reason::FlowExpired {
            self.flows().tombstone(key).is_some_and(|stone| stone.through_nat_gateway)
        } else {
            reason == Reason::TcpNoFlow
                && self.flows().has_forgotten()
                && self.goes_by_a_nat_gateway(now, snapshot, packet)
        };
        match if late { tcp_reset(packet, reply) } else { None } {
            Some(len) => Verdict::Reply { len, reason, decided_by },
            None => denial.into(),
        }
    }

    /// Whether a segment within a connection would pass by a NAT gateway, were it the first.
    fn goes_by_a_nat_gateway(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        packet: &Packet<'_>,
    ) -> bool {
        let begins = packet.tcp().is_none_or(|tcp| tcp.flags.syn() || tcp.flags.rst());
        let Some(&task) = snapshot.task(packet.src()).filter(|_| !begins) else { return false };
        let fragment = packet.fragment() != Fragment::Whole;
        let probe = Probe { inside: packet.tuple(), icmp: (0, 0), fragment, task };
        self.walk(now, snapshot, probe, Purpose::DryRun, &mut Off)
            .is_ok_and(|path| path.nat.is_some_and(|(gateway, _)| gateway.is_some()))
    }
}
