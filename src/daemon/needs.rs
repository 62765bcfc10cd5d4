//! The needs of a configuration on the box besides tasks: namespaces with addresses and listeners,
//! TUN devices with deliveries. The difference of two is the work of a reload; the difference from
//! none is the work of `egret up`.

use super::host_names::ZoneNames;
use crate::config::Lab;
use crate::linux::listen::Endpoint;
use crate::pipeline::delivery::{deliveries, owned};
use crate::pipeline::{Device, DeviceId, Link};
use crate::vpc::{InternetHost, Listen, ListenMode, Resource, Snapshot, Space, Speaks};
use ipnetwork::Ipv4Network;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// All needs of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) namespaces: BTreeMap<NamespaceId, NamespaceNeeds>,
    pub(super) devices: BTreeMap<DeviceId, DeviceNeeds>,
}

/// The identity of a namespace outside the router.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum NamespaceId {
    /// The internet.
    Internet,
    /// A VPC, by its id.
    Vpc(String),
    /// An attached resource, by its name: another program's namespace that answers at its address.
    Resource(String),
    /// The services behind a gateway endpoint, by its id.
    GatewayEndpoint(String),
    /// The services at the exempt addresses. This namespace exists as long as the lab does.
    Services,
}

/// The needs of a namespace and its veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamespaceNeeds {
    pub(super) name: String,
    /// The address space that its packets come from.
    pub(super) space: Space,
    /// The addresses in the file's order: the first is the source of packets from the namespace
    /// itself.
    pub(super) addresses: Vec<Ipv4Addr>,
    pub(super) listens: BTreeMap<Endpoint, ListenNeeds>,
    /// The public addresses of the private ones that have one.
    pub(super) public_addresses: BTreeMap<Ipv4Addr, Ipv4Addr>,
    pub(super) mtu: u16,
}

/// The needs of a listener. While they stay the same, it runs on with its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenNeeds {
    pub(super) answers: AnswersNeeds,
    /// The time after which it answers.
    pub(super) delay: Duration,
}

/// The answers that a listener needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AnswersNeeds {
    Echo,
    /// The host's page.
    Http(Arc<str>),
    /// The host's page, with a certificate for its names and addresses.
    Https {
        host: Arc<str>,
        names: BTreeSet<String>,
        addresses: BTreeSet<Ipv4Addr>,
    },
    Nothing,
}

/// The needs of a TUN device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeviceNeeds {
    pub(super) name: String,
    pub(super) mtu: u16,
    /// The addresses that it takes packets for.
    pub(super) owned: BTreeSet<(Space, Ipv4Addr)>,
    /// The destinations of the packets that it lets through.
    pub(super) deliveries: BTreeMap<Ipv4Network, DeliveryNeeds>,
}

/// The destination of packets to a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeliveryNeeds {
    pub(super) namespace: NamespaceId,
    /// The private address that becomes their destination.
    pub(super) private: Option<Ipv4Addr>,
}

impl Needs {
    /// Returns the needs of a configuration.
    pub(super) fn of(lab: &Lab, snapshot: &Snapshot) -> Self {
        let attached = &lab.overlay.attached_resources;
        let devices = Device::all(snapshot).map(|device| {
            let mut needs = DeviceNeeds::of(snapshot, device);
            needs.lead_to_attached(snapshot, attached);
            (DeviceId::of(snapshot, device), needs)
        });
        let devices = devices.collect();
        Self { namespaces: namespaces(lab, snapshot), devices }
    }

    /// Lists the private addresses that have a public one, each in its address space, with it.
    pub(super) fn public_addresses(&self) -> BTreeMap<(Space, Ipv4Addr), Ipv4Addr> {
        let of = |needs: &NamespaceNeeds| {
            let space = needs.space;
            needs
                .public_addresses
                .iter()
                .map(move |(own, public)| ((space, *own), *public))
                .collect::<Vec<_>>()
        };
        self.namespaces.values().flat_map(of).collect()
    }

    /// Returns the device that takes packets for each address.
    pub(super) fn owners(&self) -> BTreeMap<(Space, Ipv4Addr), &DeviceId> {
        self.devices
            .iter()
            .flat_map(|(id, needs)| needs.owned.iter().map(move |place| (*place, id)))
            .collect()
    }
}

impl DeviceNeeds {
    fn of(snapshot: &Snapshot, device: Device) -> Self {
        let mtu = snapshot.parts().mtu;
        Self {
            name: match device {
                Device::Eni(ix) => snapshot.eni(ix).device.clone(),
                Device::NatGateway(ix) => snapshot.nat_gateway(ix).device.clone(),
                Device::AppRunner => "app-runner".to_owned(),
            },
            mtu: mtu.task.max(mtu.vpc).max(mtu.internet),
            owned: owned(snapshot, device).into_iter().collect(),
            deliveries: deliveries(snapshot, device)
                .into_iter()
                .filter_map(|(prefix, link)| Some((prefix, delivery(snapshot, link)?)))
                .collect(),
        }
    }
}

