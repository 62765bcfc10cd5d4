//! `egret capture`: packets with their verdicts into a pcapng file.

use super::completion::values;
use super::follow::{self, Asked, Following};
use super::{CliError, LabArg, number, output};
use crate::daemon::Client;
use crate::daemon::watch::CaptureRequest;
use crate::edge::{self, own, shown};
use crate::explain::pcapng;
use clap_complete::engine::ArgValueCompleter;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The interval between two progress messages.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file has two interfaces: `inside` has what the task sends and gets, `outside` what leaves egret \
and comes back. Each packet's comment has the verdict, the reason and the rule. A dropped packet is \
on the side that it came from. A super-packet is written as the segments that a wire would have, \
with complete checksums. The inside and the outside copy of a packet have the same packet id \
(`epb_packetid`).

A file that exists is overwritten with --force only. Only its owner can read it. Packets that come \
faster than they can be written are left out, and counted at the end and in the file \
(`isb_ifdrop`). The file has everything that egret saw before Ctrl-C, SIGTERM or the end of \
--duration. A second Ctrl-C ends the capture at once, without the last packets.

Exit codes:
  0    ended by Ctrl-C, SIGTERM, --count or --duration
  1    the lab went down; the file is complete until then
  2    a usage error, an unknown name, a file that cannot be written, or no lab answers
  130  ended at once, by a second Ctrl-C or SIGTERM

Examples:
  sudo egret capture web -w web.pcapng             all tasks of web, both sides, until Ctrl-C
  sudo egret capture web/1 -w - | tcpdump -nr -    one task, read as it comes
  sudo egret capture eni-0ca70d0fc6c6374b8 -w eni.pcapng --side outside --count 100
  sudo egret capture nat-a -w nat.pcapng --duration 30s --snaplen 96
  tshark -r web.pcapng -Y 'frame.comment contains \"drop\"'    the dropped ones, with the rule")]
pub struct CaptureArgs {
    #[command(flatten)]
    lab: LabArg,
    /// An ENI or NAT gateway by id, device or name; a service, or one of its tasks
    #[arg(value_name = "ENI|SERVICE[/N]|NAT-GATEWAY", add = ArgValueCompleter::new(values::subjects))]
    subject: String,
    /// The file; - is standard output
    #[arg(short, long = "write", value_name = "FILE")]
    write: PathBuf,
    /// The side of the translation to capture
    #[arg(long, value_enum, default_value_t = Side::Both)]
    side: Side,
    /// End after N packets
    #[arg(long, value_name = "N", value_parser = number::positive)]
    count: Option<u64>,
    /// End after this time, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Bytes of each packet to keep
    #[arg(long, value_name = "BYTES", default_value_t = 65_535, value_parser = clap::value_parser!(u32).range(20..=65_535))]
    snaplen: u32,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
}

/// The side of the translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// As tasks send and get packets
    Inside,
    /// As packets leave egret and come back
    Outside,
    /// Both sides
    Both,
}

pub(super) fn run(args: CaptureArgs) -> Result<ExitCode, CliError> {
    follow::run(|asked| capture(args, asked))
}

async fn capture(args: CaptureArgs, asked: Asked) -> Result<ExitCode, CliError> {
    let request = CaptureRequest {
        subject: args.subject.clone(),
        inside: args.side != Side::Outside,
        outside: args.side != Side::Inside,
        count: args.count,
        snaplen: args.snaplen,
    };
    let answer = Client::new(args.lab.name()).follow("/v1/capture", &request).await?;
    // Only now: a lab that refuses leaves no empty file behind.
    let sink = open(&args.write, args.force)?;
    output::note(&format!("capturing {}; Ctrl-C ends it", args.subject));
    let mut tape = Tape { sink, rest: Vec::new(), packets: 0, left_out: 0, said: Instant::now() };
    let following = Following::new(answer, asked, args.duration);
    let end = record(&mut tape, following, &args).await;
    output::note(&tape.summary(&args.write));
    match end? {
        End::Asked => Ok(ExitCode::SUCCESS),
        End::LabDown(error) => Err(error.into()),
    }
}

/// The reason why a capture ended.
enum End {
    /// Its end was requested, or nothing reads it any more.
    Asked,
    /// The lab ended.
    LabDown(crate::daemon::ClientError),
}

