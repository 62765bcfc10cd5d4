//! A NAT gateway: its subnet's ACL both ways, its own route table, and what that leads to (spec 6, 13): the internet
//! gateway, or with the gateway's private address the VPC, a peered one, or a gateway endpoint.

use super::middlebox::{DeadEnd, End, Leg, Onward};
use super::port_lease::Grant;
use super::walk::{Path, Sender, Walk};
use super::{
    Component, Denial, Detail, Outcome, Reason, Recorder, Stage, deliver, fragments,
    gateway_endpoint, internet_gateway, middlebox, network_acl, peering, route_table,
};
use crate::flow::Space;
use crate::packet::{Protocol, Tuple};
use crate::vpc::{NatGateway, NatGatewayIx, NatGatewayState, RuleRef};
use std::net::Ipv4Addr;

pub(super) fn pass<R: Recorder>(
    walk: &mut Walk<'_, R>,
    from: &Sender,
    ix: NatGatewayIx,
    route: RuleRef,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    let nat = walk.snapshot.nat_gateway(ix);
    arrive(walk, from, ix, nat, route)?;
    let leg = Leg::of(walk.snapshot, nat.subnet, walk.probe.inside.dst.into());
    let straight = leg.last() == nat.subnet;
    if straight {
        way_out(walk, ix, &leg)?;
    }
    let internet = matches!(leg.end, End::Route(_, Onward::InternetGateway));
    if internet && straight {
        internet_gateway::require_public(walk, from.vpc, nat.public_address())?;
    }
    let toward = if internet { Space::INTERNET } else { walk.snapshot.space(from.vpc) };
    let Translated { outside, public, grant } = translate(walk, from.tuple, ix, toward)?;
    let own = Sender { subnet: nat.subnet, tuple: outside, behind_middlebox: false, ..*from };
    let last = middlebox::travel(walk, own, &leg)?;
    let path = match leg.end {
        End::Inside => {
            network_acl::skip_inside(walk, last.subnet, Stage::NetworkAclEgress);
            if !straight {
                route_table::skip_inside(walk, last.subnet);
            }
            deliver::interface(walk, &last, last.vpc, admitted_by)?
        }
        End::Route(rule, onward) => {
            network_acl::leave(walk, last.subnet)?;
            if !straight {
                route_table::pass(walk, last.subnet, rule);
            }
            match onward {
                Onward::InternetGateway => {
                    internet_gateway::leave(walk, &last, public, admitted_by)?
                }
                Onward::Local => deliver::routed(walk, &last, last.vpc, admitted_by)?,
                Onward::Peering(peering) => peering::pass(walk, &last, peering, admitted_by)?,
                Onward::GatewayEndpoint(endpoint) => {
                    gateway_endpoint::pass(walk, &last, endpoint, admitted_by)?
                }
                Onward::NatGateway(_) => {
                    let component = Component::NatGateway(ix);
                    return Err(walk.deny(component, Reason::NatRoutesToNat, rule, Detail::None));
                }
            }
        }
        End::Nowhere(dead_end) => {
            network_acl::leave(walk, last.subnet)?;
            return Err(route_table::refuse(walk, last.subnet, dead_end));
        }
    };
    Ok(Path { nat: Some((Some(ix), grant)), hop: Some(outside.src), ..path })
}

fn arrive<R: Recorder>(
    walk: &mut Walk<'_, R>,
    from: &Sender,
    ix: NatGatewayIx,
    nat: &NatGateway,
    route: RuleRef,
) -> Result<(), Denial> {
    let component = Component::NatGateway(ix);
    if nat.subnet == from.subnet {
        network_acl::skip_inside(walk, nat.subnet, Stage::NetworkAclIngress);
    } else {
        network_acl::enter(walk, from.tuple, nat.subnet)?;
    }
    match nat.state {
        NatGatewayState::Available => {}
        NatGatewayState::Deleted => {
            return Err(walk.deny(component, Reason::RouteBlackhole, route, Detail::None));
        }
        NatGatewayState::Pending | NatGatewayState::Failed | NatGatewayState::Deleting => {
            return Err(walk.deny(
                component,
                Reason::NatGatewayState,
                RuleRef::NatGateway(ix),
                Detail::None,
            ));
        }
    }
    if let Protocol::Other(_) = walk.probe.inside.protocol {
        return Err(walk.deny(
            component,
            Reason::NatProtocol,
            RuleRef::NatGateway(ix),
            Detail::None,
        ));
    }
    if walk.probe.fragment && fragments::dies_at_a_nat_gateway(walk.probe.inside.protocol) {
        let decided_by = RuleRef::NatGateway(ix);
        return Err(walk.deny(component, Reason::NatFragment, decided_by, Detail::None));
    }
    Ok(())
}

/// What the gateway's own subnet leads straight to: its table decides, unless the destination is in the subnet itself
/// (spec 3.1).
fn way_out<R: Recorder>(walk: &mut Walk<'_, R>, ix: NatGatewayIx, leg: &Leg) -> Result<(), Denial> {
    let subnet = leg.last();
    let (reason, decided_by) = match leg.end {
        End::Inside => {
            route_table::skip_inside(walk, subnet);
            return Ok(());
        }
        End::Route(
            rule,
            Onward::Local
            | Onward::InternetGateway
            | Onward::GatewayEndpoint(_)
            | Onward::Peering(_),
        ) => {
            route_table::pass(walk, subnet, rule);
            return Ok(());
        }
        End::Route(rule, Onward::NatGateway(_)) => (Reason::NatRoutesToNat, rule),
        End::Nowhere(DeadEnd::NoRoute) => {
            let table = walk.snapshot.subnet(subnet).route_table;
            (Reason::NatNoRoute, RuleRef::RouteTable(table))
        }
        End::Nowhere(DeadEnd::Blackhole(rule)) => (Reason::NatBlackhole, rule),
        End::Nowhere(DeadEnd::Loop(rule)) => (Reason::MiddleboxLoop, rule),
    };
    Err(walk.deny(Component::NatGateway(ix), reason, decided_by, Detail::None))
}

/// A packet as it leaves a NAT gateway.
struct Translated {
    outside: Tuple,
    /// The public address of the private one that it took.
    public: Option<Ipv4Addr>,
    grant: Grant,
}

/// Source to one of the gateway's private addresses, and a port of its own; the destination stays (spec 6).
fn translate<R: Recorder>(
    walk: &mut Walk<'_, R>,
    before: Tuple,
    ix: NatGatewayIx,
    toward: Space,
) -> Result<Translated, Denial> {
    let component = Component::NatGateway(ix);
    let Ok((own, grant)) = walk.leases.nat_gateway(walk.snapshot, ix, toward, &walk.probe) else {
        return Err(walk.deny(
            component,
            Reason::NatPortsExhausted,
            RuleRef::NatGateway(ix),
            Detail::None,
        ));
    };
    let after = walk.probe.from(own.private, grant.port());
    walk.step_with(
        Stage::NatGateway,
        component,
        Some(RuleRef::NatGateway(ix)),
        Outcome::Translate,
        Detail::Translated { before, after },
    );
    Ok(Translated { outside: after, public: own.public, grant })
}
