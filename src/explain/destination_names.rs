//! Reads the word of a destination as the task's resolver would, and by the names in the lab file.
//!
//! In this order:
//! 1. A word in the form of an IPv4 address is that address.
//! 2. A word that the task's resolver answers with addresses is a DNS name and means all of them,
//!    even if the lab file uses the word for something else. The `name` of a resource is a DNS name
//!    in its own VPC, that of an internet host everywhere. A word without a dot is looked up in the
//!    search domain first, as in a task's `resolv.conf`.
//! 3. A label means the addresses of its object, whether or not a DNS name leads there. Labels are
//!    the `name` of a resource, the id of an endpoint, and the `name` of an internet host unless it
//!    has a dot. It does not resolve if the task's own VPC has these addresses too: packets for
//!    them stay in that VPC.
//! 4. Any other word is a DNS name that does not resolve. It is an error if neither the resolver
//!    nor the lab knows it: a resolver knows a name that exists without an address, and every name
//!    below a private zone, for which the zone alone decides.

use crate::config::known;
use crate::vpc::dns::{Answer, Lookup, RecordType, canonical_name, search_domain};
use crate::vpc::{Listen, RecordData, Resource, Snapshot, VpcIx};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The meaning of a destination's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An IPv4 address.
    Address(Meaning),
    /// The lab file's own word for an object.
    Label {
        /// The word.
        name: String,
        /// The object and its addresses.
        meaning: Meaning,
        /// A note that no DNS name leads the task there.
        note: Option<String>,
    },
    /// A gateway endpoint: the blocks of its prefix list. It has no address of its own.
    GatewayEndpoint {
        /// Its id.
        name: String,
        /// The blocks of its prefix list.
        networks: Vec<Ipv4Network>,
        /// The internet hosts in these blocks.
        meaning: Meaning,
    },
    /// A name that the task's resolver answers.
    Dns {
        /// The word.
        name: String,
        /// All addresses of the answer.
        meaning: Meaning,
    },
    /// A name that the task's resolver does not answer with an address.
    NotResolved {
        /// The word.
        name: String,
        /// The resolver's reason.
        why: Unresolved,
        /// The addresses that the lab knows by this name.
        by_lab: Option<Meaning>,
    },
}

/// The addresses of a word, and the objects of the lab at them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// Each address once, in the order of the answer.
    pub addresses: Vec<Ipv4Addr>,
    /// The names of the resources and internet hosts at these addresses; interface endpoints by
    /// their ids.
    pub objects: Vec<String>,
    /// The ports on which they listen; empty if they do not agree.
    pub listen: Vec<Listen>,
}

/// The reason why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Unresolved {
    /// NXDOMAIN.
    #[error("the name does not exist")]
    NoSuchName,
    /// The name exists without an address.
    #[error("the name has no address")]
    NoData,
    /// CNAME records in a circle.
    #[error("its CNAME records lead in a circle")]
    Loop,
    /// The VPC's resolver answers nothing.
    #[error("the VPC has enable_dns_support = false, so its resolver does not answer")]
    DnsSupportOff,
    /// A private zone has the name, and the VPC's resolver does not use its private zones.
    #[error(
        "the VPC has enable_dns_hostnames = false, so its resolver does not use its private zones"
    )]
    DnsHostnamesOff,
    /// The label's object has an address that leads the task elsewhere.
    #[error("it is in another VPC, and its address is one of the task's own VPC")]
    HiddenByOwnVpc,
}

impl Unresolved {
    /// Returns a hint how to fix it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NoSuchName | Self::NoData | Self::Loop | Self::DnsSupportOff => {
                "Use a name that resolves in the task's VPC, give it this one by a private zone, or use the address."
            }
            Self::DnsHostnamesOff => {
                "Set enable_dns_hostnames = true on the VPC: Route 53 needs it for private zones."
            }
            Self::HiddenByOwnVpc => {
                "Give the two VPCs different CIDR blocks and a connection, or use the public address, if there is one."
            }
        }
    }
}

/// The error for a word that neither the resolver nor the lab knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is neither an IPv4 address nor a name in the lab{known}")]
pub struct UnknownDestination {
    /// The word.
    pub name: String,
    /// The known names.
    pub known: String,
}

