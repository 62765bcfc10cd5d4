//! `egret` rebuilds an AWS App Runner service's outbound network on one Linux box, with real packets.
//!
//! # Floors
//!
//! A module may use its own floor and the floors below it; `scripts/check-floors` checks it. Floors 1 to 4
//! know no sockets, files, threads, clocks, environment, randomness or printing: time and seeds are arguments.
//!
//! | floor | module | what it is |
//! |---|---|---|
//! | 8 | [`cli`] | one file per command |
//! | 7 | [`daemon`] | a running lab: lifecycle, control API, timers |
//! | 6 | [`linux`] | the only code that touches the kernel |
//! | 5 | [`config`], [`explain`] | lab file to [`vpc::Snapshot`]; evidence to text and JSON |
//! | 4 | [`pipeline`] | the engine: one walk, one file per stage |
//! | 3 | [`flow`] | what is remembered: flows, port leases, expiry |
//! | 2 | [`vpc`] | what the user configured, immutable and indexed |
//! | 1 | [`packet`] | bytes: checked view, tuple, rewrite, checksums, vnet header |

pub mod cli;
pub mod config;
pub mod daemon;
pub mod explain;
pub mod flow;
pub mod linux;
pub mod packet;
pub mod pipeline;
pub mod vpc;
