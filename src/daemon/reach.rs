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

/// What `POST /v1/reach` takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReachRequest {
    /// The services; empty: all.
    pub services: Vec<String>,
    /// `DEST`: who reaches it.
    #[serde(default)]
    pub to: Option<String>,
    /// True to ask for what is dropped.
    #[serde(default)]
    pub drops: bool,
    /// True to get the answer for programs, false for that for people.
    #[serde(default)]
    pub json: bool,
    /// True if the text leaves nothing out.
    #[serde(default)]
    pub wide: bool,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReachAnswer {
    /// For people, unless the answer for programs is wanted.
    pub text: String,
    /// For programs; `null` unless it is wanted.
    pub json: serde_json::Value,
}

impl ReachRequest {
    /// Returns what is wanted to know.
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

/// A question, with what is needed of the lab to answer it.
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
