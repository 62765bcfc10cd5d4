//! Reads VPCs, subnets, gateways, peering connections and network ACLs.

use super::import::Import;
use super::reader::{Block, Trouble};
use crate::config::import::{
    AclDirection, AclEntry, InternetGateway, NatAddress, NatGateway, NetworkAcl, Peering, Subnet,
    Vpc,
};

pub(super) const VPCS: &[&str] = &["aws_vpc", "aws_default_vpc"];
pub(super) const SUBNETS: &[&str] = &["aws_subnet", "aws_default_subnet"];
/// The types that name a connection: options may name it by its accepter.
const PEERINGS: &[&str] = &["aws_vpc_peering_connection", "aws_vpc_peering_connection_accepter"];
pub(super) const NETWORK_ACLS: &[&str] = &["aws_network_acl", "aws_default_network_acl"];

/// Reads an `aws_vpc`, an `aws_default_vpc` or the data source.
pub(super) fn vpc(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let mut cidr_blocks = vec![block.needed_cidr("cidr_block")?];
    // A data source lists all; a managed one has the others as resources of their own.
    for association in block.blocks("cidr_block_associations")? {
        let state = association.label("state").unwrap_or_default();
        if matches!(state.as_str(), "" | "associated") {
            cidr_blocks.extend(association.cidr("cidr_block")?);
        }
    }
    dedup(&mut cidr_blocks);
    if block.label("ipv6_cidr_block").is_some() {
        import.findings.ipv6("VPC CIDR block", &block.origin);
    }
    import.account.vpcs.push(Vpc {
        id: block.resource.id(),
        name: block.name(),
        cidr_blocks,
        enable_dns_support: block.flag("enable_dns_support")?,
        enable_dns_hostnames: block.flag("enable_dns_hostnames")?,
        block_public_access: None,
        // A default VPC is taken over as it is.
        in_part: block.resource.data || block.resource.kind == "aws_default_vpc",
        origin: block.origin.clone(),
    });
    Ok(())
}

/// Reads an `aws_vpc_ipv4_cidr_block_association`.
pub(super) fn vpc_cidr_block(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("vpc_id", VPCS)?;
    let cidr = block.needed_cidr("cidr_block")?;
    match import.account.vpcs.iter_mut().find(|vpc| vpc.id == id) {
        Some(vpc) => {
            vpc.cidr_blocks.push(cidr);
            dedup(&mut vpc.cidr_blocks);
        }
        None => import.without(block, &format!("VPC {id}")),
    }
    Ok(())
}

/// Reads `aws_vpc_block_public_access_options`, which concern every VPC of the region.
pub(super) fn block_public_access(
    import: &mut Import<'_>,
    block: &Block<'_>,
) -> Result<(), Trouble> {
    let mode = block.text("internet_gateway_block_mode")?;
    for vpc in &mut import.account.vpcs {
        vpc.block_public_access.get_or_insert(mode.clone().unwrap_or_default());
    }
    Ok(())
}

/// Reads an `aws_subnet`, an `aws_default_subnet` or the data source.
pub(super) fn subnet(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    if block.label("ipv6_cidr_block").is_some() {
        import.findings.ipv6("subnet CIDR block", &block.origin);
    }
    if block.flag("ipv6_native")? == Some(true) {
        return Ok(());
    }
    import.account.subnets.push(Subnet {
        id: block.resource.id(),
        name: block.name(),
        vpc: block.needed_id("vpc_id", VPCS)?,
        cidr_block: block.needed_cidr("cidr_block")?,
        availability_zone: block.label("availability_zone"),
        map_public_ip_on_launch: block.flag("map_public_ip_on_launch")? == Some(true),
        origin: block.origin.clone(),
    });
    Ok(())
}

/// Reads an `aws_internet_gateway` or its data source.
pub(super) fn internet_gateway(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let mut vpc = block.id("vpc_id", VPCS)?;
    for attachment in block.blocks("attachments")? {
        vpc = vpc.or(attachment.id("vpc_id", VPCS)?);
    }
    import.account.internet_gateways.push(InternetGateway {
        id: block.resource.id(),
        name: block.name(),
        vpc,
        origin: block.origin.clone(),
    });
    Ok(())
}

