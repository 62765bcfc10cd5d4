//! A destination as the user writes it: `DEST[:PORTS][/PROTO]`, a block, `internet`, or a URL.

use super::target::{TargetError, ipv6, port, protocol};
use super::url;
use crate::packet::Protocol;
use crate::pipeline::reach::{PortRange, Ports};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The word for all public addresses outside the lab's VPCs, unless a resource or internet host has
/// this name.
pub(super) const INTERNET: &str = "internet";

/// A destination before it is looked up in a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// The addresses.
    pub(super) place: DestinationSpec,
    /// The protocols and ports.
    pub(super) ports: WantedPorts,
}

/// The destination of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DestinationSpec {
    /// A word: an address, a label or a DNS name.
    Named(String),
    /// The keyword `internet`. A URL has a name instead.
    Internet,
    /// All addresses of a block.
    Block(Ipv4Network),
}

/// The ports of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WantedPorts {
    /// The ports on which the destination listens, of TCP or UDP or of both.
    Listening(Option<Protocol>),
    These(Ports),
}

/// The parts of an argument.
struct Words<'a> {
    place: DestinationSpec,
    ports: Option<&'a str>,
    protocol: Option<&'a str>,
}

impl Destination {
    /// Reads `DEST[:PORTS][/PROTO]`, a block or a URL, and the value of `--protocol`.
    ///
    /// # Errors
    /// The fault in the argument and how to correct it.
    pub(super) fn parse(argument: &str, option: Option<&str>) -> Result<Self, TargetError> {
        let given = option.map(protocol).transpose()?;
        if argument.contains("://") {
            let (host, port) = url::parse(argument)?;
            let ports = wanted(Some(&port.to_string()), given)?;
            return Ok(Self { place: DestinationSpec::Named(host), ports });
        }
        let words = split(argument)?;
        let said = words.protocol.map(protocol).transpose()?;
        if let (Some(said), Some(given)) = (said, given)
            && said != given
        {
            return Err(TargetError::TwoProtocols(said.to_string(), given.to_string()));
        }
        Ok(Self { place: words.place, ports: wanted(words.ports, said.or(given))? })
    }
}

fn split(argument: &str) -> Result<Words<'_>, TargetError> {
    let (before, after) = match argument.split_once('/') {
        Some((before, after)) => (before, Some(after)),
        None => (argument, None),
    };
    if let Some(address) = ipv6(before) {
        return Err(TargetError::Ipv6(address));
    }
    if let (Ok(address), Some(after)) = (before.parse(), after)
        && after.starts_with(|c: char| c.is_ascii_digit())
    {
        return block(address, after);
    }
    let (name, ports) = match before.rsplit_once(':') {
        Some((name, ports)) => (name, Some(ports)),
        None => (before, None),
    };
    if name.is_empty() {
        return Err(TargetError::NoDestination(argument.to_owned()));
    }
    let place = if name == INTERNET {
        DestinationSpec::Internet
    } else {
        DestinationSpec::Named(name.to_owned())
    };
    Ok(Words { place, ports, protocol: after })
}

/// Reads the text after an address and a slash: `LENGTH[:PORTS][/PROTO]`.
fn block(address: Ipv4Addr, after: &str) -> Result<Words<'_>, TargetError> {
    let (rest, protocol) = match after.split_once('/') {
        Some((rest, protocol)) => (rest, Some(protocol)),
        None => (after, None),
    };
    let (length, ports) = match rest.split_once(':') {
        Some((length, ports)) => (length, Some(ports)),
        None => (rest, None),
    };
    let too_long = || TargetError::BlockLength(address, length.to_owned());
    let length: u8 = length.parse().map_err(|_| too_long())?;
    let own = Ipv4Network::new(address, length).map_err(|_| too_long())?;
    let block = Ipv4Network::new(own.network(), length).map_err(|_| too_long())?;
    if block.network() != address {
        return Err(TargetError::HostBits { address, length, block });
    }
    Ok(Words { place: DestinationSpec::Block(block), ports, protocol })
}

