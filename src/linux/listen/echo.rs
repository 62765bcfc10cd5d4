//! Echoes: what arrives is sent back, at once or after a delay.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, sleep_until};

/// Bytes that one connection buffers.
const CHUNK: usize = 16 * 1024;
/// The largest UDP payload over IPv4, rounded up.
const DATAGRAM: usize = 65536;
/// Bytes of delayed datagrams that one listener holds; further ones wait in the kernel's queue, and
/// are lost when that is full.
const HELD: usize = 1 << 20;
/// The number of delayed datagrams that one listener holds.
const HELD_DATAGRAMS: usize = 1024;

/// Sends back all that arrives until the peer ends its direction, and then ends this one too. With
/// a delay, each part is sent back that long after it has been read.
pub(super) async fn connection(mut stream: TcpStream, delay: Duration) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let bytes = stream.read(&mut chunk).await?;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        match bytes {
            0 => return stream.shutdown().await,
            bytes => stream.write_all(chunk.get(..bytes).unwrap_or_default()).await?,
        }
    }
}

/// Sends back each datagram.
pub(super) async fn datagrams(socket: UdpSocket, delay: Duration) {
    let mut datagram = vec![0; DATAGRAM];
    let mut held = Held::default();
    loop {
        tokio::select! {
            // An error here is an ICMP error about an earlier reply: the next datagram is
            // unaffected.
            received = socket.recv_from(&mut datagram), if held.has_room() => {
                let Ok((bytes, peer)) = received else { continue };
                let payload = datagram.get(..bytes).unwrap_or_default();
                if delay.is_zero() {
                    let _ = socket.send_to(payload, peer).await;
                } else {
                    held.add(Instant::now() + delay, payload, peer);
                }
            }
            (payload, peer) = held.next() => {
                let _ = socket.send_to(&payload, peer).await;
            }
        }
    }
}

/// Datagrams that wait for their time. All wait equally long, so the oldest is the first.
#[derive(Default)]
struct Held {
    bytes: usize,
    waiting: VecDeque<(Instant, Vec<u8>, SocketAddr)>,
}

impl Held {
    fn has_room(&self) -> bool {
        self.bytes < HELD && self.waiting.len() < HELD_DATAGRAMS
    }

    fn add(&mut self, due: Instant, payload: &[u8], peer: SocketAddr) {
        self.bytes += payload.len();
        self.waiting.push_back((due, payload.to_owned(), peer));
    }

    /// Waits for the time of the next datagram; for ever if there is none.
    async fn next(&mut self) -> (Vec<u8>, SocketAddr) {
        let Some(due) = self.waiting.front().map(|(due, ..)| *due) else {
            return pending().await;
        };
        sleep_until(due).await;
        match self.waiting.pop_front() {
            Some((_, payload, peer)) => {
                self.bytes -= payload.len();
                (payload, peer)
            }
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn delayed_datagrams_come_in_their_order_and_only_so_many_are_held() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 7));
        let mut held = Held::default();
        let now = Instant::now();
        held.add(now, b"one", peer);
        held.add(now, b"two", peer);
        assert_eq!(held.next().await.0, b"one");
        assert_eq!(held.next().await.0, b"two");
        assert_eq!((held.bytes, held.has_room()), (0, true));
        held.add(now, &vec![0; HELD], peer);
        assert!(!held.has_room());
    }
}
