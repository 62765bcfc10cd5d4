//! Writes network interfaces as resources: databases, caches, load balancers, instances.
//!
//! NAT gateways and endpoints write their own interfaces, and egret creates those of connectors.

use super::super::{EndpointType, NetworkInterface, RouteTarget, SecurityGroup, Subnet, Vpc};
use super::document::Section;
use super::endpoint;
use super::network::is_usable;
use super::state::Lowering;
use crate::config::names::ObjectKind;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The tag that App Runner puts on a connector's interfaces (spec 2.1).
const APP_RUNNER_TAG: &str = "AWSAppRunnerManaged";
/// The most ports that egret listens on at one resource, if only the groups' rules name them.
const MOST_PORTS: usize = 16;

impl<'a> Lowering<'a, '_> {
    pub(super) fn resources(&mut self, vpc: &'a Vpc) {
        let account = self.account;
        for interface in &account.network_interfaces {
            match self.scope.subnet(&interface.subnet) {
                Some(subnet) if subnet.vpc == vpc.id && !self.belongs_elsewhere(interface) => {
                    self.resource(vpc, subnet, interface);
                }
                Some(_) | None => {}
            }
        }
    }

    /// Reports interfaces in subnets that the source does not have.
    pub(super) fn interfaces_elsewhere(&mut self) {
        for interface in &self.account.network_interfaces {
            if self.scope.subnet(&interface.subnet).is_none() {
                self.findings.left_out(
                    format!("network interface {}", interface.id),
                    &interface.origin,
                    format!("it is in subnet {}, which is not in the lab", interface.subnet),
                    "nothing answers at its addresses",
                );
            }
        }
    }

    /// Decides whether an interface is part of an object that the lab has in another form.
    fn belongs_elsewhere(&mut self, interface: &NetworkInterface) -> bool {
        if interface.tags.iter().any(|(key, _)| key == APP_RUNNER_TAG) {
            self.findings.left_out(
                format!("network interface {}", interface.id),
                &interface.origin,
                "the interface of a VPC connector",
                "the lab makes the interfaces of its connectors, with addresses that egret chooses",
            );
            return true;
        }
        let nats = self.account.nat_gateways.iter();
        // The API's model has the first word, its answers the second.
        let is_nat = matches!(interface.interface_type.as_str(), "natGateway" | "nat_gateway")
            || nats
                .flat_map(|nat| &nat.addresses)
                .any(|address| address.network_interface.as_ref() == Some(&interface.id));
        let of_endpoint = self.account.vpc_endpoints.iter().any(|endpoint| {
            let is_kept = match endpoint.endpoint_type {
                EndpointType::Interface | EndpointType::GatewayLoadBalancer => {
                    endpoint::is_there(endpoint)
                }
                EndpointType::Gateway | EndpointType::Other(_) => false,
            };
            is_kept && endpoint.network_interfaces.contains(&interface.id)
        });
        is_nat || of_endpoint
    }

    fn resource(&mut self, vpc: &'a Vpc, subnet: &'a Subnet, interface: &'a NetworkInterface) {
        let object = format!("network interface {}", interface.id);
        self.words.name(ObjectKind::Resource, &interface.id, &called(interface));
        let name = self.words.of(ObjectKind::Resource, &interface.id);
        let groups = match interface.security_groups.as_slice() {
            [] => vec![self.open_group(&vpc.id, &interface.origin)],
            ids => self.groups_of(&object, ids, &interface.origin),
        };
        let given: Vec<Option<Ipv4Addr>> = match interface.addresses.as_slice() {
            [] => vec![None],
            addresses => addresses.iter().map(|private| Some(private.address)).collect(),
        };
        let listen = self.listen(interface);
        for (position, given) in given.into_iter().enumerate() {
            let mut section =
                Section::new("resource", Some(&described(interface)), &interface.origin);
            let Some(address) = self.resource_address(vpc, subnet, interface, given, &mut section)
            else {
                continue;
            };
            // A resource has one address; the others of its interface are resources beside it.
            match position {
                0 => section.string("name", &name),
                _ => section.string("name", self.words.free(ObjectKind::Resource, &name)),
            }
            section.string("subnet", self.words.of(ObjectKind::Subnet, &subnet.id));
            section.string("address", address);
            self.public_address(vpc, interface, position, &mut section);
            section.some_strings("security_groups", &groups);
            if position == 0 && self.is_routed_to(interface) {
                let word = self.words.of(ObjectKind::NetworkInterface, &interface.id);
                section.string("network_interface", word);
                section.boolean("source_dest_check", interface.source_dest_check);
            }
            if !listen.is_empty() {
                if interface.listen.is_empty() {
                    let what = "the source does not list its listeners";
                    let taken = "the ports that rules of its groups name";
                    section.note(super::state::assumption(what, taken));
                    if position == 0 {
                        self.findings.assumed(&object, &interface.origin, what, taken);
                    }
                }
                section.strings("listen", &listen);
            }
            self.document.push(section);
        }
    }

    fn resource_address(
        &mut self,
        vpc: &'a Vpc,
        subnet: &Subnet,
        interface: &NetworkInterface,
        given: Option<Ipv4Addr>,
        section: &mut Section,
    ) -> Option<Ipv4Addr> {
        if let Some(address) = given
            && is_usable(subnet, address)
            && self.written.insert((&vpc.id, address))
        {
            return Some(address);
        }
        let object = format!("network interface {}", interface.id);
        let Some(free) = self.free_address(&vpc.id, subnet.cidr_block) else {
            let what = format!("subnet {} has no free address for it", subnet.id);
            let consequence = "the lab has no such resource";
            self.findings.not_understood(object, &interface.origin, what, consequence);
            return None;
        };
        let what = match given {
            Some(address) => format!("{address} cannot be its address in {}", subnet.cidr_block),
            None => "AWS chooses its address".to_owned(),
        };
        self.assume(section, &object, &interface.origin, &what, &free.to_string());
        Some(free)
    }

    fn is_routed_to(&self, interface: &NetworkInterface) -> bool {
        let mut routes = self.account.route_tables.iter().flat_map(|table| &table.routes);
        routes.any(|route| match &route.target {
            RouteTarget::NetworkInterface(id) => *id == interface.id,
            RouteTarget::Instance(id) => interface.instance.as_ref() == Some(id),
            RouteTarget::Local
            | RouteTarget::Gateway(_)
            | RouteTarget::NatGateway(_)
            | RouteTarget::VpcEndpoint(_)
            | RouteTarget::VpcPeeringConnection(_)
            | RouteTarget::Other { .. } => false,
        })
    }

    /// Returns the ports that answer: those of the source, or else each single port that an ingress
    /// rule of a group names. None if the interface is not attached, or if AWS takes no connections
    /// there.
    fn listen(&self, interface: &NetworkInterface) -> Vec<String> {
        if !interface.listen.is_empty() {
            return interface.listen.clone();
        }
        let is_unattached = interface.status.as_deref() == Some("available");
        if is_unattached || interface.interface_type == "lambda" {
            return Vec::new();
        }
        let ids = &interface.security_groups;
        let groups = self.account.security_groups.iter().filter(|group| ids.contains(&group.id));
        let ports: BTreeSet<(i64, &str)> = groups.flat_map(named_ports).collect();
        ports.into_iter().take(MOST_PORTS).map(|(port, word)| format!("{port}/{word}")).collect()
    }
}

