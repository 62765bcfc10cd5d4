//! The changes that make a packet of a flow hostile: of each field of its headers, of its
//! ethertype, and of its virtio-net header.

use super::call::{Call, HOST, IPV4, numbered};
use egret::linux::Mac;
use egret::packet::vnet::{GSO_ECN, GSO_TCPV4, GSO_UDP_L4};
use egret::packet::{Protocol, TcpFlags, VnetHeader, builder, checksum};
use std::net::Ipv4Addr;

/// The payload of a packet that is no super-packet.
const PAYLOAD: &[u8] = b"what a hostile frame says";
/// The offset of the L4 header in a packet without options.
const L4: usize = 20;

/// One hostile frame, to be sent into its own flow.
pub struct Twist {
    pub name: String,
    pub protocol: Protocol,
    /// True for a frame that the task sends, false for one to the task.
    pub egress: bool,
    make: Make,
}

type Make = Box<dyn Fn(&Call, bool) -> Sent>;
type Change = Box<dyn Fn(&mut Vec<u8>)>;

/// The parts of a frame before it is built.
pub struct Sent {
    pub vnet: VnetHeader,
    /// The destination; `None` is the router.
    pub to: Option<Mac>,
    pub ethertype: u16,
    pub packet: Vec<u8>,
}

impl From<Vec<u8>> for Sent {
    fn from(packet: Vec<u8>) -> Self {
        Self { vnet: VnetHeader::default(), to: None, ethertype: IPV4, packet }
    }
}

impl Sent {
    /// Decides whether IP would send it as it is, by a socket for whole packets.
    pub fn is_plain(&self) -> bool {
        let Self { vnet, to, ethertype, packet } = self;
        let header = packet.first().map_or(0, |first| usize::from(first & 15) * 4);
        let is_whole = (20..=packet.len()).contains(&header)
            && usize::from(u16::from_be_bytes([packet[2], packet[3]])) == packet.len()
            && checksum::is_valid(&packet[..header]);
        is_whole && *vnet == VnetHeader::default() && to.is_none() && *ethertype == IPV4
    }
}

impl Twist {
    /// Makes the frame for a flow.
    pub fn frame(&self, call: &Call) -> Sent {
        (self.make)(call, self.egress)
    }
}

/// Lists all hostile frames, in a fixed order.
pub fn twists() -> Vec<Twist> {
    let mut all = Vec::new();
    for egress in [true, false] {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
            let mut add = |name: String, make: Make| {
                let name = format!("{name}, {protocol}, egress {egress}");
                all.push(Twist { name, protocol, egress, make });
            };
            changes(&mut add, of_ipv4());
            quotes(&mut add);
            match protocol {
                Protocol::Tcp => {
                    flags(&mut add);
                    changes(&mut add, of_tcp());
                    super_packets(&mut add, GSO_TCPV4, egress);
                }
                Protocol::Udp => {
                    changes(&mut add, of_udp());
                    super_packets(&mut add, GSO_UDP_L4, egress);
                    ethernet(&mut add);
                }
                Protocol::Icmp | Protocol::Other(_) => changes(&mut add, of_icmp()),
            }
        }
    }
    all
}

type Add<'a> = &'a mut dyn FnMut(String, Make);

/// Adds changes of a packet as its side would send it.
fn changes(add: Add<'_>, all: Vec<(String, Change)>) {
    for (name, change) in all {
        add(
            name,
            Box::new(move |call, egress| {
                let mut packet = numbered(&call.packet(egress, PAYLOAD), call.number);
                change(&mut packet);
                packet.into()
            }),
        );
    }
}

/// Returns a change after which the IPv4 header's checksum is right again.
fn summed(change: impl Fn(&mut Vec<u8>) + 'static) -> Change {
    Box::new(move |packet| {
        change(packet);
        builder::update_header_checksum(packet);
    })
}

fn put(at: usize, bytes: &'static [u8]) -> Change {
    summed(move |packet| packet[at..at + bytes.len()].copy_from_slice(bytes))
}

/// Returns a packet with options in its IPv4 header.
pub fn with_options(mut packet: Vec<u8>, options: &[u8]) -> Vec<u8> {
    packet.splice(L4..L4, options.iter().copied());
    packet[0] = 0x40 | (5 + options.len() / 4) as u8;
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    builder::update_header_checksum(&mut packet);
    packet
}

