//! A lab is created and removed completely, however it ends, and so are the tasks within it.

use crate::support::comes;
use crate::support::lab::{CLOSED_FLOWS_STAY, Lab, both_streams, can_run, finish, for_both_kinds};
use crate::support::{Background, iperf_server, run, run_ok};
use egret::explain::{EniRow, FlowRow, PsRow};
use egret::linux::netns;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

for_both_kinds!(nothing_crosses_once_the_process_is_killed);

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);

pub const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"

[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[security_group]]
id = "sg-app"
vpc = "vpc-a"

[[security_group]]
id = "sg-db"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-app" }]

[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-db"]
listen = ["5432/tcp", "53/udp"]

[[resource]]
name = "far"
subnet = "subnet-a"
address = "10.0.1.20"
security_groups = ["sg-db"]

[[internet_host]]
name = "host"
address = "203.0.113.10"
listen = ["443/tcp"]

[[vpc_connector]]
name = "app"
subnets = ["subnet-a"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"

[[service]]
name = "public"
egress = "default"
"#;

#[test]
fn ready_means_that_clients_are_answered() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    for _ in 0..5 {
        let socket = format!("/run/egret/{}/control.sock", lab.name());
        UnixStream::connect(&socket).unwrap();
        lab.end_by(Signal::SIGTERM);
        lab.up_again();
    }
}

#[test]
fn two_of_one_name_are_one_too_many() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.arg("up").arg(lab.file()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let second = finish(command.spawn().unwrap());
    assert_eq!(second.status.code(), Some(1));
    assert!(both_streams(&second).contains("is up already"), "{}", both_streams(&second));
    // The first lab is not affected.
    lab.task("web").tcp(DB, 5432);
}

#[test]
fn every_orderly_end_leaves_nothing() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        lab.task("web").tcp(DB, 5432);
        assert!(!leftovers(&lab).is_empty());
        assert_eq!(lab.end_by(signal), Some(0), "{signal}");
        assert_eq!(leftovers(&lab), [""; 0], "{signal}");
        lab.up_again();
    }
    lab.egret_ok("task add web --count 2");
    lab.egret_ok("down");
    assert_eq!(lab.wait(), Some(0));
    assert_eq!(leftovers(&lab), [""; 0]);
    let again = lab.egret("down");
    assert!(again.status.success());
    assert!(both_streams(&again).contains("is not up"), "{}", both_streams(&again));
    let exec = lab.egret("exec web -- true");
    assert_eq!(exec.status.code(), Some(2));
    assert!(both_streams(&exec).contains("no lab"), "{}", both_streams(&exec));
}

#[test]
fn a_test_that_fails_leaves_nothing() {
    if !can_run() {
        return;
    }
    let mut name = String::new();
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut lab = Lab::up("auto", LAB);
        name = lab.name().to_owned();
        lab.far("vpc-a", "vpc0", &[FAR]);
        let _task = lab.task("web");
        panic!("as the test wants");
    }));
    assert!(failed.is_err());
    let of_this_run = format!("egret-test-{}-", std::process::id());
    let names = netns::list().unwrap();
    let left: Vec<_> = names
        .iter()
        .filter(|left| left.starts_with(&format!("{name}-")) || left.starts_with(&of_this_run))
        .collect();
    assert_eq!(left, [""; 0]);
    assert!(!Path::new("/run/egret").join(name).exists());
}

#[test]
fn a_lab_file_that_cannot_work_leaves_nothing() {
    if !can_run() {
        return;
    }
    // The task pool has two addresses, for three tasks.
    let name = format!("t{}-pool", std::process::id());
    let text = LAB.replace("name = \"web\"", "name = \"web\"\ntasks = 3");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("lab = \"{name}\"\ntask_cidr = \"100.64.0.0/30\"\n{text}"))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.arg("up").arg(file.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let said = both_streams(&output);
    assert!(!output.status.success() && said.contains("task_cidr"), "{said}");
    let left: Vec<_> =
        netns::list().unwrap().into_iter().filter(|n| n.starts_with(&name)).collect();
    assert_eq!(left, [""; 0]);
    assert!(!Path::new("/run/egret").join(name).exists());
}