async fn record(
    tape: &mut Tape,
    mut following: Following,
    args: &CaptureArgs,
) -> Result<End, CliError> {
    loop {
        match following.next().await {
            Ok(Some(bytes)) => match tape.take(&bytes) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Asked),
                Err(error) => {
                    return Err(CliError::Usage(format!(
                        "writing {}: {error}",
                        args.write.display()
                    )));
                }
                Ok(()) => {}
            },
            Ok(None) if following.was_to_end() => return Ok(End::Asked),
            Ok(None) if args.count.is_some_and(|count| tape.packets >= count) => {
                return Ok(End::Asked);
            }
            Ok(None) => return Ok(End::LabDown(following.went_down())),
            Err(error) => return Ok(End::LabDown(error)),
        }
    }
}

const NO_TEXT: &str =
    "a capture is binary: write it to a file, or pipe it to a program: `… -w - | tcpdump -nr -`";

fn open(path: &Path, force: bool) -> Result<Box<dyn Write>, CliError> {
    if path == Path::new("-") {
        let stdout = io::stdout();
        return match stdout.is_terminal() {
            true => Err(CliError::Usage(NO_TEXT.to_owned())),
            false => Ok(Box::new(stdout)),
        };
    }
    let opened = match force {
        true => edge::output::make_or_empty(path, own::PRIVATE),
        false => edge::output::make(path, own::PRIVATE),
    };
    let name = shown(&path.display().to_string()).into_owned();
    match opened {
        Ok(file) => Ok(Box::new(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(CliError::Usage(
            format!("{name} exists; choose another name, or --force to overwrite it"),
        )),
        Err(error) => Err(CliError::Usage(format!("creating {name}: {error}"))),
    }
}

/// The file that is being written: whole blocks only, so that it is valid whenever it ends.
struct Tape {
    sink: Box<dyn Write>,
    rest: Vec<u8>,
    packets: u64,
    left_out: u64,
    said: Instant,
}

impl Tape {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        let mut whole = 0;
        while let Some((kind, length)) =
            pcapng::first_block(self.rest.get(whole..).unwrap_or_default())
                .map_err(io::Error::other)?
        {
            let block = self.rest.get(whole..whole + length).unwrap_or_default();
            self.packets += u64::from(kind == pcapng::ENHANCED_PACKET);
            self.left_out = pcapng::left_out(block).unwrap_or(self.left_out);
            whole += length;
        }
        self.sink.write_all(self.rest.get(..whole).unwrap_or_default())?;
        self.sink.flush()?;
        self.rest.drain(..whole);
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            output::note(&format!("{} so far", self.reported()));
        }
        Ok(())
    }

    fn reported(&self) -> String {
        let packets = match self.packets {
            1 => "1 packet".to_owned(),
            n => format!("{n} packets"),
        };
        match self.left_out {
            0 => packets,
            n => format!("{packets}, and {n} left out for want of room,"),
        }
    }

    fn summary(&self, path: &Path) -> String {
        let place = match path == Path::new("-") {
            true => "to standard output".to_owned(),
            false => format!("in {}", shown(&path.display().to_string())),
        };
        format!("{} {place}", self.reported())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_whole_blocks_are_written_however_they_arrive() {
        let mut file = Vec::new();
        pcapng::begin(&mut file, "title", 60);
        pcapng::statistics(&mut file, 1, 2, 3);
        let sink = Sink::default();
        let mut tape = Tape {
            sink: Box::new(sink.clone()),
            rest: Vec::new(),
            packets: 0,
            left_out: 0,
            said: Instant::now(),
        };
        for byte in &file[..file.len() - 1] {
            tape.take(&[*byte]).unwrap();
            let written = sink.0.lock().unwrap().len();
            let mut blocks = &file[..written];
            while let Ok(Some((_, length))) = pcapng::first_block(blocks) {
                blocks = &blocks[length..];
            }
            assert!(blocks.is_empty(), "{written} bytes are whole blocks");
        }
        assert_eq!(tape.left_out, 0);
        tape.take(&file[file.len() - 1..]).unwrap();
        assert_eq!((tape.left_out, &*sink.0.lock().unwrap()), (3, &file));
        assert!(tape.take(&[1; 8]).is_err(), "no pcapng");
    }

    #[test]
    fn a_file_that_exists_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old.pcapng");
        std::fs::write(&path, "precious").unwrap();
        let refused = open(&path, false).map(drop).unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("exists; choose another name, or --force to overwrite it")
        );
        assert_eq!(refused.exit_code(), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        open(&path, true).map(drop).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
}
