//! Programs that know nothing of egret reach listeners by name over HTTP and HTTPS, and meet the
//! listeners' modes.

use crate::support::lab::{Lab, can_run};
use egret::explain::EniRow;
use egret::linux::exec::spawn_in;
use egret::linux::listen::Page;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};

const EXAMPLE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 100);

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"
enable_dns_hostnames = true

[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "subnet-private"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"

[[subnet]]
id = "subnet-isolated"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-isolated"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]

[[route_table]]
id = "rtb-isolated"
vpc = "vpc-a"

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [{ protocol = "all", to = "0.0.0.0/0" }]
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]

[[private_zone]]
name = "corp.internal"
vpcs = ["vpc-a"]
records = [{ name = "orders", type = "CNAME", values = ["orders-db"] }]

[[resource]]
name = "orders-db"
aliases = ["orders.example"]
subnet = "subnet-private"
address = "10.0.1.100"
security_groups = ["sg-app"]
listen = [
    "443/https",
    "80/http",
    { port = "5432/tcp", mode = "refuse" },
    { port = "53/udp", mode = "refuse" },
    { port = "81/http", mode = "refuse" },
    { port = "5433/tcp", mode = "blackhole" },
    { port = "54/udp", mode = "blackhole" },
    { port = "82/http", mode = "blackhole" },
    { port = "5434/tcp", mode = "delay", delay = "300ms" },
    { port = "55/udp", mode = "delay", delay = "300ms" },
    { port = "8443/https", mode = "delay", delay = "300ms" },
]

[[internet_host]]
name = "example"
aliases = ["www.example.com"]
address = "203.0.113.10"
listen = ["443/https", "80/http"]

[[vpc_connector]]
name = "app"
subnets = ["subnet-private"]
security_groups = ["sg-app"]

