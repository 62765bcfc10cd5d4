//! Streamed answers, each of which its client can end: nothing more is recorded then, and what was
//! recorded is still sent. A client that closes its connection instead loses what is on its way.

use super::peer::Peer;
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
    /// Those of the places that others than root may take.
    readers: Arc<Semaphore>,
    begun: Arc<AtomicU64>,
    ends: Arc<DashMap<u64, End>>,
}

/// Ends a streamed answer.
#[derive(Debug)]
struct End {
    /// The user who has begun it.
    user: Option<u32>,
    ask: oneshot::Sender<()>,
}

/// The error if there is no room for another streamed answer.
#[derive(Debug, thiserror::Error)]
#[error("the lab has no room for another trace, capture or top: end one of those that run")]
pub(super) struct TooMany;

impl Streams {
    /// Makes room for so many answers at once.
    pub(super) fn new(most: usize) -> Self {
        let (begun, ends) = (Arc::default(), Arc::default());
        let readers = Arc::new(Semaphore::new((most / 4).max(1)));
        Self { places: Arc::new(Semaphore::new(most)), readers, begun, ends }
    }

    /// Begins one more answer.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn begin(&self, client: &Peer) -> Result<Stream, TooMany> {
        let take =
            |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().map_err(|_| TooMany);
        let reader = if client.is_root() { None } else { Some(take(&self.readers)?) };
        let place = (take(&self.places)?, reader);
        let id = self.begun.fetch_add(1, Relaxed);
        let (ask, asked) = oneshot::channel();
        self.ends.insert(id, End { user: client.user(), ask });
        Ok(Stream { id, streams: self.clone(), asked, _place: place })
    }

    /// Asks for the end of a streamed answer; returns whether it was still streamed. Root ends any,
    /// and another user those that the user began.
    pub(super) fn end(&self, client: &Peer, id: u64) -> bool {
        let may = |_: &u64, end: &End| client.is_root() || end.user == client.user();
        self.ends.remove_if(&id, may).is_some_and(|(_, end)| end.ask.send(()).is_ok())
    }
}

/// A streamed answer, until this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its id, which no other answer of this lab had.
    pub(super) id: u64,
    streams: Streams,
    asked: oneshot::Receiver<()>,
    _place: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
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
        let begin = || streams.begin(&Peer::known(0));
        let (first, _second) = (begin().unwrap(), begin().unwrap());
        assert!(begin().is_err());
        drop(first);
        assert!(begin().is_ok());
    }

    #[test]
    fn reader_has_few_places_and_ends_own_answers_only() {
        let streams = Streams::new(8);
        let (root, reader) = (Peer::known(0), Peer::known(1000));
        let own = [streams.begin(&reader).unwrap(), streams.begin(&reader).unwrap()];
        assert!(streams.begin(&reader).is_err());
        let of_root = streams.begin(&root).unwrap();
        assert!(!streams.end(&reader, of_root.id));
        assert!(!streams.end(&Peer::known(1001), own[0].id));
        assert!(streams.end(&reader, own[0].id));
        assert!(streams.end(&root, own[1].id) && streams.end(&root, of_root.id));
    }
}
