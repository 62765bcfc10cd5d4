//! Splits a packet that is too big for the next link and may be fragmented (RFC 791 3.2), in place
//! and in order.

use super::field::ipv4::{self, FRAGMENT_UNIT as UNIT};
use super::field::{ipv4_option as option, put_u16, u16_at};
use super::{checksum, ip_options};
use std::ops::Range;

/// The flags of an IPv4 header, except [`ipv4::MORE_FRAGMENTS`], which each fragment sets for
/// itself.
const FLAGS: u16 = !ipv4::FRAGMENT_OFFSET;

/// The fragments of one packet, one after the other.
///
/// Each is written over the bytes in front of its payload, which are the end of the fragment before
/// it: the caller must have sent that one by then. So only headers are copied.
#[derive(Debug)]
pub struct Fragmenter {
    /// The header of the later fragments, with the options that are copied.
    header: [u8; ipv4::MAX_LEN],
    header_len: usize,
    /// Bytes of the next fragment's header.
    next_header_len: usize,
    /// Offset of the next fragment's payload in the packet.
    at: usize,
    /// Offset of the packet's end.
    end: usize,
    /// Offset of the packet's payload.
    payload: usize,
    mtu: usize,
    /// The packet's own flags and offset, because it may itself be a fragment.
    flags_and_offset: u16,
}

impl Fragmenter {
    /// Begins to fragment a packet, given from its IPv4 header on, that is larger than `mtu` bytes.
    /// Its L4 checksum must be complete.
    ///
    /// Returns `None` if it has no such header, or if the MTU leaves no room for 8 bytes beside it.
    pub fn new(packet: &[u8], mtu: u16) -> Option<Self> {
        let first_header_len = ipv4::header_len(*packet.first()?);
        let own = packet.get(..first_header_len).filter(|own| own.len() >= ipv4::MIN_LEN)?;
        if usize::from(mtu) < first_header_len + UNIT {
            return None;
        }
        let mut header = [0; ipv4::MAX_LEN];
        let (fixed, options) = own.split_at(ipv4::MIN_LEN);
        let (later_fixed, later_options) = header.split_at_mut(ipv4::MIN_LEN);
        later_fixed.copy_from_slice(fixed);
        let header_len = ipv4::MIN_LEN + copy_options(options, later_options);
        header[ipv4::VERSION_AND_LENGTH] = ipv4::first_byte(header_len);
        Some(Self {
            header,
            header_len,
            next_header_len: first_header_len,
            at: first_header_len,
            end: packet.len(),
            payload: first_header_len,
            mtu: usize::from(mtu),
            flags_and_offset: u16_at(own, ipv4::FLAGS_AND_OFFSET),
        })
    }

    /// Makes the next fragment in the packet's own bytes and returns its range; `None` after the
    /// last.
    pub fn next(&mut self, packet: &mut [u8]) -> Option<Range<usize>> {
        let (at, header_len) = (self.at, self.next_header_len);
        let rest = self.end - at;
        if rest == 0 {
            return None;
        }
        let room = self.mtu - header_len;
        let len = if rest <= room { rest } else { room / UNIT * UNIT };
        let start = at - header_len;
        let offset =
            (self.flags_and_offset & ipv4::FRAGMENT_OFFSET) + ((at - self.payload) / UNIT) as u16;
        // No host accepts a fragment beyond the largest datagram.
        if offset > ipv4::FRAGMENT_OFFSET {
            return None;
        }
        let fragment = packet.get_mut(start..at + len)?;
        if at > self.payload {
            fragment[..header_len].copy_from_slice(&self.header[..header_len]);
        }
        let more = if len < rest { ipv4::MORE_FRAGMENTS } else { 0 };
        put_u16(fragment, ipv4::TOTAL_LEN, (header_len + len) as u16);
        let flags = self.flags_and_offset & FLAGS | more;
        put_u16(fragment, ipv4::FLAGS_AND_OFFSET, flags | offset);
        checksum::write_ipv4(&mut fragment[..header_len]);
        self.at += len;
        self.next_header_len = self.header_len;
        Some(start..at + len)
    }
}

