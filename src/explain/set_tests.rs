//! Tests verdicts over sets of packets in labs in which one packet is not like all others: output
//! for people and programs.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::Lab;
use crate::pipeline::reach::{Addresses, SetVerdict, Tasks};
use crate::vpc::{Generation, Snapshot, Task};
use serde_json::{Value, json};

macro_rules! case {
    ($name:literal) => {
        include_str!(concat!("cases/", $name, ".toml"))
    };
}

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

    /// Makes a running lab, with this many tasks of its first service.
    fn with_tasks(text: &str, count: u16) -> Self {
        let mut case = Self::new(text);
        for number in 1..=count {
            let service = 0.into();
            let address = case.lab.task_cidr.nth(number.into()).unwrap();
            let eni = case.snapshot.choose_eni(service, number);
            case.snapshot = case.snapshot.with_task(Task { service, number, address, eni });
        }
        case
    }

    fn asking<'a>(&self, service: &str, destination: &'a str) -> Asking<'a> {
        Asking {
            service: TaskRef::parse(service, &self.snapshot).unwrap().service,
            tasks: Tasks::Possible,
            addresses: Addresses::Open,
            pool: self.lab.task_cidr,
            destination,
            protocol: None,
            source_port: None,
        }
    }

    fn ask(&self, service: &str, destination: &str) -> Explained {
        ask(&self.snapshot, &self.asking(service, destination), &mut || true).unwrap()
    }

    fn error(&self, destination: &str) -> String {
        let asking = self.asking("web", destination);
        ask(&self.snapshot, &asking, &mut || true).unwrap_err().to_string()
    }

    fn running(&self, service: &str, destination: &str, tasks: Tasks) -> Explained {
        let real = Addresses::Real;
        let asking = Asking { tasks, addresses: real, ..self.asking(service, destination) };
        ask(&self.snapshot, &asking, &mut || true).unwrap()
    }
}

fn text(explained: &Explained) -> String {
    let mut text = Vec::new();
    explained.text(&mut text, &testing::lab_toml, false).unwrap();
    String::from_utf8(text).unwrap()
}

fn value(explained: &Explained) -> Value {
    serde_json::to_value(explained.explanation()).unwrap()
}

/// Returns the verdict, reason and share of each class that counts, the share in thousandths.
fn classes(explained: &Value) -> Vec<(String, String, f64)> {
    let counted = explained["classes"].as_array().unwrap().iter().filter(|c| c["counts"] == true);
    let class = |class: &Value| {
        let word = |key: &str| class[key].as_str().unwrap_or("-").to_owned();
        (word("verdict"), word("reason"), (class["share"].as_f64().unwrap() * 1000.0).round())
    };
    counted.map(class).collect()
}

fn class(verdict: &str, reason: &str, share: f64) -> (String, String, f64) {
    (verdict.to_owned(), reason.to_owned(), share)
}

#[test]
fn replies_to_some_ports_of_an_eni_pass() {
    let explained = Case::new(case!("reply-ports-eni")).ask("web", "db:5432");
    let value = value(&explained);
    assert_eq!(explained.verdict(), SetVerdict::Mixed);
    assert_eq!(
        (&value["verdict"], &value["reason"]),
        (&json!("mixed"), &json!("nacl-return-implicit-deny"))
    );
    let passing = &value["classes"][1];
    assert_eq!(passing["source_ports"], json!([{ "from": 32768, "to": 60999 }]));
    assert_eq!((&passing["part"], &passing["whole"]), (&json!("28232"), &json!("64512")));
    let failing = json!([{ "from": 1024, "to": 32767 }, { "from": 61000, "to": 65535 }]);
    assert_eq!(value["classes"][0]["source_ports"], failing);
    insta::assert_snapshot!("reply_ports_eni_text", text(&explained));
    insta::assert_snapshot!(
        "reply_ports_eni_json",
        serde_json::to_string_pretty(&explained.explanation()).unwrap()
    );
}

