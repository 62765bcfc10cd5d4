//! Streams live packets to clients: records of the engine as lines or as a capture. A client that
//! reads slowly has records left out; nothing waits for it.

use super::checked::Checked;
use super::peer::Peer;
use super::shared::{Shared, busy, refused};
use super::streams::{STREAM, Stream};
use super::subject::Configurations;
use crate::explain::pcapng::{self, Captured, Heading, Interface};
use crate::explain::{
    Selection, comment, decided_under, lab_down_row, left_out_row, queue_full_row, subject,
    trace_row, userspace_row,
};
use crate::flow::{Instant, Side};
use crate::linux::clock;
use crate::pipeline::Engine;
use crate::pipeline::watch::{LOOK_EVERY, PacketSeen, Seen, Sides, Watch, WatchRecord, Wish};
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio::time::MissedTickBehavior;

/// Lines a second, at most: many times what a person can follow.
const LINES_PER_SECOND: u32 = 1000;
/// Records of packets that wait for a reader, at most.
const QUEUE: usize = 8192;
/// Bytes of packets that wait for a reader, at most.
const QUEUE_BYTES: usize = 32 << 20;
/// Bytes that are sent at once, about.
const CHUNK: usize = 1 << 16;
/// Chunks on their way to the client, at most.
const CHUNKS: usize = 2;
/// The shortest interval between two notes to the client that records were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The request of `POST /v1/trace`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TraceRequest {
    /// The packets and flows to trace.
    pub selection: Selection,
    /// True to get the steps of each packet's walk.
    pub steps: bool,
    /// The number of lines before the end.
    pub count: Option<u64>,
}

/// The request of `POST /v1/capture`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaptureRequest {
    /// An ENI, a NAT gateway, a service or one of its tasks.
    pub subject: String,
    /// True to capture packets as tasks have them.
    pub inside: bool,
    /// True to capture packets as they are outside of egret's NATs.
    pub outside: bool,
    /// The number of packets before the end.
    pub count: Option<u64>,
    /// Bytes of each packet that are kept.
    pub snaplen: u32,
}

pub(super) async fn trace(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Checked(request): Checked<TraceRequest>,
) -> Response {
    let stream = match shared.streams().begin(&client) {
        Ok(stream) => stream,
        Err(error) => return busy(&error),
    };
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
    let queues = FullQueues::from_now_on(&shared).await;
    match begin_watch(subject.engine, &lines.configurations, wish).await {
        Ok(watch) => respond(watch, (lines, Some(queues)), left, stream, shared.ended()),
        Err(fault) => refused(&fault),
    }
}

pub(super) async fn capture(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Peer>,
    Checked(request): Checked<CaptureRequest>,
) -> Response {
    let stream = match shared.streams().begin(&client) {
        Ok(stream) => stream,
        Err(error) => return busy(&error),
    };
    let lab = shared.subject().await;
    let filter = match subject(&request.subject, &lab.configurations.current.load()) {
        Ok(filter) => filter,
        Err(error) => return refused(&error),
    };
    let sides = Sides { inside: request.inside, outside: request.outside };
    let wish =
        Wish { filter, bytes: sides, queue: QUEUE, queue_bytes: QUEUE_BYTES, ..Wish::default() };
    let frames = File {
        configurations: lab.configurations,
        title: format!("{} of lab `{}`", request.subject, lab.lab),
        snaplen: request.snaplen,
        packets: 0,
        written: 0,
        left_out: 0,
    };
    let left = request.count.unwrap_or(u64::MAX);
    match begin_watch(lab.engine, &frames.configurations, wish).await {
        Ok(watch) => respond(watch, (frames, None), left, stream, shared.ended()),
        Err(fault) => refused(&fault),
    }
}

