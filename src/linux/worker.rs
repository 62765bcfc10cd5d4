//! The thread that serves one queue of a TUN: read a batch, ask the judge about each packet, write back what it says.
//!
//! It knows nothing of policy; the judge does. No packet, no error of a device and no panic of the judge ends it: only
//! [`WorkerHandle::stop`] does, or the device being deleted. Nothing is allocated after it has started.

use super::tun::{BUFFER, Device, HEADROOM, QUEUE_LENGTH};
use crate::packet::{Fragmenter, VnetHeader};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::AsFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::thread::JoinHandle;

/// Packets judged under one [`Judge::begin_batch`].
pub const BATCH: usize = 64;
/// Packets in a batch after which more are likely at once. Then the worker lets senders and receivers run instead of going
/// to sleep and being woken, in their place, for each packet: batches grow, and one stream gained 7 % when measured.
const BUSY: u64 = 4;
/// Bytes that a judge may write as a reply. An ICMP error has at most 576 (RFC 1812, 4.3.2.3).
pub const REPLY: usize = 2048;

/// What decides about the packets of one queue. Called from one thread only.
pub trait Judge: Send {
    /// Called before the first packet of each batch: the moment to load the configuration.
    fn begin_batch(&mut self);

    /// Decides about one packet, rewriting it in place if it is to go on. `reply` has [`REPLY`] bytes.
    fn judge(&mut self, packet: &mut [u8], vnet: VnetHeader, reply: &mut [u8]) -> Action;

    /// Called after each batch, when everything of it has been written; `drained` says that no packet was left to be read.
    fn end_batch(&mut self, _drained: bool) {}

    /// Whether packets that it had kept are to be judged now, after the one that was judged last.
    fn has_held(&self) -> bool {
        false
    }

    /// Writes the next of them into `packet`; its length. `None` when there is no other: [`Judge::has_held`] is false then.
    fn next_held(&mut self, _packet: &mut [u8]) -> Option<usize> {
        None
    }
}

/// What becomes of a packet.
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

/// What the workers of a device have done so far. Totals; they only grow.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Batches begun.
    pub batches: AtomicU64,
    /// Packets read.
    pub reads: AtomicU64,
    /// Packets written.
    pub writes: AtomicU64,
    /// Reads that failed.
    pub read_errors: AtomicU64,
    /// Writes that failed because the device was down: it passes.
    pub write_errors_down: AtomicU64,
    /// Writes that failed for another reason.
    pub write_errors_other: AtomicU64,
    /// Packets of a device that was not part of the configuration.
    pub unjudged: AtomicU64,
    /// Panics of the judge; each cost one packet.
    pub panics: AtomicU64,
    /// How often a batch of each queue began or ended: odd during one.
    epochs: Box<[AtomicU64]>,
}

/// The epochs of a device's workers at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch(Box<[u64]>);

impl WorkerStats {
    fn of(queues: usize) -> Self {
        Self { epochs: (0..queues).map(|_| AtomicU64::new(0)).collect(), ..Self::default() }
    }

    /// Returns the workers' present epochs. What was published before, they see in any later one.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        // The caller has just published something: see `begin_epoch`.
        fence(Ordering::SeqCst);
        Epoch(self.epochs.iter().map(|epochs| epochs.load(Ordering::SeqCst)).collect())
    }

    /// Says whether all batches that ran at that moment are over. Then every worker has seen what was published before it, or
    /// sees it before its next packet.
    #[must_use]
    pub fn grace_period_is_over(&self, then: &Epoch) -> bool {
        let is_over = |(epochs, then): (&AtomicU64, &u64)| {
            then.is_multiple_of(2) || epochs.load(Ordering::SeqCst) != *then
        };
        self.epochs.iter().zip(&then.0).all(is_over)
    }

    /// Begins a batch. The fence keeps what the batch reads from being read before: either [`WorkerStats::epoch`] sees this
    /// epoch, or the worker sees what its caller had published.
    fn begin_epoch(&self, queue: usize) {
        self.advance_epoch(queue);
        fence(Ordering::SeqCst);
    }

    /// Advances a queue's epoch at both ends of a batch; called by the one thread that serves the queue.
    fn advance_epoch(&self, queue: usize) {
        if let Some(epochs) = self.epochs.get(queue) {
            epochs.store(epochs.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        }
    }
}

