//! Hosts on the lab's internet.

use super::{Line, Listen};
use std::net::Ipv4Addr;

/// A host on the internet.
#[derive(Clone, Debug)]
pub struct InternetHost {
    /// The user's word.
    pub name: String,
    /// Further names, for the resolver.
    pub aliases: Vec<String>,
    /// Its public address.
    pub address: Ipv4Addr,
    /// The ports at which egret answers.
    pub listen: Vec<Listen>,
    /// Its line in the lab file.
    pub line: Line,
}
