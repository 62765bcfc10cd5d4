//! The changes of a reload, and its effect on live flows: the answer of `egret apply`.

use super::rows::ProcessRow;
use super::tables::{self, TableStyle};
use crate::config::changes::{Change, Difference, What};
use crate::config::{Diagnostic, Severity};
use crate::edge::and_more;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Write};

/// The most flows that are listed one by one; the rest are counted.
const LISTED: usize = 1000;

/// The answer of `egret apply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// The lab.
    pub lab: String,
    /// The lab file.
    pub file: String,
    /// Set if nothing was applied.
    pub dry_run: bool,
    /// The present configuration.
    pub generation: u32,
    /// Set if that generation is a new one.
    pub applied: bool,
    /// The differences, object by object.
    pub changes: Vec<Change>,
    /// The effects on live flows.
    pub flows: AffectedFlows,
    /// The findings about the file that the configuration before does not have.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// The number of further such warnings that are not listed.
    #[serde(default)]
    pub warnings_left_out: usize,
    /// The number of further warnings about the file that the configuration before has as well.
    #[serde(default)]
    pub old_warnings: usize,
    /// Faults besides the change, which is applied nevertheless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The programs that still ran in namespaces that were removed.
    #[serde(default)]
    pub processes: Vec<ProcessRow>,
}

/// A setting in the lab that is valid and probably not intended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A warning or a note.
    pub severity: Severity,
    /// Its stable id, such as `public-subnet-in-connector`.
    pub rule: String,
    /// The line, counted from 1; 0 if no line is the cause.
    pub line: u32,
    /// The finding.
    pub message: String,
    /// The correction.
    pub help: String,
}

impl From<&Diagnostic> for Warning {
    fn from(finding: &Diagnostic) -> Self {
        let Diagnostic { severity, rule, line, message, help, .. } = finding;
        let (severity, rule, line) = (*severity, (*rule).to_owned(), *line);
        Self { severity, rule, line, message: message.clone(), help: help.clone() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, rule, line, message, help } = self;
        let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
        write!(f, "{severity}: {place}{message}; {help} ({rule})")
    }
}

impl Reload {
    /// Lists the numbers of warnings that are not listed: new ones, and those of before.
    pub fn more_warnings(&self) -> impl Iterator<Item = String> {
        and_more(self.warnings_left_out, "new warning").into_iter().chain(self.warnings_as_before())
    }

    fn warnings_as_before(&self) -> Option<String> {
        let Self { file, old_warnings, .. } = self;
        match old_warnings {
            0 => None,
            1 => Some(format!("1 warning is as before; `egret check {file}` shows it")),
            n => Some(format!("{n} warnings are as before; `egret check {file}` shows them")),
        }
    }
}

/// The effects on live flows, each at its next packet at the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AffectedFlows {
    /// The number of live flows.
    pub live: u64,
    /// The number of flows that continue.
    pub keep: u64,
    /// The flows that are affected, one by one: a thousand at most.
    pub affected: Vec<AffectedFlow>,
    /// The number of further flows that are affected.
    pub unlisted: u64,
}

/// A flow that is affected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AffectedFlow {
    /// Its task, such as `web/1`.
    pub task: String,
    /// `tcp`, `udp`, `icmp`, or the protocol number.
    pub protocol: String,
    /// The task's side.
    pub inside: String,
    /// The destination, as the task has it.
    pub destination: String,
    /// The effect on it.
    pub outcome: FlowChange,
    /// The reason's name, or the object that is removed.
    pub reason: String,
    /// The rule that decides, if one does.
    pub rule: Option<String>,
    /// That rule's line in the new file.
    pub line: Option<u32>,
}

/// The effect on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowChange {
    /// It ends, and its ports are free.
    Ends,
    /// Its packets are dropped, as long as the configuration denies them.
    Dropped,
    /// Its packets leave, and their replies are dropped.
    RepliesDropped,
}

impl AffectedFlows {
    /// Adds a flow that is affected.
    pub fn add(&mut self, flow: AffectedFlow) {
        if self.affected.len() < LISTED {
            self.affected.push(flow);
        } else {
            self.unlisted += 1;
        }
    }