#[test]
fn replies_to_some_ports_of_a_nat_gateway_pass() {
    let value = value(&Case::new(case!("reply-ports-nat")).ask("web", "api:443"));
    assert_eq!(
        classes(&value),
        [class("drop", "nacl-return-implicit-deny", 492.0), class("forward", "-", 508.0)]
    );
    let ports = |at: usize| value["classes"][at]["gateway_ports"].clone();
    assert_eq!(ports(0), json!([{ "from": 1024, "to": 32767 }]));
    assert_eq!(ports(1), json!([{ "from": 32768, "to": 65535 }]));
}

#[test]
fn one_of_two_addresses_of_a_nat_gateway_is_let_in() {
    let explained = Case::new(case!("nat-second-address")).ask("web", "db:5432");
    let value = value(&explained);
    assert_eq!(
        classes(&value),
        [class("drop", "sg-ingress-implicit-deny", 500.0), class("forward", "-", 500.0)]
    );
    let gateway = |at: usize| value["classes"][at]["gateway_addresses"][0].clone();
    let address = |address: &str| json!({ "gateway": "nat-p", "private": [{ "from": address, "to": address }], "public": null });
    assert_eq!((gateway(0), gateway(1)), (address("10.0.2.201"), address("10.0.2.200")));
    assert_eq!(value["decided_by"]["id"], "sg-db");
    insta::assert_snapshot!("nat_second_address_text", text(&explained));
}

#[test]
fn one_of_two_subnets_leads_to_the_database() {
    let case = Case::new(case!("subnets-differ"));
    let value = value(&case.ask("web", "db:5432"));
    assert_eq!(
        classes(&value),
        [class("drop", "nacl-egress-implicit-deny", 500.0), class("forward", "-", 500.0)]
    );
    let subnet = |at: usize| value["classes"][at]["attachments"][0]["subnet"].clone();
    assert_eq!((subnet(0), subnet(1)), (json!("subnet-b"), json!("subnet-a")));
    assert_eq!(value["classes"][0]["tasks"], Value::Null, "no lab runs");
}

#[test]
fn a_running_lab_lists_the_tasks_of_each_class() {
    let case = Case::with_tasks(case!("subnets-differ"), 3);
    let explained = case.running("web", "db:5432", Tasks::Possible);
    let value = value(&explained);
    let tasks = |at: usize| value["classes"][at]["tasks"].clone();
    assert_eq!((tasks(0), tasks(1)), (json!(["web/2"]), json!(["web/1", "web/3"])));
    insta::assert_snapshot!("running_text", text(&explained));
}

/// Another task at the same ENI is not asked about.
#[test]
fn only_the_task_that_is_asked_about_is_listed() {
    let case = Case::with_tasks(case!("subnets-differ"), 3);
    let third = *case.snapshot.tasks().find(|task| task.number == 3).unwrap();
    let explained = case.running("web", "db:5432", Tasks::One(third));
    assert_eq!(value(&explained)["classes"][0]["tasks"], json!(["web/3"]));
    let shown = text(&explained);
    assert!(shown.contains("\ncovers: subnet-a, web/3, source ports 1024-65535\n"), "{shown}");
}

#[test]
fn many_tasks_are_listed_by_number_and_only_the_first_ones_for_people() {
    let one = case!("subnets-differ").replace("[\"subnet-a\", \"subnet-b\"]", "[\"subnet-a\"]");
    let explained = Case::with_tasks(&one, 12).running("web", "db:5432", Tasks::Running);
    let all: Vec<String> = (1..=12).map(|number| format!("web/{number}")).collect();
    assert_eq!(value(&explained)["classes"][0]["tasks"], json!(all));
    let shown = text(&explained);
    let covers =
        "covers: subnet-a, web/1, web/2, web/3, web/4, … and 8 more, source ports 1024-65535\n";
    assert!(shown.contains(covers), "{shown}");
}

#[test]
fn a_class_without_a_task_says_so() {
    let case = Case::with_tasks(case!("subnets-differ"), 1);
    let possible = case.running("web", "db:5432", Tasks::Possible);
    assert_eq!(possible.verdict(), SetVerdict::Mixed);
    let shown = text(&possible);
    assert!(shown.contains("no task now"), "{shown}");
    assert!(shown.contains("service: web, task 2 (not running)"), "{shown}");
    let running = case.running("web", "db:5432", Tasks::Running);
    assert_eq!(running.verdict(), SetVerdict::Forward, "only the subnet with a task is asked");
}

