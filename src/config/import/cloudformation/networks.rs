//! Maps VPCs, subnets, route tables, internet gateways, peering connections and prefix lists.

use super::object::{Mapper, Object, Property, Reported};
use super::template::Resource;
use crate::config::import::{
    InternetGateway, Peering, PrefixList, Route, RouteDestination, RouteTable, RouteTarget, Subnet,
    Vpc,
};

/// The targets of `AWS::EC2::Route` that have no counterpart in a lab, in words.
const OTHER_TARGETS: [(&str, &str); 7] = [
    ("TransitGatewayId", "transit gateway"),
    ("EgressOnlyInternetGatewayId", "egress-only internet gateway"),
    ("CarrierGatewayId", "carrier gateway"),
    ("LocalGatewayId", "local gateway"),
    ("CoreNetworkArn", "core network"),
    ("OdbNetworkArn", "ODB network"),
    ("VpnGatewayId", "virtual private gateway"),
];

type Done = Result<(), Reported>;

impl<'t> Mapper<'_, 't> {
    pub(super) fn vpc(&mut self, resource: &Resource<'t>) -> Done {
        let names = ["CidrBlock", "Ipv4IpamPoolId", "EnableDnsSupport", "EnableDnsHostnames"];
        let vpc = self.object(resource, "VPC", &names);
        if self.has(&vpc, "Ipv4IpamPoolId") && !self.has(&vpc, "CidrBlock") {
            return Err(self.of_a_pool(&vpc));
        }
        let cidr = self.cidr(&vpc, "CidrBlock");
        let cidr = self.required(&vpc, "CidrBlock", cidr)?;
        let enable_dns_support = self.flag(&vpc, "EnableDnsSupport")?.or(Some(true));
        let enable_dns_hostnames = self.flag(&vpc, "EnableDnsHostnames")?.or(Some(false));
        self.account.vpcs.push(Vpc {
            id: vpc.id,
            name: self.name_tag(resource),
            cidr_blocks: vec![cidr],
            enable_dns_support,
            enable_dns_hostnames,
            block_public_access: None,
            in_part: false,
            origin: self.origin(resource),
        });
        Ok(())
    }

    fn of_a_pool(&mut self, object: &Object) -> Reported {
        let consequence =
            format!("{}; write CidrBlock in place of Ipv4IpamPoolId", object.otherwise);
        self.not_understood(object, "its block comes from an IPAM pool", consequence);
        Reported
    }

    /// Maps an `AWS::EC2::VPCCidrBlock`, after the VPCs.
    pub(super) fn vpc_cidr_block(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "VpcId",
            "CidrBlock",
            "Ipv4IpamPoolId",
            "Ipv6CidrBlock",
            "AmazonProvidedIpv6CidrBlock",
            "Ipv6IpamPoolId",
            "Ipv6Pool",
        ];
        let block = self.object(resource, "VPC CIDR block", &names);
        if self.has(&block, "Ipv4IpamPoolId") && !self.has(&block, "CidrBlock") {
            return Err(self.of_a_pool(&block));
        }
        let is_ipv6 = names.iter().skip(3).any(|name| self.has(&block, name));
        let Some(cidr) = self.cidr(&block, "CidrBlock")? else {
            if is_ipv6 {
                self.findings.ipv6("VPC CIDR block", &block.origin);
            }
            return Ok(());
        };
        let vpc = self.id(&block, "VpcId");
        let vpc = self.required(&block, "VpcId", vpc)?;
        match self.account.vpcs.iter_mut().find(|one| one.id == vpc) {
            Some(vpc) => vpc.cidr_blocks.push(cidr),
            None => self.elsewhere(&block, "VPC", &vpc),
        }
        Ok(())
    }

    /// Reports an object that belongs to one that the template does not create.
    pub(super) fn elsewhere(&mut self, object: &Object, noun: &str, id: &str) {
        self.findings.left_out(
            &object.label,
            &object.origin,
            format!("it belongs to the {noun} {id}, which the template does not create"),
            format!("the lab does not have it, nor the {noun}"),
        );
    }

    pub(super) fn subnet(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "VpcId",
            "CidrBlock",
            "Ipv4IpamPoolId",
            "AvailabilityZone",
            "AvailabilityZoneId",
            "Ipv6Native",
            "Ipv6CidrBlock",
            "Ipv6IpamPoolId",
            "MapPublicIpOnLaunch",
        ];
        let subnet = self.object(resource, "subnet", &names);
        if self.has(&subnet, "Ipv4IpamPoolId") && !self.has(&subnet, "CidrBlock") {
            return Err(self.of_a_pool(&subnet));
        }
        if self.has(&subnet, "Ipv6CidrBlock") || self.has(&subnet, "Ipv6IpamPoolId") {
            self.findings.ipv6("subnet CIDR block", &subnet.origin);
        }
        if self.flag(&subnet, "Ipv6Native")? == Some(true) {
            self.findings.ipv6("subnet of IPv6 alone", &subnet.origin);
            return Ok(());
        }
        let vpc = self.id(&subnet, "VpcId");
        let vpc = self.required(&subnet, "VpcId", vpc)?;
        let cidr_block = self.cidr(&subnet, "CidrBlock");
        let cidr_block = self.required(&subnet, "CidrBlock", cidr_block)?;
        let availability_zone = self.availability_zone(&subnet)?;
        let map_public_ip_on_launch = self.flag(&subnet, "MapPublicIpOnLaunch")? == Some(true);
        self.account.subnets.push(Subnet {
            id: subnet.id,
            name: self.name_tag(resource),
            vpc,
            cidr_block,
            availability_zone,
            map_public_ip_on_launch,
            origin: self.origin(resource),
        });
        Ok(())
    }

    /// Returns the zone of a subnet. A zone that AWS chose for another resource is left to AWS here
    /// too.
    fn availability_zone(&mut self, subnet: &Object) -> Property<String> {
        let zone = self.id(subnet, "AvailabilityZone")?;
        if let Some(zone) = zone.filter(|zone| !zone.contains('.')) {
            return Ok(Some(zone));
        }
        let id = self.id(subnet, "AvailabilityZoneId")?.filter(|id| !id.contains('.'));
        if let Some(id) = &id {
            let what =
                format!("AvailabilityZoneId {id}: which zone that is differs between accounts");
            self.findings.assumed(
                &subnet.label,
                &subnet.origin,
                what,
                format!("a zone called {id}"),
            );
        }
        Ok(id)
    }

    pub(super) fn route_table(&mut self, resource: &Resource<'t>) -> Done {
        let table = self.object(resource, "route table", &["VpcId"]);
        let vpc = self.id(&table, "VpcId");
        let vpc = self.required(&table, "VpcId", vpc)?;
        self.account.route_tables.push(RouteTable {
            id: table.id,
            name: self.name_tag(resource),
            vpc,
            origin: self.origin(resource),
            ..RouteTable::default()
        });
        Ok(())
    }

    /// Maps an `AWS::EC2::Route`, after the tables.
    pub(super) fn route(&mut self, resource: &Resource<'t>) -> Done {
        let mut names = vec![
            "RouteTableId",
            "DestinationCidrBlock",
            "DestinationIpv6CidrBlock",
            "DestinationPrefixListId",
            "GatewayId",
            "NatGatewayId",
            "VpcPeeringConnectionId",
            "NetworkInterfaceId",
            "InstanceId",
            "VpcEndpointId",
        ];
        names.extend(OTHER_TARGETS.iter().map(|(name, _)| *name));
        let route = self.object(resource, "route", &names);
        if self.has(&route, "DestinationIpv6CidrBlock") {
            self.findings.ipv6("route", &route.origin);
            return Ok(());
        }
        let table = self.id(&route, "RouteTableId");
        let table = self.required(&route, "RouteTableId", table)?;
        let destination = match self.id(&route, "DestinationPrefixListId")? {
            Some(list) => RouteDestination::PrefixList(list),
            None => {
                let block = self.cidr(&route, "DestinationCidrBlock");
                RouteDestination::Cidr(self.required(&route, "DestinationCidrBlock", block)?)
            }
        };
        let target = self.route_target(&route);
        let target = self.required(&route, "target, such as GatewayId", target)?;
        let added = Route {
            destination,
            target,
            blackhole: false,
            propagated: false,
            origin: self.origin(resource),
        };
        match self.account.route_tables.iter_mut().find(|one| one.id == table) {
            Some(table) => table.routes.push(added),
            None => self.elsewhere(&route, "route table", &table),
        }
        Ok(())
    }

    fn route_target(&mut self, route: &Object) -> Property<RouteTarget> {
        if let Some(id) = self.id(route, "GatewayId")? {
            let is_local = id == "local";
            return Ok(Some(if is_local { RouteTarget::Local } else { RouteTarget::Gateway(id) }));
        }
        if let Some(id) = self.id(route, "NatGatewayId")? {
            return Ok(Some(RouteTarget::NatGateway(id)));
        }
        if let Some(id) = self.id(route, "VpcEndpointId")? {
            return Ok(Some(RouteTarget::VpcEndpoint(id)));
        }
        if let Some(id) = self.id(route, "VpcPeeringConnectionId")? {
            return Ok(Some(RouteTarget::VpcPeeringConnection(id)));
        }
        if let Some(id) = self.id(route, "NetworkInterfaceId")? {
            return Ok(Some(RouteTarget::NetworkInterface(id)));
        }
        if let Some(id) = self.id(route, "InstanceId")? {
            return Ok(Some(RouteTarget::Instance(id)));
        }
        for (name, kind) in OTHER_TARGETS {
            if let Some(id) = self.id(route, name)? {
                return Ok(Some(RouteTarget::Other { kind: kind.to_owned(), id }));
            }
        }
        Ok(None)
    }

    pub(super) fn subnet_route_table_association(&mut self, resource: &Resource<'t>) -> Done {
        let association =
            self.object(resource, "route table association", &["RouteTableId", "SubnetId"]);
        let table = self.id(&association, "RouteTableId");
        let table = self.required(&association, "RouteTableId", table)?;
        let subnet = self.id(&association, "SubnetId");
        let subnet = self.required(&association, "SubnetId", subnet)?;
        let knows_subnet = self.account.subnets.iter().any(|one| one.id == subnet);
        match self.account.route_tables.iter_mut().find(|one| one.id == table) {
            Some(table) => table.subnets.push(subnet),
            None if knows_subnet => {
                let what = format!(
                    "subnet {subnet} has the route table {table}, which the template does not create"
                );
                let consequence = "the subnet has the VPC's main route table in the lab";
                self.not_understood(&association, what, consequence);
            }
            None => self.elsewhere(&association, "route table", &table),
        }
        Ok(())
    }

    pub(super) fn gateway_route_table_association(&mut self, resource: &Resource<'t>) -> Done {
        let association = self.object(
            resource,
            "gateway route table association",
            &["RouteTableId", "GatewayId"],
        );
        let table = self.id(&association, "RouteTableId");
        let table = self.required(&association, "RouteTableId", table)?;
        let gateway = self.id(&association, "GatewayId");
        let gateway = self.required(&association, "GatewayId", gateway)?;
        match self.account.route_tables.iter_mut().find(|one| one.id == table) {
            Some(table) => table.gateways.push(gateway),
            None => self.elsewhere(&association, "route table", &table),
        }
        Ok(())
    }

    pub(super) fn internet_gateway(&mut self, resource: &Resource<'t>) -> Done {
        self.account.internet_gateways.push(InternetGateway {
            id: resource.id.to_owned(),
            name: self.name_tag(resource),
            vpc: None,
            origin: self.origin(resource),
        });
        Ok(())
    }

    /// Maps an `AWS::EC2::VPCGatewayAttachment`, after the gateways.
    pub(super) fn vpc_gateway_attachment(&mut self, resource: &Resource<'t>) -> Done {
        let attachment = self.object(
            resource,
            "gateway attachment",
            &["VpcId", "InternetGatewayId", "VpnGatewayId"],
        );
        let vpc = self.id(&attachment, "VpcId");
        let vpc = self.required(&attachment, "VpcId", vpc)?;
        if let Some(gateway) = self.id(&attachment, "VpnGatewayId")? {
            let what = format!("virtual private gateway {gateway}");
            self.findings.left_out(
                &attachment.label,
                &attachment.origin,
                what,
                "the lab has none; routes to it are listed separately",
            );
        }
        let Some(gateway) = self.id(&attachment, "InternetGatewayId")? else { return Ok(()) };
        match self.account.internet_gateways.iter_mut().find(|one| one.id == gateway) {
            Some(gateway) => gateway.vpc = Some(vpc),
            // A gateway that exists already is attached here, and the routes name it by this id.
            None => self.account.internet_gateways.push(InternetGateway {
                id: gateway,
                name: None,
                vpc: Some(vpc),
                origin: self.origin(resource),
            }),
        }
        Ok(())
    }

    pub(super) fn peering(&mut self, resource: &Resource<'t>) -> Done {
        let peering =
            self.object(resource, "VPC peering connection", &["VpcId", "PeerVpcId", "PeerRegion"]);
        let requester_vpc = self.id(&peering, "VpcId");
        let requester_vpc = self.required(&peering, "VpcId", requester_vpc)?;
        let accepter_vpc = self.id(&peering, "PeerVpcId");
        let accepter_vpc = self.required(&peering, "PeerVpcId", accepter_vpc)?;
        let accepter_region = self.text(&peering, "PeerRegion")?;
        self.account.peering_connections.push(Peering {
            id: peering.id,
            name: self.name_tag(resource),
            requester_vpc,
            accepter_vpc,
            requester_region: None,
            accepter_region,
            status: None,
            // The type has no such options.
            requester_dns_resolution: false,
            accepter_dns_resolution: false,
            origin: self.origin(resource),
        });
        Ok(())
    }

    pub(super) fn prefix_list(&mut self, resource: &Resource<'t>) -> Done {
        let list =
            self.object(resource, "prefix list", &["AddressFamily", "Entries", "MaxEntries"]);
        if self.text(&list, "AddressFamily")?.as_deref() == Some("IPv6") {
            self.findings.ipv6("prefix list", &list.origin);
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in self.parts(&list, "Entries", "entry")?.unwrap_or_default() {
            let cidr = self.cidr(&entry, "Cidr");
            if let Ok(cidr) = self.required(&entry, "Cidr", cidr) {
                entries.push(cidr);
            }
        }
        if let Some(most) = list.known_text("MaxEntries").and_then(|text| text.parse().ok()) {
            self.account.written.list_sizes.insert(list.id.clone(), most);
        }
        self.account.prefix_lists.push(PrefixList {
            id: list.id,
            name: self.label(resource, "PrefixListName"),
            entries: Some(entries),
            origin: self.origin(resource),
        });
        Ok(())
    }
}
