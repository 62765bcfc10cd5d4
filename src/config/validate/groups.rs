//! Checks security groups, network ACLs and connectors: all of one VPC, nothing twice.

use super::wrong_vpc::wrong_vpc;
use crate::config::diagnostic::{At, Report};
use crate::config::names::default_id;
use crate::config::spec::{AclRule, Connector, Peer, SecurityGroup, Spec, Subnet};
use std::collections::{BTreeMap, HashMap};

pub(super) fn check(spec: &Spec, report: &Report) {
    let vpc_of_group = groups_and_their_vpcs(spec);
    defaults(spec, report);
    for group in &spec.security_groups {
        peers(spec, group, &vpc_of_group, report);
    }
    for acl in &spec.network_acls {
        rule_numbers(&acl.egress, report);
        rule_numbers(&acl.ingress, report);
    }
    for resource in &spec.resources {
        if let Some(subnet) = spec.subnet(&resource.subnet) {
            members(spec, &resource.security_groups, &subnet.vpc, &vpc_of_group, report);
        }
    }
    for endpoint in &spec.vpc_endpoints {
        members(spec, &endpoint.security_groups, &endpoint.vpc, &vpc_of_group, report);
    }
    for connector in &spec.connectors {
        self::connector(spec, connector, &vpc_of_group, report);
    }
}

fn groups_and_their_vpcs(spec: &Spec) -> HashMap<String, &str> {
    let implied = spec.vpcs.iter().map(|vpc| (default_id(&vpc.id), vpc.id.value.as_str()));
    let declared =
        spec.security_groups.iter().map(|group| (group.id.value.clone(), group.vpc.value.as_str()));
    implied.chain(declared).collect()
}

fn defaults(spec: &Spec, report: &Report) {
    let mut seen: BTreeMap<&str, &At<String>> = BTreeMap::new();
    for group in &spec.security_groups {
        let Some(default) = group.default.filter(|default| **default) else { continue };
        if let Some(other) = seen.insert(&group.vpc, &group.id) {
            report.error(
                default.span,
                "two-defaults",
                format!("{:?} is the default group of this VPC already", other.value),
                "a VPC has one default security group",
            );
        }
    }
}

/// Checks that a rule names a group of its own VPC or of one that is peered with it (spec 4.2).
fn peers(spec: &Spec, group: &SecurityGroup, vpcs: &HashMap<String, &str>, report: &Report) {
    let peered = |other: &str| {
        let (ours, other) = (&group.vpc.value, &other.to_owned());
        spec.peerings.iter().any(|peering| {
            let (a, b) = (&peering.requester_vpc.value, &peering.accepter_vpc.value);
            (a, b) == (ours, other) || (a, b) == (other, ours)
        })
    };
    for rule in group.egress.iter().flatten().chain(&group.ingress) {
        let Peer::SecurityGroup(id) = &rule.peer.value else { continue };
        let Some(vpc) = vpcs.get(id).filter(|vpc| **vpc != *group.vpc) else { continue };
        let id = At { value: id.clone(), span: rule.peer.span };
        if !peered(vpc) {
            wrong_vpc((spec, report), "security group", &id, vpc, &group.vpc);
        } else if spec.region_of(vpc) != spec.region_of(&group.vpc) {
            other_region(spec, &id, vpc, report);
        }
    }
}

/// Reports a group of a peered VPC in another region, which AWS refuses in a rule.
fn other_region(spec: &Spec, id: &At<String>, vpc: &str, report: &Report) {
    let blocks = spec.vpc(vpc).map(|vpc| vpc.cidrs.iter().map(|cidr| cidr.to_string()).collect());
    let blocks: Vec<String> = blocks.unwrap_or_default();
    report.error(
        id.span,
        "group-in-another-region",
        format!(
            "security group {:?} is in {}, the region of VPC {vpc:?}: a rule cannot name a group of another region",
            id.value,
            spec.region_of(vpc)
        ),
        format!("name the CIDR block of the peer instead: {}", blocks.join(", ")),
    );
}

fn rule_numbers(rules: &[AclRule], report: &Report) {
    let mut seen = BTreeMap::new();
    for rule in rules {
        if let Some(line) = seen.insert(*rule.number, rule.line) {
            report.error(
                rule.number.span,
                "duplicate-rule",
                format!("rule {} of this direction is on line {line} already", *rule.number),
                "give each rule of a direction its own number",
            );
        }
    }
}

/// Checks that the groups of an interface are of its VPC.
fn members(
    spec: &Spec,
    groups: &[At<String>],
    vpc: &str,
    vpcs: &HashMap<String, &str>,
    report: &Report,
) {
    for group in groups {
        if let Some(theirs) = vpcs.get(&group.value).filter(|theirs| **theirs != vpc) {
            wrong_vpc((spec, report), "security group", group, theirs, vpc);
        }
    }
}

fn connector(spec: &Spec, connector: &Connector, vpcs: &HashMap<String, &str>, report: &Report) {
    let mut subnets = connector.subnets.iter().filter_map(|id| Some((id, spec.subnet(id)?)));
    let Some((_, first)) = subnets.next() else { return };
    let known = |subnet: &Subnet| spec.vpc(&first.vpc).and(spec.vpc(&subnet.vpc)).is_some();
    for (id, subnet) in subnets.filter(|(_, subnet)| *subnet.vpc != *first.vpc && known(subnet)) {
        report.error(
            id.span,
            "wrong-vpc",
            format!(
                "subnet {:?} is in VPC {:?}, the connector's first one in {:?}",
                id.value, subnet.vpc.value, first.vpc.value
            ),
            "all subnets of a VPC connector are in one VPC",
        );
    }
    if let Some(vpc) = spec.vpc(&first.vpc).filter(|_| spec.region_of(&first.vpc) != spec.region) {
        report.error(
            connector.name.span,
            "connector-in-another-region",
            format!(
                "{} is in VPC {:?}, in {}: services of this lab run in {}",
                connector.title(),
                vpc.id.value,
                spec.region_of(&first.vpc),
                spec.region
            ),
            "take subnets of a VPC in the lab's region, or change `region`",
        );
    }
    members(spec, &connector.security_groups, &first.vpc, vpcs, report);
}
