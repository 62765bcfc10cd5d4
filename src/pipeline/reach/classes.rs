//! Makes classes of merged cells: the values of each, its share, one of its packets; and their
//! order.

use super::answer::{Answer, Class, GatewayAddress, Interrupted, SetVerdict, Share};
use super::caller::Caller;
use super::judge::{Judge, Packet};
use super::merge::{
    Cell, CellVerdict, Cells, DESTINATIONS, ENI_ADDRESSES, ENI_PORTS, GATEWAY_ADDRESSES,
    GATEWAY_PORTS, PORTS, Side,
};
use super::origin::{self, Origin, port};
use super::ports::{self, Ports};
use super::question::Question;
use super::ranges::{Ranges, sorted};
use crate::packet::Protocol;
use crate::pipeline::Denial;
use crate::pipeline::leases::Choice;
use crate::vpc::{NatGatewayIx, Snapshot};
use std::net::Ipv4Addr;

/// Makes classes of cells.
pub(super) struct Classes<'c, 'a> {
    question: &'c Question,
    origins: &'c [Origin],
    judge: &'c Judge<'a>,
    cells: &'c Cells,
    /// The number of destinations that count.
    counted: u64,
    /// The private addresses of every NAT gateway, by position.
    gateways: Vec<Vec<Ranges>>,
    snapshot: &'a Snapshot,
    /// The addresses of resources and internet hosts, ascending.
    hosts: Vec<u32>,
}

