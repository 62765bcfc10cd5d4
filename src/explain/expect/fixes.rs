//! Proposes changes that let services reach what they must, for expectations that fail.

use super::run::Subject;
use super::tested::{FixSearch, Tested};
use crate::config::Expected;
use crate::config::import::Source;
use crate::explain::asking::{AskError, Asking, ask};
use crate::pipeline::reach::Tasks;
use std::rc::Rc;

/// The most failing expectations of one run for which egret looks for a change, which takes far
/// longer than an answer.
pub const MOST_FIXES: usize = 5;

/// Looks for a change that lets the first failing packets of an expectation pass, for the first
/// `left` expectations with such packets; counts `left` down. With a source, the changes are
/// written for it.
///
/// # Errors
/// A question has no answer, or the answer is no longer wanted.
pub fn propose_fixes(
    subject: &Subject<'_>,
    source: Option<&Source>,
    (tested, left): (&mut [Tested<'_>], &mut usize),
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), AskError> {
    let Subject { snapshot, addresses, pool } = *subject;
    for tested in tested.iter_mut().filter(|one| one.expectation.is == Expected::Reachable) {
        let protocol = tested.expectation.protocol.as_ref().map(|word| word.value.as_str());
        let first = tested.failures.first_mut().filter(|failure| failure.drops_packets());
        let Some(failure) = first else { continue };
        if *left == 0 {
            failure.fix = FixSearch::LeftOut;
            continue;
        }
        *left -= 1;
        let asking = Asking {
            service: failure.explained.service,
            tasks: Tasks::Possible,
            addresses,
            pool,
            destination: &failure.destination,
            protocol,
            source_port: None,
        };
        let mut explained = ask(snapshot, &asking, goes_on)?;
        if let Some(source) = source {
            explained.write_fix_for(source);
        }
        failure.explained = Rc::new(explained);
        failure.fix = FixSearch::Done;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::config::Lab;
    use crate::config::edit::edited;
    use crate::config::expectations::Expectations;
    use crate::config::import::{Imported, Order};
    use crate::explain::expect::{TestReport, test};
    use crate::explain::testing::lab_toml;
    use crate::explain::{Form, Places};
    use crate::pipeline::reach::Addresses;
    use crate::vpc::Generation;
    use std::path::Path;

    const THREE_AZ: &str = include_str!("../../../examples/three-az.toml");

    /// Tests expectations about a lab, and looks for this many changes.
    fn tested<'e>(
        (lab, source): (&Lab, Option<&Source>),
        expectations: &'e Expectations,
        left: &mut usize,
    ) -> Vec<Tested<'e>> {
        let snapshot = &lab.lower(Generation(1));
        let subject = Subject { snapshot, addresses: Addresses::Open, pool: lab.task_cidr };
        let mut tested = test(&subject, expectations, &mut |_| true).unwrap();
        propose_fixes(&subject, source, (&mut tested, left), &mut || true).unwrap();
        tested
    }

    fn expectations(text: &str) -> Expectations {
        Expectations::parse("expectations.toml", text).unwrap()
    }

    fn reachable(from: &str, to: &str) -> String {
        format!("[[expect]]\nfrom = \"{from}\"\nto = \"{to}\"\nis = \"reachable\"\n")
    }

    fn text_of(tested: &[Tested<'_>], places: Places<'_>) -> String {
        let mut text = Vec::new();
        tested.iter().for_each(|one| one.text(&mut text, places, false).unwrap());
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        text
    }

    /// Returns the text with the fixes and without the explanations before them.
    fn fixes_in(text: &str) -> String {
        let marks = ['✓', '✗', '⇄', '·', '▶'];
        let is_of_packet = |line: &&str| line.trim_start().starts_with(marks);
        text.lines().filter(|line| !is_of_packet(line)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_failing_expectation_holds_with_its_fix() {
        let lab = Lab::parse("lab.toml", THREE_AZ).unwrap();
        let expectations = expectations(&reachable("web", "cache"));
        let failing = tested((&lab, None), &expectations, &mut 5);
        insta::assert_snapshot!(fixes_in(&text_of(&failing, &lab_toml)));
        let fix = failing[0].failures[0].explained.fix().unwrap();
        let patched = edited(THREE_AZ, &fix.edits).unwrap();
        let lab = Lab::parse("lab.toml", &patched).unwrap();
        assert!(tested((&lab, None), &expectations, &mut 5)[0].holds());
    }

    #[test]
    fn a_fix_is_looked_for_only_where_packets_are_dropped_that_should_pass() {
        let lab = Lab::parse("lab.toml", THREE_AZ).unwrap();
        let holds = reachable("web", "orders-db");
        let elsewhere = reachable("web", "orders-db") + "via = \"nat-a\"\n";
        let blocked = holds.replace("reachable", "blocked");
        let expectations = expectations(&[holds, elsewhere, blocked].concat());
        let mut left = 5;
        let all = tested((&lab, None), &expectations, &mut left);
        assert_eq!((left, all.iter().filter(|one| !one.holds()).count()), (5, 2));
        let text = text_of(&all, &lab_toml);
        assert!(!text.contains("fix:"), "{text}");
    }

    #[test]
    fn fixes_beyond_the_most_are_left_out_and_the_text_and_the_json_say_so() {
        let lab = Lab::parse("lab.toml", THREE_AZ).unwrap();
        let services = ["web", "api", "isolated"].map(|service| reachable(service, "cache:1"));
        let expectations = expectations(&services.concat());
        let mut left = 2;
        let all = tested((&lab, None), &expectations, &mut left);
        assert_eq!(left, 0);
        let text = text_of(&all, &lab_toml);
        let left_out = [
            "      fix: looked for only for the first 5 expectations that fail; `egret explain isolated cache:1`",
            "           looks for one\n",
        ];
        assert!(text.ends_with(&left_out.join("\n")), "{text}");
        assert_eq!(text.matches("looked for only").count(), 1);
        let mut report = TestReport::default();
        report.add(&all, Some(&lab_toml));
        let json = serde_json::to_value(&report).unwrap();
        let [first, _, last] = [0, 1, 2].map(|at| &json["expectations"][at]["failures"][0]);
        assert_eq!(first["explanation"]["fix"]["verified"], true);
        assert!(first.get("fix_left_out").is_none());
        assert!(last["explanation"]["fix"].is_null());
        let why = "a fix is looked for only for the first 5 expectations that fail";
        assert_eq!(last["fix_left_out"], why);
    }

    #[test]
    fn a_fix_is_in_the_words_of_the_source() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/vpc");
        let order = Order { source: folder, ..Order::default() };
        let imported = Imported::from_source(&order).unwrap_or_else(|e| panic!("{e}"));
        let expectations = expectations(&reachable("web", "orders-db:6379"));
        let all = tested((&imported.lab, Some(&imported.written)), &expectations, &mut 5);
        let fix = all[0].failures[0].explained.fix().unwrap();
        assert_eq!(fix.form, Form::AwsCli);
        let text = text_of(&all, &|line| imported.place(line));
        insta::assert_snapshot!(fixes_in(&text));
    }
}
