//! One struct per row of the commands' lists. The daemon fills them, the tables show them, and
//! `--json` prints them.

use super::columns::cut;
use crate::pipeline::NatMetrics;
use crate::pipeline::watch::Filter;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

/// The packets that the kernel forwarded, without the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offloaded {
    /// Packets from tasks, in wire segments.
    pub packets_out: u64,
    /// Bytes from tasks.
    pub bytes_out: u64,
    /// Packets to tasks, in wire segments.
    pub packets_in: u64,
    /// Bytes to tasks.
    pub bytes_in: u64,
}

/// A row of `egret flows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRow {
    /// The service.
    pub service: String,
    /// The task's number within it.
    pub task: u16,
    /// `tcp`, `udp`, `icmp`, or the protocol number.
    pub protocol: String,
    /// The flow's state, such as `established`.
    pub state: String,
    /// The task's side, such as `100.64.0.2:5000`.
    pub inside: String,
    /// The destination, as the task has it.
    pub destination: String,
    /// The ENI's id.
    pub eni: String,
    /// The port leased at the ENI.
    pub eni_port: u16,
    /// The NAT gateway's id, if the flow goes through one.
    pub nat_gateway: Option<String>,
    /// The source that the destination sees, such as `198.51.100.7:1025`.
    pub outside: String,
    /// The rule that admitted the flow.
    pub admitted_by: String,
    /// That rule's line in the lab file.
    pub line: Option<u32>,
    /// The configuration of the rule, if the present one no longer has it or has changed it.
    pub rule_generation: Option<u32>,
    /// Packets towards the destination, in wire segments.
    pub packets_out: u64,
    /// Bytes towards the destination.
    pub bytes_out: u64,
    /// Packets towards the task, in wire segments.
    pub packets_in: u64,
    /// Bytes towards the task.
    pub bytes_in: u64,
    /// The carrier of its packets now: `offload` for the kernel, else `userspace`.
    #[serde(default)]
    pub path: String,
    /// The part of all this that the kernel forwarded.
    #[serde(default)]
    pub offloaded: Offloaded,
    /// Milliseconds since the first packet.
    pub age_ms: u64,
    /// Milliseconds since the last packet.
    pub idle_ms: u64,
    /// Milliseconds until the flow expires if no packet comes.
    pub expires_ms: u64,
    /// The configuration under which it was last admitted.
    pub generation: u32,
    /// The configuration whose rule admitted its first packet.
    pub admitted_under: u32,
}

/// A row of `egret drops`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DropRow {
    /// The reason's name.
    pub reason: String,
    /// The rule or object that decided.
    pub rule: String,
    /// Its line in the lab file.
    pub line: Option<u32>,
    /// The configuration of the rule, if the present one no longer has it or has changed it.
    pub rule_generation: Option<u32>,
    /// The service, if the packet is a task's.
    pub service: Option<String>,
    /// The task's number.
    pub task: Option<u16>,
    /// Source address, for IPv6 the task's IPv4 address; `None` if several are counted together or
    /// the packet has none.
    pub source: Option<Ipv4Addr>,
    /// Destination address; `None` as for the source.
    pub destination: Option<IpAddr>,
    /// The server's address: the destination of a task's packet, or the source of a reply to a
    /// task; `None` as for the source.
    pub server: Option<IpAddr>,
    /// Protocol; `None` as for the source.
    pub protocol: Option<String>,
    /// The server's port: the destination's for a request, the source's for a reply; `None` without
    /// ports.
    pub port: Option<u16>,
    /// The number of packets.
    pub packets: u64,
    /// Milliseconds since the first packet.
    pub first_seen_ms_ago: u64,
    /// Milliseconds since the last packet.
    pub last_seen_ms_ago: u64,
}

/// Returns the row of a drop of which only the reason is known, without packets.
pub fn unnamed_drop(reason: &str) -> DropRow {
    DropRow {
        reason: reason.to_owned(),
        rule: String::new(),
        line: None,
        rule_generation: None,
        service: None,
        task: None,
        source: None,
        destination: None,
        server: None,
        protocol: None,
        port: None,
        packets: 0,
        first_seen_ms_ago: 0,
        last_seen_ms_ago: 0,
    }
}

