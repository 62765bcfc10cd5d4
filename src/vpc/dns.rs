//! Answers as the resolver does: the names that one VPC sees, and those that all see (spec 2.5, 8).
//!
//! The longest zone that holds a name answers alone: a private zone hides the public names below
//! its own, as in Route 53. A name without a definition does not exist (RFC 8020).

use super::{DnsRecord, Parts, RecordData, Vpc, VpcIx};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

/// The time that an answer about the lab's own names may be kept, in seconds. Route 53's own
/// default is 300; with a minute a changed lab is seen soon.
pub const TTL: u32 = 60;
/// The number of aliases of aliases that are followed; more are a loop.
const ALIASES: usize = 8;

/// The type of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// Addresses.
    A,
    /// An alias itself.
    Cname,
    /// The name of an address.
    Ptr,
    /// Text.
    Txt,
    /// All records of the name.
    Any,
    /// A type that no name of the lab has.
    Other,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The records; aliases on the way come first.
    pub records: Vec<DnsRecord>,
    /// The result: the records answer the question only if it is [`Lookup::Found`].
    pub outcome: Lookup,
    /// The zone of the last name that was looked up; empty for the root.
    pub zone: String,
}

/// The result of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There are records.
    Found,
    /// The name exists, with other types.
    NoData,
    /// The name does not exist.
    NoSuchName,
    /// Aliases lead in a circle.
    Loop,
}

/// The names of all VPCs, and of the internet.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The VPCs' views, by the VPC's position.
    vpcs: Vec<View>,
    public: Zone,
    region: String,
}

#[derive(Debug, Default)]
struct View {
    private: Vec<Zone>,
    own: Zone,
    /// The private addresses that public names lead to instead of the public ones (spec 8).
    private_of: HashMap<Ipv4Addr, Ipv4Addr>,
}

#[derive(Debug, Default)]
struct Zone {
    name: String,
    records: HashMap<String, Vec<DnsRecord>>,
    /// All names that have records, and those above them down to the zone's own.
    existing: HashSet<String>,
}

impl Names {
    /// Answers for [`Snapshot::resolve`](super::Snapshot::resolve). The names were built from
    /// `parts`.
    pub(super) fn resolve(
        &self,
        parts: &Parts,
        vpc: Option<VpcIx>,
        name: &str,
        record_type: RecordType,
    ) -> Answer {
        let mut answer = Answer { records: Vec::new(), outcome: Lookup::Loop, zone: String::new() };
        let mut name = canonical_name(name);
        for _ in 0..=ALIASES {
            let (zone, outcome, found) = self.resolve_once(parts, vpc, &name, record_type);
            answer.zone = zone;
            answer.outcome = outcome;
            let alias = found.iter().find_map(|record| match &record.data {
                RecordData::Cname(to) if !is_of(record_type, &record.data) => Some(to.clone()),
                RecordData::A(_)
                | RecordData::Cname(_)
                | RecordData::Ptr(_)
                | RecordData::Txt(_) => None,
            });
            answer.records.extend(found);
            match alias {
                Some(to) => name = canonical_name(&to),
                None => return answer,
            }
        }
        Answer { outcome: Lookup::Loop, ..answer }
    }

    /// Looks up one name, without following an alias. The records are those of the type, or an
    /// alias.
    fn resolve_once(
        &self,
        parts: &Parts,
        vpc: Option<VpcIx>,
        name: &str,
        record_type: RecordType,
    ) -> (String, Lookup, Vec<DnsRecord>) {
        let view = vpc.and_then(|vpc| Some((vpc, self.vpcs.get(vpc.get())?)));
        let private = view.iter().flat_map(|(_, view)| &view.private);
        let shadow = private.filter(|zone| zone.holds(name)).max_by_key(|zone| zone.name.len());
        let zones: Vec<&Zone> = match (shadow, view) {
            (Some(zone), _) => vec![zone],
            (None, Some((_, view))) => vec![&view.own, &self.public],
            (None, None) => vec![&self.public],
        };
        let synthetic = match (shadow, view) {
            (None, Some((vpc, _))) => self.synthesize(&parts.vpcs[vpc.get()], name),
            _ => None,
        };
        let zone = shadow.map(|zone| zone.name.clone()).unwrap_or_default();
        let exists = synthetic.is_some() || zones.iter().any(|zone| zone.exists(name));
        let all = zones.iter().flat_map(|zone| zone.records_of(name)).chain(synthetic);
        let seen_from = view.filter(|_| shadow.is_none()).map(|(_, view)| view);
        let all = all.map(|record| seen_from.map_or(record.clone(), |view| view.seen(record)));
        let found: Vec<DnsRecord> = all
            .filter(|r| is_of(record_type, &r.data) || matches!(r.data, RecordData::Cname(_)))
            .collect();
        let outcome = match (found.is_empty(), exists) {
            (false, _) => Lookup::Found,
            (true, true) => Lookup::NoData,
            (true, false) => Lookup::NoSuchName,
        };
        (zone, outcome, found)
    }

