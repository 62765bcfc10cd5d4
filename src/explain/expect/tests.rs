//! Tests expectations in labs in which one packet is not like all others; misspelt names; output
//! for people and programs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::config::expectations::Expectations;
use crate::config::{Expected, Lab};
use crate::explain::{AskError, Asking, TaskRef, ask};
use crate::pipeline::reach::{Addresses, SetVerdict, Tasks};
use crate::vpc::{Generation, Snapshot};
use serde_json::Value;

const THREE_AZ: &str = include_str!("../../../examples/three-az.toml");
const REPLY_PORTS: &str = include_str!("../cases/reply-ports-eni.toml");
const TWO_ADDRESSES: &str = include_str!("../cases/nat-second-address.toml");
const ENDPOINT: &str = include_str!("../cases/endpoint-shadows-host.toml");
const PEER: &str = include_str!("../cases/name-of-peer.toml");
const DNS: &str = include_str!("../../../examples/dns.toml");

/// A NAT gateway for each of two zones.
const TWO_GATEWAYS: &str = r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"
[[subnet]]
id = "public-a"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "public-b"
vpc = "vpc"
availability_zone = "us-east-1b"
cidr = "10.0.1.0/24"
route_table = "rtb-public"
[[subnet]]
id = "private-a"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-a"
[[subnet]]
id = "private-b"
vpc = "vpc"
availability_zone = "us-east-1b"
cidr = "10.0.3.0/24"
route_table = "rtb-b"
[[route_table]]
id = "rtb-public"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]
[[route_table]]
id = "rtb-a"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]
[[route_table]]
id = "rtb-b"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "nat-b" }]
[[nat_gateway]]
id = "nat-a"
subnet = "public-a"
public_ip = "198.51.100.7"
[[nat_gateway]]
id = "nat-b"
subnet = "public-b"
public_ip = "198.51.100.8"
[[security_group]]
id = "sg"
vpc = "vpc"
ingress = [{ protocol = "all", from = "10.0.0.0/16" }]
[[resource]]
name = "db"
subnet = "private-a"
address = "10.0.2.10"
security_groups = ["sg"]
listen = ["5432/tcp"]
[[internet_host]]
name = "api"
address = "203.0.113.10"
[[vpc_connector]]
name = "c"
subnets = ["private-a", "private-b"]
security_groups = ["sg"]
[[service]]
name = "web"
vpc_connector = "c"
"#;

struct Case {
    lab: Lab,
    snapshot: Snapshot,
}

impl Case {
    fn new(text: &str) -> Self {
        let lab = Lab::parse("lab.toml", text).unwrap();
        let snapshot = lab.lower(Generation(1));
        Self { lab, snapshot }
    }

    fn subject(&self) -> Subject<'_> {
        let (snapshot, pool) = (&self.snapshot, self.lab.task_cidr);
        Subject { snapshot, addresses: Addresses::Open, pool }
    }

    fn tested<'e>(&self, expectations: &'e Expectations) -> Vec<Tested<'e>> {
        match test(&self.subject(), expectations, &mut |_| true) {
            Ok(tested) => tested,
            Err(error) => panic!("{error}"),
        }
    }

    /// Tests one expectation, and returns the differences; nothing if it holds.
    fn differences(&self, text: &str) -> Vec<String> {
        let expectations = expectation(text);
        let tested = self.tested(&expectations);
        tested.iter().flat_map(|tested| &tested.failures).map(Failure::line).collect()
    }

    #[track_caller]
    fn holds(&self, text: &str) {
        assert_eq!(self.differences(text), [""; 0], "{text}");
    }

    #[track_caller]
    fn fails(&self, text: &str, difference: &str) {
        let found = self.differences(text);
        assert_eq!(found.first().map(String::as_str), Some(difference), "{text}");
    }

    /// Returns the rules and texts of the errors in one expectation.
    fn errors(&self, text: &str) -> Vec<(&'static str, String)> {
        let expectations = expectation(text);
        match test(&self.subject(), &expectations, &mut |_| true) {
            Ok(_) => panic!("no error in {text}"),
            Err(TestError::Ask(error)) => panic!("{error}"),
            Err(TestError::Names(errors)) => {
                assert_eq!(name_errors(&self.snapshot, &expectations).len(), errors.len());
                assert!(errors.iter().all(|error| error.line > 0 && !error.message.is_empty()));
                errors.into_iter().map(|error| (error.rule, error.text)).collect()
            }
        }
    }
}

