//! Tests flows that a Fargate task's ENI does not track (spec 4.4): its groups allow everything
//! both ways, so these flows end with their rules. All others continue without them.

use super::adoption::successor;
use super::kinds::{OUT, QUERY};
use super::world::*;
use crate::packet::Tuple;
use crate::pipeline::{Forecast, Link, Reason, Verdict};
use crate::vpc::{Direction, RuleRef};
use std::net::Ipv4Addr;

const DNS: (Ipv4Addr, u16) = (DB, 53);
pub(super) const OPEN_OUT: &str = r#"egress = [{ protocol = "all", to = "0.0.0.0/0" }]"#;
pub(super) const OPEN_IN: &str = r#"ingress = [{ protocol = "all", from = "0.0.0.0/0" }]"#;
const NARROW_OUT: &str = r#"egress = [{ protocol = "all", to = "10.0.0.0/8" }]"#;

/// Returns a lab whose services `job` (private) and `edge` (public) run on Fargate, in a group with
/// these rules. The database admits packets from the VPC.
pub(super) fn lab(egress: &str, ingress: &str) -> String {
    let fargate = |name: &str, subnet: &str, more: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nkind = \"fargate\"\nsubnets = [\"{subnet}\"]\n\
             security_groups = [\"sg-open\"]\n{more}\n"
        )
    };
    let group =
        format!("[[security_group]]\nid = \"sg-open\"\nvpc = \"vpc\"\n{egress}\n{ingress}\n");
    let rule = r#"{ protocol = "icmp", icmp_type = 8, from = "sg-app" },"#;
    let lambda = "[[service]]\nname = \"resize\"\nkind = \"lambda\"\nsubnets = [\"subnet-a\"]\n\
                  security_groups = [\"sg-open\"]\n";
    [
        with(LAB, rule, r#"{ protocol = "all", from = "10.0.0.0/16" },"#),
        group,
        fargate("job", "subnet-a", ""),
        fargate("edge", "subnet-public", "assign_public_ip = true"),
        lambda.to_owned(),
    ]
    .concat()
}

fn open() -> World {
    World::new(&lab(OPEN_OUT, OPEN_IN))
}

/// Returns the forecasts of all flows.
fn forecasts(world: &World, text: &str) -> Vec<Forecast> {
    let (_, next) = world.next(text);
    let mut flows = Vec::new();
    world.engine.flows().for_each(|entry| flows.push(entry.flow.clone()));
    flows.dedup_by(|one, other| std::sync::Arc::ptr_eq(one, other));
    flows.iter().map(|flow| world.engine.forecast(world.now, &next, flow)).collect()
}

fn more(task: Ipv4Addr, to: (Ipv4Addr, u16)) -> Vec<u8> {
    tcp(task, 40_000, to, ACK, 101, 501)
}

fn reply(out: Tuple) -> Vec<u8> {
    segment(out.reversed(), ACK, 501, 101)
}

#[test]
fn a_flow_ends_with_the_rule_that_lets_it_out() {
    for (egress, passes) in [(OPEN_OUT, true), (NARROW_OUT, true), ("egress = []", false)] {
        let mut world = open();
        let job = world.task("job", 1);
        let (out, link) = world.connects(job, 40_000, QUERY);
        let (datagram, _) = world.opens(&udp(job, 5353, DNS));
        let text = lab(egress, OPEN_IN);
        let ends = |forecast: &Forecast| match forecast {
            Forecast::Denied(denial) => denial.reason == Reason::SgUntrackedFlow,
            Forecast::Keeps => false,
            Forecast::Moved | Forecast::RepliesDenied(_) => panic!("{forecast:?}"),
        };
        assert!(forecasts(&world, &text).iter().all(|forecast| ends(forecast) != passes));
        world.reload(&text);
        if passes {
            world.passes(&more(job, QUERY));
            world.passes(&udp(job, 5353, DNS));
        } else {
            assert_eq!(world.refuses(&more(job, QUERY)), Reason::SgUntrackedFlow);
            assert_eq!(world.refuses(&udp(job, 5353, DNS)), Reason::SgUntrackedFlow);
            // A new packet has no flow.
            assert_eq!(world.refuses(&syn(job, 40_001, QUERY)), Reason::SgEgressNoRules);
            world.reload(&lab(OPEN_OUT, OPEN_IN));
            world.passes(&more(job, QUERY));
        }
        world.comes_back(link, &reply(out));
        world.comes_back(link, &answer(datagram));
    }
}

#[test]
fn its_replies_end_with_the_rule_that_lets_them_in() {
    let narrow = r#"ingress = [{ protocol = "all", from = "10.0.3.0/24" }]"#;
    let other = r#"ingress = [{ protocol = "tcp", ports = "1-39999", from = "0.0.0.0/0" }]"#;
    for (ingress, passes) in [(OPEN_IN, true), (narrow, true), (other, false), ("", false)] {
        let mut world = open();
        let job = world.task("job", 1);
        let (out, link) = world.connects(job, 40_000, QUERY);
        let text = lab(OPEN_OUT, ingress);
        let forecast = forecasts(&world, &text)[0];
        world.reload(&text);
        world.passes(&more(job, QUERY));
        if passes {
            assert_eq!(forecast, Forecast::Keeps, "{ingress}");
            world.comes_back(link, &reply(out));
            continue;
        }
        let Forecast::RepliesDenied(denial) = forecast else { panic!("{ingress} {forecast:?}") };
        assert_eq!(denial.reason, Reason::SgUntrackedFlow);
        let rule = denial.decided_by;
        assert!(matches!(rule, RuleRef::EniSecurityGroups(_, Direction::Ingress)), "{rule:?}");
        assert_eq!(world.stays_out(link, &reply(out)), Reason::SgUntrackedFlow);
        // A flow that begins now is tracked.
        world.connects(job, 40_001, QUERY);
    }
}

