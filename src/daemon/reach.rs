//! Lists what services reach by the configuration of a running lab, without holding up the lab.

use super::checked::Checked;
use super::shared::Shared;
use super::wanted::{problem, while_wanted};
use crate::explain::{self, Reaching, Wanted};
use crate::pipeline::reach::Addresses;
use crate::vpc::{ServiceIx, Snapshot};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The request of `POST /v1/reach`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReachRequest {
    /// The services; all if empty.
    pub services: Vec<String>,
    /// `DEST`: lists the services that reach it.
    #[serde(default)]
    pub to: Option<String>,
    /// True to list what is dropped.
    #[serde(default)]
    pub drops: bool,
    /// True to get JSON, false to get text.
    #[serde(default)]
    pub json: bool,
    /// True if the text leaves nothing out.
    #[serde(default)]
    pub wide: bool,
}

/// The answer to `POST /v1/reach`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReachAnswer {
    /// The text, unless JSON was asked for.
    pub text: String,
    /// The JSON; `null` unless it was asked for.
    pub json: serde_json::Value,
}

impl ReachRequest {
    /// Returns the question that the request asks.
    pub fn wanted(&self) -> Wanted<'_> {
        match (&self.to, self.drops) {
            (Some(to), _) => Wanted::To(to),
            (None, true) => Wanted::Drops,
            (None, false) => Wanted::Passing,
        }
    }
}

/// Answers `POST /v1/reach`.
pub(super) async fn reach(
    State(shared): State<Shared>,
    Checked(request): Checked<ReachRequest>,
) -> Response {
    let snapshot = shared.running.lock().await.snapshot();
    match explain::services(&request.services, &snapshot) {
        Ok(services) => {
            let job = Job { snapshot, services, request };
            while_wanted(shared, move |goes_on| job.answer(goes_on)).await
        }
        Err(error) => problem(error.to_string()),
    }
}

/// A question, with all of the lab that the answer needs.
struct Job {
    snapshot: Arc<Snapshot>,
    services: Vec<ServiceIx>,
    request: ReachRequest,
}

impl Job {
    fn answer(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<ReachAnswer, String> {
        let reaching = Reaching {
            services: &self.services,
            addresses: Addresses::Real,
            wanted: self.request.wanted(),
        };
        let found = explain::reach(&self.snapshot, &reaching, &mut |_| goes_on());
        let found = found.map_err(|error| error.to_string())?;
        if self.request.json {
            let json = serde_json::to_value(&found).map_err(|error| error.to_string())?;
            return Ok(ReachAnswer { text: String::new(), json });
        }
        let mut text = Vec::new();
        let written = match self.request.wide {
            true => found.wide_text(&mut text),
            false => found.text(&mut text),
        };
        written.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(ReachAnswer { text, json: serde_json::Value::Null })
    }
}
