//! Reads route tables, their routes and associations.

use super::import::Import;
use super::network::{SUBNETS, VPCS, vpc_of_default};
use super::reader::{Block, Trouble};
use crate::config::import::{Route, RouteDestination, RouteTable, RouteTarget};

pub(super) const ROUTE_TABLES: &[&str] = &["aws_route_table", "aws_default_route_table"];
const PREFIX_LISTS: &[&str] = &["aws_ec2_managed_prefix_list", "aws_prefix_list"];

/// Reads an `aws_route_table`, an `aws_default_route_table` or the data source.
pub(super) fn route_table(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let resource = block.resource;
    let mut table = RouteTable {
        id: block
            .label("route_table_id")
            .filter(|_| resource.data)
            .unwrap_or_else(|| resource.id()),
        name: block.name(),
        vpc: vpc_of_default(block, "default_route_table_id")?,
        main: resource.kind == "aws_default_route_table",
        origin: block.origin.clone(),
        ..RouteTable::default()
    };
    for association in block.blocks("associations")? {
        table.main |= association.flag("main")? == Some(true);
        table.subnets.extend(association.label("subnet_id"));
        table.gateways.extend(association.label("gateway_id"));
    }
    let key = if resource.data { "routes" } else { "route" };
    for route in import.parts(block, key) {
        let read = read_route(&route, "cidr_block", "ipv6_cidr_block");
        table.routes.extend(import.part(&route, "route", read));
    }
    let read = block.strings("propagating_vgws");
    let propagating = import.part(block, "route", read).unwrap_or_default();
    if !propagating.is_empty() {
        import.findings.not_understood(
            block.object(),
            &block.origin.member("propagating_vgws"),
            format!(
                "routes that {} propagates, which Terraform does not list",
                propagating.join(", ")
            ),
            "the lab has none of them: write those that matter into the lab file",
        );
    }
    import.account.route_tables.push(table);
    Ok(())
}

/// Reads an `aws_route`.
pub(super) fn route(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("route_table_id", ROUTE_TABLES)?;
    let route = read_route(block, "destination_cidr_block", "destination_ipv6_cidr_block")?;
    let former = import.former;
    match import.route_table(&id) {
        Some(table) if former => {
            table.routes.retain(|other| other.destination != route.destination);
        }
        Some(table) => {
            match table.routes.iter_mut().find(|other| other.destination == route.destination) {
                // A state also lists it in its table, as the last refresh saw it.
                Some(listed) => *listed = route,
                None => table.routes.push(route),
            }
        }
        None => import.without(block, &format!("route table {id}")),
    }
    Ok(())
}

fn read_route(block: &Block<'_>, cidr: &str, ipv6: &str) -> Result<Route, Trouble> {
    let destination = match block.cidr(cidr)? {
        Some(block) => RouteDestination::Cidr(block),
        None => match block.id("destination_prefix_list_id", PREFIX_LISTS)? {
            Some(list) => RouteDestination::PrefixList(list),
            None if block.text(ipv6)?.is_some() => {
                return Err(Trouble::Ipv6 { origin: block.origin.clone() });
            }
            None => return Err(block.lacks(cidr)),
        },
    };
    Ok(Route {
        destination,
        target: target(block)?,
        blackhole: block.label("state").as_deref() == Some("blackhole"),
        propagated: block.label("origin").as_deref() == Some("EnableVgwRoutePropagation"),
        origin: block.origin.clone(),
    })
}

/// Attributes of targets without a counterpart in a lab, and AWS's words for the targets.
const OTHERS: &[(&str, &str, &[&str])] = &[
    ("transit_gateway_id", "transit gateway", &["aws_ec2_transit_gateway"]),
    (
        "egress_only_gateway_id",
        "egress-only internet gateway",
        &["aws_egress_only_internet_gateway"],
    ),
    ("carrier_gateway_id", "carrier gateway", &["aws_ec2_carrier_gateway"]),
    ("local_gateway_id", "local gateway", &[]),
    ("core_network_arn", "core network", &["aws_networkmanager_core_network"]),
    ("odb_network_arn", "ODB network", &["aws_odb_network"]),
];