#[test]
fn namespaces_that_egret_did_not_make_stay() {
    if !can_run() {
        return;
    }
    // A whole lab does not come up over a foreign namespace, nor over a foreign file.
    let name = format!("t{}-foreign", std::process::id());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("lab = \"{name}\"\n{LAB}")).unwrap();
    let up = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.arg("up").arg(file.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    };
    let router = format!("{name}-router");
    let foreign = Foreign::new(&router, &format!("{name}-web-1"));
    let refused = up();
    assert_eq!(refused.status.code(), Some(1));
    let said = both_streams(&refused);
    assert!(said.contains(&format!("`{router}` exists already")), "{said}");
    assert!(said.contains("ip netns del") && said.contains("another lab name"), "{said}");
    assert!(foreign.is_whole());
    netns::remove(&router).unwrap();
    let refused = up();
    assert_eq!(refused.status.code(), Some(1));
    let said = both_streams(&refused);
    assert!(said.contains(&format!("/etc/netns/{name}-web-1 exists already")), "{said}");
    assert!(foreign.overlay.join("hosts").exists());
    assert!(!Path::new("/run/egret").join(name).exists());

    // Nor does a task, and neither its failure nor the lab's end removes what is foreign.
    let mut lab = Lab::up("auto", LAB);
    let taken = format!("{}-web-2", lab.name());
    let foreign = Foreign::new(&taken, &format!("{}-web-3", lab.name()));
    let refused = lab.egret("task add web");
    assert_eq!(refused.status.code(), Some(1));
    assert!(both_streams(&refused).contains(&format!("`{taken}` exists already")));
    assert_eq!(lab.egret("exec web/3 -- true").status.code(), Some(1));
    assert!(foreign.is_whole());
    // A name that the lab has given back is not the lab's own any more.
    lab.egret_ok("task remove web/1");
    let later = Foreign::new(&format!("{}-web-1", lab.name()), &format!("{}-x", lab.name()));
    assert_eq!(lab.end_by(Signal::SIGTERM), Some(0));
    assert!(foreign.is_whole() && later.is_whole());
}

/// A namespace, and `/etc/netns` files for another one, which no lab made.
struct Foreign {
    netns: String,
    overlay: std::path::PathBuf,
}

impl Foreign {
    fn new(netns: &str, overlay: &str) -> Self {
        netns::Netns::create(netns).unwrap();
        let overlay = Path::new("/etc/netns").join(overlay);
        std::fs::create_dir_all(&overlay).unwrap();
        std::fs::write(overlay.join("hosts"), "127.0.0.1 localhost\n").unwrap();
        Self { netns: netns.to_owned(), overlay }
    }

    fn is_whole(&self) -> bool {
        netns::exists(&self.netns) && self.overlay.join("hosts").exists()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = netns::remove(&self.netns);
        let _ = std::fs::remove_dir_all(&self.overlay);
    }
}

#[test]
fn a_damaged_list_takes_nothing_else_away() {
    if !can_run() {
        return;
    }
    let lab = format!("t{}-damaged", std::process::id());
    let foreign = Foreign::new(&format!("{lab}x"), &format!("{lab}y"));
    let state = Path::new("/run/egret").join(&lab);
    std::fs::create_dir_all(&state).unwrap();
    // A run was killed after it noted the namespace and before it created it, and the list is
    // damaged.
    let list = format!("{lab}-router\n\n{lab}x\n../{lab}x\n{lab}y\n{lab}-../{lab}y\n");
    std::fs::write(state.join("namespaces"), list).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(["down", "--lab", &lab]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let down = finish(command.spawn().unwrap());
    assert!(down.status.success(), "{}", both_streams(&down));
    assert!(foreign.is_whole());
    assert!(!state.exists());
}

#[test]
fn a_full_disk_ends_the_lab_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    for quiet in [&["-q"][..], &[]] {
        let name = format!("t{}-full", std::process::id());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("lab = \"{name}\"\n{LAB}")).unwrap();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.arg("up").args(quiet).arg(file.path()).stdout(full).stderr(Stdio::piped());
        let output = finish(command.spawn().unwrap());
        assert_eq!(output.status.code(), Some(1), "{}", both_streams(&output));
        let names = netns::list().unwrap();
        assert!(!names.iter().any(|n| n.starts_with(&name)), "{names:?}");
        assert!(!Path::new("/run/egret").join(name).exists());
    }
}

