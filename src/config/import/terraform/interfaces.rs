//! Reads network interfaces: those that are resources, and those of databases, caches, load
//! balancers and instances.
//!
//! Terraform does not know the addresses of most of the latter. Their interfaces are read without
//! one.

use super::import::Import;
use super::network::SUBNETS;
use super::owners::Subnets::{Group, Listed, Within};
use super::owners::{OWNERS, OWNERS_NEED, Owner, Owners, Public};
use super::public_addresses;
use super::reader::{Block, Trouble};
use super::security_groups::GROUPS;
use crate::config::import::{NetworkInterface, PrivateAddress, PublicAddress};
use std::net::Ipv4Addr;

/// Reads an `aws_network_interface` or its data source.
pub(super) fn network_interface(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let mut addresses: Vec<Ipv4Addr> = block.address("private_ip")?.into_iter().collect();
    for key in ["private_ip_list", "private_ips"] {
        let place = block.origin.member(key);
        for text in block.strings(key)? {
            addresses.push(place.address(&text)?);
        }
    }
    let mut instance = None;
    for attachment in block.blocks("attachment")? {
        instance = instance.or(attachment.id("instance", &["aws_instance"])?);
        instance = instance.or(attachment.label("instance_id"));
    }
    let groups = if block.resource.data { "security_groups" } else { "security_group_ids" };
    let groups = match block.ids(groups, GROUPS)? {
        none if none.is_empty() => block.ids("security_groups", GROUPS)?,
        some => some,
    };
    let subnet = block.needed_id("subnet_id", SUBNETS)?;
    let interface_type = block.label("interface_type").unwrap_or_else(|| "interface".to_owned());
    // A data source is complete, and a Network Load Balancer's may have no groups.
    let has_default = !block.resource.data && interface_type == "interface";
    let mut public = None;
    for association in block.blocks("association")? {
        public = public.or(association.address("public_ip")?);
    }
    let groups = if has_default { or_default(import, &subnet, groups) } else { groups };
    import.account.network_interfaces.push(NetworkInterface {
        id: block.resource.id(),
        name: block.name(),
        subnet,
        interface_type,
        description: block.label("description"),
        addresses: private(&addresses),
        public_address: public.into(),
        security_groups: groups,
        source_dest_check: block.flag("source_dest_check")?.unwrap_or(true),
        requester_id: block.label("requester_id"),
        instance,
        origin: block.origin.clone(),
        ..NetworkInterface::default()
    });
    Ok(())
}

/// Reads an `aws_network_interface_attachment`.
pub(super) fn attachment(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("network_interface_id", &["aws_network_interface"])?;
    let instance = block.needed_id("instance_id", &["aws_instance"])?;
    match import.account.network_interfaces.iter_mut().find(|one| one.id == id) {
        Some(interface) => interface.instance = Some(instance),
        None => import.without(block, &format!("network interface {id}")),
    }
    Ok(())
}

/// Reads an `aws_network_interface_sg_attachment`.
pub(super) fn group_attachment(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("network_interface_id", &["aws_network_interface"])?;
    let group = block.needed_id("security_group_id", GROUPS)?;
    match import.account.network_interfaces.iter_mut().find(|one| one.id == id) {
        Some(interface) if import.former => {
            interface.security_groups.retain(|other| *other != group);
        }
        Some(interface) if interface.security_groups.contains(&group) => {}
        Some(interface) => interface.security_groups.push(group),
        None => import.without(block, &format!("network interface {id}")),
    }
    Ok(())
}

/// Reads an `aws_instance` or its data source. It comes after interfaces: its primary one may be
/// one of those.
pub(super) fn instance(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.resource.id();
    let primary = block
        .label("primary_network_interface_id")
        .or(block.label("network_interface_id"))
        .unwrap_or_else(|| block.resource.computed("primary_network_interface_id"));
    let listed = import
        .account
        .network_interfaces
        .iter_mut()
        .find(|one| one.id == primary || one.instance.as_deref() == Some(id.as_str()));
    if let Some(listed) = listed {
        listed.instance = Some(id);
        listed.name = listed.name.take().or(block.name());
        let public = PublicAddress::from(block.address("public_ip")?);
        listed.public_address = listed.public_address.or(public);
        return Ok(());
    }
    let mut addresses: Vec<Ipv4Addr> = block.address("private_ip")?.into_iter().collect();
    let place = block.origin.member("secondary_private_ips");
    for text in block.strings("secondary_private_ips")? {
        addresses.push(place.address(&text)?);
    }
    let subnet = block.needed_id("subnet_id", SUBNETS)?;
    let groups = block.ids("vpc_security_group_ids", GROUPS)?;
    let public_address = public_addresses::at_launch(import, block, &subnet)?;
    import.account.network_interfaces.push(NetworkInterface {
        id: primary,
        name: block.name().or_else(|| Some(block.resource.name.clone())),
        security_groups: or_default(import, &subnet, groups),
        subnet,
        interface_type: "interface".to_owned(),
        addresses: private(&addresses),
        public_address,
        source_dest_check: block.flag("source_dest_check")?.unwrap_or(true),
        instance: Some(id),
        origin: block.origin.clone(),
        ..NetworkInterface::default()
    });
    Ok(())
}

