//! The cells that are measured on a path: each cell is one run, and gives one metric or more.

use super::document::{Metric, Unit};
use super::load::{Between, LoadError};
use super::machine::busy_seconds;
use crate::cli::iperf::{self, Direction, IperfError, Run};
use std::net::SocketAddrV4;
use std::time::Duration;

/// Limits of one run, however long it is: connections to each port, requests and datagrams. A
/// client has some 28,000 ports for each of the server's, and each rests for a minute.
const MOST_CONNECTIONS: u32 = 5_000;
const MOST_REQUESTS: usize = 200_000;
const MOST_DATAGRAMS: u64 = 10_000_000;
/// The most flows of one run: new ones must be left for the next round.
const MOST_FLOWS: u64 = 100_000;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// iperf3: a direction, and the number of streams.
    Tcp(Direction, u8),
    /// A flood of datagrams of so many bytes.
    Udp(usize),
    /// A flood of datagrams, each the first of its flow.
    FirstDatagrams,
    /// New connections.
    Connections,
    /// Requests and responses.
    Latency,
}

/// The cells of which the checked ratios are made.
pub(super) const SHORT: [Cell; 6] = [
    Cell::Tcp(Direction::Up, 1),
    Cell::Tcp(Direction::Up, 4),
    Cell::Udp(64),
    Cell::FirstDatagrams,
    Cell::Connections,
    Cell::Latency,
];

/// All cells.
pub(super) const LONG: [Cell; 14] = [
    Cell::Tcp(Direction::Up, 1),
    Cell::Tcp(Direction::Up, 4),
    Cell::Tcp(Direction::Up, 16),
    Cell::Tcp(Direction::Down, 1),
    Cell::Tcp(Direction::Down, 4),
    Cell::Tcp(Direction::Down, 16),
    Cell::Tcp(Direction::Both, 1),
    Cell::Tcp(Direction::Both, 4),
    Cell::Tcp(Direction::Both, 16),
    Cell::Udp(64),
    Cell::Udp(1400),
    Cell::FirstDatagrams,
    Cell::Connections,
    Cell::Latency,
];

/// The method of a measurement.
#[derive(Clone, Debug)]
pub(super) struct Method {
    /// Seconds of an iperf3 run, which takes whole ones.
    pub(super) seconds: u16,
    /// The time of a run with small packets.
    pub(super) small: Duration,
    /// TCP's congestion control for iperf3.
    pub(super) congestion: Option<String>,
}

/// The reason why a cell gave no figure.
#[derive(Debug, thiserror::Error)]
pub(super) enum CellError {
    /// iperf3.
    #[error(transparent)]
    Iperf(#[from] IperfError),
    /// Small packets.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A path measured without the translation that it stands for would win for the wrong reason.
    #[error("the server saw its client as {0}: the path is not what it should be")]
    NotTranslated(String),
}

/// The result of one run: a value for each of [`Cell::metrics`], in that order, and the address
/// that the server saw for the client.
pub(super) struct Figures {
    pub(super) values: Vec<f64>,
    pub(super) seen_as: Option<String>,
}

impl Cell {
    /// Returns the text for the progress line.
    pub(super) fn title(self) -> String {
        match self {
            Self::Tcp(direction, 1) => format!("TCP {}, 1 stream", way(direction)),
            Self::Tcp(direction, streams) => format!("TCP {}, {streams} streams", way(direction)),
            Self::Udp(bytes) => format!("UDP, {bytes} bytes"),
            Self::FirstDatagrams => "UDP, a flow for each datagram".to_owned(),
            Self::Connections => "new connections".to_owned(),
            Self::Latency => "latency".to_owned(),
        }
    }

    /// Returns the metrics that it measures, without figures.
    pub(super) fn metrics(self) -> Vec<Metric> {
        let metric =
            |key: &str, title: String, unit, less| Metric::new(key.to_owned(), title, unit, less);
        let title = self.title();
        match self {
            Self::Tcp(direction, streams) => {
                let key = format!("tcp-{}-{streams}", way(direction).replace(" and ", "-"));
                let cpu = format!("{title}: processor time");
                let cpu = metric(&format!("{key}-cpu"), cpu, Unit::CpuSecondsPerGigabyte, true);
                // One direction is enough to see the cost of a byte.
                let cpu = (direction == Direction::Up).then_some(cpu);
                [metric(&key, title, Unit::GigabitsPerSecond, false)]
                    .into_iter()
                    .chain(cpu)
                    .collect()
            }
            Self::Udp(bytes) => datagrams(&format!("udp-{bytes}"), &title),
            Self::FirstDatagrams => datagrams("udp-flows", &title),
            Self::Connections => vec![
                metric("connections", title.clone(), Unit::ConnectionsPerSecond, false),
                metric("connections-failed", format!("{title}: failed"), Unit::Percent, true),
            ],
            Self::Latency => vec![
                metric("latency-p50", "latency, median".to_owned(), Unit::Microseconds, true),
                metric(
                    "latency-p99",
                    "latency, 99th percentile".to_owned(),
                    Unit::Microseconds,
                    true,
                ),
            ],
        }
    }

