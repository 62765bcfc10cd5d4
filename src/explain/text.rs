//! Writes the explanation for people: the verdict first, then stage by stage in aligned columns,
//! then how to fix it.

use super::evidence::{NOT_CHOSEN, NamedStep, destination_name, explanation};
use super::fix::{Fix, Form, NEW_SECTIONS, Proposal, SECTION};
use super::layout::{StepColumns, paragraph};
use super::names::{self, Places};
use super::nearest_miss::NearestMiss;
use super::packet::arrival;
use super::paint::{Paint, Style};
use super::width::columns_of;
use crate::pipeline::reach::is_not_chosen;
use crate::pipeline::{Detail, Evidence, Outcome, Stage, Step};
use crate::vpc::{Snapshot, Task};
use std::io::{self, Write};

/// Writes the lines after the packet: stage by stage, and how to fix it.
pub(super) fn rest(
    w: &mut dyn Write,
    (evidence, proposal): (&Evidence, &Proposal),
    snapshot: &Snapshot,
    places: Places<'_>,
    paint: Paint,
) -> io::Result<()> {
    let explanation = explanation(evidence, snapshot);
    writeln!(w)?;
    steps(w, evidence, snapshot, &explanation.steps, places, paint)?;
    writeln!(w)?;
    paragraph(w, ("", 0), &explanation.sentence)?;
    match explanation.hint {
        Some(hint) => {
            if let Some(code) = explanation.code {
                writeln!(w, "code: {code}")?;
            }
            if let Some(miss) = &explanation.nearest_miss {
                nearest_miss(w, miss, places)?;
            }
            way_out(w, (proposal, hint), Margins { first: 0, below: 5 }, places, paint)
        }
        None => Ok(()),
    }
}

/// Writes the verdict on one packet.
pub(super) fn headline(w: &mut dyn Write, evidence: &Evidence, paint: Paint) -> io::Result<()> {
    match evidence.denial {
        Some(denial) => {
            writeln!(w, "{}", paint.with(Style::Bad, &format!("DROP {}", denial.reason)))
        }
        None => writeln!(w, "{}", paint.with(Style::Good, "FORWARD")),
    }
}

/// Writes the packet, as it is sent and as it arrives, and its sender.
pub(super) fn packet(
    w: &mut dyn Write,
    evidence: &Evidence,
    snapshot: &Snapshot,
    sender: &dyn Fn(&Task) -> String,
) -> io::Result<()> {
    match destination_name(evidence, snapshot) {
        Some(name) => paragraph(w, ("packet: ", 8), &format!("{} ({name})", evidence.inside))?,
        None => writeln!(w, "packet: {}", evidence.inside)?,
    }
    if let Some(arrival) = arrival(evidence).filter(|own| *own != evidence.inside.tuple()) {
        let (source, text) = (arrival.src, arrival.to_string());
        let is_shown = !is_not_chosen(source);
        let shown = if is_shown { text } else { text.replacen(&source.to_string(), NOT_CHOSEN, 1) };
        writeln!(w, "arrives as: {shown}")?;
    }
    match snapshot.task(evidence.inside.src()) {
        Some(task) => writeln!(w, "service: {}", sender(task)),
        None => writeln!(w, "service: none; no task has {}", evidence.inside.src()),
    }
}

/// Returns the service and the number of a task.
pub(super) fn task_of(task: &Task, snapshot: &Snapshot) -> String {
    format!("{}, task {}", names::service_name(snapshot, task.service), task.number)
}

fn steps(
    w: &mut dyn Write,
    evidence: &Evidence,
    snapshot: &Snapshot,
    named: &[NamedStep],
    places: Places<'_>,
    paint: Paint,
) -> io::Result<()> {
    let columns = step_columns(named, 2);
    let first_reply = evidence.steps.iter().position(|s| s.stage == Stage::NetworkAclReturn);
    for (position, (step, named)) in evidence.steps.iter().zip(named).enumerate() {
        if Some(position) == first_reply {
            writeln!(w, "  {}", paint.with(Style::Faint, "-- reply --"))?;
        }
        let (mark, style) = mark(step.outcome);
        let cells = (&*paint.with(style, mark), &*named.stage, &*named.component);
        columns.write(w, cells, &said(step, named, snapshot, places))?;
    }
    Ok(())
}

/// Returns the columns that steps need.
pub(super) fn step_columns(steps: &[NamedStep], margin: usize) -> StepColumns {
    let widest = |of: fn(&NamedStep) -> &str| {
        steps.iter().map(|step| columns_of(of(step))).max().unwrap_or(0)
    };
    StepColumns { margin, stage: widest(|s| &s.stage), component: widest(|s| &s.component) }
}

