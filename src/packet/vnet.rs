//! The virtio-net header (`struct virtio_net_hdr`, 10 bytes, host order) in front of each packet on
//! a TUN device opened with `IFF_VNET_HDR`: it names the work that the kernel has left to do:
//! checksum and segmentation.

use super::checksum;
use super::field::{udp, vnet};

/// Bytes of the header on the wire.
pub const LEN: usize = vnet::LEN;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the L4 checksum field holds the folded pseudo-header sum only.
pub const NEEDS_CSUM: u8 = 1;

/// The header in front of a packet; all zero for a plain packet with complete checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// [`NEEDS_CSUM`] and others.
    pub flags: u8,
    /// 0 none, 1 TCPv4, 3 UDP fragmentation, 4 TCPv6, 5 UDP segmentation; 0x80 marks ECN.
    pub gso_type: u8,
    /// Bytes of headers repeated in each segment, as the kernel guesses: do not rely on it.
    pub hdr_len: u16,
    /// Bytes of payload in each segment of a super-packet.
    pub gso_size: u16,
    /// Offset at which the checksum starts, from the start of the IP packet.
    pub csum_start: u16,
    /// Offset of the checksum field, from `csum_start`.
    pub csum_offset: u16,
}

/// `VIRTIO_NET_HDR_GSO_TCPV4`.
pub const GSO_TCPV4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_UDP_L4`.
pub const GSO_UDP_L4: u8 = 5;
/// `VIRTIO_NET_HDR_GSO_ECN`, a bit beside the type.
pub const GSO_ECN: u8 = 0x80;

impl VnetHeader {
    /// Reads the header as the kernel wrote it.
    #[inline]
    pub const fn from_bytes(bytes: &[u8; LEN]) -> Self {
        Self {
            flags: bytes[vnet::FLAGS],
            gso_type: bytes[vnet::GSO_TYPE],
            hdr_len: word_at(bytes, vnet::HDR_LEN),
            gso_size: word_at(bytes, vnet::GSO_SIZE),
            csum_start: word_at(bytes, vnet::CSUM_START),
            csum_offset: word_at(bytes, vnet::CSUM_OFFSET),
        }
    }

    /// Returns the bytes that the kernel reads.
    #[inline]
    pub const fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[vnet::FLAGS] = self.flags;
        bytes[vnet::GSO_TYPE] = self.gso_type;
        put_word(&mut bytes, vnet::HDR_LEN, self.hdr_len);
        put_word(&mut bytes, vnet::GSO_SIZE, self.gso_size);
        put_word(&mut bytes, vnet::CSUM_START, self.csum_start);
        put_word(&mut bytes, vnet::CSUM_OFFSET, self.csum_offset);
        bytes
    }

    /// Returns whether the L4 checksum must still be completed.
    #[inline]
    pub const fn is_partial(self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }

    /// Returns the offset at which a partial checksum begins and that of its field, from the start
    /// of the IP packet.
    pub(super) fn checksum_place(self) -> (usize, usize) {
        let start = usize::from(self.csum_start);
        (start, start + usize::from(self.csum_offset))
    }

    /// Returns the complete checksum of the bytes that a partial one covers. A UDP checksum is
    /// never zero, because zero means that there is none.
    pub(super) fn completed(self, covered: &[u8]) -> u16 {
        match checksum::checksum(covered) {
            0 if usize::from(self.csum_offset) == udp::CHECKSUM => 0xffff,
            sum => sum,
        }
    }

    /// Returns whether the packet must still be segmented.
    #[inline]
    pub const fn is_super_packet(self) -> bool {
        self.gso_type & !GSO_ECN != 0
    }
}

#[inline]
const fn word_at(bytes: &[u8; LEN], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
const fn put_word(bytes: &mut [u8; LEN], at: usize, word: u16) {
    [bytes[at], bytes[at + 1]] = word.to_ne_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_lie_where_the_kernel_puts_them() {
        let mut bytes = [0; LEN];
        bytes[0] = NEEDS_CSUM;
        bytes[1] = GSO_TCPV4 | GSO_ECN;
        bytes[4..6].copy_from_slice(&1448_u16.to_ne_bytes());
        bytes[6..8].copy_from_slice(&20_u16.to_ne_bytes());
        bytes[8..10].copy_from_slice(&16_u16.to_ne_bytes());
        let header = VnetHeader::from_bytes(&bytes);
        assert!(header.is_partial() && header.is_super_packet());
        assert_eq!((header.gso_size, header.csum_start, header.csum_offset), (1448, 20, 16));
        assert_eq!(header.hdr_len, 0);
    }

    #[test]
    fn plain_packet_needs_nothing() {
        let header = VnetHeader::default();
        assert!(!header.is_partial() && !header.is_super_packet());
        assert_eq!(header.to_bytes(), [0; LEN]);
    }

    proptest! {
        #[test]
        fn bytes_survive(bytes in any::<[u8; LEN]>()) {
            prop_assert_eq!(VnetHeader::from_bytes(&bytes).to_bytes(), bytes);
        }
    }
}