    /// Makes the record of `ip-10-0-1-5.<region>.compute.internal` or of its reverse name, for any
    /// address of the VPC.
    fn synthesize(&self, vpc: &Vpc, name: &str) -> Option<DnsRecord> {
        let domains = internal_domains(&self.region);
        let (address, data) = match name.strip_suffix(".in-addr.arpa") {
            Some(reversed) => {
                let [d, c, b, a] = bytes(reversed, '.')?;
                let domain = domains.first()?;
                (Ipv4Addr::new(a, b, c, d), RecordData::Ptr(format!("ip-{a}-{b}-{c}-{d}.{domain}")))
            }
            None => {
                let (host, domain) = name.split_once('.')?;
                domains.iter().find(|own| **own == domain)?;
                let address = Ipv4Addr::from(bytes(host.strip_prefix("ip-")?, '-')?);
                (address, RecordData::A(address))
            }
        };
        let known = vpc.contains(address);
        known.then(|| DnsRecord { name: name.to_owned(), ttl: TTL, data })
    }
}

impl Names {
    pub(super) fn build(parts: &Parts) -> Self {
        let mut public = Zone::default();
        for host in &parts.internet_hosts {
            public.add_host(&host.name, host.address);
            host.aliases.iter().for_each(|alias| public.add_host(alias, host.address));
        }
        let mut vpcs: Vec<View> = parts.vpcs.iter().map(|_| View::default()).collect();
        for resource in &parts.resources {
            let vpc = parts.subnets[resource.subnet.get()].vpc;
            let view = &mut vpcs[vpc.get()];
            view.own.add_host(&resource.name, resource.address);
            let (zone, address) = match resource.public_dns_name {
                true => (&mut public, resource.public_address.unwrap_or(resource.address)),
                false => (&mut view.own, resource.address),
            };
            resource.aliases.iter().for_each(|alias| zone.add_host(alias, address));
            if let (Some(name), true) =
                (&resource.private_dns, parts.vpcs[vpc.get()].has_private_names())
            {
                vpcs[vpc.get()].add_endpoint(name, resource.address);
            }
        }
        for (vpc, public, private) in private_answers(parts) {
            vpcs[vpc.get()].private_of.insert(public, private);
        }
        for zone in &parts.private_zones {
            for vpc in zone.vpcs.iter().filter(|vpc| parts.vpcs[vpc.get()].has_private_names()) {
                vpcs[vpc.get()].private.push(Zone::private(&zone.name, &zone.records));
            }
        }
        Self { vpcs, public, region: parts.region.clone() }
    }
}

/// Lists the public addresses of resources that a VPC's resolver answers with the private ones.
fn private_answers(parts: &Parts) -> impl Iterator<Item = (VpcIx, Ipv4Addr, Ipv4Addr)> {
    parts.resources.iter().flat_map(move |resource| {
        let vpc = parts.subnets[resource.subnet.get()].vpc;
        let public = resource.public_address.into_iter();
        public.flat_map(move |public| {
            privately(parts, vpc).map(move |seen| (seen, public, resource.address))
        })
    })
}

/// Lists the VPCs in which the public names of a VPC's resources lead to private addresses: this
/// VPC, and those behind peering connections that allow it; each with both DNS attributes (spec 8).
fn privately(parts: &Parts, vpc: VpcIx) -> impl Iterator<Item = VpcIx> {
    let has_names = |vpc: &VpcIx| parts.vpcs[vpc.get()].has_private_names();
    let peers = parts.peerings.iter().filter_map(move |peering| peering.resolves_in(vpc));
    let all = std::iter::once(vpc).chain(peers);
    all.filter(move |seen| has_names(&vpc) && has_names(seen))
}