#[test]
fn a_client_that_never_finishes_asking_does_not_keep_the_lab_up() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let socket = format!("/run/egret/{}/control.sock", lab.name());
    let mut ended_before_the_grace = false;
    // On a busy machine an end that waits for nothing may take as long as one that waits: one of a
    // few tries has to be quicker.
    for impatient in [false].into_iter().chain([true; 10]) {
        if ended_before_the_grace {
            break;
        }
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(b"POST /v1/down HTTP/1.1\r\nContent-Length: 9\r\n").unwrap();
        // The connection has been accepted once a later one is answered.
        assert_eq!(lab.ps().len(), 2);
        let begun = Instant::now();
        if impatient {
            lab.signal(Signal::SIGINT);
            // The first signal has been handled once no connection is accepted any more.
            while UnixStream::connect(&socket).is_ok() {}
        }
        assert_eq!(lab.end_by(Signal::SIGINT), Some(0));
        let took = begun.elapsed();
        assert!(impatient || took >= Duration::from_secs(5), "{took:?}");
        ended_before_the_grace = took < Duration::from_secs(5);
        assert_eq!(leftovers(&lab), [""; 0]);
        lab.up_again();
    }
    assert!(ended_before_the_grace);
}

#[test]
fn down_waits_for_a_lab_that_is_still_starting() {
    if !can_run() {
        return;
    }
    let name = format!("t{}-starting", std::process::id());
    let text = LAB.replace("name = \"web\"", "name = \"web\"\ntasks = 20");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("lab = \"{name}\"\n{text}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.arg("up").arg(file.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut up = command.spawn().unwrap();
    // The process owns the lab once it has printed its first step.
    let mut steps = BufReader::new(up.stderr.take().unwrap());
    let mut line = String::new();
    steps.read_line(&mut line).unwrap();
    assert!(line.contains("router namespace"), "{line}");
    let rest = std::thread::spawn(move || steps.lines().map_while(Result::ok).count());
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(["down", "--lab", &name]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let down = finish(command.spawn().unwrap());
    let said = both_streams(&down);
    assert!(down.status.success() && said.contains("still starting"), "{said}");
    assert!(said.ends_with(&format!("lab `{name}` is down\n")), "{said}");
    assert_eq!(finish(up).status.code(), Some(0));
    rest.join().unwrap();
    let names = netns::list().unwrap();
    assert!(!names.iter().any(|n| n.starts_with(&name)), "{names:?}");
    assert!(!Path::new("/run/egret").join(name).exists());
}

#[test]
fn packets_that_the_kernel_loses_are_listed_as_well() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let enis: Vec<EniRow> = lab.rows("enis");
    let (router, task) = (lab.netns("router"), lab.netns("web-1"));
    assert!(lab.pings("web", &DB.to_string()));
    assert_eq!(lab.drops(), []);

    // The worker stops for more packets than its queue holds.
    lab.signal(Signal::SIGSTOP);
    let sent = crate::support::pings_at_once(&task, DB, 2600);
    let said = run_ok(&router, &format!("ip -s -j link show dev {}", enis[0].device));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let lost = said[0]["stats64"]["tx"]["dropped"].as_u64().unwrap();
    lab.signal(Signal::SIGCONT);
    assert!(lost >= 500 && lab.packets_dropped("queue-full") >= lost, "{:?}", lab.drops());
    // The other pings and the very first one are on their way, and so are the echoes; the packets
    // that follow find an empty queue.
    let is_empty = || {
        let sum = |of: fn(&FlowRow) -> u64| lab.flows().iter().map(of).sum::<u64>();
        let (out, back) = (sum(|flow| flow.packets_out), sum(|flow| flow.packets_in));
        out == sent + 1 - lost && back + lab.packets_dropped("queue-full") - lost == out
    };
    assert!(comes(is_empty), "{lost}: {:#?} {:?}", lab.flows(), lab.drops());

    // Packets are read while the device is down, so that they cannot be written.
    lab.signal(Signal::SIGSTOP);
    run(&task, &format!("ping -n -q -c 3 -i 0.01 -W 0.1 {DB}"));
    run_ok(&router, &format!("ip link set {} down", enis[0].device));
    lab.signal(Signal::SIGCONT);
    let begun = Instant::now();
    while lab.packets_dropped("write-failed") < 3 {
        assert!(begun.elapsed() < crate::support::PATIENCE, "{:?}", lab.drops());
    }
    let row = lab.drops().into_iter().find(|row| row.reason == "write-failed").unwrap();
    assert_eq!(row.rule, format!("{} was down", enis[0].device));
    let listed: u64 = lab.drops().iter().map(|row| row.packets).sum();
    let enis: Vec<EniRow> = lab.rows("enis");
    assert_eq!(enis[0].drops, listed);
}

fn nothing_crosses_once_the_process_is_killed(device: &str) {
    let mut lab = Lab::up(device, LAB);
    let far = lab.far("vpc-a", "vpc0", &[FAR]);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", FAR, 443]));
    let mut vpc = Lab::agent(&lab.netns("vpc-a"));
    let mut task = lab.task("web");
    task.tcp(FAR, 443);
    let _iperf = iperf_server(&far, FAR);
    let client = flowing(&lab, &format!("iperf3 -c {FAR} -t 60 -i 0.1 --forceflush"));

    vpc.ok(&json!(["sniff", "vpc0"]));
    task.tcp(FAR, 443);
    assert_ne!(vpc.sniffed("vpc0"), []);

    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    vpc.ok(&json!(["sniff", "vpc0"]));
    task.ok(&json!(["sniff", "eth0"]));
    // For a second, while iperf3 still tries to send.
    let answer = task.ask(&json!(["tcp", FAR, 443, 0, 1.0]));
    assert_eq!(answer, "timeout");
    assert_eq!(vpc.sniffed("vpc0"), []);
    assert_eq!(task.sniffed("eth0"), []);
    drop(client);

    // `down` clears the lab, and it comes up again; it is killed again, and comes up again
    // immediately.
    let down = lab.egret("down");
    assert!(both_streams(&down).contains("cleared"), "{}", both_streams(&down));
    assert_eq!(leftovers(&lab), [""; 0]);
    lab.up_again();
    lab.task("web").tcp(DB, 5432);
    lab.end_by(Signal::SIGKILL);
    lab.up_again();
    lab.task("web").tcp(DB, 5432);
}

#[test]
fn tasks_come_and_go_and_others_do_not_notice() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut first = lab.task("web");
    assert!(first.open("kept", DB, 5432).is_u64());
    let added: Vec<PsRow> =
        serde_json::from_str(&lab.egret_ok("task add web --count 2 --json")).unwrap();
    assert_eq!(added.iter().map(|row| row.task).collect::<Vec<_>>(), [2, 3]);
    let mut second = lab.task("web/2");
    assert!(second.open("kept", DB, 5432).is_u64());
    assert_eq!(flows_of(&lab, 2), 1);

    // The task's agent still runs.
    let removed = lab.egret("task remove web/2");
    assert_eq!(removed.status.code(), Some(3), "{}", both_streams(&removed));
    assert_eq!(flows_of(&lab, 2), 0);
    assert_eq!(lab.ps().iter().filter(|row| row.service == "web").count(), 2);
    assert!(!netns::exists(&format!("{}-web-2", lab.name())));
    first.ok(&json!(["say", "kept"]));
    // The number is free again; the address is in quarantine, so that the next task with it
    // inherits nothing.
    assert!(lab.pings("web/2", &DB.to_string()));
    assert_ne!(lab.ps().iter().find(|row| row.task == 2).unwrap().address, added[0].address);
    let missing = lab.egret("task remove web/9");
    assert!(!missing.status.success() && both_streams(&missing).contains("no task 9"));
    let nobody = lab.egret("task add nobody");
    assert!(!nobody.status.success() && both_streams(&nobody).contains("web, public"));
}

