//! `nothing-leaves`: no packet of a connector passes anywhere.

use super::super::names::decided_by;
use super::reasons::{is_of_protocol, is_of_routes};
use super::view::Subject;
use crate::config::LabFinding;
use crate::pipeline::Denial;
use crate::pipeline::reach::Class;

/// The number of deciding rules that the message names.
const SHOWN: usize = 2;

/// Finds a connector of which nothing passes. One that only its routes keep from the internet, and that has no interface to
/// reach, has findings of its routes.
pub(super) fn find(subject: &Subject<'_>) -> Option<LabFinding> {
    let view = subject.view;
    let dropped: Vec<Denial> = view.classes().filter_map(|class| class.denial).collect();
    let is_of_packets = |own: &&Denial| !is_of_routes(own.reason) && !is_of_protocol(own.reason);
    let first = dropped.iter().find(is_of_packets)?;
    if view.classes().any(Class::passes) {
        return None;
    }
    let message = format!(
        "no packet of {} passes anywhere: {}",
        subject.title(),
        deciders(subject, &dropped).join("; ")
    );
    let help = first.reason.hint().to_owned();
    Some(subject.warning("nothing-leaves", subject.connector.name.span, (message, help)))
}

/// Names what decides, each reason with its rule once.
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
        assert_eq!(one.text, "\"c\"");
    }

    #[test]
    fn an_acl_that_denies_all_lets_nothing_leave() {
        let one = only(&spoiled(ACL, "egress = []"), "nothing-leaves");
        says(&one.message, &["* of acl-private egress (nacl-egress-implicit-deny)"]);
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
