//! After any sequence of applies, a lab is what its file and the tasks added by hand say.

use crate::support::lab::{Lab, both_streams, can_run};
use crate::support::run_ok;
use aya::maps::{HashMap, Map, MapData, MapInfo};
use egret::explain::{EniRow, PsRow};
use egret::linux::link::task_link_name;
use egret::linux::netns;
use egret::vpc::Space;
use nix::sys::signal::Signal;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
/// Random sequences to try, each with its own lab.
const SEQUENCES: usize = 3;
const STEPS: usize = 12;

/// The lab file without the services. The kernel keeps the links of tasks by name, so that they can
/// be listed.
const NETWORK: &str = r#"
offload = "on"
offload_grace = "60s"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
[[subnet]]
id = "subnet-b"
vpc = "vpc-a"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
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
listen = ["5432/tcp"]
[[vpc_connector]]
name = "main"
subnets = ["subnet-a", "subnet-b"]
security_groups = ["sg-app"]
"#;

/// The services that a file may have, each with the key that determines its kind.
const SERVICES: [(&str, &str); 6] = [
    ("web", "vpc_connector = \"main\""),
    ("api", "vpc_connector = \"main\""),
    ("apj", "vpc_connector = \"main\""),
    (
        "job",
        "kind = \"fargate\"\nsubnets = [\"subnet-a\", \"subnet-b\"]\nsecurity_groups = [\"sg-app\"]",
    ),
    ("jot", "kind = \"fargate\"\nsubnets = [\"subnet-b\"]\nsecurity_groups = [\"sg-app\"]"),
    ("pub", "egress = \"default\""),
];

