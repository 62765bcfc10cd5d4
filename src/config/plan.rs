//! Chooses the values that the lab file leaves open: the same for the same file each time, on every
//! machine.

use super::address::Pool;
use super::diagnostic::{At, Report, Span};
use super::spec::{Connector, NatGateway, Service, Spec, Subnet, VpcEndpoint};
use crate::vpc::connector::turn;
use crate::vpc::{Connectivity, NatAddress, NatGatewayState, ServiceKind, Space};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The choices. A reload keeps those of the previous configuration, even if the object has moved in
/// the file. A new object gets none of the addresses that any object had there, as long as there
/// are others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The address space of each VPC, by its id.
    pub spaces: BTreeMap<String, Space>,
    /// One ENI per kind of service and (subnet, set of security groups) that it uses, and per
    /// Fargate task, in the order of first use (spec 2.1).
    pub enis: Vec<PlannedEni>,
    /// The NAT gateways, by id. A deleted NAT gateway has no interface and is not among them.
    pub nat_gateways: BTreeMap<String, PlannedNatGateway>,
    /// The public address of services with `egress = "default"`, if there is one.
    pub apprunner_address: Option<Ipv4Addr>,
    /// The addresses that are not given in the file.
    #[serde(with = "pairs")]
    chosen: BTreeMap<Holder, Ipv4Addr>,
    /// The number of spaces that were assigned so far. Numbers are not used again, as long as there
    /// are others.
    spaces_given: u16,
}

/// The holder of an address that the file does not give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Holder {
    /// One of a NAT gateway's addresses, by its id and position, in its subnet.
    NatGatewayPrivate(String, usize),
    /// One of a NAT gateway's public addresses, by its id and position.
    NatGatewayPublic(String, usize),
    /// The interface of an endpoint in a subnet, by both ids.
    Endpoint(String, String),
    /// An ENI.
    Eni(EniKey),
    /// The public side of an ENI.
    EniPublic(EniKey),
    /// App Runner's own egress.
    AppRunner,
}

/// An ENI that tasks leave by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedEni {
    /// `eni-` and 17 hex digits, derived from the ids of subnet and groups.
    pub id: String,
    /// The first 8 of those digits after `eni-`: the TUN's name.
    pub device: String,
    /// The key that the ENI exists for.
    pub key: EniKey,
    /// Its private address.
    pub address: Ipv4Addr,
    /// The public address of a Fargate task's ENI.
    pub public_address: Option<Ipv4Addr>,
}

/// The key of an ENI: there is one ENI for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EniKey {
    /// The kind of service whose tasks leave by it.
    pub kind: ServiceKind,
    /// The id of its subnet.
    pub subnet: String,
    /// The ids of its groups, sorted.
    pub security_groups: Vec<String>,
    /// Service and number of the only task that uses it; `None` for a Hyperplane ENI.
    pub task: Option<(String, u16)>,
}

/// A NAT gateway's addresses and device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedNatGateway {
    /// `nat-` and 8 hex digits, derived from the id.
    pub device: String,
    /// Its addresses, the primary first. Private ones are given, or the first free ones of its
    /// subnet; public ones are given, or the next free ones.
    pub addresses: Vec<NatAddress>,
}

/// Chooses, and keeps the previous choices. Reports the objects for which no address is free.
pub(super) fn choose(spec: &Spec, previous: Option<&Plan>, report: &Report) -> Plan {
    let nothing = Plan::default();
    let previous = previous.unwrap_or(&nothing);
    let chosen = addresses(spec, previous, report);
    let mut devices = Devices::new(previous);
    let (spaces, spaces_given) = spaces(spec, previous);
    Plan {
        spaces,
        enis: eni_keys(spec)
            .into_iter()
            .filter_map(|(_, key, _)| eni(key, &chosen, &mut devices))
            .collect(),
        nat_gateways: spec
            .nat_gateways
            .iter()
            .filter_map(|n| Some((n.id.value.clone(), nat_gateway(n, &chosen, &mut devices)?)))
            .collect(),
        apprunner_address: match &spec.apprunner_public_ip {
            Some(given) => own_egress(spec).map(|_| given.value),
            None => chosen.get(&Holder::AppRunner).copied(),
        },
        chosen,
        spaces_given,
    }
}

