//! Reads `describe-vpcs`, `describe-vpc-attribute`, `describe-subnets`, `describe-route-tables`,
//! `describe-availability-zones`.

use super::super::ImportError;
use super::super::json::Node;
use super::super::{
    AvailabilityZone, Route, RouteDestination, RouteTable, RouteTarget, Subnet, Vpc,
};
use super::reader::{Reader, inner, name_tag};
use crate::config::import::Origin;
use ipnetwork::Ipv4Network;

pub(super) fn availability_zone(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let name = node.required("ZoneName")?;
    let id = node.string("ZoneId")?.unwrap_or_default();
    if reader.account.region.is_none() {
        reader.account.region = node.string("RegionName")?;
    }
    reader.account.availability_zones.push(AvailabilityZone { name, id });
    Ok(())
}

pub(super) fn vpc(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("VpcId")?;
    if !reader.is_new("VPC", &id, node) {
        return Ok(());
    }
    for block in node.list("Ipv6CidrBlockAssociationSet")? {
        reader.findings.ipv6("VPC CIDR block", block.origin());
    }
    reader.account.vpcs.push(Vpc {
        name: name_tag(node)?,
        cidr_blocks: cidr_blocks(node)?,
        // A VPC that AWS created with the account has them on (spec 8).
        enable_dns_support: None,
        enable_dns_hostnames: node.boolean("IsDefault")?.filter(|is_default| *is_default),
        block_public_access: inner(node, "BlockPublicAccessStates", "InternetGatewayBlockMode")?,
        in_part: true,
        id,
        origin: node.origin().clone(),
    });
    Ok(())
}

/// Reads the blocks that are associated, the primary first.
fn cidr_blocks(node: &Node<'_>) -> Result<Vec<Ipv4Network>, ImportError> {
    let primary = node.cidr("CidrBlock")?;
    let mut blocks: Vec<Ipv4Network> = primary.into_iter().collect();
    for association in node.list("CidrBlockAssociationSet")? {
        let state = inner(&association, "CidrBlockState", "State")?;
        let is_there = state.is_none_or(|state| state.starts_with("associat"));
        if let Some(block) = association.cidr("CidrBlock")?.filter(|_| is_there)
            && !blocks.contains(&block)
        {
            blocks.push(block);
        }
    }
    if blocks.is_empty() {
        let help = "a VPC has one, unless it is being made: fetch the file again";
        return Err(node.origin().error("it has no IPv4 CIDR block", help));
    }
    Ok(blocks)
}

/// Reads `describe-vpc-attribute`: the VPC's id, and one attribute.
pub(super) fn dns_attributes(reader: &mut Reader, root: &Node<'_>) -> Result<(), ImportError> {
    for key in ["EnableDnsSupport", "EnableDnsHostnames"] {
        let Some(attribute) = root.get(key)? else { continue };
        let id = root.required("VpcId")?;
        if let Some(value) = attribute.boolean("Value")? {
            reader.dns.insert((id, key), value);
        }
    }
    Ok(())
}

pub(super) fn subnet(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("SubnetId")?;
    if !reader.is_new("subnet", &id, node) {
        return Ok(());
    }
    for block in node.list("Ipv6CidrBlockAssociationSet")? {
        reader.findings.ipv6("subnet CIDR block", block.origin());
    }
    let Some(cidr_block) = node.cidr("CidrBlock")? else {
        let consequence = "egret carries IPv4 only: the lab has no such subnet";
        let object = format!("subnet {id}");
        reader.findings.left_out(object, node.origin(), "it has no IPv4 CIDR block", consequence);
        return Ok(());
    };
    reader.account.subnets.push(Subnet {
        name: name_tag(node)?,
        vpc: node.required("VpcId")?,
        cidr_block,
        availability_zone: node.string("AvailabilityZone")?,
        map_public_ip_on_launch: node.boolean("MapPublicIpOnLaunch")?.unwrap_or_default(),
        id,
        origin: node.origin().clone(),
    });
    Ok(())
}

