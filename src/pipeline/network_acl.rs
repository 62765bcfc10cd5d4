//! Network ACLs: stateless, evaluated wherever a packet leaves or enters a subnet, for the request and for the reply (spec 5).

use super::port_lease::Grant;
use super::walk::{AtEni, Path, Walk};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::flow::Flow;
use crate::packet::Tuple;
use crate::vpc::{
    AclAction, Direction, NatGatewayIx, RuleRef, Snapshot, SubnetIx, Target, Traffic,
};
use std::net::Ipv4Addr;

/// A packet crosses the border of a subnet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing {
    pub(super) subnet: SubnetIx,
    pub(super) direction: Direction,
    pub(super) traffic: Traffic,
    /// Source for ingress, destination for egress.
    pub(super) remote: Ipv4Addr,
}

/// What an ACL says of a crossing: the rule, and whether it lets the packet pass.
fn evaluate(snapshot: &Snapshot, crossing: &Crossing) -> (RuleRef, Option<AclAction>) {
    let Crossing { subnet, direction, traffic, remote } = *crossing;
    let ix = snapshot.subnet(subnet).network_acl;
    match snapshot.network_acl(ix).evaluate(direction, traffic, remote) {
        Some((position, action)) => {
            (RuleRef::NetworkAclRule(ix, direction, position, subnet), Some(action))
        }
        None => (RuleRef::NetworkAclImplicitDeny(ix, direction, subnet), None),
    }
}

/// Leaves the ENI's subnet: unless the NAT gateway that is next stands in the same one (spec 3.1).
pub(super) fn leave_for<R: Recorder>(
    walk: &mut Walk<'_, R>,
    at: &AtEni<'_>,
    target: Option<&Target>,
) -> Result<(), Denial> {
    if let Some(Target::NatGateway(nat)) = target
        && walk.snapshot.nat_gateway(*nat).subnet == at.subnet
    {
        skip_inside(walk, at.subnet, Stage::NetworkAclEgress);
        return Ok(());
    }
    leave(walk, at.subnet)
}

/// Leaves a subnet for the destination.
pub(super) fn leave<R: Recorder>(walk: &mut Walk<'_, R>, subnet: SubnetIx) -> Result<(), Denial> {
    let crossing = Crossing {
        subnet,
        direction: Direction::Egress,
        traffic: walk.probe.traffic(),
        remote: walk.probe.inside.dst,
    };
    cross(walk, &crossing, Stage::NetworkAclEgress)
}

/// Enters a subnet, with the source that `tuple` has.
pub(super) fn enter<R: Recorder>(
    walk: &mut Walk<'_, R>,
    tuple: Tuple,
    subnet: SubnetIx,
) -> Result<(), Denial> {
    let crossing = Crossing {
        subnet,
        direction: Direction::Ingress,
        traffic: walk.probe.traffic(),
        remote: tuple.src,
    };
    cross(walk, &crossing, Stage::NetworkAclIngress)
}

/// Says that a packet stays inside a subnet.
pub(super) fn skip_inside<R: Recorder>(walk: &mut Walk<'_, R>, subnet: SubnetIx, stage: Stage) {
    let component = Component::NetworkAcl(walk.snapshot.subnet(subnet).network_acl, subnet);
    walk.step_with(stage, component, None, Outcome::Skip, Detail::SameSubnet(subnet));
}

/// The reply's way back through the same subnets.
pub(super) fn reply<R: Recorder>(
    walk: &mut Walk<'_, R>,
    at: &AtEni<'_>,
    path: &Path,
    eni: &Grant,
) -> Result<(), Denial> {
    let way = Way {
        server: walk.probe.inside.dst,
        eni: (at.subnet, at.eni.address, eni.port()),
        nat: path.nat.as_ref().and_then(|(ix, grant)| ix.map(|ix| (ix, grant.port()))),
    };
    // An echo request is answered by type 0, code 0.
    let reply = Traffic { icmp: (0, 0), ..walk.probe.traffic() };
    for crossing in way.inbound(walk.snapshot, reply).into_iter().flatten() {
        cross(walk, &crossing, Stage::NetworkAclReturn)?;
    }
    Ok(())
}

/// The ENI or the NAT gateway of a flow is not in this configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

/// The subnets between a task and its destination, for replies and for ICMP errors both ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The other end.
    pub(super) server: Ipv4Addr,
    /// The ENI's subnet, address and port.
    pub(super) eni: (SubnetIx, Ipv4Addr, u16),
    /// The NAT gateway and its port, if there is one on the way.
    pub(super) nat: Option<(NatGatewayIx, u16)>,
}

