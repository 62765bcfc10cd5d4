//! Commits a configuration.

use crate::config::Lab;
use crate::daemon::aside::aside;
use crate::daemon::error::LabError;
use crate::daemon::history::History;
use crate::daemon::needs::Needs;
use crate::daemon::reload::tasks;
use crate::daemon::running::Running;
use crate::vpc::Snapshot;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Commits a configuration: from here on the engine and tc decide by it.
pub(super) fn commit(
    running: &mut Running,
    lab: Lab,
    snapshot: Snapshot,
    needs: &Needs,
) -> Result<(), LabError> {
    let snapshot = Arc::new(snapshot);
    record(running, &snapshot);
    running.lab = lab;
    running.needs = needs.clone();
    let generation = snapshot.generation;
    running.current.store(snapshot);
    match &running.cache {
        // From here on no packet passes by an earlier verdict, except those already on their way.
        Some(cache) => Ok(cache.use_generation(generation)?),
        None => Ok(()),
    }
}

/// Takes the text of a lab that differs in its lines only: verdicts, and their generation, stay as
/// they are.
pub(super) fn move_lines(running: &mut Running, lab: Lab) -> Result<(), LabError> {
    let snapshot = lab.lower(running.snapshot().generation);
    let snapshot = Arc::new(tasks::with_own_tasks(running, snapshot)?);
    record(running, &snapshot);
    running.lab = lab;
    running.current.store(snapshot);
    Ok(())
}

fn record(running: &Running, snapshot: &Arc<Snapshot>) {
    let mut live = BTreeSet::new();
    aside(|| {
        running.engine.flows().for_each(|entry| {
            live.insert(entry.flow.admitted_under);
        });
    });
    let mut history = History::clone(&running.history.load());
    history.record(Arc::clone(snapshot), &live);
    running.history.store(Arc::new(history));
}