fn expectation(text: &str) -> Expectations {
    Expectations::parse("expectations.toml", &format!("[[expect]]\n{text}\n")).unwrap()
}

fn of(from: &str, to: &str, is: &str, rest: &str) -> String {
    format!("from = \"{from}\"\nto = \"{to}\"\nis = \"{is}\"\n{rest}")
}

#[test]
fn the_expectations_of_the_example_hold() {
    let case = Case::new(THREE_AZ);
    let expectations = Expectations::of_lab(&case.lab);
    let tested = case.tested(&expectations);
    assert!(tested.len() >= 12);
    let failing: Vec<String> =
        tested.iter().filter(|tested| !tested.holds()).map(Tested::to_string).collect();
    assert_eq!(failing, [""; 0]);
}

#[test]
fn an_expectation_agrees_with_the_explanation() {
    let case = Case::new(THREE_AZ);
    let destinations =
        ["orders-db", "cache", "example", "internet:443", "10.0.0.0/16:*", "tools:5201,22"];
    for service in ["web", "trap", "isolated", "public"] {
        for destination in destinations {
            let asking = Asking {
                service: TaskRef::parse(service, &case.snapshot).unwrap().service,
                tasks: Tasks::Possible,
                addresses: Addresses::Open,
                pool: case.lab.task_cidr,
                destination,
                protocol: None,
                source_port: None,
            };
            let verdict = ask(&case.snapshot, &asking, &mut || true).unwrap().verdict();
            for (is, met) in
                [(Expected::Reachable, SetVerdict::Forward), (Expected::Blocked, SetVerdict::Drop)]
            {
                let differences = case.differences(&of(service, destination, is.word(), ""));
                assert_eq!(differences.is_empty(), verdict == met, "{service} {destination}");
            }
        }
    }
}

/// The VPC lets the packet out, and no host answers: every form of the output must say so, or a
/// program would take it for success.
#[test]
fn regression_an_address_that_no_host_has_is_named_in_every_form_of_the_outcome() {
    let endpoint = include_str!("../cases/public-endpoint.toml");
    let without = endpoint.replacen("public_ip = \"203.0.113.50\"\n", "", 1);
    let note = "the lab has no host at 203.0.113.50: the verdict is about the VPC alone";
    let expectations = expectation(&of("*", "203.0.113.50:443", "reachable", ""));
    for (lab, notes) in [(endpoint, &[][..]), (&without, &[note][..])] {
        let case = Case::new(lab);
        let tested = case.tested(&expectations);
        assert!(tested[0].holds());
        assert_eq!(tested[0].notes, notes);
        let places = &crate::explain::testing::lab_toml;
        let (mut text, mut xml, mut commands) = (Vec::new(), Vec::new(), Vec::new());
        tested[0].text(&mut text, places, false).unwrap();
        junit(&mut xml, &[(&tested, places)]).unwrap();
        github(&mut commands, &tested, places).unwrap();
        let mut report = TestReport::default();
        report.add(&tested, None);
        let json = serde_json::to_vec(&report).unwrap();
        for form in [text, xml, commands, json] {
            let form = String::from_utf8(form).unwrap();
            assert_eq!(form.matches(note).count(), notes.len(), "{form}");
        }
    }
    let case = Case::new(&without);
    let blocked = expectation(&of("web", "203.0.113.50:443", "blocked", ""));
    assert_eq!(case.tested(&blocked)[0].notes, [note]);
    let everything = expectation(&of("web", "internet:443", "reachable", ""));
    assert_eq!(case.tested(&everything)[0].notes, [""; 0]);
}