    /// Returns the time that a run takes, about.
    pub(super) fn takes(self, method: &Method) -> Duration {
        match self {
            Self::Tcp(..) => {
                Duration::from_secs(method.seconds.into()) + Duration::from_millis(150)
            }
            Self::Udp(_) | Self::FirstDatagrams | Self::Connections | Self::Latency => {
                method.small + Duration::from_millis(50)
            }
        }
    }

    /// Runs the cell.
    pub(super) async fn run(
        self,
        between: &Between,
        method: &Method,
    ) -> Result<Figures, CellError> {
        match self {
            Self::Tcp(direction, streams) => tcp(between, method, direction, streams).await,
            Self::Udp(bytes) => {
                let time = method.small;
                let got = small(between, move |b| b.datagrams(bytes, time, MOST_DATAGRAMS)).await?;
                Ok(of(vec![got.per_second, got.lost_percent]))
            }
            Self::FirstDatagrams => {
                let time = method.small;
                let got = small(between, move |b| b.first_datagrams(time, MOST_FLOWS)).await?;
                Ok(of(vec![got.per_second, got.lost_percent]))
            }
            Self::Connections => {
                let time = method.small;
                let most = MOST_CONNECTIONS * u32::from(between.ports);
                let got = small(between, move |b| b.connections(time, most)).await?;
                Ok(of(vec![got.per_second, got.failed_percent]))
            }
            Self::Latency => {
                let time = method.small;
                let got = small(between, move |b| b.latency(time, MOST_REQUESTS)).await?;
                Ok(of(vec![got.p50, got.p99]))
            }
        }
    }
}

fn datagrams(key: &str, title: &str) -> Vec<Metric> {
    let metric =
        |key, what: &str, unit, less| Metric::new(key, format!("{title}: {what}"), unit, less);
    vec![
        metric(key.to_owned(), "received", Unit::PacketsPerSecond, false),
        metric(format!("{key}-loss"), "lost", Unit::Percent, true),
    ]
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
        Direction::Both => "up and down",
    }
}

async fn tcp(
    between: &Between,
    method: &Method,
    direction: Direction,
    streams: u8,
) -> Result<Figures, CellError> {
    let run = Run {
        direction,
        streams,
        seconds: method.seconds,
        congestion: method.congestion.as_deref(),
    };
    let place: SocketAddrV4 = between.place();
    let before = busy_seconds();
    let outcome = iperf::measure(&between.client, &between.server, place, run).await?;
    let mut values = vec![outcome.gbps];
    let spent = before.and_then(|before| Some(busy_seconds()? - before));
    values.extend(spent.filter(|_| outcome.bytes > 0.0).map(|spent| spent * 1e9 / outcome.bytes));
    Ok(Figures { values, seen_as: outcome.seen_as })
}

fn of(values: Vec<f64>) -> Figures {
    Figures { values, seen_as: None }
}

/// Runs blocking work off the runtime's thread, since the sockets block.
async fn small<T: Send + 'static>(
    between: &Between,
    work: impl FnOnce(&Between) -> Result<T, LoadError> + Send + 'static,
) -> Result<T, CellError> {
    let between = between.clone();
    match tokio::task::spawn_blocking(move || work(&between)).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        let keys: Vec<String> =
            LONG.iter().flat_map(|cell| cell.metrics()).map(|metric| metric.key).collect();
        let distinct: BTreeSet<&String> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "{keys:?}");
        assert!(keys.iter().any(|key| key == "tcp-up-down-16"), "{keys:?}");
    }

    #[test]
    fn the_short_form_is_part_of_the_long_one() {
        assert!(SHORT.iter().all(|cell| LONG.contains(cell)));
    }
}
