//! A flow lives as long as it carries packets, whatever the idle timeout and however much it
//! carries.

use crate::support::lab::{FLOWS_EXPIRE_SOON, Lab, can_run};
use egret::explain::FlowRow;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// 350 s at that speed, in milliseconds.
const IDLE_MS: u64 = 3500;
/// The bytes of one of eight transfers, which are slow enough that several idle timeouts pass
/// meanwhile.
const GIGABYTE: u64 = 1_000_000_000;
const BYTES_PER_SECOND: u64 = 600_000_000;

#[test]
fn eight_gigabytes_through_one_flow_never_expire() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", &format!("{FLOWS_EXPIRE_SOON}{}", crate::offload::LAB));
    let mut server = Lab::agent(&lab.netns("internet"));
    server.ok(&json!(["serve_sink", HOST, 9000]));
    let mut task = lab.task("web");
    let port = task.ask(&json!(["open_sink", "bulk", HOST, 9000]));
    assert!(port.is_u64(), "{port}");
    let first = only_flow(&lab);
    for count in 1..=8 {
        let counted = task.ask(&json!(["fill_sink", "bulk", GIGABYTE, BYTES_PER_SECOND]));
        assert_eq!(counted, json!(GIGABYTE), "{:#?}", lab.drops());
        let flow = only_flow(&lab);
        assert_eq!(identity(&flow), identity(&first));
        assert!(flow.bytes_out > count * GIGABYTE, "{flow:?}");
        assert!(flow.expires_ms <= IDLE_MS, "{flow:?}");
    }
    let last = only_flow(&lab);
    assert!(last.age_ms > 3 * IDLE_MS, "{last:?}");
    assert_eq!(server.peers().len(), 1, "one connection");
    assert_eq!(lab.packets_dropped("flow-expired"), 0);
}

fn only_flow(lab: &Lab) -> FlowRow {
    let mut flows = lab.flows();
    assert_eq!(flows.len(), 1, "{flows:#?}");
    flows.remove(0)
}

/// Returns what identifies a flow: one that took the place of an expired one would have other
/// ports, at the ENI or at the NAT gateway.
fn identity(flow: &FlowRow) -> Value {
    let FlowRow { inside, destination, eni_port, nat_gateway, outside, state, .. } = flow;
    json!([inside, destination, eni_port, nat_gateway, outside, state])
}
