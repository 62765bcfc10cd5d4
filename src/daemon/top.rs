//! `egret top`: the traffic of flows, ENIs or services per second. It compares two reads of
//! counters that exist anyway: packets pay nothing for it.

use super::checked::Checked;
use super::peer::Peer;
use super::rows::devices;
use super::shared::{Shared, busy};
use super::subject::Subject;
use crate::explain::{TopRow, TopTable, service_name};
use crate::flow::{Counters, Flow, FlowKey, Instant};
use crate::linux::clock;
use crate::pipeline::{Device, DeviceId, Engine, NatPair, Reason};
use crate::vpc::Snapshot;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The shortest time between two reads.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);
/// The longest time between two reads.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

/// The request of `POST /v1/top`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopRequest {
    /// The subject of a row.
    pub by: TopBy,
    /// Milliseconds between two reads.
    pub interval_ms: u64,
    /// The number of tables before the end.
    pub count: Option<u64>,
    /// Rows of the longest table.
    pub limit: usize,
}

/// The subject of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TopBy {
    /// Each flow.
    Flows,
    /// Each ENI and gateway.
    Enis,
    /// Each service.
    Services,
}

pub(super) async fn top(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Checked(request): Checked<TopRequest>,
) -> Response {
    let interval = Duration::from_millis(request.interval_ms);
    let stream = match shared.streams().begin(&client) {
        Ok(stream) => stream,
        Err(error) => return busy(&error),
    };
    let (sender, mut receiver) = mpsc::channel(1);
    let lab = shared.subject().await;
    let ended = shared.ended();
    tokio::spawn(async move {
        look(lab, request, interval, sender, ended).await;
        drop(stream);
    });
    let body = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    Body::from_stream(body).into_response()
}

async fn look(
    lab: Subject,
    request: TopRequest,
    interval: Duration,
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
    mut ended: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut left = request.count.unwrap_or(u64::MAX);
    let mut before: Option<Sample> = None;
    while left > 0 {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sender.closed() => return,
            _ = ended.wait_for(|end| *end) => return,
        }
        let (engine, snapshot) = (Arc::clone(&lab.engine), lab.configurations.current.load_full());
        // On a thread of its own: it looks at every flow.
        let looked = tokio::task::spawn_blocking(move || {
            let now = Sample::take(&engine, &snapshot, request.by);
            let table = before.map(|before| now.since(&before, request.limit));
            (now, table.map(|table| serde_json::to_vec(&table)))
        });
        let Ok((now, line)) = looked.await else { return };
        before = Some(now);
        let Some(line) = line else { continue };
        let Ok(mut line) = line else { return };
        line.push(b'\n');
        tokio::select! {
            sent = sender.send(Ok(line.into())) => if sent.is_err() { return },
            _ = ended.wait_for(|end| *end) => return,
        }
        left -= 1;
    }
}

/// The counters at one moment.
struct Sample {
    at: Instant,
    rows: HashMap<Key, Carried>,
    drops: BTreeMap<&'static str, u64>,
}

/// The subject of a row, as a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Flow(FlowKey),
    Named(String),
}

/// The traffic of a row's subject since its beginning.
#[derive(Clone, Debug, Default)]
struct Carried {
    /// The text in front of a flow's tuple.
    task: Option<String>,
    flows: u64,
    packets_out: u64,
    bytes_out: u64,
    packets_in: u64,
    bytes_in: u64,
    /// Bytes of all that the kernel carried by itself.
    offloaded: u64,
}

impl Carried {
    fn add(&mut self, sent: &Counters, received: &Counters) {
        self.packets_out += sent.segments();
        self.bytes_out += sent.bytes();
        self.packets_in += received.segments();
        self.bytes_in += received.bytes();
        self.offloaded += sent.offloaded_bytes() + received.offloaded_bytes();
    }
}

impl Sample {
    fn take(engine: &Engine, snapshot: &Snapshot, by: TopBy) -> Self {
        let rows = match by {
            TopBy::Flows => flows(engine, snapshot),
            TopBy::Enis => enis(engine, snapshot),
            TopBy::Services => services(engine, snapshot),
        };
        let dropped = |reason: &Reason| (reason.name(), engine.drops().packets(*reason));
        let drops = Reason::ALL.iter().map(dropped).collect();
        Self { at: Instant(clock::now()), rows, drops }
    }

