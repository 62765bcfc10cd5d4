//! A minimal TCP endpoint that still moves data over a bad network: handshake, data with
//! retransmission, reordering, FIN and RST. Positions in a stream are counted from its SYN, which
//! is at 0; data begins at 1.

use crate::flow::Instant;
use crate::packet::{TcpFacts, TcpFlags};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most bytes in flight.
const WINDOW: u64 = 40 * 1460;
/// The first retransmission; each further one waits twice as long.
const RETRANSMIT: Duration = Duration::from_millis(200);
/// The retransmissions in a row after which an endpoint gives up: 200 ms, 400 ms, … make 25 s.
const RETRIES: u32 = 7;

/// The state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The handshake is not complete.
    Opening,
    Open,
    /// Both streams have ended, and the peer knows it.
    Closed,
    /// The peer sent RST.
    Reset,
    /// The peer does not answer.
    TimedOut,
}

/// A segment to send; the caller adds the addresses.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) flags: TcpFlags,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) payload: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) state: State,
    /// All that the peer has sent, in order.
    pub(super) received: Vec<u8>,
    /// Set for an endpoint that sends back what it receives, and ends when the peer does.
    pub(super) echoes: bool,
    /// The time at which to send again or give up.
    pub(super) deadline: Option<Instant>,
    /// Bytes of payload per segment; a super-packet holds many.
    pub(super) mss: usize,
    /// Segments in a super-packet; 1 for none.
    pub(super) batch: usize,
    pub(super) retransmissions: u32,
    is_client: bool,
    iss: u32,
    /// The peer's initial sequence number, when it is known.
    peer_iss: Option<u32>,
    data: Vec<u8>,
    ends: bool,
    acknowledged: u64,
    next: u64,
    tries: u32,
    /// Data that overtook the data before it, by position.
    early: BTreeMap<u64, Vec<u8>>,
    expected: u64,
    peer_end: Option<u64>,
}

impl Endpoint {
    pub(super) fn client(iss: u32) -> Self {
        Self::new(iss, true)
    }

    /// Makes the endpoint that a SYN reaches.
    pub(super) fn server(iss: u32, syn: TcpFacts) -> Self {
        let mut server = Self::new(iss, false);
        server.peer_iss = Some(syn.seq);
        server.expected = 1;
        server.echoes = true;
        server
    }

    fn new(iss: u32, is_client: bool) -> Self {
        Self {
            state: State::Opening,
            received: Vec::new(),
            echoes: false,
            deadline: None,
            mss: 1460,
            batch: 1,
            retransmissions: 0,
            is_client,
            iss,
            peer_iss: None,
            data: Vec::new(),
            ends: false,
            acknowledged: 0,
            next: 0,
            tries: 0,
            early: BTreeMap::new(),
            expected: 0,
            peer_end: None,
        }
    }

    pub(super) fn write(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
    }

    /// Ends the stream: no more data will be written.
    pub(super) fn close(&mut self) {
        self.ends = true;
    }

    /// Returns whether everything written has been acknowledged.
    pub(super) fn is_quiet(&self) -> bool {
        self.acknowledged == self.end()
    }

    /// Returns the segments to send now.
    pub(super) fn output(&mut self, now: Instant) -> Vec<Segment> {
        let mut segments = Vec::new();
        if !self.is_alive() {
            return segments;
        }
        if self.state == State::Opening && self.next == 0 {
            self.next = 1;
            let flags =
                if self.is_client { TcpFlags::SYN } else { TcpFlags::SYN.with(TcpFlags::ACK) };
            segments.push(self.segment(flags, 0, Vec::new()));
        }
        let limit = self.end().min(self.acknowledged + WINDOW);
        while self.state == State::Open && self.next < limit {
            segments.push(self.next_segment(limit));
        }
        if self.deadline.is_none() && self.acknowledged < self.next {
            self.wait(now);
        }
        segments
    }

    /// Handles a segment; the segments to send afterwards are in [`Endpoint::output`], except those
    /// that this returns.
    pub(super) fn input(&mut self, now: Instant, facts: TcpFacts, payload: &[u8]) -> Vec<Segment> {
        if !self.is_alive() {
            return Vec::new();
        }
        if facts.flags.rst() {
            self.take_reset(facts);
            return Vec::new();
        }
        if self.peer_iss.is_none() {
            if !(facts.flags.syn() && facts.flags.ack()) {
                return Vec::new();
            }
            self.peer_iss = Some(facts.seq);
            self.expected = 1;
        }
        if facts.flags.ack() {
            self.take_acknowledgement(now, facts.ack);
        }
        let news = facts.flags.syn() || facts.flags.fin() || !payload.is_empty();
        self.take_data(facts, payload);
        if self.is_quiet() && self.ends && self.peer_end.is_some_and(|end| self.expected > end) {
            self.state = State::Closed;
        }
        if news && self.state != State::Opening { vec![self.acknowledgement()] } else { Vec::new() }
    }

