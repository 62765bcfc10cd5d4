//! The TCP state that a NAT keeps (RFC 7857 section 2): enough to choose a timer and to tell a real
//! RST from a forged one.
//!
//! # What is known of each direction
//!
//! The highest number that its sender has sent, and the highest number of the other side that it
//! has acknowledged: [`Window`]. Both count on beyond 2^32, so that they only grow, and the greater
//! of two is the later one, however much was carried in between. A report that comes late, twice or
//! in another order sets nothing back. Segments are reported by
//!
//! - a worker, for those that it handles ([`TcpTracker::observe`]). One worker moves each direction
//!   on with plain loads and stores, which cost less than atomic maxima. So a lower number may
//!   overwrite that of a concurrent sync: the next segment, or the next sync, brings it again;
//! - the tc programs, for those that they forward, by the same rules (`track` in
//!   `src/steer/flow_cache.bpf.h`). Their numbers begin with these when a flow is offloaded, learn
//!   what user space observes meanwhile ([`CacheEntries::tell`](super::CacheEntries::tell)), and
//!   are taken from there at each sync (`catch_up`): before a packet is judged, once a second, when
//!   the entries are withdrawn, and a last time when no packet can be passing through them. A
//!   process that resumes a flow also takes them over (`resume`).
//!
//! # What moves it
//!
//! - Data and FIN count up to `MAX_FLIGHT` ahead of what is acknowledged. So a forger who knows
//!   neither number moves `end` seldom and not far, and the other side's acknowledgements not at
//!   all. Anything further ahead only moves `claimed`.
//! - An acknowledgement counts for data that the other side has sent, and no more: up to the
//!   other's `end`. One that is beyond, or old, changes nothing.
//! - An acknowledgement between the other's `end` and its `claimed` counts too, and moves that
//!   `end` to its own number: so the numbers also advance when more than `MAX_FLIGHT` is in flight.
//!   The two directions confirm each other in that case; a forger, who sends for one side, moves
//!   nothing. A claimed FIN counts when it is acknowledged. A claimed RST does not count, since
//!   nothing confirms it.
//! - A SYN that begins a connection moves `end` to its own number, forward, and the other side's
//!   acknowledgement to the number before. One that comes twice, or late, moves nothing. An
//!   established connection begins again when a SYN|ACK acknowledges another SYN of the inside:
//!   before that neither counts.

use crate::packet::TcpFacts;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const RETURN_SYN: u8 = 1;
const ESTABLISHED: u8 = 2;
const EGRESS_FIN: u8 = 4;
const RETURN_FIN: u8 = 8;
const EGRESS_RST: u8 = 16;
const RETURN_RST: u8 = 32;
/// A FIN that counts only after it is acknowledged.
const EGRESS_CLAIMED_FIN: u8 = 64;
const RETURN_CLAIMED_FIN: u8 = 128;

/// The distance ahead of what is acknowledged within which data counts at once: twice the largest
/// window that Linux opens by default, and one in 64 of all numbers. The same as in
/// `src/steer/flow_cache.bpf.h`.
pub const MAX_FLIGHT: u32 = 1 << 26;

/// The state of a TCP flow.
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
    /// Returns the word that `egret flows` shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closed => "closed",
        }
    }
}

/// Sequence numbers of one direction, at one moment. The lower halves are the numbers in the
/// segments; the upper halves count how often those have wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The highest sequence number sent, plus one; 0 before the first.
    pub end: u64,
    /// The highest acknowledgement sent; 0 before the first.
    pub ack: u64,
    /// The end of data that was sent further ahead than `end` may move. Valid only if it is beyond
    /// `end`.
    pub claimed: u64,
}

/// Sequence numbers of one direction.
#[derive(Debug, Default)]
struct Sent {
    end: AtomicU64,
    ack: AtomicU64,
    claimed: AtomicU64,
    /// The end of a FIN that counts only after it is acknowledged.
    fin: AtomicU64,
    /// The number of the SYN that began the connection, as [`known`] stores it.
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

