//! The TCP state that a NAT keeps (RFC 7857 section 2): enough to choose a timer and to tell a real RST from a forged one.
//!
//! One worker writes each direction, so plain loads and stores suffice; only the flags are combined atomically.

use crate::packet::TcpFacts;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

const RETURN_SYN: u8 = 1;
const ESTABLISHED: u8 = 2;
const EGRESS_FIN: u8 = 4;
const RETURN_FIN: u8 = 8;
const EGRESS_RST: u8 = 16;
const RETURN_RST: u8 = 32;

/// How far ahead of what is acknowledged anything may be: more than a window that anyone has, and one in 256 of all numbers.
const MAX_FLIGHT: u32 = 1 << 24;

/// Where a TCP flow is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// SYN sent, handshake not complete.
    Opening,
    /// Handshake complete; a FIN one way leaves it here.
    Established,
    /// FIN both ways, or a valid RST.
    Closed,
}

impl TcpState {
    /// The word that `egret flows` shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closed => "closed",
        }
    }
}

/// What one direction has said, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The highest sequence number sent, plus one.
    pub end: u32,
    /// The last acknowledgement sent.
    pub ack: u32,
}

/// What one direction has said.
#[derive(Debug, Default)]
struct Sent {
    /// The highest sequence number sent, plus one.
    end: AtomicU32,
    /// The last acknowledgement sent.
    ack: AtomicU32,
}

/// The state of one TCP flow.
#[derive(Debug, Default)]
pub struct TcpTracker {
    flags: AtomicU8,
    egress: Sent,
    returned: Sent,
}

impl TcpTracker {
    /// Where the flow is in its life.
    #[inline]
    pub fn state(&self) -> TcpState {
        let flags = self.flags.load(Relaxed);
        let reset = flags & (EGRESS_RST | RETURN_RST) != 0;
        if reset || flags & (EGRESS_FIN | RETURN_FIN) == EGRESS_FIN | RETURN_FIN {
            TcpState::Closed
        } else if flags & ESTABLISHED != 0 {
            TcpState::Established
        } else {
            TcpState::Opening
        }
    }

    /// Whether its handshake was ever completed.
    pub fn was_established(&self) -> bool {
        self.flags.load(Relaxed) & ESTABLISHED != 0
    }

    /// Whether one side has ended, and the other not.
    #[inline]
    pub fn is_half_closed(&self) -> bool {
        let flags = self.flags.load(Relaxed) & (EGRESS_FIN | RETURN_FIN);
        flags == EGRESS_FIN || flags == RETURN_FIN
    }

    /// Whether a connection that had been established was reset, rather than refused or closed.
    #[inline]
    pub fn is_reset(&self) -> bool {
        let flags = self.flags.load(Relaxed);
        flags & ESTABLISHED != 0 && flags & (EGRESS_RST | RETURN_RST) != 0
    }

    /// Whether its handshake is complete, and neither side has said that it ends.
    #[inline]
    pub fn is_steady(&self) -> bool {
        let flags = self.flags.load(Relaxed);
        flags & ESTABLISHED != 0 && flags & (EGRESS_FIN | RETURN_FIN | EGRESS_RST | RETURN_RST) == 0
    }

    /// What each side has said so far: the task's, then the other's.
    pub(super) fn windows(&self) -> [Window; 2] {
        [&self.egress, &self.returned]
            .map(|sent| Window { end: sent.end.load(Relaxed), ack: sent.ack.load(Relaxed) })
    }

    /// Makes it that of a connection that is established, whose sides have said this so far.
    pub(super) fn resume(&self, said: [Window; 2]) {
        for (sent, window) in [&self.egress, &self.returned].into_iter().zip(said) {
            sent.end.store(window.end, Relaxed);
            sent.ack.store(window.ack, Relaxed);
        }
        self.flags.store(RETURN_SYN | ESTABLISHED, Relaxed);
    }

    /// Takes into account what one side has said in segments that were not observed here.
    pub(super) fn catch_up(&self, is_egress: bool, said: Window) {
        let sent = if is_egress { &self.egress } else { &self.returned };
        if at_or_after(said.end, sent.end.load(Relaxed)) {
            sent.end.store(said.end, Relaxed);
        }
        // What is told late is of before.
        if at_or_after(said.ack, sent.ack.load(Relaxed)) {
            sent.ack.store(said.ack, Relaxed);
        }
    }

