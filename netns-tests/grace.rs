//! Established flows outlive the lab's process for as long as the file says, and no longer.

use crate::lifecycle::leftovers;
use crate::offload::LAB;
use crate::support::lab::{Agent, Lab, both_streams, can_run, finish, up_command};
use crate::support::{Background, iperf_server, run_ok};
use aya::maps::{HashMap, MapData};
use egret::explain::FlowRow;
use egret::linux::Netns;
use egret::linux::exec::spawn_in;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const PATIENCE: Duration = Duration::from_secs(30);

fn with_grace(grace: &str) -> String {
    format!("offload = \"on\"\noffload_grace = \"{grace}\"\n{LAB}")
}

/// Returns the folder of what is pinned for a lab.
fn pins(lab: &Lab) -> PathBuf {
    PathBuf::from("/sys/fs/bpf/egret").join(lab.name())
}

#[test]
fn nothing_goes_on_by_default() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &format!("offload = \"on\"\n{LAB}"));
    let far = lab.far("internet", "net0", &[HOST]);
    let _server = iperf_server(&far, HOST);
    let _client = Background(iperf(&lab, 60));
    is_carried_by_the_kernel(&lab);
    assert!(!pins(&lab).exists());
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    let killed = Instant::now();
    let received = received_bytes(&far);
    stays_silent(&lab, &far);
    // What was on its way still arrived: no more than the receiver's window (tcp_rmem, 6 MiB) and
    // the part of it that was sent twice.
    assert!(received_bytes(&far) - received < 12 << 20, "{:?}", killed.elapsed());
}

#[test]
fn flows_go_on_until_the_next_process_has_them() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &with_grace("30s"));
    let far = lab.far("internet", "net0", &[HOST]);
    let _server = iperf_server(&far, HOST);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    assert!(task.open("kept", HOST, 443).is_u64());
    task.ok(&json!(["say", "kept"]));
    assert_eq!(server.peers().len(), 1);
    lab.egret_ok("task add web");
    // The configuration differs from the first one, if only by its line numbers.
    let text = std::fs::read_to_string(lab.file()).unwrap();
    std::fs::write(lab.file(), format!("\n{text}")).unwrap();
    lab.egret_ok(&format!("apply {}", lab.file().display()));
    let tasks = lab.egret_ok("ps");
    let client = iperf(&lab, 10);
    is_carried_by_the_kernel(&lab);
    let before = lab.flows();
    let pins = pins(&lab);
    assert!(pins.exists());

    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    // The kernel forwards the flow by itself.
    let seen = received_bytes(&far);
    waits_until("the kernel goes on", || received_bytes(&far) > seen + 10_000_000);
    // A new connection waits for the next process.
    task.begin(&json!(["tcp", HOST, 443, 0, 20.0]));
    lab.up_again();
    assert!(task.answer().is_u64());
    task.ok(&json!(["say", "kept"]));
    assert_eq!(lab.egret_ok("ps"), tasks);
    assert!(lab.pings("web/2", &HOST.to_string()));

    // Flows have the same ports, and their counters have increased.
    for flow in &before {
        let after = lab.flows();
        let now = after.iter().find(|now| now.inside == flow.inside);
        let now = now.unwrap_or_else(|| panic!("{flow:?} is not in {after:#?}"));
        assert_eq!((&now.outside, now.eni_port), (&flow.outside, flow.eni_port));
        assert_eq!(now.admitted_by, flow.admitted_by);
        // A packet that user space had not yet sent when the kernel took over is not in the
        // handover.
        let carried = now.offloaded.packets_out >= flow.offloaded.packets_out;
        assert!(carried && now.age_ms > flow.age_ms, "{flow:?} {now:?}");
    }
    let (before, after) = (sum(&before), sum(&lab.flows()));
    assert!(after > before + 10_000_000, "{before} {after}");
    // A connection that sends nothing need not be offloaded again.
    waits_until("the kernel carries the stream again", || {
        let is_back = |flow: &FlowRow| flow.path == "offload" && flow.bytes_out > 10_000_000;
        lab.flows().iter().any(is_back)
    });
    // The new connection is the only one that reached the server meanwhile.
    assert_eq!(server.peers().len(), 1);
    let report = client.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(report["error"].is_null(), "{report}");
    assert!(report["end"]["sum_received"]["bytes"].as_f64().unwrap() > 1e7, "{report}");

    drop(task);
    lab.egret_ok("down");
    lab.wait();
    assert_eq!(leftovers(&lab), [""; 0]);
    assert!(!pins.exists());
}

