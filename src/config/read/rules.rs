//! Reads `[[security_group]]` and `[[network_acl]]`: the traffic fields that their rules share, and
//! their own fields.

use super::name_tag::NAME_TAG;
use crate::config::diagnostic::At;
use crate::config::form;
use crate::config::key::{Condition, Key, Table, Type, When, words};
use crate::config::names::ObjectKind;
use crate::config::reader::{Section, Value};
use crate::config::spec::{AclRule, NetworkAcl, Peer, SecurityGroup, SecurityGroupRule};
use crate::config::text;
use crate::packet::Protocol;
use crate::vpc::{AclAction, Direction, IcmpMatch, PortMatch, ProtocolMatch, TrafficMatch};

pub(super) static GROUP: Table = Table::new(
    "[[security_group]]",
    &[
        Key::required("id", Type::Text(form::ID), "The security group's id."),
        NAME_TAG,
        Key::required("vpc", Type::Text(form::REFERENCE), "The id of its VPC."),
        Key::optional(
            "default",
            Type::Boolean,
            "Whether this is the VPC's default group; false if absent.",
        ),
        Key::optional(
            "egress",
            Type::Tables(&EGRESS_RULE),
            "What it lets out: everything if absent, nothing if empty.",
        ),
        Key::optional(
            "ingress",
            Type::Tables(&INGRESS_RULE),
            "What it lets in: nothing if absent.",
        ),
    ],
);

static EGRESS_RULE: Table = Table::new(
    "an egress rule of a security group",
    &[
        Key::required(
            "to",
            Type::list(&Type::Text(form::PEER)),
            "The destinations: CIDR blocks, and ids of security groups and prefix lists.",
        ),
        PROTOCOL,
        PORTS,
        ICMP_TYPE,
        ICMP_CODE,
    ],
)
.with(&TRAFFIC);

static INGRESS_RULE: Table = Table::new(
    "an ingress rule of a security group",
    &[
        Key::required(
            "from",
            Type::list(&Type::Text(form::PEER)),
            "The sources: CIDR blocks, and ids of security groups and prefix lists.",
        ),
        PROTOCOL,
        PORTS,
        ICMP_TYPE,
        ICMP_CODE,
    ],
)
.with(&TRAFFIC);

const PROTOCOL: Key = Key::required(
    "protocol",
    Type::TextOrInteger(form::PROTOCOL, (-1, 255)),
    "The protocol: tcp, udp, icmp, all (or -1), or a protocol number.",
);

const PORTS: Key = Key::optional(
    "ports",
    Type::TextOrInteger(form::PORTS, (0, 65_535)),
    "The destination ports of TCP and UDP: one, a range such as 1024-65535, or all.",
);

const ICMP_TYPE: Key =
    Key::optional("icmp_type", Type::Integer(-1, 255), "The ICMP type; -1, if absent, is any.");

const ICMP_CODE: Key = Key::optional(
    "icmp_code",
    Type::Integer(-1, 255),
    "The ICMP code, which needs a type; -1, if absent, is any.",
);

/// What [`traffic`] asks for.
static TRAFFIC: [Condition; 2] = [
    Condition::when(When::IsOrNumber("protocol", &["tcp", "udp", "6", "17"], &[6, 17]))
        .needs(&["ports"])
        .refuses(&["icmp_type", "icmp_code"]),
    Condition::when(When::IsOrNumber("protocol", &["icmp", "1"], &[1])).refuses(&["ports"]),
];

pub(super) fn security_group(section: &Section<'_>) -> Option<SecurityGroup> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[ObjectKind::Vpc]);
    let default = section.get("default").and_then(|v| v.boolean());
    let egress = section.get("egress").map(|v| group_rules(&v, Direction::Egress));
    let ingress = section.get("ingress").map(|v| group_rules(&v, Direction::Ingress));
    Some(SecurityGroup {
        id: id?,
        vpc: vpc?,
        default,
        egress,
        ingress: ingress.unwrap_or_default(),
        line: section.line(),
    })
}

fn group_rules(value: &Value<'_>, direction: Direction) -> Vec<SecurityGroupRule> {
    let peer = match direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    value.tables().iter().flat_map(|section| group_rule(section, peer)).collect()
}

fn group_rule(section: &Section<'_>, key: &'static str) -> Vec<SecurityGroupRule> {
    let traffic = traffic(section);
    let peers = match section.required(key) {
        Some(value) => value.elements(),
        None => Vec::new(),
    };
    let peers: Vec<_> = peers.iter().filter_map(|value| peer(section, value)).collect();
    let rule = |peer| Some(SecurityGroupRule { traffic: traffic?, peer, line: section.line() });
    peers.into_iter().filter_map(rule).collect()
}

fn peer(section: &Section<'_>, value: &Value<'_>) -> Option<At<Peer>> {
    let text = value.string()?;
    let kinds = [ObjectKind::SecurityGroup, ObjectKind::PrefixList];
    match section.reader.names.kind_of(&kinds, &text) {
        Some(ObjectKind::PrefixList) => Some(text.map(Peer::PrefixList)),
        Some(_) => Some(text.map(Peer::SecurityGroup)),
        None if super::routing::looks_like_address(&text) => Some(value.cidr()?.map(Peer::Cidr)),
        None => {
            section.reader.names.report_dangling(section.reader.report, &text, &kinds);
            None
        }
    }
}

