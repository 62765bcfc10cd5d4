//! A host: TCP connections, datagrams and pings, as bytes in and bytes out.

use super::tcp::{Endpoint, Segment};
use crate::flow::Instant;
use crate::packet::field::{icmp as icmp_field, ipv4, u16_at};
use crate::packet::{IcmpKind, Packet, Protocol, TcpFlags, Tuple, VnetHeader, builder};
use crate::pipeline::Link;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A packet with its virtio-net header.
pub(super) type Bytes = (Vec<u8>, VnetHeader);

/// A local port and a peer.
pub(super) type Socket = (u16, SocketAddrV4);

#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: Ipv4Addr,
    /// The link by which it is attached to egret.
    pub(super) link: Link,
    /// Set for a host that answers connections, datagrams to ports below 1024, and pings; another
    /// host refuses.
    pub(super) is_server: bool,
    /// Set for a host that sends super-packets and partial checksums.
    pub(super) offloads: bool,
    pub(super) sockets: BTreeMap<Socket, Endpoint>,
    /// Datagrams received: the port, the sender, the payload.
    pub(super) datagrams: Vec<(u16, SocketAddrV4, Vec<u8>)>,
    /// Echo replies received: the sender, the identifier.
    pub(super) pongs: Vec<(Ipv4Addr, u16)>,
    /// ICMP errors received: type, code, and the quoted tuple.
    pub(super) errors: Vec<(u8, u8, Tuple)>,
    /// The number of RSTs received.
    pub(super) resets: usize,
    iss: u32,
}

impl Host {
    pub(super) fn new(address: Ipv4Addr, link: Link) -> Self {
        Self {
            address,
            link,
            is_server: !matches!(link, Link::Task(_)),
            offloads: false,
            sockets: BTreeMap::new(),
            datagrams: Vec::new(),
            pongs: Vec::new(),
            errors: Vec::new(),
            resets: 0,
            iss: u32::from(address),
        }
    }

    /// Begins a connection.
    pub(super) fn connect(&mut self, now: Instant, socket: Socket) -> Vec<Bytes> {
        // Near the end of the sequence numbers, so that they wrap.
        self.iss = self.iss.wrapping_mul(0x9e37_79b1).wrapping_add(0xffff_f000);
        let mut client = Endpoint::client(self.iss);
        if self.offloads {
            client.batch = 16;
        }
        self.sockets.insert(socket, client);
        self.pump(now, socket)
    }

    /// Returns the packets that a connection has to send.
    pub(super) fn pump(&mut self, now: Instant, socket: Socket) -> Vec<Bytes> {
        let Some(endpoint) = self.sockets.get_mut(&socket) else { return Vec::new() };
        let mss = endpoint.mss;
        let segments = endpoint.output(now);
        segments.into_iter().map(|segment| self.bytes(socket, segment, mss)).collect()
    }

    /// Handles a connection's deadline, if it is still the present one.
    pub(super) fn expire(&mut self, now: Instant, socket: Socket, deadline: Instant) -> Vec<Bytes> {
        match self.sockets.get_mut(&socket) {
            Some(endpoint) if endpoint.deadline == Some(deadline) => endpoint.expire(now),
            _ => return Vec::new(),
        }
        self.pump(now, socket)
    }

