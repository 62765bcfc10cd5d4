//! Parses strings with a meaning: CIDR blocks, addresses, ports, protocols, durations, names.

use super::apprunner::StartupLatency;
use super::names::nearest;
use crate::packet::Protocol;
use crate::vpc::{Listen, PortMatch, ProtocolMatch, Speaks};
use ipnetwork::Ipv4Network;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The reason why a string does not have the meaning that it should.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) rule: &'static str,
    pub(super) message: String,
    pub(super) help: String,
}

fn fault(rule: &'static str, message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault { rule, message: message.into(), help: help.into() }
}

/// Parses an id or name: AWS's own ids have this form, and namespaces can be named after it.
pub(super) fn word(text: &str) -> Result<String, Fault> {
    let bad = |why: &str| {
        fault(
            "bad-name",
            format!("{text:?} {why}"),
            "use 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
        )
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text {
        "local" | "blackhole" => Err(bad("means something else in a route")),
        _ if text.is_empty() || text.len() > 64 => Err(bad("is not 1 to 64 characters long")),
        _ if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            Err(bad("does not begin with a letter or digit"))
        }
        _ if !text.chars().all(valid) => Err(bad("has a character that a name cannot have")),
        _ => Ok(text.to_owned()),
    }
}

/// Parses the value of a tag `Name`.
pub(super) fn name_tag(text: &str) -> Result<String, Fault> {
    match text.is_empty() {
        true => Err(fault("bad-name", "a name is not empty", "write a name, or remove the key")),
        false => Ok(text.to_owned()),
    }
}

/// Parses `ServiceName` and `VpcConnectorName` (spec 1.4), without AWS's minimum of 4 characters.
pub(super) fn apprunner_name(text: &str) -> Result<String, Fault> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && text.len() <= 40 && text.chars().all(valid) {
        return Ok(text.to_owned());
    }
    Err(fault(
        "bad-name",
        format!("App Runner does not take the name {text:?}"),
        "use 1 to 40 of A-Z a-z 0-9 _ -, beginning with a letter or digit",
    ))
}

/// Parses an address and a port to listen at.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        fault(
            "bad-address",
            format!("{text:?} is not an address with a port"),
            "write both, such as \"127.0.0.1:4566\"",
        )
    })
}

/// Parses an AWS account's id.
pub(super) fn account(text: &str) -> Result<String, Fault> {
    if text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let message = format!("{text:?} is not the id of an account");
    Err(fault("bad-account", message, "write its 12 digits, such as \"123456789012\""))
}

/// Parses a file's path.
pub(super) fn file(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.contains('\0') {
        let message = format!("{text:?} is not the path of a file");
        return Err(fault("bad-path", message, "write a path, such as \"lab.sqlite\""));
    }
    Ok(text.to_owned())
}

/// Parses the name of a group of users.
pub(super) fn group_name(text: &str) -> Result<String, Fault> {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.len() <= 32 && text.starts_with(begins) && text.chars().all(valid) {
        return Ok(text.to_owned());
    }
    Err(fault(
        "bad-group",
        format!("{text:?} is not the name of a group of users"),
        "write the name of a group of this host, such as \"egret\": `getent group` lists them",
    ))
}

/// Parses the id of an access key, as a signature can name it.
pub(super) fn key_id(text: &str) -> Result<String, Fault> {
    let valid = |c: char| c.is_ascii_alphanumeric();
    if (1..=128).contains(&text.len()) && text.chars().all(valid) {
        return Ok(text.to_owned());
    }
    // Without the text: it may be the secret, given in place of the id.
    Err(fault(
        "bad-access-key",
        "this is not the id of an access key",
        "write 1 to 128 letters and digits, such as \"AKIAEXAMPLE\"",
    ))
}

/// Parses the secret of an access key, which no message shows.
pub(super) fn secret(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Err(fault("bad-access-key", "the secret is empty", "give the key a secret"));
    }
    Ok(text.to_owned())
}

/// Parses a name of the DNS (RFC 1035, 2.3.4), and returns it in lower case and without the dot at
/// the end.
pub(super) fn dns_name(text: &str) -> Result<String, Fault> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(valid)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name);
    }
    Err(fault(
        "bad-dns-name",
        format!("{text:?} is not a DNS name"),
        "use labels of 1 to 63 of a-z 0-9 _ -, with dots between, such as \"db.corp.internal\"",
    ))
}