pub(super) static ACL: Table = Table::new(
    "[[network_acl]]",
    &[
        Key::required("id", Type::Text(form::ID), "The network ACL's id."),
        NAME_TAG,
        Key::required("vpc", Type::Text(form::REFERENCE), "The id of its VPC."),
        Key::optional(
            "egress",
            Type::Tables(&ACL_RULE),
            "Its rules for packets out of the subnet; without one that matches, they are denied.",
        ),
        Key::optional(
            "ingress",
            Type::Tables(&ACL_RULE),
            "Its rules for packets into the subnet; without one that matches, they are denied.",
        ),
    ],
);

static ACL_RULE: Table = Table::new(
    "a rule of a network ACL",
    &[
        Key::required(
            "rule",
            Type::Integer(1, 32_766),
            "The rule's number, once per direction; the matching rule with the lowest one decides.",
        ),
        Key::required("action", Type::Words(&words(&ACTIONS)), "What the rule does."),
        PROTOCOL,
        PORTS,
        ICMP_TYPE,
        ICMP_CODE,
        Key::required("cidr", Type::Text(form::CIDR), "The remote side."),
    ],
)
.with(&TRAFFIC);

const ACTIONS: [(&str, AclAction); 2] = [("allow", AclAction::Allow), ("deny", AclAction::Deny)];

pub(super) fn network_acl(section: &Section<'_>) -> Option<NetworkAcl> {
    let id = section.word("id");
    let vpc = section.reference("vpc", &[ObjectKind::Vpc]);
    let rules = |key| -> Vec<AclRule> {
        let rules = section.get(key).map(|v| v.tables());
        rules.unwrap_or_default().iter().filter_map(acl_rule).collect()
    };
    let (egress, ingress) = (rules("egress"), rules("ingress"));
    Some(NetworkAcl { id: id?, vpc: vpc?, egress, ingress, line: section.line() })
}

fn acl_rule(section: &Section<'_>) -> Option<AclRule> {
    let number = section.required("rule").and_then(|v| v.integer());
    let action = section.required("action").and_then(|v| v.one_of(&ACTIONS));
    let traffic = traffic(section);
    let cidr = section.required("cidr").and_then(|v| v.cidr());
    Some(AclRule {
        number: number?.map(|number| u16::try_from(number).unwrap_or(u16::MAX)),
        action: action?.value,
        traffic: traffic?,
        cidr: cidr?.value,
        line: section.line(),
    })
}

/// Reads protocol, ports and ICMP fields, each if the protocol has them (spec 4.1, 5).
fn traffic(section: &Section<'_>) -> Option<TrafficMatch> {
    let protocol = section.required("protocol")?.parse_number_too(text::protocol)?;
    let ports = section.get("ports");
    let icmp_type = section.get("icmp_type");
    let icmp_code = section.get("icmp_code");
    match *protocol {
        ProtocolMatch::Is(Protocol::Tcp | Protocol::Udp) => {
            let extra: Vec<_> = icmp_type.into_iter().chain(icmp_code).collect();
            for field in &extra {
                field.error(
                    "icmp-field",
                    "TCP and UDP have no ICMP type or code",
                    "use ports here, or protocol = \"icmp\"",
                );
            }
            let ports = section.required("ports")?.parse_number_too(text::ports)?;
            let traffic = TrafficMatch { ports: *ports, ..plain(*protocol) };
            extra.is_empty().then_some(traffic)
        }
        ProtocolMatch::Is(Protocol::Icmp) => {
            let icmp = icmp(icmp_type, icmp_code);
            if let Some(ports) = ports {
                ports.error(
                    "icmp-field",
                    "ICMP has no ports",
                    "write icmp_type and icmp_code (-1 is any), or nothing for all of ICMP",
                );
                return None;
            }
            Some(TrafficMatch { icmp: icmp?, ..plain(*protocol) })
        }
        ProtocolMatch::All | ProtocolMatch::Is(Protocol::Other(_)) => {
            for field in [ports, icmp_type, icmp_code].into_iter().flatten() {
                section.reader.report.warning(
                    field.span,
                    "ignored-field",
                    "AWS ignores this: with a protocol other than tcp, udp and icmp all traffic matches",
                    "remove it, or name the protocol",
                );
            }
            Some(plain(*protocol))
        }
    }
}

fn plain(protocol: ProtocolMatch) -> TrafficMatch {
    TrafficMatch { protocol, ports: PortMatch::ALL, icmp: IcmpMatch::ALL }
}

fn icmp(icmp_type: Option<Value<'_>>, icmp_code: Option<Value<'_>>) -> Option<IcmpMatch> {
    // -1 is any; an absent field is the same.
    let field = |value: Option<Value<'_>>| match value {
        Some(value) => value.integer().map(|at| u8::try_from(*at).ok()),
        None => Some(None),
    };
    let (icmp_type, code) = (field(icmp_type)?, field(icmp_code)?);
    match (icmp_type, code, icmp_code) {
        (None, Some(_), Some(value)) => {
            value.error(
                "icmp-field",
                "an ICMP code means nothing without a type",
                "give icmp_type too, or leave both out for all of ICMP",
            );
            None
        }
        _ => Some(IcmpMatch { icmp_type, code }),
    }
}
