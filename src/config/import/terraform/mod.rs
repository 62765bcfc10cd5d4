//! `terraform show -json`, of a state or a plan, as an [`Account`] (spec 11.2).
//!
//! | file | what it reads |
//! |---|---|
//! | `document` | the JSON: modules, resources, what is unknown |
//! | `address`, `references` | what unknown values of a plan refer to, by its configuration |
//! | `reader` | attributes of one resource |
//! | `kinds` | which resource types there are, and what becomes of them |
//! | `network`, `routing`, `security_groups`, `endpoints`, `interfaces`, `names`, `apprunner` | one family of types each |
//!
//! A state lists what is there, defaults included: Terraform has taken AWS's default egress rule from each security group that
//! it made. Inline parts and parts that are resources of their own are read together, each once.

mod address;
mod apprunner;
mod document;
mod endpoints;
mod interfaces;
mod kinds;
mod names;
mod network;
mod reader;
mod references;
mod routing;
mod security_groups;
#[cfg(test)]
mod tests;

use self::document::{Document, Resource};
use self::kinds::{Kind, Phase, kind};
use self::reader::{Block, Trouble, object};
use self::references::References;
use self::security_groups::{Peer, Peers};
use super::{
    Account, AclDirection, AclEntry, Findings, ImportError, ImportErrors, NetworkAcl, Options,
    Origin, PrivateZone, RouteTable, RulePeer, SecurityGroup, SecurityGroupRule,
};
use ipnetwork::Ipv4Network;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// Whether some JSON looks like what Terraform shows, or like what it must be asked to show.
pub(super) fn is_one(value: &Value) -> bool {
    ["format_version", "terraform_version"].iter().any(|key| value.get(key).is_some())
}

