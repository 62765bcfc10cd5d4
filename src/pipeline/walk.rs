//! The order of AWS's checks (spec 13). There is no second one: new packets, flows of an older
//! generation, replies, ICMP errors, `egret explain` and dry runs are all evaluated here.
//!
//! A request is checked in this order: source; exempt addresses; the ENI's groups; a port of the
//! ENI; and then the hops of its path ([`path::request`]), each by its stage. For a subnet that the
//! packet leaves, its network ACL is checked, then its route table; for one that it enters, its
//! network ACL; for a NAT gateway its state and a port, and then the table of its subnet before the
//! ACL; for a destination its groups. The reply's hops ([`path::reply`]) come after the request's.

use super::evaluation::{Evaluation, Message, Transit};
use super::leases::Grant;
use super::stage::{
    app_runner, destination, eni, exempt_address, gateway_endpoint, internet_gateway, middlebox,
    nat_gateway, network_acl, peering, route_table, security_group, source_check,
};
use super::tracking::is_untracked;
use super::{Component, Denial, Reason, Recorder};
use crate::flow::{Flow, Side, Space};
use crate::packet::{Inside, Outside, Tuple};
use crate::vpc::path::{self, Attachment, DeadEnd, Hop, Hops, Link, ReturnTo};
use crate::vpc::security_group::Remote;
use crate::vpc::{EniIx, NatAddress, NatGatewayIx, RuleRef, Snapshot};
use std::net::Ipv4Addr;

/// A request that passes, with the outcome of its reply.
#[derive(Debug)]
pub(super) struct Admission {
    /// The packet as it reaches its destination, or the internet gateway of a public endpoint.
    pub(super) outside: Outside,
    /// The address space in which replies arrive.
    pub(super) space: Space,
    /// The link by which the packet leaves egret.
    pub(super) link: Link,
    /// The private address of the public endpoint that is its destination, in its VPC's space.
    pub(super) endpoint: Option<(Space, Ipv4Addr)>,
    /// The ENI and the port at it.
    pub(super) eni: Option<(EniIx, Grant)>,
    /// The last NAT after the ENI and the port at it; `None` inside is App Runner's own NAT.
    pub(super) nat: Option<(Option<NatGatewayIx>, Grant)>,
    /// The address of the NAT that decrements the TTL; `None` if no hop does.
    pub(super) ttl_hop: Option<Ipv4Addr>,
    /// The rule that admitted the packet.
    pub(super) admitted_by: RuleRef,
    /// Set if the ENI does not track the flow that begins with it.
    pub(super) untracked: bool,
    /// The denial of the reply, if it would be dropped.
    pub(super) reply_denied: Option<Denial>,
}

/// Evaluates a request and the reply to it.
///
/// # Errors
/// The first check that the request does not pass. A denial of the reply alone is in
/// [`Admission::reply_denied`].
pub(super) fn walk<R: Recorder>(evaluation: &mut Evaluation<'_, R>) -> Result<Admission, Denial> {
    let Some(attachment) = enter(evaluation)? else {
        return Ok(untranslated(evaluation.probe.inside));
    };
    let sent = send(evaluation, attachment)?;
    let to = ReturnPoint::of_request(evaluation.snapshot, &sent);
    let reply_denied = reply(evaluation, &to).err();
    let inside = evaluation.probe.inside;
    Ok(sent.admitted(evaluation.snapshot, inside, reply_denied))
}

/// Evaluates a request alone, for a packet that expects no reply.
///
/// # Errors
/// The first check that it does not pass.
pub(super) fn request<R: Recorder>(evaluation: &mut Evaluation<'_, R>) -> Result<(), Denial> {
    match enter(evaluation)? {
        Some(attachment) => send(evaluation, attachment).map(|_| ()),
        None => Ok(()),
    }
}

/// Decides whether a request would pass, and by a NAT gateway.
pub(super) fn passes_nat_gateway<R: Recorder>(evaluation: &mut Evaluation<'_, R>) -> bool {
    let Ok(Some(attachment)) = enter(evaluation) else { return false };
    let sent = send(evaluation, attachment);
    sent.is_ok_and(|sent| sent.transit.nat.is_some_and(|nat| nat.gateway.is_some()))
}

