//! The configuration of a running lab, from which a client makes the same lab.

use super::peer::Peer;
use super::running::Running;
use super::shared::{Problem, Shared};
use crate::config::plan::Plan;
use crate::config::{Diagnostics, Lab, Overlay};
use crate::vpc::{Generation, Snapshot, Task};
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The answer to `GET /v1/configuration`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Configuration {
    /// The lab's name, whatever the file's `lab` says.
    pub name: String,
    /// The lab file.
    pub file: String,
    /// The text as it was applied.
    pub text: String,
    /// The additions of the App Runner API and the tasks added by hand.
    pub overlay: Overlay,
    /// The addresses and ids that egret chose.
    plan: Plan,
    tasks: Vec<RunningTask>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RunningTask {
    service: String,
    number: u16,
    address: Ipv4Addr,
}

/// Answers `GET /v1/configuration`. Only root gets the secrets of access keys.
pub(super) async fn configuration(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
) -> Response {
    let (configuration, lab) = {
        let running = shared.running.lock().await;
        (Configuration::new(&running), running.lab().clone())
    };
    if client.is_root() {
        return Json(configuration).into_response();
    }
    match lab.source_without_secrets() {
        Some(text) => Json(configuration.with_text(text)).into_response(),
        None => {
            let error =
                "the lab file has a secret in a form that cannot be hidden: run it with sudo";
            (StatusCode::FORBIDDEN, Json(Problem { error: error.to_owned() })).into_response()
        }
    }
}

impl Configuration {
    fn new(running: &Running) -> Self {
        let lab = running.lab();
        let task = |attachment: &super::attachment::Attachment| RunningTask {
            service: attachment.service.clone(),
            number: attachment.number,
            address: attachment.address,
        };
        Self {
            name: lab.name.clone(),
            file: lab.file.clone(),
            text: lab.source().to_owned(),
            overlay: lab.overlay.clone(),
            plan: lab.plan.clone(),
            tasks: running.tasks.values().map(task).collect(),
        }
    }

    /// Returns the configuration with another text, which keeps the addresses and ids that egret
    /// chose.
    #[must_use]
    pub fn with_text(&self, text: String) -> Self {
        Self { text, ..self.clone() }
    }

    /// Makes the lab, and its snapshot with the tasks that run.
    ///
    /// # Errors
    /// The parts of the configuration that this version of egret does not accept and the lab's
    /// version does.
    pub fn lab(self) -> Result<(Lab, Snapshot), Diagnostics> {
        let lab = Lab::parse_with(Some(&self.plan), &self.file, &self.text, self.overlay)?;
        let lab = lab.with_name(self.name);
        let snapshot = lab.lower(Generation::default());
        let services = &snapshot.parts().services;
        let task = |task: &RunningTask| {
            let service = services.iter().position(|service| service.name == task.service)?.into();
            let (number, address) = (task.number, task.address);
            let eni = snapshot.choose_eni(service, number);
            Some(Task { service, number, address, eni })
        };
        let tasks: Vec<Task> = self.tasks.iter().filter_map(task).collect();
        let snapshot = snapshot.with_tasks(tasks);
        Ok((lab, snapshot))
    }
}