/// Decides which ports are meant; TCP's, if there are ports and no protocol.
fn wanted(ports: Option<&str>, protocol: Option<Protocol>) -> Result<WantedPorts, TargetError> {
    let these = |range| Ok(WantedPorts::These(Ports::new([range])));
    match (protocol, ports) {
        (None | Some(Protocol::Tcp | Protocol::Udp), None) => Ok(WantedPorts::Listening(protocol)),
        (None, Some("*")) => Ok(WantedPorts::These(Ports::all())),
        (Some(protocol @ (Protocol::Tcp | Protocol::Udp)), Some("*")) => {
            these(PortRange::Of(protocol, 1, u16::MAX))
        }
        (Some(Protocol::Icmp), None | Some("*")) => these(PortRange::Echo),
        (Some(Protocol::Other(number)), None | Some("*")) => {
            these(PortRange::Protocols(number, number))
        }
        (Some(protocol @ (Protocol::Icmp | Protocol::Other(_))), Some(ports)) => {
            Err(TargetError::NoPorts(protocol, ports.to_owned()))
        }
        (None | Some(Protocol::Tcp | Protocol::Udp), Some(list)) => {
            let protocol = protocol.unwrap_or(Protocol::Tcp);
            let ranges = list.split(',').map(|part| port_range(part, protocol));
            Ok(WantedPorts::These(Ports::new(ranges.collect::<Result<Vec<_>, _>>()?)))
        }
    }
}

