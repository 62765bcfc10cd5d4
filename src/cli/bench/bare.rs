//! The cost of any user-space NAT on this machine: egret's own worker loop over a TUN, and nothing
//! decided. It has no policy, no flows and no ports; it translates one address to the other, and
//! back.

use crate::linux::{Action, Device, DeviceKind, Judge, Netns, TunError, Worker, WorkerHandle};
use crate::packet::{Packet, Rewrite, VnetHeader};
use std::io;
use std::net::Ipv4Addr;

/// The link MTU, as everywhere in the benchmark.
const MTU: u16 = 1500;

/// The reason why the loop does not run.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// The device could not be made.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// The thread could not start.
    #[error("a thread for the bare TUN: {0}")]
    Thread(#[from] io::Error),
}

/// Starts the loop on a device of its own: packets from `inside` leave from `outside`, and their
/// replies are translated back.
pub(super) fn start(
    netns: &Netns,
    device: &str,
    inside: Ipv4Addr,
    outside: Ipv4Addr,
) -> Result<WorkerHandle, BareError> {
    let device = Device::open(netns, device, DeviceKind::Auto, MTU)?;
    Ok(Worker::spawn("bare", vec![device], || Bare { inside, outside })?)
}

struct Bare {
    inside: Ipv4Addr,
    outside: Ipv4Addr,
}

impl Judge for Bare {
    fn begin_batch(&mut self) {}

    #[inline]
    fn judge(&mut self, packet: &mut [u8], vnet: VnetHeader, _reply: &mut [u8]) -> Action {
        let len = packet.len();
        let Ok(mut packet) = Packet::parse(packet, vnet) else { return Action::Drop };
        let tuple = packet.tuple();
        let (src, dst) = if tuple.src == self.inside {
            (self.outside, tuple.dst)
        } else if tuple.dst == self.outside {
            (tuple.src, self.inside)
        } else {
            return Action::Drop;
        };
        let (sport, dport) = (tuple.sport, tuple.dport);
        Rewrite { src, dst, sport, dport, decrement_ttl: false }.apply(&mut packet);
        Action::Forward { len, vnet: packet.vnet() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::packet::{TcpFlags, builder};
    use std::net::SocketAddrV4;

    #[test]
    fn one_address_for_the_other_and_back() {
        let (task, nat) = (Ipv4Addr::new(100, 64, 0, 2), Ipv4Addr::new(10, 0, 1, 4));
        let server = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 10), 443);
        let mut bare = Bare { inside: task, outside: nat };
        let mut turned = |from: SocketAddrV4, to: SocketAddrV4| {
            let mut bytes = builder::tcp(from, to, TcpFlags::SYN, 1, 0, &[]);
            let action = bare.judge(&mut bytes, VnetHeader::default(), &mut []);
            let packet = Packet::parse(&mut bytes, VnetHeader::default()).unwrap();
            (action != Action::Drop).then(|| (packet.src(), packet.dst()))
        };
        let inside = SocketAddrV4::new(task, 4000);
        assert_eq!(turned(inside, server), Some((nat, *server.ip())));
        assert_eq!(turned(server, SocketAddrV4::new(nat, 4000)), Some((*server.ip(), task)));
        assert_eq!(turned(server, inside), None);
    }
}
