//! Source check: a task sends from its own address, to a unicast one (spec 3.1).
//!
//! The check that a live packet's source is the address of the task whose veth it came from is in
//! tc (`steer.bpf.c`): an ENI's TUN device gets from a task only packets with the task's own
//! source, or packets that are not IPv4. Here the source is the probe's, which may be any.

use crate::pipeline::evaluation::Evaluation;
use crate::pipeline::{Component, Denial, Outcome, Reason, Recorder, Stage};
use crate::vpc::RuleRef;
use std::net::Ipv4Addr;

pub(in crate::pipeline) fn check<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
) -> Result<(), Denial> {
    let task = Component::Task(evaluation.probe.task.address);
    if evaluation.probe.inside.src() != evaluation.probe.task.address {
        return Err(evaluation.deny(task, Reason::SourceForged, RuleRef::SourceCheck));
    }
    if !is_unicast(evaluation.destination()) {
        return Err(evaluation.deny(task, Reason::DestinationNotUnicast, RuleRef::Packet));
    }
    evaluation.step(Stage::SourceCheck, task, Some(RuleRef::SourceCheck), Outcome::Pass);
    Ok(())
}

/// Denies a packet of a VPC service's task that is attached to no ENI.
pub(in crate::pipeline) fn unattached<R: Recorder>(evaluation: &mut Evaluation<'_, R>) -> Denial {
    let task = Component::Task(evaluation.probe.task.address);
    evaluation.deny(task, Reason::SourceUnknown, RuleRef::SourceCheck)
}

fn is_unicast(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 and 127.0.0.0/8 never cross a router (RFC 1122, 3.2.1.3); 240.0.0.0/4 is reserved.
    !matches!(address.octets()[0], 0 | 127 | 224..)
}
