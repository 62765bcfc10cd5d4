//! Tests the packets that are sent for expectations, and the reports of their results.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::{Subject, TestReport, Tested, github, junit, test};
use super::*;
use crate::config::Lab;
use crate::config::expectations::Expectations;
use crate::explain::testing::lab_toml;
use crate::packet::Protocol;
use crate::pipeline::reach::Addresses;
use crate::vpc::{Generation, ServiceIx, Snapshot, Task};
use std::net::Ipv4Addr;

const THREE_AZ: &str = include_str!("../../../../examples/three-az.toml");
const REPLY_PORTS: &str = include_str!("../../cases/reply-ports-eni.toml");

/// A running lab with the tasks of its file.
struct Running {
    lab: Lab,
    snapshot: Snapshot,
}

impl Running {
    fn new(text: &str) -> Self {
        let lab = Lab::parse("lab.toml", text).unwrap();
        let lowered = lab.lower(Generation(1));
        let tasks = lab.spec.services.iter().enumerate().flat_map(|(at, service)| {
            (1..=service.tasks).map(move |number| (ServiceIx::from(at), number))
        });
        let tasks: Vec<Task> = tasks
            .zip(lab.task_cidr.iter().skip(1))
            .map(|((service, number), address)| Task {
                service,
                number,
                address,
                eni: lowered.choose_eni(service, number),
            })
            .collect();
        let snapshot = lowered.with_tasks(tasks);
        Self { lab, snapshot }
    }

    fn subject(&self) -> Subject<'_> {
        let (snapshot, pool) = (&self.snapshot, self.lab.task_cidr);
        Subject { snapshot, addresses: Addresses::Real, pool }
    }

    fn plan(&self, expectations: &Expectations) -> Plan {
        plan(&self.subject(), expectations, &mut |_| true).unwrap()
    }

    /// Tests expectations, with given results for the packets that are planned for them.
    fn tested<'e>(
        &self,
        expectations: &'e Expectations,
        sight: impl Fn(&Probe) -> Sight,
    ) -> Vec<Tested<'e>> {
        let mut tested = test(&self.subject(), expectations, &mut |_| true).unwrap();
        let plan = self.plan(expectations);
        let sights: Vec<Sight> = plan.probes().map(sight).collect();
        for (tested, live) in tested.iter_mut().zip(plan.judge(&sights)) {
            tested.live = Some(live);
        }
        tested
    }

    fn live(&self, text: &str, sight: impl Fn(&Probe) -> Sight) -> Live {
        let expectations = expectations(text);
        self.tested(&expectations, sight).remove(0).live.unwrap()
    }
}

fn expectations(text: &str) -> Expectations {
    Expectations::parse("expectations.toml", text).unwrap()
}

fn of(from: &str, to: &str, is: &str) -> String {
    format!("[[expect]]\nfrom = \"{from}\"\nto = \"{to}\"\nis = \"{is}\"\n")
}

fn sight(wire: Wire) -> Sight {
    Sight { wire, leaving: None }
}

fn dropped(reason: &str) -> Sight {
    sight(Wire::Dropped { reason: reason.to_owned(), rule: None })
}

/// Returns a result for each packet of a plan: that of its verdict, or the opposite.
fn sights(plan: &Plan, as_said: bool) -> Vec<Sight> {
    let all: Vec<_> = plan.expectations.iter().flat_map(|sending| &sending.sent).collect();
    let one = |position: usize| {
        let sent = all.iter().find(|sent| sent.probe == position).unwrap();
        let class = &sent.explained.classes()[sent.classes[0]];
        match (class.denial, as_said) {
            (None, true) | (Some(_), false) => sight(Wire::Answered),
            (None, false) => sight(Wire::Silent),
            (Some(denial), true) => dropped(denial.reason.name()),
        }
    };
    (0..plan.probes().count()).map(one).collect()
}

#[test]
fn packets_that_meet_their_verdicts_agree_and_all_others_contradict() {
    let running = Running::new(THREE_AZ);
    let plan = running.plan(&Expectations::of_lab(&running.lab));
    assert!(plan.probes().count() > 150);
    for as_said in [true, false] {
        let all = plan.judge(&sights(&plan, as_said));
        assert_eq!(all.len(), 60);
        assert!(all.iter().all(|live| live.agrees() == (as_said || live.sent() == 0)));
        let agreed: usize = all.iter().map(|live| live.agreed).sum();
        assert_eq!(agreed > 0, as_said);
    }
}

