//! Expected-state tests: every counter and table size of the engine is modelled, each step declares
//! its changes, and anything undeclared fails and shows the whole state as the operator sees it.
//!
//! A step's changes are written `flows +1, ports 10.0.1.4 +1, drops no-route +1`, by the names of
//! [`Census`]:
//!
//! | name | what |
//! |---|---|
//! | `flows`, `opening`, `established`, `closed` | flows, and those of TCP by state |
//! | `denied` | flows whose packets from the task are dropped |
//! | `tombstones` | keys of expired flows |
//! | `ports A`, `resting`, `destinations` | leases of an address, ports in quarantine, pools |
//! | `datagrams` | datagrams whose fragments are tracked |
//! | `held fragments`, `held bytes` | fragments that wait for a first one |
//! | `datagrams that wait` | datagrams of those fragments |
//! | `drops R`, `drop rows` | packets dropped for a reason, rows of `egret drops` |
//! | `sent P`, `received P` | packets on a path, named by its addresses |

mod life;
mod reload;

use super::world::*;
use crate::daemon::drop_rows::add_drop;
use crate::daemon::earlier::EarlierNames;
use crate::daemon::flow_row::flow_row;
use crate::daemon::history::History;
use crate::daemon::kept_drops::KeptDrops;
use crate::explain::{self, DropRow, FlowRow, Row, TableStyle};
use crate::flow::Census;
use crate::packet::VnetHeader;
use crate::pipeline::{Link, Reason};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A world, with the expected counters and tables of its engine.
pub(super) struct Ledger {
    pub(super) world: World,
    expected: BTreeMap<String, i64>,
}

impl Ledger {
    #[track_caller]
    pub(super) fn new(text: &str) -> Self {
        let ledger = Self { world: World::new(text), expected: BTreeMap::new() };
        ledger.compare("the start");
        ledger
    }

    /// Runs an action that must have these changes and no other.
    #[track_caller]
    pub(super) fn step<T>(
        &mut self,
        what: &str,
        changes: &str,
        act: impl FnOnce(&mut World) -> T,
    ) -> T {
        let done = act(&mut self.world);
        for change in changes.split(',').map(str::trim).filter(|change| !change.is_empty()) {
            let (name, by) = change.rsplit_once(' ').expect("a name and a number");
            let by: i64 = by.parse().expect("a signed number");
            *self.expected.entry(name.to_owned()).or_default() += by;
        }
        self.expected.retain(|_, count| *count != 0);
        self.compare(what);
        done
    }

    /// Sends a task's packet.
    #[track_caller]
    pub(super) fn sends(&mut self, bytes: &[u8], changes: &str) -> Seen {
        let what = format!("a packet of task {}", source(bytes));
        self.step(&what, changes, |world| {
            world.push(world.device_of(source(bytes)), bytes, VnetHeader::default())
        })
    }

    /// Sends a task's packet that is dropped without an answer.
    #[track_caller]
    pub(super) fn loses(&mut self, bytes: &[u8], reason: Reason, changes: &str) {
        let seen = self.sends(bytes, changes);
        assert_eq!((seen.reason(), seen.bytes.len()), (Some(reason), 0));
    }

    /// Sends a packet from a VPC or the internet.
    #[track_caller]
    pub(super) fn arrives(&mut self, link: Link, bytes: &[u8], changes: &str) -> Seen {
        let what = format!("a packet from {link:?}");
        self.step(&what, changes, |world| {
            let device = world.device_toward(link, destination(bytes));
            world.push(device, bytes, VnetHeader::default())
        })
    }

    /// Sends a packet from a VPC or the internet that is dropped without an answer.
    #[track_caller]
    pub(super) fn keeps_out(&mut self, link: Link, bytes: &[u8], reason: Reason, changes: &str) {
        let seen = self.arrives(link, bytes, changes);
        assert_eq!((seen.reason(), seen.bytes.len()), (Some(reason), 0));
    }

    /// Advances the clock, and sweeps.
    #[track_caller]
    pub(super) fn sweeps_after(&mut self, seconds: u64, changes: &str) {
        self.step(&format!("a sweep {seconds} s later"), changes, |world| {
            world.advance(Duration::from_secs(seconds));
            world.engine.sweep(world.now, &world.snapshot);
        });
    }

    /// Applies another configuration.
    #[track_caller]
    pub(super) fn reloads(&mut self, text: &str, changes: &str) {
        self.step("a reload", changes, |world| world.reload(text));
    }

