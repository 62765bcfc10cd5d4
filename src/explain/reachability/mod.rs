//! Answers what services reach, in rows of destinations and ports with one verdict, rule and path;
//! and which services reach one destination.

mod alike;
mod known;
mod path;
mod question;
mod row;
mod rule;
mod table;
mod text;
mod to;

pub(super) use alike::alike;
pub(super) use known::{Known, port_words};
pub(super) use question::{Asked, asked, destinations, exempt_addresses, vpcs};
pub(super) use rule::{rule_in_full, rule_in_short};
pub(super) use table::Cells;

use super::asking::AskError;
use super::names::Places;
use super::target::{TargetError, known_services};
use crate::pipeline::reach::Addresses;
use crate::vpc::{ServiceIx, Snapshot};
pub use row::ReachRow;
use serde::Serialize;
pub use to::ReacherRow;

/// The user's question.
#[derive(Clone, Copy, Debug)]
pub struct Reaching<'a> {
    /// The services; empty: all.
    pub services: &'a [ServiceIx],
    /// [`Addresses::Real`] of a running lab, [`Addresses::Open`] of a file.
    pub addresses: Addresses,
    /// The kind of answer.
    pub wanted: Wanted<'a>,
}

/// The kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// The packets that pass.
    Passing,
    /// The packets that are dropped.
    Drops,
    /// The services that reach a destination, given as `DEST`.
    To(&'a str),
}

/// The answer of `egret reach`.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Reachability {
    /// The packets of services that pass, or that are dropped.
    Rows {
        /// The services of the question, by name.
        services: Vec<String>,
        /// Set if the rows are about packets that are dropped.
        drops: bool,
        /// The rows: by service, those to interfaces before those to the internet.
        rows: Vec<ReachRow>,
    },
    /// The services that reach a destination.
    To {
        /// The services of the question, by name.
        services: Vec<String>,
        /// The destination as it was written, a URL without its user.
        to: String,
        /// One row for services with equal attachments.
        rows: Vec<ReacherRow>,
        /// Notes on what the rows do not cover: another address of the destination.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
}

/// Reads the names of services.
///
/// # Errors
/// No service has the name; the error lists those that exist.
pub fn services(words: &[String], snapshot: &Snapshot) -> Result<Vec<ServiceIx>, TargetError> {
    let all = &snapshot.parts().services;
    let find = |word: &String| match all.iter().position(|service| service.name == *word) {
        Some(position) => Ok(ServiceIx::from(position)),
        None => Err(TargetError::UnknownService {
            name: word.clone(),
            known: known_services(word, snapshot),
        }),
    };
    words.iter().map(find).collect()
}

/// Answers the user's question. `goes_on` is called repeatedly with the name of the present
/// service, and returns whether the answer is still wanted.
///
/// # Errors
/// The fault in the question and how to correct it; or [`AskError::Interrupted`].
pub fn reach(
    snapshot: &Snapshot,
    reaching: &Reaching<'_>,
    goes_on: &mut dyn FnMut(&str) -> bool,
) -> Result<Reachability, AskError> {
    let all: Vec<ServiceIx> = match reaching.services {
        [] => (0..snapshot.parts().services.len()).map(ServiceIx::from).collect(),
        some => some.to_vec(),
    };
    let groups = alike(&all, snapshot, reaching.addresses);
    let services = all.iter().map(|ix| snapshot.service(*ix).name.clone()).collect();
    if let Wanted::To(destination) = reaching.wanted {
        let one = |alike| to::row(snapshot, alike, destination, reaching.addresses, goes_on);
        let rows: Vec<ReacherRow> = groups.iter().map(one).collect::<Result<_, _>>()?;
        let to = super::url::without_user(destination);
        let notes = to::public_address_note(snapshot, destination).into_iter();
        let notes = notes.chain(to::missing_host_note(snapshot, destination, &rows)).collect();
        return Ok(Reachability::To { services, to, rows, notes });
    }
    let drops = reaching.wanted == Wanted::Drops;
    let mut rows = Vec::new();
    for alike in &groups {
        rows.extend(row::rows(snapshot, alike, reaching.addresses, drops, goes_on)?);
    }
    Ok(Reachability::Rows { services, drops, rows })
}

impl Reachability {
    /// Adds the place of every rule in the source from which the lab file is made.
    pub fn name_places(&mut self, places: Places<'_>) {
        let rules: Box<dyn Iterator<Item = _>> = match self {
            Self::Rows { rows, .. } => {
                Box::new(rows.iter_mut().flat_map(|row| &mut row.decided_by))
            }
            Self::To { rows, .. } => Box::new(rows.iter_mut().flat_map(|row| &mut row.decided_by)),
        };
        rules.for_each(|rule| rule.name_place(places));
    }
}
