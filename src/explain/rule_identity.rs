//! The identity of a rule apart from its number and its line, by which it is found again in another
//! configuration if nothing about it has changed.

use super::names::{self, DecidedBy};
use crate::vpc::{
    Direction, Interface, Parts, RuleRef, SecurityGroupIx, SecurityGroupRule, Snapshot, SubnetIx,
};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

/// The identity of a decider: kind, id and a hash of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleIdentity {
    kind: &'static str,
    id: String,
    configuration: u64,
    /// The security groups of an interface that denied together.
    groups: Option<(Direction, Vec<String>)>,
}

/// An index of a configuration's rules by their identities.
#[derive(Debug)]
pub struct RuleIndex<'a> {
    snapshot: &'a Snapshot,
    rules: HashMap<RuleIdentity, RuleRef>,
    groups: HashMap<&'a str, SecurityGroupIx>,
}

impl RuleIdentity {
    /// Returns the identity of a rule of this configuration, if it has the rule.
    pub fn of(rule: RuleRef, snapshot: &Snapshot) -> Option<Self> {
        match groups_of(rule, snapshot) {
            Some((direction, groups)) => of_groups(direction, groups, snapshot),
            None => Some(Self {
                configuration: hash(&configuration(rule, snapshot)?),
                ..Self::named(&names::decided_by(rule, snapshot))
            }),
        }
    }

    fn named(decided: &DecidedBy) -> Self {
        Self { kind: decided.kind, id: decided.id.clone(), configuration: 0, groups: None }
    }
}

impl<'a> RuleIndex<'a> {
    /// Indexes a configuration.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let rules = every_rule(snapshot.parts())
            .filter_map(|rule| Some((RuleIdentity::of(rule, snapshot)?, rule)))
            .collect();
        let groups = (0usize..).zip(&snapshot.parts().security_groups);
        let groups = groups.map(|(ix, group)| (group.id.as_str(), ix.into())).collect();
        Self { snapshot, rules, groups }
    }

    /// Returns a rule by name in this configuration; `None` if it is removed or has changed.
    pub fn find(&self, identity: &RuleIdentity) -> Option<DecidedBy> {
        let Some((direction, ids)) = &identity.groups else {
            let rule = self.rules.get(identity)?;
            return Some(names::decided_by(*rule, self.snapshot));
        };
        let groups = ids.iter().map(|id| self.groups.get(id.as_str()).copied());
        let groups: Vec<SecurityGroupIx> = groups.collect::<Option<_>>()?;
        let now = of_groups(*direction, &groups, self.snapshot)?;
        (now == *identity).then(|| names::no_rule(self.snapshot, *direction, Some(&groups)))
    }
}

/// Returns the groups of an interface that denied together.
fn groups_of(rule: RuleRef, snapshot: &Snapshot) -> Option<(Direction, &[SecurityGroupIx])> {
    let parts = snapshot.parts();
    match rule {
        RuleRef::EniSecurityGroups(eni, direction) => {
            Some((direction, &parts.enis.get(eni.get())?.security_groups))
        }
        RuleRef::ApplianceSecurityGroups(appliance, direction) => {
            Some((direction, &parts.resources.get(appliance.get())?.security_groups))
        }
        RuleRef::DestinationSecurityGroups(vpc, address) => {
            match snapshot.interface(vpc, address)? {
                Interface::Resource(resource) => {
                    let resource = parts.resources.get(resource.get())?;
                    Some((Direction::Ingress, &resource.security_groups))
                }
                Interface::Eni(_) | Interface::NatGateway(_) => None,
            }
        }
        RuleRef::Packet
        | RuleRef::SourceCheck
        | RuleRef::ExemptAddress
        | RuleRef::AppRunner
        | RuleRef::Internet
        | RuleRef::FlowTable
        | RuleRef::SecurityGroupRule(..)
        | RuleRef::NetworkAclRule(..)
        | RuleRef::NetworkAclImplicitDeny(..)
        | RuleRef::Route(..)
        | RuleRef::RouteTable(_)
        | RuleRef::NatGateway(_)
        | RuleRef::InternetGateway(_)
        | RuleRef::GatewayEndpoint(_)
        | RuleRef::NetworkInterface(_)
        | RuleRef::InterfaceEndpoint(_)
        | RuleRef::GatewayLoadBalancerEndpoint(_)
        | RuleRef::Peering(_)
        | RuleRef::Eni(_)
        | RuleRef::Vpc(_) => None,
    }
}

