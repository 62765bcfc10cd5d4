//! A lab holds no more after many changes than before them.

use crate::support::comes;
use crate::support::lab::{Agent, Lab, can_run};
use crate::support::{Background, iperf_server, run_ok};
use egret::linux::exec::spawn_in;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);

/// The applies before the first count: more than the number of configurations that are remembered.
const WARM_UP: usize = 80;
const APPLIES: usize = 200;
const TASKS: usize = 200;

/// The most by which the memory may grow, because the parts of the flow table grow one by one as
/// flows are put into them. A leak of 40 KB for each apply would be 8 MB.
const MEMORY_KB: u64 = 7 << 10;

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
[[subnet]]
id = "public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "app"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"
[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]
[[route_table]]
id = "rtb-app"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]
[[nat_gateway]]
id = "nat-a"
subnet = "public"
[[security_group]]
id = "sg"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]
[[resource]]
name = "db"
subnet = "app"
address = "10.0.1.10"
security_groups = ["sg"]
listen = ["5432/tcp"]
[[vpc_connector]]
name = "conn"
subnets = ["app"]
security_groups = ["sg"]
[[service]]
name = "web"
vpc_connector = "conn"
"#;

/// The objects that are added and removed: a VPC with a connector, its ENI and two tasks, a NAT
/// gateway, a service beside the others, a rule.
const CHANGES: [&[(&str, &str)]; 4] = [
    &[(
        "[[vpc_connector]]\nname = \"conn\"",
        "[[vpc]]\nid = \"vpc-b\"\ncidr = \"10.1.0.0/16\"\n\
         [[subnet]]\nid = \"b\"\nvpc = \"vpc-b\"\navailability_zone = \"us-east-1a\"\ncidr = \"10.1.0.0/24\"\n\
         [[vpc_connector]]\nname = \"b\"\nsubnets = [\"b\"]\n\
         [[service]]\nname = \"b\"\nvpc_connector = \"b\"\ntasks = 2\n\
         [[vpc_connector]]\nname = \"conn\"",
    )],
    &[(
        "id = \"nat-a\"\nsubnet = \"public\"",
        "id = \"nat-a\"\nsubnet = \"public\"\n[[nat_gateway]]\nid = \"nat-b\"\nsubnet = \"public\"",
    )],
    &[(
        "name = \"web\"\nvpc_connector = \"conn\"",
        "name = \"web\"\nvpc_connector = \"conn\"\ntasks = 3",
    )],
    &[("protocol = \"all\"", "protocol = \"tcp\", ports = \"5000-6000\"")],
];

/// The runtime keeps threads that wait for work, as many as ever had work at once: each is used
/// again before it has been idle long enough to end. A leak would be one thread for each of
/// hundreds of changes.
const IDLE_THREADS: usize = 8;

/// The number of things that a lab holds, by kind.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    /// Open descriptors of the process by kind: maps and programs of BPF, sockets, devices.
    descriptors: BTreeMap<String, usize>,
    namespaces: usize,
    /// The interfaces in all namespaces. `programs` counts the programs at them.
    links: usize,
    programs: usize,
    /// Maps and links that are pinned for the next process.
    pins: usize,
}

impl Held {
    /// Returns whether nothing was added since `before`. There may be less: a client's connection
    /// that had not ended yet.
    fn is_within(&self, before: &Self) -> bool {
        let had = |kind: &String| before.descriptors.get(kind).copied().unwrap_or(0);
        let all = |held: &Self| [held.namespaces, held.links, held.programs, held.pins];
        all(self) == all(before) && self.descriptors.iter().all(|(kind, count)| *count <= had(kind))
    }

