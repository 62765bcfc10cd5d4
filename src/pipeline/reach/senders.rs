//! Cells of senders: the private addresses of the ENI and of the NAT gateway after it, if a
//! question leaves them open.

use super::answer::Interrupted;
use super::caller::Caller;
use super::destinations::{AtGateway, Coarse, GroupPath, nat_address, private_address};
use super::judge::Packet;
use super::map::HashMap;
use super::origin::{self, Origin, port};
use super::ranges::{Range, Ranges, sorted};
use super::rule_sets::{self, MatchId, Matches, Meeting, Sees};
use super::sameness::{Likeness, Sameness};
use crate::pipeline::leases::Choice;
use crate::vpc::path::{self, Hops, ReturnTo};
use crate::vpc::security_group::Remote;
use crate::vpc::{NatAddress, NatGatewayIx, Snapshot};
use std::net::Ipv4Addr;

/// Senders that no rule on one path tells apart.
pub(super) struct Sender {
    /// The addresses of the ENI.
    pub(super) enis: Ranges,
    /// The NAT gateway, with the addresses at each position; empty if there is none.
    pub(super) gateway: Vec<(NatGatewayIx, usize, Ranges)>,
    /// The rule sets on the request's path after the groups of the ENI, and their rules that match.
    pub(super) request: Vec<(Meeting, MatchId)>,
    /// The rule sets on the reply's path, and their rules that match.
    pub(super) reply: Vec<(Meeting, MatchId)>,
    /// The hops of the reply.
    pub(super) likeness: Likeness,
    /// Set for App Runner's own NAT before a public endpoint, whose network ACL sees the ports of
    /// the NAT.
    at_public_endpoint: bool,
}

impl Sender {
    /// Returns the ports of the NAT that may make a difference; empty if there is no NAT after the
    /// ENI, or no rule sees its ports.
    pub(super) fn nat_ports(&self) -> Ranges {
        let drawn = !self.gateway.is_empty() || self.at_public_endpoint;
        if drawn { origin::gateway_ports() } else { Ranges::default() }
    }

    /// Makes a packet of this sender.
    pub(super) fn packet(
        &self,
        origin: &Origin,
        (to, port_position): (u32, u32),
        (eni_port, nat_port): (u32, u32),
    ) -> Packet {
        let nat = self.gateway.first();
        let first_of = |ranges: &Ranges| ranges.first().map(Ipv4Addr::from);
        let choice = Choice {
            eni_address: first_of(&self.enis).unwrap_or(Ipv4Addr::UNSPECIFIED),
            eni_port: port(eni_port),
            nat_position: nat.map_or(0, |(_, position, _)| *position),
            nat_address: nat.and_then(|(_, _, addresses)| first_of(addresses)),
            nat_port: port(nat_port),
        };
        Packet { task: origin.task, to, port: port_position, choice }
    }
}

/// Finds the senders of a path.
pub(super) struct Splitting<'g, 'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) sameness: &'g Sameness<'a>,
    pub(super) matches: &'g mut Matches<'a>,
    pub(super) origin: &'g Origin,
    pub(super) coarse: &'g Coarse,
    pub(super) caller: &'g mut Caller<'a>,
}

/// Addresses with the rules that they match.
type Alike = (Ranges, Vec<MatchId>);

/// The key of senders that differ only in the address of the NAT gateway.
type Key = (Likeness, Ranges, Vec<MatchId>, Vec<MatchId>);

