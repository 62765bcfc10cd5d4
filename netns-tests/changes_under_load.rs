//! A change applies to every packet that is sent after `apply` has returned, however many flows are
//! offloaded.
//!
//! Datagrams have numbers. One that is sent after the change has a higher number than any that was
//! sent before, so no clock and no pause decides which may still arrive.

use crate::support::comes;
use crate::support::lab::{Agent, Lab, can_run};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::Ipv4Addr;

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
const PEER: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 10);
const PORT: u16 = 9000;

/// The packets that must be dropped after a change before the test judges it: more than all queues
/// on the path hold.
const JUDGED: u64 = 3_000;

const LAB: &str = r#"
offload = "on"
task_cidr = "100.64.0.0/30"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
[[vpc]]
id = "vpc-b"
cidr = "172.31.0.0/16"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
[[subnet]]
id = "public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"
network_acl = "acl-app"
[[subnet]]
id = "app-b"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
route_table = "rtb-app"
[[subnet]]
id = "db"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24"
network_acl = "acl-db"
[[subnet]]
id = "peer"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "172.31.0.0/24"
route_table = "rtb-peer"
[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]
[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [
    { destination = "0.0.0.0/0", target = "nat-a" },
    { destination = "172.31.0.0/16", target = "pcx" },
]
[[route_table]]
id = "rtb-peer"
vpc = "vpc-b"
routes = [{ destination = "10.0.0.0/16", target = "pcx" }]
[[network_acl]]
id = "acl-app"
vpc = "vpc-a"
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }] # out of app
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }] # into app
[[network_acl]]
id = "acl-db"
vpc = "vpc-a"
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }] # out of db
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }] # into db
[[nat_gateway]]
id = "nat-a"
subnet = "public"
public_ip = "198.51.100.7"
[[nat_gateway]]
id = "nat-b"
subnet = "public"
public_ip = "198.51.100.8"
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [{ protocol = "udp", ports = "9000", to = "0.0.0.0/0" }]
[[security_group]]
id = "sg-all"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[security_group]]
id = "sg-peer"
vpc = "vpc-b"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[resource]]
name = "db"
subnet = "db"
address = "10.0.3.10"
security_groups = ["sg-all"]
[[resource]]
name = "peer"
subnet = "peer"
address = "172.31.0.10"
security_groups = ["sg-peer"]
[[internet_host]]
name = "host"
address = "203.0.113.10"
[[vpc_connector]]
name = "conn"
subnets = ["app"]
security_groups = ["sg-app"]
[[service]]
name = "web"
vpc_connector = "conn"
"#;

const OUT_OF_APP: &str =
    "{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }] # out of app";
const INTO_APP: &str =
    "{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }] # into app";
const OUT_OF_DB: &str =
    "{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }] # out of db";
const INTO_DB: &str =
    "{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }] # into db";
const DENY: &str = "{ rule = 100, action = \"deny\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]";
const TO_NAT: &str = "destination = \"0.0.0.0/0\", target = \"nat-a\"";
const NAT_A: &str =
    "[[nat_gateway]]\nid = \"nat-a\"\nsubnet = \"public\"\npublic_ip = \"198.51.100.7\"\n";
const TO_PEER: &str = "    { destination = \"172.31.0.0/16\", target = \"pcx\" },\n";

/// The effect of a change on a flow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// No request arrives any more.
    NoRequest,
    /// Requests arrive, and no reply comes back.
    NoReply,
    /// Nothing arrives from the old source.
    OtherSource,
    /// The flow continues, because it is tracked.
    GoesOn,
}

/// A change of the lab's file: its name, the destination of the flow to watch, the effect, and the
/// passages to replace.
type Change = (&'static str, Ipv4Addr, Then, &'static [(&'static str, &'static str)]);