#[test]
fn ps_shows_where_each_task_comes_from() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    lab.egret_ok("task add web");
    let made = "made task web/5, which did not exist";
    assert!(both_streams(&lab.egret("exec web/5 -- true")).contains(made));
    // An existing task is not created.
    assert_eq!(both_streams(&lab.egret("exec web/2 -- true")), "");
    let origin = |task: u64| {
        let rows: Vec<Value> = lab.rows("ps");
        let is_it = |row: &&Value| row["service"] == "web" && row["task"] == task;
        rows.iter().find(is_it).unwrap()["origin"].clone()
    };
    assert_eq!([origin(1), origin(2), origin(5)], ["file", "task add", "exec"]);
    let shown = lab.egret_ok("ps");
    let of = |task: &str| shown.lines().find(|line| line.starts_with(task)).unwrap().to_owned();
    assert!(of("web/2 ").ends_with("task add") && of("web/5 ").ends_with("exec"), "{shown}");
    // The file takes over the tasks that it counts.
    let text = std::fs::read_to_string(lab.file()).unwrap();
    std::fs::write(lab.file(), text.replace("name = \"web\"", "name = \"web\"\ntasks = 2"))
        .unwrap();
    lab.egret_ok(&format!("apply {}", lab.file().display()));
    assert_eq!([origin(1), origin(2), origin(5)], ["file", "file", "exec"]);
}

