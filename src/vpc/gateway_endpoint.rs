//! Gateway endpoints: a route to a service's public addresses that needs no NAT gateway and no
//! internet gateway (spec 7.1).

use super::{Line, PrefixListIx, VpcIx};

/// A gateway endpoint. It has no address and no security group; a packet reaches it by a route.
#[derive(Clone, Debug)]
pub struct GatewayEndpoint {
    /// `vpce-…`, or the user's word.
    pub id: String,
    /// The only VPC that it serves.
    pub vpc: VpcIx,
    /// `ServiceName`, such as `com.amazonaws.us-east-1.s3`.
    pub service: String,
    /// The prefix list with the public addresses of the service.
    pub prefix_list: PrefixListIx,
    /// Its line in the lab file.
    pub line: Line,
}
