//! Asks the oracle about a packet whose ENI and NAT gateway have addresses that a question leaves
//! open, in a lab in which they have these addresses.

use super::super::oracle::{self, Expected, Ports, Question};
use super::{Asked, Attachment, Draw, Packet, asked, member, numbers};
use crate::config::Lab;
use crate::config::plan::{EniKey, PlannedEni};
use crate::packet::Protocol;
use crate::pipeline::Reason;
use crate::pipeline::leases::Choice;
use crate::vpc::{Eni, EniIx, NatGatewayIx, ServiceIx, Snapshot};
use std::net::Ipv4Addr;

/// A further Fargate task: its number, and the public address of its ENI.
const FURTHER: (u16, Ipv4Addr) = (99, Ipv4Addr::new(198, 51, 100, 254));

/// Asks the oracle for the reason of a drop. Returns `None` for packets that it cannot judge:
/// packets to addresses that two interfaces of the lab exchange, and packets of an ENI and a NAT
/// gateway with one address.
pub(super) fn expected(asked: &Asked, packet: &Packet) -> Option<Option<Reason>> {
    let (fixed, task) = Fixed::of(asked, packet)?;
    let to = Ipv4Addr::from(packet.to);
    let icmp = if packet.protocol == Protocol::Icmp { (8, 0) } else { (0, 0) };
    let port = if packet.protocol.has_ports() { packet.port } else { 0 };
    let ask = Question { to, protocol: packet.protocol, port, icmp };
    let ports = Ports { eni: packet.choice.eni_port, nat: packet.choice.nat_port };
    let service = &asked.world.snapshot.service(asked.question.service).name;
    Some(match oracle::expect(&fixed.lab, service, task, ask, ports) {
        Expected::Dies(reason) => Some(reason),
        Expected::Reaches { reply_dies, .. } => reply_dies,
    })
}

/// A lab in which interfaces exchange addresses.
struct Fixed {
    lab: Lab,
    exchanged: Vec<Ipv4Addr>,
}

impl Fixed {
    /// Returns the lab in which a packet's choice is fixed, with the number of a task that sends
    /// it.
    fn of(asked: &Asked, packet: &Packet) -> Option<(Self, u16)> {
        let mut fixed = Self { lab: asked.world.lab.clone(), exchanged: Vec::new() };
        let task = match packet.attachment {
            Attachment::AppRunner => 1,
            Attachment::Eni(ix) => {
                let task = fixed.task_at(asked, ix);
                fixed.fix_eni(ix, &asked.snapshot, packet.choice.eni_address);
                task
            }
        };
        if let Some(gateway) = asked.gateway(packet) {
            fixed.fix_gateway(gateway, &asked.snapshot, &packet.choice)?;
        }
        (!fixed.exchanged.contains(&packet.to.into())).then_some((fixed, task))
    }

    /// Finds the number of a task at an ENI. A further Fargate task gets an ENI in the plan.
    fn task_at(&mut self, asked: &Asked, ix: EniIx) -> u16 {
        let (planned, service) = (&asked.world.snapshot, asked.question.service);
        let is_there = |number: &u16| planned.choose_eni(service, *number) == Some(ix);
        if let Some(number) = (1..FURTHER.0).find(is_there) {
            return number;
        }
        self.add_task(&asked.snapshot, service, ix);
        FURTHER.0
    }

    fn add_task(&mut self, snapshot: &Snapshot, service: ServiceIx, ix: EniIx) {
        let name = &snapshot.service(service).name;
        let of_service =
            |eni: &&PlannedEni| eni.key.task.as_ref().is_some_and(|(service, _)| service == name);
        let other = self.lab.plan.enis.iter().find(of_service).unwrap().clone();
        let subnet = snapshot.subnet(snapshot.eni(ix).subnet).id.clone();
        let task = Some((name.clone(), FURTHER.0));
        let public_address = snapshot.eni(ix).public_address().map(|_| FURTHER.1);
        self.exchanged.extend(public_address);
        let key = EniKey { subnet, task, ..other.key.clone() };
        let address = snapshot.eni(ix).address;
        self.lab.plan.enis.push(PlannedEni { key, address, public_address, ..other });
    }

    fn fix_eni(&mut self, ix: EniIx, snapshot: &Snapshot, address: Ipv4Addr) {
        let Eni { subnet, address: before, .. } = snapshot.eni(ix);
        let vpc = snapshot.vpc(snapshot.subnet(*subnet).vpc).id.clone();
        self.exchange(&vpc, *before, address);
    }

    /// Puts the chosen address of a gateway first, which is the one that the oracle uses; `None` if
    /// the ENI has it.
    fn fix_gateway(
        &mut self,
        ix: NatGatewayIx,
        snapshot: &Snapshot,
        choice: &Choice,
    ) -> Option<()> {
        let gateway = snapshot.nat_gateway(ix);
        let vpc = snapshot.vpc(snapshot.subnet(gateway.subnet).vpc).id.clone();
        let own = |lab: &Lab| lab.plan.nat_gateways[&gateway.id].addresses[choice.nat_position];
        if let Some(address) = choice.nat_address {
            if address == choice.eni_address {
                return None;
            }
            let before = own(&self.lab).private;
            self.exchange(&vpc, before, address);
        }
        let planned = self.lab.plan.nat_gateways.get_mut(&gateway.id)?;
        planned.addresses.swap(0, choice.nat_position);
        Some(())
    }

    /// Gives each interface of a VPC that has one of two addresses the other one.
    fn exchange(&mut self, vpc: &str, one: Ipv4Addr, other: Ipv4Addr) {
        if one == other {
            return;
        }
        self.exchanged.extend([one, other]);
        let exchange = |address: &mut Ipv4Addr| match *address {
            it if it == one => *address = other,
            it if it == other => *address = one,
            _ => {}
        };
        let Lab { spec, plan, .. } = &mut self.lab;
        let is_in = |id: &str| spec.subnets.iter().any(|s| *s.id == *id && *s.vpc == *vpc);
        for eni in plan.enis.iter_mut().filter(|eni| is_in(&eni.key.subnet)) {
            exchange(&mut eni.address);
        }
        for gateway in spec.nat_gateways.iter().filter(|gateway| is_in(&gateway.subnet)) {
            let planned = plan.nat_gateways.get_mut(&gateway.id.value);
            planned.into_iter().flat_map(|p| &mut p.addresses).for_each(|own| {
                exchange(&mut own.private);
            });
        }
    }
}

/// Agreement means little unless the oracle is asked about addresses that the plan does not have.
#[test]
fn the_oracle_is_asked_about_open_addresses_of_enis_and_gateways_and_about_further_tasks() {
    let mut numbers = numbers(1);
    let (mut open, mut second, mut further) = (0, 0, 0);
    for _ in 0..60 {
        let mut bytes =
            |count: usize| -> Vec<u8> { (0..count).map(|_| numbers().to_be_bytes()[0]).collect() };
        let asked = asked(&bytes(900), &bytes(6));
        for class in asked.answer().classes.iter().filter(|class| class.counts).take(20) {
            let packet = member(class, &mut Draw(&mut numbers));
            let Some((fixed, task)) = Fixed::of(&asked, &packet) else { continue };
            open += usize::from(!fixed.exchanged.is_empty());
            second += usize::from(packet.choice.nat_position > 0);
            further += usize::from(task == FURTHER.0);
        }
    }
    assert!(open > 100 && second > 3 && further > 10, "{open}, {second}, {further}");
}
