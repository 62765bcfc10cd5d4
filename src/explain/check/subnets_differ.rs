//! `subnets-differ`: a destination is reached from one subnet of a connector and not from another.

use super::super::names::{decided_by, subnet_id};
use super::super::resolution::of_blocks;
use super::reasons::{is_found_elsewhere, is_of_protocol};
use super::view::{Subject, View};
use crate::config::LabFinding;
use crate::pipeline::reach::{Class, Ports, Ranges, Region};
use crate::pipeline::{Component, Denial, Reason};
use crate::vpc::SubnetIx;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

/// Destinations and ports that one subnet reaches and another does not.
#[derive(Clone)]
pub(super) struct Difference {
    /// The subnets that reach them.
    pub(super) reaching: BTreeSet<SubnetIx>,
    /// One subnet that does not.
    pub(super) failing: SubnetIx,
    denial: Denial,
    pub(super) destinations: Ranges,
    pub(super) ports: Ports,
}

/// Finds the destinations for which the subnets of a connector differ.
pub(super) fn find(subject: &Subject<'_>) -> Option<LabFinding> {
    let found = differences(subject.view);
    let first = found.first()?;
    let snapshot = subject.view.snapshot();
    let failing = subnet_id(snapshot, first.failing);
    let reaching: Vec<String> =
        first.reaching.iter().map(|own| format!("{:?}", subnet_id(snapshot, *own))).collect();
    let others = match found.len() - 1 {
        0 => String::new(),
        1 => "; and 1 more difference".to_owned(),
        more => format!("; and {more} more differences"),
    };
    let message = format!(
        "{} reaches {} from {} and not from {failing:?}: {} ({}){others}",
        subject.title(),
        subject.view.named(&first.destinations, &first.ports),
        reaching.join(", "),
        decided_by(first.denial.decided_by, snapshot),
        first.denial.reason,
    );
    let list =
        if found.len() > 1 { "; `egret reach --drops` lists all that is dropped" } else { "" };
    let help = format!(
        "give its subnets routes, network ACLs and rules alike, or take {failing:?} out of it: AWS chooses the subnet of \
         each task{list}"
    );
    Some(subject.warning("subnets-differ", subject.span_of_subnet(failing), (message, help)))
}

/// Lists the differences, those of interfaces before those of the internet.
pub(super) fn differences(view: &View) -> Vec<Difference> {
    let found = view.regions.iter().flat_map(|region| of_region(view, region)).collect();
    let mut found = merged(found);
    found.sort_by_cached_key(|own| {
        (!view.has_interface(&own.destinations), own.destinations.clone(), own.ports.clone())
    });
    found
}

fn of_region(view: &View, region: &Region) -> Vec<Difference> {
    let mut reaching = BTreeSet::new();
    let mut failing: BTreeMap<SubnetIx, &Class> = BTreeMap::new();
    for class in view.classes_of(region) {
        match class.passes() {
            true => reaching.extend(view.subnets_of(class)),
            false => view.subnets_of(class).for_each(|subnet| {
                failing.entry(subnet).or_insert(class);
            }),
        }
    }
    failing.retain(|subnet, class| !reaching.contains(subnet) && counts(class));
    if reaching.is_empty() || failing.is_empty() {
        return Vec::new();
    }
    let heard = view.heard(&region.destinations, &region.ports);
    let difference = |(failing, class): (SubnetIx, &Class)| {
        let denial = class.denial?;
        let destinations = match denial.reason == Reason::NoRoute {
            true => heard.difference(&lists(view, failing)),
            false => heard.clone(),
        };
        let (reaching, ports) = (reaching.clone(), region.ports.clone());
        let is_any = !destinations.is_empty();
        is_any.then_some(Difference { reaching, failing, denial, destinations, ports })
    };
    failing.into_iter().filter_map(difference).collect()
}

/// Decides whether no other finding is about the drop of a class's packets.
fn counts(class: &Class) -> bool {
    let Some(Denial { reason, .. }) = class.denial else { return false };
    let mut steps = class.sample.steps.iter();
    // The finding no-route-back is about it.
    let is_of_peer = reason == Reason::ReplyNotRoutedBack
        && steps.any(|step| matches!(step.component, Component::Peering(_)));
    !is_of_peer && !is_of_protocol(reason) && !is_found_elsewhere(reason)
}

/// Returns the addresses behind the gateway endpoints of a subnet's VPC: if a table has no route to
/// one, the finding is endpoint-not-in-table.
fn lists(view: &View, subnet: SubnetIx) -> Ranges {
    let snapshot = view.snapshot();
    let vpc = snapshot.subnet(subnet).vpc;
    let own = snapshot.parts().gateway_endpoints.iter().filter(|endpoint| endpoint.vpc == vpc);
    let entries = own.flat_map(|endpoint| &snapshot.prefix_list(endpoint.prefix_list).entries);
    of_blocks(entries.copied())
}

/// Joins differences between the same subnets that one rule decides: with the same ports, then with
/// the same destinations.
fn merged(all: Vec<Difference>) -> Vec<Difference> {
    let by_ports = joined(
        all,
        |own| own.ports.clone(),
        |own, others| {
            let others = others.iter().flat_map(|other| other.destinations.iter());
            own.destinations = Ranges::new(own.destinations.iter().chain(others));
        },
    );
    joined(
        by_ports,
        |own| own.destinations.clone(),
        |own, others| {
            own.ports = others.iter().fold(own.ports.clone(), |all, one| all.union(&one.ports));
        },
    )
}

