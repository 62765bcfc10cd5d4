//! Finds the places in the lab file of the rules that decide.

use crate::config::Span;
use crate::config::spec::{self, Spec};
use crate::vpc::{Destination, Direction, NetworkAclIx, RouteTableIx, RuleRef, Snapshot};

/// Returns the ACL that decides by a rule, or by none, and the direction of its rules.
pub(super) fn acl(rule: RuleRef) -> Option<(NetworkAclIx, Direction)> {
    if let RuleRef::NetworkAclRule(acl, direction, ..)
    | RuleRef::NetworkAclImplicitDeny(acl, direction, _) = rule
    {
        Some((acl, direction))
    } else {
        None
    }
}

/// Returns the place of a rule; [`Span::NOWHERE`] if it is not in the file.
pub(super) fn of_rule(rule: RuleRef, spec: &Spec, snapshot: &Snapshot) -> Span {
    let found = if let RuleRef::SecurityGroupRule(group, direction, position) = rule {
        let id = &snapshot.security_group(group).id;
        let group = spec.security_groups.iter().find(|own| own.id.value == *id);
        group.and_then(|group| of_group(group, direction, position))
    } else if let RuleRef::Route(table, position) = rule {
        of_route(spec, snapshot, (table, position))
    } else if let Some((ix, direction)) = acl(rule) {
        let id = &snapshot.network_acl(ix).id;
        let acl = spec.network_acls.iter().find(|own| own.id.value == *id);
        match (acl, rule) {
            (Some(acl), RuleRef::NetworkAclRule(_, _, position, _)) => {
                let rule = snapshot.network_acl(ix).rules(direction).get(usize::from(position));
                rule.and_then(|rule| of_number(acl, direction, rule.number))
            }
            (Some(acl), _) => Some(acl.id.span),
            (None, _) => None,
        }
    } else {
        None
    };
    found.unwrap_or(Span::NOWHERE)
}

fn of_group(group: &spec::SecurityGroup, direction: Direction, position: u16) -> Option<Span> {
    let rules = match direction {
        Direction::Egress => group.egress.as_ref()?,
        Direction::Ingress => &group.ingress,
    };
    rules.get(usize::from(position)).map(|rule| rule.peer.span)
}

/// Returns the place of the rule of an ACL with a number.
fn of_number(acl: &spec::NetworkAcl, direction: Direction, number: u16) -> Option<Span> {
    let rules = match direction {
        Direction::Egress => &acl.egress,
        Direction::Ingress => &acl.ingress,
    };
    rules.iter().find(|rule| *rule.number == number).map(|rule| rule.number.span)
}

/// Returns the place of a route. A table has one for each destination.
fn of_route(spec: &Spec, snapshot: &Snapshot, route: (RouteTableIx, u16)) -> Option<Span> {
    let (table, position) = (snapshot.route_table(route.0), usize::from(route.1));
    let destination = match table.routes.get(position)?.destination {
        Destination::Cidr(network) => spec::Destination::Cidr(network),
        Destination::PrefixList(list) => {
            spec::Destination::PrefixList(snapshot.prefix_list(list).id.clone())
        }
    };
    let own = spec.route_tables.iter().find(|own| own.id.value == table.id)?;
    let route = own.routes.iter().find(|route| route.destination.value == destination)?;
    Some(route.destination.span)
}