const CHANGES: [Change; 17] = [
    ("an ACL denies requests", HOST, Then::NoRequest, &[(OUT_OF_APP, DENY)]),
    ("an ACL denies replies", HOST, Then::NoReply, &[(INTO_APP, DENY)]),
    ("the destination's ACL denies requests", DB, Then::NoRequest, &[(INTO_DB, DENY)]),
    ("the destination's ACL denies replies", DB, Then::NoReply, &[(OUT_OF_DB, DENY)]),
    (
        "a route goes",
        HOST,
        Then::NoRequest,
        &[("    { destination = \"0.0.0.0/0\", target = \"nat-a\" },\n", "")],
    ),
    (
        "a more specific route is a blackhole",
        HOST,
        Then::NoRequest,
        &[(
            TO_PEER,
            "    { destination = \"172.31.0.0/16\", target = \"pcx\" },\n    { destination = \"203.0.113.0/24\", target = \"blackhole\" },\n",
        )],
    ),
    (
        "a route leads to another NAT gateway",
        HOST,
        Then::OtherSource,
        &[(TO_NAT, "destination = \"0.0.0.0/0\", target = \"nat-b\"")],
    ),
    (
        "a NAT gateway goes",
        HOST,
        Then::OtherSource,
        &[(NAT_A, ""), (TO_NAT, "destination = \"0.0.0.0/0\", target = \"nat-b\"")],
    ),
    (
        "a NAT gateway has another address",
        HOST,
        Then::OtherSource,
        &[("198.51.100.7", "198.51.100.9")],
    ),
    (
        "the NAT gateway's subnet is private",
        HOST,
        Then::NoRequest,
        &[("routes = [{ destination = \"0.0.0.0/0\", target = \"igw-a\" }]", "routes = []")],
    ),
    ("the route to a peer goes", PEER, Then::NoRequest, &[(TO_PEER, "")]),
    (
        "a peer's route back goes",
        PEER,
        Then::NoReply,
        &[("routes = [{ destination = \"10.0.0.0/16\", target = \"pcx\" }]", "routes = []")],
    ),
    (
        "a peering connection is deleted",
        PEER,
        Then::NoRequest,
        &[("accepter_vpc = \"vpc-b\"", "accepter_vpc = \"vpc-b\"\nstate = \"deleted\"")],
    ),
    (
        "a resource goes",
        DB,
        Then::NoRequest,
        &[(
            "[[resource]]\nname = \"db\"\nsubnet = \"db\"\naddress = \"10.0.3.10\"\nsecurity_groups = [\"sg-all\"]\n",
            "",
        )],
    ),
    (
        "a connector moves to another subnet",
        DB,
        Then::OtherSource,
        &[("subnets = [\"app\"]", "subnets = [\"app-b\"]")],
    ),
    (
        "a service leaves its connector",
        HOST,
        Then::OtherSource,
        &[("name = \"web\"\nvpc_connector = \"conn\"", "name = \"web\"\negress = \"default\"")],
    ),
    (
        "a group's rule goes",
        DB,
        Then::GoesOn,
        &[(
            "egress = [{ protocol = \"udp\", ports = \"9000\", to = \"0.0.0.0/0\" }]",
            "egress = []",
        )],
    ),
];

/// The servers, by their addresses.
type Servers = HashMap<Ipv4Addr, Agent>;

fn apply(lab: &Lab, changes: &[(&str, &str)]) {
    lab.apply(LAB, changes);
}

fn servers(lab: &Lab) -> Servers {
    let at = |(role, address): (&str, Ipv4Addr)| {
        let mut agent = Lab::agent(&lab.netns(role));
        agent.ok(&json!(["serve_numbered", address, PORT]));
        (address, agent)
    };
    [("internet", HOST), ("vpc-a", DB), ("vpc-b", PEER)].map(at).into()
}

/// Returns the last number of each source that has arrived.
fn arrived(server: &mut Agent) -> HashMap<String, u64> {
    serde_json::from_value(server.ask(&json!(["highest"]))).unwrap()
}

/// The datagrams that a task has sent so far.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The highest number that may have been sent.
    last: u64,
    /// The number of the last datagram that came back.
    back: u64,
    /// The number of calls to send, some of which the kernel may have refused.
    tries: u64,
}

fn so_far(task: &mut Agent) -> Sent {
    let answer = task.ask(&json!(["numbered_so_far"]));
    let (last, back, tries) = serde_json::from_value(answer).unwrap();
    Sent { last, back, tries }
}

/// Begins to send, and waits until the flow is offloaded. Returns the sources that arrive.
fn begin(lab: &Lab, task: &mut Agent, to: Ipv4Addr, server: &mut Agent) -> Vec<String> {
    server.ok(&json!(["forget_highest"]));
    let port: Value = task.ask(&json!(["begin_numbered", to, PORT]));
    let inside = format!(":{port}");
    let is_offloaded = || {
        let flows = lab.flows();
        flows.iter().any(|flow| flow.inside.ends_with(&inside) && flow.path == "offload")
    };
    assert!(comes(is_offloaded), "{:#?} {:#?}", lab.flows(), lab.drops());
    let back = so_far(task).back;
    assert!(comes(|| so_far(task).back > back), "the kernel carries nothing");
    let sources: Vec<String> = arrived(server).into_keys().collect();
    assert!(!sources.is_empty());
    sources
}

