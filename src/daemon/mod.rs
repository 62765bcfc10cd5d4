//! Layer 7: a running lab. Lifecycle, control API on a unix socket, timers; tokio lives here, in `linux` sockets, and in `cli`.
//!
//! [`Running::start`] builds what the lab file says and takes everything down when it is stopped or fails half-way;
//! [`control`] serves it on a socket, [`client`] calls it, [`state`] remembers what a killed run leaves behind.

mod addresses;
pub mod client;
pub mod control;
pub mod flows;
mod gates;
pub(crate) mod history;
mod judge;
mod losses;
mod needs;
mod process;
pub mod reload;
pub mod rows;
mod running;
mod services;
mod startup;
pub mod state;
mod steer_drops;
mod streams;
mod survival;
mod tasks;
pub mod top;
pub mod watch;

pub use client::{Answer, Client, ClientError};
pub use running::{LabError, Running};
pub use state::{StateDir, StateError};
