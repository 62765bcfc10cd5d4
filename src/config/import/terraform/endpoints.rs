//! Reads VPC endpoints and prefix lists.

use super::import::Import;
use super::network::{SUBNETS, VPCS};
use super::reader::{Block, Trouble, cidr};
use super::routing::ROUTE_TABLES;
use super::security_groups::GROUPS;
use crate::config::import::{
    EndpointType, NetworkInterface, PrefixList, PrivateAddress, VpcEndpoint,
};
use ipnetwork::Ipv4Network;
use serde_json::Value;

pub(super) const ENDPOINTS: &[&str] = &["aws_vpc_endpoint"];

/// Reads an `aws_vpc_endpoint` or its data source. A gateway endpoint adds its service's prefix
/// list.
pub(super) fn endpoint(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let endpoint_type = match block.text("vpc_endpoint_type")?.as_deref() {
        None | Some("Gateway") => EndpointType::Gateway,
        Some("Interface") => EndpointType::Interface,
        Some("GatewayLoadBalancer") => EndpointType::GatewayLoadBalancer,
        Some(other) => EndpointType::Other(other.to_owned()),
    };
    let service_name = block
        .label("service_name")
        .or(block.label("resource_configuration_arn"))
        .or(block.label("service_network_arn"))
        .ok_or_else(|| block.lacks("service_name"))?;
    let id = block.resource.id();
    let prefix_list = match endpoint_type {
        EndpointType::Gateway => gateway_list(import, block, &service_name)?,
        EndpointType::Interface | EndpointType::GatewayLoadBalancer | EndpointType::Other(_) => {
            None
        }
    };
    let mut endpoint = VpcEndpoint {
        name: block.name(),
        vpc: block.needed_id("vpc_id", VPCS)?,
        endpoint_type,
        service_name,
        state: block.label("state"),
        route_tables: block.ids("route_table_ids", ROUTE_TABLES)?,
        prefix_list,
        subnets: block.ids("subnet_ids", SUBNETS)?,
        security_groups: block.ids("security_group_ids", GROUPS)?,
        network_interfaces: block.strings("network_interface_ids")?,
        private_dns_enabled: block.flag("private_dns_enabled")? == Some(true),
        has_policy: block.label("policy").is_some_and(|policy| restricts(&policy)),
        origin: block.origin.clone(),
        id,
    };
    addresses(import, block, &mut endpoint)?;
    import.account.vpc_endpoints.push(endpoint);
    Ok(())
}

/// Returns the prefix list of a gateway endpoint's service, with the blocks that the endpoint
/// itself lists.
fn gateway_list(
    import: &mut Import<'_>,
    block: &Block<'_>,
    service: &str,
) -> Result<Option<String>, Trouble> {
    let id = match block.label("prefix_list_id") {
        Some(id) => id,
        None => block.resource.computed("prefix_list_id"),
    };
    let place = block.origin.member("cidr_blocks");
    let mut entries = Vec::new();
    for (position, text) in block.strings("cidr_blocks")?.iter().enumerate() {
        entries.push(cidr(&place.element(position), text)?);
    }
    let entries = Some(entries).filter(|entries| !entries.is_empty());
    match import.account.prefix_lists.iter_mut().find(|list| list.id == id) {
        Some(list) => list.entries = list.entries.take().or(entries),
        None => import.account.prefix_lists.push(PrefixList {
            id: id.clone(),
            name: Some(service.to_owned()),
            entries,
            origin: place,
        }),
    }
    Ok(Some(id))
}

/// Reads the addresses that an interface endpoint has in its subnets, if they are listed.
fn addresses(
    import: &mut Import<'_>,
    block: &Block<'_>,
    endpoint: &mut VpcEndpoint,
) -> Result<(), Trouble> {
    for (position, part) in block.blocks("subnet_configuration")?.iter().enumerate() {
        let (Some(subnet), Some(address)) = (part.label("subnet_id"), part.address("ipv4")?) else {
            continue;
        };
        let id = format!("{}-{subnet}", endpoint.id);
        if position == 0 {
            // The source does not say which of the listed interfaces is in which subnet.
            endpoint.network_interfaces.clear();
        }
        endpoint.network_interfaces.push(id.clone());
        import.account.network_interfaces.push(NetworkInterface {
            id,
            subnet,
            interface_type: "vpc_endpoint".to_owned(),
            addresses: vec![PrivateAddress::unmapped(address)],
            security_groups: endpoint.security_groups.clone(),
            source_dest_check: true,
            origin: part.origin.clone(),
            ..NetworkInterface::default()
        });
    }
    Ok(())
}

/// Reads an `aws_vpc_endpoint_policy`.
pub(super) fn policy(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let restricts = block.label("policy").is_some_and(|policy| restricts(&policy));
    of_endpoint(import, block, |endpoint| endpoint.has_policy = restricts)
}

