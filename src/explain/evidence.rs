//! The evidence with every index replaced by a name: what text and JSON are both made from.

use super::names::{self, DecidedBy};
use super::nearest_miss::{self, NearestMiss};
use crate::packet::{Protocol, Tuple};
use crate::pipeline::{Component, Detail, Evidence, Outcome, Stage, Step};
use crate::vpc::{
    Direction, EniIx, Interface, Line, PeeringIx, RuleRef, Snapshot, SubnetIx, VpcIx,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// The answer of `egret explain`.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// `forward` or `drop`.
    pub verdict: &'static str,
    /// The reason's name, for a drop.
    pub reason: Option<&'static str>,
    /// The Reachability Analyzer's code, where one says the same.
    pub code: Option<&'static str>,
    /// What denied or admitted it.
    pub decided_by: Option<DecidedBy>,
    /// What would mend it, for a drop.
    pub hint: Option<&'static str>,
    /// The configuration that the packet was walked under.
    pub generation: u32,
    /// The packet as the task sends it.
    pub inside: Endpoints,
    /// The packet as it arrives; `None` where it dies before it leaves.
    pub outside: Option<Endpoints>,
    /// What happened, in one sentence.
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
    /// What the stage looked at.
    pub component: String,
    /// The rule that decided, where one did.
    pub rule: Option<String>,
    /// The rule's line in the lab file; `None` where it is implied.
    pub line: Option<Line>,
    /// The outcome's name.
    pub outcome: Cow<'static, str>,
    /// What else there is to say.
    pub detail: Option<String>,
}

/// Names everything in the steps of the evidence.
pub(super) fn named_steps(evidence: &Evidence, snapshot: &Snapshot) -> Vec<NamedStep> {
    (0..).zip(&evidence.steps).map(|(i, s)| step(evidence, i, s, snapshot)).collect()
}

