//! Delivery inside the VPC: the destination's own gate, then its interface.

use super::walk::{Path, Sender, Walk};
use super::{
    Component, Denial, Detail, Link, Outcome, Reason, Recorder, Stage, network_acl, security_group,
};
use crate::packet::Protocol;
use crate::vpc::{Interface, ResourceIx, RuleRef, VpcIx};

/// Delivers to a subnet of `vpc`: the sender's own, or one that is peered with it.
pub(super) fn routed<R: Recorder>(
    walk: &mut Walk<'_, R>,
    sender: &Sender,
    vpc: VpcIx,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    match walk.snapshot.subnet_of(vpc, walk.probe.inside.dst) {
        Some(subnet) if subnet == sender.subnet => {
            network_acl::skip_inside(walk, subnet, Stage::NetworkAclIngress);
        }
        Some(subnet) => network_acl::enter(walk, sender.tuple, subnet)?,
        None => return Err(nothing_there(walk, vpc)),
    }
    interface(walk, sender, vpc, admitted_by)
}

/// Delivers to an interface of a VPC, within the sender's subnet or past the border of another.
pub(super) fn interface<R: Recorder>(
    walk: &mut Walk<'_, R>,
    sender: &Sender,
    vpc: VpcIx,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    let destination = walk.probe.inside.dst;
    let resource = match walk.snapshot.interface(vpc, destination) {
        Some(Interface::Resource(resource)) => resource,
        Some(Interface::Eni(eni)) => {
            return Err(walk.deny(
                Component::Eni(eni),
                Reason::EniAddress,
                RuleRef::Eni(eni),
                Detail::None,
            ));
        }
        Some(Interface::NatGateway(nat)) => {
            let component = Component::NatGateway(nat);
            return Err(walk.deny(
                component,
                Reason::NatAddress,
                RuleRef::NatGateway(nat),
                Detail::None,
            ));
        }
        None => return Err(nothing_there(walk, vpc)),
    };
    require_tcp(walk, resource)?;
    security_group::ingress(walk, sender, vpc, resource)?;
    walk.step(Stage::Deliver, Component::Resource(resource), None, Outcome::Deliver);
    Ok(Path {
        outside: sender.tuple,
        // Replies come for the sender's own address, so they belong to its own VPC, whatever link they come by.
        space: walk.snapshot.space(sender.vpc),
        link: Link::Vpc(vpc),
        eni: None,
        nat: None,
        hop: None,
        admitted_by,
        reply_denied: None,
    })
}

/// PrivateLink carries TCP (spec 7.2).
fn require_tcp<R: Recorder>(walk: &mut Walk<'_, R>, resource: ResourceIx) -> Result<(), Denial> {
    let endpoint = walk.snapshot.resource(resource).endpoint.is_some();
    if !endpoint || walk.probe.inside.protocol == Protocol::Tcp {
        return Ok(());
    }
    let (component, reason) = (Component::Resource(resource), Reason::InterfaceEndpointProtocol);
    Err(walk.deny(component, reason, RuleRef::Packet, Detail::None))
}

/// An address of the VPC that nothing has.
pub(super) fn nothing_there<R: Recorder>(walk: &mut Walk<'_, R>, vpc: VpcIx) -> Denial {
    walk.deny(Component::Vpc(vpc), Reason::NoInterface, RuleRef::Vpc(vpc), Detail::None)
}
