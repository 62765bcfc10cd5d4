//! The CNI plugin answers container engines as the specification says, whatever state the container
//! and the lab are in.

use crate::lifecycle::{LAB, leftovers};
use crate::support::lab::{Lab, both_streams, can_run};
use crate::support::{Background, Namespaces, comes, run_ok};
use egret::linux::Netns;
use egret::linux::exec::spawn_in;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

const DB: &str = "10.0.1.10";

/// The program under the plugin's name, as an engine finds it.
struct Plugin {
    folder: tempfile::TempDir,
}

/// The environment of a call.
#[derive(Clone)]
struct Call {
    variables: Vec<(&'static str, String)>,
}

impl Call {
    fn new(verb: &str) -> Self {
        Self { variables: vec![("CNI_COMMAND", verb.to_owned())] }
    }

    /// Makes the call of a verb for the container `4f01` with its interface `eth0`.
    fn of(verb: &str, netns: &Netns) -> Self {
        let path = format!("/run/netns/{}", netns.name());
        Self::new(verb)
            .with("CNI_NETNS", &path)
            .with("CNI_CONTAINERID", "4f01")
            .with("CNI_IFNAME", "eth0")
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self
    }
}

impl Plugin {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_egret"), folder.path().join("egret-cni")).unwrap();
        Self { folder }
    }

    /// Calls the plugin with a text on standard input, and returns whether it succeeded and what it
    /// answered; null if nothing.
    fn call(&self, call: &Call, input: &str) -> (bool, Value) {
        let mut command = Command::new(self.folder.path().join("egret-cni"));
        command
            .env_clear()
            .env("PATH", "/usr/bin")
            .envs(call.variables.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut plugin = command.spawn().unwrap();
        plugin.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = plugin.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "errors are on standard output");
        let answer = match output.stdout.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&output.stdout).unwrap(),
        };
        (output.status.success(), answer)
    }

    /// Makes a call that must succeed.
    fn ok(&self, call: &Call, config: &Value) -> Value {
        let (is_done, answer) = self.call(call, &config.to_string());
        assert!(is_done, "{answer}");
        answer
    }

    /// Makes a call that must fail, and returns the code and the message.
    fn fails(&self, call: &Call, config: &Value) -> (u64, String) {
        self.fails_with(call, &config.to_string())
    }

    fn fails_with(&self, call: &Call, input: &str) -> (u64, String) {
        let (is_done, answer) = self.call(call, input);
        assert!(!is_done, "{answer}");
        require_fields(&answer, ERROR);
        (answer["code"].as_u64().unwrap(), answer["msg"].as_str().unwrap().to_owned())
    }
}

/// Returns the configuration of service `web`, with keys added.
fn config(lab: &Lab, version: &str, keys: Value) -> Value {
    let mut config = json!({"cniVersion": version, "name": "shop", "type": "egret-cni",
        "lab": lab.name(), "service": "web"});
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Returns the configuration with which an engine asks CHECK.
fn with_result(config: &Value, result: &Value) -> Value {
    let mut config = config.clone();
    config["prevResult"] = result.clone();
    config
}

/// The form of a field.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    List,
}
use Form::{List, Number, Text};

/// The fields that an answer must have.
type Fields = &'static [(&'static str, Form)];

/// "Success" of the specification, for a plugin that makes an interface in a container. The gateway
/// and the resolver are optional there, and egret gives them.
const ADD: Fields = &[
    ("/cniVersion", Text),
    ("/interfaces", List),
    ("/interfaces/0/name", Text),
    ("/interfaces/0/mac", Text),
    ("/interfaces/0/sandbox", Text),
    ("/ips", List),
    ("/ips/0/address", Text),
    ("/ips/0/gateway", Text),
    ("/ips/0/interface", Number),
    ("/routes", List),
    ("/routes/0/dst", Text),
    ("/routes/0/gw", Text),
    ("/dns/nameservers", List),
    ("/dns/nameservers/0", Text),
    ("/dns/search", List),
    ("/dns/options", List),
];
/// The fields of "Success" that version 0.4.0 has in addition.
const ADD_0_4: Fields = &[("/ips/0/version", Text)];
/// Those of version 1.1.0.
const ADD_1_1: Fields = &[("/interfaces/0/mtu", Number)];
/// "Error" of the specification.
const ERROR: Fields =
    &[("/cniVersion", Text), ("/code", Number), ("/msg", Text), ("/details", Text)];
