//! Checks the names of network namespaces, and the sizes that a snapshot can hold.

use crate::config::diagnostic::{Report, Span};
use crate::config::spec::{EndpointKind, Spec};
use crate::vpc::ServiceKind;

pub(super) fn check(spec: &Spec, report: &Report) {
    namespaces(spec, report);
    sizes(spec, report);
}

/// Checks that `<lab>-router`, `<lab>-internet`, `<lab>-services`, `<lab>-<vpc>`, `<lab>-<gateway
/// endpoint>` and `<lab>-<service>-<n>` all differ.
fn namespaces(spec: &Spec, report: &Report) {
    let lab = &spec.lab.value;
    let vpcs = spec.vpcs.iter().map(|vpc| ("VPC", &vpc.id));
    let gateways = spec.vpc_endpoints.iter().filter(|e| e.kind == EndpointKind::Gateway);
    let endpoints = gateways.map(|endpoint| ("endpoint", &endpoint.id));
    for (what, at) in vpcs.chain(endpoints) {
        let id = at.value.as_str();
        let task = spec.services.iter().find(|service| {
            let number = id.strip_prefix(service.name.as_str()).and_then(|r| r.strip_prefix('-'));
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        let vpc = spec.vpcs.iter().find(|vpc| what == "endpoint" && *vpc.id == *id);
        let owner = match (task, vpc) {
            (Some(service), _) if service.line == 0 => {
                format!("a task of service {:?} of the App Runner API", service.name.value)
            }
            (Some(service), _) => format!("a task of service {:?}", service.name.value),
            (None, Some(vpc)) => format!("VPC {:?}", vpc.id.value),
            (None, None) if matches!(id, "router" | "internet" | "services") => {
                "egret itself".to_owned()
            }
            (None, None) => continue,
        };
        let example = if what == "VPC" { "vpc-prod" } else { "vpce-s3" };
        report.error(
            at.span,
            "namespace-clash",
            format!("the network namespace {lab}-{id} is that of {owner} already"),
            format!("give the {what} another id, such as \"{example}\""),
        );
    }
}

/// Checks that no table of a snapshot is too long: its positions are 16 bits wide.
fn sizes(spec: &Spec, report: &Report) {
    let vpcs = spec.vpcs.len();
    let whole = [
        ("route tables", spec.route_tables.len().saturating_add(vpcs)),
        ("security groups", spec.security_groups.len().saturating_add(vpcs)),
        ("network ACLs", spec.network_acls.len().saturating_add(vpcs)),
        ("network interfaces", interfaces(spec)),
    ];
    for (what, count) in whole {
        limit(report, Span::default(), what, count);
    }
    for table in &spec.route_tables {
        let local = spec.vpc(&table.vpc).map_or(0, |vpc| vpc.cidrs.len());
        limit(report, table.id.span, "routes", table.routes.len().saturating_add(local));
    }
    for group in &spec.security_groups {
        limit(report, group.id.span, "egress rules", group.egress.as_ref().map_or(0, Vec::len));
        limit(report, group.id.span, "ingress rules", group.ingress.len());
    }
}

/// Counts the interfaces at most: Hyperplane ENIs, one in each subnet, and one ENI for each Fargate
/// task.
fn interfaces(spec: &Spec) -> usize {
    let shared = spec.connectors.iter().map(|c| c.subnets.len());
    let tasks = spec.services.iter().filter(|s| s.kind == ServiceKind::Fargate);
    let more = spec.more_tasks.values().map(|numbers| numbers.len());
    shared.chain(tasks.map(|s| usize::from(s.tasks))).chain(more).sum()
}

fn limit(report: &Report, span: Span, what: &str, count: usize) {
    if count > usize::from(u16::MAX) {
        let message = format!("{count} {what} are more than a lab can hold");
        report.error(span, "too-many", message, "65,535 are possible, implied ones included");
    }
}