#[test]
fn tasks_that_run_are_wanted_and_none_does() {
    let case = Case::new(case!("subnets-differ"));
    let asking = Asking { tasks: Tasks::Running, ..case.asking("web", "db") };
    assert_eq!(
        ask(&case.snapshot, &asking, &mut || true).unwrap_err().to_string(),
        "service web has no task now; `egret task add web` makes one, or ask without --running"
    );
}

#[test]
fn a_name_means_what_the_tasks_resolver_answers() {
    let case = Case::new(case!("endpoint-shadows-host"));
    let explained = case.ask("fn", "https://secretsmanager.us-east-1.amazonaws.com/");
    let value = value(&explained);
    assert_eq!(explained.verdict(), SetVerdict::Drop);
    assert_eq!(classes(&value), [class("drop", "sg-ingress-implicit-deny", 1000.0)]);
    let asked = value["question"]["destinations"].as_array().unwrap();
    let of_subnet = |at: usize, block: &str| asked[at]["from"].as_str().unwrap().starts_with(block);
    assert_eq!(asked.len(), 2);
    assert!(of_subnet(0, "10.0.1.") && of_subnet(1, "10.0.2."), "{asked:?}");
    assert_eq!(value["decided_by"]["id"], "vpc-a/default", "the endpoint's group");
}

#[test]
fn a_label_is_its_address_and_a_name_that_does_not_resolve_is_dropped() {
    let case = Case::new(case!("name-of-peer"));
    let label = case.ask("web", "redis");
    assert_eq!(label.verdict(), SetVerdict::Forward);
    let note = "no DNS name in VPC vpc-app leads to redis, only its address does";
    assert_eq!(value(&label)["notes"], json!([note]));
    assert!(text(&label).contains(&format!("\nnote: {note}\n")));
    let name = case.ask("web", "redis.abc123.use1.cache.amazonaws.com");
    let value = value(&name);
    assert_eq!(name.verdict(), SetVerdict::Drop);
    assert_eq!((&value["reason"], &value["classes"]), (&json!("name-not-resolved"), &json!([])));
    assert_eq!(value["by_address"]["verdict"], "forward");
    assert_eq!(value["by_address"]["inside"]["dst"], "172.31.16.10");
    let shown = text(&name);
    assert!(shown.starts_with("DROP name-not-resolved\n"), "{shown}");
    assert!(shown.contains("\nBy address:\nFORWARD\n"), "{shown}");
}

/// One of three connections passes; the exit code must not say that all do.
#[test]
fn each_address_of_a_name_counts_even_if_no_interface_has_it() {
    let zone = "[[private_zone]]\nname = \"corp\"\nvpcs = [\"vpc-0\"]\nrecords = [{ name = \"db\", \
        type = \"A\", values = [\"10.0.3.20\", \"10.0.3.77\", \"10.0.3.99\"] }]\n";
    let one = case!("subnets-differ").replace("[\"subnet-a\", \"subnet-b\"]", "[\"subnet-a\"]");
    let named = one.replace("/16\"\n", "/16\"\nenable_dns_hostnames = true\n");
    let case = Case::new(&format!("{named}{zone}"));
    let explained = case.ask("web", "db.corp:5432");
    assert_eq!(explained.verdict(), SetVerdict::Mixed);
    let value = value(&explained);
    assert_eq!(
        classes(&value),
        [class("drop", "no-interface", 667.0), class("forward", "-", 333.0)]
    );
    assert_eq!(value["notes"], json!([]));
    assert_eq!(case.ask("web", "10.0.3.0/24:5432").verdict(), SetVerdict::Forward, "a block");
}