impl DropRow {
    /// Merges rows that differ only in packets and times, as after a reload that changed neither
    /// the rule nor its line; in the order of the first of each.
    pub fn merged(rows: Vec<Self>) -> Vec<Self> {
        let mut merged: Vec<Self> = Vec::new();
        let mut places: HashMap<Self, usize> = HashMap::new();
        for row in rows {
            let bare =
                Self { packets: 0, first_seen_ms_ago: 0, last_seen_ms_ago: 0, ..row.clone() };
            let place = *places.entry(bare).or_insert(merged.len());
            match merged.get_mut(place) {
                Some(sum) => sum.add(&row),
                None => merged.push(row),
            }
        }
        merged
    }

    /// Adds another row's packets, and spans its times.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.first_seen_ms_ago = self.first_seen_ms_ago.max(other.first_seen_ms_ago);
        self.last_seen_ms_ago = self.last_seen_ms_ago.min(other.last_seen_ms_ago);
    }

    /// Decides whether a filter selects it. The server's end is the destination, or the source of a
    /// reply.
    pub fn is_of(&self, filter: &Filter) -> bool {
        let has = |end: Option<IpAddr>| match end {
            Some(IpAddr::V4(address)) => filter.has_address(address),
            Some(IpAddr::V6(_)) | None => filter.destinations.is_empty(),
        };
        (has(self.destination) || has(self.source.map(IpAddr::V4)))
            && filter.port.is_none_or(|port| self.port == Some(port))
            && filter.task.is_none_or(|task| self.task == Some(task))
            && filter.service.as_ref().is_none_or(|service| self.service.as_ref() == Some(service))
    }
}

/// A row of `egret enis`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EniRow {
    /// The id.
    pub id: String,
    /// The TUN device.
    pub device: String,
    /// The number of its queues, each with a worker.
    #[serde(default)]
    pub queues: usize,
    /// The number of workers that have ended or hang: packets that come to them are lost.
    #[serde(default)]
    pub dead_workers: usize,
    /// `hyperplane`, `task`, `nat-gateway` or `app-runner`.
    pub kind: String,
    /// The subnet; `None` for App Runner's own egress.
    pub subnet: Option<String>,
    /// The Availability Zone, as the subnet's.
    pub availability_zone: Option<String>,
    /// The security groups' ids.
    pub security_groups: Vec<String>,
    /// The private address.
    pub address: Option<Ipv4Addr>,
    /// The public address, if it has one.
    pub public_address: Option<Ipv4Addr>,
    /// The private addresses besides the primary one; a NAT gateway may have seven.
    #[serde(default)]
    pub secondary_addresses: Vec<Ipv4Addr>,
    /// The public addresses besides the primary one.
    #[serde(default)]
    pub secondary_public_addresses: Vec<Ipv4Addr>,
    /// The state of a NAT gateway, such as `available`; `pending` for an ENI that is not up yet;
    /// `dead` for either if it has dead workers.
    #[serde(default)]
    pub state: Option<String>,
    /// The services that share it.
    pub services: Vec<String>,
    /// The connectors that share it.
    pub connectors: Vec<String>,
    /// `InterfaceType`, as EC2 would show it; `None` for App Runner's own egress, which is not an
    /// interface of the account.
    #[serde(default)]
    pub interface_type: Option<String>,
    /// Set if an AWS service manages it on the account's behalf.
    #[serde(default)]
    pub requester_managed: bool,
    /// The tags, EC2's `TagSet`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The number of attached tasks.
    pub tasks: u64,
    /// The number of flows through it.
    pub flows: u64,
    /// Packets from tasks, in wire segments.
    pub packets_out: u64,
    /// Bytes from tasks.
    pub bytes_out: u64,
    /// Packets to tasks, in wire segments.
    pub packets_in: u64,
    /// Bytes to tasks.
    pub bytes_in: u64,
    /// The part of all this that the kernel forwarded.
    #[serde(default)]
    pub offloaded: Offloaded,
    /// Packets dropped.
    pub drops: u64,
    /// Packets for which there was no port.
    #[serde(default)]
    pub port_errors: u64,
    /// The metrics of a NAT gateway that CloudWatch shows, by AWS's names.
    #[serde(default)]
    pub metrics: Option<NatMetrics>,
}

