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
        let text = if self.format.is_text() { self.text(list)? } else { Vec::new() };
        self.format.print(self.rows, || list, |w| w.write_all(&text))?;
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, list: &[R]) -> Result<Vec<u8>, CliError> {
        let mut text = Vec::new();
        explain::print(&mut text, list, &self.args.style::<R>(self.format)?)?;
        (self.below)(&mut text, list)?;
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
            Some(screen) => screen.draw(&text)?,
            None => output::more(|w| w.write_all(&text).and_then(|()| writeln!(w)))?,
        })
    }
}

/// Writes nothing below a table.
pub(super) fn nothing<R>(_: &mut dyn Write, _: &[R]) -> io::Result<()> {
    Ok(())
}
