//! Maps App Runner's VPC connectors and services.

use super::object::{Mapper, Reported};
use super::template::Resource;
use crate::config::import::{Service, VpcConnector};

type Done = Result<(), Reported>;

impl<'t> Mapper<'_, 't> {
    pub(super) fn vpc_connector(&mut self, resource: &Resource<'t>) -> Done {
        let connector = self.object(resource, "VPC connector", &["Subnets", "SecurityGroups"]);
        let subnets = self.ids(&connector, "Subnets");
        let subnets = self.required(&connector, "Subnets", subnets)?;
        let security_groups = self.ids(&connector, "SecurityGroups")?.unwrap_or_default();
        security_groups.iter().for_each(|id| self.make_default_group(id));
        self.account.vpc_connectors.push(VpcConnector {
            name: self.label(resource, "VpcConnectorName").unwrap_or_else(|| connector.id.clone()),
            id: connector.id,
            subnets,
            security_groups,
            origin: self.origin(resource),
        });
        Ok(())
    }

    pub(super) fn app_runner_service(&mut self, resource: &Resource<'t>) -> Done {
        let mut service = self.object(resource, "service", &["NetworkConfiguration"]);
        "the lab has no such service".clone_into(&mut service.otherwise);
        let mut vpc_connector = None;
        if let Some(network) = self.part(&service, "NetworkConfiguration")? {
            if self.text(&network, "IpAddressType")?.as_deref() == Some("DUAL_STACK") {
                self.findings.ipv6("service with IpAddressType DUAL_STACK", &network.origin);
            }
            if let Some(egress) = self.part(&network, "EgressConfiguration")? {
                let kind = self.text(&egress, "EgressType");
                if self.required(&egress, "EgressType", kind)? == "VPC" {
                    let connector = self.id(&egress, "VpcConnectorArn");
                    vpc_connector = Some(self.required(&egress, "VpcConnectorArn", connector)?);
                }
            }
        }
        self.account.services.push(Service {
            name: self.label(resource, "ServiceName").unwrap_or_else(|| resource.id.to_owned()),
            vpc_connector,
            origin: self.origin(resource),
        });
        Ok(())
    }
}
