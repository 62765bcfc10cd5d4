//! Link-local services, the VPC's resolver and its router, which no security group and no ACL filters (spec 4.3, 8).

use super::walk::Walk;
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::{EniIx, RuleRef, Snapshot, VpcIx};
use ipnetwork::Ipv4Network;
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

/// 169.254.0.0/16 is never routed (spec 3.4); the resolver is at the primary CIDR's base plus two, and the VPC's router
/// at each subnet's base plus one.
fn is_exempt(snapshot: &Snapshot, vpc: VpcIx, address: Ipv4Addr) -> bool {
    let is_at = |base: Ipv4Network, offset: u32| {
        u32::from(base.network()).wrapping_add(offset) == u32::from(address)
    };
    address.is_link_local()
        || snapshot.vpc(vpc).cidrs.first().is_some_and(|cidr| is_at(*cidr, 2))
        || snapshot.subnet_of(vpc, address).is_some_and(|ix| is_at(snapshot.subnet(ix).cidr, 1))
}
