//! Drops IPv6 packets from a task, in a row that names the task and the destination, and answers
//! them, so that a program that tries IPv6 first changes to IPv4 at once.

use super::arrival::device_of;
use super::context::Moment;
use super::observe::drops::DropKey;
use super::{Denial, Device, Reason, Verdict};
use crate::packet::ipv6::{Header, task_of, unreachable};
use crate::packet::{Protocol, VnetHeader};
use crate::vpc::{RuleRef, Snapshot, Task};
use std::net::{IpAddr, Ipv4Addr};

/// Drops an IPv6 packet. Only a task of the device gets an answer.
#[cold]
pub(super) fn refuse(
    moment: &Moment<'_>,
    device: Device,
    (bytes, vnet): (&[u8], VnetHeader),
    answer: &mut [u8],
) -> Verdict {
    let (reason, decided_by) = (Reason::Ipv6, RuleRef::Packet);
    let denial = Denial { reason, decided_by };
    let known = read(moment.snapshot, device, bytes);
    count(moment, device, denial, known);
    match known.and_then(|_| unreachable(bytes, vnet, answer)) {
        Some(len) => Verdict::Reply { len, reason, decided_by },
        None => denial.into(),
    }
}

/// Returns the task that sent a device's packet, which its IPv6 address names.
pub(super) fn sender(snapshot: &Snapshot, device: Device, bytes: &[u8]) -> Option<Task> {
    read(snapshot, device, bytes).map(|(task, _)| task)
}

/// Reads the header of a packet that a task of the device sent.
fn read(snapshot: &Snapshot, device: Device, bytes: &[u8]) -> Option<(Task, Header)> {
    let header = Header::parse(bytes)?;
    let task = snapshot.task(task_of(header.src)?)?;
    (device_of(snapshot, task) == Some(device)).then_some((*task, header))
}

fn count(moment: &Moment<'_>, device: Device, denial: Denial, known: Option<(Task, Header)>) {
    let unknown = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, Protocol::Other(0), 0);
    let service = known.map(|(task, _)| task.service);
    let mut key = DropKey::new(moment.snapshot.generation, device, service, denial, unknown);
    if let Some((task, Header { dst, protocol, port, .. })) = known {
        key.source = task.address;
        key.destination = IpAddr::V6(dst);
        key.protocol = protocol.number();
        key.port = port;
    }
    moment.tables.drops.count(moment.now, key);
}
