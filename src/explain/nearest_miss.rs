//! Finds the security-group rule that came nearest to allowing a packet, and its fields that did
//! not match.

use super::names;
use super::packet::{eni_of, packet_at, protocol_word};
use crate::packet::{Protocol, Tuple};
use crate::pipeline::{Detail, Evidence, Stage, Step};
use crate::vpc::security_group::NearMiss;
use crate::vpc::{
    Direction, Line, Peer, PortMatch, ProtocolMatch, RuleRef, SecurityGroupIx, SecurityGroupRule,
    Snapshot,
};
use serde::Serialize;
use std::net::Ipv4Addr;

/// The nearest miss, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearestMiss {
    /// The rule, such as `rule 2 of sg-app (tcp 443 to 0.0.0.0/0)`.
    pub rule: String,
    /// The group's id.
    pub id: String,
    /// The rule's line in the lab file.
    pub line: Option<Line>,
    /// Its place in the source from which the lab file is made, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The fields that matched and those that did not, in words.
    pub text: String,
    /// Set if the protocol matched.
    pub protocol: bool,
    /// Set if the port or ICMP field matched.
    pub ports: bool,
    /// Set if the other end matched.
    pub peer: bool,
}

/// Returns the last near miss among the steps: the one of the stage that dropped the packet.
pub(super) fn find(evidence: &Evidence, snapshot: &Snapshot) -> Option<NearestMiss> {
    evidence.steps.iter().enumerate().rev().find_map(|(position, step)| {
        let Detail::NearMiss(miss, direction) = step.detail else { return None };
        Some(named(evidence, packet_at(evidence, position), miss, direction, snapshot))
    })
}

/// Returns a near miss of a packet, with names.
pub(super) fn named(
    evidence: &Evidence,
    packet: Tuple,
    miss: NearMiss,
    direction: Direction,
    snapshot: &Snapshot,
) -> NearestMiss {
    let (group, position) = miss.rule;
    let rule = RuleRef::SecurityGroupRule(group, direction, position);
    let decided_by = names::decided_by(rule, snapshot);
    let found = names::find_security_group_rule(snapshot, group, direction, position);
    let remote = remote(evidence, packet, direction, snapshot);
    let middlebox = |step: &Step| matches!(step.stage, Stage::Middlebox | Stage::MiddleboxReturn);
    let lost = direction == Direction::Ingress && evidence.steps.iter().any(middlebox);
    NearestMiss {
        rule: decided_by.to_string(),
        id: decided_by.id,
        line: decided_by.line,
        place: None,
        text: found.map_or_else(String::new, |r| {
            text(r, &miss, packet, (remote, lost), direction, snapshot)
        }),
        protocol: miss.protocol,
        ports: miss.ports,
        peer: miss.peer,
    }
}

/// Returns the other end as the groups see it: inbound that is the ENI, not the task, even before
/// the port is leased.
fn remote(
    evidence: &Evidence,
    packet: Tuple,
    direction: Direction,
    snapshot: &Snapshot,
) -> Ipv4Addr {
    let eni = || {
        let eni = eni_of(evidence, snapshot)?;
        snapshot.parts().enis.get(eni.get()).map(|e| e.address)
    };
    match direction {
        Direction::Egress => packet.dst,
        Direction::Ingress if packet.src == evidence.inside.src() => eni().unwrap_or(packet.src),
        Direction::Ingress => packet.src,
    }
}

fn text(
    rule: &SecurityGroupRule,
    miss: &NearMiss,
    packet: Tuple,
    (remote, lost): (Ipv4Addr, bool),
    direction: Direction,
    snapshot: &Snapshot,
) -> String {
    let end = match direction {
        Direction::Egress => "destination",
        Direction::Ingress => "source",
    };
    let (mut matched, mut differs) = (Vec::new(), Vec::new());
    if miss.protocol {
        matched.push("protocol");
    } else {
        differs.push(protocol_differs(rule, packet));
    }
    match (miss.protocol, miss.ports) {
        (true, true) if packet.protocol.has_ports() => matched.push("port"),
        (true, false) => differs.push(ports_differ(rule, packet)),
        (true, true) | (false, _) => {}
    }
    if miss.peer {
        matched.push(end);
    } else {
        differs.push(peer_differs(rule, (remote, lost), end, snapshot));
    }
    format!("matched {}; {}", matched.join(" and "), differs.join("; "))
}