/// Reads an `aws_efs_mount_target`, whose address is known.
pub(super) fn mount_target(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let addresses: Vec<Ipv4Addr> = block.address("ip_address")?.into_iter().collect();
    let subnet = block.needed_id("subnet_id", SUBNETS)?;
    let groups = block.ids("security_groups", GROUPS)?;
    import.account.network_interfaces.push(NetworkInterface {
        id: block
            .label("network_interface_id")
            .unwrap_or_else(|| block.resource.computed("network_interface_id")),
        name: Some(block.resource.name.clone()),
        security_groups: or_default(import, &subnet, groups),
        subnet,
        interface_type: "efs".to_owned(),
        addresses: private(&addresses),
        source_dest_check: true,
        listen: vec!["2049/tcp".to_owned()],
        origin: block.origin.clone(),
        ..NetworkInterface::default()
    });
    Ok(())
}

/// Reports an `aws_lambda_function` in a VPC, which sends packets there; another does not concern
/// the lab.
pub(super) fn function(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    if !block.blocks("vpc_config")?.is_empty() {
        import.findings.left_out(
            block.object(),
            &block.origin,
            "a Lambda function in the VPC",
            "the lab does not evaluate its packets: in the lab file, a [[service]] with kind = \"lambda\" and its subnets and security groups can stand for it",
        );
    }
    Ok(())
}

fn private(addresses: &[Ipv4Addr]) -> Vec<PrivateAddress> {
    let mut found: Vec<PrivateAddress> = Vec::new();
    for &address in addresses {
        if !found.iter().any(|one| one.address == address) {
            found.push(PrivateAddress::unmapped(address));
        }
    }
    found
}

/// Returns the groups, or the VPC's default group if none is given, as AWS does.
fn or_default(import: &Import<'_>, subnet: &str, mut groups: Vec<String>) -> Vec<String> {
    let subnet = import.account.subnets.iter().find(|one| one.id == subnet);
    if let Some(subnet) = subnet.filter(|_| groups.is_empty()) {
        groups.extend(import.default_group_of(&subnet.vpc));
    }
    groups
}

/// Makes the interfaces of all owners.
pub(super) fn settle(import: &mut Import<'_>) {
    let owners = std::mem::take(&mut import.owners);
    for (owner, block) in &owners.owners {
        let read = interfaces(import, &owners, owner, block);
        import.part(block, "network interface", read);
    }
    without_instances(import, &owners);
    leave_out_those_elsewhere(import);
}

/// Reports clusters of which the source has no instance: serverless ones, for example, still have
/// addresses.
fn without_instances(import: &mut Import<'_>, owners: &Owners<'_>) {
    for cluster in &owners.needed {
        let of_it = |(owner, block): &(&Owner, Block<'_>)| {
            owner.cluster.is_some_and(|(attribute, kind)| {
                let named = block.id(attribute, OWNERS_NEED).ok().flatten();
                let own = cluster.label("cluster_identifier");
                kind == cluster.resource.kind
                    && named.is_some_and(|id| id == cluster.resource.id() || Some(id) == own)
            })
        };
        let is_cluster = OWNERS
            .iter()
            .any(|owner| owner.cluster.is_some_and(|(_, kind)| kind == cluster.resource.kind));
        if is_cluster && !owners.owners.iter().any(of_it) {
            import.findings.left_out(
                cluster.object(),
                &cluster.origin,
                "a cluster without an instance in this source",
                "the lab has no such resource: write a [[resource]] for it",
            );
        }
    }
}

fn leave_out_those_elsewhere(import: &mut Import<'_>) {
    let Import { account, findings, .. } = import;
    let subnets = &account.subnets;
    account.network_interfaces.retain(|interface| {
        let is_here = subnets.iter().any(|subnet| subnet.id == interface.subnet);
        if !is_here {
            findings.left_out(
                format!("network interface {}", interface.id),
                &interface.origin,
                format!("its subnet {} is not in this source", interface.subnet),
                "the lab has no such resource: write a [[resource]] for it",
            );
        }
        is_here
    });
}

