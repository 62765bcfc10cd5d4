//! The document of a bench: figures by metric, round and path; medians over the rounds, and ratios
//! within each round.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole document, as `--json` prints it and `egret bench chart` reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    /// The machine and the time.
    pub machine: Machine,
    /// The number of times that everything was measured.
    pub rounds: u32,
    /// Seconds of each TCP measurement.
    pub seconds: u16,
    /// TCP's congestion control; without it, the machine's default.
    pub congestion: Option<String>,
    /// The paths, in the order of the table.
    pub paths: Vec<PathInfo>,
    /// The figures.
    pub metrics: Vec<Metric>,
    /// Measurements that gave no figure, and why.
    #[serde(default)]
    pub failures: Vec<String>,
    /// Cost as work grows.
    #[serde(default)]
    pub curves: Vec<Curve>,
    /// The targets of the ratios, and their results; empty without `--check`.
    #[serde(default)]
    pub targets: Vec<Checked>,
}

/// The machine and the time of a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    /// The processor.
    pub cpu: String,
    /// The number of processors.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The load average of the minute before.
    pub load_before: f64,
    /// The build that was measured, such as a commit.
    pub build: String,
    /// The start, UTC.
    pub date: String,
}

/// A path between client and server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PathInfo {
    /// Its short name.
    pub key: String,
    /// Its description.
    pub about: String,
    /// The reason why it was not measured.
    #[serde(default)]
    pub skipped: Option<String>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Unit {
    /// 10^9 bits of payload a second.
    #[serde(rename = "Gbit/s")]
    GigabitsPerSecond,
    /// Packets a second.
    #[serde(rename = "packets/s")]
    PacketsPerSecond,
    /// Connections a second.
    #[serde(rename = "connections/s")]
    ConnectionsPerSecond,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Parts of a hundred.
    #[serde(rename = "%")]
    Percent,
    /// Seconds of processor time for 10^9 bytes of payload, the whole machine's.
    #[serde(rename = "CPU s/GB")]
    CpuSecondsPerGigabyte,
}

impl Unit {
    /// Returns the unit as the table and the chart write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::GigabitsPerSecond => "Gbit/s",
            Self::PacketsPerSecond => "packets/s",
            Self::ConnectionsPerSecond => "connections/s",
            Self::Microseconds => "µs",
            Self::Percent => "%",
            Self::CpuSecondsPerGigabyte => "CPU s/GB",
        }
    }

    /// Writes a figure, as precisely as it is measured.
    pub(super) fn figure(self, value: f64) -> String {
        match self {
            Self::GigabitsPerSecond | Self::CpuSecondsPerGigabyte => format!("{value:.2}"),
            Self::Microseconds | Self::Percent => format!("{value:.1}"),
            Self::PacketsPerSecond | Self::ConnectionsPerSecond => thousands(value),
        }
    }
}

/// Writes a number as `12,345`.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// One figure for each path and round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Metric {
    /// Its stable name.
    pub key: String,
    /// Its title for people.
    pub title: String,
    /// Its unit.
    pub unit: Unit,
    /// True if less is better.
    pub less_is_better: bool,
    /// The figure of each path in each round.
    pub rounds: Vec<BTreeMap<String, f64>>,
    /// Medians and ratios, by path.
    pub paths: BTreeMap<String, Summary>,
}

/// A path's figure over the rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// The median, in the metric's unit.
    pub median: f64,
    /// The least.
    pub lowest: f64,
    /// The most.
    pub highest: f64,
    /// The median of its ratio to `veth` in the same round.
    pub to_veth: Option<f64>,
    /// The median of its ratio to `nft` in the same round.
    pub to_nft: Option<f64>,
}

/// Cost by amount of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Curve {
    /// Its stable name.
    pub key: String,
    /// Its title for people.
    pub title: String,
    /// The amount that grows.
    pub of: String,
    /// The unit of the cost.
    pub unit: String,
    /// Pairs of amount and cost.
    pub points: Vec<(f64, f64)>,
}

/// A ratio with a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Checked {
    /// The two sides of the comparison, such as `offload / nft, TCP up, 4 streams`.
    pub what: String,
    /// The target, such as `at least 1.15`.
    pub asked: String,
    /// The ratio; `None` if one of the two was not measured.
    pub reached: Option<f64>,
    /// True if the ratio meets the target.
    pub met: bool,
}

impl Document {
    /// Returns the metric of that name.
    pub(super) fn metric(&self, key: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.key == key)
    }

    /// Returns the paths that were measured.
    pub(super) fn measured(&self) -> impl Iterator<Item = &PathInfo> {
        self.paths.iter().filter(|path| path.skipped.is_none())
    }
}

impl Metric {
    /// Makes a metric without rounds.
    pub(super) fn new(key: String, title: String, unit: Unit, less_is_better: bool) -> Self {
        Self { key, title, unit, less_is_better, rounds: Vec::new(), paths: BTreeMap::new() }
    }

