//! AWS's numbers as settings: limits, timeouts, MTU.

use std::time::Duration;

/// AWS's limits (spec 2.1, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Simultaneous flows per (protocol, destination address, destination port) through one NAT
    /// gateway address: 55,000.
    pub nat_connections_per_destination: u32,
    /// Simultaneous flows through one ENI: 65,000. App Runner's own public address has the same
    /// limit; AWS documents none for it (inferred).
    pub eni_connections: u32,
    /// Packets per second that one ENI may send to the resolver: 1,024 (spec 8).
    pub dns_packets_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nat_connections_per_destination: 55_000,
            eni_connections: 65_000,
            dns_packets_per_second: 1024,
        }
    }
}

/// The times for which an idle flow is kept, already divided by the lab's time scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// An established TCP flow (spec 6, 15): 350 s.
    pub tcp_idle: Duration,
    /// A TCP flow whose handshake is not complete: 60 s (AWS publishes none).
    pub tcp_opening: Duration,
    /// A TCP flow after FIN one way: 350 s, as if it were established (RFC 6146 3.5.2.2; AWS
    /// publishes none). The other side may still send much.
    pub tcp_half_closed: Duration,
    /// A TCP flow after FIN both ways, or one that was refused: 2 s (AWS publishes none). A tuple
    /// that is used again waits for nothing, so this is for the last acknowledgements only.
    pub tcp_closing: Duration,
    /// An established TCP flow after RST: 240 s (RFC 7857 2; AWS publishes none). A RST may have
    /// been lost or forged, and a side that has not seen it continues.
    pub tcp_reset: Duration,
    /// A UDP flow through a NAT gateway, or App Runner's own NAT (spec 15: AWS states 350 s
    /// generally).
    pub udp_idle: Duration,
    /// A UDP flow that only an ENI tracks, before a second request or reply: 120 s, as Hyperplane
    /// has it (spec 15). AWS calls it `UdpTimeout`, 30 to 60 s on an EC2 interface (spec 4.4).
    pub eni_udp: Duration,
    /// A UDP flow that only an ENI tracks, after more than one request and reply: 120 s. AWS calls
    /// it `UdpStreamTimeout`, 60 to 180 s on an EC2 interface.
    pub eni_udp_stream: Duration,
    /// An ICMP query: 350 s (checklist I2).
    pub icmp_idle: Duration,
    /// Any other protocol (spec 4.4): 600 s.
    pub other_idle: Duration,
    /// The time that a port rests before another flow with the same destination gets it: 1 s.
    pub port_quarantine: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_idle: Duration::from_secs(350),
            tcp_opening: Duration::from_secs(60),
            tcp_half_closed: Duration::from_secs(350),
            tcp_closing: Duration::from_secs(2),
            tcp_reset: Duration::from_secs(240),
            udp_idle: Duration::from_secs(350),
            eni_udp: Duration::from_secs(120),
            eni_udp_stream: Duration::from_secs(120),
            icmp_idle: Duration::from_secs(350),
            other_idle: Duration::from_secs(600),
            port_quarantine: Duration::from_secs(1),
        }
    }
}

impl Timeouts {
    /// Returns the longest time that any flow may be idle.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let Self {
            tcp_idle,
            tcp_opening,
            tcp_half_closed,
            tcp_closing,
            tcp_reset,
            udp_idle,
            eni_udp,
            eni_udp_stream,
            icmp_idle,
            other_idle,
            port_quarantine: _,
        } = *self;
        [tcp_opening, tcp_half_closed, tcp_closing, tcp_reset, udp_idle, eni_udp, eni_udp_stream]
            .into_iter()
            .chain([icmp_idle, other_idle])
            .fold(tcp_idle, Duration::max)
    }

    /// Returns all of them divided by `time_scale`: at 100.0, 350 s pass in 3.5 s.
    #[must_use]
    pub fn scaled(self, time_scale: f64) -> Self {
        let scale = |d: Duration| d.div_f64(time_scale);
        Self {
            tcp_idle: scale(self.tcp_idle),
            tcp_opening: scale(self.tcp_opening),
            tcp_half_closed: scale(self.tcp_half_closed),
            tcp_closing: scale(self.tcp_closing),
            tcp_reset: scale(self.tcp_reset),
            udp_idle: scale(self.udp_idle),
            eni_udp: scale(self.eni_udp),
            eni_udp_stream: scale(self.eni_udp_stream),
            icmp_idle: scale(self.icmp_idle),
            other_idle: scale(self.other_idle),
            port_quarantine: scale(self.port_quarantine),
        }
    }
}

/// The largest IP packet on each kind of link, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu {
    /// The link of a task's `eth0`.
    pub task: u16,
    /// Links into a VPC (up to 9001 in AWS).
    pub vpc: u16,
    /// The internet gateway's side: 1500 (spec 3.6).
    pub internet: u16,
}

impl Default for Mtu {
    fn default() -> Self {
        Self { task: 1500, vpc: 1500, internet: 1500 }
    }
}
