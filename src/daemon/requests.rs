//! The requests to the control API, each with the range of every field.

use super::attachments::{DetachRequest, Object, Which};
use super::checked::{Check, number, read, visible, words};
use super::control::{AttachResourceRequest, AttachTaskRequest, TaskRequest};
use super::explain::ExplainRequest;
use super::flows::FlowQuery;
use super::reach::ReachRequest;
use super::reload;
use super::top::{LONGEST, SHORTEST, TopRequest};
use super::watch::{CaptureRequest, TraceRequest};
use crate::config::time_scale_range;
use crate::explain::Selection;

/// Bytes of each packet that a capture keeps.
const SNAPLEN: (u32, u32) = (20, 65_535);
/// Rows of a table of a stream.
const ROWS: (usize, usize) = (1, 100_000);
/// Bytes of the name of a file (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;
/// The words for the state of a flow.
pub const STATES: [&str; 6] =
    ["denied", "opening", "established", "closed", "unreplied", "replied"];

/// Reads the body of a request to this path as the control API does.
///
/// # Errors
/// The reason why the body is refused; or there is no such request.
pub fn check(path: &str, body: &[u8]) -> Result<(), String> {
    match path {
        "/v1/tasks" => read::<TaskRequest>(body).map(drop),
        "/v1/tasks/attach" => read::<AttachTaskRequest>(body).map(drop),
        "/v1/resources/attach" => read::<AttachResourceRequest>(body).map(drop),
        "/v1/attachments/detach" => read::<DetachRequest>(body).map(drop),
        "/v1/flows" => read::<FlowQuery>(body).map(drop),
        "/v1/drops" => read::<Selection>(body).map(drop),
        "/v1/explain" => read::<ExplainRequest>(body).map(drop),
        "/v1/reach" => read::<ReachRequest>(body).map(drop),
        "/v1/apply" => read::<reload::Request>(body).map(drop),
        "/v1/trace" => read::<TraceRequest>(body).map(drop),
        "/v1/capture" => read::<CaptureRequest>(body).map(drop),
        "/v1/top" => read::<TopRequest>(body).map(drop),
        _ => Err(format!("no request `{path}`")),
    }
}

impl Check for TaskRequest {
    fn check(&self) -> Result<(), String> {
        words("service", [&self.service])?;
        number("number", self.number, (1, u16::MAX))
    }
}

impl Check for AttachTaskRequest {
    fn check(&self) -> Result<(), String> {
        words("service", [&self.service])?;
        number("number", self.number, (1, u16::MAX))?;
        words("interface", [&self.interface])?;
        words("container", &self.container)
    }
}

impl Check for AttachResourceRequest {
    fn check(&self) -> Result<(), String> {
        words("interface", [&self.interface])?;
        words("container", &self.container)
    }
}

impl Check for DetachRequest {
    fn check(&self) -> Result<(), String> {
        let (Object::Service(name) | Object::Resource(name)) = &self.object;
        words("object", [name])?;
        let holders = match &self.which {
            Which::One(holder) => std::slice::from_ref(holder),
            Which::AllExcept(holders) => holders,
        };
        words("container", holders.iter().map(|holder| &holder.container))?;
        words("interface", holders.iter().map(|holder| &holder.interface))
    }
}

impl Check for Selection {
    fn check(&self) -> Result<(), String> {
        let Self { service, interface, destination, only } = self;
        words("service", service)?;
        words("interface", interface)?;
        words("destination", destination)?;
        words("only", only)
    }
}

