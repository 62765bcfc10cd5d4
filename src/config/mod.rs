//! Layer 3: the lab file, validated and lowered to a `vpc::Snapshot`.
//!
//! [`Lab::parse`] reads the TOML tree section by section into a [`spec::Spec`], checks conditions
//! on two objects, and chooses the values that the user left open ([`plan::Plan`]: addresses, ENI
//! ids, device names). It finds all errors in one pass. [`Lab::lower`] then cannot fail.

pub mod acceptance;
mod address;
pub mod apprunner;
pub mod changes;
pub mod diagnostic;
pub mod edit;
mod excerpt;
mod expectation;
pub mod expectations;
mod form;
pub mod import;
mod key;
mod lint;
mod lint_names;
mod lookup;
mod lower;
pub(crate) mod names;
pub mod overlay;
pub mod plan;
mod read;
mod reader;
pub mod schema;
pub mod spec;
mod text;
mod validate;

pub use diagnostic::{At, Diagnostic, Diagnostics, LabFinding, MOST_LISTED, Severity, Span};
pub use expectation::{Expectation, ExpectationFault, Expected};
pub use lint_names::LINTS;
pub use overlay::Overlay;
pub use spec::{DeviceKind, Offload, Spec};

pub(crate) use names::{known, nearest, suggestion};

use crate::edge;
use crate::vpc::{Generation, Snapshot};
use diagnostic::{Report, Source};
use ipnetwork::Ipv4Network;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Parses a speed at which time can pass, as the lab file and the command line take it.
///
/// # Errors
/// A text that says which speeds are valid.
pub fn time_scale(number: &str) -> Result<f64, String> {
    let scale = number.parse::<f64>().ok().filter(|scale| text::is_time_scale(*scale));
    scale.ok_or_else(|| text::TIME_SCALE.to_owned())
}

/// Returns the slowest and the fastest speed at which time can pass.
pub fn time_scale_range() -> (f64, f64) {
    text::TIME_SCALES
}

/// Parses a region, as the lab file and the command line take it.
///
/// # Errors
/// The reason why it is not a region, and what would be one.
pub fn region(word: &str) -> Result<String, String> {
    text::region(word).map_err(|fault| format!("{}: {}", fault.message, fault.help))
}

/// A lab file without errors.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The lab's name, which prefixes its namespaces.
    pub name: String,
    /// The file's name, as given.
    pub file: String,
    /// The kind of TUN device that the lab uses.
    pub device: DeviceKind,
    /// The setting of offload when the lab is brought up.
    pub offload: Offload,
    /// The time for which the kernel forwards offloaded flows after the lab's process has died.
    pub offload_grace: Duration,
    /// The network of the tasks' addresses.
    pub task_cidr: Ipv4Network,
    /// The speed at which timeouts pass: at 100.0, 350 s pass in 3.5 s.
    pub time_scale: f64,
    /// Warnings and notes of the reader; [`Lab::lint`] has these and more.
    pub warnings: Vec<Diagnostic>,
    /// The file's content, with the API's objects.
    pub spec: Spec,
    /// The API's objects.
    pub overlay: Overlay,
    /// The values that egret chose where the file leaves them open.
    pub plan: plan::Plan,
    source: Arc<Source>,
}

/// Parses a name that a lab can have, as the lab file and the command line take it.
///
/// # Errors
/// The reason why a lab cannot have it, and which names are valid.
pub fn lab_name(name: &str) -> Result<String, String> {
    text::lab_name(name).map_err(|fault| format!("{}: {}", fault.message, fault.help))
}

impl Lab {
    /// Bytes of the longest lab file: 65,535 rules, with their comments, are less than half of it.
    pub const LONGEST: usize = 16 << 20;

