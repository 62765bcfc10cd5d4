//! The kernel forwards exactly the flows that the engine has offloaded, no longer than they are
//! valid, and everything is counted.

use crate::support::comes;
use crate::support::frames;
use crate::support::lab::{
    CLOSED_FLOWS_STAY, FLOWS_EXPIRE_SOON, Lab, both_streams, can_run, for_both_kinds, snmp,
};
use crate::support::offloaded::until_offloaded;
use crate::support::{iperf, iperf_server};
use egret::explain::{EniRow, FlowRow, TraceRow};
use egret::linux::Mac;
use nix::sys::signal::Signal;
use serde_json::json;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

for_both_kinds!(
    bulk_transfers_are_carried_by_the_kernel_with_right_checksums,
    offloaded_connections_end_and_expire_as_others_do,
    ttl_and_mtu_errors_are_answered_in_the_midst_of_a_flow,
    regression_a_connection_that_carried_much_between_two_looks_ends,
);

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);

/// Brings up a lab that must offload, with further settings at the beginning of its file.
fn lab(device: &str, settings: &str) -> Lab {
    Lab::up(device, &format!("offload = \"on\"\n{settings}{}", crate::offload::LAB))
}

/// Returns the flow from a source port.
fn flow(lab: &Lab, port: u16) -> FlowRow {
    let flows = lab.flows();
    let own = |flow: &&FlowRow| flow.inside.ends_with(&format!(":{port}"));
    flows.iter().find(own).unwrap_or_else(|| panic!("no flow from {port}: {flows:#?}")).clone()
}

/// Opens a connection, sends enough on it for its flow to be offloaded, and returns its source
/// port.
fn steady(lab: &Lab, task: &mut crate::support::lab::Agent, name: &str, address: Ipv4Addr) -> u16 {
    let port = u16::try_from(task.open(name, address, 443).as_u64().unwrap()).unwrap();
    assert_eq!(flow(lab, port).path, "userspace");
    until_offloaded(lab, task, name, port);
    port
}

fn bulk_transfers_are_carried_by_the_kernel_with_right_checksums(device: &str) {
    let mut lab = lab(device, CLOSED_FLOWS_STAY);
    for (near, link, address) in [("internet", "net0", HOST), ("vpc-a", "vpc0", FAR)] {
        let far = lab.far(near, link, &[address]);
        let task = lab.netns("web-1");
        // TCP is paced, so that its queue runs dry: the reordering barrier of a queue that never
        // does opens only after 4,096 packets, and 10 MB are a few hundred super-packets.
        for options in [
            "-P 4 -b 200M -n 40M",
            "-b 1G -n 40M -R",
            "-u -b 200M -l 1000 -n 20M",
            "-u -b 200M -l 1000 -n 20M -R",
        ] {
            iperf(&task, &far, address, options);
        }
        for netns in [&far, &task] {
            for protocol in ["Tcp", "Udp", "Icmp"] {
                assert_eq!(snmp(netns, protocol, "InCsumErrors"), 0, "{protocol} at {near}");
            }
        }
    }
    // On a busy machine a queue may be full, and the scheduler determines when a flow is offloaded.
    // These checks depend on neither: no verdict is wrong, each flow is offloaded, and everything
    // is counted once.
    assert_eq!(lab.verdicts(), []);
    let heavy: Vec<FlowRow> =
        lab.flows().into_iter().filter(|f| f.bytes_out + f.bytes_in > 1_000_000).collect();
    for flow in &heavy {
        let (out, back) = (flow.offloaded.bytes_out, flow.offloaded.bytes_in);
        assert!(out + back > 0, "{flow:#?}");
        assert!(out <= flow.bytes_out && back <= flow.bytes_in, "{flow:#?}");
    }
    for protocol in ["tcp", "udp"] {
        assert!(heavy.iter().filter(|flow| flow.protocol == protocol).count() >= 2, "{heavy:#?}");
    }
    let sum = |of: fn(&FlowRow) -> u64| heavy.iter().map(of).sum::<u64>();
    let eni = &lab.rows::<EniRow>("enis")[0];
    assert!(eni.offloaded.bytes_out >= sum(|flow| flow.offloaded.bytes_out), "{eni:#?}");
    assert!(eni.offloaded.bytes_in >= sum(|flow| flow.offloaded.bytes_in), "{eni:#?}");
    assert!(eni.bytes_out >= sum(|flow| flow.bytes_out), "{eni:#?}");
    assert!(eni.bytes_in >= sum(|flow| flow.bytes_in), "{eni:#?}");
    assert!(eni.offloaded.bytes_out <= eni.bytes_out, "{eni:#?}");
    assert!(eni.offloaded.bytes_in <= eni.bytes_in, "{eni:#?}");
}

