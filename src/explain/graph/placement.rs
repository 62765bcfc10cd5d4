//! Places nodes: the order within each column, and the height at which each stands.
//!
//! Columns are fixed, so that nothing but heights is left to choose. Each node wants to stand where
//! its neighbours do: columns are put in that order again and again, from left to right and back,
//! and the arrangement with the shortest edges is kept. The result depends on the input alone.

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
    /// For each edge of [`Graph::ends`], how far below the top of its left node it begins.
    pub(super) begins: &'a [f64],
    /// The space above and below the nodes of an area, for its border and its heading.
    pub(super) above: f64,
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
    /// How far below the top of the left node it begins.
    begin: f64,
    /// How far below the top of the right node it ends.
    end: f64,
    /// How much it counts beside the other edges of a node.
    weight: f64,
}

/// Places the nodes of a graph.
pub(super) fn place(graph: &Graph, sizes: &Sizes<'_>) -> Placement {
    let ends = graph.ends();
    let mut out_of = vec![0; graph.nodes.len()];
    let mut into = vec![0; graph.nodes.len()];
    for &(from, to, _) in &ends {
        out_of[from] += 1;
        into[to] += 1;
    }
    let link = |(&(from, to, _), &begin): (&(usize, usize, &Edge), &f64)| {
        // Nodes that have nothing but each other stand level.
        let weight = if out_of[from] == 1 && into[to] == 1 { 32.0 } else { 1.0 };
        Link { from, to, begin, end: sizes.heights[to] / 2.0, weight }
    };
    let links: Vec<Link> = ends.iter().zip(sizes.begins).map(link).collect();
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
            (position, mean(into.map(|link| (tops[link.from] + link.begin - link.end, 1.0))))
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
    /// How far all edges go up and down.
    length: f64,
    columns: Vec<Vec<usize>>,
    tops: HashMap<usize, f64>,
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
        let mut tops: HashMap<usize, f64> = HashMap::new();
        for column in &self.columns {
            let unplaced: Vec<_> = column.iter().map(|&position| (position, None)).collect();
            tops.extend(stack(&unplaced, self.heights));
        }
        let mut best: Option<Arrangement> = None;
        for round in 0..ROUNDS {
            let to_right = round % 2 == 0;
            let order: Vec<usize> = match to_right {
                true => (0..self.columns.len()).collect(),
                false => (0..self.columns.len()).rev().collect(),
            };
            for at in order {
                let mut wanted = self.wanted(at, &tops, Some(to_right));
                sort(&mut wanted);
                tops.extend(stack(&wanted, self.heights));
                self.columns[at] = wanted.into_iter().map(|(position, _)| position).collect();
            }
            self.straighten(&mut tops);
            let length = self.length(&tops);
            if best.as_ref().is_none_or(|best| length + 0.5 < best.length) {
                let (columns, tops) = (self.columns.clone(), tops.clone());
                best = Some(Arrangement { length, columns, tops });
            }
        }
        let (columns, tops) = best.map_or((self.columns, tops), |best| (best.columns, best.tops));
        let all = || columns.iter().flatten();
        let least = all().map(|position| tops[position]).fold(f64::INFINITY, f64::min);
        all().map(|position| (*position, tops[position] - least)).collect()
    }

    /// Moves nodes towards all their neighbours without changing the order.
    fn straighten(&self, tops: &mut HashMap<usize, f64>) {
        for _ in 0..ROUNDS {
            for at in 0..self.columns.len() {
                let wanted = self.wanted(at, tops, None);
                tops.extend(stack(&wanted, self.heights));
            }
        }
    }

    /// Returns the top that each node of a column wants: that at which its edges to the left are
    /// level, or those to the right if it has none or the columns are followed from right to left;
    /// without a direction, all edges.
    fn wanted(
        &self,
        at: usize,
        tops: &HashMap<usize, f64>,
        to_right: Option<bool>,
    ) -> Vec<(usize, Option<f64>)> {
        let of_node = |&position: &usize| {
            let left = || {
                let links = self.into.get(&position).into_iter().flatten();
                links.map(|link| (tops[&link.from] + link.begin - link.end, link.weight))
            };
            let right = || {
                let links = self.out_of.get(&position).into_iter().flatten();
                links.map(|link| (tops[&link.to] + link.end - link.begin, link.weight))
            };
            let top = match to_right {
                Some(true) => mean(left()).or_else(|| mean(right())),
                Some(false) => mean(right()).or_else(|| mean(left())),
                None => mean(left().chain(right())),
            };
            (position, top)
        };
        self.columns[at].iter().map(of_node).collect()
    }

    /// Returns how far all edges go up and down.
    fn length(&self, tops: &HashMap<usize, f64>) -> f64 {
        let height = |link: &Link| tops[&link.from] + link.begin - tops[&link.to] - link.end;
        // In the order of nodes: the sum of such numbers depends on their order.
        let nodes = self.columns.iter().flatten();
        let links = nodes.filter_map(|position| self.out_of.get(position)).flatten();
        links.map(|link| height(link).abs()).sum()
    }
}

/// Returns the mean of values by their weights.
fn mean(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let add = |(sum, all), (value, weight)| (sum + value * weight, all + weight);
    let (sum, all) = values.fold((0.0, 0.0), add);
    (all > 0.0).then(|| sum / all)
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
        // A run that would begin above the end of the one before it joins that one.
        while let Some(before) = runs.pop_if(|before| run.count == 0.0 || before.top() > run.top())
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
    /// Returns where the first node of the column would stand.
    fn top(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    fn joined(mut self, other: Self) -> Self {
        self.members.extend(other.members);
        Self { members: self.members, sum: self.sum + other.sum, count: self.count + other.count }
    }
}
