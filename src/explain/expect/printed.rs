//! Writes the results of expectations for people: a line for each, and the explanation of those
//! that fail.

use super::fixes::MOST_FIXES;
use super::live::Live;
use super::tested::{Failure, FixSearch, SHOWN, Tested};
use crate::config::Expected;
use crate::explain::class_table::{self, MOST_ROWS};
use crate::explain::columns::cut;
use crate::explain::evidence::{NamedStep, named_steps};
use crate::explain::explained::evidence_of;
use crate::explain::layout::paragraph;
use crate::explain::names::{self, Places};
use crate::explain::paint::{Look, Style};
use crate::explain::text::{Margins, mark_of, short};
use crate::explain::width::{columns_of, padded, width};
use crate::pipeline::reach::{Class, SetVerdict};
use crate::pipeline::{Outcome, Stage, Step};
use std::io::{self, Write};

/// The number of failures of one expectation that are listed.
pub(super) const MOST_FAILURES: usize = 5;

const INDENT: &str = "      ";

impl Tested<'_> {
    /// Writes a line, and below it the explanation if the expectation fails. `places` names lines
    /// of the lab file.
    ///
    /// # Errors
    /// Those of `w`.
    pub fn text(
        &self,
        w: &mut dyn Write,
        places: Places<'_>,
        look: impl Into<Look>,
    ) -> io::Result<()> {
        let look = look.into();
        let paint = look.paint();
        let (line, live) = self.line(look);
        let word = match self.holds() {
            true => paint.with(Style::Good, "ok") + "    ",
            false => paint.with(Style::Bad, "FAIL") + "  ",
        };
        writeln!(w, "{word}{line}")?;
        let own = self.note().filter(|_| !self.holds());
        for note in own.iter().chain(self.notes.iter().take(look.most(MOST_FAILURES))) {
            writeln!(w, "{INDENT}{} {note}", paint.with(Style::Note, "note:"))?;
        }
        let untried = self.live.as_ref().and_then(Live::not_tried);
        for line in live.into_iter().chain(untried) {
            writeln!(w, "{INDENT}{line}")?;
        }
        self.explanation(w, places, look)
    }

    /// Returns place and words with as many items of each list as fit, and the packets sent if
    /// those do not fit.
    fn line(&self, look: Look) -> (String, Option<String>) {
        let place = self.place();
        let live = self.live.as_ref().map(Live::in_short);
        let suffix = live.as_ref().map(|live| format!("; {live}")).unwrap_or_default();
        if look.wide {
            return (format!("{place}  {}{suffix}", self.words(usize::MAX)), None);
        }
        let with = |suffix: &str| {
            let lines = (1..=SHOWN).rev().map(|items| format!("{place}  {}", self.words(items)));
            let mut lines = lines.map(|line| line + suffix);
            lines.find(|line| INDENT.len() + columns_of(line) <= width())
        };
        match with(&suffix) {
            Some(line) => (line, None),
            None => (with("").unwrap_or_else(|| format!("{place}  {}", self.words(1))), live),
        }
    }

    /// Returns the explanation of a failure, without the line before it and without indent.
    pub(super) fn explained(&self, places: Places<'_>) -> io::Result<String> {
        let mut text = Vec::new();
        self.explanation(&mut text, places, Look::default())?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(|line| line.strip_prefix(INDENT).unwrap_or(line));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    fn explanation(&self, w: &mut dyn Write, places: Places<'_>, look: Look) -> io::Result<()> {
        let most = look.most(MOST_FAILURES);
        for (at, failure) in self.failures.iter().take(most).enumerate() {
            writeln!(w, "{INDENT}{}", failure.line())?;
            if at == 0 || look.wide {
                failure.details(w, self.expectation.is, places, look)?;
            }
        }
        let contradictions = self.live.as_ref().map_or(&[][..], |live| &live.contradictions);
        for contradiction in contradictions.iter().take(most) {
            let line = contradiction.line();
            if look.wide || INDENT.len() + columns_of(&line) <= width() {
                writeln!(w, "{INDENT}{line}")?;
            } else {
                let [sent, met] = contradiction.parts();
                writeln!(w, "{INDENT}{sent}\n{INDENT}  {met}")?;
            }
        }
        let beyond = |count: usize| count.saturating_sub(most);
        match beyond(self.failures.len()) + beyond(contradictions.len()) {
            0 => Ok(()),
            more => writeln!(w, "{INDENT}and {more} more: -o wide lists all"),
        }
    }
}

impl Failure {
    /// Describes the difference in one line.
    pub(super) fn line(&self) -> String {
        format!("{} -> {}: {}", self.service, self.destination, self.message)
    }

    /// Names the decider of the drops, if all packets are dropped.
    pub(super) fn decided_by(&self, places: Places<'_>) -> Option<String> {
        let class = self.class_shown()?;
        let decided_by = names::decided_by(class.denial?.decided_by, self.explained.snapshot());
        Some(match decided_by.shown_place(places) {
            Some(place) => format!("decided by {decided_by} ({place})"),
            None => format!("decided by {decided_by}"),
        })
    }

    /// Returns a class that shows the difference; `None` if the table of all shows it.
    fn class_shown(&self) -> Option<&Class> {
        let is_mixed = self.explained.verdict() == SetVerdict::Mixed;
        self.explained.classes().get(self.class).filter(|_| !is_mixed)
    }

