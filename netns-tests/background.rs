//! A lab in the background: the command that starts it returns when it is ready, or with the error
//! of the lab.

use crate::lifecycle::LAB;
use crate::support::comes;
use crate::support::lab::{both_streams, can_run, finish};
use egret::linux::netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The place of a lab in the background, with a log of its own. Dropping it takes the lab down.
struct Background {
    name: String,
    home: tempfile::TempDir,
}

impl Background {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("t{}-{name}", std::process::id());
        let home = tempfile::tempdir().unwrap();
        let lab = Self { name, home };
        std::fs::write(lab.file(), format!("lab = \"{}\"\n{text}", lab.name)).unwrap();
        lab
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("lab.toml")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("lab.log")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.args(words).env("EGRET_LAB", &self.name);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn begin(&self, options: &[&str]) -> Child {
        let (file, log) = (self.file(), self.log());
        let mut command = self.command(&["up", "-d", "--log", log.to_str().unwrap()]);
        command.args(options).arg(file).spawn().unwrap()
    }

    /// Starts the lab, and waits for the end of the command.
    fn up(&self, options: &[&str]) -> Output {
        finish(self.begin(options))
    }

    fn egret(&self, words: &[&str]) -> Output {
        finish(self.command(words).spawn().unwrap())
    }

    fn process(&self) -> Option<u32> {
        let lock = std::fs::read_to_string(format!("/run/egret/{}/lock", self.name)).ok()?;
        lock.trim().parse().ok()
    }

    fn logged(&self, ending: &str) -> String {
        std::fs::read_to_string(format!("{}{ending}", self.log().display())).unwrap_or_default()
    }

    /// Lists what there is of the lab, and the files of the command that starts it.
    fn left(&self) -> Vec<String> {
        let own = netns::list().unwrap().into_iter().filter(|name| name.starts_with(&self.name));
        let state = format!("/run/egret/{}", self.name);
        let starting = std::fs::read_dir(self.home.path()).unwrap().flatten();
        let starting = starting.map(|file| file.file_name().into_string().unwrap());
        own.chain(Some(state).filter(|path| Path::new(path).exists()))
            .chain(starting.filter(|name| name.contains(".start-")))
            .collect()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.egret(&["down"]);
    }
}

#[test]
fn command_returns_when_the_lab_answers_and_the_lab_goes_on_without_it() {
    if !can_run() {
        return;
    }
    let lab = Background::new("bg", LAB);
    let up = lab.up(&[]);
    let said = String::from_utf8(up.stdout).unwrap();
    assert_eq!(up.status.code(), Some(0), "{said}");
    let end = format!("`sudo egret down --lab {}` takes it down\n", lab.name);
    assert!(said.starts_with("ready: lab `") && said.ends_with(&end), "{said}");
    // As soon as the command has returned.
    let ps = lab.egret(&["ps", "--json"]);
    assert_eq!(ps.status.code(), Some(0), "{}", both_streams(&ps));
    // In a session of its own, without a terminal.
    let process = Pid::from_raw(i32::try_from(lab.process().unwrap()).unwrap());
    assert_eq!(nix::unistd::getsid(Some(process)).unwrap(), process);
    let input = std::fs::read_link(format!("/proc/{process}/fd/0")).unwrap();
    assert_eq!(input, Path::new("/dev/null"));
    assert!(lab.logged("").contains(said.trim_end()), "{}", lab.logged(""));
    let down = lab.egret(&["down"]);
    assert_eq!(down.status.code(), Some(0), "{}", both_streams(&down));
    assert!(comes(|| lab.logged("").ends_with(&format!("lab `{}` is down\n", lab.name))));
    assert_eq!(lab.left(), [""; 0]);
}

#[test]
fn answer_in_json_is_that_of_the_foreground() {
    if !can_run() {
        return;
    }
    let lab = Background::new("json", LAB);
    let up = lab.up(&["--json"]);
    let answer: Value = serde_json::from_slice(&up.stdout).unwrap();
    assert_eq!(answer["lab"], lab.name);
    assert_eq!(answer["time_scale"], 1.0);
    let keys: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["lab", "seconds", "time_scale", "api", "resumed"]);
    assert_eq!(String::from_utf8(up.stderr).unwrap(), "");
}

