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
