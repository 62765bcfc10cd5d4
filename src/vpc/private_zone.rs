//! Route 53 private hosted zones: names that only the VPCs associated with them see (spec 8).

use super::{Line, VpcIx};
use std::net::Ipv4Addr;

/// A private hosted zone.
#[derive(Clone, Debug)]
pub struct PrivateZone {
    /// Its name, in lower case and without the dot at the end, such as `corp.internal`.
    pub name: String,
    /// The VPCs that see it, where both DNS attributes are on.
    pub vpcs: Vec<VpcIx>,
    /// Its records.
    pub records: Vec<DnsRecord>,
    /// Its line in the lab file.
    pub line: Line,
}

/// A resource record of class IN (RFC 1035, 3.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// Its full name, in lower case and without the dot at the end.
    pub name: String,
    /// The time that it may be cached, in seconds.
    pub ttl: u32,
    /// Its data.
    pub data: RecordData,
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// An address.
    A(Ipv4Addr),
    /// Another name of the same object.
    Cname(String),
    /// The name of an address.
    Ptr(String),
    /// Text.
    Txt(String),
}
