//! `reply-ports-incomplete`: a network ACL lets replies back to a part of the source ports only.

use super::super::coverage::{joined, port_numbers, thousands};
use super::super::names::decided_by;
use super::cause::{Apart, Cause, drawn, ports};
use super::place;
use super::split::Split;
use super::view::Subject;
use crate::config::LabFinding;
use crate::pipeline::Denial;
use crate::pipeline::reach::Ranges;
use crate::vpc::{Direction, NetworkAclIx, RuleRef};

/// The number of ranges that the message names.
const SHOWN: usize = 4;

/// Finds the ACLs that drop a part of the replies, each once.
pub(super) fn find(subject: &Subject<'_>, splits: &[Split<'_>]) -> Vec<LabFinding> {
    let found = splits.iter().filter_map(|split| match split.cause {
        Cause::ReplyPorts(acl, direction) => {
            Some(finding(subject, split, (acl, direction), split.failing.denial?))
        }
        Cause::Addresses(..) => None,
    });
    found.collect()
}

fn finding(
    subject: &Subject<'_>,
    split: &Split<'_>,
    (acl, direction): (NetworkAclIx, Direction),
    denial: Denial,
) -> LabFinding {
    let snapshot = subject.view.snapshot();
    let drawn = drawn(subject.view, split.by);
    let passing = split.passing.iter().filter_map(|class| ports(class, split.by));
    let passing = Ranges::new(passing.flat_map(Ranges::iter)).intersection(&drawn);
    let whose = match split.by {
        Apart::GatewayPort(gateway) => {
            format!("NAT gateway {:?} for {}", snapshot.nat_gateway(gateway).id, subject.title())
        }
        Apart::EniPort | Apart::EniAddress(_) | Apart::GatewayAddress(_) => subject.title(),
    };
    let message = format!(
        "network ACL {:?} lets replies from {} back to source ports {} of {whose} only, {} of {}: {} ({})",
        snapshot.network_acl(acl).id,
        subject.view.named(&split.destinations, &split.ports),
        joined(&port_numbers(&passing), SHOWN),
        thousands(passing.count()),
        thousands(drawn.count()),
        decided_by(denial.decided_by, snapshot),
        denial.reason,
    );
    let help = help(denial.decided_by, direction);
    let span = place::of_rule(denial.decided_by, subject.spec, snapshot);
    subject.warning("reply-ports-incomplete", span, (message, help))
}

fn help(rule: RuleRef, direction: Direction) -> String {
    let before = if let RuleRef::NetworkAclRule(..) = rule {
        " with lower numbers than the one that denies"
    } else {
        ""
    };
    format!("allow ports 1024-65535 in its {direction} rules{before}: the sender takes any of them")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, only, replaced, rules, says, spoiled};

    const OF_DATA: &str = "ports = \"1024-65535\", cidr = \"10.0.0.0/16\" }, # of data";
    const TO_PUBLIC: &str = "ports = \"1024-65535\", cidr = \"0.0.0.0/0\" }, # tcp to public";

    #[test]
    fn an_acl_of_the_destination_is_named_with_the_ports_that_pass() {
        let text = spoiled(OF_DATA, "ports = \"32768-60999\", cidr = \"10.0.0.0/16\" },");
        let one = only(&text, "reply-ports-incomplete");
        says(
            &one.message,
            &[
                "network ACL \"acl-data\" lets replies from db (10.0.4.10) at tcp 5432 back to source ports 32768-60999 of \
                 connector \"c\" only, 28,232 of 64,512",
                "* of acl-data egress (nacl-return-implicit-deny)",
            ],
        );
        says(&one.help, &["1024-65535", "egress"]);
        assert_eq!(one.text, "\"acl-data\"");
    }

    #[test]
    fn an_acl_of_a_nat_gateway_is_named() {
        let text = spoiled(TO_PUBLIC, "ports = \"32768-65535\", cidr = \"0.0.0.0/0\" },");
        let one = only(&text, "reply-ports-incomplete");
        says(&one.message, &["\"acl-public\"", "NAT gateway \"nat-0\"", "32768-65535"]);
        says(&one.help, &["ingress"]);
    }

    #[test]
    fn a_rule_that_denies_ports_is_underlined() {
        let deny = "ports = \"1024-65535\", cidr = \"0.0.0.0/0\" },\n    { rule = 90, action = \"deny\", protocol = \
            \"tcp\", ports = \"3389\", cidr = \"0.0.0.0/0\" },";
        let one = only(&spoiled(TO_PUBLIC, deny), "reply-ports-incomplete");
        says(&one.message, &["1024-3388, 3390-65535", "64,511 of 64,512", "rule 90 of acl-public"]);
        says(&one.help, &["lower numbers"]);
        assert_eq!(one.text, "90");
    }

    #[test]
    fn cases_of_real_packets_have_the_finding() {
        let eni = found(include_str!("../cases/reply-ports-eni.toml"));
        assert_eq!(rules(&eni), ["no-internet-route", "reply-ports-incomplete"]);
        let nat = found(include_str!("../cases/reply-ports-nat.toml"));
        assert_eq!(rules(&nat), ["reply-ports-incomplete"]);
    }

    #[test]
    fn the_ports_of_a_linux_kernel_are_enough_for_fargate() {
        let connector = "[[vpc_connector]]\nname = \"c\"\nsubnets = [\"private-a\", \"private-b\"]\nsecurity_groups = \
            [\"sg-app\"]\n\n[[service]]\nname = \"web\"\negress = \"vpc\"\nvpc_connector = \"c\"\n";
        let fargate = "[[service]]\nname = \"web\"\nkind = \"fargate\"\nsubnets = [\"private-a\", \"private-b\"]\n\
            security_groups = [\"sg-app\"]\n";
        let enough = spoiled(OF_DATA, "ports = \"32768-60999\", cidr = \"10.0.0.0/16\" },");
        assert_eq!(rules(&found(&replaced(&enough, connector, fargate))), [""; 0]);
        let few = spoiled(OF_DATA, "ports = \"40000-60999\", cidr = \"10.0.0.0/16\" },");
        let one = only(&replaced(&few, connector, fargate), "reply-ports-incomplete");
        says(&one.message, &["Fargate service \"web\"", "21,000 of 28,232"]);
    }

    #[test]
    fn replies_of_which_none_passes_are_not_incomplete() {
        let none = spoiled(OF_DATA, "ports = \"80\", cidr = \"10.0.0.0/16\" },");
        assert_eq!(rules(&found(&none)), [""; 0], "{:#?}", found(&none));
    }
}
