//! The one-time latency of a connector (spec 1.12): ENIs that the App Runner API has made take
//! their time to come up, once. The latency belongs to the ENI and not to the connector, so a
//! service whose connector shares all its ENIs with others never waits.

use crate::config::Lab;
use crate::config::plan::{EniKey, PlannedEni};
use crate::flow::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The time at which each ENI that the API has ever made is up, by the ENI's id, which is derived
/// from its subnet and groups. An ENI that exists and is not listed is up.
#[derive(Debug, Default)]
pub(super) struct Startup(BTreeMap<String, Instant>);

impl Startup {
    /// Starts the latency of the ENIs that `lab` has and `before` does not, after the API has
    /// turned a lab into it. Removed ENIs are remembered: a combination takes its time at its first
    /// use, and never again.
    pub(super) fn began(&mut self, now: Instant, before: &BTreeSet<String>, lab: &Lab) {
        let Some(latency) = lab.spec.apprunner.startup_latency else { return };
        for eni in enis(lab).difference(before) {
            let takes = latency.of(eni).div_f64(lab.time_scale);
            self.0.entry(eni.clone()).or_insert(now + takes);
        }
    }

    /// Lists the ENIs that the API has ever had made, each with how long it still takes to come up.
    pub(super) fn all(&self, now: Instant) -> Vec<(String, Duration)> {
        self.0.iter().map(|(eni, up)| (eni.clone(), up.since(now))).collect()
    }

    /// Takes over the ENIs that an earlier process knew.
    pub(super) fn remember(&mut self, now: Instant, enis: Vec<(String, Duration)>) {
        for (eni, left) in enis {
            self.0.entry(eni).or_insert(now + left);
        }
    }

    /// Returns the time until all ENIs of a connector are up.
    pub(super) fn left(&self, now: Instant, lab: &Lab, connector: &str) -> Duration {
        let left = self.enis_of(now, lab, connector).into_iter().map(|(_, left)| left);
        left.max().unwrap_or_default()
    }

    /// Lists the ENIs of a connector, each with how long it still takes to come up.
    pub(super) fn enis_of<'l>(
        &self,
        now: Instant,
        lab: &'l Lab,
        connector: &str,
    ) -> Vec<(&'l PlannedEni, Duration)> {
        let Some(connector) = lab.spec.connector(connector) else { return Vec::new() };
        let groups = lab.spec.groups_of_connector(connector);
        let own = |eni: &&PlannedEni| {
            let EniKey { kind, subnet, security_groups, task: _ } = &eni.key;
            let in_subnet = connector.subnets.iter().any(|id| **id == *subnet);
            in_subnet && *kind == connector.kind && *security_groups == groups
        };
        let left = |eni: &PlannedEni| self.of(now, &eni.id);
        lab.plan.enis.iter().filter(own).map(|eni| (eni, left(eni))).collect()
    }

    /// Returns how long an ENI still takes to come up.
    pub(super) fn of(&self, now: Instant, eni: &str) -> Duration {
        self.0.get(eni).map_or(Duration::ZERO, |up| up.since(now))
    }
}

