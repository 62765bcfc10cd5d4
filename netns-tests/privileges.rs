//! The threads of a lab keep only those of root's capabilities that they need.

use crate::apprunner::Shop;
use crate::lifecycle::LAB;
use crate::support::comes;
use crate::support::lab::{Lab, both_streams, can_run};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
/// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN and CAP_SYS_ADMIN.
const OF_LAB: &str = "0000000000201400";
const NONE: &str = "0000000000000000";

/// Reads the status of each thread of a lab, by its number.
fn threads(lab: &Lab) -> Vec<BTreeMap<String, String>> {
    let folder = std::fs::read_dir(format!("/proc/{}/task", lab.pid())).unwrap();
    let status = |thread: std::path::PathBuf| {
        let text = std::fs::read_to_string(thread.join("status")).ok()?;
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Some(pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
    };
    // A thread that has ended meanwhile has no status.
    folder.filter_map(|thread| status(thread.unwrap().path())).collect()
}

/// Asserts what each thread of a lab may do, and returns the number of packet workers.
fn each_thread_has_what_it_needs(lab: &Lab) -> usize {
    let devices: Vec<String> =
        lab.rows::<serde_json::Value>("enis").iter().map(|eni| eni["device"].to_string()).collect();
    let is_worker =
        |name: &str| devices.iter().any(|device| device.trim_matches('"').starts_with(name));
    let mut workers = 0;
    for thread in threads(lab) {
        let name = &thread["Name"];
        // The worker of a further queue has its number after a slash.
        let (kept, filter) = match is_worker(name.split('/').next().unwrap()) {
            true => (NONE, "2"),
            // These threads read what tasks send.
            false if name == "egret-tasks" => (NONE, "0"),
            false => (OF_LAB, "0"),
        };
        workers += usize::from(filter == "2");
        for (what, found) in
            [("CapPrm", kept), ("CapEff", kept), ("CapInh", NONE), ("CapAmb", NONE)]
        {
            assert_eq!(thread[what], found, "{name}: {what}");
        }
        // The capability that could reduce this set is already dropped; nothing is executed that
        // could gain by it.
        assert_eq!(thread["CapBnd"], OF_LAB, "{name}");
        assert_eq!((&*thread["NoNewPrivs"], &*thread["Seccomp"]), ("1", filter), "{name}");
    }
    workers
}

#[test]
fn each_thread_of_a_lab_keeps_what_it_needs_whatever_is_done_with_it() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("vnet", LAB);
    assert!(each_thread_has_what_it_needs(&lab) > 0);
    assert!(lab.pings("web", "-c1 -W5 10.0.1.10"));
    lab.task("web").tcp(DB, 5432);
    lab.egret_ok("task add web");
    lab.task("web/2").tcp(DB, 5432);
    lab.apply(LAB, &[("name = \"web\"", "name = \"web\"\ntasks = 3")]);
    lab.task("web/3").tcp(DB, 5432);
    lab.egret_ok("task remove web/3");
    assert!(each_thread_has_what_it_needs(&lab) > 0);
}

/// Counts how often the threads of a name have waited for something.
fn waits(lab: &Lab, name: &str) -> u64 {
    let own = threads(lab).into_iter().filter(|thread| thread["Name"] == name);
    own.map(|thread| thread["voluntary_ctxt_switches"].parse::<u64>().unwrap()).sum()
}

/// Each service answers on the threads for what tasks can reach, which wait for each question.
#[test]
fn questions_of_tasks_are_answered_by_threads_of_their_own() {
    const QUESTIONS: u64 = 50;
    if !can_run() {
        return;
    }
    let lab = Lab::up("vnet", LAB);
    let questions = [
        ("DNS over UDP", "getent ahostsv4 db > /dev/null"),
        ("DNS over TCP", "RES_OPTIONS=use-vc getent ahostsv4 db > /dev/null"),
        (
            "metadata",
            "exec 3<>/dev/tcp/169.254.170.2/80; printf 'GET /v2/metadata HTTP/1.0\\r\\n\\r\\n' >&3; head -n1 <&3 > /dev/null",
        ),
        ("a listener", "exec 3<>/dev/tcp/10.0.1.10/5432; echo x >&3; head -n1 <&3 > /dev/null"),
    ];
    for (what, question) in questions {
        let before = waits(&lab, "egret-tasks");
        let all = format!("for n in $(seq {QUESTIONS}); do {question} || exit 1; done");
        let asked = lab.egret_words(&["exec", "web", "--", "bash", "-c", &all]);
        assert!(asked.status.success(), "{what}: {asked:?}");
        let waited = waits(&lab, "egret-tasks").saturating_sub(before);
        // On a busy machine, a thread may find the next question before it waits for one.
        assert!(waited >= QUESTIONS / 2, "{what}: {waited} waits for {QUESTIONS} questions");
    }
}

/// Only the folder's owner may search it.
#[test]
fn a_lab_file_in_the_home_of_another_user_is_read_and_read_again() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up_of_another_user(LAB);
    let right = std::fs::read_to_string(lab.file()).unwrap();
    std::fs::write(lab.file(), right.replace("name = \"web\"", "name = \"web\"\ntasks = 2"))
        .unwrap();
    lab.signal(Signal::SIGHUP);
    // The signal has no answer; each look is a call that waits for a running reload.
    assert!(comes(|| lab.ps().iter().all(|row| row.generation == 2)), "{:?}", lab.ps());
    lab.task("web/2").tcp(DB, 5432);
    lab.apply(LAB, &[]);
    assert_eq!(lab.ps().len(), 2);
    assert_eq!(lab.end_by(Signal::SIGTERM), Some(0));
    lab.up_again();
    lab.task("web").tcp(DB, 5432);
}

#[test]
fn objects_of_the_api_are_kept_in_the_home_of_another_user() {
    let Some(mut shop) = Shop::open_of_another_user() else { return };
    for name in ["first", "second"] {
        let words = ["create-vpc-connector", "--vpc-connector-name", name, "--subnets", "subnet-a"];
        let made = shop.aws(&words);
        assert!(made.status.success(), "{}", both_streams(&made));
    }
    let listed = both_streams(&shop.aws(&["list-vpc-connectors"]));
    assert!(listed.contains("\"first\"") && listed.contains("\"second\""), "{listed}");
    assert_eq!(shop.lab.end_by(Signal::SIGTERM), Some(0));
    let kept = std::fs::metadata(shop.lab.store()).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
}
