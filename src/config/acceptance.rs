//! App Runner's acceptance of a connector's subnets for a service.

use super::apprunner::PublicSubnets;
use super::spec::Spec;

/// The reason why App Runner refuses a connector for a service. AWS's own sentences are not known;
/// these contain the same facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Some subnets are in Availability Zones that App Runner does not support (spec 1.11).
    #[error(
        "App Runner does not support the Availability Zones of these subnets of the VPC connector: {}. Remove the \
         subnets, and try again.",
        list(.0)
    )]
    UnsupportedZones(Vec<(String, String)>),
    /// Some subnets are public (spec 1.10).
    #[error(
        "These subnets of the VPC connector are public, as their route table leads to an internet gateway: {}. Use \
         private subnets, and try again.",
        .0.join(", ")
    )]
    PublicSubnets(Vec<String>),
}

fn list(subnets: &[(String, String)]) -> String {
    let each = subnets.iter().map(|(subnet, zone)| format!("{subnet} ({zone})"));
    each.collect::<Vec<_>>().join(", ")
}

impl Spec {
    /// Decides whether App Runner accepts a connector in these subnets for a service. Subnets that
    /// are not in the lab are ignored.
    ///
    /// # Errors
    /// The subnets that App Runner refuses.
    pub fn accept_subnets(&self, subnets: &[impl AsRef<str>]) -> Result<(), Refusal> {
        let known = || subnets.iter().filter_map(|id| self.subnet(id.as_ref()));
        let zones = &self.apprunner.unsupported_availability_zones;
        let unsupported: Vec<_> = known()
            .filter(|subnet| zones.iter().any(|zone| **zone == subnet.availability_zone))
            .map(|subnet| (subnet.id.value.clone(), subnet.availability_zone.clone()))
            .collect();
        if !unsupported.is_empty() {
            return Err(Refusal::UnsupportedZones(unsupported));
        }
        let public = known().filter(|subnet| self.is_public(subnet));
        let public: Vec<_> = public.map(|subnet| subnet.id.value.clone()).collect();
        match self.apprunner.public_subnets {
            PublicSubnets::Refuse if !public.is_empty() => Err(Refusal::PublicSubnets(public)),
            PublicSubnets::Refuse | PublicSubnets::Accept => Ok(()),
        }
    }
}
