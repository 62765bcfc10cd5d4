//! System calls that `nix` has no safe form of. This is the only file with `unsafe`.

#![allow(unsafe_code, reason = "interface ioctls take a union, which nix does not wrap")]

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use zerocopy::{FromBytes, IntoBytes};

/// Offloads that a TUN's reader says it can take (`TUNSETOFFLOAD`, `linux/if_tun.h`).
pub(super) mod offload {
    use nix::libc;

    pub(crate) const CHECKSUM: u32 = libc::TUN_F_CSUM;
    pub(crate) const TSO: u32 = libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    pub(crate) const USO: u32 = libc::TUN_F_USO4 | libc::TUN_F_USO6;
}

mod raw {
    use nix::libc;

    nix::ioctl_write_ptr_bad!(tun_set_iff, libc::TUNSETIFF, libc::ifreq);
    nix::ioctl_write_int_bad!(tun_set_offload, libc::TUNSETOFFLOAD);
    nix::ioctl_write_ptr_bad!(tun_set_vnet_header_size, libc::TUNSETVNETHDRSZ, libc::c_int);
    nix::ioctl_write_ptr_bad!(tun_set_steering, libc::TUNSETSTEERINGEBPF, libc::c_int);
    nix::ioctl_read_bad!(get_flags, libc::SIOCGIFFLAGS, libc::ifreq);
    nix::ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);
    nix::ioctl_write_ptr_bad!(set_mtu, libc::SIOCSIFMTU, libc::ifreq);
    nix::ioctl_write_ptr_bad!(set_queue_length, libc::SIOCSIFTXQLEN, libc::ifreq);
    nix::ioctl_none_bad!(namespace_kind, 0xb703); // NS_GET_NSTYPE (ioctl_nsfs(2))
}

/// The kind of queue that an open `/dev/net/tun` becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunQueue {
    /// The only queue of a new device.
    Only,
    /// The first of several queues of a new device.
    First,
    /// Another queue of a device whose first was made with `First`.
    Further,
}

/// Makes `fd`, an open `/dev/net/tun`, a queue of the TUN device `name` with a virtio-net header of
/// `header` bytes.
pub(super) fn tun_with_vnet_header(
    fd: impl AsFd,
    name: &str,
    header: usize,
    queue: TunQueue,
) -> io::Result<()> {
    let mut request = interface(name)?;
    let queues = match queue {
        TunQueue::Only => 0,
        // Otherwise it would be another queue of another program's device of that name.
        TunQueue::First => libc::IFF_MULTI_QUEUE | libc::IFF_TUN_EXCL,
        TunQueue::Further => libc::IFF_MULTI_QUEUE,
    };
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | queues;
    // The union's flags are 16 bits, and the kernel reads them as unsigned.
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    let size = libc::c_int::try_from(header).map_err(io::Error::other)?;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: both requests read one value of the type given, which lives through the call.
    unsafe {
        raw::tun_set_iff(fd, &raw const request)?;
        raw::tun_set_vnet_header_size(fd, &raw const size)?;
    }
    Ok(())
}

/// Tells the kernel which of [`offload`] the reader of a TUN accepts; `EINVAL` if the kernel does
/// not know one of them.
pub(super) fn tun_set_offload(fd: impl AsFd, offloads: u32) -> io::Result<()> {
    let offloads = libc::c_int::try_from(offloads).map_err(io::Error::other)?;
    // SAFETY: the argument is a number, no memory is read.
    unsafe { raw::tun_set_offload(fd.as_fd().as_raw_fd(), offloads) }?;
    Ok(())
}

/// Makes a BPF program of the socket-filter type choose the queue of each packet that a TUN's
/// readers get: its result, modulo the number of queues.
pub(super) fn tun_set_steering(fd: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let program: libc::c_int = program.as_fd().as_raw_fd();
    // SAFETY: the request reads one number of the type given, which lives through the call.
    unsafe { raw::tun_set_steering(fd.as_fd().as_raw_fd(), &raw const program) }?;
    Ok(())
}

/// Returns whether a file of the kernel's namespace filesystem is a network namespace. On a file of
/// another filesystem the request may mean anything.
pub(super) fn is_network_namespace(fd: impl AsFd) -> io::Result<bool> {
    // SAFETY: the request has no argument.
    let kind = unsafe { raw::namespace_kind(fd.as_fd().as_raw_fd()) }?;
    Ok(kind == libc::CLONE_NEWNET)
}