/// Reads what `terraform show -json` printed.
///
/// # Errors
/// Everything that keeps it from being read, each with the file, the resource's address and the attribute.
pub(super) fn import(
    text: &str,
    file: &str,
    options: &Options,
) -> Result<(Account, Findings), ImportErrors> {
    let file = Origin::file(file);
    let mut document = Document::read(text, &file)?;
    let mut findings = Findings::new();
    let region = choose_region(&mut document, options, &mut findings);
    let references = References::new(&document);
    let guesses = RefCell::new(Findings::new());
    let mut import = Import {
        account: Account { region, ..Account::default() },
        findings,
        errors: Vec::new(),
        elastic_ips: HashMap::new(),
        implied: HashMap::new(),
        zones: HashMap::new(),
        owners: interfaces::Owners::default(),
        former: false,
    };
    for phase in Phase::ALL {
        if phase == Phase::Parts {
            import.forget(&document.former, &references, &guesses);
        }
        // What Terraform manages is the truth; a data source is a fact where nothing managed says it.
        for data in [false, true] {
            for resource in document.resources.iter().filter(|resource| resource.data == data) {
                let block = Block::of(resource, &references, &guesses);
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

/// What has been read so far.
struct Import<'a> {
    account: Account,
    findings: Findings,
    errors: Vec<ImportError>,
    /// Public addresses by allocation.
    elastic_ips: HashMap<String, Ipv4Addr>,
    /// What a VPC has without anybody making it, by id.
    implied: HashMap<String, Implied>,
    /// Where private hosted zones are in the account, by id.
    zones: HashMap<String, usize>,
    owners: interfaces::Owners<'a>,
    /// Whether parts are taken away instead of added.
    former: bool,
}

/// A default object of a VPC, which the source names and may not list.
#[derive(Clone, Debug)]
struct Implied {
    what: DefaultObject,
    vpc: String,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DefaultObject {
    RouteTable,
    NetworkAcl,
    SecurityGroup,
}

/// The attributes of a VPC that name its default objects.
const DEFAULT_OBJECTS: [(&str, DefaultObject); 4] = [
    ("main_route_table_id", DefaultObject::RouteTable),
    ("default_route_table_id", DefaultObject::RouteTable),
    ("default_network_acl_id", DefaultObject::NetworkAcl),
    ("default_security_group_id", DefaultObject::SecurityGroup),
];

impl<'a> Import<'a> {
    fn resource(&mut self, phase: Phase, block: &Block<'a>) {
        let resource = block.resource;
        let outcome = match kind(&resource.kind, resource.data) {
            Kind::Read(wanted, read) if wanted == phase => {
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
            Kind::Owner(owner) if phase == Phase::Objects => {
                self.owners.keep(owner, block.clone());
                Ok(())
            }
            Kind::LeftOut(consequence) if phase == Phase::Objects => {
                let what = words(&resource.kind);
                self.findings.left_out(block.object(), &block.origin, what, consequence);
                Ok(())
            }
            Kind::NotUnderstood if phase == Phase::Objects => {
                self.findings.not_understood(
                    block.object(),
                    &block.origin,
                    "a type of resource that egret does not know",
                    "left out: if packets depend on it, write it into the lab file",
                );
                Ok(())
            }
            Kind::Unlisted if phase == Phase::Objects && resource.is_in_a_vpc() => {
                self.findings.left_out(
                    block.object(),
                    &block.origin,
                    "a type of resource that egret does not know, in a VPC",
                    "the lab has no such resource: if it has addresses, add a [[resource]] for it",
                );
                Ok(())
            }
            Kind::Ipv6 if phase == Phase::Objects => {
                self.findings.ipv6(words(&resource.kind), &block.origin);
                Ok(())
            }
            Kind::Needed if phase == Phase::Objects => {
                self.owners.need(block.clone());
                Ok(())
            }
            Kind::Read(..)
            | Kind::Owner(_)
            | Kind::Needed
            | Kind::LeftOut(_)
            | Kind::NotUnderstood
            | Kind::Ipv6
            | Kind::Nothing
            | Kind::Unlisted => Ok(()),
        };
        self.part(block, &words(&resource.kind), outcome);
    }

    /// A plan's objects have the parts that they had at the last refresh. Takes those away that the plan ends; what replaces
    /// them is read later.
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
                // What cannot be read is in no object either.
                let _ = read(self, &Block::of(resource, references, guesses));
            }
        }
        self.former = false;
        self.findings = findings;
        self.errors.truncate(errors);
    }

    /// The value, or its trouble where it belongs. The rest of the source is read all the same.
    fn part<T>(&mut self, block: &Block<'_>, ipv6: &str, outcome: Result<T, Trouble>) -> Option<T> {
        match outcome {
            Ok(value) => return Some(value),
            Err(Trouble::Error(error)) => self.errors.push(error),
            Err(Trouble::Ipv6 { origin }) => self.findings.ipv6(ipv6, &origin),
            Err(Trouble::Unknown { origin, what }) => self.findings.not_understood(
                block.object(),
                &origin,
                what,
                "left out: apply first, and import the state (terraform show -json)",
            ),
        }
        None
    }

    /// Blocks of a resource; trouble with the list as a whole is said.
    fn parts<'b>(&mut self, block: &Block<'b>, key: &str) -> Vec<Block<'b>> {
        let blocks = block.blocks(key);
        self.part(block, key, blocks).unwrap_or_default()
    }

    /// The peers of a rule that can be had.
    fn peers(&mut self, read: Result<Peers, Trouble>, block: &Block<'_>) -> Vec<(Origin, Peer)> {
        let peers = self.part(block, "security-group rule", read).unwrap_or_default();
        peers
            .into_iter()
            .filter_map(|(place, peer)| {
                Some((place, self.part(block, "security-group rule", peer)?))
            })
            .collect()
    }

    /// A part of an object that the source does not have.
    fn without(&mut self, block: &Block<'_>, object: &str) {
        self.findings.left_out(
            block.object(),
            &block.origin,
            format!("{object}, which it is a part of, is not in this source"),
            "left out, as what it is a part of",
        );
    }

    /// Whether an object is there already.
    fn has(&self, id: &str) -> bool {
        let account = &self.account;
        account.vpcs.iter().any(|one| one.id == id)
            || account.subnets.iter().any(|one| one.id == id)
            || account.route_tables.iter().any(|one| one.id == id)
            || account.security_groups.iter().any(|one| one.id == id)
            || account.nat_gateways.iter().any(|one| one.id == id)
            || account.internet_gateways.iter().any(|one| one.id == id)
            || account.vpc_endpoints.iter().any(|one| one.id == id)
            || account.prefix_lists.iter().any(|one| one.id == id)
            || account.network_interfaces.iter().any(|one| one.id == id)
            || account.peering_connections.iter().any(|one| one.id == id)
            || self.zones.contains_key(id)
    }

    /// The ids of a VPC's default objects: those that it says, and in a plan what references to them resolve to.
    fn imply(&mut self, vpc: &Resource) {
        for (key, what) in DEFAULT_OBJECTS {
            let implied = Implied { what, vpc: vpc.id(), origin: vpc.origin.clone() };
            if let Some(id) = vpc.values.get(key).and_then(Value::as_str) {
                self.implied.insert(id.to_owned(), implied.clone());
            }
            self.implied.insert(vpc.computed(key), implied);
        }
    }

    fn implied(&self, id: &str, what: DefaultObject) -> Option<Implied> {
        self.implied.get(id).filter(|implied| implied.what == what).cloned()
    }

    /// A route table; a VPC's main one is made when something names it that the source does not list.
    fn route_table(&mut self, id: &str) -> Option<&mut RouteTable> {
        let tables = &self.account.route_tables;
        let mut position = tables.iter().position(|table| table.id == id);
        if let (None, Some(implied)) = (position, self.implied(id, DefaultObject::RouteTable)) {
            position = tables.iter().position(|table| table.main && table.vpc == implied.vpc);
            if position.is_none() {
                position = Some(tables.len());
                self.account.route_tables.push(RouteTable {
                    id: id.to_owned(),
                    vpc: implied.vpc,
                    main: true,
                    origin: implied.origin,
                    ..RouteTable::default()
                });
            }
        }
        self.account.route_tables.get_mut(position?)
    }

    /// A network ACL; a VPC's default one is made as AWS makes it, when something names it that the source does not list.
    fn network_acl(&mut self, id: &str) -> Option<&mut NetworkAcl> {
        let acls = &self.account.network_acls;
        let mut position = acls.iter().position(|acl| acl.id == id);
        if let (None, Some(implied)) = (position, self.implied(id, DefaultObject::NetworkAcl)) {
            position = acls.iter().position(|acl| acl.default && acl.vpc == implied.vpc);
            if position.is_none() {
                position = Some(acls.len());
                let allow = |direction| AclEntry {
                    direction,
                    rule_number: 100,
                    allow: true,
                    protocol: "-1".to_owned(),
                    cidr_block: everywhere(),
                    ports: None,
                    icmp: None,
                    origin: implied.origin.clone(),
                };
                self.account.network_acls.push(NetworkAcl {
                    id: id.to_owned(),
                    vpc: implied.vpc.clone(),
                    default: true,
                    entries: vec![allow(AclDirection::Ingress), allow(AclDirection::Egress)],
                    origin: implied.origin.clone(),
                    ..NetworkAcl::default()
                });
            }
        }
        self.account.network_acls.get_mut(position?)
    }

    /// A security group; a VPC's default one is made as AWS makes it, when something names it that the source does not list.
    fn group(&mut self, id: &str) -> Option<&mut SecurityGroup> {
        let id = self.canonical_group(id);
        let mut position = self.account.security_groups.iter().position(|group| group.id == id);
        if let (None, Some(implied)) = (position, self.implied(&id, DefaultObject::SecurityGroup)) {
            position = Some(self.account.security_groups.len());
            self.findings.assumed(
                format!("security group {id}"),
                &implied.origin,
                "the source names the VPC's default group and does not list it",
                "its rules are those that AWS gives it: from itself everything, out everything",
            );
            self.account.security_groups.push(default_group(&id, implied));
        }
        self.account.security_groups.get_mut(position?)
    }

    /// What a VPC's default group is called here; [`Self::settle_groups`] makes it if need be.
    fn default_group_of(&self, vpc: &str) -> Option<String> {
        let is_one =
            |implied: &Implied| implied.what == DefaultObject::SecurityGroup && implied.vpc == vpc;
        let ids = self.implied.iter().filter(|(_, implied)| is_one(implied)).map(|(id, _)| id);
        // One that AWS gave before what stands for it.
        ids.min_by_key(|id| (id.contains('.'), *id)).cloned()
    }

    /// The id that a VPC's default group is listed with, if the given one means it.
    fn canonical_group(&self, id: &str) -> String {
        let Some(implied) = self.implied(id, DefaultObject::SecurityGroup) else {
            return id.to_owned();
        };
        let groups = &self.account.security_groups;
        groups
            .iter()
            .find(|group| group.id == id)
            .or_else(|| groups.iter().find(|group| group.default && group.vpc == implied.vpc))
            .map_or_else(|| id.to_owned(), |group| group.id.clone())
    }

    fn zone(&mut self, id: &str) -> Option<&mut PrivateZone> {
        self.account.private_zones.get_mut(*self.zones.get(id)?)
    }

    /// What can be said when everything has been read.
    fn settle(&mut self) {
        interfaces::settle(self);
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

    /// Default groups that something names are there, under one id each.
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

/// What a type is to people.
fn words(kind: &str) -> String {
    match kind {
        "aws_security_group_rule"
        | "aws_vpc_security_group_ingress_rule"
        | "aws_vpc_security_group_egress_rule" => "security-group rule".to_owned(),
        "aws_network_acl_rule" => "entry of a network ACL".to_owned(),
        other => other.trim_start_matches("aws_").replace('_', " "),
    }
}

/// Everything that names a security group.
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

/// As AWS makes it (spec 4.2).
fn default_group(id: &str, implied: Implied) -> SecurityGroup {
    let rule = |peer| SecurityGroupRule {
        ip_protocol: "-1".to_owned(),
        from_port: None,
        to_port: None,
        peer,
        description: None,
        origin: implied.origin.clone(),
    };
    SecurityGroup {
        id: id.to_owned(),
        group_name: "default".to_owned(),
        vpc: implied.vpc.clone(),
        default: true,
        ingress: vec![rule(RulePeer::SecurityGroup(id.to_owned()))],
        egress: vec![rule(RulePeer::Cidr(everywhere()))],
        origin: implied.origin.clone(),
        ..SecurityGroup::default()
    }
}

fn everywhere() -> Ipv4Network {
    // A prefix length of 0 is always one.
    Ipv4Network::new(Ipv4Addr::UNSPECIFIED, 0).unwrap_or_else(|_| Ipv4Addr::UNSPECIFIED.into())
}

/// A lab is one region: the one that the user named, or the one that most resources are in. The others' are left out.
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
                !matches!(kind(&resource.kind, resource.data), Kind::Nothing | Kind::Unlisted)
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