/// Reads an `aws_internet_gateway_attachment`.
pub(super) fn internet_gateway_attachment(
    import: &mut Import<'_>,
    block: &Block<'_>,
) -> Result<(), Trouble> {
    let id = block.needed_id("internet_gateway_id", &["aws_internet_gateway"])?;
    let vpc = block.needed_id("vpc_id", VPCS)?;
    match import.account.internet_gateways.iter_mut().find(|gateway| gateway.id == id) {
        Some(gateway) => gateway.vpc = Some(vpc),
        None => import.account.internet_gateways.push(InternetGateway {
            id,
            name: None,
            vpc: Some(vpc),
            origin: block.origin.clone(),
        }),
    }
    Ok(())
}

/// Reads an `aws_nat_gateway` or its data source. It needs Elastic IPs, so it comes after them.
pub(super) fn nat_gateway(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let regional = block.label("availability_mode").as_deref() == Some("regional");
    let subnet = match block.id("subnet_id", SUBNETS)? {
        None if !regional => return Err(block.lacks("subnet_id")),
        subnet => subnet,
    };
    let vpc = subnet
        .as_ref()
        .and_then(|id| import.account.subnets.iter().find(|subnet| subnet.id == *id))
        .map(|subnet| subnet.vpc.clone());
    import.account.nat_gateways.push(NatGateway {
        id: block.resource.id(),
        name: block.name(),
        vpc: vpc.or(block.id("vpc_id", VPCS)?),
        subnet,
        state: block.label("state"),
        private: block.label("connectivity_type").as_deref() == Some("private"),
        regional,
        addresses: nat_addresses(import, block)?,
        origin: block.origin.clone(),
    });
    Ok(())
}

fn nat_addresses(import: &Import<'_>, block: &Block<'_>) -> Result<Vec<NatAddress>, Trouble> {
    let elastic_ip = |id: &str| import.elastic_ips.get(id).copied();
    let allocation = block.label("allocation_id");
    let primary = NatAddress {
        private_ip: block.address("private_ip")?,
        public_ip: block.address("public_ip")?.or(allocation.as_deref().and_then(elastic_ip)),
        network_interface: block.label("network_interface_id"),
    };
    let mut private = Vec::new();
    let place = block.origin.member("secondary_private_ip_addresses");
    for text in block.strings("secondary_private_ip_addresses")? {
        private.push(place.address(&text)?);
    }
    let allocations = block.ids("secondary_allocation_ids", &["aws_eip"])?;
    let count = block.number("secondary_private_ip_address_count")?.unwrap_or(0).clamp(0, 31);
    let count = private.len().max(allocations.len()).max(usize::try_from(count).unwrap_or(0));
    if count == 0 && primary == NatAddress::default() {
        return Ok(Vec::new());
    }
    let secondary = (0..count).map(|position| NatAddress {
        private_ip: private.get(position).copied(),
        public_ip: allocations.get(position).and_then(|id| elastic_ip(id)),
        network_interface: None,
    });
    Ok(std::iter::once(primary.clone()).chain(secondary).collect())
}

/// Reads an `aws_vpc_peering_connection` or its data source.
pub(super) fn peering(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let accepted =
        block.flag("auto_accept")?.filter(|accepts| *accepts).map(|_| "active".to_owned());
    import.account.peering_connections.push(Peering {
        id: block.resource.id(),
        name: block.name(),
        requester_vpc: block.needed_id("vpc_id", VPCS)?,
        accepter_vpc: block.needed_id("peer_vpc_id", VPCS)?,
        requester_region: block.label("region"),
        accepter_region: block.label("peer_region"),
        status: block.label("accept_status").or(block.label("status")).or(accepted),
        requester_dns_resolution: allows_dns_resolution(block, "requester")?.unwrap_or_default(),
        accepter_dns_resolution: allows_dns_resolution(block, "accepter")?.unwrap_or_default(),
        origin: block.origin.clone(),
    });
    Ok(())
}

/// Reads an `aws_vpc_peering_connection_accepter`, whose state is the later one.
pub(super) fn peering_accepter(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("vpc_peering_connection_id", PEERINGS)?;
    let accepted =
        block.flag("auto_accept")?.filter(|accepts| *accepts).map(|_| "active".to_owned());
    let status = block.label("accept_status").or(accepted);
    match import.account.peering_connections.iter_mut().find(|peering| peering.id == id) {
        Some(peering) => peering.status = status.or(peering.status.take()),
        None => import.account.peering_connections.push(Peering {
            id,
            name: block.name(),
            requester_vpc: block.needed_id("peer_vpc_id", VPCS)?,
            accepter_vpc: block.needed_id("vpc_id", VPCS)?,
            requester_region: None,
            accepter_region: None,
            status,
            requester_dns_resolution: false,
            accepter_dns_resolution: false,
            origin: block.origin.clone(),
        }),
    }
    peering_options(import, block)
}