[[vpc_connector]]
name = "isolated"
subnets = ["subnet-isolated"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"

[[service]]
name = "isolated"
egress = "vpc"
vpc_connector = "isolated"
"#;

/// Exit codes of curl(1).
const REFUSED: Option<i32> = Some(7);
const TIMED_OUT: Option<i32> = Some(28);
const NOT_TRUSTED: Option<i32> = Some(60);

fn curl(lab: &Lab, task: &str, arguments: &str) -> Output {
    lab.egret(&format!("exec {task} -- curl -sS --noproxy * {arguments}"))
}

fn got(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn page(lab: &Lab, url: &str) -> Page {
    let said = got(&curl(lab, "web", &format!("-m 20 -H accept:application/json {url}")));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn curl_reaches_an_internet_host_by_https_through_the_nat_gateway_and_sees_who_it_was() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let html = got(&curl(&lab, "web", "-m 20 -i https://example/some/path?a=1&b=2"));
    for part in [
        "HTTP/1.1 200 OK",
        "content-type: text/html",
        "You reached example at 203.0.113.10:443 over https.",
        "You came from 198.51.100.7:",
        "GET /some/path?a=1&amp;b=2 HTTP/1.1",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    for (url, port, protocol) in [
        ("https://example/", 443, "https"),
        ("https://www.example.com/", 443, "https"),
        ("https://203.0.113.10/", 443, "https"),
        ("http://example/", 80, "http"),
    ] {
        let page = page(&lab, url);
        assert_eq!((&*page.name, page.address, page.port), ("example", EXAMPLE, port), "{url}");
        assert_eq!((page.from.address, page.protocol.as_str()), (NAT, protocol), "{url}");
        assert_eq!(page.request, "GET / HTTP/1.1", "{url}");
    }
    let json = got(&curl(&lab, "web", "-m 20 https://example/who.json"));
    assert!(json.contains("\"request\":\"GET /who.json HTTP/1.1\""), "{json}");

    let drop = lab.drops_for("no-route", "rtb-isolated", || {
        assert_eq!(curl(&lab, "isolated", "-m 2 https://example/").status.code(), TIMED_OUT);
    });
    assert_eq!((drop.destination, drop.port), (Some(EXAMPLE.into()), Some(443)));
}

#[test]
fn a_resource_is_reached_by_https_by_all_its_names_from_the_eni() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let enis: Vec<EniRow> = lab.rows("enis");
    for host in ["orders-db", "orders.example", "orders.corp.internal", "10.0.1.100"] {
        let page = page(&lab, &format!("https://{host}/"));
        assert_eq!((&*page.name, page.address), ("orders-db", DB), "{host}");
        let is_from = |row: &&EniRow| row.address == Some(page.from.address);
        assert!(enis.iter().any(|row| is_from(&row)), "{host}: {:?}", page.from);
    }
}

#[test]
fn a_client_without_the_labs_certificate_refuses_and_one_with_its_file_does_not() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    lab.exec_ok("web", "true");
    // Started without `egret exec`, as programs in containers are.
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--noproxy", "*", "-m", "20"]).args(arguments).arg("https://example/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        spawn_in(&lab.netns("web-1"), &mut command).unwrap().wait_with_output().unwrap()
    };
    assert_eq!(curl(&[]).status.code(), NOT_TRUSTED);
    let file = lab.egret_ok("ca --path");
    let certificate = lab.egret_ok("ca");
    assert_eq!(std::fs::read_to_string(file.trim()).unwrap(), certificate);
    got(&curl(&["--cacert", file.trim()]));

    // The host's own certificates are still trusted, and the file of the host has not changed.
    let host = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap();
    let in_task = lab.exec_ok("web", "cat /etc/ssl/certs/ca-certificates.crt");
    assert!(in_task.starts_with(host.trim_end()) && in_task.ends_with(&certificate));
    assert!(!host.contains(&certificate));

    lab.apply(LAB, &[("\"www.example.com\"", "\"new.example.com\"")]);
    assert_eq!(lab.egret_ok("ca"), certificate);
    assert_eq!(&*page(&lab, "https://new.example.com/").name, "example");
    let path = file.trim().to_owned();
    drop(lab);
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn a_refused_port_is_refused_over_tcp_udp_and_http() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut task = lab.task("web");
    assert_eq!(task.ask(&json!(["tcp", DB, 5432])), json!("ECONNREFUSED"));
    assert_eq!(task.ask(&json!(["udp", DB, 53])), json!("ECONNREFUSED"));
    assert_eq!(curl(&lab, "web", "-m 20 http://orders-db:81/").status.code(), REFUSED);
    assert_eq!(lab.verdicts(), []);
}

#[test]
fn packets_arrive_at_a_blackhole_and_nothing_answers() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut task = lab.task("web");
    assert_eq!(task.ask(&json!(["tcp", DB, 5433, 0, 1.0])), json!("timeout"));
    assert_eq!(task.ask(&json!(["udp", DB, 54, 0, 5, 1.0])), json!("timeout"));
    assert_eq!(curl(&lab, "web", "-m 1 http://orders-db:82/").status.code(), TIMED_OUT);
    // No verdict and no filter of the path dropped them: they have arrived.
    assert_eq!(lab.verdicts(), []);
    let arrived = |port: u16| {
        let flows = lab.flows();
        flows.iter().any(|flow| flow.destination == format!("{DB}:{port}"))
    };
    assert!(arrived(5433) && arrived(54) && arrived(82), "{:#?}", lab.flows());
}

const LATE: &str = r#"
import socket, time
def late(kind, port):
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(20)
        s.connect(("10.0.1.100", port))
        begin = time.monotonic()
        s.send(b"hello")
        assert s.recv(16) == b"hello"
        assert time.monotonic() - begin >= 0.3, time.monotonic() - begin
late(socket.SOCK_STREAM, 5434)
late(socket.SOCK_DGRAM, 55)
print("late")
"#;

#[test]
fn a_delayed_listener_accepts_and_answers_no_earlier_than_its_delay() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let output = lab.egret_words(&["exec", "web", "--", "python3", "-c", LATE]);
    assert_eq!(got(&output), "late\n");
    let times = "-m 20 -o /dev/null -w %{time_appconnect},%{time_starttransfer}";
    let times = got(&curl(&lab, "web", &format!("{times} https://orders-db:8443/")));
    let (connected, began) = times.split_once(',').unwrap();
    let (connected, began): (f64, f64) = (connected.parse().unwrap(), began.parse().unwrap());
    assert!(connected > 0.0 && began - connected >= 0.3, "{times}");
}

