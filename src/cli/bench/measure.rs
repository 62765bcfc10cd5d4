//! Rounds: in each, every path is measured once in each cell, and the order rotates, so that a slow
//! drift of the machine favours none.

use super::cells::{Cell, CellError, Figures, Method};
use super::document::Metric;
use super::load::Between;
use crate::cli::progress::Progress;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A path that is ready to be measured.
pub(super) struct Lane {
    pub(super) key: String,
    pub(super) between: Between,
    /// The cells that can be measured on it; the others are left out.
    pub(super) cells: Vec<Cell>,
    /// A check that the server sees its client at the expected address; `None` if that says
    /// nothing.
    pub(super) is_seen_rightly: Option<fn(&str) -> bool>,
}

/// The result of the rounds.
pub(super) struct Outcome {
    pub(super) metrics: Vec<Metric>,
    pub(super) failures: Vec<(String, String)>,
}

/// Measures every lane in every cell, so many times. A failure is reported and left out.
pub(super) async fn rounds(
    lanes: &[Lane],
    cells: &[Cell],
    method: &Method,
    rounds: u32,
    progress: &Progress,
) -> Outcome {
    let mut metrics: BTreeMap<usize, Vec<Metric>> =
        cells.iter().map(|cell| cell.metrics()).enumerate().collect();
    let mut failures = Vec::new();
    let mut pace = Pace::new(lanes, cells, method, rounds);
    for round in 0..rounds as usize {
        for (n, cell) in cells.iter().enumerate() {
            for lane in turned(lanes, round).filter(|lane| lane.cells.contains(cell)) {
                let what =
                    format!("round {} of {rounds}, {}: {}", round + 1, cell.title(), lane.key);
                progress.say(&format!("{} {what}{}", pace.count(), pace.left()));
                match one(lane, *cell, method).await {
                    Ok(figures) => {
                        let row = metrics.get_mut(&n).into_iter().flatten();
                        row.zip(figures.values)
                            .for_each(|(m, value)| m.put(round, &lane.key, value));
                    }
                    Err(error) => failures.push((lane.key.clone(), format!("{what}: {error}"))),
                }
                pace.step(*cell, method);
            }
        }
    }
    let mut metrics: Vec<Metric> = metrics.into_values().flatten().collect();
    metrics.iter_mut().for_each(Metric::summarize);
    Outcome { metrics, failures }
}

async fn one(lane: &Lane, cell: Cell, method: &Method) -> Result<Figures, CellError> {
    let figures = cell.run(&lane.between, method).await?;
    match (lane.is_seen_rightly, &figures.seen_as) {
        (Some(rightly), Some(address)) if !rightly(address) => {
            Err(CellError::NotTranslated(address.clone()))
        }
        (Some(_) | None, _) => Ok(figures),
    }
}

/// Returns the items in the order of a round: each round begins one further on.
fn turned<T>(items: &[T], round: usize) -> impl Iterator<Item = &T> {
    let (before, from) = items.split_at(round % items.len().max(1));
    from.iter().chain(before)
}

/// Estimates the time that is left: that of the runs, stretched by how long those so far took.
struct Pace {
    begun: Instant,
    done: usize,
    total: usize,
    planned: Duration,
    planned_so_far: Duration,
}

impl Pace {
    fn new(lanes: &[Lane], cells: &[Cell], method: &Method, rounds: u32) -> Self {
        let runs =
            lanes.iter().flat_map(|lane| cells.iter().filter(|cell| lane.cells.contains(cell)));
        let (count, once) =
            runs.fold((0, Duration::ZERO), |(n, sum), cell| (n + 1, sum + cell.takes(method)));
        Self {
            begun: Instant::now(),
            done: 0,
            total: count * rounds as usize,
            planned: once * rounds,
            planned_so_far: Duration::ZERO,
        }
    }

    fn step(&mut self, cell: Cell, method: &Method) {
        self.done += 1;
        self.planned_so_far += cell.takes(method);
    }

    fn count(&self) -> String {
        format!("[{}/{}]", self.done + 1, self.total)
    }

    fn left(&self) -> String {
        let stretch = match self.planned_so_far.as_secs_f64() {
            planned if planned > 0.0 => self.begun.elapsed().as_secs_f64() / planned,
            _ => 1.0,
        };
        let left = self.planned.saturating_sub(self.planned_so_far).mul_f64(stretch);
        format!(", about {} left", humantime::format_duration(Duration::from_secs(left.as_secs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::iperf::Direction;

    #[test]
    fn every_path_comes_first_in_turn() {
        let order = |round| turned(&['a', 'b', 'c'], round).collect::<String>();
        assert_eq!([order(0), order(1), order(2), order(3)], ["abc", "bca", "cab", "abc"]);
        assert_eq!(turned::<char>(&[], 2).count(), 0);
    }

    #[test]
    fn measures_that_cannot_be_taken_do_not_count() {
        let method = Method { seconds: 1, small: Duration::from_millis(450), congestion: None };
        let cells = [Cell::Tcp(Direction::Up, 1), Cell::Latency];
        let pace = Pace::new(&[], &cells, &method, 3);
        assert_eq!((pace.total, pace.planned), (0, Duration::ZERO));
    }
}
