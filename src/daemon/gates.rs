//! The directions of flows that are about to go to the kernel, at the worker that reads their packets: when has it sent on
//! all that it was to, so that what the kernel carries from then on overtakes nothing?
//!
//! When no packet of it was punted between a moment and one at which the queue was empty; or since so many others were read that
//! all that were in the queue are out of it. TCP's data say by their numbers what comes before them. A flow that always has
//! packets in a queue that never runs dry comes to none of these: its direction is opened after a while in any case, as the
//! kernel is to take over just that, and what waits is overtaken once.

use crate::flow::{Flow, Punted, Side};
use crate::linux::tun::QUEUE_LENGTH;
use crate::linux::worker::BATCH;
use std::sync::Arc;

/// Full batches after which nothing is in the queue that was there before them.
const WHOLE_QUEUE: usize = (QUEUE_LENGTH as usize).div_ceil(BATCH);
/// Full batches after which a direction is opened in any case: twice as many packets as a queue holds, so that a flow whose
/// packets pause has had its chance.
const LONGEST_WAIT: usize = 2 * WHOLE_QUEUE;
/// Of one worker. A direction beyond stays closed until one of its packets finds room.
const MOST: usize = 1024;

/// Those of one worker.
#[derive(Debug)]
pub(super) struct Gates(Vec<Gate>);

#[derive(Debug)]
struct Gate {
    flow: Arc<Flow>,
    side: Side,
    punted: Punted,
    /// Full batches since a packet of it was punted.
    quiet: usize,
    /// Full batches in all.
    waited: usize,
}

impl Gates {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(MOST))
    }

    /// A packet of this direction was judged, the first to ask for it.
    pub(super) fn add(&mut self, flow: Arc<Flow>, side: Side) {
        if self.0.len() >= MOST {
            flow.let_ask_to_open(side);
        } else if let Some(punted) = flow.punted(side) {
            self.0.push(Gate { flow, side, punted, quiet: 0, waited: 0 });
        }
    }

    /// Before the packets of a batch are read.
    #[inline]
    pub(super) fn begin_batch(&mut self) {
        if !self.0.is_empty() {
            self.look();
        }
    }

    /// When all that was read is sent on; `drained` says that nothing was left to be read.
    #[inline]
    pub(super) fn end_batch(&mut self, drained: bool) {
        if !self.0.is_empty() {
            self.0.retain_mut(|gate| !gate.end_batch(drained));
        }
    }

    #[cold]
    fn look(&mut self) {
        self.0.retain_mut(|gate| gate.look().is_some());
    }
}

impl Gate {
    /// Whether nothing was punted since the last look; `None` if there is nothing to open any more.
    fn look(&mut self) -> Option<bool> {
        let punted = self.flow.punted(self.side)?;
        let unchanged = punted == self.punted;
        if !unchanged {
            self.punted = punted;
            self.quiet = 0;
        }
        Some(unchanged)
    }

    /// Whether that was the last one.
    fn end_batch(&mut self, drained: bool) -> bool {
        let Some(unchanged) = self.look() else { return true };
        let full = usize::from(!drained);
        self.waited += full;
        self.quiet += full;
        let in_order = unchanged && (drained || self.quiet > WHOLE_QUEUE);
        if in_order {
            self.flow.open(self.side, self.punted);
        } else if self.waited >= LONGEST_WAIT {
            self.flow.open_at_once(self.side, self.punted);
        } else {
            self.flow.open_in_sequence(self.side, self.punted);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::flow::{
        Carrier, FlowKey, FlowStart, FlowTable, Instant, Opening, Passed, Space, Window,
    };
    use crate::packet::{Protocol, Tuple};
    use crate::vpc::{Generation, RuleRef, ServiceIx};
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::time::Duration;

    /// Entries that are closed: how many packets were punted, and after how many it was opened.
    #[derive(Debug, Default)]
    struct Closed {
        punted: Mutex<u64>,
        opened: Mutex<Vec<Opening>>,
    }

    impl Carrier for Arc<Closed> {
        fn carried(&self) -> [Passed; 2] {
            [Passed::default(); 2]
        }

        fn punted(&self, _side: Side) -> Option<u64> {
            Some(*self.punted.lock().unwrap())
        }

        fn tell(&self, _side: Side, _said: Window) {}

        fn open(&self, _side: Side, opening: Opening) {
            self.opened.lock().unwrap().push(opening);
        }

        fn withdraw(&self) {}
    }

    impl Closed {
        fn punt(&self) {
            *self.punted.lock().unwrap() += 1;
        }

        fn opened(&self) -> Vec<Opening> {
            self.opened.lock().unwrap().clone()
        }
    }

    /// A gate of a flow of which one packet was punted.
    fn gates() -> (Gates, Arc<Closed>, Arc<Flow>) {
        let (task, host) = (Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(203, 0, 113, 10));
        let tuple = Tuple { protocol: Protocol::Udp, src: task, dst: host, sport: 1, dport: 53 };
        let flow = Arc::new(Flow::new(
            Instant::ZERO,
            FlowStart {
                egress: FlowKey::new(Space::TASKS, tuple),
                returned: FlowKey::new(Space::INTERNET, tuple.reversed()),
                service: ServiceIx(0),
                eni: None,
                nat: None,
                admitted_by: RuleRef::Packet,
                admitted_under: Generation(1),
                tally: Arc::default(),
            },
        ));
        let table: FlowTable<()> = FlowTable::new(1);
        table.allow_offload(&flow);
        assert!(flow.ask_for_offload());
        let kernel = Arc::new(Closed::default());
        let carrier = Box::new(Arc::clone(&kernel));
        assert!(flow.offload(Duration::MAX, |_| Some(carrier)));
        kernel.punt();
        let mut gates = Gates::new();
        gates.add(Arc::clone(&flow), Side::Egress);
        (gates, kernel, flow)
    }

    #[test]
    fn a_queue_that_is_empty_has_nothing_of_what_was_punted_before() {
        let (mut gates, kernel, _) = gates();
        gates.end_batch(false);
        gates.begin_batch();
        kernel.punt();
        gates.end_batch(true);
        assert_eq!(
            kernel.opened(),
            [],
            "that one may have come after the last look into the queue"
        );
        gates.begin_batch();
        gates.end_batch(true);
        assert_eq!(kernel.opened(), [Opening::After(2)]);
        gates.end_batch(true);
        assert_eq!(kernel.opened(), [Opening::After(2)], "once");
    }

    #[test]
    fn a_queue_that_is_never_empty_lets_go_of_what_it_had_and_a_flow_that_fills_it_overtakes_it() {
        let (mut gates, kernel, _) = gates();
        for _ in 0..WHOLE_QUEUE {
            gates.begin_batch();
            gates.end_batch(false);
        }
        assert_eq!(kernel.opened(), []);
        gates.begin_batch();
        gates.end_batch(false);
        assert_eq!(kernel.opened(), [Opening::After(1)]);

        let (mut gates, kernel, _) = self::gates();
        for _ in 1..LONGEST_WAIT {
            gates.begin_batch();
            kernel.punt();
            gates.end_batch(false);
        }
        assert_eq!(kernel.opened(), []);
        gates.end_batch(false);
        assert_eq!(kernel.opened(), [Opening::AtOnce]);
    }

    #[test]
    fn a_flow_that_is_no_longer_carried_is_forgotten() {
        let (mut gates, kernel, flow) = gates();
        flow.withdraw_offload();
        gates.begin_batch();
        assert!(gates.0.is_empty());
        assert_eq!(kernel.opened(), []);
    }
}
