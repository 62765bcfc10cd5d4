//! Layer 8: a network driver of Docker's. A Docker network stands for a service or a resource of a
//! lab, and a container on it is attached there, by the lab's control API.
//!
//! [`driver`] answers the calls of libnetwork's remote driver protocol, and [`server`] serves them
//! on a unix socket. [`networks`] keeps the networks that Docker has made, `sandbox` finds a
//! container's network namespace, and `attachment` attaches and detaches it.

mod attachment;
pub mod driver;
pub mod networks;
mod sandbox;
pub mod server;

pub use driver::{Driver, Say};
pub use networks::{Networks, NetworksError};
pub use server::{PluginSocket, SocketError};