/// A flow that one of the two directions allows by a narrower rule, or for some ports only, is
/// tracked.
#[test]
fn a_flow_by_a_narrower_rule_goes_on_without_it() {
    let narrow_in = r#"ingress = [{ protocol = "all", from = "10.0.0.0/16" }]"#;
    let some_ports =
        r#"ingress = [{ protocol = "tcp", ports = "1024-65535", from = "0.0.0.0/0" }]"#;
    let other_protocol = r#"ingress = [{ protocol = "udp", ports = "all", from = "0.0.0.0/0" }]"#;
    let tracked = [
        (NARROW_OUT, OPEN_IN),
        (OPEN_OUT, narrow_in),
        (OPEN_OUT, some_ports),
        (OPEN_OUT, other_protocol),
        (OPEN_OUT, ""),
    ];
    for (egress, ingress) in tracked {
        let mut world = World::new(&lab(egress, ingress));
        let job = world.task("job", 1);
        let (out, link) = world.connects(job, 40_000, QUERY);
        assert_eq!(forecasts(&world, &lab("egress = []", "")), [Forecast::Keeps]);
        world.reload(&lab("egress = []", ""));
        world.passes(&more(job, QUERY));
        world.comes_back(link, &reply(out));
    }
}

#[test]
fn rules_for_a_protocol_and_its_ports_are_everything_too() {
    let out = r#"egress = [{ protocol = "tcp", ports = "5432", to = "0.0.0.0/0" }]"#;
    let all = r#"ingress = [{ protocol = "tcp", ports = "all", from = "0.0.0.0/0" }]"#;
    let mut world = World::new(&lab(out, all));
    let job = world.task("job", 1);
    world.connects(job, 40_000, QUERY);
    world.reload(&lab("egress = []", all));
    assert_eq!(world.refuses(&more(job, QUERY)), Reason::SgUntrackedFlow);
}

#[test]
fn some_are_tracked_whatever_the_rules() {
    let mut world = open();
    let [job, resize] = ["job", "resize"].map(|name| world.task(name, 1));
    // A NAT gateway is on the path; a Hyperplane ENI; a ping.
    let (far, internet) = world.connects(job, 40_000, OUT);
    let (near, link) = world.connects(resize, 40_000, QUERY);
    let (echo, _) = world.opens(&ping(job, DB, 7));
    world.reload(&lab("egress = []", ""));
    world.passes(&more(job, OUT));
    world.comes_back(internet, &reply(far));
    world.passes(&more(resize, QUERY));
    world.comes_back(link, &reply(near));
    world.passes(&ping(job, DB, 7));
    world.comes_back(link, &answer(echo));
}

#[test]
fn an_internet_gateway_tracks_nothing() {
    let mut world = open();
    let edge = world.task("edge", 1);
    let (out, link) = world.connects(edge, 40_000, OUT);
    assert_eq!(link, Link::Internet);
    world.reload(&lab("egress = []", ""));
    assert_eq!(world.refuses(&more(edge, OUT)), Reason::SgUntrackedFlow);
    assert_eq!(world.stays_out(link, &reply(out)), Reason::SgUntrackedFlow);
}

#[test]
fn a_tracked_flow_stays_tracked_when_its_rules_widen() {
    let mut world = World::new(&lab(NARROW_OUT, OPEN_IN));
    let job = world.task("job", 1);
    world.connects(job, 40_000, QUERY);
    world.reload(&lab(OPEN_OUT, OPEN_IN));
    world.passes(&more(job, QUERY));
    world.reload(&lab("egress = []", ""));
    world.passes(&more(job, QUERY));
}

/// A flow that another process resumes keeps its state: untracked or tracked as before, whatever
/// its rules are then.
#[test]
fn a_resumed_flow_is_tracked_as_it_was() {
    let shut = lab("egress = []", "");
    for (egress, passes) in [(OPEN_OUT, false), (NARROW_OUT, true)] {
        let mut before = World::new(&lab(egress, OPEN_IN));
        let job = before.task("job", 1);
        before.connects(job, 40_000, QUERY);
        for (text, now) in [(lab(OPEN_OUT, OPEN_IN), Some(&shut)), (shut.clone(), None)] {
            let mut world = successor(&before, &text, before.now, 1);
            if let Some(now) = now {
                world.passes(&more(job, QUERY));
                world.reload(now);
            }
            match passes {
                true => drop(world.passes(&more(job, QUERY))),
                false => assert_eq!(world.refuses(&more(job, QUERY)), Reason::SgUntrackedFlow),
            }
        }
    }
}

#[test]
fn a_task_gets_the_rules_by_which_its_flow_ended() {
    let mut world = open();
    let job = world.task("job", 1);
    world.connects(job, 40_000, QUERY);
    world.reload(&lab("egress = []", OPEN_IN));
    let seen = world.step(world.device_of(job), &more(job, QUERY), 0);
    let Verdict::Drop { decided_by, .. } = seen.verdict else { panic!("{seen:?}") };
    assert!(
        matches!(decided_by, RuleRef::EniSecurityGroups(_, Direction::Egress)),
        "{decided_by:?}"
    );
}
