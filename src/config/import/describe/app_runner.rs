//! Reads `apprunner list-vpc-connectors`, `describe-vpc-connector`, `describe-service`,
//! `list-services`.

use super::super::ImportError;
use super::super::json::Node;
use super::super::{Service, VpcConnector};
use super::reader::Reader;

/// Reads an element of `list-vpc-connectors`.
pub(super) fn connector(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let id = node.required("VpcConnectorArn")?;
    let name = node.string("VpcConnectorName")?.unwrap_or_default();
    if node.string("Status")?.as_deref() == Some("INACTIVE") {
        let what = "it is INACTIVE: deleted";
        let object = format!("VPC connector {name}");
        reader.findings.left_out(object, node.origin(), what, "no service can use it");
        return Ok(());
    }
    if !reader.is_new("VPC connector", &id, node) {
        return Ok(());
    }
    reader.account.vpc_connectors.push(VpcConnector {
        id,
        name,
        subnets: node.strings("Subnets")?,
        security_groups: node.strings("SecurityGroups")?,
        origin: node.origin().clone(),
    });
    Ok(())
}

/// Reads `describe-vpc-connector`: one connector.
pub(super) fn one_connector(reader: &mut Reader, root: &Node<'_>) -> Result<(), ImportError> {
    match root.get("VpcConnector")? {
        Some(node) => connector(reader, &node),
        None => Ok(()),
    }
}

/// Reads `describe-service`.
pub(super) fn service(reader: &mut Reader, root: &Node<'_>) -> Result<(), ImportError> {
    let Some(node) = root.get("Service")? else { return Ok(()) };
    let name = node.required("ServiceName")?;
    reader.listed_services.remove(&name);
    if node.string("Status")?.as_deref() == Some("DELETED") {
        return Ok(());
    }
    if !reader.is_new("service", &name, &node) {
        return Ok(());
    }
    let network = node.get("NetworkConfiguration")?;
    let egress = network.map(|n| n.get("EgressConfiguration")).transpose()?.flatten();
    let mut vpc_connector = None;
    if let Some(egress) = egress
        && egress.string("EgressType")?.as_deref() == Some("VPC")
    {
        vpc_connector = Some(egress.required("VpcConnectorArn")?);
    }
    if let Some(arn) = node.string("ServiceArn")? {
        reader.account.written.service_arns.insert(name.clone(), arn);
    }
    let origin = node.origin().clone();
    reader.account.services.push(Service { name, vpc_connector, origin });
    Ok(())
}

/// Reads an element of `list-services`, which does not have a service's egress.
pub(super) fn summary(reader: &mut Reader, node: &Node<'_>) -> Result<(), ImportError> {
    let name = node.required("ServiceName")?;
    let is_deleted = node.string("Status")?.as_deref() == Some("DELETED");
    let is_described = reader.account.services.iter().any(|service| service.name == name);
    if !is_deleted && !is_described {
        reader.listed_services.insert(name, node.origin().clone());
    }
    Ok(())
}

/// Reports services that are only listed.
pub(super) fn undescribed(reader: &mut Reader) {
    for (name, origin) in std::mem::take(&mut reader.listed_services) {
        if reader.account.services.iter().any(|service| service.name == name) {
            continue;
        }
        let what = "list-services names it, and no describe-service shows where its packets go";
        let consequence = "the lab has no such service";
        reader.findings.left_out(format!("service {name}"), &origin, what, consequence);
    }
}
