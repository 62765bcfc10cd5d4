//! Live packets to clients: records of the engine as lines or as a capture, in a response that goes on. Who reads slowly
//! has records left out; nothing waits for him.

use super::control::{Problem, Shared};
use super::history::History;
use crate::explain::pcapng::{self, Captured, Heading, Interface};
use crate::explain::{
    Selection, comment, decided_under, lab_down_row, left_out_row, subject, trace_row,
};
use crate::flow::{Instant, Side};
use crate::linux::clock;
use crate::pipeline::Engine;
use crate::pipeline::watch::{LOOK_EVERY, PacketSeen, Record, Seen, Sides, Watch, Wish};
use crate::vpc::{Generation, Snapshot};
use arc_swap::ArcSwap;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Lines a second, at most: what a person can follow, many times over.
const LINES_PER_SECOND: u32 = 1000;
/// Records of packets that wait for a reader, at most.
const QUEUE: usize = 8192;
/// Octets of packets that wait for a reader, at most.
const QUEUE_OCTETS: usize = 32 << 20;
/// Octets that are sent at once, about.
const CHUNK: usize = 1 << 18;
/// Chunks on their way to the client, at most.
const CHUNKS: usize = 4;
/// How often it is told that records were left out, at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What `POST /v1/trace` takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TraceRequest {
    /// Of which packets and flows.
    pub selection: Selection,
    /// Whether the steps of each packet's walk are wanted.
    pub steps: bool,
    /// The end after so many lines.
    pub count: Option<u64>,
}

/// What `POST /v1/capture` takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaptureRequest {
    /// An ENI, a NAT gateway, a service or one of its tasks.
    pub subject: String,
    /// Whether packets as tasks have them are wanted.
    pub inside: bool,
    /// Whether packets as the world behind egret has them are wanted.
    pub outside: bool,
    /// The end after so many packets.
    pub count: Option<u64>,
    /// Octets of each packet that are kept.
    pub snaplen: u32,
}

/// What there is to name positions by, whichever configuration they belong to.
#[derive(Clone)]
pub(super) struct Configurations {
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) history: Arc<ArcSwap<History>>,
}

impl Configurations {
    /// The configuration of a generation; of one that is forgotten, the one in force, which names what it can.
    fn of(&self, generation: Generation) -> Arc<Snapshot> {
        let current = self.current.load_full();
        if current.generation == generation {
            return current;
        }
        self.history.load().of(generation).map_or(current, Arc::clone)
    }
}

/// What a stream needs of a lab.
pub(super) struct Subject {
    pub(super) engine: Arc<Engine>,
    pub(super) configurations: Configurations,
    pub(super) lab: String,
}

pub(super) async fn trace(
    State(shared): State<Shared>,
    Json(request): Json<TraceRequest>,
) -> Response {
    let subject = shared.subject().await;
    let filter = match request.selection.filter(&subject.configurations.current.load()) {
        Ok(filter) => filter,
        Err(error) => return refused(&error),
    };
    let wish = Wish {
        filter,
        steps: request.steps,
        per_second: LINES_PER_SECOND,
        queue: QUEUE,
        ..Wish::default()
    };
    let lines = Lines { configurations: subject.configurations };
    let left = request.count.unwrap_or(u64::MAX);
    let watch = subject.engine.watch(&lines.configurations.current.load(), wish);
    stream(watch, lines, left, shared.ended())
}

pub(super) async fn capture(
    State(shared): State<Shared>,
    Json(request): Json<CaptureRequest>,
) -> Response {
    let lab = shared.subject().await;
    let filter = match subject(&request.subject, &lab.configurations.current.load()) {
        Ok(filter) => filter,
        Err(error) => return refused(&error),
    };
    let sides = Sides { inside: request.inside, outside: request.outside };
    let wish =
        Wish { filter, octets: sides, queue: QUEUE, queue_octets: QUEUE_OCTETS, ..Wish::default() };
    let frames = File {
        configurations: lab.configurations,
        title: format!("{} of lab `{}`", request.subject, lab.lab),
        snaplen: request.snaplen,
        packets: 0,
        written: 0,
        left_out: 0,
    };
    let left = request.count.unwrap_or(u64::MAX);
    let watch = lab.engine.watch(&frames.configurations.current.load(), wish);
    stream(watch, frames, left, shared.ended())
}

pub(super) fn refused(error: &dyn std::error::Error) -> Response {
    (StatusCode::BAD_REQUEST, Json(Problem { error: error.to_string() })).into_response()
}

/// What records are made into.
trait Form: Send + 'static {
    /// What comes before the first record.
    fn begin(&mut self, out: &mut Vec<u8>);
    /// Appends a record, at most `left` units of it; returns how many units it was.
    fn record(&mut self, out: &mut Vec<u8>, record: &Record, at: Duration, left: u64) -> u64;
    /// Appends that records were left out.
    fn left_out(&mut self, out: &mut Vec<u8>, at: Duration, records: u64);
    /// Appends that the lab goes down.
    fn lab_down(&mut self, out: &mut Vec<u8>, at: Duration);
}

/// A response that goes on until so many units were sent, the client goes, or the lab ends.
fn stream(watch: Watch, form: impl Form, left: u64, ended: watch::Receiver<bool>) -> Response {
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Infallible>>(CHUNKS);
    let epoch = Duration::from_nanos(clock::wall().saturating_sub(clock::now()));
    tokio::spawn(Pump { watch, form, left, epoch, told: 0, last_told: None, sender }.run(ended));
    let body = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    Body::from_stream(body).into_response()
}