/// Lists the rule, its place and the detail; text of another column or of the end of the answer is
/// left out.
fn said(step: &Step, named: &NamedStep, snapshot: &Snapshot, places: Places<'_>) -> Vec<String> {
    let rule = step.rule.map(|rule| names::decided_by(rule, snapshot));
    let place = rule.as_ref().and_then(|rule| rule.shown_place(places));
    let itself = [named.component.as_str(), &named.stage];
    let name = named.rule.clone().filter(|rule| !itself.contains(&rule.as_str()));
    let dropped = step.outcome == Outcome::Drop;
    let detail = match step.detail {
        Detail::NearMiss(..) => None,
        Detail::Crossing { .. } if !dropped && step.stage != Stage::NetworkAclReturn => None,
        Detail::None
        | Detail::Attached { .. }
        | Detail::SameSubnet(_)
        | Detail::Tracked
        | Detail::Translated { .. }
        | Detail::Crossing { .. }
        | Detail::NoSuchHost(_)
        | Detail::Exempt(_) => named.detail.clone(),
    };
    [name, place, detail].into_iter().flatten().collect()
}

/// Returns the mark of an outcome by its name.
pub(super) fn mark_of(outcome: &str) -> (&'static str, Style) {
    let all = [Outcome::Pass, Outcome::Skip, Outcome::Translate, Outcome::Deliver, Outcome::Drop];
    all.into_iter().find(|one| one.name() == outcome).map_or(("?", Style::Note), mark)
}

fn mark(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Pass => ("✓", Style::Good),
        Outcome::Skip => ("·", Style::Faint),
        Outcome::Translate => ("⇄", Style::Note),
        Outcome::Deliver => ("▶", Style::Good),
        Outcome::Drop => ("✗", Style::Bad),
    }
}

fn nearest_miss(w: &mut dyn Write, miss: &NearestMiss, places: Places<'_>) -> io::Result<()> {
    let heading = ("nearest miss: ", 14);
    match miss.line {
        Some(line) => {
            let (rule, place) = (short(&miss.rule), places(line));
            paragraph(w, heading, &format!("{rule} ({place}) {}", miss.text))
        }
        None => paragraph(w, heading, &format!("{} {}", miss.rule, miss.text)),
    }
}

/// Returns `rule 2 of sg-app` without the rule's text: the comparison follows it.
pub(super) fn short(rule: &str) -> &str {
    rule.split_once(" (").map_or(rule, |(name, _)| name)
}

/// The columns before the first line of a text, and before the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    pub(super) first: usize,
    pub(super) below: usize,
}

/// Writes the proposal, or else a hint.
pub(super) fn way_out(
    w: &mut dyn Write,
    (proposal, hint): (&Proposal, &str),
    margins: Margins,
    places: Places<'_>,
    paint: Paint,
) -> io::Result<()> {
    let advice = proposal.fix().and_then(|fix| fix.advice).unwrap_or(hint);
    let (first, margin) = (" ".repeat(margins.first), " ".repeat(margins.below));
    let heading = format!("{first}{} ", paint.with(Style::Note, "fix:"));
    // The first line has the heading beside it, which is wider than the margin of the others.
    let width = margins.below.max(margins.first + "fix: ".len());
    paragraph(w, (&heading, width), advice)?;
    let below = (margin.as_str(), margins.below);
    let fix = match proposal {
        Proposal::Change(fix) => fix,
        Proposal::Nothing(why) => return paragraph(w, below, why),
        Proposal::Unknown => return Ok(()),
    };
    if let Some(note) = &fix.note {
        paragraph(w, below, note)?;
    }
    instructions(w, fix, &margin, places)?;
    for line in fix.rule.lines() {
        match line {
            "" => writeln!(w)?,
            line => writeln!(w, "{margin}{}", paint.with(Style::Note, line))?,
        }
    }
    match fix.next {
        Some(reason) => {
            paragraph(w, below, &format!("with it, the next check drops them: {reason}"))
        }
        None => Ok(()),
    }
}

/// Writes the instruction for the text of a change, and its place.
fn instructions(w: &mut dyn Write, fix: &Fix, margin: &str, places: Places<'_>) -> io::Result<()> {
    match fix.action.as_str() {
        action if fix.form != Form::Toml && fix.at > 0 => {
            writeln!(w, "{margin}{action} ({}):", places(fix.at))
        }
        action if fix.form != Form::Toml => writeln!(w, "{margin}{action}:"),
        SECTION => writeln!(w, "{margin}{SECTION}, which the lab file implies so far:"),
        NEW_SECTIONS => writeln!(w, "{margin}{NEW_SECTIONS}:"),
        action => writeln!(w, "{margin}{action} of {} ({}):", fix.id, places(fix.at)),
    }
}