/// Reads a word for a task whose resolver is that of a VPC, or without one App Runner's own.
///
/// # Errors
/// The word is unknown; the error lists the known names.
pub fn read_name(
    word: &str,
    vpc: Option<VpcIx>,
    snapshot: &Snapshot,
) -> Result<Named, UnknownDestination> {
    let name = word.to_owned();
    let reader = Reader { vpc, snapshot };
    if let Ok(address) = word.parse() {
        return Ok(Named::Address(reader.at(vec![address])));
    }
    match (reader.resolve(word), reader.label(word)) {
        (Ok(addresses), Some(meaning)) if same(&addresses, &meaning.addresses) => {
            Ok(Named::Label { name, meaning, note: None })
        }
        (Ok(addresses), _) => Ok(Named::Dns { name, meaning: reader.at(addresses) }),
        (Err(_), Some(_)) if reader.is_hidden(word) => {
            let by_lab = reader.outside(word);
            Ok(Named::NotResolved { name, why: Unresolved::HiddenByOwnVpc, by_lab })
        }
        (Err(_), Some(meaning)) => {
            let note = reader.note(word, &meaning);
            Ok(Named::Label { name, meaning, note })
        }
        (Err(failed), None) => match reader.gateway_endpoint(word) {
            Some(named) => Ok(named),
            None => reader.not_resolved(name, failed),
        },
    }
}

/// Returns the addresses with which a task's resolver answers a name.
///
/// # Errors
/// The resolver answers with none.
pub(super) fn addresses_of_name(
    name: &str,
    vpc: Option<VpcIx>,
    snapshot: &Snapshot,
) -> Result<Vec<Ipv4Addr>, Unresolved> {
    Reader { vpc, snapshot }.resolve(name).map_err(|failed| failed.why)
}

/// Lists the DNS names that a lab gives, in lower case: those of resources, endpoints, internet
/// hosts and private zones.
pub(super) fn given_names(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    let parts = snapshot.parts();
    let resources = parts.resources.iter().flat_map(names_of_resource);
    let hosts = parts.internet_hosts.iter().flat_map(names_of_host);
    let records = parts.private_zones.iter().flat_map(|zone| &zone.records);
    let all = resources.chain(hosts).chain(records.map(|record| record.name.as_str()));
    all.map(canonical_name)
}

/// A lookup without an address.
#[derive(Clone, Copy)]
struct Failed {
    why: Unresolved,
    /// Set if the resolver knows the name: it exists, or a private zone contains it.
    known: bool,
}

/// An object with an address and a name: a resource, an internet host.
#[derive(Clone, Copy)]
struct Object<'s> {
    name: &'s str,
    address: Ipv4Addr,
    listen: &'s [Listen],
    /// The VPC; `None` for an internet host.
    vpc: Option<VpcIx>,
}

#[derive(Clone, Copy)]
struct Reader<'s> {
    vpc: Option<VpcIx>,
    snapshot: &'s Snapshot,
}

