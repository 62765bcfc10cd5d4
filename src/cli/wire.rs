//! Sends packets from the namespaces of tasks, many at a time. The lab reports at once which of
//! them it drops, so that nothing waits for an answer that does not come.

use super::CliError;
use super::lines::Lines;
use super::progress::{PATIENCE, Progress};
use crate::daemon::watch::TraceRequest;
use crate::daemon::{Answer, Client, ClientError};
use crate::explain::{Leaving, Plan, Probe, PsRow, Selection, Sight, TraceRow, Wire};
use crate::linux::{Netns, probe};
use crate::packet::Protocol;
use futures_util::StreamExt as _;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{interval_at, timeout};

/// The packets that wait for an answer at a time.
const IN_FLIGHT: usize = 64;
/// Limits the wait for the answer to a packet that may pass.
const LONG: Duration = Duration::from_secs(10);
/// Limits the wait for a packet that must be dropped, if the lab does not report its drop.
const SHORT: Duration = Duration::from_secs(3);
/// Limits the wait for the lab's report on a packet.
const REPORT: Duration = Duration::from_millis(500);

/// The source and the destination of a packet, as the task has them.
pub(super) type Key = (Protocol, Ipv4Addr, u16, Ipv4Addr, u16);

/// Sends packets in a running lab.
pub(super) struct Wires<'c> {
    client: &'c Client,
    tasks: HashMap<(&'c str, u16), &'c PsRow>,
    seen: RefCell<HashMap<Key, Rc<Seen>>>,
    done: Cell<usize>,
}

/// The lab's reports on one packet.
#[derive(Default)]
struct Seen {
    dropped: RefCell<Option<Wire>>,
    leaving: RefCell<Option<Leaving>>,
    news: Notify,
}

impl<'c> Wires<'c> {
    pub(super) fn new(client: &'c Client, tasks: &'c [PsRow]) -> Self {
        let tasks = tasks.iter().map(|row| ((row.service.as_str(), row.task), row)).collect();
        Self { client, tasks, seen: RefCell::default(), done: Cell::default() }
    }

    /// Sends the packets of a plan, and returns the result of each.
    ///
    /// # Errors
    /// The lab went down.
    pub(super) async fn send(&self, plan: &Plan) -> Result<Vec<Sight>, CliError> {
        let drops = self.follow("drops").await?;
        let is_drawn = plan.draws_decide();
        let events = if is_drawn { Some(self.follow("events").await?) } else { None };
        let all: Vec<(usize, &Probe)> = plan.probes().enumerate().collect();
        let count = all.len();
        let one = |(at, probe)| async move {
            let sight = self.one(probe, plan.may_pass(at), is_drawn).await;
            self.done.set(self.done.get() + 1);
            (at, sight)
        };
        let sights = futures_util::stream::iter(all).map(one).buffer_unordered(IN_FLIGHT);
        let mut sights: Vec<(usize, Sight)> = tokio::select! {
            sights = sights.collect() => sights,
            ended = self.read(drops) => match ended? {},
            ended = self.read_if_any(events) => match ended? {},
            never = self.tell(count) => match never {},
        };
        sights.sort_by_key(|(at, _)| *at);
        Ok(sights.into_iter().map(|(_, sight)| sight).collect())
    }

    async fn follow(&self, only: &str) -> Result<Answer, ClientError> {
        let selection = Selection { only: Some(only.to_owned()), ..Selection::default() };
        let request = TraceRequest { selection, ..TraceRequest::default() };
        self.client.follow("/v1/trace", &request).await
    }

    /// Reads records until the lab goes down.
    async fn read(&self, mut answer: Answer) -> Result<Infallible, CliError> {
        let mut lines = Lines::default();
        while let Some(bytes) = answer.next().await? {
            lines.take(&bytes);
            while let Some(line) = lines.next() {
                self.record(&serde_json::from_slice(&line).map_err(io::Error::other)?);
            }
        }
        Err(answer.went_down().into())
    }

    async fn read_if_any(&self, answer: Option<Answer>) -> Result<Infallible, CliError> {
        match answer {
            Some(answer) => self.read(answer).await,
            None => std::future::pending().await,
        }
    }

    /// Notes a report of the lab on one of the packets.
    fn record(&self, row: &TraceRow) {
        let Some(seen) = key_of(row).and_then(|key| self.seen.borrow().get(&key).cloned()) else {
            return;
        };
        if let Some(leaving) = leaving(row) {
            *seen.leaving.borrow_mut() = Some(leaving);
        }
        if let Some(reason) = &row.reason {
            let (reason, rule) = (reason.to_string(), row.rule.clone());
            seen.dropped.borrow_mut().get_or_insert(Wire::Dropped { reason, rule });
        }
        seen.news.notify_one();
    }

