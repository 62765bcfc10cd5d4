//! The thread that serves one queue of a TUN: it reads a batch, asks the judge about each packet,
//! and writes back the result.
//!
//! It knows nothing of policy; the judge does. No packet, no error of a device and no panic over a
//! packet ends it: [`WorkerHandle::stop`] does. If anything else ends it, [`WorkerStats::deaths`]
//! reports it, and no thread waits for it ([`Epochs`](super::epochs::Epochs)). It allocates nothing
//! after it has started.

use super::privileges::WorkerFilter;
use super::tun::{BUFFER, Device, HEADROOM, QUEUE_LENGTH};
use super::worker_stats::{BatchStats, WorkerDeath, WorkerStats};
use crate::packet::{Fragmenter, VnetHeader};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::AsFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Packets judged under one [`Judge::begin_batch`].
pub const BATCH: usize = 64;
/// Packets in a batch after which more are likely at once. Then the worker yields to senders and
/// receivers instead of sleeping and being woken, in their place, for each packet: batches grow,
/// and one stream gained 7 % when measured.
const BUSY: u64 = 4;
/// The longest wait for the end of a batch. A batch takes milliseconds, even on a busy machine.
pub const LONGEST_BATCH: Duration = Duration::from_secs(10);
/// Bytes that a judge may write as a reply. An ICMP error has at most 576 (RFC 1812, 4.3.2.3).
pub const REPLY: usize = 2048;

/// Judges the packets of one queue. Called from one thread only.
pub trait Judge: Send {
    /// Begins a batch, before its first packet: the moment to load the configuration.
    fn begin_batch(&mut self);

    /// Judges one packet, and rewrites it in place if it is to be forwarded. `reply` has [`REPLY`]
    /// bytes.
    fn judge(&mut self, packet: &mut [u8], vnet: VnetHeader, reply: &mut [u8]) -> Action;

    /// Ends a batch, when everything of it has been written; `drained` is true if no packet was
    /// left to read.
    fn end_batch(&mut self, _drained: bool) {}

    /// Returns whether packets that it had held are to be judged now, after the one that was judged
    /// last.
    fn has_held(&self) -> bool {
        false
    }

    /// Writes the next of them into `packet`; returns its length, or `None` if there is no other:
    /// [`Judge::has_held`] is false then.
    fn next_held(&mut self, _packet: &mut [u8]) -> Option<usize> {
        None
    }
}

/// The action for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the packet back.
    Forward {
        /// Bytes of it to write.
        len: usize,
        /// The header to put in front.
        vnet: VnetHeader,
    },
    /// Write the packet back in fragments of at most `mtu` bytes, with complete checksums.
    ForwardFragments {
        /// Bytes of the packet.
        len: usize,
        /// Bytes of a fragment, header included.
        mtu: u16,
    },
    /// Write the reply instead: it has complete checksums.
    Reply {
        /// Bytes of it to write.
        len: usize,
    },
    /// Write nothing.
    Drop,
    /// Write nothing: the device is not part of the configuration.
    Unjudged,
}

/// Starts workers.
pub struct Worker {
    device: Arc<Device>,
    /// The number of its queue in the device.
    queue: usize,
    stop: Arc<EventFd>,
    stats: Arc<WorkerStats>,
    buffer: Box<[u8]>,
    reply: Box<[u8]>,
}

