//! The whole command line: every command, option and example. The commands themselves are a file each beside this one.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// An AWS App Runner service's outbound network on one Linux box, with real packets.
#[derive(Debug, Parser)]
#[command(name = "egret", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  egret check lab.toml                              is the lab file sound?
  egret explain web orders-db --config lab.toml     what would happen, without starting anything
  sudo egret up lab.toml                            start the lab
  sudo egret exec web -- curl -s http://10.0.1.10   run a command as a task of web
  sudo egret drops                                  what was dropped, and by which rule

Exit codes: 0 fine; 1 the answer is no (a drop, errors in the lab file); 2 usage or configuration error.")]
pub struct Cli {
    /// Colour: auto is only to a terminal, and not with NO_COLOR in the environment.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// To a terminal, unless NO_COLOR is set.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a lab and stay until it is stopped.
    Up(UpArgs),
    /// Stop a running lab and take everything of it off the box.
    Down(DownArgs),
    /// Run a command inside the lab, in a task's, a VPC's or the internet's namespace.
    Exec(ExecArgs),
    /// Add, remove or list the tasks of a running lab.
    #[command(subcommand)]
    Task(TaskCommand),
    /// Say what would happen to a packet, stage by stage, and which rule decides.
    Explain(ExplainArgs),
    /// List the flows of a running lab.
    Flows(FlowsArgs),
    /// List what a running lab dropped: why, and by which rule.
    Drops(DropsArgs),
    /// List the ENIs and NAT gateways of a running lab, with who shares them.
    Enis(EnisArgs),
    /// List the tasks of a running lab: address, namespace, ENI.
    Ps(PsArgs),
    /// Check a lab file: every error at once, and warnings about what probably does not do what is wanted.
    Check(CheckArgs),
    /// Start a lab of its own, show what egret does, and take it down again.
    Demo(DemoArgs),
}

/// Which running lab.
#[derive(Clone, Debug, Args)]
pub struct LabArg {
    /// The running lab's name, as `lab = "…"` in its file.
    #[arg(long, env = "EGRET_LAB", value_name = "NAME", default_value = "egret")]
    pub lab: String,
}

/// How to print.
#[derive(Clone, Copy, Debug, Args)]
pub struct JsonArg {
    /// Print JSON, with raw numbers and stable keys.
    #[arg(long)]
    pub json: bool,
}

/// `egret up`
#[derive(Debug, Args)]
#[command(after_help = "\
Needs root. Ctrl-C, SIGTERM or `egret down` stop the lab and remove everything that it made.

Examples:
  sudo egret up lab.toml
  sudo egret up lab.toml &  then  egret ps")]
pub struct UpArgs {
    /// The lab file.
    pub file: PathBuf,
}

/// `egret down`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo egret down
  sudo egret down --lab staging")]
pub struct DownArgs {
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
}

/// `egret exec`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["task", "vpc", "internet"]))]
#[command(after_help = "\
The exit code is the command's own.

Examples:
  sudo egret exec web -- curl -s http://10.0.1.10:8080    as task 1 of web
  sudo egret exec web/2 -- ping -c1 203.0.113.10          as task 2 of web
  sudo egret exec --vpc vpc-prod -- ss -tn                where the VPC's resources are
  sudo egret exec --internet -- tcpdump -ni any           where the internet hosts are")]
pub struct ExecArgs {
    /// The task to run as; N counts from 1 and is 1 where it is absent.
    #[arg(value_name = "SERVICE[/N]")]
    pub task: Option<String>,
    /// Run in this VPC's namespace instead, where its resources have their addresses.
    #[arg(long, value_name = "ID")]
    pub vpc: Option<String>,
    /// Run in the internet's namespace instead.
    #[arg(long)]
    pub internet: bool,
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `egret task`
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Add tasks to a service.
    #[command(after_help = "\
Examples:
  sudo egret task add web
  sudo egret task add web --count 3")]
    Add(TaskAddArgs),
    /// Remove one task.
    #[command(after_help = "\
Example:
  sudo egret task remove web/2")]
    Remove(TaskRemoveArgs),
    /// List the tasks, as `egret ps` does.
    List(PsArgs),
}

