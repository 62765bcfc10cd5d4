//! Predicts what AWS does with a first packet, directly from the lab file's text and the rules of
//! the specification, by linear scans. It shares no look-up, no rule matching and no order of
//! stages with the engine.

mod interfaces;
mod matching;
mod middlebox;
mod public_endpoint;
mod question;

use self::matching::{covers, is_rfc1918, is_rfc6598, matches};
pub(super) use self::question::{DeliveredTo, Expected, Ports, Question};
use crate::config::Lab;
use crate::config::plan::PlannedEni;
use crate::config::spec::{
    AclRule, Destination, EndpointKind, NetworkAcl, Peer, SecurityGroupRule, Subnet, Target,
    VpcEndpoint,
};
use crate::packet::Protocol;
use crate::pipeline::Reason;
use crate::vpc::{AclAction, Connectivity, NatGatewayState, PeeringState};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Resolver, time sync, task metadata (spec 4.3).
const SERVED: [&str; 3] = ["169.254.169.253", "169.254.169.123", "169.254.170.2"];

pub(super) struct Oracle<'a> {
    lab: &'a Lab,
    ask: Question,
    ports: Ports,
}

/// The sender of a packet, as the destination sees it: the ENI, or the NAT gateway after it.
#[derive(Clone, Copy)]
struct Sender<'a> {
    home: &'a Subnet,
    address: Ipv4Addr,
    port: u16,
    /// Its address on the internet.
    public: Option<Ipv4Addr>,
    /// The ENI's address, if the sender is another.
    hides: Option<Ipv4Addr>,
    /// The subnet whose table routes it: its home, or that of the last middlebox.
    at: &'a Subnet,
}

impl Sender<'_> {
    fn is_behind_a_middlebox(&self) -> bool {
        self.at.id.value != self.home.id.value
    }
}

/// A packet at a subnet's boundary: the remote side, the destination port, the ICMP fields.
#[derive(Clone, Copy)]
struct Border<'a> {
    subnet: &'a Subnet,
    leaving: bool,
    remote: Ipv4Addr,
    port: u16,
    icmp: (u8, u8),
}

type Answer = Result<(DeliveredTo, Option<Reason>), Reason>;

pub(super) fn expect(lab: &Lab, service: &str, task: u16, ask: Question, ports: Ports) -> Expected {
    let oracle = Oracle { lab, ask, ports };
    match oracle.service_sends(service, task) {
        Ok((place, reply_dies)) => Expected::Reaches { place, reply_dies },
        Err(reason) => Expected::Dies(reason),
    }
}

impl<'a> Oracle<'a> {
    fn service_sends(&self, service: &str, task: u16) -> Answer {
        let spec = &self.lab.spec;
        let service = spec.services.iter().find(|s| s.name.value == service).unwrap();
        let first = self.ask.to.octets()[0];
        if first == 0 || first == 127 || first >= 224 {
            return Err(Reason::DestinationNotUnicast);
        }
        match &service.vpc_connector {
            None => self.app_runner_sends(),
            Some(connector) => {
                let name = &service.name.value;
                let own = |e: &&PlannedEni| e.key.task == Some((name.clone(), task));
                let own = self.lab.plan.enis.iter().find(own);
                let shared = self.eni_of(&connector.value, task);
                assert_eq!(own.is_some(), shared.is_none());
                self.eni_sends(own.or(shared).unwrap())
            }
        }
    }

    /// Sends by App Runner's own egress (spec 2.2).
    fn app_runner_sends(&self) -> Answer {
        if SERVED.contains(&self.ask.to.to_string().as_str()) {
            return Ok((DeliveredTo::Services, None));
        }
        let link_local = self.ask.to.octets()[..2] == [169, 254];
        if link_local || is_rfc1918(self.ask.to) || is_rfc6598(self.ask.to) {
            return Err(Reason::AppRunnerPrivateDestination);
        }
        if self.is_own_public(self.ask.to) {
            return Err(Reason::NatHairpin);
        }
        self.over_internet(self.lab.plan.apprunner_address, self.ports.nat, None)
    }

