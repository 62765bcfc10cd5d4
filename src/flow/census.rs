//! Every counter and table size by name, for the expected-state tests. A field that is added to a
//! table must be counted here: each table destructures itself without `..`.

use std::collections::BTreeMap;

/// Sizes and counters by name; zeros are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census(pub BTreeMap<String, u64>);

impl Census {
    /// Adds to the count under a name.
    pub fn add(&mut self, name: &str, count: usize) {
        self.add_packets(name, count as u64);
    }

    /// Adds to a counter.
    pub fn add_packets(&mut self, name: &str, count: u64) {
        if count > 0 {
            *self.0.entry(name.to_owned()).or_default() += count;
        }
    }
}
