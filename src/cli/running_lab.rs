//! The configuration of a running lab, as a lab with the tasks that run.

use super::CliError;
use super::progress::waiting;
use super::runtime::runtime;
use crate::config::Lab;
use crate::daemon::Client;
use crate::daemon::configuration::Configuration;
use crate::explain::{ServiceRow, show_names};
use crate::vpc::Snapshot;

/// Fetches the configuration, with a message if that takes long.
pub(super) fn running_lab(name: &str) -> Result<(Lab, Snapshot), CliError> {
    let client = Client::new(name);
    let asked = client.get::<Configuration>("/v1/configuration");
    let answer = runtime()?.block_on(waiting(name, asked));
    let (lab, snapshot) = answer?.lab().map_err(CliError::Config)?;
    show_names(&lab.spec.name_tags);
    Ok((lab, snapshot))
}

/// Fetches the names of a lab's objects for tables; without them these show ids.
pub(super) async fn fetch_names(client: &Client) {
    if let Ok(names) = client.get("/v1/names").await {
        show_names(&names);
    }
}

/// Fetches the services, including those of the App Runner API that the lab does not have.
pub(super) fn running_services(name: &str) -> Result<Vec<ServiceRow>, CliError> {
    let client = Client::new(name);
    Ok(runtime()?.block_on(waiting(name, client.get("/v1/services")))?)
}