impl<'s> Reader<'s> {
    /// Resolves a word as the task's resolver does, with the search domain.
    fn resolve(self, word: &str) -> Result<Vec<Ipv4Addr>, Failed> {
        if self.is_without_dns() {
            return Err(Failed { why: Unresolved::DnsSupportOff, known: false });
        }
        if !word.contains('.') {
            let longer = format!("{word}.{}", search_domain(&self.snapshot.parts().region));
            let found = self.addresses(self.vpc, &longer);
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let answer = self.snapshot.resolve(self.vpc, word, RecordType::A);
        let found = addresses_of(&answer);
        let why = match answer.outcome {
            Lookup::Found if !found.is_empty() => return Ok(found),
            Lookup::Found | Lookup::NoData => Unresolved::NoData,
            Lookup::NoSuchName => Unresolved::NoSuchName,
            Lookup::Loop => Unresolved::Loop,
        };
        if self.is_in_an_unused_zone(word) {
            return Err(Failed { why: Unresolved::DnsHostnamesOff, known: true });
        }
        let exists = why != Unresolved::NoSuchName || !answer.records.is_empty();
        Err(Failed { why, known: exists || !answer.zone.is_empty() })
    }

    fn is_without_dns(self) -> bool {
        self.vpc.is_some_and(|vpc| !self.snapshot.vpc(vpc).enable_dns_support)
    }

    /// Decides whether a private zone of the task's VPC has records of a name, and the VPC's
    /// resolver does not use the zone, because `enable_dns_hostnames` is off.
    fn is_in_an_unused_zone(self, word: &str) -> bool {
        let Some(vpc) = self.vpc.filter(|vpc| !self.snapshot.vpc(*vpc).enable_dns_hostnames) else {
            return false;
        };
        let name = canonical_name(word);
        let zones = self.snapshot.parts().private_zones.iter();
        let records = zones.filter(|zone| zone.vpcs.contains(&vpc)).flat_map(|zone| &zone.records);
        let mut names = records.map(|record| canonical_name(&record.name));
        names.any(|own| match own.strip_prefix('*') {
            Some(below) => name.ends_with(below),
            None => own == name,
        })
    }

    /// Returns all addresses of a name in a VPC's resolver, whether or not it answers.
    fn addresses(self, vpc: Option<VpcIx>, name: &str) -> Vec<Ipv4Addr> {
        addresses_of(&self.snapshot.resolve(vpc, name, RecordType::A))
    }

    fn label(self, word: &str) -> Option<Meaning> {
        let found = self.labelled(word);
        (!found.is_empty()).then(|| Meaning::of(&found))
    }

    /// Lists the objects with a label in the lab file.
    fn labelled(self, word: &str) -> Vec<Object<'s>> {
        let parts = self.snapshot.parts();
        let named = parts.resources.iter().filter(|r| r.name == word);
        let host = parts.internet_hosts.iter().find(|h| h.name == word && !word.contains('.'));
        let interfaces = parts.resources.iter().filter(|r| endpoint_id(r) == Some(word));
        let mut found: Vec<Object<'s>> = named.map(|r| self.resource(r)).collect();
        found.extend(host.map(Object::from));
        if found.is_empty() {
            found.extend(interfaces.map(|r| self.resource(r)));
        }
        found
    }

    /// Decides whether a label's objects are in other VPCs with addresses of the task's own one, to
    /// which a packet for such an address goes.
    fn is_hidden(self, word: &str) -> bool {
        let Some(vpc) = self.vpc else { return false };
        let is_own = |address| self.snapshot.vpc(vpc).contains(address);
        self.labelled(word).iter().all(|object| object.vpc != Some(vpc) && is_own(object.address))
    }

    /// Returns a label's objects at their public addresses, which no VPC hides.
    fn outside(self, word: &str) -> Option<Meaning> {
        let named = self.snapshot.parts().resources.iter().filter(|resource| resource.name == word);
        let found: Vec<Object<'s>> = named.filter_map(Object::outside).collect();
        (!found.is_empty()).then(|| Meaning::of(&found))
    }

    /// Returns a note if no DNS name of the label's objects leads there.
    fn note(self, word: &str, meaning: &Meaning) -> Option<String> {
        let by_address = match self.public_addresses(meaning).as_slice() {
            [] => "only its address does".to_owned(),
            public => {
                let public: Vec<String> = public.iter().map(Ipv4Addr::to_string).collect();
                format!("only its addresses do; the public one is {}", public.join(", "))
            }
        };
        let id = self.vpc.map(|vpc| &self.snapshot.vpc(vpc).id);
        match id {
            Some(id) if self.is_without_dns() => Some(format!(
                "VPC {id} has enable_dns_support = false: no name leads to {word}, {by_address}"
            )),
            _ if self.names_of(meaning).iter().any(|name| self.leads(name, meaning)) => None,
            _ => self.public_note(word, meaning).or_else(|| match id {
                Some(id) => Some(format!("no DNS name in VPC {id} leads to {word}, {by_address}")),
                None => Some(format!("no public DNS name leads to {word}, {by_address}")),
            }),
        }
    }

