//! Finds objects that no rule tells apart: one of them stands for all, so that packets that differ
//! in nothing else are one class.

use super::map::HashMap;
use crate::pipeline::Denial;
use crate::vpc::path::{DeadEnd, Hop, Hops};
use crate::vpc::{EniIx, ResourceIx, RuleRef, Snapshot, SubnetIx};
use std::hash::Hash;

/// Names one group or interface for all that decide in the same way, by position.
pub(super) struct Sameness<'a> {
    snapshot: &'a Snapshot,
    subnets: Vec<usize>,
    resources: Vec<usize>,
    groups: Vec<usize>,
    enis: Vec<usize>,
}

/// A list of hops in which the first equivalent one stands for each object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Likeness {
    hops: Vec<Hop>,
    dead_end: Option<DeadEnd>,
}

impl<'a> Sameness<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let parts = snapshot.parts();
        let subnets = first_of_each(
            parts.subnets.iter().map(|subnet| (subnet.vpc, subnet.route_table, subnet.network_acl)),
        );
        let subnet = |ix: SubnetIx| subnets.get(ix.get()).copied();
        let resources = first_of_each(parts.resources.iter().map(|resource| {
            let checks = resource.network_interface.as_ref().map(|own| own.source_dest_check);
            let situation = (subnet(resource.subnet), resource.endpoint.is_some(), checks);
            (&resource.security_groups, situation)
        }));
        let groups = first_of_each(parts.resources.iter().map(|resource| {
            let vpc = parts.subnets.get(resource.subnet.get()).map(|subnet| subnet.vpc);
            (&resource.security_groups, vpc)
        }));
        let enis = first_of_each(parts.enis.iter().map(|eni| &eni.security_groups));
        Self { snapshot, subnets, resources, groups, enis }
    }

    fn subnet(&self, ix: SubnetIx) -> SubnetIx {
        self.subnets.get(ix.get()).map_or(ix, |first| (*first).into())
    }

    fn resource(&self, ix: ResourceIx) -> ResourceIx {
        self.resources.get(ix.get()).map_or(ix, |first| (*first).into())
    }

    /// Returns the first resource of a VPC with the same groups.
    pub(super) fn by_groups(&self, ix: ResourceIx) -> ResourceIx {
        self.groups.get(ix.get()).map_or(ix, |first| (*first).into())
    }

    /// Returns the first ENI with the same groups.
    pub(super) fn eni(&self, ix: EniIx) -> EniIx {
        self.enis.get(ix.get()).map_or(ix, |first| (*first).into())
    }

    /// Returns the common form of lists of hops whose packets no rule tells apart. Routes to one
    /// target are equivalent.
    pub(super) fn likeness(&self, hops: &Hops) -> Likeness {
        Likeness {
            hops: hops.as_slice().iter().map(|hop| self.hop(*hop)).collect(),
            dead_end: hops.dead_end.map(|dead_end| self.dead_end(dead_end)),
        }
    }

    fn hop(&self, hop: Hop) -> Hop {
        match hop {
            Hop::NetworkAcl { subnet, direction, crossed } => {
                Hop::NetworkAcl { subnet: self.subnet(subnet), direction, crossed }
            }
            Hop::RouteTable { subnet, route } => {
                let table = RuleRef::RouteTable(self.snapshot.subnet(subnet).route_table);
                Hop::RouteTable { subnet: self.subnet(subnet), route: route.map(|_| table) }
            }
            Hop::Resource(vpc, ix) => Hop::Resource(vpc, self.resource(ix)),
            Hop::Middlebox { .. }
            | Hop::NatGateway(_)
            | Hop::AppRunner
            | Hop::InternetGateway(_)
            | Hop::PublicEndpoint(_)
            | Hop::GatewayEndpoint(_)
            | Hop::Peering(_)
            | Hop::Internet
            | Hop::EndpointService(_) => hop,
        }
    }

    fn dead_end(&self, dead_end: DeadEnd) -> DeadEnd {
        match dead_end {
            DeadEnd::NoRoute(at) => DeadEnd::NoRoute(self.subnet(at)),
            DeadEnd::Blackhole(at, route) => DeadEnd::Blackhole(self.subnet(at), route),
            DeadEnd::Loop(at, route) => DeadEnd::Loop(self.subnet(at), route),
            DeadEnd::NotRoutedBack(at, route) => DeadEnd::NotRoutedBack(self.subnet(at), route),
            DeadEnd::NatNoRoute(_)
            | DeadEnd::NatBlackhole(..)
            | DeadEnd::NatLoop(..)
            | DeadEnd::NatToNat(..)
            | DeadEnd::OutsidePeer(_)
            | DeadEnd::NoInterface(_)
            | DeadEnd::EniAddress(_)
            | DeadEnd::NatAddress(_) => dead_end,
        }
    }

    /// Returns the common form of denials that the same rules decide.
    pub(super) fn denial(&self, denial: Denial) -> Denial {
        let decided_by = match denial.decided_by {
            RuleRef::EniSecurityGroups(ix, direction) => {
                RuleRef::EniSecurityGroups(self.eni(ix), direction)
            }
            RuleRef::NetworkAclRule(acl, direction, position, subnet) => {
                RuleRef::NetworkAclRule(acl, direction, position, self.subnet(subnet))
            }
            RuleRef::NetworkAclImplicitDeny(acl, direction, subnet) => {
                RuleRef::NetworkAclImplicitDeny(acl, direction, self.subnet(subnet))
            }
            RuleRef::DestinationSecurityGroups(vpc, address) => {
                match self.snapshot.interface(vpc, address) {
                    Some(crate::vpc::Interface::Resource(ix)) => {
                        let first = self.snapshot.resource(self.by_groups(ix)).address;
                        RuleRef::DestinationSecurityGroups(vpc, first)
                    }
                    Some(_) | None => denial.decided_by,
                }
            }
            RuleRef::InterfaceEndpoint(ix) => RuleRef::InterfaceEndpoint(self.by_groups(ix)),
            RuleRef::Packet
            | RuleRef::SourceCheck
            | RuleRef::ExemptAddress
            | RuleRef::SecurityGroupRule(..)
            | RuleRef::ApplianceSecurityGroups(..)
            | RuleRef::Route(..)
            | RuleRef::RouteTable(_)
            | RuleRef::NatGateway(_)
            | RuleRef::InternetGateway(_)
            | RuleRef::GatewayEndpoint(_)
            | RuleRef::NetworkInterface(_)
            | RuleRef::GatewayLoadBalancerEndpoint(_)
            | RuleRef::Peering(_)
            | RuleRef::Eni(_)
            | RuleRef::AppRunner
            | RuleRef::Vpc(_)
            | RuleRef::Internet
            | RuleRef::FlowTable => denial.decided_by,
        };
        Denial { decided_by, ..denial }
    }
}

/// Finds, for each position, the first one with the same key.
fn first_of_each<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> Vec<usize> {
    let mut first = HashMap::default();
    keys.enumerate().map(|(position, key)| *first.entry(key).or_insert(position)).collect()
}
