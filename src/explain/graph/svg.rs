//! The picture as an SVG file: without scripts and fonts of its own, in light and dark colours.

use super::super::width::columns_of;
use super::model::{Column, Edge, Graph, Kind, Node};
use super::placement::{Placement, Sizes, place};
use super::words::{ARROW, Shown, shortened};
use crate::edge::{shown, shown_lines};
use std::io::{self, Write};

/// The width of a character. Monospaced fonts have characters of 0.55 to 0.61 of their size.
const CHARACTER: f64 = 7.4;
/// The height of a line of text.
const LINE: f64 = 16.0;
/// The space around the text of a node.
const PADDING: f64 = 10.0;
/// The distance from a node's top to the baseline of its name.
const BASELINE: f64 = 19.0;
/// The space between two columns.
const BETWEEN: f64 = 76.0;
/// The space around the picture.
const MARGIN: f64 = 24.0;
/// The height of the headings of columns.
const HEADINGS: f64 = 52.0;
/// The space between the border of a VPC and its nodes on the left and right.
const BORDER: f64 = 18.0;

const STYLE: &str = "\
text { font: 12px ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace; fill: #424a53; }
.name { font-weight: 600; fill: #1f2328; }
.kind { fill: #656d76; font-style: italic; }
.heading { font: 600 14px system-ui, -apple-system, \"Segoe UI\", sans-serif; fill: #1f2328; }
.label { font-weight: 600; fill: #656d76; }
.paper { fill: #ffffff; }
.area { fill: #f6f8fa; stroke: #afb8c1; stroke-dasharray: 6 4; }
.box { fill: #ffffff; stroke: #8c959f; }
.service .box { fill: #d8ecf8; stroke: #2f7fb0; }
.eni .box { fill: #e6f4ea; stroke: #3d8b57; }
.nat-gateway .box, .internet-gateway .box, .app-runner .box { fill: #f1e8fc; stroke: #8250c8; }
.peering-connection .box, .gateway-endpoint .box { fill: #fdf1d9; stroke: #a8740f; }
.network-interface .box, .gateway-load-balancer-endpoint .box { fill: #fdf1d9; stroke: #a8740f; }
.blackhole .box { fill: #ffebe9; stroke: #cf222e; stroke-dasharray: 4 3; }
.edge path { fill: none; stroke: #8c959f; stroke-width: 1.3; }
.edge:hover path { stroke: #0969da; stroke-width: 3; }
.edge.dead path { stroke: #cf222e; stroke-dasharray: 4 3; }
#head path { fill: #8c959f; }
@media (prefers-color-scheme: dark) {
text { fill: #b7bfc8; }
.name, .heading { fill: #e6edf3; }
.kind, .label { fill: #9aa4af; }
.paper { fill: #0d1117; }
.area { fill: #151b23; stroke: #4a525c; }
.box { fill: #22272e; stroke: #6e7681; }
.service .box { fill: #12354a; stroke: #58a6d6; }
.eni .box { fill: #12331f; stroke: #4fae73; }
.nat-gateway .box, .internet-gateway .box, .app-runner .box { fill: #2c1f45; stroke: #a67ee8; }
.peering-connection .box, .gateway-endpoint .box { fill: #3a2c0c; stroke: #d29922; }
.network-interface .box, .gateway-load-balancer-endpoint .box { fill: #3a2c0c; stroke: #d29922; }
.blackhole .box { fill: #40181b; stroke: #f85149; }
.edge path { stroke: #6e7681; }
.edge.dead path { stroke: #f85149; }
#head path { fill: #6e7681; }
}
";

/// Writes the picture.
///
/// # Errors
/// Those of `w`.
pub fn svg(w: &mut dyn Write, graph: &Graph) -> io::Result<()> {
    Sheet::of(graph).write(w)
}

/// A picture with the place of everything.
struct Sheet<'a> {
    graph: &'a Graph,
    boxes: Vec<Drawn<'a>>,
    /// The left side and the width of each column.
    columns: Vec<(f64, f64)>,
    placement: Placement,
}

/// A node with its texts.
struct Drawn<'a> {
    node: &'a Node,
    shown: Shown<'a>,
    name: String,
    lines: Vec<String>,
}

/// Returns the most characters of a line in a column. The lines of a route table name a destination
/// and a target.
const fn most(column: Column) -> usize {
    match column {
        Column::RouteTable => 44,
        Column::Service
        | Column::Connector
        | Column::Eni
        | Column::Subnet
        | Column::Target
        | Column::Destination => 27,
    }
}

/// Returns the line of a route with a shorter target, so that its destination stays whole.
fn short_route(destination: &str, target: &str, most: usize) -> String {
    let destination = shortened(destination, most / 2);
    let room = most - columns_of(&destination) - columns_of(ARROW);
    format!("{destination}{ARROW}{}", shortened(target, room))
}

impl<'a> Drawn<'a> {
    fn of(node: &'a Node) -> Self {
        let shown_lines = Shown::of(node);
        let most = most(node.column);
        let short = |text: &str| shortened(&shown(text), most);
        let line = |line: String| match line.split_once(ARROW) {
            Some((destination, target)) => short_route(&shown(destination), &shown(target), most),
            None => short(&line),
        };
        let lines = shown_lines.all().into_iter().map(line).collect();
        Self { node, name: short(&node.name), lines, shown: shown_lines }
    }

    fn height(&self) -> f64 {
        BASELINE + LINE * count(self.lines.len()) + PADDING
    }

    fn width(&self) -> f64 {
        let lines = self.lines.iter().map(|line| columns_of(line));
        CHARACTER * count(lines.chain([columns_of(&self.name)]).max().unwrap_or(0)) + 2.0 * PADDING
    }

    /// Returns the distance from the top to the beginning of an edge: half the height, or the line of
    /// its route.
    fn begin(&self, edge: &Edge) -> f64 {
        match edge.line {
            Some(line) => BASELINE - 4.0 + LINE * count(self.shown.row(line) + 1),
            None => self.height() / 2.0,
        }
    }
}

/// Returns a count as a length; no picture has so many lines that one is lost.
fn count(of: usize) -> f64 {
    u32::try_from(of).map_or(f64::from(u32::MAX), f64::from)
}

impl<'a> Sheet<'a> {
    fn of(graph: &'a Graph) -> Self {
        let boxes: Vec<Drawn<'a>> = graph.nodes.iter().map(Drawn::of).collect();
        let heights: Vec<f64> = boxes.iter().map(Drawn::height).collect();
        let begins: Vec<f64> =
            graph.ends().iter().map(|(from, _, edge)| boxes[*from].begin(edge)).collect();
        let sizes =
            Sizes { heights: &heights, begins: &begins, above: 34.0, below: 16.0, between: 24.0 };
        let placement = place(graph, &sizes);
        let columns = columns(&boxes);
        Self { graph, boxes, columns, placement }
    }

    fn column(&self, column: Column) -> (f64, f64) {
        self.columns[Column::ALL.iter().position(|own| *own == column).unwrap_or(0)]
    }

    fn write(&self, w: &mut dyn Write) -> io::Result<()> {
        let (left, own) = self.column(Column::Destination);
        let (width, height) = (left + own + MARGIN, HEADINGS + self.placement.bottom + MARGIN);
        writeln!(
            w,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">"
        )?;
        writeln!(w, "<title>The network of the lab {}</title>", escaped(&self.graph.lab))?;
        writeln!(w, "<style>\n{STYLE}</style>")?;
        // The head of edges.
        writeln!(
            w,
            "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
             markerWidth=\"7\" markerHeight=\"7\" markerUnits=\"userSpaceOnUse\" \
             orient=\"auto\"><path d=\"M0,0.5 L8,4 L0,7.5 z\"/></marker></defs>"
        )?;
        writeln!(
            w,
            "<rect class=\"paper\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\"/>"
        )?;
        for column in Column::ALL {
            let (x, _) = self.column(column);
            let heading = column.heading();
            writeln!(w, "<text class=\"heading\" x=\"{x:.0}\" y=\"34\">{heading}</text>")?;
        }
        self.write_areas(w)?;
        for (from, to, edge) in self.graph.ends() {
            self.write_edge(w, from, to, edge)?;
        }
        for position in 0..self.boxes.len() {
            self.write_box(w, position)?;
        }
        writeln!(w, "</svg>")
    }

    /// Writes the borders of the VPCs, from the ENIs to the targets of routes: tasks are outside.
    fn write_areas(&self, w: &mut dyn Write) -> io::Result<()> {
        let x = self.column(Column::Eni).0 - BORDER;
        let (last, own) = self.column(Column::Target);
        let width = last + own + BORDER - x;
        let areas = self.graph.areas.iter().zip(&self.placement.areas);
        for (area, (top, bottom)) in areas.filter(|(_, (top, bottom))| top < bottom) {
            let (y, height) = (HEADINGS + top, bottom - top);
            let cidrs: Vec<String> = area.cidrs.iter().map(ToString::to_string).collect();
            let label = format!("{} {}", area.vpc, cidrs.join(", "));
            writeln!(
                w,
                "<rect class=\"area\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\"/>"
            )?;
            let most = ((width - 2.0 * BORDER) / CHARACTER) as usize;
            writeln!(
                w,
                "<text class=\"label\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                x + BORDER,
                y + 21.0,
                escaped(&shortened(&shown(&label), most))
            )?;
        }
        Ok(())
    }

    fn write_edge(&self, w: &mut dyn Write, from: usize, to: usize, edge: &Edge) -> io::Result<()> {
        let (left, right) = (&self.boxes[from], &self.boxes[to]);
        let (x, own) = self.column(left.node.column);
        let begin = (x + own, HEADINGS + self.placement.tops[from] + left.begin(edge));
        let end = self.column(right.node.column).0;
        let end = (end, HEADINGS + self.placement.tops[to] + right.height() / 2.0);
        // Level at both ends.
        let bend = f64::min((end.0 - begin.0) / 2.0, BETWEEN);
        let class = match right.node.kind == Kind::Blackhole {
            true => "edge dead",
            false => "edge",
        };
        let label = edge.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
        let title = format!("{} → {}{label}", left.node.name, right.node.name);
        writeln!(
            w,
            "<g class=\"{class}\"><title>{}</title><path marker-end=\"url(#head)\" d=\"M{:.1},{:.1} C{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\"/></g>",
            escaped(&title),
            begin.0,
            begin.1,
            begin.0 + bend,
            begin.1,
            end.0 - bend,
            end.1,
            end.0,
            end.1
        )
    }

    fn write_box(&self, w: &mut dyn Write, position: usize) -> io::Result<()> {
        let own = &self.boxes[position];
        let (x, width) = self.column(own.node.column);
        let (y, height) = (HEADINGS + self.placement.tops[position], own.height());
        let class = own.node.kind.as_str();
        let all: Vec<&str> =
            [&own.node.name].into_iter().chain(&own.node.lines).map(String::as_str).collect();
        writeln!(w, "<g class=\"{class}\"><title>{}</title>", escaped(&all.join("\n")))?;
        writeln!(
            w,
            "<rect class=\"box\" x=\"{x:.0}\" y=\"{y:.1}\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"5\"/>"
        )?;
        let left = x + PADDING;
        let base = y + BASELINE;
        writeln!(
            w,
            "<text class=\"name\" x=\"{left:.0}\" y=\"{base:.1}\">{}</text>",
            escaped(&own.name)
        )?;
        for (row, line) in own.lines.iter().enumerate() {
            let class = match row == 0 && own.shown.kind.is_some() {
                true => " class=\"kind\"",
                false => "",
            };
            let base = base + LINE * count(row + 1);
            writeln!(w, "<text{class} x=\"{left:.0}\" y=\"{base:.1}\">{}</text>", escaped(line))?;
        }
        writeln!(w, "</g>")
    }
}

/// Returns the left side and the width of each column. Each is as wide as its widest text.
fn columns(boxes: &[Drawn<'_>]) -> Vec<(f64, f64)> {
    let mut x = MARGIN;
    let place = |column: Column| {
        let own = boxes.iter().filter(|own| own.node.column == column);
        let width = own.map(Drawn::width).fold(96.0, f64::max).ceil();
        let left = x;
        x += width + BETWEEN;
        (left, width)
    };
    Column::ALL.into_iter().map(place).collect()
}

/// Returns a text as it stands in XML, between tags and in attributes. Lines stay lines.
fn escaped(text: &str) -> String {
    let mut all = String::new();
    for c in shown_lines(text).chars() {
        match c {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            '\'' => all.push_str("&#39;"),
            // XML has no such characters, not even by their numbers.
            '\u{fffe}' | '\u{ffff}' => all.push('\u{fffd}'),
            _ => all.push(c),
        }
    }
    all
}