fn offloaded_connections_end_and_expire_as_others_do(device: &str) {
    // 350 s are 3.5 s.
    let lab = lab(device, FLOWS_EXPIRE_SOON);
    let mut server = Lab::agent(&lab.netns("internet"));
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    let ended = steady(&lab, &mut task, "ended", HOST);
    task.ok(&json!(["close", "ended"]));
    // Closed flows are kept for two seconds, at this speed for less than one: either the flow's
    // state is seen, or the flow is not listed any more.
    let removed = comes(|| {
        let own = |flow: &FlowRow| flow.inside.ends_with(&format!(":{ended}"));
        lab.flows()
            .iter()
            .find(|f| own(f))
            .is_none_or(|f| f.state == "closed" && f.path == "userspace")
    });
    assert!(removed, "{:#?}", lab.flows());

    let resting = steady(&lab, &mut task, "resting", HOST);
    let busy = steady(&lab, &mut task, "busy", HOST);
    let own = |flow: &FlowRow| flow.inside.ends_with(&format!(":{resting}"));
    let expired = comes(|| {
        task.ok(&json!(["say", "busy", 10.0]));
        // On a busy machine the other flow began long after the last packet of this one.
        !lab.flows().iter().any(own) && flow(&lab, busy).age_ms > 3500
    });
    assert!(expired, "{:#?}", lab.flows());
    let flow = flow(&lab, busy);
    assert!(flow.path == "offload" && flow.age_ms > 3500 && flow.idle_ms < 3500, "{flow:#?}");
    assert_eq!(task.ask(&json!(["say", "resting", 10.0])), "ECONNRESET", "as NAT gateways do");
    lab.drops_for("flow-expired", "", || {
        assert_ne!(task.ask(&json!(["say", "resting", 0.5])), "ok");
        task.ok(&json!(["say", "busy", 10.0]));
        let late = frames::tcp_ack(lab.ps()[0].address, HOST, 443);
        let late =
            frames::with(late, |bytes| bytes[20..22].copy_from_slice(&resting.to_be_bytes()));
        let router = Mac::near(lab.ps()[0].address);
        task.ok(&json!(["frames", "eth0", frames::ipv4(router, &late)]));
    });
}

/// The process is stopped while more than half of all sequence numbers pass, and so between two
/// looks at the kernel's counters.
fn regression_a_connection_that_carried_much_between_two_looks_ends(device: &str) {
    let lab = lab(device, &format!("offload_grace = \"60s\"\n{CLOSED_FLOWS_STAY}"));
    let mut server = Lab::agent(&lab.netns("internet"));
    server.ok(&json!(["serve_sink", HOST, 443]));
    let mut task = lab.task("web");
    let fill = |task: &mut crate::support::lab::Agent, bytes: u64| {
        assert_eq!(task.ask(&json!(["fill_sink", "bulk", bytes, u64::from(u32::MAX)])), bytes);
    };
    let port = task.ask(&json!(["open_sink", "bulk", HOST, 443]));
    let port = u16::try_from(port.as_u64().unwrap()).unwrap();
    (0..20).for_each(|_| fill(&mut task, 1000));
    assert_eq!(flow(&lab, port).path, "offload");
    lab.signal(Signal::SIGSTOP);
    fill(&mut task, 3_000_000_000);
    lab.signal(Signal::SIGCONT);
    task.ok(&json!(["close", "bulk"]));
    assert!(comes(|| flow(&lab, port).state == "closed"), "{:#?}", flow(&lab, port));
}

