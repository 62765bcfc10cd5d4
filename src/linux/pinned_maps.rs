//! Checks that the maps that a killed process has left pinned have the layout that this egret would
//! give them.
//!
//! `aya` opens a pinned map without looking at its sizes. Another version of egret may have laid
//! out its structs differently.

use super::flow_cache::{MAPS, MAX_FLOWS};
use super::pins::Pins;
use super::shared::{FlowEntry, FlowKey, SharedRecord, Slot};
use super::steer_error::{SteerError, trouble};
use aya::maps::{Array, Map, MapData, MapError, MapInfo};

/// The number of the pinned maps' layout: fields may change places while the sizes stay.
pub const LAYOUT: u32 = 2;

/// The reason why the pinned maps of a lab cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinnedMapError {
    /// The map has another layout.
    #[error("its BPF map {map} is {found}, this version of egret needs {needed}")]
    Other {
        /// The map.
        map: &'static str,
        /// The sizes that the kernel reports.
        found: Sizes,
        /// The sizes that the tc programs need.
        needed: Sizes,
    },
    /// The map does not exist, or is no map.
    #[error("its BPF map {map} cannot be read: {source}")]
    Unreadable {
        /// The map.
        map: &'static str,
        /// The kernel's error.
        source: Box<MapError>,
    },
}

/// The sizes of a map, in bytes and entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    key: u32,
    value: u32,
    entries: u32,
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, value, entries } = self;
        write!(f, "{entries} entries of {key} + {value} bytes")
    }
}

impl Sizes {
    const fn of<K, V>(entries: u32) -> Self {
        Self { key: size_of::<K>() as u32, value: size_of::<V>() as u32, entries }
    }
}

/// Returns the sizes that the maps of the flow cache need, by their names
/// (`src/steer/flow_cache.bpf.h`).
const fn needed() -> [(&'static str, Sizes); MAPS.len()] {
    [
        ("flow_cache", Sizes::of::<FlowKey, FlowEntry>(2 * MAX_FLOWS)),
        ("flow_counters", Sizes::of::<u32, Slot>(MAX_FLOWS)),
        ("generation", Sizes::of::<u32, u32>(1)),
        ("deadline", Sizes::of::<u32, u64>(1)),
        ("flow_records", Sizes::of::<u32, SharedRecord>(MAX_FLOWS)),
    ]
}

/// Compares the pinned maps of a lab with the layout that the tc programs of this egret need.
///
/// # Errors
///
/// The first map that cannot be read or has another layout.
pub fn require_own_layout(lab: &str) -> Result<(), PinnedMapError> {
    let pins = Pins::of(lab);
    needed().into_iter().try_for_each(|(map, needed)| {
        let info = MapInfo::from_pin(pins.map(map))
            .map_err(|source| PinnedMapError::Unreadable { map, source: Box::new(source) })?;
        let (key, value) = (info.key_size(), info.value_size());
        let found = Sizes { key, value, entries: info.max_entries() };
        match found == needed {
            true => Ok(()),
            false => Err(PinnedMapError::Other { map, found, needed }),
        }
    })
}

/// A deadline that has passed: tc forwards nothing by the flow cache.
pub const LONG_AGO: u64 = 1;

/// Ends the offloaded flows of a killed run, whose tc programs are still on their links: they
/// forward nothing from here on.
///
/// # Errors
///
/// The map with their deadline does not exist, or the kernel refuses.
pub fn end_offloaded_flows(lab: &str) -> Result<(), SteerError> {
    let map = "deadline";
    let pinned = MapData::from_pin(Pins::of(lab).map(map)).map_err(trouble(map))?;
    let mut deadline = Array::<_, u64>::try_from(Map::Array(pinned)).map_err(trouble(map))?;
    deadline.set(0, LONG_AGO, 0).map_err(trouble(map))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::linux::root::is_root;
    use crate::linux::{Netns, Steer, netns};

    #[test]
    fn the_offloaded_flows_of_a_killed_run_are_ended_by_their_deadline() {
        if !is_root() {
            return;
        }
        let name = format!("egret-unit-deadline-{}", std::process::id());
        assert!(end_offloaded_flows(&name).is_err(), "there is none");
        let router = Netns::create(&name).unwrap();
        let pins = Pins::prepare(&name).unwrap();
        let (_steer, cache) = Steer::load_to_stay(&router, pins).unwrap();
        cache.use_until(u64::MAX).unwrap();
        let ended = end_offloaded_flows(&name);
        let deadline = MapData::from_pin(Pins::of(&name).map("deadline")).unwrap();
        let deadline = Array::<_, u64>::try_from(Map::Array(deadline)).unwrap().get(&0, 0);
        Pins::remove(&name).unwrap();
        netns::remove(&name).unwrap();
        ended.unwrap();
        assert_eq!(deadline.unwrap(), LONG_AGO);
    }

    #[test]
    fn every_pinned_map_is_compared() {
        assert_eq!(needed().map(|(map, _)| map), MAPS);
    }
}
