//! Answers the script of a shell. After any error the shell gets no candidate: a message would
//! disturb the command line that the user types.

use super::super::{Cli, output};
use super::{VARIABLE, joined, known};
use crate::edge::is_hidden;
use clap::CommandFactory as _;
use clap_complete::env::{EnvCompleter, Fish, Zsh};
use std::env;
use std::ffi::OsString;
use std::io;
use std::panic;
use std::process::ExitCode;

/// The most bytes that are written: a terminal shows no more, and a shell sorts no more at once.
const MOST: usize = 1 << 20;

/// Answers if a shell asks, with `words` as `egret -- WORD...`. Returns `None` if none does: the
/// words are then a command.
pub fn answer(words: &[OsString]) -> Option<ExitCode> {
    let shell = env::var_os(VARIABLE)?;
    let [_, separator, words @ ..] = words else { return None };
    if shell.is_empty() || separator != "--" {
        return None;
    }
    // A fault of a completer is no reason to disturb the command line either.
    panic::set_hook(Box::new(|_| {}));
    let asked = || candidates(&shell.to_string_lossy(), words.to_vec());
    if let Ok(Ok(text)) = panic::catch_unwind(asked)
        && text.len() <= MOST
    {
        let _ = output::raw(&text);
    }
    Some(ExitCode::SUCCESS)
}

/// Returns what the script of a shell reads.
fn candidates(shell: &str, words: Vec<OsString>) -> io::Result<Vec<u8>> {
    known::choose(&words);
    let mut command = Cli::command();
    let folder = env::current_dir().ok();
    let mut text = Vec::new();
    match shell {
        "bash" => joined::write(&mut command, words, folder.as_deref(), &mut text)?,
        "zsh" => Zsh.write_complete(&mut command, words, folder.as_deref(), &mut text)?,
        "fish" => Fish.write_complete(&mut command, words, folder.as_deref(), &mut text)?,
        _ => return Ok(text),
    }
    match shell {
        "bash" => Ok(text),
        _ => Ok(without_hidden(&String::from_utf8_lossy(&text)).into_bytes()),
    }
}

/// Leaves out candidates whose names could command the terminal. A tab is before what a candidate
/// is about.
fn without_hidden(text: &str) -> String {
    let is_safe = |line: &&str| !line.contains(|c| c != '\t' && is_hidden(c));
    text.lines().filter(is_safe).map(|line| format!("{line}\n")).collect()
}
