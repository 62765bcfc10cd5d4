//! Makes the cells of one origin: every group of destinations, every sender, every port; one packet
//! judges each.

use super::answer::Interrupted;
use super::destinations::{Coarse, Destinations, Group, GroupPath, PathStart};
use super::egress::{Asking, Egress, Found};
use super::judge::{Judged, Packet, Walks};
use super::map::HashMap;
use super::merge::{Cell, CellVerdict, Cells, SideId};
use super::origin::Origin;
use super::ports::{self, cuts_of_kinds};
use super::ranges::{Range, Ranges, cut_around, sorted};
use super::rule_sets::{Judges, MatchId, Matches, Meeting, RuleSetId};
use super::sameness::{Likeness, Sameness};
use super::senders::{Sender, Splitting};
use super::stretch::{Outcomes, Stretch, StretchKey};
use crate::packet::Protocol;
use crate::pipeline::{Denial, Reason};
use crate::vpc::path::{DeadEnd, Hop};
use crate::vpc::{ProtocolMatch, ResourceIx, RuleRef, Snapshot, TrafficMatch};
use std::cell::RefCell;
use std::rc::Rc;

/// The state of a search, shared by all origins of a question.
pub(super) struct Search<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) sameness: Sameness<'a>,
    pub(super) walks: Walks<'a>,
    pub(super) matches: Matches<'a>,
    pub(super) cells: Cells,
    /// The protocols and ports of the question.
    pub(super) ports: Ranges,
    pub(super) egress: Found,
    pub(super) gates: HashMap<GateKey, Rc<RefCell<Stretch>>>,
    /// Outcomes by the rules that match at an interface: packets that match the same rules have the
    /// same outcome.
    pub(super) at_gates: HashMap<StretchKey, Result<(), Denial>>,
    /// The numbers of interfaces that have one outcome for packets that match the same rules.
    pub(super) gate_numbers: HashMap<(Vec<RuleSetId>, bool, bool), usize>,
    pub(super) paths: HashMap<(Likeness, Likeness), usize>,
}

/// The search from one origin.
pub(super) struct Cutting<'s, 'a> {
    pub(super) search: &'s mut Search<'a>,
    pub(super) origin: &'s Origin,
    pub(super) coarse: &'s Coarse,
    /// The origin's number.
    pub(super) number: u32,
    /// The destinations that count; those that do not form a class of their own.
    pub(super) counting: &'s Ranges,
    paths: HashMap<usize, Rc<Vec<Departure>>>,
    replies: HashMap<ReplyKey, Rc<Vec<Reply>>>,
}

/// A sender on a path, with the outcomes of the packets that the groups of its ENI admit.
struct Departure {
    sender: Sender,
    /// The path to the interface of the destination.
    transit: RefCell<Stretch>,
    /// The interface itself, which other paths share; `None` if the destination has none.
    gate: Option<Rc<RefCell<Stretch>>>,
    /// The positions at which replies to protocols other than TCP and UDP may begin to differ.
    reply_cuts: Vec<u32>,
}

/// The verdict on replies to some of the ports.
#[derive(Clone, Debug)]
struct Reply {
    eni_ports: Ranges,
    gateway_ports: Ranges,
    verdict: Result<(), Denial>,
}

/// Cells by their outcomes.
type CellsBy<T> = Vec<(T, Vec<Range>)>;

/// The key of a decision at an interface: the rules that match there, whether it is an endpoint's,
/// and whether it is behind a middlebox. A NAT gateway changes the rules that match.
pub(super) type GateKey = (Vec<(Meeting, MatchId)>, bool, bool);

/// The key of a decision about replies: their hops, the rules that match there, and the protocol.
type ReplyKey = (Likeness, Vec<(Meeting, MatchId)>, Protocol);

