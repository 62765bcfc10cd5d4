//! The public addresses of network interfaces, which their VPC's internet gateway maps (spec 3.6).

use super::super::{NetworkInterface, PublicAddress, Vpc};
use super::document::Section;
use super::state::Lowering;
use crate::config::text;
use std::net::Ipv4Addr;

/// The last bytes of the addresses of 198.51.100.0/24 that resources get. From the beginning of the
/// block, the lab chooses for NAT gateways and tasks without an address in the file.
const DRAWN: std::ops::RangeInclusive<u8> = 64..=254;

impl<'a> Lowering<'a, '_> {
    /// Marks the public addresses that the source gives as taken.
    pub(super) fn given_public_addresses(&mut self) {
        let account = self.account;
        let interfaces = account.network_interfaces.iter().flat_map(|interface| {
            (0..interface.addresses.len().max(1)).map(|at| interface.public_address_at(at))
        });
        for public in interfaces {
            if let PublicAddress::Known(address) = public {
                self.public_taken.insert(address);
            }
        }
        let gateways = account.nat_gateways.iter().flat_map(|gateway| &gateway.addresses);
        let elastic: Vec<Ipv4Addr> = gateways.filter_map(|address| address.public_ip).collect();
        self.public_taken.extend(&elastic);
        self.public_written.extend(&elastic);
    }

    /// Writes the public address of a resource, if its interface has one that a lab can have.
    pub(super) fn public_address(
        &mut self,
        vpc: &'a Vpc,
        interface: &'a NetworkInterface,
        position: usize,
        section: &mut Section,
    ) {
        let public = interface.public_address_at(position);
        if public == PublicAddress::None {
            return;
        }
        if let Some(why) = self.not_reached(vpc) {
            return self.without_public_address(interface, public, &why, section);
        }
        match public {
            PublicAddress::None => {}
            PublicAddress::Known(address) => self.known(interface, address, section),
            PublicAddress::Unknown(why) => self.drawn(interface, why, section),
        }
    }

    /// Returns the reason why no packet reaches the public addresses of a VPC, if none does.
    fn not_reached(&self, vpc: &Vpc) -> Option<String> {
        if self.attached_gateway(vpc).is_none() {
            return Some(format!("VPC {} has no internet gateway to map it", vpc.id));
        }
        let is_blocked = !matches!(vpc.block_public_access.as_deref(), None | Some("off"));
        is_blocked.then(|| "VPC Block Public Access drops what comes to it".to_owned())
    }

    fn known(&mut self, interface: &'a NetworkInterface, address: Ipv4Addr, section: &mut Section) {
        let public = PublicAddress::Known(address);
        if text::public_address(&address.to_string()).is_err() {
            self.without_public_address(interface, public, "it is not a public address", section);
        } else if self.public_written.insert(address) {
            section.string("public_ip", address);
        } else {
            self.without_public_address(interface, public, "another object has it", section);
        }
    }

    fn drawn(&mut self, interface: &'a NetworkInterface, why: &'static str, section: &mut Section) {
        let of_documentation = DRAWN.rev().map(|last| Ipv4Addr::new(198, 51, 100, last));
        let free = { of_documentation }.find(|address| !self.public_taken.contains(address));
        let Some(address) = free else {
            let public = PublicAddress::Unknown(why);
            let why = "198.51.100.0/24 has no free address for it";
            return self.without_public_address(interface, public, why, section);
        };
        self.public_taken.insert(address);
        self.public_written.insert(address);
        let object = format!("network interface {}", interface.id);
        let what = format!("its public address is not in the source ({why})");
        self.assume(section, &object, &interface.origin, &what, &address.to_string());
        section.string("public_ip", address);
    }

    fn without_public_address(
        &mut self,
        interface: &'a NetworkInterface,
        public: PublicAddress,
        why: &str,
        section: &mut Section,
    ) {
        let whose = match public {
            PublicAddress::Known(address) => format!("its public address {address}"),
            PublicAddress::Unknown(_) | PublicAddress::None => "its public address".to_owned(),
        };
        section.note(format!("left out: {whose}: {why}"));
        self.findings.left_out(
            format!("network interface {}", interface.id),
            &interface.origin,
            format!("{whose}: {why}"),
            "the lab reaches it by its private address only",
        );
    }
}
