//! Answers that go on, each of which its client can have ended: nothing more is recorded then, and what was recorded is
//! still sent. A client that goes away instead loses what is on its way.

use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::oneshot;

/// The header of an answer that goes on: the id that `POST /v1/streams/{id}/end` takes.
pub(super) const STREAM: &str = "x-egret-stream";

/// The answers that go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    begun: Arc<AtomicU64>,
    ends: Arc<DashMap<u64, oneshot::Sender<()>>>,
}

impl Streams {
    /// One more answer.
    pub(super) fn begin(&self) -> Stream {
        let id = self.begun.fetch_add(1, Relaxed);
        let (end, asked) = oneshot::channel();
        self.ends.insert(id, end);
        Stream { id, streams: self.clone(), asked }
    }

    /// Asks for the end of one; whether it went on.
    pub(super) fn end(&self, id: u64) -> bool {
        self.ends.remove(&id).is_some_and(|(_, end)| end.send(()).is_ok())
    }
}

/// An answer that goes on, until this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its id, which no other of this lab had.
    pub(super) id: u64,
    streams: Streams,
    asked: oneshot::Receiver<()>,
}

impl Stream {
    /// Waits until its end is asked for: once, and not after it has returned.
    pub(super) async fn asked(&mut self) {
        // The sender goes only by being used, or with this.
        let _ = (&mut self.asked).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.ends.remove(&self.id);
    }
}