#[test]
fn a_mixed_verdict_fails_both_words() {
    let case = Case::new(REPLY_PORTS);
    for is in ["reachable", "blocked"] {
        case.fails(&of("web", "db:5432", is, ""), "web -> db:5432: MIXED");
    }
}

#[test]
fn every_service_and_every_destination_counts() {
    let case = Case::new(THREE_AZ);
    let text =
        "from = [\"web\", \"isolated\"]\nto = [\"orders-db\", \"example:443\"]\nis = \"reachable\"";
    assert_eq!(case.differences(text), ["isolated -> example:443: DROP no-route"]);
    let all = case.differences(&of("*", "orders-db", "blocked", ""));
    let services = ["web", "api", "trap", "isolated"];
    assert_eq!(all, services.map(|service| format!("{service} -> orders-db: FORWARD")));
}

#[test]
fn decided_by_is_compared() {
    let case = Case::new(THREE_AZ);
    for by in ["sg-ingress-implicit-deny", "sg-cache"] {
        case.holds(&of("web", "cache", "blocked", &format!("by = \"{by}\"")));
    }
    case.fails(
        &of("web", "cache", "blocked", "by = \"sg-app\""),
        "web -> cache: DROP sg-ingress-implicit-deny by no ingress rule of sg-cache, not by sg-app",
    );
    case.holds(&of("web", "orders-db", "reachable", "by = \"sg-app\""));
    case.fails(
        &of("web", "orders-db", "reachable", "by = \"sg-db\""),
        "web -> orders-db: FORWARD by rule 1 of sg-app (tcp 5432 to sg-db), not by sg-db",
    );
    // Two reasons: neither is the reason of all.
    let several = of("web", "10.0.48.0/24:6379", "blocked", "by = \"sg-egress-implicit-deny\"");
    let found = case.differences(&several);
    assert!(found[0].contains("DROP sg-ingress-implicit-deny"), "{found:?}");
}

#[test]
fn one_of_several_deciding_groups_is_enough() {
    let two = THREE_AZ.replace(
        "security_groups = [\"sg-cache\"]",
        "security_groups = [\"sg-cache\", \"sg-reports\"]",
    );
    let case = Case::new(&two);
    for by in ["sg-cache", "sg-reports"] {
        case.holds(&of("web", "cache", "blocked", &format!("by = \"{by}\"")));
    }
}

#[test]
fn hops_of_the_path_are_compared() {
    let case = Case::new(THREE_AZ);
    for via in ["nat-a", "igw-demo"] {
        case.holds(&of("web", "example:443", "reachable", &format!("via = \"{via}\"")));
    }
    case.fails(
        &of("web", "orders-db", "reachable", "via = \"nat-a\""),
        "web -> orders-db: FORWARD, but not via nat-a",
    );
    Case::new(PEER).holds(&of("web", "redis", "reachable", "via = \"pcx-1\""));
}

/// As in accounts with a NAT gateway for each zone.
#[test]
fn each_packet_passes_one_of_several_ids() {
    let case = Case::new(TWO_GATEWAYS);
    let via = |ids: &str| of("web", "api:443", "reachable", &format!("via = {ids}"));
    case.holds(&via("[\"nat-a\", \"nat-b\"]"));
    case.holds(&via("\"igw\""));
    case.fails(&via("\"nat-a\""), "web -> api:443: FORWARD, but not via nat-a");
    case.fails(
        &of("web", "db", "reachable", "via = [\"nat-a\", \"nat-b\"]"),
        "web -> db: FORWARD, but not via nat-a or nat-b",
    );
    let misspelt = via("[\"nat-a\", \"nat-c\"]");
    assert_eq!(case.errors(&misspelt), [("unknown-name", "\"nat-c\"".to_owned())]);
}

#[test]
fn a_mixed_verdict_is_reported_before_what_is_on_the_path() {
    let closed = TWO_GATEWAYS.replace("target = \"nat-b\"", "target = \"blackhole\"");
    let case = Case::new(&closed);
    let via = of("web", "api:443", "reachable", "via = [\"nat-a\", \"nat-b\"]");
    case.fails(&via, "web -> api:443: MIXED");
}

