//! Every counter and table size, by name: what the expected-state tests compare. Whoever adds a field to a table
//! must say here what it counts, since each table takes itself apart without `..`.

use std::collections::BTreeMap;

/// Sizes and counters by name; what is zero is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census(pub BTreeMap<String, u64>);

impl Census {
    /// Adds to what is counted under a name.
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
