//! Finds packets that differ in one property that the configuration leaves open, and have different
//! verdicts.

use super::cause::{Apart, Cause, cause};
use super::view::View;
use crate::pipeline::Stage;
use crate::pipeline::reach::{Class, GatewayAddress, Ports, Ranges};
use crate::vpc::{EniIx, NatGatewayIx};
use std::collections::{HashMap, HashSet};

/// A class that fails, and those that pass and differ from it in one property alone.
pub(super) struct Split<'v> {
    pub(super) failing: &'v Class,
    pub(super) passing: Vec<&'v Class>,
    pub(super) by: Apart,
    pub(super) cause: Cause,
    /// The destinations and ports that the first two have in common.
    pub(super) destinations: Ranges,
    pub(super) ports: Ports,
}

/// Finds the rules that tell packets apart that differ in one property alone, each once with the
/// first packets that show it.
pub(super) fn splits(view: &View) -> Vec<Split<'_>> {
    let wholes = Wholes::new(view);
    let classes = &view.asked.answer.classes;
    let parts: Vec<Parts> = classes.iter().map(|class| wholes.parts(class)).collect();
    let open = classes.iter().zip(&parts);
    let open = open.map(|(class, parts)| parts.only(may_tell_apart(class))).collect();
    let mut search = Search { view, open, known: HashSet::new(), found: Vec::new() };
    for region in &view.regions {
        let own = || region.classes.iter().filter_map(|at| Some((*at, classes.get(*at)?)));
        let passing = own().filter(|(_, class)| class.passes());
        let passing: Vec<(usize, Parts)> =
            passing.filter_map(|(at, _)| Some((at, *parts.get(at)?))).collect();
        for (at, _) in own().filter(|(_, class)| !class.passes()) {
            search.of_failing(at, &passing);
        }
    }
    search.found.into_iter().map(|(_, split)| split).collect()
}

/// Returns the properties in which packets that pass may differ from these: ports matter to replies
/// only.
fn may_tell_apart(class: &Class) -> Parts {
    let drops_replies =
        class.denial.is_some_and(|denial| denial.reason.stage() == Stage::NetworkAclReturn);
    Parts([drops_replies, drops_replies, true, true])
}

struct Search<'v> {
    view: &'v View,
    /// The properties in which another class may still differ from each class.
    open: Vec<Parts>,
    /// The pairs that were compared.
    known: HashSet<(usize, usize)>,
    /// The splits so far, with the position of the class that fails.
    found: Vec<(usize, Split<'v>)>,
}

impl<'v> Search<'v> {
    /// Compares a class that fails with those of the same region that pass.
    fn of_failing(&mut self, at: usize, passing: &[(usize, Parts)]) {
        for (other, parts) in passing {
            let Some(open) = self.open.get(at).copied() else { return };
            if open == Parts::default() {
                return;
            }
            if open.meets(*parts) && self.known.insert((at, *other)) {
                self.compare(at, *other);
            }
        }
    }

    fn compare(&mut self, at: usize, other: usize) -> Option<()> {
        let classes = &self.view.asked.answer.classes;
        let (failing, passing) = (classes.get(at)?, classes.get(other)?);
        let by = apart(failing, passing)?;
        let Some(cause) = cause(self.view, (failing, passing), by) else {
            return self.close_port(at, by);
        };
        let Some(known) = self.found.iter_mut().find(|(_, own)| own.cause == cause) else {
            return self.begin((at, failing), passing, (by, cause));
        };
        match known {
            (own, split) if *own == at && split.by == by => {
                if passing.destinations.meets(&split.destinations) {
                    split.passing.push(passing);
                }
                Some(())
            }
            _ => self.close_port(at, by),
        }
    }

    /// Adds the split that two classes show.
    fn begin(
        &mut self,
        (at, failing): (usize, &'v Class),
        passing: &'v Class,
        (by, cause): (Apart, Cause),
    ) -> Option<()> {
        let ports = failing.ports.intersection(&passing.ports);
        let common = failing.destinations.intersection(&passing.destinations);
        let destinations = self.view.heard(&common, &ports);
        if !destinations.is_empty() {
            let passing = vec![passing];
            self.found.push((at, Split { failing, passing, by, cause, destinations, ports }));
        }
        Some(())
    }

    /// Closes the port of a class that fails: no other class adds anything about it.
    fn close_port(&mut self, at: usize, by: Apart) -> Option<()> {
        self.open.get_mut(at)?.close_port(by);
        Some(())
    }
}

/// The properties of which a class has a part only: those in which another class can differ from
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts([bool; 4]);

impl Parts {
    fn only(self, others: Self) -> Self {
        let Self([a, b, c, d]) = self;
        let Self([e, f, g, h]) = others;
        Self([a && e, b && f, c && g, d && h])
    }

