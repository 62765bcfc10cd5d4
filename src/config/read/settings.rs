//! Reads the keys before the first section, `[limits]` and `[timeouts]`.

use crate::config::diagnostic::{At, Span};
use crate::config::form;
use crate::config::key::{Key, Table, Type, words};
use crate::config::reader::{Section, Value};
use crate::config::spec::{DeviceKind, Offload};
use crate::config::text::{self, Fault};
use crate::vpc::{Limits, Mtu, Timeouts};
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The keys before the first section.
pub(super) const KEYS: [Key; 10] = [
    Key::optional(
        "lab",
        Type::Text(form::LAB_NAME),
        "The lab's name, which its network namespaces begin with; egret if absent.",
    ),
    Key::optional("region", Type::Text(form::REGION), "The AWS region; us-east-1 if absent."),
    Key::optional(
        "device",
        Type::Words(&words(&DEVICES)),
        "The kind of TUN devices: with the kernel's offload header, without it, or, with auto and if \
         absent, as the kernel offers.",
    ),
    Key::optional(
        "offload",
        Type::Words(&words(&OFFLOADS)),
        "Whether the kernel carries established flows by itself; auto, if absent, is where it can.",
    ),
    Key::optional(
        "offload_grace",
        Type::Text(form::DURATION),
        "How long established flows go on after the lab's process has died: 0s, if absent, or 1s to \
         10m.",
    ),
    Key::optional(
        "queues",
        // Each is a thread for every ENI and NAT gateway.
        Type::Integer(1, 16),
        "How many queues the TUN device of each ENI and NAT gateway has; 1 if absent.",
    ),
    Key::optional(
        "task_cidr",
        Type::Text(form::CIDR),
        "The private network where tasks get their addresses; 100.64.0.0/10 if absent.",
    ),
    Key::optional(
        "mtu",
        MTU,
        "The MTU of tasks and of the links into VPCs, in bytes; 1500 if absent.",
    ),
    Key::optional(
        "internet_mtu",
        MTU,
        "The MTU of the link to the internet, in bytes; 1500 if absent.",
    ),
    Key::optional(
        "apprunner_public_ip",
        Type::Text(form::PUBLIC_ADDRESS),
        "The source address of services without a VPC, as others see it.",
    ),
];

const MTU: Type = Type::Integer(576, 9001);

const DEVICES: [(&str, DeviceKind); 3] =
    [("auto", DeviceKind::Auto), ("vnet", DeviceKind::Vnet), ("plain", DeviceKind::Plain)];

const OFFLOADS: [(&str, Offload); 3] =
    [("auto", Offload::Auto), ("on", Offload::On), ("off", Offload::Off)];

pub(super) struct Settings {
    pub(super) lab: At<String>,
    pub(super) region: String,
    pub(super) device: DeviceKind,
    pub(super) offload: Offload,
    pub(super) offload_grace: Duration,
    pub(super) queues: u16,
    pub(super) task_cidr: At<Ipv4Network>,
    pub(super) apprunner_public_ip: Option<At<Ipv4Addr>>,
    pub(super) mtu: Mtu,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) time_scale: f64,
}

pub(super) fn read(root: &Section<'_>) -> Settings {
    let mtu = |key| root.get(key).and_then(|v| v.integer()).map(|at| number(*at));
    let inside = mtu("mtu").unwrap_or(Mtu::default().vpc);
    let (timeouts, time_scale) = timeouts(root);
    let device = root.get("device").and_then(device).unwrap_or_default();
    Settings {
        lab: root
            .get("lab")
            .and_then(|v| v.parse(text::lab_name))
            .unwrap_or_else(|| implied("egret".to_owned())),
        region: root
            .get("region")
            .and_then(|v| v.parse(text::region))
            .map_or_else(|| "us-east-1".to_owned(), |at| at.value),
        device,
        offload: root.get("offload").and_then(offload).unwrap_or_default(),
        offload_grace: root.get("offload_grace").and_then(|v| grace(root, v)).unwrap_or_default(),
        queues: root.get("queues").and_then(|v| queues(&v, device)).unwrap_or(1),
        task_cidr: root.get("task_cidr").and_then(|v| v.cidr()).unwrap_or_else(task_cidr),
        apprunner_public_ip: root
            .get("apprunner_public_ip")
            .and_then(|v| v.parse(text::public_address)),
        mtu: Mtu {
            task: inside,
            vpc: inside,
            internet: mtu("internet_mtu").unwrap_or(Mtu::default().internet),
        },
        limits: limits(root),
        timeouts,
        time_scale,
    }
}

fn implied<T>(value: T) -> At<T> {
    At { value, span: Span::default() }
}

/// Returns RFC 6598's shared address space, which is in no VPC.
fn task_cidr() -> At<Ipv4Network> {
    let network = Ipv4Network::new_checked(Ipv4Addr::new(100, 64, 0, 0), 10);
    implied(network.unwrap_or_else(|| Ipv4Network::from(Ipv4Addr::UNSPECIFIED)))
}

fn device(value: Value<'_>) -> Option<DeviceKind> {
    Some(value.one_of(&DEVICES)?.value)
}

fn offload(value: Value<'_>) -> Option<Offload> {
    Some(value.one_of(&OFFLOADS)?.value)
}

