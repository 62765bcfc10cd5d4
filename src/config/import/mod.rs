//! A VPC that is written down elsewhere, as a lab file: `aws ec2 describe-*` output, CloudFormation, Terraform.
//!
//! ```text
//! source --(Importer, one per format)--> Account + Findings --(lowering)--> lab file text --> Lab::parse
//! ```
//!
//! # How an importer is written
//!
//! An importer reads one format and fills one [`Account`]: what EC2 would say in its describe calls (spec 11.3), in EC2's
//! words. It knows its format (intrinsics, modules, file names) and nothing of lab files; the lowering knows lab files and
//! nothing of formats. So that both can keep to that:
//!
//! - **Ids are strings**, unique in their kind within the account, and each reference names one. Where the format has no
//!   id (a CloudFormation template that was never deployed) its own name stands in: the logical id, the address in a
//!   plan. A reference to an object that is not in the source stays as it is: the lowering says what follows from it.
//! - **Everything has an [`Origin`]**: the file, and the path inside it, such as `Vpcs[0].CidrBlock`,
//!   `Resources.PrivateSubnetA` or `module.net.aws_subnet.a`. Messages to the user name it.
//! - **What AWS fills in, the importer fills in**, where EC2 would list it: the rule that allows all egress of a group
//!   whose template names none, the local routes are the one exception (they may be there, and need not). What differs
//!   between "absent" and AWS's default in the format is decided by the importer, who knows the format.
//! - **Nothing is dropped in silence.** What the account has no place for goes to [`Findings`]: [`Findings::assumed`]
//!   where the source leaves something open and a value was chosen, [`Findings::left_out`] where an object has no
//!   counterpart and no verdict of the lab depends on it (or the consequence is plain to say),
//!   [`Findings::not_understood`] where a verdict may be wrong without it. The importer goes on after the last of these
//!   as well as it can, and does not ask about `--lenient`: whoever called it refuses the result unless that was given.
//!   IPv6 parts go to [`Findings::ipv6`], which sums them up. Objects without any bearing on packets (instance types,
//!   policies, alarms) are not findings.
//! - **[`ImportErrors`] are for a source that cannot be read**: broken syntax, a wrong type, a CIDR block that is none, a
//!   cycle. As many as can be found at once. Never a panic, whatever the input.

mod account;
pub mod cloudformation;
mod describe;
mod findings;
mod ids;
mod imported;
mod importer;
mod json;
mod lab_name;
mod lowering;
mod named;
mod secrets;
mod source;
mod terraform;
mod written;

pub use crate::config::names::Kind as ObjectKind;
pub use account::{
    Account, AclDirection, AclEntry, AvailabilityZone, EndpointType, InternetGateway, NatAddress,
    NatGateway, NetworkAcl, NetworkInterface, Peering, PrefixList, PrivateAddress, PrivateZone,
    PublicAddress, Route, RouteDestination, RouteTable, RouteTarget, RulePeer, SecurityGroup,
    SecurityGroupRule, Service, Subnet, Vpc, VpcConnector, VpcEndpoint, ZoneRecord,
};
pub use findings::{Finding, FindingKind, Findings};
pub use imported::{ConnectorOrder, ImportFailure, Imported, Order, is_lab_file, text};
pub use importer::Importer;
pub use named::Source;
pub use source::{ImportError, ImportErrors, Options, Origin};
pub use terraform::Address;
pub use written::{Format, Written};

#[cfg(test)]
mod tests;
