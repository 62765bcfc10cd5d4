//! A lab without a kernel: the engine, a task, and packets for it.

use crate::config::Lab;
use crate::flow::Instant;
use crate::packet::{Inside, Protocol, TcpFlags, Tuple, VnetHeader, builder};
use crate::pipeline::{Device, Engine, Received, Verdict};
use crate::vpc::{Generation, ServiceIx, Snapshot, Task};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// The first of the flows' destinations.
const OUTSIDE: u32 = u32::from_be_bytes([198, 19, 0, 1]);
/// Flows to one destination, each from a port of its own.
const TO_EACH: u32 = 30_000;
/// The number of destinations that a million flows need.
const DESTINATIONS: u32 = 1_000_000_u32.div_ceil(TO_EACH);
const FIRST_PORT: u32 = 1024;
/// The time, which stands still.
const NOW: Instant = Instant(1_000_000_000);
/// Bytes of the largest packet that the engine sends by itself.
const REPLY: usize = 1024;

/// Writes a lab whose task reaches the internet through a NAT gateway, and whose security group has
/// so many rules, the last of which admits what is measured.
pub(super) fn rules_lab(rules: u32) -> String {
    let mut egress = String::new();
    for n in 1..rules {
        // A range of ports below those that are measured, and a prefix of its own for each.
        let (high, low) = (n / 256, n % 256);
        let _ = writeln!(
            egress,
            "    {{ protocol = \"tcp\", ports = \"1-{n}\", to = \"172.{}.{low}.0/24\" }},",
            16 + high
        );
    }
    egress += "    { protocol = \"tcp\", ports = \"443\", to = \"0.0.0.0/0\" },\n";
    LAB.replace("EGRESS", &egress) + &hosts()
}

/// Writes the flows' destinations.
fn hosts() -> String {
    let host = |n| {
        let address = Ipv4Addr::from_bits(OUTSIDE + n);
        format!("[[internet_host]]\nname = \"host-{n}\"\naddress = \"{address}\"\n")
    };
    (0..DESTINATIONS).map(host).collect()
}

const LAB: &str = r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"

[[subnet]]
id = "public"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "private"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"

[[route_table]]
id = "rtb-public"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]

[[route_table]]
id = "rtb-private"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "nat" }]

[[nat_gateway]]
id = "nat"
subnet = "public"

[[security_group]]
id = "sg"
vpc = "vpc"
egress = [
EGRESS]

[[vpc_connector]]
name = "connector"
subnets = ["private"]
security_groups = ["sg"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "connector"
tasks = 1

[limits]
eni_connections = 10000000
nat_connections_per_destination = 64512
"#;

/// The engine with one task.
pub(super) struct World {
    engine: Engine,
    snapshot: Snapshot,
    task: Task,
    eni: Device,
    buffer: Vec<u8>,
    reply: [u8; REPLY],
}

impl World {
    /// Makes the engine; `None` if the lab file has errors.
    pub(super) fn new(text: &str) -> Option<Self> {
        let snapshot = Lab::parse("bench.toml", text).ok()?.lower(Generation(1));
        let eni = snapshot.choose_eni(ServiceIx(0), 1)?;
        let task = Task { service: ServiceIx(0), number: 1, address: TASK, eni: Some(eni) };
        Some(Self {
            engine: Engine::new(7),
            snapshot: snapshot.with_task(task),
            task,
            eni: Device::Eni(eni),
            buffer: Vec::new(),
            reply: [0; REPLY],
        })
    }

    /// Opens the `n`th flow; `None` if it may not pass.
    pub(super) fn open(&mut self, n: u32) -> Option<()> {
        let syn = packet(n, TcpFlags::SYN);
        self.passes(&syn).then_some(())
    }

    /// Makes a segment of the `n`th flow.
    pub(super) fn segment(n: u32) -> Vec<u8> {
        packet(n, TcpFlags::ACK)
    }

    /// Returns whether a packet of the task is forwarded. The copy is part of the cost, as reading
    /// is for a worker.
    pub(super) fn passes(&mut self, packet: &[u8]) -> bool {
        self.buffer.clear();
        self.buffer.extend_from_slice(packet);
        let (device, vnet) = (self.eni, VnetHeader::default());
        let received = Received { device, bytes: &mut self.buffer, vnet };
        let judged = self.engine.judge(NOW, &self.snapshot, received, &mut self.reply);
        matches!(judged.verdict, Verdict::Forward { .. })
    }

    /// Returns whether the walk would admit the `n`th flow, which is not made.
    pub(super) fn is_admitted(&self, n: u32) -> bool {
        let (src, dst) = ends(n);
        let tuple = Tuple {
            protocol: Protocol::Tcp,
            src: *src.ip(),
            dst: *dst.ip(),
            sport: src.port(),
            dport: dst.port(),
        };
        self.engine.check(NOW, &self.snapshot, &self.task, Inside::new(tuple), (0, 0)).is_ok()
    }
}

fn packet(n: u32, flags: TcpFlags) -> Vec<u8> {
    let (src, dst) = ends(n);
    builder::tcp(src, dst, flags, 100, 0, &[])
}

fn ends(n: u32) -> (SocketAddrV4, SocketAddrV4) {
    let port = u16::try_from(FIRST_PORT + n % TO_EACH).unwrap_or(u16::MAX);
    let to = Ipv4Addr::from_bits(OUTSIDE + n / TO_EACH);
    (SocketAddrV4::new(TASK, port), SocketAddrV4::new(to, 443))
}