impl Plan {
    /// Returns the address of an interface endpoint in its `position`th subnet.
    pub fn endpoint_address(&self, endpoint: &VpcEndpoint, position: usize) -> Option<Ipv4Addr> {
        let given = endpoint.addresses.get(position).map(|at| at.value);
        let subnet = endpoint.subnets.get(position)?;
        given.or_else(|| {
            let holder = Holder::Endpoint(endpoint.id.value.clone(), subnet.value.clone());
            self.chosen.get(&holder).copied()
        })
    }

    /// Lists the public addresses of NAT gateways and of App Runner's own egress that the file does
    /// not give.
    pub(super) fn chosen_public_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let is_public =
            |holder: &Holder| matches!(holder, Holder::NatGatewayPublic(..) | Holder::AppRunner);
        let chosen = self.chosen.iter().filter(move |(holder, _)| is_public(holder));
        chosen.map(|(_, address)| *address)
    }

    /// Lists all addresses that egret answers for, given or chosen.
    fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let gateways = self.nat_gateways.values().flat_map(|n| &n.addresses);
        let gateways = gateways.flat_map(|own| std::iter::once(own.private).chain(own.public));
        let enis = self.enis.iter().flat_map(|eni| [Some(eni.address), eni.public_address]);
        gateways.chain(enis.flatten()).chain(self.apprunner_address)
    }
}

/// An object that needs an address.
struct Want<'s> {
    holder: Holder,
    /// The subnet of the address; `None` for a public one.
    subnet: Option<&'s Subnet>,
    /// The place to report if there is none.
    span: Span,
    what: &'static str,
}

/// Chooses an address for each object that the file gives none: first the previous ones, then the
/// new ones.
fn addresses(spec: &Spec, previous: &Plan, report: &Report) -> BTreeMap<Holder, Ipv4Addr> {
    let mut pool = Pool::new(spec);
    let mut chosen = BTreeMap::new();
    let mut new = Vec::new();
    for want in wants(spec) {
        let before = previous.chosen.get(&want.holder).copied();
        let kept = before.filter(|address| match want.subnet {
            Some(subnet) => pool.keep_private(&subnet.id, *subnet.cidr, *address),
            None => pool.keep_public(*address),
        });
        match kept {
            Some(address) => drop(chosen.insert(want.holder, address)),
            None => new.push(want),
        }
    }
    pool.rest(previous.addresses());
    for want in new {
        let free = match want.subnet {
            Some(subnet) => pool.private(&subnet.id, *subnet.cidr),
            None => pool.public(),
        };
        match free {
            Some(address) => drop(chosen.insert(want.holder, address)),
            None => refuse(&want, report),
        }
    }
    chosen
}

fn refuse(want: &Want<'_>, report: &Report) {
    let Want { holder, subnet, span, what } = want;
    match subnet {
        Some(subnet) => report.error(
            *span,
            "subnet-full",
            format!("subnet {} has no free address for {what}", *subnet.id),
            "make the subnet larger, or remove a resource from it",
        ),
        None => report.error(
            *span,
            "no-public-address",
            format!("198.51.100.0/24 has no free address for {what}"),
            match holder {
                Holder::AppRunner => "give apprunner_public_ip",
                Holder::NatGatewayPublic(..)
                | Holder::NatGatewayPrivate(..)
                | Holder::Endpoint(..)
                | Holder::Eni(..) => "give public_ip",
                Holder::EniPublic(_) => "run fewer tasks with assign_public_ip = true",
            },
        ),
    }
}