#[test]
fn every_other_case_is_dropped_by_the_rule_that_decides() {
    for (text, service, destination, reason, decider) in [
        (case!("endpoint-not-in-table"), "fn", "s3:443", "no-route", "rtb-priv"),
        (case!("private-nat-igw"), "web", "api", "nacl-egress-deny", "acl-n"),
        (case!("neighbours"), "new", "example", "igw-no-public-address", "igw-a"),
        (case!("prefix-list"), "app", "s3-layers:443", "sg-egress-implicit-deny", "sg-task"),
        (case!("two-groups"), "web", "db:5432", "sg-egress-implicit-deny", "sg-a,sg-b"),
    ] {
        let value = value(&Case::new(text).ask(service, destination));
        assert_eq!(classes(&value), [class("drop", reason, 1000.0)], "{destination}");
        assert_eq!(value["decided_by"]["id"], decider, "{destination}");
    }
    let value = value(&Case::new(case!("two-groups")).ask("web", "db:5432"));
    let lines = value["decided_by"]["groups"].as_array().unwrap();
    assert_eq!(
        lines.iter().map(|group| group["line"].as_u64()).collect::<Vec<_>>(),
        [Some(9), Some(13)]
    );
}

#[test]
fn paths_that_all_pass_are_one_answer() {
    let open = case!("subnets-differ").replace(
        "= []",
        "= [{ rule = 1, protocol = \"all\", action = \"allow\", cidr = \"0.0.0.0/0\" }]",
    );
    let explained = Case::new(&open).ask("web", "db");
    assert_eq!((explained.verdict(), classes(&value(&explained)).len()), (SetVerdict::Forward, 2));
    let shown = text(&explained);
    assert!(shown.starts_with("FORWARD\npacket: "), "{shown}");
    assert!(
        shown.contains("\ncovers: 2 subnets, any free address, source ports 1024-65535\n"),
        "{shown}"
    );
}

#[test]
fn a_block_has_its_resources_and_what_no_interface_has_does_not_count() {
    let explained = Case::new(case!("reply-ports-eni")).ask("web", "10.0.0.0/16:5432");
    let value = value(&explained);
    let classes = value["classes"].as_array().unwrap();
    let others: Vec<_> = classes.iter().filter(|c| c["counts"] == false).collect();
    let reasons: Vec<_> = others.iter().map(|class| &class["reason"]).collect();
    assert_eq!(reasons, ["no-interface", "exempt-address-unserved"]);
    assert_eq!(classes[classes.len() - 2..].iter().collect::<Vec<_>>(), others, "they come last");
    assert_eq!(value["notes"], json!(["not counted: 65,533 addresses that no interface has"]));
    insta::assert_snapshot!("block_text", text(&explained));
}

#[test]
fn the_internet_is_what_no_vpc_has() {
    let case = Case::new(case!("reply-ports-nat"));
    let explained = case.ask("web", "internet:443");
    let value = value(&explained);
    let asked = value["question"]["destinations"].as_array().unwrap();
    let of = |address: &str| json!({ "from": address }).get("from").cloned();
    assert_eq!(asked.first().and_then(|span| span.get("from")), of("1.0.0.0").as_ref());
    assert!(asked.iter().all(|span| span["from"] != "10.0.0.0"));
    let note = value["notes"][0].as_str().unwrap();
    assert!(note.ends_with("the verdict is about the VPC alone"), "{note}");
    insta::assert_snapshot!("internet_text", text(&explained));
}

#[test]
fn a_resource_called_internet_hides_the_keyword() {
    let named = case!("reply-ports-nat").replace("name = \"api\"", "name = \"internet\"");
    let explained = Case::new(&named).ask("web", "internet");
    let value = value(&explained);
    let own = json!([{ "from": "203.0.113.10", "to": "203.0.113.10" }]);
    assert_eq!(value["question"]["destinations"], own);
    assert!(value["notes"][0].as_str().unwrap().contains("is a name in this lab"));
}

#[test]
fn ports_that_are_not_given_are_those_that_are_listened_on() {
    let both = case!("reply-ports-nat").replace("[\"443/tcp\"]", "[\"443/https\", \"53/udp\"]");
    let case = Case::new(&both);
    let ports =
        |destination: &str| value(&case.ask("web", destination))["question"]["ports"].clone();
    let tcp = json!({ "protocol": "tcp", "from": 443, "to": 443 });
    let udp = json!({ "protocol": "udp", "from": 53, "to": 53 });
    assert_eq!(ports("api"), json!([tcp, udp]));
    assert_eq!(ports("api/udp"), json!([udp]));
    assert_eq!(ports("203.0.113.10/tcp"), json!([tcp]));
    assert_eq!(ports("api/icmp"), json!([{ "protocol": "icmp" }]));
    let without = Case::new(case!("reply-ports-nat"));
    assert_eq!(
        without.error("api/udp"),
        "api has no udp listener: give a port, such as api:443/udp"
    );
    assert_eq!(
        without.error("203.0.113.11"),
        "203.0.113.11 has no listener: give a port, such as 203.0.113.11:443"
    );
    assert_eq!(
        without.error("internet"),
        "internet needs a port: write internet:PORT, such as internet:443, \
         or internet:* for all protocols and ports"
    );
    assert!(without.error("nowhere").starts_with("`nowhere` is neither an IPv4 address nor"));
}

