//! Packets reach the TUN device and return from it: the right ones, whole, and no others.

use crate::support::lab::snmp;
use crate::support::{Namespaces, far_host, iperf, is_root, pings, run_ok};
use egret::linux::link::{Far, link_space};
use egret::linux::task_link::{lead_to_router, link_task};
use egret::linux::{
    Action, Device, DeviceKind, Judge, Link, Links, Netns, Steer, SteerReason, Worker, WorkerHandle,
};
use egret::packet::{VnetHeader, vnet};
use ipnetwork::Ipv4Network;
use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const ENI: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 200);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 20);
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const SPACE: u32 = 1;
const INTERNET: u32 = 2;
const KINDS: [DeviceKind; 2] = [DeviceKind::Vnet, DeviceKind::Plain];

#[test]
fn ping_and_tcp_pass_on_both_kinds_of_device_with_right_checksums() {
    if !is_root("steer") {
        return;
    }
    for kind in KINDS {
        let bed = Bed::new(kind);
        assert!(pings(&bed.task, &DB.to_string()), "{kind:?}");
        assert!(pings(&bed.task, &FAR.to_string()), "{kind:?}");
        // The ping is sent in fragments.
        assert!(pings(&bed.task, &format!("-s 4000 {FAR}")), "{kind:?}");
        for (netns, address) in [(&bed.vpc, DB), (&bed.far, FAR)] {
            // A throughput of zero means that a path is broken; otherwise it depends on what else
            // the machine does.
            for options in ["--bytes 20M", "--bytes 20M --reverse", "--time 1 --udp --bitrate 50M"]
            {
                let rate = iperf(&bed.task, netns, address, options);
                assert!(rate > 0.0, "{kind:?} {address} {options}: {rate} Gbit/s");
            }
        }
        assert_eq!(bad_checksums(&bed.far), 0, "{kind:?}");
        assert_eq!(bad_checksums(&bed.task), 0, "{kind:?}");
        assert_eq!(bed.drops(), [], "{kind:?}");
    }
}

#[test]
fn super_packets_stay_whole_with_a_vnet_header_and_arrive_cut_without() {
    if !is_root("steer") {
        return;
    }
    for kind in KINDS {
        let bed = Bed::new(kind);
        iperf(&bed.task, &bed.vpc, DB, "--time 1");
        let largest = bed.seen.largest.load(Ordering::Relaxed);
        match kind {
            DeviceKind::Vnet => assert!(largest > 20_000, "largest packet {largest}"),
            DeviceKind::Plain | DeviceKind::Auto => assert_eq!(largest, 1500),
        }
        let said = run_ok(&bed.router, &format!("ethtool -k {}", bed.worker.device().name()));
        let on = said.contains("tcp-segmentation-offload: on");
        assert_eq!(on, bed.worker.device().offloads().tcp, "{said}");
        assert_eq!(on, kind == DeviceKind::Vnet);
    }
}

#[test]
fn a_forged_source_is_dropped_and_counted() {
    if !is_root("steer") {
        return;
    }
    let bed = Bed::new(DeviceKind::Auto);
    let before = bed.seen.packets.load(Ordering::Relaxed);
    run_ok(&bed.task, "ip address add 100.64.0.9/32 dev eth0");
    assert!(!pings(&bed.task, &format!("-I 100.64.0.9 {DB}")));
    assert_eq!(bed.drops(), [(bed.task_link.ifindex, SteerReason::Forged, 1)]);
    assert_eq!(bed.seen.packets.load(Ordering::Relaxed), before);
    assert!(pings(&bed.task, &DB.to_string()));
}

#[test]
fn packets_to_unused_addresses_are_dropped_and_counted_per_link() {
    if !is_root("steer") {
        return;
    }
    let bed = Bed::new(DeviceKind::Auto);
    assert!(!pings(&bed.vpc, "10.0.9.9"));
    assert!(!pings(&bed.task, "192.0.2.1"));
    // Without the permanent entry the task asks by ARP, and nothing answers.
    run_ok(&bed.task, "ip neighbour delete 169.254.1.1 dev eth0");
    assert!(!pings(&bed.task, &DB.to_string()));
    let tun = bed.worker.device().ifindex();
    let drops = bed.drops();
    assert!(drops.contains(&(bed.vpc_link.ifindex, SteerReason::NoOwner, 1)), "{drops:?}");
    assert!(drops.contains(&(tun, SteerReason::NoLink, 1)), "{drops:?}");
    let asked = |drop: &(u32, SteerReason, u64)| {
        (drop.0, drop.1) == (bed.task_link.ifindex, SteerReason::NotIp)
    };
    assert!(drops.iter().any(asked), "{drops:?}");
}