    /// Sorts the list by task.
    pub fn sort(&mut self) {
        self.affected.sort();
    }
}

/// Writes the answer for people.
///
/// # Errors
/// Those of `w`.
pub fn print_reload(w: &mut dyn Write, reload: &Reload) -> io::Result<()> {
    for change in &reload.changes {
        write_change(w, change)?;
    }
    if !reload.changes.is_empty() {
        writeln!(w)?;
    }
    write_flows(w, &reload.flows, reload.dry_run)?;
    writeln!(w, "{}", outcome(reload))?;
    match reload.processes.as_slice() {
        [] => Ok(()),
        processes => {
            writeln!(w)?;
            tables::print(w, processes, &TableStyle::default())
        }
    }
}

/// Returns a sentence about the result for the lab.
fn outcome(reload: &Reload) -> String {
    let Reload { lab, file, generation, changes, .. } = reload;
    match (reload.applied, changes.is_empty()) {
        (true, false) => format!("applied {file} to lab `{lab}` (generation {generation})"),
        (true, true) => format!(
            "applied {file} to lab `{lab}` (generation {generation}): only the order of its objects \
             changed"
        ),
        (false, true) => {
            format!("{file} changes nothing in lab `{lab}`; generation {generation} stays")
        }
        (false, false) => {
            format!("nothing was changed in lab `{lab}` (--dry-run); generation {generation} stays")
        }
    }
}

/// Writes the effects on live flows.
///
/// # Errors
/// Those of `w`.
pub fn print_affected_flows(w: &mut dyn Write, flows: &AffectedFlows) -> io::Result<()> {
    write_flows(w, flows, true)
}

fn write_change(w: &mut dyn Write, change: &Change) -> io::Result<()> {
    let sign = match change.what {
        What::Added => '+',
        What::Changed => '~',
        What::Removed => '-',
    };
    let place = change.line.filter(|_| change.what != What::Removed);
    let place = place.map_or_else(String::new, |line| format!(" (line {line})"));
    writeln!(w, "{sign} {} {}{place}", change.kind, change.id)?;
    // A removed object needs no details.
    let details = change.details.iter().filter(|_| change.what != What::Removed);
    for detail in details {
        writeln!(w, "    {}", difference(change.what, detail))?;
    }
    Ok(())
}

fn difference(what: What, detail: &Difference) -> String {
    let name = &detail.name;
    let valued = |sign: &str, value: &str| match value {
        "" => format!("{sign}{name}"),
        value => format!("{sign}{name}: {value}"),
    };
    match (&detail.before, &detail.after) {
        (Some(before), Some(after)) => format!("~ {name}: {before} -> {after}"),
        (Some(before), None) => valued("- ", before),
        (None, Some(after)) if what == What::Added => valued("", after),
        (None, Some(after)) => valued("+ ", after),
        (None, None) => name.clone(),
    }
}

