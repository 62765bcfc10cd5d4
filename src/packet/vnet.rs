//! The virtio-net header (`struct virtio_net_hdr`, 10 octets, host order) in front of each packet on a TUN device
//! opened with `IFF_VNET_HDR`: it says what the kernel left to be done, checksum and segmentation.

/// Octets of the header on the wire.
pub const LEN: usize = 10;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the L4 checksum field holds the folded pseudo-header sum only.
pub const NEEDS_CSUM: u8 = 1;

/// What travels in front of a packet; all zero for a plain packet with complete checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// [`NEEDS_CSUM`] and others.
    pub flags: u8,
    /// 0 none, 1 TCPv4, 3 UDP fragmentation, 4 TCPv6, 5 UDP segmentation; 0x80 marks ECN.
    pub gso_type: u8,
    /// Octets of headers repeated in each segment, as the kernel guesses: not to be trusted.
    pub hdr_len: u16,
    /// Octets of payload in each segment of a super-packet.
    pub gso_size: u16,
    /// Where the checksum starts, from the start of the IP packet.
    pub csum_start: u16,
    /// Where the checksum field is, from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHeader {
    /// Reads the header from its octets, in host order.
    #[inline]
    #[must_use]
    pub const fn from_bytes(octets: &[u8; LEN]) -> Self {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = *octets;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            csum_start: u16::from_ne_bytes([s0, s1]),
            csum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    /// The header's octets, in host order.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; LEN] {
        let [h0, h1] = self.hdr_len.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.csum_start.to_ne_bytes();
        let [o0, o1] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}