/// Delivery prefixes do not decide alone: a packet that the engine forwarded for another network
/// does not leave with a source address that no device owns in this network.
#[test]
fn an_address_that_is_not_known_in_a_network_does_not_get_there() {
    if !is_root("steer") {
        return;
    }
    let mut bed = Bed::new(DeviceKind::Auto);
    let tun = bed.worker.device().ifindex();
    let (internet, link) = bed.internet();
    let everywhere = Ipv4Network::new(Ipv4Addr::UNSPECIFIED, 0).unwrap();
    let inside = Ipv4Network::new(Ipv4Addr::new(10, 0, 0, 0), 16).unwrap();
    bed.steer
        .set_deliveries(tun, &[(inside, bed.vpc_link.into()), (everywhere, link.into())])
        .unwrap();
    let host = HOST.to_string();
    assert!(!pings(&bed.task, &host));
    assert_eq!(bed.drops(), [(tun, SteerReason::ForeignSource, 1)]);
    assert_eq!(received(&internet), 0);
    assert!(pings(&bed.task, &DB.to_string()));
    bed.steer.own(INTERNET, ENI, tun).unwrap();
    assert!(pings(&bed.task, &host));
    assert_eq!(received(&internet), 1);
    bed.steer.disown(INTERNET, ENI).unwrap();
    assert!(!pings(&bed.task, &host));
    // The link is not attached to a network any more.
    bed.steer.detach_space(link.ifindex).unwrap();
    bed.steer.own(INTERNET, ENI, tun).unwrap();
    assert!(!pings(&bed.task, &host));
    assert!(bed.drops().contains(&(tun, SteerReason::NoLink, 1)), "{:?}", bed.drops());
    assert_eq!(received(&internet), 1);
}

/// The test is at the moment after a change of the configuration and before its links are opened.
#[test]
fn closing_closes_what_is_new_as_well() {
    if !is_root("steer") {
        return;
    }
    let mut bed = Bed::new(DeviceKind::Auto);
    let tun = bed.worker.device().ifindex();
    let whole = (Ipv4Network::new(Ipv4Addr::new(10, 0, 0, 0), 16).unwrap(), bed.vpc_link.into());
    let next = [whole, (Ipv4Network::from(DB), bed.vpc_link.into())];
    bed.steer.close_deliveries(tun, &next).unwrap();
    assert!(!pings(&bed.task, &DB.to_string()), "by the link of a shorter prefix");
    assert_eq!(bed.drops(), [(tun, SteerReason::NoLink, 1)]);
    assert!(pings(&bed.task, &FAR.to_string()));
    bed.steer.set_deliveries(tun, &next).unwrap();
    assert!(pings(&bed.task, &DB.to_string()));
}

/// A reload closes the old links first, so that no packet leaves by another link in between.
#[test]
fn deliveries_are_closed_and_exchanged_and_an_address_is_given_up() {
    if !is_root("steer") {
        return;
    }
    let mut bed = Bed::new(DeviceKind::Auto);
    let tun = bed.worker.device().ifindex();
    let db = DB.to_string();
    let whole = (Ipv4Network::new(Ipv4Addr::new(10, 0, 0, 0), 16).unwrap(), bed.vpc_link.into());
    let host = (Ipv4Network::from(DB), bed.vpc_link.into());
    // A link that stays is not touched; a removed one is closed, and then a shorter prefix has its
    // addresses.
    bed.steer.set_deliveries(tun, &[whole, host]).unwrap();
    bed.steer.close_deliveries(tun, &[whole, host]).unwrap();
    assert!(pings(&bed.task, &db));
    bed.steer.close_deliveries(tun, &[whole]).unwrap();
    assert!(!pings(&bed.task, &db));
    assert!(bed.drops().contains(&(tun, SteerReason::NoLink, 1)), "{:?}", bed.drops());
    bed.steer.set_deliveries(tun, &[whole]).unwrap();
    assert!(pings(&bed.task, &db));
    bed.steer.set_deliveries(tun, &[]).unwrap();
    assert!(!pings(&bed.task, &db));
    bed.steer.set_deliveries(tun, &[host]).unwrap();
    assert!(pings(&bed.task, &db));
    bed.steer.disown(SPACE, ENI).unwrap();
    bed.steer.disown(SPACE, ENI).unwrap();
    assert!(!pings(&bed.task, &db), "neither its requests nor the replies have an owner");
    bed.steer.own(SPACE, ENI, tun).unwrap();
    assert!(pings(&bed.task, &db));
    bed.steer.detach_tun(tun).unwrap();
    assert!(!bed.drops().iter().any(|(interface, ..)| *interface == tun), "{:?}", bed.drops());
    assert!(!pings(&bed.task, &db));
}

