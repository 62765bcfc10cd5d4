//! Watchers of a lab see what happens to real packets, and no packet waits for a watcher.

use crate::support::PATIENCE;
use crate::support::lab::{Lab, both_streams, can_run, finish};
use crate::support::{iperf, run};
use egret::explain::{FlowRow, TraceRow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);

const LAB: &str = r#"
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"
internet_gateway = "igw"
[[subnet]]
id = "subnet-public"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[subnet]]
id = "subnet-private"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
[[subnet]]
id = "subnet-data"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
[[route_table]]
id = "rtb-public"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]
[[route_table]]
id = "rtb-private"
vpc = "vpc"
routes = [{ destination = "0.0.0.0/0", target = "nat" }]
[[nat_gateway]]
id = "nat"
subnet = "subnet-public"
public_ip = "198.51.100.7"
[[security_group]]
id = "sg-app"
vpc = "vpc"
egress = [
    { protocol = "tcp", ports = "443", to = "0.0.0.0/0" },
    { protocol = "tcp", ports = "5201-5432", to = "0.0.0.0/0" },
    { protocol = "udp", ports = "53", to = "0.0.0.0/0" },
]
[[security_group]]
id = "sg-db"
vpc = "vpc"
ingress = [{ protocol = "tcp", ports = "5201-5432", from = "sg-app" }]
[[resource]]
name = "db"
subnet = "subnet-data"
address = "10.0.2.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]
[[internet_host]]
name = "host"
address = "203.0.113.10"
listen = ["443/tcp", "53/udp"]
[[vpc_connector]]
name = "private"
subnets = ["subnet-private"]
security_groups = ["sg-app"]
[[service]]
name = "web"
vpc_connector = "private"
[timeouts]
udp_idle = "1s"
"#;

/// A command of egret that runs until it is stopped, and that has begun its work when this is
/// created.
struct Watching {
    process: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn begin(lab: &Lab, words: &str) -> Self {
        let mut watching = Self::without_reader(lab, words);
        let output = BufReader::new(watching.process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| {
                let _ = sender.send(line);
            });
        });
        watching.lines = lines;
        watching
    }

    /// Starts a command whose output nothing reads.
    fn without_reader(lab: &Lab, words: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.args(words.split_whitespace()).env("EGRET_LAB", lab.name());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut notes = BufReader::new(process.stderr.take().unwrap());
        let mut note = String::new();
        notes.read_line(&mut note).unwrap();
        assert!(note.contains("Ctrl-C"), "`{words}` did not begin: {note}");
        process.stderr = Some(notes.into_inner());
        Self { process, lines: channel().1 }
    }

    /// Returns the rows up to one that is `wanted`, which must come.
    fn until(&self, wanted: impl Fn(&TraceRow) -> bool) -> Vec<TraceRow> {
        let mut rows: Vec<TraceRow> = Vec::new();
        while !rows.last().is_some_and(&wanted) {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no such record among {rows:#?}"));
            rows.push(serde_json::from_str(&line).unwrap());
        }
        rows
    }

    /// Sends SIGINT repeatedly, while nothing reads what the command prints, and returns its exit
    /// code.
    fn ended_at_once(mut self) -> Option<i32> {
        let process = Pid::from_raw(self.process.id().try_into().unwrap());
        let unread = self.process.stdout.take();
        let (sender, ended) = channel();
        std::thread::spawn(move || sender.send(self.process.wait()));
        let again = Duration::from_millis(100);
        // Signals that come together count as one, so the second may not be noticed; or the command
        // has just ended.
        for _ in 0..PATIENCE.as_millis() / again.as_millis() {
            let _ = kill(process, Signal::SIGINT);
            if let Ok(status) = ended.recv_timeout(again) {
                drop(unread);
                return status.unwrap().code();
            }
        }
        kill(process, Signal::SIGKILL).unwrap();
        panic!("it waits for its reader");
    }

    /// Sends SIGINT once, and returns the exit code and what the command printed on standard error.
    fn interrupted(self) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let output = finish(self.process);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The process is stopped meanwhile, so that a queue is full.
#[test]
fn packets_that_full_queues_drop_during_a_trace_are_reported() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let trace = Watching::begin(&lab, "trace --json --only events");
    lab.signal(Signal::SIGSTOP);
    crate::support::pings_at_once(&lab.netns("web-1"), DB, 2600);
    lab.signal(Signal::SIGCONT);
    let rows = trace.until(|row| row.lost.is_some());
    let reported = rows.last().unwrap();
    assert_eq!(reported.record, "queue-full");
    // The worker's queue may overflow again while the worker catches up.
    assert!(reported.lost >= Some(500) && reported.lost <= Some(lab.packets_dropped("queue-full")));
    assert_eq!(trace.interrupted().0, Some(0));
}