#[test]
fn a_task_goes_whole_even_if_it_was_there_by_halves() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let router = lab.netns("router");
    lab.egret_ok("task add web");
    run_ok(&router, "ip link del t-64400003");
    lab.egret_ok("task remove web/2");
    assert!(!netns::exists(&format!("{}-web-2", lab.name())));
    assert!(both_streams(&lab.egret("task remove web/2")).contains("no task 2"));

    // A link with the task's name makes the creation of a task fail, and nothing of the task stays.
    run_ok(&router, "ip link add t-64400004 type veth peer name in-the-way");
    let refused = lab.egret("task add web");
    assert!(both_streams(&refused).contains("t-64400004"), "{}", both_streams(&refused));
    assert!(!netns::exists(&format!("{}-web-2", lab.name())));
    assert_eq!(lab.ps().len(), 2);
    assert!(lab.pings("web/2", &DB.to_string()));
    assert_eq!(lab.ps().len(), 3);
}

#[test]
fn an_address_comes_back_after_it_has_rested() {
    if !can_run() {
        return;
    }
    // The pool has two addresses, both of which are used.
    let lab = Lab::up("auto", &format!("task_cidr = \"100.64.0.0/30\"\n{LAB}"));
    let full = lab.egret("task add web");
    assert!(both_streams(&full).contains("larger task_cidr"), "{}", both_streams(&full));
    let address = lab.ps().iter().find(|row| row.service == "web").unwrap().address;
    lab.egret_ok("task remove web/1");
    let begun = Instant::now();
    loop {
        let added = lab.egret("task add web");
        if added.status.success() {
            break;
        }
        let said = both_streams(&added);
        assert!(said.contains("try again"), "{said}");
        assert!(begun.elapsed() < crate::support::PATIENCE, "it rests for ever");
    }
    assert_eq!(lab.ps().iter().find(|row| row.service == "web").unwrap().address, address);
}

