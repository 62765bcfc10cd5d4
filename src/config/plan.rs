//! What egret chooses where the lab file leaves it open: the same every time for the same file, on every machine.

use super::address::Pool;
use super::diagnostic::{At, Report};
use super::spec::{NatGateway, Spec};
use crate::vpc::{Connectivity, NatAddress, NatGatewayState};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The choices.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One ENI per (subnet, set of security groups) that a service uses, in the order of first use (spec 2.1).
    pub enis: Vec<PlannedEni>,
    /// By id. A deleted NAT gateway has no interface and is not among them.
    pub nat_gateways: BTreeMap<String, PlannedNatGateway>,
    /// The public address of services with `egress = "default"`, if there is one.
    pub apprunner_address: Option<Ipv4Addr>,
}

/// A Hyperplane ENI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedEni {
    /// `eni-` and 17 hex digits, derived from the ids of subnet and groups.
    pub id: String,
    /// The first 8 of those digits after `eni-`: the TUN's name.
    pub device: String,
    /// The id of its subnet.
    pub subnet: String,
    /// The ids of its groups, sorted.
    pub security_groups: Vec<String>,
    /// Its private address.
    pub address: Ipv4Addr,
}

/// A NAT gateway's addresses and device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedNatGateway {
    /// `nat-` and 8 hex digits, derived from the id.
    pub device: String,
    /// The primary first. Private ones are given, or the first free ones of its subnet; public ones are given, or the
    /// next free ones.
    pub addresses: Vec<NatAddress>,
}

/// Chooses; reports what there is no room for.
pub(super) fn choose(spec: &Spec, report: &Report) -> Plan {
    let mut pool = Pool::new(spec);
    let mut devices = BTreeSet::new();
    let mut plan = Plan::default();
    for gateway in &spec.nat_gateways {
        if let Some(planned) = nat_gateway(spec, gateway, &mut pool, &mut devices, report) {
            plan.nat_gateways.insert(gateway.id.value.clone(), planned);
        }
    }
    for (subnet, groups) in eni_keys(spec) {
        plan.enis.extend(eni(spec, subnet, groups, &mut pool, &mut devices, report));
    }
    plan.apprunner_address = apprunner_address(spec, &mut pool, report);
    plan
}

fn nat_gateway<'s>(
    spec: &'s Spec,
    gateway: &'s NatGateway,
    pool: &mut Pool<'s>,
    devices: &mut BTreeSet<String>,
    report: &Report,
) -> Option<PlannedNatGateway> {
    if gateway.state == NatGatewayState::Deleted {
        return None;
    }
    let primary = nat_address(
        spec,
        gateway,
        gateway.private_ip.as_ref(),
        gateway.public_ip.as_ref(),
        pool,
        report,
    )?;
    let mut addresses = vec![primary];
    for position in 0..gateway.secondary_addresses() {
        let private = gateway.secondary_private_ips.get(position);
        let public = gateway.secondary_public_ips.get(position);
        addresses.push(nat_address(spec, gateway, private, public, pool, report)?);
    }
    let (_, device) =
        unique(devices, "nat-", |salt| format!("{:016x}", hash([&*gateway.id.value], salt)));
    Some(PlannedNatGateway { device, addresses })
}

/// One of a NAT gateway's addresses, as far as they are given.
fn nat_address<'s>(
    spec: &'s Spec,
    gateway: &'s NatGateway,
    private: Option<&At<Ipv4Addr>>,
    public: Option<&At<Ipv4Addr>>,
    pool: &mut Pool<'s>,
    report: &Report,
) -> Option<NatAddress> {
    let subnet = spec.subnet(&gateway.subnet)?;
    let private = match private {
        Some(given) => given.value,
        None => pool.private(&subnet.id, *subnet.cidr).or_else(|| {
            report.error(
                gateway.subnet.span,
                "subnet-full",
                format!("subnet {} has no free address for this NAT gateway", *subnet.id),
                "make the subnet larger, or remove a resource from it",
            );
            None
        })?,
    };
    let public = match (&gateway.connectivity, public) {
        (Connectivity::Private, _) => None,
        (Connectivity::Public, Some(given)) => Some(given.value),
        (Connectivity::Public, None) => Some(pool.public().or_else(|| {
            report.error(
                gateway.id.span,
                "no-public-address",
                "198.51.100.0/24 has no free address for this NAT gateway",
                "give public_ip",
            );
            None
        })?),
    };
    Some(NatAddress { private, public })
}

/// Each pair of subnet and groups that a service uses, in the order of first use.
fn eni_keys(spec: &Spec) -> Vec<(&str, Vec<String>)> {
    let mut keys: Vec<(&str, Vec<String>)> = Vec::new();
    let mut seen = BTreeSet::new();
    let used = spec.services.iter().filter_map(|service| service.vpc_connector.as_ref());
    for connector in used.filter_map(|name| spec.connector(name)) {
        if !seen.insert(connector.name.as_str()) {
            continue;
        }
        let groups = spec.groups_of_connector(connector);
        for subnet in &connector.subnets {
            let key = (subnet.as_str(), groups.clone());
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

fn eni<'s>(
    spec: &'s Spec,
    subnet: &'s str,
    security_groups: Vec<String>,
    pool: &mut Pool<'s>,
    devices: &mut BTreeSet<String>,
    report: &Report,
) -> Option<PlannedEni> {
    let subnet = spec.subnet(subnet)?;
    let Some(address) = pool.private(&subnet.id, *subnet.cidr) else {
        report.error(
            subnet.id.span,
            "subnet-full",
            format!("subnet {} has no free address for a connector's ENI", *subnet.id),
            "make the subnet larger, or remove a resource from it",
        );
        return None;
    };
    let words = || std::iter::once(&*subnet.id.value).chain(security_groups.iter().map(|g| &**g));
    // AWS's 17 digits begin with a zero.
    let (digits, device) = unique(devices, "eni-", |salt| format!("0{:016x}", hash(words(), salt)));
    let id = format!("eni-{digits}");
    Some(PlannedEni { id, device, subnet: subnet.id.value.clone(), security_groups, address })
}

/// Digits whose first eight no other device has, and the device that they name.
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

/// FNV-1a over the words, each ended by a zero octet, then a finalizer that spreads short words over all bits.
/// Written out because the result must never change with a dependency.
fn hash<'w>(words: impl IntoIterator<Item = &'w str>, salt: u64) -> u64 {
    let octets = words.into_iter().flat_map(|word| word.bytes().chain([0]));
    let mut hash = octets.chain(salt.to_be_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn apprunner_address(spec: &Spec, pool: &mut Pool<'_>, report: &Report) -> Option<Ipv4Addr> {
    let service = spec.services.iter().find(|service| service.vpc_connector.is_none())?;
    if let Some(given) = &spec.apprunner_public_ip {
        return Some(given.value);
    }
    pool.public().or_else(|| {
        report.error(
            service.name.span,
            "no-public-address",
            "198.51.100.0/24 has no free address for App Runner's own public egress",
            "give apprunner_public_ip",
        );
        None
    })
}
