//! Renews the deadline of the flow cache while the process lives: the kernel forwards flows by its
//! verdicts for a set time after the last renewal.

use super::{FlowCache, clock};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Renewals in each grace: a busy machine may miss some of the four.
const WORDS: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(100);

/// The thread that renews the deadline; it ends when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Lets the kernel forward flows until `grace` after the process has ended. The deadline is set
    /// for the first time when this returns.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(cache: Arc<FlowCache>, grace: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let renew = move || {
            let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
            // If this fails, the deadline passes, and user space forwards the flows.
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
