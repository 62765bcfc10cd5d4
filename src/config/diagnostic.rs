//! Findings in a lab file: the place, the reason, and what would be valid.

use super::excerpt;
use super::lint_names::LINTS;
use crate::edge::{and_more, shown};
use crate::vpc::Line;
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, NamedSource, SourceCode,
    SourceSpan, SpanContents,
};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of the longest source line that is shown whole; a terminal may wrap it once.
const WHOLE_LINE: usize = 160;

/// Bytes of a longer source line that are shown: about the width of a terminal with the margin.
const LINE: usize = 88;

/// The most errors that are listed: so many have few causes.
pub const MOST_LISTED: usize = 50;

/// A range of bytes of the lab file; the end is excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The place of an object that is in no file, such as one that was created through the App
    /// Runner API.
    pub const NOWHERE: Self = Self { start: usize::MAX, end: usize::MAX };
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value, and its place in the lab file.
#[derive(Clone, Copy, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> At<T> {
    /// Returns another value at the same place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), span: self.span }
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and probably does not do what its author wants.
    Warning,
    /// Worth knowing, but not wrong.
    Note,
}

/// A finding of a check, before its line is looked up.
#[derive(Clone, Debug)]
pub struct LabFinding {
    /// Its severity.
    pub severity: Severity,
    /// Its place; [`Span::NOWHERE`] for an object that is in no file.
    pub span: Span,
    /// A stable id, such as `subnets-differ`.
    pub rule: &'static str,
    /// The doubtful fact.
    pub message: String,
    /// The advice on how to change it.
    pub help: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnostic {
    /// Its severity.
    pub severity: Severity,
    /// The file's name, as given.
    pub file: String,
    /// Its line, counted from 1; 0 if the finding has none.
    pub line: Line,
    /// Its column in characters, counted from 1; 0 if the finding has no line.
    pub column: u32,
    /// The text at its place, cut at the end of its first line.
    pub text: String,
    /// The fault.
    pub message: String,
    /// The advice: what would be valid.
    pub help: String,
    /// A stable id, such as `unknown-key`.
    pub rule: &'static str,
    #[serde(skip)]
    span: Option<Span>,
    #[serde(skip)]
    source: Arc<Source>,
}

impl Diagnostic {
    /// Writes the finding for people: message, source line with the text underlined, help.
    ///
    /// # Errors
    /// The errors of `out`.
    pub fn render(&self, out: &mut impl fmt::Write, color: bool) -> fmt::Result {
        let theme =
            if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_width(100)
            .with_context_lines(1)
            .render_report(out, self)
    }

    /// Makes the finding for a file that could not be read, or that is not a lab file at all.
    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        let message = format!("cannot read {file}: {error}");
        let is = |kind| error.kind() == kind;
        let help = if is(ErrorKind::IsADirectory) {
            "give a lab file, or a source by --from: `egret up`, check, explain, reach, graph and test take \
             one, and `egret import` makes a lab file from it"
        } else if is(ErrorKind::FileTooLarge) {
            "this is too long for a lab file: give another file"
        } else {
            "give the path of a lab file (TOML, UTF-8) that exists and may be read"
        };
        Self::of_file(file, message, help)
    }

    /// Makes the finding for a file that, by its name, is not TOML but a source.
    pub(super) fn source(file: &str) -> Self {
        let message = format!("{file} is not a lab file, which is TOML");
        Self::of_file(
            file,
            message,
            "a template or a state is a source: make a lab file of it with `egret import`, or give it \
             with --from to a command that takes it",
        )
    }

    fn of_file(file: &str, message: String, help: &str) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            text: String::new(),
            message,
            help: help.to_owned(),
            rule: "unreadable-file",
            span: None,
            source: Arc::new(Source::new(file, "")),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.rule))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.span.map(|_| &*self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.span?;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, span.start, self.text.len()))))
    }
}

/// All findings that make a lab file unusable, by line.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Writes the first of them for people, and the number of the others.
    ///
    /// # Errors
    /// The errors of `out`.
    pub fn render(&self, out: &mut impl fmt::Write, color: bool) -> fmt::Result {
        self.0.iter().take(MOST_LISTED).try_for_each(|d| d.render(out, color))?;
        let left_out = self.0.len().saturating_sub(MOST_LISTED);
        and_more(left_out, "error").map_or(Ok(()), |more| writeln!(out, "{more}"))
    }

    /// Keeps those that are listed, and returns the number of those that are left out.
    pub fn listed(&mut self) -> usize {
        let left_out = self.0.len().saturating_sub(MOST_LISTED);
        self.0.truncate(MOST_LISTED);
        left_out
    }
}

impl std::ops::Deref for Diagnostics {
    type Target = [Diagnostic];

    fn deref(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f, false)
    }
}

impl std::error::Error for Diagnostics {}

/// The text of a lab file, with the starts of its lines.
pub(super) struct Source {
    file: String,
    /// The text that people see: as `text`, byte for byte, without secrets and without commands to
    /// a terminal.
    named: NamedSource<Arc<str>>,
    text: Arc<str>,
    line_starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let text: Arc<str> = text.into();
        let newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        let named = NamedSource::new(shown(file), excerpt::of(&text));
        Self { file: file.to_owned(), named, text, line_starts }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn line(&self, offset: usize) -> Line {
        Line::try_from(self.line_starts.partition_point(|start| *start <= offset))
            .unwrap_or(Line::MAX)
    }

