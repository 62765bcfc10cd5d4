//! Explains sets of packets by the configuration of a running lab, without holding up the lab.

use super::checked::Checked;
use super::running::Running;
use super::shared::Shared;
use super::wanted::{problem, while_wanted};
use crate::explain::{self, Asking, BrokenTask, Explained, Look, TaskRef};
use crate::flow::Instant;
use crate::linux::clock;
use crate::pipeline::Engine;
use crate::pipeline::reach::{Addresses, SetVerdict, Tasks};
use crate::vpc::{ServiceIx, Snapshot, Task};
use axum::extract::State;
use axum::response::Response;
use ipnetwork::Ipv4Network;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The request of `POST /v1/explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// `SERVICE[/N]`.
    pub task: String,
    /// `DEST[:PORTS][/PROTO]`.
    pub destination: String,
    /// The protocol, by name or number.
    #[serde(default)]
    pub protocol: Option<String>,
    /// True to ask for the tasks that run now only.
    #[serde(default)]
    pub running: bool,
    /// The task's source port, or the ICMP identifier.
    pub source_port: Option<u16>,
    /// True to get JSON, false to get text.
    #[serde(default)]
    pub json: bool,
    /// True if the text is for a terminal with colours.
    pub color: bool,
    /// True if the text leaves nothing out.
    #[serde(default)]
    pub wide: bool,
}

/// The answer to `POST /v1/explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainAnswer {
    /// True if all packets would pass.
    pub passes: bool,
    /// The text, unless JSON was asked for.
    pub text: String,
    /// The JSON; `null` unless it was asked for.
    pub json: serde_json::Value,
}

/// A question, with all of the lab that the answer needs.
struct Job {
    engine: Arc<Engine>,
    snapshot: Arc<Snapshot>,
    service: ServiceIx,
    tasks: Tasks,
    pool: Ipv4Network,
    file: String,
    /// The tasks that the question covers and whose links are broken.
    broken: Vec<BrokenTask>,
    request: ExplainRequest,
}

/// Answers `POST /v1/explain`.
pub(super) async fn explain(
    State(shared): State<Shared>,
    Checked(request): Checked<ExplainRequest>,
) -> Response {
    let job = Job::new(&*shared.running.lock().await, request).await;
    match job {
        Ok(job) => while_wanted(shared, move |goes_on| job.answer(goes_on)).await,
        Err(error) => problem(error),
    }
}

impl Job {
    async fn new(running: &Running, request: ExplainRequest) -> Result<Self, String> {
        let snapshot = running.snapshot();
        let name = request.task.split('/').next().unwrap_or_default();
        let at_rest = running.at_rest(name).map(|error| error.to_string());
        let reference = TaskRef::parse(&request.task, &snapshot)
            .map_err(|error| at_rest.clone().unwrap_or_else(|| error.to_string()))?;
        let TaskRef { service, number } = reference;
        let tasks = match number {
            Some(number) => {
                let mut tasks = snapshot.tasks();
                let task = tasks.find(|task| task.service == service && task.number == number);
                let none = || at_rest.unwrap_or_else(|| no_task(&request.task));
                Tasks::One(*task.ok_or_else(none)?)
            }
            None if request.running => match at_rest {
                Some(why) => return Err(why),
                None => Tasks::Running,
            },
            None => Tasks::Possible,
        };
        let (engine, lab) = (Arc::clone(&running.engine), running.lab());
        let (pool, file) = (lab.task_cidr, lab.file.clone());
        let is_asked = |task: &Task| number.is_none_or(|number| task.number == number);
        let broken = running.broken_tasks(service, is_asked).await;
        Ok(Self { engine, snapshot, service, tasks, pool, file, broken, request })
    }

    fn answer(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<ExplainAnswer, String> {
        let asking = Asking {
            service: self.service,
            tasks: self.tasks,
            addresses: Addresses::Real,
            pool: self.pool,
            destination: &self.request.destination,
            protocol: self.request.protocol.as_deref(),
            source_port: self.request.source_port,
        };
        let asked = explain::ask(&self.snapshot, &asking, goes_on);
        let mut explained = asked.map_err(|error| error.to_string())?;
        self.note_live(&mut explained);
        explained.note_broken(&self.broken);
        let passes = explained.verdict() == SetVerdict::Forward;
        if self.request.json {
            let json = serde_json::to_value(explained.explanation());
            let json = json.map_err(|error| error.to_string())?;
            return Ok(ExplainAnswer { passes, text: String::new(), json });
        }
        let mut text = Vec::new();
        let place = |line| format!("{}:{line}", self.file);
        let look = Look { color: self.request.color, wide: self.request.wide };
        let written = explained.text(&mut text, &place, look);
        written.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(ExplainAnswer { passes, text, json: serde_json::Value::Null })
    }

    /// Tries a packet with the ports that are free now.
    fn note_live(&self, explained: &mut Explained) {
        let Some((task, inside, icmp)) = explained.live_packet() else { return };
        let now = Instant(clock::now());
        explained.note_live(&self.engine.explain(now, &self.snapshot, &task, inside, icmp));
    }
}

/// Reports that a task does not run.
pub fn no_task(task: &str) -> String {
    format!("the lab has no task {task}; `egret ps` lists the tasks, `egret task add` makes one")
}
