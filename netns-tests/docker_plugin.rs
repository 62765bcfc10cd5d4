//! Docker's network driver attaches what Docker's calls name. The calls are those of Docker 20.10,
//! made here by hand, so no Docker is needed: `scripts/test --containers` runs a real one.

use crate::lifecycle::LAB;
use crate::support::http::{exchange, head};
use crate::support::lab::{Lab, both_streams, can_run, finish};
use crate::support::{Background, Namespaces, PATIENCE, run_ok};
use egret::linux::Netns;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
/// Docker's ids, shortened.
const WEB: &str = "f87ab8fda5f64350";
const RESOURCE: &str = "6e266a67b9200e04";
const ENDPOINT: &str = "0598baa6be31f4e9";
const OTHER: &str = "29037c88841fb1c9";

/// A running plugin, and the folder of its socket and its file.
struct Plugin {
    process: Background,
    said: BufReader<std::process::ChildStderr>,
    home: tempfile::TempDir,
}

impl Plugin {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    fn start_in(home: tempfile::TempDir) -> Self {
        let mut command = command(home.path());
        let mut process = Background(command.stderr(Stdio::piped()).spawn().unwrap());
        let said = BufReader::new(process.0.stderr.take().unwrap());
        let mut plugin = Self { process, said, home };
        plugin.says("ready: Docker's network driver listens at");
        plugin
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("plugins/egret.sock")
    }

