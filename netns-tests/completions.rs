//! Completions of what exists in a running lab, in a real shell.

use crate::support::completed::{in_bash, is_installed, shell};
use crate::support::lab::{Lab, can_run};
use crate::support::terminal::Terminal;
use nix::sys::signal::Signal;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw"
[[subnet]]
id = "private"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"
[[subnet]]
id = "public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"
[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]
[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw" }]
[[nat_gateway]]
id = "nat-a"
subnet = "public"
public_ip = "198.51.100.7"
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [{ protocol = "all", to = "0.0.0.0/0" }]
[[resource]]
name = "orders-db"
subnet = "private"
address = "10.0.1.10"
security_groups = ["sg-app"]
[[vpc_connector]]
name = "main"
subnets = ["private"]
security_groups = ["sg-app"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "main"
tasks = 2
"#;

fn egret() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_egret"))
}

/// Returns what bash offers at the end of a command line about a lab.
fn offered(lab: &Lab, line: &str) -> Vec<String> {
    let line = line.replace("LAB", &format!("--lab {}", lab.name()));
    in_bash(egret(), &line.split(' ').collect::<Vec<_>>())
}

#[test]
fn bash_completes_what_exists_in_the_running_lab() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let name = lab.name();
    assert_eq!(in_bash(egret(), &["egret", "down", "--lab", name]), [name]);
    assert_eq!(in_bash(egret(), &["egret", "down", "--lab", "=", name]), [name]);
    let compared = in_bash(egret(), &["egret", "diff", &format!("lab:{name}")]);
    // Bash replaces what is behind the colon.
    assert_eq!(compared, [name]);
    assert!(in_bash(egret(), &["egret", "diff", "lab", ":"]).iter().any(|lab| lab == name));
    assert_eq!(offered(&lab, "egret explain LAB web orders-db :"), [""; 0]);
    assert_eq!(in_bash(egret(), &["egret", "graph", "--lab", name]), [name]);
    assert_eq!(in_bash(egret(), &["egret", "ps", "--columns", "eni,na"]), ["eni,namespace"]);

    for command in ["exec", "explain", "capture", "trace --service", "flows --service"] {
        let web = offered(
            &lab,
            &format!("egret {command} LAB we").replace("--service LAB", "LAB --service"),
        );
        assert_eq!(web, ["web", "web/1", "web/2"], "{command}");
    }
    assert_eq!(offered(&lab, "egret reach LAB "), ["web"]);
    assert_eq!(offered(&lab, "egret task remove LAB "), ["web/1", "web/2"]);
    assert_eq!(offered(&lab, "egret explain LAB web ord"), ["orders-db"]);
    assert_eq!(offered(&lab, "egret flows LAB --nat "), ["nat-a"]);
    assert_eq!(offered(&lab, "egret exec LAB --vpc "), ["vpc-a"]);
    let eni = lab.ps()[0].eni.clone().unwrap();
    assert_eq!(offered(&lab, "egret flows LAB --eni "), ["app-runner", &eni, "nat-a"]);

    // A task that is added is offered, and what the file does not have.
    lab.egret_ok("task add web");
    assert_eq!(offered(&lab, "egret task repair LAB "), ["web/1", "web/2", "web/3"]);
}

/// An ordinary user may not ask a lab, and is not asked for a password.
#[test]
fn ordinary_user_is_offered_the_lab_files_values_and_no_error() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let file = folder.path().join("lab.toml");
    std::fs::write(&file, LAB).unwrap();
    let program = folder.path().join("egret");
    std::fs::copy(egret(), &program).unwrap();
    let ask = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.arg("--").args(words).current_dir("/").env("EGRET_COMPLETE", "bash");
        let index = (words.len() - 1).to_string();
        let output = command.env("_CLAP_COMPLETE_INDEX", index).output().unwrap();
        let (stdout, stderr) = (output.stdout, output.stderr);
        assert_eq!((output.status.code(), stderr), (Some(0), Vec::new()));
        String::from_utf8(stdout).unwrap()
    };
    let file = file.to_str().unwrap();
    assert_eq!(ask(&["egret", "task", "remove", "--lab", lab.name(), "w"]), "");
    assert_eq!(ask(&["egret", "explain", "--config", file, "w"]), "web\nweb/1\nweb/2");
    assert_eq!(ask(&["egret", "drops", "--reason", "sg-untracked"]), "sg-untracked-flow");
}

/// A shell waits with its user.
#[test]
fn lab_that_is_stopped_does_not_hold_up_the_shell() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    lab.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let offered = offered(&lab, "egret task remove LAB w");
    let passed = begun.elapsed();
    lab.signal(Signal::SIGCONT);
    assert_eq!(offered, [""; 0]);
    // The limit of egret is half a second; the machine may be busy.
    assert!(passed < Duration::from_secs(5), "{passed:?}");
}

/// A shell that a test types in.
struct Typed {
    terminal: Terminal,
    shell: Child,
}

impl Typed {
    fn new(mut command: Command) -> Self {
        let (terminal, end) = Terminal::open();
        let copy = |end: &File| Stdio::from(end.try_clone().unwrap());
        command.stdin(copy(&end)).stdout(copy(&end)).stderr(copy(&end));
        command.env("TERM", "dumb").env("PS1", "ready> ").env("HOME", "/nonexistent");
        let shell = command.spawn().unwrap();
        Self { terminal, shell }
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn tab_in_an_interactive_bash_inserts_the_task() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut bash = shell("bash", egret());
    bash.args(["--norc", "--noprofile", "-i"]);
    let mut typed = Typed::new(bash);
    typed.terminal.hears("ready> ");
    typed.terminal.types("source <(egret completions bash); echo load''ed\n");
    typed.terminal.hears("loaded");
    typed.terminal.types(&format!("egret capture --lab={} nat\t", lab.name()));
    typed.terminal.hears("nat-a");
    typed.terminal.types("\x15egret drops --reason sg-untr\t");
    typed.terminal.hears("sg-untracked-flow");
}

#[test]
fn tab_in_an_interactive_zsh_inserts_the_gateway() {
    if !can_run() || !is_installed("zsh") {
        return;
    }
    let lab = Lab::up("auto", LAB);
    // As a page of the shell's start has it, and as a package does.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("_egret"), lab.egret_ok("completions zsh")).unwrap();
    let packaged = format!("fpath=({} $fpath); compinit -u -D", folder.path().display());
    for loaded in ["compinit -u -D; source <(egret completions zsh)", &packaged] {
        let mut zsh = shell("zsh", egret());
        zsh.args(["-f", "-i"]);
        let mut typed = Typed::new(zsh);
        typed.terminal.types("PS1='ready> '; unset zle_bracketed_paste\n");
        typed.terminal.hears("ready> ");
        typed.terminal.types(&format!("autoload -Uz compinit; {loaded}; echo load''ed\n"));
        typed.terminal.hears("loaded");
        typed.terminal.types(&format!("egret flows --lab {} --nat n\t", lab.name()));
        typed.terminal.hears("nat-a");
    }
}
