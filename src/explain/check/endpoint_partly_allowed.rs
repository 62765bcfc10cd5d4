//! `endpoint-partly-allowed`: the groups of a connector let packets out to a part of a gateway
//! endpoint's prefix list. An endpoint to which they let nothing out is `endpoint-not-allowed`.

use super::super::coverage::{addresses, joined};
use super::super::resolution::of_blocks;
use super::view::Subject;
use crate::config::LabFinding;
use crate::packet::Protocol;
use crate::pipeline::reach::{Class, PortRange, Ports, Ranges};
use crate::pipeline::{Reason, Stage};
use crate::vpc::path::{self, Link};
use crate::vpc::{GatewayEndpoint, GatewayEndpointIx};

/// The port of AWS's services.
const HTTPS: u16 = 443;

/// The number of entries that the message names.
const SHOWN: usize = 3;

/// Finds the endpoints to which the connector's routes lead, and which its groups allow in part.
pub(super) fn find(subject: &Subject<'_>) -> Vec<LabFinding> {
    let endpoints = subject.view.snapshot().parts().gateway_endpoints.iter().enumerate();
    let found = endpoints.filter(|(at, _)| uses(subject, GatewayEndpointIx::from(*at)));
    found.filter_map(|(_, endpoint)| finding(subject, endpoint)).collect()
}

/// Decides whether the connector's routes lead packets to the endpoint.
fn uses(subject: &Subject<'_>, endpoint: GatewayEndpointIx) -> bool {
    let snapshot = subject.view.snapshot();
    let subnets = subject.view.connector().map_or(&[][..], |own| &own.subnets);
    let mut leads = subnets.iter().flat_map(|subnet| path::leads(snapshot, *subnet));
    leads.any(|lead| lead.end == Ok(Link::Endpoint(endpoint)))
}

fn finding(subject: &Subject<'_>, endpoint: &GatewayEndpoint) -> Option<LabFinding> {
    let list = subject.view.snapshot().prefix_list(endpoint.prefix_list);
    let all = of_blocks(list.entries.iter().copied());
    let allowed = allowed(subject, &all);
    if allowed.is_empty() || allowed == all {
        return None;
    }
    let is_cut =
        |entry: &&ipnetwork::Ipv4Network| !of_blocks([**entry]).difference(&allowed).is_empty();
    let cut: Vec<String> = list.entries.iter().filter(is_cut).map(ToString::to_string).collect();
    let message = format!(
        "the egress rules of {} allow a part of {:?} only, {}: gateway endpoint {:?} does not help for the rest of {}",
        subject.title(),
        list.id,
        joined(&addresses(&allowed), SHOWN),
        endpoint.id,
        joined(&cut, SHOWN),
    );
    let help = format!(
        "add {{ protocol = \"tcp\", ports = 443, to = {:?} }} to the egress of one of its groups: names of the service lead \
         to any address of the list",
        list.id
    );
    let span = subject.connector.name.span;
    Some(subject.warning("endpoint-partly-allowed", span, (message, help)))
}

/// Returns the addresses to which the groups let HTTPS out; if there are none, those to which they
/// let out anything that an endpoint supports.
fn allowed(subject: &Subject<'_>, all: &Ranges) -> Ranges {
    let https = Ports::new([PortRange::Of(Protocol::Tcp, HTTPS, HTTPS)]);
    let carried = Ports::new([PortRange::Of(Protocol::Tcp, 1, u16::MAX), PortRange::Echo]);
    let let_out = |ports: &Ports| {
        let of_ports = |class: &&Class| class.ports.intersection(ports).count() > 0;
        let own = subject.view.classes().filter(|class| is_let_out(class)).filter(of_ports);
        let own = Ranges::new(own.flat_map(|class| class.destinations.iter().collect::<Vec<_>>()));
        own.intersection(all)
    };
    let of_https = let_out(&https);
    if of_https.is_empty() { let_out(&carried) } else { of_https }
}