    fn by(lab: &Lab) -> Self {
        let process = PathBuf::from(format!("/proc/{}", lab.pid()));
        let entries = |name: &str| std::fs::read_dir(process.join(name)).unwrap().flatten();
        let mut descriptors = BTreeMap::new();
        for descriptor in entries("fd") {
            let Ok(target) = std::fs::read_link(descriptor.path()) else { continue };
            let kind = target.to_string_lossy().split([':', '[']).take(2).collect::<String>();
            // Inodes have numbers, which always differ.
            let kind = kind.trim_end_matches(|c: char| c.is_ascii_digit() || c == ']').to_owned();
            *descriptors.entry(kind).or_default() += 1;
        }
        let prefix = format!("{}-", lab.name());
        let namespaces: Vec<String> = std::fs::read_dir("/run/netns")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                entry.file_name().into_string().ok()?.strip_prefix(&prefix).map(str::to_owned)
            })
            .collect();
        let (mut links, mut programs) = (0, 0);
        for role in &namespaces {
            let listed = run_ok(&lab.netns(role), "ip -o -details link");
            links += listed.lines().count();
            programs += attached(lab, role, &listed);
        }
        let pins = std::fs::read_dir(format!("/sys/fs/bpf/egret/{}", lab.name()));
        Self {
            descriptors,
            namespaces: namespaces.len(),
            links,
            programs,
            pins: pins.map_or(0, |pins| pins.flatten().count()),
        }
    }
}

/// Counts the programs at the interfaces that `ip link` has listed.
fn attached(lab: &Lab, role: &str, listed: &str) -> usize {
    let netns = lab.netns(role);
    let name = |line: &str| line.split(": ").nth(1)?.split('@').next().map(str::to_owned);
    let filters = |link: String| {
        let of = |side: &str| run_ok(&netns, &format!("tc filter show dev {link} {side}"));
        let both = of("ingress") + &of("egress");
        both.lines().filter(|line| line.contains("direct-action")).count()
    };
    listed.lines().filter_map(name).map(filters).sum()
}

fn threads(lab: &Lab) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", lab.pid())).unwrap().count()
}

/// Returns the memory of the lab's process that is not backed by files, in KB.
fn memory(lab: &Lab) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", lab.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn apply(lab: &Lab, changes: &[(&str, &str)]) {
    lab.apply(LAB, changes);
}

/// Applies this many files, the last of which is the first one, while connections begin and end.
fn apply_many(lab: &Lab, web: &mut Agent, count: usize) {
    for round in 0..count / 10 {
        web.begin(&json!(["connections", DB, 5432, 50, 5.0]));
        for at in 0..5 {
            apply(lab, CHANGES[(round + at) % CHANGES.len()]);
            apply(lab, &[]);
        }
        assert!(web.answer().as_u64().unwrap() > 0, "{:#?}", lab.drops());
    }
}

/// Adds and removes this many tasks, twenty at a time.
fn add_and_remove(lab: &Lab, count: usize) {
    for _ in 0..count / 20 {
        lab.egret_ok("task add web --count 20");
        let added: Vec<u16> =
            lab.ps().iter().map(|row| row.task).filter(|task| *task > 1).collect();
        assert_eq!(added.len(), 20);
        for task in added {
            lab.egret_ok(&format!("task remove web/{task}"));
        }
    }
}

#[test]
fn a_lab_holds_no_more_after_hundreds_of_applies_and_tasks() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let (task, vpc) = (lab.netns("web-1"), lab.netns("vpc-a"));
    let _server = iperf_server(&vpc, DB);
    let mut command = Command::new("iperf3");
    let arguments = format!("-c {DB} -t 600 -b 200M");
    command.args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let _stream = Background(spawn_in(&task, &mut command).unwrap());
    let mut web = lab.task("web");

    apply_many(&lab, &mut web, WARM_UP);
    add_and_remove(&lab, 20);
    let (before, threads_before, memory_before) = (Held::by(&lab), threads(&lab), memory(&lab));
    apply_many(&lab, &mut web, APPLIES);
    let memory_of_applies = memory(&lab);
    add_and_remove(&lab, TASKS);
    // A client's connection that has ended may still be listed for a moment, and the runtime's idle
    // threads end one after another.
    let is_back =
        || Held::by(&lab).is_within(&before) && threads(&lab) <= threads_before + IDLE_THREADS;
    assert!(comes(is_back), "{before:#?} {threads_before} {:#?} {}", Held::by(&lab), threads(&lab));
    let memory_after = memory(&lab);
    println!(
        "anonymous memory: {memory_before} KB, {memory_of_applies} KB after {APPLIES} applies, {memory_after} KB after {TASKS} tasks"
    );
    assert!(
        memory_after <= memory_before + MEMORY_KB,
        "{memory_before} KB, {memory_of_applies} KB, {memory_after} KB"
    );
    let carried = lab.flows().iter().map(|flow| flow.bytes_out).max().unwrap_or(0);
    assert!(carried > 1_000_000, "the stream ran all the time: {carried}");
}
