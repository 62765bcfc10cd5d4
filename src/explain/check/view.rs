//! The view that the rules share: one answer about all packets of connectors with equal
//! attachments.

use super::super::coverage::joined;
use super::super::reachability::{Asked, Known, alike, asked, destinations, port_words, vpcs};
use crate::config::spec::{Connector, Spec};
use crate::config::{LabFinding, Severity, Span};
use crate::packet::Protocol;
use crate::pipeline::Component;
use crate::pipeline::reach::{Addresses, Class, PortRange, Ports, Ranges, Region, regions};
use crate::vpc::path::Attachment;
use crate::vpc::{
    ConnectorIx, Egress, Eni, EniIx, Listen, NatGatewayIx, Service, ServiceIx, ServiceKind,
    Snapshot, SubnetIx,
};
use std::net::Ipv4Addr;

/// The number of destinations that a message names.
const SHOWN: usize = 3;

/// The end of a word for all ports of a protocol.
const EVERY_PORT: &str = " 1-65535";

/// The ports from which a Hyperplane ENI or a NAT gateway draws.
const DRAWN: (u32, u32) = (1024, 65_535);

/// The ports from which the kernel of a Fargate task draws, which its ENI keeps.
const OWN_PORTS: (u32, u32) = (32_768, 60_999);

/// The answer about connectors with equal attachments, and the service that was asked about.
pub(super) struct View {
    pub(super) service: ServiceIx,
    pub(super) asked: Asked,
    pub(super) regions: Vec<Region>,
    known: Known,
    /// The connectors.
    own: Vec<ConnectorIx>,
    /// The addresses of the interfaces that listen, public ones too, with their listeners.
    listening: Vec<(u32, Vec<Listen>)>,
}

/// A connector, with the verdicts on its packets.
pub(super) struct Subject<'a> {
    pub(super) spec: &'a Spec,
    pub(super) connector: &'a Connector,
    pub(super) view: &'a View,
}

/// Makes the views of every connector, one for those with equal attachments. A connector that no
/// service uses yet is judged with the attachments of its first service. `says` is called
/// repeatedly with the name of the connector.
pub(super) fn all(snapshot: &Snapshot, spec: &Spec, says: &mut dyn FnMut(&str)) -> Vec<View> {
    let snapshot = &with_unused_connectors(snapshot);
    let services = snapshot.parts().services.iter().enumerate();
    let by_connector = services.filter(|(_, service)| service.egress != Egress::Default);
    let services: Vec<ServiceIx> = by_connector.map(|(at, _)| at.into()).collect();
    let groups = alike(&services, snapshot, Addresses::Open);
    let views = groups.iter().filter_map(|alike| {
        let title = title(snapshot, spec, alike.first);
        View::new(snapshot, (alike.first, &alike.names), &mut || says(&title))
    });
    views.collect()
}

fn title(snapshot: &Snapshot, spec: &Spec, service: ServiceIx) -> String {
    let service = snapshot.service(service);
    let connector = match service.egress {
        Egress::Vpc(ix) => spec.connector(&snapshot.connector(ix).name),
        Egress::Default => None,
    };
    connector.map_or_else(|| service.name.clone(), Connector::title)
}

/// Adds a service to each connector that has none, and the ENIs that it would have. Their addresses
/// are not chosen, so all free addresses of the subnet are considered.
fn with_unused_connectors(snapshot: &Snapshot) -> Snapshot {
    let mut parts = snapshot.parts().clone();
    let mut nowhere = 0u32;
    for (at, connector) in snapshot.parts().connectors.iter().enumerate() {
        let (egress, kind) = (Egress::Vpc(at.into()), connector.kind);
        if parts.services.iter().any(|service| service.egress == egress) {
            continue;
        }
        let name = connector.name.clone();
        parts.services.push(Service { name, kind, egress, tasks: 0, line: connector.line });
        for &subnet in connector.subnets.iter().filter(|_| kind != ServiceKind::Fargate) {
            let groups = &connector.security_groups;
            if snapshot.hyperplane_eni(kind, subnet, groups).is_none() {
                nowhere += 1;
                let (id, address) = (format!("eni-{nowhere}"), Ipv4Addr::from(nowhere));
                let eni = Eni::new(id, String::new(), subnet, groups.clone(), address);
                parts.enis.push(eni.of(kind, None));
            }
        }
    }
    Snapshot::build(snapshot.generation, parts)
}