    /// Returns a note with the public address to which a DNS name of the label's objects leads
    /// instead.
    fn public_note(self, word: &str, meaning: &Meaning) -> Option<String> {
        let public = self.public_addresses(meaning);
        self.names_of(meaning).into_iter().find_map(|name| {
            let found =
                self.addresses(self.vpc, name).into_iter().find(|ip| public.contains(ip))?;
            Some(format!("{name} leads to the public address of {word}, {found}"))
        })
    }

    /// Lists the public addresses of the label's objects.
    fn public_addresses(self, meaning: &Meaning) -> Vec<Ipv4Addr> {
        let is_meant = |own: &Object<'_>| meaning.objects.iter().any(|name| name == own.name);
        let outside = self.snapshot.parts().resources.iter().filter_map(Object::outside);
        outside.filter(is_meant).map(|own| own.address).collect()
    }

    fn leads(self, name: &str, meaning: &Meaning) -> bool {
        self.addresses(self.vpc, name).iter().any(|address| meaning.addresses.contains(address))
    }

    /// Returns the possible names of a label's objects: their own, and those of the zones that the
    /// VPC sees.
    fn names_of(self, meaning: &Meaning) -> Vec<&'s str> {
        let parts = self.snapshot.parts();
        let is_meant = |r: &&Resource| meaning.objects.iter().any(|own| own == object_name(r));
        let resources = parts.resources.iter().filter(is_meant).flat_map(names_of_resource);
        let hosts = parts.internet_hosts.iter().filter(|host| meaning.objects.contains(&host.name));
        let of_hosts = hosts.flat_map(names_of_host);
        let seen = parts.private_zones.iter();
        let seen = seen.filter(|zone| self.vpc.is_some_and(|vpc| zone.vpcs.contains(&vpc)));
        let records = seen.flat_map(|zone| zone.records.iter().map(|r| r.name.as_str()));
        resources.chain(of_hosts).chain(records).collect()
    }

    fn gateway_endpoint(self, word: &str) -> Option<Named> {
        let parts = self.snapshot.parts();
        let endpoint = parts.gateway_endpoints.iter().find(|endpoint| endpoint.id == word)?;
        let networks = self.snapshot.prefix_list(endpoint.prefix_list).entries.clone();
        let hosts = parts.internet_hosts.iter().map(Object::from);
        let served: Vec<Object<'_>> = hosts
            .filter(|host| networks.iter().any(|network| network.contains(host.address)))
            .collect();
        let meaning = Meaning::of(&served);
        Some(Named::GatewayEndpoint { name: word.to_owned(), networks, meaning })
    }

    fn not_resolved(self, name: String, failed: Failed) -> Result<Named, UnknownDestination> {
        let by_lab = self.by_lab(&name);
        if by_lab.is_none() && !failed.known {
            return Err(UnknownDestination { known: self.known(&name), name });
        }
        Ok(Named::NotResolved { name, why: failed.why, by_lab })
    }

    /// Returns the meaning that the lab gives a name: the answer that the task's resolver would
    /// have, else the object with this name in the file, else the answers of the resolvers of other
    /// VPCs and of the internet.
    fn by_lab(self, name: &str) -> Option<Meaning> {
        if self.is_without_dns() {
            let own = self.addresses(self.vpc, name);
            if !own.is_empty() {
                return Some(self.at(own));
            }
        }
        let known_as = canonical_name(name);
        let is_name = |own: &str| matches_name(&canonical_name(own), &known_as);
        let parts = self.snapshot.parts();
        let resources = parts.resources.iter().filter(|r| names_of_resource(r).any(is_name));
        let hosts = parts.internet_hosts.iter();
        let hosts = hosts.filter(|h| is_name(&h.name) || h.aliases.iter().any(|a| is_name(a)));
        let objects = resources.map(|r| self.resource(r)).chain(hosts.map(Object::from));
        let objects: Vec<Object<'_>> = objects.collect();
        if !objects.is_empty() {
            return Some(Meaning::of(&objects));
        }
        let views = (0..parts.vpcs.len()).map(VpcIx::from).map(Some).chain([None]);
        let found: Vec<Ipv4Addr> = views.flat_map(|vpc| self.addresses(vpc, name)).collect();
        (!found.is_empty()).then(|| self.at(found))
    }

    /// Adds to addresses the objects of the lab at them. In the task's own VPC an address is a
    /// resource's of that VPC.
    fn at(self, addresses: Vec<Ipv4Addr>) -> Meaning {
        let own = |address| self.vpc.filter(|vpc| self.snapshot.vpc(*vpc).contains(address));
        let is_there = |object: &Object<'_>| {
            let own = own(object.address);
            addresses.contains(&object.address) && (own.is_none() || own == object.vpc)
        };
        let objects: Vec<Object<'_>> = self.objects().filter(is_there).collect();
        Meaning { addresses: each_once(addresses), ..Meaning::of(&objects) }
    }

    fn objects(self) -> impl Iterator<Item = Object<'s>> {
        let parts = self.snapshot.parts();
        let resources = parts.resources.iter().map(move |resource| self.resource(resource));
        let public = parts.resources.iter().filter_map(Object::outside);
        resources.chain(public).chain(parts.internet_hosts.iter().map(Object::from))
    }

    fn resource(self, resource: &'s Resource) -> Object<'s> {
        Object {
            name: object_name(resource),
            address: resource.address,
            listen: &resource.listen,
            vpc: Some(self.snapshot.subnet(resource.subnet).vpc),
        }
    }

    fn known(self, word: &str) -> String {
        let gateways = self.snapshot.parts().gateway_endpoints.iter().map(|end| end.id.as_str());
        let names = each_once(self.objects().map(|object| object.name).chain(gateways));
        known(word, "its resources, endpoints and internet hosts:", &names)
    }
}

