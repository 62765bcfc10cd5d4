//! Writes NAT gateways, with their states (spec 6).

use super::super::{NatGateway, Vpc};
use super::document::Section;
use super::network::is_usable;
use super::state::Lowering;
use crate::config::names::ObjectKind;
use crate::config::text;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const STATES: [&str; 5] = ["available", "pending", "failed", "deleting", "deleted"];

/// Decides whether a gateway is deleted. EC2 still lists its id for a while.
pub(super) fn is_deleted(gateway: &NatGateway) -> bool {
    gateway.state.as_deref() == Some("deleted")
}

impl<'a> Lowering<'a, '_> {
    pub(super) fn nat_gateway(&mut self, vpc: &'a Vpc, gateway: &'a NatGateway) {
        let object = format!("NAT gateway {}", gateway.id);
        if is_deleted(gateway) {
            if gateway.vpc.as_deref() == Some(&vpc.id) {
                let consequence = "routes to it drop";
                self.findings.left_out(object, &gateway.origin, "it is deleted", consequence);
            }
            return;
        }
        if gateway.regional {
            if gateway.vpc.as_deref() == Some(&vpc.id) {
                let what = "it is regional: in no subnet, with a table of its own";
                let consequence = "the lab has none; routes to it are listed separately";
                self.findings.left_out(object, &gateway.origin, what, consequence);
            }
            return;
        }
        let Some(id) = &gateway.subnet else {
            if gateway.vpc.as_deref() == Some(&vpc.id) {
                self.errors.push(gateway.origin.error(
                    format!("{object} is in no subnet"),
                    "a zonal NAT gateway has a SubnetId",
                ));
            }
            return;
        };
        let Some(subnet) = self.scope.subnet(id) else {
            if gateway.vpc.as_ref().is_none_or(|own| *own == vpc.id) && !self.said_before(vpc) {
                let consequence = "the lab has no such gateway, and routes to it drop";
                self.absent(&object, &gateway.origin, ("subnet", id), consequence);
            }
            return;
        };
        if subnet.vpc != vpc.id {
            return;
        }
        let mut section = Section::new("nat_gateway", gateway.name.as_deref(), &gateway.origin);
        section.id(self.words.of(ObjectKind::NatGateway, &gateway.id), gateway.name.as_deref());
        section.string("subnet", self.words.of(ObjectKind::Subnet, id));
        if gateway.private {
            section.string("connectivity", "private");
        }
        let private: Vec<Option<Ipv4Addr>> =
            gateway.addresses.iter().map(|address| address.private_ip).collect();
        self.private_addresses(gateway, subnet, &private, &mut section);
        if !gateway.private {
            self.public_addresses(gateway, &mut section);
        }
        match gateway.state.as_deref() {
            None | Some("available") => {}
            Some(state) if STATES.contains(&state) => section.string("state", state),
            Some(state) => {
                section.string("state", "failed");
                let what = format!("its state is {state:?}");
                self.assume(
                    &mut section,
                    &object,
                    &gateway.origin,
                    &what,
                    "failed: routes to it drop",
                );
            }
        }
        self.document.push(section);
    }

    /// Decides whether an object without a VPC has been reported: that is done once, with the first
    /// VPC of the lab.
    fn said_before(&self, vpc: &Vpc) -> bool {
        let first = self.account.vpcs.iter().find(|first| self.scope.has(&first.id));
        first.is_some_and(|first| first.id != vpc.id)
    }

    fn private_addresses(
        &mut self,
        gateway: &NatGateway,
        subnet: &super::super::Subnet,
        given: &[Option<Ipv4Addr>],
        section: &mut Section,
    ) {
        let all: Vec<Ipv4Addr> = given.iter().flatten().copied().collect();
        if all.is_empty() {
            return;
        }
        let distinct = all.iter().collect::<BTreeSet<_>>().len() == all.len();
        if !distinct || all.len() != given.len() || !all.iter().all(|ip| is_usable(subnet, *ip)) {
            let object = format!("NAT gateway {}", gateway.id);
            let named: Vec<String> = all.iter().map(Ipv4Addr::to_string).collect();
            let named = named.join(", ");
            let what = format!(
                "{named}: not free addresses of {}, one for each Elastic IP",
                subnet.cidr_block
            );
            let taken = "egret chooses them";
            self.assume(section, &object, &gateway.origin, &what, taken);
            return;
        }
        if let Some((primary, secondary)) = all.split_first() {
            section.string("private_ip", primary);
            section.some_strings("secondary_private_ips", secondary);
        }
    }

    fn public_addresses(&mut self, gateway: &NatGateway, section: &mut Section) {
        let given = gateway.addresses.iter().filter_map(|address| address.public_ip);
        let all: Vec<Ipv4Addr> = given.collect();
        if all.is_empty() {
            return;
        }
        let is_public = |ip: &Ipv4Addr| text::public_address(&ip.to_string()).is_ok();
        if !all.iter().all(is_public) {
            let object = format!("NAT gateway {}", gateway.id);
            let named: Vec<String> = all.iter().map(Ipv4Addr::to_string).collect();
            let what = format!("{} cannot be public addresses", named.join(", "));
            let taken = "egret chooses them";
            self.assume(section, &object, &gateway.origin, &what, taken);
            return;
        }
        if let Some((primary, secondary)) = all.split_first() {
            section.string("public_ip", primary);
            section.some_strings("secondary_public_ips", secondary);
        }
    }
}
