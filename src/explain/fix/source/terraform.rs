//! Writes a change as resources or blocks of Terraform, by the addresses of the source. Rules,
//! routes and entries are written as the source writes the object's existing ones: inside it, or as
//! resources of their own. A mix of both makes Terraform undo one with the other.

use super::hcl::{Item, block, identifier};
use super::objects::{Named, Object, Objects};
use super::references::{Module, address, set_list};
use super::subject::Subject;
use super::terraform_endpoints::{gateway_endpoint, interface_endpoint};
use super::terraform_groups::{inline_rule, rule_apart};
use super::traffic::{ALL, Traffic};
use super::words::Words;
use crate::config::import::Address;
use crate::explain::fix::change::Change;
use crate::vpc::{
    AclRule, ConnectorIx, Destination, Direction, GatewayEndpointIx, NetworkAclIx, PrefixListIx,
    ResourceIx, RouteTableIx, SecurityGroupIx, SecurityGroupRule, SubnetIx, Target,
};
use ipnetwork::Ipv4Network;

/// Writes blocks; the error names what the source does not have.
pub(super) fn written(change: &Change, objects: Objects<'_>) -> Result<Words, String> {
    match change {
        Change::GroupRules { group, direction, rules } => {
            group_rules(objects, *group, *direction, rules)
        }
        Change::AclRules { acl, direction, rules } => acl_rules(objects, *acl, *direction, rules),
        Change::AddRoute { table, destination, target } => {
            add_route(objects, *table, *destination, target)
        }
        Change::Redirect { table, position, target } => {
            redirect(objects, (*table, *position), target)
        }
        Change::EndpointTable { endpoint, table } => endpoint_table(objects, *endpoint, *table),
        Change::ListEntries { list, entries } => list_entries(objects, *list, entries),
        Change::MoveConnector { connector, subnets } => {
            move_connector(objects, *connector, subnets)
        }
        Change::PublicAddresses { connector } => {
            let name = &objects.snapshot.connector(*connector).name;
            Err(format!("the source has no ECS service {name}"))
        }
        Change::SourceDestCheckOff { appliance } => source_dest_check_off(objects, *appliance),
        Change::InterfaceEndpoint(new) => interface_endpoint(objects, new),
        Change::GatewayEndpoint(new) => gateway_endpoint(objects, new),
    }
}

fn group_rules(
    objects: Objects<'_>,
    group: SecurityGroupIx,
    direction: Direction,
    rules: &[SecurityGroupRule],
) -> Result<Words, String> {
    let mut subject = Subject::of(objects, objects.group(group)?)?;
    if subject.is_inline() {
        let within: Result<Vec<Item>, String> = rules
            .iter()
            .map(|rule| inline_rule(&subject, (Some(group), direction), rule))
            .collect();
        return Ok(subject.changed(within?));
    }
    let blocks: Result<Vec<String>, String> =
        rules.iter().map(|rule| rule_apart(&mut subject, direction, rule)).collect();
    Ok(subject.added(blocks?))
}

fn acl_rules(
    objects: Objects<'_>,
    acl: NetworkAclIx,
    direction: Direction,
    rules: &[AclRule],
) -> Result<Words, String> {
    let mut subject = Subject::of(objects, objects.acl(acl)?)?;
    if subject.is_inline() {
        let within = rules.iter().map(|rule| {
            let mut body = vec![
                Item::attribute("rule_no", rule.number.to_string()),
                Item::text("action", "allow"),
            ];
            body.append(&mut acl_traffic(rule));
            Item::Block(direction.to_string(), body)
        });
        return Ok(subject.changed(within.collect()));
    }
    let mut blocks = Vec::new();
    for rule in rules {
        let mut body = Vec::new();
        subject.module.id(subject.object)?.set("network_acl_id", &mut body);
        let is_egress = direction == Direction::Egress;
        body.push(Item::attribute("egress", is_egress.to_string()));
        body.push(Item::attribute("rule_number", rule.number.to_string()));
        body.push(Item::text("rule_action", "allow"));
        body.append(&mut acl_traffic(rule));
        let like = format!("{}_{direction}_{}", subject.address.name, rule.number);
        blocks.push(block(&subject.module.head("aws_network_acl_rule", &like), &body));
    }
    Ok(subject.added(blocks))
}

fn acl_traffic(rule: &AclRule) -> Vec<Item> {
    let traffic = Traffic::of(&rule.traffic);
    let (from, to) = traffic.ports.unwrap_or((0, 0));
    let mut items = vec![
        Item::text("protocol", if traffic.number == ALL { ALL } else { &traffic.number }),
        Item::text("cidr_block", rule.cidr.to_string()),
        Item::attribute("from_port", from.to_string()),
        Item::attribute("to_port", to.to_string()),
    ];
    if let Some((kind, code)) = traffic.icmp {
        items.push(Item::attribute("icmp_type", kind.to_string()));
        items.push(Item::attribute("icmp_code", code.to_string()));
    }
    items
}

fn add_route(
    objects: Objects<'_>,
    table: RouteTableIx,
    destination: Ipv4Network,
    target: &Target,
) -> Result<Words, String> {
    let mut subject = Subject::of(objects, objects.table(table)?)?;
    let hop = objects.target(target, table)?;
    let (key, target) = subject.module.target(hop)?;
    let mut body = Vec::new();
    if subject.is_inline() {
        body.push(Item::text("cidr_block", destination.to_string()));
        target.set(key, &mut body);
        return Ok(subject.changed(vec![Item::Block("route".to_owned(), body)]));
    }
    subject.module.id(subject.object)?.set("route_table_id", &mut body);
    body.push(Item::text("destination_cidr_block", destination.to_string()));
    target.set(key, &mut body);
    let like = format!("{}_to_{}", subject.address.name, address(hop.named())?.name);
    let added = block(&subject.module.head("aws_route", &like), &body);
    Ok(subject.added(vec![added]))
}

