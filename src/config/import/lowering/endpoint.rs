//! Writes VPC endpoints: gateway, interface and Gateway Load Balancer (spec 7).

use super::super::{EndpointType, PrefixList, RouteDestination, RouteTarget, Vpc, VpcEndpoint};
use super::document::Section;
use super::network::is_usable;
use super::state::Lowering;
use crate::config::names::ObjectKind;
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The port that answers at an interface endpoint of an AWS service.
const HTTPS: &str = "443/tcp";

/// Blocks that AWS publishes for services with gateway endpoints, one of us-east-1 for each. They
/// replace a prefix list that the source does not have.
const PUBLISHED: [(&str, &str); 2] = [("s3", ANY), ("dynamodb", "52.94.0.0/22")];
const ANY: &str = "52.216.0.0/15";

/// Returns the block that replaces the addresses of a service that the source does not have.
pub(super) fn published(service: &str) -> Option<Ipv4Network> {
    let block = PUBLISHED.iter().find(|(name, _)| *name == service).map_or(ANY, |(_, b)| b);
    block.parse().ok()
}

/// Decides whether an endpoint works: its state says so, or the source has no states.
pub(super) fn is_there(endpoint: &VpcEndpoint) -> bool {
    endpoint.state.as_deref().is_none_or(|state| state.eq_ignore_ascii_case("available"))
}

