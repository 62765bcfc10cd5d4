//! Ports for the two source NATs: leased for a new flow, kept by a tracked one, only looked at in a
//! dry run.

use super::Device;
use super::arrival::{SpaceAddr, own_address};
use crate::flow::{Exhausted, Flow, Instant, Limit, PoolKey, PortLease, PortPools, Space};
use crate::packet::Inside;
use crate::vpc::{EniIx, NatAddress, NatGatewayIx, Snapshot};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The source of ports.
pub(super) struct Leases<'a> {
    pub(super) now: Instant,
    pub(super) pools: &'a Arc<PortPools>,
    pub(super) purpose: Purpose<'a>,
    /// The number of ports that this evaluation has looked at.
    pub(super) peeked: Cell<u64>,
}

/// The purpose of an evaluation.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// A packet without a flow.
    NewFlow,
    /// A flow of an older generation: it keeps its ports, and groups are not asked again, except
    /// those of an ENI that does not track it (spec 4.4).
    Tracked(&'a Flow),
    /// `egret explain`.
    DryRun,
    /// One packet of a set, with these ports and addresses.
    Chosen(Choice),
}

/// The translation of one packet of a set. A NAT chooses its address and port only when it takes
/// them, so a question about all packets asks about every choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The ENI's private address.
    pub(super) eni_address: Ipv4Addr,
    pub(super) eni_port: u16,
    /// The chosen one of a NAT gateway's addresses, by its position.
    pub(super) nat_position: usize,
    /// That address; `None` stands for the present one.
    pub(super) nat_address: Option<Ipv4Addr>,
    /// The port of a NAT gateway, or of App Runner's own NAT.
    pub(super) nat_port: u16,
}

/// A port that a flow has or would have.
#[derive(Debug)]
pub(super) enum Grant {
    Leased(PortLease),
    /// The port of a tracked flow; `None` if it has none there.
    Kept(Option<u16>),
    Peeked(u16),
}

impl Grant {
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Leased(lease) => lease.port(),
            Self::Kept(port) => port.unwrap_or(0),
            Self::Peeked(port) => *port,
        }
    }

    pub(super) fn into_lease(self) -> Option<PortLease> {
        match self {
            Self::Leased(lease) => Some(lease),
            Self::Kept(_) | Self::Peeked(_) => None,
        }
    }
}