#[test]
fn a_detached_task_is_cut_off_and_leaves_no_counters() {
    if !is_root("steer") {
        return;
    }
    let mut bed = Bed::new(DeviceKind::Auto);
    run_ok(&bed.task, "ip address add 100.64.0.9/32 dev eth0");
    assert!(!pings(&bed.task, &format!("-I 100.64.0.9 {DB}")));
    bed.steer.detach_task(bed.task_link.ifindex).unwrap();
    assert_eq!(bed.drops(), []);
    assert!(!pings(&bed.task, &DB.to_string()));
    let tun = bed.worker.device().ifindex();
    bed.steer.attach_task(&egret::linux::link::task_link_name(TASK), TASK, tun).unwrap();
    bed.steer.deliver_task(TASK, bed.task_link).unwrap();
    assert!(pings(&bed.task, &DB.to_string()));
}

#[test]
fn nothing_passes_without_the_worker_or_without_the_programs() {
    if !is_root("steer") {
        return;
    }
    let bed = Bed::new(DeviceKind::Auto);
    assert!(pings(&bed.task, &DB.to_string()));
    drop(bed.worker);
    assert!(!pings(&bed.task, &DB.to_string()));

    let bed = Bed::new(DeviceKind::Auto);
    drop(bed.steer);
    assert!(!pings(&bed.task, &DB.to_string()));
    assert_eq!(bed.seen.packets.load(Ordering::Relaxed), 0);
}

#[test]
fn nothing_passes_after_the_process_was_killed() {
    if !is_root("steer") {
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "steer::victim", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find(|line| line.contains(VICTIM)).unwrap();
    let names = said.split(VICTIM).nth(1).unwrap().split_whitespace();
    let _left_behind = Namespaces::adopt(names.clone());
    let task = Netns::open(names.clone().find(|name| name.ends_with("-task")).unwrap()).unwrap();
    assert!(pings(&task, &DB.to_string()));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(!pings(&task, &DB.to_string()));
    let router =
        Netns::open(names.clone().find(|name| name.ends_with("-router")).unwrap()).unwrap();
    assert_eq!(run_ok(&router, "ip route show table all type unicast"), "");
    assert!(!run_ok(&router, "ip -br link").contains("eni-"));
}

/// The text that the victim prints before the names of its namespaces.
const VICTIM: &str = "victim lives in ";

#[test]
#[ignore = "the other half of nothing_passes_after_the_process_was_killed"]
fn victim() {
    let bed = Bed::new(DeviceKind::Auto);
    let names = [&bed.router, &bed.task, &bed.vpc, &bed.far].map(Netns::name);
    println!("{VICTIM}{}", names.join(" "));
    // The victim runs until it is killed, or until the test that started it has ended.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_panic_of_the_judge_and_a_device_that_is_down_cost_only_packets() {
    if !is_root("steer") {
        return;
    }
    let bed = Bed::new(DeviceKind::Auto);
    let stats = bed.worker.stats();
    // A panic in the middle of a packet, and one before the first packet of a batch: in both cases
    // the configuration that applies to that packet is unknown.
    for (count, seen, panics) in [(1, 1, &bed.seen.panic_next), (2, 0, &bed.seen.panic_at_begin)] {
        let judged = bed.seen.packets.load(Ordering::Relaxed) + seen;
        panics.store(true, Ordering::Relaxed);
        assert!(!pings(&bed.task, &DB.to_string()));
        assert_eq!(stats.panics.load(Ordering::Relaxed), count);
        assert_eq!(bed.seen.packets.load(Ordering::Relaxed), judged);
        assert!(pings(&bed.task, &DB.to_string()));
    }
    // A panic after the last packet: everything had been written by then.
    bed.seen.panic_at_end.store(true, Ordering::Relaxed);
    assert!(pings(&bed.task, &DB.to_string()));
    while stats.panics.load(Ordering::Relaxed) < 3 {
        std::thread::yield_now();
    }
    assert_eq!(stats.deaths().count(), 0);

    let (device, runtime) = (bed.worker.device(), &bed.runtime);
    let links = runtime.block_on(async { Links::open(&bed.router) }).unwrap();
    bed.seen.down_next.store(true, Ordering::Relaxed);
    let name = device.name().to_owned();
    let down = std::thread::scope(|scope| {
        let ping = scope.spawn(|| pings(&bed.task, &DB.to_string()));
        while bed.seen.down_next.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        runtime.block_on(links.down(&name)).unwrap();
        bed.seen.go_on.store(true, Ordering::Release);
        !ping.join().unwrap()
    });
    assert!(down);
    assert_eq!(stats.write_errors_down.load(Ordering::Relaxed), 1);
    runtime.block_on(links.up(&name)).unwrap();
    assert!(pings(&bed.task, &DB.to_string()));
}

/// Measures the maximum throughput of the links: `cargo test --release --test netns ceiling --
/// --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn ceiling() {
    if !is_root("ceiling") {
        return;
    }
    let mut table = Vec::new();
    for round in 0..3 {
        for kind in KINDS {
            let bed = Bed::new(kind);
            for options in ["-P 1", "-P 4", "-P 1 -R", "-P 4 -R"] {
                let rate = iperf(&bed.task, &bed.vpc, DB, &format!("--time 3 {options}"));
                table.push(format!("{round} {kind:?} {options}: {rate:.1} Gbit/s"));
            }
        }
    }
    table.sort_by_key(|line| line[2..].to_owned());
    println!("{}", table.join("\n"));
}