impl View {
    fn new(
        snapshot: &Snapshot,
        (first, names): (ServiceIx, &[String]),
        says: &mut dyn FnMut(),
    ) -> Option<Self> {
        let mut goes_on = || {
            says();
            true
        };
        let everything = (destinations(first, snapshot), Ports::all());
        let asked = asked(snapshot, first, Addresses::Open, everything, &mut |_| goes_on()).ok()?;
        let services = snapshot.parts().services.iter();
        let mut own: Vec<ConnectorIx> = services
            .filter(|service| names.contains(&service.name))
            .filter_map(|service| match service.egress {
                Egress::Vpc(ix) => Some(ix),
                Egress::Default => None,
            })
            .collect();
        own.sort_unstable();
        own.dedup();
        Some(Self {
            service: first,
            regions: regions(&asked.answer.classes, &mut goes_on).ok()?,
            known: Known::new(first, snapshot),
            listening: listening(first, snapshot),
            asked,
            own,
        })
    }

    /// Lists the connectors in the lab file, and those that the App Runner API made.
    pub(super) fn connectors<'s>(&self, spec: &'s Spec) -> impl Iterator<Item = &'s Connector> {
        let own = self.own.iter().map(|ix| &self.snapshot().connector(*ix).name);
        own.filter_map(|name| spec.connector(name))
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.asked.snapshot
    }

    /// Lists the classes that count.
    pub(super) fn classes(&self) -> impl Iterator<Item = &Class> {
        self.asked.answer.classes.iter().filter(|class| class.counts)
    }

    /// Lists the classes of a region.
    pub(super) fn classes_of<'v>(&'v self, region: &'v Region) -> impl Iterator<Item = &'v Class> {
        region.classes.iter().filter_map(|at| self.asked.answer.classes.get(*at))
    }

    /// Returns the connector that was asked about.
    pub(super) fn connector(&self) -> Option<&crate::vpc::Connector> {
        self.own.first().map(|ix| self.snapshot().connector(*ix))
    }

    /// Returns the destinations, except those that listen on none of the ports: no reply is
    /// expected from them.
    pub(super) fn heard(&self, destinations: &Ranges, ports: &Ports) -> Ranges {
        let hears =
            |on: &Vec<Listen>| on.iter().any(|own| ports.contains(own.protocol(), own.port));
        let deaf = self.listening.iter().filter(|(address, on)| {
            destinations.contains(*address) && !on.is_empty() && !hears(on)
        });
        destinations.difference(&Ranges::new(deaf.map(|(address, _)| (*address, *address))))
    }

    /// Returns the destinations of a region from which replies are expected. An interface with
    /// known listeners replies on its own ports, any other by TCP. So does an internet host; other
    /// public addresses count if none is reached.
    pub(super) fn missed(&self, region: &Region) -> Ranges {
        let heard = self.heard(&region.destinations, &region.ports);
        let known = self.listeners(&region.ports);
        match (has_tcp(&region.ports), self.reaches_internet()) {
            (true, false) => heard,
            (true, true) => heard.difference(&self.known.internet.difference(&known)),
            (false, _) => heard.intersection(&known),
        }
    }

    /// Returns the addresses of the interfaces and internet hosts that listen on one of the ports.
    fn listeners(&self, ports: &Ports) -> Ranges {
        let hears = |on: &[Listen]| on.iter().any(|own| ports.contains(own.protocol(), own.port));
        let interfaces = self.listening.iter().filter(|(_, on)| hears(on)).map(|(own, _)| *own);
        let hosts = self.snapshot().parts().internet_hosts.iter();
        let hosts = hosts.filter(|host| hears(&host.listen)).map(|host| host.address.to_bits());
        Ranges::new(interfaces.chain(hosts).map(|own| (own, own)))
    }

    /// Decides whether TCP packets pass by the link to the internet.
    pub(super) fn reaches_internet(&self) -> bool {
        let is_out = |class: &Class| {
            class.sample.steps.iter().any(|step| step.component == Component::Internet)
        };
        self.classes().any(|class| class.passes() && has_tcp(&class.ports) && is_out(class))
    }

    /// Decides whether packets of a class have destinations on the internet.
    pub(super) fn is_for_internet(&self, class: &Class) -> bool {
        class.destinations.meets(&self.known.internet)
    }

    /// Returns the names of destinations, with the ports if they are not all.
    pub(super) fn named(&self, destinations: &Ranges, ports: &Ports) -> String {
        let to = joined(&self.known.words(destinations), SHOWN);
        if *ports == Ports::all() {
            return to;
        }
        let words: Vec<String> =
            port_words(ports).iter().map(|word| word.trim_end_matches(EVERY_PORT).into()).collect();
        let are_whole = words.iter().all(|word| !word.contains(|letter: char| letter.is_numeric()));
        format!("{to} {} {}", if are_whole { "over" } else { "at" }, joined(&words, SHOWN))
    }

    /// Decides whether some of the destinations are interfaces.
    pub(super) fn has_interface(&self, destinations: &Ranges) -> bool {
        !destinations.difference(&self.known.internet).is_empty()
    }

    /// Returns the ports that count as source ports of an ENI.
    pub(super) fn source_ports(&self) -> Ranges {
        let keeps = self.connector().is_some_and(|own| own.kind == ServiceKind::Fargate);
        let (first, last) = if keeps { OWN_PORTS } else { DRAWN };
        Ranges::of(first, last)
    }

    pub(super) fn eni_subnet(&self, eni: EniIx) -> SubnetIx {
        self.snapshot().eni(eni).subnet
    }

    pub(super) fn gateway_subnet(&self, gateway: NatGatewayIx) -> SubnetIx {
        self.snapshot().nat_gateway(gateway).subnet
    }

    /// Lists the subnets from which packets of a class are sent.
    pub(super) fn subnets_of(&self, class: &Class) -> impl Iterator<Item = SubnetIx> {
        class.attachments.iter().filter_map(|attachment| match attachment {
            Attachment::Eni(eni) => Some(self.eni_subnet(*eni)),
            Attachment::AppRunner => None,
        })
    }
}

