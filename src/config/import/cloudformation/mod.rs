//! CloudFormation templates, JSON and YAML (spec 11.1).
//!
//! ```text
//! text --yaml--> Node (places) --Template--> sections --Scope--> values
//!      --Mapper--> Account + Findings
//! ```
//!
//! A template is not deployed, so no object has an id: the logical id replaces it, and so does a
//! reference for an attribute that only AWS knows (`Value::reference`). A mistake for which
//! CloudFormation would refuse the template is a `fault::Fault`. What the template leaves open is
//! an unknown value, and becomes a finding if a resource needs it.

mod apprunner;
mod arguments;
mod attributes;
mod cidr;
mod conditions;
mod dependencies;
mod evaluate;
mod expression;
mod fault;
mod functions;
mod gateways;
mod interfaces;
mod networks;
mod object;
mod others;
mod parameters;
mod properties;
mod public_addresses;
mod references;
mod rules;
mod scope;
mod template;
mod tree;
mod value;
mod yaml;
mod zones;

use super::{Account, Findings, ImportError, ImportErrors, Options, Origin};
use crate::config::MOST_LISTED;
use evaluate::Evaluate;
use fault::Fault;
use object::{Mapper, Reported};
use scope::Scope;
use std::collections::{BTreeMap, BTreeSet};
use template::{Resource, Template};
use tree::Node;
use value::State;

/// The one macro that egret knows: its functions are the language's own here.
const LANGUAGE_EXTENSIONS: &str = "AWS::LanguageExtensions";
/// A macro that adds resources for those of its own types, and leaves the others unchanged.
const SERVERLESS: &str = "AWS::Serverless-2016-10-31";
const PROCESSED: &str =
    "import the processed template: aws cloudformation get-template --template-stage Processed";

/// Sections that identify a template: one is always there.
const SECTIONS: [&str; 2] = ["AWSTemplateFormatVersion", "Resources"];

/// Reads a template. The file's name is only for messages.
///
/// # Errors
/// Mistakes that CloudFormation would refuse, and parameters that are needed and have no value.
pub fn import(
    text: &str,
    file: &str,
    options: &Options,
) -> Result<(Account, Findings), ImportErrors> {
    let place = Origin::file(file);
    let root = yaml::read(text).map_err(|fault| errors(&place, None, vec![fault]))?;
    let template = match Template::new(root) {
        Ok(template) => template,
        Err(fault) => return Err(errors(&place, None, vec![fault])),
    };
    let secrets = parameters::secrets(&template, &options.parameters);
    match evaluate(&template, &place, options) {
        Ok((account, mut findings)) => {
            findings.hide(secrets);
            Ok((account, findings))
        }
        Err(mut faults) => {
            faults.iter_mut().for_each(|fault| fault.hide(&secrets));
            Err(errors(&place, Some(template.root()), faults))
        }
    }
}

/// Decides whether a text is a template, rather than another document in JSON or YAML. A template
/// that is cut off is one.
pub fn is_one(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with('{') {
        let quotes = ['"', '\''];
        let has_version = |line: &str| {
            line.trim_start().trim_start_matches(quotes).starts_with("AWSTemplateFormatVersion")
        };
        let has_resources = |line: &str| line.trim_start_matches(quotes).starts_with("Resources");
        return text.lines().any(|line| has_version(line) || has_resources(line));
    }
    match serde_json::from_str::<BTreeMap<String, serde::de::IgnoredAny>>(text) {
        Ok(document) => SECTIONS.iter().any(|section| document.contains_key(*section)),
        Err(_) => text.contains("AWSTemplateFormatVersion") || text.contains("\"AWS::"),
    }
}

fn evaluate(
    template: &Template,
    file: &Origin,
    options: &Options,
) -> Result<(Account, Findings), Vec<Fault>> {
    let (parameters, mut faults) = parameters::all(template, &options.parameters);
    let (resources, malformed) = template.resources();
    faults.extend(malformed);
    let scope = Scope::new(template, parameters, options);
    faults.extend(dependencies::unknown_names(&scope));
    faults.extend(scope.aside(|| dependencies::circle(&scope, &resources)));
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut mapper = Mapper {
        scope: &scope,
        file: file.clone(),
        account: Account::default(),
        findings: Findings::new(),
        faults: Vec::new(),
        default_egress: BTreeSet::new(),
        clusters: BTreeSet::new(),
        zones: Vec::new(),
        listeners: BTreeMap::new(),
    };
    mapper.macros();
    mapper.resources(resources);
    let Mapper { mut account, mut findings, mut faults, .. } = mapper;
    faults.extend(scope.missing());
    faults.extend(scope.misnamed());
    if !faults.is_empty() {
        return Err(faults);
    }
    account.region = options.parameters.get("AWS::Region").or(options.region.as_ref()).cloned();
    for (what, taken) in scope.assumed() {
        findings.assumed("the template", file, format!("it depends on {what}"), taken);
    }
    Ok((account, findings))
}

