//! The threads for what tasks can reach: resolver, time, metadata, and the listeners of resources and hosts. They are of no use to
//! anything else, so that a control call never holds up a task, and no task a control call.

use crate::linux::privileges::keep_none;
use std::io;
use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};

/// How many there are.
const THREADS: usize = 2;
/// What they are called.
const NAME: &str = "egret-tasks";

/// Threads that end with this, and what they are at work on with them.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// When the kernel has no descriptors for them.
    pub(super) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name(NAME).enable_all();
        // They read what tasks send. Their sockets are made by others.
        builder.on_thread_start(|| drop(keep_none()));
        Ok(Self(Some(builder.build()?)))
    }

    /// Returns what has them do something.
    pub(super) fn handle(&self) -> Handle {
        // It is there until this is dropped.
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Has the sockets that are made meanwhile, and what is spawned, be theirs.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Nothing of what they do is waited for.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;
    use tokio::net::UdpSocket;

    /// The only thread of the runtime is at work until it is answered.
    #[tokio::test]
    async fn tasks_are_answered_while_the_threads_of_control_are_at_work() {
        let threads = Threads::start().unwrap();
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let socket = {
            let _threads = threads.enter();
            UdpSocket::from_std(socket).unwrap()
        };
        threads.handle().spawn(async move {
            let mut question = [0; 8];
            let (bytes, from) = socket.recv_from(&mut question).await.unwrap();
            socket.send_to(&question[..bytes], from).await.unwrap();
        });
        let client = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        client.send_to(b"name?", address).unwrap();
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 5);
    }
}