    /// Takes a segment into account; `is_egress` says which way it goes. Says whether it is a sign of life: any is, but for
    /// a RST that ends nothing. Such a one may answer anything that somebody sent (RFC 7857 7, checklist 7857-7).
    #[inline]
    pub fn observe(&self, segment: &TcpFacts, is_egress: bool) -> bool {
        let (sender, other) =
            if is_egress { (&self.egress, &self.returned) } else { (&self.returned, &self.egress) };
        let flags = segment.flags;
        if flags.rst() {
            return self.observe_rst(segment, sender, other, is_egress);
        }
        let end = segment.seq.wrapping_add(segment.sequence_len());
        let goes_on = at_or_after(end, sender.end.load(Relaxed));
        let before = self.flags.load(Relaxed);
        let begins = flags.syn() && (is_egress || self.returns_syn(segment, before));
        if begins || !flags.syn() && goes_on && is_in_flight(end, other) {
            sender.end.store(end, Relaxed);
        }
        if flags.ack() {
            sender.ack.store(segment.ack, Relaxed);
        }
        if begins && !is_egress {
            self.flags.fetch_or(RETURN_SYN, Relaxed);
        } else if flags.fin() || before & (EGRESS_FIN | RETURN_FIN | EGRESS_RST | RETURN_RST) != 0 {
            self.observe_end(segment, other, is_egress, goes_on);
        }
        if is_egress && flags.ack() && before & (RETURN_SYN | ESTABLISHED) == RETURN_SYN {
            self.flags.fetch_or(ESTABLISHED, Relaxed);
        }
        true
    }

    /// Whether a SYN from outside is of the handshake, or was sent blindly: it answers the SYN of the inside, or is the first
    /// of a simultaneous open. An established flow begins again where the inside has sent a SYN, and its very number is met.
    #[cold]
    fn returns_syn(&self, segment: &TcpFacts, before: u8) -> bool {
        let behind = self.egress.end.load(Relaxed).wrapping_sub(segment.ack);
        match (segment.flags.ack(), before & ESTABLISHED != 0) {
            (true, true) => behind == 0,
            (true, false) => behind < MAX_FLIGHT,
            (false, established) => !established && before & RETURN_SYN == 0,
        }
    }

    /// A FIN counts if it is where its sender can be. Neither a FIN nor a RST was its sender's if the sender goes on: after
    /// a FIN with more data, after a RST with anything. The flow then lives on (RFC 6146 3.5.2.2, RFC 7857 2), for
    /// instance when the RST was forged and answered by a challenge ACK (RFC 5961). Data that the FIN has overtaken on the
    /// way, or that is sent again, is none of what comes after it.
    #[cold]
    fn observe_end(&self, segment: &TcpFacts, other: &Sent, is_egress: bool, goes_on: bool) {
        let flags = segment.flags;
        let ahead = segment.seq.wrapping_sub(other.ack.load(Relaxed));
        if flags.syn() || ahead >= MAX_FLIGHT {
            return;
        }
        let (fin, rst) =
            if is_egress { (EGRESS_FIN, EGRESS_RST) } else { (RETURN_FIN, RETURN_RST) };
        self.flags.fetch_and(!rst, Relaxed);
        if flags.fin() {
            self.flags.fetch_or(fin, Relaxed);
        } else if segment.payload_len > 0 && goes_on {
            self.flags.fetch_and(!fin, Relaxed);
        }
    }

    /// A RST counts only if its sequence number is one that its sender can be at: from what the other side has
    /// acknowledged to what the sender has sent. Anything else is forged or stale and ends nothing (checklist 7857-RST).
    /// Says whether it ended something.
    #[cold]
    fn observe_rst(
        &self,
        segment: &TcpFacts,
        sender: &Sent,
        other: &Sent,
        is_egress: bool,
    ) -> bool {
        let was_over = self.state() == TcpState::Closed;
        let acknowledged = other.ack.load(Relaxed);
        let sent = sender.end.load(Relaxed);
        let refuses_syn = !is_egress
            && self.state() == TcpState::Opening
            && segment.flags.ack()
            && segment.ack == self.egress.end.load(Relaxed);
        let in_window = at_or_after(segment.seq, acknowledged) && at_or_after(sent, segment.seq);
        if refuses_syn || in_window {
            self.flags.fetch_or(if is_egress { EGRESS_RST } else { RETURN_RST }, Relaxed);
            return !was_over;
        }
        false
    }
}

/// Whether the end of a segment is where its sender can be, by what the other side has acknowledged: what a forger writes
/// must not widen the window that its RST is to meet.
#[inline]
fn is_in_flight(end: u32, other: &Sent) -> bool {
    end.wrapping_sub(other.ack.load(Relaxed)) <= MAX_FLIGHT
}

