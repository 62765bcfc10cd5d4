//! The checked view: a packet whose offsets have been proven once.

use super::field::ipv4::FRAGMENT_UNIT as UNIT;
use super::field::{address_at, icmp, ipv4, u16_at};
use super::headers::{Fragment, IcmpKind, L4};
use super::ids::Ids;
use super::parse::{Malformed, check_ip_header, read_l4, vnet_agrees};
use super::{Protocol, TcpFacts, Tuple, VnetHeader};
use std::net::Ipv4Addr;

/// An IPv4 packet, borrowed from the buffer it arrived in, and the facts of its headers.
///
/// The facts are gathered once by [`Packet::parse`] and kept true by [`super::rewrite`]; accessors
/// cost a load.
#[derive(Debug)]
pub struct Packet<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) vnet: VnetHeader,
    pub(super) tuple: Tuple,
    pub(super) fragment: Fragment,
    pub(super) ids: Ids,
    pub(super) l4: L4,
    pub(super) ip_header_len: usize,
    pub(super) l4_header_len: usize,
    pub(super) fragment_to: Option<u16>,
    pub(super) marked: bool,
}

impl<'a> Packet<'a> {
    /// Checks `bytes`, an IPv4 packet as read after `vnet`; bytes beyond its total length are cut
    /// off.
    ///
    /// Does not verify TCP and UDP checksums: a NAT changes them incrementally, so a wrong one
    /// stays wrong.
    ///
    /// # Errors
    ///
    /// The first fault that is found, see [`Malformed`].
    #[inline]
    pub fn parse(bytes: &'a mut [u8], vnet: VnetHeader) -> Result<Self, Malformed> {
        let (ip_header_len, total_len) = check_ip_header(bytes)?;
        let bytes = &mut bytes[..total_len];
        let protocol = Protocol::from(bytes[ipv4::PROTOCOL]);
        let fragment = Fragment::of(u16_at(bytes, ipv4::FLAGS_AND_OFFSET));
        if !vnet_agrees(vnet, protocol, fragment, ip_header_len) {
            return Err(Malformed::VnetHeader);
        }
        let l4_bytes = &bytes[ip_header_len..];
        let (l4_header_len, l4) = match fragment {
            Fragment::Later => (0, L4::Opaque),
            Fragment::Whole | Fragment::First => read_l4(protocol, fragment, l4_bytes)?,
        };
        let ids = match l4 {
            L4::Opaque => Ids::None,
            L4::Tcp(_) | L4::Udp | L4::Icmp(_) => Ids::of(protocol, l4_bytes),
        };
        let (sport, dport) = ids.read(l4_bytes);
        let (src, dst) = (address_at(bytes, ipv4::SRC), address_at(bytes, ipv4::DST));
        let tuple = Tuple { protocol, src, dst, sport, dport };
        Ok(Self {
            bytes,
            vnet,
            tuple,
            fragment,
            ids,
            l4,
            ip_header_len,
            l4_header_len,
            fragment_to: None,
            marked: false,
        })
    }

    /// Returns the source address.
    #[inline]
    pub fn src(&self) -> Ipv4Addr {
        self.tuple.src
    }

    /// Returns the destination address.
    #[inline]
    pub fn dst(&self) -> Ipv4Addr {
        self.tuple.dst
    }

