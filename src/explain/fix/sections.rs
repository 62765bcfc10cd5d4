//! Writes whole sections of the lab file: for objects that it implies so far, and for new ones.

use super::ids::free_id;
use super::new_endpoint::{Guard, HTTPS, Listed, NewGateway, NewInterface};
use super::words::{group_rule, quoted};
use crate::vpc::{Direction, RouteTableIx, SecurityGroupIx, SecurityGroupRule, Snapshot};
use ipnetwork::Ipv4Network;

/// Returns the section of an implied default group, with the rules that it implies and further
/// ones.
pub(super) fn default_group(
    snapshot: &Snapshot,
    ix: SecurityGroupIx,
    direction: Direction,
    added: &[String],
) -> String {
    let group = snapshot.security_group(ix);
    let id = section_id(&group.id, snapshot);
    let of = |other: Direction| {
        let rule = |rule: &SecurityGroupRule| group_rule(rule, other, snapshot);
        let mut all: Vec<String> = group.rules(other).iter().map(rule).collect();
        all.extend(added.iter().filter(|_| other == direction).cloned());
        all.iter_mut().for_each(|rule| *rule = by_section(rule, ix, snapshot));
        list(&other.to_string(), &all)
    };
    let head = format!("[[security_group]]\nid = \"{id}\"");
    let vpc = format!("vpc = \"{}\"\ndefault = true", snapshot.vpc(group.vpc).id);
    [head, vpc, of(Direction::Ingress), of(Direction::Egress)].join("\n")
}

/// Names an implied group in a rule by the section that it gets.
pub(super) fn by_section(rule: &str, group: SecurityGroupIx, snapshot: &Snapshot) -> String {
    let id = &snapshot.security_group(group).id;
    rule.replace(&format!("\"{id}\""), &format!("\"{}\"", section_id(id, snapshot)))
}

/// Returns the section of an implied main route table, with these routes.
pub(super) fn main_table(snapshot: &Snapshot, ix: RouteTableIx, routes: &[String]) -> String {
    let table = snapshot.route_table(ix);
    let head = format!("[[route_table]]\nid = \"{}\"", section_id(&table.id, snapshot));
    let vpc = format!("vpc = \"{}\"\nmain = true", snapshot.vpc(table.vpc).id);
    match routes {
        [] => format!("{head}\n{vpc}"),
        routes => format!("{head}\n{vpc}\n{}", list("routes", routes)),
    }
}

/// Returns the sections of a new interface endpoint.
pub(super) fn interface(endpoint: &NewInterface, snapshot: &Snapshot) -> String {
    let vpc = &snapshot.vpc(endpoint.vpc).id;
    let (group, groups) = match &endpoint.guard {
        Guard::Groups(all) => {
            let all = all.iter().map(|ix| snapshot.security_group(*ix));
            (None, all.filter(|own| own.line > 0).map(|own| own.id.clone()).collect())
        }
        Guard::New { id, ingress } => (Some(group(id, vpc, ingress, snapshot)), vec![id.clone()]),
    };
    let subnets = endpoint.subnets.iter().map(|ix| snapshot.subnet(*ix).id.clone());
    let mut lines = vec![
        "[[vpc_endpoint]]".to_owned(),
        format!("id = \"{}\"", endpoint.id),
        format!("vpc = \"{vpc}\""),
        "kind = \"interface\"".to_owned(),
        format!("service = \"{}\"", endpoint.service),
        format!("subnets = [{}]", quoted(subnets)),
    ];
    if !groups.is_empty() {
        lines.push(format!("security_groups = [{}]", quoted(groups)));
    }
    lines.push(format!("listen = [\"{HTTPS}/tcp\"]"));
    group.into_iter().chain([lines.join("\n")]).collect::<Vec<_>>().join("\n\n")
}

fn group(id: &str, vpc: &str, ingress: &[SecurityGroupRule], snapshot: &Snapshot) -> String {
    let rules = ingress.iter().map(|rule| group_rule(rule, Direction::Ingress, snapshot));
    let ingress = list("ingress", &rules.collect::<Vec<_>>());
    format!("[[security_group]]\nid = \"{id}\"\nvpc = \"{vpc}\"\n{ingress}\negress = []")
}

/// Returns the sections of a new gateway endpoint.
pub(super) fn gateway(endpoint: &NewGateway, snapshot: &Snapshot) -> String {
    let vpc = &snapshot.vpc(endpoint.vpc).id;
    let (list, id) = match &endpoint.list {
        Listed::Known(ix) => (None, snapshot.prefix_list(*ix).id.clone()),
        Listed::New { id, entries } => (Some(prefix_list(id, entries)), id.clone()),
    };
    let implied = endpoint.tables.iter().filter(|ix| snapshot.route_table(**ix).line == 0);
    let tables = endpoint.tables.iter().map(|ix| match snapshot.route_table(*ix) {
        own if own.line > 0 => own.id.clone(),
        own => section_id(&own.id, snapshot),
    });
    let own = [
        "[[vpc_endpoint]]".to_owned(),
        format!("id = \"{}\"", endpoint.id),
        format!("vpc = \"{vpc}\""),
        "kind = \"gateway\"".to_owned(),
        format!("service = \"{}\"", endpoint.service),
        format!("prefix_list = \"{id}\""),
        format!("route_tables = [{}]", quoted(tables)),
    ];
    let tables = implied.map(|ix| main_table(snapshot, *ix, &[]));
    list.into_iter().chain([own.join("\n")]).chain(tables).collect::<Vec<_>>().join("\n\n")
}

fn prefix_list(id: &str, entries: &[Ipv4Network]) -> String {
    let entries = quoted(entries.iter().map(Ipv4Network::to_string));
    format!("[[prefix_list]]\nid = \"{id}\"\nentries = [{entries}]")
}

/// Returns a free name for an object that the lab file implies: the file could not use the implied
/// one.
fn section_id(implied: &str, snapshot: &Snapshot) -> String {
    free_id(snapshot, &implied.replace('/', "-"))
}

fn list(key: &str, rules: &[String]) -> String {
    match rules {
        [one] => format!("{key} = [{one}]"),
        several => {
            let lines = several.iter().map(|rule| format!("\n    {rule},"));
            format!("{key} = [{}\n]", lines.collect::<String>())
        }
    }
}
