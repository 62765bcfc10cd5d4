//! Finds the ENI by which a task leaves, and the lab's own public addresses.

use super::Oracle;
use crate::config::plan::{EniKey, PlannedEni};
use std::net::Ipv4Addr;

impl<'a> Oracle<'a> {
    /// Returns the ENI of a task. Spec 2.3: zones in order, tasks in turn. `None` if the tasks have
    /// their own.
    pub(super) fn eni_of(&self, connector: &str, task: u16) -> Option<&'a PlannedEni> {
        let spec = &self.lab.spec;
        let connector = spec.connectors.iter().find(|c| c.name.value == connector).unwrap();
        let zone = |id: &str| self.subnet(id).availability_zone.clone();
        let mut zones: Vec<String> = connector.subnets.iter().map(|s| zone(&s.value)).collect();
        zones.sort();
        zones.dedup();
        let turn = usize::from(task) - 1;
        let here = &zones[turn % zones.len()];
        let subnets: Vec<&str> = connector
            .subnets
            .iter()
            .map(|s| s.value.as_str())
            .filter(|s| zone(s) == *here)
            .collect();
        let subnet = subnets[turn / zones.len() % subnets.len()];
        let vpc = &self.subnet(subnet).vpc.value;
        let groups = self.groups(connector.security_groups.iter().map(|g| &g.value), vpc);
        let key = EniKey {
            kind: connector.kind,
            subnet: subnet.to_owned(),
            security_groups: groups,
            task: None,
        };
        self.lab.plan.enis.iter().find(|e| e.key == key)
    }

    pub(super) fn is_own_public(&self, address: Ipv4Addr) -> bool {
        let plan = &self.lab.plan;
        plan.apprunner_address == Some(address)
            || plan
                .nat_gateways
                .values()
                .flat_map(|n| &n.addresses)
                .any(|own| own.public == Some(address))
            || plan.enis.iter().any(|eni| eni.public_address == Some(address))
    }
}
