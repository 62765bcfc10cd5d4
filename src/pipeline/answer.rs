//! Answers packets that are too old or too big to be sent on. An answer of a NAT gateway is a
//! packet like any other to the network ACLs on its path (spec 4.4, 5); one of an ENI crosses no
//! network ACL.

use super::context::{Context, MOVED, drop_packet};
use super::evaluation::{Message, Probe};
use super::leases::Purpose;
use super::outcome::Forward;
use super::review;
use super::walk::{self, Removed, ReturnPoint};
use super::{Denial, Reason, Verdict};
use crate::flow::{Flow, Side};
use crate::packet::icmp::{fragmentation_needed, time_exceeded};
use crate::packet::{IcmpKind, Packet, Tuple, VnetHeader, rewrite_icmp_error};
use crate::vpc::path::Attachment;
use crate::vpc::{NatGatewayIx, RuleRef};
use std::net::Ipv4Addr;

/// Type and code of time exceeded in transit, and of fragmentation needed (RFC 792, RFC 1191).
const TIME_EXCEEDED: (u8, u8) = (11, 0);
pub(super) const FRAGMENTATION_NEEDED: (u8, u8) = (3, 4);

/// Answers a packet of a flow if its time to live ends here.
#[cold]
pub(super) fn expire_ttl<R>(
    context: &mut Context<'_, R>,
    (flow, side): (&Flow, Side),
    forward: &Forward,
    packet: &Packet<'_>,
) -> Verdict {
    let Some(from) = forward.answers_from else {
        return drop_packet(Reason::TtlExpiredNoAnswer);
    };
    let denial = refusal(context, (flow, side), TIME_EXCEEDED);
    let verdict = time_exceeded_from(context, from, denial, packet);
    quote_as_sent(context, (flow, side), verdict);
    verdict
}

/// Answers a packet whose time to live ends at a NAT gateway, from one of the gateway's addresses,
/// whatever follows the gateway.
#[cold]
pub(super) fn expire_ttl_at_nat_gateway<R>(
    context: &mut Context<'_, R>,
    probe: Probe,
    gateway: (NatGatewayIx, Ipv4Addr),
    packet: &Packet<'_>,
) -> Verdict {
    let denial = match context.snapshot.attachment(&probe.task) {
        Some(Attachment::Eni(eni)) => {
            let own = (eni, context.snapshot.eni(eni).address);
            let to = ReturnPoint::of_nat_gateway(own, gateway);
            let message = Message::IcmpError { icmp: TIME_EXCEEDED };
            context.quietly(|context| {
                let mut evaluation = context.evaluation(probe, Purpose::DryRun);
                walk::nat_gateway_to_task(&mut evaluation, &to, message).err()
            })
        }
        Some(Attachment::AppRunner) | None => Some(MOVED),
    };
    time_exceeded_from(context, gateway.1, denial, packet)
}

fn time_exceeded_from<R>(
    context: &mut Context<'_, R>,
    from: Ipv4Addr,
    denial: Option<Denial>,
    packet: &Packet<'_>,
) -> Verdict {
    if let Some(Denial { decided_by, .. }) = denial {
        return Verdict::Drop { reason: Reason::TtlExpiredNoAnswer, decided_by };
    }
    match time_exceeded(packet.bytes(), packet.vnet(), from, context.answer) {
        Some(len) => {
            Verdict::Reply { len, reason: Reason::TtlExpired, decided_by: RuleRef::Packet }
        }
        None => drop_packet(Reason::TtlExpiredNoAnswer),
    }
}

/// Answers a packet of a flow that is too big for the next link.
#[cold]
pub(super) fn refuse_size<R>(
    context: &mut Context<'_, R>,
    (flow, side): (&Flow, Side),
    forward: &Forward,
    packet: &Packet<'_>,
) -> Verdict {
    let Some(from) = forward.answers_from.filter(|_| packet.dont_fragment()) else {
        return drop_packet(Reason::MtuExceededNoAnswer);
    };
    if let Some(Denial { decided_by, .. }) = refusal(context, (flow, side), FRAGMENTATION_NEEDED) {
        return Verdict::Drop { reason: Reason::MtuExceededNoAnswer, decided_by };
    }
    let (bytes, vnet) = (packet.bytes(), packet.vnet());
    match fragmentation_needed(bytes, vnet, from, forward.mtu, context.answer) {
        Some(len) => {
            let decided_by = RuleRef::Packet;
            let verdict = Verdict::Reply { len, reason: Reason::MtuExceeded, decided_by };
            quote_as_sent(context, (flow, side), verdict);
            verdict
        }
        None => drop_packet(Reason::MtuExceededNoAnswer),
    }
}

/// Quotes a public endpoint's packet with the private address from which it was sent: the internet
/// gateway does not translate the packet inside a message, and the endpoint's kernel would not
/// recognise it.
fn quote_as_sent<R>(context: &mut Context<'_, R>, (flow, side): (&Flow, Side), verdict: Verdict) {
    let (Verdict::Reply { len, .. }, Side::Return) = (verdict, side) else { return };
    let server = flow.returned.tuple().src;
    let Some(private) = context.snapshot.private_address_of(server) else { return };
    let Some(answer) = context.answer.get_mut(..len) else { return };
    let Ok(mut packet) = Packet::parse(answer, VnetHeader::default()) else { return };
    if let Some(IcmpKind::Error { quoted, .. }) = packet.icmp() {
        let (src, dst) = (packet.src(), packet.dst());
        rewrite_icmp_error(&mut packet, src, dst, Tuple { src: private, ..quoted }, false);
    }
}

/// Returns the denial that keeps an ICMP error of the flow's NAT gateway from the packet's sender.
fn refusal<R>(
    context: &mut Context<'_, R>,
    (flow, side): (&Flow, Side),
    icmp: (u8, u8),
) -> Option<Denial> {
    let to = match ReturnPoint::of_flow(context.snapshot, flow) {
        Ok(to) => to,
        Err(Removed) => return Some(MOVED),
    };
    let Ok(probe) = review::probe(context.snapshot, flow) else { return Some(MOVED) };
    let message = Message::IcmpError { icmp };
    context.quietly(|context| {
        let mut evaluation = context.evaluation(probe, Purpose::Tracked(flow));
        match side {
            Side::Egress => walk::nat_gateway_to_task(&mut evaluation, &to, message).err(),
            Side::Return => walk::nat_to_server(&mut evaluation, &to, message).err(),
        }
    })
}
