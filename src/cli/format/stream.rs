//! Answers that arrive document by document.

use super::formats::Format;
use super::rows::Rows;
use super::{csv, yaml};
use serde_json::Value;
use std::io::{self, Write};

/// Writes the documents of a stream for programs: JSON one a line, YAML with `---` before each, csv
/// below one heading.
pub(in crate::cli) struct Stream<'r> {
    format: Format,
    rows: &'r Rows,
    /// The number of documents that are written.
    written: u64,
}

impl<'r> Stream<'r> {
    /// Makes a stream without documents.
    pub(in crate::cli) fn new(format: Format, rows: &'r Rows) -> Self {
        Self { format, rows, written: 0 }
    }

    /// Writes the text before all documents.
    pub(in crate::cli) fn begin(&self, w: &mut dyn Write) -> io::Result<()> {
        if self.format == Format::Csv { csv::heading(w, self.rows) } else { Ok(()) }
    }

    /// Writes a document, which is JSON on one line. The caller writes texts for people.
    pub(in crate::cli) fn document(&mut self, w: &mut dyn Write, line: &[u8]) -> io::Result<()> {
        self.written += 1;
        let value = || serde_json::from_slice::<Value>(line).map_err(io::Error::other);
        match self.format {
            Format::Table | Format::Wide => Ok(()),
            Format::Json => w.write_all(line).and_then(|()| writeln!(w)),
            Format::Yaml => writeln!(w, "---").and_then(|()| yaml::write(w, &value()?)),
            Format::Csv => csv::lines(w, self.rows, &value()?, self.written),
            Format::Name => self.rows.write_names(w, &value()?),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const LINES: [&str; 2] = [r#"{"rows":[{"a":1},{"a":2}]}"#, r#"{"rows":[{"a":3}]}"#];

    fn written(format: Format) -> String {
        let rows =
            Rows { lists: &["/rows"], columns: &["a"], document: Some("table"), ..Rows::NONE };
        let mut stream = Stream::new(format, &rows);
        let mut text = Vec::new();
        stream.begin(&mut text).unwrap();
        LINES.iter().for_each(|line| stream.document(&mut text, line.as_bytes()).unwrap());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn json_stays_as_it_arrives_one_document_a_line() {
        assert_eq!(written(Format::Json), format!("{}\n{}\n", LINES[0], LINES[1]));
    }

    #[test]
    fn yaml_documents_begin_with_a_mark() {
        assert_eq!(written(Format::Yaml), "---\nrows:\n- a: 1\n- a: 2\n---\nrows:\n- a: 3\n");
    }

    #[test]
    fn csv_has_one_heading_and_counts_the_documents() {
        assert_eq!(written(Format::Csv), "table,a\r\n1,1\r\n1,2\r\n2,3\r\n");
    }
}