fn target(block: &Block<'_>) -> Result<RouteTarget, Trouble> {
    let gateways = [
        "aws_internet_gateway",
        "aws_vpn_gateway",
        "aws_vpc_endpoint",
        "aws_internet_gateway_attachment",
    ];
    if let Some(id) = block.id("gateway_id", &gateways)? {
        return Ok(if id == "local" { RouteTarget::Local } else { RouteTarget::Gateway(id) });
    }
    if let Some(id) = block.id("nat_gateway_id", &["aws_nat_gateway"])? {
        return Ok(RouteTarget::NatGateway(id));
    }
    if let Some(id) = block.id("vpc_endpoint_id", &["aws_vpc_endpoint"])? {
        return Ok(RouteTarget::VpcEndpoint(id));
    }
    if let Some(id) = block.id("vpc_peering_connection_id", &["aws_vpc_peering_connection"])? {
        return Ok(RouteTarget::VpcPeeringConnection(id));
    }
    if let Some(id) = block.id("network_interface_id", &["aws_network_interface"])? {
        return Ok(RouteTarget::NetworkInterface(id));
    }
    if let Some(id) = block.id("instance_id", &["aws_instance"])? {
        return Ok(RouteTarget::Instance(id));
    }
    for (key, kind, types) in OTHERS {
        if let Some(id) = block.id(key, types)? {
            return Ok(RouteTarget::Other { kind: (*kind).to_owned(), id });
        }
    }
    Err(block.lacks("target"))
}

/// Reads an `aws_route_table_association`: of a subnet, or of a gateway.
pub(super) fn association(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("route_table_id", ROUTE_TABLES)?;
    let subnet = block.id("subnet_id", SUBNETS)?;
    let gateway = block.id("gateway_id", &["aws_internet_gateway", "aws_vpn_gateway"])?;
    if import.route_table(&id).is_none()
        && let Some(subnet) = subnet.as_ref().filter(|subnet| import.has(subnet))
    {
        import.findings.not_understood(
            block.object(),
            &block.origin,
            format!("route table {id}, which subnet {subnet} has, is not in this source"),
            "the subnet has the VPC's main route table in the lab: import the state that makes the table",
        );
        return Ok(());
    }
    match import.route_table(&id) {
        Some(table) => {
            table.gateways.extend(gateway.filter(|id| !table.gateways.contains(id)));
            table.subnets.extend(subnet.filter(|id| !table.subnets.contains(id)));
        }
        None => import.without(block, &format!("route table {id}")),
    }
    Ok(())
}

/// Reads an `aws_main_route_table_association`: the VPC's former main table is an ordinary one.
pub(super) fn main_association(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let id = block.needed_id("route_table_id", ROUTE_TABLES)?;
    let vpc = block.needed_id("vpc_id", VPCS)?;
    if import.route_table(&id).is_none() {
        if import.has(&vpc) {
            import.findings.not_understood(
                block.object(),
                &block.origin,
                format!("route table {id}, the main one of VPC {vpc}, is not in this source"),
                "the lab has another main route table: import the state that makes the table",
            );
        } else {
            import.without(block, &format!("route table {id}"));
        }
        return Ok(());
    }
    for table in import.account.route_tables.iter_mut().filter(|table| table.vpc == vpc) {
        table.main = table.id == id;
    }
    Ok(())
}

/// Reports an `aws_vpn_gateway_route_propagation`.
pub(super) fn propagation(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    import.findings.not_understood(
        block.object(),
        &block.origin,
        "routes that a virtual private gateway propagates, which Terraform does not list",
        "the lab has none of them: write those that matter into the lab file",
    );
    Ok(())
}
