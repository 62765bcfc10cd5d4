//! Gateway Load Balancer endpoints: a route target behind which a fleet of appliances inspects
//! packets (spec 3.5).

use super::{Line, SubnetIx};

/// A Gateway Load Balancer endpoint. It has no security group, and gives each packet back unchanged
/// to its own subnet: the inspection behind it passes everything here.
#[derive(Clone, Debug)]
pub struct GatewayLoadBalancerEndpoint {
    /// `vpce-…`, or the user's word.
    pub id: String,
    /// `ServiceName`: the endpoint service of the load balancer.
    pub service: String,
    /// The subnet of its interface, whose route table leads on.
    pub subnet: SubnetIx,
    /// Its line in the lab file.
    pub line: Line,
}
