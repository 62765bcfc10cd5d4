//! `egret exec`: runs a command inside a task, a VPC, the service behind a gateway endpoint, or the
//! internet.

use super::completion::values;
use super::runtime::runtime;
use super::{CliError, LabArg, output};
use crate::daemon::Client;
use crate::daemon::control::{LabInfo, Maker, TaskAnswer, TaskRequest};
use crate::daemon::state;
use crate::linux::exec::{Overlay, TRUSTED_BY_HOST, exec_in};
use clap_complete::engine::ArgValueCompleter;
use std::ffi::OsString;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "egret exec [OPTIONS] TASK [CMD]...
       egret exec [OPTIONS] <--vpc <ID>|--endpoint <ID>|--internet> [-- CMD...]",
    after_help = "The command runs in place of egret, which ends with the command's exit code. Without one, a shell opens.

Exit codes:
  1    egret could not enter the namespace, or the lab could not make the task
  2    a usage error, an unknown service or namespace, or no lab answers
  126  the command cannot be run, such as a file that is not executable
  127  the command does not exist

Examples:
  sudo egret exec web                                      a shell in task 1 of service web
  sudo egret exec web ping -c1 10.0.1.10                   a command there
  sudo egret exec web/2 ping -c 3 203.0.113.10             in task 2, made if it is not there
  sudo egret exec --vpc vpc-prod -- iperf3 -s              where the VPC's resources are
  sudo egret exec --endpoint vpce-s3 -- ss -tn             behind a gateway endpoint
  sudo egret exec --internet -- tcpdump -ni net0           where the internet's hosts are"
)]
pub struct ExecArgs {
    #[command(flatten)]
    lab: LabArg,
    /// The task: SERVICE or SERVICE/N; task 1 where no number is given
    #[arg(required_unless_present = "place", add = ArgValueCompleter::new(values::services_and_tasks))]
    task: Option<String>,
    /// Run it in the namespace that holds this VPC's resources
    #[arg(long, value_name = "ID", group = "place", add = ArgValueCompleter::new(values::vpcs))]
    vpc: Option<String>,
    /// Run it in the namespace behind this gateway endpoint, which holds the hosts of its service
    #[arg(long, value_name = "ID", group = "place", add = ArgValueCompleter::new(values::gateway_endpoints))]
    endpoint: Option<String>,
    /// Run it in the namespace that holds the internet's hosts
    #[arg(long, group = "place")]
    internet: bool,
    /// The command and its arguments; without one, `$SHELL` or `/bin/sh`
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    command: Vec<String>,
}

impl ExecArgs {
    /// Returns whether a VPC, an endpoint or the internet is asked for, not a task.
    fn is_place(&self) -> bool {
        self.vpc.is_some() || self.endpoint.is_some() || self.internet
    }

    /// Returns the command: the shell of the environment if none is given. Where no task is asked
    /// for, the first word is a part of it.
    fn command(&self) -> Vec<OsString> {
        let first = self.task.iter().filter(|_| self.is_place());
        let given: Vec<OsString> = first.chain(&self.command).map(OsString::from).collect();
        if !given.is_empty() {
            return given;
        }
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        vec![shell.unwrap_or_else(|| OsString::from("/bin/sh"))]
    }
}

pub(super) fn run(args: &ExecArgs) -> Result<ExitCode, CliError> {
    let namespace = runtime()?.block_on(namespace(args))?;
    let certificates = Overlay { file: state::trusted(args.lab.name()), over: TRUSTED_BY_HOST };
    match exec_in(&namespace, &args.command(), &[certificates])? {}
}

async fn namespace(args: &ExecArgs) -> Result<String, CliError> {
    let client = Client::new(args.lab.name());
    if let Some(task) = args.task.as_ref().filter(|_| !args.is_place()) {
        let (service, number) = parse_task(task)?;
        let request = TaskRequest { service, number: Some(number), maker: Maker::Exec };
        let TaskAnswer { task, notes } = client.post("/v1/tasks", &request).await?;
        notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
        return Ok(task.namespace);
    }
    let lab: LabInfo = client.get("/v1/lab").await?;
    if let Some(task) = args.task.as_ref().filter(|word| is_task_of(word, &lab)) {
        let what = "--vpc, --endpoint or --internet";
        return Err(CliError::Usage(format!(
            "`{task}` is a task: give it or {what}, not both; a program of that name needs its path"
        )));
    }
    let (what, id, known) = match (&args.vpc, &args.endpoint) {
        (Some(vpc), _) => ("VPC", vpc, &lab.vpcs),
        (None, Some(endpoint)) => ("gateway endpoint", endpoint, &lab.gateway_endpoints),
        (None, None) => return Ok(format!("{}-internet", lab.name)),
    };
    if known.contains(id) {
        return Ok(format!("{}-{id}", lab.name));
    }
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(CliError::Usage(format!("lab `{}` has no {what} `{id}`; it has {known}", lab.name)))
}

/// Decides whether a word names a task of the lab.
fn is_task_of(word: &str, lab: &LabInfo) -> bool {
    parse_task(word).is_ok_and(|(service, _)| lab.services.contains(&service))
}

/// Parses `SERVICE` or `SERVICE/N`.
pub(super) fn parse_task(word: &str) -> Result<(String, u16), CliError> {
    let Some((service, number)) = word.split_once('/') else { return Ok((word.to_owned(), 1)) };
    match number.parse() {
        Ok(number) if number > 0 => Ok((service.to_owned(), number)),
        Ok(_) | Err(_) => Err(CliError::Usage(format!(
            "`{word}` is not a task: write SERVICE/N with N from 1 to 65535"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use clap::{Args as _, Command, FromArgMatches as _};

    fn parsed(words: &[&str]) -> Result<ExecArgs, clap::Error> {
        let command = ExecArgs::augment_args(Command::new("exec"));
        let matches = command.try_get_matches_from([&["exec"], words].concat())?;
        ExecArgs::from_arg_matches(&matches)
    }

    #[test]
    fn a_command_is_taken_with_and_without_dashes_before_it() {
        for words in ["web ping -c1 x", "web -- ping -c1 x", "web --lab staging ping -c1 x"] {
            let args = parsed(&words.split(' ').collect::<Vec<_>>()).unwrap();
            assert_eq!(args.task.as_deref(), Some("web"), "{words}");
            assert!(args.command() == ["ping", "-c1", "x"], "{words}: {:?}", args.command());
        }
        for words in ["--internet -- ss -tn", "--vpc v -- ss -tn", "--endpoint e ss -- -tn"] {
            let args = parsed(&words.split(' ').collect::<Vec<_>>()).unwrap();
            assert!(args.is_place() && args.command() == ["ss", "-tn"], "{words}: {args:?}");
        }
    }

    #[test]
    fn without_a_command_a_shell_opens() {
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let shell = shell.unwrap_or_else(|| "/bin/sh".into());
        for words in [&["web"][..], &["--internet"]] {
            assert!(parsed(words).unwrap().command() == [shell.clone()], "{words:?}");
        }
    }

    #[test]
    fn exactly_one_namespace_is_asked_for() {
        assert!(parsed(&[]).is_err());
        assert!(parsed(&["--internet", "--vpc", "v", "--", "ss"]).is_err());
    }

    #[test]
    fn a_task_is_a_service_and_a_number_from_1() {
        assert_eq!(parse_task("web").unwrap(), ("web".to_owned(), 1));
        assert_eq!(parse_task("web/7").unwrap(), ("web".to_owned(), 7));
        for wrong in ["web/0", "web/", "web/x", "web/70000"] {
            assert_eq!(parse_task(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