    /// Reads a lab file's text. `file_name` is only for messages.
    ///
    /// # Errors
    /// All errors of the file, by line.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Diagnostics> {
        Self::parse_after(None, file_name, text)
    }

    /// Reads the text that replaces `previous`: an object that exists in both keeps the ids and
    /// addresses that egret chose for it there.
    ///
    /// # Errors
    /// As [`Lab::parse`].
    pub fn parse_after(
        previous: Option<&Self>,
        file_name: &str,
        text: &str,
    ) -> Result<Self, Diagnostics> {
        Self::parse_with(previous.map(|lab| &lab.plan), file_name, text, Overlay::default())
    }

    /// Reads a lab file's text, and adds the objects that were created through the App Runner API.
    /// egret keeps the choices of `previous`.
    ///
    /// # Errors
    /// All errors of the file, by line, and the references of the API's objects that the file does
    /// not have, by the objects' names.
    pub fn parse_with(
        previous: Option<&plan::Plan>,
        file_name: &str,
        text: &str,
        mut overlay: Overlay,
    ) -> Result<Self, Diagnostics> {
        let source = Arc::new(Source::new(file_name, text));
        let report = Report::new(Arc::clone(&source));
        let (root, syntax) = toml::de::DeTable::parse_recoverable(text);
        if !syntax.is_empty() {
            return Err(syntax_errors(report, &syntax, text.len()));
        }
        let names = names::Names::collect(root.get_ref(), &report);
        let reader = reader::Reader { report: &report, names: &names };
        let mut spec = read::file(&reader, root.get_ref());
        validate::not_empty(&spec, &report);
        overlay.lay_over(&mut spec, &report);
        validate::all(&spec, &report);
        let plan = plan::choose(&spec, previous, &report);
        let (errors, warnings) = report.finish();
        if !errors.is_empty() {
            return Err(Diagnostics(errors));
        }
        Ok(Self {
            name: spec.lab.value.clone(),
            file: file_name.to_owned(),
            device: spec.device,
            offload: spec.offload,
            offload_grace: spec.offload_grace,
            task_cidr: spec.task_cidr.value,
            time_scale: spec.time_scale,
            warnings,
            spec,
            overlay,
            plan,
            source,
        })
    }

    /// Reads a lab file.
    ///
    /// # Errors
    /// All errors of the file, by line; a file that cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Diagnostics> {
        let path = path.as_ref();
        let file = edge::shown(&path.display().to_string()).into_owned();
        let text = Self::read(path)?;
        if is_source(path) {
            return Err(Diagnostics(vec![Diagnostic::source(&file)]));
        }
        Self::parse(&file, &text)
    }

    /// Reads a lab file's text, from standard input for `-`.
    ///
    /// # Errors
    /// A file that cannot be read, or is too long.
    pub fn read(path: &Path) -> Result<String, Diagnostics> {
        edge::input::read(path, Self::LONGEST).map_err(|error| unreadable(path, &error))
    }

    /// Reads the text of a regular file, without waiting for anything: for a lab that runs.
    ///
    /// # Errors
    /// As [`Lab::read`]; the file is of another kind.
    pub fn read_regular(path: &Path) -> Result<String, Diagnostics> {
        edge::input::read_regular(path, Self::LONGEST).map_err(|error| unreadable(path, &error))
    }

    /// Returns the lab with another overlay of App Runner API objects. An object that stays keeps
    /// its ids and addresses.
    ///
    /// # Errors
    /// The references of the API's objects that the file does not have, by the objects' names.
    pub fn with_overlay(&self, overlay: Overlay) -> Result<Self, Diagnostics> {
        let lab = Self::parse_with(Some(&self.plan), &self.file, self.source(), overlay)?;
        Ok(self.settings_for(lab))
    }

    /// Returns another lab with this lab's settings that replaced those of its file.
    fn settings_for(&self, other: Self) -> Self {
        let other = other.with_offload(self.offload).with_time_scale(self.time_scale);
        other.with_name(self.name.clone())
    }

    /// Returns the lab with another name in place of the file's `lab`.
    #[must_use]
    pub fn with_name(mut self, name: String) -> Self {
        self.spec.lab.value.clone_from(&name);
        self.name = name;
        self
    }

    /// Decides whether another lab's text has the same values: only its comments and lines may
    /// differ. The order of lists counts, as rules are numbered by it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let values = |lab: &Self| toml::from_str::<toml::Table>(lab.source()).ok();
        self.source() == other.source() || values(self) == values(other)
    }

    /// Returns the lab as the successor of another: an object that exists in both keeps the ids and
    /// addresses that egret chose for it there, tasks that were created by hand keep their ENIs, and
    /// attached resources stay attached.
    ///
    /// # Errors
    /// The objects for which no address is free beside those that are kept.
    pub fn following(&self, before: &Self) -> Result<Self, Diagnostics> {
        let Overlay { tasks_by_hand, attached_resources, .. } = before.overlay.clone();
        let overlay = Overlay { tasks_by_hand, attached_resources, ..self.overlay.clone() };
        let lab = Self::parse_with(Some(&before.plan), &self.file, self.source(), overlay)?;
        Ok(self.settings_for(lab))
    }

    /// Returns the lab with another setting in place of the file's `offload`.
    #[must_use]
    pub fn with_offload(self, offload: Offload) -> Self {
        Self { offload, ..self }
    }

    /// Returns the lab with another speed in place of the file's `timeouts.time_scale`.
    #[must_use]
    pub fn with_time_scale(mut self, time_scale: f64) -> Self {
        self.time_scale = time_scale;
        self.spec.time_scale = time_scale;
        self
    }

    /// Returns the warnings and notes, by line, except those that `[lint] allow` allows.
    pub fn lint(&self) -> Vec<Diagnostic> {
        let report = Report::new(Arc::clone(&self.source));
        lint::all(&self.spec, &self.lower(Generation::default()), &report);
        let (_, mut warnings) = report.finish();
        warnings.extend(self.warnings.iter().cloned());
        warnings.retain(|warning| !self.spec.lint_allow.contains(&warning.rule));
        warnings.sort_by_key(|w| (w.line, w.column));
        warnings
    }

    /// Gives findings of checks their lines, except those that `[lint] allow` allows.
    pub fn located(&self, findings: impl IntoIterator<Item = LabFinding>) -> Vec<Diagnostic> {
        let report = Report::new(Arc::clone(&self.source));
        let is_shown = |finding: &LabFinding| !self.spec.lint_allow.contains(&finding.rule);
        findings.into_iter().filter(is_shown).for_each(|finding| report.finding(finding));
        let (mut errors, others) = report.finish();
        errors.extend(others);
        errors
    }

    /// Returns the lab as indexed tables.
    pub fn lower(&self, generation: Generation) -> Snapshot {
        Snapshot::build(generation, lower::parts(&self.spec, &self.plan))
    }

    /// Returns the file's text with `*` in place of the secrets of access keys; `None` if one is
    /// written in a form in which it is not found.
    pub fn source_without_secrets(&self) -> Option<String> {
        let keys = |lab: &Self| lab.spec.apprunner.api.access_keys.clone();
        let own = keys(self);
        let mut text = self.source().to_owned();
        for key in &own {
            let hidden = "*".repeat(key.secret.len());
            for quote in ['"', '\''] {
                let (before, after) = (&key.secret, &hidden);
                text = text
                    .replace(&format!("{quote}{before}{quote}"), &format!("{quote}{after}{quote}"));
            }
        }
        let read = Self::parse(&self.file, &text).ok()?;
        let is_hidden = keys(&read).iter().all(|key| key.secret.chars().all(|c| c == '*'));
        (is_hidden && keys(&read).len() == own.len()).then_some(text)
    }

    /// Returns the file's text.
    pub fn source(&self) -> &str {
        self.source.text()
    }
}

/// The most syntax errors that are counted: a file with more is not a lab file. Each needs a search
/// for its line.
const MOST_SYNTAX_ERRORS: usize = 1_000;

/// Decides by its name whether a file is a template or a state, which is imported.
pub fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["json", "yaml", "yml", "template"].contains(&extension)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostics {
    let file = edge::shown(&path.display().to_string()).into_owned();
    Diagnostics(vec![Diagnostic::unreadable(&file, error)])
}

fn syntax_errors(report: Report, errors: &[toml::de::Error], end: usize) -> Diagnostics {
    for error in errors.iter().take(MOST_SYNTAX_ERRORS) {
        let span = error.span().unwrap_or(end..end).into();
        let help =
            "the lab file is TOML: `key = value` lines, [section] and [[list section]] headers";
        report.error(span, "syntax", error.message(), help);
    }
    Diagnostics(report.finish().0)
}

#[cfg(test)]
mod tests;
