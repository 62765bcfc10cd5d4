//! `pmtu-blocked`: packets may be too large for the next link, and a network ACL stops the message
//! that says so.

use super::super::names::decided_by;
use super::place;
use super::view::Subject;
use crate::config::LabFinding;
use crate::pipeline::reach::{Class, fragmentation_needed};
use crate::pipeline::{Component, Denial, Outcome, Stage};
use crate::vpc::{EniIx, NatGatewayIx};

/// Finds the NAT gateways whose answers to large packets do not come back, each ACL that stops them
/// once.
///
/// Only the link to the internet may have a smaller MTU than that of a task, and only a NAT gateway
/// answers from behind an ACL: an ENI's own answers cross none.
pub(super) fn find(subject: &Subject<'_>) -> Vec<LabFinding> {
    let mtu = subject.view.snapshot().parts().mtu;
    if mtu.internet >= mtu.task {
        return Vec::new();
    }
    let mut known: Vec<(NatGatewayIx, EniIx)> = Vec::new();
    let mut found: Vec<(Denial, LabFinding)> = Vec::new();
    for class in subject.view.classes().filter(|class| is_to_internet(class)) {
        let gateways = class.gateway_addresses.iter().map(|own| own.gateway);
        for (gateway, (eni, _)) in
            gateways.flat_map(|gateway| class.eni_addresses.iter().map(move |eni| (gateway, eni)))
        {
            if known.contains(&(gateway, *eni)) {
                continue;
            }
            known.push((gateway, *eni));
            let Some(denial) = stopped(subject, class, (gateway, *eni)) else { continue };
            if found
                .iter()
                .all(|(own, _)| place::acl(own.decided_by) != place::acl(denial.decided_by))
            {
                found.push((denial, finding(subject, denial, (gateway, *eni))));
            }
        }
    }
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// Decides whether packets of a class pass, and leave by the link to the internet.
fn is_to_internet(class: &Class) -> bool {
    let mut steps = class.sample.steps.iter();
    let delivered = steps.find(|step| step.outcome == Outcome::Deliver);
    class.passes() && delivered.is_some_and(|step| step.component == Component::Internet)
}

/// Returns the denial by the ACL that stops the gateway's message on its path to the task.
fn stopped(
    subject: &Subject<'_>,
    class: &Class,
    (gateway, eni): (NatGatewayIx, EniIx),
) -> Option<Denial> {
    let view = subject.view;
    let denial = fragmentation_needed(view.snapshot(), class, (view.service, eni), gateway)?;
    (denial.reason.stage() == Stage::NetworkAclReturn).then_some(denial)
}

fn finding(
    subject: &Subject<'_>,
    denial: Denial,
    (gateway, eni): (NatGatewayIx, EniIx),
) -> LabFinding {
    let view = subject.view;
    let (snapshot, mtu) = (view.snapshot(), view.snapshot().parts().mtu);
    let message = format!(
        "packets of {} over {} bytes are dropped on their way to the internet, and it hears nothing: {} ({}) stops the ICMP \
         message (type 3, code 4) of NAT gateway {:?} to {:?}",
        subject.title(),
        mtu.internet,
        decided_by(denial.decided_by, snapshot),
        denial.reason,
        snapshot.nat_gateway(gateway).id,
        snapshot.subnet(view.eni_subnet(eni)).id,
    );
    let from = snapshot.subnet(view.gateway_subnet(gateway)).cidr;
    let rules =
        place::acl(denial.decided_by).map(|(_, direction)| format!("in its {direction} rules, "));
    let help = format!(
        "allow ICMP type 3, code 4 from {from} to {} {}or set mtu = {}",
        snapshot.subnet(view.eni_subnet(eni)).cidr,
        rules.unwrap_or_default(),
        mtu.internet,
    );
    let span = place::of_rule(denial.decided_by, subject.spec, snapshot);
    subject.warning("pmtu-blocked", span, (message, help))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SOUND, found, only, replaced, rules, says};

    const TO_PRIVATE: &str = "protocol = \"icmp\", cidr = \"0.0.0.0/0\" }, # icmp to private";
    const OF_PUBLIC: &str = "egress = [{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }] # of public";

    fn jumbo() -> String {
        format!("mtu = 9001\n{SOUND}")
    }

    #[test]
    fn an_acl_of_the_eni_without_icmp_stops_the_message() {
        let text = replaced(&jumbo(), TO_PRIVATE, "protocol = \"icmp\", cidr = \"10.0.4.0/24\" },");
        let one = only(&text, "pmtu-blocked");
        says(
            &one.message,
            &[
                "over 1500 bytes",
                "* of acl-private ingress (nacl-return-implicit-deny)",
                "NAT gateway \"nat-0\"",
            ],
        );
        says(&one.help, &["type 3, code 4", "10.0.3.0/24", "10.0.1.0/24", "ingress"]);
        assert_eq!(one.text, "\"acl-private\"");
    }

    #[test]
    fn an_acl_of_the_gateway_stops_the_message_on_its_way_out() {
        let egress = "egress = [\n    { rule = 50, action = \"deny\", protocol = \"icmp\", cidr = \"10.0.0.0/16\" },\n    \
            { rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" },\n]";
        let one = only(&replaced(&jumbo(), OF_PUBLIC, egress), "pmtu-blocked");
        says(&one.message, &["rule 50 of acl-public egress", "(nacl-return-deny)"]);
        assert_eq!(one.text, "50");
    }

    #[test]
    fn a_path_whose_mtu_does_not_shrink_needs_no_message() {
        let blocked = |text: &str| {
            replaced(text, TO_PRIVATE, "protocol = \"icmp\", cidr = \"10.0.4.0/24\" },")
        };
        assert_eq!(rules(&found(&blocked(SOUND))), [""; 0]);
        let wide = format!("internet_mtu = 9001\n{}", jumbo());
        assert_eq!(rules(&found(&blocked(&wide))), [""; 0]);
    }

    #[test]
    fn type_3_code_4_alone_is_enough() {
        let one = "protocol = \"icmp\", icmp_type = 3, icmp_code = 4, cidr = \"10.0.3.0/24\" },";
        let text = replaced(&jumbo(), TO_PRIVATE, one);
        assert_eq!(rules(&found(&text)), [""; 0], "{:#?}", found(&text));
        let other = one.replace("icmp_code = 4", "icmp_code = 3");
        only(&replaced(&jumbo(), TO_PRIVATE, &other), "pmtu-blocked");
    }

    #[test]
    fn jumbo_frames_with_icmp_allowed_are_sound() {
        assert_eq!(rules(&found(&jumbo())), [""; 0]);
    }
}
