//! The packets for which a change is wanted: those that are dropped at one stage.

use crate::explain::packet::{destination_vpc, eni_of, packet_at, whereabouts};
use crate::packet::{Protocol, Tuple};
use crate::pipeline::reach::{Class, GatewayAddress, PortRange, Ports, Ranges};
use crate::pipeline::{Component, Detail, Evidence, Outcome, Reason, Stage};
use crate::vpc::path::Attachment;
use crate::vpc::{
    ConnectorIx, Egress, Eni, Interface, NatGatewayIx, RouteTableIx, RuleRef, SecurityGroupIx,
    Snapshot, SubnetIx, VpcIx,
};
use std::net::Ipv4Addr;

/// Packets that are dropped at one stage, with the evidence for one of them.
pub(super) struct Failing<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) evidence: &'a Evidence,
    pub(super) reason: Reason,
    pub(super) decided_by: RuleRef,
    pub(super) attachments: Vec<Attachment>,
    /// The subnets of the ENIs.
    pub(super) subnets: Vec<SubnetIx>,
    pub(super) destinations: Ranges,
    pub(super) ports: Ports,
    /// The private addresses of the NAT gateway, if they decide.
    pub(super) gateway_addresses: Vec<GatewayAddress>,
    /// The name in the question, if there is one.
    pub(super) name: Option<&'a str>,
}

impl<'a> Failing<'a> {
    /// Describes a class, of which `evidence` is one packet.
    pub(super) fn class(
        class: &Class,
        evidence: &'a Evidence,
        snapshot: &'a Snapshot,
        name: Option<&'a str>,
    ) -> Option<Self> {
        let mut subnets: Vec<SubnetIx> = Vec::new();
        for at in &class.attachments {
            if let Attachment::Eni(ix) = at {
                subnets.push(snapshot.eni(*ix).subnet);
            }
        }
        subnets.dedup();
        Some(Self {
            attachments: class.attachments.clone(),
            subnets,
            destinations: class.destinations.clone(),
            ports: class.ports.clone(),
            gateway_addresses: class.gateway_addresses.clone(),
            name,
            ..Self::packet(evidence, snapshot)?
        })
    }

    /// Describes one packet.
    pub(super) fn packet(evidence: &'a Evidence, snapshot: &'a Snapshot) -> Option<Self> {
        let denial = evidence.denial?;
        let packet = evidence.inside.tuple();
        let port = match packet.protocol {
            Protocol::Icmp => PortRange::Echo,
            Protocol::Other(number) => PortRange::Protocols(number, number),
            protocol @ (Protocol::Tcp | Protocol::Udp) => {
                PortRange::Of(protocol, packet.dport, packet.dport)
            }
        };
        let task = snapshot.task(evidence.inside.src());
        let attachment = task.and_then(|task| snapshot.attachment(task));
        let subnet = eni_of(evidence, snapshot).and_then(|eni| whereabouts(eni, snapshot));
        Some(Self {
            snapshot,
            evidence,
            reason: denial.reason,
            decided_by: denial.decided_by,
            attachments: attachment.into_iter().collect(),
            subnets: subnet.into_iter().map(|(subnet, _)| subnet).collect(),
            destinations: Ranges::one(packet.dst.to_bits()),
            ports: Ports::new([port]),
            gateway_addresses: Vec::new(),
            name: None,
        })
    }

    /// Returns the ENI by which the packet leaves.
    pub(super) fn eni(&self) -> Option<&'a Eni> {
        self.snapshot.parts().enis.get(eni_of(self.evidence, self.snapshot)?.get())
    }

    /// Returns the connector of the task that sends.
    pub(super) fn connector(&self) -> Option<ConnectorIx> {
        let task = self.snapshot.task(self.evidence.inside.src())?;
        match self.snapshot.service(task.service).egress {
            Egress::Vpc(ix) => Some(ix),
            Egress::Default => None,
        }
    }

    pub(super) fn connector_subnets(&self) -> &'a [SubnetIx] {
        self.connector().map_or(&[], |ix| &self.snapshot.connector(ix).subnets)
    }

    /// Returns the VPC of that ENI.
    pub(super) fn vpc(&self) -> Option<VpcIx> {
        Some(whereabouts(eni_of(self.evidence, self.snapshot)?, self.snapshot)?.1)
    }

    /// Returns the packet as the stage that drops it sees it.
    pub(super) fn at_gate(&self) -> Tuple {
        packet_at(self.evidence, self.evidence.steps.len())
    }

    /// Returns the other end of the packet, as the network ACL that drops it sees it.
    pub(super) fn crossing(&self) -> Option<Ipv4Addr> {
        let dropped = self.evidence.steps.iter().rev().find(|s| s.outcome == Outcome::Drop)?;
        let Detail::Crossing { remote, .. } = dropped.detail else { return None };
        Some(remote)
    }

    /// Returns whether the stage drops replies.
    pub(super) fn drops_replies(&self) -> bool {
        self.reason.stage() == Stage::NetworkAclReturn
    }

    /// Returns the first group of the resource that has an address of the destination's VPC.
    pub(super) fn group_of(&self, address: Ipv4Addr) -> Option<SecurityGroupIx> {
        let (vpc, _) = destination_vpc(self.evidence, self.snapshot)?;
        match self.snapshot.interface(vpc, address)? {
            Interface::Resource(resource) => {
                self.snapshot.resource(resource).security_groups.first().copied()
            }
            Interface::Eni(_) | Interface::NatGateway(_) => None,
        }
    }

    /// Returns the route table of the ENI's subnet.
    pub(super) fn own_table(&self) -> Option<RouteTableIx> {
        let (subnet, _) = whereabouts(eni_of(self.evidence, self.snapshot)?, self.snapshot)?;
        Some(self.snapshot.subnet(subnet).route_table)
    }

    /// Returns the NAT gateway that the packet has reached.
    pub(super) fn nat_gateway(&self) -> Option<NatGatewayIx> {
        self.evidence.steps.iter().find_map(|step| {
            let Component::NatGateway(ix) = step.component else { return None };
            Some(ix)
        })
    }
}
