//! `egret test --live` sees what happens to real packets, and where that contradicts the verdict.

use crate::security_group::LAB;
use crate::support::lab::{Lab, both_streams, for_both_kinds};
use crate::support::run_ok;
use egret::linux::Netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

for_both_kinds!(
    every_packet_of_the_example_meets_its_verdict,
    a_wire_that_contradicts_a_verdict_fails_the_test,
    drawn_ports_are_compared_with_the_class_that_they_are_in,
    classes_without_a_task_or_a_listener_are_not_tried,
    a_lab_that_does_not_run_the_file_is_an_error,
    a_signal_ends_it,
);

const THREE_AZ: &str = include_str!("../examples/three-az.toml");
const REPLY_PORTS: &str = include_str!("../src/explain/cases/reply-ports-eni.toml");
const REPLY_PORTS_NAT: &str = include_str!("../src/explain/cases/reply-ports-nat.toml");

fn every_packet_of_the_example_meets_its_verdict(device: &str) {
    let lab = Lab::up(device, THREE_AZ);
    let begin = Instant::now();
    let (code, report) = live(&lab);
    println!("60 expectations with real packets: {:?}", begin.elapsed());
    let rows = report["expectations"].as_array().unwrap();
    assert_eq!((code, rows.len()), (Some(0), 60), "{report:#}");
    let untried: Vec<&str> = rows.iter().flat_map(untried).collect();
    assert!(untried.iter().all(|why| *why == "nothing listens"), "{untried:?}");
    // Nothing listens on `tools` and on `checkip`.
    let is_untried = |row: &&Value| agreed(row) == 0;
    let lines = rows.iter().filter(is_untried).map(|row| row["to"].to_string());
    let lines: Vec<String> = lines.collect();
    assert!(lines.iter().all(|to| to.contains("tools") || to.contains("checkip")), "{lines:?}");
    assert!(rows.iter().map(agreed).sum::<u64>() > 180);
}

fn a_wire_that_contradicts_a_verdict_fails_the_test(device: &str) {
    let text = with_expectations(
        LAB,
        &[
            ("web", "db:5432", "reachable"),
            ("web", "closed:5432", "blocked"),
            ("web", "db", "reachable"),
        ],
    )
    .replace("to = \"db\"\n", "to = \"db\"\nprotocol = \"icmp\"\n");
    let lab = Lab::up(device, &text);
    let (code, report) = live(&lab);
    assert_eq!(code, Some(0), "{report:#}");

    let rules = "type filter hook input priority 0 ;";
    nft(&lab.netns("vpc-a"), rules, "tcp dport 5432 reject with tcp reset");
    // The packets do not reach the lab, which would drop them.
    let rules = "type nat hook output priority -100 ;";
    nft(&lab.netns("web-1"), rules, "ip daddr 10.0.2.20 tcp dport 5432 redirect");
    let (code, report) = live(&lab);
    assert_eq!(code, Some(1), "{report:#}");
    let [db, closed, ping] = [0, 1, 2].map(|at| &report["expectations"][at]);
    let contradiction = &db["live"]["contradictions"][0];
    assert_eq!(contradiction["wire"], "refused (connection refused)", "{report:#}");
    assert_eq!(
        (&contradiction["verdict"], &contradiction["task"]),
        (&"FORWARD".into(), &"web/1".into())
    );
    let contradiction = &closed["live"]["contradictions"][0];
    assert_eq!(contradiction["destination"], "10.0.2.20", "{report:#}");
    assert!(contradiction["verdict"].as_str().unwrap().starts_with("DROP "), "{report:#}");
    assert_eq!((&ping["ok"], agreed(ping)), (&true.into(), 1));

    let output = lab.egret(&format!("test {} --live --github", lab.file().display()));
    let said = both_streams(&output);
    assert!(said.contains("wire: 0 of 1 agree"), "{said}");
    assert!(said.contains("3 packets, 2 contradict verdicts"), "{said}");
    assert_eq!(said.matches("::error file=").count(), 2, "{said}");
}

fn drawn_ports_are_compared_with_the_class_that_they_are_in(device: &str) {
    for (text, to) in [(REPLY_PORTS, "db:5432"), (REPLY_PORTS_NAT, "api:443")] {
        let text = with_expectations(&without_name(text), &[("web", to, "reachable")]);
        let lab = Lab::up(device, &text);
        let (code, report) = live(&lab);
        assert_eq!(code, Some(1), "a mixed verdict is none of both");
        let row = &report["expectations"][0];
        assert_eq!(agreed(row), 8, "{report:#}");
        assert_eq!(row["live"]["contradictions"].as_array().unwrap().len(), 0, "{report:#}");
    }
}