#[test]
fn apply_changes_how_a_listener_answers() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let web = r#"listen = ["443/https", "80/http"]"#;
    let url = "-m 20 http://example/";
    got(&curl(&lab, "web", url));
    let refusing = r#"listen = ["443/https", { port = "80/http", mode = "refuse" }]"#;
    lab.apply(LAB, &[(web, refusing)]);
    assert_eq!(curl(&lab, "web", url).status.code(), REFUSED);
    lab.apply(LAB, &[(web, r#"listen = ["443/https", "80/tcp"]"#)]);
    lab.task("web").tcp(EXAMPLE, 80);
    let silent = r#"listen = ["443/https", { port = "80/http", mode = "blackhole" }]"#;
    lab.apply(LAB, &[(web, silent)]);
    assert_eq!(curl(&lab, "web", "-m 1 http://example/").status.code(), TIMED_OUT);
    lab.apply(LAB, &[]);
    assert_eq!(page(&lab, "http://example/").from.address, NAT);
}

/// Sends a probe, and returns its result and its exit code.
fn probe(lab: &Lab, words: &str) -> (Value, Option<i32>) {
    let output = lab.egret(&format!("probe {words} --json"));
    let said = String::from_utf8_lossy(&output.stdout);
    let row = serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    (row, output.status.code())
}

fn texts<'r, const N: usize>(row: &'r Value, keys: [&str; N]) -> [&'r str; N] {
    keys.map(|key| row[key].as_str().unwrap_or_default())
}

#[test]
fn a_probe_that_is_answered_says_who_decided_and_as_whom_it_was_seen() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let seen = ["outcome", "verdict", "seen_by", "said"];
    let (row, code) = probe(&lab, "web https://example/");
    assert_eq!(texts(&row, seen), ["answered", "forward", "page", "HTTP/1.1 200 OK"], "{row:#}");
    assert!(row["seen_as"].as_str().unwrap().starts_with("198.51.100.7:"), "{row:#}");
    assert_eq!((&row["agrees"], code), (&json!(true), Some(0)), "{row:#}");
    assert_eq!((&row["port"], &row["address"]), (&json!(443), &json!(EXAMPLE)));
    assert!(row["decided_by"]["line"].is_u64() && row["time_ms"].is_f64(), "{row:#}");
    for (words, seen_by) in [
        ("web orders-db/http", "page"),
        ("web orders-db/https", "page"),
        ("web/2 orders.corp.internal:8443 --protocol https", "page"),
        ("web example:443", "flow"),
        ("web orders-db --port 55 --protocol udp", "flow"),
        ("web example/icmp", "flow"),
    ] {
        let (row, code) = probe(&lab, words);
        assert_eq!(texts(&row, seen)[..3], ["answered", "forward", seen_by], "{words}: {row:#}");
        assert_eq!((&row["agrees"], code), (&json!(true), Some(0)), "{words}: {row:#}");
        assert!(row["seen_as"].is_string(), "{words}: {row:#}");
    }
    let text = lab.egret_ok("probe web example:443/https");
    assert!(text.contains("answered after") && text.contains("seen as  198.51.100.7:"), "{text}");
}

#[test]
fn a_probe_that_is_dropped_names_the_rule_and_agrees_with_the_drop() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    // The lab's own report ends it, and not the time.
    let (row, code) = probe(&lab, "isolated https://example/ --timeout 1h");
    assert_eq!(texts(&row, ["outcome", "verdict", "reason"]), ["dropped", "drop", "no-route"]);
    assert!(row["said"].as_str().unwrap().starts_with("no-route, "), "{row:#}");
    assert_eq!((&row["agrees"], code), (&json!(true), Some(1)), "{row:#}");
    assert!(row["seen_as"].is_null(), "{row:#}");
    assert_eq!(row["decided_by"]["id"], "rtb-isolated", "{row:#}");
}

