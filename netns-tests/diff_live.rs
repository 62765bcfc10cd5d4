//! For ten random changes, real packets before and after `egret apply` pass exactly where `egret
//! diff` says so.

use crate::generator::{Tape, lab};
use crate::support::lab::{Lab, both_streams, can_run};
use egret::explain::compare;
use egret::linux::probe::{Probe, any};
use egret::packet::Protocol;
use egret::vpc::{Generation, Snapshot};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// The seeds of the changes. One seed repeats a failure: `EGRET_DIFF_SEEDS=7`.
const SEEDS: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// The longest wait for the answer to a packet that must pass; `SHORT` is for one that must not.
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(700);
/// The largest number of packets of each kind (lost, gained, unchanged) in one pair.
const MOST: usize = 40;

#[test]
fn ten_random_changes_do_what_diff_says() {
    if !can_run() {
        return;
    }
    let chosen = std::env::var("EGRET_DIFF_SEEDS").ok();
    let chosen = chosen.map(|words| words.split(',').map(|word| word.parse().unwrap()).collect());
    let mut changed = [0, 0];
    for seed in chosen.unwrap_or(SEEDS.to_vec()) {
        let begin = Instant::now();
        let Counts { lost, gained, unchanged } = one_change(seed);
        println!(
            "seed {seed}: {lost} lost, {gained} gained, {unchanged} unchanged packets met it in {:?}",
            begin.elapsed()
        );
        assert!(lost + gained > 0, "seed {seed}: nothing was sent for a change");
        changed = [changed[0] + lost, changed[1] + gained];
    }
    println!("{changed:?} packets of classes that are lost and gained");
}

/// The number of packets that were sent, by what `diff` says of them.
struct Counts {
    lost: usize,
    gained: usize,
    unchanged: usize,
}

/// A packet from the first task of a service to a listener.
#[derive(Clone, Debug)]
struct Packet {
    service: String,
    protocol: Protocol,
    to: SocketAddrV4,
    /// The verdicts of `diff`: before and after; `true` means that the packet passes.
    passes: [bool; 2],
}

fn one_change(seed: u64) -> Counts {
    let [before, after] = pair(seed);
    let lab = Lab::up("auto", &before);
    let written = std::fs::read_to_string(lab.file()).unwrap();
    let after = written.replacen(&before, &after, 1);
    let after_file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(after_file.path(), &after).unwrap();
    let (a, b) = (lab.file().display(), after_file.path().display());
    let output = lab.egret(&format!("diff {a} {b} --json"));
    assert_eq!(output.status.code(), Some(1), "seed {seed}: {}", both_streams(&output));
    let diff: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reach: Value = serde_json::from_str(&lab.egret_ok("reach --json")).unwrap();
    let packets = packets(&lowered(&written), &diff, &reach);
    no_packet_contradicts_a_verdict(&lab, seed);

    for (side, file) in [(0, None), (1, Some(&b))] {
        if let Some(file) = file {
            lab.egret_ok(&format!("apply {file}"));
        }
        for (packet, passes) in packets.iter().zip(send(&lab, &packets, side)) {
            assert_eq!(
                passes,
                packet.passes[side],
                "seed {seed}, {}: {packet:?}\n{}\n{diff:#}",
                ["before", "after"][side],
                both_streams(&lab.egret(&format!(
                    "explain {} {}/{}",
                    packet.service, packet.to, packet.protocol
                )))
            );
        }
    }
    let count = |passes| packets.iter().filter(|packet| packet.passes == passes).count();
    Counts {
        lost: count([true, false]),
        gained: count([false, true]),
        unchanged: count([true, true]) + count([false, false]),
    }
}

/// Has `egret test --live` send packets of every class of the lab. Most verdicts are mixed, and all
/// packets agree with them.
fn no_packet_contradicts_a_verdict(lab: &Lab, seed: u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let expect = "[[expect]]\nfrom = \"*\"\nto = \"0.0.0.0/0:*\"\nis = \"reachable\"\n";
    std::fs::write(file.path(), expect).unwrap();
    let line = format!("test {} --lab {} --live --json", file.path().display(), lab.name());
    let output = lab.egret(&line);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("seed {seed}: {}", both_streams(&output)));
    let live = &report["expectations"][0]["live"];
    assert_eq!(live["contradictions"], json!([]), "seed {seed}");
    assert!(live["agreed"].as_u64().unwrap() > 0, "seed {seed}: {live:#}");
}

