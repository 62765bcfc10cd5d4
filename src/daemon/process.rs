//! Reads from `/proc` whether another process lives or is about to end.

use std::fs;

/// `PF_EXITING` of `include/linux/sched.h`.
const EXITING: u64 = 0x4;
/// SIGKILL in a set of signals, as `/proc` shows it: signal 1 is bit 0.
const KILL: u64 = 1 << 8;

/// Returns whether a process has been killed or is at its end, though it may still have something
/// open. Also true of one that does not exist.
pub(super) fn is_dying(pid: &str) -> bool {
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
    match (read("status"), read("stat")) {
        (Ok(status), Ok(stat)) => is_killed(&status) || is_exiting(&stat),
        (Err(_), _) | (_, Err(_)) => true,
    }
}

/// Returns whether a signal or a debugger has stopped a process.
pub(super) fn is_stopped(pid: &str) -> bool {
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may have anything in it.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

/// Returns whether a process is an egret that is not at its end.
pub(super) fn is_egret(process: u32) -> bool {
    let name = |process: &str| fs::read_to_string(format!("/proc/{process}/comm")).ok();
    // This process may have been called by another name, such as `egret-cni`.
    let is_one = |name: &str| name.trim_end() == env!("CARGO_PKG_NAME");
    let found = name(&process.to_string());
    let is_named =
        found.as_deref().is_some_and(is_one) || (found.is_some() && found == name("self"));
    is_named && !is_dying(&process.to_string())
}

/// Returns whether an egret that was killed still has something open: it exists, and is more than a
/// zombie.
pub(super) fn is_ending(process: u32) -> bool {
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}"));
    let (Ok(own), Ok(name)) = (fs::read_to_string("/proc/self/comm"), read("comm")) else {
        return false;
    };
    let is_dead = read("stat").is_ok_and(|stat| stat.contains(") Z"));
    let threads = fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
    own == name && is_dying(&process.to_string()) && (!is_dead || threads > 1)
}

/// Returns whether SIGKILL is pending. It is never handled, so it stays pending for as long as the
/// process exists.
fn is_killed(status: &str) -> bool {
    let pending = status.lines().filter_map(|line| {
        let (key, set) = line.split_once(':')?;
        matches!(key, "SigPnd" | "ShdPnd").then(|| u64::from_str_radix(set.trim(), 16).ok())?
    });
    pending.fold(0, |all, set| all | set) & KILL != 0
}

/// Returns whether the first thread is exiting, which ends only with the process.
fn is_exiting(stat: &str) -> bool {
    // The name in parentheses may have anything in it; state and six numbers are before the flags.
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6));
    flags.and_then(|flags| flags.parse::<u64>().ok()).is_some_and(|flags| flags & EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_lives_is_not_dying_and_one_that_was_killed_is() {
        assert!(!is_dying(&std::process::id().to_string()));
        assert!(!is_dying("unknown"));
        let mut command = Command::new("sleep");
        let mut child = command.arg("60").stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id().to_string();
        assert!(!is_dying(&pid));
        child.kill().unwrap();
        // As soon as it is killed, while it is a zombie, and after that.
        assert!(is_dying(&pid));
        let _ = child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
        assert!(is_dying(&pid));
        child.wait().unwrap();
        assert!(is_dying(&pid));
    }

    #[test]
    fn stopped_process_is_stopped_until_it_goes_on() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let send = |signal| nix::sys::signal::kill(pid, signal).unwrap();
        let wait = |flags| nix::sys::wait::waitpid(pid, Some(flags)).unwrap();
        assert!(!is_stopped(&pid.to_string()));
        send(nix::sys::signal::SIGSTOP);
        wait(nix::sys::wait::WaitPidFlag::WUNTRACED);
        assert!(is_stopped(&pid.to_string()));
        send(nix::sys::signal::SIGCONT);
        wait(nix::sys::wait::WaitPidFlag::WCONTINUED);
        assert!(!is_stopped(&pid.to_string()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_stopped("unknown"));
    }

    #[test]
    fn pending_signals_and_the_end_are_read_as_the_kernel_writes_them() {
        assert!(is_killed("Name:\tegret\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n"));
        assert!(is_killed("SigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n"));
        // SIGTERM is handled, and what is blocked is not pending.
        assert!(!is_killed("SigPnd:\t0\nShdPnd:\t0000000000004000\nSigBlk:\t0000000000000100\n"));
        assert!(is_exiting("7 (a) b) Z 1 7 7 0 -1 4195340 0 0"));
        assert!(!is_exiting("7 (egret) S 1 7 7 0 -1 4194560 0 0"));
    }
}
