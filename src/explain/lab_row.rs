//! Rows of the labs of a host.

use super::columns::{Column, NOTHING};
use super::tables::Row;
use serde::{Deserialize, Serialize};

/// A row of `egret ls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabRow {
    /// The lab.
    pub lab: String,
    /// `up`, `busy`, `starting`, `ending`, `stopped` by a signal, or `left` by a killed run.
    pub state: String,
    /// Its process; `None` if that has ended, or is not known to the caller.
    pub process: Option<u32>,
    /// The number of its services; `None` if it does not answer.
    pub services: Option<usize>,
    /// The number of its tasks.
    pub tasks: Option<usize>,
    /// The number of the committed configuration.
    pub generation: Option<u32>,
    /// The lab file.
    pub file: Option<String>,
}

impl Row for LabRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("LAB", 0),
        Column::first("STATE", 1),
        Column::first("PROCESS", 2),
        Column::first("SERVICES", 3),
        Column::first("TASKS", 4),
        Column::wide("GENERATION"),
        Column::first("FILE", 5).text(8),
    ];
    const EMPTY: &'static str = "no labs";

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<usize>| or_nothing(number.map(|n| n.to_string()));
        vec![
            self.lab.clone(),
            self.state.clone(),
            or_nothing(self.process.map(|process| process.to_string())),
            number(self.services),
            number(self.tasks),
            or_nothing(self.generation.map(|generation| generation.to_string())),
            or_nothing(self.file.clone()),
        ]
    }
}

fn or_nothing(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| NOTHING.to_owned())
}