#[test]
fn a_dropped_packet_has_no_path_to_the_end() {
    for (key, value) in [("via", "[\"nat-a\"]"), ("seen_as", "\"10.0.0.0/8\"")] {
        let text = of("web", "db", "blocked", &format!("{key} = {value}"));
        let errors = Expectations::parse("e.toml", &format!("[[expect]]\n{text}\n")).unwrap_err();
        let rules: Vec<&str> = errors.iter().map(|error| error.rule).collect();
        assert_eq!(rules, ["only-if-reachable"], "{key}");
    }
    let text = of("web", "db", "reachable", "via = []");
    let errors = Expectations::parse("e.toml", &format!("[[expect]]\n{text}\n")).unwrap_err();
    assert_eq!(errors.iter().next().map(|error| error.rule), Some("empty-list"));
}

/// Interfaces with the same groups are in one class, of which the steps show one alone.
#[test]
fn an_endpoint_is_on_the_path_of_its_own_addresses_only() {
    let open = "security_groups = [\"sg-open\"]\naddresses = [\"10.0.1.64\", \"10.0.2.64\"]\n";
    let group = "[[security_group]]\nid = \"sg-open\"\nvpc = \"vpc-a\"\n\
                 ingress = [{ protocol = \"all\", from = \"0.0.0.0/0\" }]\n";
    let (lab, endpoint) = ENDPOINT.split_once("[[vpc_endpoint]]").unwrap();
    let other = endpoint.replace("vpce-sm", "vpce-sqs").replace("secretsmanager", "sqs");
    let other_open = open.replace(".64", ".65");
    let case = Case::new(&format!(
        "{lab}{group}[[vpc_endpoint]]{endpoint}{open}[[vpc_endpoint]]{other}{other_open}"
    ));
    let via = |to: &str| of("fn", to, "reachable", "via = \"vpce-sm\"");
    case.holds(&via("vpce-sm:443"));
    case.holds(&of("fn", "10.0.1.64/31:443", "reachable", ""));
    case.fails(&via("10.0.1.64/31:443"), "fn -> 10.0.1.64/31:443: FORWARD, but not via vpce-sm");
}

#[test]
fn source_addresses_are_compared_as_a_set() {
    let case = Case::new(THREE_AZ);
    let seen = |from: &str, to: &str, block: &str| {
        of(from, to, "reachable", &format!("seen_as = \"{block}\""))
    };
    case.holds(&seen("web", "example:443", "198.51.100.7"));
    case.holds(&seen("web", "example:443", "198.51.100.0/24"));
    case.fails(
        &seen("web", "example:443", "198.51.100.8"),
        "web -> example:443: FORWARD, but seen as 198.51.100.7",
    );
    case.holds(&seen("web", "orders-db", "10.0.16.0/20"));
    let of_one_zone = case.differences(&seen("web", "orders-db", "10.0.16.0/24"));
    assert!(of_one_zone[0].contains("FORWARD, but seen as 10.0.17."), "{of_one_zone:?}");
    case.holds(&seen("public", "example:443", "198.51.100.1"));
}

#[test]
fn both_addresses_of_a_nat_gateway_are_seen() {
    let both = TWO_ADDRESSES.replace("from = \"10.0.2.200/32\"", "from = \"10.0.2.0/24\"");
    let case = Case::new(&both);
    case.holds(&of("web", "db", "reachable", "seen_as = [\"10.0.2.200\", \"10.0.2.201\"]"));
    case.fails(
        &of("web", "db", "reachable", "seen_as = \"10.0.2.200\""),
        "web -> db: FORWARD, but seen as 10.0.2.201",
    );
}

#[test]
fn the_public_address_of_a_fargate_task_is_seen() {
    let fargate = format!(
        "{THREE_AZ}\n[[service]]\nname = \"jobs\"\nkind = \"fargate\"\nsubnets = [\"subnet-public-a\"]\n\
         security_groups = [\"sg-app\"]\nassign_public_ip = true\n"
    );
    let case = Case::new(&fargate);
    case.holds(&of("jobs", "example:443", "reachable", "seen_as = \"198.51.100.0/24\""));
    case.holds(&of("jobs", "orders-db", "reachable", "seen_as = \"10.0.0.0/24\""));
}

