//! The picture in the language of Graphviz.

use super::model::{Column, Graph, Kind};
use super::words::Shown;
use crate::edge::shown;
use std::io::{self, Write};

/// Writes the graph. The nodes of a column have one rank, below its heading.
///
/// # Errors
/// Those of `w`.
pub fn dot(w: &mut dyn Write, graph: &Graph) -> io::Result<()> {
    writeln!(w, "digraph {} {{", quoted(&graph.lab))?;
    writeln!(w, "  rankdir=LR;")?;
    writeln!(w, "  ranksep=0.9;")?;
    writeln!(w, "  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];")?;
    writeln!(w, "  edge [arrowsize=0.6, fontname=\"sans-serif\", fontsize=9];")?;
    for (number, column) in Column::ALL.into_iter().enumerate() {
        write_column(w, graph, number, column)?;
    }
    let headings: Vec<String> = (0..Column::ALL.len()).map(|number| format!("c{number}")).collect();
    writeln!(w, "  {} [style=invis];", headings.join(" -> "))?;
    for (from, to, edge) in graph.ends() {
        match &edge.label {
            Some(label) => writeln!(w, "  n{from} -> n{to} [label={}];", quoted(label))?,
            None => writeln!(w, "  n{from} -> n{to};")?,
        }
    }
    writeln!(w, "}}")
}

fn write_column(w: &mut dyn Write, graph: &Graph, number: usize, column: Column) -> io::Result<()> {
    writeln!(w, "  {{")?;
    writeln!(w, "    rank=same;")?;
    for (position, node) in graph.nodes.iter().enumerate() {
        if node.column == column {
            let color = match node.kind == Kind::Blackhole {
                true => ", color=\"#cf222e\", style=\"rounded,dashed\"",
                false => "",
            };
            let lines = Shown::of(node).all();
            let text: Vec<String> =
                [&node.name].into_iter().chain(&lines).map(|line| escaped(line)).collect();
            // `\l` ends a line that is aligned to the left.
            writeln!(w, "    n{position} [label=\"{}\\l\"{color}];", text.join("\\l"))?;
        }
    }
    // Of unconnected nodes, Graphviz puts the last one to the top.
    let heading = quoted(column.heading());
    writeln!(w, "    c{number} [shape=plaintext, label={heading}, fontsize=13];")?;
    writeln!(w, "  }}")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Returns a text as it stands between quotes. Graphviz reads escapes in labels, and entities as in
/// HTML.
fn escaped(text: &str) -> String {
    let text = shown(text).replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