/// Reads the options of `aws_vpc_peering_connection_options`, or of an accepter: for the sides that
/// have some there.
pub(super) fn peering_options(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("vpc_peering_connection_id", PEERINGS)?;
    let requester = allows_dns_resolution(block, "requester")?;
    let accepter = allows_dns_resolution(block, "accepter")?;
    match import.account.peering_connections.iter_mut().find(|peering| peering.id == id) {
        Some(peering) => {
            let Peering { requester_dns_resolution, accepter_dns_resolution, .. } = peering;
            *requester_dns_resolution = requester.unwrap_or(*requester_dns_resolution);
            *accepter_dns_resolution = accepter.unwrap_or(*accepter_dns_resolution);
        }
        None => import.without(block, &format!("VPC peering connection {id}")),
    }
    Ok(())
}

/// Returns the setting by which a side of a peering connection lets its public names lead to
/// private addresses on the other.
fn allows_dns_resolution(block: &Block<'_>, side: &str) -> Result<Option<bool>, Trouble> {
    let mut allows = None;
    for options in block.blocks(side)? {
        allows = options.flag("allow_remote_vpc_dns_resolution")?.or(allows);
    }
    Ok(allows)
}

/// Reads an `aws_network_acl` or an `aws_default_network_acl`.
pub(super) fn network_acl(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let default = block.resource.kind == "aws_default_network_acl";
    let mut acl = NetworkAcl {
        id: block.resource.id(),
        name: block.name(),
        vpc: vpc_of_default(block, "default_network_acl_id")?,
        default,
        subnets: block.ids("subnet_ids", SUBNETS)?,
        entries: Vec::new(),
        origin: block.origin.clone(),
    };
    for (key, direction) in [("ingress", AclDirection::Ingress), ("egress", AclDirection::Egress)] {
        for entry in import.parts(block, key) {
            let read = acl_entry(&entry, direction, "rule_no", "action");
            acl.entries.extend(import.part(&entry, "entry of a network ACL", read).flatten());
        }
    }
    import.account.network_acls.push(acl);
    Ok(())
}

/// Returns a default object's VPC. A plan may not know it: then it is the VPC of the attribute that
/// is the object's own id.
pub(super) fn vpc_of_default(block: &Block<'_>, own: &str) -> Result<String, Trouble> {
    if let Some(vpc) = block.id("vpc_id", VPCS)? {
        return Ok(vpc);
    }
    let suffix = format!(".{own}");
    match block.id(own, VPCS)? {
        Some(id) if id.ends_with(&suffix) => Ok(id[..id.len() - suffix.len()].to_owned()),
        Some(_) | None => Err(block.lacks("vpc_id")),
    }
}

/// Reads an `aws_network_acl_rule`.
pub(super) fn network_acl_rule(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("network_acl_id", NETWORK_ACLS)?;
    let direction = match block.flag("egress")? {
        Some(true) => AclDirection::Egress,
        Some(false) | None => AclDirection::Ingress,
    };
    let Some(entry) = acl_entry(block, direction, "rule_number", "rule_action")? else {
        return Ok(());
    };
    let former = import.former;
    let Some(acl) = import.network_acl(&id) else {
        import.without(block, &format!("network ACL {id}"));
        return Ok(());
    };
    let same = |other: &AclEntry| {
        (other.direction, other.rule_number) == (entry.direction, entry.rule_number)
    };
    if former {
        acl.entries.retain(|other| !same(other));
        return Ok(());
    }
    // A state also lists a separate rule in the ACL, as the last refresh saw it.
    match acl.entries.iter_mut().find(|other| same(other)) {
        Some(listed) => *listed = entry,
        None => acl.entries.push(entry),
    }
    Ok(())
}

