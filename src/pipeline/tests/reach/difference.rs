//! Tests the difference of two answers, on labs that differ by one change.

use super::*;
use crate::pipeline::reach::{Answered, Changed, Difference, difference};

/// Compares the answers for `web` in a lab and in the same lab with one text replaced by another.
fn changes(
    lab: &str,
    (from, to): (&str, &str),
    destinations: &Ranges,
    ports: &Ports,
) -> (Difference, [Answer; 2]) {
    let asked = [lab.to_owned(), with(lab, from, to)].map(|lab| {
        let world = World::new(&lab);
        let (snapshot, question) =
            question(&world.snapshot, "web", destinations.clone(), ports.clone());
        let answer = reach::ask(&snapshot, &question, &mut || true).unwrap();
        (snapshot, answer)
    });
    let [before, after] = &asked;
    let of = |(snapshot, answer)| Answered { snapshot, answer };
    let found = difference(of((&before.0, &before.1)), of((&after.0, &after.1)));
    (found, asked.map(|(_, answer)| answer))
}

fn lost(changed: &Changed) -> Option<Reason> {
    changed.after.denial.map(|denial| denial.reason)
}

#[test]
fn ports_of_a_nat_gateway_that_replies_lose_and_gain_are_two_changes() {
    let change = ("ports = \"32768-65535\"", "ports = \"1024-40000\"");
    let (found, [before, after]) =
        changes(BEHIND_NAT, change, &only("203.0.113.10"), &tcp_port(443));
    assert_eq!((before.verdict, after.verdict), (SetVerdict::Mixed, SetVerdict::Mixed));
    assert_eq!(found.changes.len(), 2, "{found:#?}");
    let lost = found.lost().next().unwrap();
    assert_eq!(self::lost(lost), Some(Reason::NaclReturnImplicitDeny));
    assert_eq!(lost.before.gateway_ports, ranges([(40_001, 65_535)]));
    assert_eq!(lost.after.gateway_ports, lost.before.gateway_ports);
    let gained = found.changes.iter().find(|changed| changed.after.passes()).unwrap();
    assert_eq!(gained.before.gateway_ports, ranges([(1024, 32_767)]));
    assert_eq!(gained.before.denial.map(|d| d.reason), Some(Reason::NaclReturnImplicitDeny));
    assert_eq!(gained.destinations, only("203.0.113.10"));
}

#[test]
fn addresses_of_a_nat_gateway_are_compared_by_position() {
    let change = ("[\"10.0.2.201\"]", "[\"10.0.2.201\", \"10.0.2.202\"]");
    let (found, _) = changes(TWO_ADDRESSES, change, &only("10.1.1.20"), &tcp_port(5432));
    assert_eq!(found.changes, Vec::new(), "a further address has no counterpart");
    let change = ("private_ip = \"10.0.2.200\"", "private_ip = \"10.0.2.210\"");
    let (found, _) = changes(TWO_ADDRESSES, change, &only("10.1.1.20"), &tcp_port(5432));
    let [changed] = &found.changes[..] else { panic!("{found:#?}") };
    let own = |side: &reach::ChangedSide| {
        side.gateway_addresses
            .iter()
            .map(|at| (at.position, at.private.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(own(&changed.before), [(0, only("10.0.2.200"))]);
    assert_eq!(own(&changed.after), [(0, only("10.0.2.210"))]);
    assert_eq!(lost(changed), Some(Reason::SgIngressImplicitDeny));
}

#[test]
fn another_gateway_changes_nothing_if_the_same_packets_pass() {
    let lab = BEHIND_NAT.replace("ports = \"32768-65535\"", "ports = \"1024-65535\"")
        + "[[nat_gateway]]\nid = \"nat-1\"\nsubnet = \"subnet-n\"\n";
    let change = ("target = \"nat-0\"", "target = \"nat-1\"");
    let (found, [before, _]) = changes(&lab, change, &only("203.0.113.10"), &tcp_port(443));
    assert_eq!((before.verdict, found.changes), (SetVerdict::Forward, Vec::new()));
}

#[test]
fn attachments_of_one_side_have_no_counterpart() {
    let change = ("subnets = [\"subnet-a\"]", "subnets = [\"subnet-b\"]");
    let (found, _) = changes(TWO_SUBNETS, change, &only("10.0.2.10"), &tcp_port(5432));
    assert_eq!(found.changes, Vec::new());
    assert_eq!((found.only_before.len(), found.only_after.len()), (1, 1));
}

#[test]
fn rules_that_a_large_lab_loses_take_packets_and_add_none() {
    let world = World::new(&large_lab::large_lab());
    let ports = Ports::new([PortRange::Of(Protocol::Tcp, 1, 3000)]);
    let asked = |snapshot: &Snapshot| {
        let all = Ranges::of(0, u32::MAX);
        let (snapshot, question) = question(snapshot, "web", all, ports.clone());
        let answer = reach::ask(&snapshot, &question, &mut || true).unwrap();
        (snapshot, answer)
    };
    let (snapshot, before) = asked(&world.snapshot);
    let mut parts = snapshot.parts().clone();
    parts.security_groups.iter_mut().for_each(|group| group.egress.truncate(100));
    let (changed, after) = asked(&Snapshot::build(snapshot.generation, parts));
    let found = difference(
        Answered { snapshot: &snapshot, answer: &before },
        Answered { snapshot: &changed, answer: &after },
    );
    assert!(found.lost().next().is_some());
    assert!(found.changes.iter().all(|changed| changed.before.passes()), "rules only allow");
}
