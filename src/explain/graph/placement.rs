//! Places nodes: the order within each column, and the height at which each stands.
//!
//! Columns are fixed, so that nothing but heights is left to choose. Each node wants to stand where
//! its neighbours do: columns are put in that order again and again, from left to right and back,
//! and the order with the shortest edges is kept. Then the highest column is packed, and each other
//! node stands as level with its neighbours as the nodes around it allow. The result depends on the
//! input alone.

use super::model::{Column, Edge, Graph, Kind, Node};
use std::collections::HashMap;

/// The space between two nodes of a column.
const GAP: f64 = 14.0;
/// The number of times that the columns are put in order.
const ROUNDS: usize = 12;

/// The sizes that a placement must respect.
pub(super) struct Sizes<'a> {
    /// The height of each node.
    pub(super) heights: &'a [f64],
    /// For each edge of [`Graph::ends`], the distance from the top of its left node to its
    /// beginning.
    pub(super) begins: &'a [f64],
    /// The space above the nodes of a VPC, for its border and its heading.
    pub(super) above: f64,
    /// The space below them, for its border.
    pub(super) below: f64,
    /// The space between two areas.
    pub(super) between: f64,
}

/// The place of everything.
pub(super) struct Placement {
    /// The top of each node.
    pub(super) tops: Vec<f64>,
    /// The top and bottom of each VPC's border.
    pub(super) areas: Vec<(f64, f64)>,
    /// The bottom of it all.
    pub(super) bottom: f64,
}

/// An edge by the positions of its nodes.
#[derive(Clone, Copy)]
struct Link {
    from: usize,
    to: usize,
    /// The distance from the top of the left node to its beginning.
    begin: f64,
    /// The distance from the top of the right node to its end.
    end: f64,
}

/// Places the nodes of a graph.
pub(super) fn place(graph: &Graph, sizes: &Sizes<'_>) -> Placement {
    let links = links(graph, sizes);
    let areas = areas(graph);
    let mut tops = vec![0.0; graph.nodes.len()];
    let mut borders = Vec::new();
    let mut next = 0.0;
    for area in 0..=graph.areas.len() {
        let is_own = |position: usize| areas.get(position) == Some(&Some(area));
        let columns = columns(graph, is_own);
        let own: Vec<Link> =
            links.iter().copied().filter(|link| is_own(link.from) && is_own(link.to)).collect();
        if columns.iter().all(Vec::is_empty) {
            borders.push((next, next));
            continue;
        }
        let placed = Block::new(columns, &own, sizes.heights).place();
        let has_border = area < graph.areas.len();
        let (above, below) = if has_border { (sizes.above, sizes.below) } else { (0.0, 0.0) };
        let top = next;
        let mut bottom = top;
        for (position, own_top) in placed {
            tops[position] = top + above + own_top;
            bottom = f64::max(bottom, tops[position] + sizes.heights[position]);
        }
        bottom += below;
        borders.push((top, bottom));
        next = bottom + sizes.between;
    }
    borders.truncate(graph.areas.len());
    let lowest = place_destinations(graph, &links, sizes.heights, &mut tops);
    let bottom = f64::max(next - sizes.between, lowest);
    Placement { tops, areas: borders, bottom }
}

fn links(graph: &Graph, sizes: &Sizes<'_>) -> Vec<Link> {
    let link = |((from, to, _), &begin): ((usize, usize, &Edge), &f64)| {
        let end = sizes.heights[to] / 2.0;
        Link { from, to, begin, end }
    };
    graph.ends().into_iter().zip(sizes.begins).map(link).collect()
}

/// Returns the area of each node: the position of its VPC, or one more for App Runner's own egress
/// and the services that use it. Destinations are in none.
fn areas(graph: &Graph) -> Vec<Option<usize>> {
    let vpcs = graph.areas.iter().enumerate();
    let positions: HashMap<&str, usize> = vpcs.map(|(i, own)| (own.vpc.as_str(), i)).collect();
    let of_node = |node: &Node| match node.column {
        Column::Destination => None,
        Column::Service
        | Column::Connector
        | Column::Eni
        | Column::Subnet
        | Column::RouteTable
        | Column::Target => {
            let vpc = node.vpc.as_deref().and_then(|vpc| positions.get(vpc).copied());
            Some(vpc.unwrap_or(graph.areas.len()))
        }
    };
    let mut areas: Vec<Option<usize>> = graph.nodes.iter().map(of_node).collect();
    for (from, to, _) in graph.ends() {
        if graph.nodes[from].kind == Kind::Service {
            areas[from] = areas[to].or(areas[from]);
        }
    }
    areas
}

