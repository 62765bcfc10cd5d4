//! Checks the bodies of requests to the control API before anything is done: each field of each
//! request has a range, and a request with a value outside of it is refused as a whole.

use super::shared::Problem;
use crate::edge::{is_hidden, shown};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;

/// Bytes of the longest word: a name, an address, a destination.
const WORD: usize = 1024;

/// A request whose fields have ranges.
pub(super) trait Check {
    /// Checks each field.
    ///
    /// # Errors
    /// The field that is out of range, and its range.
    fn check(&self) -> Result<(), String>;
}

/// The body of a request, once it is read and checked.
pub(super) struct Checked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Check> FromRequest<S> for Checked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| refused(&error.to_string()))?;
        read(&bytes).map(Self).map_err(|error| refused(&error))
    }
}

/// Reads a request and checks it.
///
/// # Errors
/// The fault of the request, as a terminal shows it.
pub(super) fn read<T: DeserializeOwned + Check>(bytes: &[u8]) -> Result<T, String> {
    let request: T = serde_json::from_slice(bytes)
        .map_err(|error| shown(&format!("the request is not valid: {error}")).into_owned())?;
    request.check().map_err(|error| shown(&error).into_owned())?;
    Ok(request)
}

/// Refuses a request with a value that it cannot have.
pub(super) fn refused(error: &str) -> Response {
    let error = shown(error).into_owned();
    (StatusCode::BAD_REQUEST, Json(Problem { error })).into_response()
}

/// Checks words: a name, an address, a destination.
pub(super) fn words<'a>(
    field: &str,
    words: impl IntoIterator<Item = &'a String>,
) -> Result<(), String> {
    for word in words {
        if word.len() > WORD {
            return Err(format!("`{field}` is longer than {WORD} bytes"));
        }
        visible(field, word)?;
    }
    Ok(())
}

/// Checks that a text has no characters that command a terminal.
pub(super) fn visible(field: &str, text: &str) -> Result<(), String> {
    match text.contains(is_hidden) {
        true => Err(format!("`{field}` has characters that a terminal does not show")),
        false => Ok(()),
    }
}

/// Checks a number; `None` means that it is not given.
pub(super) fn number<T: PartialOrd + std::fmt::Display>(
    field: &str,
    value: Option<T>,
    (least, most): (T, T),
) -> Result<(), String> {
    match value {
        // NaN is not in range either.
        Some(value) if value >= least && value <= most => Ok(()),
        Some(value) => Err(format!("`{field}` is {value}: give a number from {least} to {most}")),
        None => Ok(()),
    }
}