fn joined<K: Hash + Eq>(
    all: Vec<Difference>,
    key: impl Fn(&Difference) -> K,
    join: impl Fn(&mut Difference, &[Difference]),
) -> Vec<Difference> {
    let mut groups: Vec<(Difference, Vec<Difference>)> = Vec::new();
    let mut known = HashMap::new();
    for one in all {
        let Denial { reason, decided_by } = one.denial;
        let own = (one.reaching.clone(), one.failing, reason, decided_by, key(&one));
        let at = *known.entry(own).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, others)) => others.push(one),
            None => groups.push((one, Vec::new())),
        }
    }
    let joined = |(mut one, others): (Difference, Vec<Difference>)| {
        join(&mut one, &others);
        one
    };
    groups.into_iter().map(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SOUND, found, only, replaced, rules, says, spoiled};

    const OF_B: &str =
        "cidr = \"10.0.2.0/24\"\nroute_table = \"rtb-private\"\nnetwork_acl = \"acl-private\"";

    fn b(by: &str) -> String {
        spoiled(OF_B, &format!("cidr = \"10.0.2.0/24\"\n{by}"))
    }

    #[test]
    fn an_acl_of_one_subnet_is_named_at_the_subnet() {
        let acl = "\n[[network_acl]]\nid = \"acl-b\"\nvpc = \"vpc-0\"\n";
        let text = b("route_table = \"rtb-private\"\nnetwork_acl = \"acl-b\"") + acl;
        let one = only(&text, "subnets-differ");
        says(
            &one.message,
            &[
                "connector \"c\" reaches db (10.0.4.10) at tcp 5432 from \"private-a\" and not from \"private-b\"",
                "* of acl-b egress (nacl-egress-implicit-deny)",
                "and 2 more differences",
            ],
        );
        assert_eq!(one.text, "\"private-b\"");
    }

    #[test]
    fn a_missing_route_of_one_subnet_is_named() {
        let one = only(&b("network_acl = \"acl-private\""), "subnets-differ");
        says(&one.message, &["reaches internet except", "no route in vpc-0/main (no-route)"]);
        assert!(!one.message.contains("more difference"), "{}", one.message);
    }

    #[test]
    fn a_case_of_real_packets_has_the_finding() {
        let text = include_str!("../cases/subnets-differ.toml");
        assert_eq!(rules(&found(text)), ["no-internet-route", "subnets-differ"]);
    }

    #[test]
    fn a_public_subnet_among_private_ones_has_a_finding_of_its_own() {
        let subnets = "subnets = [\"private-a\", \"public\"]";
        let text = spoiled("subnets = [\"private-a\", \"private-b\"]", subnets);
        assert_eq!(rules(&found(&text)), [""; 0], "{:#?}", found(&text));
    }

    #[test]
    fn ports_on_which_nothing_listens_are_not_missed() {
        // Inside the subnet of the database no ACL is asked.
        let group =
            "ingress = [{ protocol = \"tcp\", ports = \"5432\", from = \"sg-app\" }] # of db";
        let open = replaced(SOUND, group, "ingress = [{ protocol = \"all\", from = \"sg-app\" }]");
        let subnets = "subnets = [\"private-a\", \"private-b\"]";
        let with_data = replaced(&open, subnets, "subnets = [\"private-a\", \"data\"]");
        let data = "cidr = \"10.0.4.0/24\"\nnetwork_acl = \"acl-data\"";
        let text = replaced(&with_data, data, &format!("{data}\nroute_table = \"rtb-private\""));
        let one = only(&text, "subnets-differ");
        assert!(!one.message.contains("db (10.0.4.10)"), "{}", one.message);
        let deaf = replaced(&text, "listen = [\"5432/tcp\"]", "");
        says(&only(&deaf, "subnets-differ").message, &["reaches db (10.0.4.10)"]);
    }

    #[test]
    fn traffic_to_an_endpoint_is_no_difference() {
        let table = "[[route_table]]\nid = \"rtb-b\"\nvpc = \"vpc-0\"\nroutes = [{ destination = \"0.0.0.0/0\", \
            target = \"nat-0\" }]\n";
        let text = b("route_table = \"rtb-b\"\nnetwork_acl = \"acl-private\"") + table;
        assert_eq!(rules(&found(&text)), [""; 0], "{:#?}", found(&text));
    }

    #[test]
    fn a_table_without_the_endpoint_has_a_finding_of_its_own() {
        let routes = "routes = [{ destination = \"0.0.0.0/0\", target = \"nat-0\" }] # of private";
        let text = replaced(&b("network_acl = \"acl-private\""), routes, "");
        assert_eq!(rules(&found(&text)), ["no-internet-route"], "{:#?}", found(&text));
    }

    #[test]
    fn two_connectors_attached_alike_have_a_finding_each() {
        let more = "[[vpc_connector]]\nname = \"d\"\nsubnets = [\"private-a\", \"private-b\"]\nsecurity_groups = \
            [\"sg-app\"]\n[[service]]\nname = \"api\"\nvpc_connector = \"d\"\n[[service]]\nname = \"jobs\"\n\
            vpc_connector = \"d\"\n";
        let text = b("network_acl = \"acl-private\"") + more;
        assert_eq!(rules(&found(&text)), ["subnets-differ", "subnets-differ"]);
    }
}
