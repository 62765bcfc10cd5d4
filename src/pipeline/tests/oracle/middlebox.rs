//! Predicts routes that lead through middleboxes (spec 3.5, 3.7): the checks on the request, and
//! those on the reply.

use super::matching::{covers, is_rfc1918, is_rfc6598};
use super::{Answer, Oracle, Question, Sender};
use crate::config::spec::{EndpointKind, Resource, Subnet, Target};
use crate::pipeline::Reason;
use crate::vpc::{Connectivity, NatGatewayState};
use std::net::Ipv4Addr;

pub(super) struct Next<'a> {
    pub(super) subnet: &'a Subnet,
    /// `None` for a Gateway Load Balancer endpoint.
    pub(super) appliance: Option<&'a Resource>,
}

impl<'a> Oracle<'a> {
    pub(super) fn middlebox(&self, target: &Target) -> Option<Next<'a>> {
        let spec = &self.lab.spec;
        match target {
            Target::NetworkInterface(id) => {
                let has = |r: &&Resource| {
                    r.network_interface.as_ref().is_some_and(|own| own.value == *id)
                };
                let appliance = spec.resources.iter().find(has).unwrap();
                let subnet = self.subnet(&appliance.subnet.value);
                Some(Next { subnet, appliance: Some(appliance) })
            }
            Target::VpcEndpoint(id) => {
                let endpoint = spec.vpc_endpoints.iter().find(|e| e.id.value == *id).unwrap();
                let is_one = endpoint.kind == EndpointKind::GatewayLoadBalancer;
                let subnet = is_one.then(|| self.subnet(&endpoint.subnets[0].value))?;
                Some(Next { subnet, appliance: None })
            }
            _ => None,
        }
    }

    /// Passes middleboxes until none is next.
    pub(super) fn through_middleboxes(&self, mut sender: Sender<'a>) -> Result<Sender<'a>, Reason> {
        let mut asked = vec![&sender.home.id.value];
        while !covers(sender.at.cidr.value, self.ask.to) {
            let target = self.route(sender.at);
            let Some(next) = target.and_then(|target| self.middlebox(&target)) else { break };
            self.cross(sender.at, true, self.ask.to)?;
            if asked.contains(&&next.subnet.id.value) || asked.len() > 8 {
                return Err(Reason::MiddleboxLoop);
            }
            self.cross(next.subnet, false, sender.address)?;
            let named = !sender.is_behind_a_middlebox();
            if let Some(appliance) = next.appliance {
                self.forwards(appliance, sender.address, named, false)?;
            }
            asked.push(&next.subnet.id.value);
            sender.at = next.subnet;
        }
        Ok(sender)
    }

    /// Checks an appliance for this packet: its groups unless it tracks the flow, its source/dest
    /// check always.
    pub(super) fn forwards(
        &self,
        appliance: &Resource,
        from: Ipv4Addr,
        named: bool,
        tracked: bool,
    ) -> Result<(), Reason> {
        let vpc = &self.subnet(&appliance.subnet.value).vpc.value;
        let groups = self.groups(appliance.security_groups.iter().map(|g| &g.value), vpc);
        if !tracked && self.group_ingress(&groups, from, named).is_err() {
            return Err(Reason::ApplianceSgIngress);
        }
        if appliance.source_dest_check.as_ref().is_none_or(|check| check.value) {
            return Err(Reason::SourceDestCheck);
        }
        if !tracked && self.group_egress(&groups, self.ask.to).is_err() {
            return Err(Reason::ApplianceSgEgress);
        }
        Ok(())
    }

    /// Passes the middlebox after a NAT gateway, unless it leads back to the gateway (spec 6).
    pub(super) fn behind_the_gateways_middlebox(
        &self,
        nat: Sender<'a>,
        connectivity: Connectivity,
        first: &Subnet,
    ) -> Answer {
        let to = self.ask.to;
        if first.id.value == nat.home.id.value {
            return Err(Reason::MiddleboxLoop);
        }
        let nat = self.through_middleboxes(nat)?;
        if covers(nat.at.cidr.value, to) {
            return self.deliver(nat, Some(nat.at), Target::Local);
        }
        self.cross(nat.at, true, to)?;
        match self.route(nat.at) {
            None => Err(Reason::NoRoute),
            Some(Target::Blackhole(_)) => Err(Reason::RouteBlackhole),
            Some(Target::NatGateway(next)) => {
                let next = self.lab.spec.nat_gateways.iter().find(|n| n.id.value == next).unwrap();
                let removed = next.state == NatGatewayState::Deleted;
                Err(if removed { Reason::RouteBlackhole } else { Reason::NatRoutesToNat })
            }
            Some(Target::Local) => self.locally(nat),
            Some(Target::VpcEndpoint(id)) => self.through_endpoint(nat, id),
            Some(Target::Peering(id)) => self.through_peering(nat, &id),
            Some(Target::NetworkInterface(_)) => panic!("passed already"),
            Some(Target::InternetGateway(_)) if connectivity == Connectivity::Private => {
                Err(Reason::IgwPrivateNat)
            }
            Some(Target::InternetGateway(_)) if is_rfc1918(to) => {
                Err(Reason::IgwPrivateDestination)
            }
            Some(Target::InternetGateway(_)) if is_rfc6598(to) => Err(Reason::IgwSharedDestination),
            Some(Target::InternetGateway(_)) if self.is_own_public(to) => Err(Reason::NatHairpin),
            Some(Target::InternetGateway(_)) => self.by_internet_gateway(nat),
        }
    }

    /// Checks the path of the reply from a subnet back to a sender, by the tables on its own path.
    pub(super) fn reply_way(
        &self,
        from: &'a Subnet,
        sender: Sender<'a>,
        back: &Target,
    ) -> Option<Reason> {
        let (server, mut at, mut asked) = (self.ask.to, from, vec![&from.id.value]);
        if from.id.value == sender.home.id.value {
            return None;
        }
        while !covers(at.cidr.value, sender.address) {
            let target = self.route_to(at, sender.address);
            if let Some(dies) = self.reply_dies(&[self.back_to(at, true, server, sender)]) {
                return Some(dies);
            }
            let Some(next) = target.as_ref().and_then(|target| self.middlebox(target)) else {
                let strays = target.as_ref() != Some(back);
                let enters = self.back_to(sender.home, false, server, sender);
                return strays
                    .then_some(Reason::ReplyNotRoutedBack)
                    .or_else(|| self.reply_dies(&[enters]));
            };
            if asked.contains(&&next.subnet.id.value) || asked.len() > 8 {
                return Some(Reason::ReplyNotRoutedBack);
            }
            if let Some(dies) = self.reply_dies(&[self.back_to(next.subnet, false, server, sender)])
            {
                return Some(dies);
            }
            let named = at.id.value == from.id.value;
            if let Some(dies) = next.appliance.and_then(|a| self.reply_at(a, sender, named).err()) {
                return Some(dies);
            }
            asked.push(&next.subnet.id.value);
            at = next.subnet;
        }
        None
    }

    /// Checks the reply at an appliance; it is a new packet to one that has not seen the request.
    fn reply_at(
        &self,
        appliance: &Resource,
        sender: Sender<'a>,
        named: bool,
    ) -> Result<(), Reason> {
        let tracked = self.visits(sender.home).contains(&appliance.name.value);
        let port = if self.ask.port == 0 { 0 } else { sender.port };
        let ask = Question { to: sender.address, port, icmp: (0, 0), ..self.ask };
        let reply = Oracle { lab: self.lab, ask, ports: self.ports };
        reply.forwards(appliance, self.ask.to, named, tracked)
    }

    /// Lists the appliances through which the tables lead, from a subnet toward the destination.
    fn visits(&self, from: &'a Subnet) -> Vec<String> {
        let (mut at, mut visited, mut asked) = (from, Vec::new(), Vec::new());
        while !covers(at.cidr.value, self.ask.to) && asked.len() < 8 {
            asked.push(&at.id.value);
            let next = self.route(at).and_then(|target| self.middlebox(&target));
            let Some(next) = next.filter(|next| !asked.contains(&&next.subnet.id.value)) else {
                break;
            };
            visited.extend(next.appliance.map(|appliance| appliance.name.value.clone()));
            at = next.subnet;
        }
        visited
    }
}
