//! `nothing-leaves`: no packet of a connector passes, or none to the internet although its routes
//! lead there.

use super::super::names::decided_by;
use super::reasons::{is_of_protocol, is_of_routes};
use super::view::{Subject, has_tcp};
use crate::config::LabFinding;
use crate::pipeline::reach::Class;
use crate::pipeline::{Denial, Stage};
use crate::vpc::path::{self, Link};

/// The number of deciding rules that the message names.
const SHOWN: usize = 2;

/// Finds a connector of which no packet passes. If only its routes keep it from the internet, and
/// it has no interface to reach, the findings about its routes say so instead.
pub(super) fn find(subject: &Subject<'_>) -> Option<LabFinding> {
    let view = subject.view;
    let dropped: Vec<Denial> = view.classes().filter_map(|class| class.denial).collect();
    let is_of_packets = |own: &&Denial| !is_of_routes(own.reason) && !is_of_protocol(own.reason);
    if view.classes().any(Class::passes) || !dropped.iter().any(|own| is_of_packets(&own)) {
        return None;
    }
    let message = format!(
        "no packet of {} passes anywhere: {}",
        subject.title(),
        deciders(subject, &dropped).join("; ")
    );
    let help = "`egret explain SERVICE DESTINATION` shows each path and how to open it";
    Some(subject.warning("nothing-leaves", subject.connector.name.span, (message, help.into())))
}

/// Finds a connector whose routes lead to the internet, and whose TCP packets network ACLs all stop
/// before it. If the packets get there and only their replies are dropped, the finding is
/// reply-ports-incomplete.
pub(super) fn find_of_internet(subject: &Subject<'_>) -> Option<LabFinding> {
    let view = subject.view;
    if view.reaches_internet() || !leads_to_internet(subject) {
        return None;
    }
    let is_dropped = |class: &&Class| !class.passes() && view.is_for_internet(class);
    let mut dropped: Vec<&Class> =
        view.classes().filter(|class| has_tcp(&class.ports)).filter(is_dropped).collect();
    dropped.sort_by_key(|class| std::cmp::Reverse(class.sample.steps.len()));
    let dropped: Vec<Denial> = dropped.iter().filter_map(|class| class.denial).collect();
    // The packets that get furthest have passed all checks except this one.
    let last = dropped.iter().find(|own| !is_of_protocol(own.reason))?;
    if !matches!(last.reason.stage(), Stage::NetworkAclEgress | Stage::NetworkAclIngress) {
        return None;
    }
    let message = format!(
        "no TCP packet of {} passes to the internet: {}",
        subject.title(),
        deciders(subject, &dropped).join("; ")
    );
    let help = "allow the packets in the network ACL; `egret explain SERVICE internet:443` shows \
                the path";
    Some(subject.warning("nothing-leaves", subject.connector.name.span, (message, help.into())))
}

/// Decides whether a route leads packets to the internet that an internet gateway passes.
fn leads_to_internet(subject: &Subject<'_>) -> bool {
    let Some(connector) = subject.view.connector() else { return false };
    let mut leads =
        connector.subnets.iter().flat_map(|own| path::leads(subject.view.snapshot(), *own));
    leads.any(|lead| {
        let is_public = connector.assign_public_ip || lead.nat_gateway.is_some();
        is_public && lead.end == Ok(Link::Internet)
    })
}

/// Names the deciding rules, each with its reason once.
fn deciders(subject: &Subject<'_>, dropped: &[Denial]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for denial in dropped.iter().filter(|own| !is_of_protocol(own.reason)) {
        let rule = decided_by(denial.decided_by, subject.view.snapshot());
        let name = format!("{rule} ({})", denial.reason);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let others = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if others > 0 {
        names.push(format!("and {others} more"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SOUND, found, only, replaced, rules, says, spoiled};

    const GROUP: &str = "egress = [{ protocol = \"all\", to = \"0.0.0.0/0\" }] # of app";
    const ACL: &str = "egress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }] # of private";

    #[test]
    fn a_group_without_egress_rules_lets_nothing_leave() {
        let one = only(&spoiled(GROUP, "egress = []"), "nothing-leaves");
        says(&one.message, &["connector \"c\"", "no egress rule of sg-app (sg-egress-no-rules)"]);
        assert!(!one.message.contains("more"), "{}", one.message);
        says(&one.help, &["egret explain SERVICE DESTINATION"]);
        assert_eq!(one.text, "\"c\"");
    }

    #[test]
    fn an_acl_that_denies_all_lets_nothing_leave() {
        let one = only(&spoiled(ACL, "egress = []"), "nothing-leaves");
        says(&one.message, &["* of acl-private egress (nacl-egress-implicit-deny)"]);
    }

    #[test]
    fn an_acl_of_the_nat_gateway_that_lets_no_request_out_is_named() {
        let public = "egress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }] # of public";
        let inside = public.replace("0.0.0.0/0", "10.0.0.0/16");
        let one = only(&spoiled(public, &inside), "nothing-leaves");
        says(
            &one.message,
            &[
                "no TCP packet of connector \"c\" passes to the internet: ",
                "* of acl-public egress (nacl-egress-implicit-deny)",
            ],
        );
        says(&one.help, &["network ACL", "egret explain"]);
        let group = "egress = [{ protocol = \"tcp\", ports = 5432, to = \"sg-db\" }]";
        let narrow = replaced(&spoiled(public, &inside), GROUP, group);
        assert_eq!(
            rules(&found(&narrow)),
            [""; 0],
            "the group is meant to keep it from the internet"
        );
    }

    #[test]
    fn an_acl_of_the_connector_that_allows_the_database_alone_is_named() {
        let rule = "egress = [{ rule = 100, action = \"allow\", protocol = \"tcp\", ports = 5432, cidr = \"10.0.4.0/24\" }]";
        let one = only(&spoiled(ACL, rule), "nothing-leaves");
        says(&one.message, &["to the internet: * of acl-private egress"]);
    }

    #[test]
    fn several_deciders_are_named() {
        let routes = "routes = [{ destination = \"0.0.0.0/0\", target = \"nat-0\" }] # of private";
        let without_internet = replaced(SOUND, routes, "");
        let without_list = replaced(&without_internet, "route_tables = [\"rtb-private\"]", "");
        let ingress =
            "ingress = [{ protocol = \"tcp\", ports = \"5432\", from = \"sg-app\" }] # of db";
        let text = replaced(&without_list, ingress, "ingress = []");
        let one = only(&text, "nothing-leaves");
        says(&one.message, &["no route in rtb-private (no-route)", "acl-data"]);
    }

    #[test]
    fn one_port_that_passes_is_not_nothing() {
        let rule = "egress = [{ protocol = \"tcp\", ports = 5432, to = \"sg-db\" }]";
        assert_eq!(rules(&found(&spoiled(GROUP, rule))), [""; 0]);
    }

    #[test]
    fn an_empty_vpc_without_a_way_out_has_the_finding_of_its_routes() {
        let text = "[[vpc]]\nid = \"vpc-0\"\ncidr = \"10.0.0.0/16\"\n[[subnet]]\nid = \"a\"\nvpc = \"vpc-0\"\n\
            availability_zone = \"us-east-1a\"\ncidr = \"10.0.1.0/24\"\n[[vpc_connector]]\nname = \"c\"\nsubnets = \
            [\"a\"]\n[[service]]\nname = \"web\"\nvpc_connector = \"c\"\n";
        only(text, "no-internet-route");
    }
}
