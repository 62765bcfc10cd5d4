//! A request whose client gives up is not executed unless it has begun, and a client reports a lab
//! that does not answer.

use crate::lifecycle::LAB;
use crate::support::comes;
use crate::support::lab::{Lab, both_streams, can_run};
use egret::linux::netns;
use nix::sys::signal::Signal;
use serde_json::json;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Output;

/// Sends a call as a client does; dropping the stream gives up.
fn call(lab: &Lab, method: &str, path: &str, body: &str) -> UnixStream {
    let mut client =
        UnixStream::connect(format!("/run/egret/{}/control.sock", lab.name())).unwrap();
    let length = body.len();
    write!(
        client,
        "{method} {path} HTTP/1.1\r\nHost: egret\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    client
}

/// Returns the lab file with this number of tasks of `web`.
fn with_tasks(lab: &Lab, count: usize) -> String {
    let text = std::fs::read_to_string(lab.file()).unwrap();
    text.replace("name = \"web\"", &format!("name = \"web\"\ntasks = {count}"))
}

fn request(lab: &Lab, text: &str) -> String {
    json!({"file": lab.file(), "text": text, "time_scale": null, "dry_run": false}).to_string()
}

#[test]
fn request_that_is_given_up_while_the_lab_is_stopped_is_not_executed() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let tasks = lab.ps().len();
    lab.signal(Signal::SIGSTOP);
    let more = request(&lab, &with_tasks(&lab, 3));
    let one_more = json!({"service": "web", "number": null}).to_string();
    let given_up = [
        call(&lab, "POST", "/v1/tasks", &one_more),
        call(&lab, "DELETE", "/v1/tasks/web/1", ""),
        call(&lab, "POST", "/v1/apply", &more),
        call(&lab, "POST", "/v1/down", "null"),
    ];
    drop(given_up);
    lab.signal(Signal::SIGCONT);
    // The requests came first, so they have been handled or discarded once later ones are answered.
    for _ in 0..20 {
        assert_eq!(lab.ps().len(), tasks, "{:?}", lab.ps());
    }
    assert!(lab.ps().iter().all(|row| row.generation == 1));
    // A request whose client waits is executed.
    lab.signal(Signal::SIGSTOP);
    let waiting = call(&lab, "POST", "/v1/tasks", &one_more);
    lab.signal(Signal::SIGCONT);
    assert!(comes(|| lab.ps().len() == tasks + 1), "{:?}", lab.ps());
    drop(waiting);
}

#[test]
fn clients_of_a_stopped_lab_say_so_and_what_to_do() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let tasks = lab.ps().len();
    let pid = std::fs::read_to_string(format!("/run/egret/{}/lock", lab.name())).unwrap();
    let file = lab.file().display().to_string();
    let commands = [
        "ps".to_owned(),
        "task add web".to_owned(),
        "task remove web/1".to_owned(),
        "exec web/7 -- true".to_owned(),
        format!("apply {file}"),
        "explain web db".to_owned(),
        "trace".to_owned(),
        format!("check --lab {}", lab.name()),
        "down".to_owned(),
    ];
    lab.signal(Signal::SIGSTOP);
    let asked: Vec<Output> = std::thread::scope(|scope| {
        let lab = &lab;
        let asked: Vec<_> =
            commands.iter().map(|command| scope.spawn(|| lab.egret(command))).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (command, output) in commands.iter().zip(&asked) {
        let said = both_streams(output);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        let stopped = format!("the lab `{}` (process {pid}) is stopped", lab.name());
        assert!(said.contains(&stopped), "{command}: {said}");
        assert!(said.contains("withdrawn"), "{command}: {said}");
        assert!(said.contains(&format!("`kill -CONT {pid}`")), "{command}: {said}");
        assert!(said.contains(&format!("`egret down --lab {}`", lab.name())), "{command}: {said}");
    }
    lab.signal(Signal::SIGCONT);
    for _ in 0..20 {
        assert_eq!(lab.ps().len(), tasks, "{:?}", lab.ps());
    }
    assert_eq!(lab.end_by(Signal::SIGTERM), Some(0));
}

/// A reload that has begun is completed, even if its client has given up.
#[test]
fn change_that_has_begun_is_made_whole_after_its_client_has_left() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let count = 30;
    let text = with_tasks(&lab, count);
    let client = call(&lab, "POST", "/v1/apply", &request(&lab, &text));
    let second = format!("{}-web-2", lab.name());
    while !netns::exists(&second) {
        std::thread::yield_now();
    }
    drop(client);
    let is_whole = || lab.ps().iter().filter(|row| row.service == "web").count() == count;
    assert!(comes(is_whole), "{}", lab.ps().len());
    std::fs::write(lab.file(), &text).unwrap();
    let again = lab.egret_ok(&format!("apply {}", lab.file().display()));
    assert!(again.contains("changes nothing") && again.contains("generation 2"), "{again}");
    lab.task("web/30").tcp(std::net::Ipv4Addr::new(10, 0, 1, 10), 5432);
}