/// A task, a VPC with a database, and a far host, with egret's router namespace between them and a
/// judge that only translates the task's address to the ENI's and back.
struct Bed {
    worker: WorkerHandle,
    steer: Steer,
    seen: Arc<Seen>,
    task: Netns,
    vpc: Netns,
    far: Netns,
    router: Netns,
    task_link: Link,
    vpc_link: Link,
    runtime: tokio::runtime::Runtime,
    namespaces: Namespaces,
}

impl Bed {
    fn new(kind: DeviceKind) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut namespaces = Namespaces::new();
        let router = namespaces.create("router");
        let (task, vpc) = (namespaces.create("task"), namespaces.create("vpc"));
        let (task_link, vpc_link, far) = runtime.block_on(async {
            let links = Links::open(&router).unwrap();
            let far = Far { netns: &task, interface: "eth0" };
            let task_link = link_task(&links, far, TASK, 1500).await.unwrap();
            lead_to_router(far, task_link, TASK).await.unwrap();
            let far = Far { netns: &vpc, interface: "vpc0" };
            let vpc_link = link_space(&links, "s-1", far, SPACE, &[DB], 1500).await;
            (task_link, vpc_link.unwrap(), far_host(&mut namespaces, &vpc, FAR).await)
        });
        let device = Device::open(&router, "eni-0a1b2c3d", kind, 1500).unwrap();
        let mut steer = Steer::load(&router).unwrap();
        let tun = steer.attach_tun(device.name()).unwrap();
        assert_eq!(tun, device.ifindex());
        steer.attach_task("t-64400002", TASK, tun).unwrap();
        steer.attach_space("s-1", SPACE).unwrap();
        steer.own(SPACE, ENI, tun).unwrap();
        steer.deliver_task(TASK, task_link).unwrap();
        let everything = Ipv4Network::new(Ipv4Addr::new(10, 0, 0, 0), 16).unwrap();
        steer.set_deliveries(tun, &[(everything, vpc_link.into())]).unwrap();
        let seen = Arc::new(Seen::default());
        let worker =
            Worker::spawn("eni", vec![device], || Nat { seen: Arc::clone(&seen) }).unwrap();
        Self {
            worker,
            steer,
            seen,
            task,
            vpc,
            far,
            router,
            task_link,
            vpc_link,
            runtime,
            namespaces,
        }
    }

    /// Adds a second network with one host, and returns its namespace and its link.
    fn internet(&mut self) -> (Netns, Link) {
        let internet = self.namespaces.create("internet");
        let link = self.runtime.block_on(async {
            let links = Links::open(&self.router).unwrap();
            let far = Far { netns: &internet, interface: "net0" };
            link_space(&links, "s-2", far, INTERNET, &[HOST], 1500).await.unwrap()
        });
        self.steer.attach_space("s-2", INTERNET).unwrap();
        (internet, link)
    }

    fn drops(&self) -> Vec<(u32, SteerReason, u64)> {
        self.steer.counters().unwrap()
    }
}

