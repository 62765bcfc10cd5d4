//! Makes the picture of a snapshot.

use super::model::{Area, Graph};
use super::{routes, sources};
use crate::vpc::{Snapshot, Vpc};

/// The tasks that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// As many as the lab starts with.
    Planned,
    /// Those of the snapshot.
    Running,
}

/// Draws a configuration.
pub fn draw(snapshot: &Snapshot, tasks: Tasks) -> Graph {
    let parts = snapshot.parts();
    let area = |vpc: &Vpc| Area { vpc: vpc.id.clone(), cidrs: vpc.cidrs.clone() };
    let areas = parts.vpcs.iter().map(area).collect();
    let mut graph = Graph { lab: parts.lab.clone(), areas, nodes: Vec::new(), edges: Vec::new() };
    sources::add(&mut graph, snapshot, tasks == Tasks::Running);
    routes::add(&mut graph, snapshot);
    // Columns come one after the other, each in the lab file's order.
    graph.nodes.sort_by_key(|node| node.column);
    graph
}
