//! Compares the result of a probe, and the running lab's counters for it, with the expected result.

use super::net::Seen;
use crate::explain::{DropRow, FlowRow};
use crate::packet::Protocol;
use crate::pipeline::Reason;
use std::fmt;
use std::net::Ipv4Addr;

/// The expected result of a probe.
pub(super) enum Expected {
    /// This answer, in the words of the table.
    Answer(String),
    /// A drop, counted under this reason.
    Drop(Reason),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(text) => f.write_str(text),
            Self::Drop(reason) => write!(f, "drop: {reason}"),
        }
    }
}

/// The packet that a probe sent, by which its drop or its flow is found.
pub(super) struct Sent {
    pub(super) service: String,
    pub(super) task: u16,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: Protocol,
    pub(super) port: Option<u16>,
}

impl Sent {
    /// Returns the drop that the running lab counted: of the probe's own packets, or else of the
    /// answers to them.
    pub(super) fn drop<'d>(&self, drops: &'d [DropRow]) -> Option<&'d DropRow> {
        let protocol = self.protocol.to_string();
        let mut same = drops.iter().filter(|row| row.protocol.as_deref() == Some(&*protocol));
        let request = same.clone().find(|row| {
            row.source == Some(self.source)
                && row.destination == Some(self.destination.into())
                && row.port == self.port
        });
        request.or_else(|| {
            same.find(|row| {
                row.source == Some(self.destination)
                    && row.service.as_deref() == Some(&*self.service)
            })
        })
    }

    /// Returns the probe's flow.
    pub(super) fn flow<'f>(&self, flows: &'f [FlowRow]) -> Option<&'f FlowRow> {
        let destination = match self.port {
            Some(port) => format!("{}:{port}", self.destination),
            None => self.destination.to_string(),
        };
        let protocol = self.protocol.to_string();
        flows.iter().find(|flow| {
            (&flow.service, flow.task) == (&self.service, self.task)
                && flow.protocol == protocol
                // With ICMP an identifier may follow.
                && flow.destination.split(' ').next() == Some(&destination)
        })
    }
}

/// The part of the table's row that the probe finds out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) seen: String,
    pub(super) reason: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) line: Option<u32>,
    pub(super) ok: bool,
}

pub(super) fn judge(
    expected: &Expected,
    seen: &Seen,
    counted: Option<&DropRow>,
    flow: Option<&FlowRow>,
) -> Found {
    let (seen, reason, rule, line) = match (seen, counted) {
        (Seen::Answer(text), _) => {
            (text.clone(), None, flow.map(|f| f.admitted_by.clone()), flow.and_then(|f| f.line))
        }
        (Seen::Silence, Some(row)) => (
            format!("drop: {}", row.reason),
            Some(row.reason.clone()),
            Some(row.rule.clone()),
            row.line,
        ),
        (Seen::Silence, None) => ("no answer, no drop counted".to_owned(), None, None, None),
        (Seen::Fault(text), _) => (text.clone(), None, None, None),
    };
    let ok = match expected {
        Expected::Answer(text) => seen == *text,
        Expected::Drop(expected) => reason.as_deref() == Some(expected.name()),
    };
    Found { seen, reason, rule, line, ok }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
    const DATABASE: Ipv4Addr = Ipv4Addr::new(10, 0, 48, 10);

    fn sent() -> Sent {
        Sent {
            service: "web".to_owned(),
            task: 1,
            source: TASK,
            destination: DATABASE,
            protocol: Protocol::Tcp,
            port: Some(5432),
        }
    }

    fn dropped(source: Ipv4Addr, destination: Ipv4Addr, port: u16, reason: Reason) -> DropRow {
        DropRow {
            reason: reason.name().to_owned(),
            rule: "a rule".to_owned(),
            line: Some(7),
            rule_generation: None,
            service: Some("web".to_owned()),
            task: Some(1),
            source: Some(source),
            destination: Some(destination.into()),
            server: Some(destination.into()),
            protocol: Some("tcp".to_owned()),
            port: Some(port),
            packets: 1,
            first_seen_ms_ago: 0,
            last_seen_ms_ago: 0,
        }
    }

    #[test]
    fn a_drop_is_as_expected_only_under_the_expected_reason() {
        let row = dropped(TASK, DATABASE, 5432, Reason::NoRoute);
        let expected = Expected::Drop(Reason::NoRoute);
        let found = judge(&expected, &Seen::Silence, Some(&row), None);
        assert!(found.ok);
        assert_eq!((&*found.seen, found.reason.as_deref()), ("drop: no-route", Some("no-route")));
        let other = Expected::Drop(Reason::NaclIngressDeny);
        assert!(!judge(&other, &Seen::Silence, Some(&row), None).ok);
    }

    #[test]
    fn silence_without_a_counted_drop_is_never_as_expected() {
        let found = judge(&Expected::Drop(Reason::NoRoute), &Seen::Silence, None, None);
        assert!(!found.ok);
        assert_eq!(found.seen, "no answer, no drop counted");
    }

    #[test]
    fn an_answer_where_a_drop_was_expected_is_not_as_expected() {
        let row = dropped(TASK, DATABASE, 5432, Reason::NoRoute);
        let answer = Seen::Answer("echo".to_owned());
        assert!(!judge(&Expected::Drop(Reason::NoRoute), &answer, Some(&row), None).ok);
        assert!(judge(&Expected::Answer("echo".to_owned()), &answer, None, None).ok);
        assert!(!judge(&Expected::Answer("seen as 1.2.3.4".to_owned()), &answer, None, None).ok);
        let fault = Seen::Fault("Connection refused".to_owned());
        assert!(!judge(&Expected::Drop(Reason::NoRoute), &fault, None, None).ok);
    }

    #[test]
    fn a_drop_is_found_by_its_packet_and_else_by_the_answer() {
        let eni = Ipv4Addr::new(10, 0, 16, 4);
        let elsewhere = dropped(TASK, DATABASE, 5433, Reason::NoRoute);
        let other_task = dropped(eni, DATABASE, 5432, Reason::NoRoute);
        let answer = dropped(DATABASE, eni, 31000, Reason::NaclReturnImplicitDeny);
        let request = dropped(TASK, DATABASE, 5432, Reason::NaclIngressDeny);
        let rows = [elsewhere, other_task, answer, request];
        let reason = |rows: &[DropRow]| sent().drop(rows).map(|row| row.reason.clone());
        assert_eq!(reason(&rows).as_deref(), Some("nacl-ingress-deny"));
        assert_eq!(reason(&rows[..3]).as_deref(), Some("nacl-return-implicit-deny"));
        assert_eq!(reason(&rows[..2]), None);
    }
}