/// Decides whether the groups let the packets of a class out, whatever happens to them afterwards.
fn is_let_out(class: &Class) -> bool {
    let is_of_groups = |reason: Reason| reason.stage() == Stage::SecurityGroupEgress;
    class.denial.is_none_or(|denial| !is_of_groups(denial.reason))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::testing::{found, only, replaced, rules, says, spoiled};
    use crate::config::Lab;

    const GROUP: &str = "egress = [{ protocol = \"all\", to = \"0.0.0.0/0\" }] # of app";
    const DB: &str = "{ protocol = \"tcp\", ports = 5432, to = \"sg-db\" }";

    fn egress(rules: &str) -> String {
        spoiled(GROUP, &format!("egress = [{DB}, {rules}]"))
    }

    #[test]
    fn one_entry_of_two_is_a_part() {
        let text = egress("{ protocol = \"tcp\", ports = 443, to = \"3.5.0.0/19\" }");
        let one = only(&text, "endpoint-partly-allowed");
        says(
            &one.message,
            &["connector \"c\"", "\"pl-s3\"", "3.5.0.0/19", "rest of 52.219.0.0/16"],
        );
        says(&one.help, &["to = \"pl-s3\""]);
        assert_eq!(one.text, "\"c\"");
    }

    #[test]
    fn one_address_of_an_entry_is_a_part() {
        let text = egress("{ protocol = \"tcp\", ports = 443, to = \"52.219.1.10/32\" }");
        let one = only(&text, "endpoint-partly-allowed");
        says(&one.message, &["52.219.1.10", "52.219.0.0/16, 3.5.0.0/19"]);
    }

    #[test]
    fn another_port_for_all_is_no_https_for_the_rest() {
        let rules = "{ protocol = \"tcp\", ports = 80, to = \"pl-s3\" }, \
            { protocol = \"tcp\", ports = 443, to = \"3.5.0.0/19\" }";
        only(&egress(rules), "endpoint-partly-allowed");
    }

    #[test]
    fn the_list_or_all_of_its_entries_are_sound() {
        for to in
            ["\"pl-s3\"", "[\"52.219.0.0/16\", \"3.5.0.0/19\"]", "[\"52.0.0.0/8\", \"3.0.0.0/8\"]"]
        {
            let text = egress(&format!("{{ protocol = \"tcp\", ports = 443, to = {to} }}"));
            assert_eq!(rules(&found(&text)), [""; 0], "{to}");
        }
    }

    #[test]
    fn an_endpoint_of_which_nothing_is_allowed_has_one_finding() {
        let text = spoiled(GROUP, &format!("egress = [{DB}]"));
        assert_eq!(rules(&found(&text)), [""; 0]);
        let of_both = rules_of_check(&text);
        assert_eq!(of_both.iter().filter(|rule| rule.starts_with("endpoint-")).count(), 1);
        let partly =
            rules_of_check(&egress("{ protocol = \"tcp\", ports = 443, to = \"3.5.0.0/19\" }"));
        assert_eq!(partly.iter().filter(|rule| rule.starts_with("endpoint-")).count(), 1);
    }

    fn rules_of_check(text: &str) -> Vec<&'static str> {
        let lab = Lab::parse("lab.toml", text).unwrap_or_else(|errors| panic!("{errors:?}"));
        rules(&check(&lab))
    }

    #[test]
    fn an_endpoint_that_no_route_leads_to_is_not_asked() {
        let text = egress("{ protocol = \"tcp\", ports = 443, to = \"3.5.0.0/19\" }");
        let unused = replaced(&text, "route_tables = [\"rtb-private\"]", "");
        assert_eq!(rules(&found(&unused)), [""; 0]);
    }

    #[test]
    fn a_rule_for_one_address_of_the_case_leaves_the_finding() {
        let case = include_str!("../cases/prefix-list.toml");
        let rule = "egress = [{ protocol = \"tcp\", ports = \"443\", to = \"sg-vpce\" }]";
        let by = "egress = [{ protocol = \"tcp\", ports = \"443\", to = [\"sg-vpce\", \"52.219.1.10/32\"] }]";
        let found = found(&replaced(case, rule, by));
        assert_eq!(rules(&found), ["endpoint-partly-allowed", "no-internet-route"]);
    }
}
