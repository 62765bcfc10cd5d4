//! Completions that need no running lab.

use super::completed::{in_bash, is_installed, lines, shell};
use super::{LAB, command, egret, stderr, stdout};
use std::path::Path;
use std::process::Stdio;

fn bash(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    in_bash(Path::new(env!("CARGO_BIN_EXE_egret")), &words)
}

#[test]
fn bash_completes_commands_and_options() {
    assert_eq!(bash("egret ch"), ["check"]);
    assert_eq!(bash("egret task re"), ["remove", "repair"]);
    let all = bash("egret ");
    assert!(all.contains(&"explain".to_owned()) && !all.contains(&"man".to_owned()), "{all:?}");
    assert_eq!(bash("egret check --st"), ["--strict"]);
    assert_eq!(bash("egret check -o y"), ["yaml"]);
    assert_eq!(bash("egret drops --by "), ["reason", "rule", "service", "destination"]);
}

#[test]
fn bash_completes_reasons_and_rules() {
    assert_eq!(bash("egret drops --reason sg-untracked"), ["sg-untracked-flow"]);
    assert!(bash("egret drops --reason ").len() > 30);
    assert_eq!(bash("egret check --allow single-"), ["single-zone"]);
    assert_eq!(bash("egret trace --only d"), ["drops"]);
}

#[test]
fn bash_completes_what_is_in_the_lab_file_that_the_words_name() {
    let config = format!("egret explain --config {LAB} ");
    assert_eq!(bash(&config), ["web", "web/1"]);
    assert_eq!(bash(&format!("{config}web o")), ["orders-db"]);
    assert_eq!(bash(&format!("egret reach --config {LAB} --to orders")), ["orders-db"]);
    // Bash makes three words of `--config=FILE`, and replaces what is behind the `=` only.
    assert_eq!(bash(&format!("egret explain --config = {LAB} web/")), ["web/1"]);
    assert_eq!(bash("egret trace --only = ev"), ["events"]);
    // A word of the command line that is a lab file, where no lab runs.
    let flows = format!("egret flows --lab no-such-lab {LAB} --service ");
    assert_eq!(bash(&flows), ["web", "web/1"]);
}

#[test]
fn bash_completes_lab_files_and_folders_by_name() {
    let files = bash("egret check examples/m");
    assert_eq!(files, ["examples/minimal.toml"]);
    let all = bash("egret check examples/");
    assert!(all.contains(&"examples/vpc/".to_owned()), "{all:?}");
    assert!(!all.iter().any(|file| file.ends_with(".json")), "{all:?}");
    let compared = bash("egret diff examples/vpc-");
    assert!(compared.contains(&"examples/vpc-terraform.json".to_owned()), "{compared:?}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("my lab.toml"), "").unwrap();
    std::fs::write(directory.path().join("my\u{1b}[2J.toml"), "").unwrap();
    let quoted = bash(&format!("egret up {}/my", directory.path().display()));
    assert_eq!(quoted, [format!("{}/my\\ lab.toml", directory.path().display())]);
}

#[test]
fn fish_completes_as_bash_does() {
    if !is_installed("fish") {
        return;
    }
    let fish = |line: &str| {
        let mut fish = shell("fish", Path::new(env!("CARGO_BIN_EXE_egret")));
        let script = "egret completions fish | source; complete -C $argv";
        lines(fish.args(["-N", "-c", script, line]))
    };
    let commands = fish("egret ch");
    assert!(commands.iter().any(|line| line.starts_with("check\t")), "{commands:?}");
    let reasons = fish("egret drops --reason sg-untracked");
    assert!(reasons[0].starts_with("sg-untracked-flow\t"), "{reasons:?}");
    assert_eq!(fish(&format!("egret explain --config {LAB} ")).get(..2).unwrap(), ["web", "web/1"]);
}

#[test]
fn scripts_are_sound_in_the_syntax_of_their_shells() {
    for name in ["bash", "zsh", "fish"] {
        let script = egret(&["completions", name]);
        assert_eq!((script.status.code(), stderr(&script).as_str()), (Some(0), ""));
        if !is_installed(name) {
            continue;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &script.stdout).unwrap();
        let mut checked = shell(name, Path::new(env!("CARGO_BIN_EXE_egret")));
        let checked = checked.arg("-n").arg(file.path()).output().unwrap();
        assert_eq!((checked.status.code(), stderr(&checked).as_str()), (Some(0), ""), "{name}");
    }
    let unknown = egret(&["completions", "tcsh"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("bash, zsh, fish"), "{}", stderr(&unknown));
}

/// An error must not show in a command line that the user types.
#[test]
fn completion_that_cannot_answer_is_silent() {
    let asked = |shell: &str, words: &[&str]| {
        let output = command(words).env("EGRET_COMPLETE", shell).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{words:?}");
        stdout(&output)
    };
    assert_eq!(asked("tcsh", &["--", "egret", "ch"]), "");
    assert_eq!(asked("bash", &["--"]), "");
    assert_eq!(asked("bash", &["--", "egret", "no-such", "x"]), "");
    assert_eq!(
        asked("zsh", &["--", "egret", "explain", "--config", "no-such.toml", ""]).trim(),
        ""
    );
    // The variable alone completes nothing, so that a command still runs.
    assert!(asked("bash", &["--version"]).starts_with("egret "));
    assert!(asked("", &["--version"]).starts_with("egret "));
    let mut closed = command(&["--", "egret", ""]);
    let (_, stdout) = std::io::pipe().unwrap();
    let closed = closed.env("EGRET_COMPLETE", "bash").stdout(stdout).stderr(Stdio::piped());
    let closed = closed.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((closed.status.code(), stderr(&closed).as_str()), (Some(0), ""));
}