/// Evaluates the checks before the path; returns `None` for a packet to an exempt address, which
/// has no path.
///
/// # Errors
/// The first check that it does not pass.
pub(super) fn enter<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
) -> Result<Option<Attachment>, Denial> {
    source_check::check(evaluation)?;
    let Some(attachment) = evaluation.snapshot.attachment(&evaluation.probe.task) else {
        return Err(source_check::unattached(evaluation));
    };
    let exempt = exempt_address::check(evaluation, attachment)?;
    Ok((!exempt).then_some(attachment))
}

fn send<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    attachment: Attachment,
) -> Result<Sent, Denial> {
    let mut transit = evaluation.request(evaluation.probe.message);
    let mut admitted_by = RuleRef::AppRunner;
    let (mut at_eni, mut untracked) = (None, false);
    let hops = path::request(evaluation.snapshot, attachment, evaluation.destination());
    if let Attachment::Eni(ix) = attachment {
        eni::attach(evaluation, ix);
        admitted_by = security_group::egress(evaluation, &transit, ix)?;
        untracked = is_untracked(evaluation.snapshot, ix, &transit, &hops);
        at_eni = Some((ix, eni::translate(evaluation, &mut transit, ix)?));
    }
    pass(evaluation, &mut transit, &hops)?;
    Ok(Sent { transit, eni: at_eni, link: hops.link(), admitted_by, untracked })
}

/// Passes a packet over its hops.
///
/// # Errors
/// The first check that it does not pass, or the dead end of the list.
fn pass<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    transit: &mut Transit,
    hops: &Hops,
) -> Result<(), Denial> {
    for hop in hops.as_slice() {
        match (*hop, transit.side) {
            (Hop::NetworkAcl { subnet, direction, crossed: true }, _) => {
                network_acl::cross(evaluation, transit, subnet, direction)?;
            }
            (Hop::NetworkAcl { subnet, direction, crossed: false }, _) => {
                network_acl::skip(evaluation, transit, subnet, direction);
            }
            (Hop::RouteTable { subnet, route: Some(route) }, _) => {
                route_table::follow(evaluation, transit, subnet, route);
            }
            (Hop::RouteTable { subnet, route: None }, _) => route_table::skip(evaluation, subnet),
            (Hop::Middlebox { middlebox, saw_request }, _) => {
                middlebox::pass(evaluation, transit, middlebox, saw_request)?;
            }
            (Hop::NatGateway(ix), Side::Egress) => {
                nat_gateway::pass(evaluation, transit, ix, hops)?;
            }
            (Hop::NatGateway(_), Side::Return) => {
                transit.return_to_eni();
                evaluation.recorder.returned();
            }
            (Hop::AppRunner, _) => app_runner::translate(evaluation, transit)?,
            (Hop::InternetGateway(vpc), Side::Egress) => {
                internet_gateway::pass(evaluation, transit, vpc)?;
            }
            (Hop::PublicEndpoint(ix), Side::Egress) => {
                internet_gateway::enter(evaluation, transit, ix);
            }
            (Hop::PublicEndpoint(_), Side::Return) => transit.leave_public_endpoint(),
            (Hop::GatewayEndpoint(ix), Side::Egress) => gateway_endpoint::pass(evaluation, ix)?,
            (Hop::Peering(ix), Side::Egress) => peering::pass(evaluation, ix),
            // These hops keep no state, and pass replies as they pass requests.
            (Hop::InternetGateway(_) | Hop::GatewayEndpoint(_) | Hop::Peering(_), Side::Return) => {
            }
            (Hop::Resource(vpc, ix), _) => {
                destination::resource(evaluation, transit, (vpc, ix))?;
            }
            (Hop::Internet, _) => destination::public(evaluation, Component::Internet)?,
            (Hop::EndpointService(ix), _) => {
                destination::public(evaluation, Component::GatewayEndpoint(ix))?;
            }
        }
    }
    hops.dead_end.map_or(Ok(()), |dead_end| Err(refuse(evaluation, dead_end)))
}

