//! The end of a request: an interface with its own groups, the internet, or the service behind a
//! gateway endpoint.

use super::security_group;
use crate::packet::Protocol;
use crate::pipeline::evaluation::{Evaluation, Transit};
use crate::pipeline::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, Step};
use crate::vpc::{EniIx, NatGatewayIx, ResourceIx, RuleRef, VpcIx};

/// Delivers to the interface of a resource, if its groups admit the packet.
pub(in crate::pipeline) fn resource<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    (vpc, ix): (VpcIx, ResourceIx),
) -> Result<(), Denial> {
    security_group::ingress(evaluation, transit, (vpc, ix))?;
    require_tcp(evaluation, ix)?;
    evaluation.step(Stage::Deliver, Component::Resource(ix), None, Outcome::Deliver);
    Ok(())
}

/// Requires TCP at an interface endpoint (spec 7.2).
fn require_tcp<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    ix: ResourceIx,
) -> Result<(), Denial> {
    let is_endpoint = evaluation.snapshot.resource(ix).endpoint.is_some();
    if !is_endpoint || evaluation.probe.inside.protocol() == Protocol::Tcp {
        return Ok(());
    }
    let (component, rule) = (Component::Resource(ix), RuleRef::InterfaceEndpoint(ix));
    Err(evaluation.deny(component, Reason::InterfaceEndpointProtocol, rule))
}

/// Delivers to a public address, on the internet or behind a gateway endpoint.
///
/// A live packet for a host that the lab does not have is dropped here, so that it is not lost
/// without a record. Like all first packets that are not sent on it leaves neither flow nor port,
/// whereas AWS's NATs hold a port until the attempt times out. A verdict about the configuration
/// records this and passes: the VPC lets such packets out.
pub(in crate::pipeline) fn public<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    component: Component,
) -> Result<(), Denial> {
    let destination = evaluation.destination();
    let mut detail = Detail::None;
    if !evaluation.snapshot.has_internet_host(destination) {
        detail = Detail::NoSuchHost(destination);
        if evaluation.leases.is_live() {
            let reason = Reason::NoSuchInternetHost;
            return Err(evaluation.deny_with(component, reason, RuleRef::Internet, detail));
        }
    }
    let (stage, rule, outcome) = (Stage::Deliver, None, Outcome::Deliver);
    evaluation.record(Step { stage, component, rule, outcome, detail });
    Ok(())
}

/// Denies a packet to an address of a VPC that no interface has.
pub(in crate::pipeline) fn no_interface<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    vpc: VpcIx,
) -> Denial {
    evaluation.deny(Component::Vpc(vpc), Reason::NoInterface, RuleRef::Vpc(vpc))
}

/// Denies a packet to the ENI of a service's tasks, which takes no requests.
pub(in crate::pipeline) fn eni<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    ix: EniIx,
) -> Denial {
    evaluation.deny(Component::Eni(ix), Reason::EniAddress, RuleRef::Eni(ix))
}

/// Denies a packet to a NAT gateway's own address, which takes no requests.
pub(in crate::pipeline) fn nat_gateway<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    ix: NatGatewayIx,
) -> Denial {
    evaluation.deny(Component::NatGateway(ix), Reason::NatAddress, RuleRef::NatGateway(ix))
}
