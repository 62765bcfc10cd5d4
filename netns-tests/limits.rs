//! `ps`, `exec` and `down` work, whatever other clients do.

use crate::lifecycle::LAB;
use crate::support::http::{api, control, exchange, head, is_closed, post};
use crate::support::lab::{Lab, both_streams, can_run};
use serde_json::json;
use std::io::Write as _;
use std::net::TcpStream;

/// The number of descriptors that a process may have by default on many machines.
const DESCRIPTORS: u32 = 1024;

/// Returns the lab's text with the App Runner API.
fn with_api(more: &str) -> String {
    format!("{LAB}[apprunner]\napi = \"127.0.0.1:0\"\n{more}")
}

const KEYS: &str = "[[apprunner.access_key]]\nid = \"AKIDLIMITS\"\nsecret = \"secret\"\n";

/// Asserts that the commands that an operator needs work.
fn is_at_hand(lab: &Lab) {
    for line in ["ps", "exec web -- true", "services"] {
        let output = lab.egret(line);
        assert!(output.status.success(), "{line}: {}", both_streams(&output));
    }
}

#[test]
fn control_answers_whatever_number_of_clients_is_idle_at_the_api() {
    if !can_run() {
        return;
    }
    let lab = Lab::up_with_descriptors(DESCRIPTORS, DESCRIPTORS, &with_api(""));
    // Connections beyond the limit wait in the kernel's queue, which has a limit of its own.
    let address = lab.api().trim_start_matches("http://").to_owned();
    let idle: Vec<_> = (0..DESCRIPTORS).map_while(|_| TcpStream::connect(&address).ok()).collect();
    assert!(idle.len() > 128, "{}", idle.len());
    is_at_hand(&lab);
    let down = lab.egret("down");
    assert!(down.status.success(), "{}", both_streams(&down));
}

#[test]
fn control_answers_whatever_number_of_connections_tasks_hold() {
    if !can_run() {
        return;
    }
    let ports: Vec<String> = (7000..7008).map(|port| format!("\"{port}/tcp\"")).collect();
    let text = LAB.replace("\"5432/tcp\", \"53/udp\"", &ports.join(", "));
    let lab = Lab::up_with_descriptors(DESCRIPTORS, DESCRIPTORS, &text);
    let program = "import socket,sys,time
held=[]
for port in range(7000,7008):
    for _ in range(200):
        s=socket.socket(); s.setblocking(False); s.connect_ex(('10.0.1.10',port)); held.append(s)
print('held',flush=True)
sys.stdin.read()";
    let mut holder = lab.task_program("web", program);
    holder.wait_for("held");
    is_at_hand(&lab);
}

#[test]
fn connection_without_a_request_is_closed() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", &with_api(""));
    let mut half = control(lab.name());
    half.write_all(b"POST /v1/ps HTTP/1.1\r\nhost:").unwrap();
    let mut slow = control(lab.name());
    slow.write_all(head("/v1/flows", 100).as_bytes()).unwrap();
    let (silent, at_api) = (control(lab.name()), api(lab.api()));
    assert!(is_closed(silent) && is_closed(half) && is_closed(at_api));
    let (status, answer) = exchange(slow, "{");
    assert!(status == 408 && answer.contains("\"error\""), "{status} {answer}");
}

#[test]
fn request_that_is_too_large_is_refused_before_it_is_read() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    for path in ["/v1/flows", "/v1/apply"] {
        let (status, answer) = exchange(control(lab.name()), &head(path, 1 << 30));
        assert!(status == 413 && answer.contains("\"error\""), "{path}: {status} {answer}");
    }
}

/// The body of neither request is sent: an answer shows that the server does not wait for it.
#[test]
fn nothing_is_read_of_the_body_of_a_request_that_is_not_signed_by_a_known_key() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", &with_api(KEYS));
    let head = |more: &str| {
        format!(
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-target: AppRunner.ListServices\r\n\
             connection: close\r\n{more}content-length: 1000000\r\n\r\n"
        )
    };
    let (status, answer) = exchange(api(lab.api()), &head(""));
    assert!(status == 400 && answer.contains("MissingAuthenticationToken"), "{status} {answer}");
    let strange = "x-amz-date: 20260102T030405Z\r\nauthorization: AWS4-HMAC-SHA256 \
        Credential=AKIDOTHER/20260102/us-east-1/apprunner/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
        Signature=00\r\n";
    let (status, answer) = exchange(api(lab.api()), &head(strange));
    assert!(status == 400 && answer.contains("UnrecognizedClient"), "{status} {answer}");
}

#[test]
fn api_beyond_loopback_without_keys_is_warned_about() {
    if !can_run() {
        return;
    }
    for (text, is_warned) in [(LAB.to_owned(), true), (with_api(KEYS), false)] {
        let text = text.replace("api = \"127.0.0.1:0\"\n", "");
        let said = Lab::up_saying(&["--api", "0.0.0.0:0", "--api-anywhere"], &text);
        let warned = said.contains("anyone who reaches") && said.contains("access_key");
        assert_eq!(warned, is_warned, "{said}");
    }
}

#[test]
fn descriptors_are_raised_for_the_lab() {
    if !can_run() {
        return;
    }
    let lab = Lab::up_with_descriptors(300, 4000, LAB);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", lab.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[3..5], ["4000", "4000"], "{files}");
}

#[test]
fn request_with_a_value_out_of_range_is_refused_and_the_lab_goes_on() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let apply = |scale: f64| {
        json!({"file": "lab.toml", "text": text, "time_scale": scale, "dry_run": false}).to_string()
    };
    let top = r#"{"by":"flows","interval_ms":18446744073709551615,"count":null,"limit":1}"#;
    for (path, body) in [
        ("/v1/apply", apply(0.0)),
        ("/v1/apply", apply(-1.0)),
        ("/v1/apply", apply(1e300)),
        ("/v1/tasks", r#"{"service":"web","number":0}"#.to_owned()),
        ("/v1/tasks", r#"{"service":"web\u001b[2J","number":1}"#.to_owned()),
        ("/v1/top", top.to_owned()),
        ("/v1/flows", "[]".to_owned()),
        ("/v1/flows", "not JSON".to_owned()),
    ] {
        let (status, answer) = post(lab.name(), path, &body);
        assert!((400..500).contains(&status), "{path} {body}: {status} {answer}");
        let problem: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let error = problem["error"].as_str().unwrap();
        assert!(!error.contains(egret::edge::is_hidden), "{error:?}");
    }
    for row in lab.ps() {
        assert_eq!((row.generation, row.time_scale), (1, 1.0));
    }
    lab.task("web").tcp(std::net::Ipv4Addr::new(10, 0, 1, 10), 5432);
}
