//! Link-local services, the VPC's resolver and its router, which no security group and no ACL
//! filters (spec 4.3, 8).

use crate::pipeline::evaluation::Evaluation;
use crate::pipeline::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, Step};
use crate::vpc::exempt::{self, Service};
use crate::vpc::path::Attachment;
use crate::vpc::{RuleRef, Snapshot, VpcIx};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// Decides whether the destination is exempt: then the packet is delivered here, and there is no
/// path.
pub(in crate::pipeline) fn check<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    attachment: Attachment,
) -> Result<bool, Denial> {
    let (snapshot, destination) = (evaluation.snapshot, evaluation.destination());
    let (at, own) = (component(snapshot, attachment), RuleRef::ExemptAddress);
    match service_at(snapshot, attachment, destination) {
        Some(Service::Resolver) if !has_dns(snapshot, attachment) => {
            Err(evaluation.deny(at, Reason::DnsSupportDisabled, own))
        }
        Some(service) => {
            let (stage, detail) = (Stage::ExemptAddress, Detail::Exempt(service));
            let outcome = Outcome::Deliver;
            evaluation.record(Step { stage, component: at, rule: Some(own), outcome, detail });
            Ok(true)
        }
        None if is_unserved(snapshot, attachment, destination) => {
            Err(evaluation.deny(at, Reason::ExemptAddressUnserved, own))
        }
        None => {
            evaluation.step(Stage::ExemptAddress, at, None, Outcome::Skip);
            Ok(false)
        }
    }
}

/// Denies a packet to the resolver that exceeds the ENI's limit.
pub(in crate::pipeline) fn throttle<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    attachment: Attachment,
) -> Denial {
    let at = component(evaluation.snapshot, attachment);
    evaluation.deny(at, Reason::DnsThrottled, RuleRef::ExemptAddress)
}

/// Returns the service at an address, as a task with this attachment sees it.
pub(in crate::pipeline) fn service_at(
    snapshot: &Snapshot,
    attachment: Attachment,
    address: Ipv4Addr,
) -> Option<Service> {
    match attachment {
        Attachment::Eni(ix) if snapshot.eni(ix).resolver() == address => Some(Service::Resolver),
        Attachment::Eni(_) | Attachment::AppRunner => Service::at(address),
    }
}

/// Decides whether a resolver answers at this attachment.
pub(in crate::pipeline) fn has_dns(snapshot: &Snapshot, attachment: Attachment) -> bool {
    vpc_of(snapshot, attachment).is_none_or(|vpc| snapshot.vpc(vpc).enable_dns_support)
}

/// Decides whether AWS serves an address itself, and egret does not.
fn is_unserved(snapshot: &Snapshot, attachment: Attachment, address: Ipv4Addr) -> bool {
    vpc_of(snapshot, attachment)
        .is_some_and(|vpc| exempt::is_link_local(address) || is_router(snapshot, vpc, address))
}

/// Decides whether an address is one of the VPC's router: each subnet's base plus one.
fn is_router(snapshot: &Snapshot, vpc: VpcIx, address: Ipv4Addr) -> bool {
    let is_at = |base: Ipv4Network, offset: u32| {
        u32::from(base.network()).wrapping_add(offset) == u32::from(address)
    };
    snapshot.subnet_of(vpc, address).is_some_and(|ix| is_at(snapshot.subnet(ix).cidr, 1))
}

fn component(snapshot: &Snapshot, attachment: Attachment) -> Component {
    vpc_of(snapshot, attachment).map_or(Component::AppRunner, Component::Vpc)
}

fn vpc_of(snapshot: &Snapshot, attachment: Attachment) -> Option<VpcIx> {
    match attachment {
        Attachment::Eni(ix) => Some(snapshot.subnet(snapshot.eni(ix).subnet).vpc),
        Attachment::AppRunner => None,
    }
}
