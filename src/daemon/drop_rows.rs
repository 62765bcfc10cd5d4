//! `egret drops`: the counters of engine, tc programs, devices and workers under names. The counts
//! that a reload or a removed task takes away are first kept by name.

use super::aside::aside;
use super::error::LabError;
use super::kept_drops::{Called, KeptDrops, NamedDrop, NamedRule, named_rule};
use super::link_drops::NearEnd;
use super::losses::Loss;
use super::running::Running;
use super::steer_drops::{self, Seen};
use crate::explain::{DropRow, Selection, SelectionError, service_name, unnamed_drop};
use crate::flow::Instant;
use crate::linux::worker::WorkerHandle;
use crate::linux::{SteerReason, clock};
use crate::packet::Protocol;
use crate::pipeline::{DeviceId, DropCount, DropKey, Reason};
use crate::vpc::{Generation, Snapshot};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A task's name: its service and number.
type TaskName = (String, u16);

impl Running {
    /// Lists the drops, the most packets first.
    pub async fn drop_rows(&mut self) -> Vec<DropRow> {
        let now = Instant(clock::now());
        self.count_drops(now).await;
        let listed = self.listed_drops();
        let mut rows = listed.rows(&self.snapshot(), now);
        let beyond = self.engine.drops().beyond_rows() + listed.beyond();
        if beyond > 0 {
            let rule = "more different drops than are listed".to_owned();
            rows.push(DropRow { rule, packets: beyond, ..unnamed_drop("(several)") });
        }
        rows.sort_by(|a, b| b.packets.cmp(&a.packets).then_with(|| a.reason.cmp(&b.reason)));
        rows
    }

    /// Returns the kept drops and those that are still counted.
    fn listed_drops(&self) -> KeptDrops {
        let mut listed = self.kept_drops.clone();
        let snapshot = self.snapshot();
        for (key, count) in self.engine.drops().rows() {
            add_drop(&mut listed, &self.configuration(key.generation, &snapshot), &key, &count);
        }
        let tasks = self.task_names();
        for (&(ifindex, reason), seen) in &self.steer_drops.seen {
            let task = tasks.get(&ifindex).cloned();
            add_steer_drop(&mut listed, reason, seen, task, self.device_at(ifindex).cloned());
        }
        for (end, seen) in self.link_drops.seen.values() {
            add_link_drop(&mut listed, end, seen);
        }
        for ((device, loss), seen) in &self.losses.seen {
            let tun = self.workers.get(device).map_or("a TUN", |worker| worker.device().name());
            add_loss(&mut listed, device, tun, *loss, seen);
        }
        listed
    }

    /// Lists the packets of all drops by device and reason, as [`Running::drop_rows`] does, without
    /// any names.
    pub(super) fn drops_by_device(&self) -> Vec<(DeviceId, Reason, u64)> {
        let (drops, snapshot) = (self.engine.drops().rows(), self.snapshot());
        let counted = drops.iter().filter_map(|(key, count)| {
            let then = self.configuration(key.generation, &snapshot);
            Some((device_of(key, &then)?, key.reason, count.packets))
        });
        let steered = self.steer_drops.seen.iter().filter_map(|(&(ifindex, reason), seen)| {
            Some((self.device_at(ifindex)?.clone(), steer_drops::reason(reason), seen.packets))
        });
        let lost = self.losses.seen.iter();
        let lost = lost.map(|((device, loss), seen)| (device.clone(), loss.reason(), seen.packets));
        self.kept_drops.packets().chain(counted).chain(steered).chain(lost).collect()
    }

    /// Returns the device with a number in the router namespace.
    fn device_at(&self, ifindex: u32) -> Option<&DeviceId> {
        let is_it = |(_, worker): &(&DeviceId, &WorkerHandle)| worker.device().ifindex() == ifindex;
        self.workers.iter().find(is_it).map(|(id, _)| id)
    }

    /// Keeps the drops of configurations before the committed one by name. No worker has a batch
    /// under those: `before` is the last of them, with the tasks that it had.
    pub(super) fn keep_earlier_drops(&mut self, before: &Arc<Snapshot>) {
        let committed = self.snapshot().generation;
        self.keep(before, |key| key.generation != committed);
    }