    /// Begins with the SYN of this number, which takes `len` numbers of sequence space.
    fn begin(&self, other: &Self, number: u32, len: u32) {
        let sent = self.end.load(Relaxed);
        let further = number.wrapping_add(len).wrapping_sub(lower(sent));
        let end = sent + u64::from(further);
        self.syn.store(known(number), Relaxed);
        self.end.fetch_max(end, Relaxed);
        other.ack.fetch_max(end.saturating_sub(len.into()), Relaxed);
    }

    /// Moves the end to that of a segment, if `other` has acknowledged enough. If not, records the
    /// segment's end as claimed.
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

    /// Records an acknowledgement, if it is higher than any before and `other` has sent that much.
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

    /// Records an acknowledgement beyond the end of `other`, if that side has claimed that much.
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
    /// The last SYN of the inside since the connection was established: the sequence space that it
    /// takes in the upper half, its number in the lower half; 0 if there is none.
    new_syn: AtomicU64,
}

impl TcpTracker {
    /// Returns the state of the flow.
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

    /// Decides whether the handshake was ever completed.
    pub fn was_established(&self) -> bool {
        self.flags.load(Relaxed) & ESTABLISHED != 0
    }

    /// Decides whether one side has ended, and the other has not.
    #[inline]
    pub fn is_half_closed(&self) -> bool {
        let flags = self.flags.load(Relaxed) & (EGRESS_FIN | RETURN_FIN);
        flags == EGRESS_FIN || flags == RETURN_FIN
    }

    /// Decides whether a connection that had been established was reset, rather than refused or
    /// closed.
    #[inline]
    pub fn is_reset(&self) -> bool {
        let flags = self.flags.load(Relaxed);
        flags & ESTABLISHED != 0 && flags & (EGRESS_RST | RETURN_RST) != 0
    }

    /// Decides whether the handshake is complete, and neither side has ended the connection. A FIN
    /// that is only claimed does not end it: it may be forged.
    #[inline]
    pub fn is_steady(&self) -> bool {
        let flags = self.flags.load(Relaxed);
        flags & !(RETURN_SYN | EGRESS_CLAIMED_FIN | RETURN_CLAIMED_FIN) == ESTABLISHED
    }

    /// Returns the sequence numbers of each side so far: the task's, then the other's.
    pub(super) fn windows(&self) -> [Window; 2] {
        [&self.egress, &self.returned].map(Sent::window)
    }

    /// Sets the state of an established connection whose sides have these numbers.
    pub(super) fn resume(&self, said: [Window; 2]) {
        for (sent, window) in [&self.egress, &self.returned].into_iter().zip(said) {
            sent.end.store(window.end, Relaxed);
            sent.ack.store(window.ack, Relaxed);
            sent.claimed.store(window.claimed, Relaxed);
        }
        self.flags.store(RETURN_SYN | ESTABLISHED, Relaxed);
    }

    /// Records the numbers that one side has sent in segments that were not observed here.
    pub(super) fn catch_up(&self, is_egress: bool, said: Window) {
        let sent = self.sent(is_egress);
        sent.end.fetch_max(said.end, Relaxed);
        sent.ack.fetch_max(said.ack, Relaxed);
        sent.claimed.fetch_max(said.claimed, Relaxed);
        if self.flags.load(Relaxed) & (EGRESS_CLAIMED_FIN | RETURN_CLAIMED_FIN) != 0 {
            self.confirm_fin(!is_egress);
        }
    }

    /// Records a segment; `is_egress` is its direction. Returns whether it restarts the idle timer:
    /// all do, except a RST that ends nothing. Such a RST may answer any packet of any sender
    /// (RFC 7857 7, checklist 7857-7).
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