/// Pinned maps may be left by another version of egret: each map in turn has another layout.
#[test]
fn regression_pinned_maps_of_another_layout_are_cleared_and_the_lab_starts_afresh() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &with_grace("30s"));
    for (map, entries, found) in [
        ("flow_records", 131_072, "131072 entries of 4 + 8 bytes"),
        ("flow_cache", 262_144, "262144 entries of 4 + 8 bytes"),
        ("flow_records", 1, "1 entries of 4 + 8 bytes"),
    ] {
        assert_eq!(lab.end_by(Signal::SIGKILL), None);
        let pin = pins(&lab).join(map);
        std::fs::remove_file(&pin).unwrap();
        let other = HashMap::<MapData, u32, u64>::create(entries, 0).unwrap();
        other.pin(&pin).unwrap();
        let said = lab.up_again_saying();
        let why = format!("cannot resume the lab of a killed run: its BPF map {map} is {found}, ");
        assert!(said.contains(&why) && said.contains("; starting afresh"), "{said}");
        assert!(lab.pings("web", &HOST.to_string()));
    }
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    let said = lab.up_again_saying();
    assert!(said.contains("resumed the lab of a killed run: "), "{said}");
}

#[test]
fn regression_a_removed_task_does_not_come_back_with_the_next_process() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &format!("{}tasks = 2\n", with_grace("30s")));
    lab.egret_ok("task remove web/1");
    let tasks = lab.egret_ok("ps");
    assert!(tasks.contains("web/2") && !tasks.contains("web/1"), "{tasks}");
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    lab.up_again();
    assert_eq!(lab.egret_ok("ps"), tasks);
}

#[test]
fn a_grace_is_over_when_it_is_over() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &with_grace("1s"));
    let far = lab.far("internet", "net0", &[HOST]);
    let _server = iperf_server(&far, HOST);
    let client = Background(iperf(&lab, 60));
    is_carried_by_the_kernel(&lab);
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    stays_silent(&lab, &far);
    drop(client);
    // `down` clears the lab without the process.
    let pins = pins(&lab);
    assert!(pins.exists());
    let down = lab.egret("down");
    assert!(both_streams(&down).contains("cleared"), "{}", both_streams(&down));
    assert_eq!(leftovers(&lab), [""; 0]);
    assert!(!pins.exists());
}

#[test]
fn flows_that_the_next_process_does_not_allow_are_not_resumed() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &with_grace("30s"));
    let far = lab.far("internet", "net0", &[HOST]);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    assert!(task.open("kept", HOST, 443).is_u64());
    waits_until("the kernel carries both directions", || {
        task.ok(&json!(["say", "kept"]));
        lab.flows().iter().any(|f| f.offloaded.packets_out > 0 && f.offloaded.packets_in > 0)
    });
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    // The kernel forwards the flow while no process runs.
    task.ok(&json!(["say", "kept"]));
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let route = "routes = [{ destination = \"0.0.0.0/0\", target = \"nat-a\" }]";
    assert!(text.contains(route));
    std::fs::write(lab.file(), text.replace(route, "")).unwrap();
    lab.up_again();
    lab.drops_for("no-route", "rtb-private", || {
        assert_ne!(task.ask(&json!(["say", "kept"])), "ok");
    });

    // A lab without `offload_grace` takes over nothing either.
    let pins = pins(&lab);
    assert!(pins.exists());
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    std::fs::write(lab.file(), text.replace("offload_grace = \"30s\"", "")).unwrap();
    lab.up_again();
    assert!(!pins.exists());
    assert_eq!(lab.flows().len(), 0);
    assert!(lab.pings("web", &HOST.to_string()));
}

