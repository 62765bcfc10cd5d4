//! Layer 3: flow state. The flow table, TCP state, port leases, expiry, and the flows of fragmented
//! datagrams.
//!
//! A [`Flow`] is one conversation; the [`FlowTable`] holds two [`FlowEntry`]s for it, one per
//! direction, each with its cached outcome. NAT ports are [`PortLease`]s that come back when the
//! flow is dropped. Time is an argument.

pub mod cache_entries;
#[cfg(test)]
pub mod census;
pub mod counters;
pub mod datagram;
pub mod fragments;
pub mod handover;
pub mod held;
pub mod instant;
pub mod key;
pub mod offload;
mod offload_state;
mod port_set;
pub mod ports;
pub mod side;
pub mod state;
pub mod table;
pub mod tcp;
mod tombstones;

pub use cache_entries::{BarrierRelease, CacheCounters, CacheEntries};
#[cfg(test)]
pub use census::Census;
pub use counters::{Counted, Counters, EgressTotals, Lives, SummedCounters};
pub use datagram::DatagramKey;
pub use fragments::{Datagram, Fragments};
pub use handover::{HandoverRecord, LastNat, NatPort};
pub use held::HeldFragment;
pub use instant::Instant;
pub use key::FlowKey;
pub use offload::Punted;
pub use ports::{Exhausted, Limit, PoolKey, PortLease, PortPools};
pub use side::Side;
pub use state::{Flow, FlowStart};
pub use table::{FlowEntry, FlowTable};
pub use tcp::{MAX_FLIGHT, TcpState, TcpTracker, Window};
pub use tombstones::Tombstone;

pub use crate::vpc::Space;