impl Meaning {
    fn of(objects: &[Object<'_>]) -> Self {
        let mut listens = objects.iter().map(|object| object.listen);
        let first = listens.next().unwrap_or_default();
        let agreed = listens.all(|listen| same(listen, first));
        Self {
            addresses: each_once(objects.iter().map(|object| object.address)),
            objects: each_once(objects.iter().map(|object| object.name.to_owned())),
            listen: if agreed { first.to_vec() } else { Vec::new() },
        }
    }
}

impl<'s> Object<'s> {
    /// Returns a resource as seen from outside its VPC: at its public address, if it has one.
    fn outside(resource: &'s Resource) -> Option<Self> {
        let address = resource.public_address?;
        Some(Self { name: object_name(resource), address, listen: &resource.listen, vpc: None })
    }
}

impl<'s> From<&'s crate::vpc::InternetHost> for Object<'s> {
    fn from(host: &'s crate::vpc::InternetHost) -> Self {
        Self { name: &host.name, address: host.address, listen: &host.listen, vpc: None }
    }
}

fn object_name(resource: &Resource) -> &str {
    endpoint_id(resource).unwrap_or(&resource.name)
}

fn endpoint_id(resource: &Resource) -> Option<&str> {
    resource.endpoint.as_ref().map(|endpoint| endpoint.id.as_str())
}

fn names_of_resource(resource: &Resource) -> impl Iterator<Item = &str> {
    let aliases = resource.aliases.iter().chain(&resource.private_dns).map(String::as_str);
    std::iter::once(resource.name.as_str()).chain(aliases)
}

fn names_of_host(host: &crate::vpc::InternetHost) -> impl Iterator<Item = &str> {
    std::iter::once(host.name.as_str()).chain(host.aliases.iter().map(String::as_str))
}

fn addresses_of(answer: &Answer) -> Vec<Ipv4Addr> {
    let records = answer.records.iter();
    each_once(records.filter_map(|record| match &record.data {
        RecordData::A(address) => Some(*address),
        RecordData::Cname(_) | RecordData::Ptr(_) | RecordData::Txt(_) => None,
    }))
}

/// Returns whether a record's name, which may be a wildcard, matches that of a question.
fn matches_name(own: &str, asked: &str) -> bool {
    let below = own.strip_prefix('*').and_then(|above| asked.strip_suffix(above));
    own == asked || below.is_some_and(|label| !label.is_empty())
}

/// Compares two lists as sets.
fn same<T: PartialEq>(left: &[T], right: &[T]) -> bool {
    left.iter().all(|item| right.contains(item)) && right.iter().all(|item| left.contains(item))
}

fn each_once<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

#[cfg(test)]
mod tests;
