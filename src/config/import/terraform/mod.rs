//! Reads `terraform show -json`, of a state or a plan, as an [`Account`] (spec 11.2).
//!
//! | file | content |
//! |---|---|
//! | `document` | the JSON: modules, resources, unknown values |
//! | `written` | the notation of parts of objects |
//! | `address`, `references` | the references of a plan's unknown values, by its configuration |
//! | `reader` | attributes of one resource |
//! | `kinds` | the resource types, and the treatment of each |
//! | `network`, `routing`, `security_groups` | one family of types each |
//! | `endpoints`, `interfaces`, `public_addresses` | one family of types each |
//! | `names`, `apprunner` | one family of types each |
//!
//! A state lists what exists, defaults included: Terraform has removed AWS's default egress rule
//! from each security group that it created. Inline parts and parts that are resources of their own
//! are read together, each once.

mod address;
mod apprunner;
mod association;
mod document;
mod endpoints;
mod import;
mod interfaces;
mod kinds;
mod names;
mod network;
mod owners;
mod public_addresses;
mod reader;
mod references;
mod routing;
mod security_groups;
mod sensitive;
#[cfg(test)]
mod tests;
mod written;

pub use self::address::Address;
use self::document::{Document, Resource};
use self::import::Import;
use self::kinds::{Phase, Treatment, kind};
use self::owners::Owners;
use self::reader::{Block, object};
use self::references::References;
use super::{Account, Findings, ImportErrors, Options, Origin, RulePeer};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Decides whether some JSON looks like the output of `terraform show`, or like a file that it can
/// show.
pub(super) fn is_one(value: &Value) -> bool {
    ["format_version", "terraform_version"].iter().any(|key| value.get(key).is_some())
}

/// Reads the output of `terraform show -json`.
///
/// # Errors
/// All faults that prevent reading it, each with the file, the resource's address and the
/// attribute.
pub(super) fn import(
    text: &str,
    file: &str,
    options: &Options,
) -> Result<(Account, Findings), ImportErrors> {
    let mut document = Document::read(text, &Origin::file(file))?;
    let secrets = std::mem::take(&mut document.secrets);
    match account_of(document, options) {
        Ok((account, mut findings)) => {
            findings.hide(secrets);
            Ok((account, findings))
        }
        Err(mut errors) => {
            for error in &mut errors.0 {
                secrets.hide(&mut error.message);
                secrets.hide(&mut error.help);
            }
            Err(errors)
        }
    }
}

fn account_of(
    mut document: Document,
    options: &Options,
) -> Result<(Account, Findings), ImportErrors> {
    let mut findings = Findings::new();
    let region = choose_region(&mut document, options, &mut findings);
    let references = References::new(&document);
    let guesses = RefCell::new(Findings::new());
    let mut import = Import {
        account: Account { region, ..Account::default() },
        findings,
        errors: Vec::new(),
        elastic_ips: HashMap::new(),
        associations: Vec::new(),
        implied: HashMap::new(),
        zones: HashMap::new(),
        owners: Owners::default(),
        former: false,
    };
    for phase in Phase::ALL {
        if phase == Phase::Parts {
            import.forget(&document.former, &references, &guesses);
        }
        // A managed resource counts before a data source of the same object.
        for data in [false, true] {
            for resource in document.resources.iter().filter(|resource| resource.data == data) {
                let block = Block::of(resource, &references, &guesses);
                if phase == Phase::Ground {
                    import.note_written(&block);
                }
                import.resource(phase, &block);
            }
        }
    }
    import.settle();
    if !import.errors.is_empty() {
        return Err(ImportErrors(import.errors));
    }
    import.findings.extend(guesses.take());
    Ok((import.account, import.findings))
}

impl<'a> Import<'a> {
    fn resource(&mut self, phase: Phase, block: &Block<'a>) {
        let resource = block.resource;
        let outcome = match kind(&resource.kind, resource.data) {
            Treatment::Read(wanted, read) if wanted == phase => {
                if resource.data
                    && matches!(phase, Phase::Ground | Phase::Objects)
                    && self.has(&resource.id())
                {
                    return;
                }
                if network::VPCS.contains(&resource.kind.as_str()) {
                    self.imply(resource);
                }
                read(self, block)
            }
            Treatment::Owner(owner) if phase == Phase::Objects => {
                self.owners.keep(owner, block.clone());
                Ok(())
            }
            Treatment::LeftOut(consequence) if phase == Phase::Objects => {
                let what = words(&resource.kind);
                self.findings.left_out(block.object(), &block.origin, what, consequence);
                Ok(())
            }
            Treatment::NotUnderstood if phase == Phase::Objects => {
                self.findings.not_understood(
                    block.object(),
                    &block.origin,
                    "a type of resource that egret does not know",
                    "left out: if packets depend on it, write it into the lab file",
                );
                Ok(())
            }
            Treatment::Unlisted if phase == Phase::Objects && resource.is_in_a_vpc() => {
                self.findings.left_out(
                    block.object(),
                    &block.origin,
                    "a type of resource that egret does not know, in a VPC",
                    "the lab has no such resource: if it has addresses, add a [[resource]] for it",
                );
                Ok(())
            }
            Treatment::Ipv6 if phase == Phase::Objects => {
                self.findings.ipv6(words(&resource.kind), &block.origin);
                Ok(())
            }
            Treatment::Needed if phase == Phase::Objects => {
                self.owners.need(block.clone());
                Ok(())
            }
            Treatment::Read(..)
            | Treatment::Owner(_)
            | Treatment::Needed
            | Treatment::LeftOut(_)
            | Treatment::NotUnderstood
            | Treatment::Ipv6
            | Treatment::Nothing
            | Treatment::Unlisted => Ok(()),
        };
        self.part(block, &words(&resource.kind), outcome);
    }

