//! Maps with a fast hash that is the same in every run.

pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;