fn of_groups(
    direction: Direction,
    groups: &[SecurityGroupIx],
    snapshot: &Snapshot,
) -> Option<RuleIdentity> {
    let named = names::no_rule(snapshot, direction, Some(groups));
    let found = |ix: &SecurityGroupIx| snapshot.parts().security_groups.get(ix.get());
    let groups: Vec<_> = groups.iter().map(found).collect::<Option<_>>()?;
    let rules = groups.iter().map(|group| {
        group.rules(direction).iter().map(|rule| group_rule(rule, snapshot)).collect()
    });
    let rules: Vec<Vec<String>> = rules.collect();
    let ids = groups.iter().map(|group| group.id.clone()).collect();
    let groups = Some((direction, ids));
    Some(RuleIdentity { configuration: hash(&rules), groups, ..RuleIdentity::named(&named) })
}

fn group_rule(rule: &SecurityGroupRule, snapshot: &Snapshot) -> String {
    format!("{} {}", rule.traffic, names::peer(snapshot, rule.peer))
}

fn hash(configuration: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    configuration.hash(&mut hasher);
    hasher.finish()
}

/// Returns the configuration of a rule, without its position and lines; `None` if it does not
/// exist.
fn configuration(rule: RuleRef, snapshot: &Snapshot) -> Option<String> {
    let parts = snapshot.parts();
    let text = |rule| names::decided_by(rule, snapshot).to_string();
    Some(match rule {
        RuleRef::SecurityGroupRule(ix, direction, position) => {
            let rule = names::find_security_group_rule(snapshot, ix, direction, position)?;
            format!("{direction} {}", group_rule(rule, snapshot))
        }
        RuleRef::NetworkAclRule(ix, direction, position, _) => {
            parts.network_acls.get(ix.get())?.rules(direction).get(usize::from(position))?;
            text(rule)
        }
        RuleRef::NetworkAclImplicitDeny(ix, direction, _) => {
            let rules = parts.network_acls.get(ix.get())?.rules(direction);
            let of = |at| RuleRef::NetworkAclRule(ix, direction, at, SubnetIx(0));
            let rules: Vec<String> = positions(rules).map(|at| text(of(at))).collect();
            format!("{direction} {rules:?}")
        }
        RuleRef::Route(ix, position) => {
            parts.route_tables.get(ix.get())?.routes.get(usize::from(position))?;
            text(rule)
        }
        RuleRef::RouteTable(ix) => {
            let routes = positions(&parts.route_tables.get(ix.get())?.routes);
            format!("{:?}", routes.map(|at| text(RuleRef::Route(ix, at))).collect::<Vec<_>>())
        }
        RuleRef::Packet
        | RuleRef::SourceCheck
        | RuleRef::ExemptAddress
        | RuleRef::AppRunner
        | RuleRef::Internet
        | RuleRef::FlowTable
        | RuleRef::EniSecurityGroups(..)
        | RuleRef::DestinationSecurityGroups(..)
        | RuleRef::ApplianceSecurityGroups(..)
        | RuleRef::NatGateway(_)
        | RuleRef::InternetGateway(_)
        | RuleRef::GatewayEndpoint(_)
        | RuleRef::NetworkInterface(_)
        | RuleRef::InterfaceEndpoint(_)
        | RuleRef::GatewayLoadBalancerEndpoint(_)
        | RuleRef::Peering(_)
        | RuleRef::Eni(_)
        | RuleRef::Vpc(_) => object(rule, snapshot)?,
    })
}

