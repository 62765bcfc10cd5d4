//! The live flows that another configuration ends or drops, each with the reason. A reload reports
//! them before its commit, and after it ends those whose ENI or gateway no longer exists.

use super::tasks;
use crate::config::Lab;
use crate::daemon::aside::aside;
use crate::daemon::needs::Needs;
use crate::daemon::running::Running;
use crate::explain::{AffectedFlow, AffectedFlows, FlowChange, decided_by};
use crate::flow::{Flow, Instant};
use crate::linux::clock;
use crate::pipeline::{Denial, DeviceId, Engine, Forecast, Reason, SpaceAddr};
use crate::vpc::{RuleRef, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Returns the live flows that `next`, which needs `needs`, ends or drops.
pub(super) fn flow_ends(
    running: &Running,
    next: &Snapshot,
    needs: &Needs,
    lab: &Lab,
) -> AffectedFlows {
    let now = Instant(clock::now());
    let current = running.snapshot();
    let lost = lost(&running.needs, needs);
    let leaving = leaving(running, lab);
    let mut found = AffectedFlows::default();
    running.engine.flows().for_each(|entry| {
        let flow = &entry.flow;
        if flow.is_expired(now, &current.parts().timeouts) {
            return;
        }
        found.live += 1;
        let source = flow.inside().src();
        let outcome = if leaving.contains(&source) {
            (FlowChange::Ends, "its task is removed".to_owned(), None, None)
        } else if let Some(removed) = removal_of(flow, &lost) {
            (FlowChange::Ends, removed, None, None)
        } else {
            let (outcome, denial) = match running.engine.forecast(now, next, flow) {
                Forecast::Keeps => return found.keep += 1,
                Forecast::Moved => (FlowChange::Ends, MOVED),
                Forecast::Denied(denial) => (FlowChange::Dropped, denial),
                Forecast::RepliesDenied(denial) => (FlowChange::RepliesDropped, denial),
            };
            let rule = (outcome != FlowChange::Ends).then(|| decided_by(denial.decided_by, next));
            let line = rule.as_ref().and_then(|rule| rule.line);
            let rule = rule.map(|rule| rule.to_string());
            (outcome, denial.reason.name().to_owned(), rule, line)
        };
        found.add(affected_flow(running, flow, outcome));
    });
    found.sort();
    found
}

/// Ends flows as [`end_of_removed`] does, after a commit.
pub(super) fn end_flows_of_removed(running: &Running, before: &Needs) {
    end_of_removed(
        &running.engine,
        Instant(clock::now()),
        &running.snapshot(),
        before,
        &running.needs,
    );
}

/// Returns the addresses of the tasks that are removed.
fn leaving(running: &Running, lab: &Lab) -> BTreeSet<Ipv4Addr> {
    tasks::going(running, lab).into_iter().collect()
}

fn affected_flow(
    running: &Running,
    flow: &Flow,
    (outcome, reason, rule, line): (FlowChange, String, Option<String>, Option<u32>),
) -> AffectedFlow {
    let inside = flow.inside();
    let attachment = running.tasks.get(&inside.src());
    let end = |address, port| match inside.protocol().has_ports() {
        true => format!("{address}:{port}"),
        false => format!("{address}"),
    };
    AffectedFlow {
        task: attachment
            .map_or_else(|| inside.src().to_string(), |a| format!("{}/{}", a.service, a.number)),
        protocol: inside.protocol().to_string(),
        inside: end(inside.src(), inside.sport()),
        destination: end(inside.dst(), inside.dport()),
        outcome,
        reason,
        rule,
        line,
    }
}

/// The reason why a flow ends that would leave through another ENI or gateway.
const MOVED: Denial = Denial { reason: Reason::FlowMoved, decided_by: RuleRef::FlowTable };

/// Ends the flows through ENIs and gateways that no longer exist, or whose address now belongs to
/// another one: their ports are lost with them (spec 6). A flow that a rule or a route stops stays
/// with its ports until it expires: the next change may let it pass again, and its server knows it
/// by no other port.
fn end_of_removed(
    engine: &Engine,
    now: Instant,
    snapshot: &Snapshot,
    before: &Needs,
    after: &Needs,
) {
    let lost = lost(before, after);
    if !lost.is_empty() {
        aside(|| engine.forget_flows(now, snapshot, |flow| removal_of(flow, &lost).is_some()));
    }
}

/// An owner that loses an address, and whether it is removed altogether.
struct Loser {
    id: DeviceId,
    goes: bool,
}

/// Returns the addresses that lose their owner, each with that owner.
fn lost(before: &Needs, after: &Needs) -> BTreeMap<SpaceAddr, Loser> {
    let owners = after.owners();
    let stay: BTreeSet<&DeviceId> = owners.values().copied().collect();
    let before = before.owners().into_iter();
    before
        .filter(|(place, id)| owners.get(place) != Some(id))
        .map(|(place, id)| (place, Loser { goes: !stay.contains(id), id: id.clone() }))
        .collect()
}

/// Names the loss of an owner that ends a flow.
fn removal_of(flow: &Flow, lost: &BTreeMap<SpaceAddr, Loser>) -> Option<String> {
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
        true => format!("{owner} is removed, with its addresses"),
        false => format!("{owner} no longer has {address}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::packet::{TcpFlags, VnetHeader, builder};
    use crate::pipeline::{Device, Received, Verdict};
    use crate::vpc::{Generation, ServiceIx, Task};
    use std::net::SocketAddrV4;

    const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
    const HOST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);
    const ROUTE: &str = "routes = [{ destination = \"0.0.0.0/0\", target = \"nat-a\" }]";
    const GATEWAY: &str = "id = \"nat-a\"\n";
    const SUBNETS: &str = "subnets = [\"subnet-private-a\", \"subnet-private-b\"]";
    const PRIVATE_SUBNET: &str = "cidr = \"10.0.1.0/24\"\n";

    /// Lowers the lab of the walk-through with changes to its text, and one task of its service
    /// `web`.
    fn configuration(generation: u32, changes: &[(&str, &str)]) -> (Snapshot, Needs) {
        let text = include_str!("../../../examples/walkthrough.toml").to_owned();
        let text = changes.iter().fold(text, |text, (old, new)| {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            text.replace(old, new)
        });
        let lab = Lab::parse("lab.toml", &text).unwrap();
        let snapshot = lab.lower(Generation(generation));
        let web = snapshot.parts().services.iter().position(|s| s.name == "web").unwrap();
        let service = ServiceIx::from(web);
        let eni = snapshot.choose_eni(service, 1);
        let snapshot = snapshot.with_task(Task { service, number: 1, address: TASK, eni });
        let needs = Needs::of(&lab, &snapshot);
        (snapshot, needs)
    }

    /// Counts the flows that are left of one through the ENI and the NAT gateway.
    fn left(changes: &[(&str, &str)]) -> usize {
        let engine = Engine::new(1);
        let (snapshot, before) = configuration(1, &[]);
        let eni = snapshot.task(TASK).and_then(|task| task.eni).unwrap();
        let syn = SocketAddrV4::new(TASK, 40_000);
        let mut syn = builder::tcp(syn, HOST, TcpFlags::SYN, 1, 0, &[]);
        let (vnet, device, now) = (VnetHeader::default(), Device::Eni(eni), Instant(1));
        let received = Received { device, bytes: &mut syn, vnet };
        let judged = engine.judge(now, &snapshot, received, &mut [0; 576]);
        assert!(matches!(judged.verdict, Verdict::Forward { .. }), "{judged:?}");
        let (next, after) = configuration(2, changes);
        end_of_removed(&engine, now, &next, &before, &after);
        engine.flows().len()
    }

    /// They end in the reload itself, without a packet of theirs.
    #[test]
    fn flows_go_with_the_eni_or_the_gateway_that_holds_their_ports() {
        let deleted = [(GATEWAY, "id = \"nat-a\"\nstate = \"deleted\"\n")];
        assert_eq!(left(&deleted), 0);
        let another_address = [("public_ip = \"198.51.100.7\"", "public_ip = \"198.51.100.8\"")];
        assert_eq!(left(&another_address), 0);
        let another_gateway =
            [(ROUTE, &*ROUTE.replace("nat-a", "nat-b")), (GATEWAY, "id = \"nat-b\"\n")];
        assert_eq!(left(&another_gateway), 0);
        let elsewhere = [(SUBNETS, "subnets = [\"subnet-reports-b\"]")];
        assert_eq!(left(&elsewhere), 0, "the ENI goes");
    }

    #[test]
    fn flows_that_a_rule_or_a_route_stops_stay() {
        assert_eq!(left(&[]), 1);
        assert_eq!(left(&[(ROUTE, "routes = []")]), 1);
        let acl = "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl-reports\"\n";
        assert_eq!(left(&[(PRIVATE_SUBNET, acl)]), 1);
        let deleting = [(GATEWAY, "id = \"nat-a\"\nstate = \"deleting\"\n")];
        assert_eq!(left(&deleting), 1, "the gateway has its addresses still");
    }
}
