//! `egret ca`: prints the certificate of a lab's authority.

use super::runtime::runtime;
use super::{CliError, LabArg, output};
use crate::daemon::control::LabInfo;
use crate::daemon::{Client, state};
use std::fs;
use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Programs that `egret exec` starts trust the certificate, where the host has its own in \
/etc/ssl/certs/ca-certificates.crt. Give it to others, such as programs in containers. The lab makes \
another certificate each time it comes up; `egret apply` keeps it.

Exit codes:
  0  the certificate, or the path of its file, is printed
  1  its file cannot be read
  2  a usage error, or no lab answers

Examples:
  sudo egret ca > ca.pem
  sudo ip netns exec egret-web-1 curl --cacert \"$(sudo egret ca --path)\" https://example/")]
pub struct CaArgs {
    #[command(flatten)]
    lab: LabArg,
    /// Print the path of the file with the certificate
    #[arg(long)]
    path: bool,
}

pub(super) fn run(args: &CaArgs) -> Result<ExitCode, CliError> {
    // The file of a lab that does not run is of no use.
    let client = Client::new(args.lab.name());
    let lab: LabInfo = runtime()?.block_on(client.get("/v1/lab"))?;
    let path = state::ca(&lab.name);
    if args.path {
        output::out(|w| writeln!(w, "{}", path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let read = fs::read_to_string(&path);
    let certificate = read.map_err(|why| {
        std::io::Error::new(why.kind(), format!("reading {}: {why}", path.display()))
    })?;
    output::out(|w| w.write_all(certificate.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}
