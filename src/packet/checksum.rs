//! The Internet checksum (RFC 1071): in full, as an incremental change (RFC 1624), over the
//! pseudo-header.

use super::field::{ipv4, put_u16};
use std::net::Ipv4Addr;

/// A ones-complement sum of bytes, or the difference that a change of bytes makes to such a sum.
///
/// Nothing overflows: each step adds at most 2^17, and a packet has at most 2^16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes as big-endian words; an odd last byte is padded with zero, hence only the last
    /// slice may be odd.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // The sum does not depend on byte order except for a final swap (RFC 1071, 2B), so words
        // are read in host order.
        let (quads, rest) = bytes.as_chunks::<4>();
        let mut sum: u64 = quads.iter().map(|quad| u64::from(u32::from_ne_bytes(*quad))).sum();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        sum += u64::from(u32::from_ne_bytes(last));
        self.word(u16::from_be(fold(sum)))
    }

    /// Adds one word.
    #[inline]
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds an address.
    #[inline]
    #[must_use]
    pub const fn address(self, address: Ipv4Addr) -> Self {
        let bits = address.to_bits();
        Self(self.0 + (bits >> 16) as u64 + (bits & 0xffff) as u64)
    }

    /// Notes that a word of the summed bytes changes (RFC 1624: `~m + m'`).
    #[inline]
    #[must_use]
    pub const fn replace(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// Notes that an address among the summed bytes changes.
    #[inline]
    #[must_use]
    pub const fn replace_address(self, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        self.address(Ipv4Addr::from_bits(!old.to_bits())).address(new)
    }

    /// Returns the sum of both.
    #[inline]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Returns the sum in 16 bits, not complemented, as in the field of a partial checksum.
    #[inline]
    pub const fn fold(self) -> u16 {
        fold(self.0)
    }

    /// Returns the complement of the folded sum, as in the field of a complete checksum.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }
}

#[inline]
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// Returns the checksum of `bytes`, whose own checksum field must be zero.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::default().bytes(bytes).checksum()
}

/// Returns whether the checksum in `bytes` is right.
#[inline]
pub fn is_valid(bytes: &[u8]) -> bool {
    Sum::default().bytes(bytes).fold() == 0xffff
}

/// Writes the checksum of an IPv4 header, which must be whole, its options included.
#[inline]
pub fn write_ipv4(header: &mut [u8]) {
    put_u16(header, ipv4::CHECKSUM, 0);
    let sum = checksum(header);
    put_u16(header, ipv4::CHECKSUM, sum);
}

/// Returns the sum of the pseudo-header in front of TCP (RFC 9293 3.1) and UDP (RFC 768); `l4_len`
/// is header and payload in bytes.
#[inline]
pub const fn pseudo_header(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, l4_len: u16) -> Sum {
    Sum(0).address(src).address(dst).word(protocol as u16).word(l4_len)
}

/// Returns a complete checksum after `change` (RFC 1624, equation 3).
///
/// A change of nothing returns the field as it was, also if it is the other of the two zeros.
#[inline]
pub const fn adjust(checksum: u16, change: Sum) -> u16 {
    !adjust_partial(!checksum, change)
}

/// Returns a complete UDP checksum after `change`: zero means none and stays; a computed zero is
/// sent as 0xffff (RFC 768).
#[inline]
pub const fn adjust_udp(checksum: u16, change: Sum) -> u16 {
    if checksum == 0 {
        return 0;
    }
    match adjust(checksum, change) {
        0 => 0xffff,
        adjusted => adjusted,
    }
}

/// Returns a partial checksum, which is the folded sum itself, after `change`.
#[inline]
pub const fn adjust_partial(sum: u16, change: Sum) -> u16 {
    match change.fold() {
        0 | 0xffff => sum,
        change => Sum(sum as u64 + change as u64).fold(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Computes the sum by the code of RFC 1071, section 4.1.
    fn slow_sum(bytes: &[u8]) -> u16 {
        let mut sum: u32 = 0;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn example_of_rfc_1071_section_3() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().bytes(&bytes).fold(), 0xddf2);
        assert_eq!(checksum(&bytes), !0xddf2);
    }

    #[test]
    fn example_of_rfc_1624_section_4() {
        assert_eq!(adjust(0xdd2f, Sum::default().replace(0x5555, 0x3285)), 0x0000);
    }

    #[test]
    fn udp_keeps_no_checksum_and_never_computes_one_that_says_none() {
        let change = Sum::default().replace(0x5555, 0x3285);
        assert_eq!(adjust_udp(0, change), 0);
        assert_eq!(adjust_udp(0xdd2f, change), 0xffff);
    }

    #[test]
    fn largest_packet_of_ones_does_not_overflow() {
        assert_eq!(Sum::default().bytes(&[0xff; 65_535]).fold(), slow_sum(&[0xff; 65_535]));
    }

    proptest! {
        #[test]
        fn sum_equals_the_slow_one(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Sum::default().bytes(&bytes).fold(), slow_sum(&bytes));
        }

        #[test]
        fn increment_equals_the_full_sum(
            mut bytes in proptest::collection::vec(any::<u8>(), 2..100),
            new in any::<u16>(),
        ) {
            bytes[0] |= 1;
            let before = checksum(&bytes);
            let old = u16::from_be_bytes([bytes[0], bytes[1]]);
            let new = new | 0x100;
            bytes[..2].copy_from_slice(&new.to_be_bytes());
            prop_assert_eq!(adjust(before, Sum::default().replace(old, new)), checksum(&bytes));
        }
    }
}
