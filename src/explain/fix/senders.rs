//! Finds the public addresses by which the VPC of a public endpoint sees packets: those that a rule
//! there may name.

use super::failing::Failing;
use crate::pipeline::reach::Ranges;
use crate::vpc::path::{self, Attachment};
use crate::vpc::{NatGatewayIx, RuleRef};
use std::net::Ipv4Addr;

const NAT_GATEWAY: &str = "no change is proposed: the NAT gateway's Elastic IP (public_ip), which a rule would name, is not \
                           given";
const APP_RUNNER: &str = "no change is proposed: App Runner's public address (apprunner_public_ip), which a rule would name, \
                          is not given; a NAT gateway has one that stays";
const TASK: &str = "no change is proposed: AWS draws a new public address for each task, so no rule can name it; a NAT gateway \
                    has one that stays";

/// The public source addresses of packets.
pub(super) struct Senders {
    all: Ranges,
    /// The reason why some of them are not known: egret chose them, and AWS will choose others.
    pub(super) unknown: Option<&'static str>,
}

impl Senders {
    /// Finds the senders of packets to a public endpoint; `None` for any other destination.
    pub(super) fn of(failing: &Failing<'_>) -> Option<Self> {
        let to = failing.evidence.inside.dst();
        let mut all: Vec<(Ipv4Addr, Option<&'static str>)> = Vec::new();
        for at in &failing.attachments {
            let hops = path::request(failing.snapshot, *at, to);
            hops.public_endpoint()?;
            match (hops.nat_gateway(), *at) {
                (Some(ix), _) => all.extend(of_nat_gateway(failing, ix)),
                (None, Attachment::AppRunner) => all.extend(of_app_runner(failing)),
                (None, Attachment::Eni(ix)) => {
                    let public = failing.snapshot.eni(ix).public_address();
                    all.extend(public.map(|address| (address, Some(TASK))));
                }
            }
        }
        let unknown = all.iter().find_map(|(_, unknown)| *unknown);
        let bits = all.iter().map(|(address, _)| (address.to_bits(), address.to_bits()));
        (!all.is_empty()).then(|| Self { all: Ranges::new(bits), unknown })
    }

    /// Decides whether packets come from an address.
    pub(super) fn have(&self, address: Ipv4Addr) -> bool {
        self.all.contains(address.to_bits())
    }

    /// Returns the addresses, if all of them are known.
    pub(super) fn known(&self) -> Option<&Ranges> {
        self.unknown.is_none().then_some(&self.all)
    }
}

/// Returns the reason why no rule is proposed for a stage that sees a public address.
pub(super) fn why_none(failing: &Failing<'_>) -> Option<&'static str> {
    let senders = Senders::of(failing)?;
    let is_of_groups = matches!(failing.decided_by, RuleRef::DestinationSecurityGroups(..));
    let is_of_acl = || failing.crossing().is_some_and(|remote| senders.have(remote));
    let is_seen = is_of_groups || is_of_acl();
    senders.unknown.filter(|_| is_seen)
}

/// Lists the Elastic IPs of the positions that fail; all of them if any of them may be used.
fn of_nat_gateway(
    failing: &Failing<'_>,
    ix: NatGatewayIx,
) -> Vec<(Ipv4Addr, Option<&'static str>)> {
    let parts = failing.snapshot.parts();
    let own = failing.gateway_addresses.iter().filter(|at| at.gateway == ix);
    let positions: Vec<usize> = own.map(|at| at.position).collect();
    let fails = |position: usize| positions.is_empty() || positions.contains(&position);
    let addresses = failing.snapshot.nat_gateway(ix).addresses.iter().enumerate();
    let public = addresses.filter(|(at, _)| fails(*at)).filter_map(|(_, own)| own.public);
    let is_chosen = |address: &Ipv4Addr| parts.chosen_public_addresses.contains(address);
    public.map(|address| (address, is_chosen(&address).then_some(NAT_GATEWAY))).collect()
}

fn of_app_runner(failing: &Failing<'_>) -> Option<(Ipv4Addr, Option<&'static str>)> {
    let parts = failing.snapshot.parts();
    let address = parts.apprunner_address?;
    let is_chosen = parts.chosen_public_addresses.contains(&address);
    Some((address, is_chosen.then_some(APP_RUNNER)))
}