    /// Handles the deadline: [`Endpoint::output`] sends everything again that is not acknowledged.
    pub(super) fn expire(&mut self, now: Instant) {
        self.deadline = None;
        if !self.is_alive() || self.acknowledged == self.next {
            return;
        }
        self.tries += 1;
        if self.tries > RETRIES {
            self.state = State::TimedOut;
            return;
        }
        self.retransmissions += 1;
        self.next = self.acknowledged;
        self.wait(now);
    }

    /// Handles a smaller MTU that a router reports: data in flight is sent again.
    pub(super) fn shrink(&mut self, mtu: usize) {
        self.mss = self.mss.min(mtu - 40);
        if self.state == State::Open {
            self.next = self.acknowledged;
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Opening | State::Open)
    }

    /// Returns the position after the last byte, and after the FIN if there will be one.
    fn end(&self) -> u64 {
        1 + self.data.len() as u64 + u64::from(self.ends)
    }

    fn next_segment(&mut self, limit: u64) -> Segment {
        let (from, data_end) = (self.next, 1 + self.data.len() as u64);
        let room = (self.mss * self.batch) as u64;
        let to = limit.min(from + room).min(data_end);
        let mut flags = TcpFlags::ACK;
        let payload = if from < data_end {
            self.data[from as usize - 1..to as usize - 1].to_vec()
        } else {
            flags = flags.with(TcpFlags::FIN);
            Vec::new()
        };
        self.next = if payload.is_empty() { from + 1 } else { to };
        self.segment(flags, from, payload)
    }

    fn acknowledgement(&self) -> Segment {
        self.segment(TcpFlags::ACK, self.next, Vec::new())
    }

    fn segment(&self, flags: TcpFlags, position: u64, payload: Vec<u8>) -> Segment {
        let ack = self.peer_iss.map_or(0, |iss| iss.wrapping_add(self.expected as u32));
        Segment { flags, seq: self.iss.wrapping_add(position as u32), ack, payload }
    }

    fn wait(&mut self, now: Instant) {
        self.deadline = Some(now + RETRANSMIT * 2_u32.pow(self.tries));
    }

    fn take_reset(&mut self, facts: TcpFacts) {
        let acceptable = match self.peer_iss {
            None => facts.flags.ack() && facts.ack == self.iss.wrapping_add(1),
            Some(iss) => {
                let ahead = facts.seq.wrapping_sub(iss.wrapping_add(self.expected as u32));
                u64::from(ahead) < WINDOW
            }
        };
        if acceptable {
            self.state = State::Reset;
            self.deadline = None;
        }
    }

    fn take_acknowledgement(&mut self, now: Instant, ack: u32) {
        let ahead = ack.wrapping_sub(self.iss.wrapping_add(self.acknowledged as u32));
        let position = self.acknowledged + u64::from(ahead);
        if ahead == 0 || position > self.end() {
            return;
        }
        if self.state == State::Opening {
            self.state = State::Open;
        }
        self.acknowledged = position;
        self.next = self.next.max(position);
        self.tries = 0;
        self.deadline = None;
        if self.acknowledged < self.next {
            self.wait(now);
        }
    }

    fn take_data(&mut self, facts: TcpFacts, payload: &[u8]) {
        let Some(iss) = self.peer_iss else { return };
        let offset = facts.seq.wrapping_sub(iss.wrapping_add(self.expected as u32)) as i32;
        let Some(position) = self.expected.checked_add_signed(i64::from(offset)) else { return };
        if facts.flags.fin() {
            self.peer_end = Some(position + payload.len() as u64);
        }
        if !payload.is_empty() {
            let kept = self.early.entry(position).or_default();
            if kept.len() < payload.len() {
                *kept = payload.to_vec();
            }
        }
        while let Some((position, data)) = self.early.pop_first() {
            if position > self.expected {
                self.early.insert(position, data);
                break;
            }
            let known = (self.expected - position) as usize;
            if known < data.len() {
                self.deliver(&data[known..]);
            }
        }
        if self.peer_end == Some(self.expected) {
            self.expected += 1;
            if self.echoes {
                self.ends = true;
            }
        }
    }

    fn deliver(&mut self, data: &[u8]) {
        self.expected += data.len() as u64;
        self.received.extend_from_slice(data);
        if self.echoes {
            self.data.extend_from_slice(data);
        }
    }
}
