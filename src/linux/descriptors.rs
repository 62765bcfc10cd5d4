//! The descriptors of this process: their limit, which is raised at start-up, and the parts of it
//! that clients may take. The rest is for the lab itself, so that a task or a client cannot take
//! the descriptors that control needs.

use super::sys;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The limits that this process was started with, once they are raised: programs that it starts get
/// these.
static BEFORE: OnceLock<(u64, u64)> = OnceLock::new();

/// The number of descriptors that the lab itself takes, beside its clients.
static OWN: AtomicUsize = AtomicUsize::new(0);

/// The number of connections that each kind of client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Connections of tasks, to all listeners of the lab together.
    pub listeners: usize,
    /// Connections of tasks to their resolver and metadata. Connections to listeners do not use
    /// these up.
    pub services: usize,
    /// Connections of clients of the App Runner API.
    pub api: usize,
    /// Connections of clients of the control socket.
    pub control: usize,
}

impl Shares {
    /// Returns the shares of the present limit, less the descriptors of the lab itself.
    pub fn now() -> Self {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        Self::of(usize::try_from(soft).unwrap_or(usize::MAX).saturating_sub(OWN.load(Relaxed)))
    }

    /// Divides a limit: half of the descriptors are for tasks. A connection to the control socket
    /// takes two.
    fn of(limit: usize) -> Self {
        let eighth = limit / 8;
        Self {
            listeners: (eighth * 3).clamp(1, 1 << 16),
            services: eighth.clamp(1, 1 << 12),
            api: eighth.clamp(1, 128),
            control: eighth.clamp(4, 512),
        }
    }
}

/// Sets so many descriptors aside for the lab itself. Must be called before clients are served.
pub fn set_aside(own: usize) {
    OWN.store(own, Relaxed);
}

/// Raises the limit as far as it may be raised. Must be called once, before a lab is started.
///
/// # Errors
/// The kernel refuses; the limit then stays the same.
pub fn raise() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    BEFORE.get_or_init(|| (soft, hard));
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Gives a program the limit that this process was started with: some programs look at every
/// descriptor that they could have.
pub fn restore(command: &mut Command) {
    if let Some(&(soft, hard)) = BEFORE.get() {
        sys::limit_descriptors(command, soft, hard);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_program_has_the_limit_that_egret_was_started_with() {
        // The only unit test that may raise the limit: it is that of the whole process.
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard - 1, hard).unwrap();
        raise().unwrap();
        let raised = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert_eq!(raised, (hard, hard));
        let mut program = Command::new("sh");
        program.args(["-c", "ulimit -S -n"]);
        restore(&mut program);
        let said = program.output().unwrap().stdout;
        assert_eq!(String::from_utf8(said).unwrap().trim(), (hard - 1).to_string());
    }

    #[test]
    fn shares_leave_control_and_the_lab_their_part_whatever_the_limit() {
        for limit in [64, 256, 1024, 4096, 1 << 20] {
            let Shares { listeners, services, api, control } = Shares::of(limit);
            let all = listeners + services + api + 2 * control;
            assert!(all <= limit - limit / 8, "{limit}");
            assert!(listeners > 0 && services > 0 && api > 0 && control > 0, "{limit}");
        }
        let most = Shares { listeners: 1 << 16, services: 1 << 12, api: 128, control: 512 };
        assert_eq!(Shares::of(1 << 20), most);
    }
}
