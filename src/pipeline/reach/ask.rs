//! Computes the answer to a question.

use super::answer::{Answer, Interrupted};
use super::cells::{Cutting, Search};
use super::classes::Classes;
use super::cuts;
use super::destinations::{Coarse, Destinations, Grouping, PathStart};
use super::egress;
use super::judge::Walks;
use super::map::HashMap;
use super::merge::Cells;
use super::origin::{self, Origin};
use super::question::Question;
use super::ranges::Ranges;
use super::rule_sets::Matches;
use super::sameness::Sameness;
use crate::pipeline::Reason;
use crate::vpc::path::DeadEnd;
use crate::vpc::{NatGatewayIx, Snapshot};

/// The destinations that count in a verdict.
#[derive(Clone, Copy)]
enum Counted {
    /// Those that an interface has; all, if no interface has any.
    Owned,
    /// All of them.
    Each,
}

/// Answers a question about a set of packets. Nothing is sent, and no port is taken.
///
/// `goes_on` is called before each packet that is judged, and often enough in between that a caller
/// who no longer wants the answer waits for milliseconds only.
///
/// # Errors
/// [`Interrupted`] once `goes_on` is false.
pub fn ask(
    snapshot: &Snapshot,
    question: &Question,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Answer, Interrupted> {
    answer(snapshot, question, Counted::Owned, goes_on)
}

/// Answers like [`ask`], but every destination counts, even one that no interface has: a task that
/// takes any of the addresses of a name may take that one.
///
/// # Errors
/// [`Interrupted`] once `goes_on` is false.
pub fn ask_each(
    snapshot: &Snapshot,
    question: &Question,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Answer, Interrupted> {
    answer(snapshot, question, Counted::Each, goes_on)
}

fn answer(
    snapshot: &Snapshot,
    question: &Question,
    counted: Counted,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Answer, Interrupted> {
    let mut search = search(snapshot, question, goes_on);
    let of = |asked: &_| Origin::new(snapshot, question, *asked);
    let origins: Vec<Origin> = question.attachments.iter().map(of).collect();
    let routes = cuts::routes(snapshot);
    let all: Vec<(Coarse, Destinations)> = origins
        .iter()
        .map(|origin| reach(&mut search, question, origin, &routes))
        .collect::<Result<_, _>>()?;
    let counting = match counted {
        Counted::Owned => owned(question, all.iter().map(|(_, destinations)| destinations)),
        Counted::Each => question.destinations.clone(),
    };
    for ((number, origin), (coarse, destinations)) in (0u32..).zip(&origins).zip(&all) {
        Cutting::new(&mut search, (number, origin), coarse, &counting).cut(destinations)?;
    }
    let Search { mut cells, walks: Walks { judge, count, mut caller }, egress, .. } = search;
    cells.split(|number| egress.admitted(number), &mut caller)?;
    let merged = cells.merge(&mut caller)?.to_vec();
    let classes = Classes::new(snapshot, question, &origins, &judge, &cells, counting.count());
    classes.answer(merged, count, &mut caller)
}

/// Begins a search.
fn search<'a>(
    snapshot: &'a Snapshot,
    question: &Question,
    goes_on: &'a mut dyn FnMut() -> bool,
) -> Search<'a> {
    Search {
        snapshot,
        sameness: Sameness::new(snapshot),
        walks: Walks::new(snapshot, goes_on),
        matches: Matches::new(snapshot),
        cells: Cells::default(),
        ports: question.ports.0.clone(),
        egress: egress::Found::default(),
        gates: HashMap::default(),
        at_gates: HashMap::default(),
        gate_numbers: HashMap::default(),
        paths: HashMap::default(),
    }
}

/// Groups the destinations as one origin reaches them.
fn reach(
    search: &mut Search<'_>,
    question: &Question,
    origin: &Origin,
    routes: &[u32],
) -> Result<(Coarse, Destinations), Interrupted> {
    let snapshot = search.snapshot;
    let coarse = coarse(snapshot, question, origin, routes);
    let cuts = cuts::destinations(snapshot);
    let destinations = Grouping {
        snapshot,
        sameness: &search.sameness,
        walks: &mut search.walks,
        matches: &mut search.matches,
        origin,
        coarse: &coarse,
        port: search.ports.first().unwrap_or(0),
    }
    .group(question.destinations.cells(&cuts))?;
    Ok((coarse, destinations))
}

fn coarse(snapshot: &Snapshot, question: &Question, origin: &Origin, routes: &[u32]) -> Coarse {
    let gateway = |number: usize| {
        let ix = NatGatewayIx::from(number);
        let positions = origin::gateway_addresses(snapshot, question, ix).into_iter().enumerate();
        let cells = |(position, addresses): (usize, Ranges)| {
            addresses.cells(routes).map(|cell| (position, cell)).collect::<Vec<_>>()
        };
        positions.flat_map(cells).collect()
    };
    Coarse {
        enis: origin.addresses.cells(routes).collect(),
        gateways: (0..snapshot.parts().nat_gateways.len()).map(gateway).collect(),
    }
}

/// Returns the destinations that an interface has as one of the origins reaches them; all, if there
/// are none.
fn owned<'d>(question: &Question, origins: impl Iterator<Item = &'d Destinations>) -> Ranges {
    let owned = origins.flat_map(|destinations| {
        let groups = destinations.groups.iter();
        groups.filter(|group| is_owned(destinations, &group.entry))
    });
    let owned = Ranges::new(owned.flat_map(|group| group.destinations.iter()));
    if owned.is_empty() { question.destinations.clone() } else { owned }
}

/// Decides whether an interface has the addresses, or the packet gets another verdict before it
/// matters.
fn is_owned(destinations: &Destinations, entry: &PathStart) -> bool {
    match entry {
        PathStart::Path { path, .. } => {
            let dead_end = destinations.paths.get(*path).and_then(|path| path.hops.dead_end);
            !matches!(dead_end, Some(DeadEnd::NoInterface(_)))
        }
        PathStart::Refused(denial) => denial.reason != Reason::ExemptAddressUnserved,
        PathStart::Exempt => true,
    }
}