impl Worker {
    /// Starts a thread for each queue of a device, with a judge of its own. The first is called
    /// `name`.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread or descriptor, or does not take their rights from them, or there
    /// is no queue.
    pub fn spawn<J: Judge + 'static>(
        name: &str,
        queues: Vec<Device>,
        judge: impl FnMut() -> J,
    ) -> io::Result<WorkerHandle> {
        let queues: Vec<_> = queues.into_iter().map(Arc::new).collect();
        let device = queues.first().cloned().ok_or(io::ErrorKind::InvalidInput)?;
        let (lives, ended) = channel();
        let mut handle = WorkerHandle {
            stop: Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?),
            stats: Arc::new(WorkerStats::of(queues.len())),
            device,
            threads: Vec::new(),
            ended: Mutex::new(ended),
        };
        handle.start(name, queues, lives, judge)?;
        Ok(handle)
    }

    /// Serves the queue, and records why it has ended if it was not stopped. `lives` is dropped
    /// with the thread.
    fn live(mut self, judge: impl Judge, lives: Sender<()>) {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(judge)));
        let death = match served {
            Ok(Ok(())) => None,
            Ok(Err(errno)) => Some(WorkerDeath::Poll(errno)),
            Err(_) => Some(WorkerDeath::Panicked),
        };
        if let Some(death) = death {
            self.stats.died(self.queue, death);
        }
        drop(lives);
    }

    /// Waits for packets with poll, not epoll, and serves them: that leaves nothing in the device's
    /// wait queue while packets are being judged, so the kernel has no thread to wake for each
    /// packet that arrives meanwhile.
    fn serve(&mut self, mut judge: impl Judge) -> nix::Result<()> {
        let (stop, device) = (Arc::clone(&self.stop), Arc::clone(&self.device));
        let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut waits = [wait(stop.as_fd()), wait(device.as_fd())];
        // A device that was removed would be reported as ready for ever.
        let mut watched = waits.len();
        let mut timeout = PollTimeout::NONE;
        loop {
            match poll(waits.get_mut(..watched).unwrap_or_default(), timeout) {
                // Nothing came while the others ran: now sleep.
                Ok(0) => {
                    timeout = PollTimeout::NONE;
                    continue;
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            if waits.first().is_some_and(|stop| stop.any() == Some(true)) {
                self.drain();
                return Ok(());
            }
            let tally = self.batch(&mut judge);
            if tally.device_removed {
                watched = 1;
            }
            timeout = PollTimeout::NONE;
            if tally.reads >= BUSY {
                std::thread::yield_now();
                timeout = PollTimeout::ZERO;
            }
        }
    }

    /// Counts the packets that wait in the queue of a device that is about to be deleted: they are
    /// lost with it. No more are read than the queue holds, even if packets still come.
    fn drain(&mut self) {
        let mut lost = 0;
        while lost < u64::from(QUEUE_LENGTH)
            && matches!(self.device.read(&mut self.buffer), Ok(Some(_)))
        {
            lost += 1;
        }
        BatchStats { reads: lost, unjudged: lost, ..BatchStats::default() }.add_to(&self.stats);
    }

    fn batch(&mut self, judge: &mut impl Judge) -> BatchStats {
        let stats = Arc::clone(&self.stats);
        let mut tally = BatchStats { batches: 1, ..BatchStats::default() };
        let batch = stats.epochs.begin(self.queue);
        #[cfg(test)]
        stats.in_batch.pass();
        if survives(&mut tally, || judge.begin_batch()).is_some() {
            self.packets(judge, &mut tally);
        } else {
            self.lose_one(&mut tally);
        }
        let drained = tally.reads < BATCH as u64;
        survives(&mut tally, || judge.end_batch(drained));
        drop(batch);
        tally.add_to(&stats);
        tally
    }

    /// Drops a packet that the judge must not see, since it may have failed between two
    /// configurations.
    #[cold]
    fn lose_one(&mut self, tally: &mut BatchStats) {
        if let Ok(Some(_)) = self.device.read(&mut self.buffer) {
            tally.reads += 1;
        }
    }

    fn packets(&mut self, judge: &mut impl Judge, tally: &mut BatchStats) {
        for _ in 0..BATCH {
            match self.device.read(&mut self.buffer) {
                Ok(Some((vnet, len))) => {
                    tally.reads += 1;
                    self.packet(judge, vnet, len, tally);
                    if judge.has_held() {
                        self.held(judge, tally);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tally.read_errors += 1;
                    tally.device_removed = error.raw_os_error() == Some(Errno::EBADFD as i32);
                    return;
                }
            }
        }
    }

    /// Handles the packets that waited for the one before. The number that a judge holds is
    /// bounded.
    #[cold]
    fn held(&mut self, judge: &mut impl Judge, tally: &mut BatchStats) {
        loop {
            let room = self.buffer.get_mut(HEADROOM..).unwrap_or_default();
            match survives(tally, || judge.next_held(room)) {
                Some(Some(len)) => self.packet(judge, VnetHeader::default(), len, tally),
                Some(None) | None => return,
            }
        }
    }

    /// Handles a packet. A panic loses only this packet.
    #[inline]
    fn packet(
        &mut self,
        judge: &mut impl Judge,
        vnet: VnetHeader,
        len: usize,
        tally: &mut BatchStats,
    ) {
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let packet = self.buffer.get_mut(HEADROOM..HEADROOM + len).unwrap_or_default();
            let reply = self.reply.get_mut(HEADROOM..).unwrap_or_default();
            let action = judge.judge(packet, vnet, reply);
            self.act(action, tally);
        }));
        if handled.is_err() {
            tally.panics += 1;
        }
    }

    #[inline]
    fn act(&mut self, action: Action, tally: &mut BatchStats) {
        let written = match action {
            Action::Forward { len, vnet } => self.device.write(&mut self.buffer, len, vnet),
            Action::ForwardFragments { len, mtu } => return self.fragments(len, mtu, tally),
            Action::Reply { len } => self.device.write(&mut self.reply, len, VnetHeader::default()),
            Action::Drop => return,
            Action::Unjudged => {
                tally.unjudged += 1;
                return;
            }
        };
        tally.written(&written);
    }

    /// Writes the fragments of a packet. Each is written from its place in the buffer, with the
    /// bytes in front of it as its headroom: those have been sent by then.
    #[cold]
    fn fragments(&mut self, len: usize, mtu: u16, tally: &mut BatchStats) {
        let packet = self.buffer.get(HEADROOM..HEADROOM + len).unwrap_or_default();
        let Some(mut fragmenter) = Fragmenter::new(packet, mtu) else {
            tally.write_errors_other += 1;
            return;
        };
        while let Some(range) =
            fragmenter.next(self.buffer.get_mut(HEADROOM..HEADROOM + len).unwrap_or_default())
        {
            let frame = self.buffer.get_mut(range.start..).unwrap_or_default();
            tally.written(&self.device.write(frame, range.len(), VnetHeader::default()));
        }
    }
}

