//! `egret import`: writes a VPC from another description as a lab file; also `--from`, which `up`,
//! `check` and `explain` take in place of a lab file.

use super::error::way_out;
use super::output;
use super::{CliError, LabArg};
use crate::config::import::{ConnectorOrder, Format, ImportFailure, Imported, Options, Order};
use crate::config::{Diagnostics, Lab, region};
use crate::edge::input::is_standard_input;
use crate::edge::{self, own, shown};
use crate::explain::{self, FindingRow, counted_findings};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "A source is
  a folder of `aws ec2 describe-*` output with a file for each call, flat or as
    aws_configs/REGION/NAME.json, together with `aws apprunner list-vpc-connectors` and
    `describe-service`; or one such file
  a CloudFormation template, JSON or YAML
  what `terraform show -json` prints, of a state or a plan

The lab has the name of the folder, the file, or the stack (--parameter AWS::StackName=NAME). \
The lab file goes to standard output, or to --output. A table of what was assumed, left out or not \
understood goes to standard error. An assumption is also a comment in the lab file. \
The command needs no root and starts nothing.

Exit codes:
  0  there is a lab file
  1  a part of the source is not understood and could change a verdict: --lenient takes the source
     all the same; or the source describes something that no lab can have
  2  the source cannot be read, or a usage error

Examples:
  egret import examples/vpc > lab.toml
  egret import examples/vpc --output lab.toml --lab shop
  egret import examples/vpc --connector jobs=data-a,data-b:cache > lab.toml
  egret explain web orders-db --from examples/vpc        the same, with no file written
  sudo egret up --from examples/vpc")]
pub struct ImportCommand {
    /// The folder or file
    #[arg(id = "source", value_name = "SOURCE")]
    pub source: PathBuf,
    #[command(flatten)]
    import: ImportArgs,
    #[command(flatten)]
    lab: LabArg,
    /// Write the lab file here
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite the file if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
    /// The findings as JSON, on standard error
    #[arg(long)]
    pub json: bool,
}

/// What is said about a source, by `egret import` and by the commands that take `--from`.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// The format of the source
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "auto", requires = "source")]
    pub format: FormatWord,
    /// The region, if the source has none or several
    #[arg(long, value_name = "REGION", value_parser = region, requires = "source")]
    pub region: Option<String>,
    /// A parameter of a CloudFormation template; may be repeated
    #[arg(
        long = "parameter",
        value_name = "K=V",
        value_parser = parameter,
        requires = "source"
    )]
    pub parameters: Vec<(String, String)>,
    /// A connector that is not in the source: subnets and security groups by id or name; may be repeated
    #[arg(
        long = "connector",
        value_name = "NAME=SUBNET,SUBNET[:GROUP,GROUP]",
        requires = "source"
    )]
    pub connectors: Vec<ConnectorOrder>,
    /// Accept a source that is not understood completely: each such part is listed, with what the
    /// lab does instead
    #[arg(long, requires = "source")]
    pub lenient: bool,
}

/// The format of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FormatWord {
    /// Detect the format
    Auto,
    /// `aws ec2 describe-*` output
    Describe,
    /// A CloudFormation template, JSON or YAML
    #[value(name = "cloudformation")]
    CloudFormation,
    /// What `terraform show -json` prints, of a state or a plan
    Terraform,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key @ "AWS::Region", value)) => Ok((key.to_owned(), region(value)?)),
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

impl ImportArgs {
    /// Refuses options about a source if there is none; clap does not check that beside a lab file.
    pub(super) fn without_source(&self) -> Result<(), CliError> {
        let given = [
            ("--format", self.format != FormatWord::Auto),
            ("--region", self.region.is_some()),
            ("--parameter", !self.parameters.is_empty()),
            ("--connector", !self.connectors.is_empty()),
            ("--lenient", self.lenient),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => {
                Err(CliError::Usage(format!("{option} needs a source: give --from SOURCE")))
            }
            None => Ok(()),
        }
    }

    /// Imports a source, and notes the parts that the lab does not have as they are there.
    pub(super) fn load(&self, source: &Path) -> Result<Imported, CliError> {
        imported(&self.order(source, None))
    }

    /// Returns the order for a source.
    pub(super) fn order(&self, source: &Path, lab: Option<&str>) -> Order {
        Order {
            source: source.to_owned(),
            text: None,
            format: match self.format {
                FormatWord::Auto => None,
                FormatWord::Describe => Some(Format::Describe),
                FormatWord::CloudFormation => Some(Format::CloudFormation),
                FormatWord::Terraform => Some(Format::Terraform),
            },
            options: Options {
                region: self.region.clone(),
                parameters: self.parameters.iter().cloned().collect(),
            },
            connectors: self.connectors.clone(),
            lab: lab.map(str::to_owned),
            lenient: self.lenient,
        }
    }
}

