//! The arguments that choose a format.

use super::formats::Format;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum as _};
use std::fmt;
use std::marker::PhantomData;

/// The id of `-o`.
pub(in crate::cli) const FORMAT: &str = "output_format";
/// The id of `--json`.
pub(in crate::cli) const JSON: &str = "json";

/// The formats of a command beside table, wide, json and yaml.
pub trait Formats {
    /// A description of a csv row; `None` if the answer has no rows.
    const CSV: Option<&'static str>;
    /// A description of the lines of name; `None` if nothing in the answer has a name.
    const NAME: Option<&'static str>;
    /// A description of the text for people, if it is no table that fits a terminal.
    const TABLE: Option<&'static str> = None;
    /// A description of the text that leaves nothing out, if it is no table.
    const WIDE: Option<&'static str> = None;
}

/// The format that `-o FORMAT` or `--json` chooses.
pub struct OutputArgs<F> {
    /// The format.
    pub format: Format,
    formats: PhantomData<fn() -> F>,
}

impl<F> Clone for OutputArgs<F> {
    fn clone(&self) -> Self {
        Self { format: self.format, formats: PhantomData }
    }
}

impl<F> fmt::Debug for OutputArgs<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputArgs").field("format", &self.format).finish()
    }
}

/// Lists the formats of a command, each with its help.
fn possible_values<F: Formats>() -> Vec<PossibleValue> {
    let shown = |format: &Format| {
        let value = format.to_possible_value()?;
        match format {
            Format::Table => Some(described(value, F::TABLE)),
            Format::Wide => Some(described(value, F::WIDE)),
            Format::Json | Format::Yaml => Some(value),
            Format::Csv => F::CSV.map(|help| value.help(help)),
            Format::Name => F::NAME.map(|help| value.help(help)),
        }
    };
    Format::value_variants().iter().filter_map(shown).collect()
}

fn described(value: PossibleValue, help: Option<&'static str>) -> PossibleValue {
    match help {
        Some(help) => value.help(help),
        None => value,
    }
}

impl<F: Formats> clap::Args for OutputArgs<F> {
    fn augment_args(command: Command) -> Command {
        let parser = PossibleValuesParser::new(possible_values::<F>());
        let format = Arg::new(FORMAT)
            .short('o')
            .long("output")
            .value_name("FORMAT")
            .value_parser(parser.try_map(|word| Format::from_str(&word, false)))
            .default_value("table")
            .help("Print the answer in this format");
        let json = Arg::new(JSON)
            .long("json")
            .action(ArgAction::SetTrue)
            .conflicts_with(FORMAT)
            .help("As JSON: short for -o json");
        command.arg(format).arg(json)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<F: Formats> clap::FromArgMatches for OutputArgs<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let format = match matches.get_flag(JSON) {
            true => Format::Json,
            false => matches.get_one(FORMAT).copied().unwrap_or(Format::Table),
        };
        Ok(Self { format, formats: PhantomData })
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
    use clap::Args as _;
    use clap::FromArgMatches as _;

    struct Documents;

    impl Formats for Documents {
        const CSV: Option<&'static str> = None;
        const NAME: Option<&'static str> = None;
    }

    struct Things;

    impl Formats for Things {
        const CSV: Option<&'static str> = Some("One row for each thing");
        const NAME: Option<&'static str> = Some("The things' ids");
    }

    fn parsed<F: Formats>(words: &[&str]) -> Result<Format, String> {
        let command = OutputArgs::<F>::augment_args(Command::new("things"));
        let matches = command.try_get_matches_from([&["things"], words].concat());
        let matches = matches.map_err(|error| error.to_string())?;
        Ok(OutputArgs::<F>::from_arg_matches(&matches).unwrap().format)
    }

    #[test]
    fn json_is_short_for_its_format_and_conflicts_with_another() {
        assert_eq!(parsed::<Things>(&[]), Ok(Format::Table));
        assert_eq!(parsed::<Things>(&["--json"]), Ok(Format::Json));
        assert_eq!(parsed::<Things>(&["-o", "json"]), Ok(Format::Json));
        assert_eq!(parsed::<Things>(&["-oname"]), Ok(Format::Name));
        let both = parsed::<Things>(&["--json", "-o", "yaml"]).unwrap_err();
        assert!(both.contains("cannot be used with"), "{both}");
    }

    #[test]
    fn format_that_a_command_lacks_is_an_error_that_lists_those_it_has() {
        assert_eq!(parsed::<Documents>(&["-o", "yaml"]), Ok(Format::Yaml));
        for lacking in ["csv", "name", "xml"] {
            let error = parsed::<Documents>(&["-o", lacking]).unwrap_err();
            assert!(error.contains("[possible values: table, wide, json, yaml]"), "{error}");
        }
    }

    #[test]
    fn help_says_what_rows_and_names_are() {
        let mut command = OutputArgs::<Things>::augment_args(Command::new("things"));
        let help = command.render_long_help().to_string();
        assert!(help.contains("- csv:   One row for each thing"), "{help}");
        assert!(help.contains("- name:  The things' ids"), "{help}");
    }
}
