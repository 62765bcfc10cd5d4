//! Looks up the names of an expectation in a configuration. An unknown name is an error, never a
//! pass.

use super::known;
use crate::config::At;
use crate::config::{Expectation, ExpectationFault, Expected, nearest, suggestion};
use crate::explain::asking::vpc_of;
use crate::explain::destination::Destination;
use crate::explain::explained::NAME_NOT_RESOLVED;
use crate::explain::resolution::{Resolution, resolve};
use crate::explain::target::{self, TargetError};
use crate::vpc::{ServiceIx, Snapshot};
use std::collections::{BTreeSet, HashMap};

/// The word for each service.
const EVERY: &str = "*";

/// The value of an expectation's `by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By<'e> {
    /// A drop reason.
    Reason(&'e str),
    /// The id of the object that decides.
    Object(&'e str),
}

/// An expectation with names that were found.
pub(super) struct Resolved<'e> {
    pub(super) expectation: &'e Expectation,
    pub(super) by: Option<By<'e>>,
    /// The positions of its questions.
    pub(super) questions: Vec<usize>,
}

/// A question: the packets of one service to one destination.
pub(super) struct Question<'e> {
    pub(super) service: ServiceIx,
    pub(super) to: &'e str,
    pub(super) protocol: Option<&'e str>,
    pub(super) resolution: Resolution,
}

/// Looks names up, and keeps each question once.
pub(super) struct Resolver<'e, 's> {
    snapshot: &'s Snapshot,
    services: HashMap<&'s str, ServiceIx>,
    reasons: BTreeSet<&'static str>,
    deciding: Vec<&'s str>,
    on_paths: Vec<&'s str>,
    known: HashMap<(ServiceIx, &'e str, Option<&'e str>), Result<usize, TargetError>>,
    pub(super) questions: Vec<Question<'e>>,
    pub(super) faults: Vec<ExpectationFault>,
}