    /// Handles a packet that arrived whole; returns the answers to it, and the connection that may
    /// have more to send.
    pub(super) fn take(
        &mut self,
        now: Instant,
        mut bytes: Vec<u8>,
    ) -> (Vec<Bytes>, Option<Socket>) {
        let packet = Packet::parse(&mut bytes, VnetHeader::default()).expect("egret sends packets");
        let tuple = packet.tuple();
        assert_eq!(tuple.dst, self.address, "{tuple:?} at another host");
        let from = SocketAddrV4::new(tuple.src, tuple.sport);
        if let Some(facts) = packet.tcp() {
            let socket = (tuple.dport, from);
            return (self.take_segment(now, socket, facts, packet.payload()), Some(socket));
        }
        match packet.icmp() {
            None if tuple.protocol == Protocol::Udp => {
                (self.take_datagram(from, tuple.dport, packet.payload()), None)
            }
            None => (Vec::new(), None),
            Some(IcmpKind::EchoRequest) if self.is_server => {
                let payload = packet.payload();
                let pong =
                    builder::icmp_echo_reply(self.address, tuple.src, tuple.sport, 1, payload);
                (vec![(pong, VnetHeader::default())], None)
            }
            Some(IcmpKind::EchoReply) => {
                self.pongs.push((tuple.src, tuple.dport));
                (Vec::new(), None)
            }
            Some(IcmpKind::Error { icmp_type, code, quoted }) => {
                let mtu = u16_at(packet.bytes(), ipv4::MIN_LEN + icmp_field::NEXT_HOP_MTU);
                (Vec::new(), self.take_error((icmp_type, code, quoted), usize::from(mtu)))
            }
            Some(IcmpKind::EchoRequest | IcmpKind::Other { .. }) => (Vec::new(), None),
        }
    }

    fn take_segment(
        &mut self,
        now: Instant,
        socket: Socket,
        facts: crate::packet::TcpFacts,
        payload: &[u8],
    ) -> Vec<Bytes> {
        self.resets += usize::from(facts.flags.rst());
        let begins = facts.flags.syn() && !facts.flags.ack();
        let is_taken = self.sockets.get(&socket).is_some_and(Endpoint::is_alive);
        if begins && self.is_server && !is_taken {
            self.iss = self.iss.wrapping_add(64_000);
            self.sockets.insert(socket, Endpoint::server(self.iss, facts));
            return Vec::new();
        }
        match self.sockets.get_mut(&socket) {
            Some(endpoint) => {
                let mss = endpoint.mss;
                let answers = endpoint.input(now, facts, payload);
                answers.into_iter().map(|answer| self.bytes(socket, answer, mss)).collect()
            }
            None if facts.flags.rst() => Vec::new(),
            None => {
                let reset = Segment {
                    flags: TcpFlags::RST.with(TcpFlags::ACK),
                    seq: if facts.flags.ack() { facts.ack } else { 0 },
                    ack: facts.seq.wrapping_add(facts.sequence_len()),
                    payload: Vec::new(),
                };
                vec![self.bytes(socket, reset, 1460)]
            }
        }
    }

    fn take_datagram(&mut self, from: SocketAddrV4, port: u16, payload: &[u8]) -> Vec<Bytes> {
        self.datagrams.push((port, from, payload.to_vec()));
        if !self.is_server || port >= 1024 {
            return Vec::new();
        }
        let here = SocketAddrV4::new(self.address, port);
        vec![(builder::udp(here, from, payload), VnetHeader::default())]
    }

    fn take_error(&mut self, error: (u8, u8, Tuple), mtu: usize) -> Option<Socket> {
        self.errors.push(error);
        let (icmp_type, code, quoted) = error;
        let socket = (quoted.sport, SocketAddrV4::new(quoted.dst, quoted.dport));
        let endpoint = self.sockets.get_mut(&socket)?;
        if (icmp_type, code) == (3, 4) {
            endpoint.shrink(mtu);
        }
        Some(socket)
    }

    fn bytes(&self, (port, peer): Socket, segment: Segment, mss: usize) -> Bytes {
        let Segment { flags, seq, ack, payload } = segment;
        let here = SocketAddrV4::new(self.address, port);
        let mut bytes = builder::tcp(here, peer, flags, seq, ack, &payload);
        let vnet = match payload.len() {
            _ if !self.offloads => VnetHeader::default(),
            len if len > mss => builder::to_super_packet(&mut bytes, mss as u16),
            _ => builder::to_partial(&mut bytes),
        };
        (bytes, vnet)
    }
}
