//! Changes that are proposed: in labs where the first that comes to mind is wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::Lab;
use crate::pipeline::reach::{Addresses, Tasks};
use crate::vpc::Generation;

fn ask(lab: &str, service: &str, destination: &str) -> Explained {
    let lab = Lab::parse("lab.toml", lab).unwrap();
    let snapshot = lab.lower(Generation(1));
    let asking = Asking {
        service: TaskRef::parse(service, &snapshot).unwrap().service,
        tasks: Tasks::Possible,
        addresses: Addresses::Open,
        pool: lab.task_cidr,
        destination,
        protocol: None,
        source_port: None,
    };
    super::ask(&snapshot, &asking, &mut || true).unwrap()
}

/// Returns the object, the action and the rule.
fn proposed(lab: &str, service: &str, destination: &str) -> Option<(String, String, String)> {
    let explained = ask(lab, service, destination);
    explained.fix().map(|fix| (fix.id.clone(), fix.action.clone(), fix.rule.clone()))
}

fn some(id: &str, action: &str, rule: &str) -> Option<(String, String, String)> {
    Some((id.to_owned(), action.to_owned(), rule.to_owned()))
}

#[test]
fn a_prefix_list_that_an_endpoint_uses_is_the_peer_of_a_rule() {
    let lab = include_str!("cases/prefix-list.toml");
    let rule = r#"{ protocol = "tcp", ports = "443", to = "pl-s3" }"#;
    assert_eq!(proposed(lab, "app", "s3-layers:443"), some("sg-task", "add to egress", rule));
}

#[test]
fn a_table_is_added_to_an_endpoint_that_has_the_destination() {
    let lab = include_str!("cases/endpoint-not-in-table.toml");
    let expected = some("vpce-s3", "add to route_tables", "\"rtb-priv\"");
    assert_eq!(proposed(lab, "fn", "s3:443"), expected);
}

#[test]
fn a_connector_is_moved_before_a_table_is_changed_that_others_use() {
    let lab = include_str!("cases/neighbours.toml");
    let expected = some("wrong", "change", r#"subnets = ["priv-a"]"#);
    assert_eq!(proposed(lab, "new", "example"), expected);
}
