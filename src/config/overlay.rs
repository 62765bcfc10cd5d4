//! The overlay: connectors and services that the App Runner API adds to those of the lab file,
//! whole and declarative. It is added to the spec each time that the file is read. A file without
//! the objects that they need is refused with their names, as they have no line that could be
//! shown.

use super::diagnostic::{At, Report, Span};
use super::names::default_id;
use super::spec::{Connector, Service, Spec};
use super::text;
use crate::vpc::ServiceKind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All objects that were created through the API; and the tasks that were created by hand and the
/// resources that are attached, which the lab itself records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// VPC connectors. One that no service uses has no ENI (spec 1.6).
    pub connectors: Vec<OverlayConnector>,
    /// Services.
    pub services: Vec<OverlayService>,
    /// The tasks that `egret task add` created, by service: each task of a Fargate service needs an
    /// ENI of its own.
    pub tasks_by_hand: BTreeMap<String, BTreeSet<u16>>,
    /// The resources whose address an attached namespace has, in place of the lab's own.
    pub attached_resources: BTreeSet<String>,
}

/// A VPC connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayConnector {
    /// `VpcConnectorName`.
    pub name: String,
    /// `Subnets`, by the lab file's ids.
    pub subnets: Vec<String>,
    /// `SecurityGroups`; empty: the VPC's default group.
    pub security_groups: Vec<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayService {
    /// `ServiceName`.
    pub name: String,
    /// `EgressConfiguration`.
    pub egress: OverlayEgress,
    /// The number of its tasks. A service without tasks that uses a connector still has its ENIs.
    pub tasks: u16,
}

/// `EgressType`, and its connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverlayEgress {
    /// `DEFAULT`.
    Default,
    /// `VPC`.
    Vpc {
        /// The name of a connector, of the API or of the lab file.
        connector: String,
    },
}

impl Overlay {
    /// Decides whether a service was created through the API.
    pub fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service.name == name)
    }

    /// Decides whether a service was created through the API and has no task now: it is paused, or
    /// still starting. A service of the lab file without tasks does not count.
    pub fn is_at_rest(&self, service: &str) -> bool {
        self.services.iter().any(|own| own.name == service && own.tasks == 0)
    }

    /// Decides whether a connector was created through the API.
    pub fn has_connector(&self, name: &str) -> bool {
        self.connectors.iter().any(|connector| connector.name == name)
    }

    /// Adds all objects that fit to the spec, and reports the others. Tasks are kept only if the
    /// spec has a use for them.
    pub(super) fn lay_over(&mut self, spec: &mut Spec, report: &Report) {
        let overlaid = spec.connectors.len();
        for own in &self.connectors {
            let name = || format!("VPC connector {:?} of the App Runner API", own.name);
            let complain = Complain { report, name: &name };
            let fits = complain.name(&own.name)
                & complain.first(spec.connectors.iter().map(|c| &c.name), &own.name, overlaid)
                & connector(spec, own, &complain);
            if fits {
                spec.connectors.push(Connector {
                    name: nowhere(&own.name),
                    kind: ServiceKind::AppRunner,
                    subnets: own.subnets.iter().map(nowhere).collect(),
                    security_groups: own.security_groups.iter().map(nowhere).collect(),
                    line: 0,
                });
            }
        }
        let overlaid = spec.services.len();
        for own in &self.services {
            let name = || format!("service {:?} of the App Runner API", own.name);
            let complain = Complain { report, name: &name };
            let fits = complain.name(&own.name)
                & complain.first(spec.services.iter().map(|s| &s.name), &own.name, overlaid)
                & self.service(spec, own, &complain);
            if fits {
                let vpc_connector = match &own.egress {
                    OverlayEgress::Default => None,
                    OverlayEgress::Vpc { connector } => Some(nowhere(connector)),
                };
                spec.services.push(Service {
                    name: nowhere(&own.name),
                    kind: ServiceKind::AppRunner,
                    vpc_connector,
                    assign_public_ip: None,
                    tasks: own.tasks,
                    line: 0,
                });
            }
        }
        let is_fargate = |name: &String| {
            let own = spec.services.iter().find(|service| service.name.value == *name);
            own.is_some_and(|service| service.kind == ServiceKind::Fargate)
        };
        self.tasks_by_hand.retain(|name, _| is_fargate(name));
        spec.more_tasks.clone_from(&self.tasks_by_hand);
        let is_there = |name: &String| spec.resources.iter().any(|own| own.name.value == *name);
        self.attached_resources.retain(is_there);
    }

    /// Decides whether a service has its connector. A connector of the overlay that does not fit is
    /// reported already.
    fn service(&self, spec: &Spec, own: &OverlayService, complain: &Complain<'_>) -> bool {
        let OverlayEgress::Vpc { connector } = &own.egress else { return true };
        if spec.connector(connector).is_some() {
            return true;
        }
        if !self.has_connector(connector) {
            complain.about(
                "dangling-id",
                &format!("leaves by VPC connector {connector:?}, which does not exist"),
                "create the connector first, or update the service to EgressType DEFAULT",
            );
        }
        false
    }
}

