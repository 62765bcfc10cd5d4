//! The subnets between a task and its destination: what replies cross, and ICMP errors in both directions.

use super::network_acl::{self, Crossing};
use super::{Denial, Reason, Stage, route_table};
use crate::flow::Flow;
use crate::vpc::{
    Direction, NatGatewayIx, PeeringIx, RuleRef, Snapshot, SubnetIx, Target, Traffic, VpcIx,
};
use std::net::Ipv4Addr;

/// The most borders that a packet crosses: out of the ENI's subnet, into and out of a NAT gateway's, into the server's.
pub(super) const CROSSINGS: usize = 4;

/// The ENI or the NAT gateway of a flow is not in this configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

/// A way from an ENI to a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The other end.
    server: Ipv4Addr,
    /// The ENI's subnet, address and port.
    eni: (SubnetIx, Ipv4Addr, u16),
    /// The NAT gateway, the address of it that the server sees, and its port, if there is one on the way.
    nat: Option<(NatGatewayIx, Ipv4Addr, u16)>,
    /// The server's subnet; `None` on the internet and behind a gateway endpoint.
    far: Option<SubnetIx>,
    /// The peering connection on the way to that subnet.
    peering: Option<PeeringIx>,
}

/// A subnet on the way, with the address and port that replies to it are sent to.
#[derive(Clone, Copy)]
struct Stop {
    subnet: SubnetIx,
    address: Ipv4Addr,
    port: u16,
}

impl Way {
    pub(super) fn new(
        snapshot: &Snapshot,
        server: Ipv4Addr,
        eni: (SubnetIx, Ipv4Addr, u16),
        nat: Option<(NatGatewayIx, Ipv4Addr, u16)>,
    ) -> Self {
        let sender = nat.map_or(eni.0, |(ix, ..)| snapshot.nat_gateway(ix).subnet);
        let (far, peering) = far_end(snapshot, sender, server, nat.is_some());
        Self { server, eni, nat, far, peering }
    }

    /// The way that a flow took; `None` if it leads through no VPC.
    ///
    /// # Errors
    /// [`Gone`] if this configuration does not have it. The flow may be older, so its ENI and NAT gateway are found by
    /// their addresses: positions in tables are another configuration's.
    pub(super) fn of(snapshot: &Snapshot, flow: &Flow) -> Result<Option<Self>, Gone> {
        let Some((_, lease)) = &flow.eni else { return Ok(None) };
        let eni = snapshot.eni(flow.eni_in(snapshot).ok_or(Gone)?);
        let nat = match &flow.nat {
            Some((Some(_), lease)) => {
                let seen = flow.returned.tuple().dst;
                Some((flow.nat_gateway_in(snapshot).ok_or(Gone)?, seen, lease.port()))
            }
            Some((None, _)) | None => None,
        };
        let eni = (eni.subnet, eni.address, lease.port());
        Ok(Some(Self::new(snapshot, flow.egress.tuple().dst, eni, nat)))
    }

    /// The borders that a packet from the task crosses, in order.
    pub(super) fn outbound(
        &self,
        snapshot: &Snapshot,
        traffic: Traffic,
    ) -> [Option<Crossing>; CROSSINGS] {
        let (home, nat) = self.stops(snapshot);
        let leave = |subnet| Crossing {
            subnet,
            direction: Direction::Egress,
            traffic,
            remote: self.server,
        };
        let enter = |subnet, from: Stop| Crossing {
            subnet,
            direction: Direction::Ingress,
            traffic,
            remote: from.address,
        };
        let last = nat.unwrap_or(home);
        let to_nat = nat.filter(|nat| nat.subnet != home.subnet);
        let beyond = self.far.is_none_or(|far| far != last.subnet);
        let into = self.far.filter(|far| *far != last.subnet);
        [
            to_nat.map(|_| leave(home.subnet)),
            to_nat.map(|nat| enter(nat.subnet, home)),
            beyond.then(|| leave(last.subnet)),
            into.map(|far| enter(far, last)),
        ]
    }

