//! A change as resources or blocks of Terraform, by the addresses of the source. Rules, routes and entries are written as the
//! source writes those that the object has: within it, or as resources of their own. Terraform fights over a mix.

use super::hcl::{Item, block, identifier};
use super::objects::{Named, Object, Objects};
use super::references::{Expression, Module, address, is_known, set_list};
use super::traffic::{ALL, Traffic};
use super::words::{Words, group_description, group_name};
use crate::config::import::{Address, RulePeer};
use crate::explain::fix::change::Change;
use crate::explain::fix::new_endpoint::{Guard, NewGateway, NewInterface};
use crate::vpc::{
    AclRule, ConnectorIx, Destination, Direction, GatewayEndpointIx, NetworkAclIx, Peer,
    PrefixListIx, ResourceIx, RouteTableIx, SecurityGroupIx, SecurityGroupRule, SubnetIx, Target,
};
use ipnetwork::Ipv4Network;

/// Writes blocks; or says what the source does not have.
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

/// An object to change.
struct Subject<'a> {
    objects: Objects<'a>,
    object: Object<'a>,
    /// The resource that the source has it by: of a default object its VPC.
    address: Address,
    module: Module,
}

impl<'a> Subject<'a> {
    fn of(objects: Objects<'a>, object: Object<'a>) -> Result<Self, String> {
        let (Object::Own(own)
        | Object::Default { vpc: own, .. }
        | Object::ServiceList { endpoint: own, .. }) = object;
        let address = address(own)?;
        let module = Module::of(&address, objects);
        Ok(Self { objects, object, address, module })
    }

    /// Decides whether the source writes the parts of the object within it.
    fn is_inline(&self) -> bool {
        let Object::Own(own) = self.object else { return false };
        let written = &self.objects.account().written;
        written.inline.contains(own.id) && !written.apart.contains_key(own.id)
    }

    /// Changes the object's own block.
    fn changed(&self, mut parts: Vec<Item>) -> Words {
        let Address { kind, name, index, .. } = &self.address;
        let mut body = vec![Item::Comment("the rest stays as it is".to_owned())];
        if !index.is_empty() {
            let all = format!("the instances of {kind}.{name} all change, not {index} alone");
            body.push(Item::Comment(all));
        }
        body.append(&mut parts);
        let text = block(&format!("resource \"{kind}\" \"{name}\""), &body);
        let action = format!("change in {}", self.module.noun());
        Words { id: self.whole_address(), action, text }
    }

    /// Adds resources.
    fn added(&self, blocks: Vec<String>) -> Words {
        let action = format!("add to {}", self.module.noun());
        Words { id: self.whole_address(), action, text: blocks.join("\n\n") }
    }

