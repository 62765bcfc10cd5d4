//! Every counter and table size of an engine by name, for the expected-state tests.

use crate::flow::{Census, PortPools, SummedCounters};
use crate::packet::Protocol;
use crate::pipeline::observe::totals;
use crate::pipeline::tables::Tables;
use crate::pipeline::{Engine, FlowOutcome};

impl Engine {
    /// Returns the pools of ports.
    pub(super) fn pools(&self) -> &PortPools {
        &self.tables().pools
    }

    pub(super) fn census(&self) -> Census {
        let Tables {
            flows,
            pools,
            fragments,
            drops,
            nat_drops,
            totals,
            resolver_limit,
            watchers: _,
            offloads: _,
        } = self.tables();
        let mut census = Census::default();
        flows.census(&mut census);
        flows.for_each(|entry| {
            if entry.flow.egress.tuple().protocol == Protocol::Tcp {
                census.add(entry.flow.tcp.state().as_str(), 1);
            }
            if let FlowOutcome::Drop(_) = entry.outcome {
                census.add("denied", 1);
            }
        });
        pools.census(&mut census);
        fragments.census(&mut census);
        drops.census(&mut census);
        nat_drops.census(&mut census);
        resolver_limit.census(&mut census);
        for (addresses, SummedCounters { sent, received }) in totals.carried(flows) {
            let name = totals::name(addresses);
            census.add_packets(&format!("sent {name}"), sent.packets());
            census.add_packets(&format!("received {name}"), received.packets());
        }
        census
    }
}
