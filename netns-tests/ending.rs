//! A signal ends `egret up` in any phase, and the lab is cleaned up.

use crate::lifecycle::{LAB, leftovers};
use crate::support::lab::{Lab, both_streams, can_run, finish};
use egret::linux::netns;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The number of tasks, which takes long enough to create for a signal to arrive meanwhile.
const TASKS: usize = 600;

fn with_tasks(text: &str, count: usize) -> String {
    text.replace("name = \"web\"", &format!("name = \"web\"\ntasks = {count}"))
}

/// A separate `egret up`, which may not get ready.
struct Starting {
    name: String,
    up: Child,
    _file: tempfile::NamedTempFile,
}

impl Starting {
    fn new(name: &str, text: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        let name = format!("t{}-{name}", std::process::id());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("lab = \"{name}\"\n{text}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.arg("up").arg(file.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        prepare(&mut command);
        let up = command.spawn().unwrap();
        Self { name, up, _file: file }
    }

    /// Waits until the first task exists.
    fn has_begun(&mut self) {
        while !netns::exists(&format!("{}-web-1", self.name)) {
            assert!(self.up.try_wait().unwrap().is_none(), "it has ended");
            std::thread::yield_now();
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.up.id()).unwrap()), signal).unwrap();
    }

    fn end(self) -> (String, Output) {
        (self.name, finish(self.up))
    }
}

/// Lists what is left of a lab by its name.
fn left(name: &str) -> Vec<String> {
    let names = netns::list().unwrap();
    let mut left: Vec<String> =
        names.into_iter().filter(|n| n.starts_with(&format!("{name}-"))).collect();
    let state = Path::new("/run/egret").join(name);
    left.extend(state.exists().then(|| state.display().to_string()));
    left
}

#[test]
fn signal_during_the_start_ends_it_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut starting = Starting::new("start", &with_tasks(LAB, TASKS), |_| {});
        starting.has_begun();
        starting.signal(signal);
        let (name, output) = starting.end();
        let said = both_streams(&output);
        assert_eq!(output.status.code(), Some(0), "{signal}: {said}");
        assert!(!said.contains("ready: "), "{signal}: {said}");
        assert!(said.ends_with(&format!("lab `{name}` is down\n")), "{signal}: {said}");
        assert_eq!(left(&name), [""; 0], "{signal}");
    }
}

/// The second signal may arrive before or after everything is taken down: the process ends, and
/// prints what it has left.
#[test]
fn second_signal_during_the_start_ends_it_at_once() {
    if !can_run() {
        return;
    }
    let mut starting = Starting::new("twice", &with_tasks(LAB, TASKS), |_| {});
    starting.has_begun();
    starting.signal(Signal::SIGINT);
    // The first signal has been handled once the lab is being taken down.
    while netns::exists(&format!("{}-web-1", starting.name))
        && starting.up.try_wait().unwrap().is_none()
    {
        std::thread::yield_now();
    }
    // On a busy machine the first signal may have ended it by then.
    if starting.up.try_wait().unwrap().is_none() {
        starting.signal(Signal::SIGINT);
    }
    let (name, output) = starting.end();
    let said = both_streams(&output);
    match output.status.code() {
        Some(0) => assert!(said.ends_with("is down\n"), "{said}"),
        Some(1) => assert!(said.contains(&format!("`egret down --lab {name}` clears")), "{said}"),
        other => panic!("{other:?}: {said}"),
    }
    let mut down = Command::new(env!("CARGO_BIN_EXE_egret"));
    down.args(["down", "--lab", &name]).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert!(finish(down.spawn().unwrap()).status.success());
    assert_eq!(left(&name), [""; 0]);
}

/// timeout(1) sends such signals.
#[test]
fn two_sigterms_that_come_together_are_one() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    lab.signal(Signal::SIGTERM);
    lab.signal(Signal::SIGTERM);
    assert_eq!(lab.wait(), Some(0));
    assert_eq!(leftovers(&lab), [""; 0]);
}

#[test]
fn signal_ends_a_start_whose_output_has_no_reader() {
    if !can_run() {
        return;
    }
    for signals in [&[Signal::SIGTERM][..], &[Signal::SIGINT, Signal::SIGINT]] {
        let (reader, writer) = std::io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        // The tables are larger than the pipe.
        let mut starting = Starting::new("unread", &with_tasks(LAB, 60), |command| {
            command.stdout(writer);
        });
        // The steps are printed before the tables, and the last of them is about the devices.
        let steps = BufReader::new(starting.up.stderr.take().unwrap());
        let mut steps = steps.lines().map_while(Result::ok);
        assert!(steps.any(|line| line.contains("one worker each")));
        let mut ends = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, PollTimeout::NONE).unwrap();
        for signal in signals {
            if starting.up.try_wait().unwrap().is_none() {
                starting.signal(*signal);
            }
        }
        let rest = std::thread::spawn(move || steps.count());
        let (name, output) = starting.end();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}", output.status);
        rest.join().unwrap();
        if signals.len() == 1 {
            assert_eq!(output.status.code(), Some(0));
            assert_eq!(left(&name), [""; 0]);
        }
        drop(reader);
        let mut down = Command::new(env!("CARGO_BIN_EXE_egret"));
        down.args(["down", "--lab", &name]).stdout(Stdio::piped()).stderr(Stdio::piped());
        assert!(finish(down.spawn().unwrap()).status.success());
        assert_eq!(left(&name), [""; 0]);
    }
}

#[test]
fn signal_during_a_reload_ends_the_lab_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    for by_client in [false, true] {
        let mut lab = Lab::up("auto", LAB);
        let text = std::fs::read_to_string(lab.file()).unwrap();
        std::fs::write(lab.file(), with_tasks(&text, TASKS)).unwrap();
        let mut apply = Command::new(env!("CARGO_BIN_EXE_egret"));
        apply.arg("apply").arg(lab.file()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let client = by_client.then(|| apply.spawn().unwrap());
        if !by_client {
            lab.signal(Signal::SIGHUP);
        }
        while !netns::exists(&format!("{}-web-2", lab.name())) {
            std::thread::yield_now();
        }
        lab.signal(Signal::SIGTERM);
        let last = format!("{}-web-{TASKS}", lab.name());
        let mut was_whole = false;
        while !lab.has_ended() {
            was_whole |= netns::exists(&last);
            std::thread::yield_now();
        }
        assert!(!was_whole, "the reload was waited for");
        assert_eq!(lab.wait(), Some(0), "{by_client}");
        assert_eq!(leftovers(&lab), [""; 0], "{by_client}");
        if let Some(client) = client {
            let output = finish(client);
            assert!(!output.status.success(), "{}", both_streams(&output));
        }
    }
}