/// A row of `egret enis --holders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderRow {
    /// The ENI or NAT gateway.
    pub id: String,
    /// The destination for which its ports are counted, such as `203.0.113.10:443/tcp`; `None` for
    /// an ENI, which counts all ports together.
    pub destination: Option<String>,
    /// The number of ports that all tasks hold there.
    pub taken: u64,
    /// The number of ports that can be leased.
    pub limit: u64,
    /// The service.
    pub service: String,
    /// The task's number within it.
    pub task: u16,
    /// The number of ports that this task holds.
    pub ports: u64,
}

/// One screen of `egret top`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopTable {
    /// The length of the measured period, in seconds.
    pub seconds: f64,
    /// The rows, those with the most bytes first.
    pub rows: Vec<TopRow>,
    /// The number of rows for which there was no room.
    pub more: usize,
    /// Packets dropped by the engine per second, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// A row of `egret top`. Rates are per second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopRow {
    /// The flow, ENI, gateway or service.
    pub name: String,
    /// The number of its flows.
    pub flows: u64,
    /// Bits from tasks.
    pub bits_out: u64,
    /// Packets from tasks, in wire segments.
    pub packets_out: u64,
    /// Bits to tasks.
    pub bits_in: u64,
    /// Packets to tasks, in wire segments.
    pub packets_in: u64,
    /// The part of all bits that the kernel forwarded, both ways.
    #[serde(default)]
    pub offloaded_bits: u64,
}

/// A program that still ran in a namespace that a command removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// The process id.
    pub pid: u32,
    /// The task, as SERVICE/N; `None` in a namespace that is not a task's, or of a lab that did not
    /// answer.
    pub task: Option<String>,
    /// The name that the namespace had.
    pub namespace: String,
    /// `runs`, `ended by SIGTERM` or `ended by SIGKILL`.
    pub state: String,
    /// The command line.
    pub command: String,
}

impl ProcessRow {
    /// Decides whether it still runs.
    pub fn runs(&self) -> bool {
        self.state == "runs"
    }

    /// Returns as much of the command line as fits a line.
    pub fn command_in_short(&self) -> String {
        cut(&self.command, 40)
    }
}

/// A resource of a running lab, for `egret resource list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRow {
    /// The resource.
    pub resource: String,
    /// Its address in the VPC.
    pub address: Ipv4Addr,
    /// Its subnet.
    pub subnet: String,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Where the lab itself answers, as `PORT/PROTOCOL`; empty while the resource is attached.
    pub listens: Vec<String>,
    /// The network namespace that answers at the address, by the name that the lab gave it; `None`
    /// if the lab itself does.
    pub namespace: Option<String>,
    /// The interface that the lab made in that namespace.
    pub interface: Option<String>,
    /// The id that a container engine gave what it attached.
    pub container: Option<String>,
}

/// A row of `egret ps`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PsRow {
    /// The service.
    pub service: String,
    /// The task's number within it.
    pub task: u16,
    /// The task's network namespace.
    pub namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its ENI; `None` for `egress = "default"`.
    pub eni: Option<String>,
    /// The ENI's subnet.
    pub subnet: Option<String>,
    /// The subnet's Availability Zone.
    pub availability_zone: Option<String>,
    /// `vpc` or `default`.
    pub egress: String,
    /// The origin: the lab `file`, the App Runner `api`, the command `task add`, `exec` or `bench`,
    /// or `attached` if another program made the namespace.
    #[serde(default)]
    pub origin: String,
    /// The id that a container engine gave what it attached.
    #[serde(default)]
    pub container: Option<String>,
    /// `ok`, or `broken` if its link is not as the lab made it.
    #[serde(default)]
    pub state: String,
    /// The faults.
    #[serde(default)]
    pub faults: Vec<String>,
    /// The commands that repair it.
    #[serde(default)]
    pub way_out: Option<String>,
    /// The present configuration.
    pub generation: u32,
    /// The speed of the lab's timeouts: at 100.0, 350 s pass in 3.5 s.
    pub time_scale: f64,
}
