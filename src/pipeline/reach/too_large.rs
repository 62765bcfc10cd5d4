//! Judges a NAT gateway's answer to a packet that is too large for the next link.

use super::answer::Class;
use super::judge::{Judge, Packet};
use super::ports::position;
use crate::pipeline::Denial;
use crate::pipeline::leases::Choice;
use crate::vpc::{EniIx, NatGatewayIx, ServiceIx, Snapshot, Task};
use std::net::Ipv4Addr;

/// Returns the denial of the ICMP message "fragmentation needed" that a NAT gateway on the path of
/// a class sends to the task behind one of its ENIs; `None` if it arrives.
pub fn fragmentation_needed(
    snapshot: &Snapshot,
    class: &Class,
    (service, eni): (ServiceIx, EniIx),
    gateway: NatGatewayIx,
) -> Option<Denial> {
    let at_gateway = class.gateway_addresses.iter().find(|own| own.gateway == gateway)?;
    let (_, addresses) = class.eni_addresses.iter().find(|(own, _)| *own == eni)?;
    let own = snapshot.nat_gateway(gateway).addresses.get(at_gateway.position)?.private;
    let nat_address = at_gateway.private.prefer(own.to_bits()).map(Ipv4Addr::from)?;
    let eni_address = addresses.prefer(snapshot.eni(eni).address.to_bits()).map(Ipv4Addr::from)?;
    let sent = class.sample.inside;
    let choice = Choice {
        eni_address,
        eni_port: sent.sport(),
        nat_position: at_gateway.position,
        nat_address: Some(nat_address),
        nat_port: sent.sport(),
    };
    let packet = Packet {
        task: Task { service, number: 0, address: sent.src(), eni: Some(eni) },
        to: sent.dst().to_bits(),
        port: position(sent.protocol(), sent.dport()),
        choice,
    };
    let judge = Judge::new(snapshot);
    judge.fragmentation_needed(&packet, (eni, eni_address), (gateway, nat_address))
}
