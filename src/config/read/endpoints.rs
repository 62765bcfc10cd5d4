//! `[[resource]]` and `[[internet_host]]`: what a task may want to reach.

use crate::config::diagnostic::At;
use crate::config::names::Kind;
use crate::config::reader::Section;
use crate::config::spec::{InternetHost, Resource};
use crate::config::text;
use crate::vpc::Listen;

pub(super) const RESOURCE: [&str; 8] = [
    "name",
    "aliases",
    "subnet",
    "address",
    "security_groups",
    "listen",
    "network_interface",
    "source_dest_check",
];

pub(super) fn resource(section: &Section<'_>) -> Option<Resource> {
    let name = section.word("name");
    let subnet = section.reference("subnet", &[Kind::Subnet]);
    let address = section.required("address").and_then(|v| v.parse(text::address));
    let security_groups = section.references("security_groups", &[Kind::SecurityGroup]);
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
        subnet: subnet?,
        address: address?,
        security_groups,
        listen,
        line: section.line(),
    })
}

pub(super) const INTERNET_HOST: [&str; 4] = ["name", "aliases", "address", "listen"];

pub(super) fn internet_host(section: &Section<'_>) -> Option<InternetHost> {
    let name = section.word("name");
    let address = section.required("address").and_then(|v| v.parse(text::host_address));
    let listen = listen(section);
    let aliases = aliases(section);
    Some(InternetHost { name: name?, aliases, address: address?, listen, line: section.line() })
}

/// Further names that the resolver has.
fn aliases(section: &Section<'_>) -> Vec<String> {
    let names = section.list("aliases", |v| v.parse(text::dns_name));
    names.into_iter().map(|at| at.value).collect()
}

pub(super) fn listen(section: &Section<'_>) -> Vec<Listen> {
    let given: Vec<At<Listen>> = section.list("listen", |v| v.parse(text::listen));
    for (position, listen) in given.iter().enumerate() {
        if given.iter().take(position).any(|earlier| earlier.value == listen.value) {
            section.reader.report.error(
                listen.span,
                "repeated",
                "this port is in the list already",
                "name it once",
            );
        }
    }
    given.into_iter().map(|at| at.value).collect()
}
