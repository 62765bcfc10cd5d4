//! Maps Elastic IP addresses and the objects that have one. A template does not have the addresses
//! themselves; the lowering chooses them, with a finding.

use super::object::{Mapper, Object, Property, Reported};
use super::template::Resource;
use crate::config::import::PublicAddress;
use std::net::Ipv4Addr;

const ELASTIC: PublicAddress = PublicAddress::Unknown("an Elastic IP address");

type Done = Result<(), Reported>;

impl<'t> Mapper<'_, 't> {
    /// Reads an `AWS::EC2::EIP`: its address is the public one of NAT gateways and instances.
    pub(super) fn elastic_ip(&mut self, resource: &Resource<'t>) -> Done {
        let elastic = self.object(resource, "Elastic IP address", &["InstanceId"]);
        let what = "AWS chooses the address when the stack is created";
        let taken = "an address of 198.51.100.0/24";
        self.findings.assumed(&elastic.label, &elastic.origin, what, taken);
        if let Some(instance) = self.id(&elastic, "InstanceId")? {
            self.associate(&elastic, (Some(instance), None), None, ELASTIC);
        }
        Ok(())
    }

    /// Reads an `AWS::EC2::EIPAssociation`.
    pub(super) fn elastic_ip_association(&mut self, resource: &Resource<'t>) -> Done {
        let names = ["InstanceId", "NetworkInterfaceId", "PrivateIpAddress", "EIP"];
        let association = self.object(resource, "Elastic IP address association", &names);
        let instance = self.id(&association, "InstanceId")?;
        let interface = self.id(&association, "NetworkInterfaceId")?;
        let private = self.private_address(&association)?;
        // An address that exists already is a literal.
        let given = self.id(&association, "EIP")?.and_then(|text| text.parse().ok());
        let public = PublicAddress::from(given).or(ELASTIC);
        self.associate(&association, (instance, interface), private, public);
        Ok(())
    }

    /// Returns the private address that an association names. An address that AWS chooses is the
    /// primary one.
    fn private_address(&mut self, association: &Object) -> Property<Ipv4Addr> {
        let text = self.id(association, "PrivateIpAddress")?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    fn associate(
        &mut self,
        object: &Object,
        (instance, interface): (Option<String>, Option<String>),
        private: Option<Ipv4Addr>,
        public: PublicAddress,
    ) {
        let all = &mut self.account.network_interfaces;
        let owner = interface.as_ref().or(instance.as_ref());
        // The interface that an instance creates itself has its id, and is the primary one.
        let own = all.iter().position(|own| Some(&own.id) == owner);
        let attached =
            || all.iter().position(|own| interface.is_none() && own.instance == instance);
        let found = own.or_else(|| attached().filter(|_| instance.is_some()));
        if let Some(found) = found.and_then(|position| all.get_mut(position)) {
            return found.associate(private, public);
        }
        let whose = owner.map_or("nothing", String::as_str);
        self.findings.left_out(
            &object.label,
            &object.origin,
            format!("it is of {whose}, which the template does not have in a subnet"),
            "nothing of the lab has the address",
        );
    }

    /// Returns the public address of an interface that an instance creates itself: by its own
    /// setting, or else by its subnet's.
    pub(super) fn at_launch(&self, says: Option<bool>, subnet: Option<&str>) -> PublicAddress {
        let own = |id| self.account.subnets.iter().find(|own| own.id == id);
        match says {
            Some(true) => PublicAddress::Unknown("AssociatePublicIpAddress"),
            None if subnet.and_then(own).is_some_and(|own| own.map_public_ip_on_launch) => {
                PublicAddress::Unknown("MapPublicIpOnLaunch of its subnet")
            }
            Some(false) | None => PublicAddress::None,
        }
    }

    /// Returns the public address of a database. One in a subnet group has none, unless its setting
    /// asks for one.
    pub(super) fn of_database(&mut self, object: &Object) -> Result<PublicAddress, Reported> {
        Ok(match self.flag(object, "PubliclyAccessible")? {
            Some(true) => PublicAddress::Unknown("PubliclyAccessible"),
            Some(false) | None => PublicAddress::None,
        })
    }

    /// Returns the public addresses of a load balancer. One without a scheme is internet-facing.
    pub(super) fn of_load_balancer(&mut self, object: &Object) -> Result<PublicAddress, Reported> {
        let is = |text: Option<String>, word: &str| text.as_deref() == Some(word);
        let has_none = is(self.text(object, "Scheme")?, "internal")
            || is(self.text(object, "Type")?, "gateway")
            || is(self.text(object, "IpAddressType")?, "dualstack-without-public-ipv4");
        Ok(match has_none {
            true => PublicAddress::None,
            false => PublicAddress::Unknown("an internet-facing load balancer"),
        })
    }
}
