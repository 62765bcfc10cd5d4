//! Flows that are offloaded.

use super::comes;
use super::lab::{Agent, Lab};
use egret::explain::FlowRow;
use serde_json::json;

/// Exchanges lines on a connection of a task until both directions of its flow are offloaded, and
/// returns the flow. The first packets after its entries are made are still punted, until the
/// reordering barrier opens.
pub fn until_offloaded(lab: &Lab, task: &mut Agent, connection: &str, port: u16) -> FlowRow {
    let own = |flow: &FlowRow| flow.inside.ends_with(&format!(":{port}"));
    let mut found = None;
    let is_offloaded = comes(|| {
        task.ok(&json!(["say", connection, 10.0]));
        found = lab.flows().into_iter().find(own);
        let flow = found.as_ref().unwrap_or_else(|| panic!("no flow from {port}"));
        flow.path == "offload" && flow.offloaded.packets_out > 0 && flow.offloaded.packets_in > 0
    });
    let flow = found.unwrap();
    assert!(is_offloaded, "{flow:#?}");
    flow
}