impl<'s, 'a> Cutting<'s, 'a> {
    pub(super) fn new(
        search: &'s mut Search<'a>,
        (number, origin): (u32, &'s Origin),
        coarse: &'s Coarse,
        counting: &'s Ranges,
    ) -> Self {
        let (paths, replies) = (HashMap::default(), HashMap::default());
        Self { search, origin, coarse, number, counting, paths, replies }
    }

    pub(super) fn cut(&mut self, destinations: &Destinations) -> Result<(), Interrupted> {
        for group in &destinations.groups {
            self.search.walks.caller.go_on()?;
            match group.entry {
                PathStart::Refused(denial) if denial.reason == Reason::ExemptAddressUnserved => {
                    if let Some(counts) = self.set_aside(group, denial)? {
                        self.push_whole(&counts, denial.into())?;
                    }
                }
                PathStart::Refused(denial) => self.push_whole(group, denial.into())?,
                PathStart::Exempt => {
                    self.push_whole(group, CellVerdict::Passes(RuleRef::ExemptAddress, 0))?
                }
                PathStart::Path { egress, path } => {
                    let Some(path_of) = destinations.paths.get(path) else { continue };
                    let Some(DeadEnd::NoInterface(vpc)) = path_of.hops.dead_end else {
                        self.follow(group, egress, (path, path_of))?;
                        continue;
                    };
                    let decided_by = RuleRef::Vpc(vpc);
                    let denial = Denial { reason: Reason::NoInterface, decided_by };
                    if let Some(counts) = self.set_aside(group, denial)? {
                        self.follow(&counts, egress, (path, path_of))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sets destinations aside that no interface has, and returns those of them that count: from
    /// another attachment, an interface may have some.
    fn set_aside(&mut self, group: &Group, denial: Denial) -> Result<Option<Group>, Interrupted> {
        let [counts, others] = group.parted(self.counting);
        if let Some(others) = others {
            self.push_whole(&others, CellVerdict::Unowned(denial.reason, denial.decided_by))?;
        }
        Ok(counts)
    }

    /// Judges the packets of a path.
    fn follow(
        &mut self,
        group: &Group,
        egress: Option<MatchId>,
        (number, path): (usize, &GroupPath),
    ) -> Result<(), Interrupted> {
        let egress = match egress {
            Some(matching) => {
                let (task, choice) = (self.origin.task, self.origin.first_choice());
                let packet = Packet { task, to: group.first, port: 0, choice };
                self.search.egress_of(matching, packet)?
            }
            None => self.search.egress.without_groups(&self.search.ports),
        };
        for (denial, ports) in &egress.denied {
            self.push(group, None, ((*denial).into(), ports), None)?;
        }
        let departure = self.departure(group, number, path)?;
        for departure in departure.iter() {
            self.send(group, &egress, (path, departure))?;
        }
        Ok(())
    }

    /// Judges the packets of one sender to a group of destinations.
    fn send(
        &mut self,
        group: &Group,
        egress: &Egress,
        (path, departure): (&GroupPath, &Departure),
    ) -> Result<(), Interrupted> {
        let arrives = self.arrives(group, egress, departure)?;
        let sender = &departure.sender;
        let mut passed: CellsBy<Rc<Vec<Reply>>> = Vec::new();
        for cell in arrives.cells(&departure.reply_cuts) {
            let replies = self.replies(sender, (group.first, cell.0))?;
            add(&mut passed, cell, replies, Rc::ptr_eq);
        }
        for (replies, ports) in passed {
            let ports = Ranges::new(ports);
            for reply in replies.iter() {
                match reply.verdict {
                    Err(denial) => {
                        self.push(group, Some(sender), (denial.into(), &ports), Some(reply))?;
                    }
                    Ok(()) => self.pass(group, egress, (path, sender), (&ports, reply))?,
                }
            }
        }
        Ok(())
    }

    /// Adds the packets that pass.
    fn pass(
        &mut self,
        group: &Group,
        egress: &Egress,
        (path, sender): (&GroupPath, &Sender),
        (ports, reply): (&Ranges, &Reply),
    ) -> Result<(), Interrupted> {
        let taken = (path.likeness.clone(), sender.likeness.clone());
        // 0 stands for packets without a path.
        let next = self.search.paths.len() + 1;
        let number = *self.search.paths.entry(taken).or_insert(next);
        let verdict = CellVerdict::Admitted(egress.number, number);
        self.push(group, Some(sender), (verdict, ports), Some(reply))
    }

    /// Finds the requests that arrive among those that the ENI's groups admit, and adds those that
    /// do not.
    fn arrives(
        &mut self,
        group: &Group,
        egress: &Egress,
        departure: &Departure,
    ) -> Result<Ranges, Interrupted> {
        let sender = &departure.sender;
        let unknown = departure.transit.borrow().unknown(&egress.all);
        for port in unknown {
            self.judge_request(departure, (group.first, port)).map(drop)?;
        }
        let Outcomes { reached, denied } = departure.transit.borrow().of(&egress.all);
        for (denial, ports) in denied {
            self.push(group, Some(sender), (denial.into(), &ports), None)?;
        }
        let Some(gate) = &departure.gate else { return Ok(reached) };
        let unknown = gate.borrow().unknown(&reached);
        for port in unknown {
            let key = gate.borrow().key(port);
            if let Some(known) = self.search.at_gates.get(&key) {
                gate.borrow_mut().note(port, *known);
                continue;
            }
            let outcome = self.judge_request(departure, (group.first, port))?;
            let noted = gate.borrow().outcome(port);
            match noted {
                Some(noted) => {
                    self.search.at_gates.insert(key, noted);
                }
                // Every packet stays in the answer, whichever check drops it.
                None => gate.borrow_mut().note(port, outcome),
            }
        }
        let Outcomes { reached, denied } = gate.borrow().of(&reached);
        for (denial, ports) in denied {
            self.push(group, Some(sender), (denial.into(), &ports), None)?;
        }
        Ok(reached)
    }

    /// Judges a request, and records the outcome for its cells: on its path, or at the interface of
    /// the destination.
    fn judge_request(
        &mut self,
        departure: &Departure,
        to: (u32, u32),
    ) -> Result<Result<(), Denial>, Interrupted> {
        let judged = self.judge(&self.packet(&departure.sender, to, (None, None)))?;
        let outcome =
            judged.request.map(|_| ()).map_err(|denial| self.search.sameness.denial(denial));
        let at_gate = match outcome {
            Ok(()) => true,
            Err(denial) => is_of_delivery(denial.reason),
        };
        match &departure.gate {
            Some(gate) if at_gate => {
                departure.transit.borrow_mut().note(to.1, Ok(()));
                gate.borrow_mut().note(to.1, outcome);
            }
            Some(_) | None => departure.transit.borrow_mut().note(to.1, outcome),
        }
        Ok(outcome)
    }

    /// Finds the verdicts on the replies to a request that arrives.
    fn replies(&mut self, sender: &Sender, to: (u32, u32)) -> Result<Rc<Vec<Reply>>, Interrupted> {
        let (protocol, _) = ports::at(to.1);
        let key = (sender.likeness.clone(), sender.reply.clone(), protocol);
        if let Some(known) = self.replies.get(&key) {
            return Ok(known.clone());
        }
        let found = match protocol {
            Protocol::Tcp | Protocol::Udp => self.cut_replies(sender, to)?,
            Protocol::Icmp | Protocol::Other(_) => {
                let judged = self.judge(&self.packet(sender, to, (None, None)))?;
                vec![Reply {
                    eni_ports: self.origin.ports.clone(),
                    gateway_ports: sender.nat_ports(),
                    verdict: judged.reply.map_err(|denial| self.search.sameness.denial(denial)),
                }]
            }
        };
        let found = Rc::new(found);
        self.replies.insert(key, found.clone());
        Ok(found)
    }

    /// Cuts the ports of the gateway by the rules before it on the path of the reply, and those of
    /// the ENI by the rules after it. A reply that is dropped before the gateway is not judged by
    /// its port of the ENI.
    fn cut_replies(&mut self, sender: &Sender, to: (u32, u32)) -> Result<Vec<Reply>, Interrupted> {
        let (mut found, past_gateway) = self.cut_gateway_ports(sender, to)?;
        if past_gateway.is_empty() && !sender.nat_ports().is_empty() {
            return Ok(found);
        }
        if self.origin.ports.is_empty() {
            let (eni_ports, gateway_ports) = (Ranges::default(), past_gateway.clone());
            found.push(Reply { eni_ports, gateway_ports, verdict: Ok(()) });
        }
        found.extend(self.cut_eni_ports(sender, to, &past_gateway)?);
        Ok(found)
    }

    /// Finds the replies that are dropped before the gateway, and the ports of those that are not.
    fn cut_gateway_ports(
        &mut self,
        sender: &Sender,
        to: (u32, u32),
    ) -> Result<(Vec<Reply>, Ranges), Interrupted> {
        let (mut dropped, mut past): (CellsBy<Denial>, _) = (Vec::new(), Vec::new());
        let cuts = self.reply_cuts(sender, Judges::ReplyToGateway, ports::at(to.1).0);
        for cell in sender.nat_ports().cells(&cuts) {
            let judged = self.judge(&self.packet(sender, to, (None, Some(cell.0))))?;
            match judged.reply {
                Err(denial) if !judged.returned => {
                    let denial = self.search.sameness.denial(denial);
                    add(&mut dropped, cell, denial, |a, b| a == b);
                }
                Ok(()) | Err(_) => past.push(cell),
            }
        }
        let reply = |(denial, cells)| {
            let (eni_ports, gateway_ports) = (self.origin.ports.clone(), Ranges::new(cells));
            Reply { eni_ports, gateway_ports, verdict: Err(denial) }
        };
        Ok((dropped.into_iter().map(reply).collect(), Ranges::new(past)))
    }

    /// Finds the verdicts on replies to each port of the ENI, by one of the ports of the gateway
    /// that they pass.
    fn cut_eni_ports(
        &mut self,
        sender: &Sender,
        to: (u32, u32),
        past_gateway: &Ranges,
    ) -> Result<Vec<Reply>, Interrupted> {
        let cuts = self.reply_cuts(sender, Judges::ReplyToEni, ports::at(to.1).0);
        let mut found: CellsBy<Result<(), Denial>> = Vec::new();
        for cell in self.origin.ports.clone().cells(&cuts) {
            let taken = (Some(cell.0), past_gateway.first());
            let judged = self.judge(&self.packet(sender, to, taken))?;
            let verdict = judged.reply.map_err(|denial| self.search.sameness.denial(denial));
            add(&mut found, cell, verdict, |a, b| a == b);
        }
        let reply = |(verdict, cells)| {
            let (eni_ports, gateway_ports) = (Ranges::new(cells), past_gateway.clone());
            Reply { eni_ports, gateway_ports, verdict }
        };
        Ok(found.into_iter().map(reply).collect())
    }

    fn reply_cuts(&self, sender: &Sender, judges: Judges, protocol: Protocol) -> Vec<u32> {
        let mut cuts = Vec::new();
        for rule in self.rules(&sender.reply, |meeting| meeting.judges == judges) {
            if rule.protocol == ProtocolMatch::Is(protocol) {
                cut_around(&mut cuts, (rule.ports.from.into(), rule.ports.to.into()));
            }
        }
        sorted(cuts)
    }

    fn rules<'m>(
        &'m self,
        met: &'m [(Meeting, MatchId)],
        of: impl Fn(&Meeting) -> bool + 'm,
    ) -> impl Iterator<Item = &'m TrafficMatch> {
        let matching = met.iter().filter(move |(meeting, _)| of(meeting));
        let all = matching.flat_map(|(_, id)| self.search.matches.traffic(*id));
        all.map(|(_, rule)| rule)
    }

    /// Finds the senders of a path, with the cuts of what they send.
    fn departure(
        &mut self,
        group: &Group,
        number: usize,
        path: &GroupPath,
    ) -> Result<Rc<Vec<Departure>>, Interrupted> {
        if let Some(known) = self.paths.get(&number) {
            return Ok(known.clone());
        }
        let Search { snapshot, sameness, matches, walks, .. } = &mut *self.search;
        let (origin, coarse, caller) = (self.origin, self.coarse, &mut walks.caller);
        let mut splitting = Splitting { snapshot, sameness, matches, origin, coarse, caller };
        let senders = splitting.senders(path, group.first)?;
        let found: Vec<Departure> =
            senders.into_iter().map(|sender| self.begin(path, sender)).collect();
        let found = Rc::new(found);
        self.paths.insert(number, found.clone());
        Ok(found)
    }

    fn begin(&mut self, path: &GroupPath, sender: Sender) -> Departure {
        let of = |judges| move |meeting: &Meeting| meeting.judges == judges;
        let requests = self.rules(&sender.request, of(Judges::Request));
        let transit = Stretch::new(requests.filter_map(ports::of_requests));
        let replies = self.rules(&sender.reply, |_| true).filter_map(ports::of_replies);
        let reply_cuts = cuts_of_kinds(replies);
        let gate = match path.hops.as_slice().last() {
            Some(Hop::Resource(_, ix)) => Some(self.gate(path, *ix, &sender)),
            Some(_) | None => None,
        };
        Departure { sender, transit: RefCell::new(transit), gate, reply_cuts }
    }

    /// Finds the known outcomes at the interface of a resource, as a sender sees it.
    fn gate(&mut self, path: &GroupPath, ix: ResourceIx, sender: &Sender) -> Rc<RefCell<Stretch>> {
        let at_gate = |meeting: &Meeting| meeting.judges == Judges::Delivery;
        let asked = sender.request.iter().filter(|(meeting, _)| at_gate(meeting));
        let is_endpoint = self.search.snapshot.resource(ix).endpoint.is_some();
        let hops = path.hops.as_slice();
        let own = hops.rsplit(|hop| matches!(hop, Hop::NatGateway(_))).next().unwrap_or_default();
        let behind = path.hops.public_endpoint().is_none()
            && own.iter().any(|hop| matches!(hop, Hop::Middlebox { .. }));
        let key = (asked.copied().collect(), is_endpoint, behind);
        if let Some(known) = self.search.gates.get(&key) {
            return known.clone();
        }
        let asked: Vec<&(Meeting, MatchId)> =
            sender.request.iter().filter(|(meeting, _)| at_gate(meeting)).collect();
        let sets = asked.iter().map(|(meeting, _)| meeting.rules).collect();
        let next = self.search.gate_numbers.len();
        let alike = (sets, is_endpoint, behind);
        let number = *self.search.gate_numbers.entry(alike).or_insert(next);
        let rules = (0u32..).zip(asked).flat_map(|(turn, (_, id))| {
            let rules = self.search.matches.traffic(*id).iter();
            rules.map(move |(position, rule)| (position | turn << TURN, *rule))
        });
        let gate = Rc::new(RefCell::new(Stretch::of_rules(number, rules.collect())));
        self.search.gates.insert(key, gate.clone());
        gate
    }

    fn packet(
        &self,
        sender: &Sender,
        to: (u32, u32),
        (eni_port, gateway_port): (Option<u32>, Option<u32>),
    ) -> Packet {
        let first = self.origin.first_choice();
        let eni_port = eni_port.unwrap_or(first.eni_port.into());
        sender.packet(self.origin, to, (eni_port, gateway_port.unwrap_or(first.nat_port.into())))
    }

    fn judge(&mut self, packet: &Packet) -> Result<Judged, Interrupted> {
        self.search.walks.judge(packet)
    }

    /// Adds a cell of all packets to a group of destinations.
    fn push_whole(&mut self, group: &Group, verdict: CellVerdict) -> Result<(), Interrupted> {
        let ports = self.search.ports.clone();
        self.push(group, None, (verdict, &ports), None)
    }

    /// Adds a cell: of all senders, or of one; of all source ports, or of those whose replies have
    /// one verdict.
    fn push(
        &mut self,
        group: &Group,
        sender: Option<&Sender>,
        (verdict, ports): (CellVerdict, &Ranges),
        reply: Option<&Reply>,
    ) -> Result<(), Interrupted> {
        if ports.is_empty() {
            return Ok(());
        }
        let eni_ports = reply.map_or(&self.origin.ports, |reply| &reply.eni_ports).clone();
        let of_gateway = match (reply, sender) {
            (Some(reply), _) => reply.gateway_ports.clone(),
            (None, Some(sender)) => sender.nat_ports(),
            (None, None) => Ranges::default(),
        };
        let sides = [
            self.eni_side(sender),
            self.gateway_side(sender),
            self.search.cells.plain(eni_ports),
            self.search.cells.plain(of_gateway),
            self.search.cells.plain(group.destinations.clone()),
            self.search.cells.plain(ports.clone()),
        ];
        let Search { cells, walks, .. } = &mut *self.search;
        cells.push(Cell { verdict, sides }, &mut walks.caller)
    }

    fn eni_side(&mut self, sender: Option<&Sender>) -> SideId {
        let addresses = sender.map_or(&self.origin.addresses, |sender| &sender.enis);
        let side = vec![(self.number, addresses.clone())];
        self.search.cells.side(side)
    }

    fn gateway_side(&mut self, sender: Option<&Sender>) -> SideId {
        let gateway = sender.map_or(&[][..], |sender| &sender.gateway);
        let mut ranges: Vec<(u32, (u32, u32))> = Vec::new();
        for (ix, position, addresses) in gateway {
            let kind = gateway_kind(ix.0, *position);
            ranges.extend(addresses.iter().map(|range| (kind, range)));
        }
        ranges.sort_unstable();
        let kinds = ranges.chunk_by(|(a, _), (b, _)| a == b);
        let side = kinds
            .filter_map(|chunk| {
                let (kind, _) = chunk.first()?;
                Some((*kind, Ranges::new(chunk.iter().map(|(_, range)| *range))))
            })
            .collect();
        self.search.cells.side(side)
    }
}

impl Search<'_> {
    fn egress_of(&mut self, matching: MatchId, packet: Packet) -> Result<Rc<Egress>, Interrupted> {
        let Search { egress: found, matches, sameness, walks, ports, .. } = self;
        Asking { found, matches, sameness, walks, ports }.find(matching, packet)
    }
}

/// The bit above the positions of rule sets: it separates repeated meetings with one set.
const TURN: u32 = 24;

/// Decides whether a request that is dropped for this reason has reached the interface of its
/// destination.
const fn is_of_delivery(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SgIngressNoRules
            | Reason::SgIngressImplicitDeny
            | Reason::SgIngressBehindNat
            | Reason::SgIngressPublicAddress
            | Reason::SgIngressBehindMiddlebox
            | Reason::InterfaceEndpointProtocol
    )
}

/// Returns the number of a NAT gateway and a position as one.
fn gateway_kind(gateway: u16, position: usize) -> u32 {
    u32::from(gateway) << 8 | u32::try_from(position).unwrap_or(0xff)
}

/// Adds a cell to those with the same outcome.
fn add<T>(to: &mut CellsBy<T>, cell: (u32, u32), outcome: T, same: impl Fn(&T, &T) -> bool) {
    match to.iter_mut().find(|(known, _)| same(known, &outcome)) {
        Some((_, cells)) => cells.push(cell),
        None => to.push((outcome, vec![cell])),
    }
}
