//! Splits a packet that is too big for the next link and may be fragmented (RFC 791 3.2), in place and in order.

use super::checksum;
use super::octets::{put_u16, u16_at};
use std::ops::Range;

/// The largest IPv4 header, in octets.
const MAX_HEADER: usize = 60;
const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset counts in units of 8 octets.
const UNIT: usize = 8;

/// The fragments of one packet, one after the other.
///
/// Each is written over the octets in front of its payload, which are the end of the fragment before it: that one must
/// have been sent by then. So nothing is copied but headers.
#[derive(Debug)]
pub struct Fragmenter {
    /// What the later fragments begin with: only some options are copied.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// Octets of the header that is next.
    next_header_len: usize,
    /// Where the payload of the next fragment begins.
    at: usize,
    /// Where the packet ends.
    end: usize,
    /// Where the packet's payload begins.
    payload: usize,
    mtu: usize,
    /// The packet's own flags and offset: it may be a fragment itself.
    flags_and_offset: u16,
}

impl Fragmenter {
    /// Of a packet, from its IPv4 header on, that is larger than `mtu` octets. Its L4 checksum must be complete.
    ///
    /// `None` if it has no such header, or if the MTU leaves no room for 8 octets beside it.
    pub fn new(packet: &[u8], mtu: u16) -> Option<Self> {
        let first_header_len = usize::from(packet.first()? & 0xf) * 4;
        let own = packet.get(..first_header_len).filter(|own| own.len() >= 20)?;
        if usize::from(mtu) < first_header_len + UNIT {
            return None;
        }
        let mut header = [0; MAX_HEADER];
        header[..20].copy_from_slice(&own[..20]);
        let header_len = 20 + copy_options(&own[20..], &mut header[20..]);
        header[0] = 0x40 | (header_len / 4) as u8;
        Some(Self {
            header,
            header_len,
            next_header_len: first_header_len,
            at: first_header_len,
            end: packet.len(),
            payload: first_header_len,
            mtu: usize::from(mtu),
            flags_and_offset: u16_at(own, 6),
        })
    }

    /// Makes the next fragment in the packet's own octets and says where it is; `None` after the last.
    pub fn next(&mut self, packet: &mut [u8]) -> Option<Range<usize>> {
        let (at, header_len) = (self.at, self.next_header_len);
        let rest = self.end - at;
        if rest == 0 {
            return None;
        }
        let room = self.mtu - header_len;
        let len = if rest <= room { rest } else { room / UNIT * UNIT };
        let start = at - header_len;
        let offset = (self.flags_and_offset & 0x1fff) + ((at - self.payload) / UNIT) as u16;
        // A fragment that lies beyond the largest datagram is nobody's.
        if offset > 0x1fff {
            return None;
        }
        let fragment = packet.get_mut(start..at + len)?;
        if at > self.payload {
            fragment[..header_len].copy_from_slice(&self.header[..header_len]);
        }
        let more = if len < rest { MORE_FRAGMENTS } else { 0 };
        put_u16(fragment, 2, (header_len + len) as u16);
        put_u16(fragment, 6, self.flags_and_offset & 0xe000 | more | offset);
        put_u16(fragment, 10, 0);
        let sum = checksum::checksum(&fragment[..header_len]);
        put_u16(fragment, 10, sum);
        self.at += len;
        self.next_header_len = self.header_len;
        Some(start..at + len)
    }
}

/// Copies the options that every fragment carries, those whose first bit is set, padded to whole words; how many octets.
fn copy_options(options: &[u8], out: &mut [u8]) -> usize {
    let (mut at, mut copied) = (0, 0);
    while let Some(&kind) = options.get(at) {
        let len = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(options.get(at + 1).copied().unwrap_or(0)),
        };
        let Some(option) = options.get(at..at + len).filter(|_| len > 0) else { break };
        if kind & 0x80 != 0 {
            out[copied..copied + len].copy_from_slice(option);
            copied += len;
        }
        at += len;
    }
    copied.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::{Fragment, Packet, VnetHeader, builder};
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const SRC: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 40_000);
    const DST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 53);

    fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
        let header_len = usize::from(bytes[0] & 0xf) * 4;
        put_u16(&mut bytes, 10, 0);
        let sum = checksum::checksum(&bytes[..header_len]);
        put_u16(&mut bytes, 10, sum);
        bytes
    }

    fn fragments_of(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
        let mut bytes = packet.to_vec();
        let mut fragmenter = Fragmenter::new(&bytes, mtu).unwrap();
        let mut fragments = Vec::new();
        while let Some(range) = fragmenter.next(&mut bytes) {
            fragments.push(bytes[range].to_vec());
        }
        fragments
    }

    /// The payloads in order, each where its offset says.
    fn joined(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (n, fragment) in fragments.iter().enumerate() {
            let mut bytes = fragment.clone();
            let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
            assert_eq!(packet.len(), fragment.len());
            assert_eq!(usize::from(u16_at(fragment, 6) & 0x1fff) * 8, payload.len());
            assert_eq!(u16_at(fragment, 6) & 0x2000 != 0, n + 1 < fragments.len());
            payload.extend_from_slice(&fragment[packet.ip_header_len()..]);
        }
        payload
    }

    proptest! {
        #[test]
        fn fragments_fit_and_make_the_packet_again(len in 1_usize..9000, mtu in 68_u16..1600) {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut packet = builder::udp(SRC, DST, &payload);
            packet[6] = 0;
            let packet = mended(packet);
            let fragments = fragments_of(&packet, mtu);
            prop_assert!(fragments.iter().all(|f| f.len() <= usize::from(mtu)));
            prop_assert_eq!(joined(&fragments), packet[20..].to_vec());
        }
    }

    #[test]
    fn a_fragment_that_is_too_big_itself_keeps_its_place() {
        let mut later = builder::udp(SRC, DST, &[7; 3000]);
        put_u16(&mut later, 6, 0x2000 | 100);
        let fragments = fragments_of(&mended(later), 1500);
        let places: Vec<u16> = fragments.iter().map(|f| u16_at(f, 6)).collect();
        assert_eq!(places, [0x2000 | 100, 0x2000 | 285, 0x2000 | 470]);
        let mut bytes = fragments[0].clone();
        let parsed = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
        assert_eq!(parsed.fragment(), Fragment::Later);
    }

    #[test]
    fn only_the_options_for_every_fragment_are_in_every_fragment() {
        let datagram = builder::udp(SRC, DST, &[7; 3000]);
        let mut packet = datagram[..20].to_vec();
        // Record route, which stays in the first; router alert, which is copied; end of options.
        packet.extend_from_slice(&[7, 3, 4, 0x94, 4, 0, 0, 0]);
        packet.extend_from_slice(&datagram[20..]);
        packet[0] = 0x47;
        packet[6] = 0;
        let len = packet.len() as u16;
        put_u16(&mut packet, 2, len);
        let fragments = fragments_of(&mended(packet), 1500);
        assert_eq!(fragments[0][20..28], [7, 3, 4, 0x94, 4, 0, 0, 0]);
        for later in &fragments[1..] {
            assert_eq!((later[0], &later[20..24]), (0x46, &[0x94, 4, 0, 0][..]));
        }
        assert_eq!(joined(&fragments), datagram[20..]);
    }

    #[test]
    fn no_room_no_fragments() {
        let packet = builder::udp(SRC, DST, &[7; 100]);
        assert!(Fragmenter::new(&packet, 27).is_none());
        assert!(Fragmenter::new(&packet[..19], 1500).is_none());
        assert!(Fragmenter::new(&[], 1500).is_none());
    }
}
