//! What becomes of the live flows under another configuration, and why: said before it happens, and done for those that
//! no packet of theirs would end.

use super::tasks::task_counts;
use crate::config::Lab;
use crate::daemon::needs::Needs;
use crate::daemon::running::Running;
use crate::explain::{Fate, FlowFate, FlowFates, decided_by};
use crate::flow::{Flow, Instant};
use crate::linux::clock;
use crate::pipeline::{Denial, DeviceId, Forecast, Place, Reason};
use crate::vpc::{RuleRef, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Why a flow ends that would leave by another ENI or gateway.
const MOVED: Denial = Denial { reason: Reason::FlowMoved, decided_by: RuleRef::FlowTable };

impl Running {
    /// What `next`, which needs `needs`, makes of every live flow.
    pub(super) fn fates(&self, next: &Snapshot, needs: &Needs, lab: &Lab) -> FlowFates {
        let now = Instant(clock::now());
        let current = self.snapshot();
        let lost = lost(&self.needs, needs);
        let leaving = self.leaving(lab);
        let mut fates = FlowFates::default();
        self.engine.flows().for_each(|entry| {
            let flow = &entry.flow;
            if flow.is_expired(now, &current.parts().timeouts) {
                return;
            }
            fates.live += 1;
            let source = flow.egress.tuple().src;
            let fate = if leaving.contains(&source) {
                (Fate::Ends, "its task goes".to_owned(), None, None)
            } else if let Some(gone) = gone_of(flow, &lost) {
                (Fate::Ends, gone, None, None)
            } else {
                let (fate, denial) = match self.engine.forecast(now, next, flow) {
                    Forecast::Keeps => return fates.keep += 1,
                    Forecast::Moved => (Fate::Ends, MOVED),
                    Forecast::Denied(denial) => (Fate::Dropped, denial),
                    Forecast::RepliesDenied(denial) => (Fate::RepliesDropped, denial),
                };
                let rule = (fate != Fate::Ends).then(|| decided_by(denial.decided_by, next));
                let line = rule.as_ref().and_then(|rule| rule.line);
                let rule = rule.map(|rule| rule.to_string());
                (fate, denial.reason.name().to_owned(), rule, line)
            };
            fates.add(self.flow_fate(flow, fate));
        });
        fates.sort();
        fates
    }

    /// Ends the flows through ENIs and gateways that are gone, or whose address is another one's now: their ports went
    /// with them (spec 6).
    pub(super) fn end_flows_of_gone(&self, before: &Needs) {
        let lost = lost(before, &self.needs);
        if !lost.is_empty() {
            let now = Instant(clock::now());
            let is_over = |flow: &Flow| gone_of(flow, &lost).is_some();
            self.engine.forget_flows(now, &self.snapshot(), is_over);
        }
    }

    /// The addresses of the tasks that go.
    fn leaving(&self, lab: &Lab) -> BTreeSet<Ipv4Addr> {
        self.going(&task_counts(lab)).into_iter().collect()
    }

    fn flow_fate(
        &self,
        flow: &Flow,
        (fate, reason, rule, line): (Fate, String, Option<String>, Option<u32>),
    ) -> FlowFate {
        let inside = flow.egress.tuple();
        let attachment = self.tasks.get(&inside.src);
        let end = |address, port| match inside.protocol.has_ports() {
            true => format!("{address}:{port}"),
            false => format!("{address}"),
        };
        FlowFate {
            task: attachment.map_or_else(
                || inside.src.to_string(),
                |a| format!("{}/{}", a.service, a.task.number),
            ),
            protocol: inside.protocol.to_string(),
            inside: end(inside.src, inside.sport),
            destination: end(inside.dst, inside.dport),
            fate,
            reason,
            rule,
            line,
        }
    }
}

/// An owner that loses an address, and whether it goes as a whole.
struct Loser {
    id: DeviceId,
    goes: bool,
}

/// The addresses that lose their owner, and who that was.
fn lost(before: &Needs, after: &Needs) -> BTreeMap<Place, Loser> {
    let owners = after.owners();
    let stay: BTreeSet<&DeviceId> = owners.values().copied().collect();
    let before = before.owners().into_iter();
    before
        .filter(|(place, id)| owners.get(place) != Some(id))
        .map(|(place, id)| (place, Loser { goes: !stay.contains(id), id: id.clone() }))
        .collect()
}

/// Whose going takes a flow along.
fn gone_of(flow: &Flow, lost: &BTreeMap<Place, Loser>) -> Option<String> {
    let eni = flow.eni.as_ref().map(|(_, lease)| lease.key());
    let nat = flow.nat.as_ref().map(|(_, lease)| lease.key());
    let mut keys = eni.into_iter().chain(nat);
    let (loser, address) =
        keys.find_map(|key| Some((lost.get(&(key.space, key.address))?, key.address)))?;
    let owner = match &loser.id {
        DeviceId::Eni(id) => format!("ENI {id}"),
        DeviceId::NatGateway(id) => format!("NAT gateway {id}"),
        DeviceId::AppRunner => "App Runner".to_owned(),
    };
    Some(match loser.goes {
        true => format!("{owner} goes, and its addresses with it"),
        false => format!("{owner} no longer has {address}"),
    })
}