impl<'t> Mapper<'_, 't> {
    /// Reports macros, which CloudFormation would replace by parts of the template.
    fn macros(&mut self) {
        for (name, _) in self.scope.template.transforms() {
            if name != LANGUAGE_EXTENSIONS && name != SERVERLESS {
                let consequence = format!("the template is read without it; {PROCESSED}");
                self.findings.not_understood(
                    "the template",
                    &self.file.at("Transform"),
                    format!("the macro {name}, which may change anything"),
                    consequence,
                );
            }
        }
        for entry in self.scope.template.macros() {
            let consequence =
                format!("the lab does not have the resources that it creates; {PROCESSED}");
            let place = self.file.at(format!("Resources.{}", entry.key));
            self.findings.not_understood(
                "the template",
                &place,
                format!("CloudFormation would expand {}", entry.key),
                consequence,
            );
        }
    }

    /// Maps the resources in an order in which each finds the objects that it belongs to.
    fn resources(&mut self, mut resources: Vec<Resource<'t>>) {
        resources.sort_by_key(|resource| turn(resource.kind));
        for resource in resources {
            // The findings or the faults have the result.
            let _ = self.map_resource(&resource);
        }
    }

    fn map_resource(&mut self, resource: &Resource<'t>) -> Result<(), Reported> {
        self.account.written.names.insert(resource.id.to_owned());
        if !self.is_made(resource) {
            return Ok(());
        }
        if let Some(condition) = resource.condition().and_then(Node::scalar) {
            let conditions = &mut self.account.written.conditions;
            conditions.insert(resource.id.to_owned(), condition.to_owned());
        }
        self.properties_of_type(resource);
        match resource.kind {
            "AWS::EC2::VPC" => self.vpc(resource),
            "AWS::EC2::VPCCidrBlock" => self.vpc_cidr_block(resource),
            "AWS::EC2::Subnet" => self.subnet(resource),
            "AWS::EC2::RouteTable" => self.route_table(resource),
            "AWS::EC2::Route" => self.route(resource),
            "AWS::EC2::SubnetRouteTableAssociation" => {
                self.subnet_route_table_association(resource)
            }
            "AWS::EC2::GatewayRouteTableAssociation" => {
                self.gateway_route_table_association(resource)
            }
            "AWS::EC2::InternetGateway" => self.internet_gateway(resource),
            "AWS::EC2::VPCGatewayAttachment" => self.vpc_gateway_attachment(resource),
            "AWS::EC2::VPCPeeringConnection" => self.peering(resource),
            "AWS::EC2::PrefixList" => self.prefix_list(resource),
            "AWS::EC2::SecurityGroup" => self.security_group(resource),
            "AWS::EC2::SecurityGroupIngress" => self.security_group_ingress(resource),
            "AWS::EC2::SecurityGroupEgress" => self.security_group_egress(resource),
            "AWS::EC2::NetworkAcl" => self.network_acl(resource),
            "AWS::EC2::NetworkAclEntry" => self.network_acl_entry(resource),
            "AWS::EC2::SubnetNetworkAclAssociation" => {
                self.subnet_network_acl_association(resource)
            }
            "AWS::EC2::NatGateway" => self.nat_gateway(resource),
            "AWS::EC2::EIP" => self.elastic_ip(resource),
            "AWS::EC2::EIPAssociation" => self.elastic_ip_association(resource),
            "AWS::EC2::VPCEndpoint" => self.vpc_endpoint(resource),
            "AWS::EC2::VPCBlockPublicAccessOptions" => self.block_public_access(resource),
            "AWS::EC2::NetworkInterface" => self.network_interface(resource),
            "AWS::EC2::NetworkInterfaceAttachment" => self.network_interface_attachment(resource),
            "AWS::EC2::Instance" => self.instance(resource),
            "AWS::RDS::DBInstance" | "AWS::DocDB::DBInstance" | "AWS::Neptune::DBInstance" => {
                self.db_instance(resource)
            }
            "AWS::RDS::DBCluster" | "AWS::DocDB::DBCluster" | "AWS::Neptune::DBCluster" => {
                self.db_cluster(resource)
            }
            "AWS::ElastiCache::CacheCluster"
            | "AWS::ElastiCache::ReplicationGroup"
            | "AWS::ElastiCache::ServerlessCache" => self.cache(resource),
            "AWS::EFS::MountTarget" => self.mount_target(resource),
            "AWS::ElasticLoadBalancingV2::Listener" => self.listener(resource),
            "AWS::ElasticLoadBalancingV2::LoadBalancer" => self.load_balancer(resource),
            "AWS::Route53::HostedZone" => self.hosted_zone(resource),
            "AWS::Route53::RecordSet" => self.record_set(resource),
            "AWS::Route53::RecordSetGroup" => self.record_set_group(resource),
            "Custom::VpcRestrictDefaultSG" => self.restricted_default_group(resource),
            "AWS::Lambda::Function" => self.function(resource),
            "AWS::AppRunner::VpcConnector" => self.vpc_connector(resource),
            "AWS::AppRunner::Service" => self.app_runner_service(resource),
            _ => self.other(resource),
        }
    }

    /// Decides whether the condition of a resource holds. If that is unknown, it adds a finding,
    /// and the resource is left out.
    fn is_made(&mut self, resource: &Resource<'t>) -> bool {
        let Some(condition) = resource.condition() else { return true };
        let state = match condition.scalar() {
            Some(name) => self.scope.condition(name, condition.place),
            None => Err(Fault::new(
                condition.place,
                format!("Condition is {}", condition.noun()),
                "the name of a condition is expected",
            )),
        };
        match state {
            Ok(State::Holds) => true,
            Ok(State::Fails) => false,
            Ok(State::Unknown(unknown)) => {
                let origin = self.origin(resource).member("Condition");
                let object = format!("{} {}", resource.kind, resource.id);
                let what = format!("it is not known whether it is created: {}", unknown.what);
                self.findings.not_understood(
                    object,
                    &origin,
                    what,
                    format!("it is left out; {}", unknown.help),
                );
                false
            }
            Err(fault) => {
                self.faults.push(fault);
                false
            }
        }
    }
}

