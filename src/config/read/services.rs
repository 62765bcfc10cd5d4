//! `[[vpc_connector]]` and `[[service]]`.

use crate::config::names::Kind;
use crate::config::reader::Section;
use crate::config::spec::{Connector, Service};
use crate::config::text;

pub(super) const CONNECTOR: [&str; 3] = ["name", "subnets", "security_groups"];

pub(super) fn connector(section: &Section<'_>) -> Option<Connector> {
    let name = section.required("name").and_then(|v| v.parse(text::apprunner_name));
    let given = section.required("subnets");
    let subnets = section.references("subnets", &[Kind::Subnet]);
    let security_groups = section.references("security_groups", &[Kind::SecurityGroup]);
    if let Some(given) = given.filter(|given| given.elements().is_empty()) {
        given.error("empty-list", "a VPC connector needs a subnet", "name at least one subnet");
    }
    let line = section.line();
    let connector = Connector { name: name?, subnets, security_groups, line };
    (!connector.subnets.is_empty()).then_some(connector)
}

pub(super) const SERVICE: [&str; 4] = ["name", "egress", "vpc_connector", "tasks"];

pub(super) fn service(section: &Section<'_>) -> Option<Service> {
    let name = section.required("name").and_then(|v| v.parse(text::apprunner_name));
    let through_vpc =
        section.get("egress").and_then(|v| v.one_of(&[("vpc", true), ("default", false)]));
    let vpc_connector = section.optional_reference("vpc_connector", &[Kind::Connector]);
    let tasks = section.get("tasks").and_then(|v| v.integer_in(0, 1000));
    match (through_vpc, &vpc_connector) {
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
    Some(Service {
        name: name?,
        vpc_connector,
        tasks: tasks.map_or(1, |tasks| u16::try_from(*tasks).unwrap_or(u16::MAX)),
        line: section.line(),
    })
}
