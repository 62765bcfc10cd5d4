//! What exists in the lab that a command line is about: the running lab that it names, or the lab
//! file.

use crate::cli::runtime::runtime;
use crate::config::Lab;
use crate::daemon::configuration::Configuration;
use crate::daemon::{Client, DEFAULT_LAB};
use crate::vpc::{Generation, Snapshot};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// Limits the wait for a running lab: a shell waits with its user.
const PATIENCE: Duration = Duration::from_millis(500);

/// The words of the command line that is completed.
static WORDS: OnceLock<Vec<String>> = OnceLock::new();

/// Sets the words of the command line.
pub(super) fn choose(words: &[OsString]) {
    // There is one command line.
    let _ = WORDS.set(words.iter().map(|word| word.to_string_lossy().into_owned()).collect());
}

/// Returns the words of the command line.
pub(super) fn words() -> &'static [String] {
    WORDS.get().map(Vec::as_slice).unwrap_or_default()
}

/// Returns the configuration that the command line is about: that of the file of `--config`, of the
/// running lab, or of another lab file among the words. `None` if there is none, or none that this
/// user may ask.
pub(super) fn lab() -> Option<Snapshot> {
    if let Some(file) = value("--config", words()) {
        return of_file(file);
    }
    let files = words().iter().rev().filter(|word| is_lab_file(Path::new(word)));
    running().or_else(|| files.into_iter().find_map(|file| of_file(file)))
}

/// Asks the running lab, which needs root.
pub(super) fn running() -> Option<Snapshot> {
    let of_environment = env::var("EGRET_LAB").ok().filter(|name| !name.is_empty());
    let name = value("--lab", words()).map(str::to_owned).or(of_environment);
    let name = name.unwrap_or_else(|| DEFAULT_LAB.to_owned());
    let name = crate::config::lab_name(&name).ok()?;
    let client = Client::new(&name);
    let asked = client.get::<Configuration>("/v1/configuration");
    let answer = runtime().ok()?.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    let (_, snapshot) = answer.ok()?.ok()?.lab().ok()?;
    Some(snapshot)
}

fn of_file(file: &str) -> Option<Snapshot> {
    // A pipe is read by the command itself.
    let text = Lab::read_regular(Path::new(file)).ok()?;
    Some(Lab::parse(file, &text).ok()?.lower(Generation::default()))
}

/// Decides by its name whether a file may be a lab file.
pub(super) fn is_lab_file(file: &Path) -> bool {
    file.extension() == Some(OsStr::new("toml"))
}

/// Returns the value of an option, as `--option VALUE`, `--option=VALUE`, or in the three words
/// that bash makes of the latter.
fn value<'a>(option: &str, words: &'a [String]) -> Option<&'a str> {
    let at = words.iter().rposition(|word| {
        word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })?;
    let value = match words.get(at)?.split_once('=') {
        Some((_, value)) => value,
        None => match words.get(at + 1)?.as_str() {
            "=" => words.get(at + 2)?,
            next => next,
        },
    };
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_of_an_option_is_found_in_each_form() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            value("--lab", &words).map(str::to_owned)
        };
        assert_eq!(of("egret ps --lab a").as_deref(), Some("a"));
        assert_eq!(of("egret ps --lab=a x").as_deref(), Some("a"));
        assert_eq!(of("egret ps --lab = a").as_deref(), Some("a"));
        assert_eq!(of("egret ps --labs a"), None);
        assert_eq!(of("egret ps --lab"), None);
        assert_eq!(of("egret ps --lab "), None);
    }
}
