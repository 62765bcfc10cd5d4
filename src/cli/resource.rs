//! `egret resource`: resources of a running lab that another program's namespace answers for.

use super::completion::values;
use super::format::{Formats, OutputArgs, Rows, each};
use super::namespace_args::NamespaceArgs;
use super::runtime::runtime;
use super::table_args::TableArgs;
use super::watch::{Listing, nothing};
use super::{CliError, LabArg, output};
use crate::daemon::Client;
use crate::daemon::control::{AttachResourceRequest, Removed, ResourceAnswer};
use crate::explain::ResourceRow;
use clap_complete::engine::ArgValueCompleter;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo egret resource attach orders-db --pid \"$(podman inspect -f '{{.State.Pid}}' postgres)\"
  sudo egret resource detach orders-db
  sudo egret resource list")]
pub struct ResourceArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Let a namespace that another program made answer at a resource's address
    ///
    /// The namespace gets an interface with the resource's address, behind the resource's security groups and network
    /// ACLs. The lab's own listeners of the resource stop until it is detached. Programs there answer tasks; what they
    /// begin themselves reaches no task.
    #[command(
        override_usage = "egret resource attach [OPTIONS] NAME <--netns <PATH>|--pid <PID>>",
        after_help = "Exit codes:
  0  attached, or attached before
  1  the lab could not attach it
  2  no such namespace or resource, one that is in use, or no lab answers

Examples:
  sudo egret resource attach orders-db --netns /run/netns/db
  sudo egret resource attach orders-db --pid 4711 --ifname eth1 --json"
    )]
    Attach(AttachArgs),
    /// Detach a resource: the lab answers at its address again
    #[command(after_help = "The namespace and its programs stay, without the interface.

Exit codes:
  0  detached
  1  the lab could not detach it
  2  the resource is not attached, or no lab answers

Examples:
  sudo egret resource detach orders-db")]
    Detach(DetachArgs),
    /// List the resources, and which namespaces answer for them
    #[command(after_help = "Examples:
  sudo egret resource list
  sudo egret resource list --json | jq '.[] | select(.namespace)'")]
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    lab: LabArg,
    #[command(flatten)]
    output: OutputArgs<Listed>,
    #[command(flatten)]
    table: TableArgs<ResourceRow>,
}

#[derive(Debug, clap::Args)]
struct AttachArgs {
    #[command(flatten)]
    lab: LabArg,
    /// The resource
    #[arg(add = ArgValueCompleter::new(values::resources))]
    name: String,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs<Attached>,
}

#[derive(Debug, clap::Args)]
struct DetachArgs {
    #[command(flatten)]
    lab: LabArg,
    /// The resource
    #[arg(add = ArgValueCompleter::new(values::resources))]
    name: String,
}

/// The formats of `egret resource list`.
#[derive(Debug)]
struct Listed;

impl Formats for Listed {
    const CSV: Option<&'static str> = Some("One row for each resource");
    const NAME: Option<&'static str> = Some("The names");
}

const LISTED: Rows = Rows {
    lists: &[""],
    columns: &[
        "resource",
        "address",
        "subnet",
        "security_groups",
        "listens",
        "namespace",
        "interface",
        "container",
    ],
    names: |answer| each(answer, "", &["resource"]),
    ..Rows::NONE
};

/// The formats of `egret resource attach`: a sentence, or an object.
#[derive(Debug)]
pub(super) struct Attached;

impl Formats for Attached {
    const CSV: Option<&'static str> = None;
    const NAME: Option<&'static str> = Some("The name of the namespace");
}

const ATTACHED: Rows =
    Rows { lists: &[""], names: |answer| each(answer, "", &["namespace"]), ..Rows::NONE };

pub(super) fn run(args: &ResourceArgs) -> Result<ExitCode, CliError> {
    match &args.action {
        Action::Attach(args) => runtime()?.block_on(attach(args)),
        Action::Detach(args) => runtime()?.block_on(detach(args)),
        Action::List(args) => list(args),
    }
}

fn list(args: &ListArgs) -> Result<ExitCode, CliError> {
    let client = Client::new(args.lab.name());
    let (args, format) = (&args.table, args.output.format);
    let listing = Listing { client: Some(&client), args, format, rows: &LISTED, below: nothing };
    listing.show(async || Ok(client.get::<Vec<ResourceRow>>("/v1/resources").await?))
}

async fn attach(args: &AttachArgs) -> Result<ExitCode, CliError> {
    let interface = args.namespace.interface().to_owned();
    let path = format!("/v1/resources/{}/attach", args.name);
    let (request, descriptor) =
        (AttachResourceRequest { interface, container: None }, args.namespace.open()?);
    let client = Client::new(args.lab.name());
    let answer: ResourceAnswer = client.post_with(&path, &request, descriptor).await?;
    answer.notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
    let ResourceAnswer { resource, namespace, interface, address, .. } = &answer;
    args.output.format.print(
        &ATTACHED,
        || &answer,
        |w| {
            writeln!(
                w,
                "attached resource {resource}: {interface} of namespace {namespace} has {address}"
            )
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn detach(args: &DetachArgs) -> Result<ExitCode, CliError> {
    let path = format!("/v1/resources/{}/attach", args.name);
    let Removed { notes } = Client::new(args.lab.name()).delete(&path).await?;
    notes.iter().for_each(|note| output::note(&format!("egret: {note}")));
    let name = &args.name;
    output::note(&format!("detached resource {name}; the lab answers at its address again"));
    Ok(ExitCode::SUCCESS)
}