/// Sequence numbers wrap (RFC 9293, 3.4).
#[inline]
fn at_or_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::TcpFlags;

    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RESET: u8 = 4;
    const ACK: u8 = 16;

    fn segment(flags: u8, seq: u32, ack: u32, payload_len: u32) -> TcpFacts {
        TcpFacts { flags: TcpFlags(flags), seq, ack, window: 1000, payload_len }
    }

    fn established() -> TcpTracker {
        let tcp = TcpTracker::default();
        tcp.observe(&segment(SYN, 100, 0, 0), true);
        tcp.observe(&segment(SYN | ACK, 500, 101, 0), false);
        assert_eq!(tcp.state(), TcpState::Opening);
        tcp.observe(&segment(ACK, 101, 501, 0), true);
        assert_eq!(tcp.state(), TcpState::Established);
        tcp
    }

    #[test]
    fn a_fin_each_way_closes() {
        let tcp = established();
        tcp.observe(&segment(FIN | ACK, 101, 501, 0), true);
        assert_eq!(tcp.state(), TcpState::Established, "half-closed is not closed");
        tcp.observe(&segment(FIN | ACK, 501, 102, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    #[test]
    fn a_rst_outside_the_window_ends_nothing() {
        let tcp = established();
        tcp.observe(&segment(RESET, 999_999, 0, 0), false);
        assert_eq!(tcp.state(), TcpState::Established);
        tcp.observe(&segment(RESET, 501, 0, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    #[test]
    fn regression_a_fin_where_its_sender_cannot_be_closes_nothing() {
        let tcp = established();
        tcp.observe(&segment(FIN | ACK, 101, 501, 0), true);
        for seq in [500, 501 + MAX_FLIGHT, 0x8000_0000] {
            tcp.observe(&segment(FIN | ACK, seq, 102, 0), false);
            assert_eq!(tcp.state(), TcpState::Established, "{seq}");
        }
        tcp.observe(&segment(FIN | ACK, 501 + 1_000_000, 102, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed, "a FIN that overtook data");
    }

    /// The task answers a forged RST with a challenge ACK, and the server goes on.
    #[test]
    fn regression_a_flow_lives_on_if_the_sender_of_a_rst_does() {
        let tcp = established();
        tcp.observe(&segment(RESET, 501, 0, 0), false);
        tcp.observe(&segment(ACK, 101, 501, 0), true);
        assert_eq!(tcp.state(), TcpState::Closed, "the other side knows nothing of it");
        tcp.observe(&segment(ACK, 999_999_999, 101, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed, "out of the window");
        tcp.observe(&segment(ACK, 501, 101, 0), false);
        assert_eq!(tcp.state(), TcpState::Established);
        tcp.observe(&segment(RESET, 101, 0, 0), true);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    #[test]
    fn regression_a_flow_lives_on_if_the_sender_of_a_fin_has_more_to_say() {
        let tcp = established();
        tcp.observe(&segment(FIN | ACK, 101, 501, 0), true);
        tcp.observe(&segment(FIN | ACK, 501, 102, 0), false);
        tcp.observe(&segment(ACK, 102, 502, 0), true);
        tcp.observe(&segment(ACK, 502, 102, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed, "these belong to the end");
        tcp.observe(&segment(ACK, 502, 102, 10), false);
        assert_eq!(tcp.state(), TcpState::Established);
    }

    /// Found by the simulated world: the flow stayed for 350 s.
    #[test]
    fn regression_a_fin_counts_although_it_has_overtaken_data() {
        let tcp = established();
        tcp.observe(&segment(FIN | ACK, 151, 501, 0), true);
        tcp.observe(&segment(ACK, 101, 501, 50), true);
        tcp.observe(&segment(FIN | ACK, 501, 152, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
        tcp.observe(&segment(ACK, 111, 501, 40), true);
        assert_eq!(tcp.state(), TcpState::Closed, "sent again");
    }

    #[test]
    fn regression_what_is_told_late_sets_nothing_back() {
        let tcp = established();
        tcp.observe(&segment(ACK, 101, 601, 10), true);
        tcp.catch_up(true, Window { end: 105, ack: 550 });
        assert_eq!(tcp.windows()[0], Window { end: 111, ack: 601 });
        tcp.catch_up(true, Window { end: 120, ack: 700 });
        assert_eq!(tcp.windows()[0], Window { end: 120, ack: 700 });
    }

    #[test]
    fn a_rst_behind_unacknowledged_data_counts() {
        let tcp = established();
        tcp.observe(&segment(ACK, 501, 101, 50), false);
        tcp.observe(&segment(RESET | ACK, 551, 101, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    /// Blind segments, each before a RST at its own end: neither data far ahead nor a SYN makes room for one.
    /// Checklist 7857-RST.
    #[test]
    fn regression_a_forged_segment_does_not_widen_the_window_of_a_rst() {
        let tcp = established();
        for (flags, seq, ack) in [
            (ACK, 501 + MAX_FLIGHT, 101),
            (ACK, 0x7000_0000, 101),
            (SYN, 0x7000_0000, 0),
            (SYN | ACK, 0x7000_0000, 77),
        ] {
            tcp.observe(&segment(flags, seq, ack, 10), false);
            assert!(!tcp.observe(&segment(RESET, seq, 0, 0), false), "{flags} {seq}");
            assert_eq!(tcp.state(), TcpState::Established, "{flags} {seq}");
        }
        tcp.observe(&segment(ACK, 501 + MAX_FLIGHT - 10, 101, 10), false);
        tcp.observe(&segment(RESET, 501 + MAX_FLIGHT, 101, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed, "as far ahead as it may be");
    }

    #[test]
    fn regression_a_forged_syn_does_not_complete_a_handshake() {
        let tcp = TcpTracker::default();
        tcp.observe(&segment(SYN, 100, 0, 0), true);
        tcp.observe(&segment(SYN | ACK, 500, 0x7000_0000, 0), false);
        tcp.observe(&segment(ACK, 101, 501, 0), true);
        assert_eq!(tcp.state(), TcpState::Opening);
        tcp.observe(&segment(SYN | ACK, 900, 101, 0), false);
        tcp.observe(&segment(ACK, 101, 901, 0), true);
        assert_eq!(tcp.state(), TcpState::Established);
        tcp.observe(&segment(RESET, 901, 0, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    #[test]
    fn simultaneous_open_and_a_syn_that_begins_again() {
        let tcp = TcpTracker::default();
        tcp.observe(&segment(SYN, 100, 0, 0), true);
        for _ in 0..2 {
            tcp.observe(&segment(SYN, 500, 0, 0), false);
        }
        tcp.observe(&segment(SYN | ACK, 100, 501, 0), true);
        tcp.observe(&segment(SYN | ACK, 500, 101, 0), false);
        assert_eq!(tcp.state(), TcpState::Established);
        // The inside begins again on its tuple, and far behind its old numbers.
        tcp.observe(&segment(SYN, 0x9000_0000, 0, 0), true);
        tcp.observe(&segment(SYN | ACK, 0xa000_0000, 0x9000_0001, 0), false);
        tcp.observe(&segment(ACK, 0x9000_0001, 0xa000_0001, 0), true);
        tcp.observe(&segment(RESET, 0xa000_0001, 0, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    #[test]
    fn a_refused_syn_closes() {
        let tcp = TcpTracker::default();
        tcp.observe(&segment(SYN, 100, 0, 0), true);
        tcp.observe(&segment(RESET | ACK, 0, 101, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let tcp = TcpTracker::default();
        tcp.observe(&segment(SYN, u32::MAX, 0, 0), true);
        tcp.observe(&segment(SYN | ACK, u32::MAX - 1, 0, 0), false);
        tcp.observe(&segment(ACK, 0, u32::MAX, 0), true);
        tcp.observe(&segment(ACK, u32::MAX, 0, 100), false);
        tcp.observe(&segment(RESET, 99, 0, 0), false);
        assert_eq!(tcp.state(), TcpState::Closed);
    }

    /// Checklist 5.5: 8 GB one way take the sequence numbers round twice, and change nothing.
    #[test]
    fn eight_gigabytes_do_not_confuse_the_window() {
        let tcp = established();
        let (mut sent, mut seq) = (0_u64, 501_u32);
        while sent < 8_000_000_000 {
            tcp.observe(&segment(ACK, seq, 101, 64_000), false);
            seq = seq.wrapping_add(64_000);
            sent += 64_000;
            assert!(tcp.observe(&segment(ACK, 101, seq, 0), true));
        }
        assert_eq!((tcp.state(), tcp.is_half_closed()), (TcpState::Established, false));
        assert!(!tcp.observe(&segment(RESET, seq.wrapping_add(1), 0, 0), false));
        assert_eq!(tcp.state(), TcpState::Established);
        assert!(tcp.observe(&segment(RESET, seq, 0, 0), false));
        assert!(tcp.is_reset());
    }

    /// Checklist 7857-2: acknowledgements that challenge a RST or a SYN (RFC 5961) are like any others.
    #[test]
    fn a_challenge_ack_changes_nothing() {
        let tcp = established();
        tcp.observe(&segment(SYN, 9_000_000, 0, 0), false);
        assert!(tcp.observe(&segment(ACK, 101, 501, 0), true));
        tcp.observe(&segment(RESET, 400, 0, 0), false);
        assert!(tcp.observe(&segment(ACK, 101, 501, 0), true));
        assert_eq!(tcp.state(), TcpState::Established);
    }
}
