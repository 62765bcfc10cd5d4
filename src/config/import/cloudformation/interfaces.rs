//! Maps objects with network interfaces in subnets: instances, databases, caches, load balancers. A
//! template seldom has their addresses; the lowering chooses them, with a finding.

use super::object::{Mapper, Object, Property, Reported};
use super::template::Resource;
use crate::config::import::{NetworkInterface, PrivateAddress, PublicAddress};
use std::net::Ipv4Addr;

/// Ports of database and cache engines if the template gives none, by the start of the engine's
/// name.
const PORTS: [(&str, i64); 12] = [
    ("aurora-postgresql", 5432),
    ("aurora", 3306),
    ("db2", 50_000),
    ("docdb", 27_017),
    ("mariadb", 3306),
    ("memcached", 11_211),
    ("mysql", 3306),
    ("neptune", 8182),
    ("oracle", 1521),
    ("postgres", 5432),
    ("sqlserver", 1433),
    ("custom-oracle", 1521),
];
const REDIS: i64 = 6379;
const RDS: (&str, &str) = ("RDS", "amazon-rds");
const PREFIXES: &str = "nothing answers at their addresses in the lab";

type Done = Result<(), Reported>;

/// One interface of an object, as far as a template has it.
struct Interface {
    id: String,
    subnet: String,
    description: String,
    interface_type: &'static str,
    requester_id: Option<&'static str>,
    security_groups: Vec<String>,
    listen: Vec<String>,
    public_address: PublicAddress,
}

/// An interface that AWS creates with an instance.
struct AtLaunch {
    subnet: Option<String>,
    groups: Option<Vec<String>>,
    address: Option<Ipv4Addr>,
    public_address: PublicAddress,
}

/// An object that AWS puts into one of several subnets.
struct Placed {
    groups: Option<Vec<String>>,
    zone: Option<String>,
    listen: Vec<String>,
    public_address: PublicAddress,
    service: &'static str,
    requester: &'static str,
}

