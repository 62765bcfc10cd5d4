//! What the user asks about: a task as `SERVICE[/N]`, a destination as `DEST[:PORT][/PROTO]`.

use crate::packet::{Protocol, Tuple};
use crate::vpc::dns::RecordType;
use crate::vpc::{Listen, RecordData, ServiceIx, Snapshot, Task, VpcIx};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A destination: where, and with which protocol and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Destination address.
    pub address: Ipv4Addr,
    /// Protocol; TCP where none is given.
    pub protocol: Protocol,
    /// Destination port; 0 for protocols without ports.
    pub port: u16,
}

/// A task, by service and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRef {
    /// The service.
    pub service: ServiceIx,
    /// Counted from 1.
    pub number: u16,
}

/// Why an argument names no task or no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither an address nor a name of the lab.
    #[error("`{name}` is neither an IPv4 address nor a name in the lab; {known}")]
    UnknownDestination {
        /// The word.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// An IPv6 address.
    #[error(
        "`{0}` is an IPv6 address, and egret carries IPv4 only; ask for the destination's IPv4 address"
    )]
    Ipv6(Ipv6Addr),
    /// No such service.
    #[error("no service `{name}` in the lab; {known}")]
    UnknownService {
        /// The word.
        name: String,
        /// The services that there are.
        known: String,
    },
    /// No such protocol.
    #[error("`{0}` is not a protocol; use tcp, udp, icmp or a number from 0 to 255")]
    Protocol(String),
    /// Not a port.
    #[error("`{0}` is not a port; use a number from 1 to 65535")]
    Port(String),
    /// A port where the protocol has none.
    #[error("{0} has no ports; leave `:{1}` out")]
    NoPorts(Protocol, u16),
    /// Neither a port nor one to guess.
    #[error(
        "which {protocol} port of {name}? It listens on none in the lab; write {name}:PORT{suffix}"
    )]
    NoPort {
        /// The destination.
        name: String,
        /// The protocol.
        protocol: Protocol,
        /// `/udp`, or nothing for TCP.
        suffix: &'static str,
    },
    /// Not a task number.
    #[error("`{0}` is not a task number; tasks count from 1")]
    TaskNumber(String),
}

impl Target {
    /// The first packet to it from a task's address: its tuple, and the ICMP type and code. The source port is 49152, or
    /// the ICMP identifier 1, where none is given.
    pub fn packet(&self, src: Ipv4Addr, source_port: Option<u16>) -> (Tuple, (u8, u8)) {
        let Self { address: dst, protocol, port } = *self;
        let (sport, icmp) = match protocol {
            Protocol::Tcp | Protocol::Udp => (source_port.unwrap_or(49152), (0, 0)),
            Protocol::Icmp => (source_port.unwrap_or(1), (8, 0)),
            Protocol::Other(_) => (0, (0, 0)),
        };
        (Tuple { protocol, src, dst, sport, dport: port }, icmp)
    }

    /// As [`Target::parse`], but DEST may also be any name that the task's resolver knows.
    ///
    /// # Errors
    /// What is wrong with the argument, and what would be right.
    pub fn parse_for(
        argument: &str,
        task: &Task,
        snapshot: &Snapshot,
    ) -> Result<Self, TargetError> {
        match Self::parse(argument, snapshot) {
            Err(TargetError::UnknownDestination { name, known }) => {
                let Some(address) = resolve(&name, task, snapshot) else {
                    return Err(TargetError::UnknownDestination { name, known });
                };
                Self::parse(&argument.replacen(&name, &address.to_string(), 1), snapshot)
            }
            parsed => parsed,
        }
    }