    /// Returns the IP protocol.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.tuple.protocol
    }

    /// Returns the time to live, in hops.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.bytes[ipv4::TTL]
    }

    /// Returns whether the sender forbids fragmentation.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.bytes[ipv4::FLAGS_AND_OFFSET] & (ipv4::DONT_FRAGMENT >> 8) as u8 != 0
    }

    /// Returns the identification field, which the fragments of one datagram share.
    #[inline]
    pub fn identification(&self) -> u16 {
        u16_at(self.bytes, ipv4::IDENTIFICATION)
    }

    /// Returns the offset of a fragment in its datagram, in units of 8 bytes; 0 for a whole packet.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        u16_at(self.bytes, ipv4::FLAGS_AND_OFFSET) & ipv4::FRAGMENT_OFFSET
    }

    /// Returns the packet's position in a fragmented datagram.
    #[inline]
    pub fn fragment(&self) -> Fragment {
        self.fragment
    }

    /// Marks the packet to leave in fragments of at most `mtu` bytes each. The caller has checked
    /// that its sender allows this, and that the packet is not a super-packet.
    pub fn fragment_to(&mut self, mtu: u16) {
        self.fragment_to = Some(mtu);
    }

    /// Returns the size limit of each fragment in bytes, if the packet is to leave in fragments.
    #[inline]
    pub fn fragments_to(&self) -> Option<u16> {
        self.fragment_to
    }

    /// Marks the packet for the engine, which reads the mark later. The mark has no meaning in this
    /// layer.
    #[inline]
    pub fn mark(&mut self) {
        self.marked = true;
    }

    /// Returns whether the packet was marked.
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// Returns the tuple; ports are 0 for a later fragment and for ICMP messages other than echo.
    #[inline]
    pub fn tuple(&self) -> Tuple {
        self.tuple
    }

    /// Returns the TCP header's facts; `None` for another protocol and for a later fragment.
    #[inline]
    pub fn tcp(&self) -> Option<TcpFacts> {
        match self.l4 {
            L4::Tcp(facts) => Some(facts),
            L4::Udp | L4::Icmp(_) | L4::Opaque => None,
        }
    }

    /// Returns the kind of the ICMP message; `None` for another protocol and for a later fragment.
    #[inline]
    pub fn icmp(&self) -> Option<IcmpKind> {
        match self.l4 {
            L4::Icmp(kind) => Some(kind),
            L4::Tcp(_) | L4::Udp | L4::Opaque => None,
        }
    }

    /// Returns ICMP type and code; zeros if the packet has no ICMP header.
    #[inline]
    pub fn icmp_type_code(&self) -> (u8, u8) {
        match self.l4 {
            L4::Icmp(_) => (
                self.bytes[self.ip_header_len + icmp::TYPE],
                self.bytes[self.ip_header_len + icmp::CODE],
            ),
            L4::Tcp(_) | L4::Udp | L4::Opaque => (0, 0),
        }
    }

    /// Returns the bytes of the packet, from the IPv4 header on; a super-packet counts whole.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a packet has at least its header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the packet, from the IPv4 header on.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Returns the virtio-net header that must go out with the packet.
    #[inline]
    pub fn vnet(&self) -> VnetHeader {
        self.vnet
    }

    /// Returns the length of the IPv4 header in bytes, options included.
    #[inline]
    pub fn ip_header_len(&self) -> usize {
        self.ip_header_len
    }

    /// Returns the length of the IPv4 and L4 headers together in bytes, which every segment
    /// repeats. The L4 header counts if egret reads it: TCP with options, UDP, the first 8 bytes of
    /// ICMP.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.ip_header_len + self.l4_header_len
    }

    /// Returns the bytes behind the headers, see [`Packet::header_len`].
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.header_len()..]
    }

    /// Returns the number of packets on the wire: 1 unless the packet is a super-packet or leaves
    /// in fragments.
    #[inline]
    pub fn wire_segments(&self) -> u32 {
        if !self.vnet.is_super_packet() {
            return self.fragment_to.map_or(1, |mtu| self.wire_fragments(mtu));
        }
        let payload = (self.bytes.len() - self.header_len()) as u32;
        payload.div_ceil(u32::from(self.vnet.gso_size)).max(1)
    }

    #[cold]
    fn wire_fragments(&self, mtu: u16) -> u32 {
        let room = usize::from(mtu).saturating_sub(self.ip_header_len) / UNIT * UNIT;
        ((self.bytes.len() - self.ip_header_len) as u32).div_ceil(room.max(UNIT) as u32).max(1)
    }

    /// Returns the bytes on the wire after segmentation or fragmentation, IPv4 headers included,
    /// link headers not.
    #[inline]
    pub fn wire_bytes(&self) -> u64 {
        let header_len = match self.fragment_to {
            None => self.header_len(),
            Some(_) => self.ip_header_len,
        };
        self.bytes.len() as u64 + u64::from(self.wire_segments() - 1) * header_len as u64
    }

    /// Returns the bytes of the largest IPv4 packet after segmentation, to be compared with an MTU.
    #[inline]
    pub fn max_segment_len(&self) -> usize {
        if !self.vnet.is_super_packet() {
            return self.bytes.len();
        }
        self.bytes.len().min(self.header_len() + usize::from(self.vnet.gso_size))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::{TcpFlags, builder};
    use super::*;
    use std::net::SocketAddrV4;

    const TASK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 40_000);
    const DATABASE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 10), 5432);

    #[test]
    fn segment_tells_what_its_headers_say() {
        let flags = TcpFlags::ACK.with(TcpFlags::PSH);
        let mut bytes = builder::tcp(TASK, DATABASE, flags, 7, 9, b"select 1");
        let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
        let tuple = Tuple {
            protocol: Protocol::Tcp,
            src: *TASK.ip(),
            dst: *DATABASE.ip(),
            sport: 40_000,
            dport: 5432,
        };
        assert_eq!(packet.tuple(), tuple);
        let facts = TcpFacts { flags, seq: 7, ack: 9, window: 65_535, payload_len: 8 };
        assert_eq!(packet.tcp(), Some(facts));
        assert_eq!((packet.ttl(), packet.dont_fragment()), (64, true));
        assert_eq!(
            (packet.len(), packet.header_len(), packet.payload()),
            (48, 40, &b"select 1"[..])
        );
        assert_eq!((packet.icmp(), packet.icmp_type_code()), (None, (0, 0)));
    }

    #[test]
    fn reply_to_an_echo_has_the_reversed_tuple() {
        let (src, dst) = (*TASK.ip(), *DATABASE.ip());
        let mut request = builder::icmp_echo_request(src, dst, 77, 1, b"abc");
        let mut reply = builder::icmp_echo_reply(dst, src, 77, 1, b"abc");
        let request = Packet::parse(&mut request, VnetHeader::default()).unwrap();
        let reply = Packet::parse(&mut reply, VnetHeader::default()).unwrap();
        assert_eq!((request.tuple().sport, request.tuple().dport), (77, 0));
        assert_eq!(reply.tuple(), request.tuple().reversed());
        assert_eq!(
            (request.icmp(), reply.icmp()),
            (Some(IcmpKind::EchoRequest), Some(IcmpKind::EchoReply))
        );
        assert_eq!((request.icmp_type_code(), reply.icmp_type_code()), ((8, 0), (0, 0)));
    }

    #[test]
    fn super_packet_counts_what_the_wire_will_see() {
        let mut bytes = builder::tcp(TASK, DATABASE, TcpFlags::ACK, 0, 0, &[0; 3000]);
        let vnet = builder::to_super_packet(&mut bytes, 1460);
        let packet = Packet::parse(&mut bytes, vnet).unwrap();
        assert_eq!(packet.wire_segments(), 3);
        assert_eq!(packet.wire_bytes(), 3000 + 3 * 40);
        assert_eq!((packet.len(), packet.max_segment_len()), (3040, 1500));
    }

    #[test]
    fn super_packet_of_one_segment_is_that_segment() {
        let mut bytes = builder::udp(TASK, DATABASE, &[0; 100]);
        let vnet = builder::to_super_packet(&mut bytes, 1472);
        let packet = Packet::parse(&mut bytes, vnet).unwrap();
        assert_eq!((packet.wire_segments(), packet.wire_bytes()), (1, 128));
        assert_eq!(packet.max_segment_len(), 128);
    }
}
