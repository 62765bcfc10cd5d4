//! Floor 3: what is remembered. The flow table, TCP state, port leases, expiry, whose fragments are whose.
//!
//! A [`Flow`] is one conversation; the [`FlowTable`] holds two [`FlowEntry`]s for it, one per direction, each with its
//! cached outcome. NAT ports are [`Lease`]s that come back when the flow is dropped. Time is an argument.

#[cfg(test)]
pub mod census;
pub mod counters;
pub mod fragments;
mod graves;
pub mod held;
pub mod instant;
pub mod key;
pub mod offload;
mod port_set;
pub mod ports;
pub mod record;
pub mod table;
pub mod tcp;

#[cfg(test)]
pub use census::Census;
pub use counters::{Carried, Counters, Lives, Tally};
pub use fragments::{Datagram, DatagramKey, Fragments};
pub use graves::Tombstone;
pub use held::Held;
pub use instant::Instant;
pub use key::FlowKey;
pub use offload::{Carrier, Opening, Passed, Punted};
pub use ports::{Exhausted, Lease, Limit, PoolKey, PortPools};
pub use record::{Nat, Port, Record};
pub use table::{Flow, FlowEntry, FlowStart, FlowTable, Side};
pub use tcp::{TcpState, TcpTracker, Window};

pub use crate::vpc::Space;
