//! The answer to a question about a set of packets.

use super::ports::Ports;
use super::ranges::Ranges;
use crate::pipeline::{Denial, Evidence};
use crate::vpc::path::Attachment;
use crate::vpc::{EniIx, NatGatewayIx, RuleRef};

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict on the whole set.
    pub verdict: SetVerdict,
    /// The classes: those that fail first, then by their share, the largest first; last those that
    /// do not count.
    pub classes: Vec<Class>,
    /// The number of packets that were judged one by one.
    pub walks: u64,
}

/// The verdict on a set of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetVerdict {
    /// All packets pass, and their replies.
    Forward,
    /// No packet passes, or no reply does.
    Drop,
    /// Some pass.
    Mixed,
}

impl SetVerdict {
    /// Returns the stable name, as `--json` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Drop => "drop",
            Self::Mixed => "mixed",
        }
    }
}

/// A class: packets with the same verdict and the same deciding rule, and, if they pass, the same
/// path. It contains every combination of the values listed here.
///
/// The same path means the same network ACLs, route tables, gateways and groups of the destination:
/// two subnets that have these in common do not tell packets apart, and neither do two routes to
/// the same target.
#[derive(Clone, Debug)]
pub struct Class {
    /// The reason for which the packets or their replies are dropped; `None` if they pass.
    pub denial: Option<Denial>,
    /// The rule that admits the packets, if they reach their destinations.
    pub admitted_by: Option<RuleRef>,
    /// Set if the class counts in the verdict. Addresses of a VPC that no interface has do not, nor
    /// those that AWS keeps in each subnet, unless the question has no others, or each address
    /// counts ([`ask_each`](super::ask_each)).
    pub counts: bool,
    /// The attachments of the tasks.
    pub attachments: Vec<Attachment>,
    /// The private addresses of each of their ENIs; empty for App Runner's own egress.
    pub eni_addresses: Vec<(EniIx, Ranges)>,
    /// The ports of the ENI (ICMP: identifiers); `None` for App Runner's own egress.
    pub source_ports: Option<Ranges>,
    /// The addresses of the NAT gateway on the path; empty if there is none, or if the packets are
    /// dropped for any of its addresses.
    pub gateway_addresses: Vec<GatewayAddress>,
    /// The ports of the NAT gateway; `None` as for the addresses.
    pub gateway_ports: Option<Ranges>,
    /// The destination addresses.
    pub destinations: Ranges,
    /// The protocols with their destination ports.
    pub ports: Ports,
    /// The part that the class has of the packets of the question.
    pub share: Share,
    /// The evidence for one of its packets.
    pub sample: Evidence,
}

impl Class {
    /// Decides whether the packets of the class pass.
    pub const fn passes(&self) -> bool {
        self.denial.is_none()
    }
}

/// One of the addresses of a NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayAddress {
    /// The gateway.
    pub gateway: NatGatewayIx,
    /// The position among the gateway's addresses.
    pub position: usize,
    /// Its possible private addresses: one, unless the configuration leaves it open.
    pub private: Ranges,
}

/// A part of a whole. Every ENI address, port and gateway address is as likely as any other of its
/// kind; factors that the class shares with all packets of the question are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number of packets of the class.
    pub part: u128,
    /// The number of packets of the question.
    pub whole: u128,
}

impl Share {
    /// The whole.
    pub const ALL: Self = Self { part: 1, whole: 1 };

    /// Restricts the share to a part of another dimension.
    #[must_use]
    pub(super) fn times(self, part: u128, whole: u128) -> Self {
        if part == whole || whole == 0 {
            return self;
        }
        let (mut a, mut b) = (self, Self { part, whole });
        loop {
            // The whole is never less than the part.
            match (a.part.checked_mul(b.part), a.whole.checked_mul(b.whole)) {
                (Some(part), Some(whole)) => return Self { part, whole },
                _ => (a, b) = (a.halved(), b.halved()),
            }
        }
    }

    fn halved(self) -> Self {
        Self { part: self.part.div_ceil(2), whole: self.whole.div_ceil(2) }
    }

    /// Returns the share as a number from 0 to 1.
    #[allow(clippy::cast_precision_loss, reason = "a ratio to show and to sort by")]
    pub fn ratio(self) -> f64 {
        self.part as f64 / self.whole as f64
    }
}

/// The error if the answer is not wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;
