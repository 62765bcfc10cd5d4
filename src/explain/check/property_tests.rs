//! Compares the findings in random labs with questions about each subnet alone, and about each
//! packet.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::reachability::destinations;
use super::subnets_differ::{Difference, differences};
use super::view::{self, View};
use crate::config::Lab;
use crate::pipeline::Stage;
use crate::pipeline::reach::{
    self, Addresses, Answer, Class, PortRange, Ports, Question, Ranges, Tasks,
};
use crate::pipeline::tests::generator::{self, Tape};
use crate::vpc::path::Attachment;
use crate::vpc::{Generation, SubnetIx};
use proptest::prelude::*;

/// Returns the answers about each subnet of a view's connector alone.
fn alone(view: &View) -> Vec<(SubnetIx, Answer)> {
    let snapshot = view.snapshot();
    let (snapshot, all) =
        reach::attachments(snapshot, view.service, Tasks::Possible, Addresses::Open);
    let answer = |asked: &reach::Asked| {
        let subnet = match asked.attachment {
            Attachment::Eni(eni) => snapshot.eni(eni).subnet,
            Attachment::AppRunner => return None,
        };
        let question = Question {
            service: view.service,
            attachments: vec![*asked],
            gateway_addresses: Addresses::Open,
            destinations: destinations(view.service, &snapshot),
            ports: Ports::all(),
            source_port: None,
        };
        Some((subnet, reach::ask_each(&snapshot, &question, &mut || true).unwrap()))
    };
    all.iter().filter_map(answer).collect()
}

/// Lists a destination and a port of each cell of the answers together.
fn cells(answers: &[(SubnetIx, Answer)]) -> Vec<(u32, PortRange)> {
    let classes = || answers.iter().flat_map(|(_, answer)| &answer.classes);
    let mut destinations: Vec<u32> =
        classes().flat_map(|class| class.destinations.iter().map(|(first, _)| first)).collect();
    destinations.sort_unstable();
    destinations.dedup();
    let mut ports: Vec<PortRange> = Vec::new();
    for range in classes().flat_map(|class| class.ports.iter().collect::<Vec<_>>()) {
        let first = match range {
            PortRange::Of(protocol, first, _) => PortRange::Of(protocol, first, first),
            PortRange::Echo => PortRange::Echo,
            PortRange::Protocols(first, _) => PortRange::Protocols(first, first),
        };
        if !ports.contains(&first) {
            ports.push(first);
        }
    }
    destinations.iter().flat_map(|to| ports.iter().map(|port| (*to, *port))).collect()
}

fn has(destinations: &Ranges, own: &Ports, (to, port): (u32, PortRange)) -> bool {
    destinations.contains(to) && own.intersection(&Ports::new([port])).count() > 0
}

fn passes(answer: &Answer, cell: (u32, PortRange)) -> bool {
    let own = |class: &&Class| class.passes() && has(&class.destinations, &class.ports, cell);
    answer.classes.iter().any(|class| own(&class))
}

/// Compares the differences of a view with the answers for each subnet alone: each difference
/// holds, and packets that pass from one subnet only are a difference, unless another finding is
/// about them.
fn differ_as_alone(view: &View) {
    let (found, answers) = (differences(view), alone(view));
    for cell in cells(&answers) {
        let said: Vec<&Difference> =
            found.iter().filter(|own| has(&own.destinations, &own.ports, cell)).collect();
        for (subnet, answer) in &answers {
            let passes_here = passes(answer, cell);
            for own in &said {
                if own.reaching.contains(subnet) {
                    assert!(passes_here, "{subnet:?} does not reach {cell:?}");
                }
                if own.failing == *subnet {
                    assert!(!passes_here, "{subnet:?} reaches {cell:?}");
                }
            }
            let passes_elsewhere = answers.iter().any(|(_, other)| passes(other, cell));
            if !passes_here && passes_elsewhere && is_own_finding(view, answer, cell) {
                assert!(said.iter().any(|own| own.failing == *subnet), "{subnet:?} {cell:?}");
            }
        }
    }
}

/// Decides whether rules drop a packet, whatever else is open, and a listener waits for it, so that
/// no other finding is about it.
fn is_own_finding(view: &View, answer: &Answer, (to, port): (u32, PortRange)) -> bool {
    let is_heard = !view.heard(&Ranges::one(to), &Ports::new([port])).is_empty();
    let is_of_rules = |class: &Class| {
        let stage = class.denial.map(|denial| denial.reason.stage());
        matches!(
            stage,
            Some(
                Stage::NetworkAclEgress
                    | Stage::NetworkAclIngress
                    | Stage::NetworkAclReturn
                    | Stage::SecurityGroupIngress
            )
        )
    };
    let own = |class: &&Class| has(&class.destinations, &class.ports, (to, port));
    is_heard && answer.classes.iter().filter(own).all(is_of_rules)
}

/// Compares splits with their classes: the passing ones pass, and they have the destinations in
/// common.
fn splits_have_both(view: &View) {
    for split in super::split::splits(view) {
        assert!(!split.failing.passes());
        assert!(!split.destinations.is_empty());
        for class in &split.passing {
            assert!(class.passes());
            assert!(class.destinations.meets(&split.destinations));
            assert!(class.ports.intersection(&split.failing.ports).count() > 0);
        }
    }
}

/// Returns the number of random labs; more with `--long`.
fn cases() -> u32 {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default().cases.min(4096),
        None => 24,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn subnets_differ_as_each_alone_does(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let lab = Lab::parse("lab.toml", &generator::lab(&mut Tape::new(&bytes))).unwrap();
        for view in view::all(&lab.lower(Generation(1)), &lab.spec, &mut |_| {}) {
            differ_as_alone(&view);
            splits_have_both(&view);
        }
    }

    #[test]
    fn every_finding_of_a_random_lab_says_what_where_and_how_to_fix_it(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let text = generator::lab(&mut Tape::new(&bytes));
        for one in super::testing::found(&text) {
            prop_assert!(crate::config::LINTS.contains(&one.rule), "{one:#?}");
            prop_assert!(one.line > 0, "{one:#?}");
            prop_assert!(!one.help.is_empty() && !one.message.contains("(earlier configuration)"));
        }
    }
}
