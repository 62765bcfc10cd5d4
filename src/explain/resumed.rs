//! The parts of a killed run's lab that a start has resumed, and those that are lost.

use serde::{Deserialize, Serialize};

/// The parts of a killed run's lab that a start has resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The number of namespaces other than those of tasks.
    pub namespaces: usize,
    /// The number of tasks.
    pub tasks: usize,
    /// The number of flows.
    pub flows: usize,
    /// The flows that are lost.
    pub lost: Vec<LostFlow>,
}

/// A flow of a killed run that the next one does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LostFlow {
    /// The service.
    pub service: String,
    /// The task's number within it.
    pub task: u16,
    /// `tcp`, `udp`, `icmp`, or the protocol number.
    pub protocol: String,
    /// `opening`, `established`, `closing`; of other protocols than TCP `unreplied`, `replied`.
    pub state: String,
    /// The task's side, such as `100.64.0.2:5000`.
    pub inside: String,
    /// The destination, as the task has it.
    pub destination: String,
    /// The reason why it is lost.
    pub why: String,
}

/// The most lost flows that are shown to people.
const SHOWN: usize = 20;

impl Resumed {
    /// Returns lines about these for people, each no wider than a terminal.
    pub fn lines(&self) -> Vec<String> {
        let Self { namespaces, tasks, flows, lost } = self;
        let of = |number: usize, one: &str| match number {
            1 => format!("1 {one}"),
            several => format!("{several} {one}s"),
        };
        let so_many = match lost.len() {
            0 => String::new(),
            lost => format!(", {lost} lost"),
        };
        let mut lines = vec![format!(
            "resumed the lab of a killed run: {}, {}, {}{so_many}",
            of(*namespaces, "namespace"),
            of(*tasks, "task"),
            of(*flows, "flow")
        )];
        for flow in lost.iter().take(SHOWN) {
            let LostFlow { service, task, protocol, state, inside, destination, why } = flow;
            lines.push(format!(
                "  lost: {service}/{task} {protocol} {inside} -> {destination}, {state}"
            ));
            lines.push(format!("        {why}"));
        }
        if let Some(more @ 1..) = lost.len().checked_sub(SHOWN) {
            lines.push(format!("  … and {more} more; `egret up --json` lists all"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lost_flows_are_shown_and_of_many_how_many_more_there_are() {
        let flow = LostFlow {
            service: "web".to_owned(),
            task: 1,
            protocol: "tcp".to_owned(),
            state: "closing".to_owned(),
            inside: "100.64.0.1:40000".to_owned(),
            destination: "203.0.113.10:443".to_owned(),
            why: "its end had begun, which user space follows".to_owned(),
        };
        let resumed = |lost| Resumed { namespaces: 2, tasks: 3, flows: 4, lost };
        let said = |lost| resumed(lost).lines().join("\n");
        assert_eq!(said(vec![]), "resumed the lab of a killed run: 2 namespaces, 3 tasks, 4 flows");
        assert_eq!(
            said(vec![flow.clone()]),
            "resumed the lab of a killed run: 2 namespaces, 3 tasks, 4 flows, 1 lost\n  \
             lost: web/1 tcp 100.64.0.1:40000 -> 203.0.113.10:443, closing\n        \
             its end had begun, which user space follows"
        );
        let many = resumed(vec![flow; 23]).lines();
        assert_eq!(many.len(), 1 + 2 * 20 + 1);
        assert_eq!(
            many.last().map(String::as_str),
            Some("  … and 3 more; `egret up --json` lists all")
        );
        assert!(many.iter().all(|line| line.chars().count() <= 100), "{many:?}");
    }
}
