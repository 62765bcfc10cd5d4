//! `egret-cni`: the plugin by which container engines attach containers to a lab, by version 1.1 of
//! the Container Network Interface (CNI). The engine gives the verb in `CNI_COMMAND` and a network
//! configuration on standard input; the answer, or the error, is JSON on standard output.

mod added;
mod check;
mod config;
mod environment;
mod error;
mod lab;
mod verbs;
mod version;

use super::output;
use super::runtime::runtime;
use crate::edge::input::read_from;
use config::Config;
use environment::{Verb, verb};
use error::{CniError, Code};
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use version::Version;

/// The name by which the program is the plugin.
const NAME: &str = "egret-cni";
/// The command that the name stands for.
const COMMAND: &str = "cni";
/// Bytes of the longest network configuration, with the results of earlier plugins.
const LONGEST: usize = 4 << 20;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A container engine runs the program by the name egret-cni. The verb is in CNI_COMMAND: ADD, DEL, \
CHECK, GC, STATUS or VERSION. The network configuration is on standard input. The answer is JSON on \
standard output, and so is an error.

Exit codes:
  0  done
  1  an error, which the answer describes with a code
  2  a usage error: there are no arguments

Examples:
  CNI_COMMAND=VERSION egret-cni < /dev/null
  CNI_COMMAND=STATUS egret cni <<< '{\"cniVersion\": \"1.1.0\", \"name\": \"shop\", \"service\": \"web\"}'")]
pub struct CniArgs {}

/// Returns the words of a command line as they are, or those of `egret cni` if a container engine
/// has called the program: by the plugin's name, or without any word and with a verb.
pub fn as_command(mut words: Vec<OsString>) -> Vec<OsString> {
    let name = words.first().and_then(|word| Path::new(word).file_name());
    let is_plugin = name.is_some_and(|name| name == NAME)
        || (words.len() == 1 && std::env::var_os(environment::COMMAND).is_some());
    if is_plugin {
        words.insert(1, COMMAND.into());
    }
    words
}

/// Answers a container engine.
///
/// # Errors
/// Standard output failed.
pub(super) fn run(_: &CniArgs) -> io::Result<ExitCode> {
    let text = read_from(&mut io::stdin().lock(), LONGEST);
    let version = text.as_ref().ok().and_then(|text| Version::of_text(text));
    let answered = match &text {
        Ok(text) => answer(text),
        Err(error) => Err(unread(error)),
    };
    let (answer, code) = match answered {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(error) => {
            let version = version.unwrap_or(Version::NEWEST);
            (Some(error.object(version.as_str())), ExitCode::FAILURE)
        }
    };
    if let Some(answer) = answer {
        output::out(|w| output::json(w, &answer))?;
    }
    Ok(code)
}

fn unread(error: &io::Error) -> CniError {
    CniError::new(Code::Io, format!("reading the network configuration: {error}"))
}

/// Answers a verb; `None` is an answer without text.
fn answer(text: &str) -> Result<Option<Value>, CniError> {
    let verb = verb()?;
    if verb == Verb::Version {
        return Ok(Some(version::answer(text)));
    }
    let attachment = environment::attachment(verb)?;
    let config = Config::parse(text, verb)?;
    let waiting = verbs::answer(verb, attachment, &config);
    runtime().map_err(|error| CniError::new(Code::Io, error))?.block_on(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_alone_makes_the_program_a_plugin() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (given, read) in [
            ("/opt/cni/bin/egret-cni", "/opt/cni/bin/egret-cni cni"),
            ("egret-cni --help", "egret-cni cni --help"),
            ("egret ps", "egret ps"),
            ("egret", "egret"),
        ] {
            assert_eq!(as_command(words(given)), words(read), "{given}");
        }
    }
}