#[test]
fn packets_go_to_listeners_from_every_task() {
    let running = Running::new(THREE_AZ);
    let expectations = expectations(&of("web", "internet:443", "reachable"));
    let plan = running.plan(&expectations);
    let mut sent: Vec<_> = plan.probes().map(|p| (p.task, p.destination, p.port)).collect();
    sent.sort_unstable();
    let hosts = [[203, 0, 113, 10], [203, 0, 113, 20]].map(Ipv4Addr::from);
    let all = (1..=3).flat_map(|task| hosts.map(|host| (task, host, 443)));
    assert_eq!(sent, all.collect::<Vec<_>>());
}

#[test]
fn packets_go_to_listeners_at_public_addresses() {
    let edge = "[[security_group]]\nid = \"sg-edge\"\nvpc = \"vpc-demo\"\n\
                ingress = [{ protocol = \"tcp\", ports = \"443\", from = \"0.0.0.0/0\" }]\n\
                [[resource]]\nname = \"edge\"\nsubnet = \"subnet-public-a\"\naddress = \"10.0.0.20\"\n\
                public_ip = \"192.0.2.10\"\nsecurity_groups = [\"sg-edge\"]\nlisten = [\"443/tcp\"]\n";
    let running = Running::new(&format!("{THREE_AZ}{edge}"));
    let plan = running.plan(&expectations(&of("web", "192.0.2.10:443", "reachable")));
    let mut sent: Vec<_> = plan.probes().map(|p| (p.task, p.destination, p.port)).collect();
    sent.sort_unstable();
    let expected = [1, 2, 3].map(|task| (task, Ipv4Addr::new(192, 0, 2, 10), 443));
    assert_eq!(sent, expected);
}

/// Behind a gateway endpoint, no host listens at the public address of a resource.
#[test]
fn regression_what_a_gateway_endpoint_takes_is_not_for_a_public_endpoint() {
    let lab = "[[vpc]]\nid = \"vpc\"\ncidr = \"10.0.0.0/16\"\ninternet_gateway = \"igw\"\n\
               [[subnet]]\nid = \"subnet\"\nvpc = \"vpc\"\navailability_zone = \"us-east-1a\"\n\
               cidr = \"10.0.1.0/24\"\nroute_table = \"rtb\"\n\
               [[route_table]]\nid = \"rtb\"\nvpc = \"vpc\"\n\
               [[prefix_list]]\nid = \"pl-s3\"\nentries = [\"192.0.2.0/24\"]\n\
               [[vpc_endpoint]]\nid = \"vpce\"\nvpc = \"vpc\"\nkind = \"gateway\"\n\
               service = \"com.amazonaws.us-east-1.s3\"\nprefix_list = \"pl-s3\"\n\
               route_tables = [\"rtb\"]\n\
               [[resource]]\nname = \"edge\"\nsubnet = \"subnet\"\naddress = \"10.0.1.20\"\n\
               public_ip = \"192.0.2.10\"\nlisten = [\"443/tcp\"]\n\
               [[vpc_connector]]\nname = \"conn\"\nsubnets = [\"subnet\"]\n\
               [[service]]\nname = \"web\"\nvpc_connector = \"conn\"\n";
    let running = Running::new(lab);
    let plan = running.plan(&expectations(&of("web", "192.0.2.10:443", "reachable")));
    assert_eq!(plan.probes().count(), 0);
}

#[test]
fn a_packet_that_must_be_dropped_needs_no_listener() {
    let running = Running::new(THREE_AZ);
    let ssh = expectations(&of("api", "orders-db:22", "blocked"));
    let plan = running.plan(&ssh);
    let [probe] = plan.probes().collect::<Vec<_>>()[..] else { panic!("one packet") };
    assert_eq!((probe.destination, probe.port), (Ipv4Addr::new(10, 0, 48, 10), 22));
    assert!(!plan.may_pass(0));
    let live =
        |wire: Wire| running.live(&of("api", "orders-db:22", "blocked"), |_| sight(wire.clone()));
    assert!(!live(Wire::Refused("connection refused".to_owned())).agrees());
    assert_eq!(live(Wire::Silent).agreed, 1, "a host refuses what arrives");
}