impl Splitting<'_, '_> {
    /// Finds the senders of a path to a destination.
    ///
    /// An ENI and a NAT gateway in one subnet may be paired with the same address if both are open.
    /// Such a pair changes no verdict: one table routes both, so the path leads back to the gateway
    /// and is a dead end for every address.
    pub(super) fn senders(
        &mut self,
        path: &GroupPath,
        to: u32,
    ) -> Result<Vec<Sender>, Interrupted> {
        let server = Ipv4Addr::from(to);
        let Some(eni) = self.origin.eni() else {
            return Ok(vec![self.of_app_runner(path, server)]);
        };
        let mut found: Vec<Sender> = Vec::new();
        let mut known: HashMap<Key, usize> = HashMap::default();
        for gateway in self.coarse.gateway(path.hops.nat_gateway()) {
            for &enis in &self.coarse.enis {
                self.caller.go_on()?;
                let nat_gateway = gateway.map(|at| nat_address(self.snapshot, at));
                let public = self.public(nat_gateway.map(|(_, own)| own));
                let to = ReturnTo::Eni { eni, address: Ipv4Addr::from(enis.0), nat_gateway };
                let back = self.reply(path, to, server);
                let likeness = self.sameness.likeness(&back);
                let reply = rule_sets::of_reply(self.snapshot, &back, gateway.is_some());
                for (eni_addresses, of_eni) in self.alike((&path.met, &reply), Sees::Eni, enis) {
                    for (position, addresses, of_gateway) in
                        self.gateways((&path.met, &reply), gateway)
                    {
                        let of = (likeness.clone(), eni_addresses.clone());
                        let key = (of.0, of.1, of_eni.clone(), of_gateway.clone());
                        let at = *known.entry(key).or_insert_with(|| {
                            let both = (eni_addresses.clone(), addresses.first(), public);
                            let met = (&path.met[..], &reply[..]);
                            found.push(self.sender(met, both, server, likeness.clone()));
                            found.len() - 1
                        });
                        let ix = gateway.map(|(ix, _, _)| ix);
                        found[at].gateway.extend(ix.map(|ix| (ix, position, addresses)));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Resolves the hops of the reply; a request that does not arrive has none.
    fn reply(&self, path: &GroupPath, to: ReturnTo, server: Ipv4Addr) -> Hops {
        match path.hops.dead_end {
            Some(_) => Hops::default(),
            None => path::reply(self.snapshot, to, server),
        }
    }

    /// Returns the sender's address on the internet, behind a NAT gateway or not.
    fn public(&self, nat_gateway: Option<NatAddress>) -> Option<Ipv4Addr> {
        match (nat_gateway, self.origin.eni()) {
            (Some(own), _) => own.public,
            (None, Some(eni)) => self.snapshot.eni(eni).public_address(),
            (None, None) => self.snapshot.parts().apprunner_address,
        }
    }

    fn of_app_runner(&mut self, path: &GroupPath, server: Ipv4Addr) -> Sender {
        let back = self.reply(path, ReturnTo::AppRunner, server);
        let reply = rule_sets::of_reply(self.snapshot, &back, true);
        let likeness = self.sameness.likeness(&back);
        let addresses = (Ranges::default(), None, self.public(None));
        let sender = self.sender((&path.met, &reply), addresses, server, likeness);
        Sender { at_public_endpoint: path.hops.public_endpoint().is_some(), ..sender }
    }

    /// Lists the addresses of the gateway at a position, grouped by the rules that they match.
    fn gateways(
        &mut self,
        met: (&[Meeting], &[Meeting]),
        gateway: Option<AtGateway>,
    ) -> Vec<(usize, Ranges, Vec<MatchId>)> {
        let Some(at) = gateway else {
            return vec![(0, Ranges::default(), Vec::new())];
        };
        let (_, position, range) = at;
        let (_, own) = nat_address(self.snapshot, at);
        let of_public = self.matches_of_public(met, own.public);
        let with_public = |mut matches: Vec<MatchId>| {
            matches.extend_from_slice(&of_public);
            matches
        };
        let alike = self.alike(met, Sees::Gateway, range).into_iter();
        alike.map(|(addresses, matches)| (position, addresses, with_public(matches))).collect()
    }

    /// Finds the rules that match a public address, at the rule sets that see it.
    fn matches_of_public(
        &mut self,
        (request, reply): (&[Meeting], &[Meeting]),
        public: Option<Ipv4Addr>,
    ) -> Vec<MatchId> {
        let public = public.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let remote = remote(self.snapshot, self.origin, Sees::Public, public);
        let met = request.iter().chain(reply).filter(|meeting| meeting.sees == Sees::Public);
        met.map(|meeting| self.matches.of(meeting.rules, remote)).collect()
    }

    /// Cuts a range of addresses by the rules that see them, and groups those that match the same
    /// rules.
    fn alike(
        &mut self,
        (request, reply): (&[Meeting], &[Meeting]),
        sees: Sees,
        (first, last): (u32, u32),
    ) -> Vec<Alike> {
        let met = || request.iter().chain(reply).filter(|meeting| meeting.sees == sees);
        let mut cuts = Vec::new();
        for meeting in met() {
            cuts.extend_from_slice(self.matches.edges(meeting.rules, &(first..=last)));
        }
        let mut found: Vec<(Vec<Range>, Vec<MatchId>)> = Vec::new();
        for cell in Ranges::of(first, last).cells(&sorted(cuts)) {
            let remote = remote(self.snapshot, self.origin, sees, cell.0.into());
            let matches: Vec<MatchId> =
                met().map(|meeting| self.matches.of(meeting.rules, remote)).collect();
            match found.iter_mut().find(|(_, known)| *known == matches) {
                Some((ranges, _)) => ranges.push(cell),
                None => found.push((vec![cell], matches)),
            }
        }
        found.into_iter().map(|(ranges, matches)| (Ranges::new(ranges), matches)).collect()
    }

    fn sender(
        &mut self,
        (request, reply): (&[Meeting], &[Meeting]),
        (enis, gateway, public): (Ranges, Option<u32>, Option<Ipv4Addr>),
        server: Ipv4Addr,
        likeness: Likeness,
    ) -> Sender {
        let eni = enis.first().unwrap_or(0);
        let mut matching = |met: &[Meeting]| -> Vec<(Meeting, MatchId)> {
            let address = |sees| match sees {
                Sees::Destination => server,
                Sees::PrivateDestination => private_address(self.snapshot, server),
                Sees::Eni => eni.into(),
                Sees::Gateway => gateway.unwrap_or(0).into(),
                Sees::Public => public.unwrap_or(Ipv4Addr::UNSPECIFIED),
            };
            let of = |meeting: &Meeting| {
                let remote =
                    remote(self.snapshot, self.origin, meeting.sees, address(meeting.sees));
                (*meeting, self.matches.of(meeting.rules, remote))
            };
            met.iter().map(of).collect()
        };
        let (request, reply) = (matching(request), matching(reply));
        let gateway = Vec::new();
        Sender { enis, gateway, request, reply, likeness, at_public_endpoint: false }
    }
}

/// Returns an address as rules see it. NAT gateways are in no group, and no group has a public
/// address.
fn remote(snapshot: &Snapshot, origin: &Origin, sees: Sees, address: Ipv4Addr) -> Remote {
    let member = match sees {
        Sees::Destination | Sees::PrivateDestination => address,
        Sees::Eni => origin.eni().map_or(address, |ix| snapshot.eni(ix).address),
        Sees::Gateway | Sees::Public => Ipv4Addr::UNSPECIFIED,
    };
    Remote { address, member, behind_middlebox: false }
}
