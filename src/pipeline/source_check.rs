//! Source check: a task sends from its own address, to a unicast one (spec 3.1).

use super::walk::Walk;
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::RuleRef;
use std::net::Ipv4Addr;

pub(super) fn check<R: Recorder>(walk: &mut Walk<'_, R>) -> Result<(), Denial> {
    let task = Component::Task(walk.probe.task.address);
    let destination = walk.probe.inside.dst;
    if walk.probe.inside.src != walk.probe.task.address {
        return Err(walk.deny(task, Reason::SourceForged, RuleRef::SourceCheck, Detail::None));
    }
    if !is_unicast(destination) {
        return Err(walk.deny(task, Reason::DestinationNotUnicast, RuleRef::Packet, Detail::None));
    }
    walk.step(Stage::SourceCheck, task, Some(RuleRef::SourceCheck), Outcome::Pass);
    Ok(())
}

/// A task of a VPC service that is attached to no ENI.
pub(super) fn nowhere<R: Recorder>(walk: &mut Walk<'_, R>) -> Denial {
    let task = Component::Task(walk.probe.task.address);
    walk.deny(task, Reason::SourceUnknown, RuleRef::SourceCheck, Detail::None)
}

fn is_unicast(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 and 127.0.0.0/8 never cross a router (RFC 1122, 3.2.1.3); 240.0.0.0/4 is reserved.
    !matches!(address.octets()[0], 0 | 127 | 224..)
}