/// Returns the ids of a lab's ENIs.
pub(super) fn enis(lab: &Lab) -> BTreeSet<String> {
    lab.plan.enis.iter().map(|eni| eni.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Overlay;
    use crate::config::overlay::{OverlayConnector, OverlayEgress, OverlayService};

    const LAB: &str = concat!(
        include_str!("../../examples/minimal.toml"),
        "\n[apprunner]\nstartup_latency = \"2m-5m\"\n[timeouts]\ntime_scale = 10\n"
    );

    /// Makes services, each with a connector of its own in these subnets, with this group.
    fn overlay(of: &[(&str, &[&str], &str)]) -> Overlay {
        let connector = |(name, subnets, group): &(&str, &[&str], &str)| OverlayConnector {
            name: (*name).to_owned(),
            subnets: subnets.iter().map(ToString::to_string).collect(),
            security_groups: vec![(*group).to_owned()],
        };
        let service = |(name, ..): &(&str, &[&str], &str)| OverlayService {
            name: format!("of-{name}"),
            egress: OverlayEgress::Vpc { connector: (*name).to_owned() },
            tasks: 0,
        };
        let connectors = of.iter().map(connector).collect();
        let services = of.iter().map(service).collect();
        Overlay { connectors, services, ..Overlay::default() }
    }

    struct World {
        lab: Lab,
        startup: Startup,
        now: Instant,
    }

    impl World {
        fn turn_to(&mut self, of: &[(&str, &[&str], &str)]) {
            let before = enis(&self.lab);
            self.lab = self.lab.with_overlay(overlay(of)).unwrap();
            self.startup.began(self.now, &before, &self.lab);
        }

        fn left(&self, connector: &str) -> Duration {
            self.startup.left(self.now, &self.lab, connector)
        }

        fn pass(&mut self, time: Duration) {
            self.now = self.now + time;
        }
    }

    #[test]
    fn a_combination_takes_its_time_once_whoever_uses_it() {
        let lab = Lab::parse("lab.toml", LAB).unwrap();
        let mut world = World { lab, startup: Startup::default(), now: Instant(5) };
        let (one, two) = (("one", &["subnet-a"][..], "sg-db"), ("two", &["subnet-a"][..], "sg-db"));
        // The file's own ENIs are there from the start, for others as well.
        assert_eq!(world.left("demo"), Duration::ZERO);
        world.turn_to(&[("as-demo", &["subnet-b"], "sg-app")]);
        assert_eq!(world.left("as-demo"), Duration::ZERO);

        world.turn_to(&[one]);
        let takes = world.left("one");
        // 2 to 5 minutes, ten times as fast.
        assert!((Duration::from_secs(12)..=Duration::from_secs(30)).contains(&takes), "{takes:?}");
        world.pass(Duration::from_secs(5));
        world.turn_to(&[one, two]);
        let rest = takes.checked_sub(Duration::from_secs(5)).unwrap();
        assert_eq!((world.left("one"), world.left("two")), (rest, rest), "one ENI, one wait");
        world.pass(rest);
        assert_eq!(world.left("two"), Duration::ZERO);
        // Another subnet beside the first is another ENI.
        let wider = ("wider", &["subnet-a", "subnet-b"][..], "sg-db");
        world.turn_to(&[two, wider]);
        assert_eq!(world.left("two"), Duration::ZERO);
        assert!(world.left("wider") > Duration::ZERO);

        // No service uses it any more, and then one does: only the first use takes its time.
        world.turn_to(&[]);
        world.turn_to(&[one]);
        assert_eq!(world.left("one"), Duration::ZERO);
        // An ENI that is removed before it is up has used its time all the same.
        let early = ("early", &["subnet-a"][..], "vpc-demo/default");
        world.turn_to(&[early]);
        let takes = world.left("early");
        world.turn_to(&[]);
        world.pass(takes.div_f64(2.0));
        world.turn_to(&[early]);
        assert!(world.left("early") < takes, "{takes:?}");
        assert_eq!(world.left("no such"), Duration::ZERO);
    }

    #[test]
    fn addresses_that_an_earlier_process_knew_take_no_time_again() {
        let lab = Lab::parse("lab.toml", LAB).unwrap();
        let mut world = World { lab: lab.clone(), startup: Startup::default(), now: Instant(5) };
        let one = ("one", &["subnet-a"][..], "sg-db");
        world.turn_to(&[one]);
        let takes = world.left("one");
        world.pass(takes.div_f64(2.0));
        let known = world.startup.all(world.now);
        let mut later = World { lab, startup: Startup::default(), now: Instant(7) };
        later.startup.remember(later.now, known.clone());
        later.turn_to(&[one]);
        assert_eq!(later.left("one"), world.left("one"));
        later.pass(takes);
        later.startup.remember(later.now, known);
        assert_eq!(later.left("one"), Duration::ZERO, "what is known already stays");
    }

    #[test]
    fn without_the_setting_there_is_no_wait() {
        let lab = Lab::parse("lab.toml", include_str!("../../examples/minimal.toml")).unwrap();
        let mut world = World { lab, startup: Startup::default(), now: Instant::ZERO };
        world.turn_to(&[("one", &["subnet-a"], "sg-db")]);
        assert_eq!(world.left("one"), Duration::ZERO);
    }
}
