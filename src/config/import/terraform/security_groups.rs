//! Reads security groups, with rules inline, as resources of their own (two kinds of them), or
//! both.

use super::import::Import;
use super::network::VPCS;
use super::reader::{Block, Trouble, cidr};
use crate::config::import::{AclDirection, Origin, RulePeer, SecurityGroup, SecurityGroupRule};

pub(super) const GROUPS: &[&str] = &["aws_security_group", "aws_default_security_group"];
const PREFIX_LISTS: &[&str] =
    &["aws_ec2_managed_prefix_list", "aws_prefix_list", "aws_vpc_endpoint"];
const INGRESS: AclDirection = AclDirection::Ingress;
const EGRESS: AclDirection = AclDirection::Egress;

/// Reads an `aws_security_group` or an `aws_default_security_group`. Terraform removes AWS's rule
/// that allows all egress from a group that it creates, so the listed rules are all rules.
pub(super) fn group(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let default = block.resource.kind == "aws_default_security_group";
    let group_name = if default { Some("default".to_owned()) } else { block.label("name") };
    let mut group = SecurityGroup {
        id: block.resource.id(),
        default: group_name.as_deref() == Some("default"),
        group_name: group_name.unwrap_or_else(|| block.resource.name.clone()),
        name: block.name(),
        description: block.label("description"),
        vpc: block.needed_id("vpc_id", VPCS)?,
        ingress: Vec::new(),
        egress: Vec::new(),
        origin: block.origin.clone(),
    };
    for (key, direction) in [("ingress", INGRESS), ("egress", EGRESS)] {
        for rule in import.parts(block, key) {
            let read = peers_of_a_block(&rule, "security_groups");
            for (place, peer) in peers(import, read, &rule) {
                let read = traffic(&rule, "protocol", peer, &group.id);
                if let Some(mut read) = import.part(&rule, "security-group rule", read) {
                    read.origin = place;
                    push(rules(&mut group, direction), read);
                }
            }
        }
    }
    import.account.security_groups.push(group);
    Ok(())
}

/// Adds the group of a data source without rules, and reports it: another configuration manages the
/// group, and Terraform does not have its rules.
pub(super) fn group_of_others(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    import.findings.not_understood(
        block.object(),
        &block.origin,
        "a data source of a security group has no rules",
        "the lab's group allows nothing: write its rules into the lab file, or import the state that makes it",
    );
    import.account.security_groups.push(SecurityGroup {
        id: block.resource.id(),
        group_name: block.label("name").unwrap_or_else(|| block.resource.name.clone()),
        name: block.name(),
        description: block.label("description"),
        vpc: block.needed_id("vpc_id", VPCS)?,
        default: block.label("name").as_deref() == Some("default"),
        origin: block.origin.clone(),
        ..SecurityGroup::default()
    });
    Ok(())
}

/// Reads an `aws_security_group_rule`: one rule with any number of peers.
pub(super) fn rule(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("security_group_id", GROUPS)?;
    let direction = match block.text("type")?.as_deref() {
        Some("ingress") => INGRESS,
        Some("egress") => EGRESS,
        _ => return Err(block.lacks("type")),
    };
    let read = peers_of_a_block(block, "source_security_group_id");
    let mut read_rules = Vec::new();
    for (place, peer) in peers(import, read, block) {
        let mut read = traffic(block, "protocol", peer, &id)?;
        read.origin = place;
        read_rules.push(read);
    }
    add(import, block, &id, direction, read_rules);
    Ok(())
}

/// Reads an `aws_vpc_security_group_ingress_rule`, an `aws_vpc_security_group_egress_rule` or the
/// data source: one peer.
pub(super) fn single_rule(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("security_group_id", GROUPS)?;
    let direction = match block.resource.kind.as_str() {
        "aws_vpc_security_group_ingress_rule" => INGRESS,
        "aws_vpc_security_group_egress_rule" => EGRESS,
        _ if block.flag("is_egress")? == Some(true) => EGRESS,
        _ => INGRESS,
    };
    let peer = if let Some(cidr) = block.cidr("cidr_ipv4")? {
        Peer::Other(RulePeer::Cidr(cidr))
    } else if let Some(list) = block.id("prefix_list_id", PREFIX_LISTS)? {
        Peer::Other(RulePeer::PrefixList(list))
    } else if let Some(group) = block.id("referenced_security_group_id", GROUPS)? {
        Peer::Other(RulePeer::SecurityGroup(without_account(&group)))
    } else if block.text("cidr_ipv6")?.is_some() {
        return Err(Trouble::Ipv6 { origin: block.origin.clone() });
    } else {
        return Err(block.lacks("cidr_ipv4"));
    };
    let rule = traffic(block, "ip_protocol", peer, &id)?;
    add(import, block, &id, direction, vec![rule]);
    Ok(())
}

fn add(
    import: &mut Import<'_>,
    block: &Block<'_>,
    id: &str,
    direction: AclDirection,
    read: Vec<SecurityGroupRule>,
) {
    let former = import.former;
    if former && !import.has(id) {
        return;
    }
    match import.group(id) {
        Some(group) if former => {
            rules(group, direction).retain(|rule| !read.iter().any(|other| same(rule, other)));
        }
        Some(group) => read.into_iter().for_each(|rule| push(rules(group, direction), rule)),
        None => import.without(block, &format!("security group {id}")),
    }
}

