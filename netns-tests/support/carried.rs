//! Flows that the kernel carries.

use super::comes;
use super::lab::{Agent, Lab};
use egret::explain::FlowRow;
use serde_json::json;

/// Exchanges lines on a connection of a task until the kernel carries its flow in both directions,
/// and returns the flow. The first packets after its entries are made still pass through user
/// space, until the reordering barrier opens.
pub fn until_carried(lab: &Lab, task: &mut Agent, connection: &str, port: u16) -> FlowRow {
    let own = |flow: &FlowRow| flow.inside.ends_with(&format!(":{port}"));
    let mut found = None;
    let carried = comes(|| {
        task.ok(&json!(["say", connection, 10.0]));
        found = lab.flows().into_iter().find(own);
        let flow = found.as_ref().unwrap_or_else(|| panic!("no flow from {port}"));
        flow.path == "offload" && flow.offloaded.packets_out > 0 && flow.offloaded.packets_in > 0
    });
    let flow = found.unwrap();
    assert!(carried, "{flow:#?}");
    flow
}
