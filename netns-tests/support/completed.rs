//! What shells make of a command line when Tab is pressed in it.

use std::path::Path;
use std::process::{Command, Output};

/// Loads the script, asks bash for the function that completes `egret`, and calls it as Tab does.
const IN_BASH: &str = r#"
source <(egret completions bash)
[[ $(complete -p egret) =~ -F\ ([^ ]+) ]] && function=${BASH_REMATCH[1]}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
word=${!#}
[[ $word == [:=] ]] && word=
"$function" egret "$word" ""
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// Returns what bash offers for the last word of a command line, in the words that bash makes of
/// it.
pub(crate) fn in_bash(egret: &Path, words: &[&str]) -> Vec<String> {
    let mut command = shell("bash", egret);
    lines(command.args(["--norc", "-c", IN_BASH, "bash"]).args(words))
}

/// Returns whether a shell is installed, and prints that its test is skipped if not.
pub(crate) fn is_installed(shell: &str) -> bool {
    let is_installed = Command::new(shell).arg("--version").output().is_ok();
    if !is_installed {
        println!("skipped: {shell} is not installed");
    }
    is_installed
}

/// Returns a shell that finds egret on its PATH.
pub(crate) fn shell(shell: &str, egret: &Path) -> Command {
    let mut command = Command::new(shell);
    let path = std::env::var("PATH").unwrap_or_default();
    let folder = egret.parent().unwrap().display().to_string();
    command.env("PATH", format!("{folder}:{path}"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("EGRET_LAB");
    command
}

/// Runs a command that must succeed and say nothing on standard error.
pub(crate) fn lines(command: &mut Command) -> Vec<String> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    assert_eq!(String::from_utf8_lossy(&stderr), "", "{command:?}");
    let text = String::from_utf8(stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
