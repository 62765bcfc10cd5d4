//! Middleboxes: the targets through which a packet is routed (spec 3.5, 3.7).
//!
//! egret runs no appliance. An appliance whose source/dest check is off forwards everything that
//! its groups let in and out, translates nothing and does not decrement the TTL; the fleet behind a
//! Gateway Load Balancer endpoint passes everything.

use super::security_group;
use crate::flow::Side;
use crate::pipeline::evaluation::{Evaluation, Transit};
use crate::pipeline::{Component, Denial, Outcome, Reason, Recorder, Stage};
use crate::vpc::path::Middlebox;
use crate::vpc::{Direction, ResourceIx, RuleRef, Snapshot};

/// Passes a packet: in by the groups, through the source/dest check, and out by the groups again.
pub(in crate::pipeline) fn pass<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
    middlebox: Middlebox,
    saw_request: bool,
) -> Result<(), Denial> {
    let tracked = transit.tracked || saw_request;
    let stage = match transit.side {
        Side::Egress => Stage::Middlebox,
        Side::Return => Stage::MiddleboxReturn,
    };
    match middlebox {
        Middlebox::Appliance(ix) => {
            security_group::appliance(evaluation, transit, (ix, Direction::Ingress), tracked)?;
            let (component, rule) =
                (Component::NetworkInterface(ix), RuleRef::NetworkInterface(ix));
            if checks_source_and_destination(evaluation.snapshot, ix) {
                evaluation.step(stage, component, Some(rule), Outcome::Drop);
                return Err(Denial { reason: Reason::SourceDestCheck, decided_by: rule });
            }
            evaluation.step(stage, component, Some(rule), Outcome::Pass);
            security_group::appliance(evaluation, transit, (ix, Direction::Egress), tracked)?;
        }
        Middlebox::Endpoint(ix) => {
            let component = Component::GatewayLoadBalancerEndpoint(ix);
            let rule = RuleRef::GatewayLoadBalancerEndpoint(ix);
            evaluation.step(stage, component, Some(rule), Outcome::Pass);
        }
    }
    transit.behind_middlebox = true;
    Ok(())
}

/// Decides whether an interface drops packets that are neither from its own address nor for it,
/// hence all that are routed through it.
fn checks_source_and_destination(snapshot: &Snapshot, ix: ResourceIx) -> bool {
    let interface = snapshot.resource(ix).network_interface.as_ref();
    interface.is_none_or(|interface| interface.source_dest_check)
}
