//! Floor 4: the engine. Stages classify, one file each; `packet::rewrite` rewrites.
//!
//! [`Engine::handle`] looks a packet up in the flow table; on a miss, or under a new generation, it takes the
//! walk (`walk.rs`), which [`Engine::explain`] takes too, with a recorder that records.

mod admission;
mod adoption;
mod app_runner;
mod arrival;
mod connector;
mod deliver;
pub mod delivery;
pub mod drops;
pub mod engine;
mod exempt;
pub mod forecast;
mod fragments;
mod gateway_endpoint;
mod icmp;
mod internet_gateway;
mod late;
mod middlebox;
mod nat_gateway;
pub mod nat_metrics;
mod network_acl;
mod observe;
pub mod offload;
mod paths;
mod peering;
pub mod port_holders;
mod port_lease;
pub mod reason;
mod route_table;
mod security_group;
mod send;
mod source_check;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod verdict;
mod walk;
pub mod watch;
mod way;

pub use arrival::{Device, DeviceId, Place};
pub use drops::{DropCount, DropKey, Drops};
pub use engine::{Engine, FlowOutcome, Forward, Judged};
pub use forecast::Forecast;
pub use nat_metrics::NatMetrics;
pub use offload::Candidate;
pub use paths::PathKey;
pub use port_holders::{PortHolders, PortPool};
pub use reason::{REASONS, Reason};
pub use trace::{Component, Detail, Off, Outcome, Recorder, Stage, Step};
pub use verdict::{Denial, Evidence, Link, Verdict};
pub use watch::{Turn, Watchers};
