//! Runs work that looks at every flow or waits for the disk, so that it holds up nothing else that
//! the runtime has to do.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs long work on this thread. Another thread takes over what the runtime has for this one until
/// the work is done. A runtime of one thread has nothing else to do meanwhile.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// The only thread of the runtime waits in `aside` for what another task does.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_go_on_meanwhile() {
        let worker = tokio::spawn(async {
            let (sender, receiver) = oneshot::channel();
            tokio::spawn(async move { sender.send(7) });
            aside(|| receiver.blocking_recv())
        });
        assert_eq!(worker.await.ok(), Some(Ok(7)));
    }

    #[tokio::test]
    async fn runtime_of_one_thread_does_the_work_itself() {
        assert_eq!(aside(|| 7), 7);
    }
}