/// If the lab has no host, no answer comes in either case.
#[test]
fn silence_of_an_address_without_a_host_says_nothing() {
    let running = Running::new(THREE_AZ);
    let live =
        |made: Sight| running.live(&of("isolated", "192.0.2.1:443", "blocked"), |_| made.clone());
    assert_eq!((live(sight(Wire::Silent)).sent(), live(dropped("no-route")).agreed), (0, 1));
    let other = live(dropped("no-such-internet-host"));
    let line = other.contradictions[0].line();
    assert!(
        line.contains("wire: dropped, no-such-internet-host; verdict: DROP no-route by"),
        "{line}"
    );
}

/// A refusal shows that a packet arrived; silence may be that of the host.
#[test]
fn where_nothing_listens_a_refusal_is_the_answer() {
    let silent = REPLY_PORTS.replace("listen = [\"5432/tcp\"]\n", "");
    let running = Running::new(&silent);
    let leaving = Leaving { address: Ipv4Addr::new(10, 0, 1, 4), port: 40_000, nat_gateway: None };
    let refused = Wire::Refused("connection refused".to_owned());
    for (wire, agreed) in [(refused, 8), (Wire::Silent, 0)] {
        let sight = Sight { wire, leaving: Some(leaving.clone()) };
        let live = running.live(&of("web", "db:5432", "reachable"), |_| sight.clone());
        assert_eq!((live.agreed, live.agrees()), (agreed, true));
    }
}

/// The packets leave, and no host is there whose reply could be dropped.
#[test]
fn a_dropped_reply_needs_a_host_that_sends_one() {
    let acl = "network_acl = \"acl-archive\"\n";
    let closed =
        THREE_AZ.replace("cidr = \"10.0.0.0/24\"\n", &format!("cidr = \"10.0.0.0/24\"\n{acl}"));
    let closed = closed.replace(
        "ports = \"5432\", cidr = \"10.0.0.0/16\" }]",
        "ports = \"443\", cidr = \"10.0.0.0/16\" }]",
    );
    let running = Running::new(&closed);
    let live = |to: &str| {
        running.live(&of("api", to, "blocked"), |_| dropped("nacl-return-implicit-deny"))
    };
    assert_eq!(live("example:443").words(), "wire: 1 of 1 agree");
    let untried = "wire: nothing sent; not tried: nothing listens (1)";
    assert_eq!(live("192.0.2.1:443").words(), untried);
}

#[test]
fn a_drop_that_is_about_the_moment_is_no_verdict() {
    let running = Running::new(THREE_AZ);
    let live =
        running.live(&of("api", "orders-db", "reachable"), |_| dropped("eni-ports-exhausted"));
    assert!(live.agrees());
    assert_eq!(live.words(), "wire: nothing sent; not tried: eni-ports-exhausted now (1)");
}

#[test]
fn a_port_that_is_drawn_tells_the_class() {
    let running = Running::new(REPLY_PORTS);
    let live = |wire: &Wire, port: u16| {
        let leaving = Leaving { address: Ipv4Addr::new(10, 0, 1, 4), port, nat_gateway: None };
        let sight = Sight { wire: wire.clone(), leaving: (port > 0).then_some(leaving) };
        running.live(&of("web", "db:5432", "reachable"), |_| sight.clone())
    };
    let denied = Wire::Dropped { reason: "nacl-return-implicit-deny".to_owned(), rule: None };
    for (wire, port, agreed, contradictions) in [
        (&Wire::Answered, 40_000, 8, 0),
        (&Wire::Answered, 2_000, 0, 8),
        (&denied, 2_000, 8, 0),
        (&denied, 40_000, 0, 8),
        (&denied, 0, 8, 0),
        (&Wire::Answered, 0, 0, 0),
    ] {
        let live = live(wire, port);
        let found = (live.agreed, live.contradictions.len(), live.not_tried.len());
        assert_eq!(found, (agreed, contradictions, 8 - agreed - contradictions), "{wire} {port}");
    }
}

/// The network ACL of a public endpoint sees the ports of App Runner's own NAT.
#[test]
fn regression_a_public_endpoint_is_sent_to_and_its_class_found_by_the_port_of_app_runner() {
    let lab = include_str!("../../cases/public-endpoint.toml");
    let all =
        "egress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]";
    let some = all.replace("\"all\"", "\"tcp\", ports = \"32768-65535\"");
    let running = Running::new(&lab.replace(all, &some));
    let denied = Wire::Dropped { reason: "nacl-return-implicit-deny".to_owned(), rule: None };
    for (wire, port, agrees) in [
        (&Wire::Answered, 40_000, true),
        (&Wire::Answered, 2_000, false),
        (&denied, 2_000, true),
        (&denied, 40_000, false),
    ] {
        let address = Ipv4Addr::new(198, 51, 100, 99);
        let leaving = Some(Leaving { address, port, nat_gateway: None });
        let sight = Sight { wire: wire.clone(), leaving };
        let live = running.live(&of("open", "203.0.113.50:443", "reachable"), |_| sight.clone());
        let found = (live.agreed, live.contradictions.len(), live.not_tried.len());
        assert_eq!(found, if agrees { (8, 0, 0) } else { (0, 8, 0) }, "{wire} {port}");
    }
}

