//! Imports a VPC that another format describes, as a lab file: `aws ec2 describe-*` output,
//! CloudFormation, Terraform.
//!
//! ```text
//! source --(Importer, one per format)--> Account + Findings
//!        --(lowering)--> lab file text --> Lab::parse
//! ```
//!
//! # How an importer is written
//!
//! An importer reads one format and fills one [`Account`]: the answers of EC2's describe calls
//! (spec 11.3), in EC2's words. It handles its format (intrinsics, modules, file names) and nothing
//! of lab files; the lowering handles lab files and nothing of formats. These rules keep the two
//! apart:
//!
//! - **Ids are strings**, unique in their kind within the account, and each reference names one. If
//!   the format has no id (a CloudFormation template that was never deployed), its own name
//!   replaces it: the logical id, or the address in a plan. A reference to an object that is not in
//!   the source stays unchanged: the lowering reports the consequence.
//! - **Everything has an [`Origin`]**: the file, and the path inside it, such as
//!   `Vpcs[0].CidrBlock`, `Resources.PrivateSubnetA` or `module.net.aws_subnet.a`. Messages to the
//!   user name it.
//! - **The importer fills in what AWS fills in**, if EC2 would list it: the rule that allows all
//!   egress of a group whose template names none, for example. The local routes are the one
//!   exception (they may be there, and need not). If "absent" and AWS's default differ in the
//!   format, the importer decides, as it knows the format.
//! - **Nothing is dropped in silence.** Parts for which the account has no field become
//!   [`Findings`]: [`Findings::assumed`] if the source leaves a value open and one was chosen,
//!   [`Findings::left_out`] if an object has no counterpart and no verdict of the lab depends on it
//!   (or the consequence is easy to state), [`Findings::not_understood`] if a verdict may be wrong
//!   without it. After the last of these the importer continues as well as it can. It does not read
//!   `--lenient`: its caller refuses the result unless that was given. IPv6 parts become
//!   [`Findings::ipv6`], which sums them up. Objects without any effect on packets (instance types,
//!   policies, alarms) are not findings.
//! - **[`ImportErrors`] are for a source that cannot be read**: broken syntax, a wrong type, an
//!   invalid CIDR block, a cycle. The importer reports as many of them as it can find in one pass.
//!   It never panics, whatever the input.

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

pub use crate::config::names::ObjectKind;
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
