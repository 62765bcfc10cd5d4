//! `egret init`: writes a lab file to begin with, a commented one or that of a VPC.

use super::import::{self, ImportArgs};
use super::{CliError, LabArg, output};
use crate::config::{Lab, Span, schema};
use crate::edge::input::{self, is_standard_input};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The lab file that is written without `--from`.
const STARTER: &str = include_str!("starter.toml");

/// The line of the starter before which its lab's name comes.
const BEFORE_REGION: &str = "# The region is";

/// The file's name if none is given.
const DEFAULT_FILE: &str = "lab.toml";

/// The name of the schema beside the file.
const SCHEMA_FILE: &str = "lab.schema.json";

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The lab has a service of App Runner, a VPC with a NAT gateway, a database, and two expectations; a \
comment before each section says why it is there. With --from it is that of a source, as `egret \
import SOURCE --output FILE` writes it, with the same list of findings on standard error.

The commands that the file can be used with are printed. The command needs no root and starts \
nothing.

With --schema, lab.schema.json is written beside the file, whose first line names it. An editor with \
Taplo, such as VS Code with Even Better TOML, then completes keys and marks mistakes. A \
lab.schema.json with other contents is not overwritten without --force either.

Exit codes:
  0  the file is written
  1  a part of the source is not understood and could change a verdict: --lenient takes the source
     all the same; or the source describes something that no lab can have
  2  the file exists or cannot be written, the source cannot be read, or a usage error

Examples:
  egret init
  egret init shop.toml --schema
  egret init shop.toml --from examples/vpc --lab shop
  egret check lab.toml && egret test lab.toml        the file is sound, and its expectations hold")]
pub struct InitArgs {
    /// The file to write [default: lab.toml]
    pub file: Option<PathBuf>,
    /// Write the lab of a VPC: what `egret import` reads
    #[arg(id = "source", long = "from", value_name = "SOURCE")]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArgs,
    #[command(flatten)]
    lab: LabArg,
    /// Write lab.schema.json beside the file too, for an editor
    #[arg(long)]
    pub schema: bool,
    /// Overwrite files that exist
    #[arg(long)]
    pub force: bool,
}

pub(super) fn run(args: &InitArgs) -> Result<ExitCode, CliError> {
    let file = file(args)?;
    let file = file.as_path();
    let imported = match &args.from {
        Some(source) => Some(import::written(&args.import.order(source, args.lab.given()))?),
        None => {
            args.import.without_source()?;
            None
        }
    };
    let text = match &imported {
        Some(imported) => imported.text().to_owned(),
        None => starter(args.lab.given()),
    };
    let named = match args.schema {
        true => format!("#:schema ./{SCHEMA_FILE}\n{text}"),
        false => text,
    };
    // The lab as the file will be read; both kinds of text are sound.
    let lab = Lab::parse(&file.display().to_string(), &named).map_err(CliError::Config)?;
    let mut schema = None;
    if args.schema {
        let beside = file.with_file_name(SCHEMA_FILE);
        if beside == file {
            let message = format!("{SCHEMA_FILE} is the schema's own name: give the lab another");
            return Err(CliError::Usage(message));
        }
        import::refuse_existing(file, args.force)?;
        schema = schema_to_write(beside, args.force)?;
    }
    import::write(file, &named, args.force)?;
    // Without a lab file there is no use for it.
    if let Some((beside, text)) = schema {
        import::write(&beside, &text, args.force)?;
    }
    if let Some(imported) = &imported {
        import::note_table(imported, false)?;
    }
    output::out(|w| print(w, file, args.schema, &lab))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the file to write. One whose name looks like an option is named by its folder, so that
/// other commands take it.
fn file(args: &InitArgs) -> Result<PathBuf, CliError> {
    let file = args.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    if is_standard_input(file) {
        let message =
            "`-` is no file: `egret init lab.toml` writes one, and `egret import SOURCE` prints";
        return Err(CliError::Usage(message.to_owned()));
    }
    match file.to_string_lossy().starts_with('-') {
        true => Ok(Path::new(".").join(file)),
        false => Ok(file.to_owned()),
    }
}

/// Returns the starter, with the lab's name if one is given.
fn starter(lab: Option<&str>) -> String {
    let Some(lab) = lab else { return STARTER.to_owned() };
    let named = format!(
        "# The names of the lab's network namespaces begin with its name.\nlab = \"{lab}\"\n\n{BEFORE_REGION}"
    );
    STARTER.replacen(BEFORE_REGION, &named, 1)
}

/// Returns the file of the schema and its text; `None` if the file has it already.
fn schema_to_write(file: PathBuf, force: bool) -> Result<Option<(PathBuf, String)>, CliError> {
    let mut text = Vec::new();
    output::json(&mut text, &schema::lab_file())?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if input::read_regular(&file, Lab::LONGEST).is_ok_and(|found| found == text) {
        return Ok(None);
    }
    import::refuse_existing(&file, force)?;
    Ok(Some((file, text)))
}

/// Prints what was written, and the commands that can follow.
fn print(w: &mut dyn Write, file: &Path, with_schema: bool, lab: &Lab) -> io::Result<()> {
    let beside = match with_schema {
        true => format!(", and {} for an editor", file.with_file_name(SCHEMA_FILE).display()),
        false => String::new(),
    };
    let own = &lab.spec.lab;
    let named = match own.span == Span::default() {
        true => String::new(),
        false => format!(" of lab `{}`", own.value),
    };
    writeln!(w, "wrote {}{named}{beside}\nnext:", file.display())?;
    for (command, what) in next(file, lab) {
        writeln!(w, "  {command}\n      {what}")?;
    }
    Ok(())
}

/// Returns the commands that can follow, each with what it answers.
fn next(file: &Path, lab: &Lab) -> Vec<(String, &'static str)> {
    let name = word(&file.display().to_string());
    let mut next = vec![(format!("egret check {name}"), "errors, and what is doubtful")];
    let service = lab.spec.services.iter().find(|service| service.vpc_connector.is_some());
    if let (Some(service), Some(resource)) = (service, lab.spec.resources.first()) {
        let (from, to) = (&service.name.value, &resource.name.value);
        let command = format!("egret explain {from} {to} --config {name}");
        next.push((command, "whether its packets pass, and which rule decides"));
    }
    if !lab.spec.services.is_empty() {
        next.push((format!("egret reach --config {name}"), "what its services reach"));
    }
    if !lab.spec.expectations.is_empty() {
        next.push((format!("egret test {name}"), "whether the expectations of the file hold"));
    }
    next.push((format!("sudo egret up {name}"), "bring it up, with real packets"));
    next
}

/// Returns a word as a shell reads it.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(word("a/lab-1.toml"), "a/lab-1.toml");
        assert_eq!(word("my lab.toml"), "'my lab.toml'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("$HOME"), "'$HOME'");
    }

    #[test]
    fn starter_takes_a_name_for_its_lab() {
        let named = Lab::parse("lab.toml", &starter(Some("shop"))).map(|lab| lab.name);
        assert_eq!(named.ok().as_deref(), Some("shop"));
        let unnamed = Lab::parse("lab.toml", &starter(None)).map(|lab| lab.name);
        assert_eq!(unnamed.ok().as_deref(), Some("egret"));
        assert!(STARTER.lines().all(|line| line.chars().count() <= 100));
    }
}
