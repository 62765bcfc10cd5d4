//! `egret top`: shows the traffic second by second.

use super::format::{Formats, OutputArgs, Rows, Stream};
use super::lines::Lines;
use super::number;
use super::running_lab::fetch_names;
use super::runtime::runtime;
use super::screen::Screen;
use super::stop::Stop;
use super::{CliError, LabArg, output};
use crate::daemon::top::{TopBy, TopRequest};
use crate::daemon::{Answer, Client};
use crate::explain::{self, TopTable};
use crate::linux::terminal::size;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Rows if there is no terminal to fill.
const ROWS: usize = 40;
/// Rows that the lab sends for a terminal, which may become larger meanwhile.
const MOST: usize = 200;
/// Lines around the rows: a heading, what was left out, drops, and the one with the cursor.
const AROUND: usize = 4;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rates are per second, from tasks and back to them, of packets as they are on a wire. The busiest \
come first. If standard output is no terminal, each table is printed below the one before. A flow \
that ends between two tables is not in the second one; ENIs and gateways still count its packets.

Exit codes:
  0  ended by q, Ctrl-C, SIGTERM or --count
  1  the lab went down
  2  a usage error, or no lab answers

Examples:
  sudo egret top                          the busiest flows each second; q or Ctrl-C ends it
  sudo egret top --by enis --interval 5s
  sudo egret top --by services --count 1  one table of one second, for a script
  sudo egret top --json | jq -c '.drops'  one object a line
  sudo egret top --by enis --count 60 -o csv > minute.csv")]
pub struct TopArgs {
    #[command(flatten)]
    lab: LabArg,
    /// Show one row for each of these
    #[arg(long, value_enum, default_value_t = TopBy::Flows)]
    by: TopBy,
    /// The time between two tables
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = number::period)]
    interval: Duration,
    /// End after N tables
    #[arg(long, value_name = "N", value_parser = number::positive)]
    count: Option<u64>,
    #[command(flatten)]
    output: OutputArgs<Tables>,
}

/// The formats of `egret top`.
#[derive(Debug)]
pub struct Tables;

impl Formats for Tables {
    const CSV: Option<&'static str> = Some("One row for each row of a table, after its number");
    const NAME: Option<&'static str> = None;
}

const TABLES: Rows = Rows {
    lists: &["/rows"],
    columns: &[
        "name",
        "flows",
        "bits_out",
        "packets_out",
        "bits_in",
        "packets_in",
        "offloaded_bits",
    ],
    document: Some("table"),
    ..Rows::NONE
};

pub(super) fn run(args: &TopArgs) -> Result<ExitCode, CliError> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(top(args));
    // A read for a key that is never pressed is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn top(args: &TopArgs) -> Result<ExitCode, CliError> {
    let mut stop = Stop::listen()?;
    let live = args.output.format.is_text() && size().is_some();
    let request = TopRequest {
        by: args.by,
        interval_ms: u64::try_from(args.interval.as_millis()).unwrap_or(u64::MAX),
        count: args.count,
        limit: if live { MOST } else { ROWS },
    };
    let client = Client::new(args.lab.name());
    let answer = client.follow("/v1/top", &request).await?;
    fetch_names(&client).await;
    let screen = if live { Screen::take()? } else { None };
    tokio::select! {
        shown = show(answer, args, screen.as_ref()) => shown,
        () = stop.wait() => Ok(ExitCode::SUCCESS),
        () = Screen::quit(screen.as_ref()) => Ok(ExitCode::SUCCESS),
    }
}

async fn show(
    mut answer: Answer,
    args: &TopArgs,
    screen: Option<&Screen>,
) -> Result<ExitCode, CliError> {
    let mut lines = Lines::default();
    let mut stream = Stream::new(args.output.format, &TABLES);
    output::more(|w| stream.begin(w))?;
    let mut shown = 0;
    while let Some(bytes) = answer.next().await? {
        lines.take(&bytes);
        while let Some(line) = lines.next() {
            let read_on = match (args.output.format.is_text(), screen) {
                (false, _) => output::more(|w| stream.document(w, &line))?,
                (true, Some(screen)) => screen.draw(&text(&line, args, true)?)?,
                (true, None) => {
                    let text = text(&line, args, false)?;
                    output::more(|w| w.write_all(&text).and_then(|()| writeln!(w)))?
                }
            };
            if !read_on {
                return Ok(ExitCode::SUCCESS);
            }
            shown += 1;
        }
    }
    match args.count {
        Some(count) if shown >= count => Ok(ExitCode::SUCCESS),
        Some(_) | None => Err(answer.went_down().into()),
    }
}

/// Returns a table with its drops; on a screen with as many of the busiest rows as fit.
fn text(line: &[u8], args: &TopArgs, on_screen: bool) -> io::Result<Vec<u8>> {
    let mut table: TopTable = serde_json::from_slice(line).map_err(io::Error::other)?;
    output::fit();
    if let Some(size) = size().filter(|_| on_screen) {
        let most = size.rows.saturating_sub(AROUND).max(1);
        table.more += table.rows.len().saturating_sub(most);
        table.rows.truncate(most);
    }
    let mut text = Vec::new();
    print(&mut text, &table, args)?;
    Ok(text)
}

fn print(w: &mut dyn Write, table: &TopTable, args: &TopArgs) -> io::Result<()> {
    explain::print(w, &table.rows, &args.output.format.style())?;
    if table.more > 0 {
        writeln!(w, "… and {} more", table.more)?;
    }
    let drops: Vec<String> =
        table.drops.iter().map(|(reason, rate)| format!("{reason} {rate}")).collect();
    match drops.is_empty() {
        true => writeln!(w, "no drops in {}", humantime::format_duration(args.interval)),
        false => writeln!(w, "drops a second: {}", drops.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;
    use crate::explain::TopRow;

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&TABLES, ""), fields::<TopRow>());
    }
}
