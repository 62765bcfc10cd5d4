//! Connects a worker to the engine: one snapshot and one look at the clock per batch.

use super::reordering_barriers::ReorderingBarriers;
use crate::flow::{DatagramKey, FlowKey, Instant};
use crate::linux::FlowCache;
use crate::linux::clock;
use crate::linux::worker::{Action, BATCH, Judge};
use crate::packet::VnetHeader;
use crate::pipeline::{Device, DeviceId, Engine, Received, Verdict};
use crate::vpc::Snapshot;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Judges the packets of one device.
pub(super) struct EngineJudge {
    engine: Arc<Engine>,
    current: Arc<ArcSwap<Snapshot>>,
    id: DeviceId,
    snapshot: Arc<Snapshot>,
    /// The device in this snapshot; `None` if this snapshot does not have it.
    device: Option<Device>,
    now: Instant,
    /// True while a client watches packets: then each packet gets a time of its own.
    watched: bool,
    /// The datagram whose held fragments are to be judged next.
    releases: Option<DatagramKey>,
    /// The offloaded flows.
    cache: Option<Arc<FlowCache>>,
    /// The flows that the engine has requested to offload: each packet of a batch may request one.
    asked: Vec<FlowKey>,
    /// The reordering barriers of the directions whose packets are read here.
    barriers: ReorderingBarriers,
}

impl EngineJudge {
    pub(super) fn new(
        engine: Arc<Engine>,
        current: Arc<ArcSwap<Snapshot>>,
        cache: Option<Arc<FlowCache>>,
        id: DeviceId,
    ) -> Self {
        let snapshot = current.load_full();
        Self {
            engine,
            current,
            device: id.device_in(&snapshot),
            id,
            snapshot,
            now: Instant(clock::now()),
            watched: false,
            releases: None,
            cache,
            asked: Vec::with_capacity(BATCH),
            barriers: ReorderingBarriers::new(),
        }
    }

    /// Takes the request of a judged packet: to offload its flow, or to release the reordering
    /// barrier of its direction.
    #[cold]
    fn ask(&mut self, key: FlowKey) {
        let offloaded = self.engine.flows().get(&key).map(|e| (Arc::clone(&e.flow), e.side));
        match offloaded.filter(|(flow, _)| flow.is_offloaded()) {
            Some((flow, side)) => self.barriers.add(flow, side),
            None => self.asked.push(key),
        }
    }

    #[cold]
    fn offload_asked(&mut self) {
        let Some(cache) = self.cache.clone() else { return self.asked.clear() };
        // One at a time: a failure loses one request.
        while let Some(key) = self.asked.pop() {
            self.offload(&cache, &key);
        }
    }

    /// Offloads a flow.
    #[cold]
    fn offload(&self, cache: &Arc<FlowCache>, key: &FlowKey) {
        if let Some(candidate) = self.engine.candidate(&self.snapshot, key)
            && cache.carry(&candidate)
        {
            self.engine.confirm(&self.snapshot, &candidate);
        }
    }
}

impl Judge for EngineJudge {
    fn begin_batch(&mut self) {
        self.barriers.begin_batch();
        self.watched = self.engine.watchers().any();
        self.now = Instant(clock::now());
        let current = self.current.load();
        if !Arc::ptr_eq(&current, &self.snapshot) {
            // Looked up before either is replaced: a failure leaves both of one configuration.
            let device = self.id.device_in(&current);
            (self.snapshot, self.device) = (Arc::clone(&current), device);
        }
    }

    #[inline]
    fn judge(&mut self, packet: &mut [u8], vnet: VnetHeader, reply: &mut [u8]) -> Action {
        // A reload creates or removes the device.
        let Some(device) = self.device else { return Action::Unjudged };
        if self.watched {
            self.now = Instant(clock::now());
        }
        let received = Received { device, bytes: packet, vnet };
        let judged = self.engine.judge(self.now, &self.snapshot, received, reply);
        if judged.releases.is_some() {
            self.releases = judged.releases;
        }
        if let Some(key) = judged.offload {
            self.ask(key);
        }
        match judged.verdict {
            Verdict::Forward { .. } => match judged.fragments_to {
                None => Action::Forward { len: judged.len, vnet },
                Some(mtu) => Action::ForwardFragments { len: judged.len, mtu },
            },
            Verdict::Reply { len, .. } => Action::Reply { len },
            Verdict::Drop { .. } | Verdict::Hold => Action::Drop,
        }
    }

    #[inline]
    fn end_batch(&mut self, drained: bool) {
        self.barriers.end_batch(drained);
        if !self.asked.is_empty() {
            self.offload_asked();
        }
    }

    #[inline]
    fn has_held(&self) -> bool {
        self.releases.is_some()
    }

    fn next_held(&mut self, packet: &mut [u8]) -> Option<usize> {
        let next = self.engine.next_held(&self.releases?, packet);
        if next.is_none() {
            self.releases = None;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Lab;
    use crate::linux::worker::REPLY;
    use crate::vpc::Generation;

    /// A reload creates or removes the device: none of its packets is counted as judged.
    #[test]
    fn a_device_that_the_configuration_does_not_have_judges_nothing() {
        let lab = Lab::parse("lab.toml", include_str!("../../examples/minimal.toml")).unwrap();
        let with = Arc::new(lab.lower(Generation(2)));
        let mut parts = with.parts().clone();
        parts.enis.clear();
        let without = Arc::new(Snapshot::build(Generation(1), parts));
        let id = DeviceId::Eni(with.eni(crate::vpc::EniIx(0)).id.clone());
        let current = Arc::new(ArcSwap::new(without));
        let mut judge = EngineJudge::new(Arc::new(Engine::new(1)), Arc::clone(&current), None, id);
        let mut judged = || {
            judge.begin_batch();
            judge.judge(&mut [0; 20], VnetHeader::default(), &mut [0; REPLY])
        };
        assert_eq!(judged(), Action::Unjudged);
        current.store(with);
        assert_eq!(judged(), Action::Drop);
    }
}
