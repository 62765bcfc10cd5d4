//! IPv4 options (RFC 791 3.1), in the header behind its first 20 bytes.

use super::field::ipv4_option as option;

/// Lists options, each whole with its kind in front; stops at one that does not fit.
pub(super) fn each(options: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = options;
    std::iter::from_fn(move || {
        let &kind = rest.first().filter(|kind| **kind != option::END)?;
        let len = match kind {
            option::NO_OPERATION => 1,
            _ => usize::from(rest.get(1).copied().filter(|len| *len > 0)?),
        };
        let (whole, after) = rest.split_at_checked(len)?;
        rest = after;
        Some((kind, whole))
    })
}

/// Decides whether the sender wants to choose the packet's route, beyond its destination address.
#[cold]
pub(super) fn have_source_route(options: &[u8]) -> bool {
    each(options)
        .any(|(kind, _)| matches!(kind, option::LOOSE_SOURCE_ROUTE | option::STRICT_SOURCE_ROUTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_route_is_found_wherever_it_is_and_nothing_else_is_one() {
        for kind in [131, 137] {
            assert!(have_source_route(&[kind, 3, 4, 0]));
            assert!(have_source_route(&[1, 1, kind, 3, 4, 0, 0, 0]));
            assert!(have_source_route(&[148, 4, 0, 0, kind, 7, 4, 10, 0, 0, 1, 0]));
            assert!(!have_source_route(&[0, kind, 3, 4]), "behind the end");
            assert!(!have_source_route(&[7, 7, 4, kind, kind, kind, kind, 0]), "in a record route");
        }
        for none in [&[][..], &[1, 1, 1, 1], &[68, 4, 5, 0], &[9, 0, 131, 3]] {
            assert!(!have_source_route(none), "{none:?}");
        }
    }
}