#[test]
fn the_resolver_sees_the_tasks_own_addresses() {
    let case = Case::new(DNS);
    let to = "10.0.0.2:53/udp";
    case.holds(&of("web", to, "reachable", "seen_as = \"100.64.0.0/10\""));
    case.fails(
        &of("web", to, "reachable", "seen_as = \"10.0.1.0/24\""),
        "web -> 10.0.0.2:53/udp: FORWARD, but seen as 100.64.0.0/10",
    );
}

#[test]
fn a_misspelt_name_is_an_error() {
    let case = Case::new(THREE_AZ);
    let quoted = |text: &str| format!("\"{text}\"");
    for (text, rule, at) in [
        (of("wbe", "orders-db", "blocked", ""), "unknown-name", "wbe"),
        (of("web/1", "orders-db", "blocked", ""), "unknown-name", "web/1"),
        (of("web", "orders-bd", "blocked", ""), "unknown-name", "orders-bd"),
        (of("web", "orders-db:0", "blocked", ""), "bad-destination", "orders-db:0"),
        (of("web", "10.0.0.0/16", "blocked", ""), "bad-destination", "10.0.0.0/16"),
        (of("web", "tools", "blocked", ""), "bad-destination", "tools"),
        (of("web", "db.corp.internal", "blocked", ""), "unknown-name", "db.corp.internal"),
        (of("web", "orders-db", "blocked", "by = \"no-rote\""), "unknown-name", "no-rote"),
        (of("web", "orders-db", "blocked", "by = \"sg-dbs\""), "unknown-name", "sg-dbs"),
        (of("web", "orders-db", "reachable", "by = \"no-route\""), "only-if-blocked", "no-route"),
        (of("web", "orders-db", "reachable", "via = \"nat-b\""), "unknown-name", "nat-b"),
        (of("web", "orders-db", "reachable", "via = \"sg-app\""), "unknown-name", "sg-app"),
        (of("web", "orders-db", "blocked", "protocol = \"tpc\""), "bad-protocol", "tpc"),
        (
            of("web", "orders-db:53/udp", "blocked", "protocol = \"tcp\""),
            "bad-destination",
            "orders-db:53/udp",
        ),
    ] {
        assert_eq!(case.errors(&text), [(rule, quoted(at))], "{text}");
    }
}

#[test]
fn all_misspelt_names_are_reported_at_once() {
    let text = "from = [\"wbe\", \"ipa\"]\nto = [\"x\", \"y\"]\nis = \"blocked\"\nby = \"z\"";
    let case = Case::new(THREE_AZ);
    assert_eq!(case.errors(text).len(), 3, "without a service nothing can be said about `to`");
    let text = "from = \"*\"\nto = [\"x\", \"y\"]\nis = \"blocked\"\nby = \"z\"";
    let found: Vec<String> = case.errors(text).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, ["\"x\"", "\"y\"", "\"z\""]);
}

/// A misspelt name below a private zone does not exist either.
#[test]
fn a_name_that_does_not_resolve_is_blocked_only_if_that_is_expected() {
    let case = Case::new(DNS);
    let bd = |is: &str, rest: &str| of("web", "bd.corp.internal:5432", is, rest);
    assert_eq!(
        case.errors(&bd("blocked", "")),
        [("unknown-name", "\"bd.corp.internal:5432\"".to_owned())]
    );
    case.holds(&bd("blocked", "by = \"name-not-resolved\""));
    let dropped = "web -> bd.corp.internal:5432: DROP name-not-resolved";
    case.fails(&bd("blocked", "by = \"no-route\""), dropped);
    case.fails(&bd("reachable", ""), dropped);
    case.holds(&of("web", "db.corp.internal:5432", "reachable", ""));
}

