//! Decides which flows an interface tracks (spec 4.4). A tracked flow continues without the rules
//! that admitted it. An untracked flow needs them for every packet, in both directions.

use super::evaluation::Transit;
use crate::packet::Protocol;
use crate::vpc::path::{Hop, Hops, Middlebox};
use crate::vpc::{EniIx, ServiceKind, Snapshot};

/// Decides whether an ENI does not track a flow that its groups admit: TCP or UDP that their rules
/// allow for every address, with replies that they allow for every address. `request` is as the
/// task has sent it.
pub(super) fn is_untracked(snapshot: &Snapshot, ix: EniIx, request: &Transit, hops: &Hops) -> bool {
    let eni = snapshot.eni(ix);
    let protocol = request.tuple.protocol;
    // A Hyperplane ENI tracks everything.
    eni.kind == ServiceKind::Fargate
        && matches!(protocol, Protocol::Tcp | Protocol::Udp)
        && eni.egress().allows_with_everybody(request.traffic())
        && eni.ingress().allows_all_with_everybody(protocol)
        && !hops.as_slice().iter().any(|hop| tracks(snapshot, *hop))
}

/// Decides whether a flow over a hop is tracked whatever the rules.
fn tracks(snapshot: &Snapshot, hop: Hop) -> bool {
    match hop {
        // A network firewall is behind such an endpoint.
        Hop::NatGateway(_) | Hop::Middlebox { middlebox: Middlebox::Endpoint(_), .. } => true,
        Hop::GatewayEndpoint(ix) => {
            snapshot.gateway_endpoint(ix).service.rsplit('.').next() == Some("dynamodb")
        }
        Hop::Resource(_, ix) => snapshot.resource(ix).endpoint.is_some(),
        Hop::NetworkAcl { .. }
        | Hop::RouteTable { .. }
        | Hop::Middlebox { middlebox: Middlebox::Appliance(_), .. }
        | Hop::AppRunner
        | Hop::InternetGateway(_)
        | Hop::PublicEndpoint(_)
        | Hop::Peering(_)
        | Hop::Internet
        | Hop::EndpointService(_) => false,
    }
}
