//! `reply-ports-incomplete`: a network ACL lets replies back to a part of the source ports only.

use super::super::coverage::{joined, port_numbers, thousands};
use super::super::names::decided_by;
use super::cause::{Apart, Cause, drawn, ports};
use super::place;
use super::split::Split;
use super::view::Subject;
use crate::config::LabFinding;
use crate::pipeline::Denial;
use crate::pipeline::reach::Ranges;
use crate::vpc::{Direction, NetworkAclIx, RuleRef};

/// The number of ranges that the message names.
const SHOWN: usize = 4;

/// Finds the ACLs that drop a part of the replies, each once.
pub(super) fn find(subject: &Subject<'_>, splits: &[Split<'_>]) -> Vec<LabFinding> {
    let found = splits.iter().filter_map(|split| match split.cause {
        Cause::ReplyPorts(acl, direction) => {
            Some(finding(subject, split, (acl, direction), split.failing.denial?))
        }
        Cause::Addresses(..) => None,
    });
    found.collect()
}

fn finding(
    subject: &Subject<'_>,
    split: &Split<'_>,
    (acl, direction): (NetworkAclIx, Direction),
    denial: Denial,
) -> LabFinding {
    let snapshot = subject.view.snapshot();
    let drawn = drawn(subject.view, split.by);
    let passing = split.passing.iter().filter_map(|class| ports(class, split.by));
    let passing = Ranges::new(passing.flat_map(Ranges::iter)).intersection(&drawn);
    let whose = match split.by {
        Apart::GatewayPort(gateway) => {
            format!("NAT gateway {:?} for {}", snapshot.nat_gateway(gateway).id, subject.title())
        }
        Apart::EniPort | Apart::EniAddress(_) | Apart::GatewayAddress(_) => subject.title(),
    };
    let message = format!(
        "network ACL {:?} lets replies from {} back to source ports {} of {whose} only, {} of {}: {} ({})",
        snapshot.network_acl(acl).id,
        subject.view.named(&split.destinations, &split.ports),
        joined(&port_numbers(&passing), SHOWN),
        thousands(passing.count()),
        thousands(drawn.count()),
        decided_by(denial.decided_by, snapshot),
        denial.reason,
    );
    let help = help(denial.decided_by, direction);
    let span = place::of_rule(denial.decided_by, subject.spec, snapshot);
    subject.warning("reply-ports-incomplete", span, (message, help))
}

fn help(rule: RuleRef, direction: Direction) -> String {
    match rule {
        RuleRef::NetworkAclRule(..) => format!(
            "allow ports 1024-65535 by {direction} rules with lower numbers than the one that denies: the sender takes \
             any of them"
        ),
        _ => {
            format!("allow ports 1024-65535 in its {direction} rules: the sender takes any of them")
        }
    }
}
