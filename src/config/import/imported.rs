//! Makes a lab of a path: finds the format and the files, imports them, and reads the result.

use super::ids::require_ids;
use super::lab_name::lab_name;
use super::lowering::{self, Heading};
use super::{
    Account, Finding, Findings, Format, ImportError, ImportErrors, Importer, Options, Origin,
    Source, VpcConnector, cloudformation, describe, json, terraform,
};
use crate::config::{Diagnostic, Diagnostics, Lab, text};
use crate::edge::{self, input};
use crate::vpc::Line;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Bytes of the longest source, of one file or of several: an account's answers are far shorter.
const LONGEST: usize = 64 << 20;

/// A source, and the user's options for it.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The folder or file.
    pub source: PathBuf,
    /// The text of the file if it was read already, as of a pipe, which is read once.
    pub text: Option<String>,
    /// `--format`, if given.
    pub format: Option<Format>,
    /// The options of the importers.
    pub options: Options,
    /// `--connector`: connectors that are not in the source.
    pub connectors: Vec<ConnectorOrder>,
    /// `--lab`: the lab's name, in place of the source's.
    pub lab: Option<String>,
    /// `--lenient`: accepts a source that is not understood.
    pub lenient: bool,
}

/// A connector that a source does not have, by names and ids of the source:
/// `NAME=SUBNET,SUBNET:GROUP,GROUP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorOrder {
    /// Its name.
    pub name: String,
    /// Ids or `Name` tags of subnets.
    pub subnets: Vec<String>,
    /// Ids, names or `Name` tags of security groups; empty: the VPC's default group.
    pub security_groups: Vec<String>,
}

impl std::str::FromStr for ConnectorOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not NAME=SUBNET,SUBNET or NAME=SUBNET,SUBNET:GROUP,GROUP");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (subnets, groups) = rest.split_once(':').unwrap_or((rest, ""));
        let words = |list: &str| -> Vec<String> {
            list.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
        };
        let order = Self {
            name: name.trim().to_owned(),
            subnets: words(subnets),
            security_groups: words(groups),
        };
        let is_whole = !order.name.is_empty() && !order.subnets.is_empty();
        is_whole.then_some(order).ok_or_else(wrong)
    }
}

/// The reason why there is no lab.
#[derive(Debug, thiserror::Error)]
pub enum ImportFailure {
    /// The source cannot be read.
    #[error("{0}")]
    Source(#[from] ImportErrors),
    /// A verdict of the lab may be wrong; these findings, and all others.
    #[error("{} not understood and could change a verdict", not_understood(.0))]
    NotUnderstood(Vec<Finding>),
    /// The source does not describe a lab; each error names its place in the source.
    #[error("the source does not describe a valid lab")]
    Lab(Diagnostics),
}

fn not_understood(findings: &[Finding]) -> String {
    let is_one = |finding: &&Finding| finding.kind == super::FindingKind::NotUnderstood;
    match findings.iter().filter(is_one).count() {
        1 => "1 part of the source is".to_owned(),
        several => format!("{several} parts of the source are"),
    }
}

/// A source as a lab.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The lab, whose file is the text below.
    pub lab: Lab,
    /// All parts that were not taken over unchanged.
    pub findings: Vec<Finding>,
    /// The source, with the lab's names of its objects.
    pub written: Source,
}

impl Imported {
    /// Reads a source, makes a lab file of it, and reads that.
    ///
    /// # Errors
    /// All faults that prevent a lab, by their places in the source.
    pub fn from_source(order: &Order) -> Result<Self, ImportFailure> {
        let (account, findings) = account(order)?;
        Self::from_account(account, findings, order)
    }

    /// Makes a lab as [`Imported::from_source`] does, of a file's text. The order's source is only
    /// its name.
    ///
    /// # Errors
    /// All faults that prevent a lab, by their places in the source.
    pub fn from_text(text: &str, order: &Order) -> Result<Self, ImportFailure> {
        let (account, findings) = account_of(text, order)?;
        Self::from_account(account, findings, order)
    }

