//! The stages: a file for each check and translation on a packet's path. A stage judges one packet
//! at one hop and names the rule that decided; `walk.rs` has their order.

pub(super) mod app_runner;
pub(super) mod destination;
pub(super) mod eni;
pub(super) mod exempt_address;
pub(super) mod gateway_endpoint;
pub(super) mod internet_gateway;
pub(super) mod middlebox;
pub(super) mod nat_gateway;
pub(super) mod network_acl;
pub(super) mod peering;
pub(super) mod route_table;
pub(super) mod security_group;
pub(super) mod source_check;