/// Denies a packet whose list of hops ends before its destination.
fn refuse<R: Recorder>(evaluation: &mut Evaluation<'_, R>, dead_end: DeadEnd) -> Denial {
    let table = |snapshot: &Snapshot, at| RuleRef::RouteTable(snapshot.subnet(at).route_table);
    match dead_end {
        DeadEnd::NoRoute(at) => {
            let decided = (Reason::NoRoute, table(evaluation.snapshot, at));
            route_table::refuse(evaluation, at, decided)
        }
        DeadEnd::Blackhole(at, route) => {
            route_table::refuse(evaluation, at, (Reason::RouteBlackhole, route))
        }
        DeadEnd::Loop(at, route) => {
            route_table::refuse(evaluation, at, (Reason::MiddleboxLoop, route))
        }
        DeadEnd::NotRoutedBack(at, rule) => {
            route_table::refuse(evaluation, at, (Reason::ReplyNotRoutedBack, rule))
        }
        DeadEnd::NatNoRoute(ix) => {
            let own = evaluation.snapshot.nat_gateway(ix).subnet;
            let decided = (Reason::NatNoRoute, table(evaluation.snapshot, own));
            nat_gateway::refuse(evaluation, ix, decided)
        }
        DeadEnd::NatBlackhole(ix, route) => {
            nat_gateway::refuse(evaluation, ix, (Reason::NatBlackhole, route))
        }
        DeadEnd::NatLoop(ix, route) => {
            nat_gateway::refuse(evaluation, ix, (Reason::MiddleboxLoop, route))
        }
        DeadEnd::NatToNat(ix, route) => {
            nat_gateway::refuse(evaluation, ix, (Reason::NatRoutesToNat, route))
        }
        DeadEnd::OutsidePeer(ix) => peering::refuse(evaluation, ix),
        DeadEnd::NoInterface(vpc) => destination::no_interface(evaluation, vpc),
        DeadEnd::EniAddress(ix) => destination::eni(evaluation, ix),
        DeadEnd::NatAddress(ix) => destination::nat_gateway(evaluation, ix),
    }
}

/// A request that has passed its hops.
struct Sent {
    transit: Transit,
    eni: Option<(EniIx, Grant)>,
    link: Link,
    admitted_by: RuleRef,
    untracked: bool,
}

impl Sent {
    fn admitted(
        self,
        snapshot: &Snapshot,
        inside: Inside,
        reply_denied: Option<Denial>,
    ) -> Admission {
        let Self { transit, eni, link, admitted_by, untracked } = self;
        let space = match (link, &eni) {
            (Link::Internet | Link::PublicEndpoint(_), _) | (_, None) => Space::INTERNET,
            // Replies are addressed to the sender's own address, so they belong to its own VPC,
            // whatever link they come by.
            (_, Some((ix, _))) => snapshot.space(snapshot.subnet(snapshot.eni(*ix).subnet).vpc),
        };
        Admission {
            outside: Outside::new(Tuple { dst: inside.dst(), ..transit.tuple }),
            space,
            link,
            endpoint: endpoint(snapshot, link),
            eni,
            ttl_hop: transit.nat.as_ref().map(|nat| nat.address),
            nat: transit.nat.map(|nat| (nat.gateway, nat.grant)),
            admitted_by,
            untracked,
            reply_denied,
        }
    }
}

/// Returns the private address of the public endpoint at which a link ends, in its VPC's space.
fn endpoint(snapshot: &Snapshot, link: Link) -> Option<(Space, Ipv4Addr)> {
    let Link::PublicEndpoint(ix) = link else { return None };
    Some((snapshot.space(snapshot.vpc_of_resource(ix)), snapshot.resource(ix).address))
}

/// Admits a packet to an exempt address unchanged: link-local services and the VPC's resolver see
/// the task itself, and nothing filters their packets (spec 4.3).
fn untranslated(inside: Inside) -> Admission {
    Admission {
        outside: Outside::new(inside.tuple()),
        space: Space::SERVICES,
        link: Link::Services,
        endpoint: None,
        eni: None,
        nat: None,
        ttl_hop: None,
        admitted_by: RuleRef::ExemptAddress,
        untracked: false,
        reply_denied: None,
    }
}

