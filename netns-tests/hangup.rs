//! SIGHUP reads the file again, or ends the lab when its terminal is closed.

use crate::lifecycle::{LAB, leftovers};
use crate::support::comes;
use crate::support::lab::{Lab, can_run};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;
use std::net::Ipv4Addr;

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

#[test]
fn a_hangup_with_a_wrong_file_says_why_and_the_lab_goes_on() {
    if !can_run() {
        return;
    }
    let (lab, mut terminal) = Lab::up_on_terminal(LAB);
    let mut web = lab.task("web");
    assert!(web.open("db", DB, 5432).is_u64());
    let right = std::fs::read_to_string(lab.file()).unwrap();
    let wrong =
        right.replace("security_groups = [\"sg-app\"]", "security_groups = [\"sg-nobody\"]");

    std::fs::write(lab.file(), &wrong).unwrap();
    lab.signal(Signal::SIGHUP);
    let said = terminal.hears("sg-nobody");
    let line = 1 + wrong.lines().position(|line| line.contains("sg-nobody")).unwrap();
    let place = format!("{}:{line}:", lab.file().display());
    assert!(said.contains("not reloaded") && said.contains(&place), "{place} in {said}");
    std::fs::remove_file(lab.file()).unwrap();
    lab.signal(Signal::SIGHUP);
    terminal.hears("not reloaded: cannot read");
    assert!(lab.ps().iter().all(|row| row.generation == 1));
    web.ok(&json!(["say", "db"]));

    std::fs::write(lab.file(), right.replace("name = \"web\"", "name = \"web\"\ntasks = 2"))
        .unwrap();
    lab.signal(Signal::SIGHUP);
    // The signal has no answer; each look is a call that waits for a running reload.
    assert!(comes(|| lab.ps().iter().all(|row| row.generation == 2)), "{:?}", lab.ps());
    lab.task("web/2").tcp(DB, 5432);
    web.ok(&json!(["say", "db"]));
}

/// A file that another user exchanges for a FIFO, and keeps open without a word.
#[test]
fn a_hangup_does_not_wait_for_a_silent_fifo_and_the_lab_can_be_ended() {
    if !can_run() {
        return;
    }
    let (mut lab, mut terminal) = Lab::up_on_terminal(LAB);
    std::fs::remove_file(lab.file()).unwrap();
    mkfifo(lab.file(), Mode::S_IRWXU).unwrap();
    let _silent = std::fs::OpenOptions::new().read(true).write(true).open(lab.file()).unwrap();
    lab.signal(Signal::SIGHUP);
    let said = terminal.hears("not reloaded");
    assert!(said.contains("it is a FIFO") || terminal.hears("FIFO").contains("FIFO"), "{said}");
    lab.egret_ok("down");
    assert_eq!(lab.wait(), Some(0));
}

/// The source of `egret up --from` becomes a FIFO whose writer is silent.
#[test]
fn a_source_that_is_read_again_does_not_hold_up_the_end() {
    if !can_run() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("state.json");
    std::fs::copy("examples/vpc-terraform.json", &source).unwrap();
    let mut lab = Lab::up_from(&source);
    std::fs::remove_file(&source).unwrap();
    mkfifo(&source, Mode::S_IRWXU).unwrap();
    let _silent = std::fs::OpenOptions::new().read(true).write(true).open(&source).unwrap();
    lab.signal(Signal::SIGHUP);
    let descriptors = format!("/proc/{}/fd", lab.pid());
    let is_read = || {
        let mut open = std::fs::read_dir(&descriptors).unwrap().flatten();
        open.any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == source))
    };
    assert!(comes(is_read), "the source is not read again");
    lab.egret_ok("down");
    assert_eq!(lab.wait(), Some(0));
}

/// A shell sends its jobs a hangup of its own beside the kernel's: however many arrive, the lab
/// ends in order.
#[test]
fn a_terminal_that_goes_away_ends_the_lab_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    let (mut lab, terminal) = Lab::up_on_terminal(LAB);
    lab.task("web").tcp(DB, 5432);
    assert!(!leftovers(&lab).is_empty());
    drop(terminal);
    while !lab.has_ended() {
        lab.signal(Signal::SIGHUP);
    }
    assert_eq!(lab.wait(), Some(0));
    assert_eq!(leftovers(&lab), [""; 0]);
}
