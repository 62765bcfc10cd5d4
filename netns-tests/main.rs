//! Real packets pass through real namespaces, in one file for each subject. The tests need root,
//! and say so where it is missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::explicit_write,
    unreachable_pub,
    missing_docs,
    reason = "tests panic, to keep the line number"
)]

mod applies;
mod apprunner;
mod attach;
mod background;
mod bench;
mod changes_under_load;
mod cni;
mod completions;
mod conformance;
mod curl;
mod demo;
mod diff_live;
mod dns;
mod docker_plugin;
mod docs;
mod drops;
mod ending;
mod explain_live;
mod fix_moto;
mod flow_cache;
mod formats;
mod gateway_endpoint;
#[path = "../src/pipeline/tests/generator.rs"]
mod generator;
mod giving_up;
mod grace;
mod graph_live;
mod hangup;
mod hostile_frames;
mod icmp;
mod import_moto;
mod imported;
mod ipv6;
mod kinds;
mod lab_name;
mod leaks;
mod lifecycle;
mod limits;
mod limits_start;
mod limits_streams;
mod listeners;
mod live;
mod long_flow;
mod middlebox;
mod mtu;
mod namespaces;
mod nat;
mod nat_gateways;
mod network_acl;
mod offload;
mod overlay;
mod own_files;
mod package;
mod patched;
mod peering;
mod privileges;
mod public_endpoint;
mod queues;
mod reach_live;
mod readers;
mod reload;
mod reload_objects;
mod remaining;
mod routing;
mod security_group;
mod service;
mod shares;
mod source_check;
mod source_frames;
mod statements;
mod steer;
mod support;
mod task_links;
mod test_live;
mod undone;
mod widths;
