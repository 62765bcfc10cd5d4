//! Helpers for every test: namespaces that are removed with the test, programs that run inside
//! them, and a far host that detects wrong checksums.

pub mod aws;
pub mod completed;
pub mod frames;
pub mod http;
pub mod lab;
pub mod moto;
pub mod offloaded;
pub mod terminal;

use egret::linux::exec::spawn_in;
use egret::linux::link::{End, GATEWAY};
use egret::linux::{Links, Mac, Netns, netns};
use ipnetwork::Ipv4Network;
use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest that anything may take. A test reaches it only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Checks a condition repeatedly until it is true or [`PATIENCE`] has passed, and returns whether
/// it became true. Each check is a call that waits for its answer, so a busy machine makes the
/// check slower but does not make it fail.
pub fn comes(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
    }
    false
}

/// Returns whether the test can run, and prints the reason past the test harness where it cannot.
pub fn is_root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: {test} needs root");
    }
    root
}

/// Namespaces with names that no other test has, removed when this is dropped, also on panic.
pub struct Namespaces {
    prefix: String,
    names: Vec<String>,
}

impl Namespaces {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self { prefix: format!("egret-test-{}-{count}", std::process::id()), names: Vec::new() }
    }

    /// Takes over namespaces that another process left, and removes them in the end.
    pub fn adopt<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self { prefix: String::new(), names: names.map(str::to_owned).collect() }
    }

    pub fn create(&mut self, role: &str) -> Netns {
        let name = format!("{}-{role}", self.prefix);
        self.names.push(name.clone());
        Netns::create(&name).unwrap()
    }

    pub fn open(&self, role: &str) -> Netns {
        Netns::open(&format!("{}-{role}", self.prefix)).unwrap()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let removed = netns::remove_all(&self.names);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// Runs a program inside a namespace and waits for its end.
pub fn run(netns: &Netns, line: &str) -> Output {
    let mut command = command(line);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn_in(netns, &mut command).unwrap().wait_with_output().unwrap()
}

/// Runs a program that must succeed, and returns what it printed.
pub fn run_ok(netns: &Netns, line: &str) -> String {
    let output = run(netns, line);
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{line}` in {}: {said}{complained}", netns.name());
    said.into_owned()
}

fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// Returns whether one ping is answered.
pub fn pings(netns: &Netns, options: &str) -> bool {
    run(netns, &format!("ping -n -c 1 -W 2 {options}")).status.success()
}

/// Sends `count` pings at once, which nothing answers, and returns how many it sent. When it
/// returns, at least nine in ten are on their way.
pub fn pings_at_once(netns: &Netns, address: Ipv4Addr, count: u64) -> u64 {
    let line = format!("ping -n -q -c {count} -l {count} -w 3 {address}");
    let said = String::from_utf8(run(netns, &line).stdout).unwrap();
    let (before, _) = said.split_once(" packets transmitted").unwrap();
    let sent = before.rsplit('\n').next().unwrap().parse().unwrap();
    assert!(sent * 10 >= count * 9, "{said}");
    sent
}

/// A program that ends with the test.
pub struct Background(pub Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts an iperf3 server, which is listening when this returns.
pub fn iperf_server(netns: &Netns, address: Ipv4Addr) -> Background {
    let mut command = command(&format!("iperf3 --server --forceflush --bind {address}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Background(spawn_in(netns, &mut command).unwrap());
    let mut said = BufReader::new(server.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "iperf3 ended before it listened");
    }
    // The server stops when nothing reads what it prints.
    std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
    server
}

/// Runs iperf3 from one namespace to an address of another, and returns the received throughput in
/// Gbit/s. Each run has its own server, because a server that is still busy with the previous run
/// refuses the next one.
pub fn iperf(client: &Netns, server: &Netns, address: Ipv4Addr, options: &str) -> f64 {
    let _server = iperf_server(server, address);
    let said = run_ok(client, &format!("iperf3 --json --client {address} {options}"));
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let end = &report["end"];
    let sum = if end["sum_received"].is_object() { &end["sum_received"] } else { &end["sum"] };
    sum["bits_per_second"].as_f64().unwrap_or_else(|| panic!("iperf3: {said}")) / 1e9
}

/// Creates a host behind `near`, which forwards to it over a link where both ends finish their
/// checksums in software and check what arrives. Local delivery trusts a partial checksum, so a
/// wrong one shows only here.
pub async fn far_host(namespaces: &mut Namespaces, near: &Netns, address: Ipv4Addr) -> Netns {
    let far = namespaces.create("far");
    let (near_links, far_links) = (Links::open(near).unwrap(), Links::open(&far).unwrap());
    let near_end = End { name: "far0", mac: Mac::near(address) };
    let far_end = End { name: "eth0", mac: Mac::far(address) };
    let near_index = near_links.veth(near_end, &far_links, far_end, 1500).await.unwrap();
    let far_index = far_links.ifindex("eth0").await.unwrap();
    far_links.add_address(far_index, address).await.unwrap();
    far_links.add_neighbour(far_index, GATEWAY, near_end.mac).await.unwrap();
    far_links.add_default_route(far_index, GATEWAY).await.unwrap();
    near_links.add_neighbour(near_index, address, far_end.mac).await.unwrap();
    near_links.add_route(near_index, Ipv4Network::from(address)).await.unwrap();
    near.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap().unwrap();
    run_ok(near, "ethtool -K far0 tx off");
    run_ok(&far, "ethtool -K eth0 tx off");
    far
}
