//! Compares two configurations: the packets whose verdict changes, with both deciding rules, and
//! the names that resolve to other addresses.

mod merge;
mod names;
mod question;
mod row;
mod side;
mod text;

use super::asking::AskError;
use super::names::Places;
use super::reachability::Known;
use crate::vpc::Snapshot;
pub use names::{NameRow, Resolved};
pub use row::{ChangeRow, SideOfChange};
use serde::Serialize;

/// The answer of `egret diff`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The services that only the configuration before has. Their packets are not compared.
    pub services_only_before: Vec<String>,
    /// The services that only the configuration after has.
    pub services_only_after: Vec<String>,
    /// The packets whose verdict changes: those to interfaces before those to the internet.
    pub rows: Vec<ChangeRow>,
    /// The names that resolve to other addresses, no longer, or newly.
    pub names: Vec<NameRow>,
}

/// Compares two configurations. `goes_on` is called repeatedly with the name of the present
/// service, and returns whether the answer is still wanted.
///
/// # Errors
/// [`AskError::Interrupted`] once `goes_on` is false.
pub fn compare(
    before: &Snapshot,
    after: &Snapshot,
    goes_on: &mut dyn FnMut(&str) -> bool,
) -> Result<Comparison, AskError> {
    let pairs = question::pairs(before, after);
    let mut rows = Vec::new();
    for pair in &pairs {
        let changes = question::changes(before, after, pair, goes_on)?;
        let known = Known::new(pair.before, before).with(Known::new(pair.after, after));
        for row in row::rows(&pair.names, &changes, &known) {
            match rows.iter_mut().find(|known: &&mut ChangeRow| known.is_like(&row)) {
                Some(known) => known.services.extend(row.services),
                None => rows.push(row),
            }
        }
    }
    Ok(Comparison {
        services_only_before: only(before, after),
        services_only_after: only(after, before),
        rows,
        names: names::rows(before, after, &pairs),
    })
}

/// Lists the services that the other configuration does not have.
fn only(own: &Snapshot, other: &Snapshot) -> Vec<String> {
    let others = &other.parts().services;
    let is_alone = |name: &String| others.iter().all(|service| service.name != *name);
    let names = own.parts().services.iter().map(|service| service.name.clone());
    names.filter(is_alone).collect()
}

impl Comparison {
    /// Decides whether the configurations differ for any packet or name, or in their services.
    pub fn has_changes(&self) -> bool {
        let services = [&self.services_only_before, &self.services_only_after];
        !self.rows.is_empty()
            || !self.names.is_empty()
            || services.iter().any(|only| !only.is_empty())
    }

    /// Adds the place of every rule in the sources from which the lab files are made.
    pub fn name_places(&mut self, before: Option<Places<'_>>, after: Option<Places<'_>>) {
        for row in &mut self.rows {
            for (side, places) in [(&mut row.before, before), (&mut row.after, after)] {
                if let (Some(rule), Some(places)) = (&mut side.decided_by, places) {
                    rule.name_place(places);
                }
            }
        }
    }
}
