//! Checks for the descriptors and threads that a lab needs before anything is made, so that a lab
//! that cannot start fails with one clear error and leaves nothing behind.

use crate::config::Lab;
use crate::linux::descriptors;
use nix::sys::resource::{Resource, getrlimit};
use std::io;
use std::sync::mpsc;
use std::thread::Builder;

/// Descriptors of a lab without devices and listeners, with some to spare for control.
const DESCRIPTORS: u64 = 128;
/// Descriptors of a device: its queues, its links, and the descriptors that its worker polls.
const OF_DEVICE: u64 = 12;
/// The name of the threads that are started as a test.
const NAME: &str = "egret-looks";
/// Threads of a lab without devices.
const THREADS: usize = 16;

/// The resource that the box has too little of.
#[derive(Debug, thiserror::Error)]
pub enum Scarce {
    /// Descriptors.
    #[error(
        "lab `{lab}` needs about {needed} descriptors, and the limit is {limit}: raise it with `ulimit -n {needed}`, or with \
         LimitNOFILE= of the service"
    )]
    Descriptors {
        /// The lab.
        lab: String,
        /// The number that the lab needs.
        needed: u64,
        /// The limit.
        limit: u64,
    },
    /// Threads.
    #[error(
        "lab `{lab}` needs about {needed} threads, and the kernel gives {given}: {source}; raise pids.max of the cgroup, \
         TasksMax= of the service, or /proc/sys/kernel/threads-max"
    )]
    Threads {
        /// The lab.
        lab: String,
        /// The number that the lab needs.
        needed: usize,
        /// The number that the kernel gave.
        given: usize,
        /// The kernel's error for one more.
        source: io::Error,
    },
}

/// Checks that there are descriptors and threads for a lab.
///
/// # Errors
/// The resource that is too scarce.
pub fn check(lab: &Lab) -> Result<(), Scarce> {
    let needed = needed_by(lab);
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    if limit < needed {
        return Err(Scarce::Descriptors { lab: lab.name.clone(), needed, limit });
    }
    descriptors::set_aside(usize::try_from(needed).unwrap_or(usize::MAX));
    let needed = THREADS + devices(lab);
    start(needed).map_err(|(given, source)| Scarce::Threads {
        lab: lab.name.clone(),
        needed,
        given,
        source,
    })
}

fn devices(lab: &Lab) -> usize {
    // One is App Runner's own.
    lab.plan.enis.len() + lab.spec.nat_gateways.len() + 1
}

fn needed_by(lab: &Lab) -> u64 {
    let spec = &lab.spec;
    let resources = spec.resources.iter().map(|resource| resource.listen.len());
    let hosts = spec.internet_hosts.iter().map(|host| host.listen.len());
    let listeners: usize = resources.chain(hosts).sum();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let of_devices = count(devices(lab)).saturating_mul(OF_DEVICE);
    DESCRIPTORS.saturating_add(of_devices).saturating_add(count(listeners))
}

/// Starts so many threads at once, and ends them. If one cannot be started, returns how many could,
/// and why.
fn start(needed: usize) -> Result<(), (usize, io::Error)> {
    let (mut threads, mut ends) = (Vec::new(), Vec::new());
    let mut outcome = Ok(());
    for given in 0..needed {
        let (end, ended) = mpsc::channel::<()>();
        match Builder::new().name(NAME.to_owned()).spawn(move || ended.recv()) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                outcome = Err((given, error));
                break;
            }
        }
        ends.push(end);
    }
    drop(ends);
    for thread in threads {
        // They only wait.
        let _ = thread.join();
    }
    outcome
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn larger_labs_need_more_descriptors() {
        let lab = |text: &str| Lab::parse("lab.toml", text).unwrap();
        let small = needed_by(&lab(include_str!("../../examples/minimal.toml")));
        let large = needed_by(&lab(include_str!("../../examples/three-az.toml")));
        assert!(DESCRIPTORS < small && small < large && large < 1024, "{small} {large}");
    }

    #[test]
    fn threads_that_are_looked_for_end() {
        assert!(start(20).is_ok());
        let named = |task: io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
        };
        let is_there = || {
            std::fs::read_dir("/proc/self/task").unwrap().map(named).any(|name| name.trim() == NAME)
        };
        // The kernel still lists a thread for a moment after the join.
        let begun = std::time::Instant::now();
        while is_there() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(60), "they go on");
        }
    }
}
