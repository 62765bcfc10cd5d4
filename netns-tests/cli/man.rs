//! The manual pages.

use super::{egret, stderr, stdout};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The width of rendered pages.
const WIDTH: usize = 120;

fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = egret(&["man", folder.path().to_str().unwrap()]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(stdout(&output), "");
    folder
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// `docs/commands` has a page for each command, by the test of those pages.
#[test]
fn every_command_has_a_page_in_the_manual() {
    let folder = written();
    let documented = names(Path::new("docs/commands")).into_iter();
    // What packages and container engines call is in no manual.
    let documented = documented.filter(|name| !["man.md", "cni.md"].contains(&name.as_str()));
    let expected = documented.map(|name| match name.as_str() {
        "index.md" => "egret.1".to_owned(),
        name => format!("egret-{}.1", name.trim_end_matches(".md")),
    });
    assert_eq!(names(folder.path()), expected.collect());
    let first = fs::read(folder.path().join("egret.1")).unwrap();
    assert_eq!(egret(&["man"]).stdout, first);
    // A further run writes the pages again, each byte as before.
    assert_eq!(egret(&["man", folder.path().to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(fs::read(folder.path().join("egret.1")).unwrap(), first);
}

#[test]
fn page_keeps_the_lines_of_exit_codes_and_examples() {
    let Some(page) = rendered("egret-exec.1") else { return };
    let flat = page.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert!(flat.contains("egret-exec - Run a command inside a task"), "{flat}");
    assert!(flat.contains("\nEXIT STATUS\n       1    egret could not enter"), "{flat}");
    assert!(flat.contains("\n       127  the command does not exist\n\nEXAMPLES\n"), "{flat}");
    assert!(flat.contains("\n       sudo egret exec --vpc vpc-prod -- iperf3 -s      "), "{flat}");
}

fn rendered(page: &str) -> Option<String> {
    let folder = written();
    let file = folder.path().join(page);
    let output = run("man", &["-l", file.to_str().unwrap()])?;
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn pages_give_no_warnings_and_have_names() {
    let folder = written();
    for name in names(folder.path()) {
        let file = folder.path().join(&name);
        let file = file.to_str().unwrap();
        let of_groff = run("groff", &["-man", "-ww", "-z", file]);
        let of_man = run("man", &["--warnings", "-l", file]);
        for output in [of_groff, of_man].into_iter().flatten() {
            assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{name}");
            let wide = stdout(&output)
                .lines()
                .find(|line| line.chars().count() > WIDTH)
                .map(str::to_owned);
            assert_eq!(wide, None, "{name}");
        }
        if let Some(named) = run("lexgrog", &[file]) {
            let name = name.trim_end_matches(".1");
            assert!(stdout(&named).contains(&format!("\"{name} - ")), "{}", stdout(&named));
        }
    }
}

/// A paragraph of the help is one line, which the terminal breaks.
#[test]
fn regression_no_line_that_stays_as_it_is_is_wide() {
    let folder = written();
    for name in names(folder.path()) {
        let page = fs::read_to_string(folder.path().join(&name)).unwrap();
        let mut is_filled = true;
        for line in page.lines() {
            match line {
                ".nf" => is_filled = false,
                ".fi" => is_filled = true,
                // Escapes are longer than what they show.
                line => assert!(is_filled || line.replace('\\', "").len() <= 110, "{name}: {line}"),
            }
        }
        assert!(is_filled, "{name}");
    }
}

/// Runs a program that reads manual pages; `None` where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("MANWIDTH", WIDTH.to_string())
        .env("LC_ALL", "C.UTF-8")
        .env("MANPAGER", "cat");
    let output = command.output().ok();
    if output.is_none() {
        println!("skipped: {program} is not installed");
    }
    output
}

#[test]
fn page_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    let refused = egret(&["man", missing.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("make it with `mkdir -p"), "{}", stderr(&refused));
    fs::create_dir(folder.path().join("egret.1")).unwrap();
    let refused = egret(&["man", folder.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("egret: cannot write"), "{}", stderr(&refused));
}
