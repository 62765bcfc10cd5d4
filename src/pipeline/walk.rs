//! The walk: every stage in AWS's order (spec 13), for a packet that no flow knows, for a flow of an older
//! generation, and for `egret explain`. There is no second implementation.

use super::admission::attached_to;
use super::middlebox::{End, Leg, Onward};
use super::port_lease::{Grant, Leases};
use super::{
    Component, Denial, Detail, Device, Link, Outcome, Recorder, Stage, Step, app_runner, connector,
    deliver, exempt, gateway_endpoint, internet_gateway, middlebox, nat_gateway, network_acl,
    peering, route_table, security_group, source_check,
};
use crate::flow::Space;
use crate::packet::Tuple;
use crate::vpc::{Eni, EniIx, NatGatewayIx, RuleRef, Snapshot, SubnetIx, Task, Traffic, VpcIx};
use std::net::Ipv4Addr;

/// A packet as the walk sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// As the task sends it.
    pub(super) inside: Tuple,
    /// ICMP type and code; zero otherwise.
    pub(super) icmp: (u8, u8),
    /// Whether it is part of a larger datagram.
    pub(super) fragment: bool,
    /// The task that sends it.
    pub(super) task: Task,
}

impl Probe {
    pub(super) fn traffic(&self) -> Traffic {
        let port = if self.inside.protocol.has_ports() { self.inside.dport } else { 0 };
        Traffic { protocol: self.inside.protocol, port, icmp: self.icmp }
    }

    /// The packet's tuple with another source.
    pub(super) fn from(&self, src: Ipv4Addr, sport: u16) -> Tuple {
        Tuple { src, sport, ..self.inside }
    }
}

/// What the stages share.
pub(super) struct Walk<'a, R> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) probe: Probe,
    pub(super) leases: Leases<'a>,
    pub(super) recorder: &'a mut R,
}

/// A way out.
#[derive(Debug)]
pub(super) struct Path {
    /// The packet as it reaches its destination.
    pub(super) outside: Tuple,
    /// The space of the destination.
    pub(super) space: Space,
    /// Where the packet leaves egret.
    pub(super) link: Link,
    /// The ENI, its port, and the packet as it leaves the ENI.
    pub(super) eni: Option<(EniIx, Grant)>,
    /// The last NAT behind the ENI; `None` in it is App Runner's own.
    pub(super) nat: Option<(Option<NatGatewayIx>, Grant)>,
    /// The address of the NAT that decrements the TTL; `None` where no hop does.
    pub(super) hop: Option<Ipv4Addr>,
    /// The rule that admitted the packet.
    pub(super) admitted_by: RuleRef,
    /// Why the reply would die, if it would.
    pub(super) reply_denied: Option<Denial>,
}

/// The ENI that a packet goes through, with its addresses behind it.
#[derive(Clone, Copy)]
pub(super) struct AtEni<'a> {
    pub(super) ix: EniIx,
    pub(super) eni: &'a Eni,
    pub(super) subnet: SubnetIx,
    pub(super) vpc: VpcIx,
    /// The packet as it leaves the ENI.
    pub(super) tuple: Tuple,
}

/// Who a packet comes from as it is routed on: the ENI, or the NAT gateway behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    /// Its own subnet, or that of the last middlebox behind it.
    pub(super) subnet: SubnetIx,
    pub(super) vpc: VpcIx,
    /// The packet as it leaves the sender.
    pub(super) tuple: Tuple,
    /// The ENI's own address.
    pub(super) eni: Ipv4Addr,
    /// Whether a middlebox is behind it.
    pub(super) behind_middlebox: bool,
}

impl AtEni<'_> {
    pub(super) fn sender(&self) -> Sender {
        Sender {
            subnet: self.subnet,
            vpc: self.vpc,
            tuple: self.tuple,
            eni: self.eni.address,
            behind_middlebox: false,
        }
    }
}

impl<'a, R: Recorder> Walk<'a, R> {
    pub(super) fn step(
        &mut self,
        stage: Stage,
        component: Component,
        rule: Option<RuleRef>,
        outcome: Outcome,
    ) {
        self.step_with(stage, component, rule, outcome, Detail::None);
    }

    #[inline]
    pub(super) fn step_with(
        &mut self,
        stage: Stage,
        component: Component,
        rule: Option<RuleRef>,
        outcome: Outcome,
        detail: Detail,
    ) {
        if R::ON {
            self.recorder.step(Step { stage, component, rule, outcome, detail });
        }
    }

    /// Records the end of the path, and says why.
    pub(super) fn deny(
        &mut self,
        component: Component,
        reason: super::Reason,
        decided_by: RuleRef,
        detail: Detail,
    ) -> Denial {
        self.step_with(reason.stage(), component, Some(decided_by), Outcome::Drop, detail);
        Denial { reason, decided_by }
    }

    /// All stages, in order.
    pub(super) fn run(mut self) -> Result<Path, Denial> {
        source_check::check(&mut self)?;
        let Some(device) = attached_to(self.snapshot, &self.probe.task) else {
            return Err(source_check::nowhere(&mut self));
        };
        if let Some(path) = exempt::check(&mut self, device)? {
            return Ok(path);
        }
        let ix = match device {
            Device::Eni(ix) => ix,
            Device::AppRunner => return app_runner::leave(self),
            Device::NatGateway(_) => return Err(source_check::nowhere(&mut self)),
        };
        let at = connector::attach(&mut self, ix);
        let admitted_by = security_group::egress(&mut self, &at)?;
        let (at, grant) = connector::translate(&mut self, at)?;
        let mut path = self.beyond_the_eni(&at, admitted_by)?;
        path.reply_denied = network_acl::reply(&mut self, &at, &path, &grant).err();
        path.eni = Some((ix, grant));
        Ok(path)
    }

    fn beyond_the_eni(&mut self, at: &AtEni<'a>, admitted_by: RuleRef) -> Result<Path, Denial> {
        let (snapshot, destination) = (self.snapshot, self.probe.inside.dst);
        let leg = Leg::of(snapshot, at.subnet, destination.into());
        let sender = middlebox::travel(self, at.sender(), &leg)?;
        let subnet = sender.subnet;
        let (rule, onward) = match leg.end {
            End::Inside => {
                network_acl::skip_inside(self, subnet, Stage::NetworkAclEgress);
                route_table::skip_inside(self, subnet);
                return deliver::interface(self, &sender, at.vpc, admitted_by);
            }
            End::Route(rule, onward) => (rule, onward),
            End::Nowhere(dead_end) => {
                network_acl::leave(self, subnet)?;
                return Err(route_table::refuse(self, subnet, dead_end));
            }
        };
        network_acl::leave_for(self, subnet, onward)?;
        route_table::pass(self, subnet, rule);
        match onward {
            Onward::Local => deliver::routed(self, &sender, at.vpc, admitted_by),
            Onward::NatGateway(nat) => nat_gateway::pass(self, &sender, nat, rule, admitted_by),
            Onward::InternetGateway => match at.eni.public_address() {
                None => Err(internet_gateway::refuse_private_source(self, at.vpc, destination)),
                public => internet_gateway::leave(self, &sender, public, admitted_by),
            },
            Onward::GatewayEndpoint(endpoint) => {
                gateway_endpoint::pass(self, &sender, endpoint, admitted_by)
            }
            Onward::Peering(peering) => peering::pass(self, &sender, peering, admitted_by),
        }
    }
}
