//! The threads that serve tasks: resolver, time, metadata, and the listeners of resources and
//! hosts. They serve nothing else, so that a control call never holds up a task, and no task a
//! control call.

use crate::linux::privileges::keep_none;
use std::io;
use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};

/// The number of threads.
const THREADS: usize = 2;
/// The name of the threads.
const NAME: &str = "egret-tasks";

/// The threads, which end with this value, together with the work that they have.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts the threads.
    ///
    /// # Errors
    /// The kernel has no descriptors for them.
    pub(super) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name(NAME).enable_all();
        // The threads read what tasks send. Other threads make their sockets.
        builder.on_thread_start(|| drop(keep_none()));
        Ok(Self(Some(builder.build()?)))
    }

    /// Returns the handle by which work is spawned on the threads.
    pub(super) fn handle(&self) -> Handle {
        // The runtime exists until this value is dropped.
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Enters the runtime: sockets that are made meanwhile, and futures that are spawned, belong to
    /// it.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Their work is not waited for.
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

    /// The only thread of the runtime is busy until the question is answered.
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
