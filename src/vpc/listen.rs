//! The ports at which egret itself answers for a resource or an internet host, so that a lab can be
//! probed with nothing installed.

use crate::packet::Protocol;
use std::fmt;
use std::time::Duration;

/// A port at which egret itself answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The language of the answers.
    pub speaks: Speaks,
    /// The port.
    pub port: u16,
    /// The treatment of whoever connects.
    pub mode: ListenMode,
}

/// The language in which a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Sends back what arrives over TCP.
    Tcp,
    /// Sends back each datagram.
    Udp,
    /// Answers HTTP/1.1 with a page about the connection.
    Http,
    /// HTTP over TLS, with a certificate of the lab's own authority.
    Https,
}

/// The treatment of those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenMode {
    /// Answers at once.
    Answer,
    /// Refuses: a TCP reset, or the ICMP error that the port is unreachable.
    Refuse,
    /// Takes the packets and never answers.
    Blackhole,
    /// Accepts at once, and answers after this time.
    Delay(Duration),
}

impl Listen {
    /// Returns a listener that answers at once.
    pub const fn new(speaks: Speaks, port: u16) -> Self {
        Self { speaks, port, mode: ListenMode::Answer }
    }

    /// Returns the protocol of its packets.
    pub const fn protocol(&self) -> Protocol {
        match self.speaks {
            Speaks::Tcp | Speaks::Http | Speaks::Https => Protocol::Tcp,
            Speaks::Udp => Protocol::Udp,
        }
    }

    /// Returns whether a packet to it is answered within the second in which programs look for one:
    /// TCP connections are accepted before a delay begins.
    pub fn answers_at_once(&self) -> bool {
        match self.mode {
            ListenMode::Answer => true,
            ListenMode::Refuse | ListenMode::Blackhole => false,
            ListenMode::Delay(_) => self.protocol() == Protocol::Tcp,
        }
    }
}

impl Speaks {
    /// The words of the lab file.
    pub const WORDS: [(&str, Self); 4] =
        [("tcp", Self::Tcp), ("udp", Self::Udp), ("http", Self::Http), ("https", Self::Https)];

    /// Returns the word of the lab file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Listen {
    /// Writes `443/https`, and the mode if it has another one than to answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.speaks.as_str())?;
        match self.mode {
            ListenMode::Answer => Ok(()),
            ListenMode::Refuse => f.write_str(" (refuse)"),
            ListenMode::Blackhole => f.write_str(" (blackhole)"),
            ListenMode::Delay(by) => write!(f, " (delay {by:?})"),
        }
    }
}