    /// Adds a figure to a round, counted from 0.
    pub(super) fn put(&mut self, round: usize, path: &str, value: f64) {
        if self.rounds.len() <= round {
            self.rounds.resize(round + 1, BTreeMap::new());
        }
        if let Some(row) = self.rounds.get_mut(round) {
            row.insert(path.to_owned(), value);
        }
    }

    /// Fills in the medians and ratios.
    pub(super) fn summarize(&mut self) {
        let names: std::collections::BTreeSet<&String> =
            self.rounds.iter().flat_map(BTreeMap::keys).collect();
        self.paths = names
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.summary(name)?)))
            .collect();
    }

    fn summary(&self, path: &str) -> Option<Summary> {
        let values: Vec<f64> =
            self.rounds.iter().filter_map(|row| row.get(path)).copied().collect();
        Some(Summary {
            median: median(values.clone())?,
            lowest: values.iter().copied().reduce(f64::min)?,
            highest: values.iter().copied().reduce(f64::max)?,
            to_veth: self.ratio(path, "veth"),
            to_nft: self.ratio(path, "nft"),
        })
    }

    /// Returns the median of the ratios within each round: the machine's load in a round affects
    /// both. A figure of 0 has no ratio to it.
    pub(super) fn ratio(&self, path: &str, base: &str) -> Option<f64> {
        let within = |row: &BTreeMap<String, f64>| Some((*row.get(path)?, *row.get(base)?));
        let both = self.rounds.iter().filter_map(within);
        median(both.filter(|(_, base)| *base > 0.0).map(|(value, base)| value / base).collect())
    }
}

/// Returns the value in the middle; between two, half-way. `None` if there are no values.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if !values.len().is_multiple_of(2) {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn metric(rounds: &[&[(&str, f64)]]) -> Metric {
        let unit = Unit::GigabitsPerSecond;
        let mut metric = Metric::new("k".to_owned(), "t".to_owned(), unit, false);
        for (n, row) in rounds.iter().enumerate() {
            row.iter().for_each(|(path, value)| metric.put(n, path, *value));
        }
        metric.summarize();
        metric
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![7.0]), Some(7.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_not_between_medians() {
        // The machine was ten times as fast in the second round; the ratio was the same in each.
        let metric = metric(&[
            &[("nft", 1.0), ("offload", 2.0)],
            &[("nft", 10.0), ("offload", 20.0)],
            &[("nft", 4.0), ("offload", 8.0)],
        ]);
        let offload = metric.paths.get("offload");
        assert_eq!(offload.and_then(|summary| summary.to_nft), Some(2.0));
        assert_eq!(offload.map(|s| (s.lowest, s.median, s.highest)), Some((2.0, 8.0, 20.0)));
        assert_eq!(offload.and_then(|summary| summary.to_veth), None);
    }

    #[test]
    fn a_round_without_one_of_the_two_has_no_ratio_and_neither_has_nothing() {
        let metric =
            metric(&[&[("nft", 2.0), ("x", 1.0)], &[("x", 9.0)], &[("nft", 0.0), ("x", 3.0)]]);
        assert_eq!(metric.ratio("x", "nft"), Some(0.5));
        assert_eq!(metric.ratio("nft", "veth"), None);
    }

    #[test]
    fn large_figures_are_grouped() {
        assert_eq!(Unit::PacketsPerSecond.figure(1_234_567.4), "1,234,567");
        assert_eq!(Unit::ConnectionsPerSecond.figure(999.6), "1,000");
        assert_eq!(Unit::PacketsPerSecond.figure(12.0), "12");
        assert_eq!(Unit::Microseconds.figure(12.34), "12.3");
    }

    #[test]
    fn a_document_survives_json() {
        let unit = serde_json::to_string(&Unit::CpuSecondsPerGigabyte).ok();
        assert_eq!(unit.as_deref(), Some("\"CPU s/GB\""));
        let metric = metric(&[&[("nft", 2.0), ("x", 1.0)]]);
        let text = serde_json::to_string(&metric).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Metric>(&text).ok(), Some(metric));
    }

    #[test]
    fn ratios_in_the_readme_are_those_that_were_measured() {
        let measured = include_str!("../../../benches/bench.json");
        let measured: Document = serde_json::from_str(measured).unwrap();
        let readme = include_str!("../../../README.md");
        let (_, section) = readme.split_once("\n## Throughput\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let of_two = regex::Regex::new(r"(\w+) / (\w+) (\d+\.\d\d)").unwrap();
        let mut count = 0;
        for line in section.lines().filter_map(|line| line.strip_prefix("- ")) {
            let is_of = |metric: &&Metric| line.starts_with(&format!("{}: ", metric.title));
            let metric = measured.metrics.iter().find(is_of).unwrap();
            for found in of_two.captures_iter(line) {
                let ratio = metric.ratio(&found[1], &found[2]).unwrap();
                assert_eq!(format!("{ratio:.2}"), found[3], "{line}");
                count += 1;
            }
        }
        assert!(count >= 10, "{count} ratios");
    }
}
