//! The packet quoted in an ICMP error: an IPv4 header, its options, and at least 8 octets of L4 (RFC 792).

use super::ids::Ids;
use super::octets::{address_at, u16_at};
use super::{Protocol, Tuple, checksum};

/// Octets of L4 that every quote has (RFC 792), enough for ports and identifiers.
const L4_OCTETS: usize = 8;

/// What was found in a quote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    /// The flow's direction that the error is about, by the conventions of [`Tuple`].
    pub(super) tuple: Tuple,
    /// Octets of the quoted IPv4 header, options included.
    pub(super) header_len: usize,
    /// What carries the numbers; [`Ids::None`] for a later fragment.
    pub(super) ids: Ids,
    /// Whether an L4 header follows: not for a later fragment.
    pub(super) has_l4: bool,
}

impl Quote {
    /// Reads what follows the 8 octets of an ICMP error's header.
    ///
    /// `None` for what cannot name a flow: not IPv4, a header that does not fit or whose checksum is wrong (RFC 5508
    /// REQ-3), or less than 8 octets of TCP, UDP or ICMP. The quoted total length and the quoted L4 checksum are not
    /// judged: the quote is cut short, and they may be wrong for good reasons.
    pub(super) fn parse(quoted: &[u8]) -> Option<Self> {
        if quoted.len() < 20 || quoted[0] >> 4 != 4 {
            return None;
        }
        let header_len = usize::from(quoted[0] & 0xf) * 4;
        if header_len < 20 || !checksum::is_valid(quoted.get(..header_len)?) {
            return None;
        }
        let protocol = Protocol::from(quoted[9]);
        let l4 = &quoted[header_len..];
        let has_l4 = u16_at(quoted, 6) & 0x1fff == 0;
        let ids = match protocol {
            Protocol::Other(_) => Ids::None,
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp if !has_l4 => Ids::None,
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp if l4.len() < L4_OCTETS => return None,
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp => Ids::of(protocol, l4),
        };
        let (sport, dport) = ids.read(l4);
        let (src, dst) = (address_at(quoted, 12), address_at(quoted, 16));
        Some(Self { tuple: Tuple { protocol, src, dst, sport, dport }, header_len, ids, has_l4 })
    }
}
