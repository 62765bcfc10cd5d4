//! Proposes endpoints for VPCs that have no route to the internet, so that their services reach
//! AWS's own by endpoints alone.

use super::change::Change;
use super::failing::Failing;
use super::ids::free_id;
use super::new_endpoint::{Guard, HTTPS, Listed, NewGateway, NewInterface};
use super::terms::{addresses, all_addresses, blocks, holds};
use crate::packet::Protocol;
use crate::pipeline::reach::{PortRange, Ports, public_unicast};
use crate::vpc::dns::canonical_name;
use crate::vpc::{
    Destination, IcmpMatch, Peer, PortMatch, PrefixListIx, ProtocolMatch, Resource, Route,
    RouteTableIx, SecurityGroupIx, SecurityGroupRule, Snapshot, SubnetIx, Target, TrafficMatch,
    VpcIx,
};
use std::collections::BTreeSet;

/// The services that have gateway endpoints.
const BY_GATEWAY: [&str; 2] = ["s3", "dynamodb"];

/// The first labels of names of services with two words: `api.ecr` is the service `ecr.api`.
const SECOND_WORDS: [&str; 2] = ["api", "runtime"];

/// Lists the interface endpoints that the VPC lacks, by the service's name in the question: with
/// the groups of the others, or with a group that admits the connector's.
pub(super) fn missing_interface(failing: &Failing<'_>) -> Vec<Change> {
    let found = || {
        let (name, vpc) = (canonical_name(failing.name?), failing.vpc()?);
        let is_https = failing.ports == Ports::new([PortRange::Of(Protocol::Tcp, HTTPS, HTTPS)]);
        let fits = is_https && has_endpoints(failing.snapshot, vpc);
        let service = Service::by_interface(&name, &failing.snapshot.parts().region)?;
        (fits && is_isolated(failing.snapshot, vpc)).then_some((name, vpc, service))
    };
    let Some((asked, vpc, service)) = found() else { return Vec::new() };
    let snapshot = failing.snapshot;
    let Some(hostnames) = lacks_hostnames(snapshot, vpc) else { return Vec::new() };
    if hides_names(snapshot, &service.zone) || has_endpoint(snapshot, vpc, &service.name) {
        return Vec::new();
    }
    let id = free_id(snapshot, &format!("vpce-{}", service.word));
    let with = |guard| {
        Change::InterfaceEndpoint(NewInterface {
            id: id.clone(),
            vpc,
            service: service.name.clone(),
            private_name: service.private_name.clone(),
            asked: asked.clone(),
            subnets: one_in_each_zone(failing),
            guard,
            hostnames,
        })
    };
    let mut changes: Vec<Change> =
        groups_of_others(snapshot, vpc).into_iter().map(|own| with(Guard::Groups(own))).collect();
    changes.push(with(new_group(failing, vpc, &id)));
    changes
}

/// Returns the gateway endpoint that the VPC lacks for the destination.
pub(super) fn missing_gateway(failing: &Failing<'_>) -> Option<Change> {
    let (snapshot, vpc) = (failing.snapshot, failing.vpc()?);
    let word = BY_GATEWAY.into_iter().find(|word| is_of_gateway_service(failing, word))?;
    let service = format!("com.amazonaws.{}.{word}", snapshot.parts().region);
    let mut others = snapshot.parts().gateway_endpoints.iter();
    let is_public = holds(&public_unicast(), &failing.destinations);
    if !is_public
        || !is_isolated(snapshot, vpc)
        || others.any(|own| own.vpc == vpc && own.service == service)
    {
        return None;
    }
    let list = match known_list(failing, &service, word) {
        Some(list) => Listed::Known(list),
        None => {
            let id = free_id(snapshot, &format!("pl-{word}"));
            Listed::New { id, entries: blocks(&failing.destinations)? }
        }
    };
    let id = free_id(snapshot, &format!("vpce-{word}"));
    let tables: BTreeSet<RouteTableIx> =
        failing.subnets.iter().map(|subnet| snapshot.subnet(*subnet).route_table).collect();
    let tables = tables.into_iter().collect();
    Some(Change::GatewayEndpoint(NewGateway { id, vpc, service, list, tables }))
}

