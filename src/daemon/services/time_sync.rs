//! Amazon Time Sync: SNTP answers with the box's own clock (RFC 4330).

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::UdpSocket;

/// NTP's port.
pub(super) const PORT: u16 = 123;
/// Bytes of a message without authenticator (RFC 4330, 4).
const MESSAGE: usize = 48;
/// Seconds from 1900, where NTP's time begins, to 1970 (RFC 868).
const EPOCH: u64 = 2_208_988_800;

/// Answers for ever.
pub(super) async fn serve(socket: UdpSocket) {
    let mut datagram = [0; 512];
    loop {
        // An error here is an ICMP error about an earlier answer: the next question is unaffected.
        let Ok((bytes, peer)) = socket.recv_from(&mut datagram).await else { continue };
        if let Some(answer) = answer(datagram.get(..bytes).unwrap_or_default(), now()) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

/// Returns the time since 1970. The protocol asks for the wall clock.
#[allow(clippy::disallowed_methods, reason = "a client asks for the date")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the answer to a client's question; `None` for anything else (RFC 4330, 6).
fn answer(question: &[u8], now: Duration) -> Option<[u8; MESSAGE]> {
    let first = *question.first()?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    if question.len() < MESSAGE || mode != 3 || !(1..=4).contains(&version) {
        return None;
    }
    let now = timestamp(now);
    let mut answer = [0; MESSAGE];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in answer.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    // No warning, mode server; stratum 3, the poll interval asked for, about a microsecond of
    // precision.
    put(0, &[version << 3 | 4, 3, question.get(2).copied().unwrap_or(0), 0xec]);
    put(12, &crate::vpc::exempt::TIME_SYNC.octets());
    put(16, &now);
    put(24, question.get(40..48)?);
    put(32, &now);
    put(40, &now);
    Some(answer)
}

/// Converts to seconds since 1900 and their fraction, 32 bits each; the seconds wrap in 2036.
fn timestamp(since_1970: Duration) -> [u8; 8] {
    let seconds = since_1970.as_secs().wrapping_add(EPOCH) << 32;
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_time_and_its_own_timestamp_back() {
        let mut question = [0; MESSAGE];
        question[0] = 4 << 3 | 3;
        question[2] = 6;
        question[40..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let answer = answer(&question, Duration::new(1, 500_000_000)).unwrap();
        assert_eq!((answer[0], answer[1], answer[2]), (4 << 3 | 4, 3, 6));
        assert_eq!(answer[24..32], question[40..]);
        let expected = (EPOCH + 1) << 32 | 1 << 31;
        assert_eq!(answer[40..], expected.to_be_bytes());
        assert_eq!(answer[32..40], answer[40..]);
    }

    #[test]
    fn nothing_else_is_answered() {
        let client = |mode: u8, bytes| {
            let mut message = vec![0; bytes];
            message[0] = 4 << 3 | mode;
            message
        };
        for message in [client(4, MESSAGE), client(3, MESSAGE - 1), client(1, 100), vec![]] {
            assert_eq!(answer(&message, Duration::ZERO), None);
        }
        assert!(answer(&client(3, 68), Duration::ZERO).is_some(), "with an authenticator");
    }
}