fn protocol_differs(rule: &SecurityGroupRule, packet: Tuple) -> String {
    let wanted = match rule.traffic.protocol {
        ProtocolMatch::All => "every protocol".to_owned(),
        ProtocolMatch::Is(protocol) => protocol_word(protocol),
    };
    format!("protocol {} is not {wanted}", protocol_word(packet.protocol))
}

fn ports_differ(rule: &SecurityGroupRule, packet: Tuple) -> String {
    if packet.protocol == Protocol::Icmp {
        return format!("the message is not {}", rule.traffic);
    }
    let PortMatch { from, to } = rule.traffic.ports;
    let port = packet.dport;
    if from == to {
        format!("port {port} is not {from}")
    } else {
        format!("port {port} is not in {from}-{to}")
    }
}

fn peer_differs(
    rule: &SecurityGroupRule,
    (remote, lost): (Ipv4Addr, bool),
    end: &str,
    snapshot: &Snapshot,
) -> String {
    let peer = names::peer(snapshot, rule.peer);
    match rule.peer {
        Peer::Cidr(network) if network.prefix() == 32 => {
            format!("{end} {remote} is not {}", network.ip())
        }
        Peer::Cidr(_) | Peer::PrefixList(_) => format!("{end} {remote} is not in {peer}"),
        Peer::SecurityGroup(group) if lost && has_member(snapshot, group, remote) => {
            format!(
                "{end} {remote} came through a middlebox, behind which no reference to {peer} matches"
            )
        }
        Peer::SecurityGroup(_) => format!("{end} {remote} is not an interface of {peer}"),
    }
}

/// Decides whether an interface of the group has an address, in any VPC.
fn has_member(snapshot: &Snapshot, group: SecurityGroupIx, address: Ipv4Addr) -> bool {
    let enis = snapshot.parts().enis.iter().map(|e| (e.address, &e.security_groups));
    let resources = snapshot.parts().resources.iter().map(|r| (r.address, &r.security_groups));
    enis.chain(resources).any(|(own, groups)| own == address && groups.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn text_of(miss: NearMiss, direction: Direction, packet: Tuple) -> String {
        let evidence = evidence(packet);
        named(&evidence, packet, miss, direction, &snapshot()).text
    }

    #[test]
    fn says_which_fields_matched_and_which_did_not() {
        let miss = |rule, protocol, ports, peer| NearMiss { rule, protocol, ports, peer };
        let packet = tcp(TASK_ADDRESS, 49152, ORDERS_DB_ADDRESS, 5432);
        let web = Tuple { dport: 80, ..packet };
        let udp = Tuple { protocol: Protocol::Udp, ..packet };
        let egress = Direction::Egress;
        assert_eq!(
            text_of(miss((SG_APP, 1), true, false, true), egress, packet),
            "matched protocol and destination; port 5432 is not 443"
        );
        assert_eq!(
            text_of(miss((SG_APP, 0), true, true, false), egress, packet),
            "matched protocol and port; destination 10.0.1.10 is not an interface of sg-db"
        );
        assert_eq!(
            text_of(miss((SG_APP, 1), false, false, true), egress, udp),
            "matched destination; protocol udp is not tcp"
        );
        assert_eq!(
            text_of(miss((SG_DB, 0), true, false, false), Direction::Ingress, web),
            "matched protocol; port 80 is not 5432; source 10.0.1.4 is not an interface of sg-app"
        );
    }

    #[test]
    fn a_rule_of_an_older_generation_leaves_the_text_empty() {
        let packet = tcp(TASK_ADDRESS, 49152, EXAMPLE, 443);
        let miss = NearMiss { rule: (SG_APP, 999), protocol: true, ports: true, peer: false };
        let named = named(&evidence(packet), packet, miss, Direction::Egress, &snapshot());
        assert_eq!(
            (named.rule.as_str(), named.text.as_str()),
            ("a rule of an earlier configuration", "")
        );
    }
}
