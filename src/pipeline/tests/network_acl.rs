//! Tests network ACLs: numbered, stateless, at every subnet boundary, for replies too.

use super::world::*;
use crate::pipeline::Reason;
use std::net::Ipv4Addr;

const PUBLIC: &str = "cidr = \"10.0.0.0/24\"";
pub(super) const HOME: &str = "cidr = \"10.0.1.0/24\"";
pub(super) const DATA: &str = "cidr = \"10.0.3.0/24\"";
pub(super) const ALLOW_ALL: &str =
    r#"{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }"#;

/// Returns the lab with an ACL on a subnet.
pub(super) fn acl(subnet: &str, egress: &str, ingress: &str) -> String {
    with(LAB, subnet, &format!("{subnet}\nnetwork_acl = \"acl\""))
        + &format!(
            "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\negress = [{egress}]\ningress = [{ingress}]\n"
        )
}

#[test]
fn the_lowest_number_that_matches_decides_whatever_the_order_in_the_file() {
    let egress = r#"
        { rule = 300, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
        { rule = 100, action = "allow", protocol = "tcp", ports = "5432", cidr = "10.0.3.10/32" },
        { rule = 200, action = "deny", protocol = "tcp", ports = "1-6000", cidr = "10.0.3.0/24" }"#;
    let mut world = World::new(&acl(HOME, egress, ALLOW_ALL));
    let web = world.task("web", 1);
    world.opens(&syn(web, 1, (DB, 5432)));
    world.opens(&ping(web, DB, 1));
    let egress = egress.replace("10.0.3.10/32", "10.0.3.11/32");
    let mut world = World::new(&acl(HOME, &egress, ALLOW_ALL));
    assert_eq!(world.refuses(&syn(web, 1, (DB, 5432))), Reason::NaclEgressDeny);
}

#[test]
fn each_border_has_its_own_reason() {
    let deny =
        r#"{ rule = 1, action = "deny", protocol = "tcp", ports = "all", cidr = "0.0.0.0/0" }"#;
    let web = World::new(LAB).task("web", 1);
    let (db, example) = ((DB, 5432), (EXAMPLE, 443));
    for (subnet, egress, ingress, to, reason) in [
        (HOME, deny, ALLOW_ALL, db, Reason::NaclEgressDeny),
        (HOME, "", ALLOW_ALL, db, Reason::NaclEgressImplicitDeny),
        (HOME, deny, ALLOW_ALL, example, Reason::NaclEgressDeny),
        (DATA, ALLOW_ALL, deny, db, Reason::NaclIngressDeny),
        (DATA, ALLOW_ALL, "", db, Reason::NaclIngressImplicitDeny),
        (PUBLIC, ALLOW_ALL, deny, example, Reason::NaclIngressDeny),
        (PUBLIC, ALLOW_ALL, "", example, Reason::NaclIngressImplicitDeny),
        (PUBLIC, deny, ALLOW_ALL, example, Reason::NaclEgressDeny),
        (PUBLIC, "", ALLOW_ALL, example, Reason::NaclEgressImplicitDeny),
    ] {
        let mut world = World::new(&acl(subnet, egress, ingress));
        assert_eq!(world.refuses(&syn(web, 1, to)), reason, "{subnet} {egress:?} {ingress:?}");
    }
}

/// Statelessness: the request leaves, the reply is dropped, and `explain` shows it in advance.
#[test]
fn a_reply_is_judged_by_itself() {
    let deny = r#"{ rule = 1, action = "deny", protocol = "tcp", ports = "1024-65535", cidr = "0.0.0.0/0" },"#;
    let with_deny = format!("{deny} {ALLOW_ALL}");
    let only_443 =
        r#"{ rule = 1, action = "allow", protocol = "tcp", ports = "443", cidr = "0.0.0.0/0" }"#;
    let only_5432 =
        r#"{ rule = 1, action = "allow", protocol = "tcp", ports = "5432", cidr = "0.0.0.0/0" }"#;
    for (subnet, egress, ingress, to, reason) in [
        (HOME, ALLOW_ALL, with_deny.as_str(), (DB, 5432), Reason::NaclReturnDeny),
        (HOME, ALLOW_ALL, "", (DB, 5432), Reason::NaclReturnImplicitDeny),
        (HOME, ALLOW_ALL, "", (EXAMPLE, 443), Reason::NaclReturnImplicitDeny),
        (DATA, &with_deny, ALLOW_ALL, (DB, 5432), Reason::NaclReturnDeny),
        (DATA, "", only_5432, (DB, 5432), Reason::NaclReturnImplicitDeny),
        (PUBLIC, only_443, ALLOW_ALL, (EXAMPLE, 443), Reason::NaclReturnImplicitDeny),
        (PUBLIC, ALLOW_ALL, only_443, (EXAMPLE, 443), Reason::NaclReturnImplicitDeny),
    ] {
        let mut world = World::new(&acl(subnet, egress, ingress));
        let packet = syn(world.task("web", 1), 1, to);
        assert_eq!(world.explain(&packet).denial.unwrap().reason, reason, "{subnet}");
        let (out, link) = world.opens(&packet);
        assert_eq!(world.stays_out(link, &answer(out)), reason, "{subnet}");
    }
}

/// Surprise 7: the packet enters and leaves the gateway's subnet on the path out, and again on the
/// path back, with other ports.
#[test]
fn a_nat_gateways_subnet_needs_the_ephemeral_ports_of_both_sides() {
    let egress = r#"
        { rule = 1, action = "allow", protocol = "tcp", ports = "443", cidr = "203.0.113.0/24" },
        { rule = 2, action = "allow", protocol = "tcp", ports = "1024-65535", cidr = "10.0.1.4/32" }"#;
    let ingress = r#"
        { rule = 1, action = "allow", protocol = "tcp", ports = "443", cidr = "10.0.1.4/32" },
        { rule = 2, action = "allow", protocol = "tcp", ports = "1024-65535", cidr = "203.0.113.0/24" }"#;
    let mut world = World::new(&acl(PUBLIC, egress, ingress));
    let web = world.task("web", 1);
    world.connects(web, 1, (EXAMPLE, 443));
    // The other subnet's ENI is not 10.0.1.4.
    assert_eq!(
        world.refuses(&syn(world.task("web", 2), 1, (EXAMPLE, 443))),
        Reason::NaclIngressImplicitDeny
    );
}

#[test]
fn a_gateway_in_the_connectors_own_subnet_crosses_its_border_once() {
    let lab = with(LAB, "subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = [\"subnet-public\"]");
    let lab = with(
        &lab,
        "{ destination = \"0.0.0.0/0\", target = \"igw\" }",
        "{ destination = \"0.0.0.0/0\", target = \"igw\" }, { destination = \"192.0.2.0/24\", target = \"nat\" }",
    );
    let lab = with(&lab, PUBLIC, &format!("{PUBLIC}\nnetwork_acl = \"acl\""))
        + "[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n";
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    // The ENI's packet reaches the gateway beside it; the gateway's own subnet then routes it to
    // the gateway again.
    let to = (Ipv4Addr::new(192, 0, 2, 1), 443);
    assert_eq!(world.refuses(&syn(web, 1, to)), Reason::NatRoutesToNat);
}

/// Surprise 8.
#[test]
fn protocol_numbers_ignore_ports_and_icmp_has_type_and_code() {
    let only_echo =
        r#"{ rule = 1, action = "allow", protocol = 1, icmp_type = 8, cidr = "0.0.0.0/0" }"#;
    let replies = r#"{ rule = 1, action = "allow", protocol = "icmp", icmp_type = 0, icmp_code = 0, cidr = "0.0.0.0/0" }"#;
    let mut world = World::new(&acl(HOME, only_echo, replies));
    let web = world.task("web", 1);
    let (out, link) = world.opens(&ping(web, EXAMPLE, 9));
    world.comes_back(link, &answer(out));
    assert_eq!(world.refuses(&syn(web, 1, (DB, 5432))), Reason::NaclEgressImplicitDeny);
    let mut world = World::new(&acl(HOME, only_echo, only_echo));
    let (out, link) = world.opens(&ping(web, EXAMPLE, 9));
    assert_eq!(world.stays_out(link, &answer(out)), Reason::NaclReturnImplicitDeny);
}
