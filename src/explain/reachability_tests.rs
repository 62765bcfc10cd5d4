//! Tests the output about what services reach, for people and programs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::reachability::{asked as asked_all, destinations};
use super::*;
use crate::config::Lab;
use crate::pipeline::reach::{Addresses, Class, Ports};
use crate::pipeline::tests::generator::{self, Tape};
use crate::vpc::{Generation, ServiceIx, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

const THREE_AZ: &str = include_str!("../../examples/three-az.toml");

macro_rules! case {
    ($name:literal) => {
        include_str!(concat!("cases/", $name, ".toml"))
    };
}

fn snapshot(text: &str) -> Snapshot {
    Lab::parse("lab.toml", text).unwrap().lower(Generation(1))
}

fn asked(text: &str, words: &[&str], wanted: Wanted<'_>) -> Reachability {
    let snapshot = snapshot(text);
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let services = services(&words, &snapshot).unwrap();
    let reaching = Reaching { services: &services, addresses: Addresses::Open, wanted };
    reach(&snapshot, &reaching, &mut |_| true).unwrap()
}

fn text(found: &Reachability) -> String {
    let mut text = Vec::new();
    found.text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    text
}

fn value(found: &Reachability) -> Value {
    serde_json::to_value(found).unwrap()
}

fn rows(found: &Reachability) -> Vec<Value> {
    value(found)["rows"].as_array().unwrap().clone()
}

#[test]
fn services_that_are_attached_alike_share_their_rows() {
    insta::assert_snapshot!("reach_three_az", text(&asked(THREE_AZ, &[], Wanted::Passing)));
}

/// Makes a lab whose resources each admit another port, so that no two are in one row.
fn many_rows(resources: usize) -> String {
    let resource = |n: usize| {
        format!(
            "[[security_group]]\nid = \"sg-{n}\"\nvpc = \"vpc-demo\"\n\
             ingress = [{{ protocol = \"tcp\", ports = \"{0}\", from = \"0.0.0.0/0\" }}]\n\
             [[resource]]\nname = \"r{n}\"\nsubnet = \"subnet-demo\"\naddress = \"10.9.1.{1}\"\n\
             security_groups = [\"sg-{n}\"]\n",
            1000 + 2 * n,
            n + 10
        )
    };
    let head = "[[vpc]]\nid = \"vpc-demo\"\ncidr = \"10.9.0.0/16\"\n[[subnet]]\nid = \"subnet-demo\"\n\
                vpc = \"vpc-demo\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.9.1.0/24\"\n\
                [[security_group]]\nid = \"sg\"\nvpc = \"vpc-demo\"\n[[vpc_connector]]\nname = \"c\"\n\
                subnets = [\"subnet-demo\"]\nsecurity_groups = [\"sg\"]\n[[service]]\nname = \"web\"\n\
                vpc_connector = \"c\"\n";
    (0..resources).map(resource).fold(head.to_owned(), |text, resource| text + &resource)
}

#[test]
fn people_get_the_first_rows_of_a_huge_answer() {
    for (resources, last) in [
        (200, None),
        (201, Some("and 1 row more: -o wide shows it")),
        (230, Some("and 30 rows more: -o wide shows them")),
    ] {
        let found = asked(&many_rows(resources), &["web"], Wanted::Passing);
        assert_eq!(rows(&found).len(), resources);
        let shown = text(&found);
        assert_eq!(shown.lines().count(), 1 + 200 + usize::from(last.is_some()));
        assert_eq!(shown.lines().last().filter(|line| line.starts_with("and ")), last);
        let mut all = Vec::new();
        found.wide_text(&mut all).unwrap();
        assert_eq!(String::from_utf8(all).unwrap().lines().count(), 1 + resources);
    }
}

/// The caller is asked until the end: the last times while rows are merged.
#[test]
fn an_answer_that_is_not_wanted_any_more_ends_whenever_that_is() {
    let snapshot = snapshot(&many_rows(100));
    let reaching = Reaching { services: &[], addresses: Addresses::Open, wanted: Wanted::Passing };
    let until = |last: usize| {
        let mut asked = 0;
        let found = reach(&snapshot, &reaching, &mut |_| {
            asked += 1;
            asked <= last
        });
        (found.is_ok(), asked)
    };
    let (is_whole, asked) = until(usize::MAX);
    assert!(is_whole);
    for last in [0, asked / 2, asked - 2, asked - 1] {
        assert_eq!(until(last), (false, last + 1));
    }
}

#[test]
fn drops_name_the_reason_and_the_rule() {
    insta::assert_snapshot!(
        "reach_three_az_drops",
        text(&asked(THREE_AZ, &["web"], Wanted::Drops))
    );
}

#[test]
fn services_that_reach_a_destination_alike_are_one_row() {
    let to = |destination| text(&asked(THREE_AZ, &[], Wanted::To(destination)));
    insta::assert_snapshot!("reach_three_az_to", to("orders-db"));
}

#[test]
fn rows_have_stable_keys() {
    let found = value(&asked(case!("name-of-peer"), &["web"], Wanted::Passing));
    assert_eq!((&found["services"], &found["drops"]), (&json!(["web"]), &json!(false)));
    let row = &found["rows"][0];
    let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "services",
            "verdict",
            "share",
            "reasons",
            "decided_by",
            "paths",
            "names",
            "destinations",
            "ports"
        ]
    );
    assert_eq!(row["names"], json!(["redis (172.31.16.10)"]));
    assert_eq!(row["destinations"], json!([{ "from": "172.31.16.10", "to": "172.31.16.10" }]));
    assert_eq!(row["ports"], json!([{ "protocol": "tcp", "from": 6379, "to": 6379 }]));
    assert_eq!(row["paths"], json!([["pcx-1"]]));
    assert_eq!(row["decided_by"][0]["id"], "sg-app");
}

