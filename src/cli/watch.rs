//! Shows the answer of a running lab once, or again and again.

use super::format::{Format, Rows, Stream};
use super::running_lab::fetch_names;
use super::runtime::runtime;
use super::screen::Screen;
use super::stop::Stop;
use super::table_args::TableArgs;
use super::{CliError, output};
use crate::daemon::Client;
use crate::explain::{self, Row};
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::time::MissedTickBehavior;

/// A table of a running lab, and the way in which it is shown.
pub(super) struct Listing<'a, A, R> {
    /// The lab whose names of objects are shown; `None` for a table of no single lab.
    pub(super) client: Option<&'a Client>,
    pub(super) args: &'a TableArgs<A>,
    pub(super) format: Format,
    pub(super) rows: &'static Rows,
    /// Writes what people see below the table.
    pub(super) below: fn(&mut dyn Write, &[R]) -> io::Result<()>,
}

impl<A, R: Row> Listing<'_, A, R> {
    /// Shows the table, again and again if so requested.
    ///
    /// # Errors
    /// Those of `get`, which asks the lab, and of standard output; an unknown column.
    pub(super) fn show(
        &self,
        get: impl AsyncFn() -> Result<Vec<R>, CliError>,
    ) -> Result<ExitCode, CliError> {
        // An unknown column is known without the lab.
        self.args.style::<R>(self.format)?;
        let runtime = runtime()?;
        let shown = runtime.block_on(async {
            // Without a lab there is nothing to clear a screen for.
            let first = get().await?;
            if let (Format::Table, Some(client)) = (self.format, self.client) {
                fetch_names(client).await;
            }
            match self.args.watch {
                None => self.print(&first),
                Some(_) => self.watch(first, get).await,
            }
        });
        // A read for a key that is never pressed is not waited for.
        runtime.shutdown_background();
        shown
    }

    fn print(&self, list: &[R]) -> Result<ExitCode, CliError> {
        // No text is made of what no person reads.
        let text = if self.format.is_text() { self.text(list)? } else { Text::default() };
        self.format.print(self.rows, || list, |w| w.write_all(&text.table))?;
        text.write_notes();
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, list: &[R]) -> Result<Text, CliError> {
        let style = self.args.style::<R>(self.format)?;
        let mut text = Text::default();
        explain::print(&mut text.table, list, &style)?;
        // A program that reads lines without headings takes each for a row.
        let below = if style.without_headings { &mut text.notes } else { &mut text.table };
        (self.below)(below, list)?;
        Ok(text)
    }

    async fn watch(
        &self,
        first: Vec<R>,
        get: impl AsyncFn() -> Result<Vec<R>, CliError>,
    ) -> Result<ExitCode, CliError> {
        let mut stop = Stop::listen()?;
        let screen = if self.format.is_text() { Screen::take()? } else { None };
        tokio::select! {
            shown = self.repeat(first, get, screen.as_ref()) => shown,
            () = stop.wait() => Ok(ExitCode::SUCCESS),
            () = Screen::quit(screen.as_ref()) => Ok(ExitCode::SUCCESS),
        }
    }

    async fn repeat(
        &self,
        first: Vec<R>,
        get: impl AsyncFn() -> Result<Vec<R>, CliError>,
        screen: Option<&Screen>,
    ) -> Result<ExitCode, CliError> {
        let mut ticks = tokio::time::interval(self.args.watch.unwrap_or_default());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut stream = Stream::new(self.format, self.rows);
        output::more(|w| stream.begin(w))?;
        let mut list = first;
        while self.draw(&list, screen, &mut stream)? {
            ticks.tick().await;
            list = get().await?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows one table; returns whether it still has a reader.
    fn draw(
        &self,
        list: &[R],
        screen: Option<&Screen>,
        stream: &mut Stream<'_>,
    ) -> Result<bool, CliError> {
        if !self.format.is_text() {
            let line = serde_json::to_vec(list).map_err(io::Error::other)?;
            return Ok(output::more(|w| stream.document(w, &line))?);
        }
        output::fit();
        let text = self.text(list)?;
        Ok(match screen {
            Some(screen) => screen.draw(&[text.table, text.notes].concat())?,
            None => {
                let goes_on =
                    output::more(|w| w.write_all(&text.table).and_then(|()| writeln!(w)))?;
                text.write_notes();
                goes_on
            }
        })
    }
}

/// A table, and what is not to stand below it.
#[derive(Default)]
struct Text {
    table: Vec<u8>,
    notes: Vec<u8>,
}

impl Text {
    /// Writes the notes to standard error.
    fn write_notes(&self) {
        let notes = String::from_utf8_lossy(&self.notes);
        if !notes.trim().is_empty() {
            output::note(notes.trim());
        }
    }
}

/// Writes nothing below a table.
pub(super) fn nothing<R>(_: &mut dyn Write, _: &[R]) -> io::Result<()> {
    Ok(())
}
