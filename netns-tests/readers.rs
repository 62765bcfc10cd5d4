//! Users besides root who may read from a lab, and change nothing.

use crate::lifecycle::LAB;
use crate::support::comes;
use crate::support::lab::{Lab, both_streams, can_run, finish};
use nix::unistd::Group;
use serde_json::Value;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// A group that each Debian has, and that no test changes.
const GROUP: &str = "users";
/// `nobody`, who is in no group that matters.
const NOBODY: &str = "65534";
/// The one in a user's `PATH` may be where no other user comes.
const PYTHON: &str = "/usr/bin/python3";
const SECRET: &str = "hunter2hunter2";

/// The program, where another user may run it.
struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), mode).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_egret"), folder.path().join("egret")).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("egret")
    }

    /// Makes a command of another user with these supplementary groups.
    fn command(&self, lab: &Lab, groups: &str, line: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, groups, "--"]);
        command.arg(self.path()).args(line.split(' ')).env("EGRET_LAB", lab.name());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn reader(&self, lab: &Lab, line: &str) -> Command {
        let group = Group::from_name(GROUP).unwrap().unwrap().gid;
        self.command(lab, &format!("--groups={group}"), line)
    }

    fn reads(&self, lab: &Lab, line: &str) -> Output {
        finish(self.reader(lab, line).spawn().unwrap())
    }
}

fn shared_lab() -> Lab {
    let key = format!("[[apprunner.access_key]]\nid = \"AKIAEXAMPLE\"\nsecret = \"{SECRET}\"\n");
    Lab::up("auto", &format!("{LAB}\n{key}\n[access]\ngroup = \"{GROUP}\"\n"))
}

#[test]
fn member_of_the_group_reads_and_changes_nothing() {
    if !can_run() {
        return;
    }
    let (lab, program) = (shared_lab(), Program::new());
    for line in [
        "ps",
        "services",
        "flows",
        "drops",
        "enis",
        "top --count 1 --interval 100ms",
        "explain web db",
        "reach",
        "graph --lab LAB",
        "ls",
        "wait --timeout 0s",
    ] {
        let read = program.reads(&lab, &line.replace("LAB", lab.name()));
        // A verdict may be that packets are dropped, and `wait` prints nothing.
        let is_answer = matches!(read.status.code(), Some(0)) || line.starts_with("explain");
        assert!(
            is_answer && !read.stdout.is_empty() || line.starts_with("wait"),
            "{line}: {}",
            both_streams(&read)
        );
    }
    let listed = program.reads(&lab, "ls --json");
    let rows: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(rows.iter().any(|row| row["lab"] == *lab.name() && row["state"] == "up"), "{rows:?}");
    let mut trace = program.reader(&lab, "trace --count 1").spawn().unwrap();
    // A packet that comes before the trace has begun is not in it.
    assert!(comes(|| lab.pings("web", "10.0.1.10") && trace.try_wait().unwrap().is_some()));
    let traced = finish(trace);
    assert!(both_streams(&traced).contains("10.0.1.10"), "{}", both_streams(&traced));
    let before = lab.ps();
    let file = lab.file().display().to_string();
    for (line, need) in [
        (format!("apply {file}"), "`egret apply` changes the lab: run it with sudo"),
        ("task add web".to_owned(), "run it with sudo"),
        ("task remove web/1".to_owned(), "run it with sudo"),
        ("task repair web/1".to_owned(), "run it with sudo"),
        ("capture web --write /dev/null".to_owned(), "run it with sudo"),
        ("down".to_owned(), "`egret down` ends the lab: run it with sudo"),
    ] {
        std::fs::set_permissions(lab.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = program.reads(&lab, &line);
        let said = both_streams(&refused);
        assert_eq!(refused.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains(need) || line.starts_with("apply"), "{line}: {said}");
    }
    assert_eq!(lab.ps(), before);
    let exec = program.reads(&lab, "exec web -- true");
    assert!(!exec.status.success(), "{}", both_streams(&exec));
}

/// Prints the answer to one question.
const ASK: &str = "
import http.client, socket, sys
class Lab(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
lab = Lab('lab')
lab.request('GET', '/v1/configuration')
answer = lab.getresponse()
print(answer.status, answer.read().decode())
";

/// [`SECRET`] is in the file of the lab, and only root gets it.
#[test]
fn reader_does_not_get_the_secrets_of_access_keys() {
    if !can_run() {
        return;
    }
    let (lab, program) = (shared_lab(), Program::new());
    let socket = format!("/run/egret/{}/control.sock", lab.name());
    let asked = |command: &mut Command| {
        let output = command.args([PYTHON, "-c", ASK, &socket]).output().unwrap();
        both_streams(&output)
    };
    assert!(asked(&mut Command::new("env")).contains(SECRET));
    let mut reader = Command::new("setpriv");
    let group = Group::from_name(GROUP).unwrap().unwrap().gid;
    reader.args(["--reuid", NOBODY, "--regid", NOBODY, &format!("--groups={group}"), "--"]);
    let configuration = asked(&mut reader);
    assert!(configuration.starts_with("200 "), "{configuration}");
    assert!(configuration.contains("AKIAEXAMPLE") && !configuration.contains(SECRET));
    // The commands that make the lab from it go on.
    let reach = program.reads(&lab, "graph --lab LAB".replace("LAB", lab.name()).as_str());
    assert!(reach.status.success(), "{}", both_streams(&reach));
}

#[test]
fn user_who_is_not_in_the_group_may_ask_nothing() {
    if !can_run() {
        return;
    }
    let (lab, program) = (shared_lab(), Program::new());
    let folder = std::fs::metadata(format!("/run/egret/{}", lab.name())).unwrap();
    let socket = std::fs::metadata(format!("/run/egret/{}/control.sock", lab.name())).unwrap();
    let group = Group::from_name(GROUP).unwrap().unwrap().gid.as_raw();
    assert_eq!((folder.uid(), folder.gid(), folder.mode() & 0o7777), (0, group, 0o2710));
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o7777), (0, group, 0o660));
    let stranger = program.command(&lab, "--clear-groups", "ps").spawn().unwrap();
    let refused = finish(stranger);
    assert_eq!(refused.status.code(), Some(2), "{}", both_streams(&refused));
    let listed = program.command(&lab, "--clear-groups", "ls --json").spawn().unwrap();
    let listed = finish(listed);
    assert!(!both_streams(&listed).contains(lab.name()), "{}", both_streams(&listed));

    let own = Lab::up("auto", LAB);
    let mode = |path: &str| {
        std::fs::metadata(format!("/run/egret/{}{path}", own.name())).unwrap().mode() & 0o7777
    };
    assert_eq!((mode(""), mode("/control.sock")), (0o700, 0o600));
    let refused = program.reads(&own, "ps");
    assert_eq!(refused.status.code(), Some(2), "{}", both_streams(&refused));
}

