//! Counts drops.

use super::drops::DropKey;
use crate::flow::{FlowKey, Side};
use crate::packet::Tuple;
use crate::pipeline::Denial;
use crate::pipeline::arrival::Arrival;
use crate::pipeline::context::Moment;

/// Counts a packet that was dropped, by reason and in the row of its rule, service and destination.
#[cold]
pub(in crate::pipeline) fn count_drop(
    moment: &Moment<'_>,
    arrival: Arrival,
    denial: Denial,
    tuple: Tuple,
) {
    let Moment { tables, now, snapshot } = *moment;
    tables.nat_drops.count(snapshot, denial);
    let arrival = match arrival.side {
        Side::Egress => arrival,
        Side::Return => arrival.of_sender(snapshot, tuple.src),
    };
    let own = |address| snapshot.task(address).map(|task| task.service);
    let (service, destination, port) = match arrival.side {
        Side::Egress => (own(tuple.src), tuple.dst, tuple.dport),
        Side::Return => match tables.flows.get(&FlowKey::new(arrival.space, tuple)) {
            Some(entry) => {
                (entry.flow.service_in(snapshot), entry.flow.inside().src(), tuple.sport)
            }
            None => (own(tuple.src), tuple.dst, 0),
        },
    };
    let port = if tuple.protocol.has_ports() { port } else { 0 };
    let packet = (tuple.src, destination, tuple.protocol, port);
    let key = DropKey::new(snapshot.generation, arrival.device, service, denial, packet);
    tables.drops.count(now, key);
}
