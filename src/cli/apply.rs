//! `egret apply`: applies a changed lab file to a running lab.

use super::format::{Formats, OutputArgs, Rows, each};
use super::output::ColorChoice;
use super::remaining::{Held, KillArg, tell};
use super::runtime::runtime;
use super::{CliError, LabArg, output};
use crate::config::edit::{is_patch, patched};
use crate::config::{Lab, time_scale};
use crate::daemon::configuration::Configuration;
use crate::daemon::reload::Request;
use crate::daemon::{Client, ClientError};
use crate::edge::input::STANDARD_INPUT;
use crate::edge::shown;
use crate::explain::{self, Reload, Warning};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "The file is checked first. A file with errors changes nothing.

Running flows are treated as AWS does it. Security groups apply to new flows, and to those that the \
ENI of a Fargate task does not track. Network ACLs and route tables apply to every packet at once. \
A flow ends if its ENI or gateway is removed, or if it would leave by another one. Tasks, ENIs and \
gateways that are the same before and after stay untouched.

A patch, such as `egret explain --fix` prints, changes the running lab's configuration, not the lab \
file.

Programs that still run in the namespaces of removed tasks lose their network. They are listed; \
--kill ends them.

Exit codes:
  0  applied, or with --dry-run: could be applied
  1  a step failed: the lab has its earlier configuration again, except for what is named
  2  the file has errors, the patch does not fit, or no lab answers
  3  applied, and programs still run in namespaces that were removed

Examples:
  sudo egret apply lab.toml --dry-run     what would change, and which live flows would be cut
  sudo egret apply lab.toml
  sudo egret apply lab.toml --dry-run -o yaml
  sudo egret apply lab.toml --time-scale 100
  sudo egret apply fix.patch              what `egret explain web orders-db --fix` printed
  sudo egret explain web orders-db --fix | sudo egret apply -")]
pub struct ApplyArgs {
    /// The lab file, or a patch of the running lab's; - for standard input
    pub file: PathBuf,
    /// Only print what would change, and the effect on live flows
    #[arg(long)]
    pub dry_run: bool,
    /// How fast timeouts pass, in place of the file's `timeouts.time_scale`; without this option the file's
    /// value applies, also after an earlier --time-scale
    #[arg(long, value_name = "F", value_parser = time_scale)]
    pub time_scale: Option<f64>,
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    kill: KillArg,
    #[command(flatten)]
    output: OutputArgs<Plan>,
}

/// The formats of `egret apply`.
#[derive(Debug)]
pub struct Plan;

impl Formats for Plan {
    const CSV: Option<&'static str> = Some("One row for each object that changes");
    const NAME: Option<&'static str> = Some("The ids of what changes");
}

const CHANGES: Rows = Rows {
    lists: &["/changes"],
    columns: &["what", "kind", "id", "line", "details"],
    names: |answer| each(answer, "/changes", &["id"]),
    ..Rows::NONE
};

pub(super) fn run(args: &ApplyArgs, color: ColorChoice) -> Result<ExitCode, CliError> {
    let file = shown(&args.file.display().to_string()).into_owned();
    let text = Lab::read(&args.file).map_err(CliError::Config)?;
    let wanted = match is_patch(&text) {
        true => Wanted::patched(args, &text)?,
        false => Wanted::file(args, Lab::parse(&file, &text).map_err(CliError::Config)?),
    };
    let held = runtime()?.block_on(Held::of(&wanted.name));
    let mut reload = wanted.apply(args)?;
    if !args.dry_run {
        reload.processes = held.remaining(args.kill)?.processes;
    }
    warn(&wanted.lab, &reload, color)?;
    reload.notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
    let text = |w: &mut dyn Write| explain::print_reload(w, &reload);
    args.output.format.print(&CHANGES, || &reload, text)?;
    if wanted.before.is_some() && !args.dry_run {
        output::note(&unchanged(&wanted.lab.file, &file));
    }
    Ok(tell(&reload.processes))
}

/// The configuration to apply, and the lab to apply it to.
struct Wanted {
    name: String,
    lab: Lab,
    /// The text that the patch was made for.
    before: Option<String>,
}

impl Wanted {
    /// Takes a lab file.
    fn file(args: &ApplyArgs, lab: Lab) -> Self {
        args.lab.note_other_name(&lab, "is for");
        let lab = args.lab.rename(lab);
        Self { name: lab.name.clone(), lab, before: None }
    }

