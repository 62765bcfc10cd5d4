//! Reads App Runner's VPC connectors and services.

use super::import::Import;
use super::network::SUBNETS;
use super::reader::{Block, Trouble};
use super::security_groups::GROUPS;
use crate::config::import::{Service, VpcConnector};

/// Reads an `aws_apprunner_vpc_connector`.
pub(super) fn connector(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    import.account.vpc_connectors.push(VpcConnector {
        id: block.resource.id(),
        name: block.text("vpc_connector_name")?.ok_or_else(|| block.lacks("vpc_connector_name"))?,
        subnets: block.ids("subnets", SUBNETS)?,
        security_groups: block.ids("security_groups", GROUPS)?,
        origin: block.origin.clone(),
    });
    Ok(())
}

/// Reads an `aws_apprunner_service`.
pub(super) fn service(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let mut vpc_connector = None;
    for network in block.blocks("network_configuration")? {
        for egress in network.blocks("egress_configuration")? {
            if egress.text("egress_type")?.as_deref() == Some("VPC") {
                let connectors = ["aws_apprunner_vpc_connector"];
                vpc_connector = Some(egress.needed_id("vpc_connector_arn", &connectors)?);
            }
        }
    }
    import.account.services.push(Service {
        name: block.text("service_name")?.ok_or_else(|| block.lacks("service_name"))?,
        vpc_connector,
        origin: block.origin.clone(),
    });
    Ok(())
}