fn of_ipv4() -> Vec<(String, Change)> {
    let mut all: Vec<(String, Change)> = Vec::new();
    for ttl in [&[0], &[1], &[2], &[255]] {
        all.push((format!("time to live {}", ttl[0]), put(8, ttl)));
    }
    for first in [&[0x05], &[0x55], &[0x65], &[0xf5], &[0x40], &[0x44], &[0x47], &[0x4f]] {
        all.push((format!("first byte {:02x}", first[0]), put(0, first)));
    }
    for options in OPTIONS {
        let change = |packet: &mut Vec<u8>| *packet = with_options(std::mem::take(packet), options);
        all.push((format!("options {options:?}"), Box::new(change)));
    }
    for length in [&[0, 0], &[0, 19], &[0, 20], &[0, 27], &[0xff, 0xff]] {
        all.push((format!("total length {length:?}"), put(2, length)));
    }
    for off in [u8::MAX, 1] {
        let change = move |packet: &mut Vec<u8>| packet[3] = packet[3].wrapping_add(off);
        all.push((format!("total length off by {off}"), summed(change)));
    }
    all.push(("padded".to_owned(), Box::new(|packet| packet.extend([0; 6]))));
    all.push(("cut".to_owned(), Box::new(|packet| packet.truncate(packet.len() - 1))));
    all.push(("cut in the header".to_owned(), Box::new(|packet| packet.truncate(23))));
    for sum in [[0, 0], [0xff, 0xff], [1, 2]] {
        let change = move |packet: &mut Vec<u8>| packet[10..12].copy_from_slice(&sum);
        all.push((format!("header checksum {sum:?}"), Box::new(change)));
    }
    for fragment in [
        &[0x20, 0], // the first
        &[0x60, 0], // the first, which may not be fragmented
        &[0x20, 1], // within the L4 header
        &[0, 1],
        &[0, 185],     // the last
        &[0x1f, 0xff], // the last, beyond 65,535
        &[0x80, 0],    // the reserved bit
        &[0, 0],       // may be fragmented
    ] {
        all.push((format!("fragment {fragment:?}"), put(6, fragment)));
    }
    for service in [&[0x03], &[0xff]] {
        all.push((format!("type of service {:02x}", service[0]), put(1, service)));
    }
    for protocol in [&[0], &[2], &[41], &[47], &[132], &[255]] {
        all.push((format!("protocol {}", protocol[0]), put(9, protocol)));
    }
    for (at, name) in [(12, "from"), (16, "to")] {
        for address in ADDRESSES {
            all.push((format!("{name} {:?}", Ipv4Addr::from(*address)), put(at, address)));
        }
    }
    all
}

/// Options of an IPv4 header (RFC 791 3.1).
const OPTIONS: [&[u8]; 9] = [
    &[1, 1, 1, 1],
    &[0, 0, 0, 0],
    &[7, 7, 4, 0, 0, 0, 0, 0],
    &[68, 8, 5, 0, 0, 0, 0, 0],
    &[131, 7, 4, 8, 8, 8, 8, 0],
    &[137, 7, 4, 8, 8, 8, 8, 0],
    &[148, 4, 0, 0],
    // An option without a length, and one whose length goes beyond the header.
    &[131, 0, 0, 0],
    &[148, 40, 0, 0],
];

const ADDRESSES: [&[u8; 4]; 9] = [
    &[0, 0, 0, 0],
    &[127, 0, 0, 1],
    &[255, 255, 255, 255],
    &[224, 0, 0, 1],
    // Addresses of another task, the VPC's resolver, a resource, the gateway and the server.
    &[100, 64, 0, 2],
    &[10, 0, 0, 2],
    &[10, 0, 1, 10],
    &[198, 51, 100, 7],
    &[203, 0, 113, 10],
];

/// Adds each combination of TCP's first six flags.
fn flags(add: Add<'_>) {
    for flags in 0..64 {
        add(
            format!("flags {flags:02x}"),
            Box::new(move |call, egress| {
                let segment = call.segment(egress, TcpFlags(flags), PAYLOAD);
                numbered(&segment, call.number).into()
            }),
        );
    }
}

