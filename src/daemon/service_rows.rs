//! The rows of `egret services`: services of the file, and those of the App Runner API, even if the
//! lab does not have them.

use super::error::LabError;
use super::running::Running;
use crate::explain::{ApiService, ServiceEni, ServiceRow};
use crate::flow::Instant;
use crate::linux::clock;
use crate::vpc::ServiceKind;

/// The status of every service of the lab file.
const RUNNING: &str = "RUNNING";

/// The states of a service that App Runner runs nothing for.
const NOT_THERE: [&str; 2] = ["CREATE_FAILED", "DELETED"];

impl Running {
    /// Lists the services of the file, then those of the API in the order of their creation, for
    /// `egret services`.
    pub fn service_rows(&self) -> Vec<ServiceRow> {
        let spec = &self.lab.spec;
        let of_file = spec.services.iter().filter(|service| service.line != 0).map(|service| {
            let connector = service.vpc_connector.as_ref().map(|name| name.value.clone());
            let (name, status) = (service.name.value.clone(), RUNNING.to_owned());
            (service.kind, ApiService { name, status, connector, operations: Vec::new() })
        });
        let of_file = of_file.map(|(kind, service)| self.service_row("file", kind, service));
        let of_api = Vec::clone(&self.api_services.load());
        let of_api = of_api
            .into_iter()
            .map(|service| self.service_row("api", ServiceKind::AppRunner, service));
        of_file.chain(of_api).collect()
    }

    fn service_row(&self, origin: &str, kind: ServiceKind, service: ApiService) -> ServiceRow {
        let ApiService { name, status, connector, operations } = service;
        let now = Instant(clock::now());
        let enis = connector.as_deref().map(|name| self.startup.enis_of(now, &self.lab, name));
        let eni =
            |(eni, left): (&crate::config::plan::PlannedEni, std::time::Duration)| ServiceEni {
                id: eni.id.clone(),
                subnet: eni.key.subnet.clone(),
                state: if left.is_zero() { "up" } else { "pending" }.to_owned(),
                pending_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            };
        let is_there = !NOT_THERE.contains(&status.as_str());
        let bypasses = is_there && connector.is_some() && kind == ServiceKind::AppRunner;
        ServiceRow {
            not_through_vpc: if bypasses { ServiceRow::not_through_vpc() } else { Vec::new() },
            tasks: self.tasks.values().filter(|task| task.service == name).count(),
            origin: origin.to_owned(),
            egress: if connector.is_some() { "vpc" } else { "default" }.to_owned(),
            enis: enis.unwrap_or_default().into_iter().map(eni).collect(),
            service: name,
            status,
            connector,
            operations,
        }
    }

    /// Returns why a service of the API has no tasks; `None` for one that runs, and for one that
    /// the API does not have.
    pub(super) fn at_rest(&self, service: &str) -> Option<LabError> {
        let shown = self.api_services.load();
        let own = shown.iter().find(|own| own.name == service)?;
        let is_in_lab = self.lab.spec.services.iter().any(|other| *other.name == service);
        let rests = self.lab.overlay.is_at_rest(service) || !is_in_lab;
        rests.then(|| LabError::AtRest { service: service.to_owned(), why: own.why() })
    }
}