#[test]
fn equal_questions_are_asked_once() {
    let case = Case::new(THREE_AZ);
    let asked = |count: usize| {
        let one = format!("[[expect]]\n{}\n", of("web", "internet:443", "reachable", ""));
        let expectations = Expectations::parse("e.toml", &one.repeat(count)).unwrap();
        let mut asked = 0;
        let mut goes_on = |_| {
            asked += 1;
            true
        };
        assert_eq!(test(&case.subject(), &expectations, &mut goes_on).unwrap().len(), count);
        asked
    };
    assert!(asked(1) > 0);
    assert_eq!(asked(1), asked(100));
}

#[test]
fn a_test_that_is_not_wanted_any_more_ends() {
    let case = Case::new(THREE_AZ);
    let expectations = Expectations::of_lab(&case.lab);
    let ended = test(&case.subject(), &expectations, &mut |done| done < 2);
    assert!(matches!(ended, Err(TestError::Ask(AskError::Interrupted))));
}

const FAILING: &str = r#"[[expect]]
from = "web"
to = "cache"
is = "reachable"
note = "web keeps its sessions there,\nand <b> there: 100%"

[[expect]]
from = "web"
to = "10.0.48.0/24:5432"
is = "blocked"

[[expect]]
from = ["web", "api", "trap", "isolated", "public"]
to = ["orders-db", "example:443"]
is = "blocked"

[[expect]]
from = "web"
to = "orders-db"
is = "reachable"
"#;

fn written(write: impl FnOnce(&[Tested<'_>], &mut Vec<u8>)) -> String {
    let case = Case::new(THREE_AZ);
    let expectations = Expectations::parse("expectations.toml", FAILING).unwrap();
    let mut text = Vec::new();
    write(&case.tested(&expectations), &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn people_read_a_line_for_each_and_why_it_fails() {
    let text = written(|tested, w| {
        let places = &crate::explain::testing::lab_toml;
        tested.iter().for_each(|tested| tested.text(w, places, false).unwrap());
    });
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn junit_has_a_case_for_each() {
    let xml = written(|tested, w| {
        junit(w, &[(tested, &crate::explain::testing::lab_toml)]).unwrap();
    });
    insta::assert_snapshot!(xml);
}

#[test]
fn github_has_an_annotation_for_each_that_fails() {
    let commands = written(|tested, w| {
        github(w, tested, &crate::explain::testing::lab_toml).unwrap();
    });
    insta::assert_snapshot!(commands);
}

#[test]
fn programs_read_everything() {
    let text = written(|tested, w| {
        let mut report = TestReport::default();
        report.add(tested, Some(&crate::explain::testing::lab_toml));
        serde_json::to_writer(w, &report).unwrap();
    });
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&report["ok"], &report["held"], &report["failed"]),
        (&false.into(), &1.into(), &3.into())
    );
    let row = &report["expectations"][0];
    let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let named = ["file", "line", "from", "to", "protocol", "is", "by", "via", "seen_as", "note"];
    assert_eq!(keys, [&named[..], &["ok", "failures"]].concat());
    assert_eq!((&row["line"], &row["ok"]), (&1.into(), &false.into()));
    let failure = &row["failures"][0];
    assert_eq!((&failure["verdict"], &failure["service"]), (&"drop".into(), &"web".into()));
    assert_eq!(failure["explanation"]["reason"], "sg-ingress-implicit-deny");
    let place = failure["explanation"]["decided_by"]["place"].as_str().unwrap();
    assert!(place.starts_with("lab.toml:"), "{place}");
    assert_eq!(report["expectations"][3]["failures"], Value::Array(Vec::new()));
}

#[test]
fn the_summary_counts() {
    let counted =
        [(1, 0), (3, 0), (0, 1), (1, 1), (8, 2)].map(|(held, failed)| summary(held, failed));
    assert_eq!(
        counted,
        [
            "1 expectation: it holds",
            "3 expectations: all hold",
            "0 of 1 expectations hold",
            "1 of 2 expectations holds",
            "8 of 10 expectations hold",
        ]
    );
}
