//! The control socket of a lab that is not there, with one answer to each question.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The socket. Dropping it removes it.
pub struct Answers {
    name: String,
    folder: PathBuf,
}

impl Answers {
    /// Begins to answer, on threads that end with the test.
    pub fn begin() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("answers-{}-{count}", std::process::id());
        let folder = PathBuf::from("/run/egret").join(&name);
        fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("control.sock")).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { name, folder }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Answers one request, and closes the connection.
fn answer(mut stream: UnixStream) {
    let mut request = BufReader::new(stream.try_clone().unwrap());
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        request.read_line(&mut line).unwrap();
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        let (key, value) = line.split_once(':').unwrap_or((line.trim(), ""));
        if key.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
        if key.is_empty() {
            break;
        }
    }
    request.read_exact(&mut vec![0; length]).unwrap();
    let body = body(&path);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    // A command that has ended needs no answer.
    let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
}

fn body(path: &str) -> String {
    let lines = |documents: Vec<Value>| {
        documents.iter().map(|document| format!("{document}\n")).collect::<String>()
    };
    match path {
        "/v1/flows" => json!([flow(1, 443), flow(12, 5432)]).to_string(),
        "/v1/drops" => json!([
            dropped("sg-egress-implicit-deny", "no egress rule of sg-005e081784b117b65", 22),
            dropped(
                "apprunner-private-destination",
                "rule 100 of acl-07505d64a54e061b7 egress (deny all traffic 0.0.0.0/0)",
                5432
            ),
        ])
        .to_string(),
        "/v1/enis" => json!([
            eni("eni-062b00408dc57bf15", "hyperplane", "eni-062b0040"),
            eni("nat-086f7e437faa5a7fc", "nat-gateway", "nat-76f63ddc"),
        ])
        .to_string(),
        "/v1/names" => json!({
            "subnet-0a0803cf8ee70aa5f": "app-a", "sg-005e081784b117b65": "web-tier",
            "nat-086f7e437faa5a7fc": "nat", "rtb-0e80721793c24ae14": "nat",
        })
        .to_string(),
        "/v1/holders" => "[]".to_owned(),
        "/v1/ps" => json!([task(1), task(12)]).to_string(),
        "/v1/services" => json!([service()]).to_string(),
        "/v1/trace" => lines(vec![
            record("forward", "rule 2 of sg-005e081784b117b65 (tcp 443 to 0.0.0.0/0)", 443),
            record("drop", "no egress rule of sg-005e081784b117b65", 22),
            json!({"time": "2026-12-01T01:01:17.530000000Z", "record": "userspace",
                   "generation": 0, "flows": 3}),
            record("flow-created", "rule 2 of sg-005e081784b117b65 (tcp 443 to 0.0.0.0/0)", 443),
            answered(),
        ]),
        "/v1/top" => lines(vec![json!({
            "seconds": 1.0, "rows": (0..30_u64).map(rate).collect::<Vec<_>>(), "more": 0,
            "drops": {"sg-egress-implicit-deny": 12, "nat-port-exhausted": 3},
        })]),
        other => panic!("no answer to {other}"),
    }
}

fn flow(task: u16, port: u16) -> Value {
    json!({
        "service": "web", "task": task, "protocol": "tcp", "state": "established",
        "inside": "100.64.0.1:39268", "destination": format!("203.0.113.10:{port}"),
        "eni": "eni-062b00408dc57bf15", "eni_port": 5258,
        "nat_gateway": "nat-086f7e437faa5a7fc", "outside": "198.51.100.23:1025",
        "admitted_by": "rule 2 of sg-005e081784b117b65 (tcp 443 to 0.0.0.0/0)", "line": 131,
        "rule_generation": null, "packets_out": 1200, "bytes_out": 1_234_567, "packets_in": 900,
        "bytes_in": 1_100_000, "path": "offload", "age_ms": 754_000, "idle_ms": 1500,
        "expires_ms": 348_000, "generation": 1, "admitted_under": 1,
    })
}

fn dropped(reason: &str, rule: &str, port: u16) -> Value {
    json!({
        "reason": reason, "rule": rule, "line": 125, "rule_generation": null, "service": "web",
        "task": 1, "source": "100.64.0.1", "destination": "203.0.113.10",
        "server": "203.0.113.10", "protocol": "tcp", "port": port, "packets": 12,
        "first_seen_ms_ago": 61_000, "last_seen_ms_ago": 1000,
    })
}

