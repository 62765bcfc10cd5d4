//! A document for tests.

use super::document::{Curve, Document, Machine, Metric, PathInfo, Unit};

/// Makes three paths, one of them missing, with two rounds.
pub(super) fn document() -> Document {
    let mut up = metric("tcp-up-4", "TCP up, 4 streams", Unit::GigabitsPerSecond, false);
    for (round, (veth, nft, offload)) in
        [(20.0, 8.0, 10.0), (40.0, 16.0, 20.0)].into_iter().enumerate()
    {
        up.put(round, "veth", veth);
        up.put(round, "nft", nft);
        up.put(round, "offload", offload);
    }
    let mut loss = metric("udp-64-loss", "UDP, 64 bytes, lost", Unit::Percent, true);
    loss.put(0, "nft", 12.5);
    let mut latency = metric("latency-p50", "latency, median", Unit::Microseconds, true);
    latency.put(0, "nft", 10.0);
    latency.put(0, "offload", 20.0);
    let mut metrics = vec![up, loss, latency];
    metrics.iter_mut().for_each(Metric::summarize);
    Document {
        machine: Machine {
            cpu: "A <Processor> & Co".to_owned(),
            cpus: 2,
            kernel: "6.18.0".to_owned(),
            load_before: 0.25,
            build: "commit 1234567".to_owned(),
            date: "2026-01-02 03:04 UTC".to_owned(),
        },
        rounds: 2,
        seconds: 1,
        congestion: Some("reno".to_owned()),
        paths: vec![
            path("veth", None),
            path("nft", None),
            path("offload", None),
            path("pasta", Some("not installed: apt-get install passt")),
        ],
        metrics,
        failures: vec!["round 1, latency: veth: it was silent".to_owned()],
        curves: vec![Curve {
            key: "flows".to_owned(),
            title: "a packet of a live flow".to_owned(),
            of: "live flows".to_owned(),
            unit: "ns".to_owned(),
            points: vec![(1.0, 57.0), (1000.0, 69.5), (1e6, 736.0)],
        }],
        targets: Vec::new(),
    }
}

fn metric(key: &str, title: &str, unit: Unit, less_is_better: bool) -> Metric {
    Metric::new(key.to_owned(), title.to_owned(), unit, less_is_better)
}

fn path(key: &str, skipped: Option<&str>) -> PathInfo {
    let about = format!("the path {key}");
    PathInfo { key: key.to_owned(), about, skipped: skipped.map(str::to_owned) }
}
