//! `egress = "default"`: out by App Runner's own public address, and into no VPC (spec 2.2).

use super::walk::{Path, Walk};
use super::{Component, Denial, Detail, Link, Outcome, Reason, Recorder, Stage, internet_gateway};
use crate::flow::Space;
use crate::vpc::RuleRef;

pub(super) fn leave<R: Recorder>(mut walk: Walk<'_, R>) -> Result<Path, Denial> {
    let destination = walk.probe.inside.dst;
    let own = RuleRef::AppRunner;
    let private =
        destination.is_link_local() || internet_gateway::refused_destination(destination).is_some();
    let address = match walk.snapshot.parts().apprunner_address {
        Some(address) if !private => address,
        Some(_) | None => {
            let reason = Reason::AppRunnerPrivateDestination;
            return Err(walk.deny(Component::AppRunner, reason, own, Detail::None));
        }
    };
    if internet_gateway::is_own(walk.snapshot, destination) {
        return Err(walk.deny(Component::AppRunner, Reason::NatHairpin, own, Detail::None));
    }
    let Ok(grant) = walk.leases.app_runner(walk.snapshot, address, &walk.probe) else {
        return Err(walk.deny(Component::AppRunner, Reason::NatPortsExhausted, own, Detail::None));
    };
    let after = walk.probe.from(address, grant.port());
    walk.step_with(
        Stage::AppRunner,
        Component::AppRunner,
        Some(own),
        Outcome::Translate,
        Detail::Translated { before: walk.probe.inside, after },
    );
    internet_gateway::deliver(&mut walk, Component::Internet);
    Ok(Path {
        outside: after,
        space: Space::INTERNET,
        link: Link::Internet,
        eni: None,
        nat: Some((None, grant)),
        hop: Some(address),
        admitted_by: own,
        reply_denied: None,
    })
}
