//! A flow as `egret flows` lists it.

use super::earlier::EarlierNames;
use crate::explain::{FlowRow, Offloaded};
use crate::flow::{Counters, Flow, Instant};
use crate::packet::Protocol;
use crate::pipeline::FlowOutcome;
use std::net::Ipv4Addr;

pub(crate) fn flow_row(
    names: &EarlierNames<'_>,
    now: Instant,
    flow: &Flow,
    generation: u32,
    outcome: FlowOutcome,
) -> FlowRow {
    let (inside, outside) = (flow.inside(), flow.outside());
    let idle = now.since(flow.last_seen());
    let snapshot = names.current;
    let admitted = names.decided(flow.admitted_by, flow.admitted_under);
    FlowRow {
        service: names.service(flow.service, flow.admitted_under).to_owned(),
        task: snapshot.task(inside.src()).map_or(0, |task| task.number),
        protocol: match inside.protocol() {
            Protocol::Other(number) => number.to_string(),
            named @ (Protocol::Tcp | Protocol::Udp | Protocol::Icmp) => named.to_string(),
        },
        state: state_of(flow, outcome).to_owned(),
        inside: endpoint(inside.protocol(), inside.src(), inside.sport()),
        destination: endpoint(inside.protocol(), inside.dst(), inside.dport()),
        eni: flow
            .eni_in(snapshot)
            .map_or_else(|| "app-runner".to_owned(), |ix| snapshot.eni(ix).id.clone()),
        eni_port: flow.eni.as_ref().map_or(0, |(_, lease)| lease.port()),
        nat_gateway: flow.nat_gateway_in(snapshot).map(|ix| snapshot.nat_gateway(ix).id.clone()),
        outside: endpoint(inside.protocol(), outside.src(), outside.sport()),
        admitted_by: admitted.rule,
        line: admitted.line,
        rule_generation: admitted.earlier,
        packets_out: flow.sent.segments(),
        bytes_out: flow.sent.bytes(),
        packets_in: flow.received.segments(),
        bytes_in: flow.received.bytes(),
        path: if flow.is_offloaded() { "offload" } else { "userspace" }.to_owned(),
        offloaded: offloaded(&flow.sent, &flow.received),
        age_ms: millis(now, flow.began),
        idle_ms: whole_millis(idle),
        expires_ms: whole_millis(
            flow.idle_timeout(&snapshot.parts().timeouts).saturating_sub(idle),
        ),
        generation,
        admitted_under: flow.admitted_under.0,
    }
}

/// Returns the word for a flow's state.
pub(super) fn state_of(flow: &Flow, outcome: FlowOutcome) -> &'static str {
    match (outcome, flow.inside().protocol()) {
        (FlowOutcome::Drop(_), _) => "denied",
        (FlowOutcome::Forward(_), Protocol::Tcp) => flow.tcp.state().as_str(),
        (FlowOutcome::Forward(_), _) if flow.received.packets() > 0 => "replied",
        (FlowOutcome::Forward(_), _) => "unreplied",
    }
}

pub(super) fn offloaded(sent: &Counters, received: &Counters) -> Offloaded {
    Offloaded {
        packets_out: sent.offloaded_segments(),
        bytes_out: sent.offloaded_bytes(),
        packets_in: received.offloaded_segments(),
        bytes_in: received.offloaded_bytes(),
    }
}

fn endpoint(protocol: Protocol, address: Ipv4Addr, port: u16) -> String {
    match protocol {
        Protocol::Tcp | Protocol::Udp => format!("{address}:{port}"),
        Protocol::Icmp if port > 0 => format!("{address} id {port}"),
        Protocol::Icmp | Protocol::Other(_) => address.to_string(),
    }
}

pub(super) fn millis(now: Instant, then: Instant) -> u64 {
    whole_millis(now.since(then))
}

fn whole_millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
