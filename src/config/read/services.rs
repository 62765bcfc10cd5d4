//! Reads `[[vpc_connector]]` and `[[service]]`.

use crate::config::diagnostic::At;
use crate::config::form;
use crate::config::key::{Condition, Key, Table, Type, When, words};
use crate::config::names::ObjectKind;
use crate::config::reader::Section;
use crate::config::spec::{Connector, Service, Spec};
use crate::config::text;
use crate::vpc::ServiceKind;

pub(super) static CONNECTOR: Table = Table::new(
    "[[vpc_connector]]",
    &[
        Key::required("name", Type::Text(form::APP_RUNNER_NAME), "The connector's name."),
        Key::required(
            "subnets",
            Type::filled_distinct(&Type::Text(form::REFERENCE)),
            "The ids of its subnets, all of one VPC in the lab's region.",
        ),
        Key::optional(
            "security_groups",
            Type::distinct(&Type::Text(form::REFERENCE)),
            "The ids of its security groups; the VPC's default group if absent.",
        ),
    ],
);

pub(super) fn connector(section: &Section<'_>) -> Option<Connector> {
    let name = section.required("name").and_then(|v| v.parse(text::apprunner_name));
    section.required("subnets");
    let (subnets, security_groups) = network(section, "a VPC connector");
    let (kind, line) = (ServiceKind::AppRunner, section.line());
    let connector = Connector { name: name?, kind, subnets, security_groups, line };
    (!connector.subnets.is_empty()).then_some(connector)
}

/// Reads subnets, at least one if the key is given, and groups.
fn network(section: &Section<'_>, what: &str) -> (Vec<At<String>>, Vec<At<String>>) {
    let given = section.get("subnets");
    if let Some(given) = given.filter(|given| given.elements().is_empty()) {
        given.error("empty-list", format!("{what} needs a subnet"), "name at least one subnet");
    }
    let subnets = section.references("subnets", &[ObjectKind::Subnet]);
    (subnets, section.references("security_groups", &[ObjectKind::SecurityGroup]))
}

pub(super) static SERVICE: Table = Table::new(
    "[[service]]",
    &[
        Key::required("name", Type::Text(form::APP_RUNNER_NAME), "The service's name."),
        Key::optional(
            "kind",
            Type::Words(&words(&KINDS)),
            "What runs its tasks, which decides the ENIs that they leave by; apprunner if absent.",
        ),
        Key::optional(
            "egress",
            Type::Words(&words(&EGRESS)),
            "Whether an App Runner service leaves by its VPC connector or by App Runner's own public \
             egress.",
        ),
        Key::optional(
            "vpc_connector",
            Type::Text(form::REFERENCE),
            "The name of its VPC connector.",
        ),
        Key::optional(
            "subnets",
            Type::filled_distinct(&Type::Text(form::REFERENCE)),
            "The ids of the subnets of a Lambda function or a Fargate service.",
        ),
        Key::optional(
            "security_groups",
            Type::distinct(&Type::Text(form::REFERENCE)),
            "The ids of the security groups of a Lambda function or a Fargate service, with subnets.",
        ),
        Key::optional(
            "assign_public_ip",
            Type::Boolean,
            "Whether each task of a Fargate service gets a public address; false if absent.",
        ),
        Key::optional("tasks", Type::Integer(0, 1000), "How many tasks there are; 1 if absent."),
    ],
)
.with(&[
    Condition::when(When::Is("egress", &["vpc"])).needs(&["vpc_connector"]),
    Condition::when(When::Is("egress", &["default"])).refuses(&["vpc_connector"]),
    Condition::when(When::IsOrAbsent("kind", &["apprunner"])).refuses(&[
        "subnets",
        "security_groups",
        "assign_public_ip",
    ]),
    Condition::when(When::Is("kind", &["lambda"])).refuses(&["egress", "assign_public_ip"]),
    Condition::when(When::Is("kind", &["fargate"]))
        .needs_one_of(&["subnets", "vpc_connector"])
        .refuses(&["egress"]),
]);

const KINDS: [(&str, ServiceKind); 3] = [
    (ServiceKind::AppRunner.as_str(), ServiceKind::AppRunner),
    (ServiceKind::Lambda.as_str(), ServiceKind::Lambda),
    (ServiceKind::Fargate.as_str(), ServiceKind::Fargate),
];

/// Whether a service with this egress leaves by its VPC connector.
const EGRESS: [(&str, bool); 2] = [("vpc", true), ("default", false)];

/// The network that a service leaves by.
pub(super) enum Network {
    /// The connector that it names, or none.
    AsNamed,
    /// Subnets and groups of its own.
    Own(Connector),
    /// Interfaces of its own in the subnets of this connector, with its groups.
    OfConnector(At<String>),
}

