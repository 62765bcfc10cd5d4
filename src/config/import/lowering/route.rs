//! Writes route tables: the counterpart of each target in the lab, and a substitute for a route to
//! a target without one (spec 3).

use super::super::{EndpointType, Route, RouteDestination, RouteTable, RouteTarget, Vpc};
use super::document::{Item, Section, inline, quoted};
use super::state::Lowering;
use crate::config::address::contains;
use crate::config::names::ObjectKind;
use ipnetwork::Ipv4Network;
use std::collections::BTreeSet;

/// The form of a route's target in a lab file.
enum Way {
    /// A target of the lab, by its word.
    To(String),
    /// The packets are dropped, as in AWS.
    Blackhole(String),
    /// The lab has no such object.
    NotUnderstood(String),
    /// The route is not written: it is implied, or its endpoint adds it.
    Implied,
}

impl<'a> Lowering<'a, '_> {
    pub(super) fn route_table(&mut self, vpc: &'a Vpc, table: &'a RouteTable) {
        if !table.gateways.is_empty() {
            self.edge_table(table);
        }
        let title = match (&table.name, table.main) {
            (Some(name), true) => Some(format!("{name}, the VPC's main table")),
            (None, true) => Some("the VPC's main table".to_owned()),
            (name, false) => name.clone(),
        };
        let mut section = Section::new("route_table", title.as_deref(), &table.origin);
        section.id(self.words.of(ObjectKind::RouteTable, &table.id), table.name.as_deref());
        section.string("vpc", self.words.of(ObjectKind::Vpc, &vpc.id));
        let mut routes = Vec::new();
        let mut seen = BTreeSet::new();
        // Of equal destinations the static route wins (spec 3.3).
        let (propagated, fixed): (Vec<&Route>, Vec<&Route>) =
            table.routes.iter().partition(|route| route.propagated);
        for route in fixed.into_iter().chain(propagated) {
            if let Some(item) = self.route(vpc, table, route, &mut seen) {
                routes.push(item);
            }
        }
        section.items("routes", routes);
        self.document.push(section);
    }

    /// Reports a table for packets that come in through a gateway. A table with local routes only
    /// has no effect.
    fn edge_table(&mut self, table: &RouteTable) {
        let object = format!("route table {}", table.id);
        let what = format!("an association with gateway {}", table.gateways.join(", "));
        if table.routes.iter().all(|route| route.target == RouteTarget::Local) {
            let consequence = "it has local routes only, as a gateway without a table";
            self.findings.left_out(object, &table.origin, what, consequence);
        } else {
            let consequence = "in the lab, packets that come in through the gateway go directly to their destination";
            self.findings.not_understood(object, &table.origin, what, consequence);
        }
    }

    fn route(
        &mut self,
        vpc: &'a Vpc,
        table: &RouteTable,
        route: &'a Route,
        seen: &mut BTreeSet<String>,
    ) -> Option<Item> {
        let object = format!("route table {}", table.id);
        let way = match self.obstacle(vpc, route) {
            Some(obstacle) => {
                let destination = shown(&route.destination);
                let what = format!("the route for {destination}: {obstacle}");
                let consequence =
                    "the lab has no such route: packets take the next less specific one";
                self.findings.not_understood(object, &route.origin, what, consequence);
                return None;
            }
            None => self.way(vpc, route),
        };
        let destination = match &route.destination {
            RouteDestination::Cidr(block) => block.to_string(),
            RouteDestination::PrefixList(id) if matches!(way, Way::Implied) => id.clone(),
            RouteDestination::PrefixList(id) if self.use_prefix_list(id) => {
                self.words.of(ObjectKind::PrefixList, id)
            }
            RouteDestination::PrefixList(id) => {
                let what =
                    format!("a route for prefix list {id}, whose entries are not in the source");
                let consequence =
                    "the lab has no such route: packets take the next less specific one";
                self.findings.not_understood(object, &route.origin, what, consequence);
                return None;
            }
        };
        let mut comment = None;
        let mut fields = vec![("destination", quoted(&destination))];
        match way {
            Way::Implied => return None,
            Way::To(target) => fields.push(("target", quoted(target))),
            Way::Blackhole(target) => {
                fields.extend([("target", quoted(target)), ("state", quoted("blackhole"))]);
            }
            Way::NotUnderstood(target) => {
                let what = format!("the route for {destination} to {target}");
                let consequence = "the route drops its packets in the lab: target = \"blackhole\"";
                self.findings.not_understood(&object, &route.origin, what, consequence);
                comment = Some(format!("not understood: {target}"));
                fields.push(("target", quoted("blackhole")));
            }
        }
        if !seen.insert(destination.clone()) {
            let what = format!("another route for {destination}");
            if route.propagated {
                let consequence = "the static one wins in AWS too";
                self.findings.left_out(object, &route.origin, what, consequence);
            } else {
                let consequence =
                    "the lab has the first one: AWS has only one static route for a destination";
                self.findings.not_understood(object, &route.origin, what, consequence);
            }
            return None;
        }
        Some(Item { value: inline(&fields), comment, origin: route.origin.clone() })
    }

    /// Returns the reason why AWS or the lab file refuses a route, whatever its target (spec 3.4).
    fn obstacle(&self, vpc: &Vpc, route: &Route) -> Option<String> {
        let RouteDestination::Cidr(block) = &route.destination else { return None };
        if route.target == RouteTarget::Local {
            return None;
        }
        if vpc.cidr_blocks.contains(block) {
            return Some("it replaces a local route".to_owned());
        }
        let reserved = Ipv4Network::new(std::net::Ipv4Addr::new(169, 254, 168, 0), 22);
        if reserved.is_ok_and(|reserved| contains(reserved, *block)) {
            return Some("AWS takes no route for 169.254.168.0/22".to_owned());
        }
        if !vpc.cidr_blocks.iter().any(|own| contains(*own, *block)) {
            return None;
        }
        let mut subnets = self.scope.subnets();
        if !subnets.any(|subnet| subnet.vpc == vpc.id && subnet.cidr_block == *block) {
            return Some("its block is within the VPC's, and is not that of a subnet".to_owned());
        }
        let is_middlebox = match &route.target {
            RouteTarget::NatGateway(_)
            | RouteTarget::NetworkInterface(_)
            | RouteTarget::Instance(_)
            | RouteTarget::VpcEndpoint(_) => true,
            RouteTarget::Gateway(id) => self.account.vpc_endpoints.iter().any(|e| e.id == *id),
            RouteTarget::Local
            | RouteTarget::VpcPeeringConnection(_)
            | RouteTarget::Other { .. } => false,
        };
        let passes = is_middlebox || route.blackhole;
        (!passes)
            .then(|| "its block is within the VPC's, and its target is not a middlebox".to_owned())
    }

    fn way(&mut self, vpc: &'a Vpc, route: &'a Route) -> Way {
        if route.blackhole {
            return self.blackhole(&route.target);
        }
        match &route.target {
            RouteTarget::Local => Way::Implied,
            RouteTarget::Gateway(id) => self.gateway(vpc, id),
            RouteTarget::VpcEndpoint(id) => {
                self.endpoint_target(id).unwrap_or_else(|| unknown("VPC endpoint", id))
            }
            RouteTarget::NatGateway(id) => {
                match self.account.nat_gateways.iter().find(|nat| nat.id == *id) {
                    // AWS shows such a route as a blackhole; an emulator may not.
                    Some(nat) if super::nat::is_deleted(nat) => Way::Blackhole(id.clone()),
                    Some(nat) if nat.regional => {
                        Way::NotUnderstood(format!("regional NAT gateway {id}"))
                    }
                    Some(nat)
                        if nat
                            .subnet
                            .as_ref()
                            .is_some_and(|id| self.scope.subnet(id).is_none()) =>
                    {
                        Way::NotUnderstood(format!(
                            "NAT gateway {id}, whose subnet is not in the source"
                        ))
                    }
                    Some(_) => Way::To(self.words.of(ObjectKind::NatGateway, id)),
                    None => unknown("NAT gateway", id),
                }
            }
            RouteTarget::VpcPeeringConnection(id) => {
                let mut peerings = self.account.peering_connections.iter();
                let both = |a: &str, b: &str| self.scope.has(a) && self.scope.has(b);
                match peerings.find(|peering| peering.id == *id) {
                    Some(p) if both(&p.requester_vpc, &p.accepter_vpc) => {
                        Way::To(self.words.of(ObjectKind::Peering, id))
                    }
                    Some(p) => {
                        let ends = [&p.requester_vpc, &p.accepter_vpc];
                        let other = ends.into_iter().find(|end| **end != vpc.id);
                        let other = other.map_or("?", String::as_str);
                        Way::NotUnderstood(format!(
                            "peering connection {id}: the source does not have its other VPC, {other}"
                        ))
                    }
                    None => unknown("peering connection", id),
                }
            }
            RouteTarget::NetworkInterface(id) => self.interface(id),
            RouteTarget::Instance(id) => {
                let mut interfaces = self.account.network_interfaces.iter();
                match interfaces.find(|interface| interface.instance.as_ref() == Some(id)) {
                    Some(interface) => self.interface(&interface.id),
                    None => unknown("network interface of instance", id),
                }
            }
            RouteTarget::Other { kind, id } => Way::NotUnderstood(format!("{kind} {id}")),
        }
    }

    fn interface(&mut self, id: &str) -> Way {
        match self.account.network_interfaces.iter().any(|interface| interface.id == id) {
            true => Way::To(self.words.of(ObjectKind::NetworkInterface, id)),
            false => unknown("network interface", id),
        }
    }

    fn gateway(&mut self, vpc: &Vpc, id: &str) -> Way {
        if id == "local" {
            return Way::Implied;
        }
        if let Some(way) = self.endpoint_target(id) {
            return way;
        }
        let gateway = self.account.internet_gateways.iter().find(|gateway| gateway.id == id);
        match gateway {
            Some(gateway) if gateway.vpc.as_deref() == Some(&vpc.id) => {
                Way::To(self.words.of(ObjectKind::InternetGateway, id))
            }
            // A route to a detached gateway is a blackhole until it is edited (spec 3.3).
            Some(_) => Way::Blackhole(id.to_owned()),
            None if id.starts_with("vgw-") => {
                Way::NotUnderstood(format!("virtual private gateway {id}"))
            }
            None => unknown("gateway", id),
        }
    }

    fn endpoint_target(&mut self, id: &str) -> Option<Way> {
        let account = self.account;
        let endpoint = account.vpc_endpoints.iter().find(|endpoint| endpoint.id == id)?;
        if !super::endpoint::is_there(endpoint) {
            return Some(Way::Blackhole(id.to_owned()));
        }
        if self.has_lost_its_subnets(endpoint) {
            return Some(unknown("subnet of VPC endpoint", id));
        }
        Some(match &endpoint.endpoint_type {
            // Its section names the tables that it adds its route to.
            EndpointType::Gateway => Way::Implied,
            EndpointType::GatewayLoadBalancer => {
                Way::To(self.words.of(ObjectKind::VpcEndpoint, id))
            }
            EndpointType::Interface => Way::NotUnderstood(format!("interface endpoint {id}")),
            EndpointType::Other(kind) => Way::NotUnderstood(format!("{kind} endpoint {id}")),
        })
    }

    fn blackhole(&mut self, target: &RouteTarget) -> Way {
        match target {
            RouteTarget::Local => Way::Implied,
            RouteTarget::Gateway(id)
            | RouteTarget::NatGateway(id)
            | RouteTarget::VpcEndpoint(id)
            | RouteTarget::VpcPeeringConnection(id)
            | RouteTarget::NetworkInterface(id)
            | RouteTarget::Instance(id)
            | RouteTarget::Other { id, .. } => Way::Blackhole(id.clone()),
        }
    }
}

fn unknown(kind: &str, id: &str) -> Way {
    Way::NotUnderstood(format!("{kind} {id}, which is not in the source"))
}

fn shown(destination: &RouteDestination) -> String {
    match destination {
        RouteDestination::Cidr(block) => block.to_string(),
        RouteDestination::PrefixList(id) => id.clone(),
    }
}
