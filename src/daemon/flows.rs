//! `egret flows`: the lab selects, sorts and limits the rows, so that a million flows do not cross
//! the socket.

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
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The request of `POST /v1/flows`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FlowQuery {
    /// The task, the ENI and the destination.
    pub selection: Selection,
    /// The NAT gateway.
    pub nat_gateway: Option<String>,
    /// The protocol.
    pub protocol: Option<String>,
    /// The state.
    pub state: Option<String>,
    /// The order; by task and destination if none is given.
    pub sort: Option<FlowSort>,
    /// True to reverse the order.
    pub reverse: bool,
    /// The most rows.
    pub limit: Option<usize>,
}

/// An order of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FlowSort {
    /// The most bytes first, both ways together.
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

/// A flow and its verdict.
struct Found {
    flow: Arc<Flow>,
    generation: Generation,
    outcome: FlowOutcome,
}

impl FlowQuery {
    /// Returns the rows of the flows that the query selects; none that has expired.
    ///
    /// # Errors
    /// A word that names nothing in the lab.
    pub(crate) fn rows(
        &self,
        engine: &Engine,
        now: Instant,
        snapshot: &Snapshot,
        history: &History,
    ) -> Result<Vec<FlowRow>, SelectionError> {
        let names = EarlierNames::new(history, snapshot);
        let place = |flow: &Flow, party: &Party| self.place(now, &names, flow, party);
        let found = match self.reverse {
            false => self.first(engine, now, snapshot, place)?,
            true => self.first(engine, now, snapshot, |flow, party| Reverse(place(flow, party)))?,
        };
        let row = |found: &Found| {
            let (generation, outcome) = (found.generation.0, found.outcome);
            flow_row(&names, now, &found.flow, generation, outcome)
        };
        Ok(found.iter().map(row).collect())
    }

    /// Returns the first flows in an order. It holds no more flows than it returns, however many
    /// there are.
    fn first<K: Ord>(
        &self,
        engine: &Engine,
        now: Instant,
        snapshot: &Snapshot,
        key: impl Fn(&Flow, &Party) -> K,
    ) -> Result<Vec<Found>, SelectionError> {
        let wanted = Wanted::new(self, snapshot)?;
        let mut first = First::new(self.limit.unwrap_or(usize::MAX));
        engine.flows().for_each(|entry| {
            let flow = &entry.flow;
            if let Some(party) = wanted.party(now, snapshot, flow, entry.outcome) {
                let (generation, outcome) = (entry.generation, entry.outcome);
                let found = || Found { flow: Arc::clone(flow), generation, outcome };
                first.offer(key(flow, &party), found);
            }
        });
        Ok(first.into_vec())
    }

    fn place<'n>(
        &self,
        now: Instant,
        names: &EarlierNames<'n>,
        flow: &Flow,
        party: &Party,
    ) -> SortKey<'n> {
        let inside = flow.inside();
        SortKey {
            sorted: self.sort.map(|sort| Reverse(sort.key(now, names.current, flow))),
            service: names.service(flow.service, flow.admitted_under),
            task: party.task.map_or(0, |(_, number)| number),
            destination: (inside.dst(), inside.dport()),
            inside: (inside.src(), inside.sport()),
            protocol: inside.protocol().number(),
        }
    }
}

/// The position of a flow in the requested order; by task and destination if none is requested.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SortKey<'n> {
    /// The key of the requested order, the greatest first.
    sorted: Option<Reverse<u64>>,
    service: &'n str,
    task: u16,
    destination: (Ipv4Addr, u16),
    inside: (Ipv4Addr, u16),
    protocol: u8,
}

/// The filters of a query, with the lab's names.
struct Wanted<'q> {
    filters: [Filter; 2],
    protocol: Option<Protocol>,
    state: Option<&'q str>,
}

impl<'q> Wanted<'q> {
    fn new(query: &'q FlowQuery, snapshot: &Snapshot) -> Result<Self, SelectionError> {
        let filter = query.selection.filter(snapshot)?;
        let through = Selection { interface: query.nat_gateway.clone(), ..Selection::default() };
        let filters = [filter, through.filter(snapshot)?];
        let protocol = query.protocol.as_deref().map(protocol).transpose()?;
        Ok(Self { filters, protocol, state: query.state.as_deref() })
    }

    /// Returns the task that a flow belongs to, if the query selects the flow.
    fn party(
        &self,
        now: Instant,
        snapshot: &Snapshot,
        flow: &Flow,
        outcome: FlowOutcome,
    ) -> Option<Party> {
        let wanted = !flow.is_expired(now, &snapshot.parts().timeouts)
            && self.protocol.is_none_or(|protocol| flow.inside().protocol() == protocol)
            && self.state.is_none_or(|state| state == state_of(flow, outcome));
        let party = wanted.then(|| Party::of_flow(snapshot, flow))?;
        let passes =
            |filter: &Filter| filter.has_server(party.server) && filter.has_party(snapshot, &party);
        self.filters.iter().all(passes).then_some(party)
    }
}

