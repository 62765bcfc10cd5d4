//! Writes an [`Account`] as the text of a lab file.
//!
//! The text is for people first: VPC by VPC in reading order, each object under its name and its
//! place in the source, and each assumption where it was made. [`crate::config::Lab::parse`] then
//! reads it like any other lab file, so there is one validation. This code only decides what a lab
//! file can express, and reports what it cannot.

mod acl;
mod document;
mod endpoint;
mod group;
mod interface;
mod nat;
mod network;
mod public_address;
mod route;
mod scope;
mod service;
mod state;
mod traffic;
mod words;

use super::{Account, Findings, ImportErrors, Origin, Vpc};
use crate::config::names::ObjectKind;
use crate::vpc::Line;
use document::Document;
use scope::LabVpcs;
use state::Lowering;
use std::collections::{BTreeMap, BTreeSet};
use words::Words;

/// The lab's name, and its source.
#[derive(Clone, Debug, Default)]
pub(super) struct Heading {
    /// The lab's name.
    pub(super) lab: String,
    /// The source, as the user named it.
    pub(super) source: String,
}

/// A lab file, and the places in the source of its lines.
#[derive(Clone, Debug)]
pub(super) struct Lowered {
    pub(super) text: String,
    pub(super) origins: BTreeMap<Line, Origin>,
    /// The ids in the source, by the lab's names of the objects.
    pub(super) ids: BTreeMap<(ObjectKind, String), String>,
}

/// Writes the lab file. `findings` has the findings of the importer, and gets those of the
/// lowering.
///
/// # Errors
/// Faults of the source: references to objects that it does not have, and traffic that AWS does not
/// know.
pub(super) fn lower(
    account: &Account,
    heading: &Heading,
    findings: &mut Findings,
) -> Result<Lowered, ImportErrors> {
    let scope = LabVpcs::of(account, findings);
    let region = network::region(account, findings);
    let mut lowering = Lowering {
        account,
        scope,
        region,
        words: Words::default(),
        taken: BTreeSet::new(),
        tried: BTreeMap::new(),
        used_lists: BTreeSet::new(),
        assumed_lists: BTreeSet::new(),
        open_groups: BTreeMap::new(),
        written: BTreeSet::new(),
        public_taken: BTreeSet::new(),
        public_written: BTreeSet::new(),
        findings,
        errors: Vec::new(),
        document: Document::default(),
    };
    lowering.whole_file(heading);
    if !lowering.errors.is_empty() {
        return Err(ImportErrors(lowering.errors));
    }
    let (text, origins) = lowering.document.finish();
    Ok(Lowered { text, origins, ids: lowering.words.ids() })
}

impl<'a> Lowering<'a, '_> {
    fn whole_file(&mut self, heading: &Heading) {
        self.keep_route_target_words();
        self.head(heading);
        self.given_addresses();
        self.given_public_addresses();
        let account = self.account;
        for vpc in account.vpcs.iter().filter(|vpc| self.scope.has(&vpc.id)).collect::<Vec<_>>() {
            self.vpc(vpc);
        }
        self.peerings();
        self.prefix_lists();
        self.private_zones();
        self.internet_hosts();
        self.app_runner();
        self.interfaces_elsewhere();
        self.tail();
    }

    /// Reserves the ids of groups, gateways and endpoints, so that no name takes one of them first.
    fn keep_route_target_words(&mut self) {
        let account = self.account;
        let groups = account.security_groups.iter().map(|o| (ObjectKind::SecurityGroup, &o.id));
        let gateways =
            account.internet_gateways.iter().map(|o| (ObjectKind::InternetGateway, &o.id));
        let nats = account.nat_gateways.iter().map(|o| (ObjectKind::NatGateway, &o.id));
        let endpoints = account.vpc_endpoints.iter().map(|o| (ObjectKind::VpcEndpoint, &o.id));
        for (kind, id) in groups.chain(gateways).chain(nats).chain(endpoints) {
            self.words.of(kind, id);
        }
    }

    fn head(&mut self, heading: &Heading) {
        self.document.comment(&format!("Written by `egret import` from {}.", heading.source));
        self.document.comment("Each object has its place there above it. \"assumed:\" is what the source leaves open.");
        self.document.line("");
        self.document.line(&format!("lab = {}", document::quoted(&heading.lab)));
        self.document.line(&format!("region = {}", document::quoted(&self.region)));
        self.task_cidr();
    }

    fn vpc(&mut self, vpc: &'a Vpc) {
        let title = vpc.name.as_deref().map_or_else(String::new, |name| format!("{name}, "));
        self.document.heading(&format!("VPC {title}{}", vpc.id));
        self.network(vpc);
        let account = self.account;
        for subnet in account.subnets.iter().filter(|subnet| subnet.vpc == vpc.id) {
            self.subnet(vpc, subnet);
        }
        for table in account.route_tables.iter().filter(|table| table.vpc == vpc.id) {
            self.route_table(vpc, table);
        }
        for gateway in &account.nat_gateways {
            self.nat_gateway(vpc, gateway);
        }
        for group in account.security_groups.iter().filter(|group| group.vpc == vpc.id) {
            self.security_group(group);
        }
        for acl in account.network_acls.iter().filter(|acl| acl.vpc == vpc.id) {
            self.network_acl(acl);
        }
        for endpoint in account.vpc_endpoints.iter().filter(|endpoint| endpoint.vpc == vpc.id) {
            self.vpc_endpoint(vpc, endpoint);
        }
        self.resources(vpc);
    }

    /// Adds the findings about objects that are not in the file, for its readers.
    fn tail(&mut self) {
        let found = self.findings.all();
        let missing: Vec<_> =
            found.iter().filter(|f| f.kind != super::FindingKind::Assumed).collect();
        if missing.is_empty() {
            return;
        }
        self.document.heading("not imported");
        for finding in missing {
            let super::Finding { kind, object, what, consequence, origin } = finding;
            self.document.comment(&format!("{kind}: {object}: {what}: {consequence} ({origin})"));
        }
    }
}