/// Parses one string of a TXT record (RFC 1035, 3.3.14).
pub(super) fn txt_value(text: &str) -> Result<String, Fault> {
    if text.len() <= 255 {
        return Ok(text.to_owned());
    }
    let message =
        format!("a string of a TXT record has at most 255 bytes, this one has {}", text.len());
    Err(fault("bad-record", message, "write several values"))
}

/// Parses the lab's name, which prefixes its namespaces.
pub(super) fn lab_name(text: &str) -> Result<String, Fault> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=32).contains(&text.len()) && text.chars().all(valid) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err(fault(
        "bad-name",
        format!("a lab cannot be called {text:?}"),
        "use 1 to 32 of a-z 0-9 -, not beginning with -: network namespaces are named after it",
    ))
}

/// Parses a region, by the form that all of AWS's have: a list of them would age.
pub(super) fn region(text: &str) -> Result<String, Fault> {
    if is_region(text) {
        return Ok(text.to_owned());
    }
    Err(fault(
        "bad-region",
        format!("{text:?} is not an AWS region"),
        "write a region, such as us-east-1, us-gov-west-1, eusc-de-east-1 or cn-north-1",
    ))
}

/// Decides whether a word has the form of a region: a partition or continent, one word or two, and
/// a number.
pub(super) fn is_region(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let [first, words @ .., number] = parts.as_slice() else { return false };
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && !part.starts_with('0');
    (2..=4).contains(&first.len())
        && is_word(first)
        && (1..=2).contains(&words.len())
        && words.iter().all(is_word)
        && (1..=2).contains(&number.len())
        && is_number(number)
}

/// Returns the region of an Availability Zone, or of a local zone, by its name.
pub(super) fn region_of_zone(zone: &str) -> Option<&str> {
    let own = zone.strip_suffix(|letter: char| letter.is_ascii_lowercase());
    let outer = zone.match_indices('-').map(|(at, _)| &zone[..at]);
    own.into_iter().chain(outer).find(|word| is_region(word))
}

/// Parses an Availability Zone, a local zone or one of a carrier, by its name or id.
pub(super) fn zone(text: &str) -> Result<String, Fault> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=64).contains(&text.len()) && text.chars().all(valid) {
        return Ok(text.to_owned());
    }
    let message = format!("{text:?} is not the name of an Availability Zone");
    Err(fault("bad-zone", message, "use 1 to 64 of a-z 0-9 -, such as \"us-east-1a\""))
}

/// Parses the service of an endpoint, such as `com.amazonaws.us-east-1.s3`.
pub(super) fn endpoint_service(text: &str) -> Result<String, Fault> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (1..=255).contains(&text.len()) && text.chars().all(valid) {
        return Ok(text.to_owned());
    }
    let message = format!("{text:?} is not the name of a service that has endpoints");
    Err(fault(
        "bad-service",
        message,
        "use 1 to 255 of A-Z a-z 0-9 . _ -, such as \"com.amazonaws.us-east-1.s3\"",
    ))
}

/// Parses an IPv4 CIDR block, and keeps its host bits.
pub(super) fn cidr(text: &str) -> Result<Ipv4Network, Fault> {
    let help = "write an IPv4 network and its length, such as 10.0.1.0/24";
    if text.contains(':') {
        return Err(ipv6(text));
    }
    let Some((address, length)) = text.split_once('/') else {
        let help = match text.parse::<Ipv4Addr>() {
            Ok(_) => format!("for one address, write {text}/32"),
            Err(_) => help.to_owned(),
        };
        return Err(fault("bad-cidr", format!("{text:?} is not a CIDR block"), help));
    };
    let length = length.parse().ok().filter(|_| length.bytes().all(|b| b.is_ascii_digit()));
    match (address.parse(), length) {
        (Ok(address), Some(length @ 0..=32)) => Ipv4Network::new(address, length)
            .map_err(|error| fault("bad-cidr", error.to_string(), help)),
        (Ok(_), _) => Err(fault(
            "bad-cidr",
            format!("the length of {text:?} is not a number from 0 to 32"),
            help,
        )),
        (Err(_), _) => Err(fault("bad-cidr", format!("{text:?} is not a CIDR block"), help)),
    }
}