/// Decides whether some of the ports are those of TCP.
pub(super) fn has_tcp(ports: &Ports) -> bool {
    ports.iter().any(|range| matches!(range, PortRange::Of(Protocol::Tcp, ..)))
}

/// Returns the ports from which a NAT gateway draws.
pub(super) fn gateway_ports() -> Ranges {
    Ranges::of(DRAWN.0, DRAWN.1)
}

fn listening(service: ServiceIx, snapshot: &Snapshot) -> Vec<(u32, Vec<Listen>)> {
    let near = vpcs(service, snapshot);
    let resources = snapshot.parts().resources.iter();
    let own = resources.filter(|own| near.contains(&snapshot.subnet(own.subnet).vpc));
    let private = own.map(|resource| (resource.address, &resource.listen));
    let public = snapshot.parts().resources.iter();
    let public = public.filter_map(|resource| Some((resource.public_address?, &resource.listen)));
    private.chain(public).map(|(address, listen)| (address.to_bits(), listen.clone())).collect()
}

impl Subject<'_> {
    /// Returns the name for messages.
    pub(super) fn title(&self) -> String {
        self.connector.title()
    }

    pub(super) fn warning(
        &self,
        rule: &'static str,
        span: Span,
        (message, help): (String, String),
    ) -> LabFinding {
        LabFinding { severity: Severity::Warning, span, rule, message, help }
    }

    /// Returns the place of a subnet in the connector's list.
    pub(super) fn span_of_subnet(&self, id: &str) -> Span {
        let mut listed = self.connector.subnets.iter();
        listed.find(|own| own.value == id).map_or(self.connector.name.span, |own| own.span)
    }
}
