//! Namespaces that other programs made become tasks, or answer at a resource's address, and stay
//! when they are detached.

use crate::lifecycle::{LAB, leftovers};
use crate::support::lab::{Lab, both_streams, can_run, for_both_kinds};
use crate::support::{Background, Namespaces, comes, run, run_ok};
use egret::linux::Netns;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

for_both_kinds!(
    a_namespace_becomes_a_task_and_is_itself_again,
    a_namespace_answers_at_a_resources_address,
);

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);

/// Returns the arguments that name a namespace by its path.
fn at(netns: &Netns) -> String {
    format!("--netns /run/netns/{}", netns.name())
}

/// Returns what a namespace has besides `lo`: interfaces, IPv4 and IPv6 routes, and addresses.
fn contents(netns: &Netns) -> String {
    let links = run_ok(netns, "ls /sys/class/net").replace("lo\n", "");
    let rest = ["ip route", "ip -6 route", "ip -o address show scope global"];
    rest.iter().fold(links, |all, line| all + &run_ok(netns, line))
}

/// Runs a command that must be refused, and returns what it says.
fn refused(lab: &Lab, line: &str) -> String {
    let output = lab.egret(line);
    assert_eq!(output.status.code(), Some(2), "{line}: {}", both_streams(&output));
    both_streams(&output)
}

fn a_namespace_becomes_a_task_and_is_itself_again(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut others = Namespaces::new();
    let blue = others.create("blue");
    let made = lab.egret_ok(&format!("task add web {} --json", at(&blue)));
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made[0]["origin"], "attached");
    assert_eq!(made[0]["task"], 2);
    // Its packets pass by the service's rules, and replies come back.
    let mut agent = Lab::agent(&blue);
    assert!(agent.open("kept", DB, 5432).is_u64());
    agent.ok(&json!(["say", "kept"]));
    let row = lab.drops_for("no-route", "", || {
        assert!(!agent.open("lost", Ipv4Addr::new(203, 0, 113, 10), 443).is_u64());
    });
    assert_eq!((row.service.as_deref(), row.task), (Some("web"), Some(2)));
    assert!(lab.egret_ok("explain web/2 db").starts_with("FORWARD"));
    // `egret exec` enters it, with the lab's resolver.
    let resolv = lab.exec_ok("web/2", "cat /etc/resolv.conf");
    assert!(resolv.contains("nameserver 10.0.0.2"), "{resolv}");
    // The same request again changes nothing.
    let again = lab.egret_ok(&format!("task add web {} --json", at(&blue)));
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap()[0]["address"], made[0]["address"]);
    assert_eq!(lab.ps().iter().filter(|row| row.origin == "attached").count(), 1);
    // A link that is broken is repaired, as any task's.
    run_ok(&blue, "ip link del eth0");
    lab.egret_ok("task repair web/2");
    agent.ok(&json!(["say", "kept"]));

    let removed = lab.egret("task remove web/2 --kill");
    assert_eq!(removed.status.code(), Some(0), "{}", both_streams(&removed));
    assert!(both_streams(&removed).contains("detached task web/2"), "{}", both_streams(&removed));
    // The agent lives, in a namespace that has nothing of the lab's any more.
    assert_eq!(contents(&blue), "");
    assert!(!agent.open("later", DB, 5432).is_u64());
    assert!(lab.ps().iter().all(|row| row.origin != "attached"));
    lab.egret_ok(&format!("task add web {} --ifname net1", at(&blue)));
    assert!(contents(&blue).starts_with("net1\n"), "{}", contents(&blue));
    assert!(agent.open("again", DB, 5432).is_u64());
}

