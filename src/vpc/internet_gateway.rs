//! Internet gateways: 1:1 translation between a private and a public address, nothing without one (spec 3.6).

use super::Line;

/// An internet gateway, attached to a VPC.
#[derive(Clone, Debug)]
pub struct InternetGateway {
    /// `igw-…`, or the user's word.
    pub id: String,
    /// Where it stands in the lab file.
    pub line: Line,
}
