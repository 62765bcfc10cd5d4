//! Calls to the App Runner API, one after the other, between lines of `---`: the operation's name,
//! perhaps a line `Authorization: …`, and the body, in which `@0` is the first ARN that an answer
//! had, and so on. No answer is a server error, whatever the call, and the lab accepts every
//! overlay.

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use egret::apprunner::{AppRunner, Ground, Server, Settings, Unfit};
use egret::config::{Lab, Overlay};
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The most calls of one input: further ones find nothing more.
const CALLS: usize = 40;

const LAB: &str = r#"
[[vpc]]
id = "v"
cidr = "10.0.0.0/16"
[[subnet]]
id = "s"
vpc = "v"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "t"
vpc = "v"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
[[security_group]]
id = "g"
vpc = "v"
[[vpc_connector]]
name = "file"
subnets = ["s"]
[apprunner]
service_quota = 3
vpc_connector_quota = 3
unsupported_availability_zones = ["us-east-1b"]
"#;

const KEY: &str = "[[apprunner.access_key]]\nid = \"AKIA\"\nsecret = \"hush\"\n";

/// A lab without devices.
struct Field(Mutex<Lab>);

#[async_trait]
impl Ground for Field {
    async fn lab(&self) -> Lab {
        self.0.lock().expect("nobody panicked").clone()
    }

    async fn lay_over(&self, overlay: Overlay) -> Result<(), Unfit> {
        let mut lab = self.0.lock().expect("nobody panicked");
        // Every overlay that the API has accepted must fit.
        *lab = lab.with_overlay(overlay).expect("an overlay that does not fit");
        Ok(())
    }

    async fn startup(&self, _connector: &str) -> Duration {
        Duration::ZERO
    }

    async fn known_enis(&self) -> Vec<(String, Duration)> {
        Vec::new()
    }

    async fn remember_enis(&self, _: Vec<(String, Duration)>) {}

    async fn show(&self, _: Vec<egret::explain::ApiService>) {}
}

/// Runs one input.
pub(crate) fn run(data: &[u8]) {
    statuses(data);
}

/// Runs one input, and returns the statuses of its answers.
pub(crate) fn statuses(data: &[u8]) -> Vec<u16> {
    let Ok(text) = std::str::from_utf8(data) else { return Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(calls(text))
}

async fn calls(text: &str) -> Vec<u16> {
    let text_of_lab =
        if text.contains("Authorization: ") { format!("{LAB}{KEY}") } else { LAB.to_owned() };
    let lab = Lab::parse("lab.toml", &text_of_lab).expect("the lab is sound");
    let account =
        AppRunner::in_memory(Settings::of(&lab, Path::new("lab.toml"), 1.0)).expect("an account");
    let ground = Arc::new(Field(Mutex::new(lab)));
    let server = account.over(ground, Arc::new(|_: &str| {})).await.expect("a server");
    let (mut arns, mut statuses) = (Vec::new(), Vec::new());
    for call in text.split("\n---\n").take(CALLS) {
        statuses.push(answered(&server, call, &mut arns).await);
        // Lets the work that continues after an answer run.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    statuses
}

async fn answered(server: &Server, call: &str, arns: &mut Vec<String>) -> u16 {
    let (operation, rest) = call.split_once('\n').unwrap_or((call, ""));
    let (authorization, body) = match rest.strip_prefix("Authorization: ") {
        Some(rest) => rest.split_once('\n').unwrap_or((rest, "")),
        None => ("", rest),
    };
    let mut body = body.to_owned();
    for (position, arn) in arns.iter().enumerate().rev() {
        body = body.replace(&format!("@{position}"), arn);
    }
    let mut request = Request::post("/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("host", "127.0.0.1:4566")
        .header("x-amz-date", "20260102T030405Z")
        .header("x-amz-target", format!("AppRunner.{operation}"));
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let Ok(request) = request.body(Body::from(body)) else { return 0 };
    let answer = server.answer(request).await;
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    let document: Value = serde_json::from_slice(&bytes).expect("an answer that is no JSON");
    if status == 200 {
        for (resource, member) in [("Service", "ServiceArn"), ("VpcConnector", "VpcConnectorArn")] {
            let arn = document[resource][member].as_str().map(str::to_owned);
            arns.extend(arn.filter(|arn| !arns.contains(arn)));
        }
    } else {
        assert!((400..500).contains(&status), "{status} for {call:?}: {document}");
        assert!(document["__type"].as_str().is_some_and(|name| name.ends_with("Exception")));
        let message = document["Message"].as_str().expect("an error without a message");
        assert!((1..=600).contains(&message.chars().count()));
    }
    status
}
