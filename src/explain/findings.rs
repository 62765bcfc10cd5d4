//! The findings of an import about parts that it did not take over unchanged, as a list.

use super::layout::paragraph;
use super::width::columns_of;
use crate::config::import::{Finding, FindingKind};
use crate::edge::shown;
use serde::Serialize;
use std::io::{self, Write};

/// Findings with the same text about one or more objects.
#[derive(Clone, Debug, Serialize)]
pub struct FindingRow {
    /// Their effect on the lab.
    pub kind: FindingKind,
    /// The objects.
    pub objects: Vec<String>,
    /// The finding.
    pub what: String,
    /// Its effect.
    pub consequence: String,
    /// The places in the source, in the objects' order.
    pub places: Vec<String>,
}

impl FindingRow {
    /// Groups findings by their text, in the order of the first of each.
    pub fn of(findings: &[Finding]) -> Vec<Self> {
        let mut rows: Vec<Self> = Vec::new();
        for finding in findings {
            let same = |row: &&mut Self| {
                row.kind == finding.kind
                    && row.what == finding.what
                    && row.consequence == finding.consequence
            };
            let (object, place) = (finding.object.clone(), finding.origin.to_string());
            match rows.iter_mut().find(same) {
                Some(row) => {
                    row.objects.push(object);
                    row.places.push(place);
                }
                None => rows.push(Self {
                    kind: finding.kind,
                    objects: vec![object],
                    what: finding.what.clone(),
                    consequence: finding.consequence.clone(),
                    places: vec![place],
                }),
            }
        }
        rows
    }
}

/// The text in place of a list without findings.
const UNCHANGED: &str = "everything was imported unchanged";

/// Lists findings, each below its object, its kind and its place in the source.
///
/// # Errors
/// Those of `w`.
pub fn print_findings(w: &mut dyn Write, rows: &[FindingRow]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(w, "{UNCHANGED}");
    }
    for row in rows {
        let heading = format!("{}: ", row.kind);
        let indent = columns_of(&heading);
        paragraph(w, (&heading, indent), &shown(&row.objects_with_place()))?;
        paragraph(w, ("    ", 4), &shown(&format!("{}: {}", row.what, row.consequence)))?;
    }
    Ok(())
}

impl FindingRow {
    /// Names the first object and its place, and the number of the others.
    fn objects_with_place(&self) -> String {
        let first = self.objects.first().cloned().unwrap_or_default();
        let object = match self.objects.len() {
            0 | 1 => first,
            several => format!("{first} and {} more", several - 1),
        };
        match self.places.first().filter(|place| !place.is_empty()) {
            Some(place) => format!("{object} ({place})"),
            None => object,
        }
    }
}

/// Returns the number of findings of each kind, in words.
pub fn counted_findings(findings: &[Finding]) -> String {
    let kinds = [FindingKind::NotUnderstood, FindingKind::Assumed, FindingKind::LeftOut];
    let counts = kinds.map(|kind| {
        let count = findings.iter().filter(|finding| finding.kind == kind).count();
        (count > 0).then(|| format!("{count} {kind}"))
    });
    let said: Vec<String> = counts.into_iter().flatten().collect();
    if said.is_empty() { UNCHANGED.to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::import::{Findings, Origin};

    #[test]
    fn a_finding_of_many_objects_is_one_row() {
        let file = Origin::file("a.json");
        let mut findings = Findings::new();
        for eni in ["eni-1", "eni-2", "eni-3"] {
            findings.assumed(eni, &file.at(eni), "no port is said", "none");
        }
        findings.left_out("fl-1", &file, "a flow log", "none is written");
        let all = findings.all();
        assert_eq!(counted_findings(&all), "3 assumed, 1 left out");
        let rows = FindingRow::of(&all);
        let mut text = Vec::new();
        print_findings(&mut text, &rows).unwrap_or_default();
        let wanted = "assumed: eni-1 and 2 more (a.json: eni-1)\n    no port is said: none\n\
                      left out: fl-1 (a.json)\n    a flow log: none is written\n";
        assert_eq!(String::from_utf8_lossy(&text), wanted);
        assert_eq!(counted_findings(&[]), "everything was imported unchanged");
    }
}
