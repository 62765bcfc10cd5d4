//! Writes new endpoints as blocks of Terraform, in the module of their VPC.

use super::hcl::{Item, block};
use super::objects::{Object, Objects};
use super::references::{Expression, set_list};
use super::subject::Subject;
use super::terraform_groups::{Group, OLDER_RULE, inline_rule, rule_of_group};
use super::words::{Words, group_description, group_name};
use crate::config::import::Address;
use crate::explain::fix::new_endpoint::{Guard, NewGateway, NewInterface};
use crate::vpc::{Direction, Peer, SecurityGroupRule};

/// Adds an interface endpoint, with its group if that is new, and the attribute of its VPC that
/// private names need.
pub(super) fn interface_endpoint(
    objects: Objects<'_>,
    new: &NewInterface,
) -> Result<Words, String> {
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

/// Adds an endpoint to the module of its VPC, after the blocks that it needs.
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

/// Returns a reference to a new group, and its blocks: rules are inside it or separate, as in the
/// source.
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

/// Returns the type of the resources for the rules of the source's groups, preferably that of the
/// groups that rules name; `None` if groups have their rules inside them.
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
pub(super) fn gateway_endpoint(objects: Objects<'_>, new: &NewGateway) -> Result<Words, String> {
    let subject = Subject::of(objects, Object::Own(objects.vpc(new.vpc)?))?;
    let mut body = endpoint_body(&subject, "Gateway", &new.service)?;
    let tables: Result<Vec<_>, String> =
        new.tables.iter().map(|ix| subject.module.id(objects.table(*ix)?)).collect();
    set_list("route_table_ids", tables?, &mut body);
    Ok(added_endpoint(subject, &new.id, Vec::new(), &body))
}
