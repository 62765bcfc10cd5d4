//! What the ratios must be, for `--check`. A path or a metric that was not measured misses them: nobody may take the
//! silence for a yes.

use super::document::{Checked, Document};

/// A ratio within a round, and its bound.
struct Floor {
    metric: &'static str,
    path: &'static str,
    base: &'static str,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const FLOORS: [Floor; 9] = [
    floor("tcp-up-4", "offload", "veth", Bound::AtLeast(0.9)),
    floor("tcp-up-4", "offload", "nft", Bound::AtLeast(1.15)),
    floor("udp-64", "offload", "nft", Bound::AtLeast(1.2)),
    floor("latency-p50", "offload", "nft", Bound::AtMost(1.0)),
    floor("connections", "offload", "nft", Bound::AtLeast(0.7)),
    floor("tcp-up-1", "userspace", "nft", Bound::AtLeast(0.75)),
    floor("tcp-up-1", "userspace", "plain", Bound::AtLeast(4.0)),
    floor("connections", "userspace", "nft", Bound::AtLeast(0.7)),
    // What is left of the way to nft is then not the engine's.
    floor("connections", "userspace", "bare", Bound::AtLeast(0.9)),
];

const fn floor(
    metric: &'static str,
    path: &'static str,
    base: &'static str,
    bound: Bound,
) -> Floor {
    Floor { metric, path, base, bound }
}

/// Holds the figures against what is asked of them.
pub(super) fn check(document: &Document) -> Vec<Checked> {
    FLOORS.iter().map(|floor| floor.check(document)).collect()
}

impl Floor {
    fn check(&self, document: &Document) -> Checked {
        let metric = document.metric(self.metric);
        let title = metric.map_or(self.metric, |metric| &metric.title);
        let reached = metric.and_then(|metric| metric.ratio(self.path, self.base));
        let (asked, met) = match self.bound {
            Bound::AtLeast(least) => {
                (format!("at least {least}"), reached.is_some_and(|r| r >= least))
            }
            Bound::AtMost(most) => (format!("at most {most}"), reached.is_some_and(|r| r <= most)),
        };
        Checked { what: format!("{} / {}, {title}", self.path, self.base), asked, reached, met }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::document;
    use super::*;

    fn find(floors: &[Checked], what: &str) -> (Option<f64>, bool) {
        let found = floors.iter().find(|floor| floor.what == what);
        found.map_or((None, false), |floor| (floor.reached, floor.met))
    }

    #[test]
    fn a_bound_is_met_missed_or_not_measured() {
        let floors = check(&document());
        assert_eq!(find(&floors, "offload / nft, TCP up, 4 streams"), (Some(1.25), true));
        assert_eq!(find(&floors, "offload / veth, TCP up, 4 streams"), (Some(0.5), false));
        assert_eq!(find(&floors, "offload / nft, latency, median"), (Some(2.0), false));
        assert_eq!(find(&floors, "userspace / nft, tcp-up-1"), (None, false));
        assert_eq!(floors.len(), FLOORS.len());
    }
}
