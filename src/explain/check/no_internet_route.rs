//! `no-internet-route`: no subnet of a connector has a route to the internet.

use super::super::resolution::of_blocks;
use super::view::Subject;
use crate::config::{LabFinding, Severity};
use crate::pipeline::reach::public_unicast;
use crate::vpc::path::{self, DeadEnd, Lead, Link};
use crate::vpc::{Connector, Snapshot, SubnetIx};

/// Finds a connector that has no route to the internet. Routes with targets that do not work have
/// findings of their own; a peering connection works, and carries nothing beyond the peer VPC.
pub(super) fn find(subject: &Subject<'_>) -> Option<LabFinding> {
    let snapshot = subject.view.snapshot();
    let connector = subject.view.connector()?;
    if connector.assign_public_ip || connector.subnets.iter().any(|own| leads_out(snapshot, *own)) {
        return None;
    }
    let mut peerings = connector.subnets.iter().filter_map(|own| peering(snapshot, *own));
    let why = match peerings.next() {
        Some(id) => format!("peering connection {id:?} carries nothing beyond the peer VPC"),
        None => no_route(&tables(snapshot, connector))?,
    };
    let message = format!("{} has no way to the internet: {why}", subject.title());
    Some(LabFinding {
        severity: Severity::Note,
        span: subject.connector.name.span,
        rule: "no-internet-route",
        message,
        help: "route 0.0.0.0/0 to a NAT gateway, if it needs one".to_owned(),
    })
}

/// Decides whether a route leads a subnet's packets to the internet, or would if its target worked.
fn leads_out(snapshot: &Snapshot, subnet: SubnetIx) -> bool {
    public_leads(snapshot, subnet).iter().any(|lead| match lead.end {
        Ok(Link::Internet | Link::PublicEndpoint(_))
        | Err(
            DeadEnd::Blackhole(..)
            | DeadEnd::Loop(..)
            | DeadEnd::NatNoRoute(_)
            | DeadEnd::NatBlackhole(..)
            | DeadEnd::NatLoop(..)
            | DeadEnd::NatToNat(..),
        ) => true,
        Ok(Link::Vpc(_) | Link::Endpoint(_) | Link::Task(_) | Link::Services)
        | Err(
            DeadEnd::NoRoute(_)
            | DeadEnd::NoInterface(_)
            | DeadEnd::OutsidePeer(_)
            | DeadEnd::EniAddress(_)
            | DeadEnd::NatAddress(_)
            | DeadEnd::NotRoutedBack(..),
        ) => false,
    })
}

/// Returns the id of the peering connection to which a route leads a subnet's packets for the
/// internet.
fn peering(snapshot: &Snapshot, subnet: SubnetIx) -> Option<&str> {
    public_leads(snapshot, subnet).iter().find_map(|lead| match lead.end {
        Err(DeadEnd::OutsidePeer(peering)) => Some(snapshot.peering(peering).id.as_str()),
        _ => None,
    })
}

/// Lists the leads of packets for public addresses.
fn public_leads(snapshot: &Snapshot, subnet: SubnetIx) -> Vec<Lead> {
    let public = public_unicast();
    let is_public = |lead: &Lead| !of_blocks([lead.to]).intersection(&public).is_empty();
    path::leads(snapshot, subnet).into_iter().filter(is_public).collect()
}

fn no_route(tables: &[String]) -> Option<String> {
    let others = match tables.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Some(format!("no route in {}{others}", tables.first()?))
}

/// Returns the names of the route tables of a connector's subnets.
fn tables(snapshot: &Snapshot, connector: &Connector) -> Vec<String> {
    let table = |subnet: &SubnetIx| snapshot.route_table(snapshot.subnet(*subnet).route_table);
    let mut names: Vec<String> =
        connector.subnets.iter().map(|subnet| format!("{:?}", table(subnet).id)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, only, replaced, rules, says, spoiled};
    use crate::config::Severity;

    const ROUTES: &str =
        "routes = [{ destination = \"0.0.0.0/0\", target = \"nat-0\" }] # of private";

    #[test]
    fn tables_without_a_route_are_a_note() {
        let one = only(&spoiled(ROUTES, ""), "no-internet-route");
        assert_eq!((one.severity, one.text.as_str()), (Severity::Note, "\"c\""));
        says(&one.message, &["connector \"c\"", "no route in \"rtb-private\""]);
    }

    #[test]
    fn a_dead_route_has_a_finding_of_its_own() {
        let dead =
            spoiled(ROUTES, "routes = [{ destination = \"0.0.0.0/0\", target = \"blackhole\" }]");
        assert_eq!(rules(&found(&dead)), [""; 0]);
    }

    #[test]
    fn a_route_to_a_peering_connection_is_no_way() {
        let routes = "routes = [{ destination = \"0.0.0.0/0\", target = \"pcx-0\" }]";
        let peer = "\n[[vpc]]\nid = \"vpc-1\"\ncidr = \"10.1.0.0/16\"\n\n[[vpc_peering_connection]]\nid = \
            \"pcx-0\"\nrequester_vpc = \"vpc-0\"\naccepter_vpc = \"vpc-1\"\n";
        let one = only(&(spoiled(ROUTES, routes) + peer), "no-internet-route");
        says(
            &one.message,
            &["connector \"c\"", "peering connection \"pcx-0\" carries nothing beyond"],
        );
    }

    #[test]
    fn a_public_subnet_has_a_finding_of_its_own() {
        let public = spoiled("subnets = [\"private-a\", \"private-b\"]", "subnets = [\"public\"]");
        assert_eq!(rules(&found(&public)), [""; 0]);
    }

    #[test]
    fn a_dead_route_for_private_addresses_hides_nothing() {
        let routes = "routes = [{ destination = \"172.16.0.0/12\", target = \"blackhole\" }]";
        only(&spoiled(ROUTES, routes), "no-internet-route");
    }

    #[test]
    fn a_route_for_a_part_of_the_internet_is_a_way() {
        let routes = "routes = [{ destination = \"203.0.113.0/24\", target = \"nat-0\" }]";
        assert_eq!(rules(&found(&spoiled(ROUTES, routes))), [""; 0]);
    }

    #[test]
    fn a_connector_without_services_is_checked_too() {
        let service = "[[service]]\nname = \"web\"\negress = \"vpc\"\nvpc_connector = \"c\"\n";
        only(&replaced(&spoiled(ROUTES, ""), service, ""), "no-internet-route");
    }
}
