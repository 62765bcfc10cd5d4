//! Findings: parts of the source that an import does not take over unchanged. They are reported,
//! never dropped in silence.

use super::Origin;
use super::secrets::Secrets;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The effect of a finding on the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A verdict may be wrong: the import fails, unless it is lenient.
    NotUnderstood,
    /// The source leaves it open. A comment in the lab file names the assumed value.
    Assumed,
    /// It has no counterpart in a lab, and the consequence is known.
    LeftOut,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotUnderstood => "not understood",
            Self::Assumed => "assumed",
            Self::LeftOut => "left out",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Its effect on the lab.
    pub kind: FindingKind,
    /// Kind and id, in AWS's words, such as `route table rtb-0a1b`.
    pub object: String,
    /// The fact, such as `a route to transit gateway tgw-1`.
    pub what: String,
    /// The consequence in the lab.
    pub consequence: String,
    /// Its place in the source.
    pub origin: Origin,
}

/// All findings of an import, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    found: Vec<Finding>,
    ipv6: BTreeMap<String, (usize, Origin)>,
    hidden: Secrets,
}

impl Findings {
    /// Makes an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that the source leaves open, and the assumed one.
    pub fn assumed(
        &mut self,
        object: impl Into<String>,
        origin: &Origin,
        what: impl Into<String>,
        taken: impl Into<String>,
    ) {
        self.push(FindingKind::Assumed, object.into(), origin, what.into(), taken.into());
    }

    /// Adds an object that has no counterpart in a lab, and the consequence.
    pub fn left_out(
        &mut self,
        object: impl Into<String>,
        origin: &Origin,
        what: impl Into<String>,
        consequence: impl Into<String>,
    ) {
        self.push(FindingKind::LeftOut, object.into(), origin, what.into(), consequence.into());
    }

    /// Adds an object for which a verdict of the lab may be wrong. The consequence says what a
    /// lenient import does instead.
    pub fn not_understood(
        &mut self,
        object: impl Into<String>,
        origin: &Origin,
        what: impl Into<String>,
        consequence: impl Into<String>,
    ) {
        let (object, what) = (object.into(), what.into());
        self.push(FindingKind::NotUnderstood, object, origin, what, consequence.into());
    }

    /// Counts an IPv6 part that was left out, by its kind in the singular, such as `route` or
    /// `subnet CIDR block`.
    pub fn ipv6(&mut self, kind: impl Into<String>, origin: &Origin) {
        self.ipv6.entry(kind.into()).or_insert_with(|| (0, origin.clone())).0 += 1;
    }

    /// Hides these values in all findings.
    pub fn hide(&mut self, secrets: Secrets) {
        self.hidden.extend(secrets);
    }

    /// Adds the findings of a part of the source.
    pub fn extend(&mut self, others: Self) {
        self.found.extend(others.found);
        self.hidden.extend(others.hidden);
        for (kind, (count, origin)) in others.ipv6 {
            self.ipv6.entry(kind).or_insert((0, origin)).0 += count;
        }
    }

    /// Returns all findings: those not understood first, then by object; those of IPv6 last, one
    /// for each kind.
    pub fn all(&self) -> Vec<Finding> {
        let mut all = self.found.clone();
        all.sort_by_key(|finding| finding.kind);
        all.extend(self.ipv6.iter().map(|(kind, (count, origin))| Finding {
            kind: FindingKind::LeftOut,
            object: "IPv6".to_owned(),
            what: format!("{count} \u{d7} {kind}"),
            consequence: "egret carries IPv4 only; IPv4 verdicts do not depend on it".to_owned(),
            origin: origin.clone(),
        }));
        for finding in &mut all {
            for text in [&mut finding.object, &mut finding.what, &mut finding.consequence] {
                self.hidden.hide(text);
            }
        }
        all
    }

    /// Decides whether a verdict may be wrong.
    pub fn has_not_understood(&self) -> bool {
        self.found.iter().any(|finding| finding.kind == FindingKind::NotUnderstood)
    }

    fn push(
        &mut self,
        kind: FindingKind,
        object: String,
        origin: &Origin,
        what: String,
        consequence: String,
    ) {
        self.found.push(Finding { kind, object, what, consequence, origin: origin.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_not_understood_come_first_and_ipv6_is_summed_up() {
        let origin = Origin::file("vpc.json");
        let mut findings = Findings::new();
        findings.ipv6("route", &origin.at("Routes[1]"));
        findings.left_out("flow log fl-1", &origin, "flow log", "the lab writes none");
        findings.ipv6("route", &origin.at("Routes[2]"));
        assert!(!findings.has_not_understood());
        let mut more = Findings::new();
        more.not_understood("route table rtb-1", &origin, "a route to tgw-1", "it drops");
        more.ipv6("route", &origin.at("Routes[7]"));
        findings.extend(more);
        assert!(findings.has_not_understood());
        let lines: Vec<String> = findings
            .all()
            .iter()
            .map(|f| format!("{} | {} | {} | {}", f.kind, f.object, f.what, f.origin))
            .collect();
        assert_eq!(
            lines,
            [
                "not understood | route table rtb-1 | a route to tgw-1 | vpc.json",
                "left out | flow log fl-1 | flow log | vpc.json",
                "left out | IPv6 | 3 \u{d7} route | vpc.json: Routes[1]",
            ]
        );
    }
}
