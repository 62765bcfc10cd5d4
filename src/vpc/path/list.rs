//! Builds a list of hops: the code that requests and replies share.

use super::chain::Chain;
use super::hop::{DeadEnd, Hop, Hops, Middlebox};
use crate::vpc::{Direction, NatGatewayIx, ResourceIx, RuleRef, Snapshot, SubnetIx, VpcIx};

pub(super) struct List<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// The NAT gateway whose own subnet is left next.
    pub(super) at_nat_gateway: Option<NatGatewayIx>,
    hops: Hops,
}

impl<'a> List<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, at_nat_gateway: None, hops: Hops::default() }
    }

    pub(super) fn push(&mut self, hop: Hop) {
        self.hops.hops.push(hop);
    }

    /// Notes the public endpoint that the list is for, or begins at.
    pub(super) fn set_public_endpoint(&mut self, ix: ResourceIx) {
        self.hops.public_endpoint = Some(ix);
    }

    /// Ends the list at its destination, where its last hop is, or before it.
    pub(super) fn finish(mut self, end: Result<(), DeadEnd>) -> Hops {
        self.hops.dead_end = end.err();
        self.hops
    }

    /// Leads through the middleboxes of a chain.
    pub(super) fn through(
        &mut self,
        chain: &Chain,
        from: SubnetIx,
        saw_request: impl Fn(Middlebox) -> bool,
    ) {
        let mut at = from;
        for through in chain.middleboxes() {
            self.leave(at, through.route);
            self.enter(through.subnet);
            let middlebox = through.middlebox;
            self.push(Hop::Middlebox { middlebox, saw_request: saw_request(middlebox) });
            at = through.subnet;
        }
    }

    /// Leaves a subnet by a route of its table.
    pub(super) fn leave(&mut self, subnet: SubnetIx, route: RuleRef) {
        self.border(subnet, Some(route), true);
    }

    /// Adds the ACL of a subnet and its route table, for a packet that leaves it or stays in it.
    pub(super) fn border(&mut self, subnet: SubnetIx, route: Option<RuleRef>, crossed: bool) {
        let acl = Hop::NetworkAcl { subnet, direction: Direction::Egress, crossed };
        let table = Hop::RouteTable { subnet, route };
        // A NAT gateway consults its subnet's table first: without a route it sends nothing that an
        // ACL could judge (spec 13).
        let (first, second) = match self.at_nat_gateway.take() {
            Some(_) => (table, acl),
            None => (acl, table),
        };
        self.push(first);
        self.push(second);
    }

    /// Leaves a subnet whose table leads nowhere.
    pub(super) fn strand(&mut self, subnet: SubnetIx) {
        self.push(Hop::NetworkAcl { subnet, direction: Direction::Egress, crossed: true });
    }

    pub(super) fn enter(&mut self, subnet: SubnetIx) {
        self.enter_or_stay(subnet, true);
    }

    pub(super) fn enter_or_stay(&mut self, subnet: SubnetIx, crossed: bool) {
        self.push(Hop::NetworkAcl { subnet, direction: Direction::Ingress, crossed });
    }

    pub(super) fn vpc(&self, subnet: SubnetIx) -> VpcIx {
        self.snapshot.subnet(subnet).vpc
    }
}
