//! Dead workers: those that have ended by themselves, and those that hang in a batch.
//!
//! A change of the configuration waits until no worker judges by the configuration before it. The
//! wait has a limit: a device whose worker hangs is cut off, so that nothing leaves by an earlier
//! verdict, until that batch ends after all.

use super::error::LabError;
use super::running::Running;
use crate::linux::epochs::Epoch;
use crate::linux::worker::LONGEST_BATCH;
use crate::pipeline::DeviceId;
use std::time::Duration;

/// The pause between two looks at a batch that does not end at once.
const LOOK: Duration = Duration::from_millis(1);
/// The number of looks without a pause: a batch ends within them, unless the machine is busy.
const AT_ONCE: usize = 1000;

impl Running {
    /// Waits until no worker is in a batch that began before now, and no packet is on its way by an
    /// entry of the flow cache that was used before. A batch is at most 64 packets, none of which
    /// waits for anything.
    ///
    /// # Errors
    /// A worker was in one batch for as long as [`LONGEST_BATCH`]. Its device is cut off, and later
    /// calls do not wait for it.
    pub(super) async fn quiesce(&mut self) -> Result<(), LabError> {
        if let Some(cache) = &self.cache {
            cache.quiesce();
        }
        let hanging = self.busy_after_the_limit().await;
        let first = hanging.first().map(|(id, _)| id.clone());
        // A device that cannot be cut off does not keep the others open.
        let mut cut_off = Ok(());
        for (id, then) in hanging {
            cut_off = cut_off.and(self.cut_off(id, then));
        }
        cut_off?;
        match first {
            None => Ok(()),
            Some(id) => Err(LabError::Hanging { device: self.device_name(&id) }),
        }
    }

    /// Returns whether a worker hangs, so that it may still begin flows by an earlier
    /// configuration.
    pub(super) fn has_hanging_worker(&self) -> bool {
        !self.hanging.since.is_empty()
    }

    /// Returns whether a device is cut off.
    pub(super) fn is_cut_off(&self, id: &DeviceId) -> bool {
        self.hanging.since.contains_key(id)
    }

    /// Counts the workers of a device that have ended or hang.
    pub(super) fn dead_workers(&self, id: &DeviceId) -> usize {
        let Some(worker) = self.workers.get(id) else { return 0 };
        let stats = worker.stats();
        let hanging = self.hanging.since.get(id).map_or(0, |then| stats.epochs.busy_since(then));
        stats.deaths().count() + hanging
    }

    /// Returns the devices with a batch that ran when this was called and does not end, each with
    /// that batch.
    async fn busy_after_the_limit(&self) -> Vec<(DeviceId, Epoch)> {
        let then = |(id, worker): (&DeviceId, &crate::linux::WorkerHandle)| {
            (id.clone(), worker.stats().epochs.now(), worker.stats())
        };
        let workers = self.workers.iter().filter(|(id, _)| !self.is_cut_off(id));
        let mut busy: Vec<_> = workers.map(then).collect();
        // Looks are counted, not time: a process that is stopped for a while has not waited.
        let pauses = LONGEST_BATCH.as_millis() / LOOK.as_millis();
        for look in 0..AT_ONCE as u128 + pauses {
            busy.retain(|(_, then, stats)| !stats.epochs.grace_period_is_over(then));
            if busy.is_empty() {
                break;
            }
            if look < AT_ONCE as u128 {
                std::thread::yield_now();
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(LOOK).await;
            }
        }
        busy.into_iter().map(|(id, then, _)| (id, then)).collect()
    }

    /// Cuts a device off: drops all that its workers still write, to tasks as well.
    fn cut_off(&mut self, id: DeviceId, then: Epoch) -> Result<(), LabError> {
        if let Some(worker) = self.workers.get(&id) {
            self.steer.cut_off(worker.device().name())?;
        }
        self.hanging.since.insert(id, then);
        Ok(())
    }

    /// Describes how a device's workers ended or hang, and what to do.
    pub(super) fn obituary(&self, id: &DeviceId) -> String {
        let (device, worker) = (self.device_name(id), self.workers.get(id));
        let death = worker.and_then(|worker| worker.stats().deaths().last());
        match death {
            Some(death) => format!(
                "a worker of {device} has ended: {death}; packets that come to it are lost. Take \
                 the lab down with `egret down` and bring it up again"
            ),
            None => LabError::Hanging { device }.to_string(),
        }
    }

