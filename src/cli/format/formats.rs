//! The formats.

use crate::explain::TableStyle;
use clap::ValueEnum as _;

/// A format of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people, as wide as the terminal; 100 columns without one
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
    /// Returns whether it is for people.
    pub(in crate::cli) fn is_text(self) -> bool {
        match self {
            Self::Table | Self::Wide => true,
            Self::Json | Self::Yaml | Self::Csv | Self::Name => false,
        }
    }

    /// Returns the style of tables.
    pub(in crate::cli) fn style(self) -> TableStyle {
        TableStyle { wide: self.is_wide(), ..TableStyle::default() }
    }

    /// Returns its name on the command line.
    pub(in crate::cli) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Returns whether a text leaves nothing out.
    pub(in crate::cli) fn is_wide(self) -> bool {
        self == Self::Wide
    }
}
