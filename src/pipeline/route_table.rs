//! The subnet's route table: the longest prefix wins, and a blackhole that wins is the end (spec 3.2, 3.3).

use super::middlebox::DeadEnd;
use super::walk::Walk;
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::{RuleRef, Snapshot, SubnetIx, Target};
use ipnetwork::Ipv4Network;

/// The route that won.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen<'a> {
    pub(super) target: &'a Target,
    pub(super) rule: RuleRef,
}

/// The route that wins in a subnet's table, of a network for all its addresses that no longer prefix holds.
#[inline]
pub(super) fn lookup_network(
    snapshot: &Snapshot,
    subnet: SubnetIx,
    destination: Ipv4Network,
) -> Option<Chosen<'_>> {
    let table = snapshot.subnet(subnet).route_table;
    let (position, route) = snapshot.route_table(table).lookup_network(destination)?;
    Some(Chosen { target: &route.target, rule: RuleRef::Route(table, position) })
}

/// Follows a route.
pub(super) fn pass<R: Recorder>(walk: &mut Walk<'_, R>, subnet: SubnetIx, rule: RuleRef) {
    let component = Component::RouteTable(walk.snapshot.subnet(subnet).route_table, subnet);
    walk.step(Stage::RouteTable, component, Some(rule), Outcome::Pass);
}

/// Ends a packet that the table of a subnet leads nowhere.
pub(super) fn refuse<R: Recorder>(
    walk: &mut Walk<'_, R>,
    subnet: SubnetIx,
    dead_end: DeadEnd,
) -> Denial {
    let table = walk.snapshot.subnet(subnet).route_table;
    let (reason, decided_by) = match dead_end {
        DeadEnd::NoRoute => (Reason::NoRoute, RuleRef::RouteTable(table)),
        DeadEnd::Blackhole(rule) => (Reason::RouteBlackhole, rule),
        DeadEnd::Loop(rule) => (Reason::MiddleboxLoop, rule),
    };
    walk.deny(Component::RouteTable(table, subnet), reason, decided_by, Detail::None)
}

/// The route that takes the reply on, or the end of its way. A local route is there in every table, and mostly not worth
/// telling.
pub(super) fn lead_back<R: Recorder>(
    walk: &mut Walk<'_, R>,
    subnet: SubnetIx,
    led: Result<RuleRef, Denial>,
    telling: bool,
) -> Result<(), Denial> {
    let component = Component::RouteTable(walk.snapshot.subnet(subnet).route_table, subnet);
    match led {
        Ok(rule) if telling => {
            walk.step(Stage::RouteTableReturn, component, Some(rule), Outcome::Pass);
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(denial) => Err(walk.deny(component, denial.reason, denial.decided_by, Detail::None)),
    }
}

/// Says that no route is asked inside a subnet.
pub(super) fn skip_inside<R: Recorder>(walk: &mut Walk<'_, R>, subnet: SubnetIx) {
    let component = Component::RouteTable(walk.snapshot.subnet(subnet).route_table, subnet);
    walk.step_with(Stage::RouteTable, component, None, Outcome::Skip, Detail::SameSubnet(subnet));
}
