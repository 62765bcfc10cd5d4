//! The associations of Elastic IP addresses.

use crate::config::import::{NetworkInterface, PublicAddress};
use std::net::Ipv4Addr;

/// An Elastic IP address of an instance or of an interface.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) instance: Option<String>,
    pub(super) interface: Option<String>,
    /// The private address, if it is known; otherwise the primary one.
    pub(super) private: Option<Ipv4Addr>,
    pub(super) public: PublicAddress,
}

impl Association {
    /// Gives the address to its interface, if that is among these.
    pub(super) fn apply(&self, interfaces: &mut [NetworkInterface]) -> bool {
        let interface = interfaces.iter_mut().find(|own| match (&self.interface, &self.instance) {
            (Some(id), _) => own.id == *id,
            (None, Some(id)) => own.instance.as_ref() == Some(id),
            (None, None) => false,
        });
        let is_there = interface.is_some();
        if let Some(interface) = interface {
            interface.associate(self.private, self.public);
        }
        is_there
    }
}
