//! The results of expectations, for programs.

use super::fixes::MOST_FIXES;
use super::live::Live;
use super::tested::{FixSearch, Tested, block};
use crate::config::At;
use crate::explain::SetExplanation;
use crate::explain::names::Places;
use crate::vpc::Line;
use serde::Serialize;

/// The answer of `egret test --json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TestReport {
    /// Set if all expectations hold.
    pub ok: bool,
    /// The number of expectations that hold.
    pub held: usize,
    /// The number of expectations that fail.
    pub failed: usize,
    /// The expectations, in order.
    pub expectations: Vec<TestedRow>,
}

/// One expectation.
#[derive(Clone, Debug, Serialize)]
pub struct TestedRow {
    file: String,
    line: Line,
    from: Vec<String>,
    to: Vec<String>,
    protocol: Option<String>,
    is: &'static str,
    by: Option<String>,
    via: Vec<String>,
    seen_as: Vec<String>,
    note: Option<String>,
    ok: bool,
    /// Notes on what the verdicts do not cover.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    failures: Vec<FailureRow>,
    /// The results of real packets, with `--live`.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
}

#[derive(Clone, Debug, Serialize)]
struct FailureRow {
    service: String,
    destination: String,
    verdict: &'static str,
    message: String,
    explanation: SetExplanation,
    /// The reason why no fix was searched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix_left_out: Option<String>,
}

impl TestReport {
    /// Adds the results of the expectations of one file. `places` names lines of the lab file if it
    /// was made from a source.
    pub fn add(&mut self, tested: &[Tested<'_>], places: Option<Places<'_>>) {
        self.expectations.extend(tested.iter().map(|tested| row(tested, places)));
        self.failed = self.expectations.iter().filter(|row| !row.ok).count();
        self.held = self.expectations.len() - self.failed;
        self.ok = self.failed == 0;
    }
}

fn row(tested: &Tested<'_>, places: Option<Places<'_>>) -> TestedRow {
    let expectation = tested.expectation;
    let names = |list: &[At<String>]| list.iter().map(|name| name.value.clone()).collect();
    let name = |name: &Option<At<String>>| name.as_ref().map(|name| name.value.clone());
    TestedRow {
        file: tested.file.to_owned(),
        line: expectation.line,
        from: names(&expectation.from),
        to: names(&expectation.to),
        protocol: name(&expectation.protocol),
        is: expectation.is.word(),
        by: name(&expectation.by),
        via: names(&expectation.via),
        seen_as: expectation.seen_as.iter().map(block).collect(),
        note: expectation.note.clone(),
        ok: tested.holds(),
        notes: tested.notes.clone(),
        failures: tested.failures.iter().map(|failure| failure.row(places)).collect(),
        live: tested.live.clone(),
    }
}

impl super::Failure {
    fn row(&self, places: Option<Places<'_>>) -> FailureRow {
        let mut explanation = self.explained.explanation();
        if let Some(places) = places {
            explanation.name_places(places);
        }
        FailureRow {
            service: self.service.clone(),
            destination: self.destination.clone(),
            verdict: self.explained.verdict().name(),
            message: self.message.clone(),
            explanation,
            fix_left_out: (self.fix == FixSearch::LeftOut).then(|| {
                format!(
                    "a fix is looked for only for the first {MOST_FIXES} expectations that fail"
                )
            }),
        }
    }
}