fn words(rows: &[TraceRow]) -> Vec<&str> {
    rows.iter().map(|row| row.reason.as_deref().unwrap_or(&row.record)).collect()
}

#[test]
fn a_trace_tells_what_happens_to_packets_and_flows() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let all = Watching::begin(&lab, "trace --json");
    let drops = Watching::begin(&lab, "trace --json -v --only drops --service web/1 --dst db");
    let mut task = lab.task("web");

    let port = task.tcp(HOST, 443);
    let rows = all.until(|row| row.record == "flow-closed");
    assert_eq!(words(&rows)[..3], ["flow-created", "forward", "forward"]);
    let [created, out, back] = &rows[..3] else { unreachable!() };
    let inside = out.inside.as_ref().unwrap();
    assert_eq!((inside.sport, inside.dst, inside.dport), (port, HOST, 443));
    let outside = back.outside.as_ref().unwrap();
    assert_eq!(outside.dst, Ipv4Addr::new(198, 51, 100, 7));
    assert_eq!((out.side.as_deref(), back.side.as_deref()), (Some("egress"), Some("return")));
    for row in [created, out, back] {
        assert_eq!(row.task.as_deref(), Some("web/1"));
        assert_eq!(row.nat_gateway.as_deref(), Some("nat"));
        assert!(lab.line(row.line).contains("ports = \"443\""), "{row:?}");
    }
    assert_eq!((out.hit, back.hit), (Some(false), Some(true)));

    task.tcp_times_out(DB, 443);
    let refused = all.until(|row| row.record == "drop").pop().unwrap();
    assert_eq!(refused.reason.as_deref(), Some("sg-ingress-implicit-deny"));
    assert!(refused.rule.as_ref().unwrap().contains("no ingress rule of sg-db"), "{refused:?}");
    let reported = drops.until(|row| row.record == "drop");
    assert_eq!(reported.len(), 1, "drops to the database only: {reported:#?}");
    let last = reported[0].steps.last().unwrap();
    assert_eq!((&*last.stage, &*last.outcome), ("security-group-ingress", "drop"));
    assert_eq!(reported[0].steps[0].stage, "source-check", "the whole walk");

    let mut brief = Watching::begin(&lab, "trace --json --only drops");
    task.tcp_times_out(DB, 443);
    let lines = std::mem::replace(&mut brief.lines, channel().1);
    assert_eq!(brief.interrupted().0, Some(0), "asked to end, it ends well");
    let last = lines.iter().last().unwrap();
    assert!(last.contains("sg-ingress-implicit-deny"), "what was seen before the end: {last}");

    let reset = task.ask(&serde_json::json!(["tcp", DB, 5400, 0, 5]));
    assert_eq!(reset, "ECONNREFUSED");
    let rows = all.until(|row| row.record == "flow-reset");
    assert!(rows.iter().any(|row| row.record == "flow-created"), "{rows:#?}");
    task.udp(HOST, 53);
    let rows = all.until(|row| row.record == "flow-expired");
    assert_eq!(rows.last().unwrap().inside.as_ref().unwrap().dport, 53);
    lab.egret_ok("task add web");
    assert_eq!(
        lab.egret("trace --count 1 --only forwards --dst 192.0.2.0/24:1 --eni x").status.code(),
        Some(2)
    );

    assert_eq!(lab.end_by(Signal::SIGINT), Some(0), "those who watch do not hold up the end");
    let mut ended = finish(all.process);
    assert_eq!(ended.status.code(), Some(1));
    assert!(both_streams(&ended).contains("went down"), "{}", both_streams(&ended));
    ended = finish(drops.process);
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn a_trace_names_the_host_that_the_lab_does_not_have() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let drops = Watching::begin(&lab, "trace --json -v --only drops");
    lab.task("web").tcp_times_out(Ipv4Addr::new(203, 0, 113, 200), 443);
    let rows = drops.until(|row| row.reason.as_deref() == Some("no-such-internet-host"));
    let last = rows.last().unwrap().steps.last().unwrap();
    assert_eq!((&*last.stage, &*last.component, &*last.outcome), ("deliver", "internet", "drop"));
    assert_eq!(last.detail.as_deref(), Some("the lab has no internet host 203.0.113.200"));
    assert_eq!(drops.interrupted().0, Some(0));
}

