//! Records the notation of the source: objects with inline rules, routes and entries, and those
//! with separate ones.

use super::Import;
use super::document::Resource;
use super::endpoints::ENDPOINTS;
use super::network::{NETWORK_ACLS, VPCS};
use super::reader::Block;
use super::routing::ROUTE_TABLES;
use super::security_groups::GROUPS;
use serde_json::Value;

/// Types that are a part of another object, the attribute that names it, and its types.
const APART: [(&str, &str, &[&str]); 7] = [
    ("aws_security_group_rule", "security_group_id", GROUPS),
    ("aws_vpc_security_group_ingress_rule", "security_group_id", GROUPS),
    ("aws_vpc_security_group_egress_rule", "security_group_id", GROUPS),
    ("aws_route", "route_table_id", ROUTE_TABLES),
    ("aws_network_acl_rule", "network_acl_id", NETWORK_ACLS),
    ("aws_vpc_endpoint_route_table_association", "vpc_endpoint_id", ENDPOINTS),
    ("aws_ec2_managed_prefix_list_entry", "prefix_list_id", &["aws_ec2_managed_prefix_list"]),
];

/// Types that may have inline parts, and the attributes with these.
const INLINE: [(&str, &[&str]); 5] = [
    ("aws_security_group", &["ingress", "egress"]),
    ("aws_route_table", &["route"]),
    ("aws_network_acl", &["ingress", "egress"]),
    ("aws_vpc_endpoint", &["route_table_ids"]),
    ("aws_ec2_managed_prefix_list", &["entry"]),
];

/// Types that have all their parts inline: Terraform removes parts that it does not find there.
const WHOLE: [&str; 3] =
    ["aws_default_security_group", "aws_default_route_table", "aws_default_network_acl"];

/// The attributes of a VPC that name the objects that AWS creates with it.
const DEFAULTS: [&str; 3] =
    ["main_route_table_id", "default_network_acl_id", "default_security_group_id"];

impl Import<'_> {
    /// Records the notation of a resource.
    pub(super) fn note_written(&mut self, block: &Block<'_>) {
        let resource = block.resource;
        let written = &mut self.account.written;
        written.names.insert(without_index(&resource.address).to_owned());
        if VPCS.contains(&resource.kind.as_str()) {
            let ids = DEFAULTS.iter().filter_map(|key| Some((*key, block.label(key)?)));
            let named = ids.map(|(key, id)| ((resource.id(), key.to_owned()), id));
            written.defaults.extend(named);
        }
        if resource.data {
            return;
        }
        let apart = APART.iter().find(|(kind, ..)| *kind == resource.kind);
        if let Some((_, key, kinds)) = apart {
            let of = block.id(key, kinds).ok().flatten();
            written.apart.extend(of.map(|id| (id, resource.kind.clone())));
        }
        if is_inline(resource) {
            written.inline.insert(resource.id());
        }
        if resource.kind == "aws_ec2_managed_prefix_list"
            && let Ok(Some(most)) = block.number("max_entries")
        {
            written.list_sizes.insert(resource.id(), most);
        }
    }
}

fn is_inline(resource: &Resource) -> bool {
    let has = |key: &&str| match resource.values.get(*key) {
        Some(Value::Array(parts)) => !parts.is_empty(),
        Some(_) | None => false,
    };
    let listed = INLINE.iter().find(|(kind, _)| *kind == resource.kind);
    WHOLE.contains(&resource.kind.as_str()) || listed.is_some_and(|(_, keys)| keys.iter().any(has))
}

/// Returns an address without the index of an instance at its end.
fn without_index(address: &str) -> &str {
    match address.ends_with(']') {
        true => address.rsplit_once('[').map_or(address, |(resource, _)| resource),
        false => address,
    }
}
