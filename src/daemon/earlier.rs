//! Names of rules and services under the configuration that decided, which may be an earlier one.

use super::history::History;
use crate::explain::{decided_by, service_name};
use crate::vpc::{Generation, Line, RuleRef, ServiceIx, Snapshot};

/// Stands for a name of a configuration that is no longer known.
const FORGOTTEN: &str = "(earlier configuration)";

/// Names a rule as its own configuration named it.
pub(super) struct Decided {
    pub(super) rule: String,
    pub(super) line: Option<Line>,
    /// Is that configuration's generation, if it is not the committed one.
    pub(super) earlier: Option<u32>,
}

/// Names what decided under the configuration of a generation.
pub(super) fn decided_then(
    history: &History,
    rule: RuleRef,
    of: Generation,
    current: &Snapshot,
) -> Decided {
    let earlier = (of != current.generation).then_some(of.0);
    let named = match history.of(of) {
        Some(then) => decided_by(rule, then),
        None if earlier.is_none() => decided_by(rule, current),
        None => return Decided { rule: FORGOTTEN.to_owned(), line: None, earlier },
    };
    // What has no position means the same under every configuration.
    let positional = named.line.is_some() || named.implied;
    let earlier = earlier.filter(|_| positional);
    Decided { rule: named.to_string(), line: named.line, earlier }
}

/// Names a service under the configuration of a generation.
pub(super) fn service_then(history: &History, service: ServiceIx, of: Generation) -> String {
    history.of(of).map_or(FORGOTTEN, |then| service_name(then, service)).to_owned()
}
