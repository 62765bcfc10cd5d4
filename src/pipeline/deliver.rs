//! Delivery inside the VPC: the destination's own gate, then its interface.

use super::walk::{AtEni, Path, Walk};
use super::{Component, Denial, Detail, Link, Outcome, Reason, Recorder, Stage, security_group};
use crate::vpc::{Interface, RuleRef, VpcIx};

/// Delivers to an interface of the VPC.
pub(super) fn local<R: Recorder>(
    walk: &mut Walk<'_, R>,
    at: &AtEni<'_>,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    let destination = walk.probe.inside.dst;
    let resource = match walk.snapshot.interface(at.vpc, destination) {
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
        None => return Err(nothing_there(walk, at.vpc)),
    };
    security_group::ingress(walk, at, resource)?;
    walk.step(Stage::Deliver, Component::Resource(resource), None, Outcome::Deliver);
    Ok(Path {
        outside: at.tuple,
        space: walk.snapshot.space(at.vpc),
        link: Link::Vpc(at.vpc),
        eni: None,
        nat: None,
        hop: None,
        admitted_by,
        reply_denied: None,
    })
}

/// An address of the VPC that nothing has.
pub(super) fn nothing_there<R: Recorder>(walk: &mut Walk<'_, R>, vpc: VpcIx) -> Denial {
    walk.deny(Component::Vpc(vpc), Reason::NoInterface, RuleRef::Vpc(vpc), Detail::None)
}