/// Carries records from the engine to a client.
struct Pump<F> {
    watch: Watch,
    form: F,
    left: u64,
    /// Where the engine's clock began, since 1970.
    epoch: Duration,
    /// How many left-out records the client knows of.
    told: u64,
    last_told: Option<Instant>,
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
}

impl<F: Form> Pump<F> {
    async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut chunk = Vec::new();
        self.form.begin(&mut chunk);
        loop {
            self.fill(&mut chunk);
            let sent = async {
                if !chunk.is_empty() {
                    return self.sender.send(Ok(std::mem::take(&mut chunk).into())).await.is_ok();
                }
                tokio::select! {
                    _ = look.tick() => true,
                    () = self.sender.closed() => false,
                }
            };
            tokio::select! {
                sent = sent => if !sent { return },
                // A sender that is gone is an end as well.
                _ = ended.wait_for(|end| *end) => break,
            }
            if self.left == 0 {
                return;
            }
        }
        let now = self.epoch + Instant(clock::now()).since(Instant::ZERO);
        self.form.lab_down(&mut chunk, now);
        // A client that has not read so far does not hold up the end.
        let _ = self.sender.try_send(Ok(chunk.into()));
    }

    /// Takes what waits, up to a chunk.
    fn fill(&mut self, chunk: &mut Vec<u8>) {
        while chunk.len() < CHUNK
            && self.left > 0
            && let Some(record) = self.watch.next()
        {
            let units = self.form.record(
                chunk,
                &record,
                self.epoch + record.at.since(Instant::ZERO),
                self.left,
            );
            self.left = self.left.saturating_sub(units);
        }
        let now = Instant(clock::now());
        let news = self.watch.left_out() - self.told;
        if news > 0 && self.last_told.is_none_or(|last| now.since(last) >= TELL_EVERY) {
            self.form.left_out(chunk, self.epoch + now.since(Instant::ZERO), news);
            self.told += news;
            self.last_told = Some(now);
        }
    }
}

/// Lines of JSON.
struct Lines {
    configurations: Configurations,
}

impl Form for Lines {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn record(&mut self, out: &mut Vec<u8>, record: &Record, at: Duration, _: u64) -> u64 {
        let under = self.configurations.of(record.generation);
        let decided_under = self.configurations.of(decided_under(record));
        line(out, &trace_row(record, at, &under, &decided_under));
        1
    }

    fn left_out(&mut self, out: &mut Vec<u8>, at: Duration, records: u64) {
        line(out, &left_out_row(at, records));
    }

    fn lab_down(&mut self, out: &mut Vec<u8>, at: Duration) {
        line(out, &lab_down_row(at));
    }
}

fn line(out: &mut Vec<u8>, row: &impl Serialize) {
    let before = out.len();
    match serde_json::to_writer(&mut *out, row) {
        Ok(()) => out.push(b'\n'),
        // A row has nothing that JSON cannot say; were it so, the line is left out.
        Err(_) => out.truncate(before),
    }
}

/// A capture file.
struct File {
    configurations: Configurations,
    title: String,
    snaplen: u32,
    packets: u64,
    written: u64,
    left_out: u64,
}

impl File {
    fn packet(
        &mut self,
        out: &mut Vec<u8>,
        packet: &PacketSeen,
        (at, comment): (Duration, &str),
        left: u64,
    ) -> u64 {
        let frames = &packet.frames;
        let (task, world) = match packet.side {
            Side::Egress => (Heading::In, Heading::Out),
            Side::Return => (Heading::Out, Heading::In),
        };
        let inside = (Interface::Inside, task, &frames.inside, frames.vnet);
        let outside = (Interface::Outside, world, &frames.outside, frames.vnet);
        let [first, second] = match packet.side {
            Side::Egress => [inside, outside],
            Side::Return => [outside, inside],
        };
        // An answer goes back where the packet came from.
        let answer = (first.0, Heading::Out, &frames.answer, Default::default());
        let answered = format!("egret's answer; {comment}");
        self.packets += 1;
        let mut written = 0;
        for (copy, said) in [(first, comment), (second, comment), (answer, &answered)] {
            let (interface, heading, Some(octets), vnet) = copy else { continue };
            if written >= left {
                break;
            }
            let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            let id = self.packets;
            let captured = Captured { interface, heading, at, id, octets, vnet, comment: said };
            written += pcapng::packet(out, &captured, self.snaplen, left - written);
        }
        self.written += written;
        written
    }
}

impl Form for File {
    fn begin(&mut self, out: &mut Vec<u8>) {
        pcapng::begin(out, &self.title, self.snaplen);
    }

    fn record(&mut self, out: &mut Vec<u8>, record: &Record, at: Duration, left: u64) -> u64 {
        let Seen::Packet(packet) = &record.seen else { return 0 };
        let under = self.configurations.of(record.generation);
        let decided_under = self.configurations.of(decided_under(record));
        let comment = comment(&trace_row(record, at, &under, &decided_under));
        self.packet(out, packet, (at, &comment), left)
    }

    fn left_out(&mut self, out: &mut Vec<u8>, at: Duration, records: u64) {
        self.left_out += records;
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        pcapng::statistics(out, at, self.written, self.left_out);
    }

    fn lab_down(&mut self, _: &mut Vec<u8>, _: Duration) {}
}