    /// Returns the traffic per second between two samples; the row with the most bytes comes first.
    fn since(&self, old: &Self, limit: usize) -> TopTable {
        let elapsed = self.at.since(old.at);
        // A counter that is lower than before is a new one: another flow with the same tuple.
        let rate = |new: u64, old: u64| a_second(new.checked_sub(old).unwrap_or(new), elapsed);
        let nothing = Carried::default();
        let mut rows: Vec<TopRow> = self
            .rows
            .iter()
            .map(|(key, new)| {
                let old = old.rows.get(key).unwrap_or(&nothing);
                TopRow {
                    name: name(key, new),
                    flows: new.flows,
                    bits_out: rate(new.bytes_out, old.bytes_out).saturating_mul(8),
                    packets_out: rate(new.packets_out, old.packets_out),
                    bits_in: rate(new.bytes_in, old.bytes_in).saturating_mul(8),
                    packets_in: rate(new.packets_in, old.packets_in),
                    offloaded_bits: rate(new.offloaded, old.offloaded).saturating_mul(8),
                }
            })
            .collect();
        rows.sort_by(|a, b| {
            let most = |row: &TopRow| Reverse(row.bits_out + row.bits_in);
            (most(a), &a.name).cmp(&(most(b), &b.name))
        });
        let more = rows.len().saturating_sub(limit);
        rows.truncate(limit);
        let fresh = |(reason, new): (&&'static str, &u64)| {
            let old = old.drops.get(reason).copied().unwrap_or(0);
            let rate = rate(*new, old);
            (rate > 0).then(|| ((*reason).to_owned(), rate))
        };
        let drops = self.drops.iter().filter_map(fresh).collect();
        let seconds = elapsed.as_secs_f64();
        TopTable { seconds, rows, more, drops }
    }
}

/// Returns the rate, rounded up, so that little traffic does not show as none.
fn a_second(count: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(count) * 1_000_000_000;
    u64::try_from(rate.div_ceil(elapsed.as_nanos().max(1))).unwrap_or(u64::MAX)
}

fn name(key: &Key, carried: &Carried) -> String {
    match key {
        Key::Named(name) => name.clone(),
        Key::Flow(flow) => match &carried.task {
            Some(task) => format!("{task} {}", flow.tuple()),
            None => flow.tuple().to_string(),
        },
    }
}

fn flows(engine: &Engine, snapshot: &Snapshot) -> HashMap<Key, Carried> {
    let mut rows = HashMap::new();
    engine.flows().for_each(|entry| {
        let flow = &entry.flow;
        let mut carried =
            Carried { task: Some(owner(snapshot, flow)), flows: 1, ..Carried::default() };
        carried.add(&flow.sent, &flow.received);
        rows.insert(Key::Flow(flow.egress), carried);
    });
    rows
}

/// Sums the traffic of each service. A flow that ended is missing, with its traffic since the last
/// read.
fn services(engine: &Engine, snapshot: &Snapshot) -> HashMap<Key, Carried> {
    let services = snapshot.parts().services.iter();
    let mut rows: HashMap<Key, Carried> =
        services.map(|s| (Key::Named(s.name.clone()), Carried::default())).collect();
    engine.flows().for_each(|entry| {
        let flow = &entry.flow;
        let Some(service) = flow.service_in(snapshot) else { return };
        let key = Key::Named(service_name(snapshot, service).to_owned());
        let carried = rows.entry(key).or_default();
        carried.flows += 1;
        carried.add(&flow.sent, &flow.received);
    });
    rows
}

fn enis(engine: &Engine, snapshot: &Snapshot) -> HashMap<Key, Carried> {
    let id = |device| match DeviceId::of(snapshot, device) {
        DeviceId::Eni(id) | DeviceId::NatGateway(id) => id,
        DeviceId::AppRunner => "app-runner".to_owned(),
    };
    let all = Device::all(snapshot);
    let mut rows: HashMap<Key, Carried> =
        all.map(|device| (Key::Named(id(device)), Carried::default())).collect();
    for (path, tally) in engine.tallies(snapshot) {
        for device in devices(path) {
            rows.entry(Key::Named(id(device))).or_default().add(&tally.sent, &tally.received);
        }
    }
    engine.flows().for_each(|entry| {
        for device in NatPair::of(snapshot, &entry.flow).into_iter().flat_map(devices) {
            rows.entry(Key::Named(id(device))).or_default().flows += 1;
        }
    });
    rows
}

fn owner(snapshot: &Snapshot, flow: &Flow) -> String {
    crate::explain::task(snapshot, flow.inside().src())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, name: &str, bytes: u64, drops: u64) -> Sample {
        let carried =
            Carried { flows: 1, packets_out: bytes / 100, bytes_out: bytes, ..Carried::default() };
        Sample {
            at: Instant(at),
            rows: HashMap::from([(Key::Named(name.to_owned()), carried)]),
            drops: BTreeMap::from([("no-route", drops), ("fragment", 7)]),
        }
    }

    #[test]
    fn rates_are_what_came_in_between_a_second() {
        let (old, new) = (sample(0, "web", 1000, 1), sample(2_000_000_000, "web", 5000, 5));
        let table = new.since(&old, 10);
        assert_eq!((table.rows[0].bits_out, table.rows[0].packets_out), (16_000, 20));
        assert_eq!(table.drops, BTreeMap::from([("no-route".to_owned(), 2)]));
        assert_eq!((table.seconds, table.more), (2.0, 0));
    }

    #[test]
    fn new_rows_count_from_zero_and_rows_cut_off_are_counted() {
        let (old, new) = (sample(0, "web", 9000, 0), sample(1_000_000_000, "web", 100, 0));
        assert_eq!(new.since(&old, 10).rows[0].bits_out, 800, "another flow of that name");
        let other = sample(0, "api", 1, 0);
        assert_eq!(new.since(&other, 10).rows[0].bits_out, 800);
        assert_eq!(new.since(&old, 0).more, 1);
    }
}