impl View {
    /// Returns a public record as this VPC's resolver answers it.
    fn seen(&self, mut record: DnsRecord) -> DnsRecord {
        if let RecordData::A(address) = &mut record.data {
            *address = self.private_of.get(address).copied().unwrap_or(*address);
        }
        record
    }

    /// Adds an interface of an endpoint with private DNS to the managed zone of its service
    /// (spec 7.2). A wildcard is in the zone of the name below which it is.
    fn add_endpoint(&mut self, service: &str, address: Ipv4Addr) {
        let service = canonical_name(service);
        let name = service.strip_prefix("*.").unwrap_or(&service);
        match self.private.iter_mut().find(|zone| zone.name == name) {
            Some(zone) => zone.add_host(&service, address),
            None => {
                let mut zone = Zone::private(name, &[]);
                zone.add_host(&service, address);
                self.private.push(zone);
            }
        }
    }
}

impl Zone {
    fn private(name: &str, records: &[DnsRecord]) -> Self {
        let mut zone = Self { name: canonical_name(name), ..Self::default() };
        // The zone's own name always exists: it has the SOA record.
        zone.existing.insert(zone.name.clone());
        records.iter().for_each(|record| zone.add(record.clone()));
        zone
    }

    fn add_host(&mut self, name: &str, address: Ipv4Addr) {
        let (name, data) = (canonical_name(name), RecordData::A(address));
        self.add(DnsRecord { name, ttl: TTL, data });
    }

    fn add(&mut self, record: DnsRecord) {
        let above = std::iter::successors(Some(record.name.as_str()), |name| parent(name));
        for name in above.take_while(|name| within(name, &self.name)) {
            self.existing.insert(name.to_owned());
        }
        self.records.entry(record.name.clone()).or_default().push(record);
    }

    fn holds(&self, name: &str) -> bool {
        within(name, &self.name)
    }

    fn exists(&self, name: &str) -> bool {
        self.existing.contains(name) || self.wildcard_of(name).is_some()
    }

    /// Returns the records of a name; those of a wildcard get the name that was asked for
    /// (RFC 4592).
    fn records_of(&self, name: &str) -> Vec<DnsRecord> {
        if self.existing.contains(name) {
            return self.records.get(name).cloned().unwrap_or_default();
        }
        let renamed = |record: &DnsRecord| DnsRecord { name: name.to_owned(), ..record.clone() };
        self.wildcard_of(name).map(|all| all.iter().map(renamed).collect()).unwrap_or_default()
    }

    /// Returns the wildcard below the closest name that exists (RFC 4592, 3.3.1).
    fn wildcard_of(&self, name: &str) -> Option<&Vec<DnsRecord>> {
        let above = std::iter::successors(parent(name), |name| parent(name));
        let encloser = above.into_iter().find(|name| self.existing.contains(*name))?;
        self.records.get(&format!("*.{encloser}"))
    }
}

/// Returns a name in lower case, without the dot at the end.
pub fn canonical_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Lists the domains of EC2's own names. In us-east-1 AWS has them in `ec2.internal`; egret answers
/// in the regional form there as well, so that a lab's names need not change with its region.
fn internal_domains(region: &str) -> Vec<String> {
    let mut domains = vec![search_domain(region), format!("{region}.compute.internal")];
    domains.dedup();
    domains
}

/// Returns the domain in which a name without a dot is looked up: the first domain of EC2's own
/// names.
pub fn search_domain(region: &str) -> String {
    if region == "us-east-1" {
        "ec2.internal".to_owned()
    } else {
        format!("{region}.compute.internal")
    }
}

