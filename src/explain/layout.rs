//! Lays out lines for people, none wider than the output.

use super::width::{columns_of, padded, width as line};
use std::io::{self, Write};

/// Writes a text after a heading, on as many lines as it needs. `width` is the visible width of the
/// heading, by which further lines are indented.
///
/// # Errors
/// Those of `w`.
pub fn paragraph(w: &mut dyn Write, (heading, width): (&str, usize), text: &str) -> io::Result<()> {
    let lines = words(text, line().saturating_sub(width));
    for (position, line) in lines.iter().enumerate() {
        match position {
            0 => writeln!(w, "{heading}{line}")?,
            _ => writeln!(w, "{:width$}{line}", "")?,
        }
    }
    Ok(())
}

/// Breaks a text between words, so that no line is wider than `width` unless one word is.
fn words(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        append(&mut lines, " ", word, width);
    }
    lines
}

/// The columns of steps: their indent, and the widths of stages and components.
pub(super) struct StepColumns {
    pub(super) margin: usize,
    pub(super) stage: usize,
    pub(super) component: usize,
}

impl StepColumns {
    /// Writes a step after its mark. Pieces that do not fit beside the component go below it.
    ///
    /// # Errors
    /// Those of `w`.
    pub(super) fn write(
        &self,
        w: &mut dyn Write,
        (mark, stage, component): (&str, &str, &str),
        said: &[String],
    ) -> io::Result<()> {
        let Self { margin, stage: stage_width, component: component_width } = *self;
        let indent = margin + 2 + stage_width + 2;
        let (beside, below) =
            row(indent + component_width + 2, line().saturating_sub(indent), said);
        let [stage, component] = [padded(stage, stage_width), padded(component, component_width)];
        let shown = format!("{stage}  {component}  {beside}");
        writeln!(w, "{:margin$}{mark} {}", "", shown.trim_end())?;
        below.iter().try_for_each(|text| {
            // A word that does not fit, such as a long path, begins further to the left.
            let indent = indent.min(line().saturating_sub(columns_of(text)));
            writeln!(w, "{:indent$}{text}", "")
        })
    }
}

/// Lists the lines of a row that begins with a lead of this width: on the first line the pieces
/// that fit after the lead, the others below it, on lines of `width`. A piece is broken only if it
/// fits on no line.
fn row(lead: usize, width: usize, pieces: &[String]) -> (String, Vec<String>) {
    let fits = |count: &usize| lead + columns_of(&pieces[..*count].join("  ")) <= line();
    let first = (0..=pieces.len()).rev().find(fits).unwrap_or(0);
    let (beside, below) = pieces.split_at(first);
    let mut lines: Vec<String> = Vec::new();
    for piece in below {
        if columns_of(piece) <= width {
            append(&mut lines, "  ", piece, width);
        } else {
            lines.extend(words(piece, width));
        }
    }
    (beside.join("  "), lines)
}

/// Adds text to the last line if it fits there, or as a further one.
fn append(lines: &mut Vec<String>, gap: &str, text: &str, width: usize) {
    match lines.last_mut() {
        Some(line) if line.is_empty() => line.push_str(text),
        Some(line) if columns_of(line) + gap.len() + columns_of(text) <= width => {
            line.push_str(gap);
            line.push_str(text);
        }
        Some(_) | None => lines.push(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_paragraph_is_broken_between_words_and_indented() {
        let shown = |text: &str| {
            let mut shown = Vec::new();
            paragraph(&mut shown, ("fix: ", 5), text).unwrap();
            String::from_utf8(shown).unwrap()
        };
        let (short, word) = ("one line", "x".repeat(60));
        assert_eq!(shown(short), "fix: one line\n");
        assert_eq!(shown(&format!("{word} {word}")), format!("fix: {word}\n     {word}\n"));
        let long = "y".repeat(120);
        assert_eq!(shown(&format!("a {long} b")), format!("fix: a\n     {long}\n     b\n"));
    }

    #[test]
    fn a_row_keeps_beside_its_lead_what_fits_there() {
        let pieces = ["a".repeat(30), "b".repeat(30), "(c)".to_owned()];
        assert_eq!(row(33, 60, &pieces), (pieces.join("  "), vec![]));
        assert_eq!(row(34, 60, &pieces), (pieces[..2].join("  "), vec!["(c)".to_owned()]));
        let below = vec![pieces[1..].join("  ")];
        assert_eq!(row(60, 60, &pieces), (pieces[0].clone(), below));
        let all = vec![pieces[0].clone(), pieces[1..].join("  ")];
        assert_eq!(row(80, 60, &pieces), (String::new(), all));
        let words = ["one two three".to_owned()];
        let broken = ["one two", "three"].map(str::to_owned).to_vec();
        assert_eq!(row(90, 8, &words), (String::new(), broken));
    }
}
