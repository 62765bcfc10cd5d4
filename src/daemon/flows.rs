//! `egret flows`: chosen, ordered and cut short here, so that a million flows do not travel.

use super::earlier::EarlierNames;
use super::flow_row::{flow_row, state_of};
use super::history::History;
use crate::explain::{FlowRow, Selection, SelectionError, protocol};
use crate::flow::{Flow, Instant};
use crate::packet::Protocol;
use crate::pipeline::watch::{Filter, Party};
use crate::pipeline::{Engine, FlowOutcome};
use crate::vpc::{Generation, Snapshot};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::sync::Arc;

/// What `POST /v1/flows` takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FlowQuery {
    /// Whose, through which ENI, and to where.
    pub selection: Selection,
    /// Through this NAT gateway.
    pub nat_gateway: Option<String>,
    /// Of this protocol.
    pub protocol: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// In which order; by task and destination where none is given.
    pub sort: Option<FlowSort>,
    /// The other way round.
    pub reverse: bool,
    /// So many at most.
    pub limit: Option<usize>,
}

/// An order of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FlowSort {
    /// The most octets first, both ways together.
    Bytes,
    /// The most packets first, both ways together.
    Packets,
    /// Idle for longest first.
    Idle,
    /// The oldest first.
    Age,
    /// The next to expire first.
    Expires,
}

/// A flow, and what was decided about it.
struct Found {
    flow: Arc<Flow>,
    generation: Generation,
    outcome: FlowOutcome,
}

impl FlowQuery {
    /// The rows of the flows that it asks for; none that has expired.
    ///
    /// # Errors
    /// A word that means nothing in the lab.
    pub(crate) fn rows(
        &self,
        engine: &Engine,
        now: Instant,
        snapshot: &Snapshot,
        history: &History,
    ) -> Result<Vec<FlowRow>, SelectionError> {
        let mut found = self.find(engine, now, snapshot)?;
        let names = EarlierNames::new(history, snapshot);
        let row = |found: &Found| {
            let (generation, outcome) = (found.generation.0, found.outcome);
            flow_row(&names, now, &found.flow, generation, outcome)
        };
        let limit = self.limit.unwrap_or(usize::MAX);
        let Some(sort) = self.sort else {
            let mut rows: Vec<FlowRow> = found.iter().map(row).collect();
            rows.sort_by(|a, b| place(a).cmp(&place(b)));
            if self.reverse {
                rows.reverse();
            }
            rows.truncate(limit);
            return Ok(rows);
        };
        found.sort_by_cached_key(|found| {
            let key = sort.key(now, snapshot, &found.flow);
            if self.reverse { (key, Reverse(0)) } else { (0, Reverse(key)) }
        });
        found.truncate(limit);
        Ok(found.iter().map(row).collect())
    }

    fn find(
        &self,
        engine: &Engine,
        now: Instant,
        snapshot: &Snapshot,
    ) -> Result<Vec<Found>, SelectionError> {
        let filter = self.selection.filter(snapshot)?;
        let through = Selection { interface: self.nat_gateway.clone(), ..Selection::default() };
        let through = through.filter(snapshot)?;
        let protocol = self.protocol.as_deref().map(protocol).transpose()?;
        let mut found = Vec::new();
        engine.flows().for_each(|entry| {
            let (flow, outcome) = (&entry.flow, entry.outcome);
            let wanted = !flow.is_expired(now, &snapshot.parts().timeouts)
                && is_of(protocol, flow)
                && self.state.as_deref().is_none_or(|state| state == state_of(flow, outcome))
                && [&filter, &through].iter().all(|filter| lets_pass(filter, snapshot, flow));
            if wanted {
                let generation = entry.generation;
                found.push(Found { flow: Arc::clone(flow), generation, outcome });
            }
        });
        Ok(found)
    }
}

fn is_of(protocol: Option<Protocol>, flow: &Flow) -> bool {
    protocol.is_none_or(|protocol| flow.inside().protocol() == protocol)
}

fn lets_pass(filter: &Filter, snapshot: &Snapshot, flow: &Flow) -> bool {
    let party = Party::of_flow(snapshot, flow);
    filter.has_server(party.server) && filter.has_party(snapshot, &party)
}

/// The order where none is asked for.
fn place(row: &FlowRow) -> (&str, u16, &str, &str) {
    (&row.service, row.task, &row.destination, &row.inside)
}

