//! `nothing-leaves`: no packet of a connector passes anywhere.

use super::super::names::decided_by;
use super::reasons::{is_of_protocol, is_of_routes};
use super::view::Subject;
use crate::config::LabFinding;
use crate::pipeline::Denial;
use crate::pipeline::reach::Class;

/// The number of deciding rules that the message names.
const SHOWN: usize = 2;

/// Finds a connector of which nothing passes. One that only its routes keep from the internet, and that has no interface to
/// reach, has findings of its routes.
pub(super) fn find(subject: &Subject<'_>) -> Option<LabFinding> {
    let view = subject.view;
    let dropped: Vec<Denial> = view.classes().filter_map(|class| class.denial).collect();
    let is_of_packets = |own: &&Denial| !is_of_routes(own.reason) && !is_of_protocol(own.reason);
    let first = dropped.iter().find(is_of_packets)?;
    if view.classes().any(Class::passes) {
        return None;
    }
    let message = format!(
        "no packet of {} passes anywhere: {}",
        subject.title(),
        deciders(subject, &dropped).join("; ")
    );
    let help = first.reason.hint().to_owned();
    Some(subject.warning("nothing-leaves", subject.connector.name.span, (message, help)))
}

/// Names what decides, each reason with its rule once.
fn deciders(subject: &Subject<'_>, dropped: &[Denial]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for denial in dropped.iter().filter(|own| !is_of_protocol(own.reason)) {
        let rule = decided_by(denial.decided_by, subject.view.snapshot());
        let name = format!("{rule} ({})", denial.reason);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let others = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if others > 0 {
        names.push(format!("and {others} more"));
    }
    names
}
