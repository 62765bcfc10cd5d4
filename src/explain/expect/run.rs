//! Tests expectations: each question is asked once, and parts that questions share are computed
//! once.

use super::judge::judge;
use super::resolve::{Question, Resolved, Resolver};
use super::tested::{Failure, FixSearch, Tested};
use crate::config::Diagnostics;
use crate::config::expectations::Expectations;
use crate::explain::asking::{AskError, Asking, Proposals, Senders, answer_for};
use crate::explain::{Explained, names};
use crate::pipeline::reach::{Addresses, Tasks};
use crate::vpc::{ServiceIx, Snapshot};
use ipnetwork::Ipv4Network;
use std::collections::HashMap;
use std::rc::Rc;

/// The configuration that expectations are about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The configuration.
    pub snapshot: &'s Snapshot,
    /// [`Addresses::Real`] of a running lab, [`Addresses::Open`] of a file.
    pub addresses: Addresses,
    /// The pool of the tasks' addresses.
    pub pool: Ipv4Network,
}

/// The reason why expectations are not tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// Unknown names, by line.
    #[error("{0}")]
    Names(Diagnostics),
    /// A question has no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// Finds the names in expectations that a configuration does not have.
pub fn name_errors(snapshot: &Snapshot, expectations: &Expectations) -> Diagnostics {
    let mut resolver = Resolver::new(snapshot);
    for expectation in &expectations.list {
        resolver.resolve(expectation);
    }
    expectations.errors(resolver.faults)
}

/// Tests expectations. `goes_on` is called repeatedly with the number of expectations that are
/// tested, and returns whether the result is still wanted.
///
/// # Errors
/// All unknown names; or the result is no longer wanted.
pub fn test<'e>(
    subject: &Subject<'_>,
    expectations: &'e Expectations,
    goes_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Tested<'e>>, TestError> {
    let (resolved, questions) = looked_up(subject.snapshot, expectations)?;
    let mut answers = Answers::new(subject, &questions);
    let file = expectations.file();
    let test = |(done, of): (usize, &Resolved<'e>)| {
        let failures = answers.failures(of, &mut || goes_on(done))?;
        let notes = answers.notes(of);
        Ok(Tested { file, expectation: of.expectation, failures, notes, live: None })
    };
    resolved.iter().enumerate().map(test).collect()
}

/// Looks up the names of expectations, with each question once.
pub(super) fn looked_up<'e>(
    snapshot: &Snapshot,
    expectations: &'e Expectations,
) -> Result<(Vec<Resolved<'e>>, Vec<Question<'e>>), TestError> {
    let mut resolver = Resolver::new(snapshot);
    let resolved: Vec<Resolved<'e>> =
        expectations.list.iter().map(|expectation| resolver.resolve(expectation)).collect();
    if !resolver.faults.is_empty() {
        return Err(TestError::Names(expectations.errors(resolver.faults)));
    }
    Ok((resolved, resolver.questions))
}

/// The answers that are known.
pub(super) struct Answers<'a, 'e> {
    subject: &'a Subject<'a>,
    questions: &'a [Question<'e>],
    senders: HashMap<ServiceIx, Senders>,
    known: HashMap<usize, Rc<Explained>>,
}

impl<'a, 'e> Answers<'a, 'e> {
    pub(super) fn new(subject: &'a Subject<'a>, questions: &'a [Question<'e>]) -> Self {
        Self { subject, questions, senders: HashMap::new(), known: HashMap::new() }
    }

    fn failures(
        &mut self,
        of: &Resolved<'_>,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Vec<Failure>, AskError> {
        let mut failures = Vec::new();
        for &position in &of.questions {
            let Some(question) = self.questions.get(position) else { continue };
            let explained = self.answer(position, question, goes_on)?;
            let Some(miss) = judge(of, &explained, self.subject.pool) else { continue };
            failures.push(Failure {
                service: names::service_name(self.subject.snapshot, question.service).to_owned(),
                destination: question.to.to_owned(),
                message: miss.message,
                explained,
                class: miss.class,
                fix: FixSearch::None,
            });
        }
        Ok(failures)
    }

    /// Lists notes on what the given answers do not cover, each once.
    fn notes(&self, of: &Resolved<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        for answer in of.questions.iter().filter_map(|position| self.known.get(position)) {
            notes.extend(answer.missing_host().filter(|note| !notes.contains(note)));
        }
        notes
    }

    pub(super) fn answer(
        &mut self,
        position: usize,
        question: &Question<'_>,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Rc<Explained>, AskError> {
        if let Some(known) = self.known.get(&position) {
            return Ok(Rc::clone(known));
        }
        let Subject { snapshot, addresses, pool } = *self.subject;
        let asking = Asking {
            service: question.service,
            tasks: Tasks::Possible,
            addresses,
            pool,
            destination: question.to,
            protocol: question.protocol,
            source_port: None,
        };
        let new = || Senders::new(snapshot, &asking);
        let senders = self.senders.entry(question.service).or_insert_with(new);
        let resolution = question.resolution.clone();
        let answer = answer_for(snapshot, &asking, senders, resolution, Proposals::None, goes_on)?;
        let answer = Rc::new(answer);
        self.known.insert(position, Rc::clone(&answer));
        Ok(answer)
    }
}
