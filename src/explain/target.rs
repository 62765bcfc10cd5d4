//! Reads the senders of a question, as `SERVICE[/N]`; and the errors for words that name no task or
//! no destination.

use super::destination_names::UnknownDestination;
use crate::config::known;
use crate::packet::Protocol;
use crate::vpc::dns::RecordType;
use crate::vpc::{RecordData, ServiceIx, Snapshot, VpcIx};
use ipnetwork::Ipv4Network;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A service, or one of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRef {
    /// The service.
    pub service: ServiceIx,
    /// The task's number, counted from 1, if one is given.
    pub number: Option<u16>,
}

/// The reason why an argument names no task or no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither an address nor a name of the lab.
    #[error(transparent)]
    UnknownDestination(#[from] UnknownDestination),
    /// A destination without any address.
    #[error("{0} has no address that a packet could go to")]
    NoAddress(String),
    /// An IPv6 address.
    #[error(
        "`{0}` is an IPv6 address, and egret carries IPv4 only; ask for the destination's IPv4 address"
    )]
    Ipv6(Ipv6Addr),
    /// No such service.
    #[error("no service `{name}` in the lab{known}")]
    UnknownService {
        /// The word.
        name: String,
        /// The existing services, as `known` lists them.
        known: String,
    },
    /// No such protocol.
    #[error("`{0}` is not a protocol; use tcp, udp, icmp or a number from 0 to 255")]
    Protocol(String),
    /// Not a port.
    #[error("`{0}` is not a port; use a number from 1 to 65535")]
    Port(String),
    /// A port range that ends before it begins.
    #[error("`{0}-{1}` has no port in it: write {1}-{0}")]
    PortRange(u16, u16),
    /// A port for a protocol that has none.
    #[error("{0} has no ports; leave `:{1}` out")]
    NoPorts(Protocol, String),
    /// No port is given, and the destination listens on none.
    #[error("{name} has no {protocol}listener: give a port, such as {name}:443{suffix}")]
    NoPort {
        /// The destination.
        name: String,
        /// The protocol with a blank, or nothing for TCP and UDP.
        protocol: &'static str,
        /// `/udp`, or nothing.
        suffix: &'static str,
    },
    /// Many addresses without a port.
    #[error(
        "{0} needs a port: write {0}:PORT, such as {0}:443, or {0}:* for all protocols and ports"
    )]
    PortsOf(String),
    /// No name before the port or the protocol.
    #[error("`{0}` names no destination; write an address, a name, a block or `internet`")]
    NoDestination(String),
    /// An address with bits beyond the prefix.
    #[error(
        "`{address}/{length}` is not a block: write {block} for the block, {address} for the address \
         alone, or --protocol {length} for the protocol"
    )]
    HostBits {
        /// The address.
        address: Ipv4Addr,
        /// The length of the prefix.
        length: u8,
        /// The block that contains the address.
        block: Ipv4Network,
    },
    /// A protocol after an address, in place of the length of a block.
    #[error(
        "`{0}/{1}` is not a block, whose length is at most 32; write {0} --protocol {1} for a protocol"
    )]
    BlockLength(Ipv4Addr, String),
    /// The option and the word after the slash disagree.
    #[error("`/{0}` and `--protocol {1}` are two protocols; give one of them")]
    TwoProtocols(String, String),
    /// Not a URL.
    #[error("`{0}` is not a URL with a host; write SCHEME://HOST[:PORT], or HOST:PORT")]
    Url(String),
    /// A URL of a scheme whose port is unknown.
    #[error("{scheme} has no port that egret knows; write {scheme}://{host}:PORT")]
    UrlPort {
        /// The scheme.
        scheme: String,
        /// The host.
        host: String,
    },
    /// Not a task number.
    #[error("`{0}` is not a task number; use a number from 1 to 65535")]
    TaskNumber(String),
}

impl TaskRef {
    /// Reads `SERVICE[/N]`.
    ///
    /// # Errors
    /// The fault in the argument and how to correct it.
    pub fn parse(argument: &str, snapshot: &Snapshot) -> Result<Self, TargetError> {
        let (name, number) = match argument.split_once('/') {
            Some((name, word)) => (name, Some(task_number(word)?)),
            None => (argument, None),
        };
        let services = &snapshot.parts().services;
        match services.iter().position(|s| s.name == name) {
            Some(position) => Ok(Self { service: position.into(), number }),
            None => Err(TargetError::UnknownService {
                name: name.to_owned(),
                known: known_services(name, snapshot),
            }),
        }
    }
}

pub(super) fn protocol(word: &str) -> Result<Protocol, TargetError> {
    match word.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "icmp" => Ok(Protocol::Icmp),
        number => match number.parse::<u8>() {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(TargetError::Protocol(word.to_owned())),
        },
    }
}

/// Returns an IPv6 address, given alone or in brackets and with a port.
pub(super) fn ipv6(word: &str) -> Option<Ipv6Addr> {
    let bracketed = word.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    bracketed.map_or(word, |(address, _)| address).parse().ok()
}

/// Reads a port.
pub(super) fn port(word: &str) -> Result<u16, TargetError> {
    number(word).ok_or_else(|| TargetError::Port(word.to_owned()))
}

fn task_number(word: &str) -> Result<u16, TargetError> {
    number(word).ok_or_else(|| TargetError::TaskNumber(word.to_owned()))
}

/// Reads a number from 1 to 65535, without a sign.
fn number(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|number| is_plain && *number > 0)
}

/// Returns the first address of a name in a VPC, or outside all VPCs.
pub(super) fn address_of(name: &str, vpc: Option<VpcIx>, snapshot: &Snapshot) -> Option<Ipv4Addr> {
    let answer = snapshot.resolve(vpc, name, RecordType::A);
    answer.records.iter().find_map(|record| match &record.data {
        RecordData::A(address) => Some(*address),
        RecordData::Cname(_) | RecordData::Ptr(_) | RecordData::Txt(_) => None,
    })
}

pub(super) fn known_services(word: &str, snapshot: &Snapshot) -> String {
    let services = snapshot.parts().services.iter();
    known(word, "its services:", &services.map(|service| &*service.name).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::*;
    use super::*;

    #[test]
    fn reads_tasks() {
        let task = |argument| {
            TaskRef::parse(argument, &snapshot())
                .map(|t| (t.service, t.number))
                .map_err(|e| e.to_string())
        };
        assert_eq!(task("web"), Ok((ServiceIx(0), None)));
        assert_eq!(task("web/12"), Ok((ServiceIx(0), Some(12))));
        for word in ["0", "65536", "+1", ""] {
            let said = format!("`{word}` is not a task number; use a number from 1 to 65535");
            let read = TaskRef::parse(&format!("web/{word}"), &snapshot());
            assert_eq!(read.unwrap_err().to_string(), said);
        }
        assert_eq!(
            task("wbe"),
            Err("no service `wbe` in the lab; did you mean `web`? (its services: web)".into())
        );
    }
}
