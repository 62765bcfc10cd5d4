//! Tests of `[[service]]` of every kind: its keys, its ENIs, and its warnings.

use super::*;
use crate::config::plan::PlannedEni;
use crate::vpc::ServiceKind;
use std::collections::{BTreeMap, BTreeSet};

const CONNECTOR: &str = "[[security_group]]\nid = \"sg\"\nvpc = \"vpc-a\"\n\
    [[vpc_connector]]\nname = \"connector\"\nsubnets = [\"subnet-a\", \"subnet-a2\"]\nsecurity_groups = [\"sg\"]\n";

fn service(name: &str, kind: &str, more: &str) -> String {
    format!("[[service]]\nname = \"{name}\"\nkind = \"{kind}\"\n{more}\n")
}

fn text(services: &[String]) -> String {
    based(&format!("{CONNECTOR}{}", services.concat()))
}

fn enis(lab: &Lab, kind: ServiceKind) -> Vec<&PlannedEni> {
    lab.plan.enis.iter().filter(|eni| eni.key.kind == kind).collect()
}

#[test]
fn hyperplane_enis_are_shared_within_a_kind() {
    let own = "subnets = [\"subnet-a\"]\nsecurity_groups = [\"sg\"]";
    let lab = lab(&text(&[
        service("web", "apprunner", "vpc_connector = \"connector\""),
        service("one", "lambda", own),
        service("two", "lambda", "vpc_connector = \"connector\""),
        service("three", "lambda", ""),
    ]));
    let [runner, lambda] = [ServiceKind::AppRunner, ServiceKind::Lambda].map(|k| enis(&lab, k));
    assert_eq!((runner.len(), lambda.len()), (2, 2));
    assert!(lambda.iter().all(|eni| runner.iter().all(|other| other.address != eni.address)));
    let snapshot = lab.lower(Generation(1));
    let by = |service| snapshot.choose_eni(crate::vpc::ServiceIx(service), 1);
    assert!(by(1).is_some() && by(1) == by(2));
    assert_ne!(by(0), by(1));
    assert_eq!(by(3), None, "outside of every VPC");
    assert!(lab.plan.apprunner_address.is_some());
}

#[test]
fn the_ids_of_app_runners_enis_are_those_of_before() {
    let named = text(&[service("web", "apprunner", "vpc_connector = \"connector\"")])
        .replace("subnet-a\"", "subnet-private-a\"")
        .replace("\"sg\"", "\"sg-app\"");
    assert_eq!(lab(&named).plan.enis[0].id, "eni-0ca70d0fc6c6374b8");
}

#[test]
fn each_fargate_task_has_an_eni_and_those_by_hand_too() {
    let fargate = service("job", "fargate", "vpc_connector = \"connector\"\ntasks = 3");
    let file = lab(&text(std::slice::from_ref(&fargate)));
    let own = enis(&file, ServiceKind::Fargate);
    let subnets: Vec<_> = own.iter().map(|eni| eni.key.subnet.as_str()).collect();
    assert_eq!(subnets, ["subnet-a", "subnet-a2", "subnet-a"], "zones in turn");
    assert!(own.iter().all(|eni| eni.public_address.is_none()));

    let tasks_by_hand = BTreeMap::from([("job".to_owned(), BTreeSet::from([2, 7]))]);
    let more = file.with_overlay(Overlay { tasks_by_hand, ..Overlay::default() }).unwrap();
    assert_eq!(more.plan.enis.len(), 4);
    assert_eq!(
        file.following(&more).unwrap().plan.enis,
        more.plan.enis,
        "another process has them"
    );
    let other = Lab::parse("lab.toml", &text(&[])).unwrap().following(&more).unwrap();
    assert_eq!(other.overlay, Overlay::default(), "of a service that is removed nothing is kept");
    assert_eq!(more.plan.enis[..3], file.plan.enis[..3]);
    let fewer = Lab::parse_after(
        Some(&more),
        "lab.toml",
        &text(&[fargate.replace("tasks = 3", "tasks = 1")]),
    );
    assert_eq!(fewer.unwrap().plan.enis, file.plan.enis[..1]);
}

