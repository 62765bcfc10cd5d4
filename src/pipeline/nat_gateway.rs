//! A NAT gateway: its subnet's ACL both ways, its own route table, then the internet gateway (spec 6, 13).

use super::port_lease::Grant;
use super::walk::{AtEni, Path, Walk};
use super::{
    Component, Denial, Detail, Link, Outcome, Reason, Recorder, Stage, fragments, internet_gateway,
    network_acl, route_table,
};
use crate::flow::Space;
use crate::packet::{Protocol, Tuple};
use crate::vpc::{NatGateway, NatGatewayIx, NatGatewayState, RuleRef, SubnetIx, Target};
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
    require_way_out(walk, ix, nat.subnet)?;
    internet_gateway::require_public(walk, at.vpc, nat.public_address())?;
    let translated = translate(walk, at.tuple, ix, Space::INTERNET)?;
    network_acl::leave(walk, nat.subnet)?;
    let outside = internet_gateway::translate(walk, at.vpc, translated.outside, translated.public)?;
    Ok(Path {
        outside,
        space: Space::INTERNET,
        link: Link::Internet,
        eni: None,
        nat: Some((Some(ix), translated.grant)),
        hop: Some(nat.private_address()),
        admitted_by,
        reply_denied: None,
    })
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

/// The gateway's own subnet must lead to an internet gateway.
fn require_way_out<R: Recorder>(
    walk: &mut Walk<'_, R>,
    ix: NatGatewayIx,
    subnet: SubnetIx,
) -> Result<(), Denial> {
    let component = Component::NatGateway(ix);
    let table = walk.snapshot.subnet(subnet).route_table;
    let Some(chosen) = route_table::lookup(walk.snapshot, subnet, walk.probe.inside.dst) else {
        return Err(walk.deny(
            component,
            Reason::NatNoRoute,
            RuleRef::RouteTable(table),
            Detail::None,
        ));
    };
    let reason = match chosen.target {
        Target::InternetGateway => {
            let component = Component::RouteTable(table, subnet);
            walk.step(Stage::RouteTable, component, Some(chosen.rule), Outcome::Pass);
            return Ok(());
        }
        Target::NatGateway(_) => Reason::NatRoutesToNat,
        Target::Blackhole(_) => Reason::NatBlackhole,
        Target::Local | Target::GatewayEndpoint(_) | Target::Peering(_) => {
            Reason::TargetUnsupported
        }
    };
    Err(walk.deny(component, reason, chosen.rule, Detail::None))
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