#[test]
fn lab_that_does_not_start_gives_the_error_and_the_code_of_the_foreground() {
    if !can_run() {
        return;
    }
    // A namespace of another program has the name of one of the lab's.
    let lab = Background::new("fails", LAB);
    let router = format!("{}-router", lab.name);
    drop(netns::Netns::create(&router).unwrap());
    let up = lab.up(&[]);
    let foreground = lab.egret(&["up", lab.file().to_str().unwrap()]);
    let last = |output: &Output| {
        String::from_utf8(output.stderr.clone()).unwrap().lines().last().unwrap().to_owned()
    };
    assert_eq!(up.status.code(), foreground.status.code(), "{}", both_streams(&up));
    assert_eq!(up.status.code(), Some(1));
    assert!(last(&up).contains(&format!("`{router}` exists already")), "{}", both_streams(&up));
    assert_eq!(last(&up), last(&foreground));
    assert_eq!(lab.left(), [&*router]);
    // For programs too, and what is wrong in the file is known before there is a process.
    let up = lab.up(&["--json"]);
    let error: Value = serde_json::from_str(&last(&up)).unwrap();
    assert_eq!(error["exit_code"], 1);
    netns::remove(&router).unwrap();
    std::fs::write(lab.file(), "no lab").unwrap();
    assert_eq!(lab.up(&[]).status.code(), Some(2));
}

#[test]
fn second_start_fails_and_the_log_of_the_first_goes_on() {
    if !can_run() {
        return;
    }
    let lab = Background::new("twice", LAB);
    assert!(lab.up(&[]).status.success());
    let second = lab.up(&[]);
    assert_eq!(second.status.code(), Some(1));
    assert!(both_streams(&second).contains("is up already"), "{}", both_streams(&second));
    assert!(lab.logged("").contains("ready: lab"), "{}", lab.logged(""));
    assert_eq!(lab.logged(".1"), "");
    assert!(lab.egret(&["down"]).status.success());
    assert!(comes(|| lab.logged("").contains("is down")));
    let first = lab.logged("");
    assert!(lab.up(&[]).status.success());
    assert_eq!(lab.logged(".1"), first);
}

/// Each task takes its time, so that the signal comes while the lab starts.
#[test]
fn signal_to_the_command_that_waits_ends_the_lab_in_order() {
    if !can_run() {
        return;
    }
    let text = LAB.replace("name = \"web\"", "name = \"web\"\ntasks = 600");
    let lab = Background::new("ended", &text);
    let mut up = lab.begin(&[]);
    while !netns::exists(&format!("{}-web-1", lab.name)) {
        assert!(up.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    kill(Pid::from_raw(i32::try_from(up.id()).unwrap()), Signal::SIGINT).unwrap();
    let ended = finish(up);
    let said = both_streams(&ended);
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("lab `{}` is down\n", lab.name)), "{said}");
    assert_eq!(lab.left(), [""; 0]);
}

#[test]
fn lab_that_is_killed_while_it_starts_is_named() {
    if !can_run() {
        return;
    }
    let text = LAB.replace("name = \"web\"", "name = \"web\"\ntasks = 600");
    let lab = Background::new("killed", &text);
    let mut up = lab.begin(&[]);
    while !netns::exists(&format!("{}-web-1", lab.name)) {
        assert!(up.try_wait().unwrap().is_none(), "it has ended");
        std::thread::yield_now();
    }
    let process = i32::try_from(lab.process().unwrap()).unwrap();
    kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
    let ended = finish(up);
    let said = both_streams(&ended);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("was ended by SIGKILL before the lab was ready"), "{said}");
}

