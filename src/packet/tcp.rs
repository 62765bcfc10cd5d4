//! The facts of a TCP header that track a flow (RFC 9293 3.1).

use std::fmt;

/// The eight control bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number is valid.
    pub const ACK: Self = Self(0x10);

    /// Returns the union of both sets of bits.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether SYN is set.
    #[inline]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN.0 != 0
    }

    /// Returns whether ACK is set.
    #[inline]
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK.0 != 0
    }

    /// Returns whether a segment with these flags begins a connection: a SYN that neither answers
    /// nor ends one.
    #[inline]
    pub const fn begins_connection(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0 | Self::FIN.0 | Self::RST.0) == Self::SYN.0
    }

    /// Returns whether FIN is set.
    #[inline]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN.0 != 0
    }

    /// Returns whether RST is set.
    #[inline]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST.0 != 0
    }
}

/// Writes the flags as tcpdump does: `[S.]` is SYN and ACK.
impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [&str; 8] = ["F", "S", "R", "P", ".", "U", "E", "W"];
        f.write_str("[")?;
        for (bit, letter) in LETTERS.iter().enumerate() {
            if self.0 & 1 << bit != 0 {
                f.write_str(letter)?;
            }
        }
        f.write_str("]")
    }
}

/// The header's fields that determine a flow's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFacts {
    /// Control bits.
    pub flags: TcpFlags,
    /// Sequence number of the first byte, or of SYN.
    pub seq: u32,
    /// Acknowledgement number; valid with ACK only.
    pub ack: u32,
    /// Window as sent, not scaled.
    pub window: u16,
    /// Bytes of payload, without SYN and FIN.
    pub payload_len: u32,
}

impl TcpFacts {
    /// Returns SEG.LEN of RFC 9293: bytes of sequence space, SYN and FIN counting one each.
    #[inline]
    pub const fn sequence_len(self) -> u32 {
        self.payload_len + self.flags.syn() as u32 + self.flags.fin() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_read_as_in_tcpdump() {
        assert_eq!(TcpFlags::SYN.with(TcpFlags::ACK).to_string(), "[S.]");
        assert_eq!(TcpFlags(0).to_string(), "[]");
    }

    #[test]
    fn syn_and_fin_take_sequence_space() {
        let flags = TcpFlags::SYN.with(TcpFlags::FIN);
        let facts = TcpFacts { flags, seq: 0, ack: 0, window: 0, payload_len: 5 };
        assert_eq!(facts.sequence_len(), 7);
    }
}
