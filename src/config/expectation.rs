//! `[[expect]]`: what a service must reach, or must not. Names in it are looked up where it is tested: an expectation may
//! stand beside the lab that it is about, or in a file of its own.

use super::diagnostic::{At, Span};
use crate::vpc::Line;
use ipnetwork::Ipv4Network;

/// `[[expect]]`.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// `from`: services by name; `"*"` is each of them.
    pub from: Vec<At<String>>,
    /// `to`: destinations, as `egret explain` takes them.
    pub to: Vec<At<String>>,
    /// `protocol`: a word or a number, as `--protocol`.
    pub protocol: Option<At<String>>,
    /// `is`: of all packets.
    pub is: Expected,
    /// `by`: a drop reason, or the id of the object that decides.
    pub by: Option<At<String>>,
    /// `via`: the ids of objects, of which every packet passes at least one.
    pub via: Vec<At<String>>,
    /// `seen_as`: what the source addresses are that the destination sees.
    pub seen_as: Vec<Ipv4Network>,
    /// `note`.
    pub note: Option<String>,
    /// Where the section stands.
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
    /// What is wrong.
    pub message: String,
    /// What would be valid.
    pub help: String,
}
