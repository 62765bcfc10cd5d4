//! An expectation and its result.

use super::live::{Contradiction, Live};
use crate::config::{At, Expectation};
use crate::explain::Explained;
use crate::explain::coverage::joined;
use crate::explain::width::columns_of;
use crate::pipeline::reach::SetVerdict;
use std::fmt;
use std::rc::Rc;

/// The number of services and destinations that a line lists.
pub(super) const SHOWN: usize = 3;

/// An expectation that has been tested.
#[derive(Clone, Debug)]
pub struct Tested<'e> {
    /// The file that has it.
    pub file: &'e str,
    /// The expectation.
    pub expectation: &'e Expectation,
    /// The questions whose answers are not what is expected.
    pub failures: Vec<Failure>,
    /// Notes on what the verdicts do not cover, such as a destination where the lab has no host.
    pub notes: Vec<String>,
    /// The results of real packets, if any were to be sent.
    pub live: Option<Live>,
}

/// An answer that is not what is expected.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The service that was asked about.
    pub service: String,
    /// The destination, as written in the expectation.
    pub destination: String,
    /// The difference, such as `DROP no-route`.
    pub message: String,
    /// The answer.
    pub explained: Rc<Explained>,
    /// The position of a class that shows it.
    pub(super) class: usize,
    /// The state of the search for a change.
    pub(super) fix: FixSearch,
}

/// The state of the search for a change that lets the packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FixSearch {
    /// There was none.
    None,
    /// The answer has the result.
    Done,
    /// There was none, because too many other expectations fail.
    LeftOut,
}

impl Failure {
    /// Decides whether packets are dropped that should pass: a name without an address has no
    /// packets.
    pub(super) fn drops_packets(&self) -> bool {
        self.explained.verdict() != SetVerdict::Forward && !self.explained.classes().is_empty()
    }
}

impl Tested<'_> {
    /// Decides whether everything is as expected, and the results of real packets are those of the
    /// verdicts.
    pub fn holds(&self) -> bool {
        self.failures.is_empty() && self.live.as_ref().is_none_or(Live::agrees)
    }

    /// Describes, a line each, the results of real packets that contradict the verdicts.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let all = self.live.iter().flat_map(|live| &live.contradictions);
        all.map(Contradiction::line).collect()
    }

    /// Returns the place of the expectation.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.expectation.line)
    }

    /// Returns the note on one line.
    pub(super) fn note(&self) -> Option<String> {
        self.expectation.note.as_deref().map(printable).filter(|note| !note.is_empty())
    }
}

/// The expectation in words.
impl fmt::Display for Tested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(SHOWN))
    }
}

impl Tested<'_> {
    /// Returns the expectation in words, with this many items of each list.
    pub(super) fn words(&self, items: usize) -> String {
        let Expectation { from, to, protocol, is, by, via, seen_as, .. } = self.expectation;
        let names = |list: &[At<String>]| {
            let all: Vec<String> = list.iter().map(|name| name.value.clone()).collect();
            let (whole, short) = (joined(&all, usize::MAX), joined(&all, items));
            if columns_of(&whole) <= columns_of(&short) { whole } else { short }
        };
        let blocks: Vec<String> = seen_as.iter().map(block).collect();
        let part = |word: &str, name: &Option<At<String>>| {
            name.as_ref().map(|name| format!("{word}{}", name.value)).unwrap_or_default()
        };
        let mut words = format!("{} -> {}", names(from), names(to));
        words.push_str(&part("/", protocol));
        words.push_str(&format!(" is {}", is.word()));
        words.push_str(&part(" by ", by));
        if !via.is_empty() {
            words.push_str(&format!(" via {}", names(via)));
        }
        if !blocks.is_empty() {
            words.push_str(&format!(" seen as {}", joined(&blocks, items)));
        }
        words
    }
}

/// Formats a block; one address without its length.
pub(super) fn block(block: &ipnetwork::Ipv4Network) -> String {
    if block.prefix() == 32 { block.ip().to_string() } else { block.to_string() }
}

/// Puts a text on one line, without control characters.
pub(super) fn printable(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