fn of_tcp() -> Vec<(String, Change)> {
    let mut all: Vec<(String, Change)> = Vec::new();
    for offset in [&[0x00], &[0x40], &[0x60], &[0xb0], &[0xf0]] {
        all.push((format!("data offset {:02x}", offset[0]), put(L4 + 12, offset)));
    }
    for number in [&[0, 0, 0, 0], &[0x7f, 0xff, 0xff, 0xff], &[0x80, 0, 0, 0], &[0xff; 4]] {
        all.push((format!("sequence {number:02x?}"), put(L4 + 4, number)));
        all.push((format!("acknowledgement {number:02x?}"), put(L4 + 8, number)));
    }
    all.extend(of_checksum(16));
    all.extend(of_ports());
    all.push(("urgent".to_owned(), put(L4 + 18, &[0xff, 0xff])));
    all
}

fn of_udp() -> Vec<(String, Change)> {
    let mut all: Vec<(String, Change)> = Vec::new();
    for length in [&[0, 0], &[0, 7], &[0, 8], &[0, 9], &[0, 34], &[0xff, 0xff]] {
        all.push((format!("length {length:?}"), put(L4 + 4, length)));
    }
    all.extend(of_checksum(6));
    all.extend(of_ports());
    all
}

/// Lists checksums that are wrong by a number, and one that is missing. The number does not depend
/// on the port at the gateway.
fn of_checksum(at: usize) -> Vec<(String, Change)> {
    let mut all: Vec<(String, Change)> = Vec::new();
    for more in [1, 0x1234, 0xfffe] {
        let change = move |packet: &mut Vec<u8>| {
            let sum = u32::from(packet[L4 + at]) << 8 | u32::from(packet[L4 + at + 1]);
            // A sum of 0 would mean no checksum.
            let sum = (sum + more - 1) % 0xffff + 1;
            packet[L4 + at..L4 + at + 2].copy_from_slice(&(sum as u16).to_be_bytes());
        };
        all.push((format!("checksum wrong by {more:#x}"), summed(change)));
    }
    if at == 6 {
        all.push(("no checksum".to_owned(), put(L4 + at, &[0, 0])));
    }
    all
}

fn of_ports() -> Vec<(String, Change)> {
    let ports = [(0, "source port"), (2, "destination port")];
    let values: [&[u8; 2]; 3] = [&[0, 0], &[0xff, 0xff], &[0, 53]];
    let each = |(at, name): (usize, &str)| {
        values.map(|port| (format!("{name} {port:02x?}"), put(L4 + at, port)))
    };
    ports.map(each).into_iter().flatten().collect()
}

fn of_icmp() -> Vec<(String, Change)> {
    let mut all: Vec<(String, Change)> = Vec::new();
    for kind in [0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 30, 255] {
        for code in [0, 1] {
            let change = move |packet: &mut Vec<u8>| {
                [packet[L4], packet[L4 + 1]] = [kind, code];
                sum_icmp(packet);
            };
            all.push((format!("type {kind}, code {code}"), Box::new(change)));
        }
    }
    for payload in [0, 3, 95, 121, 1300] {
        let change = move |packet: &mut Vec<u8>| {
            packet.resize(L4 + 8 + payload, 7);
            let length = packet.len() as u16;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            sum_icmp(packet);
        };
        all.push((format!("{payload} bytes of payload"), summed(change)));
    }
    all.extend(of_checksum(2));
    all
}

fn sum_icmp(packet: &mut [u8]) {
    packet[L4 + 2..L4 + 4].fill(0);
    let sum = checksum::checksum(&packet[L4..]);
    packet[L4 + 2..L4 + 4].copy_from_slice(&sum.to_be_bytes());
}

/// Adds ICMP errors about what the other side has sent.
fn quotes(add: Add<'_>) {
    let mut add_error = |(kind, code), name: &str, change: fn(&mut Vec<u8>)| {
        add(
            format!("error {kind}/{code} about a packet {name}"),
            Box::new(move |call: &Call, egress| {
                let mut quoted = call.packet(!egress, PAYLOAD);
                change(&mut quoted);
                let own = if egress { *call.inside.ip() } else { HOST };
                let to = if egress { HOST } else { *call.outside.ip() };
                let error = builder::icmp_error(own, to, kind, code, &quoted);
                numbered(&error, call.number).into()
            }),
        );
    };
    for kind in [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (4, 0), (5, 1), (11, 0), (11, 1), (12, 0)]
    {
        add_error(kind, "as it was", |_| {});
    }
    add_error((3, 3), "of 28 bytes", |quoted| quoted.truncate(28));
    add_error((3, 3), "of 27 bytes", |quoted| quoted.truncate(27));
    add_error((3, 3), "of 20 bytes", |quoted| quoted.truncate(20));
    add_error((3, 3), "without bytes", Vec::clear);
    add_error((3, 3), "of another protocol", |quoted| quoted[9] = 132);
    add_error((3, 3), "that is a fragment", |quoted| quoted[7] = 100);
    add_error((3, 3), "with another source", |quoted| quoted[15] ^= 1);
    add_error((3, 3), "with another destination", |quoted| quoted[19] ^= 1);
    add_error((3, 3), "with a long header", |quoted| quoted[0] = 0x4f);
}