impl DeviceNeeds {
    /// Delivers packets for attached resources to their own namespaces, in place of the VPC's.
    fn lead_to_attached(&mut self, snapshot: &Snapshot, attached: &BTreeSet<String>) {
        for resource in snapshot.parts().resources.iter().filter(|r| attached.contains(&r.name)) {
            let vpc = &snapshot.vpc(snapshot.subnet(resource.subnet).vpc).id;
            let own = NamespaceId::Resource(resource.name.clone());
            for delivery in self.deliveries.values_mut() {
                if delivery.private == Some(resource.address) && delivery.is_to_vpc(vpc) {
                    delivery.namespace = own.clone();
                }
            }
            let holds = |prefix: &&Ipv4Network| prefix.contains(resource.address);
            let longest = self.deliveries.keys().filter(holds).max_by_key(|p| p.prefix());
            let is_led_to_vpc = longest
                .and_then(|prefix| self.deliveries.get(prefix))
                .is_some_and(|delivery| delivery.private.is_none() && delivery.is_to_vpc(vpc));
            if is_led_to_vpc {
                let delivery = DeliveryNeeds { namespace: own, private: None };
                self.deliveries.insert(resource.address.into(), delivery);
            }
        }
    }
}

impl DeliveryNeeds {
    fn is_to_vpc(&self, vpc: &str) -> bool {
        matches!(&self.namespace, NamespaceId::Vpc(id) if id == vpc)
    }
}

fn delivery(snapshot: &Snapshot, link: Link) -> Option<DeliveryNeeds> {
    let private = match link {
        Link::PublicEndpoint(ix) => Some(snapshot.resource(ix).address),
        Link::Task(_) | Link::Vpc(_) | Link::Endpoint(_) | Link::Internet | Link::Services => None,
    };
    Some(DeliveryNeeds { namespace: namespace_of(snapshot, link)?, private })
}

/// Returns the namespace that a link leads to; `None` for a task's.
fn namespace_of(snapshot: &Snapshot, link: Link) -> Option<NamespaceId> {
    match link {
        Link::Task(_) => None,
        Link::Vpc(ix) => Some(NamespaceId::Vpc(snapshot.vpc(ix).id.clone())),
        Link::PublicEndpoint(ix) => {
            Some(NamespaceId::Vpc(snapshot.vpc(snapshot.vpc_of_resource(ix)).id.clone()))
        }
        Link::Endpoint(ix) => {
            Some(NamespaceId::GatewayEndpoint(snapshot.gateway_endpoint(ix).id.clone()))
        }
        Link::Internet => Some(NamespaceId::Internet),
        Link::Services => Some(NamespaceId::Services),
    }
}

fn namespaces(lab: &Lab, snapshot: &Snapshot) -> BTreeMap<NamespaceId, NamespaceNeeds> {
    let (parts, attached) = (snapshot.parts(), &lab.overlay.attached_resources);
    let name = |role: &str| format!("{}-{role}", lab.name);
    let zones = ZoneNames::of(snapshot);
    let internet = NamespaceNeeds {
        name: name("internet"),
        space: Space::INTERNET,
        addresses: parts.internet_hosts.iter().map(|host| host.address).collect(),
        listens: listens(&zones, parts.internet_hosts.iter().map(Host::from)),
        public_addresses: BTreeMap::new(),
        mtu: parts.mtu.internet,
    };
    let vpcs = parts.vpcs.iter().map(|vpc| {
        let here = |subnet| snapshot.vpc(snapshot.subnet(subnet).vpc).space == vpc.space;
        let resources =
            || parts.resources.iter().filter(|r| here(r.subnet) && !attached.contains(&r.name));
        let namespace = NamespaceNeeds {
            name: name(&vpc.id),
            space: vpc.space,
            addresses: resources().map(|r| r.address).collect(),
            listens: listens(&zones, resources().map(Host::from)),
            public_addresses: public_addresses(snapshot, vpc.space),
            mtu: parts.mtu.vpc,
        };
        (NamespaceId::Vpc(vpc.id.clone()), namespace)
    });
    let resources = parts.resources.iter().filter(|r| attached.contains(&r.name)).map(|resource| {
        let namespace = NamespaceNeeds {
            name: resource_namespace(&lab.name, &resource.name),
            space: snapshot.space(snapshot.subnet(resource.subnet).vpc),
            addresses: vec![resource.address],
            // Its own programs answer.
            listens: BTreeMap::new(),
            public_addresses: BTreeMap::new(),
            mtu: parts.mtu.vpc,
        };
        (NamespaceId::Resource(resource.name.clone()), namespace)
    });
    // Behind a gateway endpoint are the internet's hosts that have an address of its service. They
    // see the private addresses of the VPC, so they cannot be in the internet's namespace, where no
    // private address may appear.
    let endpoints = parts.gateway_endpoints.iter().map(|endpoint| {
        let entries = &snapshot.prefix_list(endpoint.prefix_list).entries;
        let of_service = |address| entries.iter().any(|entry| entry.contains(address));
        let hosts = || parts.internet_hosts.iter().filter(|host| of_service(host.address));
        let namespace = NamespaceNeeds {
            name: name(&endpoint.id),
            space: snapshot.space(endpoint.vpc),
            addresses: hosts().map(|host| host.address).collect(),
            listens: listens(&zones, hosts().map(Host::from)),
            public_addresses: BTreeMap::new(),
            mtu: parts.mtu.vpc,
        };
        (NamespaceId::GatewayEndpoint(endpoint.id.clone()), namespace)
    });
    let internet = std::iter::once((NamespaceId::Internet, internet));
    internet.chain(vpcs).chain(resources).chain(endpoints).collect()
}