/// Reads an entry; `None` if it concerns only IPv6, or has no block.
fn acl_entry(
    block: &Block<'_>,
    direction: AclDirection,
    number: &str,
    action: &str,
) -> Result<Option<AclEntry>, Trouble> {
    let Some(cidr_block) = block.cidr("cidr_block")? else {
        return match block.text("ipv6_cidr_block")? {
            Some(_) => Err(Trouble::Ipv6 { origin: block.origin.clone() }),
            None => Err(block.lacks("cidr_block")),
        };
    };
    let rule_number = block.number(number)?.ok_or_else(|| block.lacks(number))?;
    let action_word = block.text(action)?.unwrap_or_default().to_lowercase();
    let allow = match action_word.as_str() {
        "allow" => true,
        "deny" => false,
        other => {
            let place = block.origin.member(action);
            return Err(place.error(format!("unknown action {other:?}"), "allow, deny").into());
        }
    };
    let protocol = block.text("protocol")?.ok_or_else(|| block.lacks("protocol"))?;
    let pair = |a: Option<i64>, b: Option<i64>| a.zip(b);
    let ports = pair(block.number("from_port")?, block.number("to_port")?);
    let icmp = pair(block.number("icmp_type")?, block.number("icmp_code")?);
    let protocol = acl_protocol(&protocol);
    Ok(Some(AclEntry {
        direction,
        rule_number,
        allow,
        ports: ports.filter(|_| matches!(protocol.as_str(), "6" | "17")),
        // Terraform has 0 and 0 in inline entries without a type and a code, which is an echo reply
        // to AWS too.
        icmp: icmp.filter(|_| protocol == "1"),
        protocol,
        cidr_block,
        origin: block.origin.clone(),
    }))
}

fn acl_protocol(word: &str) -> String {
    match word.to_lowercase().as_str() {
        "all" => "-1".to_owned(),
        "icmp" => "1".to_owned(),
        "tcp" => "6".to_owned(),
        "udp" => "17".to_owned(),
        "icmpv6" | "ipv6-icmp" => "58".to_owned(),
        "gre" => "47".to_owned(),
        "esp" => "50".to_owned(),
        "ah" => "51".to_owned(),
        other => other.to_owned(),
    }
}

/// Reads an `aws_network_acl_association`.
pub(super) fn network_acl_association(
    import: &mut Import<'_>,
    block: &Block<'_>,
) -> Result<(), Trouble> {
    let id = block.needed_id("network_acl_id", NETWORK_ACLS)?;
    let subnet = block.needed_id("subnet_id", SUBNETS)?;
    if import.former {
        if let Some(acl) = import.network_acl(&id) {
            acl.subnets.retain(|other| *other != subnet);
        }
        return Ok(());
    }
    let canonical = import.network_acl(&id).map(|acl| acl.id.clone());
    let Some(id) = canonical else {
        if import.has(&subnet) {
            import.findings.not_understood(
                block.object(),
                &block.origin,
                format!("network ACL {id}, which subnet {subnet} has, is not in this source"),
                "the subnet has the VPC's default network ACL in the lab: import the state that makes the ACL",
            );
        } else {
            import.without(block, &format!("network ACL {id}"));
        }
        return Ok(());
    };
    for acl in &mut import.account.network_acls {
        acl.subnets.retain(|other| *other != subnet);
        if acl.id == id {
            acl.subnets.push(subnet.clone());
        }
    }
    Ok(())
}

/// Sets the state of new peering connections: they wait for acceptance.
pub(super) fn settle_peerings(import: &mut Import<'_>) {
    for peering in &mut import.account.peering_connections {
        if peering.status.is_none() {
            peering.status = Some("pending-acceptance".to_owned());
            import.findings.assumed(
                format!("peering connection {}", peering.id),
                &peering.origin,
                "neither it nor an accepter in this source has auto_accept = true",
                "pending-acceptance: nothing passes",
            );
        }
    }
}

/// Removes from a default ACL the subnets that another ACL has. Its list is that of the last
/// refresh.
pub(super) fn settle_acls(import: &mut Import<'_>) {
    let taken: Vec<String> = import
        .account
        .network_acls
        .iter()
        .filter(|acl| !acl.default)
        .flat_map(|acl| acl.subnets.iter().cloned())
        .collect();
    for acl in import.account.network_acls.iter_mut().filter(|acl| acl.default) {
        acl.subnets.retain(|subnet| !taken.contains(subnet));
    }
}

fn dedup<T: PartialEq + Copy>(list: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::new();
    list.retain(|one| {
        !seen.contains(one) && {
            seen.push(*one);
            true
        }
    });
}
