//! The view of a lab that the lints share: the spec, the snapshot that it is lowered to, and the
//! leads of its route tables.

use crate::config::diagnostic::Report;
use crate::config::spec::{self, Spec};
use crate::vpc::path::{self, Lead};
use crate::vpc::{
    Destination, GatewayEndpointIx, NatGatewayIx, PeeringIx, RouteTableIx, RuleRef, Snapshot,
    SubnetIx,
};
use std::collections::{BTreeSet, HashMap};

/// The data that the lints read.
pub(super) struct Context<'s> {
    pub(super) spec: &'s Spec,
    pub(super) snapshot: &'s Snapshot,
    pub(super) report: &'s Report,
    /// The leads of each subnet.
    leads: Vec<Vec<Lead>>,
    led_by: HashMap<RuleRef, Vec<Lead>>,
    senders: HashMap<RuleRef, BTreeSet<SubnetIx>>,
    routes: HashMap<(RouteTableIx, Destination), RuleRef>,
}

impl<'s> Context<'s> {
    pub(super) fn new(spec: &'s Spec, snapshot: &'s Snapshot, report: &'s Report) -> Self {
        let subnets = (0..snapshot.parts().subnets.len()).map(SubnetIx::from);
        let leads: Vec<_> = subnets.map(|subnet| path::leads(snapshot, subnet)).collect();
        let mut led_by: HashMap<_, Vec<Lead>> = HashMap::new();
        for lead in leads.iter().flatten().copied().chain(without_subnet(snapshot)) {
            if let Some(route) = lead.route {
                led_by.entry(route).or_default().push(lead);
            }
        }
        let (senders, routes) = (senders(snapshot, &leads), routes(snapshot));
        Self { spec, snapshot, report, leads, led_by, senders, routes }
    }

    /// Returns the leads of a subnet.
    pub(super) fn leads(&self, subnet: &spec::Subnet) -> &[Lead] {
        let subnet = self.subnet(&subnet.id);
        subnet.and_then(|ix| self.leads.get(ix.get())).map_or(&[], Vec::as_slice)
    }

    /// Returns the subnets of the source addresses of packets that a route leads out of the VPC:
    /// those of ENIs, and those of NAT gateways on the way.
    pub(super) fn senders(&self, route: RuleRef) -> impl Iterator<Item = SubnetIx> {
        self.senders.get(&route).into_iter().flatten().copied()
    }

    /// Returns a route's leads of the subnets that use its table; if no subnet does, those of all
    /// subnets of its VPC. Empty if the route wins for no address.
    pub(super) fn led_by(&self, route: RuleRef) -> &[Lead] {
        self.led_by.get(&route).map_or(&[], Vec::as_slice)
    }

    /// Finds a route. A table has one for each destination.
    pub(super) fn route(&self, table: &spec::RouteTable, route: &spec::Route) -> Option<RuleRef> {
        let table = position(&self.snapshot.parts().route_tables, |own| own.id == *table.id)?;
        let destination = match &route.destination.value {
            spec::Destination::Cidr(network) => Destination::Cidr(*network),
            spec::Destination::PrefixList(id) => {
                let lists = &self.snapshot.parts().prefix_lists;
                Destination::PrefixList(position(lists, |list| list.id == *id)?)
            }
        };
        self.routes.get(&(table, destination)).copied()
    }

    pub(super) fn subnet(&self, id: &str) -> Option<SubnetIx> {
        position(&self.snapshot.parts().subnets, |subnet| subnet.id == id)
    }

    pub(super) fn nat_gateway(&self, id: &str) -> Option<NatGatewayIx> {
        position(&self.snapshot.parts().nat_gateways, |gateway| gateway.id == id)
    }

    pub(super) fn peering(&self, id: &str) -> Option<PeeringIx> {
        position(&self.snapshot.parts().peerings, |peering| peering.id == id)
    }

    pub(super) fn gateway_endpoint(&self, id: &str) -> Option<GatewayEndpointIx> {
        position(&self.snapshot.parts().gateway_endpoints, |endpoint| endpoint.id == id)
    }
}

fn position<T, I: From<usize>>(table: &[T], is_it: impl Fn(&T) -> bool) -> Option<I> {
    table.iter().position(is_it).map(I::from)
}

/// Finds the senders of packets by the last route that leads them.
fn senders(snapshot: &Snapshot, leads: &[Vec<Lead>]) -> HashMap<RuleRef, BTreeSet<SubnetIx>> {
    let mut senders: HashMap<_, BTreeSet<SubnetIx>> = HashMap::new();
    for lead in leads.iter().flatten().filter(|lead| lead.end.is_ok()) {
        let gateway = lead.nat_gateway.map(|ix| snapshot.nat_gateway(ix).subnet);
        if let Some(route) = lead.last_route {
            senders.entry(route).or_default().insert(gateway.unwrap_or(lead.from));
        }
    }
    senders
}

/// Finds every route by its destination.
fn routes(snapshot: &Snapshot) -> HashMap<(RouteTableIx, Destination), RuleRef> {
    let tables = (0..).map(RouteTableIx).zip(&snapshot.parts().route_tables);
    let routes = tables.flat_map(|(table, of)| {
        let routes = (0..).zip(&of.routes);
        routes.map(move |(position, route)| {
            ((table, route.destination), RuleRef::Route(table, position))
        })
    });
    routes.collect()
}

/// Lists the leads that each subnet of a VPC would have by the VPC's tables that no subnet uses.
fn without_subnet(snapshot: &Snapshot) -> impl Iterator<Item = Lead> {
    let subnets = &snapshot.parts().subnets;
    let tables = (0..).map(RouteTableIx).zip(&snapshot.parts().route_tables);
    let unused = tables.filter(|(table, _)| !subnets.iter().any(|s| s.route_table == *table));
    unused.flat_map(move |(table, of)| {
        let own = (0..).map(SubnetIx).zip(subnets).filter(move |(_, subnet)| subnet.vpc == of.vpc);
        own.flat_map(move |(subnet, _)| path::leads_by_table(snapshot, subnet, table))
    })
}
