//! Finds the packets that a change takes from services: those that pass without it and are dropped
//! with it.

use super::change::Change;
use super::terms::{addresses, all_addresses};
use crate::pipeline::reach::{
    self, Addresses, Answered, Class, Interrupted, Ports, Question, Ranges, Tasks,
};
use crate::vpc::{
    ConnectorIx, Destination, Egress, PrefixListIx, Route, RouteTableIx, ServiceIx, ServiceKind,
    Snapshot, VpcIx,
};
use ipnetwork::Ipv4Network;
use std::collections::HashSet;

/// The packets that a change may take.
enum Affected {
    /// None: the change only admits more packets.
    Nothing,
    /// Those of services in VPCs that use a route table, to these destinations.
    Routed { vpc: VpcIx, destinations: Ranges },
    /// Those of the services of a connector.
    Moved(ConnectorIx),
    /// Those of services in a VPC to these destinations, to which a name no longer leads.
    Renamed { vpc: VpcIx, destinations: Ranges },
}

impl Affected {
    /// Returns the packets of both.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            (Self::Routed { vpc, destinations }, Self::Routed { destinations: others, .. }) => {
                Self::Routed { vpc, destinations: destinations.union(&others) }
            }
            (one, _) => one,
        }
    }
}

/// A configuration without and with a change.
pub(super) struct Compared<'a> {
    pub(super) before: &'a Snapshot,
    pub(super) after: &'a Snapshot,
    pub(super) change: &'a Change,
    /// The private addresses that all questions consider.
    pub(super) addresses: Addresses,
}