fn a_namespace_answers_at_a_resources_address(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut others = Namespaces::new();
    let blue = others.create("blue");
    let mut task = lab.task("web");
    assert!(task.open("echo", DB, 5432).is_u64());
    let said = lab.egret_ok(&format!("resource attach db {} --ifname net1", at(&blue)));
    assert!(said.starts_with("attached resource db: net1 of namespace"), "{said}");
    // Its own program answers, at any port that the group lets in.
    let mut server = Lab::agent(&blue);
    assert!(!task.open("nobody", DB, 5432).is_u64());
    server.ok(&json!(["serve", DB, 9000]));
    assert!(task.open("served", DB, 9000).is_u64());
    task.ok(&json!(["say", "served"]));
    assert_eq!(server.peers().len(), 1);
    // The other resources of the VPC are where they were.
    assert!(lab.pings("web", &FAR.to_string()));
    assert!(lab.pings("web", &DB.to_string()));
    // It sends by its own address only.
    run_ok(&blue, &format!("ip address add {FAR}/32 dev net1"));
    let row = lab.drops_for("source-forged", "", || {
        run(&blue, &format!("ping -n -c 1 -W 1 -I {FAR} 10.0.1.5"));
    });
    assert!(row.packets >= 1);
    run_ok(&blue, &format!("ip address del {FAR}/32 dev net1"));
    // A reload keeps it.
    lab.apply(LAB, &[("\"53/udp\"", "\"54/udp\"")]);
    task.ok(&json!(["say", "served"]));
    let twice = refused(&lab, &format!("resource attach db {}", at(&others.create("red"))));
    assert!(twice.contains("egret resource detach db"), "{twice}");

    lab.egret_ok("resource detach db");
    assert_eq!(contents(&blue), "");
    assert!(task.open("echo again", DB, 5432).is_u64());
    task.ok(&json!(["say", "echo again"]));
    let not = refused(&lab, "resource detach db");
    assert!(not.contains("is not attached"), "{not}");
    let unknown = refused(&lab, &format!("resource attach dbx {}", at(&blue)));
    assert!(unknown.contains("db, far"), "{unknown}");
}

#[test]
fn a_namespace_that_has_another_place_is_refused() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut others = Namespaces::new();
    let blue = others.create("blue");
    let own = format!("--pid {}", std::process::id());
    for (line, said) in [
        (format!("task add web {own}"), "the namespace of this machine itself"),
        (format!("resource attach db {own}"), "the namespace of this machine itself"),
        ("task add web --pid 2147483647".to_owned(), "there is no process 2147483647"),
        ("task add web --netns /etc/hostname".to_owned(), "is not a network namespace"),
        ("task add web --netns /proc/self/ns/mnt".to_owned(), "is a symbolic link"),
        (format!("task add web {}", at(&lab.netns("router"))), "of lab"),
        (format!("task add web {}", at(&lab.netns("web-1"))), "egret ps"),
        (format!("task add nobody {}", at(&blue)), "web"),
        (format!("task add web {} --ifname a/b", at(&blue)), "not a name for an interface"),
        ("task add web --ifname eth1".to_owned(), "--netns PATH or --pid PID"),
        ("resource attach db".to_owned(), "--netns PATH or --pid PID"),
    ] {
        let message = refused(&lab, &line);
        assert!(message.contains(said), "{line}: {message}");
    }
    let home = tempfile::tempdir().unwrap();
    let link = home.path().join("link");
    symlink(format!("/run/netns/{}", blue.name()), &link).unwrap();
    let message = refused(&lab, &format!("task add web --netns {}", link.display()));
    assert!(message.contains("is a symbolic link"), "{message}");
    // An interface, or a default route, that is there already.
    run_ok(&blue, "ip link add eth0 type veth peer name other0");
    let message = refused(&lab, &format!("task add web {}", at(&blue)));
    assert!(message.contains("--ifname"), "{message}");
    for line in ["ip link set other0 up", "ip link set eth0 up", "ip route add default dev eth0"] {
        run_ok(&blue, line);
    }
    let message = refused(&lab, &format!("task add web {} --ifname net1", at(&blue)));
    assert!(message.contains("default route already"), "{message}");
    run_ok(&blue, "ip link del eth0");
    // None of this left anything.
    assert_eq!(contents(&blue), "");
    assert!(lab.ps().iter().all(|row| row.origin != "attached"));
    // Another lab does not take it, nor this one twice.
    lab.egret_ok(&format!("task add web {}", at(&blue)));
    let other = Lab::up("auto", LAB);
    let message = refused(&other, &format!("task add web {}", at(&blue)));
    assert!(message.contains(&format!("lab `{}`", lab.name())), "{message}");
    let message = refused(&lab, &format!("task add web {} --ifname net1", at(&blue)));
    assert!(message.contains("task web/2, by eth0"), "{message}");
    let message = refused(&lab, &format!("resource attach db {}", at(&blue)));
    assert!(message.contains("already"), "{message}");
}