#[test]
fn a_probe_that_is_refused_or_not_answered_agrees_since_it_has_arrived() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    for (words, outcome) in [
        ("web orders-db:5432", "refused"),
        ("web orders-db:53/udp", "refused"),
        ("web orders-db:81/http", "refused"),
        ("web orders-db:5433 --timeout 1s", "silent"),
        ("web orders-db:54/udp --timeout 1s", "silent"),
        ("web orders-db:82/http --timeout 1s", "silent"),
        ("web orders-db:8443/https --timeout 200ms", "accepted"),
    ] {
        let (row, code) = probe(&lab, words);
        assert_eq!(texts(&row, ["outcome", "verdict"]), [outcome, "forward"], "{words}: {row:#}");
        assert_eq!((&row["agrees"], code), (&json!(true), Some(1)), "{words}: {row:#}");
    }
}

#[test]
fn a_probe_without_a_destination_or_a_lab_is_a_usage_error() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    for words in [
        "web nobody:80",
        "web internet:443",
        "web orders-db/icmp --port 1",
        "nobody example:443",
        "web example:443 --lab no-such-lab",
    ] {
        let output = lab.egret(&format!("probe {words}"));
        assert_eq!(output.status.code(), Some(2), "{words}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("egret: "), "{words}");
    }
}

#[test]
fn a_resumed_lab_has_another_certificate_in_the_same_file_and_tasks_trust_it() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", &format!("offload = \"on\"\noffload_grace = \"60s\"\n{LAB}"));
    lab.exec_ok("web", "true");
    let (before, file) = (lab.egret_ok("ca"), lab.egret_ok("ca --path"));
    // What has the file mounted sees the new text.
    let mounted = std::fs::File::open(file.trim()).unwrap();
    assert_eq!(lab.end_by(Signal::SIGKILL), None);
    lab.up_again();
    let after = lab.egret_ok("ca");
    assert_ne!(after, before);
    assert_eq!(std::io::read_to_string(&mounted).unwrap(), after);
    assert_eq!(&*page(&lab, "https://example/").name, "example");
}

const HOSTILE: &str = r#"
import socket
def answer(request):
    with socket.create_connection(("10.0.1.100", 80), 20) as s:
        s.settimeout(20)
        try:
            s.sendall(request)
            return s.recv(12)
        except ConnectionError:
            return b"closed"
body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "
assert answer(body + b"9\r\n\r\nsome body") == b"HTTP/1.1 200"
assert answer(body + b"2000000\r\n\r\n" + b"x" * 2000000) in (b"HTTP/1.1 413", b"closed")
head = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100000 + b"\r\n\r\n"
assert answer(head) in (b"HTTP/1.1 431", b"closed"), answer(head)
assert answer(b"\x16\x03\x01 no HTTP\r\n\r\n") in (b"HTTP/1.1 400", b"closed")
print("bounded")
"#;

#[test]
fn requests_beyond_the_bounds_are_refused_and_the_listener_goes_on() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let output = lab.egret_words(&["exec", "web", "--", "python3", "-c", HOSTILE]);
    assert_eq!(got(&output), "bounded\n");
    assert_eq!(&*page(&lab, "http://orders-db/").name, "orders-db");
}

#[test]
fn a_host_without_certificates_of_its_own_says_that_tasks_need_the_labs() {
    if !can_run() {
        return;
    }
    let (file, name) = crate::support::lab::lab_file("auto", LAB);
    let script = format!(
        "mount -t tmpfs none /etc/ssl/certs || exit 2
        {egret} up {file} 2>&1 | {{
            sed '/^ready/q'
            {egret} exec --lab {name} web true; echo exec: $?
            {egret} down --lab {name}
            cat
        }}",
        egret = env!("CARGO_BIN_EXE_egret"),
        file = file.path().display(),
    );
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = crate::support::lab::both_streams(&output);
    let wanted = format!("only if they are given /run/egret/{name}/ca.pem");
    assert!(said.contains(&wanted) && said.contains("exec: 0"), "{said}");
}
