//! Each line of a text is given in the place of every word that a user or a client gives: a
//! service, a task, an interface, a destination, a protocol, a speed. It means something in a lab,
//! or it is refused with a reason.

use egret::config::{Lab, time_scale};
use egret::explain::{self, Asking, Selection, TaskRef};
use egret::pipeline::reach::{Addresses, Tasks};
use egret::vpc::{Generation, Snapshot};
use std::fmt::Display;

/// The most lines of one input: further ones find nothing more.
const LINES: usize = 20;
/// The number of times that a question about packets may ask whether to continue.
const PATIENCE: usize = 200;

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lab = Lab::parse("lab.toml", include_str!("../../examples/walkthrough.toml"));
    let lab = lab.expect("the example is sound");
    let snapshot = lab.clone().lower(Generation(1));
    for word in text.lines().take(LINES) {
        select(word, &snapshot);
        ask(word, &lab, &snapshot);
        let scale = time_scale(word);
        shown(&scale);
        assert!(scale.is_err() || scale.is_ok_and(|scale| scale > 0.0));
    }
}

fn select(word: &str, snapshot: &Snapshot) {
    let given = || Some(word.to_owned());
    for selection in [
        Selection { service: given(), ..Selection::default() },
        Selection { interface: given(), ..Selection::default() },
        Selection { destination: given(), ..Selection::default() },
        Selection { only: given(), ..Selection::default() },
    ] {
        shown(&selection.filter(snapshot));
    }
    shown(&explain::subject(word, snapshot));
    shown(&explain::protocol(word));
    shown(&TaskRef::parse(word, snapshot));
    shown(&explain::services(&[word.to_owned()], snapshot));
}

fn ask(word: &str, lab: &Lab, snapshot: &Snapshot) {
    for (destination, protocol) in [(word, None), ("10.0.3.10:443", Some(word))] {
        let asking = Asking {
            service: 0.into(),
            tasks: Tasks::Possible,
            addresses: Addresses::Real,
            pool: lab.task_cidr,
            destination,
            protocol,
            source_port: None,
        };
        let mut left = PATIENCE;
        let mut goes_on = || {
            left = left.saturating_sub(1);
            left > 0
        };
        shown(&explain::ask(snapshot, &asking, &mut goes_on));
    }
}

/// Checks that a refusal has a text.
fn shown<T, E: Display>(outcome: &Result<T, E>) {
    if let Err(error) = outcome {
        assert!(!error.to_string().is_empty(), "a refusal without a reason");
    }
}