impl<'t> Mapper<'_, 't> {
    pub(super) fn network_interface(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "SubnetId",
            "GroupSet",
            "PrivateIpAddress",
            "PrivateIpAddresses",
            "SourceDestCheck",
            "Ipv4Prefixes",
            "Ipv4PrefixCount",
        ];
        let object = self.object(resource, "network interface", &names);
        let subnet = self.id(&object, "SubnetId");
        let subnet = self.required(&object, "SubnetId", subnet)?;
        let groups = self.ids(&object, "GroupSet")?;
        let security_groups = self.groups_or_default(&subnet, groups);
        let mut addresses: Vec<PrivateAddress> = self
            .address(&object, "PrivateIpAddress")?
            .into_iter()
            .map(PrivateAddress::unmapped)
            .collect();
        for part in self.parts(&object, "PrivateIpAddresses", "address")?.unwrap_or_default() {
            let address = self.address(&part, "PrivateIpAddress");
            let address =
                PrivateAddress::unmapped(self.required(&part, "PrivateIpAddress", address)?);
            match self.flag(&part, "Primary")? {
                _ if addresses.contains(&address) => {}
                Some(true) => addresses.insert(0, address),
                Some(false) | None => addresses.push(address),
            }
        }
        if ["Ipv4Prefixes", "Ipv4PrefixCount"].iter().any(|name| self.has(&object, name)) {
            self.findings.left_out(&object.label, &object.origin, "IPv4 prefixes", PREFIXES);
        }
        let source_dest_check = self.flag(&object, "SourceDestCheck")?.unwrap_or(true);
        self.account.network_interfaces.push(NetworkInterface {
            name: self.name_tag(resource).or_else(|| Some(object.id.clone())),
            id: object.id,
            subnet,
            interface_type: "interface".to_owned(),
            description: self.label(resource, "Description"),
            addresses,
            security_groups,
            source_dest_check,
            origin: self.origin(resource),
            ..NetworkInterface::default()
        });
        Ok(())
    }

    /// Adds the interfaces that an instance creates itself. Those that it is given are resources of
    /// their own.
    pub(super) fn instance(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "SubnetId",
            "SecurityGroupIds",
            "PrivateIpAddress",
            "SourceDestCheck",
            "NetworkInterfaces",
        ];
        let instance = self.object(resource, "instance", &names);
        let source_dest_check = self.flag(&instance, "SourceDestCheck")?.unwrap_or(true);
        for (position, own) in self.made_at_launch(&instance)?.into_iter().enumerate() {
            let Some(subnet) = own.subnet else {
                let what = "it names no subnet, so EC2 puts it into the region's default VPC";
                self.findings.left_out(
                    &instance.label,
                    &instance.origin,
                    what,
                    "the lab does not have that VPC, nor the instance",
                );
                continue;
            };
            let security_groups = self.groups_or_default(&subnet, own.groups);
            self.account.network_interfaces.push(NetworkInterface {
                id: numbered(&instance.id, position),
                name: self.name_tag(resource).or_else(|| Some(instance.id.clone())),
                subnet,
                interface_type: "interface".to_owned(),
                addresses: own.address.into_iter().map(PrivateAddress::unmapped).collect(),
                public_address: own.public_address,
                security_groups,
                source_dest_check,
                instance: Some(instance.id.clone()),
                origin: self.origin(resource),
                ..NetworkInterface::default()
            });
        }
        Ok(())
    }

    /// Reads the interfaces that are created with an instance, and attaches those that it is given.
    fn made_at_launch(&mut self, instance: &Object) -> Result<Vec<AtLaunch>, Reported> {
        let Some(parts) = self.parts(instance, "NetworkInterfaces", "network interface")? else {
            return Ok(vec![self.at_launch_of(instance, "SecurityGroupIds", true)?]);
        };
        let mut own = Vec::new();
        for part in &parts {
            match self.id(part, "NetworkInterfaceId")? {
                Some(id) => self.attach(&id, &instance.id),
                // EC2 gives none to an instance with several interfaces, unless the template asks
                // for it.
                None => own.push(self.at_launch_of(part, "GroupSet", parts.len() == 1)?),
            }
        }
        Ok(own)
    }

    fn at_launch_of(
        &mut self,
        object: &Object,
        groups: &str,
        is_only: bool,
    ) -> Result<AtLaunch, Reported> {
        let subnet = self.id(object, "SubnetId")?;
        let says = self.flag(object, "AssociatePublicIpAddress")?;
        let of_subnet = subnet.as_deref().filter(|_| is_only);
        Ok(AtLaunch {
            public_address: self.at_launch(says, of_subnet),
            groups: self.ids(object, groups)?,
            address: self.address(object, "PrivateIpAddress")?,
            subnet,
        })
    }

    fn attach(&mut self, interface: &str, instance: &str) {
        if let Some(interface) =
            self.account.network_interfaces.iter_mut().find(|one| one.id == interface)
        {
            interface.instance = Some(instance.to_owned());
        }
    }

    /// Maps an `AWS::EC2::NetworkInterfaceAttachment`.
    pub(super) fn network_interface_attachment(&mut self, resource: &Resource<'t>) -> Done {
        let attachment = self.object(
            resource,
            "network interface attachment",
            &["InstanceId", "NetworkInterfaceId"],
        );
        let (instance, interface) =
            (self.id(&attachment, "InstanceId")?, self.id(&attachment, "NetworkInterfaceId")?);
        if let (Some(instance), Some(interface)) = (instance, interface) {
            self.attach(&interface, &instance);
        }
        Ok(())
    }

    pub(super) fn db_instance(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "DBClusterIdentifier",
            "DBSubnetGroupName",
            "VPCSecurityGroups",
            "VpcSecurityGroupIds",
            "AvailabilityZone",
            "Engine",
            "Port",
            "PubliclyAccessible",
        ];
        let instance = self.object(resource, "database", &names);
        // The cluster of an instance has the properties that count.
        let cluster = self.id(&instance, "DBClusterIdentifier")?;
        self.clusters.extend(cluster.clone());
        let cluster = cluster.and_then(|id| self.scope.template.resource(&id));
        let cluster = cluster.map(|cluster| self.object(&cluster, "database cluster", &names));
        let about = cluster.as_ref().unwrap_or(&instance);
        let groups =
            self.ids(about, "VPCSecurityGroups")?.or(self.ids(about, "VpcSecurityGroupIds")?);
        let usual = match resource.kind {
            "AWS::DocDB::DBInstance" => Some(27_017),
            "AWS::Neptune::DBInstance" => Some(8182),
            _ => None,
        };
        let listen = self.listen(about, usual)?;
        let zone = self.id(&instance, "AvailabilityZone")?;
        let subnet = self.id(about, "DBSubnetGroupName")?;
        let public_address = self.of_database(&instance)?;
        let (service, requester) = RDS;
        let placed = Placed { groups, zone, listen, public_address, service, requester };
        self.in_subnet_group(resource, &instance, subnet, placed)
    }

    /// Maps a database cluster. One with an instance class has its instances built in; one without
    /// a class and without instances in the template is left out.
    pub(super) fn db_cluster(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "DBSubnetGroupName",
            "VpcSecurityGroupIds",
            "DBClusterInstanceClass",
            "Engine",
            "Port",
            "PubliclyAccessible",
        ];
        let cluster = self.object(resource, "database cluster", &names);
        if !self.has(&cluster, "DBClusterInstanceClass") {
            if !self.clusters.contains(&cluster.id) {
                self.findings.left_out(
                    &cluster.label,
                    &cluster.origin,
                    "no instance of the template is in it",
                    "the lab does not have it: nothing answers for it",
                );
            }
            return Ok(());
        }
        let groups = self.ids(&cluster, "VpcSecurityGroupIds")?;
        let listen = self.listen(&cluster, None)?;
        let subnet = self.id(&cluster, "DBSubnetGroupName")?;
        let public_address = self.of_database(&cluster)?;
        let (service, requester) = RDS;
        let placed = Placed { groups, zone: None, listen, public_address, service, requester };
        self.in_subnet_group(resource, &cluster, subnet, placed)
    }

    pub(super) fn cache(&mut self, resource: &Resource<'t>) -> Done {
        let names = [
            "CacheSubnetGroupName",
            "VpcSecurityGroupIds",
            "SecurityGroupIds",
            "PreferredAvailabilityZone",
            "Engine",
            "Port",
            "SubnetIds",
        ];
        let cache = self.object(resource, "cache", &names);
        let groups =
            self.ids(&cache, "SecurityGroupIds")?.or(self.ids(&cache, "VpcSecurityGroupIds")?);
        let listen = self.listen(&cache, Some(REDIS))?;
        let zone = self.id(&cache, "PreferredAvailabilityZone")?;
        let placed = Placed {
            groups,
            zone,
            listen,
            public_address: PublicAddress::None,
            service: "ElastiCache",
            requester: "amazon-elasticache",
        };
        if let Some(subnets) = self.ids(&cache, "SubnetIds")? {
            return self.in_one_of(resource, &cache, &subnets, placed);
        }
        let subnet = self.id(&cache, "CacheSubnetGroupName")?;
        self.in_subnet_group(resource, &cache, subnet, placed)
    }

    fn in_subnet_group(
        &mut self,
        resource: &Resource<'t>,
        object: &Object,
        group: Option<String>,
        placed: Placed,
    ) -> Done {
        let found = group.as_ref().and_then(|id| self.scope.template.resource(id));
        let Some(found) = found else {
            let what = match group {
                Some(group) => format!("its subnet group {group} is not in the template"),
                None => "it names no subnet group, so AWS puts it into the region's default VPC"
                    .to_owned(),
            };
            self.findings.left_out(
                &object.label,
                &object.origin,
                what,
                "the lab does not have it: nothing answers for it",
            );
            return Ok(());
        };
        let group = self.object(&found, "subnet group", &["SubnetIds"]);
        let subnets = self.ids(&group, "SubnetIds");
        let subnets = self.required(&group, "SubnetIds", subnets)?;
        self.in_one_of(resource, object, &subnets, placed)
    }

    fn in_one_of(
        &mut self,
        resource: &Resource<'t>,
        object: &Object,
        subnets: &[String],
        placed: Placed,
    ) -> Done {
        let Placed { groups, zone, listen, public_address, service, requester } = placed;
        let of_zone = |id: &&String| {
            let subnet = self.account.subnets.iter().find(|subnet| subnet.id == **id);
            zone.is_some() && subnet.is_some_and(|subnet| subnet.availability_zone == zone)
        };
        let Some(subnet) = subnets.iter().find(of_zone).or(subnets.first()).cloned() else {
            self.not_understood(
                object,
                "it has no subnets",
                "the lab does not have it: nothing answers for it",
            );
            return Ok(());
        };
        if subnets.len() > 1 {
            let what = format!("AWS puts it into one of {}", subnets.join(", "));
            self.findings.assumed(&object.label, &object.origin, what, format!("subnet {subnet}"));
        }
        let security_groups = self.groups_or_default(&subnet, groups);
        self.add(
            resource,
            Interface {
                id: object.id.clone(),
                subnet,
                description: format!("{service} {}", object.id),
                interface_type: "interface",
                requester_id: Some(requester),
                security_groups,
                listen,
                public_address,
            },
        );
        Ok(())
    }

    /// Maps an `AWS::EFS::MountTarget`.
    pub(super) fn mount_target(&mut self, resource: &Resource<'t>) -> Done {
        let target =
            self.object(resource, "mount target", &["SubnetId", "SecurityGroups", "IpAddress"]);
        let subnet = self.id(&target, "SubnetId");
        let subnet = self.required(&target, "SubnetId", subnet)?;
        let groups = self.ids(&target, "SecurityGroups")?;
        let address = self.address(&target, "IpAddress")?;
        let security_groups = self.groups_or_default(&subnet, groups);
        self.add(
            resource,
            Interface {
                id: target.id,
                subnet,
                description: format!("EFS mount target {}", resource.id),
                interface_type: "interface",
                requester_id: None,
                security_groups,
                listen: vec!["2049/tcp".to_owned()],
                public_address: PublicAddress::None,
            },
        );
        if let (Some(address), Some(added)) = (address, self.account.network_interfaces.last_mut())
        {
            added.addresses.push(PrivateAddress::unmapped(address));
        }
        Ok(())
    }

    /// Adds one interface in each subnet, at which the load balancer's listeners answer.
    pub(super) fn load_balancer(&mut self, resource: &Resource<'t>) -> Done {
        let balancer = self.object(
            resource,
            "load balancer",
            &["Subnets", "SubnetMappings", "SecurityGroups", "Type", "Scheme", "IpAddressType"],
        );
        let public_address = self.of_load_balancer(&balancer)?;
        let kind = self.text(&balancer, "Type")?;
        let is_network = kind.as_deref() == Some("network");
        let mut subnets = self.ids(&balancer, "Subnets")?.unwrap_or_default();
        for part in self.parts(&balancer, "SubnetMappings", "subnet mapping")?.unwrap_or_default() {
            subnets.extend(self.id(&part, "SubnetId")?);
        }
        let groups = self.ids(&balancer, "SecurityGroups")?;
        let listen = self.listeners.get(&balancer.id).cloned().unwrap_or_default();
        for (position, subnet) in subnets.iter().enumerate() {
            // A network load balancer without groups filters nothing.
            let security_groups = if is_network {
                groups.clone().unwrap_or_default()
            } else {
                self.groups_or_default(subnet, groups.clone())
            };
            self.add(
                resource,
                Interface {
                    id: numbered(&balancer.id, position),
                    subnet: subnet.clone(),
                    description: format!("ELB {}", balancer.id),
                    interface_type: if is_network { "network_load_balancer" } else { "interface" },
                    requester_id: Some("amazon-elb"),
                    security_groups,
                    listen: listen.clone(),
                    public_address,
                },
            );
        }
        Ok(())
    }

    /// Maps an `AWS::ElasticLoadBalancingV2::Listener`, before the load balancers.
    pub(super) fn listener(&mut self, resource: &Resource<'t>) -> Done {
        let listener = self.object(resource, "listener", &["LoadBalancerArn", "Port", "Protocol"]);
        let balancer = self.id(&listener, "LoadBalancerArn");
        let balancer = self.required(&listener, "LoadBalancerArn", balancer)?;
        let Some(port) = self.integer(&listener, "Port")? else { return Ok(()) };
        let words: &[&str] = match self.text(&listener, "Protocol")?.as_deref() {
            Some("UDP" | "QUIC") => &["udp"],
            Some("TCP_UDP" | "TCP_QUIC") => &["tcp", "udp"],
            Some(_) | None => &["tcp"],
        };
        let listen = words.iter().map(|word| format!("{port}/{word}"));
        self.listeners.entry(balancer).or_default().extend(listen);
        Ok(())
    }

    /// Returns the port of a database or a cache; none if neither the port nor the engine decides
    /// it.
    fn listen(&mut self, object: &Object, otherwise: Option<i64>) -> Result<Vec<String>, Reported> {
        if let Some(port) = self.integer(object, "Port")? {
            return Ok(vec![format!("{port}/tcp")]);
        }
        let engine: Property<String> = self.text(object, "Engine");
        let engine = engine?.unwrap_or_default();
        let known = PORTS.iter().find(|(name, _)| engine.starts_with(name)).map(|(_, port)| *port);
        Ok(known.or(otherwise).map(|port| format!("{port}/tcp")).into_iter().collect())
    }

    /// Returns the groups of an interface; the VPC's default group if none are named.
    fn groups_or_default(&mut self, subnet: &str, groups: Option<Vec<String>>) -> Vec<String> {
        let groups = groups.unwrap_or_default();
        groups.iter().for_each(|id| self.make_default_group(id));
        if !groups.is_empty() {
            return groups;
        }
        let subnet = self.account.subnets.iter().find(|one| one.id == subnet);
        let Some(id) = subnet.map(|subnet| format!("{}.DefaultSecurityGroup", subnet.vpc)) else {
            return groups;
        };
        self.make_default_group(&id);
        vec![id]
    }

    fn add(&mut self, resource: &Resource<'t>, interface: Interface) {
        let Interface {
            id,
            subnet,
            description,
            interface_type,
            requester_id,
            security_groups,
            listen,
            public_address,
        } = interface;
        self.account.network_interfaces.push(NetworkInterface {
            id,
            name: self.name_tag(resource).or_else(|| Some(resource.id.to_owned())),
            subnet,
            interface_type: interface_type.to_owned(),
            description: Some(description),
            security_groups,
            source_dest_check: true,
            requester_id: requester_id.map(str::to_owned),
            listen,
            public_address,
            origin: self.origin(resource),
            ..NetworkInterface::default()
        });
    }
}

/// Returns the id of one interface of several.
fn numbered(id: &str, position: usize) -> String {
    match position {
        0 => id.to_owned(),
        _ => format!("{id}.{}", position + 1),
    }
}