    fn meets(self, other: Self) -> bool {
        self.only(other) != Self::default()
    }

    fn close_port(&mut self, by: Apart) {
        match by {
            Apart::EniPort => self.0[0] = false,
            Apart::GatewayPort(_) => self.0[1] = false,
            Apart::EniAddress(_) | Apart::GatewayAddress(_) => {}
        }
    }
}

/// All ports and addresses of an answer.
#[derive(Default)]
struct Wholes {
    eni_ports: Ranges,
    gateway_ports: Ranges,
    enis: HashMap<EniIx, Ranges>,
    gateways: HashMap<(NatGatewayIx, usize), Ranges>,
}

impl Wholes {
    fn new(view: &View) -> Self {
        let mut all = Self::default();
        let join = |whole: &mut Ranges, part: &Ranges| {
            if !part.difference(whole).is_empty() {
                *whole = whole.union(part);
            }
        };
        for class in view.classes() {
            class.source_ports.iter().for_each(|own| join(&mut all.eni_ports, own));
            class.gateway_ports.iter().for_each(|own| join(&mut all.gateway_ports, own));
            for (eni, own) in &class.eni_addresses {
                join(all.enis.entry(*eni).or_default(), own);
            }
            for own in &class.gateway_addresses {
                join(all.gateways.entry((own.gateway, own.position)).or_default(), &own.private);
            }
        }
        all
    }

    fn parts(&self, class: &Class) -> Parts {
        let eni = |(eni, own): &(EniIx, Ranges)| self.enis.get(eni) != Some(own);
        let gateway = |own: &GatewayAddress| {
            self.gateways.get(&(own.gateway, own.position)) != Some(&own.private)
        };
        Parts([
            class.source_ports.as_ref().is_some_and(|own| *own != self.eni_ports),
            class.gateway_ports.as_ref().is_some_and(|own| *own != self.gateway_ports),
            class.eni_addresses.iter().any(eni),
            class.gateway_addresses.iter().any(gateway),
        ])
    }
}

/// Returns the one property in which two classes have nothing in common; `None` if there are
/// several, or if it is the subnet or the gateway itself.
fn apart(a: &Class, b: &Class) -> Option<Apart> {
    let mut all = Vec::new();
    all.extend(enis_apart(a, b)?);
    all.extend(gateways_apart(&a.gateway_addresses, &b.gateway_addresses)?);
    if are_disjoint(a.source_ports.as_ref(), b.source_ports.as_ref()) {
        all.push(Apart::EniPort);
    }
    if are_disjoint(a.gateway_ports.as_ref(), b.gateway_ports.as_ref()) {
        let gateway = b.gateway_addresses.first()?.gateway;
        all.push(Apart::GatewayPort(gateway));
    }
    match all.as_slice() {
        [one] => Some(*one),
        [] | [_, ..] => None,
    }
}

/// Compares the addresses of the ENIs that both classes have; `None` if there are none.
fn enis_apart(a: &Class, b: &Class) -> Option<Option<Apart>> {
    let (mut first, mut is_common) = (None, false);
    for (eni, ours) in &a.eni_addresses {
        for (_, theirs) in b.eni_addresses.iter().filter(|(other, _)| other == eni) {
            first = first.or(Some(*eni));
            is_common |= ours.meets(theirs);
        }
    }
    first.map(|eni| (!is_common).then_some(Apart::EniAddress(eni)))
}

/// Compares the addresses of the gateways that both classes have. If a class names none, they do
/// not matter.
fn gateways_apart(a: &[GatewayAddress], b: &[GatewayAddress]) -> Option<Option<Apart>> {
    if a.is_empty() || b.is_empty() {
        return Some(None);
    }
    let (mut first, mut is_common) = (None, false);
    for ours in a {
        let same = |other: &&GatewayAddress| {
            (other.gateway, other.position) == (ours.gateway, ours.position)
        };
        for theirs in b.iter().filter(same) {
            first = first.or(Some(ours.gateway));
            is_common |= ours.private.meets(&theirs.private);
        }
    }
    first.map(|gateway| (!is_common).then_some(Apart::GatewayAddress(gateway)))
}

fn are_disjoint(a: Option<&Ranges>, b: Option<&Ranges>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if !a.meets(b))
}
