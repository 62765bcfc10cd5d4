//! Tests changes by applying them to the source as they are written for it, importing it again and
//! asking again.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cloudformation;
mod describe;
mod terraform;

use crate::config::import::{ConnectorOrder, Imported, Order};
use crate::explain::{Asking, Explained, Fix, TaskRef, ask};
use crate::pipeline::reach::{Addresses, SetVerdict, Tasks};
use crate::vpc::Generation;
use std::path::Path;

/// The most changes in a row until all packets pass.
const MOST_CHANGES: usize = 5;

fn order(source: &str, connectors: &[&str]) -> Order {
    let connectors = connectors.iter().map(|text| text.parse::<ConnectorOrder>().unwrap());
    Order { source: source.into(), connectors: connectors.collect(), ..Order::default() }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn explained(imported: &Imported, service: &str, destination: &str) -> Explained {
    let snapshot = imported.lab.lower(Generation(1));
    let asking = Asking {
        service: TaskRef::parse(service, &snapshot).unwrap().service,
        tasks: Tasks::Possible,
        addresses: Addresses::Open,
        pool: imported.lab.task_cidr,
        destination,
        protocol: None,
        source_port: None,
    };
    let mut explained = ask(&snapshot, &asking, &mut || true).unwrap();
    explained.write_fix_for(&imported.written);
    explained
}

/// Follows the changes until all packets pass, and returns their texts, each with its instruction.
fn until_it_passes<S>(
    source: &mut S,
    (service, destination): (&str, &str),
    import: &dyn Fn(&S) -> Imported,
    apply: &dyn Fn(&mut S, &Fix),
) -> String {
    let mut texts = Vec::new();
    for _ in 0..MOST_CHANGES {
        let imported = import(source);
        let explained = explained(&imported, service, destination);
        if explained.verdict() == SetVerdict::Forward {
            return texts.join("\n\n");
        }
        let fix = explained.fix().unwrap_or_else(|| panic!("no change:\n{}", imported.text()));
        assert_eq!(fix.note, None, "{fix:?}");
        texts.push(format!("-- {} ({}):\n{}", fix.action, fix.id, fix.rule));
        assert!(fix.rule.lines().all(|line| line.chars().count() <= 94), "{}", fix.rule);
        apply(source, fix);
    }
    panic!("{service} {destination} does not pass after\n{}", texts.join("\n\n"));
}
