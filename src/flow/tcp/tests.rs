//! Tests ends, restarts and windows of TCP connections, also of those that only the kernel saw.

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
fn regression_late_information_sets_nothing_back() {
    let tcp = established();
    tcp.observe(&segment(ACK, 501, 101, 100), false);
    tcp.observe(&segment(ACK, 101, 601, 10), true);
    tcp.catch_up(true, Window { end: 105, ack: 550, claimed: 0 });
    assert_eq!(tcp.windows()[0], Window { end: 111, ack: 601, claimed: 0 });
    tcp.catch_up(true, Window { end: 120, ack: 700, claimed: 130 });
    assert_eq!(tcp.windows()[0], Window { end: 120, ack: 700, claimed: 130 });
}

/// More than half of all sequence numbers between two syncs, and more than all of them.
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

/// Sends `total` bytes with at most `window` bytes in flight, after a slow start. Returns the last
/// sequence number, and the numbers that are still to be acknowledged.
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
            assert!(in_flight.len() as u64 * 64_000 > u64::from(MAX_FLIGHT), "the window is full");
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

/// Only both directions together show that more is in flight.
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
            // The same side acknowledges data that the other one has not sent.
            tcp.observe(&segment(ACK, own, other + off, 0), is_egress);
            assert_eq!(numbers(&tcp), before, "acknowledgement, {off}");
            // The other side acknowledges more than was sent.
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

/// Generates segments, some of which do not belong to the connection, and their direction.
fn any_segment() -> impl Strategy<Value = (TcpFacts, bool)> {
    let near =
        |to: u32| prop_oneof![Just(to), (0..4000_u32).prop_map(move |n| to + n), any::<u32>()];
    let flags = prop_oneof![Just(ACK), Just(SYN), Just(SYN | ACK), Just(RESET), Just(FIN | ACK)];
    (flags, near(101), near(501), 0..3000_u32, any::<bool>()).prop_map(
        |(flags, own, other, payload, is_egress)| {
            let (seq, ack) = if is_egress { (own, other) } else { (other, own) };
            (segment(flags, seq, ack, payload), is_egress)
        },
    )
}

proptest! {
    /// For any segments, numbers only grow, neither side has acknowledged more than was sent, and
    /// only a SYN moves a number far ahead.
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

    /// A connection ends by its FINs or a RST, however much it carries, whether user space or the
    /// kernel sees its segments, and also among old segments and acknowledgements of data that was
    /// never sent.
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

/// Blind segments, each before a RST at its own end: neither data far ahead nor a SYN makes room
/// for one. Checklist 7857-RST.
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
    // The inside begins again on its tuple, with a number far behind its old ones.
    tcp.observe(&segment(SYN, 0x9000_0000, 0, 0), true);
    tcp.observe(&segment(SYN | ACK, 0xa000_0000, 0x9000_0001, 0), false);
    tcp.observe(&segment(ACK, 0x9000_0001, 0xa000_0001, 0), true);
    tcp.observe(&segment(RESET, 0xa000_0001, 0, 0), false);
    assert_eq!(tcp.state(), TcpState::Closed);
}

/// Sends data one way and acknowledges each segment. Returns the next sequence number.
fn send_acknowledged(tcp: &TcpTracker, is_egress: bool, seq: u32, other: u32, total: u32) -> u32 {
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
    let others = [(segment(SYN, 7, 0, 0), true), (segment(SYN | ACK, 0x7000_0000, 101, 0), false)];
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
            for rst in [other.wrapping_add(1), server.wrapping_add(1 << 28), server.wrapping_sub(1)]
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

/// Checklist 5.5: 8 GB one way wrap the sequence numbers twice, and change nothing.
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

#[test]
fn regression_a_connection_that_begins_again_with_data_in_its_syn_is_tracked() {
    for (accepted, begins) in [(0, true), (10, true), (4, true), (11, false)] {
        let tcp = established();
        let ack = 5001 + accepted;
        tcp.observe(&segment(SYN, 5000, 0, 10), true);
        tcp.observe(&segment(SYN | ACK, 900_000_000, ack, 0), false);
        tcp.observe(&segment(ACK, ack, 900_000_001, 0), true);
        let ends_at = tcp.windows().map(|w| lower(w.end));
        assert_eq!(ends_at == [ack, 900_000_001], begins, "{accepted}");
        let ends = tcp.observe(&segment(RESET, 900_000_001, 0, 0), false);
        assert_eq!(ends, begins, "{accepted}");
    }
}

#[test]
fn regression_a_forged_fin_in_claimed_data_does_not_keep_a_flow_from_being_offloaded() {
    let tcp = established();
    tcp.observe(&segment(ACK, 501 + (1 << 28), 101, 1000), false);
    tcp.observe(&segment(FIN | ACK, 501 + (1 << 28), 101, 0), false);
    assert!(tcp.is_steady());
    assert_eq!(tcp.state(), TcpState::Established);
}