/// Names everything in the evidence.
pub fn explanation(evidence: &Evidence, snapshot: &Snapshot) -> Explanation {
    let reason = evidence.denial.map(|d| d.reason);
    let rule = evidence.denial.map(|d| d.decided_by).or(evidence.admitted_by);
    Explanation {
        verdict: if reason.is_some() { "drop" } else { "forward" },
        reason: reason.map(|r| r.name()),
        code: reason.and_then(|r| r.code()),
        decided_by: rule.map(|rule| names::decided_by(rule, snapshot)),
        hint: reason.map(|r| r.hint()),
        generation: evidence.generation.0,
        inside: evidence.inside.into(),
        outside: evidence.outside.map(Endpoints::from),
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

/// The word that a lab file uses for a protocol.
pub(super) fn protocol_word(protocol: Protocol) -> String {
    match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Icmp => protocol.to_string(),
        Protocol::Other(number) => number.to_string(),
    }
}

/// The packet as it arrives at a step: after every translation before it; past the delivery, the reply.
pub(super) fn packet_at(evidence: &Evidence, position: usize) -> Tuple {
    let before = &evidence.steps[..position.min(evidence.steps.len())];
    let delivered = before.iter().position(|step| step.outcome == Outcome::Deliver);
    match delivered {
        Some(delivered) => reply_after(evidence, &before[delivered..]),
        None => request_after(evidence, before),
    }
}

/// The reply, to whom the border that it left last says.
fn reply_after(evidence: &Evidence, steps: &[Step]) -> Tuple {
    let outside = evidence.outside.unwrap_or(evidence.inside);
    let left = steps.iter().rev().filter(|step| leaves(step)).find_map(|step| {
        let Detail::Crossing { remote, port } = step.detail else { return None };
        Some((remote, port))
    });
    let (dst, dport) = left.unwrap_or((outside.src, outside.sport));
    Tuple { dst, dport, ..outside.reversed() }
}

fn request_after(evidence: &Evidence, steps: &[Step]) -> Tuple {
    steps
        .iter()
        .rev()
        .find_map(|step| {
            let Detail::Translated { after, .. } = step.detail else { return None };
            Some(after)
        })
        .unwrap_or(evidence.inside)
}

/// The ENI of the task that sends the packet.
pub(super) fn eni_of(evidence: &Evidence, snapshot: &Snapshot) -> Option<EniIx> {
    snapshot.task(evidence.inside.src)?.eni
}

/// The subnet and the VPC of an ENI.
pub(super) fn whereabouts(eni: EniIx, snapshot: &Snapshot) -> Option<(SubnetIx, VpcIx)> {
    let subnet = snapshot.parts().enis.get(eni.get())?.subnet;
    Some((subnet, snapshot.parts().subnets.get(subnet.get())?.vpc))
}

/// The VPC that has the destination's address: the task's own, or one that is peered with it, by this connection.
pub(super) fn destination_vpc(
    evidence: &Evidence,
    snapshot: &Snapshot,
) -> Option<(VpcIx, Option<PeeringIx>)> {
    let (_, own) = whereabouts(eni_of(evidence, snapshot)?, snapshot)?;
    let has = |vpc: VpcIx| {
        snapshot.parts().vpcs.get(vpc.get()).is_some_and(|vpc| vpc.contains(evidence.inside.dst))
    };
    let peered = || {
        let (peering, peer) = snapshot.peers_of(own).find(|(_, peer)| has(*peer))?;
        Some((peer, Some(peering)))
    };
    if has(own) { Some((own, None)) } else { peered() }
}

/// The lab's name for a destination: a resource, gateway or ENI of the task's VPC or of one that is peered with it, or
/// an internet host. For a task outside every VPC a resource of any.
pub(super) fn destination_name(evidence: &Evidence, snapshot: &Snapshot) -> Option<String> {
    let parts = snapshot.parts();
    let destination = evidence.inside.dst;
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
    let host = || parts.internet_hosts.iter().find(|h| h.address == destination);
    let named = component.map(|component| names::component(component, snapshot));
    named.or_else(|| host().map(|h| h.name.clone()))
}

fn forward_sentence(evidence: &Evidence, snapshot: &Snapshot) -> String {
    if evidence.steps.iter().any(|s| matches!(s.detail, Detail::NoSuchHost(_))) {
        let address = evidence.inside.dst;
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
        (None, None) => evidence.inside.dst.to_string(),
    };
    match evidence.outside {
        Some(outside) if outside.src != evidence.inside.src => {
            let source = end(outside.protocol, outside.src, outside.sport);
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

/// `10.0.1.7:53211 -> 10.0.0.5:1024` for the end that changes; both, named, where both do.
fn translated(before: Tuple, after: Tuple) -> String {
    let source = (before.src, before.sport) != (after.src, after.sport);
    let destination = (before.dst, before.dport) != (after.dst, after.dport);
    let change = |from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)| {
        format!("{} -> {}", end(before.protocol, from.0, from.1), end(after.protocol, to.0, to.1))
    };
    let source_change = change((before.src, before.sport), (after.src, after.sport));
    let destination_change = change((before.dst, before.dport), (after.dst, after.dport));
    match (source, destination) {
        (true, false) => source_change,
        (false, true) => format!("destination {destination_change}"),
        (true, true) => format!("source {source_change}, destination {destination_change}"),
        (false, false) => "unchanged".to_owned(),
    }
}

/// `10.0.0.5:1024`; for an ICMP echo `10.0.0.5 id 7`.
pub(super) fn end(protocol: Protocol, address: Ipv4Addr, port: u16) -> String {
    match protocol {
        Protocol::Tcp | Protocol::Udp => format!("{address}:{port}"),
        Protocol::Icmp => format!("{address} id {port}"),
        Protocol::Other(_) => address.to_string(),
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

fn leaves(step: &Step) -> bool {
    matches!(
        step.rule,
        Some(
            RuleRef::NetworkAclRule(_, Direction::Egress, ..)
                | RuleRef::NetworkAclImplicitDeny(_, Direction::Egress, _)
        )
    )
}
