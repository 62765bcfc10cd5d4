//! Rows of services with their state: of the lab file, and of the App Runner API with their
//! operations.

use super::columns::Column;
use super::layout::paragraph;
use super::tables::{Row, TableStyle, lines, print};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::time::Duration;

/// A row of `egret services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// The service.
    pub service: String,
    /// `file`, or `api` for the App Runner API.
    pub origin: String,
    /// The status in App Runner's words, such as `RUNNING` or `CREATE_FAILED`; a service of the
    /// file is always `RUNNING`.
    pub status: String,
    /// `vpc` or `default`.
    pub egress: String,
    /// The connector; `None` for `egress = "default"`.
    pub connector: Option<String>,
    /// The actions of App Runner for it outside its VPC, in words; empty for a service without a
    /// VPC.
    #[serde(default)]
    pub not_through_vpc: Vec<String>,
    /// The number of its tasks.
    pub tasks: usize,
    /// The ENIs by which it leaves, or will leave.
    pub enis: Vec<ServiceEni>,
    /// Its operations through the API, the newest first.
    pub operations: Vec<ServiceOperation>,
}

/// An ENI of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEni {
    /// The id, `eni-…`.
    pub id: String,
    /// Its subnet.
    pub subnet: String,
    /// `up` or `pending`.
    pub state: String,
    /// Milliseconds until it is up.
    pub pending_ms: u64,
}

/// An operation of the App Runner API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceOperation {
    /// `Id`.
    pub id: String,
    /// `Type`, such as `CREATE_SERVICE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `Status`, such as `SUCCEEDED`.
    pub status: String,
    /// Milliseconds since 1970.
    pub started_at_ms: u64,
    /// Milliseconds since 1970; `None` while it is in progress.
    pub ended_at_ms: Option<u64>,
    /// The lines that App Runner would write into the service's event log.
    pub log: Vec<String>,
}

/// A service of the App Runner API, with its account data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiService {
    /// `ServiceName`.
    pub name: String,
    /// `Status`.
    pub status: String,
    /// The name of its connector.
    pub connector: Option<String>,
    /// Its operations, the newest first.
    pub operations: Vec<ServiceOperation>,
}

impl ApiService {
    /// Returns the reason why App Runner runs no task of it: its status, and the log of its last
    /// operation.
    pub fn why(&self) -> String {
        let last = self.operations.first().and_then(|operation| operation.log.last());
        match last {
            Some(why) => format!("{}: {why}", self.status),
            None => self.status.clone(),
        }
    }
}

impl Row for ServiceRow {
    const COLUMNS: &'static [Column] = &[
        Column::first("SERVICE", 0),
        Column::first("ORIGIN", 5),
        Column::first("STATUS", 1),
        Column::first("CONNECTOR", 3),
        Column::first("TASKS", 2),
        Column::first("ENIS", 4),
        Column::first("LAST-OPERATION", 6),
    ];
    const EMPTY: &'static str = "no services";

    fn cells(&self) -> Vec<String> {
        let last = self.operations.first();
        vec![
            self.service.clone(),
            self.origin.clone(),
            self.status.clone(),
            self.connector.clone().unwrap_or_else(|| "-".to_owned()),
            self.tasks.to_string(),
            self.enis_in_short(),
            last.map_or_else(|| "-".to_owned(), |last| format!("{} {}", last.kind, last.status)),
        ]
    }
}

/// The actions of App Runner for a service of a VPC outside that VPC, to which the VPC's rules,
/// routes and endpoints do not apply.
const NOT_THROUGH_VPC: [&str; 5] =
    ["image and code pulls", "logs", "secrets", "incoming requests", "health checks"];

impl ServiceRow {
    /// Lists the actions outside the VPC for a service of App Runner that leaves by one.
    pub fn not_through_vpc() -> Vec<String> {
        NOT_THROUGH_VPC.map(str::to_owned).to_vec()
    }

    fn enis_in_short(&self) -> String {
        let pending = self.enis.iter().filter(|eni| eni.pending_ms > 0);
        let longest = pending.clone().map(|eni| eni.pending_ms).max();
        let up = self.enis.len() - pending.clone().count();
        match longest {
            None if self.enis.is_empty() => "-".to_owned(),
            None => format!("{up} up"),
            Some(longest) => {
                let left = Duration::from_millis(longest).as_secs_f64();
                format!("{up} up, {} pending ({left:.0} s)", pending.count())
            }
        }
    }
}

/// Writes everything about a service: its row, its ENIs and its operations with their logs.
///
/// # Errors
/// Those of `w`.
pub fn print_service(w: &mut dyn Write, row: &ServiceRow) -> io::Result<()> {
    print(w, std::slice::from_ref(row), &TableStyle::default())?;
    let of_eni = |eni: &ServiceEni| vec![eni.id.clone(), eni.subnet.clone(), eni.state.clone()];
    if !row.enis.is_empty() {
        writeln!(w)?;
        write_all(w, &lines(&["ENI", "SUBNET", "STATE"], row.enis.iter().map(of_eni)))?;
    }
    if !row.not_through_vpc.is_empty() {
        writeln!(w, "\nnot through the VPC: {}", row.not_through_vpc.join(", "))?;
    }
    for operation in &row.operations {
        writeln!(w)?;
        let took = operation.ended_at_ms.map(|end| end.saturating_sub(operation.started_at_ms));
        let took =
            took.map(|ms| format!(" after {:.1} s", Duration::from_millis(ms).as_secs_f64()));
        writeln!(w, "{} {}{}", operation.kind, operation.status, took.unwrap_or_default())?;
        for line in &operation.log {
            paragraph(w, ("    ", 4), line)?;
        }
    }
    Ok(())
}

fn write_all(w: &mut dyn Write, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(w, "{line}"))
}
