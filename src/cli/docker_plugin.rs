//! `egret docker-plugin`: a network driver of Docker's, which attaches containers to labs.

use super::runtime::runtime;
use super::stop::Stop;
use super::{CliError, output};
use crate::docker::{Driver, Networks, PluginSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Options of a network: `-o lab=NAME` (without it, egret), and either `-o service=NAME`, whose tasks \
the containers become, or `-o resource=NAME`, at whose address one container answers.

Exit codes:
  0  ended by Ctrl-C or SIGTERM
  1  no socket, another plugin has it or the file of networks, or no root
  2  a usage error

Examples:
  sudo egret docker-plugin
  docker network create -d egret --ipam-driver null -o lab=shop -o service=web web
  docker network create -d egret --ipam-driver null -o lab=shop -o resource=orders-db db
  docker run --network web --dns 10.0.0.2 IMAGE")]
pub struct DockerPluginArgs {
    /// The socket; Docker looks for plugins in /run/docker/plugins, by their files' names
    #[arg(long, value_name = "PATH", default_value = "/run/docker/plugins/egret.sock")]
    socket: PathBuf,
    /// The file that keeps the networks that Docker has made
    #[arg(long, value_name = "FILE", default_value = "/var/lib/egret/docker-networks.json")]
    networks: PathBuf,
}

pub(super) fn run(args: &DockerPluginArgs) -> Result<ExitCode, CliError> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut stop = Stop::listen()?;
        let networks = Networks::open(&args.networks)?;
        let count = networks.count();
        let driver = Driver::new(networks, Arc::new(output::note));
        let socket = PluginSocket::make(&args.socket).await?;
        let path = args.socket.display();
        output::note(&format!(
            "ready: Docker's network driver listens at {path} ({count} networks); Ctrl-C ends it"
        ));
        let (end, ended) = watch::channel(false);
        let serving = async {
            socket.serve(driver.clone(), ended).await;
            driver.end().await;
        };
        let stopping = async {
            stop.wait().await;
            // Without a receiver, serving has ended.
            let _ = end.send(true);
            stop.wait_for_another().await;
        };
        tokio::select! {
            () = serving => {}
            () = stopping => {}
        }
        output::note("the plugin has ended; containers stay attached");
        Ok(ExitCode::SUCCESS)
    })
}
