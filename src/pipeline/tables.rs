//! The state that the engine keeps between packets.

use super::Denial;
use super::arrival::Arrival;
use super::observe::drops::Drops;
use super::observe::nat_drops::NatDrops;
use super::observe::totals::Totals;
use super::observe::watchers::Watchers;
use super::outcome::FlowOutcome;
use super::resolver_limit::ResolverLimit;
use crate::flow::{FlowTable, Fragments, PortPools};
use crate::vpc::Generation;
use std::sync::Arc;

/// The tables of one lab, shared by all its workers.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) flows: FlowTable<FlowOutcome>,
    pub(super) pools: Arc<PortPools>,
    /// The datagrams that arrive in fragments.
    pub(super) fragments: Fragments<(Generation, Denial), ReadFrom>,
    pub(super) drops: Drops,
    pub(super) watchers: Arc<Watchers>,
    pub(super) nat_drops: NatDrops,
    pub(super) totals: Totals,
    pub(super) resolver_limit: ResolverLimit,
    /// Set if the kernel may forward flows.
    pub(super) offloads: bool,
}

/// The arrival of a held fragment, and its configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadFrom {
    pub(super) arrival: Arrival,
    pub(super) generation: Generation,
}

impl Tables {
    /// Makes empty tables. `seed` decides hashing and the choice of ports.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            flows: FlowTable::new(seed),
            pools: PortPools::new(seed),
            fragments: Fragments::new(seed),
            drops: Drops::new(seed),
            watchers: Arc::default(),
            nat_drops: NatDrops::new(seed),
            totals: Totals::new(seed),
            resolver_limit: ResolverLimit::new(seed),
            offloads: false,
        }
    }
}