impl<'c, 'a> Classes<'c, 'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        question: &'c Question,
        origins: &'c [Origin],
        judge: &'c Judge<'a>,
        cells: &'c Cells,
        counted: u64,
    ) -> Self {
        let gateways = 0..snapshot.parts().nat_gateways.len();
        let addresses = |ix: usize| origin::gateway_addresses(snapshot, question, ix.into());
        let gateways = gateways.map(addresses).collect();
        let hosts = hosts(snapshot);
        Self { question, origins, judge, cells, counted, gateways, snapshot, hosts }
    }

    pub(super) fn answer(
        &self,
        merged: Vec<Cell>,
        walks: u64,
        caller: &mut Caller<'_>,
    ) -> Result<Answer, Interrupted> {
        let rank = |cell: &Cell| match cell.verdict {
            CellVerdict::Denied(..) => 0,
            CellVerdict::Passes(..) | CellVerdict::Admitted(..) => 1,
            CellVerdict::Unowned(..) => 2,
        };
        let mut ranked: Vec<(u8, f64, Cell)> = Vec::with_capacity(merged.len());
        for cell in merged {
            caller.step()?;
            ranked.push((rank(&cell), self.share(&cell).ratio(), cell));
        }
        ranked.sort_by(|(rank_a, share_a, a), (rank_b, share_b, b)| {
            let sides = |cell: &Cell| cell.sides.map(|id| self.cells.get(id));
            let by_share = share_b.total_cmp(share_a);
            rank_a.cmp(rank_b).then(by_share).then_with(|| sides(a).cmp(&sides(b)))
        });
        let mut classes: Vec<Class> = Vec::with_capacity(ranked.len());
        for (.., cell) in &ranked {
            caller.go_on()?;
            classes.extend(self.class(cell));
        }
        let counted = || classes.iter().filter(|class| class.counts);
        let verdict = match (counted().any(Class::passes), counted().all(Class::passes)) {
            (true, true) => SetVerdict::Forward,
            (true, false) => SetVerdict::Mixed,
            (false, _) => SetVerdict::Drop,
        };
        Ok(Answer { verdict, classes, walks })
    }

    fn side(&self, cell: &Cell, dimension: usize) -> &'c Side {
        self.cells.get(cell.sides[dimension])
    }

    fn plain(&self, cell: &Cell, dimension: usize) -> Option<&'c Ranges> {
        self.side(cell, dimension).first().map(|(_, ranges)| ranges)
    }

    fn class(&self, cell: &Cell) -> Option<Class> {
        let of = |dimension| self.plain(cell, dimension).cloned();
        let origins = self.side(cell, ENI_ADDRESSES);
        let origin = |(number, ranges): &'c (u32, Ranges)| {
            Some((self.origins.get(*number as usize)?, ranges))
        };
        let enis = || origins.iter().filter_map(origin);
        let sample = self.judge.evidence(&self.sample(cell)?);
        let (denial, admitted_by) = match cell.verdict {
            CellVerdict::Denied(reason, decided_by) => {
                // The rule is that of the sample, of several equivalent ones.
                (sample.denial.or(Some(Denial { reason, decided_by })), sample.admitted_by)
            }
            CellVerdict::Passes(..) | CellVerdict::Admitted(..) => (None, sample.admitted_by),
            CellVerdict::Unowned(reason, decided_by) => (Some(Denial { reason, decided_by }), None),
        };
        Some(Class {
            denial,
            admitted_by,
            counts: !matches!(cell.verdict, CellVerdict::Unowned(..)),
            attachments: enis().map(|(origin, _)| origin.attachment).collect(),
            eni_addresses: enis()
                .filter_map(|(origin, ranges)| Some((origin.eni()?, ranges.clone())))
                .collect(),
            source_ports: of(ENI_PORTS),
            gateway_addresses: self.gateway_addresses(cell),
            gateway_ports: of(GATEWAY_PORTS),
            destinations: of(DESTINATIONS).unwrap_or_default(),
            ports: Ports(of(PORTS).unwrap_or_default()),
            share: self.share(cell),
            sample,
        })
    }

    fn gateway_addresses(&self, cell: &Cell) -> Vec<GatewayAddress> {
        let address = |(kind, private): &(u32, Ranges)| {
            let (gateway, position) = gateway_of(*kind);
            GatewayAddress { gateway, position, private: private.clone() }
        };
        self.side(cell, GATEWAY_ADDRESSES).iter().map(address).collect()
    }

    /// Returns a packet that shows a cell: as the lab would send it now if it is in the cell, else
    /// the first on each side.
    fn sample(&self, cell: &Cell) -> Option<Packet> {
        let (number, addresses) = match self.side(cell, ENI_ADDRESSES).first() {
            Some((number, addresses)) => (*number as usize, Some(addresses)),
            None => (0, None),
        };
        let origin = self.origins.get(number)?;
        let default = origin.first_choice();
        let position = self.plain(cell, PORTS).and_then(Ranges::first).unwrap_or(0);
        let usual = usual_port(position);
        let drawn = |dimension| self.plain(cell, dimension)?.prefer(usual).map(port);
        let of_eni = origin.eni().map_or(0, |ix| self.snapshot.eni(ix).address.to_bits());
        let eni_address = addresses.and_then(|addresses| addresses.prefer(of_eni));
        let (nat_position, nat_address) = self.gateway_of_sample(cell);
        let choice = Choice {
            eni_address: eni_address.map_or(default.eni_address, Ipv4Addr::from),
            eni_port: drawn(ENI_PORTS).unwrap_or(default.eni_port),
            nat_position,
            nat_address,
            nat_port: drawn(GATEWAY_PORTS).unwrap_or(default.nat_port),
        };
        let to = self.plain(cell, DESTINATIONS).and_then(|all| self.host(all)).unwrap_or(0);
        Some(Packet { task: origin.task, to, port: position, choice })
    }

    /// Returns the position and the address of the NAT gateway: the present ones, as far as they
    /// are in the cell.
    fn gateway_of_sample(&self, cell: &Cell) -> (usize, Option<Ipv4Addr>) {
        let Some((kind, private)) = self.side(cell, GATEWAY_ADDRESSES).first() else {
            return (0, None);
        };
        let (ix, position) = gateway_of(*kind);
        let own = self.snapshot.nat_gateway(ix).addresses.get(position);
        let address = own.and_then(|own| private.prefer(own.private.to_bits()));
        (position, address.map(Ipv4Addr::from))
    }

    /// Returns a destination that a host or resource has, or the first one.
    fn host(&self, destinations: &Ranges) -> Option<u32> {
        let within = |(first, last)| {
            let next = self.hosts.partition_point(|host| *host < first);
            self.hosts.get(next).copied().filter(|host| *host <= last)
        };
        destinations.iter().find_map(within).or_else(|| destinations.first())
    }

    fn share(&self, cell: &Cell) -> Share {
        let count = |dimension| self.plain(cell, dimension).map_or(0, Ranges::count);
        let origin = self.side(cell, ENI_ADDRESSES).first();
        let origin = origin.and_then(|(number, _)| self.origins.get(*number as usize));
        let eni_ports = origin.map_or(0, |origin| origin.ports.count());
        let (part, whole) = self.share_of_gateway(cell);
        let mut share = self.share_of_origins(cell).times(part, whole);
        for (part, whole) in
            [(count(PORTS), self.question.ports.count()), (count(ENI_PORTS), eni_ports)]
        {
            share = share.times(part.into(), whole.into());
        }
        match count(GATEWAY_PORTS) {
            0 => share,
            ports => share.times(ports.into(), origin::gateway_ports().count().into()),
        }
    }

    /// Returns the share of a cell's attachments, addresses and destinations: each counts the same.
    fn share_of_origins(&self, cell: &Cell) -> Share {
        let part = |(number, ranges): &(u32, Ranges)| {
            let all =
                self.origins.get(*number as usize).map_or(0, |origin| origin.addresses.count());
            (ranges.count(), all)
        };
        let parts = || self.side(cell, ENI_ADDRESSES).iter().map(part);
        let destinations = self.plain(cell, DESTINATIONS).map_or(0, Ranges::count);
        let of = match cell.verdict {
            CellVerdict::Unowned(..) => self.question.destinations.count(),
            CellVerdict::Denied(..) | CellVerdict::Passes(..) | CellVerdict::Admitted(..) => {
                self.counted
            }
        };
        let (part, whole) = share_of_equals(parts(), self.origins.len());
        Share::ALL.times(part, whole).times(destinations.into(), of.into())
    }

    /// Returns the share of a cell's NAT gateway addresses: each position counts the same, and so
    /// does each address there.
    fn share_of_gateway(&self, cell: &Cell) -> (u128, u128) {
        let side = self.side(cell, GATEWAY_ADDRESSES);
        let Some((kind, _)) = side.first() else { return (1, 1) };
        let (ix, _) = gateway_of(*kind);
        let all = self.gateways.get(ix.get()).map_or(&[][..], |all| all);
        let part = |(kind, ranges): &(u32, Ranges)| {
            let (_, position) = gateway_of(*kind);
            (ranges.count(), all.get(position).map_or(0, Ranges::count))
        };
        share_of_equals(side.iter().map(part), all.len())
    }
}