#[test]
fn a_command_runs_in_its_place_and_its_exit_code_is_ours() {
    if !can_run() {
        return;
    }
    let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let lab = Lab::up("auto", LAB);
    assert_eq!(lab.egret("exec web -- true").status.code(), Some(0));
    assert_eq!(
        lab.egret_words(&["exec", "web", "--", "sh", "-c", "exit 3"]).status.code(),
        Some(3)
    );
    assert_eq!(lab.egret("exec web -- no-such-program").status.code(), Some(127));
    assert_eq!(lab.egret("exec web -- /etc").status.code(), Some(126));
    assert_eq!(lab.egret("exec nobody -- true").status.code(), Some(2));
    assert_eq!(lab.egret("exec web/0 -- true").status.code(), Some(2));
    // A task that does not exist is created.
    let (_, addresses) = lab.exec("web/7", "ip -br address");
    assert!(addresses.contains("100.64.0.3/32"), "{addresses}");
    assert!(lab.ps().iter().any(|row| row.service == "web" && row.task == 7));

    assert!(lab.exec_ok("web", "cat /etc/resolv.conf").starts_with("nameserver 10.0.0.2\n"));
    assert!(lab.exec_ok("public", "cat /etc/resolv.conf").starts_with("nameserver 169.254."));
    assert!(lab.exec_ok("web", "getent hosts db").starts_with("10.0.1.10"));
    assert!(!lab.exec("public", "grep -w db /etc/hosts").0, "not in its VPC");
    assert_eq!(std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(), resolver);
    assert!(lab.exec_vpc("vpc-a", "ip -br address").1.contains("10.0.1.10/32"));
    assert!(lab.exec_internet("ip -br address").1.contains("203.0.113.10/32"));
    assert_eq!(lab.egret("exec --vpc vpc-b -- true").status.code(), Some(2));
}

#[test]
fn every_list_is_json_on_demand() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", &format!("{LAB}{CLOSED_FLOWS_STAY}"));
    lab.task("web").tcp(DB, 5432);
    lab.task("public").tcp_times_out(DB, 5432);
    assert_eq!(lab.flows().len(), 1);
    assert_eq!(lab.drops().len(), 1);
    assert_eq!(lab.ps().len(), 2);
    let enis: Vec<EniRow> = lab.rows("enis");
    assert_eq!(
        enis.iter().map(|eni| eni.kind.as_str()).collect::<Vec<_>>(),
        ["hyperplane", "app-runner"]
    );
    assert!(enis[0].packets_out > 3 && enis[0].packets_in > 3 && enis[1].drops == 1, "{enis:?}");
    for list in ["flows", "drops", "ps", "enis"] {
        assert!(lab.egret_ok(list).lines().count() >= 2, "{list}");
    }
}

fn flows_of(lab: &Lab, task: u16) -> usize {
    lab.flows().iter().filter(|flow| flow.service == "web" && flow.task == task).count()
}

/// Runs a command in task 1 of `web`, and returns once it has printed that bytes flow.
fn flowing(lab: &Lab, line: &str) -> Background {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(["exec", "--lab", lab.name(), "web", "--"]).args(line.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("bits/sec")), "iperf3 ended before it sent");
    // The command stops when nothing reads what it prints.
    std::thread::spawn(move || lines.count());
    Background(client)
}

/// Lists what is left of a lab: namespaces, their files in `/etc`, its own files, processes.
pub fn leftovers(lab: &Lab) -> Vec<String> {
    left_of(lab.name(), lab.file())
}

/// Lists what is left of a lab with this name and file.
pub fn left_of(lab: &str, file: &Path) -> Vec<String> {
    let prefix = format!("{lab}-");
    let mut left = netns::list().unwrap();
    if let Ok(entries) = std::fs::read_dir("/etc/netns") {
        left.extend(
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()),
        );
    }
    left.retain(|name| name.starts_with(&prefix));
    let state = Path::new("/run/egret").join(lab);
    left.extend(state.exists().then(|| state.display().to_string()));
    let file = file.display().to_string();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&file) {
            left.push(format!("process {}", process.file_name().display()));
        }
    }
    left
}
