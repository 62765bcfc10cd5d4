//! Reads `describe-nat-gateways`, `describe-internet-gateways`, `describe-vpc-endpoints`,
//! `describe-vpc-peering-connections`, `describe-managed-prefix-lists`, `describe-prefix-lists`,
//! `get-managed-prefix-list-entries`.

use super::super::ImportError;
use super::super::json::Node;
use super::super::{
    EndpointType, InternetGateway, NatAddress, NatGateway, Peering, PrefixList, VpcEndpoint,
};
use super::reader::{Reader, inner, name_tag};

pub(super) fn nat_gateway(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("NatGatewayId")?;
    if !reader.is_new("NAT gateway", &id, node) {
        return Ok(());
    }
    let mut addresses = Vec::new();
    for address in node.list("NatGatewayAddresses")? {
        let is_primary = address.boolean("IsPrimary")?.unwrap_or_default();
        let found = NatAddress {
            private_ip: address.address("PrivateIp")?,
            public_ip: address.address("PublicIp")?,
            network_interface: address.string("NetworkInterfaceId")?,
        };
        match is_primary {
            true => addresses.insert(0, found),
            false => addresses.push(found),
        }
    }
    reader.account.nat_gateways.push(NatGateway {
        name: name_tag(node)?,
        vpc: node.string("VpcId")?,
        subnet: node.string("SubnetId")?,
        state: node.string("State")?,
        private: node.string("ConnectivityType")?.as_deref() == Some("private"),
        regional: node.string("AvailabilityMode")?.as_deref() == Some("regional"),
        addresses,
        id,
        origin: node.origin().clone(),
    });
    Ok(())
}

pub(super) fn internet_gateway(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("InternetGatewayId")?;
    if !reader.is_new("internet gateway", &id, node) {
        return Ok(());
    }
    let mut vpc = None;
    for attachment in node.list("Attachments")? {
        let state = attachment.string("State")?.unwrap_or_default();
        if matches!(state.as_str(), "available" | "attached" | "") {
            vpc = attachment.string("VpcId")?;
        }
    }
    let name = name_tag(node)?;
    let origin = node.origin().clone();
    reader.account.internet_gateways.push(InternetGateway { id, name, vpc, origin });
    Ok(())
}

pub(super) fn vpc_endpoint(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("VpcEndpointId")?;
    if !reader.is_new("VPC endpoint", &id, node) {
        return Ok(());
    }
    let endpoint_type = match node.string("VpcEndpointType")?.as_deref() {
        None | Some("Gateway") => EndpointType::Gateway,
        Some("Interface") => EndpointType::Interface,
        Some("GatewayLoadBalancer") => EndpointType::GatewayLoadBalancer,
        Some(other) => EndpointType::Other(other.to_owned()),
    };
    let mut security_groups = Vec::new();
    for group in node.list("Groups")? {
        security_groups.push(group.required("GroupId")?);
    }
    let policy = node.string("PolicyDocument")?;
    reader.account.vpc_endpoints.push(VpcEndpoint {
        name: name_tag(node)?,
        vpc: node.required("VpcId")?,
        endpoint_type,
        service_name: node.string("ServiceName")?.unwrap_or_default(),
        state: node.string("State")?,
        route_tables: node.strings("RouteTableIds")?,
        prefix_list: None,
        subnets: node.strings("SubnetIds")?,
        security_groups,
        network_interfaces: node.strings("NetworkInterfaceIds")?,
        private_dns_enabled: node.boolean("PrivateDnsEnabled")?.unwrap_or_default(),
        has_policy: policy.is_some_and(|policy| restricts(&policy)),
        id,
        origin: node.origin().clone(),
    });
    Ok(())
}

/// Decides whether a policy differs from the default one, a single statement that allows
/// everything.
fn restricts(policy: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<serde_json::Value>(policy) else { return true };
    let statements = match policy.get("Statement") {
        Some(serde_json::Value::Array(statements)) => statements.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => return true,
    };
    !statements.iter().any(|statement| {
        let is = |key: &str, word: &str| statement.get(key).is_some_and(|value| value == word);
        is("Effect", "Allow")
            && is("Action", "*")
            && is("Resource", "*")
            && statement.get("Condition").is_none()
    })
}