    fn whole_address(&self) -> String {
        let dot = if self.module.address.is_empty() { "" } else { "." };
        let whole = format!("{}{dot}{}", self.module.address, self.address);
        match self.object {
            Object::Own(_) | Object::ServiceList { .. } => whole,
            Object::Default { what, .. } => format!("{} of {whole}", what.noun()),
        }
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

/// Writes an `ingress` or `egress` block of a group, which may be new.
fn inline_rule(
    subject: &Subject<'_>,
    (group, direction): (Option<SecurityGroupIx>, Direction),
    rule: &SecurityGroupRule,
) -> Result<Item, String> {
    let mut body = ports(&Traffic::of(&rule.traffic), "protocol");
    match rule.peer {
        Peer::Cidr(cidr) => body.push(Item::attribute("cidr_blocks", format!("[\"{cidr}\"]"))),
        Peer::PrefixList(ix) => {
            let list = subject.module.id(subject.objects.list(ix)?)?;
            set_list("prefix_list_ids", vec![list], &mut body);
        }
        Peer::SecurityGroup(ix) if Some(ix) == group => body.push(Item::attribute("self", "true")),
        Peer::SecurityGroup(ix) => {
            let peer = subject.objects.group(ix)?;
            let reference = match (subject.object, peer) {
                (Object::Own(own), Object::Own(peer)) if names(subject.objects, peer, own) => {
                    body.push(Item::Comment("a reference would be a cycle".to_owned()));
                    Expression::text(by_value(peer)?)
                }
                _ => subject.module.id(peer)?,
            };
            set_list("security_groups", vec![reference], &mut body);
        }
    }
    Ok(Item::Block(direction.to_string(), body))
}

/// Decides whether a rule within a group names another group, so that Terraform needs that one first.
fn names(objects: Objects<'_>, group: Named<'_>, other: Named<'_>) -> bool {
    let account = objects.account();
    let is_inline =
        account.written.inline.contains(group.id) && !account.written.apart.contains_key(group.id);
    let own = account.security_groups.iter().find(|own| own.id == group.id);
    let names_it = |rule: &crate::config::import::SecurityGroupRule| {
        rule.peer == RulePeer::SecurityGroup(other.id.to_owned())
    };
    is_inline && own.is_some_and(|own| own.ingress.iter().chain(&own.egress).any(names_it))
}

fn by_value(group: Named<'_>) -> Result<&str, String> {
    match is_known(group, &address(group)?) {
        true => Ok(group.id),
        false => Err(format!(
            "{} has a rule for this group within it, so that the other rule needs its id, which a plan does not have",
            group.id
        )),
    }
}

/// Writes a rule as a resource of the type that the group's other rules have.
fn rule_apart(
    subject: &mut Subject<'_>,
    direction: Direction,
    rule: &SecurityGroupRule,
) -> Result<String, String> {
    let kind = match subject.object {
        Object::Own(own) => subject.objects.account().written.apart.get(own.id),
        Object::Default { .. } | Object::ServiceList { .. } => None,
    };
    let group = Group {
        id: subject.module.id(subject.object)?,
        name: subject.address.name.clone(),
        has_older_rules: kind.is_some_and(|kind| kind == OLDER_RULE),
    };
    rule_of_group(subject, group, direction, rule)
}

/// The type of rules that were resources of their own before the provider had one for each direction.
const OLDER_RULE: &str = "aws_security_group_rule";

/// A group that rules are written for.
struct Group {
    id: Expression,
    name: String,
    has_older_rules: bool,
}

fn rule_of_group(
    subject: &mut Subject<'_>,
    group: Group,
    direction: Direction,
    rule: &SecurityGroupRule,
) -> Result<String, String> {
    let traffic = Traffic::of(&rule.traffic);
    let is_plain = group.has_older_rules;
    let kind = match is_plain {
        true => OLDER_RULE.to_owned(),
        false => format!("aws_vpc_security_group_{direction}_rule"),
    };
    let (peer, name) = peer(subject, rule)?;
    let mut body = Vec::new();
    group.id.set("security_group_id", &mut body);
    if is_plain {
        body.push(Item::text("type", direction.to_string()));
        body.append(&mut ports(&traffic, "protocol"));
    } else {
        body.append(&mut ports(&traffic, "ip_protocol"));
    }
    let text = peer.text.clone();
    match (rule.peer, is_plain) {
        (Peer::Cidr(_), true) => body.push(Item::attribute("cidr_blocks", format!("[{text}]"))),
        (Peer::Cidr(_), false) => peer.set("cidr_ipv4", &mut body),
        (Peer::PrefixList(_), true) => set_list("prefix_list_ids", vec![peer], &mut body),
        (Peer::PrefixList(_), false) => peer.set("prefix_list_id", &mut body),
        (Peer::SecurityGroup(_), true) => peer.set("source_security_group_id", &mut body),
        (Peer::SecurityGroup(_), false) => peer.set("referenced_security_group_id", &mut body),
    }
    let word = if direction == Direction::Egress { "to" } else { "from" };
    let like = format!("{}_{word}_{name}_{}", group.name, traffic.shown());
    Ok(block(&subject.module.head(&kind, &like), &body))
}

/// Returns the other end of a rule, and a word for it in a name.
fn peer(subject: &Subject<'_>, rule: &SecurityGroupRule) -> Result<(Expression, String), String> {
    let objects = subject.objects;
    let object = match rule.peer {
        Peer::Cidr(cidr) if cidr.prefix() == 0 => {
            return Ok((Expression::text(&cidr.to_string()), "anywhere".to_owned()));
        }
        Peer::Cidr(cidr) => {
            let text = cidr.to_string();
            let name = text.trim_end_matches("/32").replace(['.', '/'], "_");
            return Ok((Expression::text(&text), name));
        }
        Peer::SecurityGroup(ix) => objects.group(ix)?,
        Peer::PrefixList(ix) => objects.list(ix)?,
    };
    let (Object::Own(own)
    | Object::Default { vpc: own, .. }
    | Object::ServiceList { endpoint: own, .. }) = object;
    Ok((subject.module.id(object)?, address(own)?.name))
}

/// Writes protocol and ports of a security group's rule. Those within a group need ports, whatever the protocol.
fn ports(traffic: &Traffic, protocol: &str) -> Vec<Item> {
    let number = |number: i32| number.to_string();
    let needs = protocol == "protocol";
    let mut items = vec![Item::text(protocol, &traffic.word)];
    if let Some((from, to)) = traffic.port_range().or(needs.then_some((0, 0))) {
        items.push(Item::attribute("from_port", number(from)));
        items.push(Item::attribute("to_port", number(to)));
    }
    items
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

/// Gives a connector other subnets, which replaces it: its services use the new one before the old one ends.
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

/// Adds an interface endpoint, with its group if that is new, and the attribute of its VPC that private names need.
fn interface_endpoint(objects: Objects<'_>, new: &NewInterface) -> Result<Words, String> {
    let mut subject = Subject::of(objects, Object::Own(objects.vpc(new.vpc)?))?;
    let changed = if new.hostnames { Some(with_hostnames(&subject.address)?) } else { None };
    let vpc = subject.address.to_string();
    let mut blocks: Vec<String> = changed.into_iter().collect();
    let mut body = endpoint_body(&subject, "Interface", &new.service)?;
    let subnets: Result<Vec<_>, String> =
        new.subnets.iter().map(|ix| subject.module.refer(objects.subnet(*ix)?, "id")).collect();
    let groups: Result<Vec<_>, String> = match &new.guard {
        Guard::Groups(all) => all.iter().map(|ix| subject.module.id(objects.group(*ix)?)).collect(),
        Guard::New { id, ingress } => {
            let (group, mut own) = new_group(&mut subject, id, &new.service, ingress)?;
            blocks.append(&mut own);
            Ok(vec![group])
        }
    };
    set_list("subnet_ids", subnets?, &mut body);
    set_list("security_group_ids", groups?, &mut body);
    body.push(Item::attribute("private_dns_enabled", "true"));
    let mut words = added_endpoint(subject, &new.id, blocks, &body);
    if new.hostnames {
        words.action = format!("{}, where {vpc} changes", words.action);
    }
    Ok(words)
}

/// Returns the block of a VPC with the attribute that private names need.
fn with_hostnames(vpc: &Address) -> Result<String, String> {
    let Address { kind, name, is_data, .. } = vpc;
    if *is_data {
        return Err(format!("{vpc} is read only, and its VPC needs enable_dns_hostnames = true"));
    }
    let body = [
        Item::Comment("the rest stays as it is".to_owned()),
        Item::attribute("enable_dns_hostnames", "true"),
    ];
    Ok(block(&format!("resource \"{kind}\" \"{name}\""), &body))
}

const ENDPOINT: &str = "aws_vpc_endpoint";
const GROUP: &str = "aws_security_group";

fn endpoint_body(subject: &Subject<'_>, kind: &str, service: &str) -> Result<Vec<Item>, String> {
    let mut body = Vec::new();
    subject.module.id(subject.object)?.set("vpc_id", &mut body);
    body.push(Item::text("service_name", service));
    body.push(Item::text("vpc_endpoint_type", kind));
    Ok(body)
}

/// Adds an endpoint to the module of its VPC, behind what it needs.
fn added_endpoint(
    mut subject: Subject<'_>,
    id: &str,
    mut blocks: Vec<String>,
    body: &[Item],
) -> Words {
    let name = subject.module.free_name(ENDPOINT, id);
    blocks.push(block(&format!("resource \"{ENDPOINT}\" \"{name}\""), body));
    let (kind, index) = (ENDPOINT.to_owned(), String::new());
    subject.address = Address { kind, name, index, is_data: false, ..subject.address };
    subject.added(blocks)
}

/// Returns a reference to a new group, and its blocks: rules are within it or apart as the source has them.
fn new_group(
    subject: &mut Subject<'_>,
    id: &str,
    service: &str,
    ingress: &[SecurityGroupRule],
) -> Result<(Expression, Vec<String>), String> {
    let name = subject.module.free_name(GROUP, group_name(id));
    let reference = Expression::of_resource(GROUP, &name, "id");
    let mut body = vec![
        Item::text("name", group_name(id)),
        Item::text("description", group_description(service)),
    ];
    subject.module.id(subject.object)?.set("vpc_id", &mut body);
    let mut apart = Vec::new();
    match type_of_rules(subject.objects, ingress) {
        Some(kind) => {
            let has_older_rules = kind == OLDER_RULE;
            for rule in ingress {
                let group = Group { id: reference.clone(), name: name.clone(), has_older_rules };
                apart.push(rule_of_group(subject, group, Direction::Ingress, rule)?);
            }
        }
        None => {
            for rule in ingress {
                body.push(inline_rule(subject, (None, Direction::Ingress), rule)?);
            }
        }
    }
    let own = block(&format!("resource \"{GROUP}\" \"{name}\""), &body);
    Ok((reference, std::iter::once(own).chain(apart).collect()))
}

/// Returns the type of the resources that the rules of the source's groups are, first that of the groups that rules name;
/// `None` if groups have their rules within them.
fn type_of_rules<'a>(objects: Objects<'a>, rules: &[SecurityGroupRule]) -> Option<&'a str> {
    let account = objects.account();
    let named = rules.iter().filter_map(|rule| match rule.peer {
        Peer::SecurityGroup(ix) => match objects.group(ix).ok()? {
            Object::Own(own) => Some(own.id),
            Object::Default { .. } | Object::ServiceList { .. } => None,
        },
        Peer::Cidr(_) | Peer::PrefixList(_) => None,
    });
    let all = account.security_groups.iter().map(|group| group.id.as_str());
    let written = &account.written;
    let kind_of = |id: &str| match written.apart.get(id) {
        Some(kind) => Some(Some(kind.as_str())),
        None => written.inline.contains(id).then_some(None),
    };
    named.chain(all).find_map(kind_of).flatten()
}

/// Adds a gateway endpoint. The prefix list of a service is AWS's own.
fn gateway_endpoint(objects: Objects<'_>, new: &NewGateway) -> Result<Words, String> {
    let subject = Subject::of(objects, Object::Own(objects.vpc(new.vpc)?))?;
    let mut body = endpoint_body(&subject, "Gateway", &new.service)?;
    let tables: Result<Vec<_>, String> =
        new.tables.iter().map(|ix| subject.module.id(objects.table(*ix)?)).collect();
    set_list("route_table_ids", tables?, &mut body);
    Ok(added_endpoint(subject, &new.id, Vec::new(), &body))
}
