//! Writes the answer about a set of packets for people: the verdict, the classes as a table, then
//! one packet stage by stage.

use super::class_table::{self, Listing, MOST_ROWS, gateway_address};
use super::coverage::{counted, joined, port_numbers, protocols};
use super::explained::{Explained, NAME_NOT_RESOLVED, NotResolved, Outcome, evidence_of};
use super::layout::paragraph;
use super::names::{self, Places};
use super::packet::hint;
use super::paint::{Look, Paint, Style};
use super::text::{Margins, headline, packet, rest, task_of, way_out};
use super::width::{columns_of, width};
use crate::pipeline::Reason;
use crate::pipeline::reach::{Class, GatewayAddress, Ports, Ranges, SetVerdict};
use crate::vpc::Task;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// The number of ranges that the line about a class shows of each kind.
const SHOWN_RANGES: usize = 4;

impl Explained {
    /// Writes the answer for people. `places` names lines of the lab file.
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
        match &self.outcome {
            Outcome::Answered(_) => self.answered(w, places, look),
            Outcome::NotResolved(unresolved) => self.unresolved(w, unresolved, places, look),
        }
    }

    fn answered(&self, w: &mut dyn Write, places: Places<'_>, look: Look) -> io::Result<()> {
        let paint = look.paint();
        let classes = self.classes();
        let Some(shown) = classes.first() else { return Ok(()) };
        let evidence = evidence_of(shown);
        let is_one = self.verdict() == SetVerdict::Forward || classes.len() == 1;
        if !is_one {
            self.verdict_on_all(w, paint)?;
            self.table(w, look)?;
            writeln!(w)?;
        }
        if is_one || self.reasons().len() > 1 || self.verdict() == SetVerdict::Mixed {
            headline(w, &evidence, paint)?;
        }
        packet(w, &evidence, &self.snapshot, &|task| self.sender(task))?;
        if is_one {
            lines(w, "covers: ", &self.covers(look))?;
        }
        self.remarks(w, paint)?;
        if is_one && look.wide {
            writeln!(w)?;
            self.table(w, look)?;
        }
        rest(w, (&evidence, &self.proposal), &self.snapshot, places, paint)
    }

    /// Writes the proposal for the first class that fails, or else a hint; nothing if all packets
    /// pass.
    pub(super) fn way_out(
        &self,
        w: &mut dyn Write,
        margins: Margins,
        places: Places<'_>,
        paint: Paint,
    ) -> io::Result<()> {
        match self.classes().first().and_then(|class| hint(&evidence_of(class))) {
            Some(hint) => way_out(w, (&self.proposal, hint), margins, places, paint),
            None => Ok(()),
        }
    }

    fn table(&self, w: &mut dyn Write, look: Look) -> io::Result<()> {
        let listings = self.listings(look.most(MOST_ROWS));
        let beyond = self.classes().len() - listings.len();
        match look.wide {
            true => class_table::write_wide(w, &listings),
            false => class_table::write(w, &listings, 0, beyond),
        }
    }

    fn verdict_on_all(&self, w: &mut dyn Write, paint: Paint) -> io::Result<()> {
        writeln!(w, "{}", paint.with(Style::Bad, &self.failing_verdict()))
    }

    /// Returns the verdict on a set of which not all packets pass, with the reason if there is only
    /// one.
    fn failing_verdict(&self) -> String {
        let reasons = self.reasons();
        match (self.verdict(), reasons.as_slice()) {
            (SetVerdict::Forward | SetVerdict::Mixed, _) => "MIXED".to_owned(),
            (SetVerdict::Drop, [reason]) => format!("DROP {reason}"),
            (SetVerdict::Drop, _) => "DROP".to_owned(),
        }
    }

    /// Lists the reasons of the classes that count.
    fn reasons(&self) -> Vec<Reason> {
        let counted = self.classes().iter().filter(|class| class.counts);
        let reasons = counted.filter_map(|class| Some(class.denial?.reason));
        reasons.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns the verdict on the whole set in a few words.
    pub(super) fn verdict_in_short(&self) -> String {
        match (&self.outcome, self.verdict()) {
            (Outcome::NotResolved(_), _) => format!("DROP {NAME_NOT_RESOLVED}"),
            (Outcome::Answered(_), SetVerdict::Forward) => "FORWARD".to_owned(),
            (Outcome::Answered(_), SetVerdict::Mixed | SetVerdict::Drop) => self.failing_verdict(),
        }
    }

    fn remarks(&self, w: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for note in self.notes() {
            paragraph(w, (&format!("{} ", paint.with(Style::Note, "note:")), 6), &note)?;
        }
        if let Some(now) = &self.now {
            let said = format!("{}: {}", now.reason, now.sentence);
            paragraph(w, (&format!("{} ", paint.with(Style::Bad, "now:")), 5), &said)?;
            paragraph(w, ("     ", 5), now.hint)?;
        }
        for broken in &self.broken_tasks {
            let heading = format!("{} ", paint.with(Style::Bad, "now:"));
            paragraph(w, (&heading, 5), &broken.said())?;
        }
        Ok(())
    }

    fn sender(&self, task: &Task) -> String {
        let name = task_of(task, &self.snapshot);
        match self.is_running && self.lab.task(task.address).is_none() {
            true => format!("{name} (not running)"),
            false => name,
        }
    }

    /// Returns the addresses and ports of NAT gateways, in words; `None` if there is no gateway.
    fn gateways(&self, all: BTreeSet<&GatewayAddress>) -> Option<String> {
        let is_one = all.len() == 1;
        let first = all.into_iter().next()?;
        let gateway = self.snapshot.nat_gateway(first.gateway);
        if is_one && gateway.addresses.len() == 1 && first.private.count() == 1 {
            return Some(format!("any port of {}", gateway_address(first, &self.snapshot)));
        }
        Some("any address and port of a NAT gateway".to_owned())
    }

    /// Describes the packets for which a single verdict stands.
    fn covers(&self, look: Look) -> Vec<String> {
        let most = look.most(SHOWN_RANGES);
        let classes = || self.classes().iter().filter(|class| class.counts);
        let subnets = classes().flat_map(|class| class_table::subnets(class, &self.snapshot));
        let subnets: BTreeSet<String> = subnets.collect();
        let mut parts = vec![match (subnets.len(), subnets.first()) {
            (1, Some(subnet)) => subnet.clone(),
            (0, _) | (_, None) => "App Runner's own egress".to_owned(),
            (several, Some(_)) => format!("{several} subnets"),
        }];
        let mut enis = classes().flat_map(|class| &class.eni_addresses);
        if enis.any(|(_, addresses)| addresses.count() > 1) {
            parts.push("any free address".to_owned());
        }
        if self.is_running {
            let numbers: BTreeSet<u16> = classes().flat_map(|class| self.numbers(class)).collect();
            let tasks = class_table::tasks(&self.names(numbers));
            parts.push(joined(&tasks, most));
        }
        let sources = union(classes().filter_map(|class| class.source_ports.as_ref()));
        if !sources.is_empty() {
            parts.push(format!("source ports {}", joined(&port_numbers(&sources), most)));
        }
        let behind_nat = || classes().filter(|class| class.gateway_ports.is_some());
        let gateways = behind_nat().flat_map(|class| &class.gateway_addresses);
        if let Some(gateways) = self.gateways(gateways.collect()) {
            parts.push(gateways);
        } else if behind_nat().next().is_some() {
            parts.push("any port".to_owned());
        }
        let destinations = union(classes().map(|class| &class.destinations)).count();
        if destinations > 1 {
            parts.push(counted(destinations, "address", "addresses"));
        }
        let ports = classes().fold(Ports::new([]), |all, class| all.union(&class.ports));
        if ports.count() > 1 {
            parts.push(destination_ports(&ports, most));
        }
        parts
    }

    fn listings(&self, most: usize) -> Vec<Listing> {
        let listing = |class: &Class| {
            let tasks = self.is_running.then(|| self.tasks(class));
            class_table::listing(class, tasks, &self.snapshot)
        };
        self.classes().iter().take(most).map(listing).collect()
    }

    fn unresolved(
        &self,
        w: &mut dyn Write,
        unresolved: &NotResolved,
        places: Places<'_>,
        look: Look,
    ) -> io::Result<()> {
        let paint = look.paint();
        let explanation = self.unresolved_explanation();
        let reason = explanation.reason.unwrap_or_default();
        writeln!(w, "{}", paint.with(Style::Bad, &format!("DROP {reason}")))?;
        writeln!(w, "name: {}", unresolved.name)?;
        writeln!(w, "service: {}", names::service_name(&self.snapshot, self.service))?;
        writeln!(w)?;
        paragraph(w, ("", 0), &explanation.sentence)?;
        if let Some(hint) = explanation.hint {
            paragraph(w, (&format!("{} ", paint.with(Style::Note, "fix:")), 5), hint)?;
        }
        let Some(by_address) = &unresolved.by_address else { return Ok(()) };
        writeln!(w)?;
        writeln!(w, "By address:")?;
        by_address.text(w, places, look)
    }
}

/// Writes a list after a heading, on as many lines as it needs.
fn lines(w: &mut dyn Write, heading: &str, parts: &[String]) -> io::Result<()> {
    let mut line = heading.to_owned();
    for (at, part) in parts.iter().enumerate() {
        let text = if at + 1 < parts.len() { format!("{part}, ") } else { part.clone() };
        if columns_of(&line) + columns_of(text.trim_end()) > width() && at > 0 {
            writeln!(w, "{}", line.trim_end())?;
            line = " ".repeat(heading.len());
        }
        line.push_str(&text);
    }
    writeln!(w, "{line}")
}

fn union<'r>(sets: impl Iterator<Item = &'r Ranges>) -> Ranges {
    Ranges::new(sets.flat_map(Ranges::iter))
}

fn destination_ports(ports: &Ports, most: usize) -> String {
    match *ports == Ports::all() {
        true => "all protocols and ports".to_owned(),
        false => format!("ports {}", joined(&protocols(ports), most)),
    }
}
