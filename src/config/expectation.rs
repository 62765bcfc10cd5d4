//! `[[expect]]`: destinations that a service must reach, or must not. Names in it are looked up by
//! the test: an expectation may be in the lab file that it is about, or in a file of its own.

use super::diagnostic::{At, Span};
use crate::vpc::Line;
use ipnetwork::Ipv4Network;

/// `[[expect]]`.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// `from`: services by name; `"*"` is all of them.
    pub from: Vec<At<String>>,
    /// `to`: destinations, in the form of `egret explain`.
    pub to: Vec<At<String>>,
    /// `protocol`: a word or a number, as for `--protocol`.
    pub protocol: Option<At<String>>,
    /// `is`: the expected verdict of all packets.
    pub is: Expected,
    /// `by`: a drop reason, or the id of the object that decides.
    pub by: Option<At<String>>,
    /// `via`: the ids of objects, of which every packet passes at least one.
    pub via: Vec<At<String>>,
    /// `seen_as`: the source addresses that the destination sees.
    pub seen_as: Vec<Ipv4Network>,
    /// `note`.
    pub note: Option<String>,
    /// The section's place.
    pub span: Span,
    /// Its line.
    pub line: Line,
}

/// `is`: the verdict on all packets of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// All pass.
    Reachable,
    /// None passes.
    Blocked,
}

impl Expected {
    /// Returns the word in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Blocked => "blocked",
        }
    }
}

/// A name in an expectation that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectationFault {
    /// The name's place.
    pub span: Span,
    /// A stable id, such as `unknown-name`.
    pub rule: &'static str,
    /// The fault.
    pub message: String,
    /// The advice: what would be valid.
    pub help: String,
}
