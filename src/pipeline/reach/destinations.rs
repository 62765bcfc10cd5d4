//! Cells of destination addresses, grouped if they are equivalent: they lead over the same rule
//! sets, and match the same rules of each.

use super::answer::Interrupted;
use super::judge::{Packet, Walks};
use super::map::HashMap;
use super::origin::Origin;
use super::ranges::{Range, Ranges};
use super::rule_sets::{self, MatchId, Matches, Meeting, RuleSetId, Sees};
use super::sameness::{Likeness, Sameness};
use crate::pipeline::stage::internet_gateway;
use crate::pipeline::{Denial, Reason};
use crate::vpc::path::{self, Hops, ReturnTo};
use crate::vpc::security_group::Remote;
use crate::vpc::{NatAddress, NatGatewayIx, RuleRef, Snapshot};
use std::net::Ipv4Addr;

/// Destinations that are equivalent.
pub(super) struct Group {
    pub(super) destinations: Ranges,
    /// One of them.
    pub(super) first: u32,
    pub(super) entry: PathStart,
}

impl Group {
    /// Returns the parts whose destinations are, and are not, among `others`.
    pub(super) fn parted(&self, others: &Ranges) -> [Option<Self>; 2] {
        let (within, outside) =
            (self.destinations.intersection(others), self.destinations.difference(others));
        [within, outside].map(|destinations| {
            let first = destinations.first()?;
            Some(Self { destinations, first, entry: self.entry })
        })
    }
}

/// The verdict on a packet before its path, or the path that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathStart {
    /// It is dropped at once.
    Refused(Denial),
    /// It is delivered to a service that nothing filters.
    Exempt,
    /// It takes a path, by position, if the groups of the ENI admit it.
    Path {
        /// The rules of these groups that match the destination; `None` for App Runner's own
        /// egress.
        egress: Option<MatchId>,
        /// The position among [`Destinations::paths`].
        path: usize,
    },
}

/// A path of a group of destinations.
pub(super) struct GroupPath {
    pub(super) hops: Hops,
    pub(super) likeness: Likeness,
    /// The rule sets that the request meets.
    pub(super) met: Vec<Meeting>,
}

/// The destinations of a question, as one origin reaches them.
pub(super) struct Destinations {
    pub(super) groups: Vec<Group>,
    pub(super) paths: Vec<GroupPath>,
}

/// Cells of the addresses of an origin's senders, split where the routes of replies to them differ.
pub(super) struct Coarse {
    pub(super) enis: Vec<Range>,
    /// Of each NAT gateway, at each position.
    pub(super) gateways: Vec<Vec<(usize, Range)>>,
}

/// A NAT gateway, the position of one of its addresses, and a range for its private address.
pub(super) type AtGateway = (NatGatewayIx, usize, Range);

impl Coarse {
    /// Lists the addresses of a NAT gateway to which replies may return; `None` if there is no
    /// gateway.
    pub(super) fn gateway(&self, ix: Option<NatGatewayIx>) -> Vec<Option<AtGateway>> {
        let Some(ix) = ix else { return vec![None] };
        let all = self.gateways.get(ix.get()).map_or(&[][..], |all| all);
        all.iter().map(|(position, range)| Some((ix, *position, *range))).collect()
    }
}

/// Returns a NAT gateway with one of its addresses: private in this range, public unchanged.
pub(super) fn nat_address(
    snapshot: &Snapshot,
    (ix, position, (first, _)): AtGateway,
) -> (NatGatewayIx, NatAddress) {
    let own = snapshot.nat_gateway(ix).addresses.get(position);
    let public = own.and_then(|own| own.public);
    (ix, NatAddress { private: Ipv4Addr::from(first), public })
}

/// Returns the private address of a public endpoint; the address itself if it is not that of a
/// public endpoint.
pub(super) fn private_address(snapshot: &Snapshot, address: Ipv4Addr) -> Ipv4Addr {
    snapshot.private_address_of(address).unwrap_or(address)
}

/// Groups destinations.
pub(super) struct Grouping<'g, 'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) sameness: &'g Sameness<'a>,
    pub(super) walks: &'g mut Walks<'a>,
    pub(super) matches: &'g mut Matches<'a>,
    pub(super) origin: &'g Origin,
    pub(super) coarse: &'g Coarse,
    /// A position on the axis of ports; any will do.
    pub(super) port: u32,
}

/// The key by which destinations are grouped.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Refused(Reason, RuleRef),
    Exempt,
    Path(Option<MatchId>, usize),
}

/// The key by which paths are told apart.
#[derive(PartialEq, Eq, Hash)]
struct PathKey {
    request: Likeness,
    replies: Vec<Likeness>,
    matches: Vec<MatchId>,
    special: Special,
}

/// The properties of an address that the walk tells apart.
#[derive(PartialEq, Eq, Hash)]
struct Special {
    refused_by_internet_gateway: Option<Reason>,
    is_link_local: bool,
    is_own: bool,
    is_task: bool,
}

