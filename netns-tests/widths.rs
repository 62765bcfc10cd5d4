//! What people see on a terminal of 80, 100 and 160 columns: no line is wider, and the tables keep
//! what matters most. The rows are of a lab that only answers, so that they are the same each time.

mod answers;

use crate::support::lab::can_run;
use crate::support::terminal::Terminal;
use answers::Answers;
use nix::sys::termios::SpecialCharacterIndices::{VQUIT, VSUSP};
use nix::sys::termios::tcgetattr;
use std::process::{Command, Stdio};

const WIDTHS: [u16; 3] = [80, 100, 160];
const ROWS: u16 = 40;
const SOURCE: &str = "examples/vpc";

fn egret(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_remove("EGRET_LAB").env("NO_COLOR", "1");
    command
}

/// Runs a command on terminals of each width, and returns what they show.
fn shown(words: &[&str]) -> String {
    let on = |columns| {
        let text = Terminal::shows(&mut egret(words), columns, ROWS);
        let wider = text.lines().find(|line| line.chars().count() > usize::from(columns));
        assert_eq!(wider, None, "`{}` at {columns} columns", words.join(" "));
        format!("==== {columns} columns\n{text}")
    };
    WIDTHS.map(on).concat()
}

macro_rules! snapshots {
    ($($name:ident: $words:expr),* $(,)?) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(shown(&$words));
        })*
    };
}

snapshots! {
    explain: ["explain", "web", "orders-db", "--from", SOURCE],
    explain_a_drop: ["explain", "web", "10.20.21.44:22", "--from", SOURCE],
    explain_with_classes: ["explain", "web", "10.20.0.0/16:*", "--from", SOURCE],
    reach: ["reach", "web", "--from", SOURCE],
    reach_to: ["reach", "--to", "orders-db", "--from", SOURCE],
    import: ["import", SOURCE, "--output", "/dev/null", "--force"],
    bench: ["bench", "table", "netns-tests/widths/bench.json"],
}

#[test]
fn diff() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let imported = egret(&["import", SOURCE]).output().unwrap();
    let before = String::from_utf8(imported.stdout).unwrap();
    let words = [
        "diff",
        &file("before.toml", &before),
        &file("after.toml", &before.replace("\"5432\"", "\"5433\"")),
    ];
    insta::assert_snapshot!(shown(&words));
}

#[test]
fn tables_of_a_running_lab() {
    if !can_run() {
        return;
    }
    let lab = Answers::begin();
    for command in ["flows", "drops", "enis", "ps", "services"] {
        insta::assert_snapshot!(command, shown(&[command, "--lab", lab.name()]));
    }
}

#[test]
fn streams_of_a_running_lab() {
    if !can_run() {
        return;
    }
    let lab = Answers::begin();
    let trace = shown(&["trace", "--count", "4", "--lab", lab.name()]);
    insta::assert_snapshot!("trace", trace.replace(lab.name(), "shop"));
    insta::assert_snapshot!("top", shown(&["top", "--count", "1", "--lab", lab.name()]));
}

/// A terminal of ten rows: the busiest flows, and how many there are besides.
#[test]
fn top_keeps_the_busiest_rows_and_never_exceeds_the_terminal() {
    if !can_run() {
        return;
    }
    let lab = Answers::begin();
    let mut top = egret(&["top", "--count", "1", "--lab", lab.name()]);
    let text = Terminal::shows(&mut top, 80, 10);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() < 10, "{text}");
    assert!(lines[0].starts_with("NAME") && lines[1].starts_with("web/1 tcp"), "{text}");
    assert!(text.contains("… and 24 more"), "{text}");
    assert!(lines.last().unwrap().starts_with("drops a second:"), "{text}");
}

#[test]
fn wide_tables_named_columns_and_tables_without_headings_are_whole() {
    if !can_run() {
        return;
    }
    let lab = Answers::begin();
    let printed = |words: &[&str]| {
        let output = egret(&[words, &["--lab", lab.name()]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let wide = printed(&["flows", "-o", "wide"]);
    assert!(wide.contains("eni-062b00408dc57bf15:5258"), "{wide}");
    assert!(wide.lines().next().unwrap().ends_with("GENERATION"), "{wide}");
    let named = printed(&["ps", "--columns", "eni,task", "--no-headers"]);
    assert_eq!(named, "eni-062b00408dc57bf15  web/1\neni-062b00408dc57bf15  web/12\n");
    let noted = egret(&["ps", "--no-headers", "--lab", lab.name()]).output().unwrap();
    let noted = String::from_utf8(noted.stderr).unwrap();
    assert_eq!(noted, "timeouts pass 60 times as fast\n", "no note is among the rows");
    assert_eq!(printed(&["enis", "--holders", "--no-headers"]), "");
    let wrong = egret(&["ps", "--columns", "pid", "--lab", lab.name()]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let piped = printed(&["drops"]);
    assert!(piped.lines().all(|line| line.chars().count() <= 100), "{piped}");
    let narrow = egret(&["drops", "--lab", lab.name()]).env("COLUMNS", "60").output().unwrap();
    let narrow = String::from_utf8(narrow.stdout).unwrap();
    assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
}

#[test]
fn watched_table_is_shown_again_until_q_and_the_first_screen_comes_back() {
    if !can_run() {
        return;
    }
    let lab = Answers::begin();
    let (mut terminal, other_end) = Terminal::open();
    let mut command = egret(&["ps", "--watch=100ms", "--lab", lab.name()]);
    let ends = || Stdio::from(other_end.try_clone().unwrap());
    let before = tcgetattr(&other_end).unwrap();
    let mut watch = command.stdin(ends()).stdout(ends()).stderr(ends()).spawn().unwrap();
    terminal.hears("\x1b[?1049h");
    terminal.hears("web/1");
    terminal.hears("web/1");
    // Neither Ctrl-Z nor Ctrl-\ ends it while the terminal is not as it was.
    let meanwhile = tcgetattr(&other_end).unwrap().control_chars;
    assert_eq!([VSUSP, VQUIT].map(|key| meanwhile[key as usize]), [0, 0]);
    terminal.types("q");
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    terminal.hears("\x1b[?1049l");
    assert_eq!(tcgetattr(&other_end).unwrap(), before);

    // Without a terminal the tables are below each other, or JSON documents on a line each.
    let mut command = egret(&["ps", "-w=100ms", "--json", "--lab", lab.name()]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(watch.stdout.take().unwrap());
    let lines: Vec<String> = std::io::BufRead::lines(lines).take(2).map(Result::unwrap).collect();
    assert!(lines.iter().all(|line| line.starts_with('[') && line.ends_with(']')), "{lines:?}");
    // Its next line has no reader.
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}
