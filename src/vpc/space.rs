//! Address spaces: two VPCs may use the same CIDR block, so an address has a meaning only within a
//! space.

/// An address space. A VPC keeps its own over reloads, even if its position in the lab file
/// changes: flow keys, port pools and the tc programs' maps hold it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Space(pub u16);

impl Space {
    /// The task pool.
    pub const TASKS: Self = Self(0);
    /// The internet.
    pub const INTERNET: Self = Self(1);
    /// The services at exempt addresses (spec 4.3). Two VPCs may have their resolvers at the same
    /// address, so the asking task decides which view answers.
    pub const SERVICES: Self = Self(u16::MAX);

    /// Returns the `number`th space for VPCs, from 0. Each VPC has its own in
    /// [`Vpc::space`](super::Vpc::space).
    #[inline]
    pub const fn nth_vpc(number: u16) -> Self {
        Self(number.saturating_add(2))
    }
}