/// Returns the configuration of an object that decided by itself.
fn object(rule: RuleRef, snapshot: &Snapshot) -> Option<String> {
    let parts = snapshot.parts();
    let vpc = |ix: crate::vpc::VpcIx| parts.vpcs.get(ix.get()).map(|vpc| vpc.id.as_str());
    let subnet = |ix| names::subnet_id(snapshot, ix);
    Some(match rule {
        RuleRef::NatGateway(ix) => {
            let nat = parts.nat_gateways.get(ix.get())?;
            let (kind, state, own) = (nat.connectivity, nat.state, &nat.addresses);
            format!("{} {kind:?} {state:?} {own:?}", subnet(nat.subnet))
        }
        RuleRef::InternetGateway(ix) | RuleRef::Vpc(ix) => vpc(ix)?.to_owned(),
        RuleRef::GatewayEndpoint(ix) => {
            let endpoint = parts.gateway_endpoints.get(ix.get())?;
            format!("{:?} {}", vpc(endpoint.vpc), endpoint.service)
        }
        RuleRef::GatewayLoadBalancerEndpoint(ix) => {
            let endpoint = parts.gateway_load_balancer_endpoints.get(ix.get())?;
            format!("{} {}", subnet(endpoint.subnet), endpoint.service)
        }
        RuleRef::Peering(ix) => {
            let peering = parts.peerings.get(ix.get())?;
            let ends = (vpc(peering.requester), vpc(peering.accepter));
            format!("{ends:?} {:?}", peering.state)
        }
        RuleRef::NetworkInterface(ix) => {
            let resource = parts.resources.get(ix.get())?;
            format!("{} {:?}", subnet(resource.subnet), resource.network_interface.as_ref()?)
        }
        RuleRef::InterfaceEndpoint(ix) => {
            let resource = parts.resources.get(ix.get())?;
            format!("{} {:?}", subnet(resource.subnet), resource.endpoint.as_ref()?)
        }
        RuleRef::Eni(ix) => parts.enis.get(ix.get())?.address.to_string(),
        RuleRef::DestinationSecurityGroups(vpc, address) => {
            match snapshot.interface(vpc, address)? {
                Interface::Eni(_) => format!("takes no requests at {address}"),
                Interface::NatGateway(ix) => object(RuleRef::NatGateway(ix), snapshot)?,
                Interface::Resource(_) => return None,
            }
        }
        RuleRef::EniSecurityGroups(..) | RuleRef::ApplianceSecurityGroups(..) => return None,
        RuleRef::SecurityGroupRule(..)
        | RuleRef::NetworkAclRule(..)
        | RuleRef::NetworkAclImplicitDeny(..)
        | RuleRef::Route(..)
        | RuleRef::RouteTable(_) => return None,
        RuleRef::Packet
        | RuleRef::SourceCheck
        | RuleRef::ExemptAddress
        | RuleRef::AppRunner
        | RuleRef::Internet
        | RuleRef::FlowTable => String::new(),
    })
}

fn positions<T>(rules: &[T]) -> impl Iterator<Item = u16> + use<T> {
    (0u16..).take(rules.len())
}

/// Lists the rules and objects of a configuration, except the groups of its interfaces.
fn every_rule(parts: &Parts) -> impl Iterator<Item = RuleRef> {
    let fixed = [
        RuleRef::Packet,
        RuleRef::SourceCheck,
        RuleRef::ExemptAddress,
        RuleRef::FlowTable,
        RuleRef::AppRunner,
        RuleRef::Internet,
    ];
    fixed
        .into_iter()
        .chain(group_rules(parts))
        .chain(acl_rules(parts))
        .chain(routes(parts))
        .chain(objects(parts))
}

const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];

fn group_rules(parts: &Parts) -> impl Iterator<Item = RuleRef> {
    (0usize..).zip(&parts.security_groups).flat_map(|(ix, group)| {
        DIRECTIONS.into_iter().flat_map(move |direction| {
            let rule = move |at| RuleRef::SecurityGroupRule(ix.into(), direction, at);
            positions(group.rules(direction)).map(rule)
        })
    })
}

fn acl_rules(parts: &Parts) -> impl Iterator<Item = RuleRef> {
    (0usize..).zip(&parts.network_acls).flat_map(|(ix, acl)| {
        DIRECTIONS.into_iter().flat_map(move |direction| {
            let on = SubnetIx(0);
            let rule = move |at| RuleRef::NetworkAclRule(ix.into(), direction, at, on);
            let implied = RuleRef::NetworkAclImplicitDeny(ix.into(), direction, on);
            positions(acl.rules(direction)).map(rule).chain([implied])
        })
    })
}

fn routes(parts: &Parts) -> impl Iterator<Item = RuleRef> {
    (0usize..).zip(&parts.route_tables).flat_map(|(ix, table)| {
        let route = move |at| RuleRef::Route(ix.into(), at);
        positions(&table.routes).map(route).chain([RuleRef::RouteTable(ix.into())])
    })
}