#[test]
fn a_process_becomes_a_task_and_is_detached_after_its_end() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let (mut process, pid) = sleeper();
    lab.egret_ok(&format!("task add web --pid {pid}"));
    assert!(lab.pings("web/2", &DB.to_string()));
    process.0.kill().unwrap();
    process.0.wait().unwrap();
    // Its namespace lives as long as the lab has it.
    assert!(lab.pings("web/2", &DB.to_string()));
    lab.egret_ok("task remove web/2");
    assert!(!lab.ps().iter().any(|row| row.origin == "attached"));
}

/// Starts a process in a network namespace of its own.
fn sleeper() -> (Background, u32) {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "echo in; exec sleep 600"]).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut line = [0; 3];
    std::io::Read::read_exact(&mut process.stdout.take().unwrap(), &mut line).unwrap();
    let pid = process.id();
    (Background(process), pid)
}

#[test]
fn attached_namespaces_outlive_the_lab_without_its_interfaces() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut others = Namespaces::new();
    let (blue, red) = (others.create("blue"), others.create("red"));
    lab.egret_ok(&format!("task add web {}", at(&blue)));
    lab.egret_ok(&format!("resource attach db {}", at(&red)));
    let agent = Lab::agent(&blue);
    let down = lab.egret("down --kill");
    assert_eq!(down.status.code(), Some(0), "{}", both_streams(&down));
    lab.wait();
    assert_eq!(leftovers(&lab), Vec::<String>::new());
    for netns in [&blue, &red] {
        assert_eq!(contents(netns), "");
    }
    drop(agent);
    // They belong to no lab any more, and the next one does not have them.
    lab.up_again();
    assert!(lab.ps().iter().all(|row| row.origin != "attached"));
    lab.egret_ok(&format!("task add web {}", at(&blue)));
}

#[test]
fn after_a_kill_the_next_process_attaches_again_what_still_exists() {
    if !can_run() {
        return;
    }
    for grace in ["", "offload = \"on\"\noffload_grace = \"60s\"\n"] {
        let mut lab = Lab::up("auto", &format!("{grace}{LAB}"));
        let mut others = Namespaces::new();
        let [blue, red, db] = ["blue", "red", "db"].map(|role| others.create(role));
        lab.egret_ok(&format!("task add web {} --ifname net1", at(&blue)));
        lab.egret_ok(&format!("task add web {}", at(&red)));
        lab.egret_ok(&format!("resource attach db {}", at(&db)));
        let before = attached(&lab);
        assert_eq!(before.len(), 2);
        let mut server = Lab::agent(&db);
        server.ok(&json!(["serve", DB, 9000]));
        lab.end_by(Signal::SIGKILL);
        let said = lab.up_again_saying();
        assert_eq!(attached(&lab), before, "{said}");
        let mut agent = Lab::agent(&blue);
        assert!(agent.open("new", DB, 9000).is_u64(), "{grace}: {said}");
        // One whose name is removed meanwhile is let go.
        lab.end_by(Signal::SIGKILL);
        let name = &before[1].1;
        egret::linux::netns::remove(name).unwrap();
        let said = lab.up_again_saying();
        assert!(said.contains("web/3"), "{said}");
        assert_eq!(attached(&lab), before[..1], "{said}");
        assert!(agent.open("newer", DB, 9000).is_u64(), "{said}");
        lab.egret_ok("task remove web/2");
        assert_eq!(contents(&blue), "");
        lab.egret_ok("resource detach db");
        assert_eq!(contents(&db), "");
        // `egret down` lets go of what a killed run had.
        lab.egret_ok(&format!("task add web {}", at(&blue)));
        lab.end_by(Signal::SIGKILL);
        let down = lab.egret("down --kill");
        assert_eq!(down.status.code(), Some(0), "{}", both_streams(&down));
        assert_eq!(leftovers(&lab), Vec::<String>::new());
        assert!(comes(|| contents(&blue).lines().all(|line| !line.contains("eth0"))));
    }
}