/// Copies the options that every fragment carries (those whose first bit is set), padded to whole
/// words, and returns their length in bytes.
fn copy_options(options: &[u8], out: &mut [u8]) -> usize {
    let mut copied = 0;
    for (_, option) in ip_options::each(options).filter(|(kind, _)| kind & option::COPIED != 0) {
        out[copied..copied + option.len()].copy_from_slice(option);
        copied += option.len();
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

    fn with_valid_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        builder::update_header_checksum(&mut bytes);
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

    /// Joins the payloads in order and checks each fragment's offset.
    fn joined(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (n, fragment) in fragments.iter().enumerate() {
            let mut bytes = fragment.clone();
            let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
            assert_eq!(packet.len(), fragment.len());
            assert_eq!(usize::from(packet.fragment_offset()) * UNIT, payload.len());
            let more = u16_at(fragment, ipv4::FLAGS_AND_OFFSET) & ipv4::MORE_FRAGMENTS != 0;
            assert_eq!(more, n + 1 < fragments.len());
            payload.extend_from_slice(&fragment[packet.ip_header_len()..]);
        }
        payload
    }

    proptest! {
        #[test]
        fn fragments_fit_and_make_the_packet_again(len in 1_usize..9000, mtu in 68_u16..1600) {
            let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut packet = builder::udp(SRC, DST, &payload);
            packet[ipv4::FLAGS_AND_OFFSET] = 0;
            let packet = with_valid_checksum(packet);
            let fragments = fragments_of(&packet, mtu);
            prop_assert!(fragments.iter().all(|f| f.len() <= usize::from(mtu)));
            prop_assert_eq!(joined(&fragments), packet[ipv4::MIN_LEN..].to_vec());
        }
    }

    #[test]
    fn a_fragment_that_is_too_big_itself_keeps_its_place() {
        let mut later = builder::udp(SRC, DST, &[7; 3000]);
        put_u16(&mut later, ipv4::FLAGS_AND_OFFSET, ipv4::MORE_FRAGMENTS | 100);
        let fragments = fragments_of(&with_valid_checksum(later), 1500);
        let places: Vec<u16> =
            fragments.iter().map(|f| u16_at(f, ipv4::FLAGS_AND_OFFSET)).collect();
        assert_eq!(places, [100, 285, 470].map(|place| ipv4::MORE_FRAGMENTS | place));
        let mut bytes = fragments[0].clone();
        let parsed = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
        assert_eq!(parsed.fragment(), Fragment::Later);
    }

    #[test]
    fn only_the_options_for_every_fragment_are_in_every_fragment() {
        let datagram = builder::udp(SRC, DST, &[7; 3000]);
        let mut packet = datagram[..ipv4::MIN_LEN].to_vec();
        // Record route, which stays in the first; router alert, which is copied; end of options.
        packet.extend_from_slice(&[7, 3, 4, 0x94, 4, 0, 0, 0]);
        packet.extend_from_slice(&datagram[ipv4::MIN_LEN..]);
        packet[ipv4::VERSION_AND_LENGTH] = ipv4::first_byte(28);
        packet[ipv4::FLAGS_AND_OFFSET] = 0;
        let len = packet.len() as u16;
        put_u16(&mut packet, ipv4::TOTAL_LEN, len);
        let fragments = fragments_of(&with_valid_checksum(packet), 1500);
        assert_eq!(fragments[0][ipv4::MIN_LEN..28], [7, 3, 4, 0x94, 4, 0, 0, 0]);
        for later in &fragments[1..] {
            assert_eq!(
                (later[ipv4::VERSION_AND_LENGTH], &later[ipv4::MIN_LEN..24]),
                (ipv4::first_byte(24), &[0x94, 4, 0, 0][..])
            );
        }
        assert_eq!(joined(&fragments), datagram[ipv4::MIN_LEN..]);
    }

    #[test]
    fn no_room_no_fragments() {
        let packet = builder::udp(SRC, DST, &[7; 100]);
        assert!(Fragmenter::new(&packet, (ipv4::MIN_LEN + UNIT - 1) as u16).is_none());
        assert!(Fragmenter::new(&packet[..ipv4::MIN_LEN - 1], 1500).is_none());
        assert!(Fragmenter::new(&[], 1500).is_none());
    }
}
