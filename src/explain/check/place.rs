//! Places in the lab file of the rules that decide.

use crate::config::Span;
use crate::config::spec::{self, Spec};
use crate::vpc::{Destination, Direction, NetworkAclIx, RuleRef, Snapshot};

/// Returns the place of a rule; [`Span::NOWHERE`] if it stands in no file.
pub(super) fn of_rule(rule: RuleRef, spec: &Spec, snapshot: &Snapshot) -> Span {
    let found = match rule {
        RuleRef::SecurityGroupRule(group, direction, position) => {
            let id = &snapshot.security_group(group).id;
            let own = spec.security_groups.iter().find(|own| own.id.value == *id);
            let rules = own.and_then(|own| match direction {
                Direction::Egress => own.egress.as_ref(),
                Direction::Ingress => Some(&own.ingress),
            });
            let rule = rules.and_then(|rules| rules.get(usize::from(position)));
            rule.map(|rule| rule.peer.span)
        }
        RuleRef::NetworkAclRule(acl, direction, position, _) => {
            let rules = snapshot.network_acl(acl).rules(direction);
            let number = rules.get(usize::from(position)).map(|rule| rule.number);
            let rules = acl_of(acl, spec, snapshot).map(|own| match direction {
                Direction::Egress => &own.egress,
                Direction::Ingress => &own.ingress,
            });
            let mut rules = rules.into_iter().flatten();
            rules.find(|rule| Some(*rule.number) == number).map(|rule| rule.number.span)
        }
        RuleRef::NetworkAclImplicitDeny(acl, ..) => {
            acl_of(acl, spec, snapshot).map(|own| own.id.span)
        }
        RuleRef::Route(table, position) => {
            let table = snapshot.route_table(table);
            let route = table.routes.get(usize::from(position));
            let mut own = spec.route_tables.iter().filter(|own| own.id.value == table.id);
            let routes = own.next().map(|own| &own.routes);
            let mut routes = routes.into_iter().flatten();
            let is_it = |own: &&spec::Route| match (&own.destination.value, route) {
                (spec::Destination::Cidr(network), Some(route)) => {
                    route.destination == Destination::Cidr(*network)
                }
                (spec::Destination::PrefixList(_), _) | (_, None) => false,
            };
            routes.find(is_it).map(|own| own.destination.span)
        }
        _ => None,
    };
    found.unwrap_or(Span::NOWHERE)
}

fn acl_of<'s>(
    acl: NetworkAclIx,
    spec: &'s Spec,
    snapshot: &Snapshot,
) -> Option<&'s spec::NetworkAcl> {
    let id = &snapshot.network_acl(acl).id;
    spec.network_acls.iter().find(|own| own.id.value == *id)
}
