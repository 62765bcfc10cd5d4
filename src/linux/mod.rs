//! Floor 6: the only code that touches the kernel.
//!
//! | file | what it does |
//! |---|---|
//! | [`netns`] | namespaces by name, and work done inside them |
//! | [`link`] | veth pairs, addresses, routes, neighbours, over netlink |
//! | [`tun`] | the device behind an ENI, with or without offloads |
//! | `queues` | which queue of a TUN a packet goes to |
//! | [`steer`] | the tc programs that bring packets to a TUN and away from it |
//! | [`worker`] | the thread that reads a TUN, asks a judge, writes back |
//! | [`clock`] | the only producer of time |
//! | [`exec`] | child processes inside a namespace |
//! | [`listen`] | echo servers, so that a lab can be probed with nothing installed |
//!
//! `sys` holds what is `unsafe`; nothing else is.

pub mod clock;
pub mod exec;
pub mod link;
pub mod listen;
pub mod netns;
mod queues;
pub mod steer;
mod sys;
pub mod terminal;
pub mod tun;
pub mod worker;

pub use link::{Link, LinkError, Links, Mac};
pub use netns::{Netns, NetnsError};
pub use steer::{Steer, SteerError, SteerReason};
pub use tun::{Device, DeviceKind, TunError};
pub use worker::{Action, Judge, Worker, WorkerHandle, WorkerStats};
