//! The labs of a host, running or not.

use super::client::{Client, ClientError};
use super::control::LabInfo;
use super::{process, state};
use crate::explain::LabRow;
use futures_util::future::join_all;
use std::io;
use std::time::Duration;

/// Limits the wait for a lab that works on something else.
const PATIENCE: Duration = Duration::from_secs(2);

/// The labs of a host.
#[derive(Debug, Default)]
pub struct Labs {
    /// The labs that the caller may ask, sorted by name.
    pub rows: Vec<LabRow>,
    /// The number of the others.
    pub refused: usize,
}

/// A lab, as the caller sees it.
enum Found {
    Row(LabRow),
    Refused,
    Nothing,
}

/// Lists the labs.
///
/// # Errors
/// The folder of labs cannot be read.
pub async fn all() -> io::Result<Labs> {
    let mut labs = Labs::default();
    for found in join_all(state::all()?.into_iter().map(found)).await {
        match found {
            Found::Row(row) => labs.rows.push(row),
            Found::Refused => labs.refused += 1,
            Found::Nothing => {}
        }
    }
    Ok(labs)
}

/// Returns the process that has a lab: one that starts, runs or ends it. Only root learns of one
/// that does not answer.
pub fn process_of(lab: &str) -> Option<u32> {
    state::process(lab).parse().ok().filter(|process| process::is_egret(*process))
}

async fn found(lab: String) -> Found {
    let process = process_of(&lab);
    if process::is_stopped(&state::process(&lab)) {
        return Found::Row(silent(lab, "stopped", process));
    }
    let client = Client::new(&lab);
    let answer = tokio::time::timeout(PATIENCE, client.get::<LabInfo>("/v1/lab")).await;
    match answer {
        Ok(Ok(info)) => Found::Row(LabRow {
            lab,
            state: "up".to_owned(),
            process: Some(info.pid),
            services: Some(info.services.len()),
            tasks: Some(info.tasks),
            generation: Some(info.generation),
            file: Some(info.file),
        }),
        Ok(Err(ClientError::NotRoot { .. })) => Found::Refused,
        Err(_) => Found::Row(silent(lab, "busy", process)),
        // It went down in the meantime.
        Ok(Err(_)) if !state::directory(&lab).exists() => Found::Nothing,
        Ok(Err(_)) => {
            let state = match (process, state::socket(&lab).exists()) {
                (None, _) => "left",
                (Some(_), false) => "starting",
                (Some(_), true) => "ending",
            };
            Found::Row(silent(lab, state, process))
        }
    }
}

fn silent(lab: String, state: &str, process: Option<u32>) -> LabRow {
    let (services, tasks, generation, file) = (None, None, None, None);
    LabRow { lab, state: state.to_owned(), process, services, tasks, generation, file }
}
