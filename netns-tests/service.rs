//! A lab as a service of systemd: its unit, and what its process reports to a service manager.

use crate::lifecycle::LAB;
use crate::support::PATIENCE;
use crate::support::lab::{can_run, finish};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Group, Pid};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

const UNIT: &str = include_str!("../packaging/egret@.service");
const PROGRAM: &str = "/usr/bin/egret";

/// Returns the value of a key of the unit that occurs once.
fn value(key: &str) -> &'static str {
    let mut values = UNIT.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next().unwrap();
    assert_eq!(values.next(), None, "{key}");
    value
}

/// Returns the words of a command of the unit, for a lab with this file.
fn words(key: &str, lab: &str, file: &Path) -> Vec<String> {
    let line = value(key).replace("/etc/egret/%i.toml", file.to_str().unwrap());
    let line = line.replace(PROGRAM, env!("CARGO_BIN_EXE_egret")).replace("%i", lab);
    line.split(' ').map(str::to_owned).collect()
}

/// Runs words with no more than the capabilities of the unit.
fn command(words: &[String]) -> Command {
    let kept = value("CapabilityBoundingSet").replace("CAP_", "+").to_lowercase();
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set=-all,{}", kept.replace(' ', ",")));
    command.arg("--no-new-privs").arg("--").args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Receives messages until one has this line, and returns all lines.
fn heard(socket: &UnixDatagram, line: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    while !lines.iter().any(|heard| heard == line) {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| {
            panic!("no {line} in {lines:?}: {error}");
        });
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

#[test]
fn command_of_the_unit_reports_that_it_is_ready_reloads_and_stops() {
    if !can_run() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (file, socket) = (home.path().join("lab.toml"), home.path().join("notify"));
    let name = format!("t{}-unit", std::process::id());
    // A lab that is shared needs the most rights at its start.
    let text = format!("{LAB}\n[access]\ngroup = \"users\"\n");
    std::fs::write(&file, &text).unwrap();
    let reports = UnixDatagram::bind(&socket).unwrap();
    reports.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut start = command(&words("ExecStart", &name, &file));
    let lab = start.env("NOTIFY_SOCKET", &socket).spawn().unwrap();
    let started = heard(&reports, "READY=1");
    assert!(started.iter().any(|line| line.starts_with("STATUS=router namespace")), "{started:?}");
    assert!(!started.iter().any(|line| line.starts_with("X_EGRET")), "{started:?}");

    let socket = std::fs::metadata(format!("/run/egret/{name}/control.sock")).unwrap();
    let users = Group::from_name("users").unwrap().unwrap().gid.as_raw();
    assert_eq!((socket.gid(), socket.mode() & 0o777), (users, 0o660));

    let process = Pid::from_raw(i32::try_from(lab.id()).unwrap());
    std::fs::write(&file, text.replace("name = \"web\"", "name = \"web\"\ntasks = 2")).unwrap();
    kill(process, Signal::SIGHUP).unwrap();
    let reloading = heard(&reports, "RELOADING=1");
    assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    let reloaded = heard(&reports, "READY=1");
    assert!(reloaded.contains(&"STATUS=up, generation 2".to_owned()), "{reloaded:?}");
    std::fs::write(&file, "no lab").unwrap();
    kill(process, Signal::SIGHUP).unwrap();
    let refused = heard(&reports, "READY=1");
    assert!(refused.iter().any(|line| line.starts_with("STATUS=not reloaded: ")), "{refused:?}");

    // As `systemctl reload` does.
    let reload = || finish(command(&words("ExecReload", &name, &file)).spawn().unwrap());
    assert_eq!(reload().status.code(), Some(2));
    std::fs::write(&file, &text).unwrap();
    assert_eq!(reload().status.code(), Some(0));

    kill(process, Signal::SIGTERM).unwrap();
    heard(&reports, "STOPPING=1");
    assert_eq!(finish(lab).status.code(), Some(0));
}

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    let test = "systemd_finds_no_fault_in_the_unit";
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: {test} needs systemd-analyze, of the Debian package systemd");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("egret@.service");
    std::fs::write(&unit, UNIT.replace(PROGRAM, env!("CARGO_BIN_EXE_egret"))).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let found = verify.args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success() && !said.contains("egret@"), "{said}");
}