fn is_of(record_type: RecordType, data: &RecordData) -> bool {
    match (record_type, data) {
        (RecordType::Any, _)
        | (RecordType::A, RecordData::A(_))
        | (RecordType::Cname, RecordData::Cname(_))
        | (RecordType::Ptr, RecordData::Ptr(_))
        | (RecordType::Txt, RecordData::Txt(_)) => true,
        (
            RecordType::A
            | RecordType::Cname
            | RecordType::Ptr
            | RecordType::Txt
            | RecordType::Other,
            _,
        ) => false,
    }
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

/// Decides whether a name is the zone's own, or below it; every name is below the root, which is
/// empty.
fn within(name: &str, zone: &str) -> bool {
    zone.is_empty()
        || name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn bytes(text: &str, separator: char) -> Option<[u8; 4]> {
    let mut parts = text.split(separator).map(|part| {
        let plain = part == "0" || !part.starts_with(['0', '+']);
        plain.then(|| part.parse().ok()).flatten()
    });
    let bytes = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Lab;
    use crate::vpc::{Generation, Snapshot};

    const LAB: &str = r#"
region = "eu-central-1"
[[vpc]]
id = "vpc-a"
cidr = ["10.0.0.0/16", "10.9.0.0/24"]
enable_dns_hostnames = true
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "a"
cidr = "10.0.1.0/24"
[[resource]]
name = "DB"
subnet = "subnet-a"
address = "10.0.1.10"
[[vpc]]
id = "vpc-b"
cidr = "10.0.0.0/16"
[[internet_host]]
name = "www.example.com"
aliases = ["deep.inner.corp.internal"]
address = "203.0.113.10"
[[internet_host]]
name = "second"
aliases = ["www.example.com"]
address = "203.0.113.11"
[[private_zone]]
name = "corp.internal"
vpcs = ["vpc-a", "vpc-b"]
records = [
    { name = "@", type = "TXT", values = ["apex"] },
    { name = "a.b", type = "A", values = ["10.0.1.10", "10.0.1.11"], ttl = 5 },
    { name = "alias", type = "CNAME", values = ["A.B.corp.internal."] },
    { name = "out", type = "CNAME", values = ["www.example.com"] },
    { name = "lost", type = "CNAME", values = ["nobody.example"] },
    { name = "one", type = "CNAME", values = ["two.corp.internal"] },
    { name = "two", type = "CNAME", values = ["one.corp.internal"] },
]
[[private_zone]]
name = "inner.corp.internal"
vpcs = ["vpc-a"]
records = [{ name = "*", type = "A", values = ["10.0.1.77"] }, { name = "x.y", type = "A", values = ["10.0.1.78"] }]
"#;

    fn snapshot() -> Snapshot {
        Lab::parse("lab.toml", LAB).unwrap().lower(Generation(1))
    }

    fn a(vpc: Option<u16>, name: &str) -> (Vec<Ipv4Addr>, Lookup) {
        let answer = snapshot().resolve(vpc.map(VpcIx), name, RecordType::A);
        let address = |record: DnsRecord| match record.data {
            RecordData::A(address) => Some(address),
            RecordData::Cname(_) | RecordData::Ptr(_) | RecordData::Txt(_) => None,
        };
        (answer.records.into_iter().filter_map(address).collect(), answer.outcome)
    }

    #[track_caller]
    fn is(vpc: Option<u16>, name: &str, last: &[[u8; 4]]) {
        let expected: Vec<Ipv4Addr> = last.iter().copied().map(Ipv4Addr::from).collect();
        assert_eq!(a(vpc, name), (expected, Lookup::Found), "{name}");
    }

    #[test]
    fn names_are_of_their_vpc_and_of_the_internet() {
        for name in ["db", "DB", "db."] {
            is(Some(0), name, &[[10, 0, 1, 10]]);
        }
        assert_eq!(a(Some(1), "db").1, Lookup::NoSuchName, "another VPC's");
        assert_eq!(a(None, "db").1, Lookup::NoSuchName, "no VPC's");
        for vpc in [Some(0), Some(1), None] {
            is(vpc, "www.example.com", &[[203, 0, 113, 10], [203, 0, 113, 11]]);
            assert_eq!(
                a(vpc, "example.com").1,
                Lookup::NoData,
                "a name with names below it exists"
            );
            assert_eq!(a(vpc, "mail.example.com").1, Lookup::NoSuchName);
        }
    }

    #[test]
    fn the_longest_zone_answers_alone() {
        is(Some(0), "a.b.corp.internal", &[[10, 0, 1, 10], [10, 0, 1, 11]]);
        assert_eq!(a(Some(0), "b.corp.internal").1, Lookup::NoData);
        assert_eq!(a(Some(0), "corp.internal").1, Lookup::NoData);
        assert_eq!(a(Some(0), "c.corp.internal").1, Lookup::NoSuchName);
        // The inner zone has it by its wildcard; the outer zone and the internet are not asked.
        is(Some(0), "deep.inner.corp.internal", &[[10, 0, 1, 77]]);
        is(Some(0), "any.thing.inner.corp.internal", &[[10, 0, 1, 77]]);
        is(Some(0), "x.y.inner.corp.internal", &[[10, 0, 1, 78]]);
        assert_eq!(
            a(Some(0), "y.inner.corp.internal").1,
            Lookup::NoData,
            "an empty name shadows *"
        );
        assert_eq!(a(Some(0), "z.y.inner.corp.internal").1, Lookup::NoSuchName, "RFC 4592, 2.2.1");
        assert_eq!(a(Some(0), "xcorp.internal").1, Lookup::NoSuchName, "labels, not letters");
        let answer = snapshot().resolve(Some(VpcIx(0)), "q.corp.internal", RecordType::A);
        assert_eq!(answer.zone, "corp.internal");
    }

    #[test]
    fn a_vpc_without_both_attributes_sees_no_private_zone() {
        is(Some(1), "deep.inner.corp.internal", &[[203, 0, 113, 10]]);
        assert_eq!(a(Some(1), "a.b.corp.internal").1, Lookup::NoSuchName);
        is(None, "deep.inner.corp.internal", &[[203, 0, 113, 10]]);
    }

    /// Lowers a lab in which the service's public name is an internet host's as well, and the
    /// endpoint is in two zones.
    fn with_endpoint(attributes: &str, endpoint: &str) -> Snapshot {
        lowered(&endpoint_lab(attributes, endpoint))
    }

    fn lowered(text: &str) -> Snapshot {
        Lab::parse("lab.toml", text).unwrap().lower(Generation(1))
    }

    fn endpoint_lab(attributes: &str, endpoint: &str) -> String {
        format!(
            r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
{attributes}
[[subnet]]
id = "subnet-a"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "subnet-b"
vpc = "vpc"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
[[vpc_endpoint]]
id = "vpce-sqs"
vpc = "vpc"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
subnets = ["subnet-a", "subnet-b"]
addresses = ["10.0.1.200", "10.0.2.200"]
{endpoint}
[[internet_host]]
name = "sqs.us-east-1.amazonaws.com"
aliases = ["queue.sqs.us-east-1.amazonaws.com"]
address = "203.0.113.30"
"#
        )
    }

    fn addresses(snapshot: &Snapshot, vpc: Option<u16>, name: &str) -> Vec<[u8; 4]> {
        let answer = snapshot.resolve(vpc.map(VpcIx), name, RecordType::A);
        let address = |record: &DnsRecord| match record.data {
            RecordData::A(address) => Some(address.octets()),
            RecordData::Cname(_) | RecordData::Ptr(_) | RecordData::Txt(_) => None,
        };
        answer.records.iter().filter_map(address).collect()
    }

    const SQS: &str = "sqs.us-east-1.amazonaws.com";
    const OF_ENDPOINT: [[u8; 4]; 2] = [[10, 0, 1, 200], [10, 0, 2, 200]];

    /// Spec 7.2: a managed private zone answers alone, with the addresses of every zone.
    #[test]
    fn private_dns_leads_the_services_public_name_to_the_endpoint_and_not_to_the_internet() {
        let snapshot = with_endpoint("enable_dns_hostnames = true", "");
        assert_eq!(addresses(&snapshot, Some(0), SQS), OF_ENDPOINT);
        assert_eq!(addresses(&snapshot, None, SQS), [[203, 0, 113, 30]], "outside the VPC");
        let below = format!("queue.{SQS}");
        let shadowed = snapshot.resolve(Some(VpcIx(0)), &below, RecordType::A);
        assert_eq!((shadowed.outcome, shadowed.zone.as_str()), (Lookup::NoSuchName, SQS));
        assert_eq!(addresses(&snapshot, None, &below), [[203, 0, 113, 30]]);
    }

    /// Spec 8: private DNS needs both attributes, and the endpoint's own.
    #[test]
    fn without_private_dns_the_public_name_is_the_internets_and_the_endpoints_own_names_remain() {
        let both = "enable_dns_hostnames = true";
        for (attributes, endpoint) in [
            ("", ""),
            ("enable_dns_support = false\nenable_dns_hostnames = true", ""),
            ("enable_dns_support = false", ""),
            (both, "private_dns_enabled = false"),
        ] {
            let snapshot = with_endpoint(attributes, endpoint);
            let public = addresses(&snapshot, Some(0), SQS);
            assert_eq!(public, [[203, 0, 113, 30]], "{attributes} {endpoint}");
            let own = "vpce-sqs.sqs.us-east-1.vpce.amazonaws.com";
            let of_zone = "vpce-sqs-us-east-1b.sqs.us-east-1.vpce.amazonaws.com";
            for vpc in [Some(0), None] {
                assert_eq!(addresses(&snapshot, vpc, own), OF_ENDPOINT);
                assert_eq!(addresses(&snapshot, vpc, of_zone), OF_ENDPOINT[1..]);
            }
        }
    }

    /// Two VPCs, and a database with a public name in the first.
    const PUBLIC_NAME: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
[[vpc]]
id = "vpc-b"
cidr = "10.1.0.0/16"
enable_dns_hostnames = true
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[resource]]
name = "db"
aliases = ["Orders.c1.us-east-1.rds.amazonaws.com"]
public_dns_name = true
subnet = "subnet-a"
address = "10.0.1.10"
"#;
    const ORDERS: &str = "orders.c1.us-east-1.rds.amazonaws.com";

    #[test]
    fn a_public_name_leads_to_the_private_address_from_everywhere() {
        let snapshot = lowered(PUBLIC_NAME);
        for vpc in [Some(0), Some(1), None] {
            assert_eq!(addresses(&snapshot, vpc, ORDERS), [[10, 0, 1, 10]], "{vpc:?}");
        }
        assert_eq!(addresses(&snapshot, Some(0), "db"), [[10, 0, 1, 10]]);
        for vpc in [Some(1), None] {
            assert!(addresses(&snapshot, vpc, "db").is_empty(), "the label is its VPC's");
        }
        for text in ["public_dns_name = false", ""] {
            let private = lowered(&PUBLIC_NAME.replace("public_dns_name = true", text));
            assert_eq!(addresses(&private, Some(0), ORDERS), [[10, 0, 1, 10]]);
            for vpc in [Some(1), None] {
                assert!(addresses(&private, vpc, ORDERS).is_empty(), "{vpc:?} {text}");
            }
        }
    }

    /// Lowers the lab with a public address of the database, these DNS attributes of the VPCs, and
    /// a peering connection.
    fn public_endpoint(hostnames: [bool; 2], peering: &str) -> Snapshot {
        let text = PUBLIC_NAME.replace("enable_dns_hostnames = true\n", "");
        let text = text.replace(
            "address = \"10.0.1.10\"",
            "address = \"10.0.1.10\"\npublic_ip = \"192.0.2.10\"",
        );
        let attributes = |text: String, vpc: &str, hostnames: bool| {
            let id = format!("id = \"vpc-{vpc}\"\n");
            let all = format!(
                "{id}internet_gateway = \"igw-{vpc}\"\nenable_dns_hostnames = {hostnames}\n"
            );
            text.replacen(&id, &all, 1)
        };
        let text = attributes(attributes(text, "a", hostnames[0]), "b", hostnames[1]);
        lowered(&format!("{text}{peering}"))
    }

    const PRIVATE: [[u8; 4]; 1] = [[10, 0, 1, 10]];
    const PUBLIC: [[u8; 4]; 1] = [[192, 0, 2, 10]];

    #[test]
    fn a_public_name_leads_to_the_public_address_outside_of_its_vpc() {
        let snapshot = public_endpoint([true, true], "");
        assert_eq!(addresses(&snapshot, Some(0), ORDERS), PRIVATE);
        for vpc in [Some(1), None] {
            assert_eq!(addresses(&snapshot, vpc, ORDERS), PUBLIC, "{vpc:?}");
            assert!(addresses(&snapshot, vpc, "db").is_empty(), "the label is its VPC's");
        }
        assert_eq!(addresses(&snapshot, Some(0), "db"), PRIVATE);
    }

    #[test]
    fn without_both_dns_attributes_a_public_name_leads_to_the_public_address_in_its_vpc() {
        let snapshot = public_endpoint([false, true], "");
        for vpc in [Some(0), Some(1), None] {
            assert_eq!(addresses(&snapshot, vpc, ORDERS), PUBLIC, "{vpc:?}");
        }
    }

    #[test]
    fn a_peering_connection_that_allows_it_leads_public_names_to_private_addresses() {
        let peering = |requester: &str, accepter: &str, more: &str| {
            format!(
                "[[vpc_peering_connection]]\nid = \"pcx\"\nrequester_vpc = \"vpc-{requester}\"\n\
                 accepter_vpc = \"vpc-{accepter}\"\n{more}"
            )
        };
        let (of_requester, of_accepter) =
            ("requester_dns_resolution = true\n", "accepter_dns_resolution = true\n");
        let pending = format!("{of_requester}state = \"pending-acceptance\"");
        for (hostnames, peering, seen) in [
            ([true, true], peering("a", "b", ""), PUBLIC),
            ([true, true], peering("a", "b", of_requester), PRIVATE),
            ([true, true], peering("a", "b", of_accepter), PUBLIC),
            ([true, true], peering("b", "a", of_requester), PUBLIC),
            ([true, true], peering("b", "a", of_accepter), PRIVATE),
            ([true, true], peering("a", "b", &pending), PUBLIC),
            ([true, false], peering("a", "b", of_requester), PUBLIC),
            ([false, true], peering("a", "b", of_requester), PUBLIC),
        ] {
            let snapshot = public_endpoint(hostnames, &peering);
            assert_eq!(addresses(&snapshot, Some(1), ORDERS), seen, "{hostnames:?} {peering}");
            assert_eq!(addresses(&snapshot, None, ORDERS), PUBLIC, "outside of both");
        }
    }

    #[test]
    fn an_alias_that_is_not_public_leads_to_the_private_address_in_its_vpc_only() {
        let text = PUBLIC_NAME.replace("public_dns_name = true", "public_ip = \"192.0.2.10\"");
        let text =
            text.replacen("id = \"vpc-a\"\n", "id = \"vpc-a\"\ninternet_gateway = \"igw\"\n", 1);
        let snapshot = lowered(&text);
        assert_eq!(addresses(&snapshot, Some(0), ORDERS), PRIVATE);
        for vpc in [Some(1), None] {
            assert!(addresses(&snapshot, vpc, ORDERS).is_empty(), "{vpc:?}");
        }
    }

    /// A record of a private zone is an address, and no public name of AWS.
    #[test]
    fn a_private_zone_that_names_the_public_address_keeps_it() {
        let zone = "[[private_zone]]\nname = \"corp\"\nvpcs = [\"vpc-a\"]\nrecords = [\
                    { name = \"direct\", type = \"A\", values = [\"192.0.2.10\"] }, \
                    { name = \"alias\", type = \"CNAME\", values = [\"orders.c1.us-east-1.rds.amazonaws.com\"] }]\n";
        let snapshot = public_endpoint([true, true], zone);
        assert_eq!(addresses(&snapshot, Some(0), "direct.corp"), PUBLIC);
        assert_eq!(addresses(&snapshot, Some(0), "alias.corp"), PRIVATE);
    }

    #[test]
    fn a_private_zone_shadows_a_public_name_in_its_vpc_only() {
        let zone = "[[private_zone]]\nname = \"rds.amazonaws.com\"\nvpcs = [\"vpc-b\"]";
        let snapshot = lowered(&format!("{PUBLIC_NAME}{zone}"));
        assert!(addresses(&snapshot, Some(1), ORDERS).is_empty());
        for vpc in [Some(0), None] {
            assert_eq!(addresses(&snapshot, vpc, ORDERS), [[10, 0, 1, 10]]);
        }
    }

    /// An image registry has the account's number in its name.
    #[test]
    fn an_endpoint_of_image_registries_answers_for_every_account() {
        let lab = |attributes| {
            let lab = endpoint_lab(attributes, "");
            lowered(&lab.replace("com.amazonaws.us-east-1.sqs", "com.amazonaws.us-east-1.ecr.dkr"))
        };
        let seen = lab("enable_dns_hostnames = true");
        let apex = "dkr.ecr.us-east-1.amazonaws.com";
        for below in ["123456789012", "210987654321", "a.b"] {
            let name = format!("{below}.{apex}");
            assert_eq!(addresses(&seen, Some(0), &name), OF_ENDPOINT, "{name}");
            assert!(addresses(&seen, None, &name).is_empty());
            assert!(addresses(&lab(""), Some(0), &name).is_empty());
        }
        let answer = seen.resolve(Some(VpcIx(0)), apex, RecordType::A);
        assert_eq!((answer.outcome, answer.zone.as_str()), (Lookup::NoData, apex));
        for name in ["api.ecr.us-east-1.amazonaws.com", "1.dkr.ecr.us-west-2.amazonaws.com"] {
            let answer = seen.resolve(Some(VpcIx(0)), name, RecordType::A);
            assert_eq!(answer.outcome, Lookup::NoSuchName, "{name}");
        }
    }

    #[test]
    fn aliases_are_followed_out_of_the_zone_and_not_for_ever() {
        is(Some(0), "alias.corp.internal", &[[10, 0, 1, 10], [10, 0, 1, 11]]);
        is(Some(0), "out.corp.internal", &[[203, 0, 113, 10], [203, 0, 113, 11]]);
        assert_eq!(a(Some(0), "one.corp.internal").1, Lookup::Loop);
        let lost = snapshot().resolve(Some(VpcIx(0)), "lost.corp.internal", RecordType::A);
        assert_eq!((lost.outcome, lost.records.len()), (Lookup::NoSuchName, 1));
        let itself = snapshot().resolve(Some(VpcIx(0)), "one.corp.internal", RecordType::Cname);
        assert_eq!((itself.outcome, itself.records.len()), (Lookup::Found, 1));
    }

    #[test]
    fn every_address_of_the_vpc_has_a_name_and_back() {
        is(Some(0), "ip-10-0-1-5.eu-central-1.compute.internal", &[[10, 0, 1, 5]]);
        is(Some(0), "ip-10-9-0-200.eu-central-1.compute.internal", &[[10, 9, 0, 200]]);
        for name in [
            "ip-10-1-1-5.eu-central-1.compute.internal",
            "ip-10-0-1-05.eu-central-1.compute.internal",
            "ip-10-0-1.eu-central-1.compute.internal",
            "ip-10-0-1-5-6.eu-central-1.compute.internal",
            "ip-10-0-1-256.eu-central-1.compute.internal",
            "ip-10-0-1-5.us-east-1.compute.internal",
            "ip-10-0-1-5.ec2.internal",
        ] {
            assert_eq!(a(Some(0), name).1, Lookup::NoSuchName, "{name}");
        }
        assert_eq!(a(None, "ip-10-0-1-5.eu-central-1.compute.internal").1, Lookup::NoSuchName);
        let back = |name| snapshot().resolve(Some(VpcIx(0)), name, RecordType::Ptr).records;
        let name = "ip-10-0-1-5.eu-central-1.compute.internal".to_owned();
        assert_eq!(back("5.1.0.10.in-addr.arpa")[0].data, RecordData::Ptr(name));
        assert!(back("5.1.1.10.in-addr.arpa").is_empty() && back("1.0.10.in-addr.arpa").is_empty());
        let east = LAB.replace("eu-central-1", "us-east-1");
        let east = Lab::parse("lab.toml", &east).unwrap().lower(Generation(1));
        let back = east.resolve(Some(VpcIx(0)), "5.1.0.10.in-addr.arpa", RecordType::Ptr).records;
        let name = format!("ip-10-0-1-5.{}", search_domain("us-east-1"));
        assert_eq!(back[0].data, RecordData::Ptr(name), "found again by its short name");
        for domain in ["ec2.internal", "us-east-1.compute.internal"] {
            let name = format!("ip-10-0-1-5.{domain}");
            let answer = east.resolve(Some(VpcIx(0)), &name, RecordType::A);
            assert_eq!(answer.outcome, Lookup::Found, "{name}");
        }
    }

    #[test]
    fn other_types_are_there_or_are_not() {
        let ask = |name, asked| snapshot().resolve(Some(VpcIx(0)), name, asked).outcome;
        assert_eq!(ask("corp.internal", RecordType::Txt), Lookup::Found);
        assert_eq!(ask("corp.internal", RecordType::Any), Lookup::Found);
        assert_eq!(ask("db", RecordType::Other), Lookup::NoData);
        assert_eq!(ask("db", RecordType::Ptr), Lookup::NoData);
        assert_eq!(ask("", RecordType::A), Lookup::NoSuchName);
        assert_eq!(ask("..", RecordType::A), Lookup::NoSuchName);
    }
}