fn objects(parts: &Parts) -> impl Iterator<Item = RuleRef> {
    let all = |count: usize, rule: fn(usize) -> RuleRef| (0..count).map(rule);
    let vpc_of = |eni: &crate::vpc::Eni| parts.subnets.get(eni.subnet.get()).map(|s| s.vpc);
    let as_destinations = parts
        .enis
        .iter()
        .filter_map(move |eni| Some(RuleRef::DestinationSecurityGroups(vpc_of(eni)?, eni.address)));
    let gateway_load_balancer_endpoints = parts.gateway_load_balancer_endpoints.len();
    all(parts.nat_gateways.len(), |ix| RuleRef::NatGateway(ix.into()))
        .chain(all(parts.vpcs.len(), |ix| RuleRef::InternetGateway(ix.into())))
        .chain(all(parts.vpcs.len(), |ix| RuleRef::Vpc(ix.into())))
        .chain(all(parts.gateway_endpoints.len(), |ix| RuleRef::GatewayEndpoint(ix.into())))
        .chain(all(gateway_load_balancer_endpoints, |ix| {
            RuleRef::GatewayLoadBalancerEndpoint(ix.into())
        }))
        .chain(all(parts.peerings.len(), |ix| RuleRef::Peering(ix.into())))
        .chain(all(parts.resources.len(), |ix| RuleRef::NetworkInterface(ix.into())))
        .chain(all(parts.resources.len(), |ix| RuleRef::InterfaceEndpoint(ix.into())))
        .chain(all(parts.enis.len(), |ix| RuleRef::Eni(ix.into())))
        .chain(as_destinations)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::vpc::{EniIx, Generation, TrafficMatch};
    use std::collections::HashSet;

    /// Returns the parts with every line further down, and another group, table and gateway in
    /// front of the others.
    fn with_others_in_front() -> Parts {
        let mut parts = parts();
        let rule = SecurityGroupRule {
            traffic: TrafficMatch::ALL,
            ..parts.security_groups[SG_APP.get()].egress[0].clone()
        };
        parts.security_groups[SG_APP.get()].egress.insert(0, rule);
        parts.security_groups[SG_APP.get()].egress.iter_mut().for_each(|rule| rule.line += 10);
        parts.security_groups[SG_DB.get()].line += 10;
        parts
    }

    #[test]
    fn every_rule_of_a_configuration_is_found_in_it_again() {
        let snapshot = snapshot();
        let index = RuleIndex::new(&snapshot);
        let mut seen = HashSet::new();
        for rule in every_rule(snapshot.parts()) {
            let Some(identity) = RuleIdentity::of(rule, &snapshot) else { continue };
            let found = index.find(&identity);
            assert_eq!(found, Some(names::decided_by(rule, &snapshot)), "{rule:?}");
            seen.insert(std::mem::discriminant(&rule));
        }
        assert!(seen.len() >= 12, "{seen:?}");
        for rule in [
            RuleRef::EniSecurityGroups(ENI_A, Direction::Egress),
            RuleRef::DestinationSecurityGroups(VPC, ORDERS_DB_ADDRESS),
            RuleRef::DestinationSecurityGroups(VPC, ENI_ADDRESS),
        ] {
            let identity = RuleIdentity::of(rule, &snapshot);
            let found = identity.and_then(|identity| index.find(&identity));
            assert_eq!(found, Some(names::decided_by(rule, &snapshot)), "{rule:?}");
        }
    }

    #[test]
    fn a_rule_that_moves_is_found_at_its_new_number_and_line() {
        let (then, now) = (snapshot(), Snapshot::build(Generation(4), with_others_in_front()));
        let rule = RuleRef::SecurityGroupRule(SG_APP, Direction::Egress, 1);
        let (line, index) = (names::decided_by(rule, &then).line, RuleIndex::new(&now));
        let found = RuleIdentity::of(rule, &then).and_then(|identity| index.find(&identity));
        let found = found.map(|found| (found.to_string(), found.line));
        let text = "rule 3 of sg-app (tcp 443 to 0.0.0.0/0)".to_owned();
        assert_eq!(found, Some((text, line.map(|line| line + 10))));
    }

    #[test]
    fn an_implicit_deny_is_found_while_the_rules_of_its_groups_are_the_same() {
        let (then, now) = (snapshot(), Snapshot::build(Generation(4), with_others_in_front()));
        let index = RuleIndex::new(&now);
        let find = |rule| RuleIdentity::of(rule, &then).and_then(|identity| index.find(&identity));
        let found = find(RuleRef::DestinationSecurityGroups(VPC, ORDERS_DB_ADDRESS));
        assert_eq!(found.and_then(|found| found.line), Some(53), "only its line is another one");
        assert_eq!(
            find(RuleRef::EniSecurityGroups(ENI_A, Direction::Egress)),
            None,
            "it has a rule more"
        );
    }

    #[test]
    fn a_removed_rule_is_not_found_and_one_that_never_was_has_no_identity() {
        let then = snapshot();
        let mut parts = parts();
        parts.security_groups[SG_APP.get()].egress.clear();
        let now = Snapshot::build(Generation(4), parts);
        let rule = RuleRef::SecurityGroupRule(SG_APP, Direction::Egress, 1);
        let identity = RuleIdentity::of(rule, &then);
        assert!(identity.is_some());
        assert_eq!(identity.and_then(|identity| RuleIndex::new(&now).find(&identity)), None);
        assert_eq!(RuleIdentity::of(rule, &now), None);
        assert_eq!(
            RuleIdentity::of(RuleRef::EniSecurityGroups(EniIx(999), Direction::Egress), &now),
            None
        );
    }
}
