//! Network ACLs: stateless, evaluated for each packet that leaves or enters a subnet, for the
//! request and for the reply (spec 5).

use crate::flow::Side;
use crate::pipeline::evaluation::{Evaluation, Transit};
use crate::pipeline::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, Step};
use crate::vpc::{AclAction, Direction, RuleRef, SubnetIx};

/// Judges a packet that crosses the boundary of a subnet.
pub(in crate::pipeline) fn cross<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    subnet: SubnetIx,
    direction: Direction,
) -> Result<(), Denial> {
    let acl = evaluation.snapshot.subnet(subnet).network_acl;
    let traffic = transit.traffic();
    let remote = match direction {
        Direction::Egress => transit.tuple.dst,
        Direction::Ingress => transit.tuple.src,
    };
    let found = evaluation.snapshot.network_acl(acl).evaluate(direction, traffic, remote);
    let (rule, action) = match found {
        Some((position, action)) => {
            (RuleRef::NetworkAclRule(acl, direction, position, subnet), Some(action))
        }
        None => (RuleRef::NetworkAclImplicitDeny(acl, direction, subnet), None),
    };
    let passes = action == Some(AclAction::Allow);
    evaluation.record(Step {
        stage: stage(transit.side, direction),
        component: Component::NetworkAcl(acl, subnet),
        rule: Some(rule),
        outcome: if passes { Outcome::Pass } else { Outcome::Drop },
        detail: Detail::Crossing { remote, port: traffic.port },
    });
    let reason = || reason(transit.side, direction, action.is_some());
    if passes { Ok(()) } else { Err(Denial { reason: reason(), decided_by: rule }) }
}

/// Records that a packet stays inside a subnet.
pub(in crate::pipeline) fn skip<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    subnet: SubnetIx,
    direction: Direction,
) {
    evaluation.record(Step {
        stage: stage(transit.side, direction),
        component: Component::NetworkAcl(evaluation.snapshot.subnet(subnet).network_acl, subnet),
        rule: None,
        outcome: Outcome::Skip,
        detail: Detail::SameSubnet(subnet),
    });
}

fn stage(side: Side, direction: Direction) -> Stage {
    match (side, direction) {
        (Side::Egress, Direction::Egress) => Stage::NetworkAclEgress,
        (Side::Egress, Direction::Ingress) => Stage::NetworkAclIngress,
        (Side::Return, _) => Stage::NetworkAclReturn,
    }
}

fn reason(side: Side, direction: Direction, explicit: bool) -> Reason {
    match (side, direction, explicit) {
        (Side::Return, _, true) => Reason::NaclReturnDeny,
        (Side::Return, _, false) => Reason::NaclReturnImplicitDeny,
        (Side::Egress, Direction::Egress, true) => Reason::NaclEgressDeny,
        (Side::Egress, Direction::Egress, false) => Reason::NaclEgressImplicitDeny,
        (Side::Egress, Direction::Ingress, true) => Reason::NaclIngressDeny,
        (Side::Egress, Direction::Ingress, false) => Reason::NaclIngressImplicitDeny,
    }
}