impl Grouping<'_, '_> {
    /// Groups the cells.
    pub(super) fn group(
        &mut self,
        cells: impl Iterator<Item = Range>,
    ) -> Result<Destinations, Interrupted> {
        let mut found = Destinations { groups: Vec::new(), paths: Vec::new() };
        let mut ranges: Vec<Vec<Range>> = Vec::new();
        let (mut known, mut known_paths) = (HashMap::default(), HashMap::default());
        for cell in cells {
            self.walks.caller.step()?;
            let entry = self.entry(cell.0, &mut known_paths, &mut found.paths);
            let key = match entry {
                PathStart::Refused(Denial { reason, decided_by }) => {
                    Key::Refused(reason, decided_by)
                }
                PathStart::Exempt => Key::Exempt,
                PathStart::Path { egress, path } => Key::Path(egress, path),
            };
            let at = *known.entry(key).or_insert_with(|| {
                let destinations = Ranges::default();
                found.groups.push(Group { destinations, first: cell.0, entry });
                ranges.push(Vec::new());
                found.groups.len() - 1
            });
            ranges[at].push(cell);
        }
        for (group, ranges) in found.groups.iter_mut().zip(ranges) {
            group.destinations = Ranges::new(ranges);
        }
        Ok(found)
    }

    fn entry(
        &mut self,
        to: u32,
        known: &mut HashMap<PathKey, usize>,
        paths: &mut Vec<GroupPath>,
    ) -> PathStart {
        let choice = self.origin.first_choice();
        let packet = Packet { task: self.origin.task, to, port: self.port, choice };
        match self.walks.judge.enters(&packet) {
            Ok(true) => {}
            Ok(false) => return PathStart::Exempt,
            Err(denial) => return PathStart::Refused(self.sameness.denial(denial)),
        }
        let address = Ipv4Addr::from(to);
        let hops = path::request(self.snapshot, self.origin.attachment, address);
        let met = rule_sets::of_request(self.snapshot, self.sameness, &hops);
        let likeness = self.sameness.likeness(&hops);
        let mut matches = Vec::new();
        self.add_matches(&met, address, &mut matches);
        let replies = self.replies(&hops, address, &mut matches);
        let special = self.special(address);
        let key = PathKey { request: likeness.clone(), replies, matches, special };
        let path = *known.entry(key).or_insert_with(|| {
            paths.push(GroupPath { hops, likeness, met });
            paths.len() - 1
        });
        let eni = self.origin.eni();
        let of = |ix| RuleSetId::Eni(self.sameness.eni(ix));
        let egress = eni.map(|ix| self.matches.of(of(ix), address.into()));
        PathStart::Path { egress, path }
    }

    /// Lists the paths of replies, one for each of the possible routes.
    fn replies(
        &mut self,
        hops: &Hops,
        server: Ipv4Addr,
        matches: &mut Vec<MatchId>,
    ) -> Vec<Likeness> {
        if hops.dead_end.is_some() {
            return Vec::new();
        }
        let Some(eni) = self.origin.eni() else {
            return vec![self.reply((ReturnTo::AppRunner, true), server, matches)];
        };
        let mut replies = Vec::new();
        for gateway in self.coarse.gateway(hops.nat_gateway()) {
            for (first, _) in &self.coarse.enis {
                let address = Ipv4Addr::from(*first);
                let nat_gateway = gateway.map(|at| nat_address(self.snapshot, at));
                let to = ReturnTo::Eni { eni, address, nat_gateway };
                replies.push(self.reply((to, gateway.is_some()), server, matches));
            }
        }
        replies
    }

    fn reply(
        &mut self,
        (to, is_nat): (ReturnTo, bool),
        server: Ipv4Addr,
        matches: &mut Vec<MatchId>,
    ) -> Likeness {
        let reply = path::reply(self.snapshot, to, server);
        self.add_matches(&rule_sets::of_reply(self.snapshot, &reply, is_nat), server, matches);
        self.sameness.likeness(&reply)
    }

    fn add_matches(&mut self, met: &[Meeting], address: Ipv4Addr, matches: &mut Vec<MatchId>) {
        for meeting in met {
            let address = match meeting.sees {
                Sees::Destination => address,
                Sees::PrivateDestination => private_address(self.snapshot, address),
                Sees::Eni | Sees::Gateway | Sees::Public => continue,
            };
            matches.push(self.matches.of(meeting.rules, Remote::from(address)));
        }
    }

    fn special(&self, address: Ipv4Addr) -> Special {
        Special {
            refused_by_internet_gateway: internet_gateway::refused_destination(address),
            is_link_local: address.is_link_local(),
            is_own: internet_gateway::is_own(self.snapshot, address),
            is_task: self.snapshot.task(address).is_some(),
        }
    }
}