/// Begins to watch, from a blocking thread: every flow is looked at.
async fn begin_watch(
    engine: Arc<Engine>,
    configurations: &Configurations,
    wish: Wish,
) -> Result<Watch, JoinError> {
    let current = configurations.current.load_full();
    tokio::task::spawn_blocking(move || engine.watch(&current, wish)).await
}

/// The packets that full queues have dropped since a trace began.
struct FullQueues {
    shared: Shared,
    reported: u64,
}

/// Limits the wait for the lab to read its counters: records wait meanwhile.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

impl FullQueues {
    async fn from_now_on(shared: &Shared) -> Self {
        let reported = shared.queue_full(Duration::MAX).await.unwrap_or_default();
        Self { shared: shared.clone(), reported }
    }

    /// Counts the packets that the client does not know of yet; none while the lab is being
    /// changed, since no record waits for that.
    async fn news(&mut self) -> u64 {
        let Some(now) = self.shared.queue_full(LONGEST_WAIT).await else { return 0 };
        // A removed device takes its count with it, so the total may fall.
        let news = now.saturating_sub(self.reported);
        self.reported = now;
        news
    }
}

/// The format of a stream of records.
trait Form: Send + 'static {
    /// Appends what comes before the first record.
    fn begin(&mut self, out: &mut Vec<u8>);
    /// Appends a record, at most `left` units of it; returns how many units it was.
    fn record(&mut self, out: &mut Vec<u8>, record: &WatchRecord, at: Duration, left: u64) -> u64;
    /// Appends that records were left out.
    fn left_out(&mut self, out: &mut Vec<u8>, at: Duration, records: u64);
    /// Appends that so many flows are taken back from the kernel while they are watched.
    fn taken_back(&mut self, _out: &mut Vec<u8>, _at: Duration, _flows: u64) {}
    /// Appends that full queues have dropped packets.
    fn queue_full(&mut self, _out: &mut Vec<u8>, _at: Duration, _packets: u64) {}
    /// Appends that the lab goes down.
    fn lab_down(&mut self, out: &mut Vec<u8>, at: Duration);
}

/// Streams a response until so many units were sent, the client asks for its end or closes its
/// connection, or the lab ends.
fn respond(
    watch: Watch,
    (form, queues): (impl Form, Option<FullQueues>),
    left: u64,
    stream: Stream,
    ended: watch::Receiver<bool>,
) -> Response {
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Infallible>>(CHUNKS);
    let epoch = Duration::from_nanos(clock::wall().saturating_sub(clock::now()));
    let id = stream.id;
    let (over, reported, last_reported) = (false, 0, None);
    let pump = Pump { watch, form, queues, left, epoch, over, reported, last_reported, sender };
    tokio::spawn(pump.run(stream, ended));
    let body = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    ([(STREAM, id.to_string())], Body::from_stream(body)).into_response()
}

/// Carries records from the engine to a client.
struct Pump<F> {
    watch: Watch,
    form: F,
    /// `None` if the client wants no such note, or has had the last one.
    queues: Option<FullQueues>,
    left: u64,
    /// The start of the engine's clock, since 1970.
    epoch: Duration,
    /// True when nothing more is recorded, and only what was recorded remains to be sent.
    over: bool,
    /// The number of left-out records that the client knows of.
    reported: u64,
    last_reported: Option<Instant>,
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
}

