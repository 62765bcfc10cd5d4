//! Flows that began in another process: the one before this one, which was killed while the kernel carried them.

use super::engine::Engine;
use super::{Denial, Off, PathKey, Reason};
use crate::flow::{
    CacheCounters, Exhausted, Flow, FlowStart, HandoverRecord, Instant, LastNat, NatPort,
    PortLease, Space,
};
use crate::packet::Protocol;
use crate::vpc::{EniIx, Interface, NatGatewayIx, RuleRef, Snapshot};
use std::net::Ipv4Addr;
use std::sync::Arc;

const MOVED: Denial = Denial { reason: Reason::FlowMoved, decided_by: RuleRef::FlowTable };

impl Engine {
    /// Goes on with a flow, under this configuration and with the ports that it had: it is walked again as under any new
    /// configuration, and what is no longer allowed is dropped by name with its next packet. To be called before any
    /// packet is judged; `carried` is what the kernel has carried since the record was made.
    ///
    /// # Errors
    /// The flow would leave by another gateway, or its task or its ports are not there. It is not gone on with then.
    pub fn adopt(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        record: &HandoverRecord,
        carried: [CacheCounters; 2],
    ) -> Result<(), Denial> {
        let start = self.start_again(now, snapshot, record).ok_or(MOVED)?;
        let flow = Arc::new(Flow::resume(start, record, carried));
        let (egress, returned) = self.review(now, snapshot, &flow, &mut Off)?;
        if self.offloads {
            self.flows().allow_offload(&flow);
        }
        self.flows().put(&flow, snapshot.generation, egress, returned);
        if flow.is_expired(now, &snapshot.parts().timeouts) {
            self.flows().expire(now, &flow);
        }
        Ok(())
    }

    fn start_again(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        record: &HandoverRecord,
    ) -> Option<FlowStart> {
        let inside = record.egress.tuple();
        let task = snapshot.task(inside.src)?;
        let icmp = if inside.protocol == Protocol::Icmp { (8, 0) } else { (0, 0) };
        // What admitted it then may have gone since, while it is tracked.
        let admitted_by = self.check(now, snapshot, task, inside, icmp);
        let eni = match record.eni {
            Some(port) => {
                let ix = eni_of(snapshot, port)?;
                let lease = match snapshot.eni(ix).task {
                    Some(_) => self.pools.own(record.pool(port), port.port, u32::MAX),
                    None => self.claim(record, port),
                };
                Some((ix, lease.ok()?))
            }
            None => None,
        };
        let nat = match record.nat {
            Some((LastNat::Gateway, port)) => {
                Some((Some(gateway_of(snapshot, port)?), self.claim(record, port).ok()?))
            }
            Some((LastNat::AppRunner, port)) => Some((None, self.claim(record, port).ok()?)),
            None => None,
        };
        let key = PathKey {
            eni: eni.as_ref().map(|(ix, _)| *ix),
            nat_gateway: nat.as_ref().and_then(|(ix, _)| *ix),
        };
        Some(FlowStart {
            egress: record.egress,
            returned: record.returned,
            service: task.service,
            eni,
            nat,
            admitted_by: admitted_by.unwrap_or(RuleRef::FlowTable),
            admitted_under: snapshot.generation,
            totals: self.tally(snapshot, key),
        })
    }

    fn claim(&self, record: &HandoverRecord, port: NatPort) -> Result<PortLease, Exhausted> {
        self.pools.claim(record.pool(port), port.port)
    }
}

fn eni_of(snapshot: &Snapshot, port: NatPort) -> Option<EniIx> {
    match interface(snapshot, port.space, port.address)? {
        Interface::Eni(ix) => Some(ix),
        Interface::NatGateway(_) | Interface::Resource(_) => None,
    }
}

fn gateway_of(snapshot: &Snapshot, port: NatPort) -> Option<NatGatewayIx> {
    if port.space == Space::INTERNET {
        return snapshot.nat_gateway_of(port.address);
    }
    match interface(snapshot, port.space, port.address)? {
        Interface::NatGateway(ix) => Some(ix),
        Interface::Eni(_) | Interface::Resource(_) => None,
    }
}

fn interface(snapshot: &Snapshot, space: Space, address: Ipv4Addr) -> Option<Interface> {
    snapshot.interface(snapshot.vpc_in(space)?, address)
}
