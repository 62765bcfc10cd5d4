//! Maps NAT gateways with their Elastic IP addresses, and VPC endpoints.

use super::object::{Mapper, Object, Reported};
use super::template::Resource;
use crate::config::import::{EndpointType, NatAddress, NatGateway, VpcEndpoint};
use std::net::Ipv4Addr;

type Done = Result<(), Reported>;

impl<'t> Mapper<'_, 't> {
    pub(super) fn nat_gateway(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "SubnetId",
            "VpcId",
            "ConnectivityType",
            "AvailabilityMode",
            "AllocationId",
            "PrivateIpAddress",
            "SecondaryAllocationIds",
            "SecondaryPrivateIpAddresses",
            "SecondaryPrivateIpAddressCount",
        ];
        let gateway = self.object(resource, "NAT gateway", &names);
        let private = self.text(&gateway, "ConnectivityType")?.as_deref() == Some("private");
        let regional = self.text(&gateway, "AvailabilityMode")?.as_deref() == Some("regional");
        let subnet = self.id(&gateway, "SubnetId");
        let subnet =
            if regional { subnet? } else { Some(self.required(&gateway, "SubnetId", subnet)?) };
        let vpc = self.id(&gateway, "VpcId")?;
        let addresses = self.nat_addresses(&gateway)?;
        self.account.nat_gateways.push(NatGateway {
            id: gateway.id,
            name: self.name_tag(resource),
            vpc,
            subnet,
            state: None,
            private,
            regional,
            addresses,
            origin: self.origin(resource),
        });
        Ok(())
    }

    /// Makes one address for each that the template names or counts. AWS chooses the public ones,
    /// except those that exist already and are imported into the stack.
    fn nat_addresses(&mut self, gateway: &Object) -> Result<Vec<NatAddress>, Reported> {
        let primary = NatAddress {
            private_ip: self.address(gateway, "PrivateIpAddress")?,
            ..NatAddress::default()
        };
        let private = self.ids(gateway, "SecondaryPrivateIpAddresses")?.unwrap_or_default();
        let public = self.ids(gateway, "SecondaryAllocationIds")?.unwrap_or_default().len();
        let count = self.integer(gateway, "SecondaryPrivateIpAddressCount")?.unwrap_or(0);
        // AWS's maximum: a larger count is not trusted.
        let count = usize::try_from(count.clamp(0, 31)).unwrap_or(0);
        let mut addresses = vec![primary];
        for position in 0..private.len().max(public).max(count) {
            let private_ip = private
                .get(position)
                .map(|text| gateway.property_origin("SecondaryPrivateIpAddresses").address(text));
            let private_ip: Option<Ipv4Addr> = match private_ip.transpose() {
                Ok(address) => address,
                Err(error) => {
                    self.wrong(
                        gateway.place,
                        "SecondaryPrivateIpAddresses",
                        &error.message,
                        &error.help,
                    );
                    return Err(Reported);
                }
            };
            addresses.push(NatAddress { private_ip, ..NatAddress::default() });
        }
        Ok(addresses)
    }

    pub(super) fn vpc_endpoint(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "VpcId",
            "ServiceName",
            "VpcEndpointType",
            "RouteTableIds",
            "SubnetIds",
            "SecurityGroupIds",
            "PrivateDnsEnabled",
        ];
        let endpoint = self.object(resource, "VPC endpoint", &names);
        let vpc = self.id(&endpoint, "VpcId");
        let vpc = self.required(&endpoint, "VpcId", vpc)?;
        let endpoint_type = match self.text(&endpoint, "VpcEndpointType")?.as_deref() {
            None | Some("Gateway") => EndpointType::Gateway,
            Some("Interface") => EndpointType::Interface,
            Some("GatewayLoadBalancer") => EndpointType::GatewayLoadBalancer,
            Some(other) => EndpointType::Other(other.to_owned()),
        };
        let service_name = match endpoint_type {
            EndpointType::Other(_) => self.id(&endpoint, "ServiceName")?.unwrap_or_default(),
            EndpointType::Gateway | EndpointType::Interface | EndpointType::GatewayLoadBalancer => {
                let service = self.id(&endpoint, "ServiceName");
                self.required(&endpoint, "ServiceName", service)?
            }
        };
        let route_tables = self.ids(&endpoint, "RouteTableIds")?.unwrap_or_default();
        let subnets = self.ids(&endpoint, "SubnetIds")?.unwrap_or_default();
        let security_groups = self.ids(&endpoint, "SecurityGroupIds")?.unwrap_or_default();
        security_groups.iter().for_each(|id| self.make_default_group(id));
        // CloudFormation's default, unlike the console's.
        let private_dns_enabled = self.flag(&endpoint, "PrivateDnsEnabled")?.unwrap_or(false);
        self.account.vpc_endpoints.push(VpcEndpoint {
            id: endpoint.id,
            name: self.name_tag(resource),
            vpc,
            endpoint_type,
            service_name,
            state: None,
            route_tables,
            prefix_list: None,
            subnets,
            security_groups,
            network_interfaces: Vec::new(),
            private_dns_enabled,
            has_policy: resource.property("PolicyDocument").is_some(),
            origin: self.origin(resource),
        });
        Ok(())
    }
}