fn rules(group: &mut SecurityGroup, direction: AclDirection) -> &mut Vec<SecurityGroupRule> {
    match direction {
        AclDirection::Ingress => &mut group.ingress,
        AclDirection::Egress => &mut group.egress,
    }
}

/// Adds a rule, unless the group lists it: a state also lists separate rules in the group, as the
/// last refresh saw them.
fn push(rules: &mut Vec<SecurityGroupRule>, rule: SecurityGroupRule) {
    match rules.iter_mut().find(|other| same(other, &rule)) {
        Some(listed) if listed.description.is_none() => listed.description = rule.description,
        Some(_) => {}
        None => rules.push(rule),
    }
}

fn same(one: &SecurityGroupRule, other: &SecurityGroupRule) -> bool {
    (&one.ip_protocol, one.from_port, one.to_port, &one.peer)
        == (&other.ip_protocol, other.from_port, other.to_port, &other.peer)
}

/// Returns the peers of a rule that have a value.
fn peers(
    import: &mut Import<'_>,
    read: Result<Peers, Trouble>,
    block: &Block<'_>,
) -> Vec<(Origin, Peer)> {
    let peers = import.part(block, "security-group rule", read).unwrap_or_default();
    peers
        .into_iter()
        .filter_map(|(place, peer)| Some((place, import.part(block, "security-group rule", peer)?)))
        .collect()
}

/// The other end of a rule, before the rule's group is known.
#[derive(Debug)]
pub(super) enum Peer {
    /// `self`.
    Itself,
    /// Any other.
    Other(RulePeer),
}

/// Several peers, each with its place.
pub(super) type Peers = Vec<(Origin, Result<Peer, Trouble>)>;

/// Returns the peers of an inline block or of an `aws_security_group_rule`, which differ in the
/// attribute that names groups.
fn peers_of_a_block(block: &Block<'_>, groups: &str) -> Result<Peers, Trouble> {
    let mut peers: Peers = Vec::new();
    let place = block.origin.member("cidr_blocks");
    for (position, text) in block.strings("cidr_blocks")?.iter().enumerate() {
        let place = place.element(position);
        let peer = cidr(&place, text).map(|cidr| Peer::Other(RulePeer::Cidr(cidr)));
        peers.push((place, peer));
    }
    let place = block.origin.member("ipv6_cidr_blocks");
    for (position, _) in block.strings("ipv6_cidr_blocks")?.iter().enumerate() {
        let place = place.element(position);
        peers.push((place.clone(), Err(Trouble::Ipv6 { origin: place })));
    }
    let place = block.origin.member("prefix_list_ids");
    for list in block.ids("prefix_list_ids", PREFIX_LISTS)? {
        peers.push((place.clone(), Ok(Peer::Other(RulePeer::PrefixList(list)))));
    }
    let named = match groups {
        "security_groups" => block.ids(groups, GROUPS)?,
        _ => block.id(groups, GROUPS)?.into_iter().collect(),
    };
    for group in named {
        let peer = Peer::Other(RulePeer::SecurityGroup(without_account(&group)));
        peers.push((block.origin.member(groups), Ok(peer)));
    }
    if block.flag("self")? == Some(true) {
        peers.push((block.origin.member("self"), Ok(Peer::Itself)));
    }
    Ok(peers)
}

/// Removes the account from the id of a group of a peered VPC in another account, such as
/// `123456789012/sg-0a1b`.
fn without_account(group: &str) -> String {
    match group.split_once('/') {
        Some((account, id)) if account.bytes().all(|byte| byte.is_ascii_digit()) => id.to_owned(),
        Some(_) | None => group.to_owned(),
    }
}

fn traffic(
    block: &Block<'_>,
    protocol: &str,
    peer: Peer,
    own: &str,
) -> Result<SecurityGroupRule, Trouble> {
    let ip_protocol = block.text(protocol)?.ok_or_else(|| block.lacks(protocol))?;
    let ip_protocol = canonical_protocol(&ip_protocol);
    let has_ports = matches!(ip_protocol.as_str(), "tcp" | "udp" | "icmp" | "icmpv6");
    // Terraform demands 0 and 0 of a rule for all protocols.
    let port = |key: &str| if has_ports { block.number(key) } else { Ok(None) };
    Ok(SecurityGroupRule {
        from_port: port("from_port")?,
        to_port: port("to_port")?,
        ip_protocol,
        peer: match peer {
            Peer::Itself => RulePeer::SecurityGroup(own.to_owned()),
            Peer::Other(peer) => peer,
        },
        description: block.label("description"),
        origin: block.origin.clone(),
    })
}

/// Returns a protocol in EC2's spelling.
fn canonical_protocol(word: &str) -> String {
    match word.to_lowercase().as_str() {
        "all" | "-1" => "-1".to_owned(),
        "6" => "tcp".to_owned(),
        "17" => "udp".to_owned(),
        "1" => "icmp".to_owned(),
        "58" => "icmpv6".to_owned(),
        other => other.to_owned(),
    }
}
