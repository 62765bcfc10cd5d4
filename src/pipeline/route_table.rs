//! The subnet's route table: the longest prefix wins, and a blackhole that wins is the end (spec 3.2, 3.3).

use super::walk::Walk;
use super::way::Way;
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::{RuleRef, Snapshot, SubnetIx, Target};
use std::net::Ipv4Addr;

/// The route that won.
#[derive(Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) target: &'a Target,
    pub(super) rule: RuleRef,
}

/// The route that wins in a subnet's table.
pub(super) fn lookup(
    snapshot: &Snapshot,
    subnet: SubnetIx,
    destination: Ipv4Addr,
) -> Option<Chosen<'_>> {
    let table = snapshot.subnet(subnet).route_table;
    let (position, route) = snapshot.route_table(table).lookup(destination)?;
    Some(Chosen { target: &route.target, rule: RuleRef::Route(table, position) })
}

/// Insists on a route that leads on.
pub(super) fn require<'a, R: Recorder>(
    walk: &mut Walk<'_, R>,
    subnet: SubnetIx,
    chosen: Option<Chosen<'a>>,
) -> Result<Chosen<'a>, Denial> {
    let table = walk.snapshot.subnet(subnet).route_table;
    let component = Component::RouteTable(table, subnet);
    let Some(chosen) = chosen else {
        return Err(walk.deny(
            component,
            Reason::NoRoute,
            RuleRef::RouteTable(table),
            Detail::None,
        ));
    };
    match chosen.target {
        Target::Blackhole(_) => Err(blackhole(walk, subnet, chosen)),
        Target::Local
        | Target::InternetGateway
        | Target::NatGateway(_)
        | Target::GatewayEndpoint(_)
        | Target::Peering(_) => {
            walk.step(Stage::RouteTable, component, Some(chosen.rule), Outcome::Pass);
            Ok(chosen)
        }
    }
}

/// Ends a packet at a route whose target is gone.
pub(super) fn blackhole<R: Recorder>(
    walk: &mut Walk<'_, R>,
    subnet: SubnetIx,
    chosen: Chosen<'_>,
) -> Denial {
    let component = Component::RouteTable(walk.snapshot.subnet(subnet).route_table, subnet);
    walk.deny(component, Reason::RouteBlackhole, chosen.rule, Detail::None)
}

/// Insists that the reply is routed back the way that the request came: by the local route within a VPC, by the same
/// peering connection from another.
pub(super) fn lead_back<R: Recorder>(walk: &mut Walk<'_, R>, way: &Way) -> Result<(), Denial> {
    let (Some(subnet), Some(led)) = (way.far(), way.route_back(walk.snapshot)) else {
        return Ok(());
    };
    let component = Component::RouteTable(walk.snapshot.subnet(subnet).route_table, subnet);
    match led {
        Ok(rule) => {
            // The local route is there in every table, and not worth a step.
            if way.is_peered() {
                walk.step(Stage::RouteTableReturn, component, Some(rule), Outcome::Pass);
            }
            Ok(())
        }
        Err(denial) => Err(walk.deny(component, denial.reason, denial.decided_by, Detail::None)),
    }
}

/// Says that no route is asked inside a subnet.
pub(super) fn skip_inside<R: Recorder>(walk: &mut Walk<'_, R>, subnet: SubnetIx) {
    let component = Component::RouteTable(walk.snapshot.subnet(subnet).route_table, subnet);
    walk.step_with(Stage::RouteTable, component, None, Outcome::Skip, Detail::SameSubnet(subnet));
}
