//! A file belongs to the lab that `--lab` or `EGRET_LAB` names, if they name another than the file
//! does.

use crate::lifecycle::{LAB, leftovers};
use crate::support::comes;
use crate::support::lab::{Lab, Naming, both_streams, can_run};
use egret::linux::netns;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

/// Runs `egret` with no lab named except in `words`.
fn unnamed(lab: &Lab, words: &[&str]) -> Output {
    lab.egret_under(None, words)
}

#[test]
fn name_of_the_command_line_takes_the_place_of_the_files() {
    if !can_run() {
        return;
    }
    for naming in [Naming::Option, Naming::Environment] {
        let mut lab = Lab::up_named(naming, LAB);
        let file = lab.file().to_str().unwrap().to_owned();
        assert!(lab.ready().contains(&format!("lab `{}` is up", lab.name())), "{}", lab.ready());
        assert!(netns::exists(&format!("{}-router", lab.name())));
        assert!(!netns::exists(&format!("{}-router", lab.name_in_file())));

        // A reload keeps the name, by a signal and by a command.
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("name = \"web\"", "name = \"web\"\ntasks = 2")).unwrap();
        lab.signal(Signal::SIGHUP);
        assert!(comes(|| lab.ps().len() == 3), "{:?}", lab.ps());
        std::fs::write(&file, text).unwrap();
        lab.egret_ok(&format!("apply {file}"));
        assert_eq!(lab.ps().len(), 2);
        assert_eq!(lab.end_by(Signal::SIGTERM), Some(0));
        assert_eq!(leftovers(&lab), [""; 0]);
    }
}

#[test]
fn apply_says_which_lab_it_changes_and_takes_another_labs_file_only_where_it_is_named() {
    if !can_run() {
        return;
    }
    let lab = Lab::up_named(Naming::Option, LAB);
    let (name, other) = (lab.name().to_owned(), lab.name_in_file());
    let file = lab.file().to_str().unwrap().to_owned();
    let refused = unnamed(&lab, &["apply", &file]);
    let said = both_streams(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("lab `{other}`, which is not running")), "{said}");
    // Other labs may run beside this one; the proposed command has the first of them.
    assert!(said.contains(&name) && said.contains(&format!("apply {file} --lab ")), "{said}");

    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("name = \"web\"", "name = \"web\"\ntasks = 2")).unwrap();
    let applied = unnamed(&lab, &["apply", &file, "--lab", &name]);
    let said = both_streams(&applied);
    assert!(applied.status.success(), "{said}");
    assert!(said.contains(&format!("applied {file} to lab `{name}` (generation 2)")), "{said}");
    assert!(said.contains(&format!("the file is of lab `{other}`")), "{said}");
    let again: Value =
        serde_json::from_str(&lab.egret_ok(&format!("apply {file} --json"))).unwrap();
    assert_eq!((&again["lab"], &again["generation"]), (&json!(name), &json!(2)));
}

#[test]
fn down_of_a_lab_that_is_not_up_lists_those_that_are() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let other = format!("{}-other", lab.name());
    let down = unnamed(&lab, &["down", "--lab", &other]);
    let said = both_streams(&down);
    assert!(down.status.success(), "{said}");
    let begin = format!("lab `{other}` is not up (running: ");
    assert!(said.starts_with(&begin) && said.contains(lab.name()), "{said}");
    assert!(
        said.trim_end().ends_with("; choose one with --lab or EGRET_LAB); nothing to clear"),
        "{said}"
    );
    let unknown = both_streams(&lab.egret("exec nobody -- true"));
    assert!(
        unknown.contains(&format!("lab `{}` has no service `nobody`", lab.name())),
        "{unknown}"
    );
}

#[test]
fn live_test_finds_the_lab_that_the_environment_names() {
    if !can_run() {
        return;
    }
    let expect = "[[expect]]\nfrom = \"web\"\nto = \"db:5432\"\nis = \"reachable\"\n";
    let lab = Lab::up_named(Naming::Environment, &format!("{LAB}{expect}"));
    let file = lab.file().to_str().unwrap();
    let named = lab.egret(&format!("test {file} --live"));
    assert!(named.status.success(), "{}", both_streams(&named));
    let unnamed = unnamed(&lab, &["test", file, "--live"]);
    assert_eq!(unnamed.status.code(), Some(2));
    let said = both_streams(&unnamed);
    assert!(said.contains(&format!("no lab `{}`", lab.name_in_file())), "{said}");
}

#[test]
fn lab_of_a_killed_run_is_resumed_under_its_name() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up_named(Naming::Option, &format!("offload_grace = \"60s\"\n{LAB}"));
    lab.egret_ok("task add web");
    lab.end_by(Signal::SIGKILL);
    let said = lab.up_again_named(Naming::Option);
    assert!(said.contains("resumed the lab of a killed run"), "{said}");
    assert_eq!(lab.ps().len(), 3, "with the task that was added by hand");
    assert!(!Path::new("/run/egret").join(lab.name_in_file()).exists());
}
