//! The names by which tasks resolve the hosts of a lab, for their certificates.

use crate::vpc::dns::{Lookup, RecordType};
use crate::vpc::{RecordData, Snapshot, VpcIx};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The names in private zones that lead to each address.
pub(super) struct ZoneNames(BTreeMap<Ipv4Addr, BTreeSet<String>>);

impl ZoneNames {
    /// Looks up every name in the private zones, in every VPC that sees it. Aliases are followed.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut found: BTreeMap<Ipv4Addr, BTreeSet<String>> = BTreeMap::new();
        for zone in &snapshot.parts().private_zones {
            for record in &zone.records {
                for vpc in &zone.vpcs {
                    for address in addresses(snapshot, *vpc, &record.name) {
                        found.entry(address).or_default().insert(record.name.clone());
                    }
                }
            }
        }
        Self(found)
    }

    /// Returns the names of a host: its own, and those in zones that lead to one of its addresses.
    pub(super) fn with<'n>(
        &self,
        own: impl IntoIterator<Item = &'n String>,
        addresses: &BTreeSet<Ipv4Addr>,
    ) -> BTreeSet<String> {
        let in_zones = addresses.iter().filter_map(|address| self.0.get(address)).flatten();
        let own = own.into_iter().map(|name| canonical(name));
        own.chain(in_zones.map(|name| canonical(name))).collect()
    }
}

/// Returns a name as clients ask for it: in lower case and without the dot at the end.
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn addresses(snapshot: &Snapshot, vpc: VpcIx, name: &str) -> Vec<Ipv4Addr> {
    let answer = snapshot.resolve(Some(vpc), name, RecordType::A);
    if answer.outcome != Lookup::Found {
        return Vec::new();
    }
    let address = |data: &RecordData| match data {
        RecordData::A(address) => Some(*address),
        RecordData::Cname(_) | RecordData::Ptr(_) | RecordData::Txt(_) => None,
    };
    answer.records.iter().filter_map(|record| address(&record.data)).collect()
}
