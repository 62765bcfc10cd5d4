//! The signature of an importer; each format has one.

use super::{Account, Findings, ImportErrors, Options};

/// Reads the text of one source of a format. The file's name is only for messages.
///
/// # Errors
/// All faults that prevent reading the source.
pub type Importer =
    fn(text: &str, file: &str, options: &Options) -> Result<(Account, Findings), ImportErrors>;