fn classes_without_a_task_or_a_listener_are_not_tried(device: &str) {
    let text = with_expectations(
        LAB,
        &[
            ("web", "db:5432", "reachable"),
            ("other", "db:5432", "blocked"),
            ("web", "db:54/udp", "blocked"),
        ],
    );
    let lab = Lab::up(device, &text);
    lab.egret_ok("task remove web/1");
    let (code, report) = live(&lab);
    assert_eq!(code, Some(0), "{report:#}");
    let row = |at: usize| &report["expectations"][at];
    assert_eq!(untried(row(0)), ["no task runs there"]);
    assert_eq!((agreed(row(0)), agreed(row(1)), agreed(row(2))), (0, 1, 0));
    let said = lab.egret_ok(&format!("test {} --live", lab.file().display()));
    assert!(
        said.contains("; wire: nothing sent\n      not tried: no task runs there (1)\n"),
        "{said}"
    );
}

fn a_lab_that_does_not_run_the_file_is_an_error(device: &str) {
    let text = with_expectations(LAB, &[("web", "db:5432", "reachable")]);
    let lab = Lab::up(device, &text);
    let said = |line: &str| {
        let output = lab.egret(line);
        assert_eq!(output.status.code(), Some(2), "{}", both_streams(&output));
        both_streams(&output)
    };
    let file = lab.file().display().to_string();
    let other = lab.file().with_extension("other.toml");
    std::fs::write(&other, text.replacen('\n', "\nlab = \"t-none\"\n", 1)).unwrap();
    // Without EGRET_LAB, which would name the lab in place of the file.
    let output = lab.egret_under(None, &["test", other.to_str().unwrap(), "--live"]);
    std::fs::remove_file(&other).unwrap();
    let error = both_streams(&output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    let way_out = format!("bring it up with `sudo egret up {}`", other.display());
    assert!(error.contains("no lab `t-none` is running") && error.contains(&way_out), "{error}");

    let written = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, written + "# changed\n").unwrap();
    let error = said(&format!("test {file} --live"));
    assert!(error.contains(&format!("sudo egret apply --lab {} {file}", lab.name())), "{error}");
    lab.egret_ok(&format!("test --lab {} --live", lab.name()));
    let error = said(&format!("test {file} --from examples/vpc --live"));
    assert!(error.contains("sudo egret up --from examples/vpc --lab NAME"), "{error}");
}

/// The command waits for a packet that may pass and is not answered, long enough to print progress
/// and to be interrupted.
fn a_signal_ends_it(device: &str) {
    let lab = Lab::up(device, &with_expectations(LAB, &[("web", "db:5432", "reachable")]));
    nft(&lab.netns("vpc-a"), "type filter hook input priority 0 ;", "tcp dport 5432 drop");
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.arg("test").arg(lab.file()).arg("--live").stdin(Stdio::null());
    let mut test = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(test.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "sent 0 of 1 packets; Ctrl-C ends it\n");
    kill(Pid::from_raw(test.id().cast_signed()), Signal::SIGINT).unwrap();
    let ended = test.wait_with_output().unwrap();
    line.clear();
    while said.read_line(&mut line).unwrap() > 0 {}
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(130), 0), "{line}");
    assert!(line.ends_with("egret: a signal ended it before there was an answer\n"), "{line}");
}

/// Adds a chain with one rule in a namespace.
fn nft(netns: &Netns, chain: &str, rule: &str) {
    run_ok(netns, "nft add table ip t");
    run_ok(netns, &format!("nft add chain ip t c {{ {chain} }}"));
    run_ok(netns, &format!("nft add rule ip t c {rule}"));
}

/// Runs `egret test --live` on the lab's file.
fn live(lab: &Lab) -> (Option<i32>, Value) {
    let output = lab.egret(&format!("test {} --live --json", lab.file().display()));
    let said = both_streams(&output);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    (output.status.code(), report)
}

fn agreed(row: &Value) -> u64 {
    row["live"]["agreed"].as_u64().unwrap()
}

fn untried(row: &Value) -> Vec<&str> {
    let all = row["live"]["not_tried"].as_array().unwrap();
    all.iter().map(|one| one["why"].as_str().unwrap()).collect()
}

fn with_expectations(text: &str, all: &[(&str, &str, &str)]) -> String {
    let one = |(from, to, is): &(&str, &str, &str)| {
        format!("\n[[expect]]\nfrom = \"{from}\"\nto = \"{to}\"\nis = \"{is}\"\n")
    };
    text.to_owned() + &all.iter().map(one).collect::<String>()
}

fn without_name(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("lab = "))
        .map(|line| format!("{line}\n"))
        .collect()
}
