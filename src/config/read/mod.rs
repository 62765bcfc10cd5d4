//! Reads the TOML tree into a [`Spec`]: each section's keys, types, words and references.
//! `validate` checks conditions on two objects.

mod access;
mod apprunner;
mod dns;
mod endpoints;
mod expect;
mod lint;
mod listen;
mod name_tag;
mod routing;
mod rules;
mod services;
mod settings;
mod vpcs;

use super::diagnostic::Span;
use super::expectation::Expectation;
use super::key::{Key, Table, Type, joined};
use super::reader::{Reader, Section};
use super::spec::Spec;
use name_tag::{NameTags, tagged};
use std::collections::BTreeMap;
use toml::de::DeTable;

/// The sections of a lab file, and the keys before the first one.
pub(super) static LAB_FILE: Table = Table::new("the lab file", &KEYS);

const KEYS: [Key; 30] = joined(&settings::KEYS, &SECTIONS);

const SECTIONS: [Key; 20] = [
    sections("vpc", &vpcs::VPC, "VPCs, with what AWS makes in each."),
    sections("subnet", &vpcs::SUBNET, "Subnets of VPCs."),
    sections("route_table", &routing::TABLE, "Route tables of VPCs."),
    sections("vpc_endpoint", &routing::ENDPOINT, "Endpoints of AWS services in VPCs."),
    sections("vpc_peering_connection", &routing::PEERING, "Connections between two VPCs."),
    sections("security_group", &rules::GROUP, "Security groups, whose rules allow."),
    sections("network_acl", &rules::ACL, "Network ACLs of subnets, which are stateless."),
    sections("prefix_list", &routing::PREFIX_LIST, "Named lists of CIDR blocks."),
    sections("nat_gateway", &vpcs::NAT_GATEWAY, "NAT gateways."),
    sections(
        "resource",
        &endpoints::RESOURCE,
        "Interfaces of a VPC that services may want to reach, such as databases.",
    ),
    sections("internet_host", &endpoints::INTERNET_HOST, "Public addresses where the lab answers."),
    sections("private_zone", &dns::ZONE, "Private hosted zones of Route 53."),
    sections("vpc_connector", &services::CONNECTOR, "VPC connectors of App Runner services."),
    sections(
        "service",
        &services::SERVICE,
        "Services whose tasks send packets: of App Runner, Lambda or Fargate.",
    ),
    sections("expect", &expect::EXPECT, "What egret test tests."),
    section("access", &access::ACCESS, "Who may ask the running lab besides root."),
    section("lint", &lint::LINT, "What egret check does not report."),
    section(
        "apprunner",
        &apprunner::APPRUNNER,
        "How App Runner behaves where its documentation is silent, and its API.",
    ),
    section("limits", &settings::LIMITS, "AWS's limits."),
    section("timeouts", &settings::TIMEOUTS, "How long idle flows are remembered."),
];

const fn section(name: &'static str, table: &'static Table, about: &'static str) -> Key {
    Key::optional(name, Type::Table(table), about)
}

const fn sections(name: &'static str, table: &'static Table, about: &'static str) -> Key {
    Key::optional(name, Type::Tables(table), about)
}

/// Reads the whole file. Broken objects are reported and left out.
pub(super) fn file<'a>(reader: &'a Reader<'a>, root: &'a DeTable<'a>) -> Spec {
    let root = reader.section(&LAB_FILE, root, Span::default());
    let settings = settings::read(&root);
    let tags = NameTags::default();
    let mut spec = Spec {
        lab: settings.lab,
        region: settings.region,
        device: settings.device,
        offload: settings.offload,
        offload_grace: settings.offload_grace,
        queues: settings.queues,
        task_cidr: settings.task_cidr,
        apprunner_public_ip: settings.apprunner_public_ip,
        apprunner: apprunner::read(&root),
        mtu: settings.mtu,
        limits: settings.limits,
        timeouts: settings.timeouts,
        time_scale: settings.time_scale,
        vpcs: tagged(&root, &tags, "vpc", vpcs::vpc),
        subnets: tagged(&root, &tags, "subnet", vpcs::subnet),
        route_tables: tagged(&root, &tags, "route_table", routing::route_table),
        vpc_endpoints: tagged(&root, &tags, "vpc_endpoint", routing::vpc_endpoint),
        peerings: tagged(&root, &tags, "vpc_peering_connection", routing::peering),
        security_groups: tagged(&root, &tags, "security_group", rules::security_group),
        network_acls: tagged(&root, &tags, "network_acl", rules::network_acl),
        prefix_lists: tagged(&root, &tags, "prefix_list", routing::prefix_list),
        nat_gateways: tagged(&root, &tags, "nat_gateway", vpcs::nat_gateway),
        resources: each(&root, "resource", endpoints::resource),
        internet_hosts: each(&root, "internet_host", endpoints::internet_host),
        private_zones: each(&root, "private_zone", dns::private_zone),
        connectors: each(&root, "vpc_connector", services::connector),
        services: Vec::new(),
        expectations: expectations(&root),
        access_group: access::group(&root),
        lint_allow: lint::allowed(&root),
        more_tasks: BTreeMap::new(),
        name_tags: BTreeMap::new(),
    };
    spec.name_tags = tags.take();
    let read = each(&root, "service", services::service);
    services::add(&mut spec, read);
    spec
}

/// Reads the expectations of a file, and nothing else of it.
pub(super) fn only_expectations<'a>(
    reader: &'a Reader<'a>,
    root: &'a DeTable<'a>,
) -> Vec<Expectation> {
    expectations(&reader.section(&LAB_FILE, root, Span::default()))
}

fn expectations(root: &Section<'_>) -> Vec<Expectation> {
    each(root, "expect", expect::expect)
}

fn each<'a, T>(
    root: &Section<'a>,
    key: &'static str,
    read: fn(&Section<'a>) -> Option<T>,
) -> Vec<T> {
    let sections = root.get(key).map(|value| value.tables()).unwrap_or_default();
    sections.iter().filter_map(read).collect()
}