    pub(super) fn device_name(&self, id: &DeviceId) -> String {
        self.workers.get(id).map_or_else(String::new, |worker| worker.device().name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::config::Lab;
    use crate::daemon::Running;
    use crate::daemon::reload::Request;
    use crate::linux::{Netns, SteerReason, WorkerStats};
    use std::net::{Ipv4Addr, TcpStream, UdpSocket};
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);
    /// Limits the waits that would otherwise not end.
    const PATIENCE: Duration = Duration::from_secs(60);
    /// Limits the waits where no answer is expected.
    const ANSWER: Duration = Duration::from_secs(2);

    /// Starts a lab of its own; `None` without root.
    async fn lab(name: &str) -> Option<Running> {
        if !crate::linux::root::is_root() {
            return None;
        }
        let text = include_str!("../../examples/minimal.toml");
        let name = format!("workers-{name}-{}", std::process::id());
        let lab = Lab::parse("lab.toml", text).unwrap().with_name(name);
        Some(Running::start(lab, None, &mut |_| {}).await.unwrap())
    }

    /// Returns the figures of the workers of task 1's ENI.
    fn stats(running: &Running) -> Arc<WorkerStats> {
        let device = running.tasks.values().next().unwrap().device.clone().unwrap();
        running.workers[&device].stats()
    }

    /// Has task 1 send a packet.
    fn send(running: &Running) {
        let namespace = &running.tasks.values().next().unwrap().namespace;
        let task = Netns::open(namespace).unwrap();
        let sent = task.run(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", (DB, 5432)));
        sent.unwrap().unwrap();
    }

    /// Returns whether the database answers task 1.
    fn answers(running: &Running) -> bool {
        let namespace = &running.tasks.values().next().unwrap().namespace;
        let task = Netns::open(namespace).unwrap();
        let connect = || TcpStream::connect_timeout(&(DB, 5432).into(), ANSWER).is_ok();
        task.run(connect).unwrap()
    }

    /// Has task 1 send IPv6, which its ENI's device answers.
    fn send_to_be_answered(running: &Running) {
        let namespace = &running.tasks.values().next().unwrap().namespace;
        let task = Netns::open(namespace).unwrap();
        let send = || UdpSocket::bind("[::]:0").unwrap().send_to(b"x", "[2001:db8::1]:9");
        task.run(send).unwrap().unwrap();
    }

    /// Counts what the device of task 1's ENI wrote while it was cut off.
    fn cut_off(running: &Running) -> u64 {
        let counters = running.steer.counters().unwrap();
        counters.iter().filter(|(_, why, _)| *why == SteerReason::CutOff).map(|drop| drop.2).sum()
    }

    async fn until(mut is_so: impl FnMut() -> bool) {
        let waits = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap();
    }

    async fn eni(running: &mut Running) -> (Option<String>, usize) {
        let row = running.eni_rows().await.remove(0);
        (row.state, row.dead_workers)
    }

    /// Runs a round of housekeeping, and returns what it reports.
    async fn tick(running: &mut Running) -> Vec<String> {
        let mut said = Vec::new();
        running.tick(&mut |word| said.push(word.to_owned())).await;
        said
    }

    async fn stop(mut running: Running) {
        tokio::task::spawn_blocking(move || running.stop()).await.unwrap().unwrap();
    }

    fn dead(count: usize) -> (Option<String>, usize) {
        (Some("dead".to_owned()), count)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_that_dies_in_a_batch_holds_up_nothing_and_its_eni_is_reported_as_dead() {
        let Some(mut running) = lab("died").await else { return };
        let stats = stats(&running);
        stats.in_batch.arm(|| panic!("a test wants this worker to die"));
        send(&running);
        until(|| stats.deaths().count() == 1).await;
        tokio::time::timeout(PATIENCE, running.quiesce()).await.unwrap().unwrap();
        assert_eq!(eni(&mut running).await, dead(1));
        let said = tick(&mut running).await;
        let device = running.eni_rows().await.remove(0).device;
        assert!(said[0].starts_with(&format!("a worker of {device} has ended: it panicked")));
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(tick(&mut running).await, [""; 0], "once");
        stop(running).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_that_hangs_in_a_batch_is_waited_for_once_and_its_eni_is_cut_off_until_it_goes_on()
     {
        let Some(mut running) = lab("hung").await else { return };
        let stats = stats(&running);
        let ((hangs, hanging), (goes_on, go_on)) = (channel::<()>(), channel::<()>());
        stats.in_batch.arm(move || {
            drop(hangs);
            let _ = go_on.recv();
        });
        send(&running);
        tokio::task::spawn_blocking(move || hanging.recv()).await.unwrap().unwrap_err();
        let device = running.eni_rows().await.remove(0).device;
        let reload = |running: &mut Running| {
            let more = "[[internet_host]]\nname = \"other\"\naddress = \"203.0.113.99\"\n";
            let text = format!("{}\n{more}", running.lab.source());
            let (file, keeps_name) = ("lab.toml".to_owned(), true);
            Request { file, text, time_scale: None, dry_run: false, before: None, keeps_name }
        };
        let request = reload(&mut running);
        let refused = tokio::time::timeout(PATIENCE, running.reload(&request, &mut |_| {})).await;
        let refused = refused.unwrap().unwrap_err().to_string();
        assert!(refused.starts_with(&format!("a worker of {device} has been in one batch")));
        assert_eq!(eni(&mut running).await, dead(1));
        assert_eq!(tick(&mut running).await.len(), 1);
        // The next change does not wait for it, and other devices are not held up.
        running.reload(&request, &mut |_| {}).await.unwrap();
        assert!(!answers(&running), "it is cut off");
        drop(goes_on);
        until(|| stats.reads.load(Relaxed) > 0).await;
        assert!(!answers(&running), "what was judged by the configuration before does not leave");
        let before = cut_off(&running);
        send_to_be_answered(&running);
        until(|| cut_off(&running) > before).await;
        let said = tick(&mut running).await;
        assert!(said[0].starts_with(&format!("the worker of {device} goes on")), "{said:?}");
        assert_eq!(eni(&mut running).await, (None, 0));
        let before = cut_off(&running);
        assert!(answers(&running));
        assert_eq!(cut_off(&running), before);
        stop(running).await;
    }

    /// The threads of a lab that is taken down may be anywhere.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_that_hangs_does_not_keep_the_lab_from_being_taken_down() {
        let Some(running) = lab("down").await else { return };
        let stats = stats(&running);
        let ((hangs, hanging), (goes_on, go_on)) = (channel::<()>(), channel::<()>());
        stats.in_batch.arm(move || {
            drop(hangs);
            let _ = go_on.recv();
        });
        send(&running);
        tokio::task::spawn_blocking(move || hanging.recv()).await.unwrap().unwrap_err();
        tokio::time::timeout(PATIENCE, stop(running)).await.unwrap();
        drop(goes_on);
    }
}
