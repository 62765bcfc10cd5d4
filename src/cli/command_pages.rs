//! Checks `docs/commands/`: it has a page for each command, made from its `--help`.
//!
//! `EGRET_UPDATE_DOCS=1 cargo test --lib command_pages` writes them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::Cli;
use clap::CommandFactory as _;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Columns of the help, as of every output.
const WIDTH: usize = 100;

/// A command's page: its file's name and its text.
pub(crate) type Pages = BTreeMap<String, String>;

pub(crate) fn pages() -> Pages {
    let mut root = Cli::command().term_width(WIDTH).disable_help_subcommand(true);
    root.build();
    let mut pages = Pages::from([("index.md".to_owned(), index(&mut root))]);
    for command in root.get_subcommands_mut() {
        add(&mut pages, command, "");
    }
    pages
}

fn add(pages: &mut Pages, command: &mut clap::Command, parent: &str) {
    let name = format!("{parent}{}", command.get_name());
    pages.insert(format!("{name}.md"), page(command));
    for own in command.get_subcommands_mut().filter(|own| !own.is_hide_set()) {
        add(pages, own, &format!("{name}-"));
    }
}

fn title(command: &clap::Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

/// Writes a page: what the command does, then a section for each part of its help.
fn page(command: &mut clap::Command) -> String {
    let help = command.clone().term_width(WIDTH).render_long_help().to_string();
    let mut page = format!("# {}\n\n", title(command));
    let (about, rest) = help.split_once("Usage: ").unwrap();
    writeln!(page, "{}\n", about.trim()).unwrap();
    let (usage, rest) = rest.split_once("\n\n").unwrap_or((rest, ""));
    // Further usages stand below the first, behind `Usage: `.
    let usage = usage.trim().replace("\n       ", "\n");
    writeln!(page, "```text\n{usage}\n```").unwrap();
    for (heading, text) in sections(rest) {
        writeln!(page, "\n## {heading}\n\n```text\n{}\n```", text.trim_end()).unwrap();
    }
    page
}

/// Splits help at its headings, which are lines like `Options:`. Text before the first is a
/// description.
fn sections(help: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        let heading = line.strip_suffix(':').filter(|line| !line.starts_with(' '));
        match (heading, sections.last_mut()) {
            (Some(heading), _) => sections.push((heading.to_owned(), String::new())),
            (None, Some((_, text))) => {
                text.push_str(line.strip_prefix("  ").unwrap_or(line));
                text.push('\n');
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => sections.push(("Description".to_owned(), format!("{line}\n"))),
        }
    }
    sections
}

fn index(root: &mut clap::Command) -> String {
    let mut page = String::from(
        "# Commands\n\nEach command has a page, with the text of its `--help`.\n\n| command | what it does |\n|---|---|\n",
    );
    for command in root.get_subcommands() {
        let (name, about) = (command.get_name(), command.get_about().unwrap().to_string());
        writeln!(page, "| [`egret {name}`]({name}.md) | {} |", about.replace('|', "\\|")).unwrap();
    }
    page
}

#[test]
fn every_command_has_its_page_as_its_help_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/commands");
    let wanted = pages();
    if std::env::var_os("EGRET_UPDATE_DOCS").is_some() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in &wanted {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let mut found = Pages::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        found.insert(name, std::fs::read_to_string(path).unwrap());
    }
    let way_out = "EGRET_UPDATE_DOCS=1 cargo test --lib command_pages";
    assert!(found.keys().eq(wanted.keys()), "run `{way_out}`");
    for (name, text) in &wanted {
        assert_eq!(&found[name], text, "docs/commands/{name}: run `{way_out}`");
    }
}

/// Returns the exit codes that begin lines of a text, each behind the same characters.
fn codes(text: &str, before: &str) -> Vec<u8> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(before));
    let codes = lines.filter_map(|line| line.split([':', ' ']).next()?.parse().ok());
    codes.collect()
}

#[test]
fn every_exit_code_of_a_help_is_in_the_reference() {
    let reference = include_str!("../../docs/reference/exit-codes.md");
    // Those of commands with several forms have one section for all of them.
    let groups = ["bench", "resource", "task"];
    let has_own = |name: &str| name != "index" && !groups.iter().any(|own| name.starts_with(own));
    let mut faults = Vec::new();
    for (name, page) in pages() {
        let name = name.trim_end_matches(".md");
        if !has_own(name) {
            continue;
        }
        let (Some((_, of_help)), Some((_, section))) = (
            page.split_once("\n## Exit codes\n"),
            reference.split_once(&format!("\n### {name}\n")),
        ) else {
            faults.push(format!("{name}: no exit codes in its help or in the reference"));
            continue;
        };
        let of_help = codes(of_help.split("\n## ").next().unwrap(), "");
        let listed = codes(section.split("\n##").next().unwrap(), "- ");
        if of_help != listed {
            faults.push(format!("{name}: {of_help:?}, {listed:?}"));
        }
    }
    assert!(faults.is_empty(), "help, docs/reference/exit-codes.md: {faults:#?}");
}
