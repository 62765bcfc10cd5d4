//! Layer 4: the engine. `vpc::path` lists the hops of a packet; the stages judge it hop by hop, and
//! `packet::rewrite` rewrites it.
//!
//! [`Engine::judge`] looks a packet up in the flow table. On a miss, or under a new generation, its
//! path is evaluated (`walk.rs`, where the order of AWS's checks is). [`Engine::explain`] evaluates
//! the same path with a recorder that records.
//!
//! A file may use the files below it:
//!
//! | files | what they do |
//! |---|---|
//! | `engine` | the entry points |
//! | `judge`, `observe/watched` | judge a packet; judge a packet that is watched |
//! | `exempt`, `fragments`, `whole` | judge the three kinds of packets |
//! | `icmp_error`, `admit`, `late` | judge packets without a current flow |
//! | `handover`, `forecast` | resume flows, forecast the outcome for a flow |
//! | `send`, `answer`, `offload` | send by a flow's outcome, answer packets, select flows for tc |
//! | `review` | decides the outcomes of a flow under a configuration |
//! | `reach/` | verdicts over sets of packets |
//! | `walk` | the order of the checks |
//! | `stage/` | one check each |
//! | `observe/{count,tell}` | count drops, report to watchers |
//! | `observe/nat_metrics` | adds up a gateway's metrics |
//! | `tracking` | decides which flows an interface tracks |
//! | `evaluation`, `leases`, `context`, `tables` | the state that these share |
//! | `observe/{drops,nat_drops,totals,port_holders}`, `resolver_limit` | the tables that count |
//! | `observe/watchers` | the watchers |
//! | `delivery` | lists the links and addresses that tc needs for a device |
//! | `outcome`, `arrival`, `verdict`, `reason`, `trace` | the types |

mod admit;
mod answer;
mod arrival;
mod context;
pub mod delivery;
pub mod engine;
mod evaluation;
mod exempt;
pub mod forecast;
mod fragments;
mod handover;
mod icmp_error;
mod ipv6;
pub mod judge;
mod late;
mod leases;
pub mod observe;
pub mod offload;
mod outcome;
pub mod reach;
pub mod reason;
mod resolver_limit;
mod review;
mod send;
mod stage;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
pub mod trace;
mod tracking;
pub mod verdict;
mod walk;
mod whole;

pub use crate::vpc::path::Link;
pub use arrival::{Device, DeviceId, SpaceAddr};
pub use engine::Engine;
pub use forecast::Forecast;
pub use judge::{Judged, Received};
pub use observe::drops::{DropCount, DropKey, Drops};
pub use observe::nat_metrics::NatMetrics;
pub use observe::port_holders::{PortHolders, PortPool};
pub use observe::totals::NatPair;
pub use observe::watchers::{self as watch, FlowEvent, Watchers};
pub use offload::Candidate;
pub use outcome::{FlowOutcome, Forward};
pub use reason::{REASONS, Reason};
pub use trace::{Component, Detail, Off, Outcome, Recorder, Stage, Step};
pub use verdict::{Denial, Evidence, Verdict};
