//! Lists the changes that may remove a denial, in the order in which they are tried.

use super::change::Change;
use super::failing::Failing;
use super::{endpoints, groups, network_acls, routes};
use crate::pipeline::Reason;
use crate::vpc::RuleRef;

/// Lists changes; none if a person must decide.
pub(super) fn candidates(failing: &Failing<'_>) -> Vec<Change> {
    match failing.decided_by {
        RuleRef::EniSecurityGroups(..) => {
            let endpoints = endpoints::missing_interface(failing);
            endpoints.into_iter().chain(groups::of_eni(failing)).collect()
        }
        RuleRef::DestinationSecurityGroups(vpc, address) => {
            groups::of_destination(failing, (vpc, address))
        }
        RuleRef::NetworkAclRule(acl, direction, position, _) => {
            network_acls::of_acl(failing, acl, direction, Some(position))
        }
        RuleRef::NetworkAclImplicitDeny(acl, direction, _) => {
            network_acls::of_acl(failing, acl, direction, None)
        }
        RuleRef::RouteTable(table) => routes::missing(failing, table),
        RuleRef::Route(table, position) => routes::wrong(failing, table, position),
        RuleRef::InternetGateway(_) => match public_addresses(failing) {
            Some(change) => vec![change],
            None => routes::last_followed(failing),
        },
        RuleRef::NatGateway(gateway) if failing.reason == Reason::NatGatewayState => {
            routes::around(failing, gateway)
        }
        RuleRef::ApplianceSecurityGroups(appliance, direction) => {
            groups::of_appliance(failing, appliance, direction)
        }
        RuleRef::NetworkInterface(appliance) => vec![Change::SourceDestCheckOff { appliance }],
        RuleRef::Packet
        | RuleRef::SourceCheck
        | RuleRef::ExemptAddress
        | RuleRef::SecurityGroupRule(..)
        | RuleRef::NatGateway(_)
        | RuleRef::GatewayEndpoint(_)
        | RuleRef::InterfaceEndpoint(_)
        | RuleRef::GatewayLoadBalancerEndpoint(_)
        | RuleRef::Peering(_)
        | RuleRef::Eni(_)
        | RuleRef::AppRunner
        | RuleRef::Vpc(_)
        | RuleRef::Internet
        | RuleRef::FlowTable => Vec::new(),
    }
}

/// Returns the change for a task's own ENI whose packets an internet gateway drops because it has
/// no public address.
fn public_addresses(failing: &Failing<'_>) -> Option<Change> {
    let task = failing.eni().filter(|_| failing.reason == Reason::IgwNoPublicAddress)?.task?;
    Some(Change::PublicAddresses { connector: task.connector })
}
