//! The TUN device behind an ENI or a gateway.
//!
//! With a virtio-net header in front of each packet the kernel hands over whole super-packets with
//! the checksum left open; without it (`tun-tap`), one finished packet per segment. Readers and
//! writers see the same either way: a buffer whose first [`HEADROOM`] bytes belong to the device
//! and whose rest is the packet, so that a packet that was rewritten in place is written back with
//! one system call and no copy.

use super::sys::TunQueue;
use super::{Netns, NetnsError, queues, sys};
use crate::packet::{VnetHeader, vnet};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes in front of the packet that belong to the device.
pub const HEADROOM: usize = vnet::LEN;
/// Bytes that a buffer must have to take any packet: the largest IPv4 total length, and the
/// headroom.
pub const BUFFER: usize = HEADROOM + 65536;
/// Packets that may wait for the reader. The kernel's 500 overflow at once when a batch of
/// super-packets arrives.
pub const QUEUE_LENGTH: u16 = 2000;

/// The reason why a device could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused.
    #[error("{what} TUN device `{name}`: {source}{}", remedy(source))]
    Kernel {
        /// The operation.
        what: &'static str,
        /// The device.
        name: String,
        /// The kernel's error.
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    use nix::libc::{EACCES, EBUSY, ENODEV, ENOENT, EPERM};
    match error.raw_os_error() {
        Some(ENOENT | ENODEV) => " (is /dev/net/tun there? `modprobe tun` loads the driver)",
        Some(EACCES | EPERM) => " (TUN devices need root: run it with sudo)",
        Some(EBUSY) => " (the name is in use: is another run of this lab alive?)",
        _ => "",
    }
}

/// The kind of device to ask the kernel for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// With a virtio-net header where the kernel has it, else plain.
    #[default]
    Auto,
    /// With a virtio-net header: super-packets stay whole.
    Vnet,
    /// Without: one packet per segment, all checksums complete.
    Plain,
}

/// The work that the kernel leaves to the reader of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// L4 checksums may be partial.
    pub checksum: bool,
    /// TCP super-packets arrive whole.
    pub tcp: bool,
    /// UDP super-packets arrive whole (Linux 6.2 and later).
    pub udp: bool,
}

/// A queue of a TUN device; most devices have only one. The device is removed from its namespace
/// when the last is dropped.
#[derive(Debug)]
pub struct Device {
    name: String,
    ifindex: u32,
    offloads: Offloads,
    queue: Queue,
}

#[derive(Debug)]
enum Queue {
    Vnet(File),
    Plain(tun_tap::Iface),
}

impl Device {
    /// Makes the device `name` in a namespace, up, with an MTU in bytes, for reading without
    /// blocking.
    ///
    /// # Errors
    ///
    /// The caller is not root, the name is in use or longer than 15 bytes, or the kernel has no
    /// such kind.
    pub fn open(netns: &Netns, name: &str, kind: DeviceKind, mtu: u16) -> Result<Self, TunError> {
        netns.run(|| open_here(name, kind, mtu, TunQueue::Only))?
    }

    /// Makes a device with so many queues: all packets of one flow and direction come by the same
    /// one. A plain device has one queue, even if more are asked for.
    ///
    /// # Errors
    ///
    /// As [`Device::open`].
    pub fn open_queues(
        netns: &Netns,
        name: &str,
        kind: DeviceKind,
        mtu: u16,
        queues: u16,
    ) -> Result<Vec<Self>, TunError> {
        if queues <= 1 {
            return Ok(vec![Self::open(netns, name, kind, mtu)?]);
        }
        netns.run(|| open_queues_here(name, kind, mtu, queues))?
    }

