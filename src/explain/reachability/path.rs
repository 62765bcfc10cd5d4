//! Writes a packet's path in short: the gateways and middleboxes that it passes.

use super::super::names;
use crate::pipeline::{Evidence, Outcome, Stage};
use crate::vpc::Snapshot;

/// The path of a packet that passes none.
const LOCAL: &str = "local";

/// Lists the gateways, middleboxes and peering connections on a packet's path, in order; `local` if
/// there are none.
pub(super) fn path(evidence: &Evidence, snapshot: &Snapshot) -> Vec<String> {
    let mut hops: Vec<String> = Vec::new();
    for step in &evidence.steps {
        if is_hop(step.stage) {
            let name = names::component(step.component, snapshot);
            if hops.last() != Some(&name) {
                hops.push(name);
            }
        }
        if step.outcome == Outcome::Deliver {
            break;
        }
    }
    if hops.is_empty() { vec![LOCAL.to_owned()] } else { hops }
}

fn is_hop(stage: Stage) -> bool {
    match stage {
        Stage::AppRunner
        | Stage::NatGateway
        | Stage::InternetGateway
        | Stage::GatewayEndpoint
        | Stage::Middlebox
        | Stage::Peering => true,
        Stage::Parse
        | Stage::SourceCheck
        | Stage::FlowTable
        | Stage::ExemptAddress
        | Stage::Connector
        | Stage::SecurityGroupEgress
        | Stage::NetworkAclEgress
        | Stage::RouteTable
        | Stage::NetworkAclIngress
        | Stage::SecurityGroupIngress
        | Stage::PortLease
        | Stage::Deliver
        | Stage::NetworkAclReturn
        | Stage::RouteTableReturn
        | Stage::MiddleboxReturn => false,
    }
}