    /// Prints how many packets are done, once it takes long.
    async fn tell(&self, count: usize) -> Infallible {
        let mut ticks = interval_at(tokio::time::Instant::now() + PATIENCE, PATIENCE);
        let mut progress = None;
        loop {
            ticks.tick().await;
            let done = self.done.get();
            let progress = progress.get_or_insert_with(Progress::new);
            progress.say(&format!("sent {done} of {count} packets; Ctrl-C ends it"));
        }
    }

    async fn one(&self, probe: &Probe, may_pass: bool, is_drawn: bool) -> Sight {
        let Some(task) = self.tasks.get(&(probe.service.as_str(), probe.task)) else {
            return not_tried("the task does not run any more".to_owned());
        };
        let to = SocketAddrV4::new(probe.destination, probe.port);
        let open = |netns: Netns| {
            let from = probe::any(probe.source_port.unwrap_or(0));
            probe::Probe::open(&netns, probe.protocol, from, to)
        };
        let packet = match Netns::open(&task.namespace).map_err(Into::into).and_then(open) {
            Ok(packet) => packet,
            Err(error) => return not_tried(error.to_string()),
        };
        let key = (probe.protocol, task.address, packet.source_port(), *to.ip(), to.port());
        let seen = Rc::clone(self.seen.borrow_mut().entry(key).or_default());
        let patience = if may_pass { LONG } else { SHORT };
        let wire = tokio::select! {
            answer = packet.answer() => wire(answer, &seen).await,
            dropped = seen.dropped() => dropped,
            () = tokio::time::sleep(patience) => Wire::Silent,
        };
        let leaving = match &wire {
            // A packet that is dropped on its way there has begun no flow.
            Wire::Dropped { .. } => seen.leaving.borrow().clone(),
            Wire::Answered | Wire::Refused(_) | Wire::Silent | Wire::NotTried(_) => {
                match is_drawn {
                    true => within(seen.leaving()).await,
                    false => None,
                }
            }
        };
        self.seen.borrow_mut().remove(&key);
        Sight { wire, leaving }
    }
}

fn not_tried(why: String) -> Sight {
    Sight { wire: Wire::NotTried(why), leaving: None }
}

/// Returns the result that an answer means. The lab may have answered a packet that it dropped.
async fn wire(answer: io::Result<()>, seen: &Seen) -> Wire {
    match answer {
        Ok(()) => Wire::Answered,
        Err(error) => match within(seen.dropped()).await {
            Some(dropped) => dropped,
            None if error.kind() == io::ErrorKind::TimedOut => Wire::Silent,
            None => Wire::Refused(words(&error)),
        },
    }
}

/// Waits for a report that the lab may not have made yet.
async fn within<T>(news: impl Future<Output = T>) -> Option<T> {
    timeout(REPORT, news).await.ok()
}

impl Seen {
    async fn dropped(&self) -> Wire {
        self.wait(|| self.dropped.borrow().clone()).await
    }

    async fn leaving(&self) -> Leaving {
        self.wait(|| self.leaving.borrow().clone()).await
    }

    async fn wait<T>(&self, is_there: impl Fn() -> Option<T>) -> T {
        loop {
            if let Some(there) = is_there() {
                return there;
            }
            self.news.notified().await;
        }
    }
}

/// Returns the packet that a record is about, or the request of the reply.
pub(super) fn key_of(row: &TraceRow) -> Option<Key> {
    let inside = row.inside.as_ref()?;
    let protocol = match inside.protocol.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        _ => return None,
    };
    let ((task, own), (to, port)) = ((inside.src, inside.sport), (inside.dst, inside.dport));
    let ((task, own), (to, port)) = match is_reply(row) {
        true => ((to, port), (task, own)),
        false => ((task, own), (to, port)),
    };
    Some(match protocol {
        // The identifier stands for the port of one end.
        Protocol::Icmp => (protocol, task, own.max(port), to, 0),
        Protocol::Tcp | Protocol::Udp | Protocol::Other(_) => (protocol, task, own, to, port),
    })
}

fn leaving(row: &TraceRow) -> Option<Leaving> {
    let outside = row.outside.as_ref()?;
    let (address, port) = match is_reply(row) {
        true => (outside.dst, outside.dport),
        false => (outside.src, outside.sport),
    };
    let port = if outside.protocol == "icmp" { outside.sport.max(outside.dport) } else { port };
    Some(Leaving { address, port, nat_gateway: row.nat_gateway.clone() })
}

fn is_reply(row: &TraceRow) -> bool {
    row.side.as_deref() == Some("return")
}

/// Returns the kernel's error text, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words.to_lowercase()
}