/// Starts workers.
pub struct Worker {
    device: Arc<Device>,
    /// Which of the device's queues that is.
    queue: usize,
    stop: Arc<EventFd>,
    stats: Arc<WorkerStats>,
    buffer: Box<[u8]>,
    reply: Box<[u8]>,
}

impl Worker {
    /// Starts a thread for each queue of a device, with a judge of its own. The first is called `name`.
    ///
    /// # Errors
    ///
    /// When the kernel gives no thread or descriptor, or there is no queue.
    pub fn spawn<J: Judge + 'static>(
        name: &str,
        queues: Vec<Device>,
        mut judge: impl FnMut() -> J,
    ) -> io::Result<WorkerHandle> {
        let queues: Vec<_> = queues.into_iter().map(Arc::new).collect();
        let device = queues.first().cloned().ok_or(io::ErrorKind::InvalidInput)?;
        let mut handle = WorkerHandle {
            stop: Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?),
            stats: Arc::new(WorkerStats::of(queues.len())),
            device,
            threads: Vec::new(),
        };
        for (queue, device) in queues.into_iter().enumerate() {
            let mut worker = Self {
                device,
                queue,
                stop: Arc::clone(&handle.stop),
                stats: Arc::clone(&handle.stats),
                buffer: vec![0; BUFFER].into_boxed_slice(),
                reply: vec![0; HEADROOM + REPLY].into_boxed_slice(),
            };
            let name = if queue == 0 { name.to_owned() } else { format!("{name}/{queue}") };
            let judge = judge();
            let thread = std::thread::Builder::new().name(name);
            handle.threads.push(thread.spawn(move || worker.serve(judge))?);
        }
        Ok(handle)
    }

    /// Waits with poll, not epoll: that leaves nothing in the device's wait queue while packets are being judged, so the
    /// kernel has nobody to wake for each packet that arrives meanwhile.
    fn serve(&mut self, mut judge: impl Judge) {
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
                Err(_) => return,
            }
            if waits.first().is_some_and(|stop| stop.any() == Some(true)) {
                return self.drain();
            }
            let mut tally = Tally::default();
            self.stats.begin_epoch(self.queue);
            self.batch(&mut judge, &mut tally);
            let drained = tally.reads < BATCH as u64;
            if catch_unwind(AssertUnwindSafe(|| judge.end_batch(drained))).is_err() {
                tally.panics += 1;
            }
            self.stats.advance_epoch(self.queue);
            tally.add_to(&self.stats);
            if tally.device_gone {
                watched = 1;
            }
            timeout = PollTimeout::NONE;
            if tally.reads >= BUSY {
                std::thread::yield_now();
                timeout = PollTimeout::ZERO;
            }
        }
    }

    /// Counts the packets that wait in the queue of a device that is about to be deleted: they are lost with it. No more are
    /// read than the queue holds, even if packets still come.
    fn drain(&mut self) {
        let mut lost = 0;
        while lost < u64::from(QUEUE_LENGTH)
            && matches!(self.device.read(&mut self.buffer), Ok(Some(_)))
        {
            lost += 1;
        }
        Tally { reads: lost, unjudged: lost, ..Tally::default() }.add_to(&self.stats);
    }

    fn batch(&mut self, judge: &mut impl Judge, tally: &mut Tally) {
        tally.batches += 1;
        if catch_unwind(AssertUnwindSafe(|| judge.begin_batch())).is_err() {
            tally.panics += 1;
        }
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
                    tally.device_gone = error.raw_os_error() == Some(Errno::EBADFD as i32);
                    return;
                }
            }
        }
    }

    /// The packets that waited for the one before. There is a bound to what a judge keeps.
    #[cold]
    fn held(&mut self, judge: &mut impl Judge, tally: &mut Tally) {
        loop {
            let room = self.buffer.get_mut(HEADROOM..).unwrap_or_default();
            match catch_unwind(AssertUnwindSafe(|| judge.next_held(room))) {
                Ok(Some(len)) => self.packet(judge, VnetHeader::default(), len, tally),
                Ok(None) => return,
                Err(_) => {
                    tally.panics += 1;
                    return;
                }
            }
        }
    }

    fn packet(&mut self, judge: &mut impl Judge, vnet: VnetHeader, len: usize, tally: &mut Tally) {
        let packet = self.buffer.get_mut(HEADROOM..HEADROOM + len).unwrap_or_default();
        let reply = self.reply.get_mut(HEADROOM..).unwrap_or_default();
        let judged = catch_unwind(AssertUnwindSafe(|| judge.judge(packet, vnet, reply)));
        let written = match judged {
            Ok(Action::Forward { len, vnet }) => self.device.write(&mut self.buffer, len, vnet),
            Ok(Action::ForwardFragments { len, mtu }) => {
                self.fragments(len, mtu, tally);
                return;
            }
            Ok(Action::Reply { len }) => {
                self.device.write(&mut self.reply, len, VnetHeader::default())
            }
            Ok(Action::Drop) => return,
            Ok(Action::Unjudged) => {
                tally.unjudged += 1;
                return;
            }
            Err(_) => {
                tally.panics += 1;
                return;
            }
        };
        tally.written(&written);
    }

    /// Each fragment is written from where it lies in the buffer, with the bytes in front of it as its headroom: those
    /// have been sent by then.
    #[cold]
    fn fragments(&mut self, len: usize, mtu: u16, tally: &mut Tally) {
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

/// One batch's share of [`WorkerStats`], so that the atomics are touched once per batch.
#[derive(Default)]
struct Tally {
    batches: u64,
    reads: u64,
    writes: u64,
    read_errors: u64,
    write_errors_down: u64,
    write_errors_other: u64,
    unjudged: u64,
    panics: u64,
    device_gone: bool,
}

impl Tally {
    fn written(&mut self, result: &io::Result<()>) {
        match result {
            Ok(()) => self.writes += 1,
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => {
                self.write_errors_down += 1;
            }
            Err(_) => self.write_errors_other += 1,
        }
    }

    fn add_to(&self, stats: &WorkerStats) {
        for (total, share) in [
            (&stats.batches, self.batches),
            (&stats.reads, self.reads),
            (&stats.writes, self.writes),
            (&stats.read_errors, self.read_errors),
            (&stats.write_errors_down, self.write_errors_down),
            (&stats.write_errors_other, self.write_errors_other),
            (&stats.unjudged, self.unjudged),
            (&stats.panics, self.panics),
        ] {
            if share != 0 {
                total.fetch_add(share, Ordering::Relaxed);
            }
        }
    }
}

/// The running workers of a device, one for each of its queues. Dropping it stops the threads and deletes the device.
#[derive(Debug)]
pub struct WorkerHandle {
    stop: Arc<EventFd>,
    stats: Arc<WorkerStats>,
    device: Arc<Device>,
    threads: Vec<JoinHandle<()>>,
}

impl WorkerHandle {
    /// What they have done so far; the counters outlive the workers.
    #[must_use]
    pub fn stats(&self) -> Arc<WorkerStats> {
        Arc::clone(&self.stats)
    }

    /// Their device: its first queue.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many queues the device has, hence workers.
    #[must_use]
    pub fn queues(&self) -> usize {
        self.threads.len()
    }

    /// Ends the threads after the batch at hand and waits for them. What their queues still hold is counted as unjudged. The
    /// device is deleted with the handle.
    pub fn stop(&mut self) {
        // The counter is far from full, so the write cannot block or fail. Nobody reads it: each thread sees it.
        let _ = self.stop.write(1);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_is_over_with_the_batch_that_ran_or_at_once_without_one() {
        let stats = WorkerStats::of(1);
        let idle = stats.epoch();
        assert!(stats.grace_period_is_over(&idle), "its next batch begins later");
        stats.begin_epoch(0);
        let busy = stats.epoch();
        assert!(!stats.grace_period_is_over(&busy));
        stats.advance_epoch(0);
        assert!(stats.grace_period_is_over(&busy));
        stats.begin_epoch(0);
        assert!(stats.grace_period_is_over(&busy), "the next batch is another one");
        assert!(!stats.grace_period_is_over(&stats.epoch()));
    }

    #[test]
    fn a_grace_period_is_over_when_it_is_over_for_every_queue() {
        let stats = WorkerStats::of(3);
        stats.begin_epoch(0);
        stats.begin_epoch(2);
        let then = stats.epoch();
        stats.begin_epoch(1);
        stats.advance_epoch(0);
        assert!(!stats.grace_period_is_over(&then), "the third is in the same batch");
        stats.advance_epoch(2);
        assert!(
            stats.grace_period_is_over(&then),
            "the second had none, and has seen what was published"
        );
    }
}