    /// Removes the parts that a plan ends. A plan's objects have the parts that they had at the
    /// last refresh; their replacements are read later.
    fn forget<'b>(
        &mut self,
        former: &'b [Resource],
        references: &'b References<'b>,
        guesses: &'b RefCell<Findings>,
    ) {
        let (findings, errors) = (self.findings.clone(), self.errors.len());
        self.former = true;
        for resource in former {
            if let Some(read) = kinds::part(&resource.kind) {
                // A part that cannot be read is in no object either.
                let _ = read(self, &Block::of(resource, references, guesses));
            }
        }
        self.former = false;
        self.findings = findings;
        self.errors.truncate(errors);
    }

    /// Completes the account when everything has been read.
    fn settle(&mut self) {
        interfaces::settle(self);
        public_addresses::settle(self);
        network::settle_acls(self);
        network::settle_peerings(self);
        self.settle_groups();
        let mut endpoints = std::mem::take(&mut self.account.vpc_endpoints);
        for id in endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.route_tables) {
            if let Some(table) = self.route_table(id) {
                id.clone_from(&table.id);
            }
        }
        self.account.vpc_endpoints = endpoints;
    }

    /// Adds default groups that are named, under one id each.
    fn settle_groups(&mut self) {
        let mut account = std::mem::take(&mut self.account);
        let mut named: BTreeSet<String> = BTreeSet::new();
        for_each_group(&mut account, |id| {
            if self.implied.contains_key(id) {
                named.insert(id.clone());
            }
        });
        self.account = account;
        let mut renamed = BTreeMap::new();
        for id in named {
            if let Some(group) = self.group(&id) {
                renamed.insert(id, group.id.clone());
            }
        }
        for_each_group(&mut self.account, |id| {
            if let Some(canonical) = renamed.get(id) {
                id.clone_from(canonical);
            }
        });
    }
}

/// Returns a type in words.
fn words(kind: &str) -> String {
    match kind {
        "aws_security_group_rule"
        | "aws_vpc_security_group_ingress_rule"
        | "aws_vpc_security_group_egress_rule" => "security-group rule".to_owned(),
        "aws_network_acl_rule" => "entry of a network ACL".to_owned(),
        other => other.trim_start_matches("aws_").replace('_', " "),
    }
}

/// Visits every reference to a security group.
fn for_each_group(account: &mut Account, mut visit: impl FnMut(&mut String)) {
    for group in &mut account.security_groups {
        for rule in group.ingress.iter_mut().chain(&mut group.egress) {
            if let RulePeer::SecurityGroup(id) = &mut rule.peer {
                visit(id);
            }
        }
    }
    let connectors = account.vpc_connectors.iter_mut().map(|one| &mut one.security_groups);
    let endpoints = account.vpc_endpoints.iter_mut().map(|one| &mut one.security_groups);
    let interfaces = account.network_interfaces.iter_mut().map(|one| &mut one.security_groups);
    for id in connectors.chain(endpoints).chain(interfaces).flatten() {
        visit(id);
    }
}

/// Chooses the region of the lab: the one that the user named, or the one of most resources.
/// Resources of others are left out.
fn choose_region(
    document: &mut Document,
    options: &Options,
    findings: &mut Findings,
) -> Option<String> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for region in document.resources.iter().filter_map(Resource::region) {
        *count.entry(region.to_owned()).or_default() += 1;
    }
    let most = count.iter().max_by_key(|(_, count)| **count).map(|(region, _)| region.clone());
    let chosen = options.region.clone().or(most).or_else(|| {
        let provider = document
            .configuration
            .pointer("/provider_config/aws/expressions/region/constant_value")?;
        Some(provider.as_str()?.to_owned())
    });
    if let Some(chosen) = &chosen {
        document.resources.retain(|resource| {
            let other = resource.region().filter(|region| region != chosen);
            if let Some(other) = other.filter(|_| {
                !matches!(
                    kind(&resource.kind, resource.data),
                    Treatment::Nothing | Treatment::Unlisted
                )
            }) {
                findings.left_out(
                    object(resource),
                    &resource.origin,
                    format!("it is in {other}, and the lab is {chosen}"),
                    format!("left out; for that region give --region {other}"),
                );
            }
            other.is_none()
        });
    }
    chosen
}