    /// Returns the interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the interface's index in its namespace.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Returns the kind that the device has: never [`DeviceKind::Auto`].
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        match self.queue {
            Queue::Vnet(_) => DeviceKind::Vnet,
            Queue::Plain(_) => DeviceKind::Plain,
        }
    }

    /// Returns the work that the kernel leaves to the reader.
    #[must_use]
    pub fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Reads one packet to `buffer[HEADROOM..]`. Returns its header and its length, or `None` if no
    /// packet waits. `buffer` should have [`BUFFER`] bytes: a longer packet is cut off.
    ///
    /// # Errors
    ///
    /// The kernel's error, for one packet; `EBADFD` if the device was deleted.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<(VnetHeader, usize)>> {
        let read = match &self.queue {
            Queue::Vnet(file) => (&mut &*file).read(buffer).and_then(|bytes| split(buffer, bytes)),
            Queue::Plain(device) => {
                let room = buffer.get_mut(HEADROOM..).ok_or_else(too_small)?;
                device.recv(room).map(|bytes| (VnetHeader::default(), bytes))
            }
        };
        match read {
            Ok(packet) => Ok(Some(packet)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the packet of `len` bytes in `buffer[HEADROOM..]`. A plain device ignores `vnet`,
    /// since its packets have nothing left to be done.
    ///
    /// # Errors
    ///
    /// `EIO` while the device is down, which passes; otherwise the kernel's error for this packet.
    #[inline]
    pub fn write(&self, buffer: &mut [u8], len: usize, vnet: VnetHeader) -> io::Result<()> {
        let frame = buffer.get_mut(..HEADROOM.saturating_add(len)).ok_or_else(too_small)?;
        let (header, packet) = frame.split_first_chunk_mut::<HEADROOM>().ok_or_else(too_small)?;
        // A TUN takes a packet whole or not at all.
        let written = match &self.queue {
            Queue::Vnet(file) => {
                *header = vnet.to_bytes();
                (&mut &*file).write(frame)
            }
            Queue::Plain(device) => device.send(packet),
        };
        written.map(drop)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.queue {
            Queue::Vnet(file) => file.as_fd(),
            Queue::Plain(device) => sys::descriptor(device),
        }
    }
}

fn open_queues_here(
    name: &str,
    kind: DeviceKind,
    mtu: u16,
    queues: u16,
) -> Result<Vec<Device>, TunError> {
    let first = open_here(name, kind, mtu, TunQueue::First)?;
    if first.kind() == DeviceKind::Plain {
        return Ok(vec![first]);
    }
    // Before a second queue exists to be chosen.
    queues::spread(first.as_fd()).map_err(|source| trouble("spreading", name, source))?;
    let mut devices = vec![first];
    for _ in 1..queues {
        let (queue, offloads) = open_vnet(name, TunQueue::Further)?;
        let ifindex = devices.first().map_or(0, Device::ifindex);
        devices.push(Device { name: name.to_owned(), ifindex, offloads, queue });
    }
    Ok(devices)
}

fn open_here(name: &str, kind: DeviceKind, mtu: u16, queue: TunQueue) -> Result<Device, TunError> {
    let (queue, offloads) = match kind {
        DeviceKind::Vnet => open_vnet(name, queue)?,
        DeviceKind::Plain => open_plain(name)?,
        DeviceKind::Auto => match open_vnet(name, queue) {
            Ok(opened) => opened,
            Err(TunError::Kernel { source, .. }) if refused(&source) => open_plain(name)?,
            Err(error) => return Err(error),
        },
    };
    let because = |what| move |source| trouble(what, name, source);
    sys::set_mtu(name, mtu).map_err(because("setting the MTU of"))?;
    sys::set_queue_length(name, QUEUE_LENGTH).map_err(because("setting the queue length of"))?;
    sys::set_up(name).map_err(because("bringing up"))?;
    let ifindex = nix::net::if_::if_nametoindex(name)
        .map_err(|errno| trouble("finding the number of", name, errno.into()))?;
    Ok(Device { name: name.to_owned(), ifindex, offloads, queue })
}

fn open_vnet(name: &str, queue: TunQueue) -> Result<(Queue, Offloads), TunError> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open("/dev/net/tun")
        .map_err(|source| trouble("opening", name, source))?;
    sys::tun_with_vnet_header(&file, name, HEADROOM, queue)
        .map_err(|source| trouble("making", name, source))?;
    let offloads =
        best_offloads(&file).map_err(|source| trouble("setting the offloads of", name, source))?;
    Ok((Queue::Vnet(file), offloads))
}

/// Returns the best offloads that the kernel supports. Kernels before 6.2 do not know UDP
/// segmentation, and refuse the whole set.
fn best_offloads(file: &File) -> io::Result<Offloads> {
    use sys::offload::{CHECKSUM, TSO, USO};
    if sys::tun_set_offload(file, CHECKSUM | TSO | USO).is_ok() {
        return Ok(Offloads { checksum: true, tcp: true, udp: true });
    }
    sys::tun_set_offload(file, CHECKSUM | TSO)?;
    Ok(Offloads { checksum: true, tcp: true, udp: false })
}

fn open_plain(name: &str) -> Result<(Queue, Offloads), TunError> {
    let device = tun_tap::Iface::without_packet_info(name, tun_tap::Mode::Tun)
        .map_err(|source| trouble("making", name, source))?;
    fcntl(sys::descriptor(&device), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(|errno| trouble("preparing", name, errno.into()))?;
    Ok((Queue::Plain(device), Offloads::default()))
}

/// Returns whether the kernel does not support the device, rather than that the name is in use or
/// the caller is not root.
fn refused(error: &io::Error) -> bool {
    use nix::libc::{EINVAL, ENOTTY, EOPNOTSUPP};
    matches!(error.raw_os_error(), Some(EINVAL | ENOTTY | EOPNOTSUPP))
}

#[inline]
fn split(buffer: &[u8], bytes: usize) -> io::Result<(VnetHeader, usize)> {
    match (buffer.first_chunk::<HEADROOM>(), bytes.checked_sub(HEADROOM)) {
        (Some(header), Some(len)) => Ok((VnetHeader::from_bytes(header), len)),
        _ => Err(too_small()),
    }
}

#[cold]
fn too_small() -> io::Error {
    io::ErrorKind::InvalidInput.into()
}

fn trouble(what: &'static str, name: &str, source: io::Error) -> TunError {
    TunError::Kernel { what, name: name.to_owned(), source }
}