    /// Makes a lab of an account that has been read.
    ///
    /// # Errors
    /// All faults that prevent a lab, by their places in the source.
    pub fn from_account(
        mut account: Account,
        mut findings: Findings,
        order: &Order,
    ) -> Result<Self, ImportFailure> {
        of_one_region(&account, order)?;
        if account.written.format == Some(Format::Describe) {
            require_ids(&account)?;
        }
        add_connectors(&mut account, &order.connectors)?;
        let source = edge::shown(&order.source.display().to_string()).into_owned();
        let lab = order.lab.clone().unwrap_or_else(|| lab_name(&order.source, &order.options));
        let heading = Heading { lab, source: source.clone() };
        let lowered = lowering::lower(&account, &heading, &mut findings)?;
        if findings.has_not_understood() && !order.lenient {
            return Err(ImportFailure::NotUnderstood(findings.all()));
        }
        let written = Source::new(account, lowered.ids, lowered.origins);
        match Lab::parse(&label(&source), &lowered.text) {
            Ok(lab) => Ok(Self { lab, findings: findings.all(), written }),
            Err(mut errors) => {
                errors.0.iter_mut().for_each(|error| name_place(error, &written));
                Err(ImportFailure::Lab(errors))
            }
        }
    }

    /// Returns the lab file's text.
    pub fn text(&self) -> &str {
        self.lab.source()
    }

    /// Adds the places in the source to findings in the lab file.
    pub fn name_places(&self, found: &mut [Diagnostic]) {
        found.iter_mut().for_each(|finding| name_place(finding, &self.written));
    }

    /// Returns the place in the source of a line of the lab file, which exists only in memory; the
    /// line itself, if it comes from nothing in the source.
    pub fn place(&self, line: Line) -> String {
        self.written
            .place(line)
            .map_or_else(|| format!("{}:{line}", self.lab.file), Origin::to_string)
    }
}

/// Returns the name of the lab file of a source: the command that prints it.
fn label(source: &str) -> String {
    format!("egret import {source}")
}

fn name_place(finding: &mut Diagnostic, written: &Source) {
    if let Some(origin) = written.place(finding.line) {
        finding.message = format!("{} ({origin})", finding.message);
    }
}

/// Reads the account of a source, by its format.
fn account(order: &Order) -> Result<(Account, Findings), ImportErrors> {
    let source = &order.source;
    if source.to_str().is_none() {
        let place = Origin::file(&source.display().to_string());
        let message = "the path is not UTF-8, and a lab file cannot name it";
        return Err(place.error(message, "rename it, or give a link to it").into());
    }
    if let Some(text) = &order.text {
        return account_of(text, order);
    }
    let is_folder = !input::is_standard_input(source)
        && fs::metadata(source).map_err(|error| unreadable(source, &error))?.is_dir();
    if is_folder {
        of_a_folder(order)?;
        without_parameters(order)?;
        let files = folder(source, order.options.region.as_deref())?;
        let mut options = order.options.clone();
        options.region = options.region.or(files.region);
        let (mut account, findings) = describe::parse_files(&files.texts, &options)?;
        account.written.format = Some(Format::Describe);
        return Ok((account, findings));
    }
    account_of(&read(source, LONGEST)?, order)
}

/// Reads a file that is to be imported, or perhaps a lab file.
///
/// # Errors
/// A file that cannot be read.
pub fn text(source: &Path) -> Result<String, ImportErrors> {
    Ok(read(source, LONGEST)?)
}

/// Checks the format of a folder, which can be one only.
fn of_a_folder(order: &Order) -> Result<(), ImportError> {
    let word = match order.format {
        None | Some(Format::Describe) => return Ok(()),
        Some(Format::CloudFormation) => "cloudformation",
        Some(Format::Terraform) => "terraform",
    };
    Err(Origin::file(&order.source.display().to_string()).error(
        format!("--format {word}: this is a folder, which is read as `aws ec2 describe-*` output"),
        "give the file instead of its folder, or --format describe",
    ))
}

fn account_of(text: &str, order: &Order) -> Result<(Account, Findings), ImportErrors> {
    let name = order.source.display().to_string();
    let format = order.format.map_or_else(|| detected(text, &name), Ok)?;
    let importer: Importer = match format {
        Format::Describe => describe::parse,
        Format::CloudFormation => cloudformation::import,
        Format::Terraform => terraform::import,
    };
    if format != Format::CloudFormation {
        without_parameters(order)?;
    }
    let (mut account, findings) = importer(text, &name, &order.options)?;
    account.written.format = Some(format);
    let begin = text.trim_start_matches('\u{feff}').trim_start();
    account.written.is_json = begin.starts_with('{');
    Ok((account, findings))
}

