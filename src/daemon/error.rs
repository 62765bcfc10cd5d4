//! The errors of a lab that does not start or cannot be changed.

use super::authority::AuthorityError;
use super::foreign::AttachError;
use super::scarce::Scarce;
use super::state::StateError;
use crate::config::{Diagnostics, known};
use crate::linux::SteerError;
use crate::linux::exec;
use crate::linux::link::LinkError;
use crate::linux::listen::ListenError;
use crate::linux::netns::NetnsError;
use crate::linux::tun::TunError;
use crate::linux::worker::LONGEST_BATCH;
use ipnetwork::Ipv4Network;
use std::io;

/// The reason why a lab did not start or could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The process is not root.
    #[error(
        "a lab needs root, for network namespaces, TUN devices and tc programs: run it with sudo"
    )]
    NotRoot,
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A TUN device.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// The tc programs.
    #[error(transparent)]
    Steer(#[from] SteerError),
    /// A namespace that cannot be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A program to run in a namespace.
    #[error(transparent)]
    Exec(#[from] exec::ExecError),
    /// The threads of the services that tasks can reach.
    #[error("starting the threads that answer tasks: {0}")]
    Threads(io::Error),
    /// The box has too little of something.
    #[error(transparent)]
    Scarce(#[from] Scarce),
    /// A worker's thread could not start.
    #[error("starting the worker of {device}: {source}")]
    Worker {
        /// The device.
        device: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// A worker has been in one batch for too long.
    #[error(
        "a worker of {device} has been in one batch of packets for {} s, which is a bug in egret: what it writes is dropped until it goes on; if it does not, take the lab down with `egret down` and bring it up again",
        LONGEST_BATCH.as_secs()
    )]
    Hanging {
        /// The device.
        device: String,
    },
    /// The lab has no room for what is to be made.
    #[error("{0}")]
    Config(Diagnostics),
    /// The lab of a killed process cannot become this one. Nothing of it was changed.
    #[error(
        "cannot resume the lab of a killed run: {0}; it is left as it was, and its offloaded flows end after its offload_grace: bring it up with a file that it can become, or clear it with `egret down`"
    )]
    NotResumed(String),
    /// A step failed while the lab of a killed process was being resumed.
    #[error(
        "cannot resume the lab of a killed run: {0}; its namespaces and tasks stay, and no packet crosses: bring it up to try again, or clear it with `egret down`"
    )]
    HalfResumed(Box<LabError>),
    /// The thread that waits for the lab's name ended.
    #[error("taking hold of the lab: {0}")]
    Hold(io::Error),
    /// The handover could not be written.
    #[error("writing the files for the next process: {0}")]
    Leave(#[from] io::Error),
    /// No such service.
    #[error("lab `{lab}` has no service `{name}`{}", it_has(name, known))]
    UnknownService {
        /// The lab.
        lab: String,
        /// The name that was asked for.
        name: String,
        /// The services of the lab.
        known: Vec<String>,
    },
    /// App Runner runs no task of a service of its API.
    #[error(
        "App Runner runs no task of service `{service}`, which is paused or still starting, or failed to start ({why}): `egret services {service}` shows its operations"
    )]
    AtRest {
        /// The service.
        service: String,
        /// Its status, and what its log says.
        why: String,
    },
    /// No such task.
    #[error("service `{service}` has no task {number}; `egret ps` lists the tasks")]
    UnknownTask {
        /// The service.
        service: String,
        /// The task.
        number: u16,
    },
    /// A step failed, and some of what was done before it could not be undone.
    #[error("{error}; and this could not be undone: {}", left.join("; "))]
    NotUndone {
        /// Why the step failed.
        error: Box<LabError>,
        /// The parts that could not be undone, and why.
        left: Vec<String>,
    },
    /// Some of a task could not be removed.
    #[error(
        "task {number} of service `{service}` is removed in part only: `egret task remove {service}/{number}` removes the rest"
    )]
    HalfRemoved {
        /// The service.
        service: String,
        /// The task.
        number: u16,
    },
    /// A task could not be repaired.
    #[error("{task} is still broken: {}; {way_out}", faults.join("; "))]
    StaysBroken {
        /// The task.
        task: String,
        /// The parts that are broken.
        faults: Vec<String>,
        /// The way to fix them.
        way_out: String,
    },
    /// A service has no free task number.
    #[error("service `{0}` has 65535 tasks, the maximum: remove one first")]
    ServiceFull(String),
    /// There is no ENI, and no App Runner address, to attach a task to.
    #[error(
        "task {number} of service `{service}` has no ENI or public address to send from: give its vpc_connector a subnet, or set egress"
    )]
    NoDevice {
        /// The service.
        service: String,
        /// The task.
        number: u16,
    },
    /// The task pool has no free address.
    #[error(
        "the task pool {pool} has no address left: set a larger task_cidr in the lab file{}",
        soon(*resting)
    )]
    PoolEmpty {
        /// The pool.
        pool: Ipv4Network,
        /// The number of free addresses that still rest after use.
        resting: usize,
    },
}

impl LabError {
    /// Adds the parts that could not be undone; this error comes first.
    #[must_use]
    pub(super) fn and_left(self, more: impl IntoIterator<Item = String>) -> Self {
        let more: Vec<String> = more.into_iter().collect();
        if more.is_empty() {
            return self;
        }
        if let Self::NotUndone { error, mut left } = self {
            left.extend(more);
            return Self::NotUndone { error, left };
        }
        Self::NotUndone { error: Box::new(self), left: more }
    }
}

/// Describes the leftovers of a failed clean-up; `None` if it succeeded.
pub(super) fn left(what: &str, done: Result<(), impl std::fmt::Display>) -> Option<String> {
    done.err().map(|error| format!("{what}: {error}"))
}

fn soon(resting: usize) -> String {
    match resting {
        0 => String::new(),
        n => format!(", or try again in a second or two, when {n} will have rested after use"),
    }
}

fn it_has(word: &str, names: &[String]) -> String {
    known(word, "it has", &names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_comes_first_and_what_is_left_after_it() {
        let first = || LabError::ServiceFull("web".to_owned());
        assert_eq!(first().and_left([]).to_string(), first().to_string());
        let text = "writing left.next: Is a directory";
        let failed = || left("the state directory", Err(text));
        let twice = first().and_left(failed()).and_left(left("task web/2", Err("busy")));
        let said = format!(
            "{}; and this could not be undone: the state directory: {text}; task web/2: busy",
            first()
        );
        assert_eq!(twice.to_string(), said);
        assert!(left("nothing", Ok::<_, &str>(())).is_none());
    }
}