/// A service of AWS that has interface endpoints.
struct Service {
    /// The full name, such as `com.amazonaws.us-east-1.ecr.api`.
    name: String,
    /// A short word, such as `ecr-api`.
    word: String,
    /// The name that leads to an endpoint, possibly a wildcard.
    private_name: String,
    /// The zone of that name.
    zone: String,
}

impl Service {
    /// Reads the public name of a service, such as `api.ecr.us-east-1.amazonaws.com`.
    fn by_interface(name: &str, region: &str) -> Option<Self> {
        let labels: Vec<&str> =
            name.strip_suffix(&format!(".{region}.amazonaws.com"))?.split('.').collect();
        let (word, zone) = match labels.as_slice() {
            [one] if !BY_GATEWAY.contains(one) => ((*one).to_owned(), name.to_owned()),
            [second, first] if SECOND_WORDS.contains(second) => {
                (format!("{first}.{second}"), name.to_owned())
            }
            [_, "dkr", "ecr"] => ("ecr.dkr".to_owned(), format!("dkr.ecr.{region}.amazonaws.com")),
            _ => return None,
        };
        let private_name = if zone == name { zone.clone() } else { format!("*.{zone}") };
        let service = format!("com.amazonaws.{region}.{word}");
        Some(Self { name: service, word: word.replace('.', "-"), private_name, zone })
    }
}

/// Decides whether no table of a VPC has a route to the internet.
fn is_isolated(snapshot: &Snapshot, vpc: VpcIx) -> bool {
    let mut tables = snapshot.parts().route_tables.iter().filter(|table| table.vpc == vpc);
    let leads_out = |route: &Route| match route.target {
        Target::NatGateway(_) | Target::InternetGateway => true,
        Target::NetworkInterface(_) | Target::GatewayLoadBalancerEndpoint(_) => {
            is_for_public(snapshot, route.destination)
        }
        Target::Local | Target::Peering(_) | Target::GatewayEndpoint(_) | Target::Blackhole(_) => {
            false
        }
    };
    !tables.any(|table| table.routes.iter().any(leads_out))
}

/// Decides whether a route is for addresses of the internet: a middlebox may also be between
/// subnets.
fn is_for_public(snapshot: &Snapshot, destination: Destination) -> bool {
    let blocks = match destination {
        Destination::Cidr(block) => addresses(block),
        Destination::PrefixList(list) => all_addresses(&snapshot.prefix_list(list).entries),
    };
    !blocks.intersection(&public_unicast()).is_empty()
}

fn has_endpoints(snapshot: &Snapshot, vpc: VpcIx) -> bool {
    let mut gateways = snapshot.parts().gateway_endpoints.iter();
    gateways.any(|own| own.vpc == vpc) || interfaces(snapshot, vpc).next().is_some()
}

/// Lists the interfaces of a VPC's interface endpoints.
fn interfaces(snapshot: &Snapshot, vpc: VpcIx) -> impl Iterator<Item = &Resource> {
    let resources = snapshot.parts().resources.iter();
    resources.filter(move |own| own.endpoint.is_some() && snapshot.subnet(own.subnet).vpc == vpc)
}

fn has_endpoint(snapshot: &Snapshot, vpc: VpcIx, service: &str) -> bool {
    let is_it = |own: &Resource| own.endpoint.as_ref().is_some_and(|own| own.service == service);
    interfaces(snapshot, vpc).any(is_it)
}

/// Returns whether private names in a VPC need `enable_dns_hostnames` first; `None` if enabling
/// them would also change where other names lead.
fn lacks_hostnames(snapshot: &Snapshot, vpc: VpcIx) -> Option<bool> {
    let own = snapshot.vpc(vpc);
    if own.has_private_names() {
        return Some(false);
    }
    let mut zones = snapshot.parts().private_zones.iter();
    let is_free = !zones.any(|zone| zone.vpcs.contains(&vpc))
        && interfaces(snapshot, vpc).all(|interface| interface.private_dns.is_none());
    (own.enable_dns_support && is_free).then_some(true)
}

