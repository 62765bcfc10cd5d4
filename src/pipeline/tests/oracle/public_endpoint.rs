//! Predicts packets into a VPC by the public address of a resource there (spec 3.6): through its
//! internet gateway, its subnet's ACL and its groups, which see the sender's public address; the
//! reply by the tables there.

use super::matching::covers;
use super::{Answer, DeliveredTo, Oracle, Question, Sender};
use crate::config::spec::{Resource, Subnet, Target};
use crate::pipeline::Reason;
use crate::vpc::PeeringState;
use std::net::Ipv4Addr;

impl<'a> Oracle<'a> {
    /// Sends out by the internet gateway of the sender's own VPC. The reply comes back to the
    /// sender's subnet.
    pub(super) fn by_internet_gateway(&self, sender: Sender<'a>) -> Answer {
        let hides = sender.hides.or(Some(sender.address));
        let home = &sender.home.vpc.value;
        let joined = |other: &String| other == home || self.are_peered(home, other);
        let hides =
            hides.filter(|_| self.public_endpoint().is_none_or(|(_, own)| joined(&own.vpc.value)));
        let (place, dies) = self.over_internet(sender.public, sender.port, hides)?;
        let reply = [self.back(sender.home, false, self.ask.to, sender.port)];
        Ok((place, dies.or_else(|| self.reply_dies(&reply))))
    }

    pub(super) fn over_internet(
        &self,
        from: Option<Ipv4Addr>,
        port: u16,
        hides: Option<Ipv4Addr>,
    ) -> Answer {
        let Some((resource, own)) = self.public_endpoint() else {
            return Ok((DeliveredTo::Internet, None));
        };
        let (from, vpc) = (from.unwrap(), &own.vpc.value);
        self.cross(own, false, from)?;
        let groups = self.groups(resource.security_groups.iter().map(|g| &g.value), vpc);
        if let Err(no) = self.group_ingress(&groups, from, false) {
            let lets_in = |address| self.group_ingress(&groups, address, true).is_ok();
            let hidden = hides.is_some_and(lets_in);
            return Err(if hidden { Reason::SgIngressPublicAddress } else { no });
        }
        let dies = self.reply_leaves((resource, own), from, port).err();
        Ok((DeliveredTo::Vpc(vpc.clone()), dies))
    }

    fn public_endpoint(&self) -> Option<(&'a Resource, &'a Subnet)> {
        let has = |r: &&Resource| r.public_ip.as_ref().is_some_and(|at| at.value == self.ask.to);
        let resource = self.lab.spec.resources.iter().find(has)?;
        Some((resource, self.subnet(&resource.subnet.value)))
    }

    fn are_peered(&self, one: &str, other: &str) -> bool {
        self.lab.spec.peerings.iter().any(|p| {
            let ends = [p.requester_vpc.value.as_str(), p.accepter_vpc.value.as_str()];
            p.state == PeeringState::Active && (ends == [one, other] || ends == [other, one])
        })
    }

    /// Checks the reply's path from the resource's subnet, directly or through middleboxes, to the
    /// internet gateway.
    fn reply_leaves(
        &self,
        (resource, own): (&Resource, &'a Subnet),
        to: Ipv4Addr,
        port: u16,
    ) -> Result<(), Reason> {
        let server = resource.address.value;
        let dies = |border| self.reply_dies(&[border]).map_or(Ok(()), Err);
        let (mut at, mut asked) = (own, vec![&own.id.value]);
        while !covers(at.cidr.value, to) {
            let target = self.route_to(at, to);
            dies(self.back(at, true, to, port))?;
            let Some(next) = target.as_ref().and_then(|target| self.middlebox(target)) else {
                let leaves = matches!(target, Some(Target::InternetGateway(_)));
                return if leaves { Ok(()) } else { Err(Reason::ReplyNotRoutedBack) };
            };
            if asked.contains(&&next.subnet.id.value) || asked.len() > 8 {
                return Err(Reason::ReplyNotRoutedBack);
            }
            dies(self.back(next.subnet, false, server, port))?;
            if let Some(appliance) = next.appliance {
                let named = at.id.value == own.id.value;
                let port = if self.ask.port == 0 { 0 } else { port };
                let ask = Question { to, port, icmp: (0, 0), ..self.ask };
                let reply = Oracle { lab: self.lab, ask, ports: self.ports };
                reply.forwards(appliance, server, named, false)?;
            }
            asked.push(&next.subnet.id.value);
            at = next.subnet;
        }
        Err(Reason::ReplyNotRoutedBack)
    }
}