#[test]
fn packets_of_which_some_pass_are_one_row_of_either_list() {
    let passing = rows(&asked(case!("reply-ports-eni"), &[], Wanted::Passing));
    let [row] = passing.as_slice() else { panic!("{passing:#?}") };
    assert_eq!((&row["verdict"], &row["share"]), (&json!("mixed"), &json!(0.437_624)));
    let drops = rows(&asked(case!("reply-ports-eni"), &[], Wanted::Drops));
    assert_eq!(drops[0]["share"], row["share"]);
    assert_eq!(drops[0]["reasons"], json!(["nacl-return-implicit-deny"]));
    assert_eq!(drops[0]["decided_by"][0]["id"], "acl-b");
}

#[test]
fn subnets_that_differ_are_mixed() {
    let found = rows(&asked(case!("subnets-differ"), &[], Wanted::Passing));
    let shown = |row: &Value| (row["names"].clone(), row["share"].clone());
    let shown: Vec<(Value, Value)> = found.iter().map(shown).collect();
    assert_eq!(shown, [(json!(["db (10.0.3.20)"]), json!(0.5))]);
}

#[test]
fn a_zone_with_a_gateway_of_its_own_is_another_path_and_no_other_row() {
    let zone_b = "\n[[route_table]]\nid = \"rtb-private-b\"\nvpc = \"vpc-demo\"\n\
        routes = [{ destination = \"0.0.0.0/0\", target = \"nat-b\" }]\n\n\
        [[nat_gateway]]\nid = \"nat-b\"\nsubnet = \"subnet-public-b\"\npublic_ip = \"198.51.100.8\"\n";
    let own_table = "cidr = \"10.0.17.0/24\"\nroute_table = \"rtb-private\"";
    assert!(THREE_AZ.contains(own_table));
    let text = THREE_AZ.replace(own_table, &own_table.replace("rtb-private", "rtb-private-b"));
    let found = rows(&asked(&(text + zone_b), &["web"], Wanted::Passing));
    let internet: Vec<&Value> =
        found.iter().filter(|row| row["names"] == json!(["internet"])).collect();
    assert_eq!(internet.len(), 3, "{internet:#?}");
    for row in internet {
        assert_eq!(row["verdict"], "forward");
        assert_eq!(row["paths"], json!([["nat-a", "igw-demo"], ["nat-b", "igw-demo"]]));
    }
}

