//! What is asked.

use super::ports::Ports;
use super::ranges::Ranges;
use crate::vpc::ServiceIx;
use crate::vpc::path::Attachment;

/// A set of packets: all that a service's tasks may send to these destinations and ports.
#[derive(Clone, Debug)]
pub struct Question {
    /// The service.
    pub service: ServiceIx,
    /// The attachments that its tasks have, or may have ([`attachments`](super::attachments())).
    pub attachments: Vec<Attachment>,
    /// The destination addresses.
    pub destinations: Ranges,
    /// The protocols with their destination ports.
    pub ports: Ports,
    /// The task's own port, which counts where an ENI keeps it; any from 1 on if `None`. What ENIs and NAT gateways draw
    /// is 1024 to 65535 in any case.
    pub source_port: Option<u16>,
    /// True to ask with the present addresses of ENIs and gateways only, not with all that the configuration leaves open.
    pub running: bool,
}
