//! A device with several queues behaves as one with a single queue, except for the number of
//! threads.

use crate::support::comes;
use crate::support::iperf_server;
use crate::support::lab::{Lab, both_streams, can_run};
use egret::explain::{EniRow, FlowRow};
use egret::linux::Netns;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const PORT: u16 = 9000;
const QUEUES: usize = 4;
const FLOWS: u16 = 8;
const DATAGRAMS: u64 = 4000;
/// Datagrams of each flow where flows are offloaded: fewer, so that a flow becomes offloaded while
/// its datagrams are on the way.
const FEW: u64 = 400;
/// Datagrams of one flow that are on the way at once: those of all flows together are less than any
/// queue holds.
const WINDOW: u64 = 32;
/// The longest that a datagram may take; a test reaches it only when one was lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn lab(queues: usize, offload: &str) -> Lab {
    let settings = format!("queues = {queues}\noffload = \"{offload}\"\n");
    Lab::up("vnet", &format!("{settings}{}", crate::offload::LAB))
}

#[test]
fn nothing_is_reordered_and_nothing_is_counted_twice() {
    if !can_run() {
        return;
    }
    let lab = lab(QUEUES, "off");
    let before = worked(&lab);
    datagrams_arrive_in_order(&lab, DATAGRAMS);
    at_least_two_worked(&before, &worked(&lab), "eni-");
    at_least_two_worked(&before, &worked(&lab), "nat-");
    let enis: Vec<EniRow> = lab.rows("enis");
    assert!(enis.iter().all(|row| row.packets_out == 0 || row.queues == QUEUES), "{enis:?}");
    // All fragments of a datagram take one queue, although only the first has the ports.
    assert!(lab.pings("web", "-c 3 -s 4000 10.0.1.10"));
}

/// An offloaded flow does not overtake its packets that user space still has, in any queue.
#[test]
fn regression_nothing_is_reordered_when_flows_go_to_the_kernel() {
    if !can_run() {
        return;
    }
    for queues in [1, QUEUES, 1, QUEUES, 1, QUEUES] {
        // The scheduler determines when flows are offloaded: the order is tested only if that
        // happens while their datagrams are on the way.
        let most_are_carried = || {
            let lab = lab(queues, "on");
            datagrams_arrive_in_order(&lab, FEW);
            let carried = |f: &&FlowRow| f.offloaded.packets_out + f.offloaded.packets_in > 0;
            lab.flows().iter().filter(carried).count() > usize::from(FLOWS / 2)
        };
        assert!(comes(most_are_carried), "{queues}");
    }
}

/// Sends numbered datagrams of several flows at once, each of which is echoed: those of each flow
/// must arrive in order, in both directions, and must be counted.
fn datagrams_arrive_in_order(lab: &Lab, datagrams: u64) {
    let server = socket(&lab.netns("internet"), HOST, PORT);
    let clients: Vec<UdpSocket> =
        (0..FLOWS).map(|_| socket(&lab.netns("web-1"), Ipv4Addr::UNSPECIFIED, 0)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| echo_in_order(&server, datagrams));
        for (number, client) in clients.iter().enumerate() {
            scope.spawn(move || ask_in_order(number, client, datagrams));
        }
    });
    let flows = lab.flows();
    assert_eq!(flows.len(), usize::from(FLOWS), "{flows:#?}");
    assert!(flows.iter().all(|f| (f.packets_out, f.packets_in) == (datagrams, datagrams)));
    let all = datagrams * u64::from(FLOWS);
    let enis: Vec<EniRow> = lab.rows("enis");
    for row in enis.iter().filter(|row| row.packets_out > 0) {
        assert_eq!((row.packets_out, row.packets_in), (all, all), "{row:?}");
    }
    assert_eq!(lab.drops(), []);
}

#[test]
fn four_streams_over_four_queues_are_not_sent_twice() {
    if !can_run() {
        return;
    }
    for offload in ["off", "on"] {
        streams_are_not_sent_twice(&lab(QUEUES, offload), offload);
    }
}

