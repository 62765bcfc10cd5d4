//! A lab as large as AWS permits, and packets for it.
#![allow(dead_code, reason = "each bench uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "benches stop at the first surprise"
)]

use egret::config::Lab;
use egret::flow::Instant;
use egret::packet::{Packet, TcpFlags, VnetHeader, builder};
use egret::pipeline::{Device, Engine, Judged, Link, Received, Verdict};
use egret::vpc::{Generation, NatGatewayIx, ServiceIx, Snapshot, Task};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The task that sends every packet.
pub(crate) const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// A host on the internet, behind the NAT gateway.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The number of destinations of a million flows.
const DESTINATIONS: usize = 1_000_000_usize.div_ceil(30_000);
/// A host in another subnet of the VPC.
pub(crate) const DATABASE: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
/// The time of every packet: it stands still.
pub(crate) const NOW: Instant = Instant(1_000_000_000);

/// Returns a lab file with five groups of 60 rules, 500 routes, and ACLs of 20 rules each way on
/// both subnets (spec 3.4, 4.2, 5).
pub(crate) fn largest_lab() -> String {
    let mut text = String::from(
        r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"
[[subnet]]
id = "public"
vpc = "vpc"
availability_zone = "a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
network_acl = "acl"
[[subnet]]
id = "private"
vpc = "vpc"
availability_zone = "a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
network_acl = "acl"
[[subnet]]
id = "data"
vpc = "vpc"
availability_zone = "a"
cidr = "10.0.3.0/24"
network_acl = "acl"
[[nat_gateway]]
id = "nat"
subnet = "public"
[[resource]]
name = "database"
subnet = "data"
address = "10.0.3.10"
security_groups = ["sg-0"]
[[vpc_connector]]
name = "connector"
subnets = ["private"]
security_groups = ["sg-0", "sg-1", "sg-2", "sg-3", "sg-4"]
[[service]]
name = "web"
vpc_connector = "connector"
"#,
    );
    for table in ["rtb-public", "rtb-private"] {
        let target = if table == "rtb-public" { "igw" } else { "nat" };
        let _ = write!(text, "[[route_table]]\nid = \"{table}\"\nvpc = \"vpc\"\nroutes = [");
        for n in 0..499 {
            let _ = write!(
                text,
                "{{ destination = \"172.{}.{}.0/24\", target = \"pcx-gone\", state = \"blackhole\" }},",
                n / 256,
                n % 256
            );
        }
        let _ = writeln!(text, "{{ destination = \"0.0.0.0/0\", target = \"{target}\" }}]");
    }
    for group in 0..5 {
        let _ = write!(text, "[[security_group]]\nid = \"sg-{group}\"\nvpc = \"vpc\"\n");
        for (key, peer) in [("egress", "to"), ("ingress", "from")] {
            let _ = write!(text, "{key} = [");
            for n in 0..58 {
                let port = 10_000 + group * 100 + n;
                let _ = write!(
                    text,
                    "{{ protocol = \"tcp\", ports = \"{port}\", {peer} = \"192.168.{n}.0/24\" }},"
                );
            }
            // The benches' packets match the last rules of the union.
            let last = if group == 4 || key == "ingress" { "443" } else { "20000" };
            let _ = write!(text, "{{ protocol = \"udp\", ports = \"53\", {peer} = \"sg-0\" }},");
            let _ = writeln!(
                text,
                "{{ protocol = \"tcp\", ports = \"{last}\", {peer} = \"0.0.0.0/0\" }}]"
            );
        }
    }
    let _ = write!(text, "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n");
    for key in ["egress", "ingress"] {
        let _ = write!(text, "{key} = [");
        for n in 1..20 {
            let _ = write!(
                text,
                "{{ rule = {n}, action = \"deny\", protocol = \"tcp\", ports = \"{n}\", cidr = \"198.18.{n}.0/24\" }},"
            );
        }
        let _ = writeln!(
            text,
            "{{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }}]"
        );
    }
    for address in (0..DESTINATIONS).map(|n| destination(30_000 * n)).chain([OUTSIDE]) {
        let _ =
            writeln!(text, "[[internet_host]]\nname = \"host-{address}\"\naddress = \"{address}\"");
    }
    text + "[limits]\neni_connections = 10000000\nnat_connections_per_destination = 64512\n"
}