/// `egret task add`
#[derive(Debug, Args)]
pub struct TaskAddArgs {
    /// The service.
    pub service: String,
    /// How many tasks more.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub count: u16,
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

/// `egret task remove`
#[derive(Debug, Args)]
pub struct TaskRemoveArgs {
    /// The task.
    #[arg(value_name = "SERVICE/N")]
    pub task: String,
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
}

/// `egret explain`
#[derive(Debug, Args)]
#[command(long_about = "\
Say what would happen to a packet, stage by stage, and which rule decides.

The packet takes the same walk as live packets do, but nothing is sent, no port is taken and no flow is made. \
For a drop the answer names the rule with its line in the lab file, the nearest miss, and what would mend it.")]
#[command(after_help = "\
With --config nothing has to run and no root is needed, so it fits in CI: exit code 1 says that the packet would be \
dropped.

Examples:
  egret explain web orders-db --config lab.toml            the first TCP port that orders-db listens on
  egret explain web/2 203.0.113.10:443 --config lab.toml   from task 2
  egret explain web example:53/udp --config lab.toml
  egret explain web 10.0.1.10/icmp --config lab.toml --json
  egret explain web orders-db                              under the configuration of the running lab")]
pub struct ExplainArgs {
    /// The task that sends; N counts from 1 and is 1 where it is absent.
    #[arg(value_name = "SERVICE[/N]")]
    pub task: String,
    /// Where to: an address, or the name of a resource or internet host of the lab. PROTO is tcp (the default), udp,
    /// icmp or a number.
    #[arg(value_name = "DEST[:PORT][/PROTO]")]
    pub destination: String,
    /// Ask this lab file instead of a running lab.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The port that the task sends from, for TCP and UDP.
    #[arg(long, value_name = "N", default_value_t = 49152, value_parser = clap::value_parser!(u16).range(1..))]
    pub source_port: u16,
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

/// `egret flows`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo egret flows
  sudo egret flows --json | jq '.[] | select(.service == \"web\")'")]
pub struct FlowsArgs {
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

/// `egret drops`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo egret drops             by reason, rule, task and destination
  sudo egret drops --by-rule   a row for each rule")]
pub struct DropsArgs {
    /// One row for each rule, whoever sent the packets.
    #[arg(long)]
    pub by_rule: bool,
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

/// `egret enis`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sudo egret enis")]
pub struct EnisArgs {
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

/// `egret ps`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sudo egret ps")]
pub struct PsArgs {
    /// Which lab.
    #[command(flatten)]
    pub lab: LabArg,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

/// `egret check`
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no root and starts nothing. Exit code 1 says that the file has errors; warnings alone give 0.

Examples:
  egret check lab.toml
  egret check lab.toml --json | jq '.errors[].message'")]
pub struct CheckArgs {
    /// The lab file.
    pub file: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

/// `egret demo`
#[derive(Debug, Args)]
#[command(after_help = "\
Needs root, and iperf3 for the throughput.

Examples:
  sudo egret demo
  sudo egret demo --skip-throughput --json")]
pub struct DemoArgs {
    /// Leave the throughput measurements out.
    #[arg(long)]
    pub skip_throughput: bool,
    /// How to print.
    #[command(flatten)]
    pub output: JsonArg,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exec_takes_exactly_one_place() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["egret", "exec"], args].concat());
        assert!(parse(&["web/2", "--", "ping", "-c1", "10.0.1.10"]).is_ok());
        assert!(parse(&["--vpc", "vpc-prod", "--", "ss"]).is_ok());
        assert!(parse(&["--internet", "--", "ss"]).is_ok());
        assert!(parse(&["--", "ss"]).is_err());
        assert!(parse(&["web", "--internet", "--", "ss"]).is_err());
        assert!(parse(&["web"]).is_err());
    }

    #[test]
    fn colour_may_stand_after_the_command() {
        let cli = Cli::try_parse_from(["egret", "check", "lab.toml", "--color", "never"]);
        assert_eq!(cli.map(|c| c.color).ok(), Some(ColorChoice::Never));
    }
}
