//! `Fn::Cidr`: consecutive blocks of one size, from the start of a block.

use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

/// The most blocks that CloudFormation makes.
pub(super) const MOST_BLOCKS: u32 = 256;

/// The reason why there are no such blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CidrError {
    #[error("the count is {0}; it is from 1 to {MOST_BLOCKS}")]
    Count(u32),
    #[error("the subnet bits are {0}; they are from 1 to 32: 8 make a /24")]
    Bits(u32),
    #[error("{block} has no room for {count} blocks of {bits} subnet bits, that is /{}", 32 - .bits)]
    Room { block: Ipv4Network, count: u32, bits: u8 },
}

/// Returns `count` blocks with `bits` host bits each, which CloudFormation calls subnet bits: 8
/// make a /24.
pub(super) fn blocks(
    block: Ipv4Network,
    count: u32,
    bits: u32,
) -> Result<Vec<Ipv4Network>, CidrError> {
    if !(1..=MOST_BLOCKS).contains(&count) {
        return Err(CidrError::Count(count));
    }
    let bits = u8::try_from(bits)
        .ok()
        .filter(|bits| (1..=32).contains(bits))
        .ok_or(CidrError::Bits(bits))?;
    let size = 1_u64 << bits;
    let room = 1_u64 << (32 - block.prefix());
    if u64::from(count) * size > room {
        return Err(CidrError::Room { block, count, bits });
    }
    let first = u64::from(u32::from(block.network()));
    let starts =
        (0..u64::from(count)).filter_map(|position| u32::try_from(first + position * size).ok());
    Ok(starts.filter_map(|start| Ipv4Network::new(Ipv4Addr::from(start), 32 - bits).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(block: &str, count: u32, bits: u32) -> Vec<String> {
        let blocks = blocks(block.parse().unwrap(), count, bits).unwrap();
        blocks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn subnet_bits_are_counted_from_the_end() {
        assert_eq!(texts("10.0.0.0/16", 3, 8), ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
        // The example of the documentation: six blocks of /27 from a /24.
        assert_eq!(texts("192.168.0.0/24", 6, 5).last().unwrap(), "192.168.0.160/27");
        assert_eq!(texts("10.0.0.7/16", 1, 16), ["10.0.0.0/16"]);
        assert_eq!(texts("0.0.0.0/0", 1, 32), ["0.0.0.0/0"]);
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let block: Ipv4Network = "10.0.0.0/24".parse().unwrap();
        assert_eq!(blocks(block, 0, 8), Err(CidrError::Count(0)));
        assert_eq!(blocks(block, 257, 1), Err(CidrError::Count(257)));
        assert_eq!(blocks(block, 1, 33), Err(CidrError::Bits(33)));
        assert_eq!(blocks(block, 1, 0), Err(CidrError::Bits(0)));
        let error = blocks(block, 3, 7).unwrap_err();
        assert_eq!(
            error.to_string(),
            "10.0.0.0/24 has no room for 3 blocks of 7 subnet bits, that is /25"
        );
    }

    proptest! {
        #[test]
        fn blocks_are_inside_in_order_and_disjoint(start: u32, prefix in 0_u8..=32, count in 1_u32..=256, bits in 1_u32..=32) {
            let block = Ipv4Network::new(Ipv4Addr::from(start), prefix).unwrap();
            let fits = u64::from(count) << bits <= 1_u64 << (32 - prefix);
            match blocks(block, count, bits) {
                Err(error) => prop_assert!(!fits, "{error}"),
                Ok(made) => {
                    prop_assert!(fits);
                    prop_assert_eq!(made.len(), count as usize);
                    prop_assert_eq!(made[0].network(), block.network());
                    for one in &made {
                        prop_assert!(block.contains(one.network()) && block.contains(one.broadcast()));
                        prop_assert_eq!(one.network(), one.ip(), "no host bits");
                        prop_assert_eq!(u32::from(one.prefix()), 32 - bits);
                    }
                    for pair in made.windows(2) {
                        prop_assert_eq!(u32::from(pair[0].broadcast()) + 1, u32::from(pair[1].network()));
                    }
                }
            }
        }
    }
}
