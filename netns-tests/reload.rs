//! A reload affects the connections that it concerns, and no others.

use crate::support::comes;
use crate::support::lab::{Agent, Lab, both_streams, can_run};
use egret::explain::Reload;
use nix::sys::signal::Signal;
use serde_json::json;
use std::net::Ipv4Addr;
use std::process::Output;

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
[[subnet]]
id = "subnet-b"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-private"
[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]
[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [
    { destination = "0.0.0.0/0", target = "nat-a" },
    { destination = "203.0.113.20/32", target = "nat-b" },
]
[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
[[nat_gateway]]
id = "nat-b"
subnet = "subnet-public"
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [
    { protocol = "tcp", ports = "5432", to = "0.0.0.0/0" },
    { protocol = "tcp", ports = "443", to = "0.0.0.0/0" },
]
[[security_group]]
id = "sg-db"
vpc = "vpc-a"
ingress = [{ protocol = "tcp", ports = "5432", from = "sg-app" }]
[[network_acl]]
id = "acl-deny"
vpc = "vpc-a"
egress = [
    { rule = 90, action = "deny", protocol = "tcp", ports = "443", cidr = "203.0.113.10/32" },
    { rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
]
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]
[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/tcp"]
[[internet_host]]
name = "other"
address = "203.0.113.20"
listen = ["443/tcp"]
[[vpc_connector]]
name = "main"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "main"
"#;

/// Writes the lab's file with passages replaced, each of which must occur once.
fn write(lab: &Lab, changes: &[(&str, &str)]) {
    lab.write(LAB, changes);
}

fn apply(lab: &Lab, more: &str) -> Output {
    lab.egret(&format!("apply {} {more}", lab.file().display()))
}

/// Applies changes that must be accepted; a dry run first says what it would do, and then the
/// reload does exactly that.
fn reload(lab: &Lab, changes: &[(&str, &str)]) -> Reload {
    write(lab, changes);
    let parsed = |output: Output| -> Reload {
        assert!(output.status.success(), "{}", both_streams(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let forecast = parsed(apply(lab, "--dry-run --json"));
    let done = parsed(apply(lab, "--json"));
    assert_eq!(forecast.generation + 1, done.generation, "a dry run changes nothing");
    assert_eq!(forecast.changes, done.changes);
    // The number of flows that continue is not compared: flows that are not affected may begin and
    // end in between.
    assert_eq!(forecast.flows.affected, done.flows.affected);
    done
}

fn changes_of_flows(reload: &Reload) -> Vec<(String, String)> {
    reload.flows.affected.iter().map(|f| (f.destination.clone(), f.reason.clone())).collect()
}

/// Returns whether an open connection still carries data.
fn carries(agent: &mut Agent, name: &str) -> bool {
    agent.ask(&json!(["say", name, 10.0])) == "ok"
}

/// Returns whether an open connection brings no answer.
fn is_cut(agent: &mut Agent, name: &str) -> bool {
    agent.ask(&json!(["say", name, 0.6])) != "ok"
}

fn up() -> Option<Lab> {
    can_run().then(|| Lab::up("auto", LAB))
}

#[test]
fn a_group_change_refuses_what_is_new_and_cuts_nothing() {
    let Some(lab) = up() else { return };
    let mut web = lab.task("web");
    web.open("db", DB, 5432);
    let done = reload(
        &lab,
        &[("    { protocol = \"tcp\", ports = \"5432\", to = \"0.0.0.0/0\" },\n", "")],
    );
    assert_eq!((done.flows.live, done.flows.keep), (1, 1));
    assert!(carries(&mut web, "db"));
    lab.drops_for("sg-egress-implicit-deny", "sg-app", || web.tcp_times_out(DB, 5432));
    let flows = lab.flows();
    assert_eq!(flows.len(), 1);
    assert!(flows[0].admitted_by.contains("tcp 5432"), "by the rule that is removed: {flows:?}");
    assert_eq!(flows[0].rule_generation, Some(1));
}

#[test]
fn an_acl_and_a_route_act_at_once_and_name_the_rule() {
    let Some(lab) = up() else { return };
    let mut web = lab.task("web");
    web.open("out", HOST, 443);
    web.open("db", DB, 5432);
    let acl = ("cidr = \"10.0.1.0/24\"\n", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl-deny\"\n");
    let done = reload(&lab, &[acl]);
    assert_eq!(changes_of_flows(&done), [(format!("{HOST}:443"), "nacl-egress-deny".to_owned())]);
    let drop = lab.drops_for("nacl-egress-deny", "acl-deny", || assert!(is_cut(&mut web, "out")));
    assert!(lab.line(drop.line).contains("rule = 90"), "{drop:?}");
    assert!(carries(&mut web, "db"), "inside the subnet no ACL is asked");
    // Without the rule the connection continues where it was: TCP retransmits what was lost.
    reload(&lab, &[]);
    assert!(carries(&mut web, "out"));
    // The earlier unanswered words are echoed now: the next question needs a connection without
    // them.
    web.ok(&json!(["close", "out"]));
    web.open("again", HOST, 443);
    let done = reload(&lab, &[("    { destination = \"0.0.0.0/0\", target = \"nat-a\" },\n", "")]);
    let no_route = (format!("{HOST}:443"), "no-route".to_owned());
    assert!(changes_of_flows(&done).contains(&no_route), "{done:?}");
    lab.drops_for("no-route", "rtb-private", || assert!(is_cut(&mut web, "again")));
}

#[test]
fn a_gateway_that_goes_takes_its_flows_along_and_no_others() {
    let Some(lab) = up() else { return };
    let mut web = lab.task("web");
    web.open("a", HOST, 443);
    web.open("b", OTHER_HOST, 443);
    let removed = [
        ("[[nat_gateway]]\nid = \"nat-b\"\nsubnet = \"subnet-public\"\n", ""),
        ("    { destination = \"203.0.113.20/32\", target = \"nat-b\" },\n", ""),
    ];
    let done = reload(&lab, &removed);
    let [(destination, reason)] = &changes_of_flows(&done)[..] else { panic!("{done:?}") };
    assert_eq!(destination, &format!("{OTHER_HOST}:443"));
    assert!(reason.contains("NAT gateway nat-b is removed"), "{reason}");
    assert_eq!(lab.flows().len(), 1, "it ends at once");
    assert!(carries(&mut web, "a"));
    assert!(is_cut(&mut web, "b"));
    web.tcp(OTHER_HOST, 443);
    // A gateway that stays with another address is not reported as removed.
    let given = "id = \"nat-a\"\nsubnet = \"subnet-public\"\n";
    let other = format!("{given}public_ip = \"198.51.100.77\"\n");
    let done = reload(&lab, &[&removed[..], &[(given, &other)]].concat());
    let cut = done.flows.affected.iter().find(|f| f.destination == format!("{HOST}:443")).unwrap();
    assert!(cut.reason.contains("NAT gateway nat-a no longer has "), "{}", cut.reason);
}

#[test]
fn objects_that_come_and_go_beside_a_transfer_do_not_disturb_it() {
    let Some(lab) = up() else { return };
    let _server = crate::support::iperf_server(&lab.netns("vpc-a"), DB);
    reload(
        &lab,
        &[
            ("ports = \"5432\", from = \"sg-app\"", "ports = \"all\", from = \"sg-app\""),
            ("ports = \"5432\", to = \"0.0.0.0/0\"", "ports = \"all\", to = \"0.0.0.0/0\""),
        ],
    );
    let open = [
        ("ports = \"5432\", from = \"sg-app\"", "ports = \"all\", from = \"sg-app\""),
        ("ports = \"5432\", to = \"0.0.0.0/0\"", "ports = \"all\", to = \"0.0.0.0/0\""),
    ];
    // The new objects precede all existing ones, with the same addresses, and in a subnet of the
    // present VPC.
    let more = "[[vpc]]\nid = \"vpc-early\"\ncidr = \"10.0.0.0/16\"\n\
                [[subnet]]\nid = \"subnet-early\"\nvpc = \"vpc-early\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.0.1.0/24\"\n\
                [[vpc_connector]]\nname = \"early\"\nsubnets = [\"subnet-early\"]\n\
                [[vpc_connector]]\nname = \"second\"\nsubnets = [\"subnet-b\"]\nsecurity_groups = [\"sg-app\"]\n\
                [[service]]\nname = \"early\"\negress = \"vpc\"\nvpc_connector = \"early\"\ntasks = 2\n\
                [[service]]\nname = \"second\"\negress = \"vpc\"\nvpc_connector = \"second\"\n\
                [[vpc]]\nid = \"vpc-a\"";
    let grown: Vec<_> = open.iter().copied().chain([("[[vpc]]\nid = \"vpc-a\"", more)]).collect();
    let line = format!("iperf3 --json --client {DB} --time 3");
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| lab.exec_ok("web", &line));
        // The transfer has its control connection and the one that carries it; each look is a call
        // that waits for its answer.
        assert!(comes(|| lab.flows().len() == 2), "{:?}", lab.flows());
        for _ in 0..3 {
            let done = reload(&lab, &grown);
            assert_eq!(done.flows.live, done.flows.keep, "{done:?}");
            assert!(!lab.pings("early/2", "-W 1 10.0.1.77"), "nothing is there");
            let done = reload(&lab, &open);
            assert!(done.flows.affected.iter().all(|f| f.task.starts_with("early")), "{done:?}");
        }
        let report: serde_json::Value = serde_json::from_str(&transfer.join().unwrap()).unwrap();
        assert!(report["end"]["sum_received"]["bytes"].as_u64().unwrap() > 0, "{report}");
    });
    let own: Vec<_> =
        lab.drops().into_iter().filter(|row| row.service.as_deref() == Some("web")).collect();
    assert!(own.is_empty(), "{own:?}");
    assert_eq!(lab.ps().len(), 1);
}

#[test]
fn a_task_whose_connector_moves_keeps_its_namespace_and_processes() {
    let Some(lab) = up() else { return };
    let mut web = lab.task("web");
    web.open("db", DB, 5432);
    let before = lab.ps();
    lab.egret_ok("task add web");
    let done = reload(&lab, &[("subnets = [\"subnet-a\"]", "subnets = [\"subnet-b\"]")]);
    assert_eq!(changes_of_flows(&done).len(), 1, "{done:?}");
    let after = lab.ps();
    assert_eq!(after.len(), 2, "what was made by hand stays");
    assert_eq!((&after[0].namespace, after[0].address), (&before[0].namespace, before[0].address));
    assert_eq!(after[0].subnet.as_deref(), Some("subnet-b"));
    assert!(is_cut(&mut web, "db"), "its port was the old ENI's");
    web.tcp(DB, 5432);
    web.tcp(HOST, 443);
    // The file's own tasks are added and removed by its count; the second is only removed by hand.
    reload(&lab, &[("vpc_connector = \"main\"", "vpc_connector = \"main\"\ntasks = 3")]);
    assert_eq!(lab.ps().len(), 3);
    reload(&lab, &[]);
    assert_eq!(lab.ps().len(), 1, "the file had counted it among its own");
}

#[test]
fn a_file_that_is_wrong_changes_nothing() {
    let Some(lab) = up() else { return };
    let mut web = lab.task("web");
    web.open("db", DB, 5432);
    for (old, new, reported) in [
        ("target = \"nat-a\"", "target = \"nat-x\"", "nat-x"),
        (
            "[[vpc]]\nid = \"vpc-a\"",
            "task_cidr = \"100.65.0.0/16\"\n[[vpc]]\nid = \"vpc-a\"",
            "task_cidr",
        ),
    ] {
        write(&lab, &[(old, new)]);
        let refused = apply(&lab, "");
        assert_eq!(refused.status.code(), Some(2), "{}", both_streams(&refused));
        assert!(both_streams(&refused).contains(reported), "{}", both_streams(&refused));
        lab.signal(Signal::SIGHUP);
    }
    assert!(lab.ps().iter().all(|row| row.generation == 1));
    assert!(carries(&mut web, "db"));
}

/// An object that is in the way makes a step fail half-way: the lab is rolled back.
#[test]
fn a_step_that_fails_is_taken_back() {
    let Some(lab) = up() else { return };
    let mut web = lab.task("web");
    web.open("db", DB, 5432);
    let foreign = egret::linux::Netns::create(&format!("{}-late-1", lab.name())).unwrap();
    let before = lab.rows::<serde_json::Value>("enis").len();
    let more = "[[service]]\nname = \"late\"\negress = \"vpc\"\nvpc_connector = \"second\"\n\
                [[vpc_connector]]\nname = \"second\"\nsubnets = [\"subnet-b\"]\nsecurity_groups = [\"sg-app\"]\n\
                [[service]]\nname = \"web\"";
    write(&lab, &[("[[service]]\nname = \"web\"", more)]);
    let failed = apply(&lab, "");
    assert_eq!(failed.status.code(), Some(1), "{}", both_streams(&failed));
    assert!(both_streams(&failed).contains("exists already"), "{}", both_streams(&failed));
    assert_eq!(lab.rows::<serde_json::Value>("enis").len(), before);
    assert!(carries(&mut web, "db"));
    web.tcp(HOST, 443);
    egret::linux::netns::remove(foreign.name()).unwrap();
    let done = apply(&lab, "--json");
    assert!(done.status.success(), "{}", both_streams(&done));
    lab.task("late").tcp(HOST, 443);
}

#[test]
fn a_hangup_reads_the_file_again() {
    let Some(lab) = up() else { return };
    write(&lab, &[("vpc_connector = \"main\"", "vpc_connector = \"main\"\ntasks = 2")]);
    lab.signal(Signal::SIGHUP);
    // The signal has no answer; each look is a call that waits for a running reload.
    let came = comes(|| lab.ps().len() == 2);
    assert!(came, "{:?}", lab.ps());
    lab.task("web/2").tcp(DB, 5432);
}

/// A generation counts configurations; a text in which only comments and line numbers differ is not
/// a new one.
#[test]
fn generation_is_new_only_where_something_changes() {
    let Some(lab) = up() else { return };
    let applied = |more: &str| -> (String, u64) {
        let text = lab.egret_ok(&format!("apply {}{more}", lab.file().display()));
        let said = text.lines().last().unwrap().to_owned();
        (said, u64::from(lab.ps()[0].generation))
    };
    let nothing = |(said, generation): (String, u64), expected: u64| {
        assert!(said.contains("changes nothing"), "{said}");
        assert!(said.contains(&format!("generation {expected} stays")), "{said}");
        assert_eq!(generation, expected);
    };
    let mut web = lab.task("web");
    web.open("db", DB, 5432);
    for _ in 0..3 {
        nothing(applied(""), 1);
    }
    for comment in ["# one\n", "# one\n# two\n"] {
        write(
            &lab,
            &[(
                "[[security_group]]\nid = \"sg-app\"",
                &format!("{comment}[[security_group]]\nid = \"sg-app\""),
            )],
        );
        nothing(applied(" --dry-run"), 1);
        nothing(applied(""), 1);
    }
    // Line numbers are nevertheless those of the new text.
    let row = lab.drops_for("sg-egress-implicit-deny", "sg-app", || web.tcp_times_out(DB, 22));
    assert_eq!(lab.line(row.line), "[[security_group]]");
    assert!(carries(&mut web, "db"));
    // The order of rules determines their numbers.
    let rules = ["5432", "443"].map(|port| {
        format!("    {{ protocol = \"tcp\", ports = \"{port}\", to = \"0.0.0.0/0\" }},\n")
    });
    let turned = format!("{}{}", rules[1], rules[0]);
    write(&lab, &[(&rules.concat(), &turned)]);
    for _ in 0..2 {
        let (said, generation) = applied("");
        assert!(said.contains("generation 2"), "{said}");
        assert_eq!(generation, 2);
    }
}

/// An empty file is one that was cut short, and not a request to remove everything that runs.
#[test]
fn an_empty_file_loses_nothing_that_runs() {
    let Some(lab) = up() else { return };
    let mut web = lab.task("web");
    web.open("db", DB, 5432);
    let head = format!("lab = \"{}\"\ndevice = \"{}\"\n", lab.name(), lab.device());
    for text in ["", head.as_str()] {
        std::fs::write(lab.file(), text).unwrap();
        let refused = apply(&lab, "");
        assert_eq!(refused.status.code(), Some(2), "{}", both_streams(&refused));
        assert!(both_streams(&refused).contains("empty-lab"), "{}", both_streams(&refused));
        lab.signal(Signal::SIGHUP);
        // The signal has no answer, and another test reads the complaint on a terminal: what
        // follows comes after it.
        write(&lab, &[("vpc_connector = \"main\"", "vpc_connector = \"main\"\ntasks = 2")]);
        lab.signal(Signal::SIGHUP);
        assert!(comes(|| lab.ps().len() == 2), "{:?}", lab.ps());
        assert!(carries(&mut web, "db"));
        write(&lab, &[]);
        assert!(apply(&lab, "").status.success());
    }
    assert!(carries(&mut web, "db"));
}
