//! The targets of the ratios, for `--check`. A path or a metric that was not measured misses them:
//! silence must not pass for success.

use super::document::{Checked, Document};

/// A ratio within a round, and its bound.
struct Target {
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

const TARGETS: [Target; 9] = [
    target("tcp-up-4", "offload", "veth", Bound::AtLeast(0.9)),
    target("tcp-up-4", "offload", "nft", Bound::AtLeast(1.15)),
    target("udp-64", "offload", "nft", Bound::AtLeast(1.2)),
    target("latency-p50", "offload", "nft", Bound::AtMost(1.0)),
    target("connections", "offload", "nft", Bound::AtLeast(0.7)),
    target("tcp-up-1", "userspace", "nft", Bound::AtLeast(0.75)),
    target("tcp-up-1", "userspace", "plain", Bound::AtLeast(4.0)),
    target("connections", "userspace", "nft", Bound::AtLeast(0.7)),
    // The rest of the difference to nft is then not the engine's.
    target("connections", "userspace", "bare", Bound::AtLeast(0.9)),
];

const fn target(
    metric: &'static str,
    path: &'static str,
    base: &'static str,
    bound: Bound,
) -> Target {
    Target { metric, path, base, bound }
}

/// Compares the figures with their targets.
pub(super) fn check(document: &Document) -> Vec<Checked> {
    TARGETS.iter().map(|target| target.check(document)).collect()
}

impl Target {
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

    fn find(targets: &[Checked], what: &str) -> (Option<f64>, bool) {
        let found = targets.iter().find(|target| target.what == what);
        found.map_or((None, false), |target| (target.reached, target.met))
    }

    #[test]
    fn a_bound_is_met_missed_or_not_measured() {
        let targets = check(&document());
        assert_eq!(find(&targets, "offload / nft, TCP up, 4 streams"), (Some(1.25), true));
        assert_eq!(find(&targets, "offload / veth, TCP up, 4 streams"), (Some(0.5), false));
        assert_eq!(find(&targets, "offload / nft, latency, median"), (Some(2.0), false));
        assert_eq!(find(&targets, "userspace / nft, tcp-up-1"), (None, false));
        assert_eq!(targets.len(), TARGETS.len());
    }
}
