//! Runs long answers on a thread of their own, until the client closes its connection or the lab
//! ends.

use super::shared::{Problem, Shared};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that says that an answer is not wanted any more, set when this is dropped with the call
/// of a client that has closed its connection.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Answers on a thread of its own. The job asks repeatedly whether its answer is still wanted.
pub(super) async fn while_wanted<T: Serialize + Send + 'static>(
    shared: Shared,
    job: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, String> + Send + 'static,
) -> Response {
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let (is_wanted, ended) = (Arc::clone(&wanted.0), shared.ended());
    let mut goes_on = move || is_wanted.load(Ordering::Relaxed) && !*ended.borrow();
    let answer = tokio::task::spawn_blocking(move || job(&mut goes_on)).await;
    drop(wanted);
    match answer {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(error)) => problem(error),
        Err(fault) => problem(fault.to_string()),
    }
}

/// Refuses a question.
pub(super) fn problem(error: String) -> Response {
    (StatusCode::BAD_REQUEST, Json(Problem { error })).into_response()
}
