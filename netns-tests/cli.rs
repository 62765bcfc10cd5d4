//! The binary as scripts see it: exit codes, what goes to which stream, closed pipes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "cli/bounded.rs"]
mod bounded;
#[path = "support/completed.rs"]
mod completed;
#[path = "cli/completions.rs"]
mod completions;
#[path = "cli/formats.rs"]
mod formats;
#[path = "cli/graph.rs"]
mod graph;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/man.rs"]
mod man;
#[path = "cli/scripts.rs"]
mod scripts;
#[path = "cli/starting.rs"]
mod starting;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const LAB: &str = "examples/minimal.toml";

fn egret(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("EGRET_LAB");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs egret with a text on its standard input.
fn given(words: &[&str], text: &str) -> Output {
    let mut command = command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || {
        // A program that has read enough does not read the rest.
        let _ = input.write_all(text.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[test]
fn the_exit_code_is_the_answer() {
    let forward = egret(&["explain", "web", "orders-db", "--config", LAB]);
    assert_eq!(forward.status.code(), Some(0), "{}", stderr(&forward));
    assert!(stdout(&forward).starts_with("FORWARD\n"));

    let drop = egret(&["explain", "web", "orders-db:22", "--config", LAB]);
    assert_eq!(drop.status.code(), Some(1));
    assert!(stdout(&drop).starts_with("DROP sg-egress-implicit-deny\n"));
    assert_eq!(stderr(&drop), "");

    let unknown = egret(&["explain", "web", "orders-bd", "--config", LAB]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).starts_with("egret: `orders-bd` is neither"), "{}", stderr(&unknown));
    assert_eq!(stdout(&unknown), "");

    let nobody = egret(&["explain", "web", "orders-db", "--lab", "no-such-lab"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(stderr(&nobody).contains("egret: no lab `no-such-lab`"), "{}", stderr(&nobody));
    assert!(stderr(&nobody).contains("--config FILE"), "{}", stderr(&nobody));

    assert_eq!(egret(&["explain"]).status.code(), Some(2));
    let block = |to: &str| egret(&["explain", "web", to, "--config", LAB]);
    let mixed = block("10.0.0.0/16:*");
    assert_eq!(mixed.status.code(), Some(1), "{}", stderr(&mixed));
    assert!(stdout(&mixed).starts_with("MIXED\nVERDICT "), "{}", stdout(&mixed));
    let portless = block("10.0.0.0/16");
    assert_eq!((portless.status.code(), stdout(&portless).as_str()), (Some(2), ""));
    assert!(stderr(&portless).contains("10.0.0.0/16:*"), "{}", stderr(&portless));
    let running = egret(&["explain", "web", "orders-db", "--config", LAB, "--running"]);
    assert_eq!(running.status.code(), Some(2));
    assert!(stderr(&running).contains("--running"), "{}", stderr(&running));
    assert_eq!(egret(&["--version"]).status.code(), Some(0));
}

#[test]
fn reach_answers_with_rows_whatever_they_say() {
    let reach = |args: &[&str]| egret(&[&["reach", "--config", LAB], args].concat());
    let all = reach(&[]);
    assert_eq!(all.status.code(), Some(0), "{}", stderr(&all));
    assert!(stdout(&all).starts_with("SERVICE "), "{}", stdout(&all));
    assert!(stdout(&all).contains("orders-db ("), "{}", stdout(&all));
    let drops = reach(&["web", "--drops"]);
    assert_eq!(drops.status.code(), Some(0));
    assert!(stdout(&drops).contains("sg-egress-implicit-deny"), "{}", stdout(&drops));
    let to = reach(&["--to", "orders-db:22", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&to.stdout).unwrap();
    assert_eq!(
        (&answer["to"], &answer["rows"][0]["reaches"]),
        (&"orders-db:22".into(), &"none".into())
    );
    assert_eq!(to.status.code(), Some(0));

    let wrong = |args: &[&str], said: &str| {
        let output = egret(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
    };
    wrong(&["reach", "wbe", "--config", LAB], "no service `wbe` in the lab");
    wrong(&["reach", "--config", LAB, "--to", "orders-bd"], "`orders-bd` is neither");
    wrong(&["reach", "--config", LAB, "--to", "orders-db", "--drops"], "--drops");
    wrong(&["reach", "--lab", "no-such-lab"], "or ask a lab file with --config FILE");
}

#[test]
fn diff_exits_with_1_where_a_packet_has_another_verdict() {
    let same = egret(&["diff", LAB, LAB]);
    assert_eq!((same.status.code(), stderr(&same).as_str()), (Some(0), ""));
    assert_eq!(stdout(&same), "no packet has another verdict\n");

    let directory = tempfile::tempdir().unwrap();
    let changed = directory.path().join("changed.toml");
    let text = std::fs::read_to_string(LAB).unwrap();
    std::fs::write(&changed, text.replace("5432", "5433")).unwrap();
    let changed = changed.to_str().unwrap();
    let differs = egret(&["diff", LAB, changed, "--json"]);
    assert_eq!(differs.status.code(), Some(1), "{}", stderr(&differs));
    let answer: serde_json::Value = serde_json::from_slice(&differs.stdout).unwrap();
    let changes: Vec<&str> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["lost", "gained"], "{answer:#}");
    assert_eq!((&answer["before"], &answer["flows"]), (&LAB.into(), &serde_json::Value::Null));

    let of_source = egret(&["diff", "examples/vpc", "examples/vpc"]);
    assert_eq!(of_source.status.code(), Some(0), "{}", stderr(&of_source));
    let wrong = |args: &[&str], said: &str| {
        let output = egret(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
    };
    wrong(&["diff", LAB, "no-such.toml"], "no-such.toml");
    wrong(&["diff", LAB, "lab:no-such-lab"], "no lab `no-such-lab`");
    wrong(&["diff", LAB, changed, "--flows"], "--flows needs a running lab");
}

#[test]
fn json_is_one_object_with_every_key() {
    let output = egret(&["explain", "web", "orders-db:22", "--config", LAB, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "verdict",
            "reason",
            "code",
            "decided_by",
            "hint",
            "generation",
            "inside",
            "outside",
            "sentence",
            "nearest_miss",
            "steps",
            "fix",
            "question",
            "notes",
            "classes",
        ]
    );
    let class = answer["classes"][0].as_object().unwrap();
    let own: Vec<_> = class.keys().map(String::as_str).skip_while(|key| *key != "counts").collect();
    assert_eq!(
        own,
        [
            "counts",
            "share",
            "part",
            "whole",
            "attachments",
            "tasks",
            "source_ports",
            "gateway_addresses",
            "gateway_ports",
            "destinations",
            "ports",
        ]
    );
    assert_eq!(answer["decided_by"]["kind"], "security-groups");
    assert_eq!(answer["decided_by"]["id"], "sg-app");
    assert_eq!(answer["nearest_miss"]["id"], "sg-app");
    assert_eq!(answer["outside"], serde_json::Value::Null);
}

#[test]
fn check_says_no_to_errors_and_two_to_a_missing_file() {
    let fine = egret(&["check", LAB]);
    assert_eq!(fine.status.code(), Some(0));
    assert!(stdout(&fine).contains("no errors"), "{}", stdout(&fine));

    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.toml");
    std::fs::write(&bad, "[[vpc]]\nid = \"vpc\"\ncidr = \"10.0.0.0/16\"\nfoo = 1\n").unwrap();
    let bad = bad.to_str().unwrap();
    let errors = egret(&["check", bad, "--json"]);
    assert_eq!(errors.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&errors.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["errors"][0]["line"], 4);

    let config = egret(&["explain", "web", "orders-db", "--config", bad]);
    assert_eq!(config.status.code(), Some(2));
    assert!(stderr(&config).contains("egret: 1 error in the lab file"), "{}", stderr(&config));

    let missing = egret(&["check", "no-such-file.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert_eq!(stdout(&missing), "");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = command(&["explain", "web", "orders-db", "--config", LAB])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn colour_is_only_for_who_asks() {
    let args = ["explain", "web", "orders-db", "--config", LAB, "--color"];
    let coloured = |when| stdout(&egret(&[&args[..], &[when]].concat())).contains('\x1b');
    assert!(coloured("always"));
    assert!(!coloured("auto"));
    assert!(!coloured("never"));
}

/// A folder of `aws ec2 describe-*` output.
const VPC: &str = "examples/vpc";

#[test]
fn an_import_writes_a_lab_file_that_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let file = file.to_str().unwrap();
    let import = ["import", VPC, "--output", file, "--lab", "shop"];
    let written = egret(&import);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    assert_eq!(stdout(&written), "");
    assert!(stderr(&written).starts_with("assumed: VPC endpoint"), "{}", stderr(&written));
    assert!(std::fs::read_to_string(file).unwrap().contains("\nlab = \"shop\"\n"));
    let checked = egret(&["check", file]);
    assert!(stdout(&checked).contains("no errors, no warnings"), "{}", stdout(&checked));

    let again = egret(&import);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    assert_eq!(egret(&[&import[..], &["--force"]].concat()).status.code(), Some(0));

    let json = egret(&["import", VPC, "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!(findings[0]["kind"], "assumed");
    assert!(stdout(&json).starts_with("# Written by `egret import`"));
}

/// A finding about a rule of the source points into the source, not into a lab file that does not
/// exist.
#[test]
fn a_source_answers_without_a_lab_file() {
    let forward = egret(&["explain", "web", "orders-db", "--from", VPC]);
    assert_eq!(forward.status.code(), Some(0), "{}", stderr(&forward));
    let drop = egret(&["explain", "web", "sessions-001", "--from", VPC]);
    assert_eq!(drop.status.code(), Some(1));
    let said = stdout(&drop);
    assert!(said.contains("(describe-security-groups.json: SecurityGroups[1])"), "{said}");
    assert!(!said.contains("egret import"), "{said}");
    let listed = egret(&["explain", "web", "sessions-001", "--from", VPC, "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let place = "describe-security-groups.json: SecurityGroups[1]";
    assert_eq!(answer["decided_by"]["place"], place);
    assert_eq!(answer["classes"][0]["decided_by"]["place"], place);
    assert_eq!(answer["steps"].as_array().unwrap().last().unwrap()["place"], place);
    let checked = egret(&["check", "--from", VPC]);
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    let added = ["--connector", "jobs=data-b:cache"];
    let jobs = egret(&[&["explain", "jobs", "sessions-001", "--from", VPC][..], &added].concat());
    assert!(stdout(&jobs).starts_with("DROP"), "{}", stdout(&jobs));
}

#[test]
fn a_source_that_is_none_is_refused_with_its_place() {
    let missing = egret(&["import", "examples/no-such-vpc"]);
    assert_eq!((missing.status.code(), stdout(&missing).as_str()), (Some(2), ""));
    assert!(stderr(&missing).contains("examples/no-such-vpc: cannot be read"));
    let empty = egret(&["check", "--from", "scripts"]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(stderr(&empty).contains("there is no JSON file here"), "{}", stderr(&empty));
    let folder = egret(&["import", VPC, "--output", "examples"]);
    assert!(stderr(&folder).contains("examples is a directory"), "{}", stderr(&folder));
    let unknown = egret(&["import", VPC, "--connector", "jobs=nowhere"]);
    assert!(stderr(&unknown).contains("no subnet \"nowhere\""), "{}", stderr(&unknown));
    let beside = egret(&["check", LAB, "--lenient"]);
    assert!(stderr(&beside).contains("--from SOURCE"), "{}", stderr(&beside));
}

const THREE_AZ: &str = "examples/three-az.toml";

/// Writes a file of expectations about `examples/three-az.toml`, and returns its folder and its
/// path.
fn expectations(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("expectations.toml");
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (folder, path)
}

fn expectation(from: &str, to: &str, is: &str) -> String {
    format!("[[expect]]\nfrom = \"{from}\"\nto = \"{to}\"\nis = \"{is}\"\n")
}

#[test]
fn a_test_exits_as_its_expectations_hold_or_fail() {
    let own = egret(&["test", THREE_AZ]);
    assert_eq!(own.status.code(), Some(0), "{}{}", stdout(&own), stderr(&own));
    assert!(stdout(&own).ends_with(" expectations: all hold\n"), "{}", stdout(&own));
    assert_eq!(stderr(&own), "");

    let both =
        expectation("web", "orders-db", "reachable") + &expectation("web", "cache", "reachable");
    let (folder, file) = expectations(&both);
    let junit = folder.path().join("egret.xml");
    let junit = junit.to_str().unwrap();
    let asked = ["test", &file, "--config", THREE_AZ];
    let failing = egret(&[&asked[..], &["--github", "--junit", junit]].concat());
    assert_eq!(failing.status.code(), Some(1), "{}", stderr(&failing));
    let said = stdout(&failing);
    assert!(
        said.starts_with(&format!("ok    {file}:1  web -> orders-db is reachable\n")),
        "{said}"
    );
    assert!(said.contains(&format!("\nFAIL  {file}:5  web -> cache is reachable\n")), "{said}");
    assert!(said.contains("\n1 of 2 expectations holds\n"), "{said}");
    assert!(said.contains(&format!("\n::error file={file},line=5,title=")), "{said}");
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");

    let json = egret(&[&asked[..], &["--json"]].concat());
    assert_eq!(json.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let counted = (&answer["ok"], &answer["held"], &answer["failed"]);
    assert_eq!(counted, (&false.into(), &1.into(), &1.into()));
    assert_eq!(answer["expectations"][1]["failures"][0]["verdict"], "drop");
}

#[test]
fn a_test_that_cannot_be_made_exits_with_2() {
    let (_folder, file) = expectations(&expectation("web", "orders-bd", "blocked"));
    let asked = ["test", &file, "--config", THREE_AZ];
    let misspelt = egret(&[&asked[..], &["--github"]].concat());
    assert_eq!(misspelt.status.code(), Some(2));
    assert!(stderr(&misspelt).contains("did you mean \"orders-db\"?"), "{}", stderr(&misspelt));
    assert!(stderr(&misspelt).ends_with("egret: 1 error in the expectations\n"));
    let annotation = format!("::error file={file},line=3,col=6,title=egret%3A unknown-name::");
    assert!(stdout(&misspelt).starts_with(&annotation), "{}", stdout(&misspelt));
    let unreadable = [
        (vec!["test"], "give a file with [[expect]] sections"),
        (vec!["test", LAB], "examples/minimal.toml has no [[expect]] section"),
        (vec!["test", &file], "give the lab with --config FILE"),
        (vec!["test", "no-such-file.toml", "--config", THREE_AZ], "cannot read no-such-file.toml"),
        (vec!["test", "--from", VPC], "has no [[expect]] section"),
        (vec!["test", &file, "--lab", "no-such-lab"], "no lab `no-such-lab` is running"),
        (
            vec!["test", THREE_AZ, "--junit", "no-such-folder/x.xml"],
            "cannot write no-such-folder/x",
        ),
        (vec!["test", THREE_AZ, "--json", "--github"], "cannot be used with"),
        (vec!["test", THREE_AZ, "--lenient"], "--from"),
    ];
    for (arguments, message) in unreadable {
        let output = egret(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

/// `egret check` finds a misspelt name in a lab file's expectations, on which no packet depends.
#[test]
fn check_looks_names_of_expectations_up() {
    let text = std::fs::read_to_string(LAB).unwrap();
    let (_folder, sound) =
        expectations(&(text.clone() + &expectation("web", "orders-db", "blocked")));
    assert_eq!(egret(&["check", &sound]).status.code(), Some(0), "failing is not unsound");
    let (_folder, misspelt) = expectations(&(text + &expectation("wbe", "orders-db", "blocked")));
    let checked = egret(&["check", &misspelt, "--json"]);
    assert_eq!(checked.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(answer["errors"][0]["rule"], "unknown-name");
    assert_eq!(answer["errors"][0]["text"], "\"wbe\"");
}

#[test]
fn expectations_name_places_of_a_source() {
    let (_folder, file) = expectations(&expectation("web", "sessions-001", "reachable"));
    let tested = egret(&["test", &file, "--from", VPC]);
    assert_eq!(tested.status.code(), Some(1), "{}", stderr(&tested));
    let said = stdout(&tested);
    assert!(said.contains("(describe-security-groups.json: SecurityGroups[1])"), "{said}");
}

/// Runs the commands of the example workflow, except the installation.
#[test]
fn the_commands_of_the_example_workflow_pass() {
    let workflow = std::fs::read_to_string("examples/ci/egret.yml").unwrap();
    let runs: Vec<&str> =
        workflow.lines().filter_map(|line| line.trim().strip_prefix("run: ")).collect();
    let (install, commands) = runs.split_first().unwrap();
    assert!(install.ends_with("cargo install --locked --path ."), "{install}");
    assert!(commands.len() >= 3, "{commands:?}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_egret")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let folder = tempfile::tempdir().unwrap();
    for command in commands {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", command])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", &path)
            .env("RUNNER_TEMP", folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}{}", stdout(&output), stderr(&output));
    }
    let reports = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(reports, 2, "each test writes a report for the last step");
}

/// A lab whose group lets nothing out, with comments around the place that changes.
const CLOSED: &str = r#"# A lab.
[[vpc]]
id = "vpc"
cidr = "10.0.0.0/16"

[[subnet]]
id = "subnet"
vpc = "vpc"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"

[[security_group]]
id = "sg-app"
vpc = "vpc"
egress = [
    { protocol = "tcp", ports = "53", to = "10.0.0.2/32" }, # DNS
]

[[security_group]]
id = "sg-db" # of the database
vpc = "vpc"

[[resource]]
name = "db"
subnet = "subnet"
address = "10.0.1.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]

[[vpc_connector]]
name = "c"
subnets = ["subnet"]
security_groups = ["sg-app"]

[[service]]
name = "web"
vpc_connector = "c"
"#;

/// Applies a patch to `lab.toml` with `patch` or `git`, in a folder, which it returns.
fn patched_by(program: &str, arguments: &[&str], patch: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lab.toml"), CLOSED).unwrap();
    std::fs::write(folder.path().join("fix.patch"), patch).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path()).env("GIT_CEILING_DIRECTORIES", "/");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program}: {}{}", stdout(&output), stderr(&output));
    folder
}

#[test]
fn a_patch_is_printed_alone_and_patch_and_git_apply_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    std::fs::write(&file, CLOSED).unwrap();
    let fix = |file: &str, folder: &std::path::Path| {
        let mut command = command(&["explain", "web", "db:5432", "--config", file, "--fix"]);
        command.current_dir(folder).output().unwrap()
    };
    let printed = fix("lab.toml", folder.path());
    assert_eq!((printed.status.code(), stderr(&printed).as_str()), (Some(0), ""));
    let patch = stdout(&printed);
    let expected = "--- lab.toml
+++ lab.toml
@@ -14,11 +14,13 @@
 vpc = \"vpc\"
 egress = [
     { protocol = \"tcp\", ports = \"53\", to = \"10.0.0.2/32\" }, # DNS
+    { protocol = \"tcp\", ports = \"5432\", to = \"sg-db\" },
 ]
 
 [[security_group]]
 id = \"sg-db\" # of the database
 vpc = \"vpc\"
+ingress = [{ protocol = \"tcp\", ports = \"5432\", from = \"sg-app\" }]
 
 [[resource]]
 name = \"db\"
";
    assert_eq!(patch, expected);
    assert_eq!(stdout(&fix(&file.display().to_string(), folder.path())), patch);
    for (program, arguments) in
        [("patch", &["-p0", "-i", "fix.patch"][..]), ("git", &["apply", "fix.patch"])]
    {
        let folder = patched_by(program, arguments, &patch);
        let file = folder.path().join("lab.toml").display().to_string();
        let forward = egret(&["explain", "web", "db:5432", "--config", &file]);
        assert_eq!(forward.status.code(), Some(0), "{program}: {}", stdout(&forward));
        let nothing = fix("lab.toml", folder.path());
        assert_eq!((nothing.status.code(), stdout(&nothing).as_str()), (Some(0), ""));
        assert!(stderr(&nothing).starts_with("egret: nothing to fix"), "{}", stderr(&nothing));
    }
}

#[test]
fn a_fix_that_cannot_be_a_patch_says_why() {
    let case = "src/explain/cases/private-nat-igw.toml";
    let unknown = egret(&["explain", "web", "api", "--config", case, "--fix"]);
    assert_eq!((unknown.status.code(), stdout(&unknown).as_str()), (Some(1), ""));
    assert!(stderr(&unknown).starts_with("egret: no patch: still DROP igw-private-nat"));
    let both = egret(&["explain", "web", "api", "--config", case, "--fix", "--json"]);
    assert_eq!(both.status.code(), Some(2));
    let nobody = egret(&["explain", "web", "api", "--lab", "no-such-lab", "--fix"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(stderr(&nobody).contains("--config FILE"), "{}", stderr(&nobody));
}

#[test]
fn the_change_for_a_source_is_printed_in_its_own_words() {
    let source = egret(&["explain", "web", "sessions-001", "--from", VPC, "--fix"]);
    // The answer is the first of two changes.
    assert_eq!(source.status.code(), Some(1), "{}", stderr(&source));
    let (commands, notes) = (stdout(&source), stderr(&source));
    assert!(commands.starts_with("aws ec2 authorize-security-group-egress"), "{commands}");
    assert!(notes.contains("egret: to change sg-005e081784b117b65: run"), "{notes}");
    assert!(notes.contains("still dropped, nacl-ingress-implicit-deny"), "{notes}");
}

/// Runs `egret` with a lab's name in the environment.
fn egret_under(lab: &str, args: &[&str]) -> Output {
    command(args).env("EGRET_LAB", lab).output().unwrap()
}

#[test]
fn lab_name_of_the_environment_counts_for_each_command_that_takes_a_file() {
    let imported = egret_under("shop", &["import", "examples/vpc"]);
    assert!(stdout(&imported).contains("\nlab = \"shop\"\n"), "{}", stderr(&imported));
    let named = egret_under("shop", &["import", "examples/vpc", "--lab", "other"]);
    assert!(stdout(&named).contains("\nlab = \"other\"\n"), "{}", stderr(&named));
    let explain = ["explain", "web", "orders-db", "--config", LAB];
    let of_file: [&[&str]; 5] = [
        &["check", LAB],
        &explain,
        &["reach", "--config", LAB],
        &["diff", LAB, LAB],
        &["import", "examples/vpc"],
    ];
    for args in of_file {
        let sound = egret_under("shop", args);
        assert_eq!(sound.status.code(), Some(0), "{args:?}: {}", stderr(&sound));
        let wrong = egret_under("Shop!", args);
        assert_eq!(wrong.status.code(), Some(2), "{args:?}: {}", stdout(&wrong));
        assert!(stderr(&wrong).contains("Shop!"), "{args:?}: {}", stderr(&wrong));
        let none = egret_under("", args);
        assert_eq!(none.status.code(), Some(0), "{args:?}: {}", stderr(&none));
    }
    let of_none = egret_under("", &["import", "examples/vpc"]);
    assert!(stdout(&of_none).contains("\nlab = \"vpc\"\n"), "{}", stderr(&of_none));
    let wrong = egret(&["import", "examples/vpc", "--lab", ""]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stdout(&wrong));
}

#[test]
fn imported_lab_is_named_after_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("My VPC (prod), the one of the account of the shop.");
    std::os::unix::fs::symlink(std::fs::canonicalize(VPC).unwrap(), &odd).unwrap();
    let nameless = folder.path().join("___");
    std::os::unix::fs::symlink(std::fs::canonicalize(VPC).unwrap(), &nameless).unwrap();
    let template = "examples/vpc-cloudformation.yaml";
    let sources: [(&[&str], &str); 6] = [
        (&[VPC], "vpc"),
        (&["examples/../examples/vpc/"], "vpc"),
        (&[template], "vpc-cloudformation"),
        (&[template, "--parameter", "AWS::StackName=Shop_Prod"], "shop-prod"),
        (&[odd.to_str().unwrap()], "my-vpc-prod-the-one-of-the-accou"),
        (&[nameless.to_str().unwrap()], "egret"),
    ];
    for (source, name) in sources {
        let imported = egret(&[&["import"], source].concat());
        let text = stdout(&imported);
        assert!(
            text.contains(&format!("\nlab = \"{name}\"\n")),
            "{source:?}: {}",
            stderr(&imported)
        );
    }
    let here = command(&["import", "."]).current_dir(VPC).output().unwrap();
    assert!(stdout(&here).contains("\nlab = \"vpc\"\n"), "{}", stdout(&here));
}

#[test]
fn region_is_one_of_awss_form_and_format_one_that_the_source_can_have() {
    for region in ["us-east-1", "us-gov-west-1", "eusc-de-east-1", "cn-north-1", "ap-southeast-12"]
    {
        let imported = egret(&["import", "examples/vpc-cloudformation.yaml", "--region", region]);
        assert_eq!(imported.status.code(), Some(0), "{region}: {}", stderr(&imported));
        assert!(stdout(&imported).contains(&format!("\nregion = \"{region}\"\n")), "{region}");
    }
    for region in ["mars", "us-east", "us-east-1a", "US-EAST-1", "us-east-01", "", "eu--1"] {
        let by_option = ["import", "examples/vpc-cloudformation.yaml", "--region", region];
        let parameter = format!("AWS::Region={region}");
        let by_parameter =
            ["import", "examples/vpc-cloudformation.yaml", "--parameter", &parameter];
        let checked = ["check", "--from", VPC, "--region", region];
        for args in [&by_option[..], &by_parameter, &checked] {
            let refused = egret(args);
            let said = stderr(&refused);
            assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(2), ""), "{said}");
            assert!(said.contains("such as us-east-1"), "{args:?}: {said}");
        }
    }
    for format in ["terraform", "cloudformation"] {
        let refused = egret(&["import", VPC, "--format", format]);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(2), ""), "{format}");
        let said = stderr(&refused);
        assert!(
            said.contains(&format!("--format {format}")) && said.contains("describe"),
            "{said}"
        );
    }
    assert_eq!(egret(&["import", VPC, "--format", "describe"]).status.code(), Some(0));
    let unknown = stderr(&egret(&["import", VPC, "--format", "x"]));
    assert!(
        unknown.contains("[possible values: auto, describe, cloudformation, terraform]"),
        "{unknown}"
    );
}

#[test]
fn empty_file_is_the_same_error_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("empty.toml", ""), ("nothing.toml", "lab = \"shop\"\n[timeouts]\n")] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let all: [(&[&str], i32); 10] = [
            (&["check", file], 1),
            (&["up", file], 2),
            (&["apply", file], 2),
            (&["apply", file, "--dry-run"], 2),
            (&["explain", "web", "db", "--config", file], 2),
            (&["explain", "web", "db", "--config", file, "--fix"], 2),
            (&["reach", "--config", file], 2),
            (&["diff", file, LAB], 2),
            (&["diff", LAB, file], 2),
            (&["test", file], 2),
        ];
        for (args, code) in all {
            let refused = egret(args);
            let said = stderr(&refused) + &stdout(&refused);
            assert_eq!(refused.status.code(), Some(code), "{args:?}: {said}");
            assert!(said.contains("empty-lab") && said.contains("[[vpc]]"), "{args:?}: {said}");
        }
        let json: serde_json::Value =
            serde_json::from_slice(&egret(&["check", file, "--json"]).stdout).unwrap();
        assert_eq!(
            (&json["errors"][0]["rule"], &json["errors"][0]["line"]),
            (&"empty-lab".into(), &1.into())
        );
    }
}

/// A file's name may say nothing about its kind, and a pipe can be read only once.
#[test]
fn diff_tells_a_lab_file_from_a_source_by_its_text() {
    let directory = tempfile::tempdir().unwrap();
    for (file, options) in [(LAB, &[][..]), ("examples/vpc-terraform.json", &["--lenient"])] {
        let text = std::fs::read_to_string(file).unwrap();
        let unnamed = directory.path().join("unnamed");
        std::fs::write(&unnamed, &text).unwrap();
        for words in [["diff", "-", file], ["diff", unnamed.to_str().unwrap(), file]] {
            let output = given(&[&words[..], options].concat(), &text);
            assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        }
    }
}
