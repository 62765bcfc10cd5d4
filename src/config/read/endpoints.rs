//! Reads `[[resource]]` and `[[internet_host]]`: destinations of tasks.

use super::listen::{LISTEN, listen};
use crate::config::form;
use crate::config::key::{Condition, Key, Table, Type, When};
use crate::config::names::ObjectKind;
use crate::config::reader::Section;
use crate::config::spec::{InternetHost, Resource};
use crate::config::text;

pub(super) static RESOURCE: Table = Table::new(
    "[[resource]]",
    &[
        Key::required("name", Type::Text(form::ID), "A name that the resolver of its VPC knows."),
        ALIASES,
        Key::optional(
            "public_dns_name",
            Type::Boolean,
            "Whether its aliases resolve in every VPC and outside, as AWS's names of databases do; \
             false if absent.",
        ),
        Key::required("subnet", Type::Text(form::REFERENCE), "The id of its subnet."),
        Key::required("address", Type::Text(form::ADDRESS), "Its address in the subnet."),
        Key::optional(
            "public_ip",
            Type::Text(form::PUBLIC_ADDRESS),
            "The public address that the VPC's internet gateway maps to its own.",
        ),
        Key::optional(
            "security_groups",
            Type::distinct(&Type::Text(form::REFERENCE)),
            "The ids of its security groups; the VPC's default group if absent.",
        ),
        Key::optional("listen", LISTEN, "Where it answers, such as 5432/tcp or 443/https."),
        Key::optional(
            "network_interface",
            Type::Text(form::ID),
            "An id by which a route leads through it, such as eni-fw.",
        ),
        Key::optional(
            "source_dest_check",
            Type::Boolean,
            "Whether packets that are routed through its network interface are dropped; true if \
             absent.",
        ),
    ],
)
.with(&[
    Condition::when(When::True("public_dns_name")).needs(&["aliases"]),
    Condition::when(When::Given("source_dest_check")).needs(&["network_interface"]),
]);

const ALIASES: Key =
    Key::optional("aliases", Type::list(&Type::Text(form::DNS_NAME)), "Further names of it.");

pub(super) fn resource(section: &Section<'_>) -> Option<Resource> {
    let name = section.word("name");
    let subnet = section.reference("subnet", &[ObjectKind::Subnet]);
    let address = section.required("address").and_then(|v| v.parse(text::address));
    let public_ip = section.get("public_ip").and_then(|v| v.parse(text::public_address));
    let security_groups = section.references("security_groups", &[ObjectKind::SecurityGroup]);
    let listen = listen(section);
    let network_interface = section.get("network_interface").and_then(|v| v.parse(text::word));
    let source_dest_check = section.get("source_dest_check").and_then(|v| v.boolean());
    if let (None, Some(check)) = (&network_interface, &source_dest_check) {
        section.reader.report.error(
            check.span,
            "check-without-interface",
            "no route leads through this resource, so there is nothing to check",
            "give it network_interface = \"eni-...\", and name that as a route's target",
        );
    }
    Some(Resource {
        network_interface,
        source_dest_check,
        name: name?,
        aliases: aliases(section),
        public_dns_name: public_dns_name(section),
        subnet: subnet?,
        address: address?,
        public_ip,
        security_groups,
        listen,
        line: section.line(),
    })
}

pub(super) static INTERNET_HOST: Table = Table::new(
    "[[internet_host]]",
    &[
        Key::required("name", Type::Text(form::ID), "A name that every resolver knows."),
        ALIASES,
        Key::required(
            "address",
            Type::Text(form::ADDRESS),
            "Its address, best of a documentation range such as 203.0.113.0/24.",
        ),
        Key::optional("listen", LISTEN, "Where it answers, such as 443/https."),
    ],
);

pub(super) fn internet_host(section: &Section<'_>) -> Option<InternetHost> {
    let name = section.word("name");
    let address = section.required("address").and_then(|v| v.parse(text::host_address));
    let listen = listen(section);
    let aliases = aliases(section);
    Some(InternetHost { name: name?, aliases, address: address?, listen, line: section.line() })
}

/// Reads whether the aliases are in the public DNS, as AWS's names of managed databases and caches
/// are.
fn public_dns_name(section: &Section<'_>) -> bool {
    let public = section.get("public_dns_name").and_then(|v| v.boolean());
    let Some(public) = public.filter(|public| public.value) else { return false };
    if section.get("aliases").is_none_or(|names| names.elements().is_empty()) {
        section.reader.report.error(
            public.span,
            "public-name-without-alias",
            "this resource has no alias, so it has no name that could be public",
            "write the name that AWS gives it, such as \
             aliases = [\"orders.c1x2y3.us-east-1.rds.amazonaws.com\"]",
        );
    }
    true
}

/// Reads the further names of the resolver.
fn aliases(section: &Section<'_>) -> Vec<String> {
    let names = section.list("aliases", |v| v.parse(text::dns_name));
    names.into_iter().map(|at| at.value).collect()
}
