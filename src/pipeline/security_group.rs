//! Security groups, both gates: the ENI's egress, and the destination's ingress, independent of each other (spec 4.2).
//! A tracked flow is not asked again: a rule change does not cut it (spec 4.4).

use super::walk::{AtEni, Walk};
use super::{Component, Denial, Detail, Outcome, Reason, Recorder, Stage};
use crate::vpc::security_group::RuleSet;
use crate::vpc::{Direction, ResourceIx, RuleRef, VpcIx};
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
    gate.pass(walk, at.eni.egress(), walk.probe.inside.dst)
}

/// `from` is the source as the destination sees it: a private address of `vpc`, or of one peered with it. References to
/// groups mean that address, so they match an ENI, and no longer behind a NAT gateway (spec 3.7, 4.2).
pub(super) fn ingress<R: Recorder>(
    walk: &mut Walk<'_, R>,
    from: Ipv4Addr,
    eni: Ipv4Addr,
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
    let behind_nat = from != eni && rules.evaluate(walk.probe.traffic(), eni).is_some();
    let mismatch = if behind_nat { Reason::SgIngressBehindNat } else { gate.mismatch };
    Gate { mismatch, ..gate }.pass(walk, rules, from)
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
        peer: Ipv4Addr,
    ) -> Result<RuleRef, Denial> {
        if walk.leases.is_tracked() {
            walk.step_with(self.stage, self.component, None, Outcome::Skip, Detail::Tracked);
            return Ok(RuleRef::FlowTable);
        }
        let traffic = walk.probe.traffic();
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
