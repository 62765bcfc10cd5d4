//! Finds the packet at a step of its evidence and the ENI by which it leaves, and writes its
//! addresses and ports as text.

use crate::packet::{Outside, Protocol, Tuple};
use crate::pipeline::{Detail, Evidence, Outcome, Reason, Step};
use crate::vpc::path::{self, Attachment, Hop};
use crate::vpc::{Direction, EniIx, PeeringIx, RuleRef, Snapshot, SubnetIx, VpcIx};
use std::net::Ipv4Addr;

/// Returns the word that a lab file uses for a protocol.
pub(super) fn protocol_word(protocol: Protocol) -> String {
    match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Icmp => protocol.to_string(),
        Protocol::Other(number) => number.to_string(),
    }
}

/// Returns the packet as it arrives at a step, after every translation before it. After the
/// delivery that is the reply.
pub(super) fn packet_at(evidence: &Evidence, position: usize) -> Tuple {
    let before = &evidence.steps[..position.min(evidence.steps.len())];
    let delivered = before.iter().position(|step| step.outcome == Outcome::Deliver);
    match delivered {
        Some(delivered) => reply_after(evidence, &before[delivered..]),
        None => request_after(evidence, before),
    }
}

/// Returns the reply after `steps`. Its destination is the one that the network ACL of the last
/// subnet that it left has seen; before it leaves a subnet, the source address with which the
/// request arrived.
fn reply_after(evidence: &Evidence, steps: &[Step]) -> Tuple {
    let outside = evidence.outside.map_or(evidence.inside.tuple(), Outside::tuple);
    let left = steps.iter().rev().filter(|step| leaves(step)).find_map(|step| {
        let Detail::Crossing { remote, port } = step.detail else { return None };
        Some((remote, port))
    });
    let (dst, dport) = left.unwrap_or((outside.src, outside.sport));
    Tuple { dst, dport, ..outside.reversed() }
}

/// Returns the request as its destination sees it; `None` if it is dropped on the path.
pub(super) fn arrival(evidence: &Evidence) -> Option<Tuple> {
    let outside = evidence.outside?;
    let delivered = evidence.steps.iter().position(|step| step.outcome == Outcome::Deliver);
    let sent = &evidence.steps[..delivered.unwrap_or(0)];
    Some(Tuple { dst: request_after(evidence, sent).dst, ..outside.tuple() })
}

/// Returns a hint how to fix a packet's drop. Over the internet the groups of a public endpoint
/// know the sender by its public address, and by no group.
pub(super) fn hint(evidence: &Evidence) -> Option<&'static str> {
    let reason = evidence.denial?.reason;
    let is_translated = || packet_at(evidence, evidence.steps.len()).dst != evidence.inside.dst();
    let is_of_groups = matches!(reason, Reason::SgIngressImplicitDeny | Reason::SgIngressNoRules);
    let reason = match is_of_groups && is_translated() {
        true => Reason::SgIngressPublicAddress,
        false => reason,
    };
    Some(reason.hint())
}

/// Returns the request after `steps`: the result of the last translation.
fn request_after(evidence: &Evidence, steps: &[Step]) -> Tuple {
    steps
        .iter()
        .rev()
        .find_map(|step| {
            let Detail::Translated { after, .. } = step.detail else { return None };
            Some(after)
        })
        .unwrap_or(evidence.inside.tuple())
}

/// Returns whether a step is the network ACL of a subnet that the packet leaves.
pub(super) fn leaves(step: &Step) -> bool {
    matches!(
        step.rule,
        Some(
            RuleRef::NetworkAclRule(_, Direction::Egress, ..)
                | RuleRef::NetworkAclImplicitDeny(_, Direction::Egress, _)
        )
    )
}

/// Returns the ENI of the task that sends the packet.
pub(super) fn eni_of(evidence: &Evidence, snapshot: &Snapshot) -> Option<EniIx> {
    snapshot.task(evidence.inside.src())?.eni
}

/// Returns the subnet and the VPC of an ENI.
pub(super) fn whereabouts(eni: EniIx, snapshot: &Snapshot) -> Option<(SubnetIx, VpcIx)> {
    let subnet = snapshot.parts().enis.get(eni.get())?.subnet;
    Some((subnet, snapshot.parts().subnets.get(subnet.get())?.vpc))
}

/// Finds the VPC that has the destination's address: the task's own, or one that is peered with it,
/// by this connection. The path shows which one; if it leads to none, it is one that has the
/// address.
pub(super) fn destination_vpc(
    evidence: &Evidence,
    snapshot: &Snapshot,
) -> Option<(VpcIx, Option<PeeringIx>)> {
    let eni = eni_of(evidence, snapshot)?;
    let (_, own) = whereabouts(eni, snapshot)?;
    let destination = evidence.inside.dst();
    let path = path::resolve(snapshot, Attachment::Eni(eni), destination);
    let led = path.request.as_slice().iter().find_map(|hop| {
        let Hop::Peering(ix) = *hop else { return None };
        Some((snapshot.peering(ix).peer_of(own)?, Some(ix)))
    });
    let has = |vpc: VpcIx| snapshot.vpc(vpc).contains(destination);
    let peered = || {
        let (peering, peer) = snapshot.peers_of(own).find(|(_, peer)| has(*peer))?;
        Some((peer, Some(peering)))
    };
    led.or_else(|| if has(own) { Some((own, None)) } else { peered() })
}

/// Formats an address with its port: `10.0.0.5:1024`; for an ICMP echo `10.0.0.5 id 7`.
pub(super) fn end(protocol: Protocol, address: Ipv4Addr, port: u16) -> String {
    match protocol {
        Protocol::Tcp | Protocol::Udp => format!("{address}:{port}"),
        Protocol::Icmp => format!("{address} id {port}"),
        Protocol::Other(_) => address.to_string(),
    }
}
