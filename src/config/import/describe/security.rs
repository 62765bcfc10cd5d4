//! Reads `describe-security-groups`, `describe-security-group-rules`, `describe-network-acls`.

use super::super::ImportError;
use super::super::json::Node;
use super::super::{
    AclDirection, AclEntry, NetworkAcl, RulePeer, SecurityGroup, SecurityGroupRule,
};
use super::reader::{FlatRule, Reader, name_tag};

pub(super) fn group(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("GroupId")?;
    if !reader.is_new("security group", &id, node) {
        return Ok(());
    }
    let group_name = node.string("GroupName")?.unwrap_or_default();
    let Some(vpc) = node.string("VpcId")? else {
        let consequence = "no interface of a VPC can be in it";
        let object = format!("security group {id}");
        reader.findings.left_out(object, node.origin(), "it is in no VPC", consequence);
        return Ok(());
    };
    let ingress = permissions(reader, node, "IpPermissions")?;
    let egress = permissions(reader, node, "IpPermissionsEgress")?;
    reader.account.security_groups.push(SecurityGroup {
        default: group_name == "default",
        name: name_tag(node)?,
        description: node.string("Description")?,
        id,
        group_name,
        vpc,
        ingress,
        egress,
        origin: node.origin().clone(),
    });
    Ok(())
}

fn permissions(
    reader: &mut Reader,
    group: &Node<'_>,
    key: &str,
) -> Result<Vec<SecurityGroupRule>, ImportError> {
    let mut rules = Vec::new();
    for permission in group.list(key)? {
        for (list, member) in [
            ("IpRanges", "CidrIp"),
            ("UserIdGroupPairs", "GroupId"),
            ("PrefixListIds", "PrefixListId"),
        ] {
            for end in permission.list(list)? {
                let peer = match member {
                    "CidrIp" => end.cidr(member)?.map(RulePeer::Cidr),
                    "GroupId" => end.string(member)?.map(RulePeer::SecurityGroup),
                    _ => end.string(member)?.map(RulePeer::PrefixList),
                };
                let Some(peer) = peer else {
                    return Err(end
                        .origin()
                        .error(format!("it has no {member}"), "fetch the file again"));
                };
                rules.push(SecurityGroupRule {
                    ip_protocol: permission.required("IpProtocol")?,
                    from_port: permission.integer("FromPort")?,
                    to_port: permission.integer("ToPort")?,
                    peer,
                    description: end.string("Description")?,
                    origin: end.origin().clone(),
                });
            }
        }
        for range in permission.list("Ipv6Ranges")? {
            reader.findings.ipv6("security group rule", range.origin());
        }
    }
    Ok(rules)
}

pub(super) fn flat_rule(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let referenced = node.get("ReferencedGroupInfo")?;
    let referenced = referenced.map(|info| info.required("GroupId")).transpose()?;
    let peer = match (node.cidr("CidrIpv4")?, referenced, node.string("PrefixListId")?) {
        (Some(block), _, _) => RulePeer::Cidr(block),
        (None, Some(group), _) => RulePeer::SecurityGroup(group),
        (None, None, Some(list)) => RulePeer::PrefixList(list),
        // An IPv6 rule, which is counted in the group's own list.
        (None, None, None) => return Ok(()),
    };
    let rule = SecurityGroupRule {
        ip_protocol: node.required("IpProtocol")?,
        from_port: node.integer("FromPort")?,
        to_port: node.integer("ToPort")?,
        peer,
        description: node.string("Description")?,
        origin: node.origin().clone(),
    };
    let is_egress = node.boolean("IsEgress")?.unwrap_or_default();
    reader.rules.push(FlatRule { group: node.required("GroupId")?, is_egress, rule });
    Ok(())
}

/// Gives rules to the groups that have none of their own. For other groups the two calls have the
/// same content.
pub(super) fn flat_rules(reader: &mut Reader) {
    let bare: Vec<String> = reader
        .account
        .security_groups
        .iter()
        .filter(|group| group.ingress.is_empty() && group.egress.is_empty())
        .map(|group| group.id.clone())
        .collect();
    for FlatRule { group, is_egress, rule } in std::mem::take(&mut reader.rules) {
        if !bare.contains(&group) {
            continue;
        }
        let mut groups = reader.account.security_groups.iter_mut();
        if let Some(group) = groups.find(|other| other.id == group) {
            let rules = if is_egress { &mut group.egress } else { &mut group.ingress };
            rules.push(rule);
        }
    }
}

pub(super) fn network_acl(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("NetworkAclId")?;
    if !reader.is_new("network ACL", &id, node) {
        return Ok(());
    }
    let mut acl = NetworkAcl {
        name: name_tag(node)?,
        vpc: node.required("VpcId")?,
        default: node.boolean("IsDefault")?.unwrap_or_default(),
        id,
        origin: node.origin().clone(),
        ..NetworkAcl::default()
    };
    for association in node.list("Associations")? {
        acl.subnets.extend(association.string("SubnetId")?);
    }
    for element in node.list("Entries")? {
        match acl_entry(&element)? {
            Some(entry) => acl.entries.push(entry),
            None => reader.findings.ipv6("network ACL rule", element.origin()),
        }
    }
    reader.account.network_acls.push(acl);
    Ok(())
}

fn acl_entry(node: &Node<'_>) -> Result<Option<AclEntry>, ImportError> {
    let Some(cidr_block) = node.cidr("CidrBlock")? else {
        return match node.string("Ipv6CidrBlock")? {
            Some(_) => Ok(None),
            None => Err(node.origin().error("it has no CidrBlock", "fetch the file again")),
        };
    };
    let Some(rule_number) = node.integer("RuleNumber")? else {
        return Err(node.origin().error("it has no RuleNumber", "fetch the file again"));
    };
    let allow = match node.required("RuleAction")?.as_str() {
        "allow" => true,
        "deny" => false,
        other => {
            let message = format!("RuleAction is {other:?}");
            return Err(node.origin().error(message, "EC2 says \"allow\" or \"deny\""));
        }
    };
    let pair =
        |outer: &str, first: &str, second: &str| -> Result<Option<(i64, i64)>, ImportError> {
            let Some(both) = node.get(outer)? else { return Ok(None) };
            Ok(both.integer(first)?.zip(both.integer(second)?))
        };
    let is_egress = node.boolean("Egress")?.unwrap_or_default();
    Ok(Some(AclEntry {
        direction: if is_egress { AclDirection::Egress } else { AclDirection::Ingress },
        rule_number,
        allow,
        protocol: node.required("Protocol")?,
        cidr_block,
        ports: pair("PortRange", "From", "To")?,
        icmp: pair("IcmpTypeCode", "Type", "Code")?,
        origin: node.origin().clone(),
    }))
}
