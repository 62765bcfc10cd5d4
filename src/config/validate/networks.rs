//! Checks CIDR blocks: of a VPC, of its subnets, of the tasks.

use crate::config::address::{contains, overlap};
use crate::config::diagnostic::{At, Report};
use crate::config::spec::{Spec, Subnet};
use crate::config::text::is_private_block;
use ipnetwork::Ipv4Network;
use std::collections::BTreeMap;

pub(super) fn check(spec: &Spec, report: &Report) {
    for vpc in &spec.vpcs {
        let blocks = vpc.cidrs.iter().map(|cidr| (cidr, vpc.id.value.as_str()));
        for (block, other) in overlaps(blocks.collect()) {
            report.error(
                block.span,
                "cidr-overlap",
                format!("{} overlaps {} of the same VPC", block.value, other.0),
                "the CIDR blocks of a VPC may not overlap",
            );
        }
    }
    subnets(spec, report);
    task_cidr(spec, report);
}

fn subnets(spec: &Spec, report: &Report) {
    let mut by_vpc: BTreeMap<&str, Vec<&Subnet>> = BTreeMap::new();
    for subnet in &spec.subnets {
        by_vpc.entry(&subnet.vpc).or_default().push(subnet);
    }
    for (vpc, subnets) in by_vpc {
        let Some(vpc) = spec.vpc(vpc) else { continue };
        for subnet in &subnets {
            if !vpc.cidrs.iter().any(|cidr| contains(**cidr, *subnet.cidr)) {
                let blocks: Vec<String> = vpc.cidrs.iter().map(|c| c.value.to_string()).collect();
                report.error(
                    subnet.cidr.span,
                    "subnet-outside-vpc",
                    format!("{} is not within VPC {:?}", *subnet.cidr, vpc.id.value),
                    format!("take a part of {}", blocks.join(" or ")),
                );
            }
        }
        let blocks = subnets.iter().map(|subnet| (&subnet.cidr, subnet.id.value.as_str()));
        for (block, (other, id)) in overlaps(blocks.collect()) {
            report.error(
                block.span,
                "cidr-overlap",
                format!("{} overlaps {other} of subnet {id:?}", block.value),
                "the subnets of a VPC may not overlap",
            );
        }
    }
}

/// Checks that task addresses are in no VPC and not on the internet, or packets to the one would
/// reach the other. They are private: no Elastic IP and no address that egret chooses for the
/// internet is private, and no internet gateway sends to such addresses.
fn task_cidr(spec: &Spec, report: &Report) {
    let pool = *spec.task_cidr;
    if !is_private_block(pool) {
        report.error(
            spec.task_cidr.span,
            "task-cidr-not-private",
            format!("{pool} is not private: a task could have an address of the internet"),
            "take a part of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or, as the default does, of 100.64.0.0/10",
        );
        return;
    }
    let help = "set task_cidr to a network that neither a VPC nor the lab's internet uses";
    for cidr in spec.vpcs.iter().flat_map(|vpc| &vpc.cidrs).filter(|cidr| overlap(pool, ***cidr)) {
        let message = format!("{} overlaps the tasks' addresses, task_cidr = \"{pool}\"", **cidr);
        report.error(cidr.span, "task-cidr-overlap", message, help);
    }
    for host in spec.internet_hosts.iter().filter(|host| pool.contains(*host.address)) {
        let message =
            format!("{} is one of the tasks' addresses, task_cidr = \"{pool}\"", *host.address);
        report.error(host.address.span, "task-cidr-overlap", message, help);
    }
    let tasks: u64 = spec.services.iter().map(|service| u64::from(service.tasks)).sum();
    if u64::from(pool.size()) < tasks.saturating_add(2) {
        report.error(
            spec.task_cidr.span,
            "task-cidr-too-small",
            format!("{pool} has no room for {tasks} tasks"),
            "set task_cidr to a larger network; the default is 100.64.0.0/10",
        );
    }
}

/// Lists each block that overlaps an earlier one of the file, and that one.
fn overlaps<'s>(
    mut blocks: Vec<(&'s At<Ipv4Network>, &'s str)>,
) -> Vec<(&'s At<Ipv4Network>, (Ipv4Network, &'s str))> {
    // CIDR blocks nest or are apart, so in this order a block overlaps an earlier one exactly when
    // it lies in the last one that none before it contains.
    blocks.sort_by_key(|(block, _)| (block.network(), block.prefix()));
    let mut found = Vec::new();
    let mut outer: Option<(&At<Ipv4Network>, &str)> = None;
    for (block, id) in blocks {
        match outer {
            Some((holder, holder_id)) if contains(**holder, **block) => {
                if holder.span.start < block.span.start {
                    found.push((block, (**holder, holder_id)));
                } else {
                    found.push((holder, (**block, id)));
                }
            }
            _ => outer = Some((block, id)),
        }
    }
    found
}
