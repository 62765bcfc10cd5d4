//! Link-local services, the VPC's resolver and its router, which no security group and no ACL filters (spec 4.3, 8).
//!
//! Packets between a task and a service at such an address pass as they are: no translation, no port, no flow. A VPC and
//! the internet cannot send from such an address: only the services' own link leads to a task's address (`steer.bpf.c`).

use super::admission::attached_to;
use super::engine::Engine;
use super::port_lease::{Leases, Purpose};
use super::walk::{Path, Probe, Walk};
use super::{
    Component, Denial, Detail, Device, Link, Outcome, Place, Reason, Recorder, Stage, Verdict,
    source_check,
};
use crate::flow::{Instant, Space};
use crate::packet::{Packet, Tuple};
use crate::vpc::exempt::{self, Service};
use crate::vpc::{RuleRef, Snapshot, VpcIx};
use dashmap::DashMap;
use foldhash::fast::FixedState;
use ipnetwork::Ipv4Network;
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The resolver's limit is one per second.
const SECOND: Duration = Duration::from_secs(1);

/// What was sent to the resolver, by the address of the ENI in its space: AWS's limit is for each network interface.
#[derive(Debug)]
pub(super) struct ToResolver(DashMap<Place, Window, FixedState>);

/// Packets within the second that began with the first of them.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    packets: u32,
}

impl ToResolver {
    pub(super) fn new(seed: u64) -> Self {
        Self(DashMap::with_hasher(FixedState::with_seed(seed)))
    }

    /// Counts packets, and says whether they are too many for this second.
    fn is_over(&self, now: Instant, place: Place, packets: u32, limit: u32) -> bool {
        let fresh = Window { began: now, packets: 0 };
        let mut window = self.0.entry(place).or_insert(fresh);
        if window.began + SECOND <= now {
            *window = fresh;
        }
        window.packets = window.packets.saturating_add(packets);
        window.packets > limit
    }

    /// Forgets the interfaces that are not there.
    pub(super) fn retain(&self, is_there: impl Fn(Place) -> bool) {
        self.0.retain(|place, _| is_there(*place));
    }

    #[cfg(test)]
    pub(super) fn census(&self, census: &mut crate::flow::Census) {
        for entry in &self.0 {
            let (name, packets) =
                (format!("to the resolver from {}", entry.key().1), entry.packets);
            census.add(&name, packets as usize);
        }
    }
}

/// Whether a packet may be one of a service at an exempt address: all that other packets pay for them.
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

impl Engine {
    /// Judges a packet from or to an exempt address. `None` is for the stages behind this one to judge.
    #[inline]
    pub(super) fn judge_exempt<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        packet: &Packet<'_>,
        recorder: &mut R,
    ) -> Option<Verdict> {
        if !concerns(snapshot, device, packet.tuple()) {
            return None;
        }
        self.pass_exempt(now, snapshot, device, packet, recorder)
    }

    #[cold]
    fn pass_exempt<R: Recorder>(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        packet: &Packet<'_>,
        recorder: &mut R,
    ) -> Option<Verdict> {
        let inside = packet.tuple();
        let pass = |link| Verdict::Forward { link, decided_by: RuleRef::ExemptAddress };
        let attached = |address: Ipv4Addr| {
            snapshot.task(address).filter(|task| attached_to(snapshot, task) == Some(device))
        };
        let Some(&task) = attached(inside.src) else {
            let task = attached(inside.dst)?.address;
            service_at(snapshot, device, inside.src)?;
            return Some(pass(Link::Task(task)));
        };
        if device == Device::AppRunner && service_at(snapshot, device, inside.dst).is_none() {
            return None;
        }
        let probe = Probe { inside, icmp: packet.icmp_type_code(), fragment: false, task };
        let (pools, purpose) = (&self.pools, Purpose::DryRun);
        let leases = Leases { now, pools, purpose, peeked: Cell::new(0) };
        let mut walk = Walk { snapshot, probe, leases, recorder };
        let judged = source_check::check(&mut walk).and_then(|()| {
            if self.is_over_limit(now, snapshot, device, packet) {
                let (place, own) = (place_of(snapshot, device), RuleRef::ExemptAddress);
                return Err(walk.deny(place, Reason::DnsThrottled, own, Detail::None));
            }
            check(&mut walk, device)
        });
        match judged {
            Ok(Some(path)) => Some(pass(path.link)),
            Ok(None) => None,
            Err(denial) => Some(denial.into()),
        }
    }

    /// Counts a packet to the resolver, and says whether it is one too many: each counts, a retry too (spec 8).
    fn is_over_limit(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        device: Device,
        packet: &Packet<'_>,
    ) -> bool {
        let resolver = service_at(snapshot, device, packet.dst()) == Some(Service::Resolver);
        if !resolver || !has_dns(snapshot, device) {
            return false;
        }
        let place = match device {
            Device::Eni(ix) => {
                let eni = snapshot.eni(ix);
                (snapshot.space(snapshot.subnet(eni.subnet).vpc), eni.address)
            }
            Device::AppRunner | Device::NatGateway(_) => (Space::INTERNET, Ipv4Addr::UNSPECIFIED),
        };
        let limit = snapshot.parts().limits.dns_packets_per_second;
        self.to_resolver.is_over(now, place, packet.wire_segments(), limit)
    }
}

