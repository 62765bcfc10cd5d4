//! Says again and again that the process lives: the kernel carries flows by its verdicts for a set time after the last word.

use super::{FlowCache, clock};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Four words in each grace, so that a busy machine may swallow some.
const WORDS: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(100);

/// The thread that speaks; it ends when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Lets the kernel carry flows until `grace` after the process has ended. The first word has been said when this
    /// returns.
    ///
    /// # Errors
    ///
    /// When no thread is to be had.
    pub fn start(cache: Arc<FlowCache>, grace: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let renew = move || {
            let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
            // If the kernel does not take it, user space carries what it carries no longer.
            let _ = cache.use_until(clock::now().saturating_add(grace));
        };
        renew();
        let every = (grace / WORDS).max(SHORTEST);
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                renew();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}