fn eni(id: &str, kind: &str, device: &str) -> Value {
    let metrics: Value = serde_json::to_value(egret::pipeline::NatMetrics::default()).unwrap();
    json!({
        "id": id, "device": device, "queues": 2, "dead_workers": 0, "kind": kind,
        "subnet": "subnet-0a0803cf8ee70aa5f", "availability_zone": "us-east-1a",
        "security_groups": ["sg-005e081784b117b65", "sg-09e69a81b106c1043"],
        "address": "10.20.10.4", "public_address": "198.51.100.23",
        "secondary_addresses": [], "secondary_public_addresses": [], "state": "available",
        "services": ["web", "orders", "payments"], "connectors": ["shop"],
        "interface_type": "interface", "requester_managed": true,
        "tags": {"Name": "shop"}, "tasks": 14, "flows": 1250, "packets_out": 123_456,
        "bytes_out": 1_234_567_890_u64, "packets_in": 98_765, "bytes_in": 987_654_321_u64,
        "offloaded": {"packets_out": 0, "bytes_out": 0, "packets_in": 0, "bytes_in": 0},
        "drops": 5, "port_errors": 0, "metrics": metrics,
    })
}

fn task(number: u16) -> Value {
    json!({
        "service": "web", "task": number, "namespace": format!("shop-web-{number}"),
        "address": "100.64.0.1", "eni": "eni-062b00408dc57bf15",
        "subnet": "subnet-0a0803cf8ee70aa5f", "availability_zone": "us-east-1a",
        "egress": "vpc", "origin": "file", "state": "ok", "faults": [], "way_out": null,
        "generation": 1, "time_scale": 60.0,
    })
}

fn service() -> Value {
    json!({
        "service": "web", "origin": "api", "status": "OPERATION_IN_PROGRESS", "egress": "vpc",
        "connector": "shop-connector", "not_through_vpc": [], "tasks": 2,
        "enis": [{"id": "eni-062b00408dc57bf15", "subnet": "subnet-0a0803cf8ee70aa5f",
                  "state": "up", "pending_ms": 0},
                 {"id": "eni-0b0b08dd34a6b4d87", "subnet": "subnet-0a12c06c22570308c",
                  "state": "pending", "pending_ms": 42_000}],
        "operations": [{"id": "1", "type": "CREATE_SERVICE", "status": "IN_PROGRESS",
                        "started_at_ms": 0, "ended_at_ms": null, "log": []}],
    })
}

fn record(record: &str, rule: &str, port: u16) -> Value {
    let ends = |src: &str, sport: u16| {
        json!({"src": src, "sport": sport, "dst": "203.0.113.10", "dport": port,
               "protocol": "tcp"})
    };
    let is_drop = record == "drop";
    json!({
        "time": "2026-12-01T01:01:17.530000000Z", "record": record, "generation": 1,
        "task": "web/1", "eni": "eni-062b00408dc57bf15", "side": "egress",
        "inside": ends("100.64.0.1", 39_508),
        "outside": (!is_drop).then(|| ends("198.51.100.23", 1025)),
        "reason": is_drop.then_some("sg-egress-implicit-deny"), "rule": rule, "line": 131,
    })
}

/// A record with the widest cells.
fn answered() -> Value {
    let mut widest = record("drop", "no ingress rule of sg-005e081784b117b65", 54_321);
    widest["task"] = json!("recommendation/1");
    widest["inside"]["dst"] = json!("198.151.100.123");
    widest["reason"] = json!("sg-ingress-implicit-deny");
    widest["answered"] = json!(true);
    widest
}

fn rate(nth: u64) -> Value {
    let busy = 1_000_000_000 / (nth + 1);
    json!({
        "name": format!("web/1 tcp 100.64.0.1:{} -> 203.0.113.10:443", 40_000 + nth), "flows": 1,
        "bits_out": busy, "packets_out": busy / 12_000, "bits_in": busy / 50,
        "packets_in": busy / 24_000, "offloaded_bits": busy,
    })
}
