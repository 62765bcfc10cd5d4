//! Where packets come from: an attachment, with the addresses and ports that its NATs may take.

use super::question::Question;
use super::ranges::Ranges;
use crate::pipeline::leases::Choice;
use crate::vpc::path::Attachment;
use crate::vpc::{EniIx, NatGatewayIx, Snapshot, SubnetIx, Task};
use std::net::Ipv4Addr;

/// The range from which an ENI or a NAT gateway draws a port.
const DRAWN: (u32, u32) = (1024, 65_535);

/// The source of packets where no task runs; the first address of the task pool, which no task has.
const NO_TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// An attachment.
pub(super) struct Origin {
    pub(super) attachment: Attachment,
    /// A task that is attached there, or would be.
    pub(super) task: Task,
    /// The private addresses that the ENI may have.
    pub(super) addresses: Ranges,
    /// The ports that it may take.
    pub(super) ports: Ranges,
}

impl Origin {
    pub(super) fn new(snapshot: &Snapshot, question: &Question, attachment: Attachment) -> Self {
        let eni = match attachment {
            Attachment::Eni(ix) => Some(ix),
            Attachment::AppRunner => None,
        };
        let of_service = |task: &&Task| task.service == question.service && task.eni == eni;
        let running = snapshot.tasks().filter(of_service).min_by_key(|task| task.number);
        let none = Task { service: question.service, number: 0, address: NO_TASK, eni };
        let (addresses, ports) = match eni {
            Some(ix) => (addresses(snapshot, question, ix), ports(snapshot, question, ix)),
            None => (Ranges::default(), Ranges::default()),
        };
        Self { attachment, task: running.copied().unwrap_or(none), addresses, ports }
    }

    /// Returns the ENI.
    pub(super) fn eni(&self) -> Option<EniIx> {
        self.task.eni
    }

    /// Returns what the NATs do with one of the packets.
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

/// Returns the ports that a NAT gateway draws from.
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
        let own_only = Ranges::one(own.to_bits());
        if question.running || !gateway.open_addresses.contains(&own) {
            return own_only;
        }
        free(snapshot, gateway.subnet).union(&own_only)
    };
    gateway.addresses.iter().map(|own| of(own.private)).collect()
}

/// Returns a port that is given by its number on an axis.
pub(super) fn port(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn addresses(snapshot: &Snapshot, question: &Question, ix: EniIx) -> Ranges {
    let eni = snapshot.eni(ix);
    let own = Ranges::one(eni.address.to_bits());
    if question.running {
        return own;
    }
    let free = free(snapshot, eni.subnet);
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

/// Returns the addresses of a subnet that the configuration gives to nothing. AWS keeps the first four and the last one.
fn free(snapshot: &Snapshot, ix: SubnetIx) -> Ranges {
    let cidr = snapshot.subnet(ix).cidr;
    let (base, last) = super::cuts::block(cidr);
    let parts = snapshot.parts();
    let resources = parts.resources.iter().filter(|resource| resource.subnet == ix);
    let gateways = parts.nat_gateways.iter().filter(|gateway| gateway.subnet == ix);
    let given = gateways.flat_map(|gateway| {
        let own = gateway.addresses.iter().map(|own| own.private);
        own.filter(|own| !gateway.open_addresses.contains(own))
    });
    let taken = resources.map(|resource| resource.address).chain(given).map(Ipv4Addr::to_bits);
    let taken = Ranges::new(taken.map(|address| (address, address)));
    Ranges::of(base.saturating_add(4), last.saturating_sub(1)).difference(&taken)
}
