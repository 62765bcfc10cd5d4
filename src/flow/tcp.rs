//! The TCP state that a NAT keeps (RFC 7857 section 2): enough to choose a timer and to tell a real RST from a forged one.
//!
//! # What is known of each direction
//!
//! How far its sender has come, and how far it has acknowledged the other side: [`Window`]. Both count on beyond 2^32, so
//! that they only grow, and the greater of two is the later one, however much was carried in between. A report that comes
//! late, twice or in another order sets nothing back. Segments are reported by
//!
//! - a worker, for those that it handles ([`TcpTracker::observe`]). One worker moves each direction on with plain loads and
//!   stores, which cost less than atomic maxima. So the number of a sync at the very moment may be lost to a lower one: the
//!   next segment, or the next sync, brings it again;
//! - the tc programs, for those that they carry, by the same rules (`track` in `src/steer/flow_cache.bpf.h`). Their numbers
//!   begin with these when a flow is offloaded, are told what user space observes meanwhile
//!   ([`CacheEntries::tell`](super::CacheEntries::tell)), and are taken from there at each sync (`catch_up`): before a
//!   packet is judged, once a second, when the entries are withdrawn, and a last time when no packet can be on its way
//!   through them. They also are what a process takes a flow over with (`resume`).
//!
//! # What moves it
//!
//! - Data and FIN count up to `MAX_FLIGHT` ahead of what is acknowledged. So a forger who knows neither number moves
//!   `end` seldom and not far, and the other side's acknowledgements not at all. Anything further ahead only moves
//!   `claimed`.
//! - An acknowledgement counts for what the other side has sent, and no more: up to the other's `end`. One that is off, or
//!   old, changes nothing.
//! - An acknowledgement between the other's `end` and its `claimed` counts too, and moves that `end` to its own number: so
//!   the numbers go on where more than `MAX_FLIGHT` is in flight. The two directions confirm each other there; a forger,
//!   who sends for one side, moves nothing. A FIN among what is claimed counts when it is acknowledged. A RST there does
//!   not count, since nothing confirms it.
//! - A SYN that begins a connection moves `end` to its own number, forward, and what the other side acknowledges to the
//!   number before. One that comes twice, or late, moves nothing. An established connection begins again when a SYN|ACK
//!   acknowledges another SYN of the inside: before that neither counts.

use crate::packet::TcpFacts;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const RETURN_SYN: u8 = 1;
const ESTABLISHED: u8 = 2;
const EGRESS_FIN: u8 = 4;
const RETURN_FIN: u8 = 8;
const EGRESS_RST: u8 = 16;
const RETURN_RST: u8 = 32;
/// A FIN that is to be acknowledged before it counts.
const EGRESS_CLAIMED_FIN: u8 = 64;
const RETURN_CLAIMED_FIN: u8 = 128;

/// How far ahead of what is acknowledged anything counts at once: twice the largest window that Linux opens unless it is
/// told to, and one in 64 of all numbers. As in `src/steer/flow_cache.bpf.h`.
pub const MAX_FLIGHT: u32 = 1 << 26;

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

/// What one direction has said, at one moment. The lower halves are the numbers in the segments; the upper ones count how
/// often those have begun again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The highest sequence number sent, plus one; 0 before the first.
    pub end: u64,
    /// The highest acknowledgement sent; 0 before the first.
    pub ack: u64,
    /// The end of what was sent further ahead than `end` may move. Means nothing unless it is beyond `end`.
    pub claimed: u64,
}

/// What one direction has said.
#[derive(Debug, Default)]
struct Sent {
    end: AtomicU64,
    ack: AtomicU64,
    claimed: AtomicU64,
    /// The end of a FIN that is to be acknowledged before it counts.
    fin: AtomicU64,
    /// The number of the SYN that began the connection, as [`known`].
    syn: AtomicU64,
}

