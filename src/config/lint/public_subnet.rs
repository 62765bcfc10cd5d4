//! Reports subnets of a connector whose packets reach an internet gateway (spec 3.6).

use super::context::Context;
use crate::config::diagnostic::At;
use crate::config::spec::{Connector, Subnet};
use crate::vpc::ServiceKind;
use crate::vpc::path::{Lead, Link};

const PRIVATE: &str = "use a private subnet, whose route table leads to a NAT gateway";

pub(super) fn check(context: &Context<'_>, connector: &Connector) {
    if !public_addresses(context, connector) {
        without_public_addresses(context, connector);
    }
}

/// Returns the first lead of a subnet to an internet gateway, without a NAT gateway.
fn to_internet_gateway<'c>(context: &'c Context<'_>, subnet: &Subnet) -> Option<&'c Lead> {
    let untranslated = context.leads(subnet).iter().filter(|lead| lead.nat_gateway.is_none());
    let mut out = untranslated.filter(|lead| lead.end == Ok(Link::Internet));
    // The simplest first.
    out.clone().find(|lead| lead.middlebox.is_none()).or_else(|| out.next())
}

/// Decides whether a connector is of Fargate tasks with public addresses, which are useful with an
/// internet gateway.
fn public_addresses(context: &Context<'_>, connector: &Connector) -> bool {
    let Context { spec, report, .. } = context;
    let own = spec.services.iter().find(|service| {
        service.vpc_connector.as_ref().is_some_and(|named| **named == *connector.name)
    });
    let Some(assigned) = own.and_then(|service| service.assign_public_ip.as_ref()) else {
        return false;
    };
    let without = |id: &&At<String>| {
        spec.subnet(id).is_some_and(|subnet| to_internet_gateway(context, subnet).is_none())
    };
    if let (true, Some(subnet)) = (**assigned, connector.subnets.iter().find(without)) {
        report.warning(
            assigned.span,
            "public-address-without-way",
            format!(
                "the public addresses of {} are of no use in {:?}, whose route table leads to no internet gateway",
                connector.title(),
                subnet.value
            ),
            "use public subnets, or leave assign_public_ip out",
        );
    }
    **assigned
}

/// Reports subnets in which an internet gateway drops all packets of an ENI without a public
/// address.
fn without_public_addresses(context: &Context<'_>, connector: &Connector) {
    for id in &connector.subnets {
        let subnet = context.spec.subnet(id);
        if let Some(lead) = subnet.and_then(|subnet| to_internet_gateway(context, subnet)) {
            trap(context, connector, id, lead);
        }
    }
}

fn trap(context: &Context<'_>, connector: &Connector, id: &At<String>, lead: &Lead) {
    // Without a line to show, the message names the connector.
    let whose = match connector.line {
        0 => format!(", of VPC connector {:?},", connector.name.value),
        _ => String::new(),
    };
    let what = match lead.middlebox {
        None => "is a public subnet",
        Some(_) => "leads to the internet gateway through a middlebox",
    };
    let (whose_interface, help) = match connector.kind {
        ServiceKind::AppRunner => {
            ("a connector's network interface, which has no public address", PRIVATE)
        }
        ServiceKind::Lambda => {
            ("a function's network interface, which has no public address", PRIVATE)
        }
        ServiceKind::Fargate => (
            "a Fargate task without a public address",
            "set assign_public_ip = true, or use a private subnet, whose route table leads to a NAT gateway",
        ),
    };
    context.report.warning(
        id.span,
        "public-subnet-in-connector",
        format!(
            "{:?}{whose} {what}: tasks get no internet there, because the internet gateway drops what comes from \
             {whose_interface}",
            id.value
        ),
        help,
    );
}
