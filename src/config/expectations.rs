//! Expectations with the file that has them: a lab file, or one of their own.

use super::diagnostic::{Report, Source};
use super::expectation::{Expectation, ExpectationFault};
use super::names::Names;
use super::{Diagnostics, Lab, read, reader, syntax_errors};
use crate::edge::shown;
use std::path::Path;
use std::sync::Arc;

/// The expectations of one file.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// The expectations, in the file's order.
    pub list: Vec<Expectation>,
    source: Arc<Source>,
}

impl Expectations {
    /// Takes the expectations of a lab file.
    pub fn of_lab(lab: &Lab) -> Self {
        Self { list: lab.spec.expectations.clone(), source: Arc::clone(&lab.source) }
    }

    /// Reads the expectations of a file that is about another lab. Other sections of the file are
    /// ignored.
    ///
    /// # Errors
    /// All faults of the expectations, by line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostics> {
        let source = Arc::new(Source::new(file, text));
        let report = Report::new(Arc::clone(&source));
        let (root, syntax) = toml::de::DeTable::parse_recoverable(text);
        if !syntax.is_empty() {
            return Err(syntax_errors(report, &syntax, text.len()));
        }
        let names = Names::default();
        let reader = reader::Reader { report: &report, names: &names };
        let list = read::only_expectations(&reader, root.get_ref());
        let (errors, _) = report.finish();
        if errors.is_empty() { Ok(Self { list, source }) } else { Err(Diagnostics(errors)) }
    }

    /// Reads the expectations of a file that is about another lab.
    ///
    /// # Errors
    /// As [`Expectations::parse`]; a file that cannot be read.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        Self::parse(&shown(&path.display().to_string()), &Lab::read(path)?)
    }

    /// Returns the file's name, as given.
    pub fn file(&self) -> &str {
        self.source.file()
    }

    /// Makes errors, at their lines, of names that mean nothing.
    pub fn errors(&self, faults: impl IntoIterator<Item = ExpectationFault>) -> Diagnostics {
        let report = Report::new(Arc::clone(&self.source));
        for ExpectationFault { span, rule, message, help } in faults {
            report.error(span, rule, message, help);
        }
        Diagnostics(report.finish().0)
    }
}
