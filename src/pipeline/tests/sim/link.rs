//! Links that lose, delay, reorder and duplicate, all from one seed.

use std::time::Duration;

/// SplitMix64: random enough for a network, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The impairment of every link between a host and egret, in each direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Impairment {
    /// Lost packets per hundred.
    pub(super) loss: u64,
    /// Duplicated packets per hundred.
    pub(super) duplication: u64,
    /// The least delay of a packet.
    pub(super) delay: Duration,
    /// The most additional delay: more than the interval between two packets reorders them.
    pub(super) jitter: Duration,
}

impl Impairment {
    /// Half a millisecond, nothing lost, everything in order.
    pub(super) const NONE: Self =
        Self { loss: 0, duplication: 0, delay: Duration::from_micros(500), jitter: Duration::ZERO };

    /// Returns the delays after which copies of a packet arrive: none, one or two.
    pub(super) fn arrivals(&self, random: &mut Random) -> Vec<Duration> {
        let copies = if random.happens(self.loss) {
            0
        } else {
            1 + u64::from(random.happens(self.duplication))
        };
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap();
        (0..copies).map(|_| self.delay + Duration::from_nanos(random.below(jitter))).collect()
    }
}
