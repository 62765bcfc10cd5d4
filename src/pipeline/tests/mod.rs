//! Tests the engine as a whole: real packets through real labs on a virtual clock. Each file tests
//! one subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod adoption;
mod agreement;
mod census;
mod default_egress;
mod delivery;
mod exempt;
mod expected;
mod forecast;
mod fragments;
mod gateway_endpoint;
mod generation;
pub(crate) mod generator;
mod icmp;
mod interface_endpoint;
mod kinds;
mod malformed;
mod mapping;
mod middlebox;
mod mtu_ttl;
mod nat;
mod nat_addresses;
mod nat_states;
mod network_acl;
mod no_such_host;
mod oracle;
mod paths;
mod peering;
mod ports;
mod private_nat;
mod properties;
mod proposals;
mod public_endpoint;
mod reach;
mod reach_properties;
mod reasons;
mod rfc3022;
mod routing;
mod security_group;
mod sim;
mod steps;
mod surprises;
mod tcp_state;
mod untracked;
mod watch;
mod world;
