//! A NAT gateway: its subnet's ACL both ways, its own route table, and what that leads to (spec 6, 13): the internet
//! gateway, or with the gateway's private address the VPC, a peered one, or a gateway endpoint.

use super::port_lease::Grant;
use super::walk::{AtEni, Path, Sender, Walk};
use super::{
    Component, Denial, Detail, Link, Outcome, Reason, Recorder, Stage, deliver, fragments,
    gateway_endpoint, internet_gateway, network_acl, peering, route_table,
};
use crate::flow::Space;
use crate::packet::{Protocol, Tuple};
use crate::vpc::{
    GatewayEndpointIx, NatGateway, NatGatewayIx, NatGatewayState, PeeringIx, RuleRef, SubnetIx,
    Target,
};
use std::net::Ipv4Addr;

pub(super) fn pass<'a, R: Recorder>(
    walk: &mut Walk<'a, R>,
    at: &AtEni<'a>,
    ix: NatGatewayIx,
    route: RuleRef,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    let nat = walk.snapshot.nat_gateway(ix);
    arrive(walk, at, ix, nat, route)?;
    match way_out(walk, ix, nat.subnet)? {
        Beyond::Internet => to_the_internet(walk, at, ix, nat, admitted_by),
        Beyond::Subnet => {
            let (sender, grant) = privately(walk, at, ix, nat)?;
            network_acl::skip_inside(walk, nat.subnet, Stage::NetworkAclEgress);
            let path = deliver::interface(walk, &sender, at.vpc, admitted_by)?;
            Ok(behind(path, ix, &sender, grant))
        }
        Beyond::Vpc(target) => {
            let (sender, grant) = privately(walk, at, ix, nat)?;
            network_acl::leave(walk, nat.subnet)?;
            let path = match target {
                Private::Local => deliver::routed(walk, &sender, at.vpc, admitted_by),
                Private::Peering(peering) => peering::pass(walk, &sender, peering, admitted_by),
                Private::GatewayEndpoint(endpoint) => {
                    gateway_endpoint::pass(walk, &sender, endpoint, admitted_by)
                }
            }?;
            Ok(behind(path, ix, &sender, grant))
        }
    }
}

/// What lies behind a NAT gateway.
enum Beyond {
    /// An interface of its own subnet.
    Subnet,
    /// What its subnet's table leads to, and what sees the gateway's private address.
    Vpc(Private),
    /// The internet gateway, which makes the private address the public one.
    Internet,
}

/// Where a private address goes unchanged.
enum Private {
    Local,
    Peering(PeeringIx),
    GatewayEndpoint(GatewayEndpointIx),
}

fn arrive<R: Recorder>(
    walk: &mut Walk<'_, R>,
    at: &AtEni<'_>,
    ix: NatGatewayIx,
    nat: &NatGateway,
    route: RuleRef,
) -> Result<(), Denial> {
    let component = Component::NatGateway(ix);
    if nat.subnet == at.subnet {
        network_acl::skip_inside(walk, nat.subnet, Stage::NetworkAclIngress);
    } else {
        network_acl::enter(walk, at.tuple, nat.subnet)?;
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

/// What the gateway's own subnet leads to: its table decides, unless the destination is in the subnet itself (spec 3.1).
fn way_out<R: Recorder>(
    walk: &mut Walk<'_, R>,
    ix: NatGatewayIx,
    subnet: SubnetIx,
) -> Result<Beyond, Denial> {
    let destination = walk.probe.inside.dst;
    if walk.snapshot.subnet(subnet).cidr.contains(destination) {
        route_table::skip_inside(walk, subnet);
        return Ok(Beyond::Subnet);
    }
    let component = Component::NatGateway(ix);
    let table = walk.snapshot.subnet(subnet).route_table;
    let Some(chosen) = route_table::lookup(walk.snapshot, subnet, destination) else {
        let decided_by = RuleRef::RouteTable(table);
        return Err(walk.deny(component, Reason::NatNoRoute, decided_by, Detail::None));
    };
    let beyond = match chosen.target {
        Target::InternetGateway => Ok(Beyond::Internet),
        Target::Local => Ok(Beyond::Vpc(Private::Local)),
        &Target::Peering(peering) => Ok(Beyond::Vpc(Private::Peering(peering))),
        &Target::GatewayEndpoint(endpoint) => Ok(Beyond::Vpc(Private::GatewayEndpoint(endpoint))),
        Target::NatGateway(_) => Err(Reason::NatRoutesToNat),
        Target::Blackhole(_) => Err(Reason::NatBlackhole),
    };
    match beyond {
        Ok(beyond) => {
            let component = Component::RouteTable(table, subnet);
            walk.step(Stage::RouteTable, component, Some(chosen.rule), Outcome::Pass);
            Ok(beyond)
        }
        Err(reason) => Err(walk.deny(component, reason, chosen.rule, Detail::None)),
    }
}

fn to_the_internet<R: Recorder>(
    walk: &mut Walk<'_, R>,
    at: &AtEni<'_>,
    ix: NatGatewayIx,
    nat: &NatGateway,
    admitted_by: RuleRef,
) -> Result<Path, Denial> {
    internet_gateway::require_public(walk, at.vpc, nat.public_address())?;
    let Translated { outside, public, grant } = translate(walk, at.tuple, ix, Space::INTERNET)?;
    network_acl::leave(walk, nat.subnet)?;
    let hop = outside.src;
    let outside = internet_gateway::translate(walk, at.vpc, outside, public)?;
    Ok(Path {
        outside,
        space: Space::INTERNET,
        link: Link::Internet,
        eni: None,
        nat: Some((Some(ix), grant)),
        hop: Some(hop),
        admitted_by,
        reply_denied: None,
    })
}

/// The gateway as a sender in its own VPC, with its private address: a public NAT gateway has no other there (spec 6).
fn privately<R: Recorder>(
    walk: &mut Walk<'_, R>,
    at: &AtEni<'_>,
    ix: NatGatewayIx,
    nat: &NatGateway,
) -> Result<(Sender, Grant), Denial> {
    let toward = walk.snapshot.space(at.vpc);
    let Translated { outside, grant, .. } = translate(walk, at.tuple, ix, toward)?;
    Ok((Sender { subnet: nat.subnet, vpc: at.vpc, tuple: outside, eni: at.eni.address }, grant))
}

fn behind(path: Path, ix: NatGatewayIx, sender: &Sender, grant: Grant) -> Path {
    Path { nat: Some((Some(ix), grant)), hop: Some(sender.tuple.src), ..path }
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
