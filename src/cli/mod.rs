//! Layer 9: a file per command.

pub mod api;
mod api_findings;
pub mod apply;
mod background;
pub mod bench;
pub mod ca;
pub mod capture;
pub mod check;
pub mod cni;
pub mod completion;
pub mod completions;
pub mod demo;
pub mod diff;
pub mod docker_plugin;
pub mod down;
pub mod drops;
mod error;
pub mod exec;
pub mod explain;
pub mod failure;
mod fix;
mod follow;
pub mod format;
pub mod graph;
pub mod import;
pub mod init;
mod iperf;
mod kept_file;
mod lab_arg;
mod lab_log;
mod lines;
pub mod list;
mod live;
pub mod logs;
pub mod ls;
pub mod man;
mod namespace_args;
mod notify;
mod number;
pub mod output;
pub mod probe;
mod program;
mod progress;
pub mod reach;
mod remaining;
pub mod resource;
mod running_lab;
mod runtime;
pub mod schema;
mod screen;
pub mod selection;
pub mod services;
mod stop;
mod table_args;
pub mod task;
pub mod test;
pub mod top;
pub mod trace;
pub mod up;
pub mod wait;
mod watch;
mod wire;

pub use error::CliError;
pub use lab_arg::LabArg;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "egret", version, about, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  egret check lab.toml                              is the lab file sound?
  egret explain web orders-db --config lab.toml     what would happen, without starting anything
  egret test lab.toml                               does it reach all that it must, and no more?
  sudo egret up lab.toml                            bring the lab up
  sudo egret exec web -- ping -c1 10.0.1.10         a command as a task of web
  sudo egret drops                                  dropped packets, and the rules that dropped them

Exit codes:
  0  success, or the answer is yes
  1  the answer is no (a drop, an expectation that fails, errors that `egret check` finds), or the
     lab failed
  2  a usage or configuration error, or no lab to ask")]
pub struct Cli {
    /// Colours: always, never, or auto: only to a terminal, and not with NO_COLOR set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: output::ColorChoice,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send real probes through a lab of its own and show what was expected beside what was seen
    Demo(demo::DemoArgs),
    /// Bring a lab up, and keep it up until Ctrl-C or in the background
    Up(up::UpArgs),
    /// Apply a changed lab file to a running lab, or say what that would do
    Apply(apply::ApplyArgs),
    /// Take a lab down, or clear what a killed run left
    Down(down::DownArgs),
    /// List the labs of this host, running or not
    Ls(ls::LsArgs),
    /// Wait until a lab is ready, or down
    Wait(wait::WaitArgs),
    /// Show the log of a lab that runs in the background
    Logs(logs::LogsArgs),
    /// Run a command inside a task, a VPC or the internet
    Exec(exec::ExecArgs),
    /// Add, remove, repair or list tasks
    Task(task::TaskArgs),
    /// Attach containers or processes that answer at resources' addresses, detach or list them
    Resource(resource::ResourceArgs),
    /// Print the certificate by which programs trust a lab's HTTPS listeners
    Ca(ca::CaArgs),
    /// Run a network driver of Docker's: its containers become tasks, or answer for resources
    DockerPlugin(docker_plugin::DockerPluginArgs),
    /// Say whether a service reaches a destination, and which rule decides
    #[command(long_about = "Say whether a service reaches a destination, and which rule decides.

The packets take the same walk as live packets do, but nothing is sent, no port is taken and no flow is made. For those \
that are dropped the answer shows one packet stage by stage, and names the rule with its line in the lab file, the \
nearest miss, and how to fix it.")]
    Explain(explain::ExplainArgs),
    /// Send a real packet from a task, and compare what happens to it with the verdict
    Probe(probe::ProbeArgs),
    /// List what services reach, or who reaches a destination, and which rules decide
    Reach(reach::ReachArgs),
    /// Compare two configurations: list the packets whose verdict changes, with both deciding rules
    Diff(diff::DiffArgs),
    /// Test what a lab's services must reach and must not: the expectations of a file
    Test(test::TestArgs),
    /// Show verdicts of real packets as they happen, one line each
    Trace(trace::TraceArgs),
    /// Write packets with their verdicts into a pcapng file, for Wireshark
    Capture(capture::CaptureArgs),
    /// Show what goes through flows, ENIs or services, second by second
    Top(top::TopArgs),
    /// Measure how fast a path is: through a running lab, or beside the kernel's own NAT
    Bench(bench::BenchArgs),
    /// List the flows of a running lab
    Flows(list::FlowsArgs),
    /// List what was dropped, and by which rule
    Drops(drops::DropsArgs),
    /// List ENIs and gateways, and what went through them
    #[command(after_help = "\
DROPS counts a packet at the device where it was read. A packet for which a NAT gateway has no port \
counts among its ENI's DROPS and the gateway's PORT-ERRORS.

Exit codes:
  0  the ENIs and gateways are listed
  1  the lab ended before it answered
  2  a usage error, or no lab answers

Examples:
  sudo egret enis             who shares which, and how much went through
  sudo egret enis --holders   who holds the ports, where a NAT gateway or an ENI runs out of them
  sudo egret enis --json      with raw numbers, and CloudWatch's metrics of NAT gateways
  sudo egret enis -o csv      the same, for a spreadsheet")]
    Enis(list::EnisArgs),
    /// List tasks
    #[command(after_help = "Exit codes:
  0  the tasks are listed
  1  the lab ended before it answered
  2  a usage error, or no lab answers

Examples:
  sudo egret ps
  sudo egret ps --json | jq -r '.[].namespace'
  for task in $(sudo egret ps -o name); do sudo egret exec $task -- ip -br address; done")]
    Ps(list::PsArgs),
    /// List services with their state, and why one does not run
    Services(services::ServicesArgs),
    /// Check a lab file: list every error, and what probably does not work as intended
    Check(check::CheckArgs),
    /// Draw the network of a lab: services, connectors, ENIs, subnets, routes and their targets
    Graph(graph::GraphArgs),
    /// Write a lab file from the description of a VPC
    Import(import::ImportCommand),
    /// Write a lab file to begin with
    Init(init::InitArgs),
    /// Print the JSON Schema of a lab file, for editors
    Schema(schema::SchemaArgs),
    /// Print the script by which a shell completes commands, options and values
    Completions(completions::CompletionsArgs),
    /// Write the manual pages, for a package
    #[command(hide = true)]
    Man(man::ManArgs),
    /// Attach containers for a container engine, as a CNI plugin
    #[command(hide = true)]
    Cni(cni::CniArgs),
}

