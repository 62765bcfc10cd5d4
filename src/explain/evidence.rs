//! The evidence with names instead of positions, from which both text and JSON are made.

use super::names::{self, DecidedBy, Places};
use super::nearest_miss::{self, NearestMiss};
use super::packet::{
    arrival, destination_vpc, end, eni_of, hint, leaves, packet_at, protocol_word,
};
use crate::packet::{Protocol, Tuple};
use crate::pipeline::reach::is_not_chosen;
use crate::pipeline::{Component, Detail, Evidence, Outcome, Stage, Step};
use crate::vpc::{Interface, Line, Snapshot, SubnetIx};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// The answer of `egret explain`.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// `forward` or `drop`; of a set of packets also `mixed`.
    pub verdict: &'static str,
    /// The reason's name, for a drop.
    pub reason: Option<&'static str>,
    /// The Reachability Analyzer's code with the same meaning, if there is one.
    pub code: Option<&'static str>,
    /// The rule or object that denied or admitted it.
    pub decided_by: Option<DecidedBy>,
    /// A hint how to fix it, for a drop.
    pub hint: Option<&'static str>,
    /// The configuration of the walk.
    pub generation: u32,
    /// The packet as the task sends it; `None` if its destination has no address.
    pub inside: Option<Endpoints>,
    /// The packet as it arrives; `None` if it is dropped before it leaves, or if AWS has not chosen
    /// its source address yet.
    pub outside: Option<Endpoints>,
    /// One sentence that states what happened.
    pub sentence: String,
    /// The security-group rule that came nearest to allowing it, for a drop by implicit deny.
    pub nearest_miss: Option<NearestMiss>,
    /// The path, in order.
    pub steps: Vec<NamedStep>,
}

/// A tuple, field by field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Source address.
    pub src: Ipv4Addr,
    /// Source port, or the identifier of an ICMP echo.
    pub sport: u16,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Destination port; 0 without ports.
    pub dport: u16,
    /// `tcp`, `udp`, `icmp`, or the protocol number.
    pub protocol: String,
}

/// One step, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedStep {
    /// The stage's name.
    pub stage: Cow<'static, str>,
    /// The object that the stage examined.
    pub component: String,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// The rule's line in the lab file; `None` if it is implied.
    pub line: Option<Line>,
    /// The rule's place in the source from which the lab file is made, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The outcome's name.
    pub outcome: Cow<'static, str>,
    /// Further details.
    pub detail: Option<String>,
}

impl Explanation {
    /// Adds the place of every rule in the source from which the lab file is made.
    pub(super) fn name_places(&mut self, places: Places<'_>) {
        let of = |line: Option<Line>| line.map(places);
        if let Some(decided_by) = &mut self.decided_by {
            decided_by.name_place(places);
        }
        if let Some(miss) = &mut self.nearest_miss {
            miss.place = of(miss.line);
        }
        self.steps.iter_mut().for_each(|step| step.place = of(step.line));
    }
}

/// The text for an address that AWS has not chosen yet.
pub(super) const NOT_CHOSEN: &str = "<new address>";

/// Returns the steps of the evidence with names.
pub(super) fn named_steps(evidence: &Evidence, snapshot: &Snapshot) -> Vec<NamedStep> {
    (0..).zip(&evidence.steps).map(|(i, s)| step(evidence, i, s, snapshot)).collect()
}

pub(super) fn explanation(evidence: &Evidence, snapshot: &Snapshot) -> Explanation {
    let reason = evidence.denial.map(|d| d.reason);
    let outside = arrival(evidence).filter(|outside| !is_not_chosen(outside.src));
    let rule = evidence.denial.map(|d| d.decided_by).or(evidence.admitted_by);
    Explanation {
        verdict: if reason.is_some() { "drop" } else { "forward" },
        reason: reason.map(|r| r.name()),
        code: reason.and_then(|r| r.code()),
        decided_by: rule.map(|rule| names::decided_by(rule, snapshot)),
        hint: hint(evidence),
        generation: evidence.generation.0,
        inside: Some(evidence.inside.tuple().into()),
        outside: outside.map(Into::into),
        sentence: match reason {
            Some(reason) => reason.sentence().to_owned(),
            None => forward_sentence(evidence, snapshot),
        },
        nearest_miss: reason.and_then(|_| nearest_miss::find(evidence, snapshot)),
        steps: named_steps(evidence, snapshot),
    }
}

impl From<Tuple> for Endpoints {
    fn from(tuple: Tuple) -> Self {
        let Tuple { protocol, src, dst, sport, dport } = tuple;
        Self { src, sport, dst, dport, protocol: protocol_word(protocol) }
    }
}

/// Returns the lab's name for a destination: a resource, gateway or ENI of the task's VPC or of one
/// that is peered with it, or an internet host, or the resource that has a public address. For a
/// task outside every VPC, a resource of any VPC.
pub(super) fn destination_name(evidence: &Evidence, snapshot: &Snapshot) -> Option<String> {
    let parts = snapshot.parts();
    let destination = evidence.inside.dst();
    let component = match eni_of(evidence, snapshot) {
        Some(_) => destination_vpc(evidence, snapshot)
            .and_then(|(vpc, _)| snapshot.interface(vpc, destination))
            .map(|interface| match interface {
                Interface::Resource(resource) => Component::Resource(resource),
                Interface::Eni(eni) => Component::Eni(eni),
                Interface::NatGateway(gateway) => Component::NatGateway(gateway),
            }),
        None => {
            let position = parts.resources.iter().position(|r| r.address == destination);
            position.map(|position| Component::Resource(position.into()))
        }
    };
    let public = || snapshot.public_endpoint(destination).map(Component::Resource);
    let component = component.or_else(public);
    let host = || parts.internet_hosts.iter().find(|h| h.address == destination);
    let named = component.map(|component| names::component(component, snapshot));
    named.or_else(|| host().map(|h| h.name.clone()))
}