    /// Writes the classes if some packets pass, else the stages of one packet and the decider.
    fn details(
        &self,
        w: &mut dyn Write,
        is: Expected,
        places: Places<'_>,
        look: Look,
    ) -> io::Result<()> {
        let lines = match self.class_shown() {
            Some(class) => self.stages(class, look),
            None if self.explained.verdict() == SetVerdict::Mixed => self.classes(is, look)?,
            None => vec![self.explained.unresolved_explanation().sentence],
        };
        for line in lines {
            writeln!(w, "{INDENT}{line}")?;
        }
        if let Some(decided_by) = self.decided_by(places) {
            paragraph(w, (INDENT, INDENT.len()), &decided_by)?;
        }
        self.fix(w, places, look)
    }

    /// Writes the change that lets the packets pass.
    fn fix(&self, w: &mut dyn Write, places: Places<'_>, look: Look) -> io::Result<()> {
        let indent = INDENT.len();
        match self.fix {
            FixSearch::None => Ok(()),
            FixSearch::Done => {
                let margins = Margins { first: indent, below: indent };
                self.explained.way_out(w, margins, places, look.paint())
            }
            FixSearch::LeftOut => {
                let heading = format!("{INDENT}{} ", look.paint().with(Style::Note, "fix:"));
                let ask = format!("`egret explain {} {}` looks", self.service, self.destination);
                let why = format!(
                    "looked for only for the first {MOST_FIXES} expectations that fail; {ask} for one"
                );
                paragraph(w, (&heading, indent + "fix: ".len()), &why)
            }
        }
    }

    /// Returns the table of the classes, those first that are not as expected.
    fn classes(&self, is: Expected, look: Look) -> io::Result<Vec<String>> {
        let snapshot = self.explained.snapshot();
        let is_expected = |class: &&Class| class.passes() == (is == Expected::Reachable);
        let (expected, others): (Vec<&Class>, Vec<&Class>) =
            self.explained.classes().iter().partition(is_expected);
        let listing = |class: &Class| class_table::listing(class, None, snapshot);
        let all: Vec<&Class> = others.into_iter().chain(expected).collect();
        let most = look.most(MOST_ROWS);
        let listings: Vec<_> = all.iter().take(most).map(|class| listing(class)).collect();
        let mut table = Vec::new();
        let beyond = all.len() - listings.len();
        match look.wide {
            true => class_table::write_wide(&mut table, &listings)?,
            false => class_table::write(&mut table, &listings, INDENT.len(), beyond)?,
        }
        Ok(String::from_utf8_lossy(&table).lines().map(str::to_owned).collect())
    }

    /// Returns the stages of one packet on its path to the destination, and the one that drops its
    /// reply.
    fn stages(&self, class: &Class, look: Look) -> Vec<String> {
        let evidence = evidence_of(class);
        let named = named_steps(&evidence, self.explained.snapshot());
        let is_shown = |(step, _): &(&Step, &NamedStep)| match step.outcome {
            Outcome::Drop => true,
            Outcome::Skip => false,
            Outcome::Pass | Outcome::Translate | Outcome::Deliver => is_on_the_way(step.stage),
        };
        let shown: Vec<_> = evidence.steps.iter().zip(&named).filter(is_shown).collect();
        let widest = |text: fn(&NamedStep) -> &str| {
            shown.iter().map(|(_, named)| columns_of(text(named))).max().unwrap_or(0)
        };
        let widths = [widest(|named| &named.stage), widest(|named| &named.component)];
        shown.iter().map(|(_, named)| stage(named, widths, look)).collect()
    }
}

/// Decides whether a stage belongs to a request, after the check of its source.
fn is_on_the_way(stage: Stage) -> bool {
    let others = [
        Stage::Parse,
        Stage::SourceCheck,
        Stage::NetworkAclReturn,
        Stage::RouteTableReturn,
        Stage::MiddleboxReturn,
    ];
    !others.contains(&stage)
}

/// Returns a stage with the rule in short, or with the translation.
fn stage(named: &NamedStep, [stage, component]: [usize; 2], look: Look) -> String {
    let (mark, style) = mark_of(&named.outcome);
    let is_translation = named.outcome == Outcome::Translate.name();
    let in_words = if look.wide { |rule| rule } else { short };
    let rule = named.rule.as_deref().map(in_words);
    let said = if is_translation { named.detail.as_deref() } else { rule };
    let said = said.filter(|said| *said != named.component).unwrap_or_default();
    let [stage, component] = [padded(&named.stage, stage), padded(&named.component, component)];
    let text = format!("{stage}  {component}  {said}");
    let room = look.most(width().saturating_sub(INDENT.len() + 4));
    format!("  {} {}", look.paint().with(style, mark), cut(text.trim_end(), room))
}

/// Counts the expectations that hold and those that fail.
pub fn summary(held: usize, failed: usize) -> String {
    let all = held + failed;
    let expectations = if all == 1 { "1 expectation" } else { &format!("{all} expectations") };
    match (held, failed) {
        (1, 0) => format!("{expectations}: it holds"),
        (_, 0) => format!("{expectations}: all hold"),
        (held, _) => {
            let hold = if held == 1 { "holds" } else { "hold" };
            format!("{held} of {all} expectations {hold}")
        }
    }
}