impl Sent {
    fn window(&self) -> Window {
        Window {
            end: self.end.load(Relaxed),
            ack: self.ack.load(Relaxed),
            claimed: self.claimed.load(Relaxed),
        }
    }

    /// Begins with the SYN of this number, which takes so much sequence space.
    fn begin(&self, other: &Self, number: u32, len: u32) {
        let sent = self.end.load(Relaxed);
        let further = number.wrapping_add(len).wrapping_sub(lower(sent));
        let end = sent + u64::from(further);
        self.syn.store(known(number), Relaxed);
        self.end.fetch_max(end, Relaxed);
        other.ack.fetch_max(end.saturating_sub(len.into()), Relaxed);
    }

    /// Moves the end on to that of a segment, if `other` has acknowledged enough. If not, it is claimed.
    #[inline]
    fn send(&self, other: &Self, end: u64) {
        if is_in_flight(end, other) {
            self.end.store(end, Relaxed);
        } else {
            self.claim(end);
        }
    }

    #[cold]
    fn claim(&self, end: u64) {
        self.claimed.fetch_max(end, Relaxed);
    }

    /// Takes an acknowledgement into account, if it is further than any before, and of something that `other` has sent.
    #[inline]
    fn acknowledge(&self, other: &Self, ack: u32) {
        let end = other.end.load(Relaxed);
        let behind = lower(end).wrapping_sub(ack);
        if behind > 1 << 31 {
            self.acknowledge_claimed(other, end + u64::from(behind.wrapping_neg()));
        } else if let Some(ack) = end.checked_sub(behind.into())
            && ack > self.ack.load(Relaxed)
        {
            self.ack.store(ack, Relaxed);
        }
    }

    /// Takes an acknowledgement beyond the end of `other` into account, if that side has claimed to be there.
    #[cold]
    fn acknowledge_claimed(&self, other: &Self, ack: u64) {
        if ack <= other.claimed.load(Relaxed) {
            other.end.fetch_max(ack, Relaxed);
            self.ack.fetch_max(ack, Relaxed);
        }
    }
}

/// The flags of one direction's end.
struct Bits {
    fin: u8,
    rst: u8,
    claimed_fin: u8,
}

impl Bits {
    const fn of(is_egress: bool) -> Self {
        if is_egress {
            Self { fin: EGRESS_FIN, rst: EGRESS_RST, claimed_fin: EGRESS_CLAIMED_FIN }
        } else {
            Self { fin: RETURN_FIN, rst: RETURN_RST, claimed_fin: RETURN_CLAIMED_FIN }
        }
    }
}