pub(super) fn peering(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("VpcPeeringConnectionId")?;
    if !reader.is_new("peering connection", &id, node) {
        return Ok(());
    }
    reader.account.peering_connections.push(Peering {
        name: name_tag(node)?,
        requester_vpc: inner(node, "RequesterVpcInfo", "VpcId")?.unwrap_or_default(),
        accepter_vpc: inner(node, "AccepterVpcInfo", "VpcId")?.unwrap_or_default(),
        requester_region: inner(node, "RequesterVpcInfo", "Region")?,
        accepter_region: inner(node, "AccepterVpcInfo", "Region")?,
        status: inner(node, "Status", "Code")?,
        requester_dns_resolution: allows_dns_resolution(node, "RequesterVpcInfo")?,
        accepter_dns_resolution: allows_dns_resolution(node, "AccepterVpcInfo")?,
        id,
        origin: node.origin().clone(),
    });
    Ok(())
}

fn allows_dns_resolution(node: &Node<'_>, side: &str) -> Result<bool, ImportError> {
    let Some(side) = node.get(side)? else { return Ok(false) };
    let Some(options) = side.get("PeeringOptions")? else { return Ok(false) };
    Ok(options.boolean("AllowDnsResolutionFromRemoteVpc")?.unwrap_or_default())
}

pub(super) fn prefix_list(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("PrefixListId")?;
    let state = node.string("State")?.unwrap_or_default();
    if state.starts_with("delete-complete") {
        return Ok(());
    }
    if node.string("AddressFamily")?.as_deref() == Some("IPv6") {
        reader.findings.ipv6("prefix list", node.origin());
        return Ok(());
    }
    let written = &mut reader.account.written;
    if let Some(version) = node.integer("Version")? {
        written.list_versions.insert(id.clone(), version);
    }
    if let Some(most) = node.integer("MaxEntries")? {
        written.list_sizes.insert(id.clone(), most);
    }
    // `describe-prefix-lists` has the blocks themselves; both calls may have been made.
    let mut entries = Vec::new();
    for block in node.list("Cidrs")? {
        let text = block.as_str()?;
        if !text.contains(':') {
            entries.push(block.origin().cidr(text)?);
        }
    }
    let entries = (!entries.is_empty()).then_some(entries);
    let mut lists = reader.account.prefix_lists.iter_mut();
    if let Some(list) = lists.find(|list| list.id == id) {
        list.entries = list.entries.take().or(entries);
        return Ok(());
    }
    let name = node.string("PrefixListName")?;
    let origin = node.origin().clone();
    reader.account.prefix_lists.push(PrefixList { id, name, entries, origin });
    Ok(())
}

/// Reads the entries of the list whose id is in the file's name, or in the answer if it was added
/// there.
pub(super) fn prefix_list_entries(
    reader: &mut Reader,
    file: &str,
    root: &Node<'_>,
) -> Result<(), ImportError> {
    if root.get("Entries")?.is_none() {
        return Ok(());
    }
    let id = root.string("PrefixListId")?.or_else(|| list_id(file));
    let Some(id) = id else {
        let help = "name the file after it: get-managed-prefix-list-entries-pl-0a1b.json";
        return Err(root.origin().error("it does not name the prefix list of these entries", help));
    };
    let mut entries = Vec::new();
    for entry in root.list("Entries")? {
        let text = entry.required("Cidr")?;
        match text.contains(':') {
            true => reader.findings.ipv6("prefix list entry", entry.origin()),
            false => entries.push(entry.origin().member("Cidr").cidr(&text)?),
        }
    }
    let (_, known) =
        reader.entries.entry(id).or_insert_with(|| (root.origin().clone(), Vec::new()));
    known.extend(entries);
    Ok(())
}

/// Returns the last `pl-…` of a file's name.
fn list_id(file: &str) -> Option<String> {
    let name = file.rsplit('/').next()?.strip_suffix(".json")?;
    let at = name.rfind("pl-")?;
    let id: String =
        name.get(at..)?.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    (id.len() > "pl-".len()).then_some(id)
}
