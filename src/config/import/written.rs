//! The notation of a source: facts that EC2's answers about its objects do not have.

use std::collections::{BTreeMap, BTreeSet};

/// The format of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `aws ec2 describe-*` output.
    Describe,
    /// A CloudFormation template, JSON or YAML.
    CloudFormation,
    /// `terraform show -json`, of a state or a plan.
    Terraform,
}

/// The facts that a proposal for a change of the source needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The format; `None` of an account that no importer has read.
    pub format: Option<Format>,
    /// True of a CloudFormation template in JSON.
    pub is_json: bool,
    /// The names that are in use: logical ids of a template, addresses of Terraform without their
    /// indices.
    pub names: BTreeSet<String>,
    /// The ids of objects that have rules, routes or entries as resources of their own, with the
    /// type of these.
    pub apart: BTreeMap<String, String>,
    /// The ids of objects that have inline rules, routes or entries.
    pub inline: BTreeSet<String>,
    /// The default objects that VPCs name, by the VPC's id and its attribute.
    pub defaults: BTreeMap<(String, String), String>,
    /// The conditions of a template's resources, by logical id.
    pub conditions: BTreeMap<String, String>,
    /// The ARNs of services, by name.
    pub service_arns: BTreeMap<String, String>,
    /// The versions of prefix lists, by id.
    pub list_versions: BTreeMap<String, i64>,
    /// The most entries that prefix lists may have, by id.
    pub list_sizes: BTreeMap<String, i64>,
}
