//! Checks `docs/reference/json.md`: it has every field of the rows that commands print.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::format::fields::fields;
use super::probe::Probed;
use crate::explain::graph::{Area, Edge, Graph, Node};
use crate::explain::{
    DropRow, Endpoints, EniRow, FlowRow, HolderRow, Offloaded, ProcessRow, PsRow, Reload,
    ResourceRow, ServiceRow, TopRow, TraceRow,
};
use crate::pipeline::NatMetrics;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/reference/json.md");

/// Returns the keys that the page lists below a heading or a line, up to the next heading.
fn listed(after: &str) -> BTreeSet<String> {
    let (_, section) = PAGE.split_once(&format!("\n{after}")).unwrap_or_else(|| panic!("{after}"));
    let lines = section.lines().skip(1).take_while(|line| !line.starts_with("##"));
    let items = lines.filter_map(|line| line.trim_start().strip_prefix("- "));
    // Several keys may stand before the colon, each with its type.
    let names = items.flat_map(|item| {
        let before = item.split(": ").next().unwrap_or_default();
        before.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    names.collect()
}

fn graph() -> BTreeSet<String> {
    let all = [fields::<Graph>(), fields::<Area>(), fields::<Node>(), fields::<Edge>()];
    all.into_iter().flatten().collect()
}

#[test]
fn every_field_of_the_rows_is_on_the_page() {
    let sections = [
        ("### Endpoints", fields::<Endpoints>()),
        ("### Program", fields::<ProcessRow>()),
        ("### Offloaded", fields::<Offloaded>()),
        ("## ps", fields::<PsRow>()),
        ("## services", fields::<ServiceRow>()),
        ("## resource list", fields::<ResourceRow>()),
        ("## enis\n", fields::<EniRow>().into_iter().chain(fields::<NatMetrics>()).collect()),
        ("### enis --holders", fields::<HolderRow>()),
        ("## flows", fields::<FlowRow>()),
        ("## drops", fields::<DropRow>()),
        ("## probe", fields::<Probed>()),
        ("## trace", fields::<TraceRow>()),
        ("## top", fields::<TopRow>()),
        ("## apply", fields::<Reload>()),
        ("## graph", graph()),
    ];
    let mut faults = Vec::new();
    for (heading, wanted) in sections {
        let listed = listed(heading);
        faults.extend(wanted.difference(&listed).map(|key| format!("{heading}: add {key}")));
    }
    assert!(faults.is_empty(), "docs/reference/json.md:\n{}", faults.join("\n"));
}
