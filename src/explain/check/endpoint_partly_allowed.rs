//! `endpoint-partly-allowed`: the groups of a connector let a part of a gateway endpoint's prefix list out. One of which they
//! let nothing out is `endpoint-not-allowed`.

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

/// Finds the endpoints that the connector's routes lead to and its groups allow in part.
pub(super) fn find(subject: &Subject<'_>) -> Vec<LabFinding> {
    let endpoints = subject.view.snapshot().parts().gateway_endpoints.iter().enumerate();
    let found = endpoints.filter(|(at, _)| uses(subject, GatewayEndpointIx::from(*at)));
    found.filter_map(|(_, endpoint)| finding(subject, endpoint)).collect()
}

/// Decides whether packets of the connector are led to the endpoint.
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

/// Returns the addresses to which the groups let HTTPS out; if there are none, those to which they let out anything that an
/// endpoint carries.
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

/// Decides whether the groups let the packets of a class out, whatever becomes of them then.
fn is_let_out(class: &Class) -> bool {
    let is_of_groups = |reason: Reason| reason.stage() == Stage::SecurityGroupEgress;
    class.denial.is_none_or(|denial| !is_of_groups(denial.reason))
}
