//! The five-tuple that names one direction of a flow.

use std::fmt;
use std::net::Ipv4Addr;

/// An IP protocol number, with names for the three that a NAT translates (RFC 3022).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Number 1.
    Icmp,
    /// Number 6.
    Tcp,
    /// Number 17.
    Udp,
    /// Any other protocol number.
    Other(u8),
}

impl Protocol {
    /// Returns the IANA protocol number.
    #[inline]
    pub const fn number(self) -> u8 {
        match self {
            Self::Icmp => 1,
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Other(number) => number,
        }
    }

    /// Returns whether the protocol carries 16-bit ports in its first four bytes.
    #[inline]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }
}

impl From<u8> for Protocol {
    #[inline]
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Icmp,
            6 => Self::Tcp,
            17 => Self::Udp,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

/// One direction of a flow.
///
/// For an ICMP echo request `sport` is the query identifier and `dport` is 0; for an echo reply it
/// is the other way round, so that [`Tuple::reversed`] of a request is its reply. Protocols without
/// ports have 0 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The IP protocol.
    pub protocol: Protocol,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Source port, or the identifier of an ICMP echo request.
    pub sport: u16,
    /// Destination port, or the identifier of an ICMP echo reply.
    pub dport: u16,
}

impl Tuple {
    /// Returns the tuple of a packet going the other way.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            protocol: self.protocol,
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
        }
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, src, dst, sport, dport } = self;
        match protocol {
            Protocol::Tcp | Protocol::Udp => write!(f, "{protocol} {src}:{sport} -> {dst}:{dport}"),
            Protocol::Icmp => write!(f, "icmp {src} -> {dst} id {}", sport | dport),
            Protocol::Other(_) => write!(f, "{protocol} {src} -> {dst}"),
        }
    }
}

/// Defines a tuple on one side of the NATs on a path. The two do not convert into each other: only
/// a NAT translates.
macro_rules! one_side {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(Tuple);

        impl $name {
            /// Names a tuple that was seen on this side.
            #[inline]
            pub const fn new(tuple: Tuple) -> Self {
                Self(tuple)
            }

            /// Returns the tuple, without its side.
            #[inline]
            pub const fn tuple(self) -> Tuple {
                self.0
            }

            /// Returns the IP protocol.
            #[inline]
            pub const fn protocol(self) -> Protocol {
                self.0.protocol
            }

            /// Returns the source address.
            #[inline]
            pub const fn src(self) -> Ipv4Addr {
                self.0.src
            }

            /// Returns the destination address.
            #[inline]
            pub const fn dst(self) -> Ipv4Addr {
                self.0.dst
            }

            /// Returns the source port, by the conventions of [`Tuple`].
            #[inline]
            pub const fn sport(self) -> u16 {
                self.0.sport
            }

            /// Returns the destination port, by the conventions of [`Tuple`].
            #[inline]
            pub const fn dport(self) -> u16 {
                self.0.dport
            }

            /// Returns the tuple of a packet going the other way, on the same side.
            #[inline]
            #[must_use]
            pub const fn reversed(self) -> Self {
                Self(self.0.reversed())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

one_side! {
    /// A tuple as the task has it, before any NAT: the source of a request is the task's own
    /// address.
    Inside
}

one_side! {
    /// A tuple as the destination has it, behind every NAT on the path: the source of a request is
    /// the address that the last NAT gave it, or the task's own where there is none.
    Outside
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Tuple = Tuple {
        protocol: Protocol::Tcp,
        src: Ipv4Addr::new(100, 64, 0, 2),
        dst: Ipv4Addr::new(203, 0, 113, 10),
        sport: 40_000,
        dport: 443,
    };

    #[test]
    fn reversed_twice_is_the_identity_on_each_side() {
        let (inside, outside) = (Inside::new(REQUEST), Outside::new(REQUEST));
        assert_eq!(inside.reversed().tuple(), REQUEST.reversed());
        assert_eq!(outside.reversed().tuple(), REQUEST.reversed());
        assert_eq!(inside.reversed().reversed(), inside);
        assert_eq!(outside.reversed().reversed(), outside);
    }

    #[test]
    fn accessors_return_the_fields_of_the_tuple() {
        let inside = Inside::new(REQUEST).reversed();
        assert_eq!(
            (inside.protocol(), inside.src(), inside.sport()),
            (Protocol::Tcp, REQUEST.dst, 443)
        );
        assert_eq!((inside.dst(), inside.dport()), (REQUEST.src, 40_000));
        let outside = Outside::new(REQUEST);
        assert_eq!(
            (outside.protocol(), outside.src(), outside.sport()),
            (Protocol::Tcp, REQUEST.src, 40_000)
        );
        assert_eq!((outside.dst(), outside.dport()), (REQUEST.dst, 443));
    }

    #[test]
    fn display_is_the_one_of_the_tuple() {
        let shown = "tcp 100.64.0.2:40000 -> 203.0.113.10:443";
        assert_eq!(Inside::new(REQUEST).to_string(), shown);
        assert_eq!(Outside::new(REQUEST).to_string(), shown);
    }

    #[test]
    fn one_side_costs_no_more_than_its_tuple() {
        assert_eq!(size_of::<Inside>(), size_of::<Tuple>());
        assert_eq!(size_of::<Outside>(), size_of::<Tuple>());
    }
}