    fn eni_sends(&self, eni: &'a PlannedEni) -> Answer {
        let home = self.subnet(&eni.key.subnet);
        let vpc = self.lab.spec.vpcs.iter().find(|v| v.id.value == home.vpc.value).unwrap();
        let to = self.ask.to;
        let resolver = u32::from(vpc.cidrs[0].value.network()) + 2;
        let router = self.lab.spec.subnets.iter().any(|s| {
            s.vpc.value == vpc.id.value && u32::from(s.cidr.value.network()) + 1 == u32::from(to)
        });
        let is_resolver = u32::from(to) == resolver;
        if is_resolver || SERVED.contains(&to.to_string().as_str()) {
            let asks = is_resolver || to.to_string() == SERVED[0];
            let off = vpc.enable_dns_support.is_some_and(|support| !support.value);
            return if asks && off {
                Err(Reason::DnsSupportDisabled)
            } else {
                Ok((DeliveredTo::Services, None))
            };
        }
        if to.octets()[..2] == [169, 254] || router {
            return Err(Reason::ExemptAddressUnserved);
        }
        self.group_egress(&eni.key.security_groups, to)?;
        let (address, public) = (eni.address, eni.public_address);
        let port = self.ports.eni;
        let sender = Sender { home, address, port, public, hides: None, at: home };
        let sender = self.through_middleboxes(sender)?;
        if covers(sender.at.cidr.value, to) {
            let there = Some(sender.at).filter(|_| sender.is_behind_a_middlebox());
            return self.deliver(sender, there, Target::Local);
        }
        let target = self.route(sender.at);
        let gateway = match &target {
            Some(Target::NatGateway(id)) => {
                self.lab.spec.nat_gateways.iter().find(|n| n.id.value == *id)
            }
            _ => None,
        };
        let removed = gateway.is_some_and(|n| n.state == NatGatewayState::Deleted);
        let stays = gateway.is_some_and(|n| n.subnet.value == sender.at.id.value) && !removed;
        if !stays {
            self.cross(sender.at, true, to)?;
        }
        match target {
            None => Err(Reason::NoRoute),
            Some(Target::Blackhole(_)) => Err(Reason::RouteBlackhole),
            Some(Target::NatGateway(_)) if removed => Err(Reason::RouteBlackhole),
            Some(Target::VpcEndpoint(id)) => self.through_endpoint(sender, id),
            Some(Target::Peering(id)) => self.through_peering(sender, &id),
            Some(Target::InternetGateway(_)) if is_rfc1918(to) => {
                Err(Reason::IgwPrivateDestination)
            }
            Some(Target::InternetGateway(_)) if is_rfc6598(to) => Err(Reason::IgwSharedDestination),
            Some(Target::InternetGateway(_)) if eni.public_address.is_none() => {
                Err(Reason::IgwNoPublicAddress)
            }
            Some(Target::InternetGateway(_)) if self.is_own_public(to) => Err(Reason::NatHairpin),
            Some(Target::InternetGateway(_)) => self.by_internet_gateway(sender),
            Some(Target::Local) => self.locally(sender),
            Some(Target::NatGateway(id)) => self.through_gateway(sender, &id, stays),
            Some(Target::NetworkInterface(_)) => panic!("passed already"),
        }
    }

    /// Delivers by the local route, to the subnet of the VPC that has the address.
    fn locally(&self, sender: Sender<'a>) -> Answer {
        let (vpc, to) = (&sender.home.vpc.value, self.ask.to);
        let in_vpc = |s: &&Subnet| s.vpc.value == *vpc && s.cidr.value.contains(to);
        let there = self.lab.spec.subnets.iter().find(in_vpc).ok_or(Reason::NoInterface)?;
        self.cross(there, false, sender.address)?;
        self.deliver(sender, Some(there), Target::Local)
    }

    /// Delivers by a gateway endpoint (spec 7.1).
    fn through_endpoint(&self, sender: Sender<'_>, id: String) -> Answer {
        if !matches!(self.ask.protocol, Protocol::Tcp | Protocol::Icmp) {
            return Err(Reason::EndpointProtocol);
        }
        let reply = [self.back(sender.home, false, self.ask.to, sender.port)];
        Ok((DeliveredTo::Endpoint(id), self.reply_dies(&reply)))
    }