/// Lists the objects that need an address, in the file's order: gateways, ENIs, App Runner.
fn wants(spec: &Spec) -> Vec<Want<'_>> {
    let mut wants = Vec::new();
    for gateway in spec.nat_gateways.iter().filter(|n| n.state != NatGatewayState::Deleted) {
        let (id, what) = (&gateway.id.value, "this NAT gateway");
        for position in 0..gateway.addresses() {
            if gateway.private_ip(position).is_none() {
                let holder = Holder::NatGatewayPrivate(id.clone(), position);
                let (subnet, span) = (spec.subnet(&gateway.subnet), gateway.subnet.span);
                wants.extend(subnet.map(|s| Want { holder, subnet: Some(s), span, what }));
            }
            let public = gateway.connectivity == Connectivity::Public;
            if public && gateway.public_ip(position).is_none() {
                let holder = Holder::NatGatewayPublic(id.clone(), position);
                wants.push(Want { holder, subnet: None, span: gateway.id.span, what });
            }
        }
    }
    for endpoint in &spec.vpc_endpoints {
        for id in endpoint.subnets.iter().skip(endpoint.addresses.len()) {
            let holder = Holder::Endpoint(endpoint.id.value.clone(), id.value.clone());
            let (subnet, what) = (spec.subnet(id), "this VPC endpoint");
            wants.extend(subnet.map(|s| Want { holder, subnet: Some(s), span: id.span, what }));
        }
    }
    for (subnet, key, public) in eni_keys(spec) {
        let (span, task) = (subnet.id.span, key.task.is_some());
        let what = if task { "a Fargate task's ENI" } else { "a connector's ENI" };
        let holder = Holder::Eni(key.clone());
        wants.push(Want { holder, subnet: Some(subnet), span, what });
        if public {
            let (holder, what) = (Holder::EniPublic(key), "a Fargate task");
            wants.push(Want { holder, subnet: None, span, what });
        }
    }
    if let (Some(service), None) = (own_egress(spec), &spec.apprunner_public_ip) {
        let what = "App Runner's own public egress";
        wants.push(Want { holder: Holder::AppRunner, subnet: None, span: service.name.span, what });
    }
    wants
}

/// Returns the first service with `egress = "default"`.
fn own_egress(spec: &Spec) -> Option<&Service> {
    spec.services.iter().find(|service| service.vpc_connector.is_none())
}

/// Assigns the address spaces. A VPC keeps its space; new ones get spaces that none has had.
fn spaces(spec: &Spec, previous: &Plan) -> (BTreeMap<String, Space>, u16) {
    let mut taken: BTreeSet<Space> = previous.spaces.values().copied().collect();
    let mut given = previous.spaces_given;
    let mut spaces = BTreeMap::new();
    for vpc in &spec.vpcs {
        let kept = previous.spaces.get(&vpc.id.value).copied();
        let space = kept.unwrap_or_else(|| {
            let mut numbers = (given..u16::MAX - 2).chain(0..given);
            let number = numbers.find(|n| !taken.contains(&Space::nth_vpc(*n))).unwrap_or(given);
            given = given.max(number.saturating_add(1));
            Space::nth_vpc(number)
        });
        taken.insert(space);
        spaces.insert(vpc.id.value.clone(), space);
    }
    (spaces, given)
}

fn nat_gateway(
    gateway: &NatGateway,
    chosen: &BTreeMap<Holder, Ipv4Addr>,
    devices: &mut Devices<'_>,
) -> Option<PlannedNatGateway> {
    if gateway.state == NatGatewayState::Deleted {
        return None;
    }
    let id = &gateway.id.value;
    let of = |holder| chosen.get(&holder).copied();
    let given = |address: Option<&At<Ipv4Addr>>| address.map(|at| at.value);
    let address = |position| {
        let private = given(gateway.private_ip(position))
            .or_else(|| of(Holder::NatGatewayPrivate(id.clone(), position)))?;
        let public = match gateway.connectivity {
            Connectivity::Private => None,
            Connectivity::Public => Some(
                given(gateway.public_ip(position))
                    .or_else(|| of(Holder::NatGatewayPublic(id.clone(), position)))?,
            ),
        };
        Some(NatAddress { private, public })
    };
    let addresses = (0..gateway.addresses()).map(address).collect::<Option<_>>()?;
    Some(PlannedNatGateway { device: devices.nat_gateway(id), addresses })
}

/// Lists the key of each ENI, with its subnet and whether it has a public address, in the order of
/// first use.
fn eni_keys(spec: &Spec) -> Vec<(&Subnet, EniKey, bool)> {
    let mut keys = Vec::new();
    let mut seen = BTreeSet::new();
    for service in &spec.services {
        let connector = service.vpc_connector.as_ref().and_then(|name| spec.connector(name));
        for (subnet, key) in connector.into_iter().flat_map(|c| keys_of(spec, service, c)) {
            if seen.insert(key.clone()) {
                keys.push((subnet, key, service.has_public_ip()));
            }
        }
    }
    keys
}

