//! A lab that runs in the real binary, and what a test does in it: it runs commands in the lab's
//! namespaces, reads rows of drops and flows, adds far hosts, and starts agents that open
//! connections and report the result.

use super::terminal::Terminal;
use super::{Namespaces, PATIENCE, comes, run_ok};
use egret::explain::{DropRow, FlowRow, PsRow};
use egret::linux::Netns;
use egret::linux::exec::spawn_in;
use egret::linux::link::{End, GATEWAY};
use egret::linux::{Links, Mac};
use ipnetwork::Ipv4Network;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

const AGENT: &str = include_str!("agent.py");
/// Seconds after which a connection that must fail counts as failed.
const SHORT: f64 = 0.4;
/// Seconds that a connection that must succeed may take.
const LONG: f64 = 10.0;

/// Makes two tests of each function that takes a device kind: one for `vnet`, one for `plain`.
macro_rules! for_both_kinds {
    ($($name:ident),* $(,)?) => {
        mod vnet {
            $(#[test]
            fn $name() {
                if crate::support::lab::can_run() {
                    super::$name("vnet");
                }
            })*
        }

        mod plain {
            $(#[test]
            fn $name() {
                if crate::support::lab::can_run() {
                    super::$name("plain");
                }
            })*
        }
    };
}
pub(crate) use for_both_kinds;

/// Returns whether a test can run here, and prints the reason where it cannot.
pub fn can_run() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: network namespaces need root");
    }
    root
}

/// A running lab. Dropping it takes it down.
pub struct Lab {
    name: String,
    device: String,
    file: tempfile::NamedTempFile,
    /// The folder of the file. No other test writes there.
    _home: tempfile::TempDir,
    up: Child,
    ready: String,
    far: Namespaces,
}

/// The ways to give a command the name of a lab.
#[derive(Clone, Copy, Debug)]
pub enum Naming {
    Option,
    Environment,
}

impl Naming {
    fn of(self, name: &str, mut command: Command) -> Command {
        match self {
            Self::Option => command.args(["--lab", name]),
            Self::Environment => command.env("EGRET_LAB", name),
        };
        command
    }
}

/// The end of a lab file that keeps closed flows listed until a busy machine has looked at them.
pub const CLOSED_FLOWS_STAY: &str = "[timeouts]\ntcp_closing = \"60s\"\n";

/// The end of a lab file that makes flows expire a hundred times as fast, except those whose
/// handshake a busy machine has not completed yet.
pub const FLOWS_EXPIRE_SOON: &str = "[timeouts]\ntime_scale = 100.0\ntcp_opening = \"6000s\"\n";

impl Lab {
    /// Brings up a lab with a name that no other has; `text` is its file without name and device.
    pub fn up(device: &str, text: &str) -> Self {
        Self::start(device, text, |_, file| start(&mut up_command(file)))
    }

