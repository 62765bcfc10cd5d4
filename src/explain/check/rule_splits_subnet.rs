//! `rule-splits-subnet`: a rule applies to a part of a subnet, and AWS may choose any address of it
//! for an ENI or a NAT gateway.

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
    let all = subject.view.classes().map(|class| addresses(class, split.by));
    let all = Ranges::new(all.flat_map(|own| own.iter().collect::<Vec<_>>()));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{found, only, replaced, rules, says, spoiled};

    const OF_DB: &str = "from = \"sg-app\" }] # of db";

    #[test]
    fn a_group_rule_for_a_part_of_a_subnet_is_named() {
        let rule = "from = [\"10.0.1.0/28\", \"10.0.2.0/24\"] }]";
        let one = only(&spoiled(OF_DB, rule), "rule-splits-subnet");
        says(
            &one.message,
            &[
                "rule 1 of sg-db (tcp 5432 from 10.0.1.0/28) is for a part of subnet \"private-a\" (10.0.1.0/24)",
                "connector \"c\" reaches db (10.0.4.10) at tcp 5432 with 12 of the 251 addresses",
            ],
        );
        says(&one.help, &["security group", "10.0.1.0/24"]);
        assert_eq!(one.text, "\"10.0.1.0/28\"");
    }

    #[test]
    fn an_acl_rule_for_a_part_of_a_subnet_is_named() {
        let rule = "ports = \"1024-65535\", cidr = \"10.0.0.0/16\" },\n    { rule = 90, action = \"deny\", protocol = \
            \"all\", cidr = \"10.0.2.128/25\" },";
        let text = spoiled("ports = \"1024-65535\", cidr = \"10.0.0.0/16\" }, # of data", rule);
        let one = only(&text, "rule-splits-subnet");
        says(&one.message, &["rule 90 of acl-data egress", "\"private-b\"", "124 of the 251"]);
        assert_eq!(one.text, "90");
    }

    #[test]
    fn a_rule_for_a_part_of_the_subnet_of_a_nat_gateway_is_named() {
        let fixed = include_str!("../cases/nat-second-address.toml");
        let addresses = "private_ip = \"10.0.2.200\"\nsecondary_private_ips = [\"10.0.2.201\"]\n";
        let open = replaced(fixed, addresses, "");
        let split = replaced(&open, "from = \"10.0.2.200/32\"", "from = \"10.0.2.0/25\"");
        let found = found(&split);
        assert_eq!(rules(&found), ["no-internet-route", "rule-splits-subnet"]);
        let one = found.iter().find(|one| one.rule == "rule-splits-subnet").unwrap();
        says(
            &one.message,
            &["subnet \"subnet-n\" (10.0.2.0/24)", "NAT gateway \"nat-p\"", "124 of the 251"],
        );
        says(&one.help, &["10.0.2.0/24", "private_ip"]);
    }

    #[test]
    fn a_nat_gateway_with_an_address_of_its_own_is_not_split() {
        let fixed = include_str!("../cases/nat-second-address.toml");
        let first = replaced(fixed, "secondary_private_ips = [\"10.0.2.201\"]\n", "");
        assert_eq!(rules(&found(&first)), ["no-internet-route"]);
    }

    #[test]
    fn a_rule_for_both_subnets_is_sound() {
        let rule = "from = \"10.0.0.0/22\" }]";
        assert_eq!(rules(&found(&spoiled(OF_DB, rule))), [""; 0]);
        let each = "from = [\"10.0.1.0/24\", \"10.0.2.0/24\"] }]";
        assert_eq!(rules(&found(&spoiled(OF_DB, each))), [""; 0]);
    }

    #[test]
    fn two_rules_that_make_up_the_subnet_are_sound() {
        let halves = "from = [\"10.0.1.0/25\", \"10.0.1.128/25\", \"10.0.2.0/24\"] }]";
        assert_eq!(rules(&found(&spoiled(OF_DB, halves))), [""; 0]);
    }
}
