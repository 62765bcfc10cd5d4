//! Judges packets between a task and a service at an exempt address: they pass unchanged, with no
//! translation, no port and no flow (spec 4.3, 8). A VPC and the internet cannot send from such an
//! address: only the services' own link leads to a task's address (`steer.bpf.c`).

use super::context::Context;
use super::evaluation::Probe;
use super::leases::Purpose;
use super::stage::{exempt_address, source_check};
use super::{Denial, Device, NatPair, Recorder, Verdict};
use crate::flow::{Side, Space};
use crate::packet::{Inside, Packet, Tuple};
use crate::vpc::exempt::{self, Service};
use crate::vpc::path::{Attachment, Link};
use crate::vpc::{RuleRef, Snapshot, Task};
use std::net::Ipv4Addr;

/// Judges a packet from or to an exempt address. Returns `None` for a packet that the flow table
/// and the stages must judge.
#[inline]
pub(super) fn judge<R: Recorder>(
    context: &mut Context<'_, R>,
    packet: &Packet<'_>,
) -> Option<Verdict> {
    let device = context.arrival.device;
    if !concerns(context.snapshot, device, packet.tuple()) {
        return None;
    }
    pass(context, packet)
}

/// Decides whether a packet may be from or to a service at an exempt address. Other packets pay for
/// this check only.
#[inline]
fn concerns(snapshot: &Snapshot, device: Device, tuple: Tuple) -> bool {
    let resolver = match device {
        Device::Eni(ix) => snapshot.eni(ix).resolver(),
        Device::AppRunner => exempt::RESOLVER,
        Device::NatGateway(_) => return false,
    };
    let is_exempt = |address: Ipv4Addr| address == resolver || exempt::is_link_local(address);
    is_exempt(tuple.dst) || is_exempt(tuple.src)
}

#[cold]
fn pass<R: Recorder>(context: &mut Context<'_, R>, packet: &Packet<'_>) -> Option<Verdict> {
    let (snapshot, tuple) = (context.snapshot, packet.tuple());
    let attachment = attachment_at(context.arrival.device)?;
    let Some(task) = context.task_here(tuple.src) else {
        let task = context.task_here(tuple.dst)?.address;
        exempt_address::service_at(snapshot, attachment, tuple.src)?;
        count(context, attachment, (Side::Return, packet));
        return Some(pass_to(Link::Task(task)));
    };
    let served = exempt_address::service_at(snapshot, attachment, tuple.dst).is_some();
    if attachment == Attachment::AppRunner && !served {
        return None;
    }
    match request(context, (task, attachment), packet) {
        Ok(true) => {
            count(context, attachment, (Side::Egress, packet));
            Some(pass_to(Link::Services))
        }
        Ok(false) => None,
        Err(denial) => Some(denial.into()),
    }
}

fn request<R: Recorder>(
    context: &mut Context<'_, R>,
    (task, attachment): (Task, Attachment),
    packet: &Packet<'_>,
) -> Result<bool, Denial> {
    let exceeds = exceeds_limit(context, attachment, packet);
    let probe = Probe::new(task, Inside::new(packet.tuple()), packet.icmp_type_code());
    let mut evaluation = context.evaluation(probe, Purpose::DryRun);
    source_check::check(&mut evaluation)?;
    if exceeds {
        return Err(exempt_address::throttle(&mut evaluation, attachment));
    }
    exempt_address::check(&mut evaluation, attachment)
}

/// Counts a packet that passes with its ENI, because there is no flow to count it.
fn count<R>(context: &Context<'_, R>, attachment: Attachment, (side, packet): (Side, &Packet<'_>)) {
    let nats = match attachment {
        Attachment::Eni(ix) => NatPair { eni: Some(ix), nat_gateway: None },
        Attachment::AppRunner => NatPair { eni: None, nat_gateway: None },
    };
    let totals = context.tables.totals.tally(context.snapshot, nats);
    totals.count_without_flow(side, packet.wire_segments(), packet.wire_bytes());
}

/// Counts a packet to the resolver, and decides whether it exceeds the limit: each packet counts, a
/// retry too (spec 8).
fn exceeds_limit<R>(context: &Context<'_, R>, attachment: Attachment, packet: &Packet<'_>) -> bool {
    let snapshot = context.snapshot;
    let service = exempt_address::service_at(snapshot, attachment, packet.dst());
    if service != Some(Service::Resolver) || !exempt_address::has_dns(snapshot, attachment) {
        return false;
    }
    let own = match attachment {
        Attachment::Eni(_) => context.arrival.nat,
        Attachment::AppRunner => (Space::INTERNET, Ipv4Addr::UNSPECIFIED),
    };
    let limit = snapshot.parts().limits.dns_packets_per_second;
    context.tables.resolver_limit.exceeds(context.now, own, packet.wire_segments(), limit)
}

fn attachment_at(device: Device) -> Option<Attachment> {
    match device {
        Device::Eni(ix) => Some(Attachment::Eni(ix)),
        Device::AppRunner => Some(Attachment::AppRunner),
        Device::NatGateway(_) => None,
    }
}

fn pass_to(link: Link) -> Verdict {
    Verdict::Forward { link, decided_by: RuleRef::ExemptAddress }
}