#[test]
fn labs_of_the_host_are_listed_with_their_state_until_nothing_is_left() {
    if !can_run() {
        return;
    }
    let lab = Background::new("ls", LAB);
    let row = || {
        let listed = lab.egret(&["ls", "--json"]);
        assert_eq!(listed.status.code(), Some(0), "{}", both_streams(&listed));
        let rows: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        rows.into_iter().find(|row| row["lab"] == *lab.name)
    };
    assert_eq!(row(), None);
    assert!(lab.up(&[]).status.success());
    let process = lab.process().unwrap();
    let up = row().unwrap();
    assert_eq!((&up["state"], &up["process"]), (&"up".into(), &process.into()));
    assert_eq!((&up["services"], &up["tasks"]), (&2.into(), &2.into()));
    assert_eq!(up["file"], lab.file().to_str().unwrap());
    let names = String::from_utf8(lab.egret(&["ls", "-o", "name"]).stdout).unwrap();
    assert!(names.lines().any(|name| name == lab.name), "{names}");
    let process = Pid::from_raw(i32::try_from(process).unwrap());
    kill(process, Signal::SIGSTOP).unwrap();
    assert!(comes(|| row().unwrap()["state"] == "stopped"));
    kill(process, Signal::SIGKILL).unwrap();
    assert!(comes(|| row().unwrap()["state"] == "left"));
    assert_eq!(row().unwrap()["process"], Value::Null);
    assert!(lab.egret(&["down"]).status.success());
    assert_eq!(row(), None);
}

#[test]
fn wait_ends_when_the_lab_is_ready_and_when_it_is_down() {
    if !can_run() {
        return;
    }
    let lab = Background::new("wait", LAB);
    assert_eq!(lab.egret(&["wait", "--down"]).status.code(), Some(0));
    let late = lab.egret(&["wait", "--timeout", "0s"]);
    assert_eq!(late.status.code(), Some(1));
    assert!(both_streams(&late).contains("is not ready after 0s"), "{}", both_streams(&late));
    let ready = lab.command(&["wait"]).spawn().unwrap();
    assert!(lab.up(&[]).status.success());
    assert_eq!(finish(ready).status.code(), Some(0));
    assert_eq!(lab.egret(&["wait", "--down", "--timeout", "0s"]).status.code(), Some(1));
    let down = lab.command(&["wait", "--down"]).spawn().unwrap();
    assert!(lab.egret(&["down"]).status.success());
    assert_eq!(finish(down).status.code(), Some(0));
}

#[test]
fn log_of_a_lab_is_shown_and_followed_to_its_end() {
    if !can_run() {
        return;
    }
    let lab = Background::new("logs", LAB);
    assert!(lab.up(&[]).status.success());
    let shown = String::from_utf8(lab.egret(&["logs"]).stdout).unwrap();
    assert!(shown.contains("router namespace") && shown.contains("ready: lab"), "{shown}");
    let last = String::from_utf8(lab.egret(&["logs", "-n", "1"]).stdout).unwrap();
    assert!(last.starts_with("ready: lab") && last.lines().count() == 1, "{last}");
    // What a lab prints of a file's text may not command the terminal of the reader.
    let mut log = std::fs::OpenOptions::new().append(true).open(lab.log()).unwrap();
    std::io::Write::write_all(&mut log, b"\x1b[2Jgone\n").unwrap();
    let last = String::from_utf8(lab.egret(&["logs", "-n", "1"]).stdout).unwrap();
    assert_eq!(last, "\\u001b[2Jgone\n");
    let followed = lab.command(&["logs", "--follow", "-n", "1"]).spawn().unwrap();
    assert!(lab.egret(&["down"]).status.success());
    let followed = String::from_utf8(finish(followed).stdout).unwrap();
    assert!(followed.ends_with(&format!("lab `{}` is down\n", lab.name)), "{followed}");
}

#[test]
fn lab_in_the_foreground_has_no_log() {
    if !can_run() {
        return;
    }
    let lab = crate::support::lab::Lab::up("auto", LAB);
    let logs = lab.egret("logs");
    assert_eq!(logs.status.code(), Some(2));
    assert!(both_streams(&logs).contains("did not start it"), "{}", both_streams(&logs));
    let none = lab.egret("logs --lab no-such-lab");
    assert_eq!(none.status.code(), Some(2));
    assert!(both_streams(&none).contains("has no log"), "{}", both_streams(&none));
}
