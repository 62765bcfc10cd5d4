//! The descriptors of this process: their limit, which is raised at start-up, and the parts of it that clients may take. What is
//! left is for the lab itself, so that a task or a client cannot take the descriptors that control needs.

use super::sys;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::process::Command;
use std::sync::OnceLock;

/// The limits that this process was started with, once they are raised: those of its programs.
static BEFORE: OnceLock<(u64, u64)> = OnceLock::new();

/// How many connections each kind of client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Tasks, to all listeners of the lab together.
    pub tasks: usize,
    /// Clients of the App Runner API.
    pub api: usize,
    /// Clients of the control socket.
    pub control: usize,
}

impl Shares {
    /// Returns the shares of the limit as it is now.
    pub fn now() -> Self {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        Self::of(usize::try_from(soft).unwrap_or(usize::MAX))
    }

    /// Half of the descriptors are for tasks. A connection to the control socket takes two.
    fn of(limit: usize) -> Self {
        let eighth = limit / 8;
        Self {
            tasks: (limit / 2).clamp(1, 1 << 16),
            api: eighth.clamp(1, 128),
            control: eighth.clamp(4, 512),
        }
    }
}

/// Raises the limit as far as it may be raised. To be called once, before a lab is started.
///
/// # Errors
/// When the kernel refuses; the limit is what it was then.
pub fn raise() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    BEFORE.get_or_init(|| (soft, hard));
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Gives a program the limit that this process was started with: some look at every descriptor that they could have.
pub fn restore(command: &mut Command) {
    if let Some(&(soft, hard)) = BEFORE.get() {
        sys::limit_descriptors(command, soft, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_control_and_the_lab_their_part_whatever_the_limit() {
        for limit in [64, 256, 1024, 4096, 1 << 20] {
            let Shares { tasks, api, control } = Shares::of(limit);
            assert!(tasks + api + 2 * control <= limit - limit / 8, "{limit}");
            assert!(tasks > 0 && api > 0 && control > 0, "{limit}");
        }
        let most = Shares { tasks: 1 << 16, api: 128, control: 512 };
        assert_eq!(Shares::of(1 << 20), most);
    }
}
