//! The output of the demo: two tables and a line for people, one JSON object for programs.

use super::DemoError;
use crate::explain::{self, Column, Row, TableStyle};
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;

/// All results of the demo.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The probes, in the order of the table.
    pub probes: Vec<ProbeRow>,
    /// The iperf3 runs; none if they were skipped.
    pub throughput: Vec<ThroughputRow>,
    /// The reason why the throughput is not complete.
    #[serde(skip)]
    pub fault: Option<DemoError>,
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeRow {
    /// Its name.
    pub name: String,
    /// The task.
    pub from: String,
    /// The destination, by its name in the lab file.
    pub to: String,
    /// The expected result: an answer, or `drop: REASON`.
    pub expected: String,
    /// The result: an answer, or `drop`.
    pub seen: String,
    /// The reason that the running lab counted the drop under.
    pub reason: Option<String>,
    /// The rule that dropped it, or that admitted the flow.
    pub rule: Option<String>,
    /// That rule's line in the lab file.
    pub line: Option<u32>,
    /// True if the result is as expected.
    pub ok: bool,
}

/// One iperf3 run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThroughputRow {
    /// The ENI's id.
    pub eni: String,
    /// `egress` or `return`, seen from the task.
    pub direction: &'static str,
    /// Parallel TCP connections.
    pub streams: u8,
    /// The throughput in 10^9 bits a second, as iperf3's receiver counts: without headers.
    pub gbps: f64,
}

impl Report {
    /// Returns whether every probe went as expected, and nothing is missing.
    pub(super) fn is_as_expected(&self) -> bool {
        self.fault.is_none() && !self.probes.is_empty() && self.probes.iter().all(|probe| probe.ok)
    }

    pub(super) fn text(&self, w: &mut dyn Write, took: Duration, wide: bool) -> io::Result<()> {
        let style = TableStyle { wide, ..TableStyle::default() };
        explain::print(w, &self.probes, &style)?;
        writeln!(w)?;
        if !self.throughput.is_empty() {
            explain::print(w, &self.throughput, &style)?;
            writeln!(w)?;
        }
        let (all, odd) = (self.probes.len(), self.probes.iter().filter(|p| !p.ok).count());
        let seconds = took.as_secs_f64();
        match odd {
            0 => writeln!(w, "all {all} probes as expected, in {seconds:.1} s"),
            _ => writeln!(w, "{odd} of {all} probes NOT as expected, in {seconds:.1} s"),
        }
    }
}

impl Row for ProbeRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("NAME", 1).text(24),
        Column::first("FROM", 4),
        Column::first("TO", 3),
        Column::first("EXPECTED", 5),
        Column::first("SEEN", 2),
        Column::first("RULE", 7).rule(12),
        Column::first("LINE", 6),
        Column::first("OK", 0),
    ];
    const EMPTY: &'static str = "no probes";

    fn cells(&self) -> Vec<String> {
        let line = self.line.map(|line| line.to_string());
        let ok = if self.ok { "yes" } else { "NO" };
        let (rule, line) = (self.rule.as_deref().unwrap_or("-"), line.as_deref().unwrap_or("-"));
        [&self.name, &self.from, &self.to, &self.expected, &self.seen, rule, line, ok]
            .map(str::to_owned)
            .to_vec()
    }
}

impl Row for ThroughputRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("ENI", 0).ids(),
        Column::first("DIRECTION", 1),
        Column::first("STREAMS", 2),
        Column::first("GBIT/S", 0),
    ];
    const EMPTY: &'static str = "no throughput measured";

    fn cells(&self) -> Vec<String> {
        vec![
            self.eni.clone(),
            self.direction.to_owned(),
            self.streams.to_string(),
            format!("{:.2}", self.gbps),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::cli::output;

    fn probe(ok: bool) -> ProbeRow {
        ProbeRow {
            name: "no route".to_owned(),
            from: "isolated/1".to_owned(),
            to: "example:443/tcp".to_owned(),
            expected: "drop: no-route".to_owned(),
            seen: "drop: no-route".to_owned(),
            reason: Some("no-route".to_owned()),
            rule: Some("rtb-isolated (a blackhole)".to_owned()),
            line: Some(7),
            ok,
        }
    }

    #[test]
    fn one_odd_probe_or_a_missing_number_spoils_the_report() {
        let report = |probes, fault| Report { probes, throughput: Vec::new(), fault };
        let fault = || DemoError::NotInLab("VPC".to_owned());
        assert!(report(vec![probe(true)], None).is_as_expected());
        assert!(!report(vec![probe(true), probe(false)], None).is_as_expected());
        assert!(!report(vec![probe(true)], Some(fault())).is_as_expected());
        assert!(!report(Vec::new(), None).is_as_expected());
    }

    #[test]
    fn the_json_has_the_two_lists_and_nothing_else() {
        let run =
            ThroughputRow { eni: "eni-0a".to_owned(), direction: "return", streams: 4, gbps: 1.5 };
        let report = Report { probes: vec![probe(true)], throughput: vec![run], fault: None };
        let mut text = Vec::new();
        output::json(&mut text, &report).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 2);
        assert_eq!(json["probes"][0]["reason"], "no-route");
        assert_eq!(json["probes"][0]["ok"], true);
        assert_eq!(
            json["throughput"][0],
            serde_json::json!({"eni": "eni-0a", "direction": "return", "streams": 4, "gbps": 1.5})
        );
    }

    #[test]
    fn the_table_ends_with_the_verdict_on_all() {
        let odd = ProbeRow { expected: "echo".to_owned(), ..probe(false) };
        let report = Report { probes: vec![probe(true), odd], ..Report::default() };
        let mut text = Vec::new();
        report.text(&mut text, Duration::from_millis(2340), false).unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
        let row = |at: usize| rows[at].iter().filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
        assert_eq!(
            row(1)[3..],
            [&"drop: no-route", &"drop: no-route", &"rtb-isolated", &"7", &"yes"]
        );
        assert_eq!(row(2)[3..], [&"echo", &"drop: no-route", &"rtb-isolated", &"7", &"NO"]);
        assert!(text.ends_with("\n1 of 2 probes NOT as expected, in 2.3 s\n"), "{text}");
    }
}
