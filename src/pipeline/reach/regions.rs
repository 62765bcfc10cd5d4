//! Overlays classes: finds the classes of each destination with each port.

use super::answer::{Class, Interrupted};
use super::caller::Caller;
use super::map::HashMap;
use super::ports::Ports;
use super::ranges::{Range, Ranges};
use std::collections::BTreeSet;

/// Destinations and ports of which every combination is in the same classes. Those classes differ
/// in attachments, source ports or gateway addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The destination addresses.
    pub destinations: Ranges,
    /// The protocols with their destination ports.
    pub ports: Ports,
    /// The positions of the classes, ascending.
    pub classes: Vec<usize>,
    /// The part of the packets to one destination and port that pass, from 0 to 1.
    pub passing_share: f64,
}

/// Splits the destinations and ports of the classes that count into regions. `goes_on` is called
/// repeatedly, and returns whether the result is still wanted.
///
/// # Errors
/// [`Interrupted`] once `goes_on` is false.
pub fn regions(
    classes: &[Class],
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Region>, Interrupted> {
    let mut caller = Caller::new(goes_on);
    let shares: Vec<f64> = classes.iter().map(share_of_one).collect();
    let counted = (0..).zip(classes).filter(|(_, class)| class.counts);
    let mut found = Vec::new();
    let by_destinations = counted.map(|(at, class)| (at, &class.destinations));
    for (members, destinations) in layers(by_destinations, &mut caller)? {
        let ports = members.iter().filter_map(|at| Some((*at, &classes.get(*at)?.ports.0)));
        for (own, ports) in layers(ports, &mut caller)? {
            found.push(Region {
                destinations: destinations.clone(),
                ports: Ports(ports),
                passing_share: passing_share(&own, classes, &shares),
                classes: own,
            });
        }
    }
    Ok(found)
}

fn passing_share(own: &[usize], classes: &[Class], shares: &[f64]) -> f64 {
    let passes = |at: &&usize| classes.get(**at).is_some_and(Class::passes);
    let share = |at: &usize| shares.get(*at).copied().unwrap_or(0.0);
    let passing: f64 = own.iter().filter(passes).map(share).sum();
    passing / own.iter().map(share).sum::<f64>()
}

/// Returns the share of a class in the question, for one of its destinations and ports.
#[allow(clippy::cast_precision_loss, reason = "a ratio")]
fn share_of_one(class: &Class) -> f64 {
    class.share.ratio() / (class.destinations.count() as f64 * class.ports.count() as f64)
}

/// Splits the union of sets by the sets that contain a number. Each part comes with the names of
/// those sets, ascending.
fn layers<'r>(
    sets: impl Iterator<Item = (usize, &'r Ranges)>,
    caller: &mut Caller<'_>,
) -> Result<Vec<(Vec<usize>, Ranges)>, Interrupted> {
    let distinct = distinct(sets);
    let mut found: Vec<(Vec<usize>, Vec<Range>)> = Vec::new();
    let mut known: HashMap<Vec<usize>, usize> = HashMap::default();
    let mut open: BTreeSet<usize> = BTreeSet::new();
    let mut from = 0;
    for (position, set) in ends(&distinct) {
        caller.step()?;
        if position > from && !open.is_empty() {
            let own: Vec<usize> = open.iter().copied().collect();
            let at = *known.entry(own.clone()).or_insert(found.len());
            if at == found.len() {
                found.push((own, Vec::new()));
            }
            found[at].1.push(range(from, position));
        }
        from = position;
        if !open.remove(&set) {
            open.insert(set);
        }
    }
    let names = |own: Vec<usize>| {
        let mut names: Vec<usize> =
            own.iter().flat_map(|set| distinct[*set].1.iter().copied()).collect();
        names.sort_unstable();
        names
    };
    Ok(found.into_iter().map(|(own, ranges)| (names(own), Ranges::new(ranges))).collect())
}

/// Lists the distinct sets, each with its names.
fn distinct<'r>(sets: impl Iterator<Item = (usize, &'r Ranges)>) -> Vec<(&'r Ranges, Vec<usize>)> {
    let mut found: Vec<(&Ranges, Vec<usize>)> = Vec::new();
    let mut known: HashMap<&Ranges, usize> = HashMap::default();
    for (name, ranges) in sets {
        let at = *known.entry(ranges).or_insert(found.len());
        match found.get_mut(at) {
            Some((_, names)) => names.push(name),
            None => found.push((ranges, vec![name])),
        }
    }
    found
}

/// Lists the first number of each range of a set, and the number after its end; ascending.
fn ends(sets: &[(&Ranges, Vec<usize>)]) -> Vec<(u64, usize)> {
    let of = |(at, (ranges, _)): (usize, &(&Ranges, Vec<usize>))| {
        let ends = |(first, last): Range| [(u64::from(first), at), (u64::from(last) + 1, at)];
        ranges.iter().flat_map(ends).collect::<Vec<_>>()
    };
    let mut all: Vec<(u64, usize)> = sets.iter().enumerate().flat_map(of).collect();
    all.sort_unstable();
    all
}

/// Makes a range from its first number and the one after its last.
fn range(from: u64, to: u64) -> Range {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    (number(from), number(to - 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = Ranges> {
        proptest::collection::vec((0u32..60, 0u32..60), 0..4).prop_map(Ranges::new)
    }

    #[test]
    fn a_layer_may_end_at_the_last_number() {
        let set = Ranges::of(7, u32::MAX);
        assert_eq!(all_layers([(3, &set)].into_iter()), [(vec![3], set.clone())]);
    }

    fn all_layers<'r>(
        sets: impl Iterator<Item = (usize, &'r Ranges)>,
    ) -> Vec<(Vec<usize>, Ranges)> {
        layers(sets, &mut Caller::new(&mut || true)).unwrap()
    }

    #[test]
    fn layers_that_are_not_wanted_any_more_end() {
        let sets: Vec<Ranges> = (0..100).map(|from| Ranges::of(from, from + 5)).collect();
        let mut asked = 0;
        let mut goes_on = || {
            asked += 1;
            asked < 2
        };
        let ended = layers(sets.iter().enumerate(), &mut Caller::new(&mut goes_on));
        assert_eq!((ended, asked), (Err(Interrupted), 2));
    }

    proptest! {
        #[test]
        fn layers_say_of_each_number_which_sets_have_it(
            sets in proptest::collection::vec(ranges(), 0..6)
        ) {
            let found = all_layers(sets.iter().enumerate());
            for number in 0..70 {
                let wanted: Vec<usize> =
                    (0..sets.len()).filter(|at| sets[*at].contains(number)).collect();
                let there: Vec<&Vec<usize>> =
                    found.iter().filter(|(_, own)| own.contains(number)).map(|(n, _)| n).collect();
                if wanted.is_empty() {
                    prop_assert!(there.is_empty());
                } else {
                    prop_assert_eq!(there, [&wanted]);
                }
            }
        }
    }
}
