//! The records of `egret trace`, with names instead of positions.

use super::evidence::{Endpoints, NamedStep, named_steps};
use super::names;
use crate::flow::Side;
use crate::packet::{Inside, Outside};
use crate::pipeline::watch::{FlowSeen, PacketSeen, Seen, WatchRecord};
use crate::pipeline::{Denial, Evidence, Verdict};
use crate::vpc::{RuleRef, Snapshot};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

/// A line of `egret trace`, as `--json` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRow {
    /// The time of the event, in UTC, in the form of RFC 3339.
    pub time: String,
    /// `forward`, `drop`, `flow-created` and similar, `ports-exhausted`, `left-out`, `userspace`,
    /// `queue-full` or `lab-down`.
    pub record: Cow<'static, str>,
    /// The configuration under which it happened.
    pub generation: u32,
    /// The task, such as `web/1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The ENI's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eni: Option<String>,
    /// The NAT gateway's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_gateway: Option<String>,
    /// `egress` for a packet from the task, `return` for one back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Cow<'static, str>>,
    /// The packet as the task has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Endpoints>,
    /// The packet as hosts outside egret have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Endpoints>,
    /// The reason's name, for a drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Set if egret answered the packet that it dropped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub answered: bool,
    /// The rule or object that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Its line in the lab file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Set if a flow decided, so that no stage was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<bool>,
    /// The number of packets on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<u32>,
    /// The number of bytes on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The steps of the packet's own walk, with `-v`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<NamedStep>,
    /// The number of records that were left out since the last such line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    /// The number of flows that user space handles while they are watched, which the kernel
    /// forwarded before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<u64>,
    /// The number of packets of any flow that full queues dropped since the last such line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl TraceRow {
    /// Returns whether it is about the trace, not about a packet or a flow.
    pub fn is_about_the_trace(&self) -> bool {
        self.left_out.or(self.flows).or(self.lost).is_some()
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Returns the row of a record, with names. `at` is the time of the event since 1970; `under` the
/// configuration under which it happened, `decided_under` the one to which its rule belongs.
pub fn trace_row(
    record: &WatchRecord,
    at: Duration,
    under: &Snapshot,
    decided_under: &Snapshot,
) -> TraceRow {
    let of = record.of;
    let row = TraceRow {
        time: rfc_3339(at),
        generation: record.generation.0,
        task: of
            .task
            .map(|(service, number)| format!("{}/{number}", names::service_name(under, service))),
        eni: of.eni.map(|eni| names::eni_id(under, eni).to_owned()),
        nat_gateway: of.nat_gateway.map(|nat| names::nat_gateway_id(under, nat).to_owned()),
        ..TraceRow::default()
    };
    match &record.seen {
        Seen::Packet(packet) => packet_row(row, record, packet, under, decided_under),
        Seen::Flow(flow) => flow_row(row, flow, decided_under),
        Seen::PortsExhausted { holder, inside } => {
            let row = TraceRow {
                record: "ports-exhausted".into(),
                inside: Some(inside.tuple().into()),
                ..row
            };
            ruled(row, *holder, under)
        }
    }
}

/// Returns the configuration to which a record's rule belongs.
pub fn decided_under(record: &WatchRecord) -> crate::vpc::Generation {
    match &record.seen {
        Seen::Packet(packet) => packet.decided_under,
        Seen::Flow(flow) => flow.admitted_under,
        Seen::PortsExhausted { .. } => record.generation,
    }
}

/// Returns a line about records that were left out.
pub fn left_out_row(at: Duration, records: u64) -> TraceRow {
    TraceRow {
        time: rfc_3339(at),
        record: "left-out".into(),
        left_out: Some(records),
        ..TraceRow::default()
    }
}

/// Returns a line about the number of flows that user space handles while they are watched.
pub fn userspace_row(at: Duration, flows: u64) -> TraceRow {
    TraceRow {
        time: rfc_3339(at),
        record: "userspace".into(),
        flows: Some(flows),
        ..TraceRow::default()
    }
}

/// Returns a line about the number of packets that full queues have dropped.
pub fn queue_full_row(at: Duration, packets: u64) -> TraceRow {
    TraceRow {
        time: rfc_3339(at),
        record: "queue-full".into(),
        lost: Some(packets),
        ..TraceRow::default()
    }
}

/// Returns the last line, for the end of the lab.
pub fn lab_down_row(at: Duration) -> TraceRow {
    TraceRow { time: rfc_3339(at), record: LAB_DOWN.into(), ..TraceRow::default() }
}

/// The name of the last line, for the end of the lab.
pub const LAB_DOWN: &str = "lab-down";

fn packet_row(
    row: TraceRow,
    record: &WatchRecord,
    packet: &PacketSeen,
    under: &Snapshot,
    decided_under: &Snapshot,
) -> TraceRow {
    let (word, reason, answered, rule) = match packet.verdict {
        Verdict::Forward { decided_by, .. } => ("forward", None, false, Some(decided_by)),
        Verdict::Reply { reason, decided_by, .. } => ("drop", Some(reason), true, Some(decided_by)),
        Verdict::Drop { reason, decided_by } => ("drop", Some(reason), false, Some(decided_by)),
        // Not a verdict yet, so it is not reported.
        Verdict::Hold => ("hold", None, false, None),
    };
    let row = TraceRow {
        record: word.into(),
        side: Some(side(packet.side).into()),
        inside: packet.inside.map(|inside| inside.tuple().into()),
        outside: packet.outside.map(|outside| outside.tuple().into()),
        reason: reason.map(|reason| reason.name().into()),
        answered,
        hit: Some(packet.hit),
        segments: Some(packet.segments),
        bytes: Some(packet.bytes),
        steps: steps(record, packet, under),
        ..row
    };
    match rule {
        Some(rule) => ruled(row, rule, decided_under),
        None => row,
    }
}

fn flow_row(row: TraceRow, flow: &FlowSeen, decided_under: &Snapshot) -> TraceRow {
    let row = TraceRow {
        record: format!("flow-{}", flow.event.name()).into(),
        inside: Some(flow.inside.tuple().into()),
        outside: Some(flow.outside.tuple().into()),
        ..row
    };
    ruled(row, flow.admitted_by, decided_under)
}

fn ruled(row: TraceRow, rule: RuleRef, snapshot: &Snapshot) -> TraceRow {
    let rule = names::decided_by(rule, snapshot);
    TraceRow { line: rule.line, rule: Some(rule.to_string()), ..row }
}

/// Returns the steps of the packet as the task sends it, as in `egret explain`.
fn steps(record: &WatchRecord, packet: &PacketSeen, under: &Snapshot) -> Vec<NamedStep> {
    let (inside, outside) = match packet.side {
        Side::Egress => (packet.inside, packet.outside),
        Side::Return => {
            (packet.inside.map(Inside::reversed), packet.outside.map(Outside::reversed))
        }
    };
    // A packet from outside without a flow has no inside: the outside takes its place.
    let Some(inside) = inside.or(outside.map(|seen| Inside::new(seen.tuple()))) else {
        return Vec::new();
    };
    let denial = match packet.verdict {
        Verdict::Forward { .. } | Verdict::Hold => None,
        Verdict::Reply { reason, decided_by, .. } | Verdict::Drop { reason, decided_by } => {
            Some(Denial { reason, decided_by })
        }
    };
    let evidence = Evidence {
        generation: record.generation,
        inside,
        outside,
        denial,
        admitted_by: None,
        steps: packet.steps.clone(),
    };
    named_steps(&evidence, under)
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Egress => "egress",
        Side::Return => "return",
    }
}

