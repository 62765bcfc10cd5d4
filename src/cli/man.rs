//! `egret man`: writes the manual pages, one for each command, from the same definitions as the
//! help.

use super::{CliError, output};
use crate::edge::{self, own};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The name of the manual, at the top of each page.
const MANUAL: &str = "egret manual";

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
egret.1 is about egret, and egret-COMMAND.1 about a command, such as egret-task-add.1. A page that is \
there is written again. The help of a command has the same text.

Exit codes:
  0  the pages are written
  1  standard output cannot be written
  2  a usage error, or a page that cannot be written

Examples:
  egret man | man -l -                                   the page of egret itself
  mkdir -p man1 && egret man man1 && gzip -9n man1/*.1   for a package")]
pub struct ManArgs {
    /// The folder for the pages; without one, the page of egret goes to standard output
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

/// Writes the pages of `command` and of all below it.
pub(super) fn run(args: &ManArgs, command: clap::Command) -> Result<ExitCode, CliError> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    match &args.folder {
        Some(folder) => write_all(&command, folder)?,
        None => {
            let page = page(&command)?;
            output::out(|w| w.write_all(&page))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_all(command: &clap::Command, folder: &Path) -> Result<(), CliError> {
    if !folder.is_dir() {
        let folder = folder.display();
        return Err(CliError::Usage(format!(
            "{folder} is not a directory: make it with `mkdir -p {folder}`"
        )));
    }
    write_below(command, folder)
}

fn write_below(command: &clap::Command, folder: &Path) -> Result<(), CliError> {
    let file = folder.join(format!("{}.1", name(command)));
    edge::output::write(&file, own::READABLE, &page(command)?)
        .map_err(|error| CliError::Usage(format!("cannot write {}: {error}", file.display())))?;
    let shown = command.get_subcommands().filter(|own| !own.is_hide_set());
    shown.into_iter().try_for_each(|own| write_below(own, folder))
}

/// Returns the name of a page, such as `egret-task-add`.
fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Returns a page. Below the options, tables and commands keep their lines.
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let named = command.clone().subcommand_value_name("command");
    let man = Man::new(named.subcommand_help_heading("COMMANDS"));
    let mut page = title(command).into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|own| !own.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|own| !own.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let help = command.get_after_long_help().or_else(|| command.get_after_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    for (heading, text) in sections(&help) {
        section(heading, &text).to_writer(&mut page)?;
    }
    if let Some(above) = name(command).rsplit_once('-').map(|(above, _)| above) {
        see_also(above).to_writer(&mut page)?;
    }
    Ok(ascii(&once_prepared(&String::from_utf8_lossy(&page))).into_bytes())
}

/// Returns the first line. A page has no date, so that it is the same whenever it is made.
fn title(command: &clap::Command) -> String {
    let title = name(command).to_uppercase().replace('-', "\\-");
    let version = command.get_version().unwrap_or_default();
    format!(".TH \"{title}\" 1 \"\" \"egret {version}\" \"{MANUAL}\"\n")
}

/// Keeps the first of the preambles that each section brings with it: they are all alike.
fn once_prepared(page: &str) -> String {
    let is_preamble = |line: &&str| line.starts_with(".ie ") || line.starts_with(".el ");
    let preamble = page.lines().skip_while(|line| !is_preamble(line)).take_while(is_preamble);
    let text = page.lines().filter(|line| !is_preamble(line));
    preamble.chain(text).map(|line| format!("{line}\n")).collect()
}

/// Writes characters beyond ASCII as troff's own escapes: what reads a page need not know UTF-8.
fn ascii(page: &str) -> String {
    page.chars().fold(String::new(), |mut text, character| {
        match character.is_ascii() {
            true => text.push(character),
            false => text.push_str(&format!("\\[u{:04X}]", u32::from(character))),
        }
        text
    })
}

/// Splits the text at its headings, which are lines such as `Examples:`. Lines before the first are
/// notes.
fn sections(help: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in help.lines() {
        let heading = line.strip_suffix(':').filter(|_| !line.starts_with(' '));
        match (heading, sections.last_mut()) {
            (Some(heading), _) => sections.push((heading, Vec::new())),
            (None, Some((_, text))) => text.push(line),
            (None, None) => sections.push(("Notes", vec![line])),
        }
    }
    sections
}

fn section(heading: &str, lines: &[&str]) -> Roff {
    let heading = match heading {
        "Exit codes" => "EXIT STATUS".to_owned(),
        other => other.to_uppercase(),
    };
    // Headings have two columns less before them than text, as in the help.
    let is_indented = lines.iter().all(|line| line.is_empty() || line.starts_with("  "));
    let mut roff = Roff::new();
    roff.control("SH", [heading.as_str()]);
    let mut before = Before::default();
    for line in lines {
        let shown = if is_indented { line.get(2..).unwrap_or_default() } else { line };
        before = match line.trim().is_empty() {
            true => Before { is_empty: true, ..before },
            false if line.starts_with(' ') => before.unfilled(&mut roff, shown),
            false => before.filled(&mut roff, shown),
        };
    }
    if before.form == Some(Form::Unfilled) {
        roff.control("fi", []);
    }
    roff
}

/// What stands before a line of a section.
#[derive(Clone, Copy, Default)]
struct Before {
    /// The form of the last line with text; `None` before the first.
    form: Option<Form>,
    /// Set after an empty line.
    is_empty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A paragraph, which the reader's terminal breaks.
    Filled,
    /// Lines of a table or commands, which stay as they are.
    Unfilled,
}

impl Before {
    fn filled(self, roff: &mut Roff, line: &str) -> Self {
        if self.form == Some(Form::Unfilled) {
            roff.control("fi", []);
        }
        match self.form {
            None => {}
            Some(Form::Filled) if !self.is_empty => {
                roff.control("br", []);
            }
            Some(Form::Filled | Form::Unfilled) => {
                roff.control("PP", []);
            }
        }
        roff.text([roman(line)]);
        Self { form: Some(Form::Filled), is_empty: false }
    }

    fn unfilled(self, roff: &mut Roff, line: &str) -> Self {
        if self.is_empty && self.form.is_some() {
            roff.control("sp", []);
        }
        if self.form != Some(Form::Unfilled) {
            roff.control("nf", []);
        }
        roff.text([roman(line)]);
        Self { form: Some(Form::Unfilled), is_empty: false }
    }
}

fn see_also(above: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.control("BR", [above, "(1)"]);
    roff
}
