//! `egress = "default"`: out by App Runner's own public address, and into no VPC (spec 2.2).

use super::internet_gateway;
use crate::packet::Tuple;
use crate::pipeline::evaluation::{Evaluation, PassedNat, Transit};
use crate::pipeline::{Component, Denial, Reason, Recorder, Stage};
use crate::vpc::RuleRef;
use std::net::Ipv4Addr;

/// Translates the source to App Runner's own address and a port of it.
pub(in crate::pipeline) fn translate<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
) -> Result<(), Denial> {
    let (component, own) = (Component::AppRunner, RuleRef::AppRunner);
    let (snapshot, inside) = (evaluation.snapshot, evaluation.probe.inside);
    let destination = inside.dst();
    let private =
        destination.is_link_local() || internet_gateway::refused_destination(destination).is_some();
    let address = match snapshot.parts().apprunner_address {
        Some(address) if !private => address,
        Some(_) | None => {
            return Err(evaluation.deny(component, Reason::AppRunnerPrivateDestination, own));
        }
    };
    if internet_gateway::is_own(snapshot, destination) {
        return Err(evaluation.deny(component, Reason::NatHairpin, own));
    }
    let Ok(grant) = evaluation.leases.app_runner(snapshot, address, inside) else {
        return Err(evaluation.deny(component, Reason::NatPortsExhausted, own));
    };
    let after = Tuple { src: address, sport: grant.port(), ..transit.tuple };
    evaluation.translated(Stage::AppRunner, component, own, (transit.tuple, after));
    transit.tuple = after;
    transit.member = Ipv4Addr::UNSPECIFIED;
    transit.nat = Some(PassedNat { gateway: None, address, grant });
    Ok(())
}