/// A service, and the number of its tasks in the file.
type Count = (&'static str, u16);

#[derive(Clone, Debug)]
enum Step {
    /// Applies another file: these services in this order.
    Apply(Vec<Count>),
    /// Adds a task to one of the services, with `task add`.
    Add(Index),
    /// Removes one of the tasks, with `task remove`.
    Remove(Index),
    /// Kills the process; the next one resumes the lab.
    Kill,
}

#[test]
fn a_renamed_service_has_its_tasks() {
    if can_run() {
        let mut world = World::up(&[("web", 1)]);
        world.take(&Step::Apply(vec![("apj", 1)]));
        assert_eq!(world.tasks(), ["apj/1"]);
    }
}

#[test]
fn a_service_that_grows_while_another_goes_has_all_its_tasks() {
    if can_run() {
        let mut world = World::up(&[("web", 2), ("api", 1)]);
        world.take(&Step::Apply(vec![("api", 2)]));
        assert_eq!(world.tasks(), ["api/1", "api/2"]);
    }
}

#[test]
fn services_that_change_places_keep_their_own_tasks() {
    if can_run() {
        let mut world = World::up(&[("web", 1), ("job", 2), ("pub", 1)]);
        let addresses = world.addresses();
        world.take(&Step::Apply(vec![("pub", 1), ("job", 2), ("web", 1)]));
        assert_eq!(world.addresses(), addresses);
    }
}

#[test]
fn a_refused_apply_leaves_hand_made_tasks_hand_made() {
    if !can_run() {
        return;
    }
    let mut world = World::up(&[("web", 1)]);
    world.lab.egret_ok("task add web");
    world.model.tasks.insert(("web".to_owned(), 2), true);
    let taken = format!("{}-web-3", world.lab.name());
    netns::Netns::create(&taken).unwrap();
    world.write(&[("web", 3)]);
    let refused = world.lab.egret(&format!("apply {}", world.lab.file().display()));
    netns::remove(&taken).unwrap();
    assert!(both_streams(&refused).contains(&format!("`{taken}` exists already")));
    world.check();
    world.take(&Step::Apply(vec![("api", 0), ("web", 1)]));
    assert_eq!(world.tasks(), ["web/1", "web/2"]);
}

#[test]
fn a_task_that_could_be_removed_only_in_part_is_made_again() {
    if !can_run() {
        return;
    }
    let mut world = World::up(&[("web", 2), ("api", 1)]);
    let obstacle = world.state("namespaces.next");
    for file in [&[("web", 1), ("api", 1)][..], &[("api", 1)]] {
        std::fs::create_dir(&obstacle).unwrap();
        world.write(file);
        world.lab.egret_ok(&format!("apply {}", world.lab.file().display()));
        assert_eq!(world.tasks(), ["api/1", "web/1", "web/2"], "what is left of it is listed");
        std::fs::remove_dir(&obstacle).unwrap();
        let more = world.lab.egret("exec web/2 -- true");
        assert!(!more.status.success(), "{}", both_streams(&more));
        world.model.apply(file);
        world.take(&Step::Apply(vec![("web", 2), ("api", 1)]));
        world.every_task_reaches_the_database();
    }
}

#[test]
fn any_sequence_of_applies_leads_to_what_file_and_hand_made_tasks_say() {
    if !can_run() {
        return;
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..SEQUENCES {
        let steps = vec(step(), STEPS).new_tree(&mut runner).unwrap().current();
        println!("{steps:#?}");
        let mut world = World::up(&[("web", 2), ("api", 1), ("job", 1)]);
        steps.iter().for_each(|step| world.take(step));
        world.every_task_reaches_the_database();
    }
}

fn step() -> impl Strategy<Value = Step> {
    let services: Vec<&str> = SERVICES.iter().map(|(name, _)| *name).collect();
    let services = subsequence(services, 1..=SERVICES.len()).prop_shuffle();
    let counts = (services, vec(0u16..=2, SERVICES.len()));
    let file = counts.prop_map(|(services, counts)| services.into_iter().zip(counts).collect());
    prop_oneof![
        6 => file.prop_map(Step::Apply),
        3 => any::<Index>().prop_map(Step::Add),
        2 => any::<Index>().prop_map(Step::Remove),
        1 => Just(Step::Kill),
    ]
}

/// The services and tasks that must exist.
#[derive(Debug, Default)]
struct Model {
    /// The services of the file, and the number of tasks of each.
    file: BTreeMap<String, u16>,
    /// The tasks; `true` for one that was added by hand.
    tasks: BTreeMap<(String, u16), bool>,
}

impl Model {
    /// Applies a file to the model. A file creates the tasks by which it has more than the previous
    /// one, and takes over existing ones. A task that it no longer counts is removed, unless it was
    /// added by hand; all tasks are removed with their service.
    fn apply(&mut self, file: &[Count]) {
        let before = std::mem::take(&mut self.file);
        self.file = file.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        for (name, count) in &self.file {
            for number in before.get(name).copied().unwrap_or(0) + 1..=*count {
                self.tasks.insert((name.clone(), number), false);
            }
        }
        self.tasks.retain(|(name, number), by_hand| {
            self.file.get(name).is_some_and(|count| *by_hand || number <= count)
        });
    }
}

struct World {
    lab: Lab,
    model: Model,
}

impl World {
    fn up(file: &[Count]) -> Self {
        let lab = Lab::up("auto", &text(file));
        let mut model = Model::default();
        model.apply(file);
        let world = Self { lab, model };
        world.check();
        world
    }

    /// Does a step, and compares the whole lab with the model.
    fn take(&mut self, step: &Step) {
        println!("{step:?}");
        match step {
            Step::Apply(file) => self.apply(file),
            Step::Add(which) => {
                let names: Vec<&String> = self.model.file.keys().collect();
                let name = (*which.get(&names)).clone();
                self.lab.egret_ok(&format!("task add {name}"));
                let is_free =
                    |number: &u16| !self.model.tasks.contains_key(&(name.clone(), *number));
                let number = (1..).find(is_free).unwrap();
                self.model.tasks.insert((name, number), true);
            }
            Step::Remove(which) => {
                let tasks: Vec<_> = self.model.tasks.keys().cloned().collect();
                if tasks.is_empty() {
                    return;
                }
                let (name, number) = which.get(&tasks);
                self.lab.egret_ok(&format!("task remove {name}/{number}"));
                self.model.tasks.remove(&(name.clone(), *number));
            }
            Step::Kill => {
                assert_eq!(self.lab.end_by(Signal::SIGKILL), None);
                let said = self.lab.up_again_saying();
                assert!(said.contains("resumed the lab of a killed run"), "{said}");
            }
        }
        self.check();
    }

    fn apply(&mut self, file: &[Count]) {
        self.write(file);
        self.lab.egret_ok(&format!("apply {}", self.lab.file().display()));
        self.model.apply(file);
    }

    fn write(&self, file: &[Count]) {
        let (name, device) = (self.lab.name(), self.lab.device());
        let text = format!("lab = \"{name}\"\ndevice = \"{device}\"\n{}", text(file));
        std::fs::write(self.lab.file(), text).unwrap();
    }

    fn tasks(&self) -> Vec<String> {
        self.lab.ps().iter().map(|row| format!("{}/{}", row.service, row.task)).collect()
    }

    fn addresses(&self) -> BTreeMap<(String, u16), (Ipv4Addr, Option<String>)> {
        let rows = self.lab.ps().into_iter();
        rows.map(|row| ((row.service, row.task), (row.address, row.eni))).collect()
    }

    fn every_task_reaches_the_database(&self) {
        for (name, number) in self.model.tasks.keys().filter(|(name, _)| name != "pub") {
            self.lab.task(&format!("{name}/{number}")).tcp(DB, 5432);
        }
    }

    fn check(&self) {
        let rows = self.lab.ps();
        let listed: Vec<_> = rows.iter().map(|row| (row.service.clone(), row.task)).collect();
        assert_eq!(listed, self.model.tasks.keys().cloned().collect::<Vec<_>>());
        self.check_namespaces(&rows);
        self.check_tc(&rows);
        self.check_state(&rows);
    }

    /// Checks that each task has its namespace, with its address, and its files in `/etc/netns`,
    /// and that there are no others.
    fn check_namespaces(&self, rows: &[PsRow]) {
        let prefix = format!("{}-", self.lab.name());
        let own = |names: Vec<String>| -> BTreeSet<String> {
            names.into_iter().filter(|name| name.starts_with(&prefix)).collect()
        };
        let roles =
            ["router", "services", "internet", "vpc-a"].map(|role| format!("{prefix}{role}"));
        let tasks: BTreeSet<String> =
            rows.iter().map(|row| format!("{prefix}{}-{}", row.service, row.task)).collect();
        let expected: BTreeSet<String> = tasks.iter().cloned().chain(roles).collect();
        assert_eq!(own(netns::list().unwrap()), expected);
        let noted = std::fs::read_to_string(self.state("namespaces")).unwrap();
        assert_eq!(noted.lines().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
        assert_eq!(own(names_in(Path::new("/etc/netns"))), tasks);
        for row in rows {
            assert_eq!(row.namespace, format!("{prefix}{}-{}", row.service, row.task));
            let netns = netns::Netns::open(&row.namespace).unwrap();
            let addresses = run_ok(&netns, "ip -4 address show dev eth0");
            assert!(addresses.contains(&format!("inet {}/", row.address)), "{row:?} {addresses}");
        }
    }

    /// Checks that the tc programs know exactly the tasks, each at its link and with the device of
    /// its ENI.
    fn check_tc(&self, rows: &[PsRow]) {
        let router = self.lab.netns("router");
        let index = |link: &str| -> u32 {
            let link = link.to_owned();
            router.run(move || nix::net::if_::if_nametoindex(&*link)).unwrap().unwrap()
        };
        let enis: Vec<EniRow> = self.lab.rows("enis");
        let device = |row: &PsRow| {
            let id = row.eni.as_deref().unwrap_or("app-runner");
            let own = enis.iter().find(|eni| eni.id == id).unwrap();
            assert!(own.services.contains(&row.service) || own.kind == "task", "{row:?} {own:?}");
            index(&own.device)
        };
        let links: BTreeMap<u32, (Ipv4Addr, u32)> = rows
            .iter()
            .map(|row| (index(&task_link_name(row.address)), (row.address, device(row))))
            .collect();
        assert_eq!(
            self.map::<u32, [u8; 8]>("tasks").map(task_of).collect::<BTreeMap<_, _>>(),
            links
        );
        let addresses: BTreeSet<Ipv4Addr> = rows.iter().map(|row| row.address).collect();
        let delivered = self.map::<[u8; 4], [u8; 20]>("task_links");
        let delivered: BTreeSet<(Ipv4Addr, u32)> =
            delivered.map(|(to, link)| (to.into(), first_number(&link))).collect();
        assert_eq!(delivered, links.iter().map(|(link, (address, _))| (*address, *link)).collect());
        let owned = self.map::<[u8; 8], u32>("owners");
        let owned: BTreeMap<Ipv4Addr, u32> = owned
            .filter(|(key, _)| first_number(key) == u32::from(Space::SERVICES.0))
            .map(|(key, tun)| (address_in(&key[4..]), tun))
            .collect();
        assert_eq!(owned, links.values().copied().collect());
        self.check_links(&addresses);
    }

    /// Checks that each task has a link with a program on it, and that there are no other such
    /// links.
    fn check_links(&self, addresses: &BTreeSet<Ipv4Addr>) {
        let expected: BTreeSet<String> = addresses.iter().map(|a| task_link_name(*a)).collect();
        let router = self.lab.netns("router");
        let shown: Vec<Value> =
            serde_json::from_str(&run_ok(&router, "ip -json link show")).unwrap();
        let is_task = |name: &&str| name.starts_with("t-");
        let there = shown.iter().map(|link| link["ifname"].as_str().unwrap()).filter(is_task);
        assert_eq!(there.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
        let pinned = names_in(&Path::new("/sys/fs/bpf/egret").join(self.lab.name()));
        let pinned = pinned.iter().filter_map(|pin| pin.strip_prefix("link-")).filter(is_task);
        assert_eq!(pinned.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    }

    /// Checks that the state kept for the next process matches the lab.
    fn check_state(&self, rows: &[PsRow]) {
        let left = std::fs::read_to_string(self.state("left.json")).unwrap();
        let left: Value = serde_json::from_str(&left).unwrap();
        let tasks = left["tasks"].as_array().unwrap().iter();
        let tasks: BTreeMap<(String, u16), (Ipv4Addr, String, bool)> = tasks
            .map(|task| serde_json::from_value::<LeftTask>(task.clone()).unwrap())
            .map(|t| (t.is_by_hand(), t))
            .map(|(by_hand, t)| ((t.service, t.number), (t.address, t.namespace, by_hand)))
            .collect();
        let expected = rows.iter().map(|row| {
            let key = (row.service.clone(), row.task);
            let by_hand = self.model.tasks[&key];
            (key, (row.address, row.namespace.clone(), by_hand))
        });
        assert_eq!(tasks, expected.collect());
        let counts: BTreeMap<String, u16> =
            serde_json::from_value(left["file_tasks"].clone()).unwrap();
        assert_eq!(counts, self.model.file);
    }

    fn state(&self, file: &str) -> PathBuf {
        Path::new("/run/egret").join(self.lab.name()).join(file)
    }

    /// Reads the entries of a map of the lab's process.
    fn map<K: aya::Pod, V: aya::Pod>(&self, name: &str) -> impl Iterator<Item = (K, V)> {
        let process = std::fs::read_to_string(self.state("lock")).unwrap();
        let descriptors = Path::new("/proc").join(process.trim()).join("fdinfo");
        let ids = names_in(&descriptors).into_iter().filter_map(|descriptor| {
            // The process may have closed the descriptor since.
            let text = std::fs::read_to_string(descriptors.join(descriptor)).ok()?;
            let id = text.lines().find_map(|line| line.strip_prefix("map_id:"))?;
            id.trim().parse::<u32>().ok()
        });
        let is_it = |id: &u32| MapInfo::from_id(*id).unwrap().name_as_str() == Some(name);
        let id = ids.collect::<Vec<_>>().into_iter().find(is_it);
        let map = Map::HashMap(MapData::from_id(id.unwrap()).unwrap());
        let map = HashMap::<MapData, K, V>::try_from(map).unwrap();
        map.iter().map(Result::unwrap).collect::<Vec<_>>().into_iter()
    }
}

#[derive(serde::Deserialize)]
struct LeftTask {
    service: String,
    number: u16,
    address: Ipv4Addr,
    /// `"file"`, `"api"`, or the command that created the task.
    origin: Value,
    namespace: String,
}

impl LeftTask {
    fn is_by_hand(&self) -> bool {
        self.origin != "file" && self.origin != "api"
    }
}

fn text(file: &[Count]) -> String {
    let section = |(name, tasks): &Count| {
        let (_, kind) = SERVICES.iter().find(|(known, _)| known == name).unwrap();
        format!("[[service]]\nname = \"{name}\"\ntasks = {tasks}\n{kind}\n")
    };
    NETWORK.to_owned() + &file.iter().map(section).collect::<String>()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Returns a task as the tc programs know it: its address, then its device.
fn task_of((link, task): (u32, [u8; 8])) -> (u32, (Ipv4Addr, u32)) {
    (link, (address_in(&task[..4]), first_number(&task[4..])))
}

fn address_in(bytes: &[u8]) -> Ipv4Addr {
    <[u8; 4]>::try_from(bytes).unwrap().into()
}

fn first_number(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes(bytes[..4].try_into().unwrap())
}