/// Runs a command.
///
/// # Errors
/// The reason why it gave no answer.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    output::fit();
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Apply(args) => apply::run(&args, cli.color),
        Command::Down(args) => down::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Exec(args) => exec::run(&args),
        Command::Ca(args) => ca::run(&args),
        Command::Task(args) => task::run(&args),
        Command::Resource(args) => resource::run(&args),
        Command::DockerPlugin(args) => docker_plugin::run(&args),
        Command::Trace(args) => trace::run(args, cli.color),
        Command::Capture(args) => capture::run(args),
        Command::Top(args) => top::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Flows(args) => list::flows(&args),
        Command::Drops(args) => drops::run(&args),
        Command::Enis(args) => list::enis(&args),
        Command::Ps(args) => list::ps(&args),
        Command::Services(args) => services::run(&args),
        Command::Explain(args) if args.fix => fix::run(&args),
        Command::Explain(args) => explain::run(&args, cli.color),
        Command::Probe(args) => probe::run(&args),
        Command::Reach(args) => reach::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Test(args) => test::run(&args, cli.color),
        Command::Check(args) => check::run(&args, cli.color),
        Command::Graph(args) => graph::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args, Cli::command()),
        Command::Cni(args) => Ok(cni::run(&args)?),
    }
}

#[cfg(test)]
pub(crate) mod command_pages;
#[cfg(test)]
mod json_page;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    /// Walks the tree of commands.
    fn each_command(
        command: &clap::Command,
        path: &str,
        see: &mut dyn FnMut(&str, &clap::Command),
    ) {
        see(path, command);
        for own in command.get_subcommands() {
            each_command(own, &format!("{path} {}", own.get_name()), see);
        }
    }

    fn has(command: &clap::Command, id: &str) -> bool {
        command.get_arguments().any(|argument| argument.get_id() == id)
    }

    /// `import` alone has another `-o`: the file that it writes; its answer is a lab file.
    #[test]
    fn each_command_with_json_has_all_formats_that_fit() {
        let mut with_formats = Vec::new();
        each_command(&Cli::command(), "egret", &mut |path, command| {
            let (format, json) = (has(command, format::FORMAT), has(command, format::JSON));
            assert!(format == json || path == "egret import", "{path}: -o and --json");
            if format {
                with_formats.push(path.to_owned());
                let argument = command.get_arguments().find(|a| a.get_id() == format::FORMAT);
                let values = argument.map(|a| a.get_possible_values()).unwrap_or_default();
                let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
                assert_eq!(names.get(..4), Some(&["table", "wide", "json", "yaml"][..]), "{path}");
            }
        });
        with_formats.sort();
        let expected = [
            "apply",
            "bench",
            "bench curves",
            "bench paths",
            "check",
            "demo",
            "diff",
            "down",
            "drops",
            "enis",
            "explain",
            "flows",
            "graph",
            "ls",
            "probe",
            "ps",
            "reach",
            "resource attach",
            "resource list",
            "services",
            "task add",
            "task list",
            "task remove",
            "test",
            "top",
            "trace",
            "up",
        ];
        assert_eq!(with_formats, expected.map(|name| format!("egret {name}")));
    }

    #[test]
    fn help_of_each_command_with_formats_shows_one() {
        each_command(&Cli::command(), "egret", &mut |path, command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let shows = help.contains(" -o ") || help.contains("--json");
            assert!(shows || !has(command, format::FORMAT), "{path} has no example");
        });
    }

    #[test]
    fn a_lab_is_a_name_and_not_a_path() {
        let parse = |lab: &str| Cli::try_parse_from(["egret", "down", "--lab", lab]);
        assert!(parse("staging-2").is_ok());
        for wrong in ["", "/x", "../x", ".", "a/b", "A", "-x"] {
            let refused = parse(wrong).map(|_| ()).map_err(|error| error.exit_code());
            assert_eq!(refused, Err(2), "{wrong:?}");
        }
    }

    #[test]
    fn colour_may_stand_after_the_command() {
        let cli = Cli::try_parse_from(["egret", "check", "lab.toml", "--color", "never"]);
        assert_eq!(cli.map(|c| c.color).ok(), Some(output::ColorChoice::Never));
    }
}