/// Returns the attached tasks: number, namespace and address.
fn attached(lab: &Lab) -> Vec<(u16, String, Ipv4Addr)> {
    let rows = lab.ps().into_iter().filter(|row| row.origin == "attached");
    rows.map(|row| (row.task, row.namespace, row.address)).collect()
}

#[test]
fn a_kill_in_the_middle_leaves_an_attachment_whole_or_none() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut others = Namespaces::new();
    for (round, resource) in [false, true, false, true, false, true].into_iter().enumerate() {
        let netns = others.create(&round.to_string());
        let line = match resource {
            true => format!("resource attach db {}", at(&netns)),
            false => format!("task add web {}", at(&netns)),
        };
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| lab.egret(&line));
            // The first step that is seen from outside.
            let role = if resource { "resource-db" } else { "web-2" };
            let name = format!("/run/netns/{}-{role}", lab.name());
            comes(|| std::path::Path::new(&name).exists() || asked.is_finished());
            lab.signal(Signal::SIGKILL);
        });
        lab.wait();
        let said = lab.up_again_saying();
        let is_attached = said.contains(" again");
        match (is_attached, resource) {
            (true, false) => lab.egret_ok("task remove web/2"),
            (true, true) => lab.egret_ok("resource detach db"),
            (false, _) => String::new(),
        };
        // Without an attachment, the kernel removes the interface with the killed lab's router.
        assert!(comes(|| contents(&netns).lines().all(|line| !line.contains("eth0"))), "{said}");
        assert!(lab.ps().iter().all(|row| row.origin != "attached" && row.state == "ok"));
        lab.egret_ok(&line);
        assert!(lab.pings(if resource { "web" } else { "web/2" }, &DB.to_string()));
        match resource {
            true => lab.egret_ok("resource detach db"),
            false => lab.egret_ok("task remove web/2"),
        };
        assert_eq!(contents(&netns), "");
    }
}

#[test]
fn many_at_once_are_attached_and_detached_and_leave_nothing() {
    if !can_run() {
        return;
    }
    const WORKERS: usize = 8;
    const EACH: usize = 25;
    let lab = Lab::up("auto", LAB);
    let mut others = Namespaces::new();
    let all: Vec<Netns> =
        (0..WORKERS * EACH).map(|number| others.create(&number.to_string())).collect();
    let before = (lab.ps().len(), run_ok(&lab.netns("router"), "ls /sys/class/net"));
    std::thread::scope(|scope| {
        for own in all.chunks(EACH) {
            let lab = &lab;
            scope.spawn(move || {
                for netns in own {
                    let task = lab.egret_ok(&format!("task add web {} -o name", at(netns)));
                    assert!(run(netns, &format!("ping -n -c 1 -W 30 {DB}")).status.success());
                    lab.egret_ok(&format!("task remove {}", task.trim()));
                }
            });
        }
    });
    assert_eq!((lab.ps().len(), run_ok(&lab.netns("router"), "ls /sys/class/net")), before);
    for netns in &all {
        assert_eq!(contents(netns), "");
    }
    let state = format!("/run/egret/{}/attached.json", lab.name());
    assert!(!std::path::Path::new(&state).exists());
}
