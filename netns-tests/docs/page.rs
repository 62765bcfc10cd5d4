//! Reads the steps of a page: the commands, files and changes that its reader runs and writes.

use std::fmt;
use std::path::Path;

/// A page's steps, in order.
pub struct Page {
    pub steps: Vec<Step>,
}

/// One thing that the reader does.
pub struct Step {
    /// Where it is on the page, counted from 1.
    pub line: usize,
    pub action: Action,
    /// The output that the page shows, if the action has any.
    pub shown: Option<String>,
}

/// The kind of a step.
pub enum Action {
    /// Runs a command in the reader's shell.
    Command(String),
    /// Runs a command that stays in the foreground of a terminal of its own: `egret up`.
    Foreground(String),
    /// Writes a file.
    File { name: String, text: String },
    /// Applies a change to files.
    Patch(String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) | Self::Foreground(command) => f.write_str(command),
            Self::File { name, .. } => write!(f, "file {name}"),
            Self::Patch(_) => f.write_str("the change"),
        }
    }
}

impl Page {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut steps = Vec::new();
        let mut lines = text.lines().zip(1..);
        while let Some((opening, line)) = lines.next() {
            let Some(info) = opening.strip_prefix("```").filter(|info| !info.is_empty()) else {
                continue;
            };
            let block: Vec<&str> =
                lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
            steps.extend(steps_of(info, &block, line + 1));
        }
        Self { steps }
    }
}

/// The steps of a block that begins at a line.
fn steps_of(info: &str, block: &[&str], first: usize) -> Vec<Step> {
    let text = || block.iter().map(|line| format!("{line}\n")).collect::<String>();
    let alone = |action| vec![Step { line: first, action, shown: None }];
    if info == "console" {
        return commands(block, first);
    }
    if let Some(name) = info.split_once("file=").map(|(_, name)| name.to_owned()) {
        return alone(Action::File { name, text: text() });
    }
    // A change that names no file is only shown.
    if info == "diff" && text().starts_with("--- ") {
        return alone(Action::Patch(text()));
    }
    Vec::new()
}

fn commands(block: &[&str], first: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = block.iter().zip(first..);
    while let Some((line, number)) = lines.next() {
        let command = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
        if let Some(command) = command {
            let mut command = command.to_owned();
            while command.ends_with('\\') {
                command.push('\n');
                command.push_str(lines.next().unwrap().0);
            }
            let action = action(&command);
            steps.push(Step { line: number, action, shown: Some(String::new()) });
        } else if let Some(Step { shown: Some(shown), .. }) = steps.last_mut() {
            shown.push_str(line);
            shown.push('\n');
        } else {
            panic!("line {number} of a console block is before its first command: {line}");
        }
    }
    steps
}

fn action(command: &str) -> Action {
    let is_in_background = command.contains('&') || command.contains(" -d ");
    let is_up = command.starts_with("egret up ") && !is_in_background;
    match is_up {
        true => Action::Foreground(command.to_owned()),
        false => Action::Command(command.to_owned()),
    }
}