/// Parses an IPv4 address.
pub(super) fn address(text: &str) -> Result<Ipv4Addr, Fault> {
    if text.contains(':') {
        return Err(ipv6(text));
    }
    text.parse().map_err(|_| {
        fault(
            "bad-address",
            format!("{text:?} is not an IPv4 address"),
            "write four numbers, such as 10.0.1.10",
        )
    })
}

/// Parses an address that the internet can have.
pub(super) fn public_address(text: &str) -> Result<Ipv4Addr, Fault> {
    let address = address(text)?;
    if is_unicast(address) && !is_private(address) {
        return Ok(address);
    }
    Err(fault(
        "not-public",
        format!("{address} cannot be a public address"),
        "take one of a documentation range, such as 198.51.100.7 or 203.0.113.7",
    ))
}

/// Parses an address that a host can have.
pub(super) fn host_address(text: &str) -> Result<Ipv4Addr, Fault> {
    let address = address(text)?;
    if is_unicast(address) {
        return Ok(address);
    }
    Err(fault(
        "bad-address",
        format!("no host can have the address {address}"),
        "take one of a documentation range, such as 203.0.113.10",
    ))
}

fn is_unicast(address: Ipv4Addr) -> bool {
    let bytes = address.octets();
    let reserved = bytes[0] == 0 || bytes[0] >= 240;
    !(reserved || address.is_multicast() || address.is_loopback() || address.is_link_local())
}

/// Decides whether an address is private (RFC 1918 and RFC 6598): an internet gateway does not send
/// to it (spec 3.6).
pub(super) fn is_private(address: Ipv4Addr) -> bool {
    let bytes = address.octets();
    address.is_private() || (bytes[0] == 100 && bytes[1] & 0xc0 == 64)
}

/// Lists the blocks of [`is_private`].
pub(super) fn private_blocks() -> impl Iterator<Item = Ipv4Network> {
    [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([100, 64, 0, 0], 10)]
        .into_iter()
        .filter_map(|(base, prefix)| Ipv4Network::new(base.into(), prefix).ok())
}

/// Decides whether a whole block is private. No block begins in one private network and ends in
/// another, so its ends decide.
pub(super) fn is_private_block(block: Ipv4Network) -> bool {
    is_private(block.network()) && is_private(block.broadcast())
}

fn ipv6(text: &str) -> Fault {
    fault(
        "ipv6",
        format!("{text:?} is IPv6"),
        "egret has IPv4 only: give an IPv4 address or CIDR block, or leave this out",
    )
}