    fn column(&self, offset: usize) -> u32 {
        let line = self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or(0);
        let characters = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        u32::try_from(characters + 1).unwrap_or(u32::MAX)
    }

    /// Returns the place one character before, if that is on the same line: a place between two
    /// characters cannot be underlined.
    fn before(&self, at: usize) -> usize {
        let last = self.text.get(..at).and_then(|text| text.chars().next_back());
        last.filter(|c| *c != '\n').map_or(at, |c| at - c.len_utf8())
    }

    /// Returns the part of a span that can be underlined: on character boundaries, inside the text,
    /// on one line.
    fn first_line(&self, span: Span) -> Span {
        let boundary = |at| boundary(&self.text, at);
        let (start, end) = (boundary(span.start), boundary(span.end));
        let start = if end <= start { self.before(start) } else { start };
        let end = boundary(span.end.max(span.start));
        let line = self.text.get(start..end).and_then(|text| text.lines().next()).unwrap_or("");
        Span { start, end: start + line.len() }
    }
}

/// Returns the end of the last whole character before a place.
fn boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file()).finish_non_exhaustive()
    }
}

impl SourceCode for Source {
    /// Returns the span's own line, whole, when miette asks for lines around a span: one line is
    /// enough.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        _lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        if lines_before == 0 {
            return self.named.read_span(span, 0, 0);
        }
        let next = self.line_starts.partition_point(|start| *start <= span.offset());
        let start = next.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied();
        let start = start.unwrap_or(0);
        let shown = self.named.inner();
        let line = shown.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("");
        let of_line = start..start + line.len();
        let cut = around(shown, of_line, span.offset()..span.offset() + span.len());
        self.named.read_span(&SourceSpan::from((cut.start, cut.len())), 0, 0)
    }
}

/// Returns the part of a long line around a span, from a word to a word; all of a line that is not
/// long.
fn around(text: &str, line: Range<usize>, span: Range<usize>) -> Range<usize> {
    if line.len() <= WHOLE_LINE || span.start < line.start || span.end > line.end {
        return line;
    }
    let spare = LINE.saturating_sub(span.len());
    let from = boundary(text, span.start.saturating_sub(spare / 2).max(line.start));
    let to = boundary(text, (from + LINE).min(line.end)).max(span.end);
    let space = |text: Option<&str>| text.and_then(|text| text.find(' ')).map_or(0, |at| at + 1);
    let start = if from == line.start { from } else { from + space(text.get(from..span.start)) };
    let after = text.get(span.end..to).and_then(|text| text.rfind(' '));
    let end = if to == line.end { to } else { after.map_or(to, |at| span.end + at) };
    start..end
}

/// Collects findings while the file is read and validated.
#[derive(Debug)]
pub(super) struct Report {
    source: Arc<Source>,
    found: RefCell<Vec<Diagnostic>>,
}

impl Report {
    pub(super) fn new(source: Arc<Source>) -> Self {
        Self { source, found: RefCell::default() }
    }

    pub(super) fn error(
        &self,
        span: Span,
        rule: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, span, rule, message.into(), help.into());
    }

    pub(super) fn warning(
        &self,
        span: Span,
        rule: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, span, rule, message.into(), help.into());
    }

    pub(super) fn note(
        &self,
        span: Span,
        rule: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Note, span, rule, message.into(), help.into());
    }

    pub(super) fn finding(&self, finding: LabFinding) {
        let LabFinding { severity, span, rule, message, help } = finding;
        self.push(severity, span, rule, message, help);
    }

    pub(super) fn line(&self, span: Span) -> Line {
        self.source.line(span.start)
    }

    /// Decides whether an error has been reported so far.
    pub(super) fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(|found| found.severity == Severity::Error)
    }

    /// Returns the errors, and the warnings with the notes, each by place.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let mut found = self.found.into_inner();
        found.sort_by_key(|d| (d.line, d.column));
        // A fault in a connector that two services use is reported once.
        found.dedup_by(|a, b| (a.span, a.rule, &a.message) == (b.span, b.rule, &b.message));
        found.into_iter().partition(|d| d.severity == Severity::Error)
    }

    fn push(
        &self,
        severity: Severity,
        span: Span,
        rule: &'static str,
        message: String,
        help: String,
    ) {
        let (message, help) = (shown(&message).into_owned(), shown(&help).into_owned());
        let is_lint = || LINTS.contains(&rule);
        debug_assert!(severity == Severity::Error || is_lint(), "{rule} is not in LINTS");
        let file = self.source.file().to_owned();
        let (line, column, text, span) = self.place(span);
        self.found.borrow_mut().push(Diagnostic {
            severity,
            file,
            line,
            column,
            text,
            message,
            help,
            rule,
            span,
            source: Arc::clone(&self.source),
        });
    }

    /// Returns the line, column and text of a place, and the span to underline.
    fn place(&self, span: Span) -> (Line, u32, String, Option<Span>) {
        if span == Span::NOWHERE {
            return (0, 0, String::new(), None);
        }
        let span = self.source.first_line(span);
        let text = self.source.named.inner().get(span.start..span.end).unwrap_or("").to_owned();
        let (line, column) = (self.source.line(span.start), self.source.column(span.start));
        (line, column, text, Some(span))
    }
}
