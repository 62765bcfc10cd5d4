//! Sets of numbers: addresses, ports, protocols with ports.

/// Neighbouring numbers: the first and the last.
pub type Range = (u32, u32);

/// A set of numbers, as ranges with both ends included: ascending, and none touches the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// Makes the set of all numbers in these ranges, which may overlap and be in any order. A range
    /// that ends before it begins is empty.
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|(first, last)| first <= last).collect();
        sorted.sort_unstable();
        let mut joined: Vec<Range> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last)
                }
                Some(_) | None => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    /// Makes the set of one range.
    pub fn of(first: u32, last: u32) -> Self {
        Self::new([(first, last)])
    }

    /// Makes the set of one number.
    pub fn one(number: u32) -> Self {
        Self(vec![(number, number)])
    }

    /// Lists the ranges, ascending, both ends included.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.0.iter().copied()
    }

    /// Decides whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of elements.
    pub fn count(&self) -> u64 {
        self.iter().map(|(first, last)| u64::from(last) - u64::from(first) + 1).sum()
    }

    /// Returns the lowest number.
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|(first, _)| *first)
    }

    /// Returns the highest number.
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|(_, last)| *last)
    }

    /// Returns the number at a position, counted from 0 in ascending order.
    pub fn nth(&self, mut position: u64) -> Option<u32> {
        for (first, last) in self.iter() {
            let here = u64::from(last - first);
            if position <= here {
                return first.checked_add(u32::try_from(position).ok()?);
            }
            position -= here + 1;
        }
        None
    }

    /// Returns a number if it is in the set, else the lowest one.
    pub(super) fn prefer(&self, number: u32) -> Option<u32> {
        if self.contains(number) { Some(number) } else { self.first() }
    }

    /// Decides whether a number is in the set.
    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| number <= *last)
    }

    /// Returns the union of both sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.iter().chain(other.iter()))
    }

    /// Returns the intersection of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (few, many) = if self.0.len() < other.0.len() { (self, other) } else { (other, self) };
        let mut both = Vec::new();
        let mut rest = &many.0[..];
        for (first, last) in few.iter() {
            rest = &rest[skip(rest, |range| range.1 < first)..];
            let overlapping = rest.iter().take_while(|range| range.0 <= last);
            both.extend(overlapping.map(|range| (first.max(range.0), last.min(range.1))));
        }
        Self(both)
    }

    /// Decides whether the sets have a number in common.
    pub fn meets(&self, other: &Self) -> bool {
        let (few, many) = if self.0.len() < other.0.len() { (self, other) } else { (other, self) };
        let mut rest = &many.0[..];
        few.iter().any(|(first, last)| {
            rest = &rest[skip(rest, |range| range.1 < first)..];
            rest.first().is_some_and(|range| range.0 <= last)
        })
    }

    /// Returns the numbers that are in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut gaps = Vec::with_capacity(other.0.len() + 1);
        let mut next = Some(0);
        for (first, last) in other.iter() {
            if let (Some(from), Some(to)) = (next, first.checked_sub(1)) {
                gaps.push((from, to));
            }
            next = last.checked_add(1);
        }
        gaps.extend(next.map(|from| (from, u32::MAX)));
        self.intersection(&Self::new(gaps))
    }

    /// Cuts the set into cells: a cell begins at each cut. The cuts are ascending.
    pub(super) fn cells<'a>(&'a self, cuts: &'a [u32]) -> impl Iterator<Item = Range> + 'a {
        self.iter().flat_map(move |(first, last)| {
            let from = cuts.partition_point(|cut| *cut <= first);
            let to = cuts.partition_point(|cut| *cut <= last);
            let inner = cuts.get(from..to).unwrap_or_default();
            let firsts = std::iter::once(first).chain(inner.iter().copied());
            let lasts = inner.iter().map(|cut| cut - 1).chain([last]);
            firsts.zip(lasts)
        })
    }
}

/// Counts the ranges at the beginning for which a condition holds, without looking at all of them.
fn skip(ranges: &[Range], before: impl Fn(&Range) -> bool) -> usize {
    let mut reach = 1;
    while ranges.get(reach - 1).is_some_and(&before) {
        reach *= 2;
    }
    let (known, end) = (reach / 2, reach.min(ranges.len()));
    known + ranges[known..end].partition_point(&before)
}

/// Sorts cuts and removes duplicates.
pub(super) fn sorted(mut cuts: Vec<u32>) -> Vec<u32> {
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Adds the cuts before and after a range.
pub(super) fn cut_around(cuts: &mut Vec<u32>, (first, last): Range) {
    cuts.push(first);
    cuts.extend(last.checked_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = Ranges> {
        proptest::collection::vec((0u32..60, 0u32..60), 0..6).prop_map(Ranges::new)
    }

    #[test]
    fn ranges_that_touch_or_overlap_are_joined() {
        let joined = Ranges::new([(5, 7), (1, 2), (8, 9), (3, 3), (20, 10)]);
        assert_eq!(joined.iter().collect::<Vec<_>>(), [(1, 3), (5, 9)]);
        assert_eq!(Ranges::new([(0, u32::MAX), (7, 8)]).count(), 1 << 32);
    }

    #[test]
    fn cells_begin_at_the_cuts_within_the_set() {
        let set = Ranges::new([(10, 20), (30, 40)]);
        let cells: Vec<_> = set.cells(&[0, 10, 15, 25, 30, 41]).collect();
        assert_eq!(cells, [(10, 14), (15, 20), (30, 40)]);
    }

    proptest! {
        #[test]
        fn operations_agree_with_those_on_single_numbers(a in ranges(), b in ranges()) {
            let numbers: Vec<u32> = (0..60).filter(|n| a.contains(*n)).collect();
            prop_assert_eq!(a.count(), numbers.len() as u64);
            for (position, number) in (0u64..).zip(&numbers) {
                prop_assert_eq!(a.nth(position), Some(*number));
            }
            prop_assert_eq!(a.nth(a.count()), None);
            for n in 0..70 {
                prop_assert_eq!(a.union(&b).contains(n), a.contains(n) || b.contains(n));
                prop_assert_eq!(a.intersection(&b).contains(n), a.contains(n) && b.contains(n));
                prop_assert_eq!(a.difference(&b).contains(n), a.contains(n) && !b.contains(n));
            }
            prop_assert_eq!(Ranges::new(a.union(&b).iter()), a.union(&b), "normal form");
        }

        #[test]
        fn cells_partition_the_set(a in ranges(), cuts in proptest::collection::vec(0u32..60, 0..9)) {
            let cuts = sorted(cuts);
            let cells: Vec<_> = a.cells(&cuts).collect();
            prop_assert_eq!(cells.iter().map(|(f, l)| u64::from(l - f) + 1).sum::<u64>(), a.count());
            prop_assert_eq!(Ranges::new(cells.clone()), a);
            for (first, last) in cells {
                prop_assert!(!cuts.iter().any(|cut| first < *cut && *cut <= last));
            }
        }
    }
}