impl Check for FlowQuery {
    fn check(&self) -> Result<(), String> {
        let Self { selection, nat_gateway, protocol, state, sort: _, reverse: _, limit: _ } = self;
        selection.check()?;
        words("nat_gateway", nat_gateway)?;
        words("protocol", protocol)?;
        match state {
            Some(state) if !STATES.contains(&state.as_str()) => {
                words("state", [state])?;
                Err(format!("`state` is `{state}`: use one of {}", STATES.join(", ")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Check for ExplainRequest {
    fn check(&self) -> Result<(), String> {
        words("task", [&self.task])?;
        words("destination", [&self.destination])?;
        words("protocol", &self.protocol)?;
        number("source_port", self.source_port, (1, u16::MAX))
    }
}

impl Check for ReachRequest {
    fn check(&self) -> Result<(), String> {
        words("services", &self.services)?;
        words("to", &self.to)
    }
}

impl Check for reload::Request {
    fn check(&self) -> Result<(), String> {
        if self.file.len() > LONGEST_PATH {
            return Err(format!("`file` is longer than {} bytes", LONGEST_PATH));
        }
        visible("file", &self.file)?;
        number("time_scale", self.time_scale, time_scale_range())
    }
}

impl Check for TraceRequest {
    fn check(&self) -> Result<(), String> {
        self.selection.check()?;
        number("count", self.count, (1, u64::MAX))
    }
}

impl Check for CaptureRequest {
    fn check(&self) -> Result<(), String> {
        words("subject", [&self.subject])?;
        number("count", self.count, (1, u64::MAX))?;
        number("snaplen", Some(self.snaplen), SNAPLEN)?;
        match self.inside || self.outside {
            true => Ok(()),
            false => Err("a capture is of the inside, the outside or both".to_owned()),
        }
    }
}

impl Check for TopRequest {
    fn check(&self) -> Result<(), String> {
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        number("interval_ms", Some(self.interval_ms), (millis(SHORTEST), millis(LONGEST)))?;
        number("count", self.count, (1, u64::MAX))?;
        number("limit", Some(self.limit), ROWS)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use serde_json::{Value, json};

    /// Returns a valid request of each type, every field given.
    fn sound() -> Vec<(&'static str, Value)> {
        let selection = json!({"service": "web", "interface": "eni-a", "destination": "10.0.0.0/8", "only": "drops"});
        vec![
            ("/v1/tasks", json!({"service": "web", "number": 1, "maker": "exec"})),
            (
                "/v1/tasks/attach",
                json!({"service": "web", "number": 1, "interface": "eth0", "container": "4f"}),
            ),
            ("/v1/resources/attach", json!({"interface": "eth0", "container": "4f"})),
            (
                "/v1/attachments/detach",
                json!({"object": {"service": "web"},
                    "which": {"all-except": [{"container": "4f", "interface": "eth0"}]}}),
            ),
            (
                "/v1/flows",
                json!({"selection": selection, "nat_gateway": "nat-a", "protocol": "tcp", "state": "opening",
                    "sort": "bytes", "reverse": true, "limit": 3}),
            ),
            ("/v1/drops", selection.clone()),
            (
                "/v1/explain",
                json!({"task": "web/1", "destination": "db", "protocol": "tcp", "running": false, "source_port": 1,
                    "json": false, "color": false, "wide": false}),
            ),
            (
                "/v1/reach",
                json!({"services": ["web"], "to": "db", "drops": false, "json": false, "wide": false}),
            ),
            (
                "/v1/apply",
                json!({"file": "lab.toml", "text": "", "time_scale": 1.0, "dry_run": true, "before": "",
                    "keeps_name": false}),
            ),
            ("/v1/trace", json!({"selection": selection, "steps": true, "count": 1})),
            (
                "/v1/capture",
                json!({"subject": "web", "inside": true, "outside": true, "count": 1, "snaplen": 65535}),
            ),
            ("/v1/top", json!({"by": "flows", "interval_ms": 1000, "count": 1, "limit": 40})),
        ]
    }

    /// Returns why a request is refused, with another value in the place that `pointer` names.
    fn refusal(path: &str, pointer: &str, value: &Value) -> String {
        let (_, mut request) = sound().into_iter().find(|(known, _)| *known == path).unwrap();
        *request.pointer_mut(pointer).unwrap() = value.clone();
        let body = serde_json::to_vec(&request).unwrap();
        check(path, &body).expect_err(&format!("{path} {pointer} {value}"))
    }

    #[test]
    fn sound_requests_are_taken() {
        for (path, request) in sound() {
            assert_eq!(check(path, &serde_json::to_vec(&request).unwrap()), Ok(()), "{path}");
        }
        assert!(check("/v1/other", b"{}").is_err());
    }

    #[test]
    fn every_word_is_refused_that_is_too_long_or_has_control_characters() {
        for (path, pointers) in [
            ("/v1/tasks", &["/service"][..]),
            ("/v1/tasks/attach", &["/service", "/interface", "/container"]),
            ("/v1/resources/attach", &["/interface", "/container"]),
            (
                "/v1/attachments/detach",
                &[
                    "/object/service",
                    "/which/all-except/0/container",
                    "/which/all-except/0/interface",
                ],
            ),
            (
                "/v1/flows",
                &[
                    "/selection/service",
                    "/selection/interface",
                    "/selection/destination",
                    "/selection/only",
                    "/nat_gateway",
                    "/protocol",
                    "/state",
                ],
            ),
            ("/v1/drops", &["/service", "/interface", "/destination", "/only"]),
            ("/v1/explain", &["/task", "/destination", "/protocol"]),
            ("/v1/reach", &["/services/0", "/to"]),
            ("/v1/trace", &["/selection/service", "/selection/only"]),
            ("/v1/capture", &["/subject"]),
            ("/v1/apply", &["/file"]),
        ] {
            for pointer in pointers {
                for word in [
                    "x".repeat(5000),
                    "a\u{1b}[2Jb".to_owned(),
                    "a\nb".to_owned(),
                    "a\u{202e}b".to_owned(),
                ] {
                    let error = refusal(path, pointer, &json!(word));
                    assert!(!error.contains(crate::edge::is_hidden), "{error:?}");
                    assert!(error.len() < 200, "{error}");
                }
            }
        }
        assert!(refusal("/v1/apply", "/file", &json!("x".repeat(5000))).contains("`file`"));
    }

    #[test]
    fn every_number_is_refused_that_is_out_of_range() {
        for (path, pointer, values) in [
            ("/v1/tasks", "/number", json!([0, 65_536, -1, 1.5])),
            ("/v1/tasks/attach", "/number", json!([0, 65_536, -1, 1.5])),
            ("/v1/explain", "/source_port", json!([0, 65_536])),
            ("/v1/apply", "/time_scale", json!([0.0, -0.0, -1.0, 1e300, 1e-300, 100_001.0])),
            ("/v1/trace", "/count", json!([0, -1])),
            ("/v1/capture", "/count", json!([0])),
            ("/v1/capture", "/snaplen", json!([0, 19, 65_536])),
            ("/v1/top", "/interval_ms", json!([0, 99, u64::MAX])),
            ("/v1/top", "/count", json!([0])),
            ("/v1/top", "/limit", json!([0, u64::MAX])),
            ("/v1/flows", "/limit", json!([-1])),
        ] {
            for value in values.as_array().unwrap() {
                refusal(path, pointer, value);
            }
        }
        assert_eq!(
            refusal("/v1/tasks", "/number", &json!(0)),
            "`number` is 0: give a number from 1 to 65535"
        );
    }

    #[test]
    fn request_of_another_form_is_refused_with_what_is_wrong() {
        for (path, request) in sound() {
            for body in ["", "[]", "null", "{", "\"\\u001b[2J\""] {
                let error = check(path, body.as_bytes()).expect_err(path);
                assert!(error.starts_with("the request is not valid: "), "{error}");
                assert!(!error.contains(crate::edge::is_hidden), "{error:?}");
            }
            for field in request.as_object().unwrap().keys() {
                refusal(path, &format!("/{field}"), &json!([{"a": 1}]));
            }
        }
        assert!(refusal("/v1/flows", "/state", &json!("new")).contains("opening"));
        let neither =
            json!({"subject": "web", "inside": false, "outside": false, "count": 1, "snaplen": 60});
        assert!(check("/v1/capture", &serde_json::to_vec(&neither).unwrap()).is_err());
    }
}
