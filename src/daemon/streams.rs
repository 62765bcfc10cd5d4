//! Streamed answers, each of which its client can end: nothing more is recorded then, and what was
//! recorded is still sent. A client that closes its connection instead loses what is on its way.

use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The header of a streamed answer: the id that `POST /v1/streams/{id}/end` takes.
pub(super) const STREAM: &str = "x-egret-stream";

/// The answers that are being streamed.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    begun: Arc<AtomicU64>,
    ends: Arc<DashMap<u64, oneshot::Sender<()>>>,
}

/// The error if there is no room for another streamed answer.
#[derive(Debug, thiserror::Error)]
#[error("the lab has no room for another trace, capture or top: end one of those that run")]
pub(super) struct TooMany;

impl Streams {
    /// Makes room for so many answers at once.
    pub(super) fn new(most: usize) -> Self {
        let (begun, ends) = (Arc::default(), Arc::default());
        Self { places: Arc::new(Semaphore::new(most)), begun, ends }
    }

    /// Begins one more answer.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn begin(&self) -> Result<Stream, TooMany> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| TooMany)?;
        let id = self.begun.fetch_add(1, Relaxed);
        let (end, asked) = oneshot::channel();
        self.ends.insert(id, end);
        Ok(Stream { id, streams: self.clone(), asked, _place: place })
    }

    /// Asks for the end of a streamed answer; returns whether it was still streamed.
    pub(super) fn end(&self, id: u64) -> bool {
        self.ends.remove(&id).is_some_and(|(_, end)| end.send(()).is_ok())
    }
}

/// A streamed answer, until this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its id, which no other answer of this lab had.
    pub(super) id: u64,
    streams: Streams,
    asked: oneshot::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// Waits until its end is requested. Must not be called again after it has returned.
    pub(super) async fn asked(&mut self) {
        // The sender is dropped only by being used, or with this.
        let _ = (&mut self.asked).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.ends.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn one_answer_more_than_there_is_room_for_is_refused_until_another_ends() {
        let streams = Streams::new(2);
        let (first, _second) = (streams.begin().unwrap(), streams.begin().unwrap());
        assert!(streams.begin().is_err());
        drop(first);
        assert!(streams.begin().is_ok());
    }
}