    /// Reads `DEST[:PORT][/PROTO]`. DEST is an address, or the name of a resource or internet host; without a port it
    /// is the first that the resource or host listens on with that protocol.
    ///
    /// # Errors
    /// What is wrong with the argument, and what would be right.
    pub fn parse(argument: &str, snapshot: &Snapshot) -> Result<Self, TargetError> {
        let (rest, protocol) = match argument.split_once('/') {
            Some((rest, word)) => (rest, self::protocol(word)?),
            None => (argument, Protocol::Tcp),
        };
        if let Some(address) = ipv6(rest) {
            return Err(TargetError::Ipv6(address));
        }
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, word)) => (name, Some(self::port(word)?)),
            None => (rest, None),
        };
        let (address, listen) = destination(name, snapshot)?;
        let port = match (protocol.has_ports(), port) {
            (false, None) => 0,
            (false, Some(port)) => return Err(TargetError::NoPorts(protocol, port)),
            (true, Some(port)) => port,
            (true, None) => first_listening(listen, protocol, name)?,
        };
        Ok(Self { address, protocol, port })
    }
}

/// An IPv6 address, as it is or in brackets and with a port.
fn ipv6(word: &str) -> Option<Ipv6Addr> {
    let bracketed = word.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    bracketed.map_or(word, |(address, _)| address).parse().ok()
}