/// Reads a service, and its network.
pub(super) fn service(section: &Section<'_>) -> Option<(Service, Network)> {
    let name = section.required("name").and_then(|v| v.parse(text::apprunner_name));
    let kind = section.get("kind").and_then(|v| v.one_of(&KINDS));
    let kind = kind.map(|at| at.value).unwrap_or_default();
    let tasks = section.get("tasks").and_then(|v| v.integer());
    let named = section.optional_reference("vpc_connector", &[ObjectKind::Connector]);
    only_for_their_kinds(section, kind);
    let network = match kind {
        ServiceKind::AppRunner => {
            egress(section, named.as_ref());
            Some(Network::AsNamed)
        }
        ServiceKind::Lambda | ServiceKind::Fargate => {
            own_network(section, kind, name.as_ref()?, named.as_ref())
        }
    };
    let name = name?;
    let vpc_connector = match &network {
        None | Some(Network::AsNamed) => named,
        Some(Network::Own(_) | Network::OfConnector(_)) => Some(own_name(kind, &name)),
    };
    let service = Service {
        name,
        kind,
        vpc_connector,
        assign_public_ip: section.get("assign_public_ip").and_then(|v| v.boolean()),
        tasks: tasks.map_or(1, |tasks| u16::try_from(*tasks).unwrap_or(u16::MAX)),
        line: section.line(),
    };
    Some((service, network?))
}

/// Returns the name of a service's own connector. No declared connector can have it: their names
/// have no slash.
fn own_name(kind: ServiceKind, service: &At<String>) -> At<String> {
    At { value: format!("{}/{}", kind.as_str(), service.value), span: service.span }
}

/// Checks that `egress` of an App Runner service agrees with its connector.
fn egress(section: &Section<'_>, vpc_connector: Option<&At<String>>) {
    let through_vpc = section.get("egress").and_then(|v| v.one_of(&EGRESS));
    match (through_vpc, vpc_connector) {
        (Some(egress), None) if *egress && section.get("vpc_connector").is_none() => {
            section.reader.report.error(
                egress.span,
                "egress-without-connector",
                "egress = \"vpc\" needs a VPC connector",
                "add vpc_connector, or write egress = \"default\"",
            );
        }
        (Some(egress), Some(connector)) if !*egress => section.reader.report.error(
            connector.span,
            "connector-without-egress",
            "a VPC connector is only valid with egress = \"vpc\"",
            "write egress = \"vpc\", or remove vpc_connector",
        ),
        _ => {}
    }
}

/// Reports keys that have no meaning for a service of this kind.
fn only_for_their_kinds(section: &Section<'_>, kind: ServiceKind) {
    let refused: &[(&'static str, &str)] = match kind {
        ServiceKind::AppRunner => &[
            ("subnets", "name a [[vpc_connector]], which has them"),
            ("security_groups", "name a [[vpc_connector]], which has them"),
            (
                "assign_public_ip",
                "an App Runner service leaves by shared ENIs, without public addresses",
            ),
        ],
        ServiceKind::Lambda => &[
            (
                "egress",
                "a function with subnets leaves by its VPC, one without by Lambda's own network",
            ),
            ("assign_public_ip", "a function leaves by shared ENIs, without public addresses"),
        ],
        ServiceKind::Fargate => &[("egress", "a Fargate task always leaves by its ENI in the VPC")],
    };
    for (key, why) in refused {
        if let Some(value) = section.get(key) {
            let message = format!("`{key}` is not for kind = \"{}\"", kind.as_str());
            value.error("not-of-this-kind", message, format!("remove it: {why}"));
        }
    }
}

/// Reads the network configuration of a Lambda function or a Fargate service; `None` if it is
/// broken.
fn own_network(
    section: &Section<'_>,
    kind: ServiceKind,
    service: &At<String>,
    named: Option<&At<String>>,
) -> Option<Network> {
    let what = match kind {
        ServiceKind::AppRunner | ServiceKind::Lambda => "a Lambda function in a VPC",
        ServiceKind::Fargate => "a Fargate service",
    };
    let (subnets, security_groups) = network(section, what);
    let groups = section.get("security_groups");
    match (named, section.get("subnets").or(groups)) {
        (Some(connector), Some(given)) => {
            let message =
                format!("subnets and groups are those of connector {:?} already", connector.value);
            given.error("two-networks", message, "give them, or vpc_connector, but not both");
            None
        }
        (Some(connector), None) => Some(Network::OfConnector(connector.clone())),
        (None, Some(_)) if !subnets.is_empty() => {
            let (name, line) = (own_name(kind, service), section.line());
            Some(Network::Own(Connector { name, kind, subnets, security_groups, line }))
        }
        (None, Some(_)) | (None, None) if kind == ServiceKind::Fargate => {
            if section.get("subnets").is_none() {
                section.reader.report.error(
                    section.span,
                    "missing-key",
                    "a Fargate service needs the key `subnets`: each of its tasks has a network interface",
                    "add `subnets = [\"…\"]` with ids of [[subnet]] sections, or vpc_connector for those of a connector",
                );
            }
            None
        }
        (None, Some(given)) => {
            if section.get("subnets").is_none() {
                let message = "security groups are for network interfaces, which are in subnets";
                given.error("groups-without-subnets", message, "add subnets, or remove this");
            }
            None
        }
        (None, None) => Some(Network::AsNamed),
    }
}

/// Adds the services, and their own networks to the connectors.
pub(super) fn add(spec: &mut Spec, read: Vec<(Service, Network)>) {
    for (service, network) in read {
        let own = match network {
            Network::AsNamed => None,
            Network::Own(connector) => Some(connector),
            Network::OfConnector(named) => spec.connector(&named).map(|connector| Connector {
                name: own_name(service.kind, &service.name),
                kind: service.kind,
                line: service.line,
                ..connector.clone()
            }),
        };
        spec.connectors.extend(own);
        spec.services.push(service);
    }
}