impl<F: Form> Pump<F> {
    async fn run(mut self, mut stream: Stream, mut ended: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut full = tokio::time::interval(TELL_EVERY);
        full.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = false;
        let mut chunk = Vec::new();
        self.begin(&mut chunk);
        loop {
            if std::mem::take(&mut due) {
                self.tell_of_queues(&mut chunk).await;
            }
            self.fill(&mut chunk);
            if chunk.is_empty() && (self.over || self.left == 0) {
                // Ended before anything is waited for: until then user space carries the watched
                // flows.
                self.watch.end();
                self.tell_of_queues(&mut chunk).await;
                self.queues = None;
                if chunk.is_empty() {
                    return;
                }
            }
            tokio::select! {
                // A dropped sender is an end as well.
                _ = ended.wait_for(|end| *end) => break,
                () = stream.asked(), if !self.over => {
                    self.watch.end();
                    self.over = true;
                }
                room = self.sender.reserve(), if !chunk.is_empty() => match room {
                    Ok(room) => room.send(Ok(std::mem::take(&mut chunk).into())),
                    Err(_) => return,
                },
                _ = full.tick(), if self.queues.is_some() && chunk.len() < CHUNK => due = true,
                _ = look.tick(), if chunk.is_empty() => {}
                () = self.sender.closed(), if chunk.is_empty() => return,
            }
        }
        let now = self.epoch + Instant(clock::now()).since(Instant::ZERO);
        self.form.lab_down(&mut chunk, now);
        // A client that has not read so far does not hold up the end.
        let _ = self.sender.try_send(Ok(chunk.into()));
    }

    fn begin(&mut self, chunk: &mut Vec<u8>) {
        self.form.begin(chunk);
        if let Ok(flows @ 1..) = u64::try_from(self.watch.taken_back()) {
            let at = self.epoch + Instant(clock::now()).since(Instant::ZERO);
            self.form.taken_back(chunk, at, flows);
        }
    }

    async fn tell_of_queues(&mut self, chunk: &mut Vec<u8>) {
        let Some(queues) = &mut self.queues else { return };
        if let packets @ 1.. = queues.news().await {
            let at = self.epoch + Instant(clock::now()).since(Instant::ZERO);
            self.form.queue_full(chunk, at, packets);
        }
    }

    /// Takes the waiting records, up to a chunk.
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
        let news = self.watch.left_out() - self.reported;
        let due = self.last_reported.is_none_or(|last| now.since(last) >= TELL_EVERY);
        if news > 0 && (due || self.over || self.left == 0) {
            self.form.left_out(chunk, self.epoch + now.since(Instant::ZERO), news);
            self.reported += news;
            self.last_reported = Some(now);
        }
    }
}

/// The format of JSON lines.
struct Lines {
    configurations: Configurations,
}

impl Form for Lines {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn record(&mut self, out: &mut Vec<u8>, record: &WatchRecord, at: Duration, _: u64) -> u64 {
        let under = self.configurations.of(record.generation);
        let decided_under = self.configurations.of(decided_under(record));
        line(out, &trace_row(record, at, &under, &decided_under));
        1
    }

    fn left_out(&mut self, out: &mut Vec<u8>, at: Duration, records: u64) {
        line(out, &left_out_row(at, records));
    }

    fn taken_back(&mut self, out: &mut Vec<u8>, at: Duration, flows: u64) {
        line(out, &userspace_row(at, flows));
    }

    fn queue_full(&mut self, out: &mut Vec<u8>, at: Duration, packets: u64) {
        line(out, &queue_full_row(at, packets));
    }

    fn lab_down(&mut self, out: &mut Vec<u8>, at: Duration) {
        line(out, &lab_down_row(at));
    }
}

fn line(out: &mut Vec<u8>, row: &impl Serialize) {
    let before = out.len();
    match serde_json::to_writer(&mut *out, row) {
        Ok(()) => out.push(b'\n'),
        // JSON can express every row; if one fails, its line is left out.
        Err(_) => out.truncate(before),
    }
}

