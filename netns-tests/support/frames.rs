//! Frames that no honest stack sends, as hexadecimal for an agent to send.

use egret::linux::Mac;
use etherparse::{Icmpv4Type, IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Returns an ICMP message of any type, as an IPv4 packet.
pub fn icmp(source: Ipv4Addr, destination: Ipv4Addr, kind: Icmpv4Type, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(source.octets(), destination.octets(), 64).icmpv4(kind);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).unwrap();
    packet
}

pub fn udp(source: Ipv4Addr, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(source.octets(), destination.octets(), 64).udp(5000, port);
    let mut packet = Vec::new();
    builder.write(&mut packet, b"hello").unwrap();
    packet
}

/// Returns a UDP datagram over IPv6.
pub fn udp6(source: Ipv6Addr, destination: Ipv6Addr, port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ipv6(source.octets(), destination.octets(), 64).udp(5000, port);
    let mut packet = Vec::new();
    builder.write(&mut packet, b"hello").unwrap();
    packet
}

/// Returns a TCP segment with no flag but ACK, of a connection that does not exist.
pub fn tcp_ack(source: Ipv4Addr, destination: Ipv4Addr, port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(source.octets(), destination.octets(), 64);
    let mut packet = Vec::new();
    builder.tcp(5000, port, 1, 1000).ack(1).write(&mut packet, b"hello").unwrap();
    packet
}

/// Returns segments of a connection from port 5000 with these sequence and acknowledgement numbers,
/// each of which a server accepts: data, FIN and RST.
pub fn tcp(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    port: u16,
    [seq, ack]: [u32; 2],
) -> [Vec<u8>; 3] {
    let segment = || {
        let builder = PacketBuilder::ipv4(source.octets(), destination.octets(), 64);
        builder.tcp(5000, port, seq, 1000).ack(ack)
    };
    let plain = [(segment().psh(), &b"hello"[..]), (segment().fin(), b""), (segment().rst(), b"")];
    plain.map(|(builder, payload)| {
        let mut packet = Vec::new();
        builder.write(&mut packet, payload).unwrap();
        packet
    })
}

/// Changes a packet and corrects its IPv4 checksum.
pub fn with(mut packet: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut packet);
    packet[10..12].fill(0);
    let length = (usize::from(packet[0] & 15) * 4).min(packet.len());
    let words = packet[..length].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Returns the second half of a datagram whose first half is never sent.
pub fn later_fragment(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let payload = udp(source, destination, 53).split_off(Ipv4Header::MIN_LEN);
    let length = u16::try_from(payload.len()).unwrap();
    let mut header =
        Ipv4Header::new(length, 64, IpNumber::UDP, source.octets(), destination.octets()).unwrap();
    header.fragment_offset = IpFragOffset::try_new(185).unwrap();
    header.header_checksum = header.calc_header_checksum();
    [header.to_bytes().as_slice(), &payload].concat()
}

/// Returns an IPv4 packet in an Ethernet frame.
pub fn ipv4(to: Mac, packet: &[u8]) -> String {
    frame(to, 0x0800, packet)
}

/// Returns any payload in an Ethernet frame.
pub fn frame(to: Mac, ethertype: u16, payload: &[u8]) -> String {
    let source = [2, 0, 0, 0, 0, 1];
    let frame = [&to.0[..], &source, &ethertype.to_be_bytes(), payload].concat();
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}