impl Compared<'_> {
    /// Decides whether the change takes packets from a service.
    pub(super) fn loses(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<bool, Interrupted> {
        let (services, destinations) = match self.scope() {
            Affected::Nothing => return Ok(false),
            Affected::Renamed { vpc, destinations } => (self.near(&[vpc]), destinations),
            Affected::Routed { vpc, destinations } => {
                let endpoints = self.public_endpoints(vpc);
                let peers = self.before.peers_of(vpc).map(|(_, peer)| peer);
                let services = match endpoints.is_empty() {
                    true => self.near(&peers.chain([vpc]).collect::<Vec<_>>()),
                    false => self.all(),
                };
                (services, destinations.union(&endpoints))
            }
            Affected::Moved(ix) => (self.of_connector(ix), Ranges::of(0, u32::MAX)),
        };
        for service in services {
            if self.service_loses(service, &destinations, goes_on)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn service_loses(
        &self,
        service: ServiceIx,
        destinations: &Ranges,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Interrupted> {
        let is_moved = self.change.is_move();
        // After a move, tasks are at their possible attachments.
        let at = if is_moved { Addresses::Open } else { self.addresses };
        let ask = |snapshot: &Snapshot, goes_on: &mut dyn FnMut() -> bool| {
            let (snapshot, attachments) =
                reach::attachments(snapshot, service, Tasks::Possible, at);
            let question = Question {
                service,
                attachments,
                gateway_addresses: self.addresses,
                destinations: destinations.clone(),
                ports: Ports::all(),
                source_port: None,
            };
            let answer = reach::ask(&snapshot, &question, goes_on)?;
            Ok((snapshot, answer))
        };
        let before = ask(self.before, goes_on)?;
        if self.change.new_interface().is_some() {
            return Ok(before.1.classes.iter().any(Class::passes));
        }
        let after = ask(self.after, goes_on)?;
        let a = Answered { snapshot: &before.0, answer: &before.1 };
        let b = Answered { snapshot: &after.0, answer: &after.1 };
        let changes = match is_moved {
            true => reach::difference_of_moved(a, b),
            false => reach::difference(a, b).changes,
        };
        Ok(changes.iter().any(|changed| changed.before.passes()))
    }

    /// Returns the addresses of a VPC's public endpoints, whose replies to any service the VPC's
    /// tables route.
    fn public_endpoints(&self, vpc: VpcIx) -> Ranges {
        let vpc_of = |ix| self.before.vpc_of_resource(ix);
        let own = self.before.public_endpoints().filter(|(_, ix)| vpc_of(*ix) == vpc);
        Ranges::new(own.map(|(public, _)| (public.to_bits(), public.to_bits())))
    }

    /// Lists the services, one for each set with equal attachments.
    fn all(&self) -> Vec<ServiceIx> {
        let vpcs: Vec<VpcIx> = (0..self.before.parts().vpcs.len()).map(VpcIx::from).collect();
        let mut services = self.before.parts().services.iter();
        let default = services.position(|service| service.egress == Egress::Default);
        self.near(&vpcs).into_iter().chain(default.map(ServiceIx::from)).collect()
    }

    /// Lists the services in these VPCs, one for each set with equal attachments.
    fn near(&self, vpcs: &[VpcIx]) -> Vec<ServiceIx> {
        let snapshot = self.before;
        let is_near = |ix: &ConnectorIx| {
            let subnets = &snapshot.connector(*ix).subnets;
            subnets.iter().any(|subnet| vpcs.contains(&snapshot.subnet(*subnet).vpc))
        };
        let mut known = HashSet::new();
        let mut is_new = |ix: ConnectorIx| {
            let connector = snapshot.connector(ix);
            let own = (connector.kind == ServiceKind::Fargate).then_some(ix);
            let key = (connector.kind, connector.subnets.clone(), &connector.security_groups);
            known.insert((key.0, key.1, key.2.clone(), own))
        };
        let services = snapshot.parts().services.iter().enumerate();
        let connectors = services.filter_map(|(at, service)| match service.egress {
            Egress::Vpc(ix) => Some((ServiceIx::from(at), ix)),
            Egress::Default => None,
        });
        let found = connectors.filter(|(_, ix)| is_near(ix) && is_new(*ix));
        found.map(|(service, _)| service).collect()
    }

    /// Returns one service of a connector: all have equal attachments.
    fn of_connector(&self, ix: ConnectorIx) -> Vec<ServiceIx> {
        let mut services = self.before.parts().services.iter();
        let first = services.position(|service| service.egress == Egress::Vpc(ix));
        first.map(ServiceIx::from).into_iter().collect()
    }

    fn scope(&self) -> Affected {
        match self.change {
            Change::GroupRules { .. }
            | Change::AclRules { .. }
            | Change::PublicAddresses { .. }
            | Change::SourceDestCheckOff { .. } => Affected::Nothing,
            Change::InterfaceEndpoint(endpoint) => {
                let destinations = endpoint.resolved(self.before);
                Affected::Renamed { vpc: endpoint.vpc, destinations }
            }
            Change::GatewayEndpoint(endpoint) => {
                let entries = all_addresses(endpoint.entries(self.before));
                let tables =
                    endpoint.tables.iter().map(|table| self.routed(*table, entries.clone()));
                tables.reduce(Affected::or).unwrap_or(Affected::Nothing)
            }
            Change::MoveConnector { connector, .. } => Affected::Moved(*connector),
            Change::AddRoute { table, destination, .. } => {
                self.routed(*table, addresses(*destination))
            }
            Change::Redirect { table, position, .. } => {
                let table_before = self.before.route_table(*table);
                match table_before.routes.get(usize::from(*position)) {
                    Some(route) => self.routed(*table, self.destinations(route)),
                    None => Affected::Nothing,
                }
            }
            Change::EndpointTable { endpoint, table } => {
                let list = self.before.gateway_endpoint(*endpoint).prefix_list;
                self.routed(*table, all_addresses(&self.before.prefix_list(list).entries))
            }
            Change::ListEntries { list, entries } => self.listed(*list, entries),
        }
    }

    /// Returns the packets that tables with routes for a prefix list may route differently, with
    /// more entries in the list.
    fn listed(&self, list: PrefixListIx, entries: &[Ipv4Network]) -> Affected {
        let tables = self.before.parts().route_tables.iter().enumerate();
        let named = Destination::PrefixList(list);
        let mut naming =
            tables.filter(|(_, table)| table.routes.iter().any(|route| route.destination == named));
        match (naming.next(), naming.next()) {
            (None, _) => Affected::Nothing,
            (Some((at, _)), None) => self.routed(RouteTableIx::from(at), all_addresses(entries)),
            (Some((_, table)), Some(_)) => {
                Affected::Routed { vpc: table.vpc, destinations: Ranges::of(0, u32::MAX) }
            }
        }
    }

    fn destinations(&self, route: &Route) -> Ranges {
        match route.destination {
            Destination::Cidr(network) => addresses(network),
            Destination::PrefixList(list) => all_addresses(&self.before.prefix_list(list).entries),
        }
    }

    /// Returns the packets that a table may route differently than before, of these destinations:
    /// those for which another route, or none, wins now. If replies to tasks are among them, all
    /// packets may be affected.
    fn routed(&self, table: RouteTableIx, destinations: Ranges) -> Affected {
        let (before, after) = (self.before.route_table(table), self.after.route_table(table));
        let vpc = before.vpc;
        let mut cuts: Vec<u32> = vec![0];
        for network in before.prefixes().chain(after.prefixes()) {
            cuts.push(network.network().to_bits());
            cuts.extend(network.broadcast().to_bits().checked_add(1));
        }
        cuts.sort_unstable();
        cuts.dedup();
        let lasts = cuts.iter().skip(1).map(|cut| cut - 1).chain([u32::MAX]);
        let cells = cuts.iter().copied().zip(lasts);
        let differs = |(first, _): &(u32, u32)| {
            let route = |table: &crate::vpc::RouteTable| {
                table.lookup((*first).into()).map(|(_, route)| route.target.clone())
            };
            let before = route(before);
            before.is_some() && before != route(after)
        };
        let changed = Ranges::new(cells.filter(differs)).intersection(&destinations);
        if changed.is_empty() {
            return Affected::Nothing;
        }
        let near = self.before.peers_of(vpc).map(|(_, peer)| peer).chain([vpc]);
        let inside = near.flat_map(|vpc| &self.before.vpc(vpc).cidrs).copied();
        let inside = all_addresses(&inside.collect::<Vec<_>>());
        let destinations = match changed.intersection(&inside).is_empty() {
            true => changed,
            false => Ranges::of(0, u32::MAX),
        };
        Affected::Routed { vpc, destinations }
    }
}
