//! Security groups, both gates: the ENI's egress, and the destination's ingress, independent of each other (spec 4.2).
//! A tracked flow is not asked again: a rule change does not cut it (spec 4.4).

use super::walk::{AtEni, Sender, Walk};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::security_group::{Remote, RuleSet};
use crate::vpc::{Direction, ResourceIx, RuleRef, Traffic, VpcIx};
use std::net::Ipv4Addr;

pub(super) fn egress<R: Recorder>(
    walk: &mut Walk<'_, R>,
    at: &AtEni<'_>,
) -> Result<RuleRef, Denial> {
    let gate = Gate {
        stage: Stage::SecurityGroupEgress,
        component: Component::Eni(at.ix),
        direction: Direction::Egress,
        implicit: RuleRef::EniSecurityGroups(at.ix),
        no_rules: Reason::SgEgressNoRules,
        mismatch: Reason::SgEgressImplicitDeny,
    };
    gate.pass(walk, at.eni.egress(), &Passing::of_eni(walk))
}

/// The sender has a private address of `vpc`, or of one peered with it. References to groups mean that address, so they
/// match an ENI, and no longer behind a NAT gateway or a middlebox (spec 3.7, 4.2).
pub(super) fn ingress<R: Recorder>(
    walk: &mut Walk<'_, R>,
    sender: &Sender,
    vpc: VpcIx,
    resource: ResourceIx,
) -> Result<RuleRef, Denial> {
    let gate = Gate {
        stage: Stage::SecurityGroupIngress,
        component: Component::Resource(resource),
        direction: Direction::Ingress,
        implicit: RuleRef::DestinationSecurityGroups(vpc, walk.probe.inside.dst),
        no_rules: Reason::SgIngressNoRules,
        mismatch: Reason::SgIngressImplicitDeny,
    };
    let rules = walk.snapshot.ingress(resource);
    let would_admit = |address: Ipv4Addr| rules.evaluate(walk.probe.traffic(), address).is_some();
    let mismatch = if sender.tuple.src != sender.eni && would_admit(sender.eni) {
        Reason::SgIngressBehindNat
    } else if sender.behind_middlebox && would_admit(sender.tuple.src) {
        Reason::SgIngressBehindMiddlebox
    } else {
        gate.mismatch
    };
    Gate { mismatch, ..gate }.pass(walk, rules, &Passing::request(walk, sender))
}

/// A packet as the interface sees it that it comes to or goes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    pub(super) traffic: Traffic,
    pub(super) from: Remote,
    pub(super) to: Ipv4Addr,
    /// Whether the interface has tracked its flow already.
    pub(super) tracked: bool,
}

impl Passing {
    fn of_eni<R: Recorder>(walk: &Walk<'_, R>) -> Self {
        Self {
            traffic: walk.probe.traffic(),
            from: walk.probe.inside.src.into(),
            to: walk.probe.inside.dst,
            tracked: walk.leases.is_tracked(),
        }
    }

    /// The request, behind a sender.
    pub(super) fn request<R: Recorder>(walk: &Walk<'_, R>, sender: &Sender) -> Self {
        let behind_middlebox = sender.behind_middlebox;
        Self { from: Remote { address: sender.tuple.src, behind_middlebox }, ..Self::of_eni(walk) }
    }
}

/// What is routed through an appliance comes in by its groups as what is for it.
pub(super) fn into_appliance<R: Recorder>(
    walk: &mut Walk<'_, R>,
    passing: &Passing,
    appliance: ResourceIx,
) -> Result<RuleRef, Denial> {
    let gate = Gate {
        stage: Stage::SecurityGroupIngress,
        component: Component::NetworkInterface(appliance),
        direction: Direction::Ingress,
        implicit: RuleRef::ApplianceSecurityGroups(appliance, Direction::Ingress),
        no_rules: Reason::ApplianceSgIngress,
        mismatch: Reason::ApplianceSgIngress,
    };
    gate.pass(walk, walk.snapshot.ingress(appliance), passing)
}

/// And goes out by them.
pub(super) fn out_of_appliance<R: Recorder>(
    walk: &mut Walk<'_, R>,
    passing: &Passing,
    appliance: ResourceIx,
) -> Result<RuleRef, Denial> {
    let gate = Gate {
        stage: Stage::SecurityGroupEgress,
        component: Component::NetworkInterface(appliance),
        direction: Direction::Egress,
        implicit: RuleRef::ApplianceSecurityGroups(appliance, Direction::Egress),
        no_rules: Reason::ApplianceSgEgress,
        mismatch: Reason::ApplianceSgEgress,
    };
    gate.pass(walk, walk.snapshot.egress(appliance), passing)
}

struct Gate {
    stage: Stage,
    component: Component,
    direction: Direction,
    implicit: RuleRef,
    no_rules: Reason,
    mismatch: Reason,
}

impl Gate {
    fn pass<R: Recorder>(
        &self,
        walk: &mut Walk<'_, R>,
        rules: &RuleSet,
        passing: &Passing,
    ) -> Result<RuleRef, Denial> {
        if passing.tracked {
            walk.step_with(self.stage, self.component, None, Outcome::Skip, Detail::Tracked);
            return Ok(RuleRef::FlowTable);
        }
        let traffic = passing.traffic;
        let peer = match self.direction {
            Direction::Egress => passing.to.into(),
            Direction::Ingress => passing.from,
        };
        if let Some((group, position)) = rules.evaluate(traffic, peer) {
            let rule = RuleRef::SecurityGroupRule(group, self.direction, position);
            walk.step(self.stage, self.component, Some(rule), Outcome::Pass);
            return Ok(rule);
        }
        if rules.is_empty() {
            return Err(walk.deny(self.component, self.no_rules, self.implicit, Detail::None));
        }
        let near = if R::ON { rules.nearest_miss(traffic, peer) } else { None };
        let detail = near.map_or(Detail::None, |miss| Detail::NearMiss(miss, self.direction));
        Err(walk.deny(self.component, self.mismatch, self.implicit, detail))
    }
}
