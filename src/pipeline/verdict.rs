//! What becomes of a packet.

use super::{Reason, Step};
use crate::packet::{Inside, Outside};
use crate::vpc::path::Link;
use crate::vpc::{Generation, RuleRef};

/// What becomes of a packet, always with what decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Rewritten in place, to be sent on.
    Forward {
        /// Where it leaves.
        link: Link,
        /// The rule that admitted its flow.
        decided_by: RuleRef,
    },
    /// Dropped, and answered: the reply is in the caller's buffer.
    Reply {
        /// Bytes of the reply.
        len: usize,
        /// Why.
        reason: Reason,
        /// What decided.
        decided_by: RuleRef,
    },
    /// Dropped in silence, as AWS does.
    Drop {
        /// Why.
        reason: Reason,
        /// What decided.
        decided_by: RuleRef,
    },
    /// Kept: a fragment that cannot be judged before the first one of its datagram. It is judged when that one has come, or
    /// counted as a drop when it has waited for too long.
    Hold,
}

/// A denial: why, and what decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// What decided.
    pub decided_by: RuleRef,
}

/// What the walk of one packet showed: the answer to `egret explain`.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The configuration that it was walked under.
    pub generation: Generation,
    /// The packet as the task sends it.
    pub inside: Inside,
    /// The packet as it reaches its destination, or the internet gateway of a public endpoint; `None` if it is dropped on
    /// the way.
    pub outside: Option<Outside>,
    /// Why it would be dropped, if it would.
    pub denial: Option<Denial>,
    /// What admitted it, if it passes.
    pub admitted_by: Option<RuleRef>,
    /// The path, in order.
    pub steps: Vec<Step>,
}

impl From<Denial> for Verdict {
    fn from(Denial { reason, decided_by }: Denial) -> Self {
        Self::Drop { reason, decided_by }
    }
}
