//! The origin of packets: an attachment, with the addresses and ports that its NATs may take.

use super::attachments::{Addresses, Asked};
use super::question::Question;
use super::ranges::Ranges;
use crate::pipeline::leases::Choice;
use crate::vpc::path::Attachment;
use crate::vpc::{EniIx, NatGatewayIx, Snapshot, SubnetIx, Task};
use std::net::Ipv4Addr;

/// The range from which an ENI or a NAT gateway draws a port.
const DRAWN: (u32, u32) = (1024, 65_535);

/// An attachment of a question.
pub(super) struct Origin {
    pub(super) attachment: Attachment,
    /// A task that is attached there, or a possible one.
    pub(super) task: Task,
    /// The private addresses that the ENI may have.
    pub(super) addresses: Ranges,
    /// The ports that it may take.
    pub(super) ports: Ranges,
}

impl Origin {
    pub(super) fn new(snapshot: &Snapshot, question: &Question, asked: Asked) -> Self {
        let Asked { attachment, task, .. } = asked;
        let (addresses, ports) = match attachment {
            Attachment::Eni(ix) => (
                addresses(snapshot, question, (ix, asked.addresses)),
                ports(snapshot, question, ix),
            ),
            Attachment::AppRunner => (Ranges::default(), Ranges::default()),
        };
        Self { attachment, task, addresses, ports }
    }

    pub(super) fn eni(&self) -> Option<EniIx> {
        self.task.eni
    }

    /// Returns the translation of one of the packets.
    pub(super) fn first_choice(&self) -> Choice {
        Choice {
            eni_address: Ipv4Addr::from(self.addresses.first().unwrap_or(0)),
            eni_port: port(self.ports.first().unwrap_or(DRAWN.0)),
            nat_position: 0,
            nat_address: None,
            nat_port: port(DRAWN.0),
        }
    }
}

/// Returns the ports from which a NAT gateway draws.
pub(super) fn gateway_ports() -> Ranges {
    Ranges::of(DRAWN.0, DRAWN.1)
}

/// Returns the private addresses that a NAT gateway may have at each of its positions.
pub(super) fn gateway_addresses(
    snapshot: &Snapshot,
    question: &Question,
    ix: NatGatewayIx,
) -> Vec<Ranges> {
    let gateway = snapshot.nat_gateway(ix);
    let of = |own: Ipv4Addr| {
        let is_open = gateway.open_addresses.contains(&own);
        let own = Ranges::one(own.to_bits());
        match question.gateway_addresses {
            Addresses::Open if is_open => free(snapshot, question, gateway.subnet).union(&own),
            Addresses::Open | Addresses::Real => own,
        }
    };
    gateway.addresses.iter().map(|own| of(own.private)).collect()
}

/// Returns a port by its number on an axis.
pub(super) fn port(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn addresses(snapshot: &Snapshot, question: &Question, (ix, asked): (EniIx, Addresses)) -> Ranges {
    let eni = snapshot.eni(ix);
    let own = Ranges::one(eni.address.to_bits());
    if asked == Addresses::Real {
        return own;
    }
    let free = free(snapshot, question, eni.subnet);
    let has_own = snapshot.subnet(eni.subnet).cidr.contains(eni.address);
    if has_own || free.is_empty() { free.union(&own) } else { free }
}

fn ports(snapshot: &Snapshot, question: &Question, ix: EniIx) -> Ranges {
    match (snapshot.eni(ix).task, question.source_port) {
        (None, _) => Ranges::of(DRAWN.0, DRAWN.1),
        (Some(_), Some(port)) => Ranges::one(port.into()),
        (Some(_), None) => Ranges::of(1, DRAWN.1),
    }
}

/// Returns the free addresses of a subnet: free in the configuration and, if the real addresses
/// count, in the running lab. AWS keeps the first four and the last one.
fn free(snapshot: &Snapshot, question: &Question, ix: SubnetIx) -> Ranges {
    let (base, last) = super::cuts::block(snapshot.subnet(ix).cidr);
    let are_real = question.gateway_addresses == Addresses::Real;
    let parts = snapshot.parts();
    let resources = parts.resources.iter().filter(|resource| resource.subnet == ix);
    let gateways = parts.nat_gateways.iter().filter(|gateway| gateway.subnet == ix);
    let of_gateways = gateways.flat_map(|gateway| {
        let own = gateway.addresses.iter().map(|own| own.private);
        own.filter(move |own| are_real || !gateway.open_addresses.contains(own))
    });
    let enis = (0..).map(EniIx).zip(&parts.enis).filter(|(_, eni)| eni.subnet == ix);
    let of_enis = enis.filter(|(at, _)| are_real && is_present(snapshot, *at));
    let taken = resources.map(|resource| resource.address).chain(of_gateways);
    let taken = taken.chain(of_enis.map(|(_, eni)| eni.address)).map(Ipv4Addr::to_bits);
    let taken = Ranges::new(taken.map(|address| (address, address)));
    Ranges::of(base.saturating_add(4), last.saturating_sub(1)).difference(&taken)
}

/// Decides whether a running lab has an ENI now: an ENI of a Fargate task exists only while the
/// task runs.
fn is_present(snapshot: &Snapshot, ix: EniIx) -> bool {
    snapshot.eni(ix).task.is_none() || snapshot.tasks().any(|task| task.eni == Some(ix))
}