/// Returns the turn of a kind: first objects that contain others, last objects that depend on the
/// contents.
fn turn(kind: &str) -> u8 {
    match kind {
        "AWS::EC2::VPC" => 0,
        "AWS::EC2::Subnet"
        | "AWS::EC2::RouteTable"
        | "AWS::EC2::InternetGateway"
        | "AWS::EC2::NetworkAcl"
        | "AWS::EC2::PrefixList"
        | "AWS::EC2::VPCPeeringConnection" => 1,
        "AWS::EC2::SecurityGroup" => 2,
        "AWS::EC2::NetworkInterface"
        | "AWS::ElasticLoadBalancingV2::Listener"
        | "AWS::Route53::HostedZone" => 3,
        // These come after their instances.
        "AWS::RDS::DBCluster" | "AWS::DocDB::DBCluster" | "AWS::Neptune::DBCluster" => 5,
        // These come after their interfaces.
        "AWS::EC2::EIP" | "AWS::EC2::EIPAssociation" => 6,
        _ => 4,
    }
}

/// Returns faults as errors with their paths, without repetitions.
fn errors(file: &Origin, root: Option<&Node>, faults: Vec<Fault>) -> ImportErrors {
    let mut errors: Vec<ImportError> = Vec::new();
    let mut said = BTreeSet::new();
    for fault in faults {
        let Fault { place, message, help } = fault;
        if !said.insert((place, message.clone())) {
            continue;
        }
        // To find a path takes a walk through the whole tree, so errors that are not listed have
        // none.
        let is_listed = errors.len() < MOST_LISTED;
        let path = root.filter(|_| is_listed).map(|root| root.path_to(place)).unwrap_or_default();
        let line = if place.line == 0 { String::new() } else { format!(":{}", place.line) };
        let origin = Origin { file: format!("{}{line}", file.file).into(), path };
        let error = origin.error(message, help);
        if !is_listed || !errors.contains(&error) {
            errors.push(error);
        }
    }
    ImportErrors(errors)
}

#[cfg(test)]
mod tests;
