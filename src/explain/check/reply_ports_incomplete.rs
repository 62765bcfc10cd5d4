//! `reply-ports-incomplete`: a network ACL lets replies back to a part of the source ports only, or
//! to none.

use super::super::coverage::{joined, port_numbers, thousands};
use super::super::names::decided_by;
use super::cause::{Apart, Cause, drawn, ports};
use super::place;
use super::split::Split;
use super::view::{View, gateway_ports};
use crate::config::spec::{Connector, Spec};
use crate::config::{LabFinding, Severity};
use crate::pipeline::reach::{Class, Ports, Ranges, Region};
use crate::pipeline::{Denial, Stage};
use crate::vpc::{Direction, RuleRef, Snapshot};

/// The number of ranges, or of connectors, that the message names.
const SHOWN: usize = 4;

/// The number of losses by one rule that the message names.
const LOSSES: usize = 2;

/// Replies that a rule drops.
pub(super) struct Loss {
    by: Denial,
    /// The words of the message for the replies, before and after the connectors.
    words: (String, String),
    connectors: Vec<String>,
}

/// Lists the replies to the connectors of a view that network ACLs drop.
pub(super) fn losses(view: &View, spec: &Spec, splits: &[Split<'_>]) -> Vec<Loss> {
    let connectors: Vec<String> = view.connectors(spec).map(Connector::title).collect();
    let loss = |(by, words)| Loss { by, words, connectors: connectors.clone() };
    let parts = splits.iter().filter_map(|split| part(view, split));
    parts.chain(wholes(view)).map(loss).collect()
}

/// Describes the effect of a rule on replies of which a part returns.
fn part(view: &View, split: &Split<'_>) -> Option<(Denial, (String, String))> {
    let (Cause::ReplyPorts(..), Some(denial)) = (split.cause, split.failing.denial) else {
        return None;
    };
    let from = view.named(&split.destinations, &split.ports);
    let drawn = drawn(view, split.by);
    let passing = split.passing.iter().filter_map(|class| ports(class, split.by));
    let passing = Ranges::new(passing.flat_map(Ranges::iter)).intersection(&drawn);
    if passing.is_empty() {
        return Some((denial, none_of(&from)));
    }
    let gateway = match split.by {
        Apart::GatewayPort(gateway) => {
            format!("NAT gateway {:?} for ", view.snapshot().nat_gateway(gateway).id)
        }
        Apart::EniPort | Apart::EniAddress(_) | Apart::GatewayAddress(_) => String::new(),
    };
    let to = joined(&port_numbers(&passing), SHOWN);
    let ports = if passing.count() == 1 { "port" } else { "ports" };
    let before = format!("lets replies from {from} back to source {ports} {to} of {gateway}");
    let (passing, drawn) = (thousands(passing.count()), thousands(drawn.count()));
    Some((denial, (before, format!(" only, {passing} of {drawn}"))))
}

fn none_of(from: &str) -> (String, String) {
    (format!("lets no reply from {from} back to "), String::new())
}

/// Describes the effect of rules on replies of which none returns, from destinations where replies
/// are expected.
fn wholes(view: &View) -> Vec<(Denial, (String, String))> {
    let mut found: Vec<(Denial, Ranges, Ports, bool)> = Vec::new();
    for region in &view.regions {
        for (denial, is_whole) in droppers(view, region) {
            let missed = view.missed(region);
            let same = |own: &&mut (Denial, Ranges, Ports, bool)| {
                (own.0, &own.2, own.3) == (denial, &region.ports, is_whole)
            };
            match found.iter_mut().find(same) {
                Some(own) => own.1 = own.1.union(&missed),
                None if missed.is_empty() => {}
                None => found.push((denial, missed, region.ports.clone(), is_whole)),
            }
        }
    }
    let words = |(denial, destinations, ports, is_whole): (Denial, Ranges, Ports, bool)| {
        let from = view.named(&destinations, &ports);
        let some = || (format!("drops replies from {from} to "), ", and no other returns".into());
        (denial, if is_whole { none_of(&from) } else { some() })
    };
    found.into_iter().map(words).collect()
}

/// Lists the rules that drop replies in a region where none returns; the flag is set for a rule
/// that does so for all ports.
fn droppers(view: &View, region: &Region) -> Vec<(Denial, bool)> {
    let drawn = view.source_ports();
    let is_sent = |class: &&Class| class.source_ports.as_ref().is_none_or(|own| own.meets(&drawn));
    let sent: Vec<&Class> = view.classes_of(region).filter(is_sent).collect();
    if sent.iter().any(|class| class.passes()) {
        return Vec::new();
    }
    let has =
        |own: Option<&Ranges>, all: &Ranges| own.is_none_or(|own| all.difference(own).is_empty());
    let mut found: Vec<(Denial, bool)> = Vec::new();
    for class in sent {
        let Some(denial) = class.denial else { continue };
        let is_whole = has(class.source_ports.as_ref(), &drawn)
            && has(class.gateway_ports.as_ref(), &gateway_ports());
        match found.iter_mut().find(|own| own.0 == denial) {
            Some(own) => own.1 |= is_whole,
            None if denial.reason.stage() == Stage::NetworkAclReturn => {
                found.push((denial, is_whole));
            }
            None => {}
        }
    }
    found
}

/// Makes the findings of the losses of all connectors: one for each rule.
pub(super) fn findings(losses: Vec<Loss>, spec: &Spec, snapshot: &Snapshot) -> Vec<LabFinding> {
    let mut by_rule: Vec<(Denial, Vec<Loss>)> = Vec::new();
    for loss in losses {
        let at = by_rule.iter().position(|(by, _)| *by == loss.by).unwrap_or_else(|| {
            by_rule.push((loss.by, Vec::new()));
            by_rule.len() - 1
        });
        let Some((_, own)) = by_rule.get_mut(at) else { continue };
        match own.iter_mut().find(|known| known.words == loss.words) {
            Some(known) => {
                let more = loss.connectors.into_iter();
                let more: Vec<_> = more.filter(|own| !known.connectors.contains(own)).collect();
                known.connectors.extend(more);
            }
            None => own.push(loss),
        }
    }
    let made = by_rule.iter().filter_map(|(by, losses)| finding(*by, losses, spec, snapshot));
    made.collect()
}

fn finding(by: Denial, losses: &[Loss], spec: &Spec, snapshot: &Snapshot) -> Option<LabFinding> {
    let (acl, direction) = place::acl(by.decided_by)?;
    let words = |loss: &Loss| {
        let to = match loss.connectors.as_slice() {
            [one, other] => format!("{one} and {other}"),
            all => joined(all, SHOWN),
        };
        format!("{}{to}{}", loss.words.0, loss.words.1)
    };
    let mut said: Vec<String> = losses.iter().map(words).collect();
    let others = said.len().saturating_sub(LOSSES);
    said.truncate(LOSSES);
    if others > 0 {
        said.push(format!("does so {others} more times"));
    }
    let message = format!(
        "network ACL {:?} {}: {} ({})",
        snapshot.network_acl(acl).id,
        said.join("; it "),
        decided_by(by.decided_by, snapshot),
        by.reason,
    );
    Some(LabFinding {
        severity: Severity::Warning,
        span: place::of_rule(by.decided_by, spec, snapshot),
        rule: "reply-ports-incomplete",
        message,
        help: help(by.decided_by, direction),
    })
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
    fn replies_of_which_none_returns_are_named() {
        let none = spoiled(OF_DATA, "ports = \"80\", cidr = \"10.0.0.0/16\" },");
        let one = only(&none, "reply-ports-incomplete");
        says(
            &one.message,
            &[
                "network ACL \"acl-data\" lets no reply from db (10.0.4.10) at tcp 5432 back to connector \"c\": ",
                "* of acl-data egress (nacl-return-implicit-deny)",
            ],
        );
        says(&one.help, &["1024-65535", "egress"]);
        let deaf = replaced(&none, "listen = [\"5432/tcp\"]", "listen = [\"80/tcp\"]");
        assert_eq!(rules(&found(&deaf)), [""; 0], "{:#?}", found(&deaf));
    }

    #[test]
    fn an_acl_of_the_nat_gateway_that_lets_no_reply_in_is_named() {
        let one = only(
            &spoiled(TO_PUBLIC, "ports = \"22\", cidr = \"0.0.0.0/0\" },"),
            "reply-ports-incomplete",
        );
        says(
            &one.message,
            &["\"acl-public\" lets no reply from", "internet except", "back to connector \"c\": "],
        );
        says(&one.help, &["ingress"]);
        assert_eq!(one.text, "\"acl-public\"");
    }

    #[test]
    fn datagrams_of_which_no_reply_returns_are_no_doubt_unless_a_host_waits_for_them() {
        let udp =
            "protocol = \"udp\", ports = \"1024-65535\", cidr = \"0.0.0.0/0\" }, # udp to private";
        let without = spoiled(udp, "protocol = \"udp\", ports = \"22\", cidr = \"0.0.0.0/0\" },");
        assert_eq!(rules(&found(&without)), [""; 0], "{:#?}", found(&without));
        let heard =
            replaced(&without, "listen = [\"443/tcp\"]", "listen = [\"443/tcp\", \"53/udp\"]");
        let one = only(&heard, "reply-ports-incomplete");
        says(&one.message, &["\"acl-private\" lets no reply from api (203.0.113.10)"]);
    }

    /// A resource with a public address that NAT gateways reach; its network ACL lets replies back
    /// to some ports.
    const EDGE: &str = r#"
[[subnet]]
id = "edge"
vpc = "vpc-0"
availability_zone = "us-east-1a"
cidr = "10.0.5.0/24"
route_table = "rtb-public"
network_acl = "acl-edge"
[[network_acl]]
id = "acl-edge"
vpc = "vpc-0"
ingress = [{ rule = 100, action = "allow", protocol = "tcp", ports = "443", cidr = "198.51.100.0/24" }]
egress = [{ rule = 100, action = "allow", protocol = "tcp", ports = "32768-60999", cidr = "198.51.100.0/24" }]
[[security_group]]
id = "sg-edge"
vpc = "vpc-0"
ingress = [{ protocol = "tcp", ports = "443", from = "198.51.100.0/24" }]
[[resource]]
name = "edge"
subnet = "edge"
address = "10.0.5.10"
public_ip = "192.0.2.10"
security_groups = ["sg-edge"]
listen = ["443/tcp"]
"#;

    #[test]
    fn an_acl_of_a_public_endpoint_is_named() {
        let text = super::super::testing::SOUND.to_owned() + EDGE;
        let one = only(&text, "reply-ports-incomplete");
        says(&one.message, &["network ACL \"acl-edge\"", "192.0.2.10", "32768-60999"]);
        let deaf = replaced(
            &text,
            "\"sg-edge\"]\nlisten = [\"443/tcp\"]",
            "\"sg-edge\"]\nlisten = [\"80/tcp\"]",
        );
        assert_eq!(rules(&found(&deaf)), [""; 0], "{:#?}", found(&deaf));
    }

    #[test]
    fn one_acl_is_one_finding_that_names_the_connectors() {
        let more = "[[vpc_connector]]\nname = \"d\"\nsubnets = [\"private-a\"]\nsecurity_groups = [\"sg-app\"]\n";
        let text = spoiled(OF_DATA, "ports = \"32768-60999\", cidr = \"10.0.0.0/16\" },") + more;
        let one = only(&text, "reply-ports-incomplete");
        says(&one.message, &["of connector \"c\" and connector \"d\" only, 28,232 of 64,512"]);
    }
}
