//! A NAT gateway: its state, the protocols that it supports, and the translation of the source to
//! its own address (spec 6, 13).

use crate::flow::Space;
use crate::packet::{Protocol, Tuple};
use crate::pipeline::evaluation::{Evaluation, PassedNat, Transit};
use crate::pipeline::leases::Grant;
use crate::pipeline::{Component, Denial, Reason, Recorder, Stage};
use crate::vpc::path::Hops;
use crate::vpc::{NatGatewayIx, NatGatewayState, RuleRef};
use std::net::Ipv4Addr;

/// Admits a packet and translates it. `beyond` is the path from the gateway's own subnet: toward
/// the internet, ports are those of the public address.
pub(in crate::pipeline) fn pass<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
    ix: NatGatewayIx,
    beyond: &Hops,
) -> Result<(), Denial> {
    let reason = if evaluation.snapshot.nat_gateway(ix).state != NatGatewayState::Available {
        Some(Reason::NatGatewayState)
    } else if let Protocol::Other(_) = evaluation.probe.inside.protocol() {
        Some(Reason::NatProtocol)
    } else if evaluation.probe.fragment && drops_fragments_of(evaluation.probe.inside.protocol()) {
        Some(Reason::NatFragment)
    } else if evaluation.probe.last_hop {
        Some(Reason::TtlExpired)
    } else {
        None
    };
    if reason == Some(Reason::TtlExpired) {
        let address = evaluation.leases.nat_gateway_address(evaluation.snapshot, ix);
        evaluation.expired_at = Some((ix, address));
    }
    match reason {
        Some(reason) => Err(refuse(evaluation, ix, (reason, RuleRef::NatGateway(ix)))),
        None => translate(evaluation, transit, ix, beyond),
    }
}

/// Translates the source to one of the gateway's private addresses and a port of its own; the
/// destination stays (spec 6).
fn translate<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
    ix: NatGatewayIx,
    beyond: &Hops,
) -> Result<(), Denial> {
    let (snapshot, inside) = (evaluation.snapshot, evaluation.probe.inside);
    let gateway = snapshot.nat_gateway(ix);
    let (public, internet) = (gateway.public_address().is_some(), beyond.pass_internet_gateway());
    let toward = if public && internet {
        Space::INTERNET
    } else {
        snapshot.space(snapshot.subnet(gateway.subnet).vpc)
    };
    // A packet that cannot pass takes no port.
    let futile = beyond.dead_end.is_some() || internet && !public;
    let granted = match futile {
        true => evaluation.leases.looking().nat_gateway(snapshot, ix, toward, inside),
        false => evaluation.leases.nat_gateway(snapshot, ix, toward, inside),
    };
    let (own, grant) = match granted {
        Ok(granted) => granted,
        Err(_exhausted) if futile => return Ok(()),
        Err(_exhausted) => {
            let decided = (Reason::NatPortsExhausted, RuleRef::NatGateway(ix));
            return Err(refuse(evaluation, ix, decided));
        }
    };
    let after = Tuple { src: own.private, sport: grant.port(), ..transit.tuple };
    let tuples = (transit.tuple, after);
    let component = Component::NatGateway(ix);
    // A flow that has no port here leaves by another gateway now.
    if !matches!(grant, Grant::Kept(None)) {
        evaluation.translated(Stage::NatGateway, component, RuleRef::NatGateway(ix), tuples);
    }
    transit.tuple = after;
    transit.member = Ipv4Addr::UNSPECIFIED;
    transit.public = own.public;
    transit.behind_middlebox = false;
    transit.nat = Some(PassedNat { gateway: Some(ix), address: own.private, grant });
    Ok(())
}

/// Denies a packet at the gateway.
pub(in crate::pipeline) fn refuse<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    ix: NatGatewayIx,
    (reason, decided_by): (Reason, RuleRef),
) -> Denial {
    evaluation.deny(Component::NatGateway(ix), reason, decided_by)
}

/// Decides whether a NAT gateway drops the fragments of a protocol (spec 6).
pub(in crate::pipeline) const fn drops_fragments_of(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Icmp)
}
