//! The verdict on a packet.

use super::{Reason, Step};
use crate::packet::{Inside, Outside};
use crate::vpc::path::Link;
use crate::vpc::{Generation, RuleRef};

/// The verdict on a packet, always with the rule or object that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Rewritten in place, to be sent on.
    Forward {
        /// The link by which it leaves.
        link: Link,
        /// The rule that admitted its flow.
        decided_by: RuleRef,
    },
    /// Dropped, and answered: the reply is in the caller's buffer.
    Reply {
        /// Bytes of the reply.
        len: usize,
        /// The reason for the drop.
        reason: Reason,
        /// The rule or object that decided.
        decided_by: RuleRef,
    },
    /// Dropped without an answer, as AWS does.
    Drop {
        /// The reason for the drop.
        reason: Reason,
        /// The rule or object that decided.
        decided_by: RuleRef,
    },
    /// Held: a fragment that cannot be judged before the first one of its datagram. It is judged
    /// when that one has come, or counted as a drop when it has waited for too long.
    Hold,
}

/// A denial: the reason, and the rule or object that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason for the drop.
    pub reason: Reason,
    /// The rule or object that decided.
    pub decided_by: RuleRef,
}

/// The evidence of one packet's walk: the answer to `egret explain`.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The configuration of the walk.
    pub generation: Generation,
    /// The packet as the task sends it.
    pub inside: Inside,
    /// The packet as it reaches its destination, or the internet gateway of a public endpoint;
    /// `None` if it is dropped on the path.
    pub outside: Option<Outside>,
    /// The denial, if it would be dropped.
    pub denial: Option<Denial>,
    /// The rule that admitted it, if it passes.
    pub admitted_by: Option<RuleRef>,
    /// The path, in order.
    pub steps: Vec<Step>,
}

impl From<Denial> for Verdict {
    fn from(Denial { reason, decided_by }: Denial) -> Self {
        Self::Drop { reason, decided_by }
    }
}
