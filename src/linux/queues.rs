//! Chooses the queue of a TUN with several queues for each packet: `src/steer/queue.bpf.c` chooses
//! by the packet alone, so that all packets of one flow and direction take the same queue and are
//! judged by the same thread, in order.

use super::sys;
use aya::Ebpf;
use aya::programs::SocketFilter;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/queue.bpf.o"));
const PROGRAM: &str = "choose_queue";

/// Makes the program choose the queue of each packet that the readers of a TUN get; `queue` is any
/// of its queues. The device keeps the program for as long as it exists.
pub(super) fn spread(queue: BorrowedFd<'_>) -> io::Result<()> {
    let mut bpf = Ebpf::load(OBJECT).map_err(io::Error::other)?;
    let foreign = || io::Error::other(format!("the embedded programs have no `{PROGRAM}`"));
    let program: &mut SocketFilter =
        bpf.program_mut(PROGRAM).ok_or_else(foreign)?.try_into().map_err(io::Error::other)?;
    program.load().map_err(io::Error::other)?;
    sys::tun_set_steering(queue, program.fd().map_err(io::Error::other)?.as_fd())
}