/// Changes the target of a route, which is a resource or a block of its table.
fn redirect(
    objects: Objects<'_>,
    (table, position): (RouteTableIx, u16),
    target: &Target,
) -> Result<Words, String> {
    let route = &objects.snapshot.route_table(table).routes[usize::from(position)];
    let place = objects.source.place(route.line).and_then(|place| Address::parse(&place.path));
    let mut subject = Subject::of(objects, objects.table(table)?)?;
    let place = place.filter(|place| place.kind == "aws_route");
    if let Some(place) = &place {
        subject.module = Module::of(place, objects);
    }
    let (key, target) = subject.module.target(objects.target(target, table)?)?;
    let mut body = Vec::new();
    if let Some(place) = place {
        let instead = format!("in place of the target that {place} has");
        body.push(Item::Comment(instead));
        target.set(key, &mut body);
        subject.address = place;
        return Ok(subject.changed(body));
    }
    match route.destination {
        Destination::Cidr(cidr) => body.push(Item::text("cidr_block", cidr.to_string())),
        Destination::PrefixList(ix) => {
            let list = subject.module.id(objects.list(ix)?)?;
            list.set("destination_prefix_list_id", &mut body);
        }
    }
    body.push(Item::Comment("in place of the target that the route has".to_owned()));
    target.set(key, &mut body);
    Ok(subject.changed(vec![Item::Block("route".to_owned(), body)]))
}

fn endpoint_table(
    objects: Objects<'_>,
    endpoint: GatewayEndpointIx,
    table: RouteTableIx,
) -> Result<Words, String> {
    let own = objects.endpoint(endpoint)?;
    let mut subject = Subject::of(objects, Object::Own(own))?;
    let added = objects.table(table)?;
    let mut body = Vec::new();
    if subject.is_inline() {
        let ids = objects.tables_of(endpoint).into_iter().chain([Ok(added)]);
        let ids: Result<Vec<_>, String> = ids.map(|object| subject.module.id(object?)).collect();
        set_list("route_table_ids", ids?, &mut body);
        return Ok(subject.changed(body));
    }
    subject.module.refer(own, "id")?.set("vpc_endpoint_id", &mut body);
    subject.module.id(added)?.set("route_table_id", &mut body);
    let like = format!("{}_in_{}", subject.address.name, Subject::of(objects, added)?.address.name);
    let head = subject.module.head("aws_vpc_endpoint_route_table_association", &like);
    Ok(subject.added(vec![block(&head, &body)]))
}

fn list_entries(
    objects: Objects<'_>,
    list: PrefixListIx,
    entries: &[Ipv4Network],
) -> Result<Words, String> {
    let own = objects.own_list(list)?;
    let mut subject = Subject::of(objects, Object::Own(own))?;
    let larger = objects.larger(list, own, entries.len());
    if subject.is_inline() {
        let most = larger.map(|most| Item::attribute("max_entries", most.to_string()));
        let entry = |entry: &Ipv4Network| {
            let body = vec![Item::text("cidr", entry.to_string())];
            Item::Block("entry".to_owned(), body)
        };
        return Ok(subject.changed(most.into_iter().chain(entries.iter().map(entry)).collect()));
    }
    if larger.is_some() {
        return Err(format!("{} needs a larger max_entries first", subject.whole_address()));
    }
    let mut blocks = Vec::new();
    for entry in entries {
        let mut body = vec![Item::text("cidr", entry.to_string())];
        subject.module.refer(own, "id")?.set("prefix_list_id", &mut body);
        let like = identifier(&format!("{}_{entry}", subject.address.name));
        let head = subject.module.head("aws_ec2_managed_prefix_list_entry", &like);
        blocks.push(block(&head, &body));
    }
    Ok(subject.added(blocks))
}

/// Gives a connector other subnets, which replaces it: its services use the new one before the old
/// one ends.
fn move_connector(
    objects: Objects<'_>,
    connector: ConnectorIx,
    subnets: &[SubnetIx],
) -> Result<Words, String> {
    let own = objects.connector(objects.snapshot.connector(connector))?;
    let named = Named { id: &own.id, origin: &own.origin };
    let subject = Subject::of(objects, Object::Own(named))?;
    let ids: Result<Vec<_>, String> =
        subnets.iter().map(|ix| subject.module.refer(objects.subnet(*ix)?, "id")).collect();
    let mut body = Vec::new();
    set_list("subnets", ids?, &mut body);
    let first = Item::attribute("create_before_destroy", "true");
    body.push(Item::Block("lifecycle".to_owned(), vec![first]));
    Ok(subject.changed(body))
}

fn source_dest_check_off(objects: Objects<'_>, appliance: ResourceIx) -> Result<Words, String> {
    let own = objects.interface(appliance)?;
    let named = Named { id: &own.id, origin: &own.origin };
    let subject = Subject::of(objects, Object::Own(named))?;
    let Address { kind, is_data, .. } = &subject.address;
    let is_own = matches!(kind.as_str(), "aws_network_interface" | "aws_instance") && !is_data;
    match is_own {
        true => Ok(subject.changed(vec![Item::attribute("source_dest_check", "false")])),
        false => Err(format!("{} has no source_dest_check", subject.whole_address())),
    }
}