pub(super) fn run(args: &ImportCommand) -> Result<ExitCode, CliError> {
    let imported = written(&args.import.order(&args.source, args.lab.given()))?;
    match &args.output {
        Some(file) => write(file, imported.text(), args.force)?,
        None => output::out(|w| w.write_all(imported.text().as_bytes()))?,
    }
    note_table(&imported, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Imports a source for a lab file.
pub(super) fn written(order: &Order) -> Result<Imported, CliError> {
    Imported::from_source(order).map_err(|failure| match failure {
        ImportFailure::Source(_) => CliError::Import(failure),
        ImportFailure::NotUnderstood(_) | ImportFailure::Lab(_) => CliError::NotImported(failure),
    })
}

/// Notes the table of what was assumed, left out or not understood.
pub(super) fn note_table(imported: &Imported, json: bool) -> Result<(), CliError> {
    let rows = FindingRow::of(&imported.findings);
    output::fit_stderr();
    let mut text = Vec::new();
    match json {
        true => output::json(&mut text, &rows)?,
        false => explain::print_findings(&mut text, &rows)?,
    }
    output::note(String::from_utf8_lossy(&text).trim_end());
    Ok(())
}

/// Writes a lab file, or its schema. An error leaves the text of a file that exists.
pub(super) fn write(file: &Path, text: &str, force: bool) -> Result<(), CliError> {
    refuse_directory(file)?;
    let written = match force {
        true => edge::output::replace(file, own::READABLE, text.as_bytes()),
        false => edge::output::make(file, own::READABLE)
            .and_then(|mut made| made.write_all(text.as_bytes())),
    };
    written.map_err(|error| match error.kind() == io::ErrorKind::AlreadyExists {
        true => exists(file),
        false => CliError::Usage(format!("cannot write {}: {error}", file.display())),
    })
}

/// Refuses a file that [`write()`] would not write because of what is there, for a command that
/// writes another one first.
pub(super) fn refuse_existing(file: &Path, force: bool) -> Result<(), CliError> {
    refuse_directory(file)?;
    match !force && file.symlink_metadata().is_ok() {
        true => Err(exists(file)),
        false => Ok(()),
    }
}

fn refuse_directory(file: &Path) -> Result<(), CliError> {
    if !file.is_dir() {
        return Ok(());
    }
    let file = file.display();
    Err(CliError::Usage(format!(
        "{file} is a directory: give a file in it, such as {file}/lab.toml"
    )))
}

fn exists(file: &Path) -> CliError {
    CliError::Usage(format!("{} is there already: --force overwrites it", file.display()))
}

/// Imports a source, and notes the parts that the lab does not have as they are there.
pub(super) fn imported(order: &Order) -> Result<Imported, CliError> {
    let imported = from(order)?;
    note_findings(order, &imported);
    Ok(imported)
}

/// Imports a source for `up` and `explain`.
pub(super) fn from(order: &Order) -> Result<Imported, CliError> {
    let imported = Imported::from_source(order).map_err(CliError::Import)?;
    explain::show_names(&imported.lab.spec.name_tags);
    Ok(imported)
}

/// Notes how much of a source the lab does not have as it is there.
pub(super) fn note_findings(order: &Order, imported: &Imported) {
    let source = order.source.display().to_string();
    let (source, counted) = (shown(&source), counted_findings(&imported.findings));
    output::note(&format!("{source}: {counted}; `egret import {source}` lists them"));
}

/// The reason why a lab that came from standard input is not read again.
const READ_ONCE: &str =
    "the lab came from standard input, which is read once: give a file to `egret apply`";

fn sentences(errors: &Diagnostics) -> String {
    errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// A lab file, or a source in place of one.
#[derive(Clone, Debug)]
pub(super) enum LabSource {
    File(PathBuf),
    From(Box<Order>),
}

impl LabSource {
    /// Makes it from one of the two; clap has made sure that there is one.
    pub(super) fn of(file: Option<&Path>, order: Option<Order>) -> Result<Self, CliError> {
        match (file, order) {
            (Some(file), _) => Ok(Self::File(file.to_owned())),
            (None, Some(order)) => Ok(Self::From(Box::new(order))),
            (None, None) => Err(CliError::Usage("give a lab file, or --from SOURCE".to_owned())),
        }
    }

    pub(super) fn load(&self, quiet: bool) -> Result<Lab, CliError> {
        match self {
            Self::File(file) => {
                let lab = Lab::load(file).map_err(CliError::Config)?;
                explain::show_names(&lab.spec.name_tags);
                Ok(lab)
            }
            Self::From(order) => {
                let imported = from(order)?;
                if !quiet {
                    note_findings(order, &imported);
                }
                Ok(imported.lab)
            }
        }
    }

    /// Returns the text of the lab file, and its name, for a lab that is up already.
    pub(super) fn read_again(&self) -> Result<(String, String), String> {
        match self {
            Self::File(file) if is_standard_input(file) => Err(READ_ONCE.to_owned()),
            Self::File(file) => {
                let text = Lab::read_regular(file).map_err(|errors| sentences(&errors))?;
                Ok((shown(&file.display().to_string()).into_owned(), text))
            }
            Self::From(order) if is_standard_input(&order.source) => Err(READ_ONCE.to_owned()),
            Self::From(order) => {
                let imported = Imported::from_source(order).map_err(|failure| way_out(&failure))?;
                Ok((imported.lab.file.clone(), imported.text().to_owned()))
            }
        }
    }
}
