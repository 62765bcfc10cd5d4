//! Reads `describe-network-interfaces`.

use super::super::ImportError;
use super::super::json::Node;
use super::super::{NetworkInterface, PrivateAddress, PublicAddress};
use super::reader::{Reader, inner, name_tag, tags};

pub(super) fn network_interface(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("NetworkInterfaceId")?;
    if !reader.is_new("network interface", &id, node) {
        return Ok(());
    }
    for address in node.list("Ipv6Addresses")? {
        reader.findings.ipv6("network interface address", address.origin());
    }
    if let [prefix, ..] = node.list("Ipv4Prefixes")?.as_slice() {
        reader.findings.left_out(
            format!("network interface {id}"),
            prefix.origin(),
            "IPv4 prefixes",
            "nothing answers at their addresses in the lab",
        );
    }
    let mut security_groups = Vec::new();
    for group in node.list("Groups")? {
        security_groups.push(group.required("GroupId")?);
    }
    let interface = NetworkInterface {
        name: name_tag(node)?,
        subnet: node.required("SubnetId")?,
        interface_type: node.string("InterfaceType")?.unwrap_or_default(),
        description: node.string("Description")?.filter(|said| !said.is_empty()),
        addresses: addresses(node)?,
        public_address: public_address(node)?,
        security_groups,
        source_dest_check: node.boolean("SourceDestCheck")?.unwrap_or(true),
        requester_id: node.string("RequesterId")?,
        status: node.string("Status")?,
        instance: inner(node, "Attachment", "InstanceId")?,
        tags: tags(node)?,
        listen: Vec::new(),
        id,
        origin: node.origin().clone(),
    };
    reader.account.network_interfaces.push(interface);
    Ok(())
}

/// Reads the public address of the primary private one, which is beside the list as well.
fn public_address(node: &Node<'_>) -> Result<PublicAddress, ImportError> {
    let association = node.get("Association")?;
    let public = association.map(|own| own.address("PublicIp")).transpose()?.flatten();
    Ok(public.into())
}

/// Reads the addresses, the primary first.
fn addresses(node: &Node<'_>) -> Result<Vec<PrivateAddress>, ImportError> {
    let mut found = Vec::new();
    for address in node.list("PrivateIpAddresses")? {
        let Some(private) = address.address("PrivateIpAddress")? else { continue };
        let association = address.get("Association")?;
        let public = association.map(|a| a.address("PublicIp")).transpose()?.flatten();
        let one = PrivateAddress { address: private, public_address: public.into() };
        match address.boolean("Primary")?.unwrap_or_default() {
            true => found.insert(0, one),
            false => found.push(one),
        }
    }
    if found.is_empty() {
        let primary = node.address("PrivateIpAddress")?;
        found.extend(primary.map(PrivateAddress::unmapped));
    }
    Ok(found)
}