/// Reads `offload_grace`. Without offload there are no flows that it could keep.
fn grace(root: &Section<'_>, value: Value<'_>) -> Option<Duration> {
    let grace = value.parse_number_too(text::grace)?.value;
    if !grace.is_zero() && root.get("offload").and_then(offload) == Some(Offload::Off) {
        let message = "without offload, no flow continues when the lab's process dies";
        value.error("no-offload", message, "remove offload = \"off\" or offload_grace");
        return None;
    }
    Some(grace)
}

fn queues(value: &Value<'_>, device: DeviceKind) -> Option<u16> {
    let queues = value.integer()?;
    if device == DeviceKind::Plain && *queues > 1 {
        value.error(
            "plain-device-queues",
            "a plain device has one queue",
            "leave `queues` out, or `device`: one with the vnet header may have several",
        );
        return None;
    }
    Some(number(*queues))
}

pub(super) static LIMITS: Table = Table::new(
    "[limits]",
    &[
        Key::optional(
            "nat_connections_per_destination",
            // A NAT gateway has source ports 1024 to 65535 (spec 6), so no more flows with one
            // destination.
            Type::Integer(1, 64_512),
            "Flows of each address of a NAT gateway with one destination; 55000 if absent.",
        ),
        Key::optional(
            "eni_connections",
            Type::Integer(1, 10_000_000),
            "Flows of an ENI in all; 65000 if absent.",
        ),
        Key::optional(
            "dns_packets_per_second",
            Type::Integer(1, 10_000_000),
            "Packets of an ENI to the resolver within a second; 1024 if absent.",
        ),
    ],
);

fn limits(root: &Section<'_>) -> Limits {
    let section = root.get("limits").and_then(|v| v.table());
    let limit = |key, default| {
        let value = section.as_ref().and_then(|s| s.get(key)).and_then(|v| v.integer());
        value.map_or(default, |at| u32::try_from(*at).unwrap_or(default))
    };
    let aws = Limits::default();
    Limits {
        nat_connections_per_destination: limit(
            "nat_connections_per_destination",
            aws.nat_connections_per_destination,
        ),
        eni_connections: limit("eni_connections", aws.eni_connections),
        dns_packets_per_second: limit("dns_packets_per_second", aws.dns_packets_per_second),
    }
}

pub(super) static TIMEOUTS: Table = Table::new(
    "[timeouts]",
    &[
        timeout("tcp_idle", "How long an idle established TCP flow is remembered; 350s if absent."),
        timeout("tcp_opening", "The same before the TCP handshake is complete; 60s if absent."),
        timeout("tcp_half_closed", "The same after FIN one way; 350s if absent."),
        timeout("tcp_closing", "The same after FIN both ways, or a refusal; 2s if absent."),
        timeout("tcp_reset", "The same after RST of an established flow; 240s if absent."),
        timeout("udp_idle", "The same of datagrams through a NAT; 350s if absent."),
        timeout(
            "eni_udp",
            "The same of datagrams that only an ENI tracks, before a second request or reply; 120s \
             if absent.",
        ),
        timeout(
            "eni_udp_stream",
            "The same after more than one request and reply; 120s if absent.",
        ),
        timeout("icmp_idle", "The same of pings; 350s if absent."),
        timeout("other_idle", "The same of other protocols; 600s if absent."),
        Key::optional(
            "port_quarantine",
            Type::Text(form::DURATION),
            "How long a port rests before another flow with the same destination gets it; 1s if \
             absent.",
        ),
        Key::optional(
            "time_scale",
            Type::Number(text::TIME_SCALES.0, text::TIME_SCALES.1),
            "What all of them are divided by: at 100.0, 350 s pass in 3.5 s; 1.0 if absent.",
        ),
    ],
);

const fn timeout(name: &'static str, about: &'static str) -> Key {
    Key::optional(name, Type::Text(form::TIMEOUT), about)
}

fn timeouts(root: &Section<'_>) -> (Timeouts, f64) {
    let section = root.get("timeouts").and_then(|v| v.table());
    let get = |key| section.as_ref().and_then(|s| s.get(key));
    let read = |key, parse: fn(&str) -> Result<Duration, Fault>, default| {
        get(key).and_then(|value| value.parse_number_too(parse)).map_or(default, |at| at.value)
    };
    let timeout = |key, default| read(key, text::timeout, default);
    let aws = Timeouts::default();
    let timeouts = Timeouts {
        tcp_idle: timeout("tcp_idle", aws.tcp_idle),
        tcp_opening: timeout("tcp_opening", aws.tcp_opening),
        tcp_half_closed: timeout("tcp_half_closed", aws.tcp_half_closed),
        tcp_closing: timeout("tcp_closing", aws.tcp_closing),
        tcp_reset: timeout("tcp_reset", aws.tcp_reset),
        udp_idle: timeout("udp_idle", aws.udp_idle),
        eni_udp: timeout("eni_udp", aws.eni_udp),
        eni_udp_stream: timeout("eni_udp_stream", aws.eni_udp_stream),
        icmp_idle: timeout("icmp_idle", aws.icmp_idle),
        other_idle: timeout("other_idle", aws.other_idle),
        port_quarantine: read("port_quarantine", text::duration, aws.port_quarantine),
    };
    (timeouts, get("time_scale").and_then(time_scale).unwrap_or(1.0))
}

fn time_scale(value: Value<'_>) -> Option<f64> {
    let number = value.number()?;
    if text::is_time_scale(*number) {
        return Some(*number);
    }
    value.error("out-of-range", "time_scale is out of range", text::TIME_SCALE);
    None
}

fn number(value: i64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