/// A file that the lab cannot change to is refused before anything of the lab is touched: offloaded
/// flows continue.
#[test]
fn a_lab_that_cannot_become_what_the_file_says_is_left_as_it_was() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &with_grace("60s"));
    let far = lab.far("internet", "net0", &[HOST]);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    let tasks = lab.egret_ok("ps");
    keeps(&lab, &mut task);
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    let text = std::fs::read_to_string(lab.file()).unwrap();
    std::fs::write(lab.file(), format!("queues = 2\n{text}")).unwrap();
    let said = does_not_come_up(&lab);
    assert!(
        said.contains("cannot resume the lab of a killed run: `queues` cannot change"),
        "{said}"
    );
    assert!(said.contains("it is left as it was") && said.contains("`egret down`"), "{said}");
    task.ok(&json!(["say", "kept"]));

    std::fs::write(lab.file(), text).unwrap();
    let ready = lab.up_again_in_json();
    assert_eq!((&ready["lab"], &ready["resumed"]["flows"]), (&json!(lab.name()), &json!(1)));
    assert_eq!(ready["resumed"]["lost"], json!([]));
    assert_eq!(lab.egret_ok("ps"), tasks);
    task.ok(&json!(["say", "kept"]));
    assert_eq!(server.peers().len(), 1, "one connection");
}

/// The port of a listener is already used when the next process starts.
#[test]
fn a_resumption_that_fails_leaves_the_lab_closed_for_another_attempt() {
    if !can_run() {
        return;
    }
    let listens = format!("address = \"{HOST}\"\nlisten = [\"9/tcp\"]");
    let text = with_grace("60s").replace(&format!("address = \"{HOST}\""), &listens);
    let mut lab = Lab::up("auto", &text);
    let internet = lab.netns("internet");
    let mut server = Lab::agent(&internet);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    let tasks = lab.egret_ok("ps");
    keeps(&lab, &mut task);
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    task.ok(&json!(["say", "kept"]));
    let mut other = Lab::agent(&internet);
    other.ok(&json!(["serve", HOST, 9]));
    let said = does_not_come_up(&lab);
    assert!(said.contains("cannot resume the lab of a killed run: "), "{said}");
    assert!(said.contains("no packet crosses") && said.contains("`egret down`"), "{said}");
    assert_ne!(task.ask(&json!(["say", "kept", 0.5])), "ok", "nothing crosses");
    assert!(pins(&lab).exists());

    drop(other);
    let said = lab.up_again_saying();
    assert!(said.contains("resumed the lab of a killed run: "), "{said}");
    assert_eq!(lab.egret_ok("ps"), tasks);
    task.ok(&json!(["say", "kept", 30.0]));
    assert!(lab.pings("web", &HOST.to_string()));

    // Further failing attempts do not end the lab either, and `down` clears it when it is not
    // needed any more.
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    let mut other = Lab::agent(&internet);
    other.ok(&json!(["serve", HOST, 9]));
    (0..2).for_each(|_| assert!(does_not_come_up(&lab).contains("no packet crosses")));
    assert!(both_streams(&lab.egret("down")).contains("cleared"));
    assert_eq!(leftovers(&lab), [""; 0]);
}

