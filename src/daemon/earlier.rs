//! Names of rules and services under the configuration that decided, which may be an earlier one.

use super::history::History;
use crate::explain::{RuleIdentity, RuleIndex, decided_by, service_name};
use crate::vpc::{Generation, Line, RuleRef, ServiceIx, Snapshot};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

/// The word in place of a name of a configuration that is no longer known.
const FORGOTTEN: &str = "(earlier configuration)";

/// The name of a rule: the committed configuration's if nothing about the rule has changed,
/// otherwise that of the rule's own configuration.
#[derive(Clone)]
pub(super) struct Decided {
    pub(super) rule: String,
    pub(super) line: Option<Line>,
    /// The generation of the rule's own configuration, if the committed one does not have the rule.
    pub(super) earlier: Option<u32>,
}

/// The names that a listing refers to; each rule is looked up once.
pub(crate) struct EarlierNames<'a> {
    history: &'a History,
    pub(super) current: &'a Snapshot,
    index: OnceCell<RuleIndex<'a>>,
    decided: RefCell<HashMap<(Generation, RuleRef), Decided>>,
}

impl<'a> EarlierNames<'a> {
    pub(crate) fn new(history: &'a History, current: &'a Snapshot) -> Self {
        Self { history, current, index: OnceCell::new(), decided: RefCell::default() }
    }

    /// Names the decider under the configuration of a generation.
    pub(super) fn decided(&self, rule: RuleRef, of: Generation) -> Decided {
        let mut known = self.decided.borrow_mut();
        known.entry((of, rule)).or_insert_with(|| self.find(rule, of)).clone()
    }

    fn find(&self, rule: RuleRef, of: Generation) -> Decided {
        if of == self.current.generation {
            let named = decided_by(rule, self.current);
            return Decided { rule: named.to_string(), line: named.line, earlier: None };
        }
        let earlier = Some(of.0);
        let Some(then) = self.history.of(of) else {
            return Decided { rule: FORGOTTEN.to_owned(), line: None, earlier };
        };
        let index = self.index.get_or_init(|| RuleIndex::new(self.current));
        if let Some(present) = RuleIdentity::of(rule, then).and_then(|rule| index.find(&rule)) {
            return Decided { rule: present.to_string(), line: present.line, earlier: None };
        }
        let named = decided_by(rule, then);
        let earlier = earlier.filter(|_| named.is_positional());
        Decided { rule: named.to_string(), line: named.line, earlier }
    }

    /// Names a service under the configuration of a generation.
    pub(super) fn service(&self, service: ServiceIx, of: Generation) -> &'a str {
        self.history.of(of).map_or(FORGOTTEN, |then| service_name(then, service))
    }
}