    /// Completes a TCP handshake; returns the SYN as it reached its destination.
    #[track_caller]
    pub(super) fn connects(
        &mut self,
        task: std::net::Ipv4Addr,
        to: (std::net::Ipv4Addr, u16),
        ports: &str,
        path: &str,
    ) -> (crate::packet::Tuple, Link) {
        let begun = format!("flows +1, opening +1, {ports}, sent {path} +1");
        let (out, link) = self.sends(&syn(task, 40_000, to), &begun).forwarded();
        self.arrives(link, &answer(out), &format!("received {path} +1")).forwarded();
        let open = format!("opening -1, established +1, sent {path} +1");
        self.sends(&tcp(task, 40_000, to, ACK, 101, 501), &open).forwarded();
        (out, link)
    }

    #[track_caller]
    fn compare(&self, after: &str) {
        let mut found = self.world.engine.census();
        check_redundant(&mut found);
        let found: BTreeMap<String, i64> =
            found.0.into_iter().map(|(name, count)| (name, count as i64)).collect();
        if found == self.expected {
            return;
        }
        let names: std::collections::BTreeSet<&String> =
            found.keys().chain(self.expected.keys()).collect();
        let mut report = format!("undeclared changes after {after}:\n");
        for name in names {
            let (is, should) = (found.get(name).unwrap_or(&0), self.expected.get(name));
            if is != should.unwrap_or(&0) {
                report += &format!("  {name}: {is}, not {}\n", should.unwrap_or(&0));
            }
        }
        panic!("{report}\n{}", self.world.shown());
    }
}

/// Removes counts that must follow from the rest, after checking that they do.
#[track_caller]
fn check_redundant(census: &mut Census) {
    let counts = &mut census.0;
    let sum = |counts: &BTreeMap<String, u64>, prefix: &str| -> u64 {
        counts.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    };
    let mut take = |name: &str| counts.remove(name).unwrap_or(0);
    let (returned, ordered, rows) =
        (take("return entries"), take("datagrams in order"), take("drop rows in order"));
    let (taken, listed, expired) = (take("taken"), take("listed drops"), take("expired flows"));
    let get = |name: &str| counts.get(name).copied().unwrap_or(0);
    assert_eq!(returned, get("flows"), "every flow has two entries");
    assert_eq!(ordered, get("datagrams"), "every datagram will be forgotten");
    assert_eq!(rows, get("drop rows"), "every row can make room");
    assert_eq!(listed, sum(counts, "drops "), "every drop is in a row");
    assert!(get("tombstones") <= 2 * expired, "every tombstone is of an expired flow");
    let (ports, pooled) = (sum(counts, "ports "), sum(counts, "pooled "));
    assert_eq!(ports, pooled, "an address has the leases of its pools");
    assert_eq!(taken, pooled + get("resting"), "a port is leased, resting or free");
    counts.retain(|name, _| !name.starts_with("pooled "));
}

impl World {
    /// Returns the whole state of the engine, as `egret flows` and `egret drops` show it.
    fn shown(&self) -> String {
        let history = History::new(Arc::new(self.snapshot.clone()));
        let names = EarlierNames::new(&history, &self.snapshot);
        let mut flows = Vec::new();
        self.engine.flows().for_each(|e| {
            let generation = e.generation.0;
            flows.push(flow_row(&names, self.now, &e.flow, generation, e.outcome));
        });
        let mut drops = KeptDrops::default();
        for (key, count) in self.engine.drops().rows() {
            add_drop(&mut drops, &self.snapshot, &key, &count);
        }
        let drops = drops.rows(&self.snapshot, self.now);
        let mut out = Vec::new();
        explain::print(&mut out, &flows, &all_but::<FlowRow>(3)).unwrap();
        out.push(b'\n');
        explain::print(&mut out, &drops, &all_but::<DropRow>(1)).unwrap();
        let counts = self.engine.census().0;
        let counts: Vec<String> = counts.iter().map(|(n, c)| format!("{n} {c}")).collect();
        format!("{}\ncounts: {}", String::from_utf8_lossy(&out), counts.join(", "))
    }
}

/// Returns the style of a table with all columns but the last ones, whole.
fn all_but<R: Row>(last: usize) -> TableStyle {
    let columns = Some((0..R::COLUMNS.len() - last).collect());
    TableStyle { columns, ..TableStyle::default() }
}
