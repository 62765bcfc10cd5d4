//! Groups the reasons for drops by the finding about them.

use crate::pipeline::Reason;

/// Decides whether a gateway or an endpoint drops the packets because it does not support their
/// protocol: that is no fault of the lab.
pub(super) const fn is_of_protocol(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NatProtocol | Reason::EndpointProtocol | Reason::InterfaceEndpointProtocol
    )
}

/// Decides whether routes, or their targets, drop the packets: these have findings of their own.
pub(super) const fn is_of_routes(reason: Reason) -> bool {
    matches!(reason, Reason::NoRoute) || is_found_elsewhere(reason)
}

/// Decides whether another finding is about the drop of these packets: public-subnet-in-connector,
/// route-to-nothing or nat-gateway-without-way-out.
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
