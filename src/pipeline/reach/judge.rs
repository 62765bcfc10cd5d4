//! Judges one packet of a set by the walk that judges live packets.

use super::answer::Interrupted;
use super::caller::Caller;
use super::ports;
use crate::flow::{Instant, PortPools};
use crate::packet::{Inside, Protocol, Tuple};
use crate::pipeline::answer::FRAGMENTATION_NEEDED;
use crate::pipeline::evaluation::{Evaluation, Message, Probe};
use crate::pipeline::leases::{Choice, Leases, Purpose};
use crate::pipeline::walk::ReturnPoint;
use crate::pipeline::{Component, Denial, Evidence, Outcome, Recorder, Stage, Step, walk};
use crate::vpc::{EniIx, NatGatewayIx, RuleRef, Snapshot, Task};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// One packet of a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// The task that sends it.
    pub(super) task: Task,
    /// Its destination.
    pub(super) to: u32,
    /// Its protocol with the destination port, by position.
    pub(super) port: u32,
    /// The ports and addresses that the NATs choose.
    pub(super) choice: Choice,
}

/// The outcome of a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// The rule of the ENI's groups that admits the packet; `None` if none does, or none is asked.
    pub(super) egress: Option<RuleRef>,
    /// The rule that admits the packet, or the reason for its drop.
    pub(super) request: Result<RuleRef, Denial>,
    /// The denial of the reply, if it is dropped.
    pub(super) reply: Result<(), Denial>,
    /// Set if a NAT gateway has translated the reply back.
    pub(super) returned: bool,
}

/// The walk for packets of sets.
pub(super) struct Judge<'a> {
    snapshot: &'a Snapshot,
    /// Never used, because every port is chosen.
    pools: Arc<PortPools>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, pools: PortPools::new(0) }
    }

    pub(super) fn judge(&self, packet: &Packet) -> Judged {
        let mut notes = Notes::default();
        let walked = walk::walk(&mut self.evaluation(packet, &mut notes));
        let Notes { egress, returned } = notes;
        match walked {
            Ok(passed) => {
                let reply = passed.reply_denied.map_or(Ok(()), Err);
                Judged { egress, request: Ok(passed.admitted_by), reply, returned }
            }
            Err(denial) => Judged { egress, request: Err(denial), reply: Ok(()), returned },
        }
    }

    pub(super) fn evidence(&self, packet: &Packet) -> Evidence {
        let mut steps: Vec<Step> = Vec::new();
        let walked = walk::walk(&mut self.evaluation(packet, &mut steps));
        let (outside, admitted_by, denial) = match walked {
            Ok(passed) => (Some(passed.outside), Some(passed.admitted_by), passed.reply_denied),
            Err(denial) => (None, None, Some(denial)),
        };
        let (generation, inside) = (self.snapshot.generation, packet.inside());
        Evidence { generation, inside, outside, denial, admitted_by, steps }
    }

    /// Evaluates the checks before a packet's path: returns whether the packet has one, or its
    /// denial.
    pub(super) fn enters(&self, packet: &Packet) -> Result<bool, Denial> {
        let mut notes = Notes::default();
        walk::enter(&mut self.evaluation(packet, &mut notes)).map(|attachment| attachment.is_some())
    }

    /// Evaluates the answer of a NAT gateway to a packet that is too large for the next link:
    /// returns its denial on the path to the ENI.
    pub(super) fn fragmentation_needed(
        &self,
        packet: &Packet,
        eni: (EniIx, Ipv4Addr),
        gateway: (NatGatewayIx, Ipv4Addr),
    ) -> Option<Denial> {
        let message = Message::IcmpError { icmp: FRAGMENTATION_NEEDED };
        let to = ReturnPoint::of_nat_gateway(eni, gateway);
        let mut notes = Notes::default();
        let mut evaluation = self.evaluation(packet, &mut notes);
        walk::nat_gateway_to_task(&mut evaluation, &to, message).err()
    }

    fn evaluation<'e, R: Recorder>(
        &'e self,
        packet: &Packet,
        recorder: &'e mut R,
    ) -> Evaluation<'e, R> {
        let (protocol, _) = ports::at(packet.port);
        let probe = Probe::new(packet.task, packet.inside(), ports::icmp(protocol));
        let (purpose, peeked) = (Purpose::Chosen(packet.choice), Cell::new(0));
        let leases = Leases { now: Instant::ZERO, pools: &self.pools, purpose, peeked };
        Evaluation { snapshot: self.snapshot, probe, leases, recorder, expired_at: None }
    }
}

/// Counted walks, as long as the answer is wanted.
pub(super) struct Walks<'a> {
    pub(super) judge: Judge<'a>,
    pub(super) count: u64,
    pub(super) caller: Caller<'a>,
}

impl<'a> Walks<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, goes_on: &'a mut dyn FnMut() -> bool) -> Self {
        Self { judge: Judge::new(snapshot), count: 0, caller: Caller::new(goes_on) }
    }

    /// Judges one packet, unless the answer is no longer wanted.
    pub(super) fn judge(&mut self, packet: &Packet) -> Result<Judged, Interrupted> {
        self.caller.go_on()?;
        self.count += 1;
        Ok(self.judge.judge(packet))
    }
}

impl Packet {
    fn inside(&self) -> Inside {
        let (protocol, dport) = ports::at(self.port);
        let sport = match protocol {
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp => self.choice.eni_port,
            Protocol::Other(_) => 0,
        };
        let dst = Ipv4Addr::from(self.to);
        Inside::new(Tuple { protocol, src: self.task.address, dst, sport, dport })
    }
}

/// Records of a walk.
#[derive(Default)]
struct Notes {
    egress: Option<RuleRef>,
    returned: bool,
}

impl Recorder for Notes {
    const ON: bool = true;
    const NEAR_MISSES: bool = false;

    fn step(&mut self, step: Step) {
        let Step { stage, component, outcome, rule, .. } = step;
        if let (Stage::SecurityGroupEgress, Component::Eni(_), Outcome::Pass) =
            (stage, component, outcome)
        {
            self.egress = rule;
        }
    }

    fn returned(&mut self) {
        self.returned = true;
    }
}