/// Counts the IPv4 packets that came into a namespace.
fn received(netns: &Netns) -> u64 {
    snmp(netns, "Ip", "InReceives")
}

/// Counts the segments whose checksum the kernel found to be wrong.
fn bad_checksums(netns: &Netns) -> u64 {
    let said =
        netns.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).unwrap().unwrap();
    let table = |protocol: &str| {
        let mut lines = said.lines().filter(|line| line.starts_with(protocol));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let column = names.split(' ').position(|name| name == "InCsumErrors").unwrap();
        values.split(' ').nth(column).unwrap().parse::<u64>().unwrap()
    };
    table("Tcp:") + table("Udp:") + table("Icmp:")
}

#[derive(Default)]
struct Seen {
    packets: AtomicU64,
    largest: AtomicU64,
    panic_next: AtomicBool,
    panic_at_begin: AtomicBool,
    panic_at_end: AtomicBool,
    down_next: AtomicBool,
    go_on: AtomicBool,
}

/// A static translation of one address, with RFC 1624 updates: test code, independent of the
/// engine's.
struct Nat {
    seen: Arc<Seen>,
}

impl Judge for Nat {
    fn begin_batch(&mut self) {
        if self.seen.panic_at_begin.swap(false, Ordering::Relaxed) {
            panic!("a test wants this panic");
        }
    }

    fn end_batch(&mut self, _drained: bool) {
        if self.seen.panic_at_end.swap(false, Ordering::Relaxed) {
            panic!("a test wants this panic");
        }
    }

    fn judge(&mut self, packet: &mut [u8], vnet: VnetHeader, _reply: &mut [u8]) -> Action {
        self.seen.packets.fetch_add(1, Ordering::Relaxed);
        self.seen.largest.fetch_max(packet.len() as u64, Ordering::Relaxed);
        assert!(!self.seen.panic_next.swap(false, Ordering::Relaxed), "as the test asked");
        if self.seen.down_next.swap(false, Ordering::AcqRel) {
            while !self.seen.go_on.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        }
        if packet[0] >> 4 != 4 {
            return Action::Drop;
        }
        if packet[12..16] == TASK.octets() {
            replace(packet, vnet, 12, ENI);
        } else {
            assert_eq!(packet[16..20], ENI.octets());
            replace(packet, vnet, 16, TASK);
        }
        Action::Forward { len: packet.len(), vnet }
    }
}

fn replace(packet: &mut [u8], vnet: VnetHeader, at: usize, new: Ipv4Addr) {
    let old: [u8; 4] = packet[at..at + 4].try_into().unwrap();
    packet[at..at + 4].copy_from_slice(&new.octets());
    update(packet, 10, old, new.octets(), false);
    let header = usize::from(packet[0] & 15) * 4;
    let first = packet[6] & 0x1f == 0 && packet[7] == 0;
    let partial = vnet.flags & vnet::NEEDS_CSUM != 0;
    match packet[9] {
        6 if first => update(packet, header + 16, old, new.octets(), partial),
        17 if first && packet[header + 6..header + 8] != [0, 0] => {
            update(packet, header + 6, old, new.octets(), partial);
        }
        _ => {}
    }
}

/// Updates a checksum by RFC 1624, equation 3; a partial checksum is the sum itself, not its
/// complement.
fn update(packet: &mut [u8], at: usize, old: [u8; 4], new: [u8; 4], partial: bool) {
    let word = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let field = word(&packet[at..]);
    let mut sum = if partial { field } else { !field & 0xffff };
    for half in [0, 2] {
        sum += (!word(&old[half..]) & 0xffff) + word(&new[half..]);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = if partial { sum } else { !sum & 0xffff };
    packet[at..at + 2].copy_from_slice(&u16::try_from(sum).unwrap().to_be_bytes());
}