    /// Brings up a lab directly from a source. Its own file is only a place for a test to write to.
    pub fn up_from(source: &std::path::Path) -> Self {
        Self::start("auto", "", |name, _| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
            command.args(["up", "-q", "--lab", name, "--from"]).arg(source);
            start(&mut command)
        })
    }

    /// Brings up a lab whose process creates files under this umask.
    pub fn up_under_umask(umask: &str, text: &str) -> Self {
        Self::start("auto", text, |_, file| {
            let up = up_command(file);
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
            command.arg(up.get_program()).args(up.get_args()).stdin(Stdio::null());
            start(&mut command)
        })
    }

    /// Brings up a lab under another name than the one in its file.
    pub fn up_named(naming: Naming, text: &str) -> Self {
        Self::start("auto", text, |name, file| {
            let text = std::fs::read_to_string(file).unwrap();
            let own = (format!("lab = \"{name}\""), format!("lab = \"{name}-file\""));
            std::fs::write(file, text.replace(&own.0, &own.1)).unwrap();
            start(&mut naming.of(name, up_command(file)))
        })
    }

    /// Returns the name in the file of [`Lab::up_named`].
    pub fn name_in_file(&self) -> String {
        format!("{}-file", self.name)
    }

    /// Brings up a lab whose process may open this many descriptors: the soft and the hard limit.
    pub fn up_with_descriptors(soft: u32, hard: u32, text: &str) -> Self {
        Self::start("auto", text, |_, file| {
            start(&mut with_descriptors(soft, hard, &up_command(file)))
        })
    }

    /// Brings up a lab with further options, and returns what it prints on standard error until it
    /// is ready.
    pub fn up_saying(options: &[&str], text: &str) -> String {
        let mut said = tempfile::tempfile().unwrap();
        let lab = Self::start("auto", text, |_, file| {
            let mut command = command_of_up(file, &["-q"]);
            command.args(options).stderr(said.try_clone().unwrap());
            start(&mut command)
        });
        let mut text = String::new();
        said.rewind().unwrap();
        said.read_to_string(&mut text).unwrap();
        drop(lab);
        text
    }

    /// Returns the line that the lab's process printed when it was ready.
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// Brings up a lab whose process has a terminal of its own, on which it prints its complaints.
    pub fn up_on_terminal(text: &str) -> (Self, Terminal) {
        let (terminal, other_end) = Terminal::open();
        let lab = Self::start("auto", text, |_, file| {
            let up = up_command(file);
            let mut command = Command::new("setsid");
            command.arg("--ctty").arg(up.get_program()).args(up.get_args());
            command.stdin(other_end.try_clone().unwrap()).stderr(other_end);
            start(&mut command)
        });
        (lab, terminal)
    }

    /// Brings up a lab for another user, who called sudo: the file is in a folder that only that
    /// user may search.
    pub fn up_of_another_user(text: &str) -> Self {
        const NOBODY: u32 = 65_534;
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        Self::start_in(home, "auto", text, |_, file| {
            std::os::unix::fs::chown(file, Some(NOBODY), Some(NOBODY)).unwrap();
            start(up_command(file).env("SUDO_UID", NOBODY.to_string()))
        })
    }

    fn start(
        device: &str,
        text: &str,
        start: impl FnOnce(&str, &std::path::Path) -> (Child, String),
    ) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), device, text, start)
    }

    fn start_in(
        home: tempfile::TempDir,
        device: &str,
        text: &str,
        start: impl FnOnce(&str, &std::path::Path) -> (Child, String),
    ) -> Self {
        // The same tests run on the other kind. A test that names its kind keeps it.
        let other = std::env::var("EGRET_TEST_DEVICE").ok().filter(|_| device == "auto");
        let device = other.unwrap_or_else(|| device.to_owned());
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile_in(home.path()).unwrap();
        let name = write_lab_file(&mut file, &device, text);
        let (up, ready) = start(&name, file.path());
        Self { name, device, file, _home: home, up, ready, far: Namespaces::new() }
    }

    /// Returns the process of `egret up`.
    pub fn pid(&self) -> Pid {
        pid(&self.up)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns `device`, as the lab's file has it.
    pub fn device(&self) -> &str {
        &self.device
    }

    pub fn file(&self) -> &std::path::Path {
        self.file.path()
    }

    /// Applies a text with passages replaced, as [`Lab::write`] writes it.
    pub fn apply(&self, text: &str, changes: &[(&str, &str)]) {
        self.write(text, changes);
        let output = self.egret(&format!("apply {}", self.file().display()));
        assert!(output.status.success(), "{}", both_streams(&output));
    }

    /// Writes the lab's file again: a text with passages replaced, each of which must occur once.
    pub fn write(&self, text: &str, changes: &[(&str, &str)]) {
        let head = format!("lab = \"{}\"\ndevice = \"{}\"\n", self.name, self.device);
        let text = changes.iter().fold(head + text, |text, (old, new)| {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            text.replace(old, new)
        });
        std::fs::write(self.file(), text).unwrap();
    }

    /// Returns the URL of the App Runner API, which the lab prints when it is ready.
    pub fn api(&self) -> &str {
        let (_, rest) = self.ready.split_once("App Runner API at ").unwrap();
        rest.split(';').next().unwrap()
    }

    /// Returns the path of the database of what was created through the API.
    pub fn store(&self) -> std::path::PathBuf {
        format!("{}.apprunner.sqlite", self.file.path().display()).into()
    }

    /// Brings the lab up again after its process has ended.
    pub fn up_again(&mut self) {
        (self.up, self.ready) = start(&mut up_command(self.file.path()));
    }

    /// Brings the lab up again, and returns what it prints until it is ready.
    pub fn up_again_saying(&mut self) -> String {
        self.up_again_by(command_of_up(self.file.path(), &[]))
    }

    /// Does as [`Lab::up_again_saying`], for a lab of [`Lab::up_named`].
    pub fn up_again_named(&mut self, naming: Naming) -> String {
        self.up_again_by(naming.of(&self.name, command_of_up(self.file.path(), &[])))
    }

    fn up_again_by(&mut self, mut command: Command) -> String {
        let mut said = tempfile::tempfile().unwrap();
        command.stderr(said.try_clone().unwrap());
        (self.up, self.ready) = start(&mut command);
        let mut text = String::new();
        said.rewind().unwrap();
        said.read_to_string(&mut text).unwrap();
        text
    }

    /// Brings the lab up again, and returns what it prints in JSON when it is up.
    pub fn up_again_in_json(&mut self) -> Value {
        (self.up, self.ready) = start(&mut command_of_up(self.file.path(), &["-q", "--json"]));
        serde_json::from_str(&self.ready).unwrap()
    }

    /// Kills the lab's process and brings the lab up again immediately, while the kernel may still
    /// be closing what the process had.
    pub fn up_while_dying(&mut self) {
        self.signal(Signal::SIGKILL);
        let (up, ready) = start(&mut up_command(self.file.path()));
        let mut killed = std::mem::replace(&mut self.up, up);
        self.ready = ready;
        killed.wait().unwrap();
    }

    /// Sends the lab's process a signal and waits for its end; returns the exit code, if it had
    /// one.
    pub fn end_by(&mut self, signal: Signal) -> Option<i32> {
        kill(pid(&self.up), signal).unwrap();
        self.wait()
    }

    /// Sends the lab's process a signal that does not end it.
    pub fn signal(&self, signal: Signal) {
        kill(pid(&self.up), signal).unwrap();
    }

    /// Returns whether the lab's process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.up.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the lab's process, and returns its exit code, if it had one.
    pub fn wait(&mut self) -> Option<i32> {
        // The process closes its output only when it ends.
        let mut output = self.up.stdout.take().unwrap();
        let (done, ended) = channel();
        std::thread::spawn(move || {
            let _ = output.read_to_end(&mut Vec::new());
            let _ = done.send(());
        });
        if ended.recv_timeout(PATIENCE).is_err() {
            self.up.kill().unwrap();
        }
        self.up.wait().unwrap().code()
    }

    /// Runs `egret` on this lab with the words of `line`, and waits for its end.
    pub fn egret(&self, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.egret_words(&words)
    }

    pub fn egret_words(&self, words: &[&str]) -> Output {
        finish(self.command(words).spawn().unwrap())
    }

    /// Runs `egret` with this value in `EGRET_LAB`, and waits for its end.
    pub fn egret_under(&self, lab: Option<&str>, words: &[&str]) -> Output {
        let mut command = self.command(words);
        match lab {
            Some(lab) => command.env("EGRET_LAB", lab),
            None => command.env_remove("EGRET_LAB"),
        };
        finish(command.spawn().unwrap())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.args(words).env("EGRET_LAB", &self.name);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `egret` on this lab, which must succeed, and returns what it printed.
    pub fn egret_ok(&self, line: &str) -> String {
        said(line, &self.egret(line))
    }

    /// Runs a command in a task with `egret exec`, and returns whether it succeeded and what it
    /// printed on both streams.
    pub fn exec(&self, task: &str, line: &str) -> (bool, String) {
        let output = self.egret(&format!("exec {task} -- {line}"));
        (output.status.success(), both_streams(&output))
    }

    /// Runs a command in a task, which must succeed, and returns what it printed on both streams.
    pub fn exec_ok(&self, task: &str, line: &str) -> String {
        let (succeeded, said) = self.exec(task, line);
        assert!(succeeded, "`{line}` in {task}: {said}\n{}", self.egret_ok("drops"));
        said
    }

    pub fn exec_vpc(&self, vpc: &str, line: &str) -> (bool, String) {
        let output = self.egret(&format!("exec --vpc {vpc} -- {line}"));
        (output.status.success(), both_streams(&output))
    }

    pub fn exec_internet(&self, line: &str) -> (bool, String) {
        let output = self.egret(&format!("exec --internet -- {line}"));
        (output.status.success(), both_streams(&output))
    }

    /// Returns whether one ping from a task is answered.
    pub fn pings(&self, task: &str, options: &str) -> bool {
        self.exec(task, &format!("ping -n -c 1 -W 3 {options}")).0
    }

    pub fn drops(&self) -> Vec<DropRow> {
        self.rows("drops")
    }

    /// Returns the drops that are verdicts. A full queue of a TUN device or a link is not a
    /// verdict: bulk traffic on a busy machine causes such drops.
    pub fn verdicts(&self) -> Vec<DropRow> {
        let of_queues = ["queue-full", "link-dropped"];
        self.drops().into_iter().filter(|row| !of_queues.contains(&row.reason.as_str())).collect()
    }

    pub fn flows(&self) -> Vec<FlowRow> {
        self.rows("flows")
    }

    pub fn ps(&self) -> Vec<PsRow> {
        self.rows("ps")
    }

    /// Returns the rows of `egret <what> --json`.
    pub fn rows<T: DeserializeOwned>(&self, what: &str) -> Vec<T> {
        serde_json::from_str(&self.egret_ok(&format!("{what} --json"))).unwrap()
    }

    /// Counts the packets that were dropped for a reason so far.
    pub fn packets_dropped(&self, reason: &str) -> u64 {
        self.drops().iter().filter(|row| row.reason == reason).map(|row| row.packets).sum()
    }

    /// Does `work`, which must cause a drop for that reason, decided by something with `rule` in
    /// its name. Returns the row with the packets that `work` added.
    pub fn drops_for(&self, reason: &str, rule: &str, work: impl FnOnce()) -> DropRow {
        let before = self.drops();
        work();
        let (mut added, mut found) = (Vec::new(), None);
        // On a busy machine, a worker may count a packet later than its sender asks.
        comes(|| {
            added = self.drops().iter().filter_map(|row| grown(&before, row)).collect();
            let is_wanted = |row: &&DropRow| row.reason == reason && row.rule.contains(rule);
            found = added.iter().find(is_wanted).cloned();
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no drop for {reason} by {rule}: {added:#?}"))
    }

    /// Returns the text of the lab file's line that a row points to.
    pub fn line(&self, number: Option<u32>) -> String {
        let text = std::fs::read_to_string(self.file.path()).unwrap();
        let position = usize::try_from(number.unwrap()).unwrap() - 1;
        text.lines().nth(position).unwrap().to_owned()
    }

    /// Returns the lab's namespace with this role: `router`, `internet`, a VPC's id, or a task's
    /// `service-n`.
    pub fn netns(&self, role: &str) -> Netns {
        Netns::open(&format!("{}-{role}", self.name)).unwrap()
    }

    /// Starts an agent in a task, with `egret exec`.
    pub fn task(&self, task: &str) -> Agent {
        let mut command = self.command(&["exec", task, "--", "python3", "-u", "-c", AGENT]);
        Agent::of(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    /// Starts a Python program in a task, with `egret exec`; it ends with the test.
    pub fn task_program(&self, task: &str, program: &str) -> Program {
        let mut command = self.command(&["exec", task, "--", "python3", "-u", "-c", program]);
        Program::of(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    /// Starts an agent in a namespace.
    pub fn agent(netns: &Netns) -> Agent {
        let mut command = Command::new("python3");
        command.args(["-u", "-c", AGENT]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Agent::of(spawn_in(netns, &mut command).unwrap())
    }

    /// Returns the namespace that [`Lab::far`] made for this device.
    pub fn far_netns(&self, device: &str) -> Netns {
        self.far.open(device)
    }

    /// Moves addresses of `near` (a VPC's namespace, or `internet`) into a further namespace.
    /// `near` forwards to it over a link where both ends finish their checksums in software and
    /// check what arrives: local delivery trusts a partial checksum, so a wrong one shows only
    /// there. `near` must keep an address, or it loses its routes.
    pub fn far(&mut self, near: &str, device: &str, addresses: &[Ipv4Addr]) -> Netns {
        let near = self.netns(near);
        let far = self.far.create(device);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (near_links, far_links) = (Links::open(&near).unwrap(), Links::open(&far).unwrap());
            let near_end = End { name: "far0", mac: Mac::near(addresses[0]) };
            let far_end = End { name: "eth0", mac: Mac::far(addresses[0]) };
            let near_index = near_links.veth(near_end, &far_links, far_end, 1500).await.unwrap();
            let far_index = far_links.ifindex("eth0").await.unwrap();
            for &address in addresses {
                run_ok(&near, &format!("ip address del {address}/32 dev {device}"));
                far_links.add_address(far_index, address).await.unwrap();
                near_links.add_neighbour(near_index, address, far_end.mac).await.unwrap();
                near_links.add_route(near_index, Ipv4Network::from(address)).await.unwrap();
            }
            far_links.add_neighbour(far_index, GATEWAY, near_end.mac).await.unwrap();
            far_links.add_default_route(far_index, GATEWAY).await.unwrap();
        });
        near.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap().unwrap();
        run_ok(&near, "ethtool -K far0 tx off");
        run_ok(&far, "ethtool -K eth0 tx off");
        far
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.up.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill(pid(&self.up), Signal::SIGTERM);
            self.wait();
        }
        let down = self.egret("down");
        for ending in ["", "-wal"] {
            let _ = std::fs::remove_file(format!("{}{ending}", self.store().display()));
        }
        if !std::thread::panicking() {
            said("down", &down);
        }
    }
}

/// Creates a lab file with a name that no other lab has, and returns both.
pub fn lab_file(device: &str, text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let name = write_lab_file(&mut file, device, text);
    (file, name)
}

/// Writes a lab file with a lab name that no other has, and returns the name.
fn write_lab_file(file: &mut tempfile::NamedTempFile, device: &str, text: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{}-{count}", std::process::id());
    write!(file, "lab = \"{name}\"\ndevice = \"{device}\"\n{text}").unwrap();
    name
}

pub fn up_command(file: &std::path::Path) -> Command {
    command_of_up(file, &["-q"])
}

fn command_of_up(file: &std::path::Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.arg("up").args(options).arg(file).stdin(Stdio::null());
    // The same tests run with the other setting of `offload`. A lab whose file sets it keeps its
    // own.
    if let Ok(word) = std::env::var("EGRET_TEST_OFFLOAD")
        && !std::fs::read_to_string(file).unwrap().contains("offload = ")
    {
        command.args(["--offload", &word]);
    }
    command
}

/// Returns the same command with a soft and a hard limit of descriptors.
pub fn with_descriptors(soft: u32, hard: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    limited
}

/// Starts `egret up`, waits for its line that says it is ready, and returns both.
fn start(command: &mut Command) -> (Child, String) {
    let mut up = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(up.stdout.take().unwrap());
    let (line, lines) = channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        // Without -q, tables come before that line.
        let mut begin = 0;
        let mut read = output.read_line(&mut text);
        while matches!(read, Ok(1..)) && !is_ready(&text[begin..]) {
            begin = text.len();
            read = output.read_line(&mut text);
        }
        let ready = is_ready(&text[begin..]);
        let _ = line.send(text.split_off(if ready { begin } else { 0 }));
        read.map(|_| output.into_inner())
    });
    match lines.recv_timeout(PATIENCE) {
        Ok(text) if is_ready(&text) => {
            up.stdout = Some(reader.join().unwrap().unwrap());
            (up, text)
        }
        other => {
            let _ = up.kill();
            let _ = up.wait();
            panic!("egret up did not get ready: {other:?}");
        }
    }
}

fn is_ready(line: &str) -> bool {
    line.starts_with("ready") || line.starts_with("{\"lab\"")
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// Waits for a program's end, and fails if it takes too long.
pub fn finish(child: Child) -> Output {
    let process = pid(&child);
    let (done, ended) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match ended.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = kill(process, Signal::SIGKILL);
            panic!("process {process} did not end: {:?}", ended.recv());
        }
    }
}

/// Returns what a program printed; it must have succeeded.
fn said(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "`{what}`: {}", both_streams(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn both_streams(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Returns the row with the packets that were added since `before`, or `None` if there are none.
fn grown(before: &[DropRow], row: &DropRow) -> Option<DropRow> {
    let same = |other: &&DropRow| {
        let key = |r: &DropRow| {
            (r.reason.clone(), r.rule.clone(), r.task, r.source, r.destination, r.port)
        };
        key(other) == key(row) && other.protocol == row.protocol && other.service == row.service
    };
    let known: u64 = before.iter().filter(same).map(|other| other.packets).sum();
    (row.packets > known).then(|| DropRow { packets: row.packets - known, ..row.clone() })
}

/// A program whose output is read line by line, and which ends with the test.
pub struct Program {
    process: Child,
    lines: Receiver<String>,
}

impl Program {
    fn of(mut process: Child) -> Self {
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| {
                let _ = sender.send(line);
            });
        });
        Self { process, lines }
    }

    /// Waits until the program prints this line.
    pub fn wait_for(&mut self, line: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(said) if said == line => return,
                Ok(_) => {}
                Err(error) => panic!("the program does not say {line:?}: {error}"),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program inside a namespace that does the operations a test asks for; see `agent.py`.
pub struct Agent {
    process: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
}

impl Agent {
    fn of(mut process: Child) -> Self {
        let requests = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| {
                let _ = sender.send(line);
            });
        });
        let mut agent = Self { process, requests, answers };
        assert_eq!(agent.answer(), "ready");
        agent
    }

    /// Asks for an operation, by its name and arguments, and returns the answer.
    pub fn ask(&mut self, request: &Value) -> Value {
        self.begin(request);
        self.answer()
    }

    /// Begins an operation; [`Agent::answer`] waits for its end.
    pub fn begin(&mut self, request: &Value) {
        writeln!(self.requests, "{request}").unwrap();
    }

    pub fn answer(&mut self) -> Value {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => serde_json::from_str(&line).unwrap(),
            Err(RecvTimeoutError::Timeout) => panic!("the agent does not answer"),
            Err(RecvTimeoutError::Disconnected) => {
                let mut complaint = String::new();
                let stderr = self.process.stderr.as_mut().unwrap();
                stderr.read_to_string(&mut complaint).unwrap();
                panic!("the agent ended: {complaint}")
            }
        }
    }

    /// Asks for an operation that must answer "ok".
    pub fn ok(&mut self, request: &Value) {
        assert_eq!(self.ask(request), "ok", "{request}");
    }

    /// Connects and has a line echoed, which must succeed; returns the local port.
    pub fn tcp(&mut self, address: Ipv4Addr, port: u16) -> u16 {
        self.tcp_from(0, address, port)
    }

    pub fn tcp_from(&mut self, source_port: u16, address: Ipv4Addr, port: u16) -> u16 {
        port_of(&self.ask(&json!(["tcp", address, port, source_port, LONG])))
    }

    /// Tries to connect, which nothing may answer.
    pub fn tcp_times_out(&mut self, address: Ipv4Addr, port: u16) {
        let answer = self.ask(&json!(["tcp", address, port, 0, SHORT]));
        assert_eq!(answer, "timeout", "tcp {address}:{port}");
    }

    /// Sends a datagram that must be echoed; returns the local port.
    pub fn udp(&mut self, address: Ipv4Addr, port: u16) -> u16 {
        port_of(&self.ask(&json!(["udp", address, port, 0, 5, LONG])))
    }

    /// Sends a datagram that nothing may answer.
    pub fn udp_times_out(&mut self, address: Ipv4Addr, port: u16) {
        let answer = self.ask(&json!(["udp", address, port, 0, 5, SHORT]));
        assert_eq!(answer, "timeout", "udp {address}:{port}");
    }

    /// Opens a connection and keeps it under a name; returns the local port or the error.
    pub fn open(&mut self, name: &str, address: Ipv4Addr, port: u16) -> Value {
        self.ask(&json!(["open", name, address, port, 0, LONG]))
    }

    /// Returns the peers that connected to this agent's servers since the last call.
    pub fn peers(&mut self) -> Vec<(Ipv4Addr, u16)> {
        let peers: Vec<String> = serde_json::from_value(self.ask(&json!(["peers"]))).unwrap();
        let parsed = peers.iter().map(|peer| peer.parse::<std::net::SocketAddrV4>().unwrap());
        parsed.map(|peer| (*peer.ip(), peer.port())).collect()
    }

    /// Counts the packets that came in since `sniff`, by source, or by EtherType where they are not
    /// IPv4.
    pub fn sniffed(&mut self, interface: &str) -> Vec<(String, u64)> {
        let counts = self.ask(&json!(["sniffed", interface]));
        let entries = counts.as_object().unwrap().iter();
        entries.map(|(source, count)| (source.clone(), count.as_u64().unwrap())).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn port_of(answer: &Value) -> u16 {
    let port = answer.as_u64().unwrap_or_else(|| panic!("no connection: {answer}"));
    u16::try_from(port).unwrap()
}

/// Returns a counter of `/proc/net/snmp`, such as `Tcp` `InCsumErrors`.
pub fn snmp(netns: &Netns, protocol: &str, counter: &str) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp");
    let text = netns.run(read).unwrap().unwrap();
    let prefix = format!("{protocol}:");
    let mut lines = text.lines().filter(|line| line.starts_with(&prefix));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let column = names.split(' ').position(|name| name == counter).unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}