impl TaskRef {
    /// Reads `SERVICE[/N]`; N is 1 where it is absent.
    ///
    /// # Errors
    /// What is wrong with the argument, and what would be right.
    pub fn parse(argument: &str, snapshot: &Snapshot) -> Result<Self, TargetError> {
        let (name, number) = match argument.split_once('/') {
            Some((name, word)) => (name, task_number(word)?),
            None => (argument, 1),
        };
        let services = &snapshot.parts().services;
        match services.iter().position(|s| s.name == name) {
            Some(position) => Ok(Self { service: position.into(), number }),
            None => Err(TargetError::UnknownService {
                name: name.to_owned(),
                known: known("its services", services.iter().map(|s| s.name.as_str())),
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

fn port(word: &str) -> Result<u16, TargetError> {
    match word.parse() {
        Ok(0) | Err(_) => Err(TargetError::Port(word.to_owned())),
        Ok(port) => Ok(port),
    }
}

fn task_number(word: &str) -> Result<u16, TargetError> {
    match word.parse() {
        Ok(0) | Err(_) => Err(TargetError::TaskNumber(word.to_owned())),
        Ok(number) => Ok(number),
    }
}

fn destination<'a>(
    name: &str,
    snapshot: &'a Snapshot,
) -> Result<(Ipv4Addr, &'a [Listen]), TargetError> {
    let parts = snapshot.parts();
    let resources = parts.resources.iter().map(|r| (&*r.name, r.address, &*r.listen));
    let hosts = parts.internet_hosts.iter().map(|h| (&*h.name, h.address, &*h.listen));
    let all = || resources.clone().chain(hosts.clone());
    if let Some((_, address, listen)) = all().find(|(n, ..)| *n == name) {
        return Ok((address, listen));
    }
    match name.parse() {
        // The same address may be of two resources, in two VPCs: then its port must be given.
        Ok(address) => {
            let mut with_address = all().filter(|(_, a, _)| *a == address);
            match (with_address.next(), with_address.next()) {
                (Some((.., listen)), None) => Ok((address, listen)),
                _ => Ok((address, &[])),
            }
        }
        Err(_) => Err(TargetError::UnknownDestination {
            name: name.to_owned(),
            known: known("its resources and internet hosts", all().map(|(n, ..)| n)),
        }),
    }
}

/// The first address that the task's resolver has for a name.
fn resolve(name: &str, task: &Task, snapshot: &Snapshot) -> Option<Ipv4Addr> {
    let vpc = task.eni.map(|eni| snapshot.subnet(snapshot.eni(eni).subnet).vpc);
    if vpc.is_some_and(|vpc| !snapshot.vpc(vpc).enable_dns_support) {
        return None;
    }
    address_of(name, vpc, snapshot)
}

/// The first address that a name has in a VPC, or outside of all.
pub(super) fn address_of(name: &str, vpc: Option<VpcIx>, snapshot: &Snapshot) -> Option<Ipv4Addr> {
    let answer = snapshot.resolve(vpc, name, RecordType::A);
    answer.records.iter().find_map(|record| match &record.data {
        RecordData::A(address) => Some(*address),
        RecordData::Cname(_) | RecordData::Ptr(_) | RecordData::Txt(_) => None,
    })
}

fn first_listening(listen: &[Listen], protocol: Protocol, name: &str) -> Result<u16, TargetError> {
    let found = listen.iter().find(|l| l.protocol == protocol);
    found.map(|l| l.port).ok_or_else(|| TargetError::NoPort {
        name: name.to_owned(),
        protocol,
        suffix: if protocol == Protocol::Udp { "/udp" } else { "" },
    })
}

fn known<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match names.is_empty() {
        true => format!("{what}: none"),
        false => format!("{what}: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn target(argument: &str) -> Result<(Ipv4Addr, Protocol, u16), String> {
        let target = Target::parse(argument, &snapshot()).map_err(|e| e.to_string())?;
        Ok((target.address, target.protocol, target.port))
    }

    #[test]
    fn an_ipv6_address_is_named_whole() {
        for argument in ["2001:db8::1", "[2001:db8::1]:443", "[2001:db8::1]/udp"] {
            let said = target(argument).unwrap_err();
            assert!(said.starts_with("`2001:db8::1` is an IPv6 address"), "{said}");
        }
    }

    #[test]
    fn reads_addresses_names_ports_and_protocols() {
        let db = ORDERS_DB_ADDRESS;
        assert_eq!(target("10.0.1.10:22"), Ok((db, Protocol::Tcp, 22)));
        assert_eq!(target("orders-db"), Ok((db, Protocol::Tcp, 5432)));
        assert_eq!(target("10.0.1.10"), Ok((db, Protocol::Tcp, 5432)));
        assert_eq!(target("orders-db:80/tcp"), Ok((db, Protocol::Tcp, 80)));
        assert_eq!(target("example"), Ok((EXAMPLE, Protocol::Tcp, 443)));
        assert_eq!(target("example/udp"), Ok((EXAMPLE, Protocol::Udp, 53)));
        assert_eq!(target("example/ICMP"), Ok((EXAMPLE, Protocol::Icmp, 0)));
        assert_eq!(target("example/47"), Ok((EXAMPLE, Protocol::Other(47), 0)));
        assert_eq!(target("example:1/17"), Ok((EXAMPLE, Protocol::Udp, 1)));
    }

    #[test]
    fn says_what_would_be_right() {
        let error = |argument| target(argument).err().unwrap_or_default();
        assert_eq!(
            error("orders-bd"),
            "`orders-bd` is neither an IPv4 address nor a name in the lab; its resources and internet hosts: orders-db, example"
        );
        assert_eq!(
            error("orders-db/udp"),
            "which udp port of orders-db? It listens on none in the lab; write orders-db:PORT/udp"
        );
        assert_eq!(
            error("192.0.2.1"),
            "which tcp port of 192.0.2.1? It listens on none in the lab; write 192.0.2.1:PORT"
        );
        assert_eq!(error("example:0"), "`0` is not a port; use a number from 1 to 65535");
        assert_eq!(error("example:http"), "`http` is not a port; use a number from 1 to 65535");
        assert_eq!(error("example:7/icmp"), "icmp has no ports; leave `:7` out");
        assert_eq!(
            error("example/sctp"),
            "`sctp` is not a protocol; use tcp, udp, icmp or a number from 0 to 255"
        );
    }

    #[test]
    fn reads_tasks() {
        let task = |argument| {
            TaskRef::parse(argument, &snapshot())
                .map(|t| (t.service, t.number))
                .map_err(|e| e.to_string())
        };
        assert_eq!(task("web"), Ok((ServiceIx(0), 1)));
        assert_eq!(task("web/12"), Ok((ServiceIx(0), 12)));
        assert_eq!(task("web/0"), Err("`0` is not a task number; tasks count from 1".into()));
        assert_eq!(task("wbe"), Err("no service `wbe` in the lab; its services: web".into()));
    }
}