    /// Keeps the drops of a task that is removed; `before` still has it.
    pub(super) fn keep_drops_of_task(&mut self, before: &Arc<Snapshot>, address: Ipv4Addr) {
        let own = |key: &DropKey| key.source == address || key.destination == IpAddr::V4(address);
        self.keep(before, own);
    }

    /// Keeps the packets that the tc programs and the kernel dropped at the link of a task, where
    /// `address` is a task's, or of a namespace.
    pub(super) async fn keep_drops_at_link(
        &mut self,
        ifindex: u32,
        address: Option<Ipv4Addr>,
        last: &[(SteerReason, u64)],
    ) {
        let task = address.and_then(|address| self.tasks.get(&address));
        let task = task.map(|attachment| (attachment.service.clone(), attachment.number));
        let now = Instant(clock::now());
        for (reason, seen) in self.steer_drops.take(now, ifindex, last) {
            add_steer_drop(&mut self.kept_drops, reason, &seen, task.clone(), None);
        }
        self.count_link_drops(now).await;
        if let Some((end, seen)) = self.link_drops.take(ifindex) {
            add_link_drop(&mut self.kept_drops, &end, &seen);
        }
        self.kept_drops.make_room();
    }

    /// Ends the workers of a device and keeps the count of all packets lost there, those in its
    /// queues included. Nothing leads to the device from then on.
    pub(super) async fn keep_drops_of_device(
        &mut self,
        id: &DeviceId,
        worker: &mut WorkerHandle,
    ) -> Result<(), LabError> {
        match self.is_cut_off(id) {
            true => worker.abandon(),
            // It may take as long as a batch that hangs.
            false => aside(|| worker.stop()),
        }
        let (now, tun) = (Instant(clock::now()), worker.device().ifindex());
        let queue = self.router.transmit_drops(tun).await.ok();
        self.losses.update(now, id, &worker.stats(), queue);
        for (loss, seen) in self.losses.take(id) {
            add_loss(&mut self.kept_drops, id, worker.device().name(), loss, &seen);
        }
        let detached = self.steer.detach_tun(tun);
        let last = detached.as_deref().unwrap_or_default();
        for (reason, seen) in self.steer_drops.take(now, tun, last) {
            add_steer_drop(&mut self.kept_drops, reason, &seen, None, Some(id.clone()));
        }
        self.kept_drops.make_room();
        Ok(detached.map(drop)?)
    }

    fn keep(&mut self, before: &Arc<Snapshot>, wanted: impl Fn(&DropKey) -> bool) {
        for (key, count) in self.engine.drops().take(wanted) {
            let then = self.configuration(key.generation, before);
            add_drop(&mut self.kept_drops, &then, &key, &count);
        }
        self.kept_drops.make_room();
    }

    /// Returns `at_hand` if it has this number, otherwise the configuration of the history that
    /// does.
    fn configuration(&self, generation: Generation, at_hand: &Arc<Snapshot>) -> Arc<Snapshot> {
        if at_hand.generation == generation {
            return Arc::clone(at_hand);
        }
        self.history.load().of(generation).unwrap_or(at_hand).clone()
    }

    fn task_names(&self) -> BTreeMap<u32, TaskName> {
        let name = |a: &super::attachment::Attachment| (a.service.clone(), a.number);
        self.tasks.values().map(|attachment| (attachment.link.ifindex, name(attachment))).collect()
    }
}

/// Adds a row of the engine under the names that its configuration has.
pub(crate) fn add_drop(to: &mut KeptDrops, then: &Snapshot, key: &DropKey, count: &DropCount) {
    let (rule, called) = named_rule(key.decided_by, then);
    let known = !key.source.is_unspecified();
    let receiver = match key.destination {
        IpAddr::V4(address) => then.task(address),
        IpAddr::V6(_) => None,
    };
    let server = if receiver.is_some() { IpAddr::V4(key.source) } else { key.destination };
    let packet = DropRow {
        service: key.service.map(|service| service_name(then, service).to_owned()),
        task: then.task(key.source).or(receiver).map(|task| task.number),
        source: known.then_some(key.source),
        destination: known.then_some(key.destination),
        server: known.then_some(server),
        protocol: known.then(|| protocol(key)),
        port: (known && key.port > 0).then_some(key.port),
        ..unnamed_drop(key.reason.name())
    };
    let drop = NamedDrop { reason: key.reason, device: device_of(key, then), rule, packet };
    to.add(drop, called, count.packets, (count.first_seen, count.last_seen));
}

