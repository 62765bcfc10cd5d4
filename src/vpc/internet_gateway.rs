//! Internet gateways: they translate a private address to its public one, 1:1, and carry nothing
//! without a public address (spec 3.6).

use super::Line;

/// An internet gateway, attached to a VPC.
#[derive(Clone, Debug)]
pub struct InternetGateway {
    /// `igw-…`, or the user's word.
    pub id: String,
    /// Its line in the lab file.
    pub line: Line,
}