/// Lists the keys of one service: of all subnets of its connector, or of the subnet of each Fargate
/// task.
fn keys_of<'s>(
    spec: &'s Spec,
    service: &Service,
    connector: &'s Connector,
) -> Vec<(&'s Subnet, EniKey)> {
    let security_groups = spec.groups_of_connector(connector);
    let subnets = || connector.subnets.iter().filter_map(|id| spec.subnet(id));
    let key = |subnet: &'s Subnet, task| {
        let (id, security_groups) = (subnet.id.value.clone(), security_groups.clone());
        (subnet, EniKey { kind: connector.kind, subnet: id, security_groups, task })
    };
    match connector.kind {
        ServiceKind::AppRunner | ServiceKind::Lambda => {
            subnets().map(|subnet| key(subnet, None)).collect()
        }
        ServiceKind::Fargate => {
            let name = &service.name.value;
            let more = spec.more_tasks.get(name).into_iter().flatten().copied();
            let numbers: BTreeSet<u16> = (1..=service.tasks).chain(more).collect();
            // In the order of the file, which is that of positions in a snapshot.
            let position = |subnet: &Subnet| spec.subnets.iter().position(|s| *s.id == *subnet.id);
            let zones = || subnets().map(|s| (s.availability_zone.as_str(), position(s)));
            let own = |number| {
                let subnet = spec.subnets.get(turn(zones(), number)??)?;
                Some(key(subnet, Some((name.clone(), number))))
            };
            numbers.into_iter().filter_map(own).collect()
        }
    }
}

fn eni(
    key: EniKey,
    chosen: &BTreeMap<Holder, Ipv4Addr>,
    devices: &mut Devices<'_>,
) -> Option<PlannedEni> {
    let address = *chosen.get(&Holder::Eni(key.clone()))?;
    let public_address = chosen.get(&Holder::EniPublic(key.clone())).copied();
    let (id, device) = devices.eni(&key);
    Some(PlannedEni { id, device, key, address, public_address })
}

/// Names of TUN devices, each used once; a device keeps its previous name.
struct Devices<'p> {
    previous: &'p Plan,
    taken: BTreeSet<String>,
}

impl<'p> Devices<'p> {
    fn new(previous: &'p Plan) -> Self {
        let enis = previous.enis.iter().map(|eni| eni.device.clone());
        let gateways = previous.nat_gateways.values().map(|nat| nat.device.clone());
        Self { previous, taken: enis.chain(gateways).collect() }
    }

    /// Returns the id of an ENI, and its device.
    fn eni(&mut self, key: &EniKey) -> (String, String) {
        if let Some(before) = self.previous.enis.iter().find(|eni| eni.key == *key) {
            return (before.id.clone(), before.device.clone());
        }
        let EniKey { kind, subnet, security_groups, task } = key;
        let number = task.as_ref().map(|(_, number)| number.to_string());
        let words = || {
            let kind = (*kind != ServiceKind::AppRunner).then_some(kind.as_str());
            let own = task.iter().map(|(service, _)| service.as_str()).chain(number.as_deref());
            let groups = security_groups.iter().map(|group| group.as_str());
            std::iter::once(subnet.as_str()).chain(groups).chain(kind).chain(own)
        };
        // AWS's 17 digits begin with a zero.
        let digits = |salt| format!("0{:016x}", hash(words(), salt));
        let (digits, device) = unique(&mut self.taken, "eni-", digits);
        (format!("eni-{digits}"), device)
    }

    fn nat_gateway(&mut self, id: &str) -> String {
        if let Some(before) = self.previous.nat_gateways.get(id) {
            return before.device.clone();
        }
        unique(&mut self.taken, "nat-", |salt| format!("{:016x}", hash([id], salt))).1
    }
}

/// Returns digits whose first eight no other device has, and the device that they name.
fn unique(
    devices: &mut BTreeSet<String>,
    prefix: &str,
    digits: impl Fn(u64) -> String,
) -> (String, String) {
    let mut salt = 0;
    loop {
        let digits = digits(salt);
        let device = format!("{prefix}{}", digits.get(..8).unwrap_or(&digits));
        if devices.insert(device.clone()) {
            return (digits, device);
        }
        salt += 1;
    }
}

/// Returns FNV-1a over the words, each ended by a zero byte, then a finalizer that spreads short
/// words over all bits. It is written out because the result must never change with a dependency.
fn hash<'w>(words: impl IntoIterator<Item = &'w str>, salt: u64) -> u64 {
    let bytes = words.into_iter().flat_map(|word| word.bytes().chain([0]));
    let mut hash = bytes.chain(salt.to_be_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Reads and writes a map whose keys are not strings as a list of pairs.
mod pairs {
    use super::{Deserialize, Holder, Ipv4Addr, Serialize};
    use serde::{Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Holder, Ipv4Addr>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Holder, Ipv4Addr>, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().collect())
    }
}