/// Decides whether a private zone of this name hides others: all public names below it.
fn hides_names(snapshot: &Snapshot, zone: &str) -> bool {
    let parts = snapshot.parts();
    let hosts = parts.internet_hosts.iter();
    let hosts = hosts.flat_map(|host| std::iter::once(&host.name).chain(&host.aliases));
    let resources = parts.resources.iter().filter(|own| own.public_dns_name);
    let mut names = hosts.chain(resources.flat_map(|own| &own.aliases));
    let below = format!(".{zone}");
    let is_registry = zone.starts_with("dkr.ecr.");
    names.any(|name| !is_registry && canonical_name(name).ends_with(&below))
}

/// Lists the sets of groups that the VPC's interface endpoints have, each once.
fn groups_of_others(snapshot: &Snapshot, vpc: VpcIx) -> Vec<Vec<SecurityGroupIx>> {
    let mut all: Vec<Vec<SecurityGroupIx>> = Vec::new();
    for own in interfaces(snapshot, vpc) {
        if !all.contains(&own.security_groups) {
            all.push(own.security_groups.clone());
        }
    }
    all.truncate(2);
    all
}

/// Makes a group that admits the connector's; its VPC's addresses if the lab file does not name the
/// connector's group.
fn new_group(failing: &Failing<'_>, vpc: VpcIx, endpoint: &str) -> Guard {
    let snapshot = failing.snapshot;
    let own = failing.eni().into_iter().flat_map(|eni| &eni.security_groups);
    let named = own.copied().find(|group| snapshot.security_group(*group).line > 0);
    let peers: Vec<Peer> = match named {
        Some(group) => vec![Peer::SecurityGroup(group)],
        None => snapshot.vpc(vpc).cidrs.iter().copied().map(Peer::Cidr).collect(),
    };
    let traffic = TrafficMatch {
        protocol: ProtocolMatch::Is(Protocol::Tcp),
        ports: PortMatch { from: HTTPS, to: HTTPS },
        icmp: IcmpMatch::ALL,
    };
    let rule = |peer| SecurityGroupRule { traffic, peer, line: 0 };
    let ingress = peers.into_iter().map(rule).collect();
    Guard::New { id: free_id(snapshot, &format!("sg-{endpoint}")), ingress }
}

/// Lists the connector's subnets, the first in each zone.
fn one_in_each_zone(failing: &Failing<'_>) -> Vec<SubnetIx> {
    let mut zones = BTreeSet::new();
    let subnets = failing.connector_subnets().iter().copied();
    let zone = |subnet: &SubnetIx| &failing.snapshot.subnet(*subnet).availability_zone;
    subnets.filter(|subnet| zones.insert(zone(subnet))).collect()
}

/// Decides whether the destination belongs to a service with gateway endpoints: by the name in the
/// question, or by those of the host that has the address.
fn is_of_gateway_service(failing: &Failing<'_>, word: &str) -> bool {
    let parts = failing.snapshot.parts();
    let service = format!("{word}.{}.amazonaws.com", parts.region);
    let is_it = |name: &str| {
        let name = canonical_name(name);
        name == service || name.strip_suffix(&service).is_some_and(|rest| rest.ends_with('.'))
    };
    let address = failing.evidence.inside.dst();
    let hosts = parts.internet_hosts.iter().filter(|host| host.address == address);
    let mut names = hosts.flat_map(|host| std::iter::once(&host.name).chain(&host.aliases));
    failing.name.is_some_and(is_it) || names.any(|name| is_it(name))
}

/// Returns a list that contains the destinations: that of an endpoint of the same service, or else
/// one that has the service's word in its id and public addresses only.
fn known_list(failing: &Failing<'_>, service: &str, word: &str) -> Option<PrefixListIx> {
    let parts = failing.snapshot.parts();
    let has_them = |list: &PrefixListIx| {
        let entries = &failing.snapshot.prefix_list(*list).entries;
        holds(&all_addresses(entries), &failing.destinations)
    };
    let others = parts.gateway_endpoints.iter().filter(|own| own.service == service);
    let mut used = others.map(|own| own.prefix_list);
    let is_of_service = |list: &PrefixListIx| {
        let list = failing.snapshot.prefix_list(*list);
        list.id.contains(word) && holds(&public_unicast(), &all_addresses(&list.entries))
    };
    let mut all = (0..parts.prefix_lists.len()).map(PrefixListIx::from);
    used.find(has_them).or_else(|| all.find(|list| is_of_service(list) && has_them(list)))
}