fn write_flows(w: &mut dyn Write, flows: &AffectedFlows, dry_run: bool) -> io::Result<()> {
    match (flows.live, flows.live.saturating_sub(flows.keep), dry_run) {
        (0, _, _) => writeln!(w, "flows: none live")?,
        (live, 0, true) => writeln!(w, "flows: {live} live, none would be cut")?,
        (live, 0, false) => writeln!(w, "flows: {live} live, none cut")?,
        (live, cut, true) => writeln!(w, "flows: {live} live, {cut} would be cut:")?,
        (live, cut, false) => writeln!(w, "flows: {live} live, {cut} cut:")?,
    }
    for flow in &flows.affected {
        let outcome = match flow.outcome {
            FlowChange::Ends => "ends",
            FlowChange::Dropped => "dropped",
            FlowChange::RepliesDropped => "replies dropped",
        };
        let AffectedFlow { task, protocol, inside, destination, reason, .. } = flow;
        let rule = match (&flow.rule, flow.line) {
            (Some(rule), Some(line)) => format!(", by {rule} (line {line})"),
            (Some(rule), None) => format!(", by {rule}"),
            (None, _) => String::new(),
        };
        writeln!(w, "  {task} {protocol} {inside} -> {destination}: {outcome}, {reason}{rule}")?;
    }
    if flows.unlisted > 0 {
        writeln!(w, "  and {} more", flows.unlisted)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Lab;
    use crate::config::changes::changes;
    use crate::explain::{Since, check, check_since};

    const LAB: &str = include_str!("../../examples/three-az.toml");

    fn lab(text: &str) -> Lab {
        Lab::parse("lab.toml", text).unwrap()
    }

    #[test]
    fn a_plan_of_changes() {
        let minimal = include_str!("../../examples/minimal.toml");
        let next = minimal
            .replace("ports = \"5432\", to = \"sg-db\"", "ports = \"6432\", to = \"sg-db\"")
            .replace("vpc_connector = \"demo\"", "vpc_connector = \"demo\"\ntasks = 3")
            .replace(
                "[[service]]",
                "[[internet_host]]\nname = \"example\"\naddress = \"203.0.113.10\"\n[[service]]",
            )
            .replace("subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = [\"subnet-a\"]");
        let before = lab(minimal);
        let after =
            Lab::parse_after(Some(&before), "lab.toml", &next).unwrap().with_time_scale(100.0);
        let mut flows = AffectedFlows { live: 3, keep: 1, ..AffectedFlows::default() };
        let flow = |outcome, reason: &str, rule: Option<&str>| AffectedFlow {
            task: "web/1".into(),
            protocol: "tcp".into(),
            inside: "100.64.0.1:40000".into(),
            destination: "10.0.2.10:5432".into(),
            outcome,
            reason: reason.into(),
            rule: rule.map(str::to_owned),
            line: rule.map(|_| 7),
        };
        flows.add(flow(FlowChange::Ends, "flow-moved", None));
        flows.add(flow(FlowChange::RepliesDropped, "nacl-return-deny", Some("rule 90 of acl")));
        let changes = changes(&before, &after);
        let reload = Reload {
            lab: "egret".into(),
            file: "lab.toml".into(),
            dry_run: true,
            generation: 1,
            applied: false,
            changes,
            flows,
            warnings: Vec::new(),
            warnings_left_out: 0,
            old_warnings: 0,
            notes: Vec::new(),
            processes: Vec::new(),
        };
        let mut out = Vec::new();
        print_reload(&mut out, &reload).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    /// Findings move with their objects, and count as new only if there are more of them.
    #[test]
    fn a_warning_is_reported_once() {
        let text = include_str!("../../examples/walkthrough.toml");
        let before = lab(text);
        let all = check(&before).iter().filter(|f| f.severity == Severity::Warning).count();
        assert!(all > 1);
        let moved = lab(&format!("# a comment\n{text}"));
        let Since { new, old_warnings } = check_since(&moved, &before);
        assert!(new.is_empty(), "{new:?}");
        assert_eq!(old_warnings, all);
        let more = format!("{text}[[security_group]]\nid = \"sg-more\"\nvpc = \"vpc-shop\"\n");
        let Since { new, old_warnings } = check_since(&lab(&more), &before);
        assert_eq!((new.len(), old_warnings), (1, all), "{new:?}");
        assert!(new[0].message.contains("sg-more"), "{new:?}");
        let warning = Warning::from(&new[0]).to_string();
        assert!(warning.starts_with(&format!("warning: line {}: ", new[0].line)), "{warning}");
        let Since { new, old_warnings } = check_since(&before, &lab(&more));
        assert_eq!((new.len(), old_warnings), (0, all), "a warning that was fixed is not new");
    }

    /// Comments and the order of sections are not reported.
    #[test]
    fn the_same_lab_in_other_words_has_no_changes() {
        assert_eq!(changes(&lab(LAB), &lab(&format!("# a comment\n{LAB}"))), []);
    }

    #[test]
    fn a_list_of_flows_is_bounded() {
        let mut flows = AffectedFlows::default();
        for _ in 0..1500 {
            flows.add(AffectedFlow {
                task: String::new(),
                protocol: String::new(),
                inside: String::new(),
                destination: String::new(),
                outcome: FlowChange::Ends,
                reason: String::new(),
                rule: None,
                line: None,
            });
        }
        assert_eq!((flows.affected.len(), flows.unlisted), (1000, 500));
    }
}
