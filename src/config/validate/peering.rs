//! Checks peering connections: two VPCs whose addresses are distinct, for requests and for
//! replies.

use crate::config::address::overlap;
use crate::config::diagnostic::Report;
use crate::config::spec::{Peering, Spec, Vpc};
use crate::vpc::PeeringState;

pub(super) fn check(spec: &Spec, report: &Report) {
    let alive: Vec<&Peering> = spec.peerings.iter().filter(|p| is_alive(p)).collect();
    for (position, peering) in alive.iter().enumerate() {
        let earlier = alive.get(..position).unwrap_or(&[]);
        two_vpcs(spec, peering, report);
        once(peering, earlier, report);
        apart_on_the_way_back(spec, peering, earlier, report);
    }
}

/// Decides whether a connection exists. One that has ended, or never began, is only a name in
/// routes.
fn is_alive(peering: &Peering) -> bool {
    match peering.state {
        PeeringState::Active | PeeringState::PendingAcceptance => true,
        PeeringState::Rejected | PeeringState::Expired | PeeringState::Deleted => false,
    }
}

fn two_vpcs(spec: &Spec, peering: &Peering, report: &Report) {
    let (requester, accepter) = (&peering.requester_vpc, &peering.accepter_vpc);
    if **requester == **accepter {
        report.error(
            accepter.span,
            "peering-with-itself",
            format!("VPC {:?} cannot be peered with itself", accepter.value),
            "name two VPCs",
        );
    } else if let (Some(ours), Some(theirs)) = (spec.vpc(requester), spec.vpc(accepter))
        && let Some(blocks) = overlapping(ours, theirs)
    {
        report.error(
            accepter.span,
            "peering-overlap",
            format!(
                "the CIDR blocks of {:?} and {:?} overlap: {blocks}",
                ours.id.value, theirs.id.value
            ),
            "AWS peers only VPCs whose CIDR blocks do not overlap",
        );
    }
}

fn once(peering: &Peering, earlier: &[&Peering], report: &Report) {
    let ends = |p: &Peering| {
        let mut ends = [p.requester_vpc.value.clone(), p.accepter_vpc.value.clone()];
        ends.sort();
        ends
    };
    if let Some(other) = earlier.iter().find(|other| ends(other) == ends(peering)) {
        report.error(
            peering.id.span,
            "peered-already",
            format!("{:?} joins these two VPCs already", other.id.value),
            "two VPCs have one peering connection at a time",
        );
    }
}

/// Checks that replies can be assigned to a VPC. A packet from a VPC identifies its VPC only by its
/// address: if two VPCs with the same addresses are peered with a third, the owner of a reply would
/// be unknown.
fn apart_on_the_way_back(spec: &Spec, peering: &Peering, earlier: &[&Peering], report: &Report) {
    let (requester, accepter) = (&peering.requester_vpc, &peering.accepter_vpc);
    for (hub, ours) in [(requester, accepter), (accepter, requester)] {
        let others = earlier.iter().filter_map(|p| {
            let joined = *p.requester_vpc == **hub || *p.accepter_vpc == **hub;
            joined.then(|| (p, p.other_than(hub)))
        });
        for (other, theirs) in others.filter(|(_, theirs)| **theirs != **ours) {
            let (Some(one), Some(two)) = (spec.vpc(theirs), spec.vpc(ours)) else { continue };
            let Some(blocks) = overlapping(one, two) else { continue };
            report.error(
                ours.span,
                "peers-overlap",
                format!(
                    "{:?} is peered with {:?} already, by {:?}, and that overlaps {:?}: {blocks}",
                    hub.value, one.id.value, other.id.value, two.id.value
                ),
                "AWS takes this, but in a lab replies from the one VPC could not be distinguished from those of the other: \
                 give them different CIDR blocks",
            );
        }
    }
}

/// Returns the first blocks of two VPCs that have an address in common, for a message.
fn overlapping(one: &Vpc, two: &Vpc) -> Option<String> {
    let pairs = one.cidrs.iter().flat_map(|a| two.cidrs.iter().map(move |b| (**a, **b)));
    pairs.into_iter().find(|(a, b)| overlap(*a, *b)).map(|(a, b)| format!("{a} and {b}"))
}
