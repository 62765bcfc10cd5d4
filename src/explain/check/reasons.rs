//! Reasons for drops, by which finding is about them.

use crate::pipeline::Reason;

/// Decides whether a gateway or an endpoint drops the packets for what it carries of protocols: that is no doubt about a lab.
pub(super) const fn is_of_protocol(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NatProtocol | Reason::EndpointProtocol | Reason::InterfaceEndpointProtocol
    )
}

/// Decides whether routes, or what they lead to, drop the packets: that has findings of its own.
pub(super) const fn is_of_routes(reason: Reason) -> bool {
    matches!(reason, Reason::NoRoute) || is_found_elsewhere(reason)
}

/// Decides whether another finding is about what drops these packets: public-subnet-in-connector, route-to-nothing or
/// nat-gateway-without-way-out.
pub(super) const fn is_found_elsewhere(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::IgwNoPublicAddress
            | Reason::IgwPrivateNat
            | Reason::RouteBlackhole
            | Reason::NatGatewayState
            | Reason::NatNoRoute
            | Reason::NatBlackhole
            | Reason::NatRoutesToNat
            | Reason::MiddleboxLoop
            | Reason::SourceDestCheck
            | Reason::PeeringOutsideCidr
    )
}
