//! `egret apply`: another configuration for a running lab.

use super::format::{Formats, OutputArgs, Rows, each};
use super::output::ColorChoice;
use super::runtime::runtime;
use super::{CliError, output};
use crate::config::{Lab, lab_name, time_scale};
use crate::daemon::reload::Request;
use crate::daemon::{Client, ClientError};
use crate::explain::{self, Reload, Warning};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file is checked first, and refused whole if it is wrong: nothing has changed then.

Running flows are treated as AWS does it. What a security group says is asked for new flows only; network ACLs and route
tables count for every packet, at once; a flow ends if its ENI or gateway goes, or if it would leave by another one.
Tasks, ENIs and gateways that are the same before and after are not touched.

Exit codes:
  0  in force, or with --dry-run: could be
  1  a step failed; the configuration before is in force again
  2  the file has errors, or no lab answers

Examples:
  sudo egret apply lab.toml --dry-run     what would change, and which live flows would be cut
  sudo egret apply lab.toml
  sudo egret apply lab.toml --dry-run -o yaml
  sudo egret apply lab.toml --time-scale 100"
)]
pub struct ApplyArgs {
    /// The lab file
    pub file: PathBuf,
    /// Only say what would change, and what would become of live flows
    #[arg(long)]
    pub dry_run: bool,
    /// How fast timeouts pass, in place of the file's `timeouts.time_scale`; without this option the file's value is in
    /// force, whatever was given before
    #[arg(long, value_name = "F", value_parser = time_scale)]
    pub time_scale: Option<f64>,
    /// The lab's name [default: the one in the file]
    #[arg(long, env = "EGRET_LAB", value_name = "NAME", value_parser = lab_name)]
    pub lab: Option<String>,
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
    let lab = Lab::load(&args.file).map_err(CliError::Config)?;
    let request = Request {
        file: lab.file.clone(),
        text: lab.source().to_owned(),
        time_scale: args.time_scale,
        dry_run: args.dry_run,
    };
    let client = Client::new(args.lab.as_ref().unwrap_or(&lab.name));
    let answer = runtime()?.block_on(client.post("/v1/apply", &request));
    let reload: Reload = answer.map_err(|error| match error {
        ClientError::Failed(said) => CliError::NotApplied(said),
        ClientError::NotRunning { .. }
        | ClientError::NotRoot { .. }
        | ClientError::Refused(_)
        | ClientError::WentDown { .. }
        | ClientError::Broken { .. } => error.into(),
    })?;
    warn(&lab, &reload, color)?;
    let text = |w: &mut dyn Write| explain::print_reload(w, &reload);
    args.output.format.print(&CHANGES, || &reload, text)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the warnings that the lab did not have before: at their lines, if they are about the file.
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
    if let Some(more) = reload.more_warnings() {
        output::note(&more);
    }
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