/// Runs some work; counts a panic and returns `None` then.
#[inline]
fn survives<T>(tally: &mut BatchStats, work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        tally.panics += 1;
    }
    done
}

/// The running workers of a device, one for each of its queues. Dropping it stops the threads and
/// deletes the device.
#[derive(Debug)]
pub struct WorkerHandle {
    stop: Arc<EventFd>,
    stats: Arc<WorkerStats>,
    device: Arc<Device>,
    threads: Vec<JoinHandle<()>>,
    /// A channel that is closed once all of them have ended.
    ended: Mutex<Receiver<()>>,
}

impl WorkerHandle {
    /// Starts the threads, each of which has a copy of `lives`.
    fn start<J: Judge + 'static>(
        &mut self,
        name: &str,
        queues: Vec<Arc<Device>>,
        lives: Sender<()>,
        mut judge: impl FnMut() -> J,
    ) -> io::Result<()> {
        let filter = WorkerFilter::new()?;
        for (queue, device) in queues.into_iter().enumerate() {
            let worker = Worker {
                device,
                queue,
                stop: Arc::clone(&self.stop),
                stats: Arc::clone(&self.stats),
                buffer: vec![0; BUFFER].into_boxed_slice(),
                reply: vec![0; HEADROOM + REPLY].into_boxed_slice(),
            };
            let name = if queue == 0 { name.to_owned() } else { format!("{name}/{queue}") };
            let (judge, lives, filter) = (judge(), lives.clone(), filter.clone());
            let (says, confined) = channel();
            let thread = std::thread::Builder::new().name(name);
            self.threads.push(thread.spawn(move || {
                let confined = filter.confine();
                let is_confined = confined.is_ok();
                // The caller waits for it.
                let _ = says.send(confined);
                if is_confined {
                    worker.live(judge, lives);
                }
            })?);
            confined.recv().map_err(io::Error::other)??;
        }
        Ok(())
    }

    /// Returns the workers' figures so far; the counters outlive the workers.
    #[must_use]
    pub fn stats(&self) -> Arc<WorkerStats> {
        Arc::clone(&self.stats)
    }

    /// Returns their device: its first queue.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the number of the device's queues, hence of workers.
    #[must_use]
    pub fn queues(&self) -> usize {
        self.threads.len()
    }

    /// Ends the threads after the present batch and waits for them, but not for one that hangs in a
    /// batch. Packets that their queues still hold are counted as unjudged. The device is deleted
    /// with the handle, or with the last thread that has it.
    pub fn stop(&mut self) {
        Self::stop_all([self]);
    }

    /// Stops the workers of several devices: it waits for all that hang together.
    pub fn stop_all<'a>(handles: impl IntoIterator<Item = &'a mut Self>) {
        let running = handles.into_iter().filter(|handle| !handle.threads.is_empty());
        let asked: Vec<_> = running.inspect(|handle| handle.ask_to_stop()).collect();
        let limit = Instant::now() + LONGEST_BATCH;
        for handle in asked {
            handle.wait_until(limit);
        }
    }

    /// Asks the threads to end, and waits for none: one of them is known to hang.
    pub fn abandon(&mut self) {
        self.ask_to_stop();
        self.threads.clear();
    }

    fn ask_to_stop(&self) {
        // The counter is far from full, so the write cannot block or fail. No thread reads it, so
        // each thread sees it.
        let _ = self.stop.write(1);
    }

    fn wait_until(&mut self, limit: Instant) {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the last thread closes the channel.
        let patience = limit.saturating_duration_since(Instant::now());
        let hangs = ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
        for thread in self.threads.drain(..).filter(|thread| !hangs || thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
