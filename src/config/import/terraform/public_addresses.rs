//! Reads Elastic IP addresses and the objects that have one.

use super::association::Association;
use super::import::Import;
use super::reader::{Block, Trouble};
use crate::config::import::PublicAddress;
use std::net::Ipv4Addr;

const INSTANCES: &[&str] = &["aws_instance"];
/// An interface may be named as the primary one of its instance.
const INTERFACES: &[&str] = &["aws_network_interface", "aws_instance"];

/// Reads an `aws_eip`: the public address of an allocation, for its references, and its
/// association.
pub(super) fn elastic_ip(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let address = block.address("public_ip")?;
    if let Some(address) = address {
        for key in ["id", "allocation_id"] {
            import.elastic_ips.extend(block.label(key).map(|id| (id, address)));
        }
    }
    import.associations.push(Association {
        instance: block.id("instance", INSTANCES)?,
        interface: block.id("network_interface", INTERFACES)?,
        private: private(block, "associate_with_private_ip").or(private(block, "private_ip")),
        public: elastic(address),
    });
    Ok(())
}

/// Reads an `aws_eip_association`.
pub(super) fn association(import: &mut Import<'_>, block: &Block<'_>) -> Result<(), Trouble> {
    let allocation = block.label("allocation_id");
    let known = allocation.and_then(|id| import.elastic_ips.get(&id).copied());
    let association = Association {
        instance: block.id("instance_id", INSTANCES)?,
        interface: block.id("network_interface_id", INTERFACES)?,
        private: private(block, "private_ip_address"),
        public: elastic(block.label("public_ip").and_then(|ip| ip.parse().ok()).or(known)),
    };
    if !association.apply(&mut import.account.network_interfaces) {
        let id = association.interface.or(association.instance);
        import.without(block, id.as_deref().unwrap_or("an interface"));
    }
    Ok(())
}

/// Returns the public address of an instance's own interface: by its own setting, or else by its
/// subnet's.
pub(super) fn at_launch(
    import: &mut Import<'_>,
    block: &Block<'_>,
    subnet: &str,
) -> Result<PublicAddress, Trouble> {
    if let Some(known) = block.address("public_ip")? {
        return Ok(PublicAddress::Known(known));
    }
    let maps =
        || import.account.subnets.iter().any(|own| own.id == subnet && own.map_public_ip_on_launch);
    Ok(match block.flag("associate_public_ip_address")? {
        Some(true) => PublicAddress::Unknown("associate_public_ip_address"),
        None if maps() => PublicAddress::Unknown("map_public_ip_on_launch of its subnet"),
        Some(false) | None => PublicAddress::None,
    })
}

/// Gives Elastic IP addresses to their interfaces. NAT gateways and load balancers have theirs
/// already.
pub(super) fn settle(import: &mut Import<'_>) {
    for association in std::mem::take(&mut import.associations) {
        association.apply(&mut import.account.network_interfaces);
    }
}

fn elastic(address: Option<Ipv4Addr>) -> PublicAddress {
    PublicAddress::from(address).or(PublicAddress::Unknown("an Elastic IP address"))
}

/// Returns a private address if it is known; another is the primary one.
fn private(block: &Block<'_>, key: &str) -> Option<Ipv4Addr> {
    block.label(key)?.parse().ok()
}
