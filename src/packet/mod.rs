//! Layer 1: bytes. A checked view of an IPv4 packet, its tuple, the rewrite of headers and
//! checksums, the virtio-net header that travels with a packet through a TUN device, and the ICMP
//! messages egret itself sends.
//!
//! Nothing here knows the VPC. Parse once at the edge ([`Packet::parse`]); from then on offsets are
//! proven.

pub mod builder;
pub mod checksum;
pub(crate) mod field;
pub mod fragment;
mod headers;
pub mod icmp;
mod ids;
mod ip_options;
pub mod ipv6;
mod parse;
#[cfg(test)]
mod properties;
mod quote;
pub mod rewrite;
pub mod segment;
pub mod tcp;
pub mod tuple;
pub mod view;
pub mod vnet;

pub use fragment::Fragmenter;
pub use headers::{Fragment, IcmpKind};
pub use parse::Malformed;
pub use rewrite::{Rewrite, clamp_mss, complete_checksum, rewrite_icmp_error, set_identification};
pub use tcp::{TcpFacts, TcpFlags};
pub use tuple::{Inside, Outside, Protocol, Tuple};
pub use view::Packet;
pub use vnet::VnetHeader;
