//! Route tables: longest prefix match, with AWS's priorities between equal prefixes (spec 3.3).

use super::{GatewayEndpointIx, Line, NatGatewayIx, PeeringIx, PrefixListIx, VpcIx};
use ipnetwork::Ipv4Network;
use prefix_trie::PrefixMap;
use std::net::Ipv4Addr;

/// A route table.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// `rtb-…`, or the user's word.
    pub id: String,
    /// The VPC that it belongs to.
    pub vpc: VpcIx,
    /// The local routes first, then the lab file's, in its order.
    pub routes: Vec<Route>,
    /// Whether this is the VPC's main table.
    pub main: bool,
    /// Where it stands in the lab file; 0 for an implied main table.
    pub line: Line,
    index: PrefixMap<Ipv4Network, u16>,
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which packets it is for.
    pub destination: Destination,
    /// Where they go.
    pub target: Target,
    /// Where it stands in the lab file; 0 for an implied local route.
    pub line: Line,
}

/// A route's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A CIDR block.
    Cidr(Ipv4Network),
    /// Every entry of a prefix list.
    PrefixList(PrefixListIx),
}

/// Where a route points (spec 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Inside the VPC.
    Local,
    /// The VPC's internet gateway.
    InternetGateway,
    /// A NAT gateway.
    NatGateway(NatGatewayIx),
    /// A gateway endpoint.
    GatewayEndpoint(GatewayEndpointIx),
    /// An active peering connection.
    Peering(PeeringIx),
    /// The target is gone; the id that it had, where the lab file names one.
    Blackhole(Option<String>),
}

/// A managed prefix list.
#[derive(Clone, Debug)]
pub struct PrefixList {
    /// `pl-…`, or the user's word.
    pub id: String,
    /// Its CIDR blocks.
    pub entries: Vec<Ipv4Network>,
    /// Where it stands in the lab file.
    pub line: Line,
}

impl RouteTable {
    /// A table of these routes, not indexed yet: [`Snapshot::build`](super::Snapshot::build) does that.
    pub fn new(id: String, vpc: VpcIx, routes: Vec<Route>, main: bool, line: Line) -> Self {
        Self { id, vpc, routes, main, line, index: PrefixMap::new() }
    }

    /// The route that wins for `destination` (spec 3.3): longest prefix; of equals a static CIDR route before a
    /// prefix-list route; of two prefix lists the one with the lower id, where AWS would pick at random.
    #[inline]
    pub fn lookup(&self, destination: Ipv4Addr) -> Option<(u16, &Route)> {
        let host = Ipv4Network::from(destination);
        let (_, &position) = self.index.get_lpm(&host)?;
        self.routes.get(usize::from(position)).map(|route| (position, route))
    }

    /// The route that wins for every address of `network`, unless one of [`RouteTable::prefixes`] that lies within
    /// `network` wins for some of them.
    pub fn lookup_network(&self, network: Ipv4Network) -> Option<&Route> {
        let (_, &position) = self.index.get_lpm(&network)?;
        self.routes.get(usize::from(position))
    }

    /// Every prefix that a packet can be routed by, those of prefix lists among them, each once.
    pub fn prefixes(&self) -> impl Iterator<Item = Ipv4Network> {
        self.index.keys()
    }

    pub(super) fn index(&mut self, prefix_lists: &[PrefixList]) {
        self.index = PrefixMap::new();
        let entries = |destination| -> &[Ipv4Network] {
            match destination {
                Destination::PrefixList(list) => {
                    prefix_lists.get(PrefixListIx::get(list)).map_or(&[], |l| &l.entries)
                }
                Destination::Cidr(_) => &[],
            }
        };
        let mut by_prefix_list: Vec<_> = (0u16..)
            .zip(&self.routes)
            .filter_map(|(position, route)| match route.destination {
                Destination::PrefixList(list) => Some((
                    prefix_lists.get(list.get()).map(|l| l.id.clone()),
                    position,
                    route.destination,
                )),
                Destination::Cidr(_) => None,
            })
            .collect();
        // Later insertions replace earlier ones: highest list id first, static CIDR routes last.
        by_prefix_list.sort_by(|a, b| b.0.cmp(&a.0));
        for (_, position, destination) in by_prefix_list {
            for &network in entries(destination) {
                self.index.insert(canonical(network), position);
            }
        }
        for (position, route) in (0u16..).zip(&self.routes).collect::<Vec<_>>().into_iter().rev() {
            if let Destination::Cidr(network) = route.destination {
                self.index.insert(canonical(network), position);
            }
        }
    }
}

/// AWS canonicalises CIDR blocks: 100.68.0.18/18 is 100.68.0.0/18 (spec 3.4).
pub fn canonical(network: Ipv4Network) -> Ipv4Network {
    Ipv4Network::new(network.network(), network.prefix()).unwrap_or(network)
}