/// The NATs to which the replies to a request return, with their ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReturnPoint {
    /// The ENI, its private address and its port; `None` for App Runner's own egress.
    eni: Option<(EniIx, Ipv4Addr, u16)>,
    /// The NAT in front of it, its address and its port; `None` inside is App Runner's own NAT.
    nat: Option<(Option<NatGatewayIx>, NatAddress, u16)>,
}

/// The error if the ENI or the NAT gateway of a flow is not in this configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removed;

impl ReturnPoint {
    /// Makes the return point of a packet that a NAT gateway itself sends to an ENI; no ports are
    /// known yet.
    pub(super) fn of_nat_gateway(
        (eni, eni_address): (EniIx, Ipv4Addr),
        (ix, private): (NatGatewayIx, Ipv4Addr),
    ) -> Self {
        let own = NatAddress { private, public: None };
        Self { eni: Some((eni, eni_address, 0)), nat: Some((Some(ix), own, 0)) }
    }

    fn of_request(snapshot: &Snapshot, sent: &Sent) -> Self {
        let Sent { transit, eni, .. } = sent;
        let eni = eni.as_ref().map(|(ix, grant)| {
            let own = || snapshot.eni(*ix).address;
            (*ix, transit.eni.map_or_else(own, |(eni, _)| eni.address), grant.port())
        });
        let nat = transit.nat.as_ref().map(|nat| {
            let own = NatAddress { private: nat.address, public: transit.public };
            (nat.gateway, own, nat.grant.port())
        });
        Self { eni, nat }
    }

    /// Finds the return point of a live flow's replies. The flow may be older than this
    /// configuration, so its ENI and its NAT gateway are found by their addresses.
    ///
    /// # Errors
    /// [`Removed`].
    pub(super) fn of_flow(snapshot: &Snapshot, flow: &Flow) -> Result<Self, Removed> {
        let eni = match &flow.eni {
            Some((_, lease)) => {
                let ix = flow.eni_in(snapshot).ok_or(Removed)?;
                Some((ix, snapshot.eni(ix).address, lease.port()))
            }
            None => None,
        };
        let seen = flow.returned.tuple().dst;
        let nat = match &flow.nat {
            Some((Some(_), lease)) => {
                let ix = flow.nat_gateway_in(snapshot).ok_or(Removed)?;
                Some((Some(ix), address_of(snapshot, ix, seen), lease.port()))
            }
            Some((None, lease)) => {
                Some((None, NatAddress { private: seen, public: None }, lease.port()))
            }
            None => None,
        };
        Ok(Self { eni, nat })
    }

    fn return_to(&self) -> ReturnTo {
        let Some((eni, address, _)) = self.eni else { return ReturnTo::AppRunner };
        let nat_gateway = self.nat.and_then(|(ix, own, _)| Some((ix?, own)));
        ReturnTo::Eni { eni, address, nat_gateway }
    }

    /// Returns the address by which the internet knows the return point.
    fn public(&self, snapshot: &Snapshot) -> Option<Ipv4Addr> {
        match (self.nat, self.eni) {
            (Some((Some(_), own, _)), _) => own.public,
            (Some((None, own, _)), _) => Some(own.private),
            (None, Some((eni, _, _))) => snapshot.eni(eni).public_address(),
            (None, None) => None,
        }
    }

    /// Makes a packet from `src` over these hops: to the NAT, or to the ENI if there is none.
    fn transit(
        &self,
        snapshot: &Snapshot,
        request: &Transit,
        (src, hops): (Ipv4Addr, &Hops),
    ) -> Transit {
        let eni = self.eni.map(|(ix, address, port)| {
            let member = snapshot.eni(ix).address;
            (Remote { address, member, behind_middlebox: false }, port)
        });
        let (dst, dport, member) = match (self.nat, eni) {
            (Some((_, own, port)), _) => (own.private, port, Ipv4Addr::UNSPECIFIED),
            (None, Some((eni, port))) => (eni.address, port, eni.member),
            (None, None) => (Ipv4Addr::UNSPECIFIED, 0, Ipv4Addr::UNSPECIFIED),
        };
        let Tuple { protocol, dport: sport, .. } = request.tuple;
        let mut transit = Transit {
            side: Side::Return,
            tuple: Tuple { protocol, src, dst, sport, dport },
            message: request.message,
            tracked: request.tracked,
            behind_middlebox: false,
            eni,
            member,
            public: None,
            mapped: None,
            nat: None,
        };
        if let Some(ix) = hops.public_endpoint() {
            // A packet from a sender other than the server keeps its source.
            let is_servers = src == request.tuple.dst;
            let src = if is_servers { snapshot.resource(ix).address } else { src };
            transit.begin_at_public_endpoint(src, self.public(snapshot).unwrap_or(dst));
        }
        transit
    }
}

