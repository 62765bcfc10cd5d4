//! `no-internet-route`: no subnet of a connector has a way to the internet.

use super::super::resolution::of_blocks;
use super::view::Subject;
use crate::config::{LabFinding, Severity};
use crate::pipeline::reach::public_unicast;
use crate::vpc::path::{self, DeadEnd, Lead, Link};
use crate::vpc::{Connector, Snapshot, SubnetIx};

/// Finds a connector that no route leads to the internet. Routes that lead to something dead have findings of their own.
pub(super) fn find(subject: &Subject<'_>) -> Option<LabFinding> {
    let snapshot = subject.view.snapshot();
    let connector = subject.view.connector()?;
    if connector.assign_public_ip || connector.subnets.iter().any(|own| leads_out(snapshot, *own)) {
        return None;
    }
    let tables = tables(snapshot, connector);
    let message = format!(
        "{} has no way to the internet: {} {} no route there",
        subject.title(),
        tables.join(", "),
        if tables.len() == 1 { "has" } else { "have" },
    );
    let help = "if it needs the internet, add a route for 0.0.0.0/0 to a NAT gateway in a public subnet; \
                if not, allow no-internet-route";
    Some(LabFinding {
        severity: Severity::Note,
        span: subject.connector.name.span,
        rule: "no-internet-route",
        message,
        help: help.to_owned(),
    })
}

/// Decides whether a route leads a subnet's packets to the internet, or was to do so and is dead.
fn leads_out(snapshot: &Snapshot, subnet: SubnetIx) -> bool {
    let public = public_unicast();
    let is_public = |lead: &Lead| !of_blocks([lead.to]).intersection(&public).is_empty();
    let leads_out = |lead: &Lead| match lead.end {
        Ok(Link::Internet) => true,
        Ok(Link::Vpc(_) | Link::Endpoint(_) | Link::Task(_) | Link::Services)
        | Err(DeadEnd::NoRoute(_) | DeadEnd::NoInterface(_)) => false,
        Err(_) => true,
    };
    path::leads(snapshot, subnet).iter().filter(|lead| is_public(lead)).any(leads_out)
}

/// Names the route tables of a connector's subnets.
fn tables(snapshot: &Snapshot, connector: &Connector) -> Vec<String> {
    let table = |subnet: &SubnetIx| snapshot.route_table(snapshot.subnet(*subnet).route_table);
    let mut names: Vec<String> =
        connector.subnets.iter().map(|subnet| format!("{:?}", table(subnet).id)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
