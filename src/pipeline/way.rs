//! The subnets between a task and its destination: what replies cross, and ICMP errors in both directions.

use super::middlebox::{DeadEnd, End, Leg, Middlebox, Onward};
use super::network_acl::{self, Crossing};
use super::{Denial, Reason, Stage};
use crate::flow::Flow;
use crate::vpc::security_group::Remote;
use crate::vpc::{Direction, NatGatewayIx, PeeringIx, RuleRef, Snapshot, SubnetIx, Traffic, VpcIx};
use std::net::Ipv4Addr;

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

/// What a packet meets on its way.
pub(super) enum Passage {
    /// The border of a subnet.
    Border(Crossing),
    /// The table of a subnet, and the route that takes a reply on.
    Route { subnet: SubnetIx, led: Result<RuleRef, Denial>, telling: bool },
    /// A middlebox that a reply is led through, and whether the request was led through it too.
    Middlebox { middlebox: Middlebox, traffic: Traffic, from: Remote, to: Ipv4Addr, passed: bool },
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

    /// What keeps a packet from the task from the server. Groups are not asked: its flow is tracked.
    pub(super) fn refusal_outbound(&self, snapshot: &Snapshot, traffic: Traffic) -> Option<Denial> {
        let (home, nat) = self.stops(snapshot);
        let to_nat = match nat {
            Some(nat) => self.forth(snapshot, traffic, home, Some(nat.subnet)),
            None => Ok(()),
        };
        to_nat.and_then(|()| self.forth(snapshot, traffic, nat.unwrap_or(home), self.far)).err()
    }

    /// From a stop to a subnet, or out of the VPC.
    fn forth(
        &self,
        snapshot: &Snapshot,
        traffic: Traffic,
        from: Stop,
        to: Option<SubnetIx>,
    ) -> Result<(), Denial> {
        let cross = |subnet, direction, remote| {
            let crossing = Crossing { subnet, direction, traffic, remote };
            network_acl::judge(snapshot, &crossing, Stage::NetworkAclEgress)
        };
        let mut at = from.subnet;
        for hop in Leg::of(snapshot, from.subnet, self.server.into()).hops() {
            cross(at, Direction::Egress, self.server)?;
            cross(hop.subnet, Direction::Ingress, from.address)?;
            hop.middlebox.check(snapshot)?;
            at = hop.subnet;
        }
        if to != Some(at) {
            cross(at, Direction::Egress, self.server)?;
            to.map_or(Ok(()), |to| cross(to, Direction::Ingress, from.address))?;
        }
        Ok(())
    }

    /// Shows what a packet to the task meets, in order, beginning at the server, until something says no. `traffic` gives
    /// protocol and ICMP type; ports are the NATs' own.
    pub(super) fn inbound(
        &self,
        snapshot: &Snapshot,
        traffic: Traffic,
        visit: &mut impl FnMut(Passage) -> Result<(), Denial>,
    ) -> Result<(), Denial> {
        let (home, nat) = self.stops(snapshot);
        let first = nat.unwrap_or(home);
        match self.far {
            Some(far) if far == first.subnet => {}
            Some(far) => {
                let expected = self.peering.map_or(Onward::Local, Onward::Peering);
                self.back(snapshot, traffic, (far, first), expected, visit)?;
            }
            None => visit(Passage::Border(self.enter(traffic, first.subnet, first)))?,
        }
        match nat.filter(|nat| nat.subnet != home.subnet) {
            Some(nat) => self.back(snapshot, traffic, (nat.subnet, home), Onward::Local, visit),
            None => Ok(()),
        }
    }