fn named_ports(group: &SecurityGroup) -> impl Iterator<Item = (i64, &'static str)> {
    group.ingress.iter().filter_map(|rule| {
        let word = match rule.ip_protocol.as_str() {
            "tcp" | "6" => "tcp",
            "udp" | "17" => "udp",
            _ => return None,
        };
        let port = rule.from_port.filter(|from| rule.to_port == Some(*from))?;
        (1..=65_535).contains(&port).then_some((port, word))
    })
}

/// Returns the name of an interface: its own, or one from AWS's description of what it created.
fn called(interface: &NetworkInterface) -> String {
    if let Some(name) = interface.name.as_ref().filter(|name| !name.is_empty()) {
        return name.clone();
    }
    let description = interface.description.as_deref().unwrap_or_default();
    if description == "RDSNetworkInterface" {
        return "rds".to_owned();
    }
    if let Some(cache) = description.strip_prefix("ElastiCache ") {
        return cache.strip_prefix("cluster ").unwrap_or(cache).to_owned();
    }
    if let Some(balancer) = description.strip_prefix("ELB ") {
        // The name of a load balancer: app/name/id, net/name/id, or the name alone.
        let name = balancer.split('/').nth(1);
        return name.unwrap_or(balancer).to_owned();
    }
    if let Some(function) = description.strip_prefix("AWS Lambda VPC ENI-") {
        // The name, and a UUID of five parts.
        let parts: Vec<&str> = function.split('-').collect();
        let name = parts.len().checked_sub(5).and_then(|name| parts.get(..name));
        return format!("lambda-{}", name.unwrap_or(&parts).join("-"));
    }
    if let Some(requester) = interface.requester_id.as_ref().filter(|r| r.starts_with("amazon-")) {
        return requester.trim_start_matches("amazon-").to_owned();
    }
    interface.instance.as_ref().unwrap_or(&interface.id).clone()
}

fn described(interface: &NetworkInterface) -> String {
    let description = interface.description.iter().filter(|said| !said.is_empty());
    let instance = interface.instance.as_ref();
    let facts: Vec<&str> = std::iter::once(&interface.id)
        .chain(instance)
        .chain(description)
        .map(String::as_str)
        .collect();
    facts.join(", ")
}
