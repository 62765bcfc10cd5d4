//! A peering connection: into the other VPC, and not beyond it (spec 3.5, 6 "Who may use it", 7.1).

use super::walk::{Path, Sender, Walk};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, deliver};
use crate::vpc::{PeeringIx, RuleRef, VpcIx};

/// To an interface of the peer VPC. Its internet gateway, NAT gateways and endpoints are for its own packets only, and its
/// own peering connections do not continue this one: all of these have addresses outside its CIDR blocks.
pub(super) fn pass<R: Recorder>(
    walk: &mut Walk<'_, R>,
    sender: &Sender,
    ix: PeeringIx,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    let peer = require_in_peer(walk, sender, ix)?;
    walk.step(Stage::Peering, Component::Peering(ix), Some(RuleRef::Peering(ix)), Outcome::Pass);
    deliver::routed(walk, sender, peer, admitted_by)
}

fn require_in_peer<R: Recorder>(
    walk: &mut Walk<'_, R>,
    sender: &Sender,
    ix: PeeringIx,
) -> Result<VpcIx, Denial> {
    let destination = walk.probe.inside.dst;
    let peer = walk.snapshot.peering(ix).peer_of(sender.vpc);
    peer.filter(|peer| walk.snapshot.vpc(*peer).contains(destination)).ok_or_else(|| {
        let (component, rule) = (Component::Peering(ix), RuleRef::Peering(ix));
        walk.deny(component, Reason::PeeringOutsideCidr, rule, Detail::None)
    })
}
