//! The App Runner API of `egret up`: the arguments and file keys that ask for it, and its address.

use super::api_findings::{Checked, Findings};
use super::{CliError, output};
use crate::apprunner::{AppRunner, Settings};
use crate::config::Lab;
use crate::daemon::shared::Shared;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Where the API is to listen.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ApiArgs {
    /// Serve the App Runner API here, in place of the file's `apprunner.api`; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub api: Option<SocketAddr>,
    /// Let the API listen at an address that is not loopback: anyone who reaches it can change the lab, unless the lab file has
    /// access keys
    #[arg(long)]
    pub api_anywhere: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.strip_prefix("localhost:").unwrap_or(text.trim_start_matches(':'));
        let port = port.parse::<u16>().unwrap_or(4566);
        format!("give ADDRESS:PORT, both as numbers, such as 127.0.0.1:{port}")
    })
}

fn way_out(error: &io::Error, address: SocketAddr) -> String {
    if error.kind() != io::ErrorKind::AddrInUse {
        return String::new();
    }
    let any = SocketAddr::new(address.ip(), 0);
    format!(
        "; another lab or program listens there: give another port, or any free one with --api {any}"
    )
}

fn no_api() -> CliError {
    CliError::Usage(
        "--api-anywhere needs an address for the App Runner API: give --api ADDRESS:PORT, or `api` under [apprunner] in \
         the lab file"
            .to_owned(),
    )
}

/// The API of a lab that is not up yet. Obstacles to it are found before anything is made.
pub(super) struct FrontDoor {
    apprunner: AppRunner,
    listener: TcpListener,
    address: SocketAddr,
    region: String,
    needs_keys: bool,
    findings: Findings,
}

impl FrontDoor {
    /// Opens the API's records for the lab that comes from `source`, and listens; returns `None` if
    /// neither the command line nor the file asks for the API.
    pub(super) async fn open(
        lab: &Lab,
        source: &Path,
        args: ApiArgs,
        time_scale: f64,
    ) -> Result<Option<Self>, CliError> {
        let api = &lab.spec.apprunner.api;
        let Some(address) = args.api.or(api.listen) else {
            return if args.api_anywhere { Err(no_api()) } else { Ok(None) };
        };
        if !address.ip().is_loopback() && !args.api_anywhere {
            return Err(CliError::Usage(format!(
                "{address} is not a loopback address, and anyone who reaches the App Runner API can change the lab: give one of \
                 127.0.0.0/8, or --api-anywhere"
            )));
        }
        if !address.ip().is_loopback() && api.access_keys.is_empty() {
            output::note(&format!(
                "egret: warning: anyone who reaches {address} can change the lab through the App Runner API: add an \
                 [[apprunner.access_key]] to the lab file, or use a loopback address"
            ));
        }
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let message = format!("the App Runner API cannot listen at {address}: {error}");
            io::Error::new(error.kind(), message + &way_out(&error, address))
        })?;
        let apprunner = AppRunner::open(Settings::of(lab, source, time_scale))?;
        Ok(Some(Self {
            apprunner,
            address: listener.local_addr()?,
            listener,
            region: lab.spec.region.clone(),
            needs_keys: !api.access_keys.is_empty(),
            findings: Findings::after(lab),
        }))
    }

    /// Returns the lab with what was created through the API before.
    pub(super) fn over(&self, lab: &Lab) -> Result<Lab, CliError> {
        lab.with_overlay(self.apprunner.overlay()?).map_err(|misfits| {
            output::note(&format!(
                "what was created through the App Runner API no longer fits the lab file. Bring the lab up with the file as it was \
                 and delete what does not fit, or remove all that was created: it is in the file {}",
                self.apprunner.path().display()
            ));
            CliError::Config(misfits)
        })
    }

    /// Prints the findings in what was created through the API before.
    pub(super) fn say_findings(&self, lab: Lab) {
        self.findings.say_new(lab);
    }

    /// Returns the URL for the line that says that the lab is ready.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a hint on how to call it.
    pub(super) fn hint(&self) -> String {
        let keys = match self.needs_keys {
            true => "with an access key of the lab file",
            false => "with any access key",
        };
        let (region, url) = (&self.region, self.url());
        format!("{keys}: aws apprunner list-vpc-connectors --region {region} --endpoint-url {url}")
    }

    /// Answers calls until `ended` is set.
    pub(super) async fn serve(
        self,
        shared: Shared,
        ended: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let say = Arc::new(|line: &str| output::note(line));
        let findings = self.findings;
        let server = self.apprunner.over(Arc::new(Checked { shared, findings }), say).await;
        let server = server.map_err(io::Error::other)?;
        server.serve(self.listener, ended).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_or_in_letters_is_refused_with_an_example() {
        assert_eq!(address("127.0.0.1:0"), Ok(([127, 0, 0, 1], 0).into()));
        for (given, meant) in [
            ("localhost:4567", "127.0.0.1:4567"),
            ("4567", "127.0.0.1:4567"),
            (":4567", "127.0.0.1:4567"),
            ("127.0.0.1", "127.0.0.1:4566"),
            ("shop.example:80000", "127.0.0.1:4566"),
        ] {
            let said = address(given).unwrap_err();
            assert!(
                said.starts_with("give ADDRESS:PORT, both as numbers, such as "),
                "{given}: {said}"
            );
            assert!(said.ends_with(meant), "{given}: {said}");
        }
    }
}