    /// Records a SYN, if it begins a connection.
    #[cold]
    fn observe_syn(&self, segment: &TcpFacts, is_egress: bool, before: u8) {
        let sender = self.sent(is_egress);
        let is_established = before & ESTABLISHED != 0;
        if is_established && !is_egress {
            self.begin_again(segment);
        } else if sender.syn.load(Relaxed) == known(segment.seq) {
            // The SYN is a retransmission.
        } else if is_established {
            self.new_syn
                .store(u64::from(segment.sequence_len()) << 32 | u64::from(segment.seq), Relaxed);
        } else if is_egress || self.returns_syn(segment, before) {
            sender.begin(self.sent(!is_egress), segment.seq, segment.sequence_len());
            self.flags.fetch_or(if is_egress { 0 } else { RETURN_SYN }, Relaxed);
        }
    }

    /// Decides whether a SYN from outside belongs to the handshake, or was sent blindly: it answers
    /// the SYN of the inside, or is the first of a simultaneous open.
    fn returns_syn(&self, segment: &TcpFacts, before: u8) -> bool {
        let behind = lower(self.egress.end.load(Relaxed)).wrapping_sub(segment.ack);
        match segment.flags.ack() {
            true => behind < MAX_FLIGHT,
            false => before & RETURN_SYN == 0,
        }
    }

    /// Begins an established connection again, if a SYN from outside acknowledges a new SYN of the
    /// inside, with all or part of the data in it (RFC 7413, 4.2).
    fn begin_again(&self, segment: &TcpFacts) {
        let new_syn = self.new_syn.load(Relaxed);
        let (number, len) = (lower(new_syn), new_syn >> 32);
        let acknowledged = segment.ack.wrapping_sub(number);
        if segment.flags.ack() && (1..=len).contains(&acknowledged.into()) {
            self.new_syn.store(0, Relaxed);
            self.egress.begin(&self.returned, number, acknowledged);
            self.returned.begin(&self.egress, segment.seq, segment.sequence_len());
            self.flags.fetch_and(RETURN_SYN | ESTABLISHED, Relaxed);
        }
    }

    /// Records a FIN if its number is one that its sender can have reached, and drops an earlier
    /// FIN or RST if the sender goes on: after a FIN with more data, after a RST with anything.
    /// Then the sender did not send the FIN or RST, and the flow lives on (RFC 6146 3.5.2.2,
    /// RFC 7857 2), for instance if the RST was forged and a challenge ACK answered it (RFC 5961).
    /// Data that the FIN has overtaken, or that is sent again, does not come after it.
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

    /// Records a FIN too far ahead to count at once, if it continues what its sender has claimed;
    /// drops it if the sender goes on after it.
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

    /// Counts the FIN that one side has claimed, if the other side has acknowledged it.
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

    /// Records a RST if its sequence number is one that its sender can have reached: from what the
    /// other side has acknowledged to what the sender has sent. Any other RST is forged or stale
    /// and ends nothing (checklist 7857-RST). Returns whether it ended the connection.
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
        // A side that has sent nothing can only refuse the SYN.
        let in_window =
            (is_egress || sent != 0) && u64::from(ahead) <= sent.saturating_sub(acknowledged);
        if refuses_syn || in_window {
            self.flags.fetch_or(if is_egress { EGRESS_RST } else { RETURN_RST }, Relaxed);
            return !was_over;
        }
        false
    }
}

/// Decides whether the end of a segment is one that its sender can have reached, by what the other
/// side has acknowledged: a forged segment must not widen the window in which its RST counts.
#[inline]
fn is_in_flight(end: u64, other: &Sent) -> bool {
    end.saturating_sub(other.ack.load(Relaxed)) <= MAX_FLIGHT.into()
}

/// Marks a sequence number as seen: the result is never 0.
#[inline]
const fn known(number: u32) -> u64 {
    1 << 32 | number as u64
}

/// Returns the number as it is in a segment (RFC 9293, 3.4).
#[inline]
const fn lower(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests;
