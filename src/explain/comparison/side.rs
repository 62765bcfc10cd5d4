//! Describes the sources of packets, as far as they matter: subnets, ports, addresses of NAT
//! gateways.

use super::super::class_table::gateway_address;
use super::super::coverage::{addresses, joined, port_numbers};
use super::super::explained::subnet_of;
use super::super::reachability::Asked;
use super::question::{Changes, attachments};
use crate::pipeline::reach::{Changed, ChangedSide, Class, GatewayAddress, Ranges};
use crate::vpc::path::Attachment;
use std::collections::BTreeSet;

/// The number of ranges that are shown of each kind.
const SHOWN_RANGES: usize = 3;

/// The word for App Runner's own egress.
const APP_RUNNER: &str = "app-runner";

/// Attachments of either side by name, the subnets before with those after.
pub(super) type Attachments = BTreeSet<(String, String)>;

/// All possible sources of a service's packets, on either side.
pub(super) struct Sources<'c> {
    before: Source<'c>,
    after: Source<'c>,
}

struct Source<'c> {
    asked: &'c Asked,
    attachments: Vec<Attachment>,
    ports: Ranges,
}

impl<'c> Sources<'c> {
    pub(super) fn new(changes: &'c Changes) -> Self {
        Self { before: Source::new(&changes.before), after: Source::new(&changes.after) }
    }

    pub(super) fn attachments(&self, changed: &Changed) -> Attachments {
        let before = changed.before.attachments.iter();
        let both = before.zip(&changed.after.attachments);
        both.map(|(a, b)| (self.before.attachment(a), self.after.attachment(b))).collect()
    }

    /// Lists the attachments of the packets; nothing if they are all.
    pub(super) fn shown(&self, own: &Attachments) -> Vec<String> {
        let names = |side: &Source<'_>| {
            let whole = |at: &Attachment| subnet_of(*at, &side.asked.snapshot);
            let all = side.attachments.iter().map(|at| whole(at).unwrap_or_else(app_runner));
            all.collect::<BTreeSet<String>>()
        };
        let (before, after) = (names(&self.before), names(&self.after));
        let has = |a: &String, b: &String| own.contains(&(a.clone(), b.clone()));
        let is_unmoved = before == after && before.iter().all(|at| has(at, at));
        if is_unmoved || before.iter().all(|a| after.iter().all(|b| has(a, b))) {
            return Vec::new();
        }
        let one =
            |(a, b): &(String, String)| if a == b { a.clone() } else { format!("{a} -> {b}") };
        own.iter().map(one).collect()
    }

    /// Lists ports and gateway addresses of the packets, if they are not all.
    pub(super) fn others(&self, changed: &Changed) -> Vec<String> {
        let mut words = Vec::new();
        let all_ports = self.before.ports.union(&self.after.ports);
        if let Some(ports) = changed.source_ports.as_ref().filter(|ports| **ports != all_ports) {
            words.push(format!("source ports {}", joined(&port_numbers(ports), SHOWN_RANGES)));
        }
        let sides = [(&self.before, &changed.before), (&self.after, &changed.after)];
        for word in sides.iter().flat_map(|(source, side)| source.gateways(side)) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words
    }
}

impl<'c> Source<'c> {
    fn new(asked: &'c Asked) -> Self {
        let classes = &asked.answer.classes;
        let ports = classes.iter().filter_map(|class| class.source_ports.as_ref());
        let ports = Ranges::new(ports.flat_map(Ranges::iter));
        Self { asked, attachments: attachments(&asked.answer), ports }
    }

    /// Names an attachment by its subnet, with the private addresses of its ENI if they are not
    /// all.
    fn attachment(&self, (at, own): &(Attachment, Ranges)) -> String {
        let subnet = subnet_of(*at, &self.asked.snapshot).unwrap_or_else(app_runner);
        let of_eni = |class: &'c Class| {
            let own = class.eni_addresses.iter().filter(|(eni, _)| Attachment::Eni(*eni) == *at);
            own.flat_map(|(_, ranges)| ranges.iter())
        };
        let all = Ranges::new(self.asked.answer.classes.iter().flat_map(of_eni));
        if *own == all {
            return subnet;
        }
        format!("{} in {subnet}", joined(&addresses(own), SHOWN_RANGES))
    }

    /// Lists addresses and ports of a NAT gateway, or ports of App Runner's own NAT, if they are
    /// not all.
    fn gateways(&self, side: &ChangedSide) -> Vec<String> {
        let mut words = Vec::new();
        let all = |at: &GatewayAddress| {
            let classes = self.asked.answer.classes.iter();
            let like = classes.flat_map(|class| &class.gateway_addresses);
            let like = like.filter(|o| (o.gateway, o.position) == (at.gateway, at.position));
            Ranges::new(like.flat_map(|other| other.private.iter()))
        };
        let count =
            |at: &GatewayAddress| self.asked.snapshot.nat_gateway(at.gateway).addresses.len();
        let own = &side.gateway_addresses;
        let is_whole = own.first().is_none_or(|first| own.len() == count(first))
            && own.iter().all(|at| at.private == all(at));
        if !is_whole {
            words.extend(own.iter().map(|at| gateway_address(at, &self.asked.snapshot)));
        }
        let drawn = Ranges::of(1024, u16::MAX.into());
        if let Some(ports) = side.gateway_ports.as_ref().filter(|ports| **ports != drawn) {
            let is_own = self.attachments.contains(&Attachment::AppRunner);
            let word = if is_own { "NAT ports" } else { "gateway ports" };
            words.push(format!("{word} {}", joined(&port_numbers(ports), SHOWN_RANGES)));
        }
        words
    }
}

fn app_runner() -> String {
    APP_RUNNER.to_owned()
}