    /// Delivers to the peer's own addresses, from which a route must lead back (spec 3.5, 10.2).
    fn through_peering(&self, sender: Sender<'a>, id: &str) -> Answer {
        let (spec, to) = (&self.lab.spec, self.ask.to);
        let pcx = spec.peerings.iter().find(|p| p.id.value == id).unwrap();
        let (requester, accepter) = (&pcx.requester_vpc.value, &pcx.accepter_vpc.value);
        let peer = if *requester == sender.home.vpc.value { accepter } else { requester };
        let blocks = &spec.vpcs.iter().find(|v| v.id.value == *peer).unwrap().cidrs;
        if !blocks.iter().any(|block| covers(block.value, to)) {
            return Err(Reason::PeeringOutsideCidr);
        }
        let in_peer = |s: &&Subnet| s.vpc.value == *peer && covers(s.cidr.value, to);
        let there = spec.subnets.iter().find(in_peer).ok_or(Reason::NoInterface)?;
        self.cross(there, false, sender.address)?;
        self.deliver(sender, Some(there), Target::Peering(id.to_owned()))
    }

    /// Sends by a NAT gateway (spec 6, 13): in by its subnet's ACL, out by its subnet's own table
    /// and ACL; then 1:1 at the internet gateway, or on like any other sender of the VPC, with its
    /// private address.
    fn through_gateway(&self, eni: Sender<'a>, id: &str, stays: bool) -> Answer {
        let gateway = self.lab.spec.nat_gateways.iter().find(|n| n.id.value == id).unwrap();
        let own = self.subnet(&gateway.subnet.value);
        let to = self.ask.to;
        if !stays {
            self.cross(own, false, eni.address)?;
        }
        if gateway.state != NatGatewayState::Available {
            return Err(Reason::NatGatewayState);
        }
        if matches!(self.ask.protocol, Protocol::Other(_)) {
            return Err(Reason::NatProtocol);
        }
        let planned = self.lab.plan.nat_gateways[id].addresses[0];
        let (address, public, hides) = (planned.private, planned.public, Some(eni.address));
        let nat = Sender { home: own, address, port: self.ports.nat, public, hides, at: own };
        let (place, reply_dies) = if covers(own.cidr.value, to) {
            self.deliver(nat, None, Target::Local)?
        } else {
            self.beyond_the_gateway(nat, gateway.connectivity)?
        };
        let leaves = own.id.value != eni.home.id.value;
        let to_the_eni = || if leaves { self.reply_way(own, eni, &Target::Local) } else { None };
        Ok((place, reply_dies.or_else(to_the_eni)))
    }

    /// Returns the answer of the gateway's own side: the checks on the reply up to the gateway.
    fn beyond_the_gateway(&self, nat: Sender<'a>, connectivity: Connectivity) -> Answer {
        let to = self.ask.to;
        let first = self.route(nat.home);
        if let Some(next) = first.as_ref().and_then(|target| self.middlebox(target)) {
            return self.behind_the_gateways_middlebox(nat, connectivity, next.subnet);
        }
        let target = match first {
            None => return Err(Reason::NatNoRoute),
            Some(Target::NatGateway(next)) => {
                let next = self.lab.spec.nat_gateways.iter().find(|n| n.id.value == next).unwrap();
                return Err(match next.state {
                    NatGatewayState::Deleted => Reason::NatBlackhole,
                    _ => Reason::NatRoutesToNat,
                });
            }
            Some(Target::Blackhole(_)) => return Err(Reason::NatBlackhole),
            Some(target) => target,
        };
        self.cross(nat.home, true, to)?;
        match target {
            Target::Local => self.locally(nat),
            Target::VpcEndpoint(id) => self.through_endpoint(nat, id),
            Target::Peering(id) => self.through_peering(nat, &id),
            _ if connectivity == Connectivity::Private => Err(Reason::IgwPrivateNat),
            _ if is_rfc1918(to) => Err(Reason::IgwPrivateDestination),
            _ if is_rfc6598(to) => Err(Reason::IgwSharedDestination),
            _ if self.is_own_public(to) => Err(Reason::NatHairpin),
            _ => self.by_internet_gateway(nat),
        }
    }

