//! A gateway endpoint: TCP and ICMP echo to a service's public addresses, from the sender's private one (spec 7.1).
//!
//! The route that leads here is the only thing that decides which addresses it is for. There is no group to ask: the
//! ENI's own outbound rules have been asked already, and had to allow the public address (surprise 12).

use super::walk::{Path, Sender, Walk};
use super::{
    Component, Denial, Detail, Link, Outcome, Reason, Recorder, Stage, deliver, internet_gateway,
};
use crate::packet::Protocol;
use crate::vpc::{GatewayEndpointIx, RuleRef};

/// To the service behind the endpoint.
pub(super) fn pass<R: Recorder>(
    walk: &mut Walk<'_, R>,
    sender: &Sender,
    ix: GatewayEndpointIx,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    let (component, rule) = (Component::GatewayEndpoint(ix), RuleRef::GatewayEndpoint(ix));
    match walk.probe.inside.protocol {
        // The only ICMP messages that begin a flow are echo requests.
        Protocol::Tcp | Protocol::Icmp => {}
        Protocol::Udp | Protocol::Other(_) => {
            return Err(walk.deny(component, Reason::EndpointProtocol, rule, Detail::None));
        }
    }
    // No entry of a list is a task's address; what was one's would reach it without passing this.
    if walk.snapshot.task(walk.probe.inside.dst).is_some() {
        return Err(deliver::nothing_there(walk, sender.vpc));
    }
    walk.step(Stage::GatewayEndpoint, component, Some(rule), Outcome::Pass);
    internet_gateway::deliver(walk, component);
    Ok(Path {
        outside: sender.tuple,
        space: walk.snapshot.space(sender.vpc),
        link: Link::Endpoint(ix),
        eni: None,
        nat: None,
        hop: None,
        admitted_by,
        reply_denied: None,
    })
}
