//! Network ACLs: stateless, evaluated wherever a packet leaves or enters a subnet, for the request and for the reply (spec 5).

use super::middlebox::Onward;
use super::port_lease::Grant;
use super::security_group::Passing;
use super::walk::{AtEni, Path, Walk};
use super::way::{Passage, Way};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, route_table};
use crate::packet::Tuple;
use crate::vpc::{AclAction, Direction, RuleRef, Snapshot, SubnetIx, Traffic};
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

/// Leaves a subnet: unless the NAT gateway that is next stands in the same one (spec 3.1).
pub(super) fn leave_for<R: Recorder>(
    walk: &mut Walk<'_, R>,
    subnet: SubnetIx,
    onward: Onward,
) -> Result<(), Denial> {
    if let Onward::NatGateway(nat) = onward
        && walk.snapshot.nat_gateway(nat).subnet == subnet
    {
        skip_inside(walk, subnet, Stage::NetworkAclEgress);
        return Ok(());
    }
    leave(walk, subnet)
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
    let nat = path.nat.as_ref();
    let nat = nat.and_then(|(ix, grant)| ix.map(|ix| (ix, path.outside.src, grant.port())));
    let eni = (at.subnet, at.eni.address, eni.port());
    let way = Way::new(walk.snapshot, walk.probe.inside.dst, eni, nat);
    // An echo request is answered by type 0, code 0.
    let reply = Traffic { icmp: (0, 0), ..walk.probe.traffic() };
    let tracked = walk.leases.is_tracked();
    way.inbound(walk.snapshot, reply, &mut |passage| match passage {
        Passage::Border(crossing) => cross(walk, &crossing, Stage::NetworkAclReturn),
        Passage::Route { subnet, led, telling } => {
            route_table::lead_back(walk, subnet, led, telling)
        }
        Passage::Middlebox { middlebox, traffic, from, to, passed } => {
            let passing = Passing { traffic, from, to, tracked: tracked || passed };
            middlebox.pass(walk, &passing, Stage::MiddleboxReturn)
        }
    })
}

/// What an ACL makes of a crossing, without a walk.
pub(super) fn judge(snapshot: &Snapshot, crossing: &Crossing, stage: Stage) -> Result<(), Denial> {
    match evaluate(snapshot, crossing) {
        (_, Some(AclAction::Allow)) => Ok(()),
        (rule, action) => Err(denial(stage, crossing.direction, rule, action)),
    }
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
