//! Small packets between two namespaces: new connections, requests and responses, floods of
//! datagrams, with nothing installed. Clients are threads inside the client's namespace; the server
//! is a process of its own, as servers are: between threads of one process a switch costs less. All
//! of it ends by itself: every wait has a limit, every loop a deadline, and the server ends with
//! the process that started it.

mod between;
mod connections;
mod datagrams;
mod error;
mod latency;
mod serve;
mod server;
mod socket;

pub(super) use between::Between;
pub(super) use error::LoadError;
pub(super) use serve::{ServeArgs, serve};
