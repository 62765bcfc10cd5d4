//! The internet gateway: 1:1 between a private and a public address, and nothing for a source
//! without one (spec 3.6).

use crate::packet::Tuple;
use crate::pipeline::evaluation::{Evaluation, Transit};
use crate::pipeline::{Component, Denial, Reason, Recorder, Stage};
use crate::vpc::{ResourceIx, RuleRef, Snapshot, VpcIx};
use std::net::Ipv4Addr;

/// Maps the private source to its public address; the port stays.
pub(in crate::pipeline) fn pass<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
    vpc: VpcIx,
) -> Result<(), Denial> {
    let (component, rule) = (Component::InternetGateway(vpc), RuleRef::InternetGateway(vpc));
    let public = match mapping(evaluation.snapshot, transit) {
        Ok(public) => public,
        Err(reason) => return Err(evaluation.deny(component, reason, rule)),
    };
    let after = Tuple { src: public, ..transit.tuple };
    evaluation.translated(Stage::InternetGateway, component, rule, (transit.tuple, after));
    transit.tuple = after;
    // Outside, nothing knows the sender by its private address, or the middleboxes that it has
    // passed.
    (transit.member, transit.behind_middlebox) = (Ipv4Addr::UNSPECIFIED, false);
    Ok(())
}

/// Maps the public destination to the private address of a resource; the port stays.
pub(in crate::pipeline) fn enter<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
    ix: ResourceIx,
) {
    let vpc = evaluation.snapshot.vpc_of_resource(ix);
    let (component, rule) = (Component::InternetGateway(vpc), RuleRef::InternetGateway(vpc));
    let after = Tuple { dst: evaluation.snapshot.resource(ix).address, ..transit.tuple };
    evaluation.translated(Stage::InternetGateway, component, rule, (transit.tuple, after));
    transit.tuple = after;
}

/// Returns the public address of the source, or the reason why the packet does not pass. An ENI
/// without one never does (surprise 1).
fn mapping(snapshot: &Snapshot, transit: &Transit) -> Result<Ipv4Addr, Reason> {
    let destination = transit.tuple.dst;
    if transit.public.is_none() && transit.nat.is_some() {
        return Err(Reason::IgwPrivateNat);
    }
    if let Some(reason) = refused_destination(destination) {
        return Err(reason);
    }
    match transit.public {
        None => Err(Reason::IgwNoPublicAddress),
        Some(_) if is_own(snapshot, destination) => Err(Reason::NatHairpin),
        Some(public) => Ok(public),
    }
}

/// Returns the reason why a destination does not pass an internet gateway: RFC 1918 or RFC 6598;
/// `None` for any other.
pub(in crate::pipeline) fn refused_destination(destination: Ipv4Addr) -> Option<Reason> {
    let [first, second, ..] = destination.octets();
    if destination.is_private() {
        Some(Reason::IgwPrivateDestination)
    } else if first == 100 && (64..128).contains(&second) {
        Some(Reason::IgwSharedDestination)
    } else {
        None
    }
}

/// Decides whether a public address is one of the lab's own.
pub(in crate::pipeline) fn is_own(snapshot: &Snapshot, address: Ipv4Addr) -> bool {
    let parts = snapshot.parts();
    parts.apprunner_address == Some(address)
        || snapshot.nat_gateway_of(address).is_some()
        || snapshot.is_public_address_of_an_eni(address)
}
