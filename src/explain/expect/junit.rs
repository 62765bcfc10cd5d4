//! Writes the results of expectations as JUnit XML, which CI systems show.

use super::tested::{Failure, Tested};
use crate::edge::is_hidden;
use crate::explain::names::Places;
use std::io::{self, Write};

/// Writes one `<testsuites>` document: a suite for each file of expectations, with the lines of its
/// lab file.
///
/// # Errors
/// Those of `w`.
pub fn junit(w: &mut dyn Write, suites: &[(&[Tested<'_>], Places<'_>)]) -> io::Result<()> {
    let all = || suites.iter().flat_map(|(tested, _)| tested.iter());
    let (tests, failures) = (all().count(), all().filter(|tested| !tested.holds()).count());
    writeln!(w, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(w, r#"<testsuites name="egret test" tests="{tests}" failures="{failures}">"#)?;
    for (tested, places) in suites {
        suite(w, tested, *places)?;
    }
    writeln!(w, "</testsuites>")
}

fn suite(w: &mut dyn Write, tested: &[Tested<'_>], places: Places<'_>) -> io::Result<()> {
    let Some(first) = tested.first() else { return Ok(()) };
    let (file, tests) = (escaped(first.file), tested.len());
    let failures = tested.iter().filter(|tested| !tested.holds()).count();
    writeln!(w, r#"  <testsuite name="{file}" tests="{tests}" failures="{failures}">"#)?;
    tested.iter().try_for_each(|tested| case(w, tested, &file, places))?;
    writeln!(w, "  </testsuite>")
}

fn case(w: &mut dyn Write, tested: &Tested<'_>, file: &str, places: Places<'_>) -> io::Result<()> {
    let (line, name) = (tested.expectation.line, escaped(&tested.to_string()));
    let open = format!(r#"<testcase classname="{file}" name="{name}" file="{file}" line="{line}""#);
    let contradictions = tested.contradictions();
    let first = tested.failures.first().map(Failure::line).or(contradictions.into_iter().next());
    let live = tested.live.as_ref().map(|live| live.words());
    let output: Vec<String> = tested.notes.iter().cloned().chain(live).collect();
    if first.is_none() && output.is_empty() {
        return writeln!(w, "    {open}/>");
    }
    writeln!(w, "    {open}>")?;
    if let Some(first) = first {
        let (message, text) = (escaped(&first), escaped(&tested.explained(places)?));
        let note = tested.note().map(|note| format!("note: {}\n", escaped(&note)));
        let note = note.unwrap_or_default();
        writeln!(w, r#"      <failure message="{message}">{note}{text}</failure>"#)?;
    }
    if !output.is_empty() {
        writeln!(w, "      <system-out>{}</system-out>", escaped(&output.join("\n")))?;
    }
    writeln!(w, "    </testcase>")
}

/// Escapes a text for an element or an attribute. Characters that XML 1.0 does not allow, or that
/// are invisible, become U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if is_hidden(c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_means_something_in_xml_is_escaped() {
        assert_eq!(
            escaped("a <b> & \"c\"\u{1}\u{ffff}\n"),
            "a &lt;b&gt; &amp; &quot;c&quot;\u{fffd}\u{fffd}\n"
        );
    }
}
