//! The arguments that say how a table is drawn.

use super::CliError;
use super::completion::values;
use super::format::Format;
use super::number;
use crate::config::suggestion;
use crate::explain::{Row, TableStyle, position_of};
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::engine::ArgValueCompleter;
use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

const COLUMNS: &str = "columns";
const NO_HEADERS: &str = "no_headers";
const WATCH: &str = "watch";

/// How a table of rows `R` is drawn, and how often.
pub(super) struct TableArgs<R> {
    columns: Vec<String>,
    no_headers: bool,
    /// The time between two tables, of a command that goes on.
    pub(super) watch: Option<Duration>,
    rows: PhantomData<fn() -> R>,
}

impl<R> TableArgs<R> {
    /// Returns the style of a table in a format.
    ///
    /// # Errors
    /// A column is unknown, or the format is none of tables.
    pub(super) fn style<S: Row>(&self, format: Format) -> Result<TableStyle, CliError> {
        let given = [("--columns", !self.columns.is_empty()), ("--no-headers", self.no_headers)];
        let given = given.into_iter().find(|(_, is_given)| *is_given);
        if let Some((option, _)) = given.filter(|_| !format.is_text()) {
            return Err(CliError::Usage(format!(
                "{option} is for tables, and -o {} is none: leave out one of the two",
                format.name()
            )));
        }
        let positions: Result<Vec<usize>, CliError> =
            self.columns.iter().map(|name| position::<S>(name.trim())).collect();
        Ok(TableStyle {
            wide: format.is_wide(),
            without_headings: self.no_headers,
            columns: Some(positions?).filter(|positions| !positions.is_empty()),
        })
    }
}

fn position<S: Row>(name: &str) -> Result<usize, CliError> {
    position_of::<S>(name).ok_or_else(|| {
        let valid: Vec<String> = names::<S>();
        let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
        let hint = suggestion(&name.to_lowercase(), &valid);
        CliError::Usage(format!("the table has no column `{name}`; {hint}"))
    })
}

/// Lists the columns as a command line names them.
fn names<S: Row>() -> Vec<String> {
    S::COLUMNS.iter().map(|column| column.heading.to_lowercase()).collect()
}

impl<R> Clone for TableArgs<R> {
    fn clone(&self) -> Self {
        let Self { columns, no_headers, watch, rows } = self;
        Self { columns: columns.clone(), no_headers: *no_headers, watch: *watch, rows: *rows }
    }
}

impl<R> fmt::Debug for TableArgs<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { columns, no_headers, watch, .. } = self;
        f.debug_struct("TableArgs")
            .field(COLUMNS, columns)
            .field(NO_HEADERS, no_headers)
            .field(WATCH, watch)
            .finish()
    }
}

impl<R: Row> clap::Args for TableArgs<R> {
    fn augment_args(command: Command) -> Command {
        let columns = Arg::new(COLUMNS)
            .long("columns")
            .value_name("COLUMN,COLUMN")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .add(ArgValueCompleter::new(|current: &OsStr| values::of_list(current, &names::<R>())))
            .help("Show these columns, whole and in this order")
            .long_help(format!(
                "Show these columns, whole and in this order, however wide the table gets: {}",
                names::<R>().join(", ")
            ));
        let no_headers = Arg::new(NO_HEADERS)
            .long("no-headers")
            .action(ArgAction::SetTrue)
            .help("Leave out the headings; print nothing if there are no rows");
        let watch = Arg::new(WATCH)
            .long("watch")
            .short('w')
            .value_name("TIME")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("2s")
            .value_parser(number::period)
            .help("Show it again each TIME, 2s if left out, until q or Ctrl-C");
        command.arg(columns).arg(no_headers).arg(watch)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<R: Row> clap::FromArgMatches for TableArgs<R> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let columns = matches.get_many::<String>(COLUMNS).into_iter().flatten().cloned().collect();
        Ok(Self {
            columns,
            no_headers: matches.get_flag(NO_HEADERS),
            watch: matches.get_one(WATCH).copied(),
            rows: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::explain::{HolderRow, PsRow};
    use clap::{Args as _, FromArgMatches as _};

    fn parsed(words: &[&str]) -> TableArgs<PsRow> {
        let command = TableArgs::<PsRow>::augment_args(Command::new("ps"));
        let matches = command.try_get_matches_from([&["ps"], words].concat()).unwrap();
        TableArgs::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn columns_are_found_by_their_headings_in_any_case() {
        let style = parsed(&["--columns", "eni,TASK"]).style::<PsRow>(Format::Table).unwrap();
        assert_eq!(style.columns, Some(vec![4, 0]));
        assert_eq!(parsed(&[]).style::<PsRow>(Format::Wide).unwrap().columns, None);
    }

    #[test]
    fn unknown_column_is_an_error_with_those_of_the_table() {
        let unknown = parsed(&["--columns=subnets"]);
        let error = unknown.style::<PsRow>(Format::Table).unwrap_err().to_string();
        let hint = "the table has no column `subnets`; did you mean \"subnet\"? Valid here: task, ";
        assert!(error.starts_with(hint), "{error}");
        let error = unknown.style::<HolderRow>(Format::Table).unwrap_err().to_string();
        assert!(error.ends_with("destination, taken, limit, task, ports"), "{error}");
    }

    #[test]
    fn arguments_of_tables_are_for_tables() {
        for words in [&["--columns=task"][..], &["--no-headers"]] {
            let error = parsed(words).style::<PsRow>(Format::Csv).unwrap_err().to_string();
            assert!(error.ends_with("and -o csv is none: leave out one of the two"), "{error}");
        }
    }

    #[test]
    fn time_between_tables_may_be_left_out() {
        assert_eq!(parsed(&[]).watch, None);
        assert_eq!(parsed(&["--watch"]).watch, Some(Duration::from_secs(2)));
        assert_eq!(parsed(&["-w=500ms"]).watch, Some(Duration::from_millis(500)));
    }
}
