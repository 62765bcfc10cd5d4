//! The internet gateway: 1:1 between a private and a public address, and nothing for who has no public one (spec 3.6).

use super::walk::{Path, Sender, Walk};
use super::{Component, Denial, Detail, Link, Outcome, Reason, Recorder, Stage};
use crate::flow::Space;
use crate::packet::Tuple;
use crate::vpc::{RuleRef, Snapshot, VpcIx};
use std::net::Ipv4Addr;

/// The packet of an ENI without a public address comes straight to the internet gateway, and dies (surprise 1).
pub(super) fn refuse_private_source<R: Recorder>(
    walk: &mut Walk<'_, R>,
    vpc: VpcIx,
    destination: Ipv4Addr,
) -> Denial {
    let reason = refused_destination(destination).unwrap_or(Reason::IgwNoPublicAddress);
    walk.deny(Component::InternetGateway(vpc), reason, RuleRef::InternetGateway(vpc), Detail::None)
}

/// Out from an address that has a public one.
pub(super) fn leave<R: Recorder>(
    walk: &mut Walk<'_, R>,
    from: &Sender,
    public: Option<Ipv4Addr>,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    let outside = translate(walk, from.vpc, from.tuple, public)?;
    Ok(Path {
        outside,
        space: Space::INTERNET,
        link: Link::Internet,
        eni: None,
        nat: None,
        hop: None,
        admitted_by,
        reply_denied: None,
    })
}

/// A NAT gateway's address without a public one does not pass.
pub(super) fn require_public<R: Recorder>(
    walk: &mut Walk<'_, R>,
    vpc: VpcIx,
    own: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, Denial> {
    own.ok_or_else(|| {
        walk.deny(
            Component::InternetGateway(vpc),
            Reason::IgwPrivateNat,
            RuleRef::InternetGateway(vpc),
            Detail::None,
        )
    })
}

/// Private address to public one; the port stays.
fn translate<R: Recorder>(
    walk: &mut Walk<'_, R>,
    vpc: VpcIx,
    before: Tuple,
    public: Option<Ipv4Addr>,
) -> Result<Tuple, Denial> {
    let component = Component::InternetGateway(vpc);
    let destination = before.dst;
    let refused = refused_destination(destination)
        .or_else(|| is_own(walk.snapshot, destination).then_some(Reason::NatHairpin));
    if let Some(reason) = refused {
        return Err(walk.deny(component, reason, RuleRef::InternetGateway(vpc), Detail::None));
    }
    let after = Tuple { src: require_public(walk, vpc, public)?, ..before };
    walk.step_with(
        Stage::InternetGateway,
        component,
        Some(RuleRef::InternetGateway(vpc)),
        Outcome::Translate,
        Detail::Translated { before, after },
    );
    deliver(walk, Component::Internet);
    Ok(after)
}

/// Out to public addresses, by way of the internet or of a gateway endpoint, where the lab may have such a host or not.
pub(super) fn deliver<R: Recorder>(walk: &mut Walk<'_, R>, way: Component) {
    if !R::ON {
        return;
    }
    let destination = walk.probe.inside.dst;
    let known = walk.snapshot.parts().internet_hosts.iter().any(|h| h.address == destination);
    let detail = if known { Detail::None } else { Detail::NoSuchHost(destination) };
    walk.step_with(Stage::Deliver, way, None, Outcome::Deliver, detail);
}

/// RFC 1918 and RFC 6598 destinations do not pass an internet gateway.
pub(super) fn refused_destination(destination: Ipv4Addr) -> Option<Reason> {
    let [first, second, ..] = destination.octets();
    if destination.is_private() {
        Some(Reason::IgwPrivateDestination)
    } else if first == 100 && (64..128).contains(&second) {
        Some(Reason::IgwSharedDestination)
    } else {
        None
    }
}

/// Whether a public address is one of the lab's own.
pub(super) fn is_own(snapshot: &Snapshot, address: Ipv4Addr) -> bool {
    let parts = snapshot.parts();
    parts.apprunner_address == Some(address)
        || snapshot.nat_gateway_of(address).is_some()
        || snapshot.is_public_address_of_an_eni(address)
}