/// Parses ports: `"443"`, `"1024-65535"` or `"all"`.
pub(super) fn ports(text: &str) -> Result<PortMatch, Fault> {
    let help = "write one port (\"443\"), a range (\"1024-65535\") or \"all\"; ports end at 65535";
    if text == "all" {
        return Ok(PortMatch::ALL);
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (Some(from), Some(to)) = (port(from), port(to)) else {
        return Err(fault(
            "bad-ports",
            format!("{text:?} is not a port or a range of ports"),
            help,
        ));
    };
    if from > to {
        return Err(fault(
            "bad-ports",
            format!("the port range {text:?} ends before it begins"),
            format!("write \"{to}-{from}\""),
        ));
    }
    Ok(PortMatch { from, to })
}

fn port(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Parses a protocol: `"tcp"`, `"udp"`, `"icmp"`, `"all"`, `"-1"`, or a protocol number (spec 4.1).
pub(super) fn protocol(text: &str) -> Result<ProtocolMatch, Fault> {
    match text {
        "tcp" => Ok(ProtocolMatch::Is(Protocol::Tcp)),
        "udp" => Ok(ProtocolMatch::Is(Protocol::Udp)),
        "icmp" => Ok(ProtocolMatch::Is(Protocol::Icmp)),
        "all" | "-1" => Ok(ProtocolMatch::All),
        "icmpv6" => Err(ipv6(text)),
        _ => text.parse().map(|number: u8| ProtocolMatch::Is(number.into())).map_err(|_| {
            fault(
                "bad-protocol",
                format!("{text:?} is not a protocol"),
                "write \"tcp\", \"udp\", \"icmp\", \"all\" (or -1), or a number from 0 to 255",
            )
        }),
    }
}

/// Parses a listener, such as `"5432/tcp"`.
pub(super) fn listen(text: &str) -> Result<Listen, Fault> {
    let fault =
        |help: String| fault("bad-listen", format!("{text:?} is not a port to listen on"), help);
    let (number, word) = text.split_once('/').unwrap_or((text, ""));
    let Some(port) = port(number).filter(|port| *port > 0) else {
        return Err(fault(LISTEN_HELP.to_owned()));
    };
    let found = Speaks::WORDS.iter().find(|(name, _)| *name == word);
    let Some((_, speaks)) = found else {
        let words = Speaks::WORDS.map(|(name, _)| name);
        let near = nearest(word, &words).map(|near| format!("did you mean \"{port}/{near}\"?"));
        return Err(fault(near.unwrap_or_else(|| LISTEN_HELP.to_owned())));
    };
    Ok(Listen::new(*speaks, port))
}

/// The way out of a wrong listener.
const LISTEN_HELP: &str = "write a port from 1 to 65535 and tcp, udp, http or https, such as \
                           \"5432/tcp\" or \"443/https\"";

/// Parses the time after which a listener answers.
pub(super) fn delay(text: &str) -> Result<Duration, Fault> {
    let given = duration(text)?;
    if given.is_zero() || given > LONGEST_DELAY {
        let message = format!("{text:?} is not a valid delay of a listener");
        return Err(fault("bad-duration", message, "write \"1ms\" to \"10m\""));
    }
    Ok(given)
}

/// The longest delay of a listener.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// Parses a duration that is not zero: a flow must not end as it begins.
pub(super) fn timeout(text: &str) -> Result<Duration, Fault> {
    let given = duration(text)?;
    if given.is_zero() {
        let message = format!("{text:?} is too short: a flow would end as it begins");
        return Err(fault("bad-duration", message, "write at least \"1ms\""));
    }
    Ok(given)
}

/// Parses a grace: zero, or a time in which a process can die and start again.
pub(super) fn grace(text: &str) -> Result<Duration, Fault> {
    let given = duration(text)?;
    if given.is_zero() || (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&given) {
        return Ok(given);
    }
    let message = format!("{text:?} is not a valid offload_grace");
    Err(fault("bad-duration", message, "write \"0s\" for none, or \"1s\" to \"10m\""))
}

/// Parses `"3m"`, or a range such as `"2m-5m"`: at most an hour.
pub(super) fn latency(text: &str) -> Result<StartupLatency, Fault> {
    let (shortest, longest) = text.split_once('-').unwrap_or((text, text));
    let (shortest, longest) = (duration(shortest.trim())?, duration(longest.trim())?);
    if shortest > longest || longest > Duration::from_secs(3600) {
        let message = format!("{text:?} is not a valid start-up time of ENIs");
        let help =
            "write a duration, or the shortest and the longest, such as \"2m-5m\"; at most 1h";
        return Err(fault("bad-duration", message, help));
    }
    Ok(StartupLatency { shortest, longest })
}

/// Parses a duration: `"350s"`, `"5m"`, `"500ms"`, up to 30 days.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let milliseconds: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let total = milliseconds.and_then(|unit| number.parse::<u64>().ok()?.checked_mul(unit));
    match total {
        Some(total @ 0..=2_592_000_000) => Ok(Duration::from_millis(total)),
        _ => Err(fault(
            "bad-duration",
            format!("{text:?} is not a duration"),
            "write a whole number and ms, s, m or h, such as \"350s\"; at most 720h",
        )),
    }
}

/// The slowest and the fastest speed at which time can pass.
pub(super) const TIME_SCALES: (f64, f64) = (0.001, 100_000.0);

/// The advice on a valid time scale.
pub(super) const TIME_SCALE: &str =
    "give a number from 0.001 to 100000; 100.0 makes 350 s pass in 3.5 s";

/// Decides whether time can pass at this speed.
pub(super) fn is_time_scale(number: f64) -> bool {
    (TIME_SCALES.0..=TIME_SCALES.1).contains(&number)
}