impl<'a> Lowering<'a, '_> {
    pub(super) fn vpc_endpoint(&mut self, vpc: &'a Vpc, endpoint: &'a VpcEndpoint) {
        let object = format!("VPC endpoint {}", endpoint.id);
        if !is_there(endpoint) {
            let what = format!("its state is {}", endpoint.state.as_deref().unwrap_or_default());
            let consequence = "nothing answers there, and routes to it drop";
            self.findings.left_out(object, &endpoint.origin, what, consequence);
            return;
        }
        if self.has_lost_its_subnets(endpoint) {
            let what = "none of its subnets is in the source";
            let consequence = "the lab has no such endpoint";
            self.findings.not_understood(object, &endpoint.origin, what, consequence);
            return;
        }
        if endpoint.has_policy {
            let consequence = "egret evaluates no policy: a request that it would refuse passes";
            self.findings.left_out(&object, &endpoint.origin, "its policy", consequence);
        }
        let title = endpoint.name.as_deref();
        let mut section = Section::new("vpc_endpoint", title, &endpoint.origin);
        section.id(self.words.of(ObjectKind::VpcEndpoint, &endpoint.id), endpoint.name.as_deref());
        section.string("vpc", self.words.of(ObjectKind::Vpc, &vpc.id));
        match &endpoint.endpoint_type {
            EndpointType::Gateway => {
                section.string("kind", "gateway");
                section.string("service", &endpoint.service_name);
                self.gateway_endpoint(endpoint, &mut section);
            }
            EndpointType::Interface => {
                section.string("kind", "interface");
                section.string("service", &endpoint.service_name);
                self.interface_endpoint(endpoint, &mut section);
            }
            EndpointType::GatewayLoadBalancer => {
                section.string("kind", "gateway-load-balancer");
                section.string("service", &endpoint.service_name);
                let subnets = self.endpoint_subnets(endpoint);
                section.strings("subnets", &subnets);
            }
            EndpointType::Other(kind) => {
                let what = format!("it is of type {kind}");
                let consequence = "its network interfaces are resources of the lab, as far as the source has them";
                self.findings.left_out(object, &endpoint.origin, what, consequence);
                return;
            }
        }
        self.document.push(section);
    }

    fn gateway_endpoint(&mut self, endpoint: &'a VpcEndpoint, section: &mut Section) {
        let list = self.service_list(endpoint, section);
        section.string("prefix_list", list);
        let account = self.account;
        let routed = account.route_tables.iter().filter(|table| {
            table.routes.iter().any(|route| {
                matches!(&route.target, RouteTarget::Gateway(id) | RouteTarget::VpcEndpoint(id)
                    if *id == endpoint.id)
            })
        });
        let known = |id: &&String| account.route_tables.iter().any(|table| table.id == **id);
        let mut seen = BTreeSet::new();
        let tables =
            endpoint.route_tables.iter().filter(known).chain(routed.map(|table| &table.id));
        let tables: Vec<&String> = tables.filter(|id| seen.insert(*id)).collect();
        for id in endpoint.route_tables.iter().filter(|id| !known(id)) {
            let object = format!("VPC endpoint {}", endpoint.id);
            let consequence = "the lab has the endpoint in its other route tables";
            self.absent(&object, &endpoint.origin, ("route table", id), consequence);
        }
        let words: Vec<String> =
            tables.into_iter().map(|id| self.words.of(ObjectKind::RouteTable, id)).collect();
        section.strings("route_tables", &words);
    }

    /// Returns the list of the service's addresses: of the endpoint, of a route to it, or by the
    /// service's name.
    fn service_list(&mut self, endpoint: &'a VpcEndpoint, section: &mut Section) -> String {
        let account = self.account;
        let routes = account.route_tables.iter().flat_map(|table| &table.routes);
        let routed = routes.filter_map(|route| match (&route.target, &route.destination) {
            (
                RouteTarget::Gateway(id) | RouteTarget::VpcEndpoint(id),
                RouteDestination::PrefixList(list),
            ) if *id == endpoint.id => Some(list),
            _ => None,
        });
        let named = |list: &&PrefixList| list.name.as_ref() == Some(&endpoint.service_name);
        let named = account.prefix_lists.iter().find(named).map(|list| &list.id);
        let mut candidates = endpoint.prefix_list.iter().chain(routed).chain(named);
        let first = candidates.clone().next();
        if let Some(id) = candidates.find(|id| self.use_prefix_list(id)) {
            return self.words.of(ObjectKind::PrefixList, id);
        }
        self.assumed_list(endpoint, first, section)
    }

    fn assumed_list(
        &mut self,
        endpoint: &VpcEndpoint,
        id: Option<&String>,
        section: &mut Section,
    ) -> String {
        let service = endpoint.service_name.rsplit('.').next().unwrap_or_default();
        let block = PUBLISHED.iter().find(|(name, _)| *name == service).map_or(ANY, |(_, b)| b);
        let what = "the source does not have the addresses of its service";
        let taken = format!("{block}, one of those that AWS publishes");
        let object = format!("VPC endpoint {}", endpoint.id);
        self.assume(section, &object, &endpoint.origin, what, &taken);
        let word = match id {
            Some(id) => self.words.of(ObjectKind::PrefixList, id),
            None => self.words.of(ObjectKind::PrefixList, &format!("pl-{service}")),
        };
        if self.assumed_lists.insert(word.clone()) {
            let mut list =
                Section::new("prefix_list", Some(&endpoint.service_name), &endpoint.origin);
            list.note(super::state::assumption(what, &taken));
            list.string("id", &word);
            list.strings("entries", &[block]);
            self.document.push(list);
        }
        word
    }

    fn interface_endpoint(&mut self, endpoint: &'a VpcEndpoint, section: &mut Section) {
        let object = format!("VPC endpoint {}", endpoint.id);
        let subnets = self.endpoint_subnets(endpoint);
        section.strings("subnets", &subnets);
        let account = self.account;
        let interfaces = || {
            let all = account.network_interfaces.iter();
            all.filter(|interface| endpoint.network_interfaces.contains(&interface.id))
        };
        let of_subnet = |id: &String| -> Option<Ipv4Addr> {
            let interface = interfaces().find(|interface| interface.subnet == *id)?;
            interface.addresses.first().map(|private| private.address)
        };
        let given: Vec<(&String, Ipv4Addr)> =
            endpoint.subnets.iter().filter_map(|id| Some((id, of_subnet(id)?))).collect();
        let fits = |(id, ip): &(&String, Ipv4Addr)| {
            self.scope.subnet(id).is_some_and(|subnet| is_usable(subnet, *ip))
        };
        if given.len() == subnets.len() && given.iter().all(fits) {
            let addresses: Vec<Ipv4Addr> = given.iter().map(|(_, ip)| *ip).collect();
            section.some_strings("addresses", &addresses);
        } else if !given.is_empty() {
            let what =
                "the addresses of its interfaces are not all there, or not all in their subnets";
            self.assume(section, &object, &endpoint.origin, what, "egret chooses them");
        }
        let groups = self.groups_of(&object, &endpoint.security_groups, &endpoint.origin);
        section.some_strings("security_groups", &groups);
        section.boolean("private_dns_enabled", endpoint.private_dns_enabled);
        self.assume(
            section,
            &object,
            &endpoint.origin,
            "the source does not list its listeners",
            HTTPS,
        );
        section.strings("listen", &[HTTPS]);
    }

    fn endpoint_subnets(&mut self, endpoint: &VpcEndpoint) -> Vec<String> {
        let mut words = Vec::new();
        for id in &endpoint.subnets {
            match self.scope.subnet(id) {
                Some(_) => words.push(self.words.of(ObjectKind::Subnet, id)),
                None => {
                    let object = format!("VPC endpoint {}", endpoint.id);
                    let consequence = "the lab has the endpoint in its other subnets";
                    self.absent(&object, &endpoint.origin, ("subnet", id), consequence);
                }
            }
        }
        words
    }

    /// Decides whether an endpoint that should be in subnets is in none that the source has.
    pub(super) fn has_lost_its_subnets(&self, endpoint: &VpcEndpoint) -> bool {
        let is_in_subnets = match endpoint.endpoint_type {
            EndpointType::Interface | EndpointType::GatewayLoadBalancer => true,
            EndpointType::Gateway | EndpointType::Other(_) => false,
        };
        let named = &endpoint.subnets;
        is_in_subnets && !named.is_empty() && named.iter().all(|id| self.scope.subnet(id).is_none())
    }

    /// Returns the groups of an interface that the source has.
    pub(super) fn groups_of(
        &mut self,
        object: &str,
        ids: &[String],
        origin: &super::Origin,
    ) -> Vec<String> {
        let mut words = Vec::new();
        for id in ids {
            match self.scope.vpc_of_group(id) {
                Some(_) => words.push(self.words.of(ObjectKind::SecurityGroup, id)),
                None => {
                    let consequence = "the lab has it with its other groups, and without any with the VPC's default one";
                    self.absent(object, origin, ("security group", id), consequence);
                }
            }
        }
        words
    }
}
