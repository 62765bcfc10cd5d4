//! The evaluation of a path: the state that the stages share while they judge one packet, hop by
//! hop.

use super::leases::{Grant, Leases};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, Step};
use crate::flow::Side;
use crate::packet::{Inside, Protocol, Tuple};
use crate::vpc::security_group::Remote;
use crate::vpc::{NatGatewayIx, RuleRef, Snapshot, Task, Traffic};
use std::net::Ipv4Addr;

/// A packet that is to be judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Its tuple, as the task has it.
    pub(super) inside: Inside,
    /// The message that network ACLs judge.
    pub(super) message: Message,
    /// Set if it is part of a larger datagram.
    pub(super) fragment: bool,
    /// Set if its time to live ends at the first hop that decrements it.
    pub(super) last_hop: bool,
    /// The task that sends it.
    pub(super) task: Task,
}

impl Probe {
    /// Probes with a whole packet of a flow; `icmp` is its ICMP type and code, zero otherwise.
    pub(super) fn new(task: Task, inside: Inside, icmp: (u8, u8)) -> Self {
        let message = Message::Own { icmp };
        Self { inside, message, fragment: false, last_hop: false, task }
    }
}

/// The content of a packet, as rules see it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    /// A packet of the flow itself, with its ICMP type and code; zero otherwise.
    Own {
        /// Type and code.
        icmp: (u8, u8),
    },
    /// An ICMP error about the flow. Network ACLs are stateless, so they judge it as the ICMP
    /// message that it is.
    IcmpError {
        /// Type and code.
        icmp: (u8, u8),
    },
}

impl Message {
    /// Returns the message of the reply to it: an echo request is answered by type 0, code 0.
    pub(super) fn reply(self) -> Self {
        match self {
            Self::Own { .. } => Self::Own { icmp: (0, 0) },
            Self::IcmpError { .. } => self,
        }
    }
}

/// A packet in transit, as the last hop left it.
#[derive(Debug)]
pub(super) struct Transit {
    /// Its direction.
    pub(super) side: Side,
    /// Its addresses and ports here.
    pub(super) tuple: Tuple,
    /// Its content.
    pub(super) message: Message,
    /// Set if the interfaces on its path track its flow: then security groups are not asked again
    /// (spec 4.4).
    pub(super) tracked: bool,
    /// Set if a middlebox has passed it on since its last translation.
    pub(super) behind_middlebox: bool,
    /// The ENI and its port; `None` for App Runner's own egress.
    pub(super) eni: Option<(Remote, u16)>,
    /// The address by which groups know the interface on this side: the request's sender, or the
    /// interface to which the reply returns. NAT gateways are in no group.
    pub(super) member: Ipv4Addr,
    /// The public address to which an internet gateway maps its source.
    pub(super) public: Option<Ipv4Addr>,
    /// For a reply that is still in the VPC of a public endpoint: its addresses after the internet
    /// gateways there and here, and the address by which groups know the interface to which it
    /// returns.
    pub(super) mapped: Option<(Tuple, Ipv4Addr)>,
    /// The NAT that it has passed after the ENI.
    pub(super) nat: Option<PassedNat>,
}

/// A NAT that a packet has passed.
#[derive(Debug)]
pub(super) struct PassedNat {
    /// The NAT gateway; `None` is App Runner's own NAT.
    pub(super) gateway: Option<NatGatewayIx>,
    /// The new source address: a NAT gateway's private one.
    pub(super) address: Ipv4Addr,
    /// The port.
    pub(super) grant: Grant,
}

impl Transit {
    /// Returns the traffic that rules look at.
    pub(super) fn traffic(&self) -> Traffic {
        let Tuple { protocol, dport, .. } = self.tuple;
        let port = if protocol.has_ports() { dport } else { 0 };
        match self.message {
            Message::Own { icmp } => Traffic { protocol, port, icmp },
            Message::IcmpError { icmp } => Traffic { protocol: Protocol::Icmp, port: 0, icmp },
        }
    }

