//! Route tables: longest prefix match, with AWS's priorities between equal prefixes (spec 3.3).

use super::{
    GatewayEndpointIx, GatewayLoadBalancerEndpointIx, Line, NatGatewayIx, PeeringIx, PrefixListIx,
    ResourceIx, VpcIx,
};
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
    /// Marks the VPC's main table.
    pub main: bool,
    /// Its line in the lab file; 0 for an implied main table.
    pub line: Line,
    index: PrefixMap<Ipv4Network, u16>,
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The packets' destinations.
    pub destination: Destination,
    /// The target of these packets.
    pub target: Target,
    /// Its line in the lab file; 0 for an implied local route.
    pub line: Line,
}

/// A route's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A CIDR block.
    Cidr(Ipv4Network),
    /// Every entry of a prefix list.
    PrefixList(PrefixListIx),
}

/// The target of a route (spec 3.5).
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
    /// The network interface of an appliance, which is a resource.
    NetworkInterface(ResourceIx),
    /// A Gateway Load Balancer endpoint.
    GatewayLoadBalancerEndpoint(GatewayLoadBalancerEndpointIx),
    /// An active peering connection.
    Peering(PeeringIx),
    /// A target that does not exist any more; its id, if the lab file names one.
    Blackhole(Option<String>),
}

/// A managed prefix list.
#[derive(Clone, Debug)]
pub struct PrefixList {
    /// `pl-…`, or the user's word.
    pub id: String,
    /// Its CIDR blocks.
    pub entries: Vec<Ipv4Network>,
    /// Its line in the lab file.
    pub line: Line,
}

impl RouteTable {
    /// Makes a table of these routes. It is not indexed yet:
    /// [`Snapshot::build`](super::Snapshot::build) does that.
    pub fn new(id: String, vpc: VpcIx, routes: Vec<Route>, main: bool, line: Line) -> Self {
        Self { id, vpc, routes, main, line, index: PrefixMap::new() }
    }

    /// Returns the route that wins for `destination` (spec 3.3): the longest prefix; of equals a
    /// static CIDR route before a prefix-list route; of two prefix lists the one with the lower id,
    /// where AWS picks at random.
    #[inline]
    pub fn lookup(&self, destination: Ipv4Addr) -> Option<(u16, &Route)> {
        self.lookup_network(Ipv4Network::from(destination))
    }

    /// Returns the route that wins for every address of `network`, unless one of
    /// [`RouteTable::prefixes`] that lies within `network` wins for some of them.
    #[inline]
    pub fn lookup_network(&self, network: Ipv4Network) -> Option<(u16, &Route)> {
        let (_, &position) = self.index.get_lpm(&network)?;
        self.routes.get(usize::from(position)).map(|route| (position, route))
    }

