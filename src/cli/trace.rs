//! `egret trace`: shows verdicts of real packets as they happen.

use super::completion::values;
use super::follow::{self, Asked, Following};
use super::format::{Formats, OutputArgs, Rows, Stream};
use super::lines::Lines;
use super::number;
use super::output::{self, ColorChoice};
use super::running_lab::fetch_names;
use super::selection::SelectionArgs;
use super::{CliError, LabArg};
use crate::daemon::Client;
use crate::daemon::watch::TraceRequest;
use crate::explain::{LAB_DOWN, Look, TraceRow, TraceText};
use clap_complete::engine::ArgValueCompleter;
use std::io;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
INSIDE is the task, SERVER is the other end, and OUTSIDE is the source address that the other end \
sees. `->` leaves the task, `<-` comes back to it, and `--` is an event of a flow. Times are UTC. \
A record shows what happened under the configuration of that moment; nothing is evaluated again. \
All stages see the first packet of a flow only. Later packets are flow hits, and -v says so. Packets \
that tc or a full queue drops do not reach the engine: `egret drops` counts them.

While flows are watched, user space carries those that the kernel carried before. Their next packet \
after the end goes back to the kernel. User space has a lower throughput: a line says how many flows \
these are. Another one says how many packets full queues dropped meanwhile, at most once a second \
and at the end.

At most 1,000 records a second are shown, and none waits for a slow reader; a line says how many \
were left out. Ctrl-C, SIGTERM or --count ends the trace after the records until then. A second \
Ctrl-C ends it at once.

Exit codes:
  0    ended by Ctrl-C, SIGTERM or --count
  1    the lab went down
  2    a usage error, an unknown name, or no lab answers
  130  ended at once, by a second Ctrl-C or SIGTERM

Examples:
  sudo egret trace --only drops                         dropped packets, each with its rule
  sudo egret trace --service web --dst orders-db:5432   from one service to one server, and back
  sudo egret trace --service web/2 -v --count 1         the next packet of a task, stage by stage
  sudo egret trace --only events                        flows that begin, close, expire or end
  sudo egret trace --json | jq -r 'select(.reason) | .rule'     one object a line
  sudo egret trace --count 100 -o csv > trace.csv")]
pub struct TraceArgs {
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Show only dropped packets, only forwarded packets, or only events of flows
    #[arg(long, value_name = "drops|forwards|events", add = ArgValueCompleter::new(values::kinds_of_records))]
    only: Option<String>,
    /// End after N records
    #[arg(long, value_name = "N", value_parser = number::positive)]
    count: Option<u64>,
    /// Show every stage of each packet
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    output: OutputArgs<Records>,
}

/// The formats of `egret trace`.
#[derive(Debug)]
pub struct Records;

impl Formats for Records {
    const CSV: Option<&'static str> = Some("One row for each record");
    const NAME: Option<&'static str> = None;
}

const RECORDS: Rows = Rows {
    lists: &[""],
    columns: &[
        "time",
        "record",
        "generation",
        "task",
        "eni",
        "nat_gateway",
        "side",
        "inside.src",
        "inside.sport",
        "inside.dst",
        "inside.dport",
        "inside.protocol",
        "outside.src",
        "outside.sport",
        "outside.dst",
        "outside.dport",
        "outside.protocol",
        "reason",
        "answered",
        "rule",
        "line",
        "hit",
        "segments",
        "bytes",
        "steps",
        "left_out",
        "flows",
        "lost",
    ],
    ..Rows::NONE
};

pub(super) fn run(args: TraceArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    follow::run(move |asked| trace(args, color, asked))
}

async fn trace(args: TraceArgs, color: ColorChoice, asked: Asked) -> Result<ExitCode, CliError> {
    let request = TraceRequest {
        selection: args.selection.selection(args.only.as_deref()),
        steps: args.verbose,
        count: args.count,
    };
    let client = Client::new(args.lab.name());
    let answer = client.follow("/v1/trace", &request).await?;
    fetch_names(&client).await;
    let mut answer = Following::new(answer, asked, None);
    output::note(&format!("watching lab `{}`; Ctrl-C ends it", args.lab.name()));
    let mut text =
        TraceText::new(Look { color: color.on_stdout(), wide: args.output.format.is_wide() });
    let mut stream = Stream::new(args.output.format, &RECORDS);
    output::more(|w| stream.begin(w))?;
    let mut lines = Lines::default();
    let mut left = args.count;
    while let Some(bytes) = answer.next().await? {
        lines.take(&bytes);
        while let Some(line) = lines.next() {
            let row: TraceRow = serde_json::from_slice(&line).map_err(io::Error::other)?;
            if row.record == LAB_DOWN {
                return Err(answer.went_down().into());
            }
            if !row.is_about_the_trace() {
                left = left.map(|left| left.saturating_sub(1));
            }
            let read_on = output::more(|w| match args.output.format.is_text() {
                true => text.write(w, &row),
                false => stream.document(w, &line),
            })?;
            if !read_on {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    // An answer that ended before its end was requested is the lab's end.
    match left == Some(0) || answer.was_to_end() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(answer.went_down().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;
    use crate::explain::Endpoints;

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&RECORDS, ""), fields::<TraceRow>());
        assert_eq!(keys(&RECORDS, "inside"), fields::<Endpoints>());
        assert_eq!(keys(&RECORDS, "outside"), fields::<Endpoints>());
    }
}
