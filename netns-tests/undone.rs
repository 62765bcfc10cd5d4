//! Messages distinguish what was done from what failed beside it, and the first error from those of
//! its clean-up.

use crate::lifecycle::LAB;
use crate::support::lab::{Lab, both_streams, can_run};
use egret::linux::netns::{self, Netns};
use serde_json::Value;
use std::path::PathBuf;

/// Brings up a lab that writes down its state for the next process.
fn up() -> Option<Lab> {
    let text = format!("offload = \"on\"\noffload_grace = \"60s\"\n{LAB}");
    can_run().then(|| Lab::up("auto", &text))
}

/// A directory in the place of a file of the lab's state.
struct Obstacle(PathBuf);

impl Obstacle {
    fn new(lab: &Lab, file: &str) -> Self {
        let path = PathBuf::from("/run/egret").join(lab.name()).join(file);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Obstacle {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Writes the lab's file with this number of tasks of `web`.
fn write(lab: &Lab, tasks: u16) {
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("tasks")).collect();
    let own = lines.iter().position(|line| *line == "name = \"web\"").unwrap();
    let tasks = format!("tasks = {tasks}");
    lines.insert(own + 1, &tasks);
    std::fs::write(lab.file(), lines.join("\n") + "\n").unwrap();
}

fn tasks(lab: &Lab) -> Vec<String> {
    lab.ps().iter().map(|row| format!("{}/{}", row.service, row.task)).collect()
}

#[test]
fn a_task_is_made_and_removed_though_the_handover_cannot_be_written() {
    let Some(lab) = up() else { return };
    let _obstacle = Obstacle::new(&lab, "left.next");
    let note = "the next one cannot resume its flows: writing /run/egret/";
    let added = lab.egret("task add web --json");
    assert!(added.status.success(), "{}", both_streams(&added));
    assert!(both_streams(&added).contains(note), "{}", both_streams(&added));
    let rows: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(rows[0]["task"], 2);
    assert_eq!(tasks(&lab), ["public/1", "web/1", "web/2"]);
    let made = lab.egret("exec web/3 -- true");
    assert!(made.status.success(), "{}", both_streams(&made));
    let removed = lab.egret("task remove web/2");
    assert!(removed.status.success(), "{}", both_streams(&removed));
    let said = both_streams(&removed);
    assert!(said.contains(note) && said.contains("removed task web/2"), "{said}");
    assert_eq!(tasks(&lab), ["public/1", "web/1", "web/3"]);
}

#[test]
fn a_change_is_applied_though_the_handover_cannot_be_written() {
    let Some(lab) = up() else { return };
    let _obstacle = Obstacle::new(&lab, "left.next");
    write(&lab, 2);
    let applied = lab.egret(&format!("apply {} --json", lab.file().display()));
    assert!(applied.status.success(), "{}", both_streams(&applied));
    let reload: Value = serde_json::from_slice(&applied.stdout).unwrap();
    let [note] = &reload["notes"].as_array().unwrap()[..] else { panic!("{reload}") };
    assert!(note.as_str().unwrap().contains("left.next"), "{note}");
    assert!(both_streams(&applied).contains("egret: if this process is killed"));
    assert_eq!(tasks(&lab), ["public/1", "web/1", "web/2"]);
}

#[test]
fn an_apply_names_the_parts_that_it_does_not_remove() {
    let Some(lab) = up() else { return };
    write(&lab, 2);
    lab.egret_ok(&format!("apply {}", lab.file().display()));
    let _obstacle = Obstacle::new(&lab, "namespaces.next");
    write(&lab, 1);
    let applied = lab.egret(&format!("apply {}", lab.file().display()));
    let said = both_streams(&applied);
    assert!(applied.status.success(), "{said}");
    assert!(said.contains("not removed") && said.contains("task web/2: writing "), "{said}");
}

#[test]
fn a_failed_roll_back_names_the_first_error_and_what_is_left() {
    let Some(lab) = up() else { return };
    let taken = format!("{}-web-3", lab.name());
    Netns::create(&taken).unwrap();
    let obstacle = Obstacle::new(&lab, "namespaces.next");
    write(&lab, 3);
    let refused = lab.egret(&format!("apply {}", lab.file().display()));
    netns::remove(&taken).unwrap();
    drop(obstacle);
    let said = both_streams(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let [first, left, rest] = [
        format!("`{taken}` exists already"),
        "this could not be undone: task web/2: writing ".to_owned(),
        "but for that, the lab has its earlier configuration again".to_owned(),
    ]
    .map(|text| said.find(&text).unwrap_or_else(|| panic!("{text}: {said}")));
    assert!(first < left && left < rest, "{said}");
    // What is left can be removed, and does not block a later apply.
    lab.egret_ok(&format!("apply {}", lab.file().display()));
    assert_eq!(tasks(&lab), ["public/1", "web/1", "web/2", "web/3"]);
}

#[test]
fn the_tasks_that_were_made_are_listed_when_the_next_cannot_be() {
    let Some(lab) = up() else { return };
    let taken = format!("{}-web-3", lab.name());
    Netns::create(&taken).unwrap();
    let added = lab.egret("task add web --count 3");
    netns::remove(&taken).unwrap();
    let said = both_streams(&added);
    assert_eq!(added.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{}-web-2", lab.name())), "{said}");
    assert!(said.contains(&format!("`{taken}` exists already")), "{said}");
}
