//! A set of ports: a short sorted list for most destinations, a bitmap of two levels for the busy
//! ones. The next free port is found in a bounded number of steps, however full the set.

/// The greatest length of the list.
const FEW: usize = 64;

/// The ports that are taken.
#[derive(Debug)]
pub(super) enum PortSet {
    /// At most one port: enough for most destinations. The pool of a refused packet needs no
    /// allocation.
    AtMostOne(Option<u16>),
    Few(Vec<u16>),
    Many(Box<Bitmap>),
}

impl Default for PortSet {
    fn default() -> Self {
        Self::AtMostOne(None)
    }
}

impl PortSet {
    /// The greatest number of steps that [`PortSet::first_free`] takes.
    #[cfg(test)]
    pub(super) const MAX_STEPS: u32 = FEW as u32 + 1;

    pub(super) fn insert(&mut self, port: u16) {
        match self {
            Self::AtMostOne(None) => *self = Self::AtMostOne(Some(port)),
            Self::AtMostOne(Some(only)) if *only == port => {}
            Self::AtMostOne(Some(only)) => {
                *self = Self::Few(vec![port.min(*only), port.max(*only)]);
            }
            Self::Few(ports) => {
                if let Err(position) = ports.binary_search(&port) {
                    ports.insert(position, port);
                }
                if ports.len() > FEW {
                    let mut map = Box::<Bitmap>::default();
                    ports.iter().for_each(|port| map.insert(*port));
                    *self = Self::Many(map);
                }
            }
            Self::Many(map) => map.insert(port),
        }
    }

    pub(super) fn remove(&mut self, port: u16) {
        match self {
            Self::AtMostOne(only) => *only = only.filter(|only| *only != port),
            Self::Few(ports) => {
                if let Ok(position) = ports.binary_search(&port) {
                    ports.remove(position);
                }
            }
            Self::Many(map) => map.remove(port),
        }
    }

    /// Returns the first port from `from` on that is not in the set, and adds the steps taken to
    /// `steps`.
    #[inline]
    pub(super) fn first_free(&self, from: u16, steps: &mut u32) -> Option<u16> {
        match self {
            Self::AtMostOne(only) => {
                *steps += 1;
                if *only == Some(from) { from.checked_add(1) } else { Some(from) }
            }
            Self::Few(ports) => {
                let mut candidate = from;
                for &port in &ports[ports.partition_point(|p| *p < from)..] {
                    *steps += 1;
                    if port > candidate {
                        break;
                    }
                    candidate = candidate.checked_add(1)?;
                }
                Some(candidate)
            }
            Self::Many(map) => map.first_free(from, steps),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::AtMostOne(only) => usize::from(only.is_some()),
            Self::Few(ports) => ports.len(),
            Self::Many(map) => map.taken.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }
}

/// One bit for each port, and one for each word of them that is full.
#[derive(Debug)]
pub(super) struct Bitmap {
    full: [u64; 16],
    taken: [u64; 1024],
}

impl Default for Bitmap {
    fn default() -> Self {
        Self { full: [0; 16], taken: [0; 1024] }
    }
}

impl Bitmap {
    fn insert(&mut self, port: u16) {
        let (word, bit) = split(port);
        self.taken[word] |= bit;
        if self.taken[word] == u64::MAX {
            self.full[word / 64] |= 1 << (word % 64);
        }
    }

    fn remove(&mut self, port: u16) {
        let (word, bit) = split(port);
        self.taken[word] &= !bit;
        self.full[word / 64] &= !(1 << (word % 64));
    }

    fn first_free(&self, from: u16, steps: &mut u32) -> Option<u16> {
        let (word, bit) = split(from);
        *steps += 1;
        if let Some(port) = lowest(!self.taken[word] & !(bit - 1), word) {
            return Some(port);
        }
        // Words after this one: in its group, then in the groups after it.
        let mut later = u64::MAX.checked_shl(word as u32 % 64 + 1).unwrap_or(0);
        for group in word / 64..self.full.len() {
            *steps += 1;
            if let Some(word) = lowest(!self.full[group] & later, group) {
                let word = usize::from(word);
                return lowest(!self.taken[word], word);
            }
            later = u64::MAX;
        }
        None
    }
}

/// Returns the position of a port's word, and its bit in it.
fn split(port: u16) -> (usize, u64) {
    (usize::from(port / 64), 1 << (port % 64))
}

/// Returns the port of the lowest bit of the word at `position`.
fn lowest(word: u64, position: usize) -> Option<u16> {
    let bit = word.trailing_zeros();
    if bit == 64 { None } else { u16::try_from(position as u32 * 64 + bit).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Compares with a set that searches one port after the other.
        #[test]
        fn the_next_free_port_is_the_next_free_port(
            mut ports in prop::collection::vec(any::<u16>(), 0..200),
            runs in prop::collection::vec((any::<u16>(), 0u16..5000), 0..4),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..50),
            from in any::<u16>(),
        ) {
            for (start, length) in runs {
                ports.extend((start..=u16::MAX).take(usize::from(length)));
            }
            let mut set = PortSet::default();
            let mut model = BTreeSet::new();
            for &port in &ports {
                set.insert(port);
                model.insert(port);
            }
            for index in removed.iter().filter(|_| !ports.is_empty()) {
                let port = *index.get(&ports);
                set.remove(port);
                model.remove(&port);
            }
            let mut steps = 0;
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.first_free(from, &mut steps), (from..=u16::MAX).find(|p| !model.contains(p)));
            prop_assert!(steps <= PortSet::MAX_STEPS, "{}", steps);
        }
    }

    #[test]
    fn every_edge_of_a_word_and_of_a_group_is_found() {
        let mut set = PortSet::default();
        (0..=u16::MAX).for_each(|port| set.insert(port));
        assert_eq!(set.first_free(0, &mut 0), None);
        for free in [0, 1, 63, 64, 4095, 4096, 8191, 65_471, 65_472, 65_534, 65_535] {
            set.remove(free);
            for from in [0, free.saturating_sub(4097), free.saturating_sub(1), free] {
                assert_eq!(set.first_free(from, &mut 0), Some(free), "{free} from {from}");
            }
            assert_eq!(free.checked_add(1).and_then(|f| set.first_free(f, &mut 0)), None, "{free}");
            set.insert(free);
        }
    }
}