fn forward_sentence(evidence: &Evidence, snapshot: &Snapshot) -> String {
    if evidence.steps.iter().any(|s| matches!(s.detail, Detail::NoSuchHost(_))) {
        let address = evidence.inside.dst();
        let endpoint = evidence.steps.iter().find(|s| s.stage == Stage::GatewayEndpoint);
        return match endpoint.map(|s| names::component(s.component, snapshot)) {
            Some(endpoint) => {
                format!(
                    "The packet reaches {endpoint}, behind which the lab has no host {address}."
                )
            }
            None => {
                format!("The packet reaches the internet, where the lab has no host {address}.")
            }
        };
    }
    let deliver = evidence.steps.iter().rev().find(|s| s.outcome == Outcome::Deliver);
    if let Some(Step { detail: Detail::Exempt(service), .. }) = deliver {
        return format!(
            "The packet reaches the {}, which sees the task's own address.",
            service.name()
        );
    }
    let place = deliver.map(|s| {
        let internet = s.component == Component::Internet;
        let name = names::component(s.component, snapshot);
        if internet { format!("the {name}") } else { name }
    });
    let destination = match (destination_name(evidence, snapshot), place) {
        (Some(name), Some(place)) if name != place => format!("{name} on {place}"),
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => evidence.inside.dst().to_string(),
    };
    match evidence.outside {
        Some(outside) if outside.src() != evidence.inside.src() => {
            let source = chosen_end(outside.protocol(), outside.src(), outside.sport());
            format!("The packet reaches {destination}, which sees it come from {source}.")
        }
        _ => format!("The packet reaches {destination}."),
    }
}

fn step(evidence: &Evidence, position: usize, step: &Step, snapshot: &Snapshot) -> NamedStep {
    let rule = step.rule.map(|rule| names::decided_by(rule, snapshot));
    NamedStep {
        stage: step.stage.name().into(),
        component: names::component(step.component, snapshot),
        line: rule.as_ref().and_then(|r| r.line),
        place: None,
        rule: rule.map(|r| r.to_string()),
        outcome: step.outcome.name().into(),
        detail: detail(evidence, position, step, snapshot),
    }
}

fn detail(
    evidence: &Evidence,
    position: usize,
    step: &Step,
    snapshot: &Snapshot,
) -> Option<String> {
    match step.detail {
        Detail::None => None,
        Detail::Attached { subnet } => Some(attached(snapshot, subnet)),
        Detail::SameSubnet(subnet) => {
            let subnet = names::subnet_id(snapshot, subnet);
            Some(format!("within {subnet}: neither network ACLs nor routes apply"))
        }
        Detail::Tracked => Some("tracked flow: security groups are not asked again".to_owned()),
        Detail::Translated { before, after } => Some(translated(before, after)),
        Detail::NearMiss(miss, direction) => {
            let packet = packet_at(evidence, position);
            let miss = nearest_miss::named(evidence, packet, miss, direction, snapshot);
            Some(format!("nearest: {} {}", miss.rule, miss.text))
        }
        Detail::Crossing { remote, port } => Some(crossing(step, remote, port)),
        Detail::NoSuchHost(address) => Some(format!("the lab has no internet host {address}")),
        Detail::Exempt(service) => {
            Some(format!("{}: no security group or network ACL filters this", service.name()))
        }
    }
}

fn attached(snapshot: &Snapshot, subnet: SubnetIx) -> String {
    let id = names::subnet_id(snapshot, subnet);
    match snapshot.parts().subnets.get(subnet.get()) {
        Some(subnet) => format!("in {id} ({})", subnet.availability_zone),
        None => format!("in {id}"),
    }
}

/// Writes `10.0.1.7:53211 -> 10.0.0.5:1024` for the end that changes; both ends, named, if both do.
fn translated(before: Tuple, after: Tuple) -> String {
    let source = (before.src, before.sport) != (after.src, after.sport);
    let destination = (before.dst, before.dport) != (after.dst, after.dport);
    let change = |from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), protocol: Protocol| {
        let ends = (chosen_end(protocol, from.0, from.1), chosen_end(protocol, to.0, to.1));
        format!("{} -> {}", ends.0, ends.1)
    };
    // The identifier of an echo takes the place of a source port.
    let without = match before.protocol {
        Protocol::Icmp => Protocol::Other(Protocol::Icmp.number()),
        other @ (Protocol::Tcp | Protocol::Udp | Protocol::Other(_)) => other,
    };
    let source_change =
        change((before.src, before.sport), (after.src, after.sport), before.protocol);
    let destination_change = change((before.dst, before.dport), (after.dst, after.dport), without);
    match (source, destination) {
        (true, false) => source_change,
        (false, true) => format!("destination {destination_change}"),
        (true, true) => format!("source {source_change}, destination {destination_change}"),
        (false, false) => "unchanged".to_owned(),
    }
}

/// Writes an end that a NAT gives a packet, whose address AWS may still have to choose.
fn chosen_end(protocol: Protocol, address: Ipv4Addr, port: u16) -> String {
    let text = end(protocol, address, port);
    match is_not_chosen(address) {
        true => text.replacen(&address.to_string(), NOT_CHOSEN, 1),
        false => text,
    }
}

fn crossing(step: &Step, remote: Ipv4Addr, port: u16) -> String {
    let reply = if step.stage == Stage::NetworkAclReturn { "reply " } else { "" };
    let side = if leaves(step) { "to" } else { "from" };
    match port {
        0 => format!("{reply}{side} {remote}"),
        _ => format!("{reply}{side} {remote}, to port {port}"),
    }
}