impl Way {
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
                Some((flow.nat_gateway_in(snapshot).ok_or(Gone)?, lease.port()))
            }
            Some((None, _)) | None => None,
        };
        let eni = (eni.subnet, eni.address, lease.port());
        Ok(Some(Self { server: flow.egress.tuple().dst, eni, nat }))
    }

    /// The borders that a packet from the task crosses, in order.
    pub(super) fn outbound(&self, snapshot: &Snapshot, traffic: Traffic) -> [Option<Crossing>; 3] {
        let (home, eni, _) = self.eni;
        let leave = |subnet| Crossing {
            subnet,
            direction: Direction::Egress,
            traffic,
            remote: self.server,
        };
        let enter =
            |subnet| Crossing { subnet, direction: Direction::Ingress, traffic, remote: eni };
        match self.nat {
            Some((nat, _)) => {
                let public = snapshot.nat_gateway(nat).subnet;
                let apart = public != home;
                [apart.then(|| leave(home)), apart.then(|| enter(public)), Some(leave(public))]
            }
            None => {
                let vpc = snapshot.subnet(home).vpc;
                let away = snapshot.subnet_of(vpc, self.server).filter(|subnet| *subnet != home);
                [away.map(|_| leave(home)), away.map(enter), None]
            }
        }
    }

    /// The borders that a packet to the task crosses, in order. `traffic` gives protocol and ICMP type; ports are the NATs' own.
    pub(super) fn inbound(&self, snapshot: &Snapshot, traffic: Traffic) -> [Option<Crossing>; 3] {
        let (home, eni, eni_port) = self.eni;
        let to_port =
            |port| Traffic { port: if traffic.protocol.has_ports() { port } else { 0 }, ..traffic };
        let enter = |subnet, port| Crossing {
            subnet,
            direction: Direction::Ingress,
            traffic: to_port(port),
            remote: self.server,
        };
        let leave = |subnet| Crossing {
            subnet,
            direction: Direction::Egress,
            traffic: to_port(eni_port),
            remote: eni,
        };
        match self.nat {
            Some((nat, port)) => {
                let public = snapshot.nat_gateway(nat).subnet;
                let apart = public != home;
                [
                    Some(enter(public, port)),
                    apart.then(|| leave(public)),
                    apart.then(|| enter(home, eni_port)),
                ]
            }
            None => {
                let vpc = snapshot.subnet(home).vpc;
                let away = snapshot.subnet_of(vpc, self.server).filter(|subnet| *subnet != home);
                [away.map(leave), away.map(|_| enter(home, eni_port)), None]
            }
        }
    }
}

/// The first of these crossings that an ACL refuses.
pub(super) fn refusal(
    snapshot: &Snapshot,
    crossings: [Option<Crossing>; 3],
    stage: Stage,
) -> Option<Denial> {
    crossings.into_iter().flatten().find_map(|crossing| {
        let (rule, action) = evaluate(snapshot, &crossing);
        (action != Some(AclAction::Allow)).then(|| denial(stage, crossing.direction, rule, action))
    })
}

fn cross<R: Recorder>(
    walk: &mut Walk<'_, R>,
    crossing: &Crossing,
    stage: Stage,
) -> Result<(), Denial> {
    let (rule, action) = evaluate(walk.snapshot, crossing);
    let component =
        Component::NetworkAcl(walk.snapshot.subnet(crossing.subnet).network_acl, crossing.subnet);
    let detail = Detail::Crossing { remote: crossing.remote, port: crossing.traffic.port };
    if action == Some(AclAction::Allow) {
        walk.step_with(stage, component, Some(rule), Outcome::Pass, detail);
        return Ok(());
    }
    let denial = denial(stage, crossing.direction, rule, action);
    walk.step_with(stage, component, Some(rule), Outcome::Drop, detail);
    Err(denial)
}

/// The reason for an ACL's no: explicit or implicit, on the way there or back.
fn denial(stage: Stage, direction: Direction, rule: RuleRef, action: Option<AclAction>) -> Denial {
    let explicit = action.is_some();
    let reason = match (stage == Stage::NetworkAclReturn, direction, explicit) {
        (true, _, true) => Reason::NaclReturnDeny,
        (true, _, false) => Reason::NaclReturnImplicitDeny,
        (false, Direction::Egress, true) => Reason::NaclEgressDeny,
        (false, Direction::Egress, false) => Reason::NaclEgressImplicitDeny,
        (false, Direction::Ingress, true) => Reason::NaclIngressDeny,
        (false, Direction::Ingress, false) => Reason::NaclIngressImplicitDeny,
    };
    Denial { reason, decided_by: rule }
}
