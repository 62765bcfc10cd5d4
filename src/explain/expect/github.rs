//! Writes the results of expectations as workflow commands, which GitHub shows at the file and
//! line.

use super::printed::MOST_FAILURES;
use super::tested::{Failure, Tested};
use crate::config::{Diagnostics, MOST_LISTED};
use crate::edge::shown;
use crate::explain::names::Places;
use std::io::{self, Write};

/// Writes an annotation for each expectation that fails, and one for each that holds by its
/// verdicts only.
///
/// # Errors
/// Those of `w`.
pub fn github(w: &mut dyn Write, tested: &[Tested<'_>], places: Places<'_>) -> io::Result<()> {
    for tested in tested.iter().filter(|tested| tested.holds() && !tested.notes.is_empty()) {
        let place = (tested.file, tested.expectation.line, 0);
        annotation(w, "notice", place, &format!("egret: {tested}"), &tested.notes.join("\n"))?;
    }
    for tested in tested.iter().filter(|tested| !tested.holds()) {
        let of = |failure: &Failure| [Some(failure.line()), failure.decided_by(places)];
        let shown = tested.failures.iter().take(MOST_FAILURES).flat_map(of).flatten();
        let live = tested.contradictions().into_iter().take(MOST_FAILURES);
        let notes = tested.note().into_iter().chain(tested.notes.iter().cloned());
        let lines: Vec<String> = notes.chain(shown).chain(live).collect();
        let place = (tested.file, tested.expectation.line, 0);
        annotation(w, "error", place, &format!("egret: {tested}"), &lines.join("\n"))?;
    }
    Ok(())
}

/// Writes an annotation for each error in a file.
///
/// # Errors
/// Those of `w`.
pub fn github_errors(w: &mut dyn Write, errors: &Diagnostics) -> io::Result<()> {
    for error in errors.iter().take(MOST_LISTED) {
        let message = format!("{}\n{}", error.message, error.help);
        let place = (error.file.as_str(), error.line, error.column);
        annotation(w, "error", place, &format!("egret: {}", error.rule), message.trim())?;
    }
    Ok(())
}

/// Writes one command, an `error` or a `notice`; a line or column of 0 is left out.
fn annotation(
    w: &mut dyn Write,
    level: &str,
    (file, line, column): (&str, u32, u32),
    title: &str,
    message: &str,
) -> io::Result<()> {
    write!(w, "::{level} file={}", property(file))?;
    if line > 0 {
        write!(w, ",line={line}")?;
    }
    if column > 0 {
        write!(w, ",col={column}")?;
    }
    writeln!(w, ",title={}::{}", property(title), data(message))
}

/// Escapes the text of a command, as GitHub's toolkit does; an invisible character becomes its
/// number.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    shown(&text).into_owned()
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn characters_that_end_a_command_or_a_property_are_escaped() {
        let mut text = Vec::new();
        annotation(&mut text, "error", ("a,b:c.toml", 3, 0), "100%", "one\r\ntwo: 5%").unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "::error file=a%2Cb%3Ac.toml,line=3,title=100%25::one%0D%0Atwo: 5%25\n"
        );
    }
}