    /// The borders that a packet to the task crosses, in order; the first is that of the server's subnet. `traffic` gives
    /// protocol and ICMP type; ports are the NATs' own.
    pub(super) fn inbound(
        &self,
        snapshot: &Snapshot,
        traffic: Traffic,
    ) -> [Option<Crossing>; CROSSINGS] {
        let (home, nat) = self.stops(snapshot);
        let to_port =
            |port| Traffic { port: if traffic.protocol.has_ports() { port } else { 0 }, ..traffic };
        let enter = |at: Stop| Crossing {
            subnet: at.subnet,
            direction: Direction::Ingress,
            traffic: to_port(at.port),
            remote: self.server,
        };
        let leave = |subnet, to: Stop| Crossing {
            subnet,
            direction: Direction::Egress,
            traffic: to_port(to.port),
            remote: to.address,
        };
        let first = nat.unwrap_or(home);
        let out_of = self.far.filter(|far| *far != first.subnet);
        let beyond = self.far.is_none_or(|far| far != first.subnet);
        let from_nat = nat.filter(|nat| nat.subnet != home.subnet);
        [
            out_of.map(|far| leave(far, first)),
            beyond.then(|| enter(first)),
            from_nat.map(|nat| leave(nat.subnet, home)),
            from_nat.map(|_| enter(home)),
        ]
    }

    /// What keeps a packet from getting back to the task; `traffic` as for [`Way::inbound`].
    pub(super) fn refusal_inbound(&self, snapshot: &Snapshot, traffic: Traffic) -> Option<Denial> {
        let crossings = self.inbound(snapshot, traffic);
        network_acl::refusal(snapshot, crossings, Stage::NetworkAclReturn)
            .or_else(|| self.route_back(snapshot)?.err())
    }

    /// The route that takes the reply out of the server's subnet: back to where the request came from, or elsewhere.
    /// `None` where no table of the lab is asked.
    pub(super) fn route_back(&self, snapshot: &Snapshot) -> Option<Result<RuleRef, Denial>> {
        let (home, nat) = self.stops(snapshot);
        let last = nat.unwrap_or(home);
        let far = self.far.filter(|far| *far != last.subnet)?;
        let expected = self.peering.map_or(Target::Local, Target::Peering);
        Some(match route_table::lookup(snapshot, far, last.address) {
            Some(chosen) if *chosen.target == expected => Ok(chosen.rule),
            chosen => {
                let table = RuleRef::RouteTable(snapshot.subnet(far).route_table);
                let decided_by = chosen.map_or(table, |chosen| chosen.rule);
                Err(Denial { reason: Reason::ReplyNotRoutedBack, decided_by })
            }
        })
    }

    /// The server's subnet; `None` on the internet and behind a gateway endpoint.
    pub(super) fn far(&self) -> Option<SubnetIx> {
        self.far
    }

    /// The same way back from a router on it, which speaks for the server.
    pub(super) fn with_server(self, server: Ipv4Addr) -> Self {
        Self { server, ..self }
    }

    /// Whether the server is in another VPC.
    pub(super) fn is_peered(&self) -> bool {
        self.peering.is_some()
    }

    fn stops(&self, snapshot: &Snapshot) -> (Stop, Option<Stop>) {
        let (subnet, address, port) = self.eni;
        let nat = self.nat.map(|(ix, address, port)| {
            let subnet = snapshot.nat_gateway(ix).subnet;
            Stop { subnet, address, port }
        });
        (Stop { subnet, address, port }, nat)
    }
}

/// The subnet that a sender's packets to a server end in, and the peering connection that they take.
fn far_end(
    snapshot: &Snapshot,
    sender: SubnetIx,
    server: Ipv4Addr,
    by_nat: bool,
) -> (Option<SubnetIx>, Option<PeeringIx>) {
    let vpc = snapshot.subnet(sender).vpc;
    if let Some(own) = snapshot.subnet_of(vpc, server) {
        return (Some(own), None);
    }
    let peering = match route_table::lookup(snapshot, sender, server).map(|chosen| chosen.target) {
        Some(&Target::Peering(ix)) => Some(ix),
        Some(Target::GatewayEndpoint(_)) => None,
        // The route there may be gone, and a peer that has the address still answers; the internet does not answer an ENI.
        Some(
            Target::Local | Target::InternetGateway | Target::NatGateway(_) | Target::Blackhole(_),
        )
        | None => {
            let has = |&(_, peer): &(PeeringIx, VpcIx)| snapshot.vpc(peer).contains(server);
            snapshot.peers_of(vpc).find(has).filter(|_| !by_nat).map(|(ix, _)| ix)
        }
    };
    let peer = peering.and_then(|ix| snapshot.peering(ix).peer_of(vpc));
    (peer.and_then(|peer| snapshot.subnet_of(peer, server)), peering)
}