    /// Lists every prefix that a packet can be routed by, those of prefix lists among them, each
    /// once.
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

/// Returns a CIDR block in AWS's canonical form: 100.68.0.18/18 is 100.68.0.0/18 (spec 3.4).
pub fn canonical(network: Ipv4Network) -> Ipv4Network {
    Ipv4Network::new(network.network(), network.prefix()).unwrap_or(network)
}

/// Returns the block of all addresses, 0.0.0.0/0, as of a default route.
pub fn everywhere() -> Ipv4Network {
    // A prefix length of 0 is always valid.
    Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0)
        .unwrap_or_else(|| Ipv4Network::from(Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const LISTS: [(&str, &[&str]); 3] = [
        ("pl-a", &["192.0.2.0/24", "198.51.100.0/24"]),
        ("pl-b", &["192.0.2.0/24", "203.0.113.0/24"]),
        ("pl-c", &["10.0.0.0/16", "192.0.2.128/25"]),
    ];

    fn table(routes: &[(&str, Target)]) -> RouteTable {
        let lists: Vec<_> = LISTS
            .iter()
            .map(|(id, entries)| PrefixList {
                id: (*id).to_owned(),
                entries: entries.iter().map(|e| e.parse().unwrap()).collect(),
                line: 0,
            })
            .collect();
        let destination = |to: &str| match LISTS.iter().position(|(id, _)| *id == to) {
            Some(list) => Destination::PrefixList(list.into()),
            None => Destination::Cidr(to.parse().unwrap()),
        };
        let route = |(to, target): &(&str, Target)| Route {
            destination: destination(to),
            target: target.clone(),
            line: 0,
        };
        let routes = routes.iter().map(route).collect();
        let mut table = RouteTable::new("rtb".to_owned(), VpcIx(0), routes, true, 0);
        table.index(&lists);
        table
    }

    /// Returns the target to which the table sends an address, and checks that the order of its
    /// routes does not matter.
    fn sends(routes: &[(&str, Target)], to: &str) -> Option<Target> {
        let to = to.parse().unwrap();
        let found = table(routes).lookup(to).map(|(_, route)| route.target.clone());
        let reversed: Vec<_> = routes.iter().rev().cloned().collect();
        assert_eq!(table(&reversed).lookup(to).map(|(_, route)| route.target.clone()), found);
        found
    }

    const IGW: Target = Target::InternetGateway;
    const LOCAL: Target = Target::Local;
    const NAT: Target = Target::NatGateway(NatGatewayIx(0));
    const VPCE: Target = Target::GatewayEndpoint(GatewayEndpointIx(0));
    const PCX: Target = Target::Peering(PeeringIx(0));

    /// Rule 2.
    #[test]
    fn the_longest_prefix_wins() {
        let routes =
            [("0.0.0.0/0", NAT), ("10.0.0.0/8", PCX), ("10.0.0.0/16", LOCAL), ("10.0.3.0/24", NAT)];
        for (to, target) in
            [("8.8.8.8", NAT), ("10.9.0.1", PCX), ("10.0.4.1", LOCAL), ("10.0.3.1", NAT)]
        {
            assert_eq!(sends(&routes, to), Some(target), "{to}");
        }
        assert_eq!(sends(&routes[1..], "8.8.8.8"), None);
    }

    /// Rule 4: of an entry and an equal CIDR route the latter wins, of others the more specific
    /// one, whatever its kind.
    #[test]
    fn a_static_cidr_route_beats_an_equal_prefix_list_entry() {
        let routes = [("pl-a", VPCE), ("192.0.2.0/24", NAT), ("0.0.0.0/0", IGW)];
        assert_eq!(sends(&routes, "192.0.2.9"), Some(NAT));
        assert_eq!(sends(&routes, "198.51.100.9"), Some(VPCE), "the list's other entry");
    }

    /// Rule 4.
    #[test]
    fn a_more_specific_route_wins_over_a_list_and_a_more_specific_list_over_a_route() {
        let routes = [("pl-a", VPCE), ("192.0.2.64/26", NAT), ("198.51.0.0/16", IGW)];
        assert_eq!(sends(&routes, "192.0.2.65"), Some(NAT));
        assert_eq!(sends(&routes, "192.0.2.1"), Some(VPCE));
        assert_eq!(sends(&routes, "198.51.100.1"), Some(VPCE));
        assert_eq!(sends(&routes, "198.51.7.1"), Some(IGW));
        assert_eq!(sends(&[("pl-c", VPCE), ("10.0.0.0/16", LOCAL)], "10.0.9.1"), Some(LOCAL));
    }

    /// Rule 6, inferred: AWS picks at random, the lower id here. A longer entry of the other list
    /// still wins.
    #[test]
    fn of_two_prefix_lists_the_one_with_the_lower_id() {
        let routes = [("pl-b", PCX), ("pl-a", VPCE), ("pl-c", NAT)];
        assert_eq!(sends(&routes, "192.0.2.1"), Some(VPCE));
        assert_eq!(sends(&routes, "203.0.113.1"), Some(PCX));
        assert_eq!(sends(&routes, "192.0.2.129"), Some(NAT));
    }

    /// Inferred from rule 2: there is no falling through to a less specific route.
    #[test]
    fn a_blackhole_that_wins_is_the_end() {
        let removed = Target::Blackhole(None);
        let routes = [("0.0.0.0/0", NAT), ("pl-a", removed.clone()), ("192.0.2.128/25", NAT)];
        assert_eq!(sends(&routes, "192.0.2.1"), Some(removed));
        assert_eq!(sends(&routes, "192.0.2.200"), Some(NAT));
    }

    #[test]
    fn a_network_is_routed_as_all_its_addresses_where_no_longer_prefix_is_in_it() {
        let table = table(&[("0.0.0.0/0", NAT), ("pl-a", VPCE), ("192.0.2.128/25", IGW)]);
        let target = |network: &str| {
            table.lookup_network(network.parse().unwrap()).map(|(_, route)| route.target.clone())
        };
        assert_eq!(target("192.0.2.0/26"), Some(VPCE));
        assert_eq!(target("192.0.2.192/26"), Some(IGW));
        assert_eq!(target("192.0.0.0/16"), Some(NAT));
        let mut prefixes: Vec<String> = table.prefixes().map(|p| p.to_string()).collect();
        prefixes.sort();
        assert_eq!(prefixes, ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.128/25", "198.51.100.0/24"]);
    }
}
