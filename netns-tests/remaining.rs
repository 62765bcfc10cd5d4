//! The commands that remove namespaces list the programs that still run there, and end them on
//! request.

use crate::lifecycle::LAB;
use crate::support::lab::{Lab, both_streams, can_run, finish};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};

/// The exit code of a command that leaves programs running.
const REMAIN: Option<i32> = Some(3);

/// A program in a namespace of a lab, which is ended with the test.
struct Program(Child);

impl Program {
    /// Starts a shell that prints a line when it is ready for the test.
    fn start(lab: &Lab, place: &[&str], script: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.arg("exec").args(["--lab", lab.name()]).args(place);
        command.args(["--", "bash", "-c", script]);
        // What the shell starts ends with it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = Pid::from_raw(-self.0.id().cast_signed());
        // Once it has been waited for, another group could have its number.
        if self.is_running() {
            let _ = kill(group, Signal::SIGKILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PATIENT: &str = "echo ready; exec sleep 600";
/// A script that does not end by SIGTERM.
const STUBBORN: &str = "trap '' TERM; echo ready; while :; do sleep 600; done";

fn rows(output: &Output) -> Vec<Value> {
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["processes"].as_array().unwrap().clone()
}

#[test]
fn down_lists_what_still_runs() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut in_task = Program::start(&lab, &["web"], PATIENT);
    let mut in_vpc = Program::start(&lab, &["--vpc", "vpc-a"], PATIENT);
    let mut elsewhere = Command::new("sleep").arg("600").spawn().map(Program).unwrap();
    let down = lab.egret("down");
    let said = both_streams(&down);
    assert_eq!(down.status.code(), REMAIN, "{said}");
    assert_eq!(lab.wait(), Some(0));
    for (program, task) in [(&in_task, "web/1"), (&in_vpc, "-")] {
        let row = said.lines().find(|line| line.contains(&program.pid().to_string())).unwrap();
        assert_eq!(row.split_whitespace().nth(1), Some(task), "{said}");
        assert!(row.contains("sleep 600"), "{said}");
    }
    assert!(said.contains("--kill") && said.contains("kill "), "{said}");
    assert!(!said.contains(&format!("{} ", elsewhere.pid())), "{said}");
    assert!(in_task.is_running() && in_vpc.is_running() && elsewhere.is_running());
    // The next lab of this name takes none of the programs over.
    lab.up_again();
    assert_eq!(lab.egret("down").status.code(), Some(0));
    lab.wait();
}

/// The user who starts a program chooses its name and its arguments.
#[test]
fn names_of_programs_do_not_command_the_terminal() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let script = r"printf 'x\033[2K\nFORGED\a' > /proc/$$/comm; echo ready; sleep 600; :";
    let named = Program::start(&lab, &["web"], script);
    let script = r"echo ready; exec -a $'y\e[2K\nFORGED\a\u202e' sleep 600";
    let by_its_arguments = Program::start(&lab, &["web"], script);
    let down = lab.egret("down");
    assert_eq!(down.status.code(), REMAIN, "{}", both_streams(&down));
    assert_eq!(lab.wait(), Some(0));
    let said = both_streams(&down);
    for program in [&named, &by_its_arguments] {
        assert!(said.contains(&program.pid().to_string()), "{said}");
    }
    assert!(said.contains("bash -c printf") && said.contains(" y "), "{said}");
    let is_hidden = |c: char| c != '\n' && egret::edge::is_hidden(c);
    assert!(!said.contains(is_hidden), "{said:?}");
    assert!(!said.lines().any(|line| line.trim_start().starts_with("FORGED")), "{said}");
}

#[test]
fn down_ends_what_still_runs_and_nothing_else() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut patient = Program::start(&lab, &["web"], PATIENT);
    let mut stubborn = Program::start(&lab, &["public"], STUBBORN);
    let mut elsewhere = Command::new("sleep").arg("600").spawn().map(Program).unwrap();
    let down = lab.egret("down --kill --json");
    assert_eq!(down.status.code(), Some(0), "{}", both_streams(&down));
    assert_eq!(lab.wait(), Some(0));
    let ended = |pid: u32| {
        let rows = rows(&down);
        let row = rows.iter().find(|row| row["pid"] == pid).unwrap_or_else(|| panic!("{rows:?}"));
        (row["task"].clone(), row["state"].clone())
    };
    assert_eq!(ended(patient.pid()), (json!("web/1"), json!("ended by SIGTERM")));
    assert_eq!(ended(stubborn.pid()), (json!("public/1"), json!("ended by SIGKILL")));
    assert!(!patient.is_running() && !stubborn.is_running() && elsewhere.is_running());
}

/// By then the lab's process has dropped root's capabilities, which the program still has.
#[test]
fn lab_that_a_signal_ends_names_what_still_runs() {
    if !can_run() {
        return;
    }
    let (mut lab, mut terminal) = Lab::up_on_terminal(LAB);
    let mut program = Program::start(&lab, &["web"], PATIENT);
    lab.signal(Signal::SIGINT);
    terminal.hears(&format!("process {} still runs in {}-web-1", program.pid(), lab.name()));
    assert_eq!(lab.wait(), Some(0));
    assert!(program.is_running());
}

#[test]
fn up_after_a_killed_run_names_what_still_runs_in_what_it_clears() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut program = Program::start(&lab, &["web"], PATIENT);
    lab.end_by(Signal::SIGKILL);
    let said = lab.up_again_saying();
    let named = format!("process {} still runs in {}-web-1", program.pid(), lab.name());
    assert!(said.contains(&named), "{said}");
    assert!(program.is_running());
}

