//! Layer 6: the only code that touches the kernel.
//!
//! | file | what it does |
//! |---|---|
//! | [`netns`] | namespaces by name, and work done inside them |
//! | [`foreign`] | namespaces that other programs made |
//! | [`link`] | veth pairs, addresses, routes, neighbours, over netlink |
//! | `link_state`, [`task_link`] | the present state of a link; a task's link against the lab's |
//! | [`ipv6`] | the IPv6 of a task, which leads to its ENI and no further |
//! | [`tun`] | the device behind an ENI, with or without offloads |
//! | `queues` | the choice of a TUN's queue for each packet |
//! | [`steer`] | the tc programs that lead packets to a TUN and away from it, and their maps |
//! | `programs`, `attach` | the programs themselves, and the links that they are on |
//! | `shared`, `records` | the contents of the maps, as the programs lay them out |
//! | `link_tables` | a mirror of the maps' links, for the flow cache |
//! | [`flow_cache`] | offloaded flows: the tc programs forward their packets by themselves |
//! | [`handover`] | offloaded flows, from a killed process to the next |
//! | [`heartbeat`] | the deadline of offloaded flows, once the process has ended |
//! | [`pins`] | the files by which maps and links outlive the process |
//! | [`pinned_maps`] | the check that pinned maps are laid out as ours |
//! | [`worker`] | the thread that reads a TUN, asks a judge, writes back |
//! | [`worker_stats`], [`epochs`] | a worker's figures, and the batch in which it is |
//! | [`clock`] | the only source of time |
//! | [`descriptors`] | the limit of descriptors, and the parts of it that clients may take |
//! | [`exec`] | child processes inside a namespace |
//! | [`processes`] | the programs that are in a namespace, and their end |
//! | [`listen`] | servers of echoes and pages, so that a lab can be probed with nothing installed |
//! | [`sockets`] | the connections of programs inside a namespace |
//! | [`privileges`] | the rights of a lab's threads |
//! | [`session`] | programs that go on without their caller's terminal |
//! | [`remedy`] | hints against errors whose cause is the box |
//! | [`probe`] | single packets from inside a namespace, and their answers |
//!
//! `sys` holds all `unsafe` code.

mod attach;
pub mod clock;
pub mod descriptors;
pub mod epochs;
pub mod exec;
pub mod flow_cache;
#[cfg(test)]
mod flow_cache_differential;
pub mod foreign;
pub mod handover;
pub mod heartbeat;
pub mod ipv6;
pub mod link;
mod link_state;
mod link_tables;
pub mod listen;
pub mod netns;
pub mod pinned_maps;
pub mod pins;
pub mod privileges;
pub mod probe;
pub mod processes;
mod programs;
mod queues;
mod records;
pub mod remedy;
#[cfg(test)]
pub(crate) mod root;
pub mod session;
mod shared;
#[cfg(test)]
mod shared_layout;
pub mod sockets;
pub mod steer;
mod steer_error;
#[cfg(test)]
mod steer_frames;
pub mod steer_reason;
mod sys;
pub mod task_link;
pub mod terminal;
pub mod tun;
pub mod worker;
pub mod worker_stats;

pub use flow_cache::FlowCache;
pub use foreign::{Foreign, ForeignError, Identity};
pub use handover::HandedOver;
pub use heartbeat::Heartbeat;
pub use link::{Delivery, Link, LinkError, Links, Mac};
pub use netns::{Netns, NetnsError};
pub use pins::{Pins, PinsError};
pub use programs::lift_memory_limit;
pub use steer::Steer;
pub use steer_error::SteerError;
pub use steer_reason::SteerReason;
pub use task_link::{LinkFault, Remedy, TaskLink};
pub use tun::{Device, DeviceKind, TunError};
pub use worker::{Action, Judge, Worker, WorkerHandle};
pub use worker_stats::{WorkerDeath, WorkerStats};
