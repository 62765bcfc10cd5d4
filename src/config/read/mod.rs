//! Reads the TOML tree into a [`Spec`]: each section's keys, types, words and references.
//! `validate` checks conditions on two objects.

mod apprunner;
mod dns;
mod endpoints;
mod expect;
mod lint;
mod routing;
mod rules;
mod services;
mod settings;
mod vpcs;

use super::diagnostic::Span;
use super::expectation::Expectation;
use super::reader::{Reader, Section};
use super::spec::Spec;
use std::collections::BTreeMap;
use toml::de::DeTable;

const KEYS: [&str; 29] = [
    "lab",
    "region",
    "device",
    "offload",
    "offload_grace",
    "queues",
    "task_cidr",
    "mtu",
    "internet_mtu",
    "apprunner_public_ip",
    "vpc",
    "subnet",
    "route_table",
    "vpc_endpoint",
    "vpc_peering_connection",
    "security_group",
    "network_acl",
    "prefix_list",
    "nat_gateway",
    "resource",
    "internet_host",
    "private_zone",
    "vpc_connector",
    "service",
    "expect",
    "lint",
    "apprunner",
    "limits",
    "timeouts",
];

/// Reads the whole file. Broken objects are reported and left out.
pub(super) fn file<'a>(reader: &'a Reader<'a>, root: &'a DeTable<'a>) -> Spec {
    let root = reader.section("the lab file", root, Span::default(), &KEYS);
    let settings = settings::read(&root);
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
        vpcs: each(&root, "vpc", "[[vpc]]", &vpcs::VPC, vpcs::vpc),
        subnets: each(&root, "subnet", "[[subnet]]", &vpcs::SUBNET, vpcs::subnet),
        route_tables: each(
            &root,
            "route_table",
            "[[route_table]]",
            &routing::TABLE,
            routing::route_table,
        ),
        vpc_endpoints: each(
            &root,
            "vpc_endpoint",
            "[[vpc_endpoint]]",
            &routing::ENDPOINT,
            routing::vpc_endpoint,
        ),
        peerings: each(
            &root,
            "vpc_peering_connection",
            "[[vpc_peering_connection]]",
            &routing::PEERING,
            routing::peering,
        ),
        security_groups: each(
            &root,
            "security_group",
            "[[security_group]]",
            &rules::GROUP,
            rules::security_group,
        ),
        network_acls: each(
            &root,
            "network_acl",
            "[[network_acl]]",
            &rules::ACL,
            rules::network_acl,
        ),
        prefix_lists: each(
            &root,
            "prefix_list",
            "[[prefix_list]]",
            &routing::PREFIX_LIST,
            routing::prefix_list,
        ),
        nat_gateways: each(
            &root,
            "nat_gateway",
            "[[nat_gateway]]",
            &vpcs::NAT_GATEWAY,
            vpcs::nat_gateway,
        ),
        resources: each(
            &root,
            "resource",
            "[[resource]]",
            &endpoints::RESOURCE,
            endpoints::resource,
        ),
        internet_hosts: each(
            &root,
            "internet_host",
            "[[internet_host]]",
            &endpoints::INTERNET_HOST,
            endpoints::internet_host,
        ),
        private_zones: each(
            &root,
            "private_zone",
            "[[private_zone]]",
            &dns::ZONE,
            dns::private_zone,
        ),
        connectors: each(
            &root,
            "vpc_connector",
            "[[vpc_connector]]",
            &services::CONNECTOR,
            services::connector,
        ),
        services: Vec::new(),
        expectations: expectations(&root),
        lint_allow: lint::allowed(&root),
        more_tasks: BTreeMap::new(),
    };
    let read = each(&root, "service", "[[service]]", &services::SERVICE, services::service);
    services::add(&mut spec, read);
    spec
}

/// Reads the expectations of a file, and nothing else of it.
pub(super) fn only_expectations<'a>(
    reader: &'a Reader<'a>,
    root: &'a DeTable<'a>,
) -> Vec<Expectation> {
    expectations(&reader.section("the lab file", root, Span::default(), &KEYS))
}

fn expectations(root: &Section<'_>) -> Vec<Expectation> {
    each(root, "expect", expect::NAME, &expect::EXPECT, expect::expect)
}

fn each<'a, T>(
    root: &Section<'a>,
    key: &'static str,
    name: &'static str,
    keys: &[&str],
    read: fn(&Section<'a>) -> Option<T>,
) -> Vec<T> {
    let sections = root.get(key).map(|value| value.tables(name, keys)).unwrap_or_default();
    sections.iter().filter_map(read).collect()
}