    /// Returns the source, as an interface sees it.
    pub(super) fn remote(&self) -> Remote {
        let address = self.tuple.src;
        let member = match self.side {
            Side::Egress => self.member,
            Side::Return => address,
        };
        Remote { address, member, behind_middlebox: self.behind_middlebox }
    }

    /// Returns the destination, as an interface that sends to it sees it.
    pub(super) fn receiver(&self) -> Remote {
        let address = self.tuple.dst;
        let member = match self.side {
            Side::Egress => address,
            Side::Return => self.member,
        };
        Remote { address, member, behind_middlebox: false }
    }

    /// Sets the addresses that a reply has in the VPC of a public endpoint, until
    /// [`Transit::leave_public_endpoint`].
    pub(super) fn begin_at_public_endpoint(&mut self, src: Ipv4Addr, dst: Ipv4Addr) {
        self.mapped = Some((self.tuple, self.member));
        self.tuple = Tuple { src, dst, ..self.tuple };
        self.member = Ipv4Addr::UNSPECIFIED;
    }

    /// Moves a reply out of the VPC of a public endpoint, over the internet and to the NAT or the
    /// ENI.
    pub(super) fn leave_public_endpoint(&mut self) {
        if let Some((tuple, member)) = self.mapped.take() {
            (self.tuple, self.member, self.behind_middlebox) = (tuple, member, false);
        }
    }

    /// Translates a reply back to the ENI.
    pub(super) fn return_to_eni(&mut self) {
        self.behind_middlebox = false;
        if let Some((eni, dport)) = self.eni {
            self.tuple = Tuple { dst: eni.address, dport, ..self.tuple };
            self.member = eni.member;
        }
    }
}

/// The evaluation of one packet's path.
pub(super) struct Evaluation<'a, R> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) probe: Probe,
    pub(super) leases: Leases<'a>,
    pub(super) recorder: &'a mut R,
    /// The NAT gateway at which the packet's time to live ended, and the address by which it
    /// answers.
    pub(super) expired_at: Option<(NatGatewayIx, Ipv4Addr)>,
}

impl<R: Recorder> Evaluation<'_, R> {
    pub(super) fn step(
        &mut self,
        stage: Stage,
        component: Component,
        rule: Option<RuleRef>,
        outcome: Outcome,
    ) {
        self.record(Step { stage, component, rule, outcome, detail: Detail::None });
    }

    #[inline]
    pub(super) fn record(&mut self, step: Step) {
        if R::ON {
            self.recorder.step(step);
        }
    }

    /// Records that the packet is dropped here, and returns the denial.
    pub(super) fn deny(
        &mut self,
        component: Component,
        reason: Reason,
        decided_by: RuleRef,
    ) -> Denial {
        self.deny_with(component, reason, decided_by, Detail::None)
    }

    pub(super) fn deny_with(
        &mut self,
        component: Component,
        reason: Reason,
        decided_by: RuleRef,
        detail: Detail,
    ) -> Denial {
        let rule = Some(decided_by);
        let outcome = Outcome::Drop;
        self.record(Step { stage: reason.stage(), component, rule, outcome, detail });
        Denial { reason, decided_by }
    }

    /// Records a translation of an address.
    pub(super) fn translated(
        &mut self,
        stage: Stage,
        component: Component,
        rule: RuleRef,
        (before, after): (Tuple, Tuple),
    ) {
        let (rule, outcome) = (Some(rule), Outcome::Translate);
        let detail = Detail::Translated { before, after };
        self.record(Step { stage, component, rule, outcome, detail });
    }

    /// Returns the request as it leaves its task, or an ICMP error about it.
    pub(super) fn request(&self, message: Message) -> Transit {
        Transit {
            side: Side::Egress,
            tuple: self.probe.inside.tuple(),
            message,
            tracked: self.leases.are_tracked(),
            behind_middlebox: false,
            eni: None,
            member: self.probe.inside.src(),
            public: None,
            mapped: None,
            nat: None,
        }
    }

    /// Returns the destination, as the task has it and as it stays until the internet gateway of a
    /// public endpoint.
    pub(super) fn destination(&self) -> Ipv4Addr {
        self.probe.inside.dst()
    }
}