    /// Delivers to a resource. `there` is the destination's subnet if it differs from the sender's;
    /// `back` is the target of the route that must lead from there to the sender.
    fn deliver(&self, sender: Sender<'a>, there: Option<&'a Subnet>, back: Target) -> Answer {
        let (spec, to) = (&self.lab.spec, self.ask.to);
        let vpc = &there.unwrap_or(sender.home).vpc.value;
        if self
            .lab
            .plan
            .enis
            .iter()
            .any(|e| e.address == to && self.subnet(&e.key.subnet).vpc.value == *vpc)
        {
            return Err(Reason::EniAddress);
        }
        let is_gateway = spec.nat_gateways.iter().any(|n| {
            let planned = self.lab.plan.nat_gateways.get(&n.id.value);
            planned.is_some_and(|p| p.addresses.iter().any(|own| own.private == to))
                && self.subnet(&n.subnet.value).vpc.value == *vpc
        });
        if is_gateway {
            return Err(Reason::NatAddress);
        }
        let groups = self.groups_at(vpc, to)?;
        let named = !sender.is_behind_a_middlebox();
        if let Err(no) = self.group_ingress(&groups, sender.address, named) {
            let lets_in = |address| self.group_ingress(&groups, address, true).is_ok();
            return Err(if sender.hides.is_some_and(lets_in) {
                Reason::SgIngressBehindNat
            } else if !named && lets_in(sender.address) {
                Reason::SgIngressBehindMiddlebox
            } else {
                no
            });
        }
        self.require_tcp(vpc, to)?;
        let reply_dies = there.and_then(|there| self.reply_way(there, sender, &back));
        Ok((DeliveredTo::Vpc(vpc.clone()), reply_dies))
    }

    /// Requires TCP at the interface of an endpoint (spec 7.2).
    fn require_tcp(&self, vpc: &str, address: Ipv4Addr) -> Result<(), Reason> {
        let here = |e: &VpcEndpoint| e.vpc.value == vpc && self.interfaces(e).contains(&address);
        let of_an_endpoint = self.lab.spec.vpc_endpoints.iter().any(here);
        if of_an_endpoint && self.ask.protocol != Protocol::Tcp {
            return Err(Reason::InterfaceEndpointProtocol);
        }
        Ok(())
    }

    /// Returns the groups of the resource, or of the endpoint's interface, that has an address.
    fn groups_at(&self, vpc: &str, address: Ipv4Addr) -> Result<Vec<String>, Reason> {
        let spec = &self.lab.spec;
        let here = |e: &&VpcEndpoint| e.vpc.value == vpc && self.interfaces(e).contains(&address);
        if let Some(endpoint) = spec.vpc_endpoints.iter().find(here) {
            return Ok(self.groups(endpoint.security_groups.iter().map(|g| &g.value), vpc));
        }
        let resource = spec
            .resources
            .iter()
            .find(|r| r.address.value == address && self.subnet(&r.subnet.value).vpc.value == vpc)
            .ok_or(Reason::NoInterface)?;
        Ok(self.groups(resource.security_groups.iter().map(|g| &g.value), vpc))
    }

    /// Returns the addresses of an interface endpoint.
    fn interfaces(&self, endpoint: &VpcEndpoint) -> Vec<Ipv4Addr> {
        let has_some = endpoint.kind == EndpointKind::Interface;
        let all = 0..if has_some { endpoint.subnets.len() } else { 0 };
        all.filter_map(|n| self.lab.plan.endpoint_address(endpoint, n)).collect()
    }