#[test]
fn an_answer_that_is_not_wanted_is_not_given() {
    let case = Case::new(case!("reply-ports-nat"));
    let asking = case.asking("web", "internet:*");
    let answer = ask(&case.snapshot, &asking, &mut || false);
    assert_eq!(answer.unwrap_err(), AskError::Interrupted);
}

#[test]
fn all_packets_of_one_verdict_are_said_to_be_covered() {
    let open = case!("reply-ports-nat").replace("32768-65535", "1024-65535");
    let explained = Case::new(&open).ask("web", "api:80,443");
    assert_eq!(explained.verdict(), SetVerdict::Forward);
    let shown = text(&explained);
    let covers = [
        "covers: subnet-a, any free address, source ports 1024-65535, any address and port of a NAT gateway,",
        "        ports tcp 80, 443\n",
    ]
    .join("\n");
    assert!(shown.contains(&covers), "{shown}");
    assert!(text(&explained).lines().all(|line| !line.starts_with("VERDICT")), "{shown}");
}

/// It gets its public address from AWS when it starts.
#[test]
fn a_public_address_that_is_not_chosen_yet_is_not_shown() {
    let own = "[[service]]\nname = \"task\"\nkind = \"fargate\"\nsubnets = [\"pub-a\"]\nassign_public_ip = true\ntasks = 0\n";
    let case = Case::new(&format!("{}{own}", case!("neighbours")));
    let explained = case.ask("task", "example");
    let shown = text(&explained);
    assert!(
        shown.contains("\narrives as: tcp <new address>:49152 -> 203.0.113.10:443\n"),
        "{shown}"
    );
    assert!(shown.contains("which sees it come from <new address>:49152."), "{shown}");
    assert!(shown.contains(" -> <new address>:49152\n"), "{shown}");
    assert!(!shown.contains("0.0.0.1"), "{shown}");
    assert_eq!(value(&explained)["outside"], Value::Null);
}

#[test]
fn no_line_is_wider_than_a_terminal() {
    let long = case!("name-of-peer").replace("rtb-app", "rtb-0123456789abcdef0123456789");
    let long = long.replace("app-a", "subnet-0123456789abcdef0123456789");
    for destination in ["redis", "172.31.0.0/16:6379", "redis.abc123.use1.cache.amazonaws.com"] {
        assert_narrow(&text(&Case::new(&long).ask("web", destination)));
    }
    for lab in [case!("nat-second-address"), case!("subnets-differ"), case!("reply-ports-nat")] {
        assert_narrow(&text(&Case::new(lab).ask("web", "0.0.0.0/0:*")));
    }
}

fn assert_narrow(shown: &str) {
    let widest = shown.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= width::width(), "{widest}");
}

#[test]
fn places_in_a_source_are_named_in_every_class() {
    let mut explanation = Case::new(case!("reply-ports-eni")).ask("web", "db").explanation();
    explanation.name_places(&|line| format!("template.yaml: Line{line}"));
    let value = serde_json::to_value(explanation).unwrap();
    let line = value["decided_by"]["line"].as_u64().unwrap();
    let place = json!(format!("template.yaml: Line{line}"));
    assert_eq!(value["decided_by"]["place"], place);
    assert_eq!(value["classes"][0]["decided_by"]["place"], place);
    let passing = value["classes"][1]["steps"].as_array().unwrap();
    let stated = passing.iter().filter(|step| !step["line"].is_null());
    assert!(stated.clone().count() > 0 && stated.clone().all(|step| step["place"].is_string()));
}