fn hosts(snapshot: &Snapshot) -> Vec<u32> {
    let parts = snapshot.parts();
    let resources = parts.resources.iter().map(|resource| resource.address);
    let public = parts.resources.iter().filter_map(|resource| resource.public_address);
    let hosts = parts.internet_hosts.iter().map(|host| host.address);
    let all = resources.chain(public).chain(hosts);
    sorted(all.map(Ipv4Addr::to_bits).collect())
}

/// Returns the port, or the ICMP identifier, that a sample has if its class has it.
fn usual_port(position: u32) -> u32 {
    match ports::at(position) {
        (Protocol::Icmp, _) => 1,
        (Protocol::Tcp | Protocol::Udp | Protocol::Other(_), _) => 49_152,
    }
}

fn gateway_of(kind: u32) -> (NatGatewayIx, usize) {
    (NatGatewayIx::from((kind >> 8) as usize), (kind & 0xff) as usize)
}

/// Adds parts of wholes, each of which is one of `of` equal parts.
fn share_of_equals(parts: impl Iterator<Item = (u64, u64)>, of: usize) -> (u128, u128) {
    // A part of nothing is App Runner's own egress, which has no addresses: it is the whole.
    let full = |(part, whole): (u64, u64)| if part == whole { (1, 1) } else { (part, whole) };
    let parts: Vec<(u64, u64)> = parts.map(full).collect();
    let multiple = |common, (_, whole): &(u64, u64)| lcm(common, u128::from(*whole));
    // Without a common multiple of this size, the shares of the parts are rounded.
    let common = parts.iter().try_fold(1, multiple).unwrap_or(1 << 64);
    let of_common = |(part, whole): &(u64, u64)| match common % u128::from(*whole) {
        0 => common / u128::from(*whole) * u128::from(*part),
        _ => common * u128::from(*part) / u128::from(*whole),
    };
    (parts.iter().map(of_common).sum(), common * of as u128)
}

/// Returns the least common multiple, if it is small enough to calculate with.
fn lcm(a: u128, b: u128) -> Option<u128> {
    (a / gcd(a, b)).checked_mul(b).filter(|common| *common < 1 << 64)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}