/// "Version" of the specification.
const VERSION: Fields = &[("/cniVersion", Text), ("/supportedVersions", List)];

fn require_fields(answer: &Value, fields: Fields) {
    for (pointer, form) in fields {
        let value = answer.pointer(pointer).unwrap_or(&Value::Null);
        let is_so = match form {
            Text => value.is_string(),
            Number => value.is_u64(),
            List => value.is_array(),
        };
        assert!(is_so, "{pointer} is {value} in {answer}");
    }
}

/// Returns what a namespace has besides `lo`.
fn contents(netns: &Netns) -> String {
    let links = run_ok(netns, "ls /sys/class/net").replace("lo\n", "");
    links + &run_ok(netns, "ip route") + &run_ok(netns, "ip -o address show scope global")
}

fn attached(lab: &Lab) -> usize {
    lab.ps().iter().filter(|row| row.origin == "attached").count()
}

#[test]
fn each_verb_answers_as_the_specification_says() {
    if !can_run() {
        return;
    }
    let (plugin, lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    for (version, more) in [("0.4.0", ADD_0_4), ("1.0.0", &[]), ("1.1.0", ADD_1_1)] {
        let blue = others.create(version);
        let config = config(&lab, version, json!({}));
        let added = plugin.ok(&Call::of("ADD", &blue), &config);
        require_fields(&added, ADD);
        require_fields(&added, more);
        let row =
            lab.ps().into_iter().find(|row| row.container.as_deref() == Some("4f01")).unwrap();
        // What the kernel says is the other side of the answer.
        let of_kernel = |file: &str| {
            run_ok(&blue, &format!("cat /sys/class/net/eth0/{file}")).trim().to_owned()
        };
        let mut interface = json!({"name": "eth0", "mac": of_kernel("address"),
            "sandbox": format!("/run/netns/{}", blue.name())});
        let mut ip = json!({"address": format!("{}/32", row.address), "gateway": "169.254.1.1",
            "interface": 0});
        match version {
            "0.4.0" => ip["version"] = json!("4"),
            "1.1.0" => interface["mtu"] = json!(of_kernel("mtu").parse::<u16>().unwrap()),
            _ => {}
        }
        let expected = json!({
            "cniVersion": version,
            "interfaces": [interface],
            "ips": [ip],
            "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}],
            "dns": {"nameservers": ["10.0.0.2"], "search": ["ec2.internal"],
                "options": ["timeout:1", "attempts:1"]},
        });
        assert_eq!(added, expected);
        assert!(run_ok(&blue, "ip route").contains("default via 169.254.1.1"));
        run_ok(&blue, &format!("ping -n -c 1 -W 10 {DB}"));

        assert_eq!(plugin.ok(&Call::of("ADD", &blue), &config), added, "the same call again");
        assert_eq!(attached(&lab), 1);
        let known = with_result(&config, &added);
        assert_eq!(plugin.ok(&Call::of("CHECK", &blue), &known), Value::Null);
        assert_eq!(plugin.ok(&Call::of("DEL", &blue), &known), Value::Null);
        assert_eq!((contents(&blue), attached(&lab)), (String::new(), 0));
        let versions = plugin.ok(&Call::new("VERSION"), &json!({ "cniVersion": version }));
        require_fields(&versions, VERSION);
        assert_eq!(versions["cniVersion"], version);
        assert_eq!(versions["supportedVersions"], json!(["0.4.0", "1.0.0", "1.1.0"]));
    }
    let config = config(&lab, "1.1.0", json!({}));
    assert_eq!(plugin.ok(&Call::new("STATUS"), &config), Value::Null);
    let stale = with_valid(&config, &json!([]));
    assert_eq!(plugin.ok(&Call::new("GC"), &stale), Value::Null);
    let (is_done, versions) = plugin.call(&Call::new("VERSION"), "");
    assert!(is_done && versions["cniVersion"] == "1.1.0", "{versions}");
}

fn with_valid(config: &Value, valid: &Value) -> Value {
    let mut config = config.clone();
    config["cni.dev/valid-attachments"] = valid.clone();
    config
}

#[test]
fn a_container_answers_at_a_resources_address() {
    if !can_run() {
        return;
    }
    let (plugin, lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let blue = others.create("blue");
    let mut config = config(&lab, "1.0.0", json!({"resource": "db"}));
    config.as_object_mut().unwrap().remove("service");
    let call = Call::of("ADD", &blue);
    let added = plugin.ok(&call, &config);
    assert_eq!(added["ips"][0]["address"], json!(format!("{DB}/32")));
    assert_eq!(added["dns"], json!({}));
    assert_eq!(plugin.ok(&call, &config), added);
    assert!(lab.pings("web", DB));
    let known = with_result(&config, &added);
    plugin.ok(&Call::of("CHECK", &blue), &known);
    // Another container cannot have it, nor detach it.
    let other = Call::of("ADD", &others.create("red")).with("CNI_CONTAINERID", "4f02");
    let (code, said) = plugin.fails(&other, &config);
    assert_eq!(code, 100, "{said}");
    plugin.ok(&Call::of("DEL", &blue).with("CNI_CONTAINERID", "4f02"), &config);
    plugin.ok(&Call::of("CHECK", &blue), &known);
    run_ok(&blue, "ip link set eth0 down");
    let (code, said) = plugin.fails(&Call::of("CHECK", &blue), &known);
    assert!(code == 102 && said.contains("eth0 is down"), "{code} {said}");
    plugin.ok(&Call::of("DEL", &blue), &config);
    assert_eq!(contents(&blue), "");
}

#[test]
fn a_wrong_environment_or_configuration_has_its_code() {
    if !can_run() {
        return;
    }
    let (plugin, lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let blue = others.create("blue");
    let sound = config(&lab, "1.1.0", json!({}));
    let add = Call::of("ADD", &blue);
    for (call, code, named) in [
        (add.clone().without("CNI_COMMAND"), 4, "CNI_COMMAND"),
        (add.clone().with("CNI_COMMAND", "PUT"), 4, "PUT"),
        (add.clone().without("CNI_CONTAINERID"), 4, "CNI_CONTAINERID"),
        (add.clone().with("CNI_CONTAINERID", "-4f"), 4, "CNI_CONTAINERID"),
        (add.clone().without("CNI_IFNAME"), 4, "CNI_IFNAME"),
        (add.clone().with("CNI_IFNAME", "a/b"), 4, "CNI_IFNAME"),
        (add.clone().with("CNI_IFNAME", "x234567890123456"), 4, "CNI_IFNAME"),
        (add.clone().without("CNI_NETNS"), 4, "CNI_NETNS"),
        (add.clone().with("CNI_NETNS", "run/netns/blue"), 4, "CNI_NETNS"),
        (add.clone().with("CNI_NETNS", "/etc/hostname"), 4, "/etc/hostname"),
        (add.clone().with("CNI_NETNS", "/run/netns/none"), 5, "/run/netns/none"),
        (add.clone().with("CNI_NETNS", "/proc/2147483647/ns/net"), 3, "2147483647"),
        (add.clone().with("CNI_NETNS", "/proc/self/ns/net"), 4, "symbolic link"),
        (
            add.clone().with("CNI_NETNS", &format!("/proc/{}/ns/net", std::process::id())),
            100,
            "machine",
        ),
        (add.clone().with("CNI_IFNAME", "lo"), 100, "lo"),
        (Call::of("CHECK", &blue), 7, "prevResult"),
        (Call::new("GC"), 7, "cni.dev/valid-attachments"),
        (Call::new("DEL"), 4, "CNI_CONTAINERID"),
    ] {
        let (found, said) = plugin.fails(&call, &sound);
        assert!(found == code && said.contains(named), "{code} for {named}: {found} {said}");
    }
    for (input, code, named) in [
        (String::new(), 6, "cannot be read"),
        ("{".to_owned(), 6, "cannot be read"),
        (config(&lab, "1.1.0", json!({"service": 1})).to_string(), 6, "string"),
        (config(&lab, "0.3.1", json!({})).to_string(), 1, "0.3.1"),
        (config(&lab, "1.1.0", json!({"servce": "web"})).to_string(), 2, "servce"),
        (config(&lab, "1.1.0", json!({"name": ""})).to_string(), 7, "`name`"),
        (config(&lab, "1.1.0", json!({"resource": "db"})).to_string(), 7, "`resource`"),
        (config(&lab, "1.1.0", json!({"service": "nobody"})).to_string(), 7, "nobody"),
        (config(&lab, "1.1.0", json!({"lab": "A"})).to_string(), 7, "A"),
        (config(&lab, "1.1.0", json!({"lab": "nowhere"})).to_string(), 50, "nowhere"),
        (config(&lab, "1.0.0", json!({"prevResult": {"ips": 1}})).to_string(), 6, "ips"),
    ] {
        let (found, said) = plugin.fails_with(&add, &input);
        assert!(found == code && said.contains(named), "{code} for {named}: {found} {said}");
        plugin.ok(&Call::of("DEL", &blue), &sound);
    }
    let (code, _) =
        plugin.fails(&Call::new("STATUS"), &config(&lab, "1.1.0", json!({"lab": "nowhere"})));
    assert_eq!(code, 51);
    let (code, _) =
        plugin.fails(&Call::new("STATUS"), &config(&lab, "1.1.0", json!({"service": "no"})));
    assert_eq!(code, 50);
    for verb in ["GC", "STATUS"] {
        assert_eq!(plugin.fails(&Call::new(verb), &config(&lab, "1.0.0", json!({}))).0, 1);
    }
    assert_eq!((contents(&blue), attached(&lab)), (String::new(), 0));
}

#[test]
fn the_path_of_a_namespace_may_lead_through_a_link_or_a_process() {
    if !can_run() {
        return;
    }
    let (plugin, lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let (blue, config) = (others.create("blue"), config(&lab, "1.0.0", json!({})));
    let home = tempfile::tempdir().unwrap();
    symlink("/run", home.path().join("run")).unwrap();
    let sleeper = Background(spawn_in(&blue, Command::new("sleep").arg("600")).unwrap());
    for path in [
        format!("{}/run/netns/{}", home.path().display(), blue.name()),
        format!("/proc/{}/ns/net", sleeper.0.id()),
    ] {
        let call = Call::of("ADD", &blue).with("CNI_NETNS", &path);
        let added = plugin.ok(&call, &config);
        assert_eq!(added["interfaces"][0]["sandbox"], path);
        plugin.ok(&call.clone().with("CNI_COMMAND", "CHECK"), &with_result(&config, &added));
        plugin.ok(&call.with("CNI_COMMAND", "DEL"), &config);
        assert_eq!(contents(&blue), "");
    }
}

#[test]
fn del_succeeds_whatever_is_left() {
    if !can_run() {
        return;
    }
    let (plugin, mut lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let [blue, red, gone] = ["blue", "red", "gone"].map(|role| others.create(role));
    let config = config(&lab, "1.0.0", json!({}));
    let second = |verb: &str| Call::of(verb, &red).with("CNI_CONTAINERID", "4f02");
    plugin.ok(&Call::of("ADD", &blue), &config);
    plugin.ok(&second("ADD"), &config);
    // Only the container and the interface of the call are detached.
    plugin.ok(&Call::of("DEL", &blue).with("CNI_IFNAME", "net1"), &config);
    plugin.ok(&Call::of("DEL", &blue).with("CNI_CONTAINERID", "4f03"), &config);
    assert_eq!(attached(&lab), 2);
    // Without the path, and twice.
    plugin.ok(&Call::of("DEL", &blue).with("CNI_NETNS", ""), &config);
    assert_eq!((contents(&blue), attached(&lab)), (String::new(), 1));
    plugin.ok(&Call::of("DEL", &blue), &config);
    // The namespace has lost its name, and its programs have ended.
    let third = |verb: &str| Call::of(verb, &gone).with("CNI_CONTAINERID", "4f03");
    plugin.ok(&third("ADD"), &config);
    egret::linux::netns::remove(gone.name()).unwrap();
    plugin.ok(&third("DEL"), &config);
    assert_eq!(attached(&lab), 1);
    // The task was removed by hand, or the lab no longer has the service.
    lab.egret_ok("task remove web/3");
    plugin.ok(&second("DEL"), &config);
    let mut other = config.clone();
    other["service"] = json!("nobody");
    plugin.ok(&second("DEL"), &other);

    // After a kill, the next process has what DEL left, and no more.
    for (call, netns) in [(Call::of("ADD", &blue), &blue), (second("ADD"), &red)] {
        plugin.ok(&call, &config);
        assert!(contents(netns).contains("eth0"));
    }
    lab.end_by(Signal::SIGKILL);
    plugin.ok(&Call::of("DEL", &blue), &config);
    assert_eq!(contents(&blue), "");
    plugin.ok(&Call::of("DEL", &blue), &config);
    let said = lab.up_again_saying();
    assert!(said.contains("attached task web/3 again") && !said.contains("web/2"), "{said}");
    assert!(lab.ps().iter().all(|row| row.container.as_deref() != Some("4f01")));
    plugin.ok(&second("DEL"), &config);
    // A lab that is down, and one that never was.
    plugin.ok(&Call::of("ADD", &blue), &config);
    let down = lab.egret("down");
    assert_eq!(down.status.code(), Some(0), "{}", both_streams(&down));
    lab.wait();
    plugin.ok(&Call::of("DEL", &blue), &config);
    assert_eq!(leftovers(&lab), Vec::<String>::new());
    assert_eq!(contents(&blue), "");
    assert!(!Path::new("/run/egret").join(lab.name()).exists(), "DEL makes no directory");
}

#[test]
fn check_names_what_differs() {
    if !can_run() {
        return;
    }
    let (plugin, lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let (blue, red) = (others.create("blue"), others.create("red"));
    let config = config(&lab, "1.0.0", json!({}));
    let added = plugin.ok(&Call::of("ADD", &blue), &config);
    let check = Call::of("CHECK", &blue);
    let fails = |call: &Call, result: &Value| plugin.fails(call, &with_result(&config, result));
    // Another plugin of the chain may have added to the result.
    let mut more = added.clone();
    more["interfaces"].as_array_mut().unwrap().insert(0, json!({"name": "veth1", "mac": "aa"}));
    more["ips"] = json!([{"address": "10.9.0.1/24", "interface": 0},
        {"address": added["ips"][0]["address"], "interface": 1}]);
    plugin.ok(&check, &with_result(&config, &more));
    for (pointer, value, named) in [
        ("/interfaces/0/name", json!("eth1"), "no interface eth0"),
        ("/interfaces/0/sandbox", json!(""), "no interface eth0"),
        ("/interfaces/0/mac", json!("02:00:00:00:00:01"), "02:00:00:00:00:01"),
        ("/ips/0/address", json!("100.64.9.9/32"), "100.64.9.9/32"),
        ("/ips", json!([]), "none"),
    ] {
        let mut other = added.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        let (code, said) = fails(&check, &other);
        assert!(code == 102 && said.contains(named), "{pointer}: {code} {said}");
    }
    for (call, code, named) in [
        (check.clone().with("CNI_NETNS", &format!("/run/netns/{}", red.name())), 102, red.name()),
        (check.clone().with("CNI_CONTAINERID", "4f02"), 3, "4f02"),
        (check.clone().with("CNI_IFNAME", "net1"), 3, "net1"),
    ] {
        let (found, said) = fails(&call, &added);
        assert!(found == code && said.contains(named), "{named}: {found} {said}");
    }
    for (damage, named) in [
        ("ip route del default", "default route"),
        ("ip link set eth0 down", "eth0 is down"),
        ("ip link del eth0", "there is no eth0"),
    ] {
        run_ok(&blue, damage);
        let (code, said) = fails(&check, &added);
        assert!(code == 102 && said.contains(named), "{damage}: {code} {said}");
        lab.egret_ok("task repair web/2");
        plugin.ok(&check, &with_result(&config, &added));
    }
    lab.egret_ok("task remove web/2");
    let (code, said) = fails(&check, &added);
    assert!(code == 3 && said.contains("4f01"), "{code} {said}");
}

#[test]
fn gc_detaches_containers_that_no_longer_exist() {
    if !can_run() {
        return;
    }
    let (plugin, mut lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let config = config(&lab, "1.1.0", json!({}));
    let containers = ["4f01", "4f02", "4f03"];
    let netns = containers.map(|id| others.create(id));
    for (id, netns) in containers.iter().zip(&netns) {
        plugin.ok(&Call::of("ADD", netns).with("CNI_CONTAINERID", id), &config);
    }
    // One of no engine, and a resource, are not the engine's to clear.
    let (by_hand, db) = (others.create("hand"), others.create("db"));
    lab.egret_ok(&format!("task add web --netns /run/netns/{}", by_hand.name()));
    let mut of_db = config.clone();
    of_db.as_object_mut().unwrap().remove("service");
    of_db["resource"] = json!("db");
    plugin.ok(&Call::of("ADD", &db).with("CNI_CONTAINERID", "4f09"), &of_db);
    let left = |lab: &Lab| -> Vec<Option<String>> {
        lab.ps()
            .into_iter()
            .filter(|row| row.origin == "attached")
            .map(|row| row.container)
            .collect()
    };
    let some = |id: &str| Some(id.to_owned());
    let valid = json!([{"containerID": "4f01", "ifname": "eth0"},
        {"containerID": "4f02", "ifname": "net1"}, {"containerID": "4f03", "ifname": "eth0"}]);
    plugin.ok(&Call::new("GC"), &with_valid(&config, &valid));
    assert_eq!(left(&lab), [some("4f01"), some("4f03"), None]);
    assert_eq!(contents(&netns[1]), "");
    // So does GC of a lab that was killed.
    lab.end_by(Signal::SIGKILL);
    let valid = json!([{"containerID": "4f03", "ifname": "eth0"}]);
    plugin.ok(&Call::new("GC"), &with_valid(&config, &valid));
    let said = lab.up_again_saying();
    assert_eq!(left(&lab), [some("4f03"), None], "{said}");
    assert!(said.contains("resource db again"), "{said}");
    plugin.ok(&Call::new("GC"), &with_valid(&of_db, &json!([])));
    assert_eq!(contents(&db), "");
    assert_eq!(left(&lab), [some("4f03"), None]);
}

#[test]
fn results_of_earlier_plugins_stay_unchanged() {
    if !can_run() {
        return;
    }
    let (plugin, lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let blue = others.create("blue");
    let earlier = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "veth9", "mac": "aa:bb:cc:dd:ee:ff", "x-own": {"b": 1, "a": 2}},
            {"name": "net9", "mac": "aa:bb:cc:dd:ee:fe", "sandbox": "/run/netns/other"}],
        "ips": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1", "interface": 1}],
        "routes": [{"dst": "10.9.0.0/16"}],
        "dns": {"nameservers": ["10.9.0.1"]},
        "x-other": [1, null],
    });
    let config = with_result(&config(&lab, "1.0.0", json!({})), &earlier);
    let added = plugin.ok(&Call::of("ADD", &blue), &config);
    for key in ["interfaces", "ips", "routes"] {
        let (before, after) = (earlier[key].as_array().unwrap(), added[key].as_array().unwrap());
        assert_eq!(after[..before.len()], before[..], "{key}");
        assert_eq!(after.len(), before.len() + 1, "{key}");
    }
    for key in ["cniVersion", "dns", "x-other"] {
        assert_eq!(added[key], earlier[key], "{key}");
    }
    assert_eq!(added["ips"][1]["interface"], 2);
    assert_eq!(plugin.ok(&Call::of("ADD", &blue), &config), added);
    // An engine may also give the answer to ADD itself.
    assert_eq!(plugin.ok(&Call::of("ADD", &blue), &with_result(&config, &added)), added);
    plugin.ok(&Call::of("CHECK", &blue), &with_result(&config, &added));
}

#[test]
fn a_kill_in_the_middle_of_add_leaves_a_task_whole_or_none() {
    if !can_run() {
        return;
    }
    let (plugin, mut lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    let config = config(&lab, "1.0.0", json!({}));
    for round in 0..4 {
        let netns = others.create(&round.to_string());
        let call = Call::of("ADD", &netns);
        let (is_done, answer) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| plugin.call(&call, &config.to_string()));
            // The first step that is seen from outside.
            let name = format!("/run/netns/{}-web-2", lab.name());
            comes(|| Path::new(&name).exists() || asked.is_finished());
            lab.signal(Signal::SIGKILL);
            asked.join().unwrap()
        });
        assert!(is_done || [11, 50].contains(&answer["code"].as_u64().unwrap()), "{answer}");
        lab.wait();
        let said = lab.up_again_saying();
        assert!(lab.ps().iter().all(|row| row.state == "ok"), "{said}");
        assert_eq!(attached(&lab), usize::from(said.contains(" again")), "{said}");
        // An engine calls DEL after an ADD that failed, and may try again.
        plugin.ok(&Call::of("DEL", &netns), &config);
        assert!(comes(|| !contents(&netns).contains("eth0")), "{said}");
        assert_eq!(attached(&lab), 0);
        let added = plugin.ok(&call, &config);
        plugin.ok(&Call::of("CHECK", &netns), &with_result(&config, &added));
        plugin.ok(&Call::of("DEL", &netns), &config);
        assert_eq!(contents(&netns), "");
    }
}

#[test]
fn the_example_of_a_network_is_taken() {
    if !can_run() {
        return;
    }
    let text = include_str!("../examples/containers/egret.conflist");
    let list: Value = serde_json::from_str(text).unwrap();
    let (plugin, lab, mut others) = (Plugin::new(), Lab::up("auto", LAB), Namespaces::new());
    // An engine gives each plugin its own part, with the list's version and name.
    let mut config = list["plugins"][0].clone();
    assert_eq!(config["type"], "egret-cni", "the type is the program's name");
    config["cniVersion"] = list["cniVersion"].clone();
    config["name"] = list["name"].clone();
    config["lab"] = json!(lab.name());
    let blue = others.create("blue");
    require_fields(&plugin.ok(&Call::of("ADD", &blue), &config), ADD);
    plugin.ok(&Call::of("DEL", &blue), &config);
}
