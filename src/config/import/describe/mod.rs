//! Reads the output of `aws ec2 describe-*` and `aws apprunner`: a folder with a file for each
//! call, or one file with several.
//!
//! A file is identified by its content (`"Vpcs": […]`), not by its name, so both common layouts are
//! read, and any other. Only `get-managed-prefix-list-entries` does not have the list's id; its
//! file has the id in its name.

mod app_runner;
mod edge;
mod interface;
mod network;
mod reader;
mod security;
mod snapshot;

use super::json::{self, Node};
use super::{Account, Findings, ImportError, ImportErrors, Options, Origin, PrefixList};
use reader::Reader;
use serde_json::Value;

/// The members of an answer that identify it.
const KNOWN: [&str; 21] = [
    "Vpcs",
    "Subnets",
    "RouteTables",
    "SecurityGroups",
    "SecurityGroupRules",
    "NetworkAcls",
    "NatGateways",
    "InternetGateways",
    "VpcEndpoints",
    "PrefixLists",
    "Entries",
    "NetworkInterfaces",
    "VpcPeeringConnections",
    "AvailabilityZones",
    "EnableDnsSupport",
    "EnableDnsHostnames",
    "VpcConnectors",
    "VpcConnector",
    "Service",
    "ServiceSummaryList",
    "SnapshotVersion",
];

/// Decides whether some JSON looks like an answer that is read here.
pub(super) fn is_one(value: &Value) -> bool {
    KNOWN.iter().any(|key| value.get(key).is_some())
}

/// Reads one file with the answers of one or more calls, merged into one object.
///
/// # Errors
/// All faults of the file.
pub(super) fn parse(
    text: &str,
    file: &str,
    options: &Options,
) -> Result<(Account, Findings), ImportErrors> {
    parse_files(&[(file.to_owned(), text.to_owned())], options)
}

/// Reads several files, by name and text.
///
/// # Errors
/// All faults of the files.
pub(super) fn parse_files(
    files: &[(String, String)],
    options: &Options,
) -> Result<(Account, Findings), ImportErrors> {
    let mut reader = Reader::default();
    reader.account.region.clone_from(&options.region);
    let mut answers = Vec::new();
    for (file, text) in files {
        match json::parse(text, file) {
            Ok(value) => answers.push((file.as_str(), value)),
            Err(error) => reader.errors.push(error),
        }
    }
    for (file, value) in &answers {
        reader.answer(file, value);
    }
    reader.finish()
}

/// A function that reads one element of an answer's list.
type ReadElement = fn(&mut Reader, &Node<'_>) -> Result<(), ImportError>;

/// The lists, and the functions that read their elements.
const LISTS: [(&str, ReadElement); 15] = [
    ("AvailabilityZones", network::availability_zone),
    ("Vpcs", network::vpc),
    ("Subnets", network::subnet),
    ("RouteTables", network::route_table),
    ("SecurityGroups", security::group),
    ("SecurityGroupRules", security::flat_rule),
    ("NetworkAcls", security::network_acl),
    ("NatGateways", edge::nat_gateway),
    ("InternetGateways", edge::internet_gateway),
    ("VpcEndpoints", edge::vpc_endpoint),
    ("VpcPeeringConnections", edge::peering),
    ("PrefixLists", edge::prefix_list),
    ("NetworkInterfaces", interface::network_interface),
    ("VpcConnectors", app_runner::connector),
    ("ServiceSummaryList", app_runner::summary),
];

impl Reader {
    fn answer(&mut self, file: &str, value: &Value) {
        let root = Node::root(file, value);
        if let Err(error) = root.object() {
            return self.errors.push(error);
        }
        if !is_one(value) {
            let consequence = "egret does not read it";
            let what = "the answer of a call that egret does not know";
            return self.findings.left_out(
                format!("file {file}"),
                root.origin(),
                what,
                consequence,
            );
        }
        for (key, read) in LISTS {
            self.list(&root, key, read);
        }
        let whole: [Result<(), ImportError>; 5] = [
            snapshot::record(self, &root),
            edge::prefix_list_entries(self, file, &root),
            network::dns_attributes(self, &root),
            app_runner::one_connector(self, &root),
            app_runner::service(self, &root),
        ];
        self.errors.extend(whole.into_iter().filter_map(Result::err));
        self.incomplete(&root);
    }

    fn list(&mut self, root: &Node<'_>, key: &'static str, read: ReadElement) {
        match root.get(key) {
            Ok(None) => return,
            Ok(Some(_)) => {
                self.seen.insert(key);
            }
            Err(error) => return self.errors.push(error),
        }
        match root.list(key) {
            Ok(elements) => {
                for element in elements {
                    if let Err(error) = read(self, &element) {
                        self.errors.push(error);
                    }
                }
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// Reports an answer of which only some pages were fetched.
    fn incomplete(&mut self, root: &Node<'_>) {
        if let Ok(Some(token)) = root.string("NextToken")
            && !token.is_empty()
        {
            self.findings.not_understood(
                format!("file {}", root.origin().file),
                &root.origin().member("NextToken"),
                "the answer has more pages than the file",
                "the lab does not have the objects of the other pages",
            );
        }
    }

    fn finish(mut self) -> Result<(Account, Findings), ImportErrors> {
        self.missing_calls();
        self.put_together();
        if !self.errors.is_empty() {
            return Err(ImportErrors(self.errors));
        }
        Ok((self.account, self.findings))
    }

    /// Merges the answers of several calls about one object.
    fn put_together(&mut self) {
        for list in &mut self.account.prefix_lists {
            if let Some((_, entries)) = self.entries.remove(&list.id) {
                list.entries = Some(entries);
            }
        }
        // Entries of a list that no call describes.
        for (id, (origin, entries)) in std::mem::take(&mut self.entries) {
            let list = PrefixList { id, name: None, entries: Some(entries), origin };
            self.account.prefix_lists.push(list);
        }
        for vpc in &mut self.account.vpcs {
            let said = |key| self.dns.get(&(vpc.id.clone(), key)).copied();
            vpc.enable_dns_support = said("EnableDnsSupport").or(vpc.enable_dns_support);
            vpc.enable_dns_hostnames = said("EnableDnsHostnames").or(vpc.enable_dns_hostnames);
        }
        security::flat_rules(self);
        app_runner::undescribed(self);
    }

    fn missing_calls(&mut self) {
        let required = [
            ("Vpcs", "describe-vpcs"),
            ("Subnets", "describe-subnets"),
            ("RouteTables", "describe-route-tables"),
            ("SecurityGroups", "describe-security-groups"),
        ];
        for (key, call) in required {
            if !self.seen.contains(key) && self.errors.is_empty() {
                self.errors.push(Origin::file("the source").error(
                    format!("no file has {key:?}, the answer of `aws ec2 {call}`"),
                    format!("add it: aws ec2 {call} > {call}.json"),
                ));
            }
        }
        let none = Origin::file("the source");
        if !self.seen.contains("NetworkAcls") {
            self.findings.not_understood(
                "network ACLs",
                &none,
                "describe-network-acls is not there",
                "the lab's ACLs allow everything",
            );
        }
        if !self.seen.contains("NetworkInterfaces") {
            self.findings.left_out(
                "network interfaces",
                &none,
                "describe-network-interfaces is not there",
                "the lab has no resources: nothing but endpoints has an address in its VPCs",
            );
        }
        if !self.seen.contains("VpcEndpoints") {
            self.findings.left_out(
                "VPC endpoints",
                &none,
                "describe-vpc-endpoints is not there",
                "the lab has none; routes to them are listed separately",
            );
        }
    }
}

#[cfg(test)]
mod tests;
