//! Maps with a fast hash that is the same every time.

/// A map.
pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;