/// Returns the device where a packet was read, if this is the configuration that judged it.
fn device_of(key: &DropKey, then: &Snapshot) -> Option<DeviceId> {
    (then.generation == key.generation).then(|| DeviceId::of(then, key.device))
}

/// Keeps only the rows that a client asks for. A service that the lab no longer has is known by its
/// rows.
///
/// # Errors
/// A word that names nothing in the lab, nor in its drops.
pub(super) fn select(
    mut rows: Vec<DropRow>,
    selection: Selection,
    snapshot: &Snapshot,
) -> Result<Vec<DropRow>, SelectionError> {
    let has_drops = |name: &str, number: Option<u16>| {
        let is_of = |row: &DropRow| {
            row.service.as_deref() == Some(name) && (number.is_none() || row.task == number)
        };
        rows.iter().any(is_of)
    };
    let is_removed = |name: &str| !snapshot.parts().services.iter().any(|own| own.name == name);
    let removed = selection.service.as_deref().and_then(|word| {
        let (name, number) = word.split_once('/').map_or((word, None), |(n, t)| (n, Some(t)));
        let number = number.map(str::parse::<u16>).transpose().ok()?;
        // A removed service has tasks without drops, as one of the lab has.
        let has_drops = has_drops(name, number) || is_removed(name) && has_drops(name, None);
        has_drops.then(|| (name.to_owned(), number))
    });
    let mut filter = match removed {
        Some(_) => Selection { service: None, ..selection }.filter(snapshot)?,
        None => selection.filter(snapshot)?,
    };
    if let Some((service, task)) = removed {
        (filter.service, filter.task) = (Some(service), task);
    }
    rows.retain(|row| row.is_of(&filter));
    Ok(rows)
}

fn add_steer_drop(
    to: &mut KeptDrops,
    reason: SteerReason,
    seen: &Seen,
    task: Option<TaskName>,
    device: Option<DeviceId>,
) {
    let reason = steer_drops::reason(reason);
    let text = reason.stage().name().to_owned();
    let (service, task) = task.unzip();
    let packet = DropRow { service, task, ..unnamed_drop(reason.name()) };
    let drop = NamedDrop { reason, device, rule: NamedRule::Text(text.clone()), packet };
    to.add(drop, Called::text(text), seen.packets, (seen.first, seen.last));
}

fn add_link_drop(to: &mut KeptDrops, end: &NearEnd, seen: &Seen) {
    let (reason, text) = (Reason::LinkDropped, end.said());
    let (service, task) = end.task.clone().unzip();
    let packet = DropRow { service, task, ..unnamed_drop(reason.name()) };
    let drop = NamedDrop { reason, device: None, rule: NamedRule::Text(text.clone()), packet };
    to.add(drop, Called::text(text), seen.packets, (seen.first, seen.last));
}

fn add_loss(to: &mut KeptDrops, device: &DeviceId, tun: &str, loss: Loss, seen: &Seen) {
    let (reason, text) = (loss.reason(), loss.told_of(tun));
    let (rule, packet) = (NamedRule::Text(text.clone()), unnamed_drop(reason.name()));
    let drop = NamedDrop { reason, device: Some(device.clone()), rule, packet };
    to.add(drop, Called::text(text), seen.packets, (seen.first, seen.last));
}

fn protocol(key: &DropKey) -> String {
    /// Its number as a next header of IPv6.
    const ICMPV6: u8 = 58;
    match key.protocol {
        ICMPV6 if key.destination.is_ipv6() => "icmpv6".to_owned(),
        number => Protocol::from(number).to_string(),
    }
}