fn ttl_and_mtu_errors_are_answered_in_the_midst_of_a_flow(device: &str) {
    let lab = lab(device, "internet_mtu = 1300\n");
    let task = lab.netns("web-1");
    let ping = |options: &str| {
        let line = format!("ping -n -e 77 -M do -i 0.01 {options} {HOST}");
        let output = crate::support::run(&task, &line);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // One identifier is one flow.
    assert!(ping("-c 30").contains(" 0% packet loss"));
    let flows = lab.flows();
    assert!(flows.len() == 1 && flows[0].path == "offload", "{flows:#?}");
    assert!(ping("-c 1 -t 1").contains("Time to live exceeded"));
    assert!(ping("-c 1 -s 1400").contains("mtu = 1300"));
    assert!(ping("-c 30").contains(" 0% packet loss"));
    let flows = lab.flows();
    assert!(flows.len() == 1 && flows[0].path == "offload", "{flows:#?}");
    assert_eq!((flows[0].packets_out, flows[0].packets_in), (60, 60), "{flows:#?}");
    assert!(flows[0].offloaded.packets_out > 30, "{flows:#?}");
    let reasons: Vec<_> = lab.drops().into_iter().map(|row| row.reason).collect();
    assert!(reasons.contains(&"ttl-expired".to_owned()), "{reasons:?}");
    assert!(reasons.contains(&"mtu-exceeded".to_owned()), "{reasons:?}");
}

const ACL: &str = r#"
[[network_acl]]
id = "acl-deny"
vpc = "vpc-a"
egress = [{ rule = 100, action = "deny", protocol = "tcp", ports = "5201", cidr = "203.0.113.10/32" }, { rule = 200, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
"#;

/// Applies the lab's file with one passage replaced.
fn apply(lab: &Lab, old: &str, new: &str) {
    let text = std::fs::read_to_string(lab.file()).unwrap();
    assert_eq!(text.matches(old).count(), 1, "{old}");
    std::fs::write(lab.file(), text.replace(old, new)).unwrap();
    lab.egret_ok(&format!("apply {}", lab.file().display()));
}

#[test]
fn a_rule_cuts_streams_at_once_and_a_group_does_not() {
    if !can_run() {
        return;
    }
    let lab = lab("auto", "");
    let internet = lab.netns("internet");
    let mut server = Lab::agent(&internet);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    let kept = steady(&lab, &mut task, "kept", HOST);
    let line = format!("iperf3 -c {HOST} -P 4 -t 60");
    let client = lab.netns("web-1");
    let _server = iperf_server(&internet, HOST);
    let mut command = std::process::Command::new("iperf3");
    command.args(line.split(' ').skip(1)).stdout(std::process::Stdio::null());
    let _streams =
        crate::support::Background(egret::linux::exec::spawn_in(&client, &mut command).unwrap());
    let offloaded = || lab.flows().iter().filter(|flow| flow.path == "offload").count();
    assert!(comes(|| offloaded() >= 5), "{:#?}", lab.flows());

    server.ok(&json!(["sniff", "net0"]));
    assert!(comes(|| !server.sniffed("net0").is_empty()));
    let private = "cidr = \"10.0.1.0/24\"\nroute_table = \"rtb-private\"\n";
    std::fs::OpenOptions::new()
        .append(true)
        .open(lab.file())
        .and_then(|mut file| std::io::Write::write_all(&mut file, ACL.as_bytes()))
        .unwrap();
    apply(&lab, private, &format!("{private}network_acl = \"acl-deny\"\n"));
    let then = server.sniffed("net0");
    // Streams that have lost everything send again in the meantime.
    let denied = |lab: &Lab| lab.packets_dropped("nacl-egress-deny");
    assert!(comes(|| denied(&lab) > 4), "{:#?}", lab.drops());
    assert_eq!(server.sniffed("net0"), then, "nothing of a denied flow passes");
    // A connection that the rule allows continues, and is offloaded again.
    task.ok(&json!(["say", "kept", 10.0]));
    assert_eq!(flow(&lab, kept).path, "offload");

    let group = "ingress = [{ protocol = \"all\", from = \"0.0.0.0/0\" }]\n";
    apply(
        &lab,
        group,
        &format!("{group}egress = [{{ protocol = \"tcp\", ports = \"1\", to = \"0.0.0.0/0\" }}]\n"),
    );
    (0..3).for_each(|_| task.ok(&json!(["say", "kept", 10.0])));
    assert_eq!(flow(&lab, kept).path, "offload", "a tracked flow goes on");
    task.tcp_times_out(HOST, 443);

    let word = lab.egret(&format!("apply {}", {
        let text = std::fs::read_to_string(lab.file()).unwrap();
        std::fs::write(lab.file(), text.replace("offload = \"on\"", "offload = \"off\"")).unwrap();
        lab.file().display()
    }));
    assert!(
        !word.status.success() && both_streams(&word).contains("`offload` cannot change"),
        "{}",
        both_streams(&word)
    );
    assert_eq!(lab.egret("task remove web/1").status.code(), Some(3), "its programs still run");
    assert_eq!(lab.flows(), []);
}

#[test]
fn watched_flows_pass_through_user_space() {
    if !can_run() {
        return;
    }
    let lab = lab("auto", "");
    let (mut out, mut near) = (Lab::agent(&lab.netns("internet")), Lab::agent(&lab.netns("vpc-a")));
    out.ok(&json!(["serve", HOST, 443]));
    near.ok(&json!(["serve", NEAR, 443]));
    let mut task = lab.task("web");
    let watched = steady(&lab, &mut task, "watched", HOST);
    let other = steady(&lab, &mut task, "other", NEAR);
    let said = std::thread::scope(|scope| {
        let trace = scope.spawn(|| lab.egret_ok(&format!("trace --dst {HOST} --count 20 --json")));
        // A watched flow leaves the flow cache before the trace prints anything.
        assert!(comes(|| flow(&lab, watched).path == "userspace"));
        assert_eq!(flow(&lab, other).path, "offload");
        while !trace.is_finished() {
            task.ok(&json!(["say", "watched", 10.0]));
            task.ok(&json!(["say", "other", 10.0]));
        }
        trace.join().unwrap()
    });
    let rows: Vec<TraceRow> = said.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&*rows[0].record, rows[0].flows), ("userspace", Some(1)), "{said}");
    assert!(rows[1..].iter().all(|row| row.record == "forward"), "{said}");
    // Its offload was refused while it was watched; the next packet asks again.
    let back = comes(|| {
        task.ok(&json!(["say", "watched", 10.0]));
        flow(&lab, watched).path == "offload"
    });
    assert!(back, "it goes back by itself");
}

#[test]
fn where_offload_is_off_user_space_carries_everything() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", &format!("offload = \"off\"\n{}", crate::offload::LAB));
    iperf(&lab.netns("web-1"), &lab.netns("vpc-a"), NEAR, "-n 20M");
    let flows = lab.flows();
    // iperf3 ends when it has written this much, and may reset the connection before all of it has
    // been sent.
    assert!(flows.iter().any(|flow| flow.bytes_out > 5_000_000), "{flows:#?}");
    assert!(
        flows.iter().all(|f| f.path == "userspace" && f.offloaded.bytes_out == 0),
        "{flows:#?}"
    );
}

/// The kernel also stops forwarding flows for a process that hangs, and forwards them again when
/// the process continues.
#[test]
fn regression_a_stopped_process_judges_nothing_so_that_nothing_passes() {
    if !can_run() {
        return;
    }
    let lab = lab("auto", "");
    let mut server = Lab::agent(&lab.netns("internet"));
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    steady(&lab, &mut task, "kept", HOST);
    lab.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    while task.ask(&json!(["say", "kept", 0.5])) == "ok" {
        assert!(begun.elapsed() < Duration::from_secs(60), "it goes on without anybody");
    }
    lab.signal(Signal::SIGCONT);
    task.ok(&json!(["say", "kept", 30.0]));
}
