//! Compares the results of real packets with the verdicts on their classes.

use super::listeners::Target;
use super::plan::{NOTHING_LISTENS, Plan, Sending, Sent};
use super::probe::Probe;
use super::report::{Contradiction, Live, NotTried};
use super::sight::{Leaving, Sight, Wire, is_of_the_moment};
use crate::pipeline::Reason;
use crate::pipeline::reach::{Class, GatewayAddress};
use crate::vpc::Snapshot;

/// The conclusion from a packet about a verdict.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Agrees,
    Contradicts,
    /// No conclusion, with the reason.
    Nothing(String),
}

impl Plan {
    /// Compares the results of the packets, in their order, with the verdicts: one result for each
    /// expectation.
    pub fn judge(&self, sights: &[Sight]) -> Vec<Live> {
        let probes: Vec<&Probe> = self.probes().collect();
        let judge = |sending: &Sending| judge(sending, &probes, sights);
        self.expectations.iter().map(judge).collect()
    }
}

fn judge(sending: &Sending, probes: &[&Probe], sights: &[Sight]) -> Live {
    let mut live = Live { not_tried: sending.not_tried.clone(), ..Live::default() };
    for sent in &sending.sent {
        let (Some(probe), Some(sight)) = (probes.get(sent.probe), sights.get(sent.probe)) else {
            continue;
        };
        let classes = sent.narrowed(sight.leaving.as_ref());
        match finding(&classes, sight, sent.target) {
            Finding::Agrees => live.agreed += 1,
            Finding::Contradicts => {
                let verdict = verdict(&classes, sent.explained.snapshot());
                live.contradictions.push(Contradiction::new(probe, &sent.to, &sight.wire, verdict));
            }
            Finding::Nothing(why) => {
                let (service, to) = (probe.service.clone(), sent.to.clone());
                live.not_tried.push(NotTried::new(service, to, why));
            }
        }
    }
    live
}

impl Sent {
    /// Lists the possible classes of a packet, as far as its source shows them.
    fn narrowed(&self, leaving: Option<&Leaving>) -> Vec<&Class> {
        let all = self.explained.classes();
        let classes = self.classes.iter().filter_map(|at| all.get(*at));
        let snapshot = self.explained.snapshot();
        let is_of = |class: &&Class| leaving.is_none_or(|source| is_of(class, source, snapshot));
        classes.filter(is_of).collect()
    }
}

/// Decides whether a packet with this source may be in a class.
fn is_of(class: &Class, source: &Leaving, snapshot: &Snapshot) -> bool {
    let port = u32::from(source.port);
    let Some(id) = &source.nat_gateway else {
        // Without an ENI it is the port of App Runner's own NAT.
        let ports = class.source_ports.as_ref().or(class.gateway_ports.as_ref());
        return ports.is_none_or(|ports| ports.contains(port));
    };
    let is_from = |at: &GatewayAddress| {
        let gateway = snapshot.nat_gateway(at.gateway);
        let public = gateway.addresses.get(at.position).and_then(|own| own.public);
        gateway.id == *id
            && (public == Some(source.address) || at.private.contains(source.address.to_bits()))
    };
    class.gateway_ports.as_ref().is_none_or(|ports| ports.contains(port))
        && (class.gateway_addresses.is_empty() || class.gateway_addresses.iter().any(is_from))
}

fn finding(classes: &[&Class], sight: &Sight, target: Target) -> Finding {
    if let Wire::NotTried(why) = &sight.wire {
        return Finding::Nothing(why.clone());
    }
    if let Wire::Dropped { reason, .. } = &sight.wire
        && is_of_the_moment(reason)
    {
        return Finding::Nothing(format!("{reason} now"));
    }
    let passes = classes.iter().any(|class| class.passes());
    let drops = classes.iter().any(|class| !class.passes());
    match (passes, drops) {
        (true, false) => of_passing(&sight.wire, target),
        (false, true) => of_dropped(classes, &sight.wire, target),
        // The packet's ports and addresses are not known: one of them is dropped for this reason.
        (true, true) if is_for_a_reason(classes, &sight.wire) => Finding::Agrees,
        (true, true) | (false, false) => {
            Finding::Nothing("the port that was drawn is not known".to_owned())
        }
    }
}

/// Judges a packet that must pass.
fn of_passing(wire: &Wire, target: Target) -> Finding {
    let is_missing = |reason: &str| reason == Reason::NoSuchInternetHost.name();
    match wire {
        Wire::Answered => Finding::Agrees,
        // If there is no listener, a refusal is the answer, and silence is no answer.
        Wire::Refused(_) if !target.listens => Finding::Agrees,
        Wire::Silent if !target.listens => Finding::Nothing(NOTHING_LISTENS.to_owned()),
        Wire::Dropped { reason, .. } if !target.is_host && is_missing(reason) => {
            Finding::Nothing(NOTHING_LISTENS.to_owned())
        }
        Wire::Refused(_) | Wire::Silent | Wire::Dropped { .. } | Wire::NotTried(_) => {
            Finding::Contradicts
        }
    }
}

/// Judges a packet that must be dropped.
fn of_dropped(classes: &[&Class], wire: &Wire, target: Target) -> Finding {
    match wire {
        Wire::Dropped { .. } if is_for_a_reason(classes, wire) => Finding::Agrees,
        Wire::Silent if target.is_host => Finding::Agrees,
        Wire::Silent => Finding::Nothing("no drop was seen, and the lab has no host there".into()),
        Wire::Dropped { .. } | Wire::Answered | Wire::Refused(_) | Wire::NotTried(_) => {
            Finding::Contradicts
        }
    }
}

/// Decides whether a packet was dropped for the reason of one of its classes.
fn is_for_a_reason(classes: &[&Class], wire: &Wire) -> bool {
    let Wire::Dropped { reason, .. } = wire else { return false };
    let denials = classes.iter().filter_map(|class| class.denial);
    denials.map(|denial| denial.reason.name()).any(|own| own == reason)
}

/// Describes the verdict, with the rule that decides.
fn verdict(classes: &[&Class], snapshot: &Snapshot) -> String {
    let Some(denial) = classes.first().and_then(|class| class.denial) else {
        return "FORWARD".to_owned();
    };
    let rule = crate::explain::names::decided_by(denial.decided_by, snapshot);
    format!("DROP {} by {rule}", denial.reason.name())
}