#[test]
fn a_capture_is_a_file_that_tcpdump_reads_with_what_egret_made_of_each_packet() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.pcapng");
    let words = format!("capture web -w {}", path.display());
    let capture = Watching::begin(&lab, &words);
    let mut task = lab.task("web");
    task.tcp(HOST, 443);
    task.tcp_times_out(DB, 443);
    // Super-packets in both directions.
    let (client, server) = (lab.netns("web-1"), lab.netns("vpc"));
    iperf(&client, &server, DB, "-n 2M");
    iperf(&client, &server, DB, "-n 2M -R");
    let (code, note) = capture.interrupted();
    assert_eq!(code, Some(0), "{note}");
    assert!(note.contains("packets in "), "{note}");

    let bytes = std::fs::read(&path).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("drop sg-ingress-implicit-deny; by no ingress rule of sg-db"));
    assert!(has("forward; by rule 1 of sg-app"));
    let read = |filter: &str| tcpdump(&path, filter);
    let refused = read("port 443 and host 10.0.2.10");
    assert!(refused.contains("100.64.0.1."), "{refused}");
    assert!(!refused.contains("10.0.1."), "it was never outside: {refused}");
    let translated = read("host 198.51.100.7 and port 443");
    assert!(translated.contains("Flags [S]") && translated.contains("Flags [S.]"), "{translated}");
    let segments = read("tcp and greater 1400");
    assert!(segments.lines().count() > 1000, "super-packets are split: {segments}");
    let all = read("");
    let wrong = ["incorrect", "bad cksum", "bad udp cksum", "wrong icmp cksum"];
    assert!(!wrong.iter().any(|words| all.contains(words)), "every checksum is right");
    let lengths = all.lines().filter_map(|line| line.strip_suffix(')')?.split_once("), length "));
    let longest = lengths.filter_map(|(_, bytes)| bytes.parse().ok());
    assert!(longest.max().is_some_and(|bytes: u32| bytes <= 1500), "as on a wire");

    // An existing file is not overwritten.
    let refused = lab.egret(&words);
    assert_eq!(refused.status.code(), Some(2), "{}", both_streams(&refused));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let unknown = lab.egret("capture wbe -w -");
    assert!(both_streams(&unknown).contains("it has eni-"), "{}", both_streams(&unknown));

    // A capture of a number of packets, to standard output.
    let piped = Watching::without_reader(&lab, "capture nat -w - --side outside --count 2");
    task.tcp(HOST, 443);
    let output = finish(piped.process);
    assert_eq!(output.status.code(), Some(0));
    let counted = directory.path().join("two.pcapng");
    std::fs::write(&counted, &output.stdout).unwrap();
    let two = tcpdump(&counted, "");
    assert_eq!(two.matches("198.51.100.7").count(), 2, "{two}");

    let to = |words: &str| -> Vec<FlowRow> { lab.rows(&format!("flows {words}")) };
    let kept = task.open("kept", HOST, 443).as_u64().unwrap();
    let found = to("--nat nat --dst host:443 --state established --sort age --reverse --limit 1");
    assert_eq!(found.len(), 1);
    assert!(found[0].inside.ends_with(&format!(":{kept}")), "{found:?}");
    assert!(to("--protocol udp").is_empty());
}

/// Returns what tcpdump reads in a file, with checksums verified.
fn tcpdump(path: &Path, filter: &str) -> String {
    let mut command = Command::new("tcpdump");
    command.args(["-vvn", "-r"]).arg(path).arg(filter);
    let output = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(output.status.success(), "{}", both_streams(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_reader_that_does_not_read_holds_nothing_up_and_gets_the_number_left_out() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut slow = Watching::without_reader(&lab, "trace --json -v");
    let capture = Watching::without_reader(&lab, "capture web -w -");
    let stuck = ["trace --json -v", "capture web -w -"];
    let stuck = stuck.map(|words| Watching::without_reader(&lab, words));
    let (client, server) = (lab.netns("web-1"), lab.netns("vpc"));
    // Far more than all queues and pipes between them hold.
    iperf(&client, &server, DB, "-n 300M");
    assert!(run(&client, "true").status.success());
    for command in stuck {
        assert_eq!(command.ended_at_once(), Some(130));
    }
    let mut lines = BufReader::new(slow.process.stdout.take().unwrap()).lines();
    let left_out =
        lines.find_map(|line| serde_json::from_str::<TraceRow>(&line.unwrap()).unwrap().left_out);
    assert!(left_out.is_some_and(|records| records > 0));
    drop(lines);
    let mut bytes = capture.process.stdout;
    let mut some = [0; 65_536];
    bytes.as_mut().unwrap().read_exact(&mut some).unwrap();
    assert_eq!(some[..4], [0x0a, 0x0d, 0x0d, 0x0a], "the capture goes on");
    drop(bytes);
    finish(slow.process);
}
