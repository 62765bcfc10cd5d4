//! Writes an answer in each format; no other code does.

use super::formats::Format;
use super::rows::Rows;
use super::{csv, yaml};
use crate::cli::output;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};

impl Format {
    /// Prints an answer to standard output: the output of `text` for people, `value` for programs.
    ///
    /// # Errors
    /// The errors of standard output.
    pub(in crate::cli) fn print<T: Serialize>(
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