impl Leases<'_> {
    pub(super) fn are_tracked(&self) -> bool {
        matches!(self.purpose, Purpose::Tracked(_))
    }

    /// Decides whether the packet is one of a flow that its ENI does not track.
    pub(super) fn are_untracked_at_eni(&self) -> bool {
        match self.purpose {
            Purpose::Tracked(flow) => flow.untracked,
            Purpose::NewFlow | Purpose::DryRun | Purpose::Chosen(_) => false,
        }
    }

    /// Decides whether the packet belongs to a running lab, and not to a question about its
    /// configuration.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.purpose, Purpose::NewFlow | Purpose::Tracked(_))
    }

    /// Returns the private address of an ENI: its own, unless another was chosen for this
    /// evaluation.
    #[inline]
    pub(super) fn eni_address(&self, own: Ipv4Addr) -> Ipv4Addr {
        match self.purpose {
            Purpose::Chosen(choice) => choice.eni_address,
            Purpose::NewFlow | Purpose::Tracked(_) | Purpose::DryRun => own,
        }
    }

    /// Grants a port of an ENI. At an ENI of a single task it is the task's own: only the address
    /// is translated.
    pub(super) fn eni(
        &self,
        snapshot: &Snapshot,
        ix: EniIx,
        inside: Inside,
    ) -> Result<Grant, Exhausted> {
        let eni = snapshot.eni(ix);
        let limit = Limit {
            per_destination: u32::MAX,
            per_address: snapshot.parts().limits.eni_connections,
        };
        let (space, address) = own_address(snapshot, Device::Eni(ix));
        let key = pool(space, address, inside);
        let own = inside.sport();
        match (self.purpose, eni.task) {
            (Purpose::NewFlow, Some(_)) => {
                return self.pools.own(key, own, limit.per_address).map(Grant::Leased);
            }
            (Purpose::DryRun, Some(_)) => {
                let taken = self.pools.leased(key.space, key.address);
                let free = taken < limit.per_address;
                return if free { Ok(Grant::Peeked(own)) } else { Err(Exhausted) };
            }
            (Purpose::Chosen(choice), _) => return Ok(Grant::Peeked(choice.eni_port)),
            (Purpose::Tracked(_), _) | (_, None) => {}
        }
        self.grant(snapshot, key, limit, |flow| flow.eni.as_ref().map(|(_, lease)| lease))
    }

    /// Grants an address of a NAT gateway, and a port of it. There is no limit on all ports
    /// together: every flow has a port of its ENI too.
    ///
    /// Addresses are taken in turn, and one whose ports toward this destination are all taken is
    /// skipped. AWS documents no rule; it does not pair a task with an address here, nor do
    /// RFC 4787 and 7857 require it (checklist U2, 7857-4): two flows of one task to one server may
    /// show the server two addresses. The same packets in the same order always take the same
    /// addresses.
    pub(super) fn nat_gateway(
        &self,
        snapshot: &Snapshot,
        ix: NatGatewayIx,
        toward: Space,
        inside: Inside,
    ) -> Result<(NatAddress, Grant), Exhausted> {
        let all = &snapshot.nat_gateway(ix).addresses;
        if let Purpose::Chosen(choice) = self.purpose {
            let own = all.get(choice.nat_position).ok_or(Exhausted)?;
            let private = choice.nat_address.unwrap_or(own.private);
            return Ok((NatAddress { private, ..*own }, Grant::Peeked(choice.nat_port)));
        }
        if let Purpose::Tracked(flow) = self.purpose {
            let kept = kept_at(snapshot, ix, flow).map(|(own, port)| (own, Some(port)));
            let other = || all.first().map(|own| (*own, None));
            let (own, port) = kept.or_else(other).ok_or(Exhausted)?;
            return Ok((own, Grant::Kept(port)));
        }
        let first = self.next_address(snapshot, ix);
        for own in all.iter().cycle().skip(first).take(all.len()) {
            let outside = if toward == Space::INTERNET { own.public } else { Some(own.private) };
            let Some(outside) = outside else { continue };
            if let Ok(grant) = self.of_nat(snapshot, (toward, outside), u32::MAX, inside) {
                return Ok((*own, grant));
            }
        }
        Err(Exhausted)
    }

    /// Returns the private address that a packet has behind a NAT gateway, and takes no port.
    pub(super) fn nat_gateway_address(&self, snapshot: &Snapshot, ix: NatGatewayIx) -> Ipv4Addr {
        let gateway = snapshot.nat_gateway(ix);
        let private = match self.purpose {
            Purpose::Tracked(flow) => kept_at(snapshot, ix, flow).map(|(own, _)| own.private),
            Purpose::NewFlow | Purpose::DryRun => {
                let next = self.looking().next_address(snapshot, ix);
                gateway.addresses.get(next).map(|own| own.private)
            }
            Purpose::Chosen(choice) => choice
                .nat_address
                .or_else(|| gateway.addresses.get(choice.nat_position).map(|own| own.private)),
        };
        private.unwrap_or(gateway.private_address())
    }

    /// Returns leases that only look: for a packet that takes no port although a new flow would.
    pub(super) fn looking(&self) -> Leases<'_> {
        let purpose = match self.purpose {
            Purpose::NewFlow => Purpose::DryRun,
            Purpose::Tracked(_) | Purpose::DryRun | Purpose::Chosen(_) => self.purpose,
        };
        let peeked = Cell::new(self.peeked.get());
        Leases { now: self.now, pools: self.pools, purpose, peeked }
    }

    /// Returns the position of the NAT gateway's next address; only a new flow advances it.
    fn next_address(&self, snapshot: &Snapshot, ix: NatGatewayIx) -> usize {
        let count = snapshot.nat_gateway(ix).addresses.len();
        if count <= 1 {
            return 0;
        }
        let nat = own_address(snapshot, Device::NatGateway(ix));
        let next = match self.purpose {
            Purpose::NewFlow => self.pools.advance_rotation(nat),
            Purpose::Tracked(_) | Purpose::DryRun | Purpose::Chosen(_) => self.pools.rotation(nat),
        };
        next as usize % count
    }

    /// Grants a port of App Runner's own NAT. AWS states no limit; egret uses that of an ENI, as
    /// both are Hyperplane's.
    ///
    /// So every flow counts against an ENI's limit or this one: `limits.eni_connections` for each
    /// ENI and once more bounds the flow table.
    pub(super) fn app_runner(
        &self,
        snapshot: &Snapshot,
        address: Ipv4Addr,
        inside: Inside,
    ) -> Result<Grant, Exhausted> {
        let per_address = snapshot.parts().limits.eni_connections;
        self.of_nat(snapshot, (Space::INTERNET, address), per_address, inside)
    }

    fn of_nat(
        &self,
        snapshot: &Snapshot,
        (space, address): SpaceAddr,
        per_address: u32,
        inside: Inside,
    ) -> Result<Grant, Exhausted> {
        let per_destination = snapshot.parts().limits.nat_connections_per_destination;
        let limit = Limit { per_destination, per_address };
        let key = pool(space, address, inside);
        self.grant(snapshot, key, limit, |flow| flow.nat.as_ref().map(|(_, lease)| lease))
    }

    fn grant(
        &self,
        snapshot: &Snapshot,
        key: PoolKey,
        limit: Limit,
        lease_of: impl Fn(&Flow) -> Option<&PortLease>,
    ) -> Result<Grant, Exhausted> {
        match self.purpose {
            Purpose::NewFlow => self
                .pools
                .lease(self.now, key, limit, snapshot.parts().timeouts.port_quarantine)
                .map(Grant::Leased),
            // A flow that must leave by another gateway has no port there: the caller sees that its
            // path has changed. Positions in tables differ between configurations, so the pool
            // shows whether it is the same NAT.
            Purpose::Tracked(flow) => {
                let kept = lease_of(flow).filter(|lease| *lease.key() == key);
                Ok(Grant::Kept(kept.map(PortLease::port)))
            }
            Purpose::Chosen(choice) => Ok(Grant::Peeked(choice.nat_port)),
            Purpose::DryRun => {
                let before = self.peeked.replace(self.peeked.get() + 1);
                self.pools.peek(key, limit, before).map(Grant::Peeked)
            }
        }
    }
}

/// Finds the address and the port that a flow has at a NAT gateway; `None` if it has none there.
fn kept_at(snapshot: &Snapshot, ix: NatGatewayIx, flow: &Flow) -> Option<(NatAddress, u16)> {
    let (_, lease) = flow.nat.as_ref()?;
    let PoolKey { space, address, .. } = *lease.key();
    let (vpc, _) = own_address(snapshot, Device::NatGateway(ix));
    let has = |own: &&NatAddress| match space {
        Space::INTERNET => own.public == Some(address),
        _ => space == vpc && own.private == address,
    };
    let own = snapshot.nat_gateway(ix).addresses.iter().find(has)?;
    Some((*own, lease.port()))
}

fn pool(space: Space, address: Ipv4Addr, inside: Inside) -> PoolKey {
    let protocol = inside.protocol();
    let port = if protocol.has_ports() { inside.dport() } else { 0 };
    PoolKey { space, address, protocol: protocol.number(), destination: inside.dst(), port }
}
