//! The VPCs of the lab: those of the connectors, and those that are peered with them. No packet of
//! a service reaches another.

use super::super::{Account, Findings, NetworkInterface, Subnet, Vpc};
use std::collections::{BTreeMap, BTreeSet};

/// The VPCs of the lab, with objects by their ids.
#[derive(Debug)]
pub(super) struct LabVpcs<'a> {
    vpcs: BTreeSet<&'a str>,
    subnets: BTreeMap<&'a str, &'a Subnet>,
    groups: BTreeMap<&'a str, &'a str>,
    peered: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> LabVpcs<'a> {
    pub(super) fn of(account: &'a Account, findings: &mut Findings) -> Self {
        let subnets: BTreeMap<&str, &Subnet> =
            account.subnets.iter().map(|subnet| (subnet.id.as_str(), subnet)).collect();
        let known: BTreeSet<&str> = account.vpcs.iter().map(|vpc| vpc.id.as_str()).collect();
        let named = account.vpc_connectors.iter().flat_map(|connector| &connector.subnets);
        let named = named.filter_map(|id| Some(subnets.get(id.as_str())?.vpc.as_str()));
        let own: BTreeSet<&str> = named.filter(|vpc| known.contains(vpc)).collect();
        let mut vpcs = own.clone();
        let mut peered = BTreeSet::new();
        for peering in &account.peering_connections {
            let ends = (peering.requester_vpc.as_str(), peering.accepter_vpc.as_str());
            let both = known.contains(ends.0) && known.contains(ends.1);
            if both && (own.contains(ends.0) || own.contains(ends.1)) {
                vpcs.extend([ends.0, ends.1]);
                peered.extend([ends, (ends.1, ends.0)]);
            }
        }
        let groups = account.security_groups.iter();
        let groups = groups.map(|group| (group.id.as_str(), group.vpc.as_str())).collect();
        let scope = Self { vpcs, subnets, groups, peered };
        for vpc in account.vpcs.iter().filter(|vpc| !scope.has(&vpc.id)) {
            scope.leave_out(account, vpc, findings);
        }
        scope
    }

    fn leave_out(&self, account: &Account, vpc: &Vpc, findings: &mut Findings) {
        let subnets = self.subnets.values().filter(|subnet| subnet.vpc == vpc.id).count();
        let of_vpc = |id: &str| self.subnets.get(id).is_some_and(|subnet| subnet.vpc == vpc.id);
        let mut interfaces = account.network_interfaces.iter().filter(|own| of_vpc(&own.subnet));
        let reached = match interfaces.any(NetworkInterface::has_public_address) {
            false => "no packet of a service gets there",
            true => {
                "packets of services get there by public addresses, which the lab does not have"
            }
        };
        findings.left_out(
            format!("VPC {}", vpc.id),
            &vpc.origin,
            format!("with its {subnets} subnets and the objects in them"),
            format!("it has no connector, and is not peered with a VPC that has one: {reached}"),
        );
    }

    /// Decides whether the lab has a VPC.
    pub(super) fn has(&self, vpc: &str) -> bool {
        self.vpcs.contains(vpc)
    }

    /// Returns a subnet of the source.
    pub(super) fn subnet(&self, id: &str) -> Option<&'a Subnet> {
        self.subnets.get(id).copied()
    }

    /// Lists the subnets of the source.
    pub(super) fn subnets(&self) -> impl Iterator<Item = &'a Subnet> {
        self.subnets.values().copied()
    }

    /// Returns the VPC of a security group of the source.
    pub(super) fn vpc_of_group(&self, group: &str) -> Option<&'a str> {
        self.groups.get(group).copied()
    }

    /// Decides whether a rule in one VPC may name a group of the other (spec 4.2).
    pub(super) fn sees(&self, vpc: &str, other: &str) -> bool {
        vpc == other || (self.has(vpc) && self.peered.contains(&(vpc, other)))
    }
}