fn without_parameters(order: &Order) -> Result<(), ImportError> {
    let Some(parameter) = order.options.parameters.keys().next() else { return Ok(()) };
    Err(Origin::file(&order.source.display().to_string()).error(
        format!("--parameter {parameter}: this is not a CloudFormation template"),
        "only a template has parameters: leave it out",
    ))
}

/// Refuses a source whose zones are of another region than the one that the user named.
fn of_one_region(account: &Account, order: &Order) -> Result<(), ImportErrors> {
    let Some(region) = &order.options.region else { return Ok(()) };
    for subnet in &account.subnets {
        let zone = subnet.availability_zone.as_deref().unwrap_or_default();
        if let Some(other) = text::region_of_zone(zone)
            && other != region
        {
            let error = subnet.origin.error(
                format!("the subnet is in {zone}, of {other}, and --region is {region}"),
                format!("give --region {other}, or the source of {region}"),
            );
            return Err(error.into());
        }
    }
    Ok(())
}

/// Finds the format by the members at the top: any format can contain a text of another further in.
fn detected(text: &str, name: &str) -> Result<Format, ImportError> {
    let parsed = json::parse(text, name);
    if let Ok(value) = &parsed {
        if terraform::is_one(value) {
            return Ok(Format::Terraform);
        }
        if describe::is_one(value) {
            return Ok(Format::Describe);
        }
    }
    let is_yaml = [".yaml", ".yml"].iter().any(|end| name.to_lowercase().ends_with(end));
    if cloudformation::is_one(text) || (is_yaml && parsed.is_err()) {
        return Ok(Format::CloudFormation);
    }
    if parsed.is_err() && is_lab_file(text) {
        return Err(Origin::file(name).error(
            "this is a lab file already",
            "there is nothing to import: give it to `egret up`, `check` or `explain`",
        ));
    }
    parsed?;
    Err(Origin::file(name).error(
        "egret cannot import this",
        "give a folder of `aws ec2 describe-*` output or a file of it, a CloudFormation template, or what `terraform show -json` prints",
    ))
}

/// Decides whether a text is TOML with a key that every lab file has.
pub fn is_lab_file(text: &str) -> bool {
    let root = toml::from_str::<toml::Table>(text);
    root.is_ok_and(|root| ["vpc", "lab", "region"].iter().any(|key| root.contains_key(*key)))
}

/// The JSON files of a folder.
struct Folder {
    region: Option<String>,
    texts: Vec<(String, String)>,
}

/// Reads a flat folder, or one with `aws_configs/<region>/`.
fn folder(source: &Path, region: Option<&str>) -> Result<Folder, ImportErrors> {
    let mut names = json_files(source)?;
    let mut found = None;
    if names.is_empty() {
        let inner = source.join("aws_configs");
        let regions = if inner.is_dir() { inner } else { source.to_owned() };
        let (name, path) = region_folder(&regions, region)?;
        found = Some(name);
        names = json_files(&path)?;
    } else if source.parent().and_then(Path::file_name).is_some_and(|n| n == "aws_configs") {
        found = source.file_name().map(|name| name.to_string_lossy().into_owned());
    }
    let mut texts = Vec::new();
    let mut errors = Vec::new();
    let mut left = LONGEST;
    for path in names {
        match input::read(&path, left) {
            Ok(text) => {
                left -= text.len();
                texts.push((shown(source, &path), text));
            }
            Err(error) if left < LONGEST && error.kind() == ErrorKind::FileTooLarge => {
                errors.push(too_long_together(source));
                break;
            }
            Err(error) => errors.push(unreadable(&path, &error)),
        }
    }
    if errors.is_empty() { Ok(Folder { region: found, texts }) } else { Err(ImportErrors(errors)) }
}

fn too_long_together(folder: &Path) -> ImportError {
    Origin::file(&folder.display().to_string()).error(
        format!("its files are longer than {} MiB together", LONGEST >> 20),
        "give a folder with the network's resources alone",
    )
}

/// Returns a file's name within the source.
fn shown(source: &Path, path: &Path) -> String {
    path.strip_prefix(source).unwrap_or(path).display().to_string()
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let mut files: Vec<PathBuf> = children(folder)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "json") && path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

