//! Security groups, of the ENI for egress and of the destination for ingress, independent of each
//! other (spec 4.2). A tracked flow is not checked again: a rule change does not cut it. One that
//! the ENI does not track is, in both directions (spec 4.4).

use crate::pipeline::evaluation::{Evaluation, Message, Transit};
use crate::pipeline::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage, Step};
use crate::vpc::security_group::{Remote, RuleSet};
use crate::vpc::{Direction, EniIx, ResourceIx, RuleRef, VpcIx};

/// Checks the outbound rules of the ENI's groups.
pub(in crate::pipeline) fn egress<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    ix: EniIx,
) -> Result<RuleRef, Denial> {
    let gate = Gate {
        stage: Stage::SecurityGroupEgress,
        component: Component::Eni(ix),
        direction: Direction::Egress,
        implicit: RuleRef::EniSecurityGroups(ix, Direction::Egress),
        no_rules: Reason::SgEgressNoRules,
        mismatch: Reason::SgEgressImplicitDeny,
    };
    let rules = evaluation.snapshot.eni(ix).egress();
    if is_untracked(evaluation, transit) {
        return gate.of_untracked_flow().pass(evaluation, transit, rules, false);
    }
    gate.pass(evaluation, transit, rules, transit.tracked)
}

/// Checks the inbound rules of the ENI's groups for a reply to a flow that the ENI does not track.
pub(in crate::pipeline) fn reply<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    ix: EniIx,
) -> Result<(), Denial> {
    let rules = evaluation.snapshot.eni(ix).ingress();
    let gate = Gate {
        stage: Stage::SecurityGroupIngress,
        component: Component::Eni(ix),
        direction: Direction::Ingress,
        implicit: RuleRef::EniSecurityGroups(ix, Direction::Ingress),
        no_rules: Reason::SgUntrackedFlow,
        mismatch: Reason::SgUntrackedFlow,
    };
    gate.pass(evaluation, transit, rules, false).map(drop)
}

/// Decides whether a packet belongs to a flow that the ENI does not track. Errors about it are
/// ICMP, which is always tracked.
fn is_untracked<R>(evaluation: &Evaluation<'_, R>, transit: &Transit) -> bool {
    let is_own = match transit.message {
        Message::Own { .. } => true,
        Message::IcmpError { .. } => false,
    };
    is_own && evaluation.leases.are_untracked_at_eni()
}

/// Checks the inbound rules of the destination's groups. The sender has a private address of `vpc`,
/// or of one peered with it. References to groups mean that address, so they match an ENI, and no
/// longer after a NAT gateway or a middlebox (spec 3.7, 4.2). For a sender on the internet the
/// groups of a public endpoint see the public address.
pub(in crate::pipeline) fn ingress<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    (vpc, resource): (VpcIx, ResourceIx),
) -> Result<RuleRef, Denial> {
    let rules = evaluation.snapshot.ingress(resource);
    let traffic = transit.traffic();
    let would_admit = |remote: Remote| rules.evaluate(traffic, remote).is_some();
    let over_internet = transit.tuple.dst != evaluation.destination();
    let mismatch = if hidden(evaluation, transit, vpc).is_some_and(would_admit) {
        if over_internet { Reason::SgIngressPublicAddress } else { Reason::SgIngressBehindNat }
    } else if transit.behind_middlebox
        && would_admit(Remote { behind_middlebox: false, ..transit.remote() })
    {
        Reason::SgIngressBehindMiddlebox
    } else {
        Reason::SgIngressImplicitDeny
    };
    let gate = Gate {
        stage: Stage::SecurityGroupIngress,
        component: Component::Resource(resource),
        direction: Direction::Ingress,
        implicit: RuleRef::DestinationSecurityGroups(vpc, transit.tuple.dst),
        no_rules: Reason::SgIngressNoRules,
        mismatch,
    };
    gate.pass(evaluation, transit, rules, transit.tracked)
}

/// Returns the ENI of the sender, if the groups of a destination in `vpc` see another address in
/// its place. Between VPCs that nothing joins, its private address has no meaning.
fn hidden<R: Recorder>(
    evaluation: &Evaluation<'_, R>,
    transit: &Transit,
    vpc: VpcIx,
) -> Option<Remote> {
    let snapshot = evaluation.snapshot;
    let home = snapshot.subnet(snapshot.eni(evaluation.probe.task.eni?).subnet).vpc;
    let over_internet = transit.tuple.dst != evaluation.destination();
    let means_anything = !over_internet || snapshot.are_joined(home, vpc);
    let (eni, _) = transit.eni.filter(|_| transit.member.is_unspecified() && means_anything)?;
    Some(eni)
}

/// Checks the groups of an appliance through which a packet is routed: inbound as for a packet
/// addressed to it, and outbound as for one that it sends.
pub(in crate::pipeline) fn appliance<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &Transit,
    (appliance, direction): (ResourceIx, Direction),
    tracked: bool,
) -> Result<RuleRef, Denial> {
    let snapshot = evaluation.snapshot;
    let (stage, reason, rules) = match direction {
        Direction::Ingress => {
            let rules = snapshot.ingress(appliance);
            (Stage::SecurityGroupIngress, Reason::ApplianceSgIngress, rules)
        }
        Direction::Egress => {
            (Stage::SecurityGroupEgress, Reason::ApplianceSgEgress, snapshot.egress(appliance))
        }
    };
    let gate = Gate {
        stage,
        component: Component::NetworkInterface(appliance),
        direction,
        implicit: RuleRef::ApplianceSecurityGroups(appliance, direction),
        no_rules: reason,
        mismatch: reason,
    };
    gate.pass(evaluation, transit, rules, tracked)
}

/// One direction of an interface's groups.
struct Gate {
    stage: Stage,
    component: Component,
    direction: Direction,
    implicit: RuleRef,
    no_rules: Reason,
    mismatch: Reason,
}

impl Gate {
    fn of_untracked_flow(self) -> Self {
        Self { no_rules: Reason::SgUntrackedFlow, mismatch: Reason::SgUntrackedFlow, ..self }
    }

    fn pass<R: Recorder>(
        &self,
        evaluation: &mut Evaluation<'_, R>,
        transit: &Transit,
        rules: &RuleSet,
        tracked: bool,
    ) -> Result<RuleRef, Denial> {
        if tracked {
            evaluation.record(Step {
                stage: self.stage,
                component: self.component,
                rule: None,
                outcome: Outcome::Skip,
                detail: Detail::Tracked,
            });
            return Ok(RuleRef::FlowTable);
        }
        let traffic = transit.traffic();
        let peer = match self.direction {
            Direction::Egress => transit.receiver(),
            Direction::Ingress => transit.remote(),
        };
        if let Some((group, position)) = rules.evaluate(traffic, peer) {
            let rule = RuleRef::SecurityGroupRule(group, self.direction, position);
            evaluation.step(self.stage, self.component, Some(rule), Outcome::Pass);
            return Ok(rule);
        }
        if rules.is_empty() {
            return Err(evaluation.deny(self.component, self.no_rules, self.implicit));
        }
        let near = if R::NEAR_MISSES { rules.nearest_miss(traffic, peer) } else { None };
        let detail = near.map_or(Detail::None, |miss| Detail::NearMiss(miss, self.direction));
        Err(evaluation.deny_with(self.component, self.mismatch, self.implicit, detail))
    }
}