/// Returns the name of an attached resource's namespace.
pub(super) fn resource_namespace(lab: &str, resource: &str) -> String {
    format!("{lab}-resource-{resource}")
}

fn public_addresses(snapshot: &Snapshot, space: Space) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    let is_here = |ix| snapshot.space(snapshot.vpc_of_resource(ix)) == space;
    let here = snapshot.public_endpoints().filter(|(_, ix)| is_here(*ix));
    here.map(|(public, ix)| (snapshot.resource(ix).address, public)).collect()
}

/// What has an address and listens there.
struct Host<'h> {
    name: &'h String,
    aliases: &'h [String],
    private_dns: Option<&'h String>,
    address: Ipv4Addr,
    public_address: Option<Ipv4Addr>,
    listen: &'h [Listen],
}

impl<'h> From<&'h Resource> for Host<'h> {
    fn from(resource: &'h Resource) -> Self {
        Self {
            name: &resource.name,
            aliases: &resource.aliases,
            private_dns: resource.private_dns.as_ref(),
            address: resource.address,
            public_address: resource.public_address,
            listen: &resource.listen,
        }
    }
}

impl<'h> From<&'h InternetHost> for Host<'h> {
    fn from(host: &'h InternetHost) -> Self {
        Self {
            name: &host.name,
            aliases: &host.aliases,
            private_dns: None,
            address: host.address,
            public_address: None,
            listen: &host.listen,
        }
    }
}

impl Host<'_> {
    fn answers(&self, speaks: Speaks, zones: &ZoneNames) -> AnswersNeeds {
        match speaks {
            Speaks::Tcp | Speaks::Udp => AnswersNeeds::Echo,
            Speaks::Http => AnswersNeeds::Http(self.name.as_str().into()),
            Speaks::Https => {
                let addresses = [self.address].into_iter().chain(self.public_address).collect();
                let own = [self.name].into_iter().chain(self.aliases).chain(self.private_dns);
                let names = zones.with(own, &addresses);
                AnswersNeeds::Https { host: self.name.as_str().into(), names, addresses }
            }
        }
    }

    /// Returns the needs of one of its listeners; `None` for a port that is refused, since nothing
    /// listens there.
    fn needs(&self, listen: Listen, zones: &ZoneNames) -> Option<(Endpoint, ListenNeeds)> {
        let (answers, delay) = match listen.mode {
            ListenMode::Refuse => return None,
            ListenMode::Blackhole => (AnswersNeeds::Nothing, Duration::ZERO),
            ListenMode::Answer => (self.answers(listen.speaks, zones), Duration::ZERO),
            ListenMode::Delay(by) => (self.answers(listen.speaks, zones), by),
        };
        let (address, protocol) = (self.address, listen.protocol());
        let endpoint = Endpoint { address, protocol, port: listen.port };
        Some((endpoint, ListenNeeds { answers, delay }))
    }
}

fn listens<'h>(
    zones: &ZoneNames,
    hosts: impl Iterator<Item = Host<'h>>,
) -> BTreeMap<Endpoint, ListenNeeds> {
    let of = |host: Host<'h>| {
        let needs = host.listen.iter().filter_map(|listen| host.needs(*listen, zones));
        needs.collect::<Vec<_>>()
    };
    hosts.flat_map(of).collect()
}