/// Finds the only region in a folder, or the one that the user asks for.
fn region_folder(folder: &Path, region: Option<&str>) -> Result<(String, PathBuf), ImportError> {
    let mut regions: Vec<(String, PathBuf)> = children(folder)?
        .into_iter()
        .filter(|path| path.is_dir() && json_files(path).is_ok_and(|files| !files.is_empty()))
        .filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), path)))
        .filter(|(name, _)| text::is_region(name))
        .collect();
    regions.sort();
    let here = Origin::file(&folder.display().to_string());
    let names: Vec<&str> = regions.iter().map(|(name, _)| name.as_str()).collect();
    let named = names.join(", ");
    let position = match (region, names.as_slice()) {
        (Some(wanted), _) => names.iter().position(|name| *name == wanted).ok_or_else(|| {
            here.error(format!("there is no region {wanted:?} here"), format!("there are: {named}"))
        })?,
        (None, [_]) => 0,
        (None, []) => {
            return Err(here.error(
                "there is no JSON file here",
                "collect one for each call: aws ec2 describe-vpcs > describe-vpcs.json, and so on",
            ));
        }
        (None, _) => {
            let help = format!("choose one with --region: {named}");
            return Err(here.error("there are several regions here", help));
        }
    };
    Ok(regions.swap_remove(position))
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|e| e.path())).collect();
    paths.map_err(|error| unreadable(folder, &error))
}

fn read(path: &Path, most: usize) -> Result<String, ImportError> {
    input::read(path, most).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> ImportError {
    let is = |kind| error.kind() == kind;
    let help = if is(ErrorKind::FileTooLarge) {
        "give one with the network's resources alone"
    } else if is(ErrorKind::InvalidData) {
        "give a text file: JSON or YAML"
    } else {
        "give a path that exists and may be read"
    };
    Origin::file(&path.display().to_string()).error(format!("cannot be read: {error}"), help)
}

/// Adds the connectors that the command line names.
fn add_connectors(account: &mut Account, orders: &[ConnectorOrder]) -> Result<(), ImportErrors> {
    let mut errors = Vec::new();
    for order in orders {
        let origin = Origin::file(&format!("--connector {}", order.name));
        let subnets: Vec<(&str, Option<&str>, &str)> =
            account.subnets.iter().map(|s| (s.id.as_str(), s.name.as_deref(), "")).collect();
        let groups: Vec<(&str, Option<&str>, &str)> = account
            .security_groups
            .iter()
            .map(|g| (g.id.as_str(), g.name.as_deref(), g.group_name.as_str()))
            .collect();
        let mut find = |what: &str, words: &[String], among: &[(&str, Option<&str>, &str)]| {
            let found = words.iter().map(|word| find(&origin, what, word, among));
            let found: Vec<Result<String, ImportError>> = found.collect();
            let mut ids = Vec::new();
            for one in found {
                match one {
                    Ok(id) => ids.push(id),
                    Err(error) => errors.push(error),
                }
            }
            ids
        };
        let subnets = find("subnet", &order.subnets, &subnets);
        let security_groups = find("security group", &order.security_groups, &groups);
        account.vpc_connectors.push(VpcConnector {
            id: format!("--connector {}", order.name),
            name: order.name.clone(),
            subnets,
            security_groups,
            origin,
        });
    }
    if errors.is_empty() { Ok(()) } else { Err(ImportErrors(errors)) }
}

/// Finds the object that has this id, or alone has this name.
fn find(
    origin: &Origin,
    what: &str,
    word: &str,
    among: &[(&str, Option<&str>, &str)],
) -> Result<String, ImportError> {
    if among.iter().any(|(id, _, _)| *id == word) {
        return Ok(word.to_owned());
    }
    let called: Vec<&str> = among
        .iter()
        .filter(|(_, name, other)| *name == Some(word) || *other == word)
        .map(|(id, _, _)| *id)
        .collect();
    match called.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => {
            let known: Vec<&str> = among.iter().take(20).map(|(id, _, _)| *id).collect();
            let message = format!("the source has no {what} {word:?}");
            Err(origin.error(message, format!("there are: {}", known.join(", "))))
        }
        several => {
            let message = format!("{} {what}s are called {word:?}", several.len());
            Err(origin.error(message, format!("give the id: {}", several.join(", "))))
        }
    }
}