/// Makes a random lab and a change of it after which packets to some listener have another verdict.
fn pair(seed: u64) -> [String; 2] {
    let mut draw = numbers(seed);
    loop {
        let bytes: Vec<u8> = (0..400).map(|_| draw() as u8).collect();
        let mut others = bytes.clone();
        for _ in 0..3 {
            let at = draw() as usize % others.len();
            others[at] = draw() as u8;
        }
        let [a, b] = [bytes, others].map(|bytes| listening(&lab(&mut Tape::new(&bytes))));
        if a == b {
            continue;
        }
        let (before, after) = (lowered(&a), lowered(&b));
        let comparison = compare(&before, &after, &mut |_| true).unwrap();
        let diff = serde_json::to_value(&comparison).unwrap();
        let changed = packets(&before, &diff, &json!({ "rows": [] }));
        if changed.iter().any(|packet| packet.passes[0] != packet.passes[1]) {
            return [a, b];
        }
    }
}

/// Adds listeners to every resource and internet host of a lab.
fn listening(text: &str) -> String {
    let listen = "listen = [\"443/tcp\", \"5432/tcp\", \"53/udp\"]\n";
    ["[[resource]]\n", "[[internet_host]]\n"]
        .iter()
        .fold(text.to_owned(), |text, head| text.replace(head, &format!("{head}{listen}")))
}

fn lowered(text: &str) -> Snapshot {
    egret::config::Lab::parse("lab.toml", text).unwrap().lower(Generation(1))
}

/// Chooses packets for which a comparison has a verdict, and some that it does not mention.
/// Verdicts that are only about a part of the packets to a destination, such as those of some
/// source ports, are left out.
fn packets(before: &Snapshot, diff: &Value, reach: &Value) -> Vec<Packet> {
    let rows = |of: &Value| of["rows"].as_array().unwrap().clone();
    let (changes, reached) = (rows(diff), rows(reach));
    let only = |side: &str| diff[side].as_array().unwrap().clone();
    let alone = [only("services_only_before"), only("services_only_after")].concat();
    let services = before.parts().services.iter().map(|service| service.name.clone());
    let services: Vec<String> = services.filter(|name| !alone.contains(&json!(name))).collect();
    let mut all = Vec::new();
    for (protocol, to) in listeners(before) {
        for service in &services {
            let is_about = |row: &&Value| is_about(row, service, protocol, to);
            let own: Vec<&Value> = changes.iter().filter(is_about).collect();
            let passes = match own[..] {
                [row] if row["from"] == json!([]) => match row["change"].as_str() {
                    Some("lost") => [true, false],
                    _ => [false, true],
                },
                [] => match reached.iter().find(is_about).map(|row| row["verdict"].as_str()) {
                    Some(Some("forward")) => [true, true],
                    None => [false, false],
                    Some(_) => continue,
                },
                [..] => continue,
            };
            all.push(Packet { service: service.clone(), protocol, to, passes });
        }
    }
    let kinds = [[true, false], [false, true], [true, true], [false, false]];
    let of = |kind| all.iter().filter(move |packet| packet.passes == kind).take(MOST).cloned();
    kinds.into_iter().flat_map(of).collect()
}

fn listeners(snapshot: &Snapshot) -> Vec<(Protocol, SocketAddrV4)> {
    let parts = snapshot.parts();
    let resources = parts.resources.iter().map(|it| (it.address, &it.listen));
    let all = resources.chain(parts.internet_hosts.iter().map(|it| (it.address, &it.listen)));
    let mut all: Vec<(Protocol, SocketAddrV4)> = all
        .flat_map(|(address, listen)| {
            listen.iter().map(move |at| (at.protocol(), SocketAddrV4::new(address, at.port)))
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Returns whether a row is about packets of a service to an address and port.
fn is_about(row: &Value, service: &str, protocol: Protocol, to: SocketAddrV4) -> bool {
    let address =
        |span: &Value, key: &str| span[key].as_str().unwrap().parse::<Ipv4Addr>().unwrap();
    let has_address =
        |span: &Value| (address(span, "from")..=address(span, "to")).contains(to.ip());
    let has_port = |span: &Value| {
        let end = |key: &str| span[key].as_u64().unwrap_or(0);
        span["protocol"] == protocol.to_string()
            && (end("from")..=end("to")).contains(&to.port().into())
    };
    let list = |key: &str| row[key].as_array().unwrap();
    list("services").contains(&json!(service))
        && list("destinations").iter().any(has_address)
        && list("ports").iter().any(has_port)
}

/// Sends packets, many at a time, and returns for each whether it is answered.
fn send(lab: &Lab, packets: &[Packet], side: usize) -> Vec<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let one = |packet: &Packet| {
        let netns = lab.netns(&format!("{}-1", packet.service));
        let probe = Probe::open(&netns, packet.protocol, any(0), packet.to).unwrap();
        let patience = if packet.passes[side] { LONG } else { SHORT };
        async move { matches!(tokio::time::timeout(patience, probe.answer()).await, Ok(Ok(()))) }
    };
    runtime.block_on(async { join_all(packets.iter().map(one)).await })
}

/// Returns numbers that look random (xorshift64*, Vigna 2016).
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }
}
