//! Writes rules of security groups as blocks of Terraform.

use super::hcl::{Item, block};
use super::objects::{Named, Object, Objects};
use super::references::{Expression, address, is_known, set_list};
use super::subject::Subject;
use super::traffic::Traffic;
use crate::config::import::RulePeer;
use crate::vpc::{Direction, Peer, SecurityGroupIx, SecurityGroupRule};

/// Writes an `ingress` or `egress` block of a group, which may be new.
pub(super) fn inline_rule(
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

/// Decides whether a rule inside a group names another group, so that Terraform needs that one
/// first.
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

/// Writes a rule as a resource of the same type as the group's other rules.
pub(super) fn rule_apart(
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

/// The older type of separate rules, from before the provider had one for each direction.
pub(super) const OLDER_RULE: &str = "aws_security_group_rule";

/// A group for which rules are written.
pub(super) struct Group {
    pub(super) id: Expression,
    pub(super) name: String,
    pub(super) has_older_rules: bool,
}

/// Writes a rule as a resource.
pub(super) fn rule_of_group(
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

/// Writes protocol and ports of a security group's rule. Those inside a group need ports, whatever
/// the protocol.
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
