//! A request to the control API: its path is the first line, its body the rest. It is accepted, or
//! refused with a reason that can be shown at a terminal.

use egret::daemon::requests::check;

/// The paths, one of which the first byte of an input chooses if its first line is no path.
const PATHS: [&str; 9] = [
    "/v1/tasks",
    "/v1/flows",
    "/v1/drops",
    "/v1/explain",
    "/v1/reach",
    "/v1/apply",
    "/v1/trace",
    "/v1/capture",
    "/v1/top",
];

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    let _ = is_taken(data);
}

/// Returns whether the request of an input is accepted.
pub(crate) fn is_taken(data: &[u8]) -> bool {
    let Some((path, body)) = request(data) else { return false };
    match check(path, body) {
        Ok(()) => true,
        Err(error) => {
            assert!(!error.is_empty() && !error.contains(egret::edge::is_hidden), "{error:?}");
            false
        }
    }
}

fn request(data: &[u8]) -> Option<(&str, &[u8])> {
    if let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = data.split_at(end);
        let named = PATHS.iter().find(|path| path.as_bytes() == line);
        if let Some(path) = named {
            return Some((path, rest.get(1..).unwrap_or_default()));
        }
    }
    let (first, rest) = data.split_first()?;
    Some((PATHS[usize::from(*first) % PATHS.len()], rest))
}
