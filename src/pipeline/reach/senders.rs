//! Cells of senders: the private addresses of the ENI and of the NAT gateway behind it, where a question leaves them open.

use super::answer::Interrupted;
use super::caller::Caller;
use super::destinations::{AtGateway, Coarse, Path};
use super::judge::Packet;
use super::map::HashMap;
use super::origin::{Origin, port};
use super::ranges::{Range, Ranges, sorted};
use super::rule_sets::{self, MatchId, Matches, Meeting, Sees};
use super::sameness::{Likeness, Sameness};
use crate::pipeline::leases::Choice;
use crate::vpc::path::{self, Hops, ReturnTo};
use crate::vpc::security_group::Remote;
use crate::vpc::{EniIx, NatGatewayIx, Snapshot};
use std::net::Ipv4Addr;

/// Senders that no rule on one path tells apart.
pub(super) struct Sender {
    /// The addresses of the ENI.
    pub(super) enis: Ranges,
    /// The NAT gateway, with the addresses at each position; empty if there is none.
    pub(super) gateway: Vec<(NatGatewayIx, usize, Ranges)>,
    /// The rule sets that the request meets behind the groups of the ENI, and the rules that match there.
    pub(super) request: Vec<(Meeting, MatchId)>,
    /// The rule sets that the reply meets.
    pub(super) reply: Vec<(Meeting, MatchId)>,
    /// The hops of the reply.
    pub(super) likeness: Likeness,
}

impl Sender {
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

/// Addresses with what they match.
type Alike = (Ranges, Vec<MatchId>);

/// The key of senders that differ only in the address of the NAT gateway.
type Key = (Likeness, Ranges, Vec<MatchId>, Vec<MatchId>);

impl Splitting<'_, '_> {
    /// Finds the senders of a path to a destination.
    ///
    /// An ENI and a NAT gateway in one subnet may be paired with one and the same address where both are open. Such a pair
    /// changes no verdict: one table routes both, so the path leads back to the gateway and is a dead end for every address.
    pub(super) fn senders(&mut self, path: &Path, to: u32) -> Result<Vec<Sender>, Interrupted> {
        let Some(eni) = self.origin.eni() else { return Ok(vec![self.of_app_runner()]) };
        let server = Ipv4Addr::from(to);
        let mut found: Vec<Sender> = Vec::new();
        let mut known: HashMap<Key, usize> = HashMap::default();
        for gateway in self.coarse.gateway(path.hops.nat_gateway()) {
            for &enis in &self.coarse.enis {
                self.caller.go_on()?;
                let nat = gateway.map(|(ix, _, (first, _))| (ix, Ipv4Addr::from(first)));
                let back = self.reply(path, (eni, enis.0), nat, server);
                let likeness = self.sameness.likeness(&back);
                let reply = rule_sets::of_reply(self.snapshot, &back);
                for (eni_addresses, of_eni) in self.alike((&path.met, &reply), Sees::Eni, enis) {
                    for (position, addresses, of_gateway) in
                        self.gateways((&path.met, &reply), gateway)
                    {
                        let of = (likeness.clone(), eni_addresses.clone());
                        let key = (of.0, of.1, of_eni.clone(), of_gateway.clone());
                        let at = *known.entry(key).or_insert_with(|| {
                            let both = (eni_addresses.clone(), addresses.first());
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

    /// Resolves how the reply returns; a request that does not arrive has none.
    fn reply(
        &self,
        path: &Path,
        (eni, address): (EniIx, u32),
        nat_gateway: Option<(NatGatewayIx, Ipv4Addr)>,
        server: Ipv4Addr,
    ) -> Hops {
        if path.hops.dead_end.is_some() {
            return Hops::default();
        }
        let eni_address = Ipv4Addr::from(address);
        path::reply(self.snapshot, ReturnTo { eni, eni_address, nat_gateway }, server)
    }

    fn of_app_runner(&self) -> Sender {
        Sender {
            enis: Ranges::default(),
            gateway: Vec::new(),
            request: Vec::new(),
            reply: Vec::new(),
            likeness: Likeness::default(),
        }
    }

    /// Lists the addresses of the gateway at a position, those together that match the same.
    fn gateways(
        &mut self,
        met: (&[Meeting], &[Meeting]),
        gateway: Option<AtGateway>,
    ) -> Vec<(usize, Ranges, Vec<MatchId>)> {
        let Some((_, position, range)) = gateway else {
            return vec![(0, Ranges::default(), Vec::new())];
        };
        let alike = self.alike(met, Sees::Gateway, range);
        alike.into_iter().map(|(addresses, matches)| (position, addresses, matches)).collect()
    }

    /// Cuts a range of addresses by the rules that see them, and groups what matches the same.
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
            let remote = remote(self.snapshot, self.origin, sees, cell.0);
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
        (enis, gateway): (Ranges, Option<u32>),
        server: Ipv4Addr,
        likeness: Likeness,
    ) -> Sender {
        let eni = enis.first().unwrap_or(0);
        let mut matching = |met: &[Meeting]| -> Vec<(Meeting, MatchId)> {
            let address = |sees| match sees {
                Sees::Destination => server.to_bits(),
                Sees::Eni => eni,
                Sees::Gateway => gateway.unwrap_or(0),
            };
            let of = |meeting: &Meeting| {
                let remote =
                    remote(self.snapshot, self.origin, meeting.sees, address(meeting.sees));
                (*meeting, self.matches.of(meeting.rules, remote))
            };
            met.iter().map(of).collect()
        };
        let (request, reply) = (matching(request), matching(reply));
        Sender { enis, gateway: Vec::new(), request, reply, likeness }
    }
}

/// Returns an address as rules see it. NAT gateways are in no group.
fn remote(snapshot: &Snapshot, origin: &Origin, sees: Sees, address: u32) -> Remote {
    let address = Ipv4Addr::from(address);
    let member = match sees {
        Sees::Destination => address,
        Sees::Eni => origin.eni().map_or(address, |ix| snapshot.eni(ix).address),
        Sees::Gateway => Ipv4Addr::UNSPECIFIED,
    };
    Remote { address, member, behind_middlebox: false }
}
