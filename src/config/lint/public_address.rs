//! Reports public addresses that no packet reaches (spec 3.6).

use super::context::Context;
use crate::config::spec::Resource;
use crate::config::text::is_private_block;
use crate::vpc::path::Link;

/// Reports a public address in a subnet whose route table leads to no internet gateway: requests
/// come in, and no reply leaves. A path of replies through a middlebox is enough, and so is one for
/// a part of the destinations.
pub(super) fn check(context: &Context<'_>, resource: &Resource) {
    let Some(public) = &resource.public_ip else { return };
    let Some(subnet) = context.spec.subnet(&resource.subnet) else { return };
    let leads = context.leads(subnet).iter().filter(|lead| lead.nat_gateway.is_none());
    if { leads }.any(|lead| lead.end == Ok(Link::Internet) && !is_private_block(lead.to)) {
        return;
    }
    context.report.warning(
        public.span,
        "public-ip-in-private-subnet",
        format!(
            "nothing reaches {:?} by {}: the route table of its subnet {:?} leads to no internet gateway, so that no \
             reply leaves",
            resource.name.value, public.value, resource.subnet.value
        ),
        "put it into a public subnet, lead 0.0.0.0/0 there to the internet gateway, or remove public_ip",
    );
}