impl<'e, 's> Resolver<'e, 's> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        let services = snapshot.parts().services.iter().enumerate();
        Self {
            snapshot,
            services: services.map(|(at, service)| (service.name.as_str(), at.into())).collect(),
            reasons: known::reasons().into_iter().collect(),
            deciding: known::deciding(snapshot),
            on_paths: known::on_paths(snapshot),
            known: HashMap::new(),
            questions: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Looks up the names of an expectation, and records the unknown ones.
    pub(super) fn resolve(&mut self, expectation: &'e Expectation) -> Resolved<'e> {
        let services = self.services(&expectation.from);
        let by = self.by(expectation);
        self.via(expectation);
        let mut questions = Vec::new();
        if self.has_protocol(expectation) {
            for to in &expectation.to {
                for service in &services {
                    questions.extend(self.question(expectation, *service, to));
                }
            }
        }
        Resolved { expectation, by, questions }
    }

    fn services(&mut self, from: &[At<String>]) -> Vec<ServiceIx> {
        let mut found = BTreeSet::new();
        for name in from {
            match self.services.get(name.as_str()) {
                Some(service) => {
                    found.insert(*service);
                }
                None if name.value == EVERY && !self.services.is_empty() => {
                    found.extend(self.services.values());
                }
                None => self.no_service(name),
            }
        }
        found.into_iter().collect()
    }

    fn no_service(&mut self, name: &At<String>) {
        let names: Vec<&str> =
            self.snapshot.parts().services.iter().map(|service| service.name.as_str()).collect();
        let message = format!("there is no service {:?}", name.value);
        self.fault(name, message, suggestion(name, &names));
    }

    fn by(&mut self, expectation: &'e Expectation) -> Option<By<'e>> {
        let name = expectation.by.as_ref()?;
        if self.deciding.binary_search(&name.as_str()).is_ok() {
            return Some(By::Object(name));
        }
        if self.reasons.contains(name.as_str()) {
            if expectation.is == Expected::Reachable {
                let message = format!("`{}` is a drop reason, and these packets pass", **name);
                let help = "give the id of what admits them, such as a security group, or no `by`";
                self.faulty(name, "only-if-blocked", message, help.to_owned());
            }
            return Some(By::Reason(name));
        }
        let mut valid: Vec<&str> = self.reasons.iter().copied().collect();
        valid.extend(&self.deciding);
        let help = format!(
            "{}Give a drop reason such as sg-ingress-implicit-deny, or the id of a security group, network ACL, \
             route table, gateway, endpoint or peering connection",
            did_you_mean(name, &valid)
        );
        self.fault(
            name,
            format!("{:?} is neither a drop reason nor an id in the lab", **name),
            help,
        );
        None
    }

    fn via(&mut self, expectation: &Expectation) {
        for name in &expectation.via {
            if self.on_paths.binary_search(&name.as_str()).is_ok() {
                continue;
            }
            let said =
                format!("no gateway, endpoint or peering connection has the id {:?}", **name);
            self.fault(name, said, suggestion(name, &self.on_paths));
        }
    }

    fn has_protocol(&mut self, expectation: &Expectation) -> bool {
        let Some(word) = &expectation.protocol else { return true };
        let Err(error) = target::protocol(word) else { return true };
        self.faulty(word, "bad-protocol", error.to_string(), String::new());
        false
    }

    fn question(
        &mut self,
        expectation: &'e Expectation,
        service: ServiceIx,
        to: &'e At<String>,
    ) -> Option<usize> {
        let protocol = expectation.protocol.as_ref().map(|word| word.as_str());
        let key = (service, to.as_str(), protocol);
        let known = match self.known.get(&key) {
            Some(known) => known.clone(),
            None => {
                let found = self.ask_for(service, to, protocol);
                self.known.insert(key, found.clone());
                found
            }
        };
        match known {
            Ok(position) => {
                self.must_resolve(expectation, to, position);
                Some(position)
            }
            Err(error) => {
                self.no_destination(to, &error);
                None
            }
        }
    }

    fn ask_for(
        &mut self,
        service: ServiceIx,
        to: &'e str,
        protocol: Option<&'e str>,
    ) -> Result<usize, TargetError> {
        let destination = Destination::parse(to, protocol)?;
        let vpc = vpc_of(service, self.snapshot);
        let resolution = resolve(&destination, vpc, self.snapshot)?;
        if let Resolution::Found(found) = &resolution
            && found.destinations.is_empty()
        {
            return Err(TargetError::NoAddress(to.to_owned()));
        }
        self.questions.push(Question { service, to, protocol, resolution });
        Ok(self.questions.len() - 1)
    }

    /// Reports a name without an address that must be blocked: a misspelt name below a private zone
    /// looks the same.
    fn must_resolve(&mut self, expectation: &Expectation, to: &At<String>, position: usize) {
        let Some(question) = self.questions.get(position) else { return };
        let Resolution::NotResolved { name, why, .. } = &question.resolution else { return };
        if expectation.is == Expected::Reachable || expectation.by.is_some() {
            return;
        }
        let service = &self.snapshot.service(question.service).name;
        let message = format!("the resolver of {service} has no address for {name}: {why}");
        let help = format!(
            "correct the name, or add by = \"{NAME_NOT_RESOLVED}\" if this is what blocks it"
        );
        self.fault(to, message, help);
    }

    fn no_destination(&mut self, to: &At<String>, error: &TargetError) {
        let TargetError::UnknownDestination(unknown) = error else {
            return self.faulty(to, "bad-destination", error.to_string(), String::new());
        };
        let parts = self.snapshot.parts();
        let resources = parts.resources.iter().flat_map(|r| r.aliases.iter().chain([&r.name]));
        let hosts = parts.internet_hosts.iter().map(|host| &host.name);
        let endpoints = self.on_paths.iter().copied();
        let names = resources.chain(hosts).map(String::as_str).chain(endpoints);
        let help = did_you_mean(&unknown.name, &names.collect::<Vec<_>>());
        self.fault(to, error.to_string(), help.trim_end().to_owned());
    }

    fn fault(&mut self, at: &At<String>, message: String, help: String) {
        self.faulty(at, "unknown-name", message, help);
    }

    fn faulty(&mut self, at: &At<String>, rule: &'static str, message: String, help: String) {
        self.faults.push(ExpectationFault { span: at.span, rule, message, help });
    }
}

fn did_you_mean(word: &str, valid: &[&str]) -> String {
    nearest(word, valid).map(|nearest| format!("did you mean {nearest:?}? ")).unwrap_or_default()
}
