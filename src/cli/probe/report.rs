//! The result of a probe, for people and programs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Outcome {
    /// It was answered.
    Answered,
    /// The connection was accepted, and then nothing was said in time.
    Accepted,
    /// The connection was accepted, and then failed, as one does whose certificate is not trusted.
    Failed,
    /// It was refused.
    Refused,
    /// The lab dropped it, or the reply.
    Dropped,
    /// Nothing answered in time.
    Silent,
}

/// The result of a probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Probed {
    /// The service that sent.
    pub service: String,
    /// Its task.
    pub task: u16,
    /// The destination as it was written.
    pub destination: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port; `null` for a ping.
    pub port: Option<u16>,
    /// `tcp`, `udp`, `icmp`, `http` or `https`.
    pub protocol: String,
    /// What happened.
    pub outcome: Outcome,
    /// What was said: the first line of an HTTP answer, the error, or the reason of the drop.
    pub said: Option<String>,
    /// The time until then, in milliseconds.
    pub time_ms: f64,
    /// The source that the destination saw.
    pub seen_as: Option<String>,
    /// Who knows that: `page`, the destination itself, or `flow`, the lab's table of flows.
    pub seen_by: Option<String>,
    /// The verdict on the same packet: `forward`, `drop`, or `mixed` if AWS may choose.
    pub verdict: String,
    /// The reason of a drop.
    pub reason: Option<String>,
    /// What decided, as in `egret explain`.
    pub decided_by: Value,
    /// One sentence that states the verdict.
    pub sentence: String,
    /// Whether the wire and the verdict agree; `null` if the verdict is `mixed`.
    pub agrees: Option<bool>,
}

impl Probed {
    /// Decides whether what happened is what the verdict says. A refusal or silence fits a packet
    /// that is forwarded if its flow shows that it got there.
    pub(super) fn agreement(verdict: &str, outcome: Outcome, has_flow: bool) -> Option<bool> {
        let is_accepted = match outcome {
            Outcome::Answered | Outcome::Accepted | Outcome::Failed => true,
            Outcome::Refused | Outcome::Silent | Outcome::Dropped => false,
        };
        let has_arrived = has_flow && outcome != Outcome::Dropped;
        match verdict {
            "forward" => Some(is_accepted || has_arrived),
            "drop" => Some(!is_accepted),
            _ => None,
        }
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// Those of `w`.
    pub(super) fn text(&self, w: &mut dyn Write) -> io::Result<()> {
        let place = match self.port {
            Some(port) => format!("{}:{port}", self.address),
            None => self.address.to_string(),
        };
        let Self { service, task, destination, protocol, .. } = self;
        writeln!(w, "{service}/{task} to {destination}: {protocol} to {place}")?;
        writeln!(w, "  wire     {}", self.wire())?;
        if let Some(source) = &self.seen_as {
            writeln!(w, "  seen as  {source}")?;
        }
        writeln!(w, "  verdict  {}", self.decision())?;
        writeln!(w, "  {}", self.comparison())
    }

    fn wire(&self) -> String {
        let what = match self.outcome {
            Outcome::Answered => "answered",
            Outcome::Accepted => "accepted, and no answer",
            Outcome::Failed => "accepted, and failed",
            Outcome::Refused => "refused",
            Outcome::Dropped => "dropped",
            Outcome::Silent => "no answer",
        };
        let said = self.said.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        format!("{what} after {:.1} ms{said}", self.time_ms)
    }

    fn decision(&self) -> String {
        let mut words = self.verdict.clone();
        if let Some(reason) = &self.reason {
            words = format!("{words} {reason}");
        }
        let text = |key: &str| self.decided_by.get(key).and_then(Value::as_str);
        if let Some(rule) = text("rule").or(text("id")) {
            let by = if self.reason.is_some() { ":" } else { ", by" };
            words = format!("{words}{by} {rule}");
        }
        if let Some(line) = self.decided_by.get("line").and_then(Value::as_u64) {
            words = format!("{words} (line {line})");
        }
        words
    }

    fn comparison(&self) -> &'static str {
        match self.agrees {
            Some(true) => "the wire and the verdict agree",
            Some(false) => "the wire contradicts the verdict",
            None => "the verdict depends on what AWS chooses: `egret explain` lists the classes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_agrees_with_a_verdict_that_explains_it() {
        use Outcome::{Answered, Dropped, Failed, Refused, Silent};
        for (verdict, outcome, has_flow, agrees) in [
            ("forward", Answered, true, Some(true)),
            ("forward", Failed, true, Some(true)),
            ("forward", Silent, true, Some(true)),
            ("forward", Silent, false, Some(false)),
            ("forward", Refused, false, Some(false)),
            ("forward", Dropped, true, Some(false)),
            ("drop", Dropped, false, Some(true)),
            ("drop", Silent, false, Some(true)),
            // A reply that is dropped leaves a flow.
            ("drop", Silent, true, Some(true)),
            ("drop", Refused, false, Some(true)),
            ("drop", Answered, true, Some(false)),
            ("mixed", Answered, true, None),
        ] {
            let found = Probed::agreement(verdict, outcome, has_flow);
            assert_eq!(found, agrees, "{verdict} {outcome:?} {has_flow}");
        }
    }
}