/// Decides whether a policy differs from AWS's default, which allows everything.
fn restricts(policy: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return true };
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => return true,
    };
    let is = |statement: &Value, key: &str, wanted: &str| match statement.get(key) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Array(list)) => list.iter().any(|one| one == wanted),
        Some(Value::Object(principals)) => principals.values().any(|one| one == wanted),
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => false,
    };
    let open = |statement: &Value| {
        is(statement, "Effect", "Allow")
            && statement.get("Condition").is_none()
            && ["Principal", "Action", "Resource"].iter().all(|key| is(statement, key, "*"))
    };
    !statements.iter().any(open) || statements.iter().any(|one| is(one, "Effect", "Deny"))
}

/// Reads an `aws_vpc_endpoint_route_table_association`.
pub(super) fn route_table(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("route_table_id", ROUTE_TABLES)?;
    let id = import.route_table(&id).map(|table| table.id.clone()).unwrap_or(id);
    let change = change(import);
    of_endpoint(import, block, |endpoint| change(&mut endpoint.route_tables, id))
}

/// Reads an `aws_vpc_endpoint_subnet_association`.
pub(super) fn subnet(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("subnet_id", SUBNETS)?;
    let change = change(import);
    of_endpoint(import, block, |endpoint| change(&mut endpoint.subnets, id))
}

/// Reads an `aws_vpc_endpoint_security_group_association`.
pub(super) fn security_group(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("security_group_id", GROUPS)?;
    let change = change(import);
    of_endpoint(import, block, |endpoint| change(&mut endpoint.security_groups, id))
}

/// Reads an `aws_vpc_endpoint_private_dns`.
pub(super) fn private_dns(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let enabled = block.flag("private_dns_enabled")? == Some(true);
    of_endpoint(import, block, |endpoint| endpoint.private_dns_enabled = enabled)
}

fn of_endpoint(
    import: &mut Import<'_>,
    block: &Block<'_>,
    change: impl FnOnce(&mut VpcEndpoint),
) -> Result<(), Trouble> {
    let id = block.needed_id("vpc_endpoint_id", ENDPOINTS)?;
    match import.account.vpc_endpoints.iter_mut().find(|endpoint| endpoint.id == id) {
        Some(endpoint) => change(endpoint),
        None => import.without(block, &format!("VPC endpoint {id}")),
    }
    Ok(())
}

/// Returns the change of a list by an association.
fn change(import: &Import<'_>) -> fn(&mut Vec<String>, String) {
    if import.former { |list, id| list.retain(|other| *other != id) } else { add }
}

fn add(list: &mut Vec<String>, id: String) {
    if !list.contains(&id) {
        list.push(id);
    }
}

/// Reads an `aws_ec2_managed_prefix_list` or its data source.
pub(super) fn prefix_list(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    if block.label("address_family").as_deref() == Some("IPv6") {
        return Err(Trouble::Ipv6 { origin: block.origin.clone() });
    }
    let key = if block.resource.data { "entries" } else { "entry" };
    let mut entries = Vec::new();
    for entry in block.blocks(key)? {
        entries.push(entry.needed_cidr("cidr")?);
    }
    listed(import, block, entries);
    Ok(())
}

/// Reads the data source `aws_prefix_list`, of an AWS service.
pub(super) fn service_list(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let place = block.origin.member("cidr_blocks");
    let mut entries = Vec::new();
    for (position, text) in block.strings("cidr_blocks")?.iter().enumerate() {
        entries.push(cidr(&place.element(position), text)?);
    }
    listed(import, block, entries);
    Ok(())
}

fn listed(import: &mut Import<'_>, block: &Block<'_>, entries: Vec<Ipv4Network>) {
    let id = block.resource.id();
    let list = PrefixList {
        id: id.clone(),
        name: block.label("name"),
        entries: Some(entries),
        origin: block.origin.clone(),
    };
    match import.account.prefix_lists.iter_mut().find(|other| other.id == id) {
        Some(other) => *other = list,
        None => import.account.prefix_lists.push(list),
    }
}

/// Reads an `aws_ec2_managed_prefix_list_entry`.
pub(super) fn prefix_list_entry(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("prefix_list_id", &["aws_ec2_managed_prefix_list"])?;
    let entry = block.needed_cidr("cidr")?;
    match import.account.prefix_lists.iter_mut().find(|list| list.id == id) {
        Some(list) if import.former => {
            list.entries.iter_mut().for_each(|entries| entries.retain(|other| *other != entry));
        }
        Some(list) => {
            let entries = list.entries.get_or_insert_default();
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        None => import.without(block, &format!("prefix list {id}")),
    }
    Ok(())
}
