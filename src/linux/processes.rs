//! Finds processes by the network namespace that they are in, and ends them.

use super::Netns;
use crate::edge::is_hidden;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

/// A process in a namespace. Its descriptor never stands for another process that gets the same
/// number later.
#[derive(Debug)]
pub struct Process {
    descriptor: OwnedFd,
    /// The process id.
    pub pid: u32,
    /// Its command line, or its name in brackets.
    pub command: String,
    /// The position of its namespace in the list that was searched.
    pub namespace: usize,
}

/// The result of ending a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ended by SIGTERM.
    Terminated,
    /// It ended by SIGKILL.
    Killed,
    /// It still runs.
    Runs,
}

/// Lists the processes that are in namespaces, by process id; this process is left out.
///
/// # Errors
///
/// `/proc` cannot be read, or a namespace cannot be entered.
pub fn in_namespaces(namespaces: &[Netns]) -> io::Result<Vec<Process>> {
    let mut places = HashMap::new();
    for (position, netns) in namespaces.iter().enumerate() {
        match netns.run(|| place("thread-self")) {
            Ok(Some(own)) => drop(places.insert(own, position)),
            Ok(None) => {}
            // The file of a name that had no namespace yet when it was opened: no process is there.
            Err(error) if error.is_no_namespace() => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        found.extend(pid.and_then(|pid| process(pid, &places)));
    }
    found.sort_unstable_by_key(|process: &Process| process.pid);
    Ok(found)
}

/// Asks processes to end by SIGTERM, and ends by SIGKILL those that have not ended in time. Returns
/// the result for each.
#[must_use]
pub fn end(processes: &[Process], patience: Duration) -> Vec<Ending> {
    let mut endings = vec![Ending::Runs; processes.len()];
    for (signal, ending) in [(Signal::TERM, Ending::Terminated), (Signal::KILL, Ending::Killed)] {
        let all = processes.iter().enumerate().zip(&endings);
        let left = all.filter(|(_, ending)| **ending == Ending::Runs).map(|(process, _)| process);
        let left: Vec<(usize, &Process)> = left.collect();
        for (_, process) in &left {
            // A process that has ended meanwhile needs no signal.
            let _ = pidfd_send_signal(&process.descriptor, signal);
        }
        for position in wait(&left, patience) {
            if let Some(slot) = endings.get_mut(position) {
                *slot = ending;
            }
        }
    }
    endings
}

/// Waits for the end of processes, but not longer than `patience`. Returns the positions of those
/// that have ended.
fn wait(processes: &[(usize, &Process)], patience: Duration) -> Vec<usize> {
    let begun = Instant::now();
    let mut ended = Vec::new();
    let mut left = processes.to_vec();
    while !left.is_empty() {
        let rest = patience.saturating_sub(begun.elapsed());
        let is_over = have_ended(&left, rest);
        let (over, running): (Vec<_>, Vec<_>) =
            left.into_iter().zip(is_over).partition(|(_, over)| *over);
        ended.extend(over.into_iter().map(|((position, _), _)| position));
        left = running.into_iter().map(|(process, _)| process).collect();
        if rest.is_zero() {
            break;
        }
    }
    ended
}

/// Waits until one of the processes has ended, a signal comes or the time is over. Returns for each
/// whether it has ended.
fn have_ended(processes: &[(usize, &Process)], patience: Duration) -> Vec<bool> {
    let mut descriptors = Vec::new();
    for &(_, process) in processes {
        descriptors.push(PollFd::new(process.descriptor.as_fd(), PollFlags::POLLIN));
    }
    // If poll fails, none counts as ended.
    let _ = poll(&mut descriptors, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX));
    descriptors.iter().map(|descriptor| descriptor.any().unwrap_or(false)).collect()
}

/// Returns the process with an id, if it is in one of the namespaces.
fn process(pid: u32, places: &HashMap<u64, usize>) -> Option<Process> {
    if pid == std::process::id() {
        return None;
    }
    let own_place = || place(&pid.to_string());
    let namespace = *places.get(&own_place()?)?;
    let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let descriptor = pidfd_open(number, PidfdFlags::empty()).ok()?;
    // It may have ended before, and another process may have its id.
    if places.get(&own_place()?) != Some(&namespace) {
        return None;
    }
    Some(Process { descriptor, pid, command: command(pid), namespace })
}

/// Returns a number that identifies the network namespace of a process; `None` for one that has
/// ended.
///
/// It is the inode of a file that each network namespace has one of. The link of the namespace in
/// `/proc/PID/ns` is shown only to a process that has all capabilities of that one, which a lab has
/// not.
fn place(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/net/dev")).ok().map(|file| file.ino())
}

/// Returns the command line of a process on one line, without characters that a terminal does not
/// show: it may contain any bytes.
fn command(pid: u32) -> String {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let shown = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(is_hidden, " ");
        text.trim().to_owned()
    };
    let line = shown(&read("cmdline"));
    if line.is_empty() { format!("[{}]", shown(&read("comm"))) } else { line }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    /// Starts a shell that has printed a line, and waits for one that does not come.
    fn shell(script: &str) -> (Child, Process) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let own = HashMap::from([(place(&child.id().to_string()).unwrap(), 7)]);
        let process = process(child.id(), &own).unwrap();
        (child, process)
    }

    #[test]
    fn processes_end_by_the_signal_that_it_takes() {
        let (mut gentle, first) = shell("echo; read line");
        let (mut stubborn, second) = shell("trap '' TERM; echo; read line");
        assert_eq!((first.namespace, first.command.as_str()), (7, "sh -c echo; read line"));
        let endings = end(&[first, second], Duration::from_secs(1));
        assert_eq!(endings, [Ending::Terminated, Ending::Killed]);
        for child in [&mut gentle, &mut stubborn] {
            let _open = child.stdin.take();
            assert!(!child.wait().unwrap().success());
        }
    }

    #[test]
    fn a_process_that_has_ended_is_in_no_namespace() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(place(&pid.to_string()), None);
        assert!(process(std::process::id(), &HashMap::new()).is_none());
    }
}