/// The first items of those offered, in the order of keys.
struct First<K, T> {
    limit: usize,
    /// The items kept; the last of them is on top.
    kept: BinaryHeap<Kept<K, T>>,
}

struct Kept<K, T> {
    key: K,
    value: T,
}

impl<K: Ord, T> First<K, T> {
    fn new(limit: usize) -> Self {
        Self { limit, kept: BinaryHeap::new() }
    }

    fn offer(&mut self, key: K, value: impl FnOnce() -> T) {
        if self.kept.len() < self.limit {
            self.kept.push(Kept { key, value: value() });
        } else if let Some(mut last) = self.kept.peek_mut()
            && key < last.key
        {
            *last = Kept { key, value: value() };
        }
    }

    fn into_vec(self) -> Vec<T> {
        self.kept.into_sorted_vec().into_iter().map(|kept| kept.value).collect()
    }
}

impl<K: Ord, T> Ord for Kept<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<K: Ord, T> PartialOrd for Kept<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T> PartialEq for Kept<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Ord, T> Eq for Kept<K, T> {}

impl FlowSort {
    /// Returns the sort key of a flow; a greater one comes earlier.
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
    use std::net::SocketAddrV4;
    use std::time::Duration;

    const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);

    struct World {
        engine: Engine,
        snapshot: Snapshot,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self::of(include_str!("../../examples/walkthrough.toml"))
        }

        fn of(text: &str) -> Self {
            let snapshot = Lab::parse("lab.toml", text).unwrap().lower(Generation(1));
            let web = snapshot.parts().services.iter().position(|s| s.name == "web").unwrap();
            let service = ServiceIx::from(web);
            let eni = snapshot.choose_eni(service, 1);
            let task = Task { service, number: 1, address: TASK, eni };
            let snapshot = snapshot.with_task(task);
            Self { engine: Engine::new(1), snapshot, now: Instant(1) }
        }

        fn sends(&mut self, bytes: &mut [u8]) {
            let verdict = self.tries(bytes);
            assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
            self.now = self.now + Duration::from_secs(1);
        }

        fn tries(&mut self, bytes: &mut [u8]) -> Verdict {
            let eni = self.snapshot.task(TASK).and_then(|t| t.eni).unwrap();
            let (now, device) = (self.now, Device::Eni(eni));
            let (vnet, reply) = (VnetHeader::default(), &mut [0; 2048]);
            let received = Received { device, bytes, vnet };
            self.engine.judge(now, &self.snapshot, received, reply).verdict
        }

        fn found(&self, query: &FlowQuery) -> Vec<String> {
            let history = History::new(Arc::new(self.snapshot.clone()));
            let rows = query.rows(&self.engine, self.now, &self.snapshot, &history).unwrap();
            rows.iter().map(|row| row.inside.rsplit_once(':').unwrap().1.to_owned()).collect()
        }
    }

    /// Makes three flows: 1 is TCP to the internet; 2, UDP, began later and carried more; 3 is UDP
    /// inside the VPC and the youngest.
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
    fn first_of_many_are_kept_in_order_and_no_more_than_wanted() {
        for limit in [0, 1, 3, 100, 2000] {
            let mut first = First::new(limit);
            let mut most = 0;
            // Each number below 1,009 once, in no order.
            for number in (1..1009_u32).map(|n| n * 411 % 1009) {
                first.offer(number, || number);
                most = most.max(first.kept.len());
            }
            assert_eq!(most, limit.min(1008));
            assert_eq!(first.into_vec(), (1..1009).take(limit).collect::<Vec<_>>());
        }
    }

    /// Run with `cargo test --release --lib limit_of_3_at_900_000_flows -- --ignored --nocapture`.
    #[test]
    #[ignore = "measures: how long the query of three flows takes among 900,000"]
    fn limit_of_3_at_900_000_flows() {
        let text = include_str!("../../examples/walkthrough.toml").to_owned();
        let mut world = World::of(&(text + "[limits]\neni_connections = 10000000\n"));
        for service in 1..=17 {
            let to = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), service);
            for port in 1024..=56_000 {
                let verdict =
                    world.tries(&mut builder::udp(SocketAddrV4::new(TASK, port), to, &[]));
                assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
            }
        }
        println!("{} flows", world.engine.flows().len());
        for sort in [None, Some(FlowSort::Bytes), Some(FlowSort::Age)] {
            let query = FlowQuery { limit: Some(3), sort, ..FlowQuery::default() };
            let begun = std::time::Instant::now();
            assert!(world.found(&query).len() <= 3);
            println!("{sort:?}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let world = world();
        let query = FlowQuery { nat_gateway: Some("nat-z".to_owned()), ..FlowQuery::default() };
        let history = History::new(Arc::new(world.snapshot.clone()));
        let error = query.rows(&world.engine, world.now, &world.snapshot, &history).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("no ENI or NAT gateway `nat-z` in the lab; did you mean `nat-"));
    }
}