#[test]
fn down_after_a_killed_run_lists_and_ends_as_well() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut program = Program::start(&lab, &["web"], PATIENT);
    lab.end_by(Signal::SIGKILL);
    let down = lab.egret("down --kill -o json");
    assert_eq!(down.status.code(), Some(0), "{}", both_streams(&down));
    let rows = rows(&down);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let namespace = format!("{}-web-1", lab.name());
    assert_eq!(
        (&rows[0]["pid"], &rows[0]["namespace"]),
        (&json!(program.pid()), &json!(namespace))
    );
    assert!(!program.is_running());
}

#[test]
fn task_remove_lists_and_ends_what_still_runs_there() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let mut kept = Program::start(&lab, &["web"], PATIENT);
    let mut first = Program::start(&lab, &["web/2"], PATIENT);
    let removed = lab.egret("task remove web/2");
    let said = both_streams(&removed);
    assert_eq!(removed.status.code(), REMAIN, "{said}");
    assert!(
        said.contains("removed task web/2") && said.contains(&first.pid().to_string()),
        "{said}"
    );
    assert!(!said.contains(&kept.pid().to_string()), "{said}");
    assert!(first.is_running());
    // The next task of that name has another namespace.
    let mut second = Program::start(&lab, &["web/2"], PATIENT);
    let removed = lab.egret("task remove web/2 --kill --json");
    assert_eq!(removed.status.code(), Some(0), "{}", both_streams(&removed));
    let rows = rows(&removed);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["pid"], &rows[0]["task"]), (&json!(second.pid()), &json!("web/2")));
    assert!(!second.is_running() && first.is_running() && kept.is_running());
    let none = lab.egret("task remove public/1");
    assert_eq!(none.status.code(), Some(0), "{}", both_streams(&none));
    assert!(String::from_utf8_lossy(&none.stdout).is_empty());
}

#[test]
fn apply_lists_and_ends_what_runs_in_tasks_that_it_removes() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", LAB);
    let apply = |text: &str, options: &str| {
        let head = format!("lab = \"{}\"\ndevice = \"{}\"\n", lab.name(), lab.device());
        std::fs::write(lab.file(), head + text).unwrap();
        lab.egret(&format!("apply {} {options}", lab.file().display()))
    };
    let (without, _) = LAB.split_at(LAB.find("[[service]]\nname = \"public\"").unwrap());
    let mut kept = Program::start(&lab, &["web"], PATIENT);
    let mut first = Program::start(&lab, &["public"], PATIENT);
    let dry = apply(without, "--dry-run");
    assert_eq!(dry.status.code(), Some(0), "{}", both_streams(&dry));
    let applied = apply(without, "");
    let said = both_streams(&applied);
    assert_eq!(applied.status.code(), REMAIN, "{said}");
    assert!(said.contains(&first.pid().to_string()) && said.contains("public/1"), "{said}");
    assert!(!said.contains(&kept.pid().to_string()), "{said}");
    let back = apply(LAB, "");
    assert_eq!(back.status.code(), Some(0), "{}", both_streams(&back));
    let mut second = Program::start(&lab, &["public"], STUBBORN);
    let applied = apply(without, "--kill --json");
    assert_eq!(applied.status.code(), Some(0), "{}", both_streams(&applied));
    let rows = rows(&applied);
    let row = rows.iter().find(|row| row["pid"] == second.pid()).unwrap();
    assert_eq!((&row["task"], &row["state"]), (&json!("public/1"), &json!("ended by SIGKILL")));
    assert!(!second.is_running() && first.is_running() && kept.is_running());
}

/// A signal goes to the intended process, or to none.
#[test]
fn a_program_that_ended_by_itself_is_not_signalled() {
    if !can_run() {
        return;
    }
    let mut lab = Lab::up("auto", LAB);
    let mut program = Program::start(&lab, &["web"], PATIENT);
    kill(Pid::from_raw(program.pid().try_into().unwrap()), Signal::SIGTERM).unwrap();
    program.0.wait().unwrap();
    let down = finish(lab_down(&lab));
    assert_eq!(down.status.code(), Some(0), "{}", both_streams(&down));
    assert_eq!(lab.wait(), Some(0));
    assert_eq!(rows(&down), [Value::Null; 0]);
}

fn lab_down(lab: &Lab) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(["down", "--kill", "--json", "--lab", lab.name()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
