//! The reasons for which the tc programs drop packets, with the programs' numbers
//! (`src/steer/steer.bpf.c`).

/// The reason why a tc program dropped a packet, before or after the engine saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SteerReason {
    /// The source address is not the task's.
    Forged,
    /// Not IPv4 (from a task: nor IPv6), or with a VLAN tag. ARP, mostly.
    NotIp,
    /// From a VPC or the internet: no ENI or gateway has the destination.
    NoOwner,
    /// From the engine: no link has the destination.
    NoLink,
    /// The interface is not known, or no longer known.
    UnknownDevice,
    /// No complete IPv4 header.
    Truncated,
    /// No room for an Ethernet header.
    NoHeadroom,
    /// From the engine: in the link's address space no ENI or gateway has the source address, such
    /// as a private one, toward the internet.
    ForeignSource,
    /// The frame is for another MAC address, or it is a broadcast whose packet is for a single
    /// address.
    NotForRouter,
    /// The IP version in the header is not the one that the frame announces.
    OtherVersion,
    /// IPv6 from another source than the task's.
    Ipv6,
    /// From the engine: the worker of its device hangs, so that none of its packets leaves.
    CutOff,
    /// A number that this build does not know.
    Other(u32),
}

impl SteerReason {
    /// Returns a clause that describes the reason and fits after "dropped: ".
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Forged => "the source address is not the sender's own",
            Self::NotIp => "not an IPv4 packet, or in a VLAN",
            Self::NoOwner => "no ENI, NAT gateway or public address is the destination",
            Self::NoLink => "no link leads to the destination",
            Self::UnknownDevice => "the interface is not part of the lab",
            Self::Truncated => "the IPv4 header is incomplete",
            Self::ForeignSource => {
                "no ENI, NAT gateway or public address of the link's network is the source"
            }
            Self::NotForRouter => "the frame is not for the router's MAC address",
            Self::OtherVersion => "the IP version is not the one that the frame announces",
            Self::Ipv6 => "an IPv6 packet whose source address is not the task's own",
            Self::CutOff => "the worker of its ENI or NAT gateway hung",
            Self::NoHeadroom => "the kernel had no room for an Ethernet header",
            Self::Other(_) => "for a reason that this build does not know",
        }
    }
}

impl From<u32> for SteerReason {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Forged,
            2 => Self::NotIp,
            3 => Self::NoOwner,
            4 => Self::NoLink,
            5 => Self::UnknownDevice,
            6 => Self::Truncated,
            7 => Self::NoHeadroom,
            8 => Self::ForeignSource,
            9 => Self::NotForRouter,
            10 => Self::OtherVersion,
            11 => Self::Ipv6,
            12 => Self::CutOff,
            other => Self::Other(other),
        }
    }
}

/// Returns the number that the programs have for a reason.
pub(super) fn number(reason: SteerReason) -> u32 {
    match reason {
        SteerReason::Forged => 1,
        SteerReason::NotIp => 2,
        SteerReason::NoOwner => 3,
        SteerReason::NoLink => 4,
        SteerReason::UnknownDevice => 5,
        SteerReason::Truncated => 6,
        SteerReason::NoHeadroom => 7,
        SteerReason::ForeignSource => 8,
        SteerReason::NotForRouter => 9,
        SteerReason::OtherVersion => 10,
        SteerReason::Ipv6 => 11,
        SteerReason::CutOff => 12,
        SteerReason::Other(number) => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_keep_their_numbers() {
        for known in 1..=12 {
            let reason = SteerReason::from(known);
            assert!(!matches!(reason, SteerReason::Other(_)), "{known}");
            assert_eq!(number(reason), known);
        }
        assert_eq!(SteerReason::from(99), SteerReason::Other(99));
    }
}