/// Counts the packets that rules, routes and gateways have dropped.
fn refused(lab: &Lab) -> u64 {
    let of_queues = ["queue-full", "link-dropped"];
    let all = lab.drops().into_iter().filter(|row| !of_queues.contains(&row.reason.as_str()));
    all.map(|row| row.packets).sum()
}

/// Waits until packets that were sent after a change are judged. All packets that were sent before
/// are judged by then, because queues keep order.
fn await_judged(lab: &Lab, server: &mut Agent, (last, then, old): (u64, Then, &[String])) {
    match then {
        Then::NoRequest | Then::NoReply => {
            let before = refused(lab);
            let is_judged = || refused(lab) > before + JUDGED;
            assert!(comes(is_judged), "{:#?}", lab.drops());
        }
        Then::OtherSource => {
            let is_new = |(source, number): (String, u64)| number > last && !old.contains(&source);
            assert!(comes(|| arrived(server).into_iter().any(is_new)));
        }
        Then::GoesOn => {
            let is_late = |(_, number): (String, u64)| number > last;
            assert!(comes(|| arrived(server).into_iter().any(is_late)));
        }
    }
}

fn try_change(lab: &Lab, task: &mut Agent, servers: &mut Servers, change: &Change) {
    let (name, to, then, changes) = *change;
    println!("{name}");
    let server = servers.get_mut(&to).unwrap();
    let sources = begin(lab, task, to, server);
    apply(lab, changes);
    let last = so_far(task).last;
    await_judged(lab, server, (last, then, &sources));
    let arrived = arrived(server);
    let of_old = sources.iter().filter_map(|source| arrived.get(source)).max();
    let is_late = |number: u64| number > last;
    let request_passes = of_old.is_some_and(|number| is_late(*number));
    match then {
        Then::NoRequest => {
            assert!(!request_passes && !is_late(so_far(task).back), "{arrived:?} {last}");
        }
        Then::OtherSource => assert!(!request_passes, "{arrived:?} {sources:?} {last}"),
        Then::NoReply => assert!(!is_late(so_far(task).back), "{:?} {last}", so_far(task)),
        Then::GoesOn => assert!(comes(|| is_late(so_far(task).back)), "it is cut"),
    }
    task.ok(&json!(["end_numbered"]));
    apply(lab, &[]);
}

#[test]
fn nothing_passes_by_an_old_verdict_once_apply_has_returned() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut servers = servers(&lab);
    let mut task = lab.task("web");
    for change in &CHANGES {
        try_change(&lab, &mut task, &mut servers, change);
    }
}

#[test]
fn nothing_passes_from_a_task_once_it_is_removed_and_its_address_inherits_nothing() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut servers = servers(&lab);
    let mut task = lab.task("web");
    let server = servers.get_mut(&HOST).unwrap();
    let sources = begin(&lab, &mut task, HOST, server);
    let address = lab.ps()[0].address;
    let removed = lab.egret("task remove web/1");
    assert_eq!(removed.status.code(), Some(3), "the program that sends remains");
    let Sent { last, tries, .. } = so_far(&mut task);
    assert!(comes(|| so_far(&mut task).tries > tries + 100));
    let found = arrived(server);
    assert!(sources.iter().all(|source| found[source] <= last), "{found:?} {last}");
    assert!(so_far(&mut task).back <= last);
    assert_eq!(lab.flows(), []);
    // The pool has two addresses, of which the first is in quarantine.
    let rule = "egress = [{ protocol = \"udp\", ports = \"9000\", to = \"0.0.0.0/0\" }]";
    apply(&lab, &[(rule, "egress = []")]);
    while lab.ps().iter().all(|row| row.address != address) {
        lab.egret("task add web");
    }
    let number = lab.ps().iter().find(|row| row.address == address).unwrap().task;
    let mut task = lab.task(&format!("web/{number}"));
    let before = arrived_in_all(server);
    let dropped = || lab.packets_dropped("sg-egress-no-rules");
    let dropped_before = dropped();
    task.ask(&json!(["begin_numbered", HOST, PORT]));
    assert!(comes(|| dropped() > dropped_before + JUDGED), "{:#?}", lab.drops());
    task.ok(&json!(["end_numbered"]));
    assert_eq!(arrived_in_all(server), before, "nothing is known of what the address had");
}

fn arrived_in_all(server: &mut Agent) -> Vec<(String, u64)> {
    let mut all: Vec<_> = arrived(server).into_iter().collect();
    all.sort();
    all
}