    /// Builds a boundary on the path of a reply to a sender.
    fn back_to<'s>(
        &self,
        subnet: &'s Subnet,
        leaving: bool,
        from: Ipv4Addr,
        to: Sender<'_>,
    ) -> Border<'s> {
        self.back(subnet, leaving, if leaving { to.address } else { from }, to.port)
    }

    // Groups (spec 4).

    fn group_egress(&self, groups: &[String], to: Ipv4Addr) -> Result<(), Reason> {
        let mut rules = 0;
        for id in groups {
            match self.lab.spec.security_groups.iter().find(|g| g.id.value == *id) {
                // The implied default group, and a group without egress rules: everything may
                // leave.
                None => return Ok(()),
                Some(group) => match &group.egress {
                    None => return Ok(()),
                    Some(list) => {
                        rules += list.len();
                        if list.iter().any(|r| self.rule_allows(&group.vpc.value, r, to, true)) {
                            return Ok(());
                        }
                    }
                },
            }
        }
        Err(if rules == 0 { Reason::SgEgressNoRules } else { Reason::SgEgressImplicitDeny })
    }

    /// Decides about groups for ingress. `named` is set if a reference to a group matches a sender
    /// (spec 3.7).
    fn group_ingress(&self, groups: &[String], from: Ipv4Addr, named: bool) -> Result<(), Reason> {
        let mut rules = 0;
        for id in groups {
            match self.lab.spec.security_groups.iter().find(|g| g.id.value == *id) {
                // The implied default group admits its own members.
                None => {
                    rules += 1;
                    if named && self.is_member(id, from) {
                        return Ok(());
                    }
                }
                Some(group) => {
                    rules += group.ingress.len();
                    let allows = |r| self.rule_allows(&group.vpc.value, r, from, named);
                    if group.ingress.iter().any(allows) {
                        return Ok(());
                    }
                }
            }
        }
        Err(if rules == 0 { Reason::SgIngressNoRules } else { Reason::SgIngressImplicitDeny })
    }

    /// Decides whether a rule allows the packet. `vpc` is that of the rule's own group.
    fn rule_allows(
        &self,
        vpc: &str,
        rule: &SecurityGroupRule,
        remote: Ipv4Addr,
        named: bool,
    ) -> bool {
        let peer = match &rule.peer.value {
            Peer::Cidr(network) => covers(*network, remote),
            Peer::SecurityGroup(id) => {
                named && self.may_name(vpc, id) && self.is_member(id, remote)
            }
            Peer::PrefixList(id) => {
                let list = self.lab.spec.prefix_lists.iter().find(|l| l.id.value == *id).unwrap();
                list.entries.iter().any(|e| covers(*e, remote))
            }
        };
        peer && matches(&rule.traffic, self.ask.protocol, self.ask.port, self.ask.icmp)
    }

    /// Decides whether a rule may name a group: of the same VPC, or across a peering connection
    /// that is active (spec 4.2).
    fn may_name(&self, vpc: &str, group: &str) -> bool {
        let spec = &self.lab.spec;
        let declared = spec.security_groups.iter().find(|g| g.id.value == group);
        // An implied group's id begins with its VPC's.
        let theirs =
            declared.map_or_else(|| group.replace("/default", ""), |g| g.vpc.value.clone());
        let joined = |p: &crate::config::spec::Peering| {
            let (a, b) = (&p.requester_vpc.value, &p.accepter_vpc.value);
            p.state == PeeringState::Active
                && ((*a == *vpc && *b == theirs) || (*b == *vpc && *a == theirs))
        };
        theirs == vpc || spec.peerings.iter().any(joined)
    }

    fn is_member(&self, group: &str, address: Ipv4Addr) -> bool {
        let enis = self.lab.plan.enis.iter();
        let eni = enis
            .filter(|e| e.address == address)
            .any(|e| e.key.security_groups.iter().any(|g| g == group));
        let resource = self.lab.spec.resources.iter().any(|r| {
            let vpc = &self.subnet(&r.subnet.value).vpc.value;
            let groups = self.groups(r.security_groups.iter().map(|g| &g.value), vpc);
            r.address.value == address && groups.iter().any(|g| g == group)
        });
        let endpoint = self.lab.spec.vpc_endpoints.iter().any(|e| {
            let groups = self.groups(e.security_groups.iter().map(|g| &g.value), &e.vpc.value);
            self.interfaces(e).contains(&address) && groups.iter().any(|g| g == group)
        });
        eni || resource || endpoint
    }

    /// Returns the named groups, sorted; the VPC's default group if none is named.
    fn groups(&self, named: impl Iterator<Item = &'a String>, vpc: &str) -> Vec<String> {
        let mut groups: Vec<String> = named.cloned().collect();
        if groups.is_empty() {
            let marked = self
                .lab
                .spec
                .security_groups
                .iter()
                .find(|g| g.vpc.value == vpc && g.default.as_ref().is_some_and(|d| d.value));
            groups.push(marked.map_or_else(|| format!("{vpc}/default"), |g| g.id.value.clone()));
        }
        groups.sort();
        groups.dedup();
        groups
    }

    // Routes (spec 3.2, 3.3).

    fn route(&self, subnet: &Subnet) -> Option<Target> {
        self.route_to(subnet, self.ask.to)
    }

    fn route_to(&self, subnet: &Subnet, to: Ipv4Addr) -> Option<Target> {
        let spec = &self.lab.spec;
        let vpc = spec.vpcs.iter().find(|v| v.id.value == subnet.vpc.value).unwrap();
        // Longest first; of equals a CIDR before a prefix list, of lists the lowest id.
        let mut best: Option<(u8, bool, std::cmp::Reverse<String>, Target)> = None;
        let mut offer = |network: Ipv4Network, list: Option<&String>, target: Target| {
            if !covers(network, to) {
                return;
            }
            let id = std::cmp::Reverse(list.cloned().unwrap_or_default());
            let rank = (network.prefix(), list.is_none(), id);
            let better = best.as_ref().is_none_or(|b| (b.0, b.1, &b.2) < (rank.0, rank.1, &rank.2));
            if better {
                best = Some((rank.0, rank.1, rank.2, target));
            }
        };
        for cidr in &vpc.cidrs {
            offer(cidr.value, None, Target::Local);
        }
        let table = match &subnet.route_table {
            Some(id) => spec.route_tables.iter().find(|t| t.id.value == id.value),
            None => spec.route_tables.iter().find(|t| match &vpc.main_route_table {
                Some(main) => t.id.value == main.value,
                None => t.vpc.value == vpc.id.value && t.main.as_ref().is_some_and(|m| m.value),
            }),
        };
        for route in table.map_or(&[][..], |t| &t.routes) {
            match &route.destination.value {
                Destination::Cidr(network) => offer(*network, None, route.target.value.clone()),
                Destination::PrefixList(id) => {
                    let list = spec.prefix_lists.iter().find(|l| l.id.value == *id).unwrap();
                    for entry in &list.entries {
                        offer(*entry, Some(id), route.target.value.clone());
                    }
                }
            }
        }
        let id = table.map(|t| &t.id.value);
        let serves = |e: &&VpcEndpoint| e.route_tables.iter().any(|t| Some(&t.value) == id);
        for endpoint in spec.vpc_endpoints.iter().filter(serves) {
            let id = &endpoint.prefix_list.as_ref().unwrap().value;
            let list = spec.prefix_lists.iter().find(|l| l.id.value == *id).unwrap();
            for entry in &list.entries {
                offer(*entry, Some(id), Target::VpcEndpoint(endpoint.id.value.clone()));
            }
        }
        best.map(|b| match b.3 {
            Target::Peering(id) if !self.is_active(&id) => Target::Blackhole(Some(id)),
            target => target,
        })
    }

    fn is_active(&self, peering: &str) -> bool {
        let found = self.lab.spec.peerings.iter().find(|p| p.id.value == peering).unwrap();
        found.state == PeeringState::Active
    }

    // ACLs (spec 5).

    /// Checks the ACL at a boundary that the request crosses on its path to `remote`, or from it.
    fn cross(&self, subnet: &Subnet, leaving: bool, remote: Ipv4Addr) -> Result<(), Reason> {
        let border = Border { subnet, leaving, remote, port: self.ask.port, icmp: self.ask.icmp };
        match (self.acl_says(&border), leaving) {
            (Some(AclAction::Allow), _) => Ok(()),
            (Some(AclAction::Deny), true) => Err(Reason::NaclEgressDeny),
            (Some(AclAction::Deny), false) => Err(Reason::NaclIngressDeny),
            (None, true) => Err(Reason::NaclEgressImplicitDeny),
            (None, false) => Err(Reason::NaclIngressImplicitDeny),
        }
    }

    /// Checks the ACL at a boundary on the reply's path: its destination port is a NAT's, an echo's
    /// answer is type 0.
    fn back<'s>(
        &self,
        subnet: &'s Subnet,
        leaving: bool,
        remote: Ipv4Addr,
        port: u16,
    ) -> Border<'s> {
        let ported = matches!(self.ask.protocol, Protocol::Tcp | Protocol::Udp);
        Border { subnet, leaving, remote, port: if ported { port } else { 0 }, icmp: (0, 0) }
    }

    fn reply_dies(&self, borders: &[Border<'_>]) -> Option<Reason> {
        borders.iter().find_map(|border| match self.acl_says(border) {
            Some(AclAction::Allow) => None,
            Some(AclAction::Deny) => Some(Reason::NaclReturnDeny),
            None => Some(Reason::NaclReturnImplicitDeny),
        })
    }

    /// Returns the action of the lowest number that matches; `None` is the `*`. A subnet without an
    /// ACL has one that allows everything.
    fn acl_says(&self, border: &Border<'_>) -> Option<AclAction> {
        let Some(id) = &border.subnet.network_acl else { return Some(AclAction::Allow) };
        let acl: &NetworkAcl =
            self.lab.spec.network_acls.iter().find(|a| a.id.value == id.value).unwrap();
        let rules: &[AclRule] = if border.leaving { &acl.egress } else { &acl.ingress };
        rules
            .iter()
            .filter(|r| covers(r.cidr, border.remote))
            .filter(|r| matches(&r.traffic, self.ask.protocol, border.port, border.icmp))
            .min_by_key(|r| r.number.value)
            .map(|r| r.action)
    }

    fn subnet(&self, id: &str) -> &'a Subnet {
        self.lab.spec.subnets.iter().find(|s| s.id.value == id).unwrap()
    }
}