    /// From another subnet to a stop, by the route tables on the way: straight or through middleboxes.
    fn back(
        &self,
        snapshot: &Snapshot,
        traffic: Traffic,
        (from, to): (SubnetIx, Stop),
        expected: Onward,
        visit: &mut impl FnMut(Passage) -> Result<(), Denial>,
    ) -> Result<(), Denial> {
        let leg = Leg::of(snapshot, from, to.address.into());
        let mut at = from;
        for hop in leg.hops() {
            visit(Passage::Border(leave(traffic, at, to)))?;
            visit(Passage::Route { subnet: at, led: Ok(hop.rule), telling: true })?;
            visit(Passage::Border(self.enter(traffic, hop.subnet, to)))?;
            let forth = Leg::of(snapshot, to.subnet, self.server.into());
            visit(Passage::Middlebox {
                middlebox: hop.middlebox,
                traffic: to_port(traffic, to.port),
                from: Remote { address: self.server, behind_middlebox: at != from },
                to: to.address,
                passed: forth.passes(hop.middlebox),
            })?;
            at = hop.subnet;
        }
        let led = match leg.end {
            End::Inside => return Ok(()),
            End::Route(rule, onward) if onward == expected => Ok(rule),
            End::Route(rule, _) | End::Nowhere(DeadEnd::Blackhole(rule) | DeadEnd::Loop(rule)) => {
                Err(rule)
            }
            End::Nowhere(DeadEnd::NoRoute) => {
                Err(RuleRef::RouteTable(snapshot.subnet(at).route_table))
            }
        };
        let reason = Reason::ReplyNotRoutedBack;
        let led = led.map_err(|decided_by| Denial { reason, decided_by });
        visit(Passage::Border(leave(traffic, at, to)))?;
        let telling = at != from || expected != Onward::Local;
        visit(Passage::Route { subnet: at, led, telling })?;
        visit(Passage::Border(self.enter(traffic, to.subnet, to)))
    }

    fn enter(&self, traffic: Traffic, subnet: SubnetIx, to: Stop) -> Crossing {
        let traffic = to_port(traffic, to.port);
        Crossing { subnet, direction: Direction::Ingress, traffic, remote: self.server }
    }

    /// What keeps a packet from getting back to the task; `traffic` as for [`Way::inbound`]. Groups are not asked: its flow
    /// is tracked.
    pub(super) fn refusal_inbound(&self, snapshot: &Snapshot, traffic: Traffic) -> Option<Denial> {
        let visit = &mut |passage| match passage {
            Passage::Border(crossing) => {
                network_acl::judge(snapshot, &crossing, Stage::NetworkAclReturn)
            }
            Passage::Route { led, .. } => led.map(|_| ()),
            Passage::Middlebox { middlebox, .. } => middlebox.check(snapshot),
        };
        self.inbound(snapshot, traffic, visit).err()
    }

    /// The same way back from a router on it, which speaks for the server.
    pub(super) fn with_server(self, server: Ipv4Addr) -> Self {
        Self { server, ..self }
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
    let peering = match Leg::of(snapshot, sender, server.into()).end {
        End::Route(_, Onward::Peering(ix)) => Some(ix),
        End::Route(_, Onward::GatewayEndpoint(_)) => None,
        // The route there may be gone, and a peer that has the address still answers; the internet does not answer an ENI.
        End::Route(_, Onward::Local | Onward::InternetGateway | Onward::NatGateway(_))
        | End::Inside
        | End::Nowhere(_) => {
            let has = |&(_, peer): &(PeeringIx, VpcIx)| snapshot.vpc(peer).contains(server);
            snapshot.peers_of(vpc).find(has).filter(|_| !by_nat).map(|(ix, _)| ix)
        }
    };
    let peer = peering.and_then(|ix| snapshot.peering(ix).peer_of(vpc));
    (peer.and_then(|peer| snapshot.subnet_of(peer, server)), peering)
}

fn leave(traffic: Traffic, subnet: SubnetIx, to: Stop) -> Crossing {
    let traffic = to_port(traffic, to.port);
    Crossing { subnet, direction: Direction::Egress, traffic, remote: to.address }
}

fn to_port(traffic: Traffic, port: u16) -> Traffic {
    Traffic { port: if traffic.protocol.has_ports() { port } else { 0 }, ..traffic }
}