/// Brings an interface of the calling thread's namespace up.
pub(super) fn set_up(name: &str) -> io::Result<()> {
    let socket = control_socket()?;
    let mut request = interface(name)?;
    // SAFETY: the kernel reads and fills one `ifreq`, whose union holds the flags for this request.
    unsafe {
        raw::get_flags(socket.as_raw_fd(), &raw mut request)?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        raw::set_flags(socket.as_raw_fd(), &raw const request)?;
    }
    Ok(())
}

/// Sets the MTU of an interface of the calling thread's namespace, in bytes.
pub(super) fn set_mtu(name: &str, mtu: u16) -> io::Result<()> {
    let socket = control_socket()?;
    let mut request = interface(name)?;
    request.ifr_ifru.ifru_mtu = libc::c_int::from(mtu);
    // SAFETY: the kernel reads one `ifreq`, which lives through the call.
    unsafe { raw::set_mtu(socket.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// Sets the number of packets that may wait for the reader of an interface of the calling thread's
/// namespace.
pub(super) fn set_queue_length(name: &str, packets: u16) -> io::Result<()> {
    let socket = control_socket()?;
    let mut request = interface(name)?;
    // The kernel's name for this member is `ifru_ivalue`, an int like the metric.
    request.ifr_ifru.ifru_metric = libc::c_int::from(packets);
    // SAFETY: the kernel reads one `ifreq`, which lives through the call.
    unsafe { raw::set_queue_length(socket.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// Returns the descriptor of a plain TUN: `tun-tap` gives it only as a number.
pub(super) fn descriptor(device: &tun_tap::Iface) -> BorrowedFd<'_> {
    // SAFETY: `Iface` owns the descriptor and does not close it while it is borrowed.
    unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) }
}

/// Makes a program start with these limits of descriptors, whatever this process has.
pub(super) fn limit_descriptors(command: &mut Command, soft: u64, hard: u64) {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    let set = move || {
        // SAFETY: the kernel reads one `rlimit`, which the closure owns.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec it makes one system call, and neither allocates nor locks.
    unsafe { command.pre_exec(set) };
}

/// Makes a program start in a session of its own: signals of the caller's terminal do not reach it.
pub(super) fn new_session(command: &mut Command) {
    let set = || nix::unistd::setsid().map(drop).map_err(io::Error::from);
    // SAFETY: between fork and exec it makes one system call, and neither allocates nor locks.
    unsafe { command.pre_exec(set) };
}

/// A value as a BPF map holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Plain<T>(pub(super) T);

// SAFETY: the value has no gaps, and any bytes are one: its traits say so.
unsafe impl<T: FromBytes + IntoBytes + Copy + 'static> aya::Pod for Plain<T> {}

/// Memory that is shared with the kernel, as words of eight bytes.
#[derive(Debug)]
pub(super) struct SharedWords {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory is this value's own until it is dropped, and only ever looked at as atomics.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps the first `count` words of the object that `fd` stands for.
    pub(super) fn map(fd: impl AsFd, count: usize) -> io::Result<Self> {
        let length = NonZeroUsize::new(count.saturating_mul(size_of::<AtomicU64>()))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses where, so nothing of this process is covered.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { start: start.cast(), count })
    }

    pub(super) fn get(&self, index: usize) -> Option<&AtomicU64> {
        // SAFETY: pages are aligned for words, `count` of them are mapped until this is dropped,
        // and any bits are a value.
        (index < self.count).then(|| unsafe { self.start.add(index).as_ref() })
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.start.cast(), self.count * size_of::<AtomicU64>()) };
    }
}

/// Waits until every tc program that is running now has ended. Kernels that cannot (`nohz_full`)
/// fail at once; a program runs for microseconds.
pub(super) fn wait_for_programs() {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes three numbers and touches no memory.
    let _ = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}

/// Gives a socket a filter that takes no packet (`SO_ATTACH_FILTER`, socket(7)).
pub(super) fn take_no_packets(fd: impl AsFd) -> io::Result<()> {
    // BPF_RET | BPF_K with 0: none of the packet's bytes are taken.
    let mut code = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: code.as_mut_ptr() };
    let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or_default();
    // SAFETY: the kernel copies the program, which lives until the call returns, and takes its
    // length from it.
    let outcome = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size,
        )
    };
    nix::errno::Errno::result(outcome)?;
    Ok(())
}

/// Opens a socket for the interface ioctls: any socket will do.
fn control_socket() -> io::Result<std::os::fd::OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    Ok(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?)
}

fn interface(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain C data, for which all zero bytes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        let trouble =
            format!("`{name}` is not an interface name: 1 to {} bytes", libc::IFNAMSIZ - 1);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, trouble));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}