fn interfaces(
    import: &mut Import<'_>,
    owners: &Owners<'_>,
    owner: &Owner,
    block: &Block<'_>,
) -> Result<(), Trouble> {
    if owner.kind == "aws_elasticache_cluster" && block.label("replication_group_id").is_some() {
        // A member of a replication group, which is an owner itself.
        return Ok(());
    }
    let Some(subnets) = subnets_of(owners, owner, block)? else {
        import.findings.left_out(
            block.object(),
            &block.origin,
            "its subnets are not in this source",
            "the lab has no such resource: write a [[resource]] for it",
        );
        return Ok(());
    };
    let cluster = match owner.cluster {
        None => None,
        Some((attribute, _)) => {
            let id = block.needed_id(attribute, OWNERS_NEED)?;
            let cluster = owners.needed.iter().find(|one| {
                one.resource.id() == id || one.label("cluster_identifier").as_deref() == Some(&id)
            });
            if cluster.is_none() {
                import.findings.not_understood(
                    block.object(),
                    &block.origin,
                    format!("its cluster {id}, which has its groups, is not in this source"),
                    "left out: import the state that makes the cluster, or write a [[resource]] for it",
                );
                return Ok(());
            }
            cluster
        }
    };
    let groups = match (&owner.subnets, cluster) {
        (Within(within, _), _) => match block.blocks(within)?.first() {
            Some(inner) => inner.ids(owner.groups, GROUPS)?,
            None => Vec::new(),
        },
        (Listed(_) | Group(_), Some(cluster)) => cluster.ids(owner.groups, GROUPS)?,
        (Listed(_) | Group(_), None) => block.ids(owner.groups, GROUPS)?,
    };
    let listen = port(owner, cluster.unwrap_or(block))?;
    let public_address = public_address(owner, block)?;
    let name = block.label(owner.name).unwrap_or_else(|| block.resource.name.clone());
    let wanted = if owner.in_each { subnets.len() } else { 1 };
    let filters_nothing =
        matches!(block.label("load_balancer_type").as_deref(), Some("network" | "gateway"));
    for (position, subnet) in preferred(import, block, subnets).into_iter().take(wanted).enumerate()
    {
        let name = if position == 0 { name.clone() } else { format!("{name}-{}", position + 1) };
        import.account.network_interfaces.push(NetworkInterface {
            id: format!("{}.network_interface[{position}]", block.resource.address),
            name: Some(name),
            security_groups: match filters_nothing {
                true => groups.clone(),
                false => or_default(import, &subnet, groups.clone()),
            },
            subnet,
            interface_type: "interface".to_owned(),
            source_dest_check: true,
            public_address,
            listen: listen.iter().cloned().collect(),
            origin: block.origin.clone(),
            ..NetworkInterface::default()
        });
    }
    Ok(())
}

/// Returns the public address of an owner's interfaces.
fn public_address(owner: &Owner, block: &Block<'_>) -> Result<PublicAddress, Trouble> {
    Ok(match owner.public {
        Public::Never => PublicAddress::None,
        Public::If(attribute) => match block.flag(attribute)? {
            Some(true) => PublicAddress::Unknown(attribute),
            Some(false) | None => PublicAddress::None,
        },
        Public::Balancer => {
            let has_none = block.flag("internal")? == Some(true)
                || block.label("load_balancer_type").as_deref() == Some("gateway")
                || block.label("ip_address_type").as_deref()
                    == Some("dualstack-without-public-ipv4");
            match has_none {
                true => PublicAddress::None,
                false => PublicAddress::Unknown("an internet-facing load balancer"),
            }
        }
    })
}

/// Returns the subnets of an owner; `None` if the object that names them is not in the source.
fn subnets_of(
    owners: &Owners<'_>,
    owner: &Owner,
    block: &Block<'_>,
) -> Result<Option<Vec<String>>, Trouble> {
    let found = match owner.subnets {
        Listed(attribute) => block.ids(attribute, SUBNETS)?,
        Within(within, attribute) => match block.blocks(within)?.first() {
            Some(inner) => inner.ids(attribute, SUBNETS)?,
            None => return Ok(None),
        },
        Group(attribute) => {
            let Some(id) = block.id(attribute, OWNERS_NEED)? else { return Ok(None) };
            let group = owners
                .needed
                .iter()
                .find(|one| one.resource.id() == id || one.label("name").as_deref() == Some(&id));
            match group {
                Some(group) => group.ids("subnet_ids", SUBNETS)?,
                None => return Ok(None),
            }
        }
    };
    Ok(Some(found).filter(|found| !found.is_empty()))
}

/// Sorts the subnets, those in the owner's own zone first.
fn preferred(import: &Import<'_>, block: &Block<'_>, mut subnets: Vec<String>) -> Vec<String> {
    if let Some(zone) = block.label("availability_zone") {
        let in_zone =
            |id: &String| {
                import.account.subnets.iter().any(|subnet| {
                    subnet.id == *id && subnet.availability_zone.as_ref() == Some(&zone)
                })
            };
        subnets.sort_by_key(|id| !in_zone(id));
    }
    subnets
}

fn port(owner: &Owner, block: &Block<'_>) -> Result<Option<String>, Trouble> {
    let (attribute, default) = owner.port;
    let given = if attribute.is_empty() { None } else { block.number(attribute)? };
    Ok(given
        .filter(|port| (1..=65_535).contains(port))
        .map(|port| format!("{port}/tcp"))
        .or(default.map(ToOwned::to_owned)))
}