/// The format of a capture file.
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
        // An answer is sent back where the packet came from.
        let answer = (first.0, Heading::Out, &frames.answer, Default::default());
        let answered = format!("egret's answer; {comment}");
        self.packets += 1;
        let mut written = 0;
        for (copy, said) in [(first, comment), (second, comment), (answer, &answered)] {
            let (interface, heading, Some(bytes), vnet) = copy else { continue };
            if written >= left {
                break;
            }
            let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            let id = self.packets;
            let captured = Captured { interface, heading, at, id, bytes, vnet, comment: said };
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

    fn record(&mut self, out: &mut Vec<u8>, record: &WatchRecord, at: Duration, left: u64) -> u64 {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::streams::Streams;
    use super::*;
    use crate::config::Lab;
    use crate::daemon::history::History;
    use crate::packet::{VnetHeader, builder};
    use crate::pipeline::{Device, Received};
    use crate::vpc::{Generation, Snapshot};
    use crate::vpc::{ServiceIx, Task};
    use arc_swap::ArcSwap;
    use http_body_util::BodyExt as _;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
    const HOST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 53);

    fn snapshot() -> Snapshot {
        let text = include_str!("../../examples/walkthrough.toml");
        let snapshot = Lab::parse("lab.toml", text).unwrap().lower(Generation(1));
        let web = snapshot.parts().services.iter().position(|s| s.name == "web").unwrap();
        let service = ServiceIx::from(web);
        let eni = snapshot.choose_eni(service, 1);
        snapshot.with_task(Task { service, number: 1, address: TASK, eni })
    }

    fn file(snapshot: &Snapshot) -> File {
        let current = Arc::new(snapshot.clone());
        let history = Arc::new(ArcSwap::from_pointee(History::new(Arc::clone(&current))));
        File {
            configurations: Configurations { current: Arc::new(ArcSwap::new(current)), history },
            title: "title".to_owned(),
            snaplen: 65_535,
            packets: 0,
            written: 0,
            left_out: 0,
        }
    }

    /// Counts the packets in a file, and returns how many it reports as left out.
    fn read(mut file: &[u8]) -> (u64, Option<u64>) {
        let (mut packets, mut left_out) = (0, None);
        while let Some((kind, length)) = pcapng::first_block(file).unwrap() {
            packets += u64::from(kind == pcapng::ENHANCED_PACKET);
            left_out = pcapng::left_out(&file[..length]).or(left_out);
            file = &file[length..];
        }
        assert!(file.is_empty(), "whole blocks");
        (packets, left_out)
    }

    #[tokio::test]
    async fn packets_seen_before_the_end_was_asked_for_are_sent_and_later_ones_are_not() {
        const SENT: u64 = 3000;
        let (engine, snapshot, streams) = (Engine::new(1), snapshot(), Streams::new(1));
        let eni = snapshot.task(TASK).and_then(|t| t.eni).unwrap();
        let one_is_sent = || {
            let mut bytes = builder::udp(SocketAddrV4::new(TASK, 5000), HOST, &[0; 1000]);
            let (now, vnet) = (Instant(1), VnetHeader::default());
            let received = Received { device: Device::Eni(eni), bytes: &mut bytes, vnet };
            engine.judge(now, &snapshot, received, &mut [0; 2048]);
        };
        let bytes = Sides { inside: true, outside: false };
        // The records are far more than the chunks on their way hold. The creation of the flow is a
        // record as well.
        let (queue, queue_bytes) = (SENT as usize + 1, usize::MAX);
        let wish = Wish { bytes, queue, queue_bytes, ..Wish::default() };
        let (_lab, ended) = watch::channel(false);
        let watch = engine.watchers().watch(wish);
        let root = Peer::known(0);
        let answer =
            respond(watch, (file(&snapshot), None), u64::MAX, streams.begin(&root).unwrap(), ended);
        let id: u64 = answer.headers()[STREAM].to_str().unwrap().parse().unwrap();
        (0..SENT + 7).for_each(|_| one_is_sent());

        assert!(streams.end(&root, id));
        assert!(!streams.end(&root, id), "its end was asked for");
        // The first chunk: by then the end of the stream is known.
        let mut body = answer.into_body();
        let mut bytes = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
        assert!(!engine.watchers().any());
        one_is_sent();
        bytes.extend(body.collect().await.unwrap().to_bytes());
        assert_eq!(read(&bytes), (SENT, Some(7)));
        assert!(!streams.end(&root, id), "it has ended");
    }
}