fn streams_are_not_sent_twice(lab: &Lab, offload: &str) {
    let _server = iperf_server(&lab.netns("internet"), HOST);
    for direction in ["", "-R"] {
        let full = lab.packets_dropped("queue-full");
        let said =
            lab.exec_ok("web", &format!("iperf3 -J -c {HOST} -n 50M -C reno -P 4 {direction}"));
        let report: Value = serde_json::from_str(&said).unwrap();
        let again = report["end"]["sum_sent"]["retransmits"].as_f64().unwrap();
        let bytes = report["end"]["sum_received"]["bytes"].as_f64().unwrap();
        println!(
            "offload {offload}, -P 4 {direction}: {:.2} Gbit/s, {again} segments again",
            report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap() * 1e-9
        );
        // What a full queue drops on a busy machine is sent again: each packet may be as many
        // segments as fit into 64 KiB.
        let full = (lab.packets_dropped("queue-full") - full) as f64 * 46.0;
        let segments = bytes / 1448.0;
        assert!(again < segments * 0.1 + full, "{again} of {segments} segments, {full} dropped");
    }
}

/// `egret apply` waits for the workers of all queues, and for the kernel: what is sent after it has
/// returned is judged by the new rules.
#[test]
fn denied_packets_pass_by_no_queue_once_apply_has_returned() {
    if !can_run() {
        return;
    }
    for offload in ["off", "on"] {
        let lab = lab(QUEUES, offload);
        nothing_passes_after(&lab, offload == "on", || {
            let denied = lab_text(&lab).replace("route_table = \"rtb-private\"", CLOSED);
            std::fs::write(lab.file(), denied).unwrap();
            lab.egret(&format!("apply {}", lab.file().display()))
        });
        // The scheduler determines how many of them find room in a queue.
        assert!(lab.packets_dropped("nacl-egress-deny") > 0, "{:#?}", lab.drops());
    }
}

/// The task's programs continue to run in its namespace.
#[test]
fn nothing_of_a_task_passes_once_its_removal_has_returned() {
    if !can_run() {
        return;
    }
    for offload in ["off", "on"] {
        let lab = lab(1, offload);
        nothing_passes_after(&lab, offload == "on", || lab.egret("task remove web/1"));
        assert_eq!(lab.flows(), []);
    }
}

/// Sends numbered datagrams of eight flows while `end` does something that must end them: none that
/// is sent afterwards may pass.
fn nothing_passes_after(lab: &Lab, is_carried: bool, end: impl FnOnce() -> Output) {
    let server = socket(&lab.netns("internet"), HOST, PORT);
    let clients: Vec<UdpSocket> =
        (0..FLOWS).map(|_| socket(&lab.netns("web-1"), Ipv4Addr::UNSPECIFIED, 0)).collect();
    let next = AtomicU64::new(0);
    let ended = AtomicU64::new(0);
    let (passed, first_denied, ended_by) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            while ended.load(Ordering::SeqCst) == 0 {
                let number = next.fetch_add(1, Ordering::SeqCst);
                for client in &clients {
                    let _ = client.send_to(&number.to_be_bytes(), (HOST, PORT));
                }
            }
        });
        let hearing = scope.spawn(|| heard(&server, &ended));
        while next.load(Ordering::SeqCst) < 1000 {
            std::thread::yield_now();
        }
        let by_kernel =
            || lab.flows().iter().filter(|f| f.offloaded.packets_out > 0).count() == clients.len();
        let were_carried = comes(|| !is_carried || by_kernel());
        let output = end();
        let first_denied = next.load(Ordering::SeqCst) + 1;
        while next.load(Ordering::SeqCst) < first_denied + 1000 {
            std::thread::yield_now();
        }
        ended.store(1, Ordering::SeqCst);
        sending.join().unwrap();
        (hearing.join().unwrap(), first_denied, (output, were_carried))
    });
    let (output, were_carried) = ended_by;
    assert!(output.status.success() && were_carried, "{}", both_streams(&output));
    assert_eq!(passed.len(), usize::from(FLOWS), "every flow had passed before");
    for (flow, last) in passed {
        assert!(last < first_denied, "{flow}: {last} passed, and {first_denied} was denied");
    }
}