/// The service at an address, as a task on a device sees it.
fn service_at(snapshot: &Snapshot, device: Device, address: Ipv4Addr) -> Option<Service> {
    match device {
        Device::Eni(ix) if snapshot.eni(ix).resolver() == address => Some(Service::Resolver),
        Device::Eni(_) | Device::AppRunner => Service::at(address),
        Device::NatGateway(_) => None,
    }
}

/// The end of the path, where the destination is exempt; `None` where it is not.
pub(super) fn check<R: Recorder>(
    walk: &mut Walk<'_, R>,
    device: Device,
) -> Result<Option<Path>, Denial> {
    let destination = walk.probe.inside.dst;
    let vpc = vpc_of(walk.snapshot, device);
    let place = place_of(walk.snapshot, device);
    let own = RuleRef::ExemptAddress;
    match service_at(walk.snapshot, device, destination) {
        Some(Service::Resolver) if !has_dns(walk.snapshot, device) => {
            Err(walk.deny(place, Reason::DnsSupportDisabled, own, Detail::None))
        }
        Some(service) => {
            let detail = Detail::Exempt(service);
            walk.step_with(Stage::ExemptAddress, place, Some(own), Outcome::Deliver, detail);
            Ok(Some(untranslated(walk)))
        }
        None if vpc.is_some_and(|vpc| {
            exempt::is_link_local(destination) || is_router(walk.snapshot, vpc, destination)
        }) =>
        {
            Err(walk.deny(place, Reason::ExemptAddressUnserved, own, Detail::None))
        }
        None => {
            walk.step(Stage::ExemptAddress, place, None, Outcome::Skip);
            Ok(None)
        }
    }
}

fn has_dns(snapshot: &Snapshot, device: Device) -> bool {
    vpc_of(snapshot, device).is_none_or(|vpc| snapshot.vpc(vpc).enable_dns_support)
}

fn vpc_of(snapshot: &Snapshot, device: Device) -> Option<VpcIx> {
    match device {
        Device::Eni(ix) => Some(snapshot.subnet(snapshot.eni(ix).subnet).vpc),
        Device::AppRunner | Device::NatGateway(_) => None,
    }
}

fn place_of(snapshot: &Snapshot, device: Device) -> Component {
    vpc_of(snapshot, device).map_or(Component::AppRunner, Component::Vpc)
}

fn untranslated<R: Recorder>(walk: &Walk<'_, R>) -> Path {
    Path {
        outside: walk.probe.inside,
        space: Space::SERVICES,
        link: Link::Services,
        eni: None,
        nat: None,
        hop: None,
        admitted_by: RuleRef::ExemptAddress,
        reply_denied: None,
    }
}

/// The VPC's router is at each subnet's base plus one.
fn is_router(snapshot: &Snapshot, vpc: VpcIx, address: Ipv4Addr) -> bool {
    let is_at = |base: Ipv4Network, offset: u32| {
        u32::from(base.network()).wrapping_add(offset) == u32::from(address)
    };
    snapshot.subnet_of(vpc, address).is_some_and(|ix| is_at(snapshot.subnet(ix).cidr, 1))
}