fn port_range(part: &str, protocol: Protocol) -> Result<PortRange, TargetError> {
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(part)?, port(part)?),
    };
    if first > last {
        return Err(TargetError::PortRange(first, last));
    }
    Ok(PortRange::Of(protocol, first, last))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn named(name: &str, ports: WantedPorts) -> Result<Destination, TargetError> {
        Ok(Destination { place: DestinationSpec::Named(name.to_owned()), ports })
    }

    fn these(ranges: &[PortRange]) -> WantedPorts {
        WantedPorts::These(Ports::new(ranges.iter().copied()))
    }

    fn tcp(first: u16, last: u16) -> PortRange {
        PortRange::Of(Protocol::Tcp, first, last)
    }

    fn udp(port: u16) -> PortRange {
        PortRange::Of(Protocol::Udp, port, port)
    }

    fn error(argument: &str, option: Option<&str>) -> String {
        Destination::parse(argument, option).unwrap_err().to_string()
    }

    #[test]
    fn names_with_ports_and_protocols_are_read() {
        let read = |argument| Destination::parse(argument, None);
        assert_eq!(read("db"), named("db", WantedPorts::Listening(None)));
        assert_eq!(read("db/UDP"), named("db", WantedPorts::Listening(Some(Protocol::Udp))));
        assert_eq!(read("db:5432"), named("db", these(&[tcp(5432, 5432)])));
        assert_eq!(read("db:5432,6379"), named("db", these(&[tcp(5432, 5432), tcp(6379, 6379)])));
        assert_eq!(read("db:8000-8100/tcp"), named("db", these(&[tcp(8000, 8100)])));
        assert_eq!(read("db:53/udp"), named("db", these(&[udp(53)])));
        assert_eq!(read("db:1/17"), named("db", these(&[udp(1)])));
        assert_eq!(read("db:*"), named("db", WantedPorts::These(Ports::all())));
        assert_eq!(read("db:*/tcp"), named("db", these(&[tcp(1, 65_535)])));
        assert_eq!(read("10.0.1.10/icmp"), named("10.0.1.10", these(&[PortRange::Echo])));
        assert_eq!(read("db/47"), named("db", these(&[PortRange::Protocols(47, 47)])));
        let all = WantedPorts::These(Ports::all());
        assert_eq!(
            read("internet:*"),
            Ok(Destination { place: DestinationSpec::Internet, ports: all })
        );
    }

    #[test]
    fn an_address_with_a_length_is_a_block() {
        let block = |argument| Destination::parse(argument, None).map(|d| (d.place, d.ports));
        let all = || DestinationSpec::Block("10.0.0.0/16".parse().unwrap());
        assert_eq!(block("10.0.0.0/16"), Ok((all(), WantedPorts::Listening(None))));
        assert_eq!(block("10.0.0.0/16:5432"), Ok((all(), these(&[tcp(5432, 5432)]))));
        assert_eq!(block("10.0.0.0/16:*"), Ok((all(), WantedPorts::These(Ports::all()))));
        assert_eq!(block("10.0.0.0/16:53/udp"), Ok((all(), these(&[udp(53)]))));
        assert_eq!(block("10.0.0.0/16/icmp"), Ok((all(), these(&[PortRange::Echo]))));
        let everything = "0.0.0.0/0".parse().unwrap();
        assert_eq!(
            block("0.0.0.0/0:1").map(|(place, _)| place),
            Ok(DestinationSpec::Block(everything))
        );
    }

    #[test]
    fn the_option_names_the_protocol_and_agrees_with_the_slash() {
        let with = Destination::parse;
        assert_eq!(with("db", Some("47")), named("db", these(&[PortRange::Protocols(47, 47)])));
        assert_eq!(with("db:53", Some("udp")), named("db", these(&[udp(53)])));
        assert_eq!(with("db:53/udp", Some("17")), named("db", these(&[udp(53)])));
        assert_eq!(
            error("db:53/udp", Some("tcp")),
            "`/udp` and `--protocol tcp` are two protocols; give one of them"
        );
    }

    #[test]
    fn urls_give_host_and_port() {
        let read = |argument| Destination::parse(argument, None);
        assert_eq!(
            read("https://api.example/v1?q=1"),
            named("api.example", these(&[tcp(443, 443)]))
        );
        assert_eq!(
            read("postgres://user:secret@db.internal/shop"),
            named("db.internal", these(&[tcp(5432, 5432)]))
        );
        assert_eq!(read("redis://10.0.1.20:6380"), named("10.0.1.20", these(&[tcp(6380, 6380)])));
        assert_eq!(read("https://internet/"), named("internet", these(&[tcp(443, 443)])));
        assert_eq!(
            error("gopher://host/x", None),
            "gopher has no port that egret knows; write gopher://host:PORT"
        );
        assert_eq!(
            error("https://", None),
            "`https://` is not a URL with a host; write SCHEME://HOST[:PORT], or HOST:PORT"
        );
        assert!(error("http://[2001:db8::1]:80/", None).starts_with("`2001:db8::1` is an IPv6"));
        assert_eq!(error("https://host/", Some("icmp")), "icmp has no ports; leave `:443` out");
    }

    #[test]
    fn an_ipv6_address_is_named_whole() {
        for argument in ["2001:db8::1", "[2001:db8::1]:443", "[2001:db8::1]/udp", "2001:db8::1/64"]
        {
            let said = error(argument, None);
            assert!(said.starts_with("`2001:db8::1` is an IPv6 address"), "{said}");
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let error = |argument| error(argument, None);
        assert_eq!(error("db:0"), "`0` is not a port; use a number from 1 to 65535");
        assert_eq!(error("db:http"), "`http` is not a port; use a number from 1 to 65535");
        assert_eq!(error("db:+5"), "`+5` is not a port; use a number from 1 to 65535");
        assert_eq!(error("db:"), "`` is not a port; use a number from 1 to 65535");
        assert_eq!(error("db:9-7"), "`9-7` has no port in it: write 7-9");
        assert_eq!(error("db:7/icmp"), "icmp has no ports; leave `:7` out");
        assert_eq!(
            error("db/sctp"),
            "`sctp` is not a protocol; use tcp, udp, icmp or a number from 0 to 255"
        );
        assert_eq!(
            error("10.0.0.1/16:443"),
            "`10.0.0.1/16` is not a block: write 10.0.0.0/16 for the block, 10.0.0.1 for the address \
             alone, or --protocol 16 for the protocol"
        );
        assert_eq!(
            error("10.0.0.1/47"),
            "`10.0.0.1/47` is not a block, whose length is at most 32; \
             write 10.0.0.1 --protocol 47 for a protocol"
        );
        assert_eq!(
            error(":443"),
            "`:443` names no destination; write an address, a name, a block or `internet`"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", option in proptest::option::of("\\PC*")) {
            let read = Destination::parse(&text, option.as_deref());
            prop_assert!(read.is_ok() || !read.unwrap_err().to_string().is_empty());
        }

        #[test]
        fn any_near_miss_is_read_or_refused(text in "[a-z0-9./:*,@\\[\\]-]{0,30}(://)?[a-z0-9./:*,@-]{0,20}") {
            let read = Destination::parse(&text, None);
            prop_assert!(read.is_ok() || !read.unwrap_err().to_string().is_empty());
        }
    }
}