/// A network ACL for the private subnet that lets nothing out.
const CLOSED: &str = "route_table = \"rtb-private\"\nnetwork_acl = \"acl-closed\"\n\
    [[network_acl]]\nid = \"acl-closed\"\nvpc = \"vpc-a\"\n\
    egress = [{ rule = 1, action = \"deny\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]";

fn lab_text(lab: &Lab) -> String {
    std::fs::read_to_string(lab.file()).unwrap()
}

fn socket(netns: &Netns, address: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind((address, port))).unwrap().unwrap();
    // The buffer has room for all that is on the way: the kernel counts more than a page for each
    // datagram.
    setsockopt(&socket, RcvBufForce, &(8 << 20)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn echo_in_order(server: &UdpSocket, datagrams: u64) {
    stay_on_one_cpu(0);
    let mut next: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    let mut buffer = [0; 8];
    for _ in 0..u64::from(FLOWS) * datagrams {
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        let next = next.entry(from).or_default();
        assert_eq!(u64::from_be_bytes(buffer), *next, "from {from}");
        *next += 1;
        server.send_to(&buffer, from).unwrap();
    }
}

fn ask_in_order(number: usize, client: &UdpSocket, datagrams: u64) {
    stay_on_one_cpu(number);
    let mut buffer = [0; 8];
    let mut sent = 0;
    for answered in 0..datagrams {
        while sent < datagrams && sent < answered + WINDOW {
            client.send_to(&u64::to_be_bytes(sent), (HOST, PORT)).unwrap();
            sent += 1;
        }
        client.recv(&mut buffer).unwrap();
        assert_eq!(u64::from_be_bytes(buffer), answered, "flow {number}");
    }
}

/// Keeps this thread on one CPU. The kernel has a queue for each CPU for what is sent on a veth,
/// and so there is no order between two CPUs.
fn stay_on_one_cpu(number: usize) {
    let here = Pid::from_raw(0);
    let allowed = sched_getaffinity(here).unwrap();
    let cpus: Vec<usize> =
        (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap()).collect();
    let mut one = CpuSet::new();
    one.set(cpus[number % cpus.len()]).unwrap();
    sched_setaffinity(here, &one).unwrap();
}

/// Returns the highest number that arrived of each flow, once the sender has ended and nothing
/// arrives any more.
fn heard(server: &UdpSocket, ended: &AtomicU64) -> BTreeMap<SocketAddr, u64> {
    server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut last = BTreeMap::new();
    let mut buffer = [0; 8];
    loop {
        let over = ended.load(Ordering::SeqCst) != 0;
        match server.recv_from(&mut buffer) {
            Ok((_, from)) => {
                let highest: &mut u64 = last.entry(from).or_default();
                *highest = u64::from_be_bytes(buffer).max(*highest);
            }
            Err(_) if over => return last,
            Err(_) => {}
        }
    }
}

/// Returns the nanoseconds that each worker has run.
fn worked(lab: &Lab) -> BTreeMap<String, u64> {
    let pid = std::fs::read_to_string(format!("/run/egret/{}/lock", lab.name())).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.trim())).unwrap();
    tasks
        .map(|task| task.unwrap().path())
        .map(|task| {
            let read = |file| std::fs::read_to_string(task.join(file)).unwrap();
            let ran = read("schedstat").split(' ').next().unwrap().parse().unwrap();
            (read("comm").trim().to_owned(), ran)
        })
        .filter(|(name, _)| name.starts_with("eni-") || name.starts_with("nat-"))
        .collect()
}

fn at_least_two_worked(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>, kind: &str) {
    let of_kind = || after.iter().filter(|(name, _)| name.starts_with(kind));
    assert_eq!(of_kind().count(), QUEUES, "{after:?}");
    let busy = of_kind().filter(|(name, ran)| **ran > before[*name] + 1_000_000).count();
    assert!(busy >= 2, "{kind}: {before:?}, then {after:?}");
}