pub(super) fn route_table(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("RouteTableId")?;
    if !reader.is_new("route table", &id, node) {
        return Ok(());
    }
    let mut table = RouteTable {
        name: name_tag(node)?,
        vpc: node.required("VpcId")?,
        id,
        origin: node.origin().clone(),
        ..RouteTable::default()
    };
    for association in node.list("Associations")? {
        let state = inner(&association, "AssociationState", "State")?;
        if state.is_some_and(|state| !state.starts_with("associat")) {
            continue;
        }
        table.main |= association.boolean("Main")?.unwrap_or_default();
        table.subnets.extend(association.string("SubnetId")?);
        table.gateways.extend(association.string("GatewayId")?);
    }
    for element in node.list("Routes")? {
        table.routes.extend(route(reader, &table.id, &element)?);
    }
    reader.account.route_tables.push(table);
    Ok(())
}

fn route(reader: &mut Reader, table: &str, node: &Node<'_>) -> Result<Option<Route>, ImportError> {
    let destination = match (
        node.cidr("DestinationCidrBlock")?,
        node.string("DestinationPrefixListId")?,
    ) {
        (Some(block), _) => RouteDestination::Cidr(block),
        (None, Some(list)) => RouteDestination::PrefixList(list),
        (None, None) if node.string("DestinationIpv6CidrBlock")?.is_some() => {
            reader.findings.ipv6("route", node.origin());
            return Ok(None);
        }
        (None, None) => {
            let help = "EC2 says DestinationCidrBlock, DestinationIpv6CidrBlock or DestinationPrefixListId";
            return Err(node.origin().error("the route has no destination", help));
        }
    };
    let state = node.string("State")?.unwrap_or_default();
    if state == "filtered" {
        let what = "a route in state \"filtered\"";
        let consequence = "the lab has no such route: packets take the next less specific one";
        reader.findings.not_understood(
            format!("route table {table}"),
            node.origin(),
            what,
            consequence,
        );
        return Ok(None);
    }
    Ok(Some(Route {
        destination,
        target: target(node)?,
        blackhole: state == "blackhole",
        propagated: node.string("Origin")?.as_deref() == Some("EnableVgwRoutePropagation"),
        origin: node.origin().clone(),
    }))
}

type ById = fn(String) -> RouteTarget;

/// Reads the target of a route: EC2 fills in one member (spec 3.5), and for an instance its
/// interface as well.
fn target(node: &Node<'_>) -> Result<RouteTarget, ImportError> {
    let known: [(&str, ById); 6] = [
        ("NatGatewayId", RouteTarget::NatGateway),
        ("VpcPeeringConnectionId", RouteTarget::VpcPeeringConnection),
        ("NetworkInterfaceId", RouteTarget::NetworkInterface),
        ("InstanceId", RouteTarget::Instance),
        ("VpcEndpointId", RouteTarget::VpcEndpoint),
        ("GatewayId", RouteTarget::Gateway),
    ];
    for (key, target) in known {
        if let Some(id) = node.string(key)? {
            return Ok(if id == "local" { RouteTarget::Local } else { target(id) });
        }
    }
    let others = [
        ("TransitGatewayId", "transit gateway"),
        ("EgressOnlyInternetGatewayId", "egress-only internet gateway"),
        ("CarrierGatewayId", "carrier gateway"),
        ("LocalGatewayId", "local gateway"),
        ("CoreNetworkArn", "core network"),
        ("OdbNetworkArn", "ODB network"),
        ("IpAddress", "route server's next hop"),
    ];
    for (key, kind) in others {
        if let Some(id) = node.string(key)? {
            return Ok(RouteTarget::Other { kind: kind.to_owned(), id });
        }
    }
    let Origin { path, .. } = node.origin();
    Ok(RouteTarget::Other { kind: "a target of an unknown kind,".to_owned(), id: path.clone() })
}