/// Lists the nodes of each column that are wanted.
fn columns(graph: &Graph, is_wanted: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let nodes = || graph.nodes.iter().enumerate();
    let of = |column: Column| {
        let own = nodes().filter(|(position, node)| node.column == column && is_wanted(*position));
        own.map(|(position, _)| position).collect()
    };
    Column::ALL.into_iter().map(of).collect()
}

/// Places the last column beside all areas, and returns its bottom.
fn place_destinations(graph: &Graph, links: &[Link], heights: &[f64], tops: &mut [f64]) -> f64 {
    let column = columns(graph, |_| true).pop().unwrap_or_default();
    let mut wanted: Vec<(usize, Option<f64>)> = column
        .iter()
        .map(|&position| {
            let into = links.iter().filter(|link| link.to == position);
            (position, mean(into.map(|link| tops[link.from] + link.begin - link.end)))
        })
        .collect();
    sort(&mut wanted);
    for (position, top) in stack(&wanted, heights) {
        tops[position] = top.max(0.0);
    }
    // None is above the top now, but some may overlap there.
    let mut next = 0.0;
    for (position, _) in wanted {
        tops[position] = f64::max(tops[position], next);
        next = tops[position] + heights[position] + GAP;
    }
    next - GAP
}

/// An order of the columns, with the top of each node.
struct Arrangement {
    /// The sum of the heights that edges climb or fall.
    length: f64,
    columns: Vec<Vec<usize>>,
    tops: HashMap<usize, f64>,
}

/// A side of a node.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// The nodes of one area, and the edges among them.
struct Block<'a> {
    columns: Vec<Vec<usize>>,
    /// The edges that end at each node.
    into: HashMap<usize, Vec<Link>>,
    /// The edges that begin at each node.
    out_of: HashMap<usize, Vec<Link>>,
    heights: &'a [f64],
}

impl<'a> Block<'a> {
    fn new(columns: Vec<Vec<usize>>, links: &[Link], heights: &'a [f64]) -> Self {
        let mut block = Self { columns, into: HashMap::new(), out_of: HashMap::new(), heights };
        for &link in links {
            block.into.entry(link.to).or_default().push(link);
            block.out_of.entry(link.from).or_default().push(link);
        }
        block
    }

    /// Returns the top of each node; the smallest is 0.
    fn place(mut self) -> Vec<(usize, f64)> {
        let mut best = self.settled();
        let mut tops = best.tops.clone();
        for round in 0..ROUNDS {
            self.order(&mut tops, round % 2 == 0);
            let settled = self.settled();
            if settled.length + 0.5 < best.length {
                best = settled;
            }
        }
        let all = || best.columns.iter().flatten();
        let least = all().map(|position| best.tops[position]).fold(f64::INFINITY, f64::min);
        all().map(|position| (*position, best.tops[position] - least)).collect()
    }

    /// Puts each column in the order of its neighbours, from left to right or back.
    fn order(&mut self, tops: &mut HashMap<usize, f64>, to_right: bool) {
        let count = self.columns.len();
        for step in 0..count {
            let at = if to_right { step } else { count - 1 - step };
            let (near, far) =
                if to_right { (Side::Left, Side::Right) } else { (Side::Right, Side::Left) };
            let of_node = |&position: &usize| {
                let wanted = self.wanted(position, tops, near);
                (position, wanted.or_else(|| self.wanted(position, tops, far)))
            };
            let mut wanted: Vec<_> = self.columns[at].iter().map(of_node).collect();
            sort(&mut wanted);
            tops.extend(stack(&wanted, self.heights));
            self.columns[at] = wanted.into_iter().map(|(position, _)| position).collect();
        }
    }

