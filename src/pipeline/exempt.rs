//! Link-local services and the VPC's resolver, which no security group and no ACL filters (spec 4.3, 8).

use super::walk::Walk;
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::{EniIx, RuleRef, Snapshot, VpcIx};
use std::net::Ipv4Addr;

pub(super) fn check<R: Recorder>(walk: &mut Walk<'_, R>, eni: EniIx) -> Result<(), Denial> {
    let destination = walk.probe.inside.dst;
    let vpc = walk.snapshot.subnet(walk.snapshot.eni(eni).subnet).vpc;
    if is_exempt(walk.snapshot, vpc, destination) {
        return Err(walk.deny(
            Component::Vpc(vpc),
            Reason::ExemptAddressUnserved,
            RuleRef::ExemptAddress,
            Detail::None,
        ));
    }
    walk.step(Stage::ExemptAddress, Component::Vpc(vpc), None, Outcome::Skip);
    Ok(())
}

/// 169.254.0.0/16 is never routed (spec 3.4); the resolver is at the primary CIDR's base plus two.
fn is_exempt(snapshot: &Snapshot, vpc: VpcIx, address: Ipv4Addr) -> bool {
    let resolver = snapshot.vpc(vpc).cidrs.first().map(|c| u32::from(c.network()).wrapping_add(2));
    address.is_link_local() || resolver == Some(u32::from(address))
}