#[test]
fn a_name_that_the_resolver_of_a_service_does_not_answer_is_not_reached() {
    let to = |destination| rows(&asked(case!("name-of-peer"), &[], Wanted::To(destination)));
    let by_name = to("redis.abc123.use1.cache.amazonaws.com");
    assert_eq!(by_name[0]["reaches"], "none");
    assert_eq!(by_name[0]["reasons"], json!(["name-not-resolved"]));
    let by_label = to("redis");
    assert_eq!((&by_label[0]["reaches"], &by_label[0]["share"]), (&json!("all"), &json!(1.0)));
}

#[test]
fn a_destination_that_is_reached_in_part_names_what_drops_the_rest() {
    let found = rows(&asked(case!("subnets-differ"), &[], Wanted::To("db")));
    assert_eq!((&found[0]["reaches"], &found[0]["share"]), (&json!("part"), &json!(0.5)));
    assert_eq!(found[0]["decided_by"][0]["id"], "acl-b");
}

#[test]
fn a_service_that_is_not_there_is_an_error_with_those_that_are() {
    let error = services(&["wbe".to_owned()], &snapshot(THREE_AZ)).unwrap_err().to_string();
    assert_eq!(
        error,
        "no service `wbe` in the lab; did you mean `web`? (its services: web, api, trap, isolated, \
         public)"
    );
}

#[test]
fn an_answer_that_is_not_wanted_any_more_is_given_up() {
    let snapshot = snapshot(THREE_AZ);
    let (addresses, wanted) = (Addresses::Open, Wanted::Passing);
    let mut asked = Vec::new();
    let mut goes_on = |service: &str| {
        asked.push(service.to_owned());
        service != "trap"
    };
    let found = reach(&snapshot, &Reaching { services: &[], addresses, wanted }, &mut goes_on);
    assert!(matches!(found, Err(AskError::Interrupted)));
    asked.dedup();
    assert_eq!(asked, ["web", "trap"], "`api` is attached like `web`");
}

/// Decides whether a row contains the packet that shows a class.
fn has_sample(row: &ReachRow, class: &Class) -> bool {
    let tuple = class.sample.inside.tuple();
    row.destinations.iter().any(|span| (span.from..=span.to).contains(&tuple.dst))
        && row.shown_ports().contains(tuple.protocol, tuple.dport)
}

/// Compares the rows of a service with the classes of the same answer. The packet that shows a
/// class is in one row of the list for its verdict, and also in one of the other list if that
/// packet from elsewhere has the other verdict.
fn rows_agree_with_classes(snapshot: &Snapshot, service: ServiceIx) {
    let everything = (destinations(service, snapshot), Ports::all());
    let open = Addresses::Open;
    let asked = asked_all(snapshot, service, open, everything, &mut |_| true).unwrap();
    let listed = |wanted| {
        let services = [service];
        let reaching = Reaching { services: &services, addresses: open, wanted };
        match reach(snapshot, &reaching, &mut |_| true).unwrap() {
            Reachability::Rows { rows, .. } => rows,
            Reachability::To { .. } => panic!("rows were asked"),
        }
    };
    let (passing, drops) = (listed(Wanted::Passing), listed(Wanted::Drops));
    for class in asked.answer.classes.iter().filter(|class| class.counts) {
        let row = |rows: &[ReachRow]| {
            let own: Vec<&ReachRow> = rows.iter().filter(|row| has_sample(row, class)).collect();
            assert!(own.len() < 2, "{own:#?}");
            own.first().map(|row| (*row).clone())
        };
        let (passed, dropped) = (row(&passing), row(&drops));
        let own = if class.passes() { &passed } else { &dropped };
        let own = own.as_ref().unwrap_or_else(|| panic!("no row has {class:#?}"));
        assert_eq!(own.verdict == "mixed", passed.is_some() && dropped.is_some(), "{own:#?}");
        let reason = class.denial.map(|denial| denial.reason.name());
        assert!(reason.is_none_or(|reason| own.reasons.contains(&reason)), "{own:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rows_say_of_each_packet_what_its_classes_say(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let snapshot = snapshot(&generator::lab(&mut Tape::new(&bytes)));
        for service in 0..snapshot.parts().services.len() {
            rows_agree_with_classes(&snapshot, service.into());
        }
    }
}