    /// Gives each node its height without changing the order: the highest column is packed, and the
    /// others stand level with it, outwards on both sides.
    fn settled(&self) -> Arrangement {
        let anchor = self.highest();
        let mut tops: HashMap<usize, f64> = HashMap::new();
        let packed: Vec<_> = self.columns[anchor].iter().map(|&own| (own, None)).collect();
        tops.extend(stack(&packed, self.heights));
        let left = (0..anchor).rev().map(|at| (at, Side::Right));
        let right = (anchor + 1..self.columns.len()).map(|at| (at, Side::Left));
        for (at, side) in left.chain(right) {
            let of_node = |&position: &usize| (position, self.wanted(position, &tops, side));
            let wanted: Vec<_> = self.columns[at].iter().map(of_node).collect();
            tops.extend(stack(&wanted, self.heights));
        }
        Arrangement { length: self.length(&tops), columns: self.columns.clone(), tops }
    }

    /// Returns the column that needs the most room.
    fn highest(&self) -> usize {
        let height = |column: &Vec<usize>| -> f64 {
            column.iter().map(|&position| self.heights[position] + GAP).sum()
        };
        let heights = self.columns.iter().map(height).enumerate();
        heights.max_by(|one, other| one.1.total_cmp(&other.1)).map_or(0, |(at, _)| at)
    }

    /// Returns the top that a node wants: that at which its edges on one side are level.
    fn wanted(&self, position: usize, tops: &HashMap<usize, f64>, side: Side) -> Option<f64> {
        let links = match side {
            Side::Left => self.into.get(&position),
            Side::Right => self.out_of.get(&position),
        };
        mean(links.into_iter().flatten().filter_map(|link| match side {
            Side::Left => Some(tops.get(&link.from)? + link.begin - link.end),
            Side::Right => Some(tops.get(&link.to)? + link.end - link.begin),
        }))
    }

    /// Returns the sum of the heights that edges climb or fall.
    fn length(&self, tops: &HashMap<usize, f64>) -> f64 {
        let height = |link: &Link| tops[&link.from] + link.begin - tops[&link.to] - link.end;
        // In the order of nodes: the sum of such numbers depends on their order.
        let nodes = self.columns.iter().flatten();
        let links = nodes.filter_map(|position| self.out_of.get(position)).flatten();
        links.map(|link| height(link).abs()).sum()
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Sorts nodes by the tops that they want. Those that want none come last, in the order that they
/// have.
fn sort(wanted: &mut [(usize, Option<f64>)]) {
    wanted.sort_by(|(_, one), (_, other)| {
        one.unwrap_or(f64::INFINITY).total_cmp(&other.unwrap_or(f64::INFINITY))
    });
}

/// Stacks the nodes of a column in this order without overlap, as near as possible to the tops that
/// they want. Those that want none follow the one before them.
fn stack(wanted: &[(usize, Option<f64>)], heights: &[f64]) -> Vec<(usize, f64)> {
    let mut runs: Vec<Run> = Vec::new();
    let mut offset = 0.0;
    for &(position, top) in wanted {
        let top = top.map(|top| top - offset);
        let mut run =
            Run { members: vec![(position, offset)], sum: top.unwrap_or(0.0), count: 0.0 };
        run.count = if top.is_some() { 1.0 } else { 0.0 };
        // A run that would begin above the end of the one before it joins that one, and so does one
        // that may stand anywhere.
        let is_free = |run: &Run| run.count == 0.0;
        while let Some(before) =
            runs.pop_if(|before| is_free(&run) || is_free(before) || before.top() > run.top())
        {
            run = before.joined(run);
        }
        runs.push(run);
        offset += heights[position] + GAP;
    }
    let placed = |run: Run| {
        let top = run.top();
        run.members.into_iter().map(move |(position, offset)| (position, top + offset))
    };
    runs.into_iter().flat_map(placed).collect()
}

/// Nodes that stand close together.
struct Run {
    /// The nodes, each with its distance from the first node of the column.
    members: Vec<(usize, f64)>,
    /// The sum of the tops that they want the first node of the column to have.
    sum: f64,
    count: f64,
}

impl Run {
    /// Returns the top that the first node of the column would have.
    fn top(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    fn joined(mut self, other: Self) -> Self {
        self.members.extend(other.members);
        Self { members: self.members, sum: self.sum + other.sum, count: self.count + other.count }
    }
}
