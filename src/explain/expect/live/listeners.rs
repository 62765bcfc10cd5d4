//! The addresses of a lab that answer, and so the packets that can show a class.

use crate::packet::Protocol;
use crate::pipeline::reach::Class;
use crate::pipeline::{Component, Outcome};
use crate::vpc::{Snapshot, exempt};
use std::net::Ipv4Addr;

/// The most destinations of one class to which packets are sent.
const MOST_TARGETS: usize = 2;

/// A destination to which a packet can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) protocol: Protocol,
    pub(super) address: Ipv4Addr,
    /// The port; 0 for a ping.
    pub(super) port: u16,
    /// Set if the lab has a host there, so that silence means a drop.
    pub(super) is_host: bool,
    /// Set if the destination answers.
    pub(super) listens: bool,
}

/// The destinations of a lab that answer.
pub(super) struct Listeners {
    /// All of them, ascending.
    all: Vec<Target>,
    hosts: Vec<Ipv4Addr>,
    /// The public addresses of resources.
    public: Vec<Ipv4Addr>,
}

impl Listeners {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let parts = snapshot.parts();
        let resources = parts.resources.iter().flat_map(|r| {
            std::iter::once(r.address).chain(r.public_address).map(|address| (address, &r.listen))
        });
        let hosts = parts.internet_hosts.iter().map(|host| (host.address, &host.listen));
        let listen = resources.chain(hosts).flat_map(|(address, listen)| {
            let answering = listen.iter().filter(|at| at.answers_at_once());
            answering.map(move |at| target(at.protocol(), address, at.port))
        });
        // An interface endpoint does not answer a ping.
        let pinged = parts.resources.iter().filter(|r| r.endpoint.is_none());
        let pinged = pinged.flat_map(|r| std::iter::once(r.address).chain(r.public_address));
        let pinged: Vec<Ipv4Addr> =
            pinged.chain(parts.internet_hosts.iter().map(|host| host.address)).collect();
        let pings = pinged.iter().map(|address| target(Protocol::Icmp, *address, 0));
        let mut all: Vec<Target> = listen.chain(pings).chain(of_aws(snapshot)).collect();
        all.sort_unstable();
        all.dedup();
        let public = snapshot.public_endpoints().map(|(public, _)| public).collect();
        Self { all, hosts: pinged, public }
    }

    /// Chooses destinations for packets of a class: the first one that answers, and the last one.
    /// Packets that are dropped need no listener.
    pub(super) fn targets(&self, class: &Class) -> Vec<Target> {
        let gets_there = !class.passes() || reaches_resource(class);
        let is_of_class = |target: &&Target| {
            class.destinations.contains(target.address.to_bits())
                && (gets_there || !self.public.contains(&target.address))
                && class.ports.contains(target.protocol, target.port)
        };
        let mut own = self.all.iter().filter(is_of_class).copied();
        let mut chosen: Vec<Target> = own.next().into_iter().collect();
        chosen.extend(own.next_back().filter(|_| MOST_TARGETS > 1));
        if chosen.is_empty() && !class.passes() {
            chosen.extend(self.sample(class));
        }
        chosen
    }

    /// Returns the destination of the packet that shows a class; `None` if packets of its protocol
    /// cannot be sent, or if only a reply would be dropped and no host is there to send one.
    fn sample(&self, class: &Class) -> Option<Target> {
        let tuple = class.sample.inside.tuple();
        let is_host = self.hosts.contains(&tuple.dst);
        let port = if tuple.protocol == Protocol::Icmp { 0 } else { tuple.dport };
        let is_sent = matches!(tuple.protocol, Protocol::Tcp | Protocol::Udp | Protocol::Icmp);
        let target = Target { is_host, listens: false, ..target(tuple.protocol, tuple.dst, port) };
        let is_judged = is_host || class.admitted_by.is_none();
        (is_sent && is_judged && leaves(tuple.dst)).then_some(target)
    }
}

/// Decides whether packets of a class reach a resource. Packets through a gateway endpoint are for
/// its service, even at the public address of a resource.
fn reaches_resource(class: &Class) -> bool {
    let last = class.sample.steps.iter().find(|step| step.outcome == Outcome::Deliver);
    last.is_some_and(|step| matches!(step.component, Component::Resource(_)))
}

/// Decides whether packets to an address leave the task that sends them, and not as a broadcast.
fn leaves(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && !address.is_loopback() && first < 224
}

fn target(protocol: Protocol, address: Ipv4Addr, port: u16) -> Target {
    Target { protocol, address, port, is_host: true, listens: true }
}

/// Lists the services that AWS offers besides the VPCs: resolvers, time, task metadata.
fn of_aws(snapshot: &Snapshot) -> Vec<Target> {
    let vpcs = snapshot.parts().vpcs.iter();
    let resolvers = vpcs.filter_map(|vpc| vpc.cidrs.first()?.nth(2)).chain([exempt::RESOLVER]);
    let resolvers = resolvers.map(|address| target(Protocol::Udp, address, 53));
    let others = [
        target(Protocol::Udp, exempt::TIME_SYNC, 123),
        target(Protocol::Tcp, exempt::TASK_METADATA, 80),
    ];
    resolvers.chain(others).collect()
}
