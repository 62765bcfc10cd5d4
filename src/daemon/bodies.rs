//! Reads the bodies of requests within bounds: the size of each, the time for each, and the bytes
//! of all that are being read or answered.

use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits how much of an unwanted body is read all the same, and for how long: a client that still
/// sends it would not read the answer, which says why.
const UNWANTED: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(5);

/// The bodies that are being read or answered.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
    patience: Duration,
}

/// A body that was read. Its room is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
impl<T: AsRef<[u8]>> From<T> for Whole {
    fn from(bytes: T) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes.as_ref()), _room: None }
    }
}

/// The reason why a body was not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive within {0} s")]
    TooSlow(u64),
    #[error("too many large requests at once: try again")]
    Busy,
    #[error("the body broke off")]
    Broken,
}

impl Bodies {
    /// Makes room for so many bytes, and gives each body so much time.
    pub(crate) fn new(bytes: usize, patience: Duration) -> Self {
        Self { room: Arc::new(Semaphore::new(bytes)), patience }
    }

    /// Reads a body. Nothing is kept of one that announces too many bytes. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// The reason why it was not read.
    pub(crate) async fn read(&self, mut body: Body, largest: usize) -> Result<Whole, Unread> {
        let read = tokio::time::timeout(self.patience, self.collect(&mut body, largest)).await;
        let read = read.unwrap_or(Err(Unread::TooSlow(self.patience.as_secs())));
        if let Err(Unread::TooLarge(_) | Unread::Busy) = &read {
            // The answer does not wait for it.
            tokio::spawn(tokio::time::timeout(LINGER, discard(body)));
        }
        read
    }

    async fn collect(&self, body: &mut Body, largest: usize) -> Result<Whole, Unread> {
        let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if least > largest {
            return Err(Unread::TooLarge(largest));
        }
        let (mut bytes, mut room) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            // Trailers are ignored.
            let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            if bytes.len() + data.len() > largest {
                return Err(Unread::TooLarge(largest));
            }
            let more = u32::try_from(data.len()).map_err(|_| Unread::TooLarge(largest))?;
            let more = Arc::clone(&self.room).try_acquire_many_owned(more);
            let more = more.map_err(|_| Unread::Busy)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Whole { bytes: bytes.into(), _room: room })
    }
}

async fn discard(mut body: Body) {
    let mut left = UNWANTED;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::convert::Infallible;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn bodies_together_take_no_more_than_there_is_room_for() {
        let bodies = Bodies::new(10, LONG);
        let first = bodies.read(Body::from("123456"), 10).await.unwrap();
        assert_eq!(&*first.bytes, b"123456");
        assert_eq!(bodies.read(Body::from("12345"), 10).await.unwrap_err(), Unread::Busy);
        drop(first);
        assert!(bodies.read(Body::from("12345"), 10).await.is_ok());
        assert!(bodies.read(Body::empty(), 10).await.unwrap().bytes.is_empty());
    }

    #[tokio::test]
    async fn body_that_is_too_large_is_refused_announced_or_not() {
        let bodies = Bodies::new(100, LONG);
        let announced = bodies.read(Body::from("123456"), 5).await;
        assert_eq!(announced.unwrap_err(), Unread::TooLarge(5));
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, Infallible>("12"));
        let endless = bodies.read(Body::from_stream(chunks), 5).await;
        assert_eq!(endless.unwrap_err(), Unread::TooLarge(5));
        assert_eq!(bodies.room.available_permits(), 100);
    }

    #[tokio::test]
    async fn body_that_does_not_arrive_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, Infallible>>();
        let read =
            Bodies::new(100, Duration::from_millis(1)).read(Body::from_stream(never), 5).await;
        assert_eq!(read.unwrap_err(), Unread::TooSlow(0));
    }
}
