//! A flow whose two ends are made of frames.

use egret::packet::{Protocol, TcpFlags, builder};
use std::net::{Ipv4Addr, SocketAddrV4};

pub const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub const IPV4: u16 = 0x0800;
/// The server's port.
const SERVICE: u16 = 443;

/// A flow, as its two ends know it.
pub struct Call {
    pub protocol: Protocol,
    pub inside: SocketAddrV4,
    /// The task's address as the server sees it.
    pub outside: SocketAddrV4,
    /// The next sequence numbers of the task and of the server.
    pub at: [u32; 2],
    /// The flow's number, which its packets have as identification.
    pub number: u16,
}

impl Call {
    /// Returns the next packet of one side.
    pub fn packet(&self, egress: bool, payload: &[u8]) -> Vec<u8> {
        self.segment(egress, TcpFlags::ACK.with(TcpFlags::PSH), payload)
    }

    /// Returns the next packet of one side, with these flags if the protocol is TCP.
    pub fn segment(&self, egress: bool, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
        let server = SocketAddrV4::new(HOST, SERVICE);
        let (src, dst) = if egress { (self.inside, server) } else { (server, self.outside) };
        let [own, other] = if egress { self.at } else { [self.at[1], self.at[0]] };
        match self.protocol {
            Protocol::Tcp => builder::tcp(src, dst, flags, own, other, payload),
            Protocol::Udp => builder::udp(src, dst, payload),
            Protocol::Icmp | Protocol::Other(_) if egress => {
                builder::icmp_echo_request(*src.ip(), *dst.ip(), src.port(), 1, payload)
            }
            Protocol::Icmp | Protocol::Other(_) => {
                builder::icmp_echo_reply(*src.ip(), *dst.ip(), dst.port(), 1, payload)
            }
        }
    }

    /// Returns the packet of one side in this step of the flow's beginning.
    pub fn step(&mut self, step: u32, egress: bool) -> Vec<u8> {
        let flags = match (step, egress) {
            (0, true) => TcpFlags::SYN,
            (0, false) => TcpFlags::SYN.with(TcpFlags::ACK),
            _ => TcpFlags::ACK,
        };
        let payload: &[u8] = if step == 0 { b"" } else { b"hello" };
        let bytes = self.segment(egress, flags, payload);
        let own = &mut self.at[usize::from(!egress)];
        *own = own.wrapping_add(payload.len() as u32 + u32::from(step == 0));
        bytes
    }
}

/// Returns a packet with a number as its identification.
pub fn numbered(packet: &[u8], number: u16) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[4..6].copy_from_slice(&number.to_be_bytes());
    builder::update_header_checksum(&mut packet);
    packet
}
