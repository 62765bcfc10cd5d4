//! `egret test --live`: the running lab that expectations are about, and the packets that are sent
//! in it.

use super::CliError;
use super::progress::waiting;
use super::runtime::runtime;
use super::stop::Stop;
use super::wire::Wires;
use crate::config::Lab;
use crate::daemon::configuration::Configuration;
use crate::daemon::{Client, ClientError};
use crate::explain::{DropRow, Plan, PsRow, Selection, Sight, Subject, Wire};
use crate::pipeline::Reason;
use crate::pipeline::reach::Addresses;
use crate::vpc::Snapshot;

/// A running lab.
pub(super) struct RunningLab {
    name: String,
    lab: Lab,
    snapshot: Snapshot,
    tasks: Vec<PsRow>,
}

impl RunningLab {
    /// Finds the lab that runs by a name. If it is about a file, the lab must run that file as it
    /// is now.
    ///
    /// # Errors
    /// Not root, no such lab, or one with another configuration; each with what to do about it.
    pub(super) fn find(name: &str, file: Option<&Lab>) -> Result<Self, CliError> {
        if !nix::unistd::geteuid().is_root() {
            let said = "--live sends packets from the namespaces of the tasks, which needs root: run \
                        it with sudo";
            return Err(CliError::Usage(said.to_owned()));
        }
        let client = Client::new(name);
        let asked = async {
            let tasks: Vec<PsRow> = client.get("/v1/ps").await?;
            Ok((tasks, client.get::<Configuration>("/v1/configuration").await?))
        };
        let answered = runtime()?.block_on(waiting(name, asked));
        let (tasks, configuration) = answered.map_err(|error| not_running(error, file))?;
        if let Some(file) = file
            && configuration.text != file.source()
        {
            return Err(CliError::Usage(format!(
                "the running lab `{name}` has another configuration than {0}: apply it with `sudo egret apply \
                 --lab {name} {0}`, or test what runs with --lab {name}",
                file.file
            )));
        }
        let (lab, snapshot) = configuration.lab().map_err(CliError::Config)?;
        Ok(Self { name: name.to_owned(), lab, snapshot, tasks })
    }

    /// Returns the subject of expectations.
    pub(super) fn subject(&self) -> Subject<'_> {
        let (snapshot, pool) = (&self.snapshot, self.lab.task_cidr);
        Subject { snapshot, addresses: Addresses::Real, pool }
    }

    /// Sends the packets of a plan, many at a time, and returns the result of each.
    ///
    /// # Errors
    /// The lab went down or was changed meanwhile, or a signal ended it.
    pub(super) fn send(&self, plan: &Plan) -> Result<Vec<Sight>, CliError> {
        runtime()?.block_on(async {
            let mut stop = Stop::listen()?;
            tokio::select! {
                sights = self.sights(plan) => sights,
                () = stop.wait() => Err(CliError::Stopped),
            }
        })
    }

    async fn sights(&self, plan: &Plan) -> Result<Vec<Sight>, CliError> {
        let client = Client::new(&self.name);
        let before = lost(&client).await?;
        let mut sights = Wires::new(&client, &self.tasks).send(plan).await?;
        if self.has_changed(&client).await? {
            return Err(CliError::Usage(format!(
                "the lab `{}` was changed while packets were sent: run the test again",
                self.name
            )));
        }
        if lost(&client).await? > before {
            sights.iter_mut().for_each(excuse);
        }
        Ok(sights)
    }

    async fn has_changed(&self, client: &Client) -> Result<bool, ClientError> {
        let now: Vec<PsRow> = client.get("/v1/ps").await?;
        let generation = |rows: &[PsRow]| rows.first().map(|row| row.generation);
        Ok(generation(&now) != generation(&self.tasks))
    }
}

/// Returns an error with the way to bring up a lab file that no lab runs.
fn not_running(error: ClientError, file: Option<&Lab>) -> CliError {
    match (error, file) {
        (ClientError::NotRunning { lab, starting: None, .. }, Some(Lab { file, .. })) => {
            CliError::Usage(format!(
                "no lab `{lab}` is running, and --live sends packets in one: bring it up with `sudo egret up {file}`"
            ))
        }
        (error, _) => error.into(),
    }
}

/// Counts the packets that were lost because a queue or a device was full.
async fn lost(client: &Client) -> Result<u64, ClientError> {
    let rows: Vec<DropRow> = client.post("/v1/drops", &Selection::default()).await?;
    let is_lost = |row: &&DropRow| {
        let reasons =
            [Reason::QueueFull, Reason::WriteFailed, Reason::ReadFailed, Reason::LinkDropped];
        reasons.iter().any(|reason| reason.name() == row.reason)
    };
    Ok(rows.iter().filter(is_lost).map(|row| row.packets).sum())
}

/// Makes silence no verdict: the packet may have been lost.
fn excuse(sight: &mut Sight) {
    if sight.wire == Wire::Silent {
        sight.wire = Wire::NotTried(format!("{} now", Reason::QueueFull.name()));
    }
}