impl FlowSort {
    /// The greater, the earlier.
    fn key(self, now: Instant, snapshot: &Snapshot, flow: &Flow) -> u64 {
        let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let idle = now.since(flow.last_seen());
        match self {
            Self::Bytes => flow.sent.bytes() + flow.received.bytes(),
            Self::Packets => flow.sent.segments() + flow.received.segments(),
            Self::Idle => nanos(idle),
            Self::Age => nanos(now.since(flow.began)),
            Self::Expires => {
                let timeout = flow.idle_timeout(&snapshot.parts().timeouts);
                u64::MAX - nanos(timeout.saturating_sub(idle))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::config::Lab;
    use crate::packet::{TcpFlags, VnetHeader, builder};
    use crate::pipeline::{Device, Received, Verdict};
    use crate::vpc::{ServiceIx, Task};
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::time::Duration;

    const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);

    struct World {
        engine: Engine,
        snapshot: Snapshot,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let text = include_str!("../../examples/walkthrough.toml");
            let snapshot = Lab::parse("lab.toml", text).unwrap().lower(Generation(1));
            let web = snapshot.parts().services.iter().position(|s| s.name == "web").unwrap();
            let service = ServiceIx::from(web);
            let eni = snapshot.choose_eni(service, 1);
            let task = Task { service, number: 1, address: TASK, eni };
            let snapshot = snapshot.with_task(task);
            Self { engine: Engine::new(1), snapshot, now: Instant(1) }
        }

        fn sends(&mut self, bytes: &mut [u8]) {
            let eni = self.snapshot.task(TASK).and_then(|t| t.eni).unwrap();
            let (now, device) = (self.now, Device::Eni(eni));
            let (vnet, reply) = (VnetHeader::default(), &mut [0; 2048]);
            let received = Received { device, bytes, vnet };
            let judged = self.engine.judge(now, &self.snapshot, received, reply);
            assert!(matches!(judged.verdict, Verdict::Forward { .. }), "{judged:?}");
            self.now = self.now + Duration::from_secs(1);
        }

        fn found(&self, query: &FlowQuery) -> Vec<String> {
            let history = History::new(Arc::new(self.snapshot.clone()));
            let rows = query.rows(&self.engine, self.now, &self.snapshot, &history).unwrap();
            rows.iter().map(|row| row.inside.rsplit_once(':').unwrap().1.to_owned()).collect()
        }
    }

    /// Flow 1 is TCP to the internet; 2, UDP, began later and carried more; 3 is UDP inside the VPC and the youngest.
    fn world() -> World {
        let mut world = World::new();
        let from = |port| SocketAddrV4::new(TASK, port);
        let out = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);
        let inside = SocketAddrV4::new(Ipv4Addr::new(10, 0, 3, 10), 5432);
        world.sends(&mut builder::tcp(from(1), out, TcpFlags::SYN, 1, 0, &[]));
        world.sends(&mut builder::udp(from(2), out, &[0; 500]));
        world.sends(&mut builder::tcp(from(3), inside, TcpFlags::SYN, 1, 0, &[]));
        world.sends(&mut builder::udp(from(2), out, &[0; 500]));
        world
    }

    #[test]
    fn filters_choose_among_flows() {
        let world = world();
        let any = FlowQuery::default;
        let selected = |selection| FlowQuery { selection, ..any() };
        let word = |word: &str| Some(word.to_owned());
        assert_eq!(world.found(&any()), ["3", "1", "2"]);
        let to = |dst: &str| selected(Selection { destination: word(dst), ..Selection::default() });
        assert_eq!(world.found(&to("10.0.0.0/16")), ["3"]);
        assert_eq!(world.found(&to("0.0.0.0/0:443")), ["1", "2"]);
        assert_eq!(world.found(&FlowQuery { nat_gateway: word("nat-a"), ..any() }), ["1", "2"]);
        assert_eq!(world.found(&FlowQuery { protocol: word("udp"), ..any() }), ["2"]);
        assert_eq!(world.found(&FlowQuery { state: word("unreplied"), ..any() }), ["2"]);
        assert_eq!(world.found(&FlowQuery { state: word("opening"), ..any() }), ["3", "1"]);
        let other = Selection { service: word("trap"), ..Selection::default() };
        assert!(world.found(&selected(other)).is_empty());
    }

    #[test]
    fn flows_come_in_the_order_that_is_asked_for_and_no_more_than_wanted() {
        let world = world();
        let by = |sort, reverse| FlowQuery { sort: Some(sort), reverse, ..FlowQuery::default() };
        for (sort, order) in [
            (FlowSort::Bytes, ["2", "3", "1"]),
            (FlowSort::Packets, ["2", "3", "1"]),
            (FlowSort::Idle, ["1", "3", "2"]),
            (FlowSort::Age, ["1", "2", "3"]),
            (FlowSort::Expires, ["1", "3", "2"]),
        ] {
            let found = world.found(&by(sort, false));
            if matches!(sort, FlowSort::Bytes | FlowSort::Packets) {
                assert_eq!(found.first().map(String::as_str), Some(order[0]), "{sort:?}");
            } else {
                assert_eq!(found, order, "{sort:?}");
            }
            let mut backwards = world.found(&by(sort, true));
            if !matches!(sort, FlowSort::Bytes | FlowSort::Packets) {
                backwards.reverse();
                assert_eq!(backwards, order, "{sort:?}, the other way round");
            }
            let one = FlowQuery { limit: Some(1), ..by(sort, false) };
            assert_eq!(world.found(&one), [order[0]]);
        }
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let world = world();
        let query = FlowQuery { nat_gateway: Some("nat-z".to_owned()), ..FlowQuery::default() };
        let history = History::new(Arc::new(world.snapshot.clone()));
        let error = query.rows(&world.engine, world.now, &world.snapshot, &history).unwrap_err();
        assert!(error.to_string().starts_with("no ENI or NAT gateway `nat-z` in the lab; it has"));
    }
}
