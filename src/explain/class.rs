//! A class of packets, with names instead of positions.

use super::coverage::{PortSpan, Span, address_spans, number_spans, port_spans};
use super::evidence::Explanation;
use super::names;
use crate::pipeline::reach::{Class, GatewayAddress, Ranges};
use crate::vpc::path::Attachment;
use crate::vpc::{EniIx, Snapshot};
use serde::Serialize;
use std::net::Ipv4Addr;

/// Packets with the same verdict, the same deciding rule and the same path. The class contains
/// every combination of the values listed.
#[derive(Clone, Debug, Serialize)]
pub struct ClassExplanation {
    /// One packet of the class, with the verdict on all.
    #[serde(flatten)]
    pub packet: Explanation,
    /// Unset for addresses of a block that no interface has, unless the question has no others.
    pub counts: bool,
    /// The part of the question's packets, from 0 to 1.
    pub share: f64,
    /// The share's numerator, as a whole number.
    pub part: String,
    /// The share's denominator, as a whole number.
    pub whole: String,
    /// The attachments of the tasks.
    pub attachments: Vec<AttachedAt>,
    /// The tasks of a running lab that are in the class now; `None` without a running lab.
    pub tasks: Option<Vec<String>>,
    /// The ports of the ENI (ICMP: identifiers); `None` for App Runner's own egress.
    pub source_ports: Option<Vec<Span<u32>>>,
    /// The addresses of the NAT gateway, if they decide.
    pub gateway_addresses: Vec<GatewaySpan>,
    /// The ports of the NAT gateway, if they decide.
    pub gateway_ports: Option<Vec<Span<u32>>>,
    /// The destination addresses.
    pub destinations: Vec<Span<Ipv4Addr>>,
    /// The protocols with their destination ports.
    pub ports: Vec<PortSpan>,
}

/// An attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttachedAt {
    /// The subnet; `None` for App Runner's own egress.
    pub subnet: Option<String>,
    /// The ENI's id.
    pub eni: Option<String>,
    /// The ENI's security groups.
    pub groups: Vec<String>,
    /// The private addresses that the ENI may have.
    pub addresses: Vec<Span<Ipv4Addr>>,
}

/// One of the addresses of a NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GatewaySpan {
    /// The gateway's id.
    pub gateway: String,
    /// Its possible private addresses: one, unless the configuration leaves it open.
    pub private: Vec<Span<Ipv4Addr>>,
    /// Its Elastic IP.
    pub public: Option<Ipv4Addr>,
}

pub(super) fn class_explanation(
    class: &Class,
    packet: Explanation,
    tasks: Option<Vec<String>>,
    snapshot: &Snapshot,
) -> ClassExplanation {
    let gateway = |address: &GatewayAddress| gateway_span(address, snapshot);
    let attachment = |attachment: &Attachment| attached_at(*attachment, class, snapshot);
    ClassExplanation {
        packet,
        counts: class.counts,
        share: class.share.ratio(),
        part: class.share.part.to_string(),
        whole: class.share.whole.to_string(),
        attachments: class.attachments.iter().map(attachment).collect(),
        tasks,
        source_ports: class.source_ports.as_ref().map(number_spans),
        gateway_addresses: class.gateway_addresses.iter().map(gateway).collect(),
        gateway_ports: class.gateway_ports.as_ref().map(number_spans),
        destinations: address_spans(&class.destinations),
        ports: port_spans(&class.ports),
    }
}

fn attached_at(attachment: Attachment, class: &Class, snapshot: &Snapshot) -> AttachedAt {
    let Attachment::Eni(ix) = attachment else {
        return AttachedAt { subnet: None, eni: None, groups: Vec::new(), addresses: Vec::new() };
    };
    let eni = snapshot.eni(ix);
    let groups = eni.security_groups.iter();
    let own = |(of, ranges): &(EniIx, Ranges)| (*of == ix).then(|| address_spans(ranges));
    AttachedAt {
        subnet: Some(names::subnet_id(snapshot, eni.subnet).to_owned()),
        eni: Some(eni.id.clone()),
        groups: groups.map(|group| names::security_group_id(snapshot, *group).to_owned()).collect(),
        addresses: class.eni_addresses.iter().find_map(own).unwrap_or_default(),
    }
}

fn gateway_span(address: &GatewayAddress, snapshot: &Snapshot) -> GatewaySpan {
    let gateway = snapshot.nat_gateway(address.gateway);
    let own = gateway.addresses.get(address.position);
    GatewaySpan {
        gateway: gateway.id.clone(),
        private: address_spans(&address.private),
        public: own.and_then(|own| own.public),
    }
}