/// A running lab with one task.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) snapshot: Snapshot,
    pub(crate) task: Task,
    pub(crate) eni: Device,
    pub(crate) gateway: Device,
    reply: [u8; 1024],
}

impl World {
    pub(crate) fn new() -> Self {
        let lab = Lab::parse("bench.toml", &largest_lab()).unwrap_or_else(|e| panic!("{e}"));
        let snapshot = lab.lower(Generation(1));
        let eni = snapshot.choose_eni(ServiceIx(0), 1).expect("the service has an ENI");
        let task = Task { service: ServiceIx(0), number: 1, address: TASK, eni: Some(eni) };
        let snapshot = snapshot.with_task(task);
        Self {
            engine: Engine::new(7),
            snapshot,
            task,
            eni: Device::Eni(eni),
            gateway: Device::NatGateway(NatGatewayIx(0)),
            reply: [0; 1024],
        }
    }

    /// Judges one packet, which is rewritten in place.
    #[inline]
    pub(crate) fn judge(&mut self, device: Device, bytes: &mut [u8]) -> Judged {
        let received = Received { device, bytes, vnet: VnetHeader::default() };
        self.engine.judge(NOW, &self.snapshot, received, &mut self.reply)
    }

    /// Opens a connection and completes its handshake; returns a data segment from the task, one
    /// back to it, and the device of the latter.
    pub(crate) fn connect(
        &mut self,
        sport: u16,
        to: (Ipv4Addr, u16),
    ) -> (Vec<u8>, Vec<u8>, Device) {
        let mut syn = from_task(sport, to, TcpFlags::SYN, 100, 0);
        let Verdict::Forward { link, .. } = self.judge(self.eni, &mut syn).verdict else {
            panic!("the connection must pass")
        };
        let out = Packet::parse(&mut syn, VnetHeader::default()).unwrap().tuple();
        let device = match link {
            Link::Internet | Link::PublicEndpoint(_) => self.gateway,
            Link::Vpc(_) | Link::Endpoint(_) | Link::Task(_) | Link::Services => self.eni,
        };
        let back = |flags| {
            let src = SocketAddrV4::new(out.dst, out.dport);
            builder::tcp(src, SocketAddrV4::new(out.src, out.sport), flags, 500, 101, &[])
        };
        let answered = self.judge(device, &mut back(TcpFlags::SYN.with(TcpFlags::ACK)));
        assert!(matches!(answered.verdict, Verdict::Forward { .. }), "{answered:?}");
        let data = from_task(sport, to, TcpFlags::ACK, 101, 501);
        self.judge(self.eni, &mut data.clone());
        (data, back(TcpFlags::ACK), device)
    }

    /// Opens this many TCP flows, without handshakes.
    pub(crate) fn fill(&mut self, flows: usize) {
        for n in 0..flows {
            let judged = self.judge(self.eni, &mut nth_syn(n));
            assert!(matches!(judged.verdict, Verdict::Forward { .. }), "{n}: {judged:?}");
        }
    }
}

/// Returns a segment from the task.
pub(crate) fn from_task(
    sport: u16,
    to: (Ipv4Addr, u16),
    flags: TcpFlags,
    seq: u32,
    ack: u32,
) -> Vec<u8> {
    builder::tcp(
        SocketAddrV4::new(TASK, sport),
        SocketAddrV4::new(to.0, to.1),
        flags,
        seq,
        ack,
        &[],
    )
}

/// Returns the SYN of the `n`th flow: 30,000 flows have one destination.
pub(crate) fn nth_syn(n: usize) -> Vec<u8> {
    from_task(nth(n).0, (nth(n).1, 443), TcpFlags::SYN, 100, 0)
}

/// Returns the source port and the destination of the `n`th flow.
pub(crate) fn nth(n: usize) -> (u16, Ipv4Addr) {
    (1024 + (n % 30_000) as u16, destination(n))
}

fn destination(n: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 19, 0, 1)) + (n / 30_000) as u32)
}

/// Returns the bytes of the process's resident pages, by the kernel's account.
pub(crate) fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
