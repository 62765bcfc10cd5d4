//! Writes connectors and services, and the hosts of the lab's internet that they can reach.

use super::super::{EndpointType, Origin, VpcConnector, VpcEndpoint};
use super::document::Section;
use super::endpoint;
use super::state::Lowering;
use crate::config::names::ObjectKind;
use crate::config::spec::{aws_service, public_name};
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

impl<'a> Lowering<'a, '_> {
    pub(super) fn app_runner(&mut self) {
        self.document.heading("App Runner");
        let account = self.account;
        if account.vpc_connectors.is_empty() {
            self.errors.push(Origin::file("the source").error(
                "it has no App Runner VPC connector, so there are no packets to explain",
                "describe a connector: --connector NAME=SUBNET,SUBNET:GROUP,GROUP",
            ));
        }
        for connector in &account.vpc_connectors {
            self.connector(connector);
        }
        for service in &account.services {
            let mut section = Section::new("service", None, &service.origin);
            section.string("name", self.words.free(ObjectKind::Service, &service.name));
            let Some(id) = &service.vpc_connector else {
                section.string("egress", "default");
                self.document.push(section);
                continue;
            };
            if !account.vpc_connectors.iter().any(|connector| connector.id == *id) {
                self.findings.not_understood(
                    format!("service {}", service.name),
                    &service.origin,
                    format!("VPC connector {id}, which is not in the source"),
                    "the lab has no such service",
                );
                continue;
            }
            section.string("egress", "vpc");
            section.string("vpc_connector", self.words.of(ObjectKind::Connector, id));
            self.document.push(section);
        }
        self.services_of_connectors();
    }

    fn connector(&mut self, connector: &'a VpcConnector) {
        self.connector_word(connector);
        let mut section = Section::new("vpc_connector", None, &connector.origin);
        section.string("name", self.words.of(ObjectKind::Connector, &connector.id));
        let mut subnets = Vec::new();
        for id in &connector.subnets {
            match self.scope.subnet(id) {
                Some(subnet) if self.scope.has(&subnet.vpc) => {
                    subnets.push(self.words.of(ObjectKind::Subnet, id));
                }
                Some(subnet) => self.missing(&subnet.origin, "VPC", &subnet.vpc),
                None => self.missing(&connector.origin, "subnet", id),
            }
        }
        if connector.subnets.is_empty() {
            self.errors.push(connector.origin.error(
                format!("VPC connector {} has no subnet", connector.name),
                "a connector has at least one",
            ));
        }
        section.strings("subnets", &subnets);
        let object = format!("VPC connector {}", connector.name);
        let groups = self.groups_of(&object, &connector.security_groups, &connector.origin);
        section.some_strings("security_groups", &groups);
        self.document.push(section);
    }

    /// Names a connector by its name; other objects refer to it by its ARN.
    fn connector_word(&mut self, connector: &VpcConnector) {
        let name = if connector.name.is_empty() { &connector.id } else { &connector.name };
        self.words.name(ObjectKind::Connector, &connector.id, name);
    }

    /// Adds a service to each connector without one: otherwise no packet goes through it.
    fn services_of_connectors(&mut self) {
        let account = self.account;
        let used: BTreeSet<&String> =
            account.services.iter().filter_map(|service| service.vpc_connector.as_ref()).collect();
        for connector in account.vpc_connectors.iter().filter(|c| !used.contains(&c.id)) {
            let mut section = Section::new("service", None, &connector.origin);
            let word = self.words.of(ObjectKind::Connector, &connector.id);
            let name = self.words.free(ObjectKind::Service, &word);
            let object = format!("VPC connector {}", connector.name);
            let taken = format!("service {name}");
            let what = "the source has no service that uses it";
            self.assume(&mut section, &object, &connector.origin, what, &taken);
            section.string("name", name);
            section.string("egress", "vpc");
            section.string("vpc_connector", word);
            self.document.push(section);
        }
    }

    /// Adds hosts of the internet, which no source has: one for probes, one for each service with a
    /// gateway endpoint, and one for each service with an interface endpoint whose public name
    /// leads out of a VPC.
    pub(super) fn internet_hosts(&mut self) {
        self.document.heading("the internet");
        let here = Origin::file("not in the source");
        let mut example = Section::new("internet_host", None, &here);
        example.note("assumed: a destination for probes through NAT gateways");
        example.string("name", self.words.free(ObjectKind::InternetHost, "example"));
        let address = self.address_of_a_host(OF_PROBES).unwrap_or(Ipv4Addr::new(203, 0, 113, 10));
        example.string("address", address);
        example.strings("listen", &["80/tcp", "443/tcp"]);
        self.document.push(example);
        self.findings.assumed(
            "the internet",
            &Origin::default(),
            "no source describes it",
            format!("one host, {address}, for probes"),
        );
        self.services_behind_gateway_endpoints(&here);
        self.services_behind_interface_endpoints(&here);
    }

    fn services_behind_interface_endpoints(&mut self, here: &Origin) {
        let (account, region) = (self.account, self.region.clone());
        let all = &account.vpc_endpoints;
        // A service with both types of endpoint has its host already.
        let gateways = all.iter().filter(|end| end.endpoint_type == EndpointType::Gateway);
        let mut seen: BTreeSet<&str> =
            gateways.filter_map(|end| aws_service(&end.service_name, &region)).collect();
        for end in all.iter().filter(|end| end.endpoint_type == EndpointType::Interface) {
            let service = aws_service(&end.service_name, &region);
            // Image registries have a name for each account, and no other.
            let word = service.filter(|word| !public_name(word, &region).starts_with('*'));
            let Some(word) = word.filter(|word| self.leads_out(end) && seen.insert(*word)) else {
                continue;
            };
            let Some(address) = self.address_of_a_host(OF_SERVICES) else { break };
            let mut host = Section::new("internet_host", None, here);
            let what = "the source does not have the public address of its service";
            let object = format!("VPC endpoint {}", end.id);
            self.assume(&mut host, &object, &end.origin, what, &address.to_string());
            host.string("name", self.words.free(ObjectKind::InternetHost, &word.replace('.', "-")));
            host.strings("aliases", &[public_name(word, &region)]);
            host.string("address", address);
            host.strings("listen", &["443/tcp"]);
            self.document.push(host);
        }
    }

    /// Decides whether the public name of an interface endpoint's service leads out of a VPC of the
    /// lab, as no endpoint there has its private name.
    fn leads_out(&self, end: &VpcEndpoint) -> bool {
        let all = &self.account.vpc_endpoints;
        let has_name = |own: &VpcEndpoint| {
            let is_interface = own.endpoint_type == EndpointType::Interface;
            let works = endpoint::is_there(own) && !self.has_lost_its_subnets(own);
            is_interface && works && own.service_name == end.service_name && own.private_dns_enabled
        };
        let mut vpcs = self.account.vpcs.iter().filter(|vpc| self.scope.has(&vpc.id));
        vpcs.any(|vpc| !all.iter().any(|own| own.vpc == vpc.id && has_name(own)))
    }

    fn services_behind_gateway_endpoints(&mut self, here: &Origin) {
        let account = self.account;
        let mut seen = BTreeSet::new();
        for end in &account.vpc_endpoints {
            let is_gateway = end.endpoint_type == EndpointType::Gateway;
            let service = end.service_name.rsplit('.').next().unwrap_or_default();
            if !is_gateway || service.is_empty() || !seen.insert(service) {
                continue;
            }
            let Some(address) = self.service_address(&end.service_name, service) else { continue };
            let mut host = Section::new("internet_host", None, here);
            let what = format!("the source does not have the hosts of {}", end.service_name);
            let object = format!("VPC endpoint {}", end.id);
            self.assume(&mut host, &object, &end.origin, &what, &format!("{address}, 443/tcp"));
            host.string("name", self.words.free(ObjectKind::InternetHost, service));
            host.strings("aliases", &[format!("{service}.{}.amazonaws.com", self.region)]);
            host.string("address", address);
            host.strings("listen", &["443/tcp"]);
            self.document.push(host);
        }
    }

    /// Takes an address of 203.0.113.0/24 (RFC 5737) that no object has, by its last byte.
    fn address_of_a_host(&mut self, last: std::ops::Range<u8>) -> Option<Ipv4Addr> {
        let mut all = last.map(|last| Ipv4Addr::new(203, 0, 113, last));
        all.find(|address| self.public_taken.insert(*address))
    }

    /// Returns an address of the service's prefix list.
    fn service_address(&self, name: &str, service: &str) -> Option<Ipv4Addr> {
        let used = self.account.prefix_lists.iter().filter(|list| {
            list.name.as_deref() == Some(name) && self.used_lists.contains(list.id.as_str())
        });
        let mut entries = used.filter_map(|list| list.entries.as_ref()).flatten().copied();
        let block = entries.next().or_else(|| endpoint::published(service))?;
        address_within(block)
    }
}

/// The last bytes of the addresses of hosts for probes.
const OF_PROBES: std::ops::Range<u8> = 10..20;
/// The last bytes of the addresses of hosts for services.
const OF_SERVICES: std::ops::Range<u8> = 20..250;

fn address_within(block: Ipv4Network) -> Option<Ipv4Addr> {
    let address = block.nth(10.min(block.size().saturating_sub(1)))?;
    crate::config::text::public_address(&address.to_string()).ok()
}