fn rfc_3339(at: Duration) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + at).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::paint::Look;
    use super::super::testing::*;
    use super::super::trace_text::{TraceText, comment};
    use super::*;
    use crate::packet::{Protocol, Tuple};
    use crate::pipeline::watch::{Frames, Party};
    use crate::pipeline::{Component, Detail, FlowEvent, Link, Outcome, Reason, Stage, Step};
    use crate::vpc::{Direction, Generation, ServiceIx};

    const AT: Duration = Duration::new(1_790_000_000, 123_456_789);
    const RULE: RuleRef = RuleRef::SecurityGroupRule(SG_APP, Direction::Egress, 1);

    fn tuple(protocol: Protocol, (src, sport): (std::net::Ipv4Addr, u16), dport: u16) -> Tuple {
        Tuple { protocol, src, sport, dst: EXAMPLE, dport }
    }

    fn named(seen: Seen) -> TraceRow {
        let task = Some((ServiceIx(0), 1));
        let of = Party { task, eni: Some(ENI_A), nat_gateway: Some(NAT_A), ..Party::default() };
        let at = crate::flow::Instant(1);
        let record = WatchRecord { at, generation: Generation(3), of, seen };
        trace_row(&record, AT, &snapshot(), &snapshot())
    }

    fn packet(side: Side, outside: bool, verdict: Verdict) -> PacketSeen {
        let inside = tuple(Protocol::Tcp, (TASK_ADDRESS, 40_000), 443);
        let world = tuple(Protocol::Tcp, (NAT_PUBLIC, 1024), 443);
        let way = |tuple: Tuple| match side {
            Side::Egress => tuple,
            Side::Return => tuple.reversed(),
        };
        PacketSeen {
            side,
            inside: Some(Inside::new(way(inside))),
            outside: outside.then(|| Outside::new(way(world))),
            verdict,
            decided_under: Generation(3),
            hit: side == Side::Return,
            segments: 1,
            bytes: 60,
            steps: Vec::new(),
            frames: Frames::default(),
        }
    }

    fn rows() -> Vec<TraceRow> {
        let forward = |link| Verdict::Forward { link, decided_by: RULE };
        let (drop, answer) = (Reason::SgEgressImplicitDeny, Reason::TtlExpired);
        let mut refused = packet(
            Side::Egress,
            false,
            Verdict::Drop {
                reason: drop,
                decided_by: RuleRef::EniSecurityGroups(ENI_A, Direction::Egress),
            },
        );
        refused.steps = vec![
            Step {
                stage: Stage::SourceCheck,
                component: Component::Task(TASK_ADDRESS),
                rule: Some(RuleRef::SourceCheck),
                outcome: Outcome::Pass,
                detail: Detail::None,
            },
            Step {
                stage: Stage::SecurityGroupEgress,
                component: Component::Eni(ENI_A),
                rule: Some(RuleRef::EniSecurityGroups(ENI_A, Direction::Egress)),
                outcome: Outcome::Drop,
                detail: Detail::None,
            },
        ];
        let answered = Verdict::Reply { len: 1, reason: answer, decided_by: RuleRef::Packet };
        let ping = tuple(Protocol::Icmp, (TASK_ADDRESS, 7), 0);
        let flow = FlowSeen {
            event: FlowEvent::Created,
            inside: Inside::new(ping),
            outside: Outside::new(tuple(Protocol::Icmp, (NAT_PUBLIC, 1025), 0)),
            admitted_by: RULE,
            admitted_under: Generation(3),
        };
        let unread = PacketSeen {
            inside: None,
            ..packet(
                Side::Egress,
                false,
                Verdict::Drop { reason: Reason::Ipv6, decided_by: RuleRef::Packet },
            )
        };
        vec![
            named(Seen::Packet(Box::new(packet(Side::Egress, true, forward(Link::Internet))))),
            named(Seen::Packet(Box::new(packet(
                Side::Return,
                true,
                forward(Link::Task(TASK_ADDRESS)),
            )))),
            named(Seen::Packet(Box::new(refused))),
            named(Seen::Packet(Box::new(packet(Side::Egress, false, answered)))),
            named(Seen::Flow(flow)),
            named(Seen::PortsExhausted {
                holder: RuleRef::NatGateway(NAT_A),
                inside: Inside::new(ping),
            }),
            named(Seen::Packet(Box::new(unread))),
            left_out_row(AT, 512),
            userspace_row(AT, 3),
            queue_full_row(AT, 40_000),
        ]
    }

    #[test]
    fn rows_are_lines_in_columns() {
        let mut lines = Vec::new();
        let mut text = TraceText::new(Look { color: false, wide: true });
        rows().iter().for_each(|row| text.write(&mut lines, row).unwrap());
        insta::assert_snapshot!(String::from_utf8(lines).unwrap());
    }

    #[test]
    fn rows_survive_being_sent() {
        for row in rows().into_iter().chain([lab_down_row(AT)]) {
            let sent = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<TraceRow>(&sent).unwrap(), row);
        }
        insta::assert_snapshot!(serde_json::to_string_pretty(&rows()[2]).unwrap());
    }

    #[test]
    fn a_comment_tells_the_verdict_and_the_rule() {
        let rows = rows();
        insta::assert_snapshot!(
            [comment(&rows[0]), comment(&rows[2]), comment(&rows[3])].join("\n")
        );
    }
}