/// Evaluates the reply to a probe's request.
///
/// # Errors
/// The first check that it does not pass.
pub(super) fn reply<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    to: &ReturnPoint,
) -> Result<(), Denial> {
    let message = evaluation.probe.message.reply();
    let returned = return_to(evaluation, to, (evaluation.destination(), message))?;
    match to.eni {
        Some((ix, ..)) if evaluation.leases.are_untracked_at_eni() => {
            security_group::reply(evaluation, &returned, ix)
        }
        Some(_) | None => Ok(()),
    }
}

/// Evaluates a packet that the server of a probe's flow, or a router near it, sends back.
///
/// # Errors
/// The first check that it does not pass.
pub(super) fn return_from<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    to: &ReturnPoint,
    from: (Ipv4Addr, Message),
) -> Result<(), Denial> {
    return_to(evaluation, to, from).map(drop)
}

/// Passes a packet from a source to the return point.
///
/// # Errors
/// The first check that it does not pass.
fn return_to<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    to: &ReturnPoint,
    (source, message): (Ipv4Addr, Message),
) -> Result<Transit, Denial> {
    let hops = path::reply(evaluation.snapshot, to.return_to(), evaluation.destination());
    let request = evaluation.request(message);
    let mut transit = to.transit(evaluation.snapshot, &request, (source, &hops));
    pass(evaluation, &mut transit, &hops)?;
    Ok(transit)
}

/// Evaluates an ICMP error that the NAT gateway itself sends to the task.
///
/// # Errors
/// The first check that it does not pass.
pub(super) fn nat_gateway_to_task<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    to: &ReturnPoint,
    message: Message,
) -> Result<(), Denial> {
    let Some((Some(ix), own, _)) = to.nat else { return Ok(()) };
    let Some((eni, address, _)) = to.eni else { return Ok(()) };
    let (snapshot, server) = (evaluation.snapshot, evaluation.destination());
    let hops = path::reply_beyond(snapshot, (eni, address), ix, server);
    let request = evaluation.request(message);
    let mut transit = to.transit(snapshot, &request, (own.private, &hops));
    pass(evaluation, &mut transit, &hops)
}

/// Evaluates an ICMP error that the NAT in front of the ENI itself sends to the server of a flow.
///
/// # Errors
/// The first check that it does not pass.
pub(super) fn nat_to_server<R: Recorder>(
    evaluation: &mut Evaluation<'_, R>,
    to: &ReturnPoint,
    message: Message,
) -> Result<(), Denial> {
    let (snapshot, server) = (evaluation.snapshot, evaluation.destination());
    let Some((gateway, own, port)) = to.nat else { return Ok(()) };
    let hops = match gateway {
        Some(ix) => path::request_beyond(snapshot, ix, server),
        None => path::request_beyond_app_runner(snapshot, server),
    };
    let mut transit = evaluation.request(message);
    transit.tuple = Tuple { src: own.private, sport: port, ..transit.tuple };
    transit.member = Ipv4Addr::UNSPECIFIED;
    transit.public = own.public;
    pass(evaluation, &mut transit, &hops)
}

/// Finds the address of a NAT gateway that a server sees, private or public.
fn address_of(snapshot: &Snapshot, ix: NatGatewayIx, seen: Ipv4Addr) -> NatAddress {
    let mut own = snapshot.nat_gateway(ix).addresses.iter();
    let found = own.find(|own| own.private == seen || own.public == Some(seen));
    found.copied().unwrap_or(NatAddress { private: seen, public: None })
}