/// Adds packets whose checksum, or whose segmentation, is still to be done.
fn super_packets(add: Add<'_>, own: u8, egress: bool) {
    let mut add_one = |name: String, payload: usize, change: Box<dyn Fn(&mut VnetHeader)>| {
        add(
            name,
            Box::new(move |call: &Call, egress| {
                let packet = call.packet(egress, &vec![7; payload]);
                let mut packet = numbered(&packet, call.number);
                let mut vnet = builder::to_super_packet(&mut packet, 1000);
                change(&mut vnet);
                Sent { vnet, ..packet.into() }
            }),
        );
    };
    for size in [8, 536, 1448, 2999, 3000, 9000, u16::MAX] {
        let change = move |vnet: &mut VnetHeader| vnet.gso_size = size;
        add_one(format!("segments of {size} bytes"), 3000, Box::new(change));
    }
    for kind in [own | GSO_ECN, 6 - own, 3, 4, 2, 0] {
        let change = move |vnet: &mut VnetHeader| vnet.gso_type = kind;
        add_one(format!("segments of type {kind}"), 3000, Box::new(change));
    }
    for length in [0, 20, 100, 5000] {
        let change = move |vnet: &mut VnetHeader| vnet.hdr_len = length;
        add_one(format!("headers of {length} bytes"), 3000, Box::new(change));
    }
    // Only the packet's checksum is still to be done.
    for flags in [1, 3] {
        let change = move |vnet: &mut VnetHeader| {
            *vnet = VnetHeader { flags, gso_type: 0, gso_size: 0, ..*vnet }
        };
        add_one(format!("flags {flags}"), 100, Box::new(change));
    }
    add_one(
        "segments without a checksum to be done".to_owned(),
        3000,
        Box::new(|vnet| vnet.flags = 0),
    );
    // Places other than IP's: a later device would write there. A packet to the task passes no such
    // device.
    for (start, offset) in [(0, 2), (0, 0), (2, 4), (4, 6), (-4, 6)].into_iter().filter(|_| egress)
    {
        let change = move |vnet: &mut VnetHeader| {
            let csum_start = vnet.csum_start.wrapping_add_signed(start);
            *vnet =
                VnetHeader { csum_start, csum_offset: offset, gso_type: 0, gso_size: 0, ..*vnet };
        };
        add_one(format!("a checksum at {start} + {offset}"), 100, Box::new(change));
    }
    add(
        "a checksum that was found to be right".to_owned(),
        Box::new(|call, egress| {
            let vnet = VnetHeader { flags: 2, ..VnetHeader::default() };
            Sent { vnet, ..numbered(&call.packet(egress, PAYLOAD), call.number).into() }
        }),
    );
}

/// Adds frames of other ethertypes, and frames to other destinations than the router.
fn ethernet(add: Add<'_>) {
    for ethertype in [0, 0x0200, 0x0806, 0x86dd, 0x8100, 0x88a8, 0x8847, 0x88cc, 0x8864, 0xffff] {
        let make = move |call: &Call, egress| {
            let packet = numbered(&call.packet(egress, PAYLOAD), call.number);
            Sent { ethertype, ..packet.into() }
        };
        add(format!("ethertype {ethertype:04x}"), Box::new(make));
    }
    for to in [Mac([0xff; 6]), Mac([1, 0, 0x5e, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 9]), Mac([0; 6])] {
        let make = move |call: &Call, egress| {
            let packet = numbered(&call.packet(egress, PAYLOAD), call.number);
            Sent { to: Some(to), ..packet.into() }
        };
        add(format!("to {to:?}"), Box::new(make));
    }
}