#[test]
fn the_source_port_of_a_task_that_keeps_it_is_chosen() {
    let (before, after) = REPLY_PORTS.split_once("[[vpc_connector]]").unwrap();
    let (_, groups) = after.split_once("subnets").unwrap();
    let groups = groups.split("[[service]]").next().unwrap();
    let text = format!("{before}[[service]]\nname = \"jobs\"\nkind = \"fargate\"\nsubnets{groups}");
    let running = Running::new(&text);
    let plan = running.plan(&expectations(&of("jobs", "db:5432", "reachable")));
    let ports: Vec<Option<u16>> = plan.probes().map(|probe| probe.source_port).collect();
    let passes = |port: &Option<u16>| (32_768..61_000).contains(&port.unwrap());
    assert_eq!(ports.iter().map(passes).collect::<Vec<_>>(), [false, true]);
    assert!(!plan.draws_decide());
}

#[test]
fn packets_that_cannot_be_sent_are_named() {
    let without_tasks = THREE_AZ.replace(
        "vpc_connector = \"connector-api\"\n",
        "vpc_connector = \"connector-api\"\ntasks = 0\n",
    );
    let running = Running::new(&without_tasks);
    for (from, to, why) in [
        ("web", "tools:5201", "nothing listens (1)"),
        ("web", "orders-db/47", "only tcp, udp and ping are sent (1)"),
        ("api", "orders-db", "no task runs there (1)"),
        ("public", "0.0.0.0/8:443", "not a host's address (1)"),
    ] {
        let live = running.live(&of(from, to, "blocked"), |_| dropped("sg-egress-implicit-deny"));
        let said = live.not_tried().unwrap_or_default();
        assert_eq!(said, format!("not tried: {why}"), "{from} {to}");
    }
}

/// Writes the results of a packet that passes and is not answered, one that is dropped, and one
/// that is answered.
fn written(write: impl FnOnce(&[Tested<'_>], &mut Vec<u8>)) -> String {
    let running = Running::new(THREE_AZ);
    let text = of("api", "orders-db", "reachable")
        + &of("api", "cache", "blocked")
        + &of("api", "cache", "reachable")
        + &of("api", "tools:5201", "reachable");
    let expectations = expectations(&text);
    let tested = running.tested(&expectations, |probe| match probe.port {
        5432 => sight(Wire::Silent),
        _ => dropped("sg-ingress-implicit-deny"),
    });
    let mut text = Vec::new();
    write(&tested, &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn people_read_what_was_sent_and_what_contradicts() {
    let text = written(|tested, w| {
        tested.iter().for_each(|tested| tested.text(w, &lab_toml, false).unwrap());
        let live: Vec<&Live> = tested.iter().filter_map(|tested| tested.live.as_ref()).collect();
        w.extend(live_summary(2, &live).join("\n").bytes());
    });
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn ci_reads_what_was_sent_and_what_contradicts() {
    let text = written(|tested, w| {
        junit(w, &[(tested, &lab_toml)]).unwrap();
        github(w, tested, &lab_toml).unwrap();
    });
    insta::assert_snapshot!(text);
}

#[test]
fn programs_read_what_was_sent_and_what_contradicts() {
    let text = written(|tested, w| {
        let mut report = TestReport::default();
        report.add(tested, None);
        serde_json::to_writer(w, &report).unwrap();
    });
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let live = |at: usize| &report["expectations"][at]["live"];
    let expected = serde_json::json!({
        "agreed": 0,
        "contradictions": [{
            "task": "api/1",
            "to": "orders-db",
            "protocol": Protocol::Tcp.to_string(),
            "destination": "10.0.48.10",
            "port": 5432,
            "wire": "no answer",
            "verdict": "FORWARD",
        }],
        "not_tried": [],
    });
    assert_eq!(live(0), &expected);
    assert_eq!((&report["ok"], &live(1)["agreed"]), (&false.into(), &1.into()));
    assert_eq!(live(3)["not_tried"][0]["why"], "nothing listens");
}