/// Decides whether a connector's subnets and groups exist, and are of one VPC (spec 1.6).
fn connector(spec: &Spec, own: &OverlayConnector, complain: &Complain<'_>) -> bool {
    const KEEP: &str = "keep it in the lab file, or delete the connector through the API first";
    let mut fits = complain.repeated(own.subnets.iter().chain(&own.security_groups));
    let Some(first) = own.subnets.first() else {
        complain.about("empty-list", "has no subnet", "a VPC connector needs at least one");
        return false;
    };
    let vpc = spec.subnet(first).map(|subnet| subnet.vpc.value.as_str());
    let kinds = [("subnet", &own.subnets), ("security group", &own.security_groups)];
    for (kind, ids) in kinds {
        for id in ids {
            let theirs = match kind {
                "subnet" => spec.subnet(id).map(|subnet| subnet.vpc.value.as_str()),
                _ => spec.vpc_of_group(id),
            };
            let found = match (theirs, vpc) {
                (None, _) => {
                    Some(("dangling-id", format!("uses {kind} {id:?}, which does not exist")))
                }
                (Some(theirs), Some(vpc)) if theirs != vpc => Some((
                    "wrong-vpc",
                    format!(
                        "uses {kind} {id:?} of VPC {theirs:?}, while subnet {first:?} is in {vpc:?}"
                    ),
                )),
                (Some(_), _) => None,
            };
            if let Some((rule, message)) = found {
                complain.about(rule, &message, KEEP);
                fits = false;
            }
        }
    }
    fits
}

impl Spec {
    /// Returns the VPC of a security group, declared or implied, by the group's id.
    pub fn vpc_of_group(&self, id: &str) -> Option<&str> {
        let declared = self.security_groups.iter().find(|group| *group.id == id);
        let implied = || self.vpcs.iter().find(|vpc| default_id(&vpc.id) == id);
        let declared = declared.map(|group| group.vpc.value.as_str());
        declared.or_else(|| implied().map(|vpc| vpc.id.value.as_str()))
    }
}

/// Reports the faults of one object of the API, by its name.
struct Complain<'a> {
    report: &'a Report,
    name: &'a dyn Fn() -> String,
}

impl Complain<'_> {
    fn about(&self, rule: &'static str, message: &str, help: &str) {
        self.report.error(Span::NOWHERE, rule, format!("{} {message}", (self.name)()), help);
    }

    /// Decides whether it can have this name.
    fn name(&self, name: &str) -> bool {
        let fault = text::apprunner_name(name).err();
        if let Some(text::Fault { rule, message: _, help }) = &fault {
            self.about(rule, "cannot be called so", help);
        }
        fault.is_none()
    }

    /// Decides whether no other object has the name; those from `overlaid` on are of the API too.
    fn first<'n>(
        &self,
        mut names: impl Iterator<Item = &'n At<String>>,
        name: &str,
        overlaid: usize,
    ) -> bool {
        let Some(position) = names.position(|other| **other == *name) else { return true };
        let (message, help) = if position < overlaid {
            (
                "has a name that the lab file gives to another",
                "give the one in the lab file another name, or delete the one of the API first",
            )
        } else {
            ("is there twice", "give each another name")
        };
        self.about("duplicate-id", message, help);
        false
    }

    /// Decides whether nothing is named twice.
    fn repeated<'n>(&self, ids: impl Iterator<Item = &'n String>) -> bool {
        let mut seen = BTreeSet::new();
        let mut fits = true;
        for id in ids.filter(|id| !seen.insert(id.as_str())) {
            self.about("repeated", &format!("names {id:?} twice"), "name it once");
            fits = false;
        }
        fits
    }
}

fn nowhere(id: impl AsRef<str>) -> At<String> {
    At { value: id.as_ref().to_owned(), span: Span::NOWHERE }
}
