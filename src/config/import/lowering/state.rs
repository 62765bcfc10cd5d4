//! The state of the lowering: the text so far, and the names and addresses in use.

use super::document::{Document, Section};
use super::scope::LabVpcs;
use super::words::Words;
use crate::config::address::is_reserved;
use crate::config::import::{Account, Findings, ImportError, Origin};
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The state of the lowering.
pub(super) struct Lowering<'a, 'f> {
    pub(super) account: &'a Account,
    pub(super) scope: LabVpcs<'a>,
    pub(super) region: String,
    pub(super) words: Words,
    /// Private addresses that are in use, by VPC.
    pub(super) taken: BTreeSet<(&'a str, Ipv4Addr)>,
    /// The number of addresses of a block that were tried for a free one, by VPC.
    pub(super) tried: BTreeMap<(&'a str, Ipv4Network), usize>,
    /// Private addresses that a resource of the file has, by VPC.
    pub(super) written: BTreeSet<(&'a str, Ipv4Addr)>,
    /// Public addresses that are in use.
    pub(super) public_taken: BTreeSet<Ipv4Addr>,
    /// Public addresses that an object of the file has.
    pub(super) public_written: BTreeSet<Ipv4Addr>,
    /// Prefix lists that an object of the lab names.
    pub(super) used_lists: BTreeSet<&'a str>,
    /// Prefix lists that replace those that the source does not have, by their words.
    pub(super) assumed_lists: BTreeSet<String>,
    /// The group of interfaces that have none, by VPC.
    pub(super) open_groups: BTreeMap<&'a str, String>,
    pub(super) findings: &'f mut Findings,
    pub(super) errors: Vec<ImportError>,
    pub(super) document: Document,
}

impl<'a> Lowering<'a, '_> {
    /// Records an assumption for a value that the source leaves open: a comment in the section, and
    /// a finding.
    pub(super) fn assume(
        &mut self,
        section: &mut Section,
        object: &str,
        origin: &Origin,
        what: &str,
        taken: &str,
    ) {
        section.note(assumption(what, taken));
        self.findings.assumed(object, origin, what, taken);
    }

    /// Reports a reference to an object that is not in the source.
    pub(super) fn missing(&mut self, origin: &Origin, what: &str, id: &str) {
        self.errors.push(origin.error(
            format!("there is no {what} {id:?} in the source"),
            format!("add the {what} to the source, or remove what names it"),
        ));
    }

    /// Reports a missing reference in a part of an object, which can do without it: a verdict may
    /// be wrong.
    pub(super) fn absent(
        &mut self,
        object: &str,
        origin: &Origin,
        (what, id): (&str, &str),
        consequence: &str,
    ) {
        let what = format!("there is no {what} {id:?} in the source");
        self.findings.not_understood(object, origin, what, consequence);
    }

    /// Takes the first address of a subnet from the tenth on that no object has.
    pub(super) fn free_address(&mut self, vpc: &'a str, block: Ipv4Network) -> Option<Ipv4Addr> {
        let (first, last) = (u32::from(block.network()), u32::from(block.broadcast()));
        let preferred = first.saturating_add(10).min(last);
        // Addresses are never given back, so those that were tried need not be tried again.
        let tried = self.tried.entry((vpc, block)).or_default();
        for address in (preferred..last).chain(first..preferred).skip(*tried) {
            *tried += 1;
            let address = Ipv4Addr::from(address);
            if !is_reserved(block, address) && self.taken.insert((vpc, address)) {
                return Some(address);
            }
        }
        None
    }
}

/// Returns the comment of an assumption.
pub(super) fn assumption(what: &str, taken: &str) -> String {
    format!("assumed: {taken}: {what}")
}