#[test]
fn public_addresses_are_of_fargate_tasks() {
    let public = "subnets = [\"subnet-a\"]\nassign_public_ip = true\ntasks = 2";
    let with = lab(&text(&[service("edge", "fargate", public)]));
    let [one, two] = &*with.plan.enis else { panic!() };
    assert!(one.public_address.is_some() && one.public_address != two.public_address);
    let lint: Vec<_> = with.lint().into_iter().map(|d| d.rule).collect();
    assert!(lint.contains(&"public-address-without-way"), "{lint:?}");

    let igw = "[[route_table]]\nid = \"rtb\"\nvpc = \"vpc-a\"\nmain = true\n\
               routes = [{ destination = \"0.0.0.0/0\", target = \"igw-a\" }]\n";
    let rules = |more: &str| {
        let lab = lab(&based(&format!("{igw}{}", service("edge", "fargate", more))));
        lab.lint().into_iter().map(|d| (d.rule, d.message)).collect::<Vec<_>>()
    };
    assert!(!rules(public).iter().any(|(rule, _)| rule.starts_with("public-")));
    let trap = rules("subnets = [\"subnet-a\"]");
    let found = trap.iter().find(|(rule, _)| *rule == "public-subnet-in-connector").unwrap();
    assert!(found.1.contains("a Fargate task without a public address"), "{found:?}");
    assert!(
        trap.iter().any(|(_, m)| m.starts_with("Fargate service \"edge\" is in one")),
        "{trap:?}"
    );
}

#[test]
fn keys_that_a_kind_does_not_have_are_named() {
    let rules = |kind, more| {
        let found = errors(&text(&[service("x", kind, more)]));
        found.iter().map(|d| (d.rule, d.message.clone())).collect::<Vec<_>>()
    };
    for (kind, more, rule) in [
        ("apprunner", "subnets = [\"subnet-a\"]", "not-of-this-kind"),
        ("apprunner", "assign_public_ip = true", "not-of-this-kind"),
        ("lambda", "egress = \"vpc\"", "not-of-this-kind"),
        ("lambda", "subnets = [\"subnet-a\"]\nassign_public_ip = true", "not-of-this-kind"),
        ("lambda", "security_groups = [\"sg\"]", "groups-without-subnets"),
        ("lambda", "subnets = []", "empty-list"),
        ("lambda", "subnets = [\"subnet-a\"]\nvpc_connector = \"connector\"", "two-networks"),
        ("lambda", "subnets = [\"subnet-a\", \"subnet-b\"]", "wrong-vpc"),
        ("fargate", "", "missing-key"),
        ("fargate", "security_groups = [\"sg\"]", "missing-key"),
        ("fargate", "subnets = [\"no-such\"]", "dangling-id"),
        ("ecs", "", "unknown-word"),
    ] {
        let found = rules(kind, more);
        assert_eq!(found.len(), 1, "{kind} {more}: {found:?}");
        assert_eq!(found[0].0, rule, "{kind} {more}: {found:?}");
    }
    // A fault in a connector that two services use is reported once.
    let twice = [
        service("a", "lambda", "vpc_connector = \"connector\""),
        service("b", "fargate", "vpc_connector = \"connector\""),
    ];
    let found =
        errors(&text(&twice).replace("\"subnet-a\", \"subnet-a2\"", "\"subnet-a\", \"subnet-b\""));
    assert_eq!(found.iter().map(|d| d.rule).collect::<Vec<_>>(), ["wrong-vpc"]);
}

#[test]
fn a_change_of_kind_is_a_change_of_the_service() {
    let before = lab(&text(&[service("x", "lambda", "vpc_connector = \"connector\"")]));
    let after = lab(&text(&[service("x", "fargate", "vpc_connector = \"connector\"")]));
    let all = changes::changes(&before, &after);
    let service = all.iter().find(|change| change.kind == "service").unwrap();
    assert_eq!(service.details.len(), 1, "{service:?}");
    assert_eq!(service.details[0].after.as_deref(), Some("fargate"));
    assert!(!all.iter().any(|change| change.kind == "VPC connector"), "{all:?}");
    assert_eq!(all.iter().filter(|change| change.kind == "ENI").count(), 3);
}
