//! The subnet's route table: the longest prefix wins, and a packet ends at a blackhole that wins
//! (spec 3.2, 3.3). The route that wins is part of the path ([`path`](crate::vpc::path)).

use crate::flow::Side;
use crate::pipeline::evaluation::{Evaluation, Transit};
use crate::pipeline::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, Step};
use crate::vpc::{RuleRef, Snapshot, SubnetIx, Target};

/// Follows a route.
pub(in crate::pipeline) fn follow<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    subnet: SubnetIx,
    route: RuleRef,
) {
    let stage = match transit.side {
        Side::Egress => Stage::RouteTable,
        // Every table has a local route, so a reply that only takes it has no step.
        Side::Return if !transit.behind_middlebox && is_local(evaluation.snapshot, route) => return,
        Side::Return => Stage::RouteTableReturn,
    };
    let component = component(evaluation.snapshot, subnet);
    evaluation.step(stage, component, Some(route), Outcome::Pass);
}

/// Records that no route is consulted inside a subnet.
pub(in crate::pipeline) fn skip<R: Recorder>(evaluation: &mut Evaluation<'_, R>, subnet: SubnetIx) {
    evaluation.record(Step {
        stage: Stage::RouteTable,
        component: component(evaluation.snapshot, subnet),
        rule: None,
        outcome: Outcome::Skip,
        detail: Detail::SameSubnet(subnet),
    });
}

/// Denies a packet for which the table of a subnet has no route.
pub(in crate::pipeline) fn refuse<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    subnet: SubnetIx,
    (reason, decided_by): (Reason, RuleRef),
) -> Denial {
    let component = component(evaluation.snapshot, subnet);
    evaluation.deny(component, reason, decided_by)
}

fn component(snapshot: &Snapshot, subnet: SubnetIx) -> Component {
    Component::RouteTable(snapshot.subnet(subnet).route_table, subnet)
}

fn is_local(snapshot: &Snapshot, route: RuleRef) -> bool {
    let RuleRef::Route(table, position) = route else { return false };
    let routes = &snapshot.route_table(table).routes;
    routes.get(usize::from(position)).is_some_and(|route| route.target == Target::Local)
}
