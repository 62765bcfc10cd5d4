//! `rule-splits-subnet`: a rule is for a part of a subnet, and AWS may choose any address of it for an ENI or a NAT gateway.

use super::super::coverage::thousands;
use super::super::names::decided_by;
use super::cause::{Apart, Cause};
use super::place;
use super::split::Split;
use super::view::Subject;
use crate::config::LabFinding;
use crate::pipeline::reach::{Class, Ranges};
use crate::vpc::{RuleRef, SubnetIx};
use ipnetwork::Ipv4Network;

/// Finds the rules, each once for a subnet.
pub(super) fn find(subject: &Subject<'_>, splits: &[Split<'_>]) -> Vec<LabFinding> {
    let found = splits.iter().filter_map(|split| match split.cause {
        Cause::Addresses(rule, subnet) => Some(finding(subject, split, (rule, subnet))),
        Cause::ReplyPorts(..) => None,
    });
    found.collect()
}

fn finding(
    subject: &Subject<'_>,
    split: &Split<'_>,
    (rule, subnet): (RuleRef, SubnetIx),
) -> LabFinding {
    let snapshot = subject.view.snapshot();
    let of = snapshot.subnet(subnet);
    let passing = split.passing.iter().map(|class| addresses(class, split.by));
    let passing = passing.fold(Ranges::default(), |all, own| all.union(&own));
    let all = addresses(split.failing, split.by).union(&passing);
    let whose = match split.by {
        Apart::GatewayAddress(gateway) => {
            format!("NAT gateway {:?}", snapshot.nat_gateway(gateway).id)
        }
        Apart::EniAddress(_) | Apart::EniPort | Apart::GatewayPort(_) => "its interface".to_owned(),
    };
    let message = format!(
        "{} is for a part of subnet {:?} ({}): {} reaches {} with {} of the {} addresses that AWS may give {whose} there",
        decided_by(rule, snapshot),
        of.id,
        of.cidr,
        subject.title(),
        subject.view.named(&split.destinations, &split.ports),
        thousands(passing.count()),
        thousands(all.count()),
    );
    let help = help(rule, split.by, of.cidr);
    let span = place::of_rule(rule, subject.spec, snapshot);
    subject.warning("rule-splits-subnet", span, (message, help))
}

fn help(rule: RuleRef, by: Apart, cidr: Ipv4Network) -> String {
    match (rule, by) {
        (RuleRef::SecurityGroupRule(..), Apart::EniAddress(_)) => {
            format!("name the connector's security group in the rule, or the whole subnet, {cidr}")
        }
        (_, Apart::GatewayAddress(_)) => {
            format!("take the whole subnet, {cidr}, or give the NAT gateway a private_ip")
        }
        _ => format!("take the whole subnet, {cidr}"),
    }
}

/// Returns the addresses of a class by which packets differ.
fn addresses(class: &Class, by: Apart) -> Ranges {
    let all = |own: Vec<&Ranges>| Ranges::new(own.into_iter().flat_map(Ranges::iter));
    match by {
        Apart::EniAddress(eni) => {
            let own = class.eni_addresses.iter().filter(|(own, _)| *own == eni);
            all(own.map(|(_, addresses)| addresses).collect())
        }
        Apart::GatewayAddress(gateway) => {
            let own = class.gateway_addresses.iter().filter(|own| own.gateway == gateway);
            all(own.map(|own| &own.private).collect())
        }
        Apart::EniPort | Apart::GatewayPort(_) => Ranges::default(),
    }
}
