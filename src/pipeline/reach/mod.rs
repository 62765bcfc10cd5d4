//! Verdicts over sets of packets: the verdicts on all packets that a service may send.
//!
//! A question leaves open what AWS leaves open: the attachment of a task, the private addresses of
//! its ENI and of a NAT gateway, the ports that they draw, and the address that a NAT gateway
//! takes; and it may ask for many destinations and ports. The packets are split into **cells** that
//! no rule tells apart, the walk judges one packet of each, and cells with the same verdict are
//! merged into **classes**. No rule is evaluated here: rules only give the boundaries of cells.
//!
//! - Destination addresses are split first. Those that lead over the same rule sets, and match the
//!   same rules of each, are one group (`destinations.rs`).
//! - For each group, private addresses of the ENI and the NAT gateway are split by the rules that
//!   see them (`senders.rs`).
//! - For each sender, destination ports are split by the rules that match these addresses, and
//!   source ports by the rules on the reply's path, which see no destination port: so a cell is a
//!   product (`cells.rs`).

mod answer;
mod ask;
mod attachments;
mod caller;
mod cells;
mod classes;
mod counterparts;
mod cuts;
mod destinations;
mod difference;
mod egress;
mod judge;
mod map;
mod merge;
mod origin;
mod overlaps;
mod ports;
mod question;
mod ranges;
mod regions;
mod rule_sets;
mod sameness;
mod senders;
mod stretch;
mod too_large;

pub use answer::{Answer, Class, GatewayAddress, Interrupted, SetVerdict, Share};
pub use ask::{ask, ask_each};
pub use attachments::{Addresses, Asked, Tasks, attachments, is_not_chosen, tasks_at};
pub use counterparts::{Answered, At};
pub use cuts::public_unicast;
pub use difference::{
    Changed, ChangedSide, Difference, difference, difference_of_moved, dropped_by_both,
};
pub use ports::{PortRange, Ports};
pub use question::Question;
pub use ranges::{Range, Ranges};
pub use regions::{Region, regions};
pub use too_large::fragmentation_needed;
