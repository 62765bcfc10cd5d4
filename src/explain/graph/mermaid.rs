//! The picture as a Mermaid flowchart, which Markdown of GitHub and GitLab shows.

use super::model::{Column, Graph, Kind};
use super::words::Shown;
use crate::edge::shown;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes the flowchart. Each column is a subgraph. Without `is_wide`, a node with very many lines
/// shows the first ones and how many more there are.
///
/// # Errors
/// Those of `w`.
pub fn mermaid(w: &mut dyn Write, graph: &Graph, is_wide: bool) -> io::Result<()> {
    writeln!(w, "flowchart LR")?;
    for column in Column::ALL {
        let own = graph.nodes.iter().enumerate().filter(|(_, node)| node.column == column);
        let nodes: Vec<_> = own.collect();
        if nodes.is_empty() {
            continue;
        }
        writeln!(w, "  subgraph {}[\"{}\"]", id(column), column.heading())?;
        for (position, node) in nodes {
            let shown = if is_wide { Shown::whole(node) } else { Shown::of(node) };
            let lines = shown.all();
            let text: Vec<String> =
                [&node.name].into_iter().chain(&lines).map(|line| escaped(line)).collect();
            writeln!(w, "    n{position}[\"{}\"]", text.join("<br/>"))?;
        }
        writeln!(w, "  end")?;
    }
    for ((from, to), labels) in joined(graph) {
        let label = match labels.as_slice() {
            [] => String::new(),
            some => format!("|\"{}\"|", some.join("<br/>")),
        };
        writeln!(w, "  n{from} -->{label} n{to}")?;
    }
    blackholes(w, graph)
}

/// Returns the id of a column's subgraph.
const fn id(column: Column) -> &'static str {
    match column {
        Column::Service => "services",
        Column::Connector => "connectors",
        Column::Eni => "enis",
        Column::Subnet => "subnets",
        Column::RouteTable => "route_tables",
        Column::Target => "targets",
        Column::Destination => "destinations",
    }
}

/// Returns the pairs of nodes, each with the labels of all edges between them.
fn joined(graph: &Graph) -> BTreeMap<(usize, usize), Vec<String>> {
    let mut joined: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (from, to, edge) in graph.ends() {
        joined.entry((from, to)).or_default().extend(edge.label.as_deref().map(escaped));
    }
    joined
}

/// Marks the targets that do not exist any more.
fn blackholes(w: &mut dyn Write, graph: &Graph) -> io::Result<()> {
    let nodes = graph.nodes.iter().enumerate();
    let ids: Vec<String> = nodes
        .filter(|(_, node)| node.kind == Kind::Blackhole)
        .map(|(position, _)| format!("n{position}"))
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    writeln!(w, "  classDef blackhole stroke:#cf222e,stroke-dasharray:4 3")?;
    writeln!(w, "  class {} blackhole", ids.join(","))
}

/// Returns a text as it stands between quotes: each character that could mean something else is
/// written by its number.
fn escaped(text: &str) -> String {
    let mut all = String::new();
    for c in shown(text).chars() {
        match c {
            _ if c.is_ascii_alphanumeric() => all.push(c),
            ' ' | '.' | ',' | '-' | '_' | '/' | ':' | '(' | ')' | '+' | '→' | '…' => {
                all.push(c)
            }
            // Writing to a string does not fail.
            _ => _ = write!(all, "#{};", u32::from(c)),
        }
    }
    all
}
