//! `egret logs`: the log of a lab that `egret up -d` has started.

use super::lab_log::LabLog;
use super::runtime::runtime;
use super::{CliError, LabArg, number, output};
use crate::daemon::{labs, state};
use crate::edge::own;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::time::Duration;

/// The pause between two looks at a log that is followed.
const AGAIN: Duration = Duration::from_millis(250);
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The log is of the present run, or of the last one if the lab is down. The run before is in the file \
with `.1` at its end, in /var/log/egret or where `egret up --log` said.

Characters that could command a terminal are shown by their numbers.

Exit codes:
  0  the log is shown; with --follow, the lab has ended too
  1  the log cannot be read
  2  a usage error, or the lab has no log: it runs in the foreground, or never ran

Examples:
  sudo egret logs
  sudo egret logs --lab shop -n 20
  sudo egret logs --follow           until the lab ends, or Ctrl-C")]
pub struct LogsArgs {
    #[command(flatten)]
    lab: LabArg,
    /// Show only the last N lines
    #[arg(long, short = 'n', value_name = "N", value_parser = number::positive)]
    lines: Option<u64>,
    /// Go on with what the lab adds, until it ends
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn run(args: &LogsArgs) -> Result<ExitCode, CliError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(CliError::Usage("logs are for root only: run it with sudo".to_owned()));
    }
    let lab = args.lab.name();
    let log = find(lab)?;
    let mut file = open(lab, &log)?;
    if let Some(lines) = args.lines {
        let begin = begin_of_last(&file, lines)?;
        file.seek(SeekFrom::Start(begin))?;
    }
    let mut reader = Lines { file, partial: Vec::new() };
    runtime()?.block_on(async {
        loop {
            // Looked at before the log is read: what the lab adds at its end is shown.
            let goes_on = args.follow && labs::process_of(lab).is_some();
            if !reader.show(!goes_on)? || !goes_on {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(AGAIN).await;
        }
    })
}

/// Finds the log of a lab: that of its process, or that of its last one.
fn find(lab: &str) -> Result<LabLog, CliError> {
    if let Some(path) = state::log(lab)? {
        return Ok(LabLog::at(path));
    }
    match labs::process_of(lab) {
        None => Ok(LabLog::usual(lab)),
        Some(process) => Err(CliError::Usage(format!(
            "lab `{lab}` (process {process}) has no log, since `egret up -d` did not start it: what it prints is on its \
             terminal, or in the journal of its service (`journalctl -u egret@{lab}`)"
        ))),
    }
}

fn open(lab: &str, log: &LabLog) -> Result<File, CliError> {
    let path = log.path();
    own::open_to_read(path).map_err(|error| {
        let path = path.display();
        if error.kind() == io::ErrorKind::NotFound {
            return CliError::Usage(format!(
                "lab `{lab}` has no log {path}: `sudo egret up -d FILE --lab {lab}` starts it in the background"
            ));
        }
        let said = format!("cannot read the log {path}: {error}");
        io::Error::new(error.kind(), said).into()
    })
}

/// Returns where the last lines of a file begin.
fn begin_of_last(file: &File, lines: u64) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let (mut end, mut left) = (length, lines);
    while end > 0 {
        let begin = end.saturating_sub(CHUNK as u64);
        let mut chunk = vec![0; usize::try_from(end - begin).unwrap_or(CHUNK)];
        file.read_exact_at(&mut chunk, begin)?;
        let back = (begin..end).rev().zip(chunk.iter().rev());
        let ends = back.filter(|(_, byte)| **byte == b'\n');
        // The end of the last line begins no other.
        for next in ends.map(|(at, _)| at + 1).filter(|next| *next < length) {
            left -= 1;
            if left == 0 {
                return Ok(next);
            }
        }
        end = begin;
    }
    Ok(0)
}

/// A log, line by line.
struct Lines {
    file: File,
    /// The begin of a line that is not complete yet.
    partial: Vec<u8>,
}

impl Lines {
    /// Shows the lines that were added, and if it is the end, a line that is not complete too.
    /// Returns whether there is still a reader.
    fn show(&mut self, is_end: bool) -> io::Result<bool> {
        loop {
            let before = self.partial.len();
            let read = self.file.by_ref().take(CHUNK as u64).read_to_end(&mut self.partial)?;
            let complete = match self.partial.iter().rposition(|byte| *byte == b'\n') {
                Some(at) => at + 1,
                None if is_end && read == 0 => self.partial.len(),
                // A line without an end is shown in parts.
                None if before >= CHUNK => self.partial.len(),
                None => 0,
            };
            let lines: Vec<u8> = self.partial.drain(..complete).collect();
            let text = String::from_utf8_lossy(&lines);
            if !output::more(|w| w.write_all(text.as_bytes()))? {
                return Ok(false);
            }
            if read == 0 && (self.partial.is_empty() || !is_end) {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::io::Write as _;

    fn last(text: &str, lines: u64) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let begin = begin_of_last(&file, lines).unwrap();
        text[usize::try_from(begin).unwrap()..].to_owned()
    }

    #[test]
    fn last_lines_are_counted_from_the_end_complete_or_not() {
        assert_eq!(last("a\nb\nc\n", 1), "c\n");
        assert_eq!(last("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last("a\nb\nc", 1), "c");
        assert_eq!(last("a\n\n", 1), "\n");
        assert_eq!(last("a\nb", 9), "a\nb");
        assert_eq!(last("", 1), "");
        let long = "x".repeat(CHUNK);
        assert_eq!(last(&format!("a\n{long}\nb\n"), 2), format!("{long}\nb\n"));
    }
}
