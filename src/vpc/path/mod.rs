//! Paths as data: the hops through which the configuration leads a packet.
//!
//! A [`Path`] is two lists of [`Hop`]s: the request's, and the reply's, which follows its own route
//! tables. A list names every check and every translation in AWS's order, and ends at an interface,
//! on the internet, or at a [`DeadEnd`]. Packets, ICMP errors, `explain`, dry runs and the linter
//! evaluate these lists; nothing else follows a route table.

mod attachment;
mod chain;
mod chains;
mod hop;
mod lead;
mod link;
mod list;
mod parts;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use attachment::Attachment;
pub use hop::{DeadEnd, Hop, Hops, Link, Middlebox};
pub use lead::{Lead, leads, leads_beyond, leads_by_table};
pub use link::link;
pub use parts::prefixes;
pub use reply::{ReturnTo, is_led_back, reply, reply_beyond};
pub use request::{request, request_beyond, request_beyond_app_runner};

use super::Snapshot;
use std::net::Ipv4Addr;

/// A packet's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The request's hops, from the attachment to the destination.
    pub request: Hops,
    /// The reply's hops, from the destination back; empty if the request does not arrive.
    pub reply: Hops,
}

/// Resolves the path from an attachment to an address.
///
/// The reply returns to the primary address of the NAT gateway on the path. A flow that takes
/// another of its addresses has another reply: see [`reply()`].
pub fn resolve(snapshot: &Snapshot, from: Attachment, to: Ipv4Addr) -> Path {
    let request = request(snapshot, from, to);
    let reply = match (from, request.dead_end) {
        (Attachment::Eni(eni), None) => {
            let primary = |ix| Some((ix, *snapshot.nat_gateway(ix).addresses.first()?));
            let nat_gateway = request.nat_gateway().and_then(primary);
            let address = snapshot.eni(eni).address;
            reply(snapshot, ReturnTo::Eni { eni, address, nat_gateway }, to)
        }
        (Attachment::AppRunner, None) => reply(snapshot, ReturnTo::AppRunner, to),
        (Attachment::Eni(_) | Attachment::AppRunner, Some(_)) => Hops::default(),
    };
    Path { request, reply }
}
