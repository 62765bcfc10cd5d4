//! The formats of what commands print: which ones a command has, and the one place that writes an answer in each.

mod args;
mod csv;
#[cfg(test)]
pub(super) mod fields;
mod rows;
mod stream;
mod yaml;

pub(super) use args::{FORMAT, JSON};
pub use args::{Formats, OutputArgs};
pub(super) use rows::{Rows, each};
pub(super) use stream::Stream;
pub(super) use yaml::write as yaml;

use super::output;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};

/// A format of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people, at most 100 columns wide where lists can be shortened
    Table,
    /// As table, with nothing shortened or left out
    Wide,
    /// For programs, with stable keys and raw numbers
    Json,
    /// The data of json as YAML
    Yaml,
    /// A heading and one line for each row, with the data of json
    Csv,
    /// One name a line and nothing else
    Name,
}

impl Format {
    /// Decides whether people read it.
    pub(super) fn is_text(self) -> bool {
        match self {
            Self::Table | Self::Wide => true,
            Self::Json | Self::Yaml | Self::Csv | Self::Name => false,
        }
    }

    /// Decides whether nothing is to be left out of a text.
    pub(super) fn is_wide(self) -> bool {
        self == Self::Wide
    }

    /// Prints an answer to standard output: what `text` writes for people, `value` for programs.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn print<T: Serialize>(
        self,
        rows: &Rows,
        value: impl FnOnce() -> T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        output::out(|w| match self {
            Self::Table | Self::Wide => text(w),
            Self::Json => output::json(w, &value()),
            Self::Yaml => yaml::write(w, &tree(value())?),
            Self::Csv => csv::write(w, rows, &tree(value())?),
            Self::Name => rows.write_names(w, &tree(value())?),
        })
    }
}

fn tree(value: impl Serialize) -> io::Result<Value> {
    Ok(serde_json::to_value(value)?)
}