    /// Takes the configuration of the running lab with a patch.
    fn patched(args: &ApplyArgs, patch: &str) -> Result<Self, CliError> {
        let name = args.lab.name().to_owned();
        let own: Configuration =
            runtime()?.block_on(Client::new(&name).get("/v1/configuration"))?;
        let before = own.text.clone();
        let text = patched(&own.file, &before, patch)?;
        let (lab, _) = own.with_text(text).lab().map_err(CliError::Config)?;
        Ok(Self { name, lab, before: Some(before) })
    }

    fn apply(&self, args: &ApplyArgs) -> Result<Reload, CliError> {
        let request = Request {
            file: self.lab.file.clone(),
            text: self.lab.source().to_owned(),
            time_scale: args.time_scale,
            dry_run: args.dry_run,
            before: self.before.clone(),
            keeps_name: args.lab.given().is_some(),
        };
        let client = Client::new(&self.name);
        let answer = runtime()?.block_on(client.post("/v1/apply", &request));
        answer.map_err(|error| match error {
            ClientError::Failed(said) => CliError::NotApplied(said),
            ClientError::NotRunning { others, starting: None, .. }
                if args.lab.given().is_none() =>
            {
                self.not_running(&others)
            }
            ClientError::NotRunning { .. }
            | ClientError::NotRoot { .. }
            | ClientError::Refused(_)
            | ClientError::Silent(_)
            | ClientError::WentDown { .. }
            | ClientError::Broken { .. } => error.into(),
        })
    }
}

impl Wanted {
    /// Returns the error that the lab of the file does not run, with how to apply the file to
    /// another one.
    fn not_running(&self, others: &[String]) -> CliError {
        let (name, file) = (&self.name, explain::shell_word(&self.lab.file));
        let elsewhere = match others {
            [] => String::new(),
            [only] => format!(
                ", or apply it to the lab that runs: `sudo egret apply {file} --lab {only}`"
            ),
            [first, ..] => format!(
                ", or apply it to one of those that run ({}): `sudo egret apply {file} --lab {first}`",
                others.join(", ")
            ),
        };
        CliError::Usage(format!(
            "the file is for lab `{name}`, which is not running: bring it up with \
             `sudo egret up {file}`{elsewhere}"
        ))
    }
}

/// Returns whether `patch` accepts a file's name from a patch: it refuses absolute ones and those
/// with `..`.
pub(super) fn is_below(file: &str) -> bool {
    Path::new(file)
        .components()
        .all(|part| matches!(part, Component::CurDir | Component::Normal(_)))
}

/// Describes how to make the change in the lab file too, which a patch does not change.
fn unchanged(lab: &str, patch: &str) -> String {
    if !Path::new(lab).exists() {
        return format!("egret: {lab} is unchanged, and a reload from it undoes this");
    }
    if patch == STANDARD_INPUT {
        return format!("egret: {lab} itself is unchanged, and a reload from it undoes this");
    }
    let command = match is_below(lab) {
        true => format!("patch -p0 < {patch}"),
        false => format!("patch {} < {patch}", explain::shell_word(lab)),
    };
    format!(
        "egret: {lab} itself is unchanged, and a reload from it undoes this: `{command}` changes it"
    )
}

/// Prints the warnings that the lab did not have before: at their lines, if they are about the
/// file.
fn warn(lab: &Lab, reload: &Reload, color: ColorChoice) -> Result<(), CliError> {
    let of_file = if reload.warnings.is_empty() { Vec::new() } else { explain::check(lab) };
    for warning in &reload.warnings {
        let Some(finding) = of_file.iter().find(|finding| Warning::from(*finding) == *warning)
        else {
            output::note(&warning.to_string());
            continue;
        };
        let mut rendered = String::new();
        finding.render(&mut rendered, color.on_stderr()).map_err(std::io::Error::other)?;
        output::note(&rendered);
    }
    reload.more_warnings().for_each(|more| output::note(&more));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::format::fields::{fields, keys};
    use super::*;
    use crate::config::changes::Change;

    #[test]
    fn columns_are_the_fields_of_the_rows() {
        assert_eq!(keys(&CHANGES, ""), fields::<Change>());
    }
}