/// The state of one TCP flow.
#[derive(Debug, Default)]
pub struct TcpTracker {
    flags: AtomicU8,
    egress: Sent,
    returned: Sent,
    /// The number of another SYN of the inside since the connection is established, as [`known`]; 0 if there is none.
    new_syn: AtomicU64,
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
        flags & !RETURN_SYN == ESTABLISHED
    }

    /// What each side has said so far: the task's, then the other's.
    pub(super) fn windows(&self) -> [Window; 2] {
        [&self.egress, &self.returned].map(Sent::window)
    }

    /// Makes it that of a connection that is established, whose sides have said this so far.
    pub(super) fn resume(&self, said: [Window; 2]) {
        for (sent, window) in [&self.egress, &self.returned].into_iter().zip(said) {
            sent.end.store(window.end, Relaxed);
            sent.ack.store(window.ack, Relaxed);
            sent.claimed.store(window.claimed, Relaxed);
        }
        self.flags.store(RETURN_SYN | ESTABLISHED, Relaxed);
    }

    /// Takes into account what one side has said in segments that were not observed here.
    pub(super) fn catch_up(&self, is_egress: bool, said: Window) {
        let sent = self.sent(is_egress);
        sent.end.fetch_max(said.end, Relaxed);
        sent.ack.fetch_max(said.ack, Relaxed);
        sent.claimed.fetch_max(said.claimed, Relaxed);
        if self.flags.load(Relaxed) & (EGRESS_CLAIMED_FIN | RETURN_CLAIMED_FIN) != 0 {
            self.confirm_fin(!is_egress);
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
        let sent = sender.end.load(Relaxed);
        let further = segment.seq.wrapping_add(segment.sequence_len()).wrapping_sub(lower(sent));
        let goes_on = further < 1 << 31;
        let before = self.flags.load(Relaxed);
        let end = sent + u64::from(further);
        if flags.syn() {
            self.observe_syn(segment, is_egress, before);
        } else {
            if flags.fin() || before & !(RETURN_SYN | ESTABLISHED) != 0 {
                self.observe_end(segment, end, is_egress, goes_on);
            }
            if goes_on && further != 0 {
                sender.send(other, end);
            }
        }
        if flags.ack() {
            sender.acknowledge(other, segment.ack);
            if before & (EGRESS_CLAIMED_FIN | RETURN_CLAIMED_FIN) != 0 {
                self.confirm_fin(!is_egress);
            }
        }
        if is_egress && flags.ack() && before & (RETURN_SYN | ESTABLISHED) == RETURN_SYN {
            self.flags.fetch_or(ESTABLISHED, Relaxed);
        }
        true
    }

    /// Takes a SYN into account, if it begins a connection.
    #[cold]
    fn observe_syn(&self, segment: &TcpFacts, is_egress: bool, before: u8) {
        let sender = self.sent(is_egress);
        let is_established = before & ESTABLISHED != 0;
        if is_established && !is_egress {
            self.begin_again(segment);
        } else if sender.syn.load(Relaxed) == known(segment.seq) {
            // Sent twice.
        } else if is_established {
            self.new_syn.store(known(segment.seq), Relaxed);
        } else if is_egress || self.returns_syn(segment, before) {
            sender.begin(self.sent(!is_egress), segment.seq, segment.sequence_len());
            self.flags.fetch_or(if is_egress { 0 } else { RETURN_SYN }, Relaxed);
        }
    }

    /// Decides whether a SYN from outside is of the handshake, or was sent blindly: it answers the SYN of the inside, or is
    /// the first of a simultaneous open.
    fn returns_syn(&self, segment: &TcpFacts, before: u8) -> bool {
        let behind = lower(self.egress.end.load(Relaxed)).wrapping_sub(segment.ack);
        match segment.flags.ack() {
            true => behind < MAX_FLIGHT,
            false => before & RETURN_SYN == 0,
        }
    }

    /// Begins an established connection again, if a SYN from outside meets the number of a new SYN of the inside.
    fn begin_again(&self, segment: &TcpFacts) {
        let number = segment.ack.wrapping_sub(1);
        let new_syn = self.new_syn.load(Relaxed);
        if segment.flags.ack() && new_syn == known(number) {
            self.new_syn.store(0, Relaxed);
            self.egress.begin(&self.returned, number, 1);
            self.returned.begin(&self.egress, segment.seq, segment.sequence_len());
            self.flags.fetch_and(RETURN_SYN | ESTABLISHED, Relaxed);
        }
    }

    /// A FIN counts if it is where its sender can be. Neither a FIN nor a RST was its sender's if the sender goes on: after
    /// a FIN with more data, after a RST with anything. The flow then lives on (RFC 6146 3.5.2.2, RFC 7857 2), for
    /// instance when the RST was forged and answered by a challenge ACK (RFC 5961). Data that the FIN has overtaken on the
    /// way, or that is sent again, is none of what comes after it.
    #[cold]
    fn observe_end(&self, segment: &TcpFacts, end: u64, is_egress: bool, goes_on: bool) {
        let flags = segment.flags;
        let other = self.sent(!is_egress);
        if segment.seq.wrapping_sub(lower(other.ack.load(Relaxed))) >= MAX_FLIGHT {
            if goes_on {
                self.observe_claimed_end(segment, end, is_egress);
            }
            return;
        }
        let Bits { fin, rst, claimed_fin } = Bits::of(is_egress);
        self.flags.fetch_and(!rst, Relaxed);
        if flags.fin() {
            self.flags.fetch_and(!claimed_fin, Relaxed);
            self.flags.fetch_or(fin, Relaxed);
        } else if segment.payload_len > 0 && goes_on {
            self.flags.fetch_and(!fin, Relaxed);
        }
    }

    /// Notes a FIN further ahead than anything counts at once, if it is of what its sender has claimed; forgets it if the
    /// sender goes on after it.
    #[cold]
    fn observe_claimed_end(&self, segment: &TcpFacts, end: u64, is_egress: bool) {
        let sender = self.sent(is_egress);
        let Bits { fin, claimed_fin, .. } = Bits::of(is_egress);
        if segment.flags.fin() {
            let begin = end.saturating_sub(segment.sequence_len().into());
            let sent = sender.end.load(Relaxed).max(sender.claimed.load(Relaxed));
            if begin <= sent && self.flags.load(Relaxed) & fin == 0 {
                sender.fin.store(end, Relaxed);
                self.flags.fetch_or(claimed_fin, Relaxed);
            }
        } else if segment.payload_len > 0 && end > sender.fin.load(Relaxed) {
            self.flags.fetch_and(!claimed_fin, Relaxed);
        }
    }

    /// Counts the FIN that one side has claimed, if the other one has acknowledged it.
    fn confirm_fin(&self, is_egress: bool) {
        let Bits { fin, claimed_fin, .. } = Bits::of(is_egress);
        let end = self.sent(is_egress).fin.load(Relaxed);
        let acknowledged = self.sent(!is_egress).ack.load(Relaxed);
        if self.flags.load(Relaxed) & claimed_fin == 0 || acknowledged < end {
            return;
        }
        self.flags.fetch_and(!claimed_fin, Relaxed);
        if acknowledged == end {
            self.flags.fetch_or(fin, Relaxed);
        }
    }

    fn sent(&self, is_egress: bool) -> &Sent {
        if is_egress { &self.egress } else { &self.returned }
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
            && segment.ack == lower(self.egress.end.load(Relaxed));
        let ahead = segment.seq.wrapping_sub(lower(acknowledged));
        // Who has sent nothing can only refuse the SYN.
        let in_window =
            (is_egress || sent != 0) && u64::from(ahead) <= sent.saturating_sub(acknowledged);
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
fn is_in_flight(end: u64, other: &Sent) -> bool {
    end.saturating_sub(other.ack.load(Relaxed)) <= MAX_FLIGHT.into()
}

/// A sequence number that was met: no such one is 0.
#[inline]
const fn known(number: u32) -> u64 {
    1 << 32 | number as u64
}

/// The number in a segment (RFC 9293, 3.4).
#[inline]
const fn lower(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::packet::TcpFlags;
    use proptest::prelude::*;

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
        tcp.observe(&segment(ACK, 501, 101, 100), false);
        tcp.observe(&segment(ACK, 101, 601, 10), true);
        tcp.catch_up(true, Window { end: 105, ack: 550, claimed: 0 });
        assert_eq!(tcp.windows()[0], Window { end: 111, ack: 601, claimed: 0 });
        tcp.catch_up(true, Window { end: 120, ack: 700, claimed: 130 });
        assert_eq!(tcp.windows()[0], Window { end: 120, ack: 700, claimed: 130 });
    }

    /// More than half of all numbers between two looks, and more than all of them.
    #[test]
    fn regression_much_that_was_carried_meanwhile_hides_no_end() {
        for carried in [3_u64 << 30, (1 << 31) + 1, 1 << 32, 9 << 32] {
            for reset in [false, true] {
                let tcp = established();
                tcp.catch_up(false, Window { end: 501 + carried, ack: 101, claimed: 0 });
                tcp.catch_up(true, Window { end: 101, ack: 501 + carried, claimed: 0 });
                let at = lower(501 + carried);
                if reset {
                    tcp.observe(&segment(RESET, at, 0, 0), false);
                } else {
                    tcp.observe(&segment(FIN | ACK, at, 101, 0), false);
                    tcp.observe(&segment(FIN | ACK, 101, at.wrapping_add(1), 0), true);
                }
                assert_eq!(tcp.state(), TcpState::Closed, "{carried} {reset}");
                assert_eq!(tcp.is_reset(), reset);
            }
        }
    }

    #[test]
    fn regression_an_acknowledgement_of_what_was_never_sent_hides_no_end() {
        for off in [1, 1 << 20, 1 << 28, 1 << 31, u32::MAX << 28] {
            for is_egress in [false, true] {
                let tcp = established();
                tcp.observe(&segment(ACK, 501, 101, 100), false);
                tcp.observe(&segment(ACK, 101, 601, 100), true);
                let before = tcp.windows();
                let (seq, ack) = if is_egress { (201, 601) } else { (601, 201) };
                assert!(tcp.observe(&segment(ACK, seq, off.wrapping_add(ack), 0), is_egress));
                assert_eq!(tcp.windows(), before, "{off}");
                tcp.observe(&segment(FIN | ACK, 601, 201, 0), false);
                tcp.observe(&segment(FIN | ACK, 201, 602, 0), true);
                assert_eq!(tcp.state(), TcpState::Closed, "{off}");
            }
        }
    }

    /// Sends so much with so many bytes in flight at most, after a slow start. Returns the last sequence number, with what
    /// is still to be acknowledged.
    fn send_much(tcp: &TcpTracker, is_egress: bool, window: u64, total: u64) -> (u32, Vec<u32>) {
        const CHUNK: u32 = 64_000;
        let (mut seq, other) = if is_egress { (101_u32, 501) } else { (501, 101) };
        let (mut sent, mut room) = (0, u64::from(CHUNK));
        let mut in_flight = std::collections::VecDeque::new();
        while sent < total {
            while sent < total && in_flight.len() as u64 * u64::from(CHUNK) < room {
                tcp.observe(&segment(ACK, seq, other, CHUNK), is_egress);
                seq = seq.wrapping_add(CHUNK);
                sent += u64::from(CHUNK);
                in_flight.push_back(seq);
            }
            if sent < total {
                let ack = in_flight.pop_front().unwrap();
                tcp.observe(&segment(ACK, other, ack, 0), !is_egress);
                room = (room + u64::from(CHUNK)).min(window);
            }
        }
        (seq, in_flight.into())
    }

    #[test]
    fn regression_more_in_flight_than_is_accepted_hides_no_end() {
        for (window, is_egress) in
            [(70_000_000, true), (70_000_000, false), (100_000_000, true), (100_000_000, false)]
        {
            for end in ["FIN while much is in flight", "FIN", "RST", "RST of the receiver"] {
                let tcp = established();
                let (mut seq, in_flight) = send_much(&tcp, is_egress, window, 4_400_000_000);
                let other = if is_egress { 501 } else { 101 };
                assert!(
                    in_flight.len() as u64 * 64_000 > u64::from(MAX_FLIGHT),
                    "the window is full"
                );
                if end == "FIN while much is in flight" {
                    tcp.observe(&segment(FIN | ACK, seq, other, 0), is_egress);
                    seq = seq.wrapping_add(1);
                }
                for ack in in_flight {
                    tcp.observe(&segment(ACK, other, ack, 0), !is_egress);
                }
                assert_eq!((tcp.state(), tcp.is_half_closed()), (TcpState::Established, false));
                match end {
                    "RST" => assert!(tcp.observe(&segment(RESET, seq, 0, 0), is_egress)),
                    "RST of the receiver" => {
                        assert!(tcp.observe(&segment(RESET, other, 0, 0), !is_egress));
                    }
                    _ => {
                        if end == "FIN" {
                            tcp.observe(&segment(FIN | ACK, seq, other, 0), is_egress);
                            seq = seq.wrapping_add(1);
                        }
                        tcp.observe(&segment(ACK, other, seq, 0), !is_egress);
                        assert!(tcp.is_half_closed(), "{end} {window} {is_egress}");
                        tcp.observe(&segment(FIN | ACK, other, seq, 0), !is_egress);
                    }
                }
                assert_eq!(tcp.state(), TcpState::Closed, "{end} {window} {is_egress}: {tcp:?}");
            }
        }
    }

    /// Only both directions together say that more is in flight.
    #[test]
    fn segments_and_acknowledgements_far_ahead_move_nothing_by_themselves() {
        for off in [MAX_FLIGHT, 100_000_000, 1 << 28, (1 << 31) - 20] {
            for is_egress in [false, true] {
                let tcp = established();
                let (own, other) = if is_egress { (101, 501) } else { (501, 101) };
                let numbers = |tcp: &TcpTracker| tcp.windows().map(|w| (w.end, w.ack));
                let before = numbers(&tcp);
                tcp.observe(&segment(ACK, own + off, other, 10), is_egress);
                assert_eq!(numbers(&tcp), before, "data, {off}");
                // The same side acknowledges what the other one has not sent.
                tcp.observe(&segment(ACK, own, other + off, 0), is_egress);
                assert_eq!(numbers(&tcp), before, "acknowledgement, {off}");
                // Neither is this of what was sent, nor that.
                tcp.observe(&segment(ACK, other, own + off + 11, 0), !is_egress);
                assert_eq!(numbers(&tcp), before, "acknowledgement of more than was sent, {off}");
                for rst in [own + off, own + off + 10, own + 1] {
                    assert!(!tcp.observe(&segment(RESET, rst, 0, 0), is_egress), "{off}");
                }
                tcp.observe(&segment(FIN | ACK, own + off + 10, other, 0), is_egress);
                tcp.observe(&segment(FIN | ACK, other, own, 0), !is_egress);
                assert_eq!(tcp.state(), TcpState::Established);
                tcp.observe(&segment(ACK, own, other + 1, 10), is_egress);
                assert!(tcp.observe(&segment(RESET, own + 10, 0, 0), is_egress));
            }
        }
    }

    #[test]
    fn regression_a_blind_rst_does_not_refuse_a_syn() {
        let tcp = TcpTracker::default();
        tcp.observe(&segment(SYN, 100, 0, 0), true);
        assert!(!tcp.observe(&segment(RESET, 0, 0, 0), false));
        assert!(!tcp.observe(&segment(RESET | ACK, 0, 7, 0), false));
        assert_eq!(tcp.state(), TcpState::Opening);
    }

    /// How far apart the sides are, and what is wrong with a segment that does not belong.
    fn any_segment() -> impl Strategy<Value = (TcpFacts, bool)> {
        let near =
            |to: u32| prop_oneof![Just(to), (0..4000_u32).prop_map(move |n| to + n), any::<u32>()];
        let flags =
            prop_oneof![Just(ACK), Just(SYN), Just(SYN | ACK), Just(RESET), Just(FIN | ACK)];
        (flags, near(101), near(501), 0..3000_u32, any::<bool>()).prop_map(
            |(flags, own, other, payload, is_egress)| {
                let (seq, ack) = if is_egress { (own, other) } else { (other, own) };
                (segment(flags, seq, ack, payload), is_egress)
            },
        )
    }

    proptest! {
        /// Whatever comes: numbers only grow, nobody has acknowledged what was not sent, and only a SYN goes far ahead.
        #[test]
        fn numbers_grow_and_acknowledge_only_what_was_sent(
            segments in prop::collection::vec(any_segment(), 0..60),
        ) {
            let tcp = established();
            for (segment, is_egress) in segments {
                let before = tcp.windows();
                tcp.observe(&segment, is_egress);
                let after = tcp.windows();
                for (side, other) in [(0, 1), (1, 0)] {
                    prop_assert!(after[side].end >= before[side].end);
                    prop_assert!(after[side].ack >= before[side].ack);
                    prop_assert!(after[side].ack <= after[other].end, "{after:?}");
                    let ahead = after[side].end - after[other].ack;
                    let moved = after[side].end != before[side].end;
                    prop_assert!(!moved || segment.flags.syn() || ahead <= MAX_FLIGHT.into());
                }
            }
        }

        /// A connection ends by its FINs or a RST, however much it carries, by whomever its segments are seen, and whatever
        /// acknowledgements of what was never sent, and old segments, are among them.
        #[test]
        fn an_honest_end_counts(
            rounds in prop::collection::vec((1..MAX_FLIGHT, any::<bool>(), any::<bool>(), any::<u32>()), 1..200),
            reset in any::<bool>(),
        ) {
            let tcp = established();
            let kernel = TcpTracker::default();
            kernel.resume(tcp.windows());
            let mut at = [101_u32, 501];
            let sync = |from: &TcpTracker, to: &TcpTracker| {
                for (side, said) in from.windows().into_iter().enumerate() {
                    to.catch_up(side == 0, said);
                }
            };
            for (len, is_egress, by_kernel, noise) in rounds {
                let by = if by_kernel { &kernel } else { &tcp };
                if !by_kernel || noise % 8 == 0 {
                    sync(&kernel, &tcp);
                }
                let (own, other) = if is_egress { (0, 1) } else { (1, 0) };
                let data = segment(ACK, at[own], at[other], len);
                at[own] = at[own].wrapping_add(len);
                by.observe(&data, is_egress);
                let never = at[own].wrapping_add(1 + noise % (1 << 31));
                by.observe(&segment(ACK, at[other], never, 0), !is_egress);
                by.observe(&segment(ACK, at[other], at[own], 0), !is_egress);
                by.observe(&data, is_egress);
                if !by_kernel {
                    sync(&tcp, &kernel);
                }
                prop_assert_eq!(by.windows().map(|window| lower(window.end)), at);
            }
            sync(&kernel, &tcp);
            if reset {
                tcp.observe(&segment(RESET, at[1], 0, 0), false);
            } else {
                tcp.observe(&segment(FIN | ACK, at[1], at[0], 0), false);
                tcp.observe(&segment(FIN | ACK, at[0], at[1].wrapping_add(1), 0), true);
            }
            prop_assert_eq!(tcp.state(), TcpState::Closed);
        }

        /// Syncs may come late, twice and in any order.
        #[test]
        fn the_order_of_syncs_does_not_matter(
            mut said in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 1..20),
            last in any::<prop::sample::Index>(),
        ) {
            let sync = |said: &[(u64, u64, u64)]| {
                let tcp = established();
                for &(end, ack, claimed) in said {
                    tcp.catch_up(true, Window { end, ack, claimed });
                }
                tcp.windows()
            };
            let once = sync(&said);
            said.push(said[last.index(said.len())]);
            said.reverse();
            prop_assert_eq!(once, sync(&said));
        }
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

    /// Data one way, acknowledged as they come.
    fn send_acknowledged(
        tcp: &TcpTracker,
        is_egress: bool,
        seq: u32,
        other: u32,
        total: u32,
    ) -> u32 {
        let mut seq = seq;
        for _ in 0..total / 1000 {
            tcp.observe(&segment(ACK, seq, other, 1000), is_egress);
            seq = seq.wrapping_add(1000);
            tcp.observe(&segment(ACK, other, seq, 0), !is_egress);
        }
        seq
    }

    #[test]
    fn regression_a_syn_that_comes_late_or_twice_makes_no_room_for_a_rst() {
        let syn_ack = (segment(SYN | ACK, 500, 101, 0), false);
        let syn = (segment(SYN, 100, 0, 0), true);
        let others =
            [(segment(SYN, 7, 0, 0), true), (segment(SYN | ACK, 0x7000_0000, 101, 0), false)];
        for late in [&[syn_ack][..], &[syn], &[syn, syn_ack], &[syn_ack, syn], &others] {
            for before in [1000, 100_000_000] {
                for after in [0, 100_000_000] {
                    let tcp = established();
                    let server = send_acknowledged(&tcp, false, 501, 101, before);
                    let task = send_acknowledged(&tcp, true, 101, server, before);
                    let windows = tcp.windows();
                    for (segment, is_egress) in late {
                        tcp.observe(segment, *is_egress);
                    }
                    assert_eq!(tcp.windows(), windows, "{late:?}");
                    let server = send_acknowledged(&tcp, false, server, task, after);
                    for rst in [0x9000_0000, 501, server - 1, server + 1, 0x7000_0001] {
                        assert!(!tcp.observe(&segment(RESET, rst, 0, 0), false), "{late:?} {rst}");
                    }
                    assert_eq!(tcp.state(), TcpState::Established);
                    assert!(tcp.observe(&segment(RESET, server, 0, 0), false), "{late:?}");
                }
            }
        }
    }

    /// A server may send data behind its SYN before the task has answered (RFC 7413).
    #[test]
    fn regression_a_syn_that_is_sent_again_before_the_handshake_is_complete_moves_nothing() {
        let tcp = TcpTracker::default();
        tcp.observe(&segment(SYN, 100, 0, 50), true);
        tcp.observe(&segment(SYN | ACK, 500, 151, 0), false);
        tcp.observe(&segment(ACK, 501, 151, 1000), false);
        let windows = tcp.windows();
        tcp.observe(&segment(SYN, 100, 0, 0), true);
        tcp.observe(&segment(SYN | ACK, 500, 151, 0), false);
        assert_eq!(tcp.windows(), windows);
        for rst in [499, 0x9000_0000, 1502] {
            assert!(!tcp.observe(&segment(RESET, rst, 0, 0), false), "{rst}");
        }
        tcp.observe(&segment(ACK, 151, 1501, 0), true);
        assert_eq!(tcp.state(), TcpState::Established);
    }

    #[test]
    fn regression_a_connection_that_begins_again_is_tracked_wherever_its_numbers_are() {
        let numbers = [0, 99, 101, 5000, 0x7fff_ffff, 0x9000_0000, u32::MAX - 1];
        for (task, server) in numbers.into_iter().flat_map(|t| numbers.map(|s| (t, s))) {
            for half_closed in [false, true] {
                let tcp = established();
                let at = send_acknowledged(&tcp, false, 501, 101, 100_000);
                if half_closed {
                    tcp.observe(&segment(FIN | ACK, at, 101, 0), false);
                }
                tcp.observe(&segment(SYN, task, 0, 0), true);
                tcp.observe(&segment(SYN, task, 0, 0), true);
                let (first, other) = (task.wrapping_add(1), server.wrapping_add(1));
                tcp.observe(&segment(SYN | ACK, server, first, 0), false);
                tcp.observe(&segment(SYN | ACK, server, first, 0), false);
                for rst in
                    [other.wrapping_add(1), server.wrapping_add(1 << 28), server.wrapping_sub(1)]
                {
                    assert!(!tcp.observe(&segment(RESET, rst, 0, 0), false), "{task} {server}");
                }
                tcp.observe(&segment(ACK, first, other, 0), true);
                assert!(tcp.is_steady(), "{task} {server}");
                let at = send_acknowledged(&tcp, false, other, first, 100_000);
                assert_eq!(tcp.windows().map(|w| lower(w.end)), [first, at]);
                assert_eq!(tcp.windows().map(|w| lower(w.ack)), [at, first]);
                assert!(tcp.observe(&segment(RESET, at, 0, 0), false), "{task} {server}");
            }
        }
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