#[test]
fn flows_that_were_opening_or_closing_at_the_kill_are_listed_as_lost() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &with_grace("60s"));
    let far = lab.far("internet", "net0", &[HOST]);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve_without_end", HOST, 443]));
    let (mut task, mut opener) = (lab.task("web"), lab.task("web"));
    keeps(&lab, &mut task);
    let closing = task.open("closing", HOST, 443);
    task.ok(&json!(["end", "closing"]));
    let is_closing = |flow: &FlowRow| flow.inside.ends_with(&format!(":{closing}"));
    waits_until("it has begun to end", || {
        lab.flows().iter().filter(|flow| is_closing(flow)).all(|flow| flow.path == "userspace")
    });
    // The SYN is in the queue of a process that will not read it.
    lab.signal(Signal::SIGSTOP);
    waits_until("every thread has stopped", || every_thread_is_stopped(&lab));
    opener.begin(&json!(["tcp", HOST, 443, 4999, 60.0]));
    waits_until("it is opening", || run_ok(&lab.netns("web-1"), "ss -tn").contains(":4999"));
    assert_eq!(lab.end_by(Signal::SIGKILL), None);

    let ready = lab.up_again_in_json();
    let lost = ready["resumed"]["lost"].as_array().unwrap();
    let mut found: Vec<_> =
        lost.iter().map(|flow| (flow["state"].as_str(), flow["inside"].as_str())).collect();
    found.sort();
    let address = lab.ps()[0].address;
    let inside = |port: &Value| format!("{address}:{port}");
    let (closing, opening) = (inside(&closing), inside(&json!(4999)));
    assert_eq!(
        found,
        [(Some("closing"), Some(&*closing)), (Some("opening"), Some(&*opening))],
        "{ready}"
    );
    assert_eq!(ready["resumed"]["flows"], 1);
    for flow in lost {
        assert_eq!((&flow["service"], &flow["task"]), (&json!("web"), &json!(1)), "{flow}");
        assert_eq!(flow["destination"], format!("{HOST}:443"));
    }
    // The retransmitted SYN opens the connection.
    assert!(opener.answer().is_u64());
    task.ok(&json!(["say", "kept"]));

    // In the output for people, the closing flow is lost once more, and the other one has ended.
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    let said = lab.up_again_saying();
    let line = format!("  lost: web/1 tcp {closing} -> {HOST}:443, closing");
    assert!(said.lines().any(|said| said == line), "{said}");
}

fn every_thread_is_stopped(lab: &Lab) -> bool {
    let pid = std::fs::read_to_string(format!("/run/egret/{}/lock", lab.name())).unwrap();
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.trim())).unwrap();
    threads.into_iter().all(|thread| {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat"));
        stat.is_ok_and(|stat| stat.contains(") T "))
    })
}

/// Opens a connection whose flow is offloaded.
fn keeps(lab: &Lab, task: &mut Agent) {
    assert!(task.open("kept", HOST, 443).is_u64());
    waits_until("the kernel carries both directions", || {
        task.ok(&json!(["say", "kept"]));
        lab.flows().iter().any(|f| f.offloaded.packets_out > 0 && f.offloaded.packets_in > 0)
    });
}

/// Tries to bring the lab up, which must fail, and returns what it prints.
fn does_not_come_up(lab: &Lab) -> String {
    let mut up = up_command(lab.file());
    let output = finish(up.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(output.status.code(), Some(1), "{}", both_streams(&output));
    String::from_utf8(output.stderr).unwrap()
}

/// Starts iperf3 in task 1 of `web`, toward the host; its output is its report.
fn iperf(lab: &Lab, seconds: u32) -> Child {
    let mut command = Command::new("iperf3");
    command.args(["-J", "-c", &HOST.to_string(), "-t", &seconds.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    spawn_in(&lab.netns("web-1"), &mut command).unwrap()
}

/// Waits until the flows of all connections are offloaded, one of which is a stream.
fn is_carried_by_the_kernel(lab: &Lab) {
    waits_until("the kernel carries the flow", || {
        let flows = lab.flows();
        let mut connections = flows.iter().filter(|flow| flow.protocol == "tcp");
        connections.clone().all(|flow| flow.path == "offload")
            && connections.any(|flow| flow.offloaded.bytes_out > 10_000_000)
    });
}

/// Waits until not one more byte arrives, for a second in which the task tries to connect.
fn stays_silent(lab: &Lab, far: &Netns) {
    let mut task = Lab::agent(&lab.netns("web-1"));
    waits_until("nothing arrives", || {
        let before = received_bytes(far);
        assert_eq!(task.ask(&json!(["tcp", HOST, 9, 0, 1.0])), "timeout");
        received_bytes(far) == before
    });
}

fn sum(flows: &[FlowRow]) -> u64 {
    flows.iter().map(|flow| flow.bytes_out).sum()
}

/// Returns the number of bytes that a namespace has received.
fn received_bytes(netns: &Netns) -> u64 {
    run_ok(netns, "cat /sys/class/net/eth0/statistics/rx_bytes").trim().parse().unwrap()
}

fn waits_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
    }
}