    /// Waits for a line that has this text, and returns it.
    fn says(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.said.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the plugin ended without saying {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Makes a call, and returns the status and the answer.
    fn ask(&self, call: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (status, answer) =
            exchange(stream, &format!("{}{body}", head(&format!("/{call}"), body.len())));
        (status, serde_json::from_str(&answer).unwrap())
    }

    /// Makes a call of the driver that must succeed.
    fn ok(&self, call: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(&format!("NetworkDriver.{call}"), &body.to_string());
        assert_eq!((status, answer.get("Err")), (200, None), "{call} {body}: {answer}");
        answer
    }

    /// Makes a call of the driver that must be refused, and returns its message.
    fn refuses(&self, call: &str, body: &Value) -> String {
        let (status, answer) = self.ask(&format!("NetworkDriver.{call}"), &body.to_string());
        let said = answer["Err"].as_str().unwrap_or_default().to_owned();
        assert!(status == 200 && !said.is_empty(), "{call} {body}: {status} {answer}");
        said
    }

    fn create_networks(&self, lab: &Lab) {
        self.ok("CreateNetwork", &network(WEB, &json!({"lab": lab.name(), "service": "web"})));
        self.ok("CreateNetwork", &network(RESOURCE, &json!({"lab": lab.name(), "resource": "db"})));
    }

    /// Ends it, and starts another one with the same file.
    fn restart(mut self, signal: Signal) -> Self {
        kill(Pid::from_raw(i32::try_from(self.process.0.id()).unwrap()), signal).unwrap();
        self.process.0.wait().unwrap();
        Self::start_in(self.home)
    }
}

fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(["docker-plugin", "--socket"]).arg(home.join("plugins/egret.sock"));
    command.arg("--networks").arg(home.join("state/networks.json"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Starts a plugin that must end by itself.
fn ends(home: &Path) -> Output {
    let mut command = command(home);
    finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Returns a request as `docker network create --ipam-driver null` makes it.
fn network(id: &str, options: &Value) -> Value {
    json!({
        "NetworkID": id,
        "Options": {
            "com.docker.network.enable_ipv6": false,
            "com.docker.network.generic": options,
        },
        "IPv4Data": [{"AddressSpace": "null", "Pool": "0.0.0.0/0"}],
        "IPv6Data": [],
    })
}

fn endpoint(network: &str, endpoint: &str) -> Value {
    json!({"NetworkID": network, "EndpointID": endpoint})
}

fn join(network: &str, endpoint: &str, sandbox: &Path) -> Value {
    json!({
        "NetworkID": network,
        "EndpointID": endpoint,
        "SandboxKey": sandbox,
        "Options": {"com.docker.network.endpoint.exposedports": [], "com.docker.network.portmap": []},
    })
}

fn path_of(netns: &Netns) -> PathBuf {
    format!("/run/netns/{}", netns.name()).into()
}

/// Returns the interfaces of a namespace, without `lo`.
fn interfaces(netns: &Netns) -> String {
    run_ok(netns, "ls /sys/class/net").replace("lo\n", "")
}

/// Returns the tasks that are attached: name and container.
fn attached(lab: &Lab) -> Vec<(u16, Option<String>)> {
    let rows = lab.ps().into_iter().filter(|row| row.origin == "attached");
    rows.map(|row| (row.task, row.container)).collect()
}

fn resource_container(lab: &Lab) -> Value {
    let rows: Value = serde_json::from_str(&lab.egret_ok("resource list --json")).unwrap();
    let rows = rows.as_array().unwrap();
    rows.iter().find(|row| row["resource"] == "db").unwrap()["container"].clone()
}

#[test]
fn calls_have_the_answers_of_the_protocol() {
    if !can_run() {
        return;
    }
    let plugin = Plugin::start();
    assert_eq!(plugin.socket().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let web = json!({"lab": "none", "service": "web"});
    let described = json!({
        "NetworkID": WEB,
        "EndpointID": ENDPOINT,
        "Interface": {"Address": "", "AddressIPv6": "", "MacAddress": ""},
        "Options": {"com.docker.network.portmap": []},
    });
    let swarm = "egret's networks are of this machine only: a swarm has no use for them";
    for (call, body, answer) in [
        ("Plugin.Activate", json!(null), json!({"Implements": ["NetworkDriver"]})),
        (
            "NetworkDriver.GetCapabilities",
            json!(null),
            json!({"Scope": "local", "ConnectivityScope": "local"}),
        ),
        // That the lab runs is for Join to see.
        ("NetworkDriver.CreateNetwork", network(WEB, &web), json!({})),
        ("NetworkDriver.CreateEndpoint", described, json!({})),
        ("NetworkDriver.EndpointOperInfo", endpoint(WEB, ENDPOINT), json!({"Value": {}})),
        ("NetworkDriver.DiscoverNew", json!({"DiscoveryType": 1}), json!({})),
        ("NetworkDriver.DiscoverDelete", json!({"DiscoveryType": 1}), json!({})),
        ("NetworkDriver.ProgramExternalConnectivity", endpoint(WEB, ENDPOINT), json!({})),
        ("NetworkDriver.RevokeExternalConnectivity", endpoint(WEB, ENDPOINT), json!({})),
        ("NetworkDriver.AllocateNetwork", json!({"NetworkID": WEB}), json!({"Err": swarm})),
        ("NetworkDriver.FreeNetwork", json!({"NetworkID": WEB}), json!({"Err": swarm})),
        // Without a lab there is nothing to detach.
        ("NetworkDriver.Leave", endpoint(WEB, ENDPOINT), json!({})),
        ("NetworkDriver.DeleteEndpoint", endpoint(WEB, ENDPOINT), json!({})),
        ("NetworkDriver.DeleteNetwork", json!({"NetworkID": WEB}), json!({})),
        ("NetworkDriver.DeleteNetwork", json!({"NetworkID": WEB}), json!({})),
        ("NetworkDriver.Leave", endpoint(WEB, ENDPOINT), json!({})),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        assert_eq!(plugin.ask(call, &body), (200, answer), "{call} {body}");
    }
}

#[test]
fn requests_that_docker_would_not_make_are_refused() {
    if !can_run() {
        return;
    }
    let plugin = Plugin::start();
    for (call, body, status, said) in [
        ("NetworkDriver.CreateNetwork", "{", 400, "the request is not valid"),
        ("NetworkDriver.CreateNetwork", "{}", 400, "NetworkID"),
        ("NetworkDriver.CreateNetwork", r#"{"NetworkID": "../x"}"#, 400, "an id has"),
        ("NetworkDriver.Join", r#"{"NetworkID": "a", "EndpointID": "b"}"#, 400, "SandboxKey"),
        ("NetworkDriver.Invent", "{}", 404, "no call `/NetworkDriver.Invent`"),
    ] {
        let (code, answer) = plugin.ask(call, body);
        assert!(code == status && answer["Err"].as_str().unwrap().contains(said), "{answer}");
    }
    let large = format!("\"{}\"", "x".repeat(2 << 20));
    let (status, answer) = plugin.ask("NetworkDriver.CreateNetwork", &large);
    assert_eq!(status, 413, "{answer}");
    for (options, said) in [
        (json!({"lab": "x", "servce": "web"}), "unknown option `servce`: egret knows lab=NAME"),
        (json!({"lab": "x"}), "add -o service=NAME or -o resource=NAME"),
        (json!({"service": "web", "resource": "db"}), "not for both"),
    ] {
        let message = plugin.refuses("CreateNetwork", &network(WEB, &options));
        assert!(message.contains(said), "{message}");
    }
    let unknown = plugin.refuses("Join", &join(WEB, ENDPOINT, Path::new("/run/netns/none")));
    assert!(unknown.contains("docker network rm"), "{unknown}");
    plugin.ok("CreateNetwork", &network(WEB, &json!({"lab": "none", "service": "web"})));
    let down = plugin.refuses("Join", &join(WEB, ENDPOINT, Path::new("/run/netns/none")));
    assert!(down.contains("no lab `none` is running"), "{down}");
    let mut published = endpoint(WEB, ENDPOINT);
    published["Options"] = json!({"com.docker.network.portmap": [{"Port": 80}]});
    let message = plugin.refuses("CreateEndpoint", &published);
    assert!(message.contains("leave out -p"), "{message}");
}

#[test]
fn a_container_is_a_task_from_join_to_leave_whatever_restarts_meanwhile() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut others = Namespaces::new();
    let (blue, red) = (others.create("blue"), others.create("red"));
    let plugin = Plugin::start();
    plugin.create_networks(&lab);
    let answer = plugin.ok("Join", &join(WEB, ENDPOINT, &path_of(&blue)));
    assert_eq!(answer, json!({"DisableGatewayService": true}));
    assert_eq!(interfaces(&blue), "eth0\n");
    assert_eq!(attached(&lab), [(2, Some(ENDPOINT.to_owned()))]);
    let mut agent = Lab::agent(&blue);
    assert!(agent.open("kept", DB, 5432).is_u64());
    // Another interface of Docker's has the name already.
    run_ok(&red, "ip link add eth0 type veth peer name other0");
    plugin.ok("Join", &join(WEB, OTHER, &path_of(&red)));
    assert_eq!(interfaces(&red), "eth0\neth1\nother0\n");

    // The plugin is killed, and the next one knows the networks and the containers.
    let plugin = plugin.restart(Signal::SIGKILL);
    agent.ok(&json!(["say", "kept"]));
    plugin.ok("Join", &join(WEB, ENDPOINT, &path_of(&blue)));
    assert_eq!(attached(&lab).len(), 2);
    plugin.ok("Leave", &endpoint(WEB, ENDPOINT));
    assert_eq!(interfaces(&blue), "");
    assert_eq!(attached(&lab), [(3, Some(OTHER.to_owned()))]);
    plugin.ok("DeleteEndpoint", &endpoint(WEB, ENDPOINT));
    // A task that somebody has removed, and a lab that is down, are no errors.
    lab.egret_ok("task remove web/3");
    plugin.ok("Leave", &endpoint(WEB, OTHER));
    plugin.ok("Join", &join(WEB, OTHER, &path_of(&blue)));
    let down = lab.egret("down");
    assert!(down.status.success(), "{}", both_streams(&down));
    lab.wait();
    assert_eq!(interfaces(&blue), "");
    plugin.ok("Leave", &endpoint(WEB, OTHER));
    let refused = plugin.refuses("Join", &join(WEB, OTHER, &path_of(&blue)));
    assert!(refused.contains("no lab"), "{refused}");
    plugin.ok("DeleteNetwork", &json!({"NetworkID": WEB}));
    // For the lab's own end.
    lab.up_again();
}

#[test]
fn a_container_answers_for_a_resource_and_a_second_one_is_refused() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut others = Namespaces::new();
    let (blue, red) = (others.create("blue"), others.create("red"));
    let plugin = Plugin::start();
    plugin.create_networks(&lab);
    plugin.ok("Join", &join(RESOURCE, ENDPOINT, &path_of(&blue)));
    assert_eq!(resource_container(&lab), ENDPOINT);
    let mut server = Lab::agent(&blue);
    server.ok(&json!(["serve", DB, 9000]));
    assert!(lab.task("web").open("served", DB, 9000).is_u64());
    // Before its namespace exists, and after.
    for sandbox in [path_of(&red), "/run/netns/later".into()] {
        let message = plugin.refuses("Join", &join(RESOURCE, OTHER, &sandbox));
        assert!(message.contains("egret resource detach db"), "{message}");
    }
    plugin.ok("Leave", &endpoint(RESOURCE, ENDPOINT));
    assert_eq!(resource_container(&lab), Value::Null);
    assert_eq!(interfaces(&blue), "");
    plugin.ok("Join", &join(RESOURCE, OTHER, &path_of(&red)));
    assert_eq!(resource_container(&lab), OTHER);
}

/// A place where a namespace is mounted later, as Docker does it.
struct Place(PathBuf);

impl Place {
    fn mount(&self, netns: &Netns) {
        File::create(&self.0).unwrap();
        let none = None::<&str>;
        mount(Some(&path_of(netns)), &self.0, none, MsFlags::MS_BIND, none).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_namespace_that_appears_after_join_is_attached_then() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut others = Namespaces::new();
    let (blue, red) = (others.create("blue"), others.create("red"));
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| Place(folder.path().join(name)));
    let mut plugin = Plugin::start();
    plugin.create_networks(&lab);
    plugin.ok("Join", &join(WEB, ENDPOINT, &one.0));
    plugin.ok("Join", &join(RESOURCE, OTHER, &other.0));
    plugin.ok("EndpointOperInfo", &endpoint(WEB, ENDPOINT));
    assert_eq!(attached(&lab), []);
    one.mount(&blue);
    plugin.says("attached task web/2");
    assert_eq!(attached(&lab), [(2, Some(ENDPOINT.to_owned()))]);
    assert!(Lab::agent(&blue).open("db", DB, 5432).is_u64());
    // A container that failed to start: nothing waits for it any more.
    plugin.ok("Leave", &endpoint(RESOURCE, OTHER));
    other.mount(&red);
    plugin.ok("Leave", &endpoint(WEB, ENDPOINT));
    assert!(plugin.says("endpoint").contains("detached task web/2"));
    assert_eq!(resource_container(&lab), Value::Null);
    assert_eq!((interfaces(&blue), interfaces(&red)), (String::new(), String::new()));
    // One that another lab's object has is reported.
    lab.egret_ok(&format!("task add web --netns {}", path_of(&red).display()));
    plugin.ok("Join", &join(WEB, OTHER, &folder.path().join("third")));
    let third = Place(folder.path().join("third"));
    third.mount(&red);
    let said = plugin.says("has no network");
    assert!(said.contains("task web/2"), "{said}");
}

#[test]
fn the_socket_of_a_dead_plugin_is_replaced_and_a_live_one_stays() {
    if !can_run() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("plugins/egret.sock");
    std::fs::create_dir(home.path().join("plugins")).unwrap();
    // Dropping a listener leaves its file.
    drop(UnixListener::bind(&socket).unwrap());
    let plugin = Plugin::start_in(home).restart(Signal::SIGKILL);
    assert!(plugin.socket().exists());
    let second = ends(plugin.home.path());
    assert_eq!(second.status.code(), Some(1));
    assert!(both_streams(&second).contains("another `egret docker-plugin` has"));
    assert_eq!(plugin.ask("Plugin.Activate", "").0, 200);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut plugin = Plugin::start();
        kill(Pid::from_raw(i32::try_from(plugin.process.0.id()).unwrap()), signal).unwrap();
        plugin.says("the plugin has ended");
        assert_eq!(plugin.process.0.wait().unwrap().code(), Some(0));
        assert!(!plugin.socket().exists());
    }
    // What is no plugin's socket stays as it is.
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("plugins")).unwrap();
    std::fs::write(home.path().join("plugins/egret.sock"), "precious").unwrap();
    let refused = ends(home.path());
    assert!(both_streams(&refused).contains("is no socket"), "{}", both_streams(&refused));
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("plugins")).unwrap();
    let listener = UnixListener::bind(other.path().join("plugins/egret.sock")).unwrap();
    let refused = ends(other.path());
    assert!(both_streams(&refused).contains("a plugin listens at"), "{}", both_streams(&refused));
    drop(listener);
}
