//! A gateway endpoint: TCP and ICMP echo to a service's public addresses, from the sender's private
//! one (spec 7.1).
//!
//! Only the route that leads here decides for which addresses the endpoint is. There is no group to
//! ask: the ENI's own outbound rules have been asked already, and had to allow the public address
//! (surprise 12).

use super::destination;
use crate::packet::Protocol;
use crate::pipeline::evaluation::Evaluation;
use crate::pipeline::{Component, Denial, Outcome, Reason, Recorder, Stage};
use crate::vpc::{GatewayEndpointIx, RuleRef};

/// Passes a packet to the service behind the endpoint.
pub(in crate::pipeline) fn pass<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    ix: GatewayEndpointIx,
) -> Result<(), Denial> {
    let (component, rule) = (Component::GatewayEndpoint(ix), RuleRef::GatewayEndpoint(ix));
    match evaluation.probe.inside.protocol() {
        // The only ICMP messages that begin a flow are echo requests.
        Protocol::Tcp | Protocol::Icmp => {}
        Protocol::Udp | Protocol::Other(_) => {
            return Err(evaluation.deny(component, Reason::EndpointProtocol, rule));
        }
    }
    // No entry of a prefix list contains a task's address; if one did, its packets would reach the
    // task without passing here.
    if evaluation.snapshot.task(evaluation.destination()).is_some() {
        let vpc = evaluation.snapshot.gateway_endpoint(ix).vpc;
        return Err(destination::no_interface(evaluation, vpc));
    }
    evaluation.step(Stage::GatewayEndpoint, component, Some(rule), Outcome::Pass);
    Ok(())
}