/// Connections with requests that do not end. The lab closes most of them.
const IDLE: &str = "
import socket, sys
open = []
for _ in range(600):
    one = socket.socket(socket.AF_UNIX)
    one.connect(sys.argv[1])
    try:
        one.sendall(b'GET /v1/ps HTTP/1.1\\r\\nhost: x\\r\\n')
    except (BrokenPipeError, ConnectionResetError):
        pass
    open.append(one)
print('open', flush=True)
sys.stdin.read()
";

#[test]
fn reader_with_many_connections_does_not_keep_root_from_the_lab() {
    if !can_run() {
        return;
    }
    let lab = shared_lab();
    let group = Group::from_name(GROUP).unwrap().unwrap().gid;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, &format!("--groups={group}"), "--"]);
    command.args([PYTHON, "-c", IDLE, &format!("/run/egret/{}/control.sock", lab.name())]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut idle: Child = command.spawn().unwrap();
    let mut said = [0; 4];
    idle.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"open");
    let ps = lab.egret("ps");
    assert!(ps.status.success(), "{}", both_streams(&ps));
    assert!(idle.try_wait().unwrap().is_none(), "the connections are still there");
    drop(idle.stdin.take());
    assert!(finish(idle).status.success());
    // They are given back.
    let program = Program::new();
    assert!(comes(|| program.reads(&lab, "ps").status.success()));
}

#[test]
fn unknown_group_is_an_error_with_its_line_and_the_group_stays() {
    if !can_run() {
        return;
    }
    let lab = shared_lab();
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let line = 1 + text.lines().position(|line| line == format!("group = \"{GROUP}\"")).unwrap();
    std::fs::write(lab.file(), text.replace(GROUP, "no-such-group")).unwrap();
    let file = lab.file().display();
    for (command, code) in [("check", 1), ("up --lab another", 2)] {
        let refused = lab.egret(&format!("{command} {file}"));
        let said = both_streams(&refused);
        assert_eq!(refused.status.code(), Some(code), "{said}");
        assert!(said.contains("no group `no-such-group`"), "{said}");
        assert!(said.contains(&format!("{file}:{line}:")), "{said}");
    }
    let other = text.replace(&format!("group = \"{GROUP}\""), "group = \"daemon\"");
    std::fs::write(lab.file(), other).unwrap();
    let refused = lab.egret(&format!("apply {file}"));
    assert_eq!(refused.status.code(), Some(2), "{}", both_streams(&refused));
    assert!(both_streams(&refused).contains("access.group"), "{}", both_streams(&refused));
}
