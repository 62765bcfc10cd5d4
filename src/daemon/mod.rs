//! Layer 7: a running lab. Lifecycle, control API on a unix socket, timers; tokio lives here, in
//! `linux` sockets, and in `cli`.
//!
//! [`Running::start`] builds the lab that the lab file describes, and takes everything down when it
//! is stopped or a step fails. [`shared`] is the lab as clients share it, [`control`] serves it on
//! a socket, [`client`] calls it, and [`state`] keeps the handover for the next process.

mod addresses;
pub(crate) mod aside;
mod attach;
mod attached;
mod attachment;
pub mod attachments;
mod authority;
pub(crate) mod bodies;
mod checked;
pub mod client;
pub mod configuration;
pub mod control;
mod dead_workers;
pub(crate) mod drop_rows;
pub(crate) mod earlier;
mod error;
mod explain;
pub(crate) mod flow_row;
pub mod flows;
mod foreign;
mod forgetting;
mod handover;
mod hanging;
pub(crate) mod history;
mod host_names;
mod housekeeping;
pub(crate) mod http;
mod judge;
pub(crate) mod kept_drops;
pub mod labs;
mod link_drops;
mod losses;
mod lost_flows;
mod namespace;
mod needs;
mod origin;
mod passing;
mod peer;
mod process;
mod reach;
pub mod readers;
mod reattach;
pub mod reload;
mod reordering_barriers;
pub mod requests;
mod resources;
mod resume;
pub mod rows;
mod running;
pub mod scarce;
mod service_rows;
mod services;
pub mod shared;
mod silence;
mod start;
mod startup;
pub mod state;
mod state_error;
mod steer_drops;
mod streams;
mod subject;
mod task_links;
mod tasks;
pub mod top;
mod wanted;
pub mod watch;

pub use attached::attached_namespaces;
pub use attachment::task_namespace;
pub use client::{Answer, Client, ClientError, DEFAULT_LAB};
pub use error::LabError;
pub use forgetting::forget_attached;
pub use running::Running;
pub use silence::{Silence, Silent};
pub use state::{StateDir, StateError};
