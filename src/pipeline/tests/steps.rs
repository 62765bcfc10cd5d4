//! Tests the order of the steps, and the objects that they name: `explain` shows the checks that
//! the packet passes.

use super::interface_endpoint::{A as ENDPOINT, lab as with_endpoint};
use super::network_acl::{ALLOW_ALL, HOME, acl};
use super::world::*;
use crate::packet::builder;
use crate::pipeline::watch::{PacketSeen, Seen, Wish};
use crate::pipeline::{Component, Denial, Detail, Outcome, Reason, Stage, Step, Verdict};
use crate::vpc::{ResourceIx, RuleRef};
use std::net::{Ipv4Addr, SocketAddrV4};

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const NAT: &str = "public_ip = \"198.51.100.7\"";
const PUBLIC: &str = "cidr = \"10.0.0.0/24\"";

fn stages(steps: &[Step]) -> Vec<Stage> {
    steps.iter().map(|step| step.stage).collect()
}

/// Returns the one packet that a watcher with `-v` sees.
fn watched(world: &World, packet: &[u8]) -> PacketSeen {
    let wish = Wish { steps: true, queue: 100, queue_bytes: 1 << 20, ..Wish::default() };
    let watch = world.engine.watchers().watch(wish);
    world.push(world.device_of(source(packet)), packet, Default::default());
    seen(std::iter::from_fn(|| watch.next()))
}

fn seen(mut records: impl Iterator<Item = crate::pipeline::watch::WatchRecord>) -> PacketSeen {
    let packet = records.find_map(|record| match record.seen {
        Seen::Packet(packet) => Some(*packet),
        Seen::Flow(_) | Seen::PortsExhausted { .. } => None,
    });
    packet.unwrap()
}

#[test]
fn a_nat_gateway_translates_before_its_subnets_route_table_is_asked() {
    let world = World::new(LAB);
    let evidence = world.explain(&syn(world.task("web", 1), 1, OUT));
    let expected = [
        Stage::SourceCheck,
        Stage::ExemptAddress,
        Stage::Connector,
        Stage::SecurityGroupEgress,
        Stage::PortLease,
        Stage::NetworkAclEgress,
        Stage::RouteTable,
        Stage::NetworkAclIngress,
        Stage::NatGateway,
        Stage::RouteTable,
        Stage::NetworkAclEgress,
        Stage::InternetGateway,
        Stage::Deliver,
        Stage::NetworkAclReturn,
        Stage::NetworkAclReturn,
        Stage::NetworkAclReturn,
    ];
    assert_eq!(stages(&evidence.steps), expected);
}

#[test]
fn a_nat_gateway_without_a_route_shows_its_translation() {
    let world = World::new(&with(LAB, r#"{ destination = "0.0.0.0/0", target = "igw" }"#, ""));
    let evidence = world.explain(&syn(world.task("web", 1), 1, OUT));
    assert_eq!(evidence.denial.unwrap().reason, Reason::NatNoRoute);
    let [.., translated, dropped] = evidence.steps[..] else { panic!("{evidence:?}") };
    assert_eq!((translated.stage, translated.outcome), (Stage::NatGateway, Outcome::Translate));
    assert_eq!((dropped.stage, dropped.outcome), (Stage::NatGateway, Outcome::Drop));
    // A packet that cannot pass needs no port: it is not dropped because the gateway has none left.
    let one = format!("{LAB}\n[limits]\nnat_connections_per_destination = 1\n");
    let mut world = World::new(&one);
    let web = world.task("web", 1);
    world.opens(&syn(web, 1, OUT));
    assert_eq!(world.refuses(&syn(web, 2, OUT)), Reason::NatPortsExhausted);
    world.reload(&with(&one, TO_IGW, NOTHING));
    let packet = syn(web, 2, OUT);
    assert_eq!(world.refuses(&packet), Reason::NatNoRoute);
}

#[test]
fn an_endpoint_protocol_comes_after_its_groups_and_names_the_endpoint() {
    let open = with_endpoint(r#"{ protocol = "all", from = "0.0.0.0/0" }"#);
    let world = World::new(&open);
    let ping = ping(world.task("web", 1), ENDPOINT, 1);
    let evidence = world.explain(&ping);
    let Denial { reason, decided_by } = evidence.denial.unwrap();
    assert_eq!(reason, Reason::InterfaceEndpointProtocol);
    let RuleRef::InterfaceEndpoint(ix) = decided_by else { panic!("{decided_by:?}") };
    let endpoint = world.snapshot.resource(ix).endpoint.as_ref().unwrap();
    assert_eq!(endpoint.id, "vpce-secrets");
    let [.., groups, dropped] = stages(&evidence.steps)[..] else { panic!("{evidence:?}") };
    assert_eq!((groups, dropped), (Stage::SecurityGroupIngress, Stage::Deliver));
    let mut closed = World::new(&with_endpoint(""));
    assert_eq!(closed.refuses(&ping), Reason::SgIngressNoRules, "the groups come first");
}

#[test]
fn a_private_nat_gateway_toward_the_internet_names_the_acl_that_drops_first() {
    let lab = acl(PUBLIC, DENY_EXAMPLE, ALLOW_ALL).replace(NAT, "connectivity = \"private\"");
    let world = World::new(&lab);
    let evidence = world.explain(&syn(world.task("web", 1), 1, OUT));
    assert_eq!(evidence.denial.unwrap().reason, Reason::NaclEgressDeny);
    let [.., gateway, table, dropped] = stages(&evidence.steps)[..] else { panic!("{evidence:?}") };
    let expected = (Stage::NatGateway, Stage::RouteTable, Stage::NetworkAclEgress);
    assert_eq!((gateway, table, dropped), expected);
    let mut world = World::new(&LAB.replace(NAT, "connectivity = \"private\""));
    let packet = syn(world.task("web", 1), 1, OUT);
    assert_eq!(world.refuses(&packet), Reason::IgwPrivateNat, "no ACL drops it");
}

/// Before, a packet for the ENI's own address was taken for a reply, and its port for a NAT's.
#[test]
fn regression_a_drop_at_the_enis_own_address_shows_service_and_destination_port() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    assert_eq!(world.refuses(&syn(web, 1, (ENI_A, 443))), Reason::EniAddress);
    let rows = world.engine.drops().rows();
    let [(row, _)] = rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.source, row.destination, row.port), (web, ENI_A.into(), 443));
    assert!(row.service.is_some());
    let packet = watched(&world, &syn(web, 1, (ENI_A, 443)));
    let inside = packet.inside.unwrap();
    assert_eq!((inside.src(), inside.dst(), inside.dport()), (web, ENI_A, 443));
}

const NOTHING: &str = "";
const TO_IGW: &str = r#"{ destination = "0.0.0.0/0", target = "igw" }"#;
const TO_NAT: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;
const DENY_EXAMPLE: &str =
    r#"{ rule = 1, action = "deny", protocol = "all", cidr = "203.0.113.0/24" }"#;

/// Returns labs in which everything after the NAT gateway lets nothing through, each with the
/// reason.
fn closed_behind_the_gateway() -> [(String, Reason); 5] {
    let deny = &format!("{DENY_EXAMPLE}, {ALLOW_ALL}");
    [
        (with(LAB, TO_IGW, NOTHING), Reason::NatNoRoute),
        (
            with(LAB, TO_IGW, r#"{ destination = "0.0.0.0/0", target = "blackhole" }"#),
            Reason::NatBlackhole,
        ),
        (acl(PUBLIC, deny, ALLOW_ALL), Reason::NaclEgressDeny),
        (LAB.replace(NAT, "connectivity = \"private\""), Reason::IgwPrivateNat),
        (
            with(LAB, TO_IGW, r#"{ destination = "0.0.0.0/0", target = "nat" }"#),
            Reason::NatRoutesToNat,
        ),
    ]
}

/// Before, traceroute saw the gateway only if a packet would have passed everything after it.
#[test]
fn regression_a_ttl_that_ends_at_the_gateway_is_answered_whatever_is_behind_it() {
    for (lab, reason) in closed_behind_the_gateway() {
        let mut world = World::new(&lab);
        let web = world.task("web", 1);
        let dns = udp(web, 5353, (EXAMPLE, 53));
        assert_eq!(world.refuses(&dns), reason);
        let seen = world.step(world.device_of(web), &with_ttl(dns, 1), 0);
        let Verdict::Reply { reason: Reason::TtlExpired, decided_by, .. } = seen.verdict else {
            panic!("{reason}: {seen:?}")
        };
        assert_eq!(decided_by, RuleRef::Packet);
        assert_eq!((source(&seen.bytes), destination(&seen.bytes)), (NAT_PRIVATE, web));
        assert_eq!(icmp_error_of(&seen.bytes).0, 11);
    }
}

#[test]
fn a_ttl_that_ends_before_the_gateway_is_not_answered_by_it() {
    let unavailable = with(LAB, NAT, &format!("{NAT}\nstate = \"pending\""));
    let closed = acl(PUBLIC, ALLOW_ALL, NOTHING);
    for (lab, reason) in
        [(unavailable, Reason::NatGatewayState), (closed, Reason::NaclIngressImplicitDeny)]
    {
        let mut world = World::new(&lab);
        let web = world.task("web", 1);
        assert_eq!(world.refuses(&with_ttl(udp(web, 5353, (EXAMPLE, 53)), 1)), reason);
    }
}

/// The same holds for a flow that lived on while the configuration closed the path after the
/// gateway.
#[test]
fn regression_a_denied_flow_is_still_answered_where_its_ttl_ends() {
    let deny = &format!("{DENY_EXAMPLE}, {ALLOW_ALL}");
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let dns = udp(web, 5353, (EXAMPLE, 53));
    world.opens(&dns);
    world.reload(&acl(PUBLIC, deny, ALLOW_ALL));
    assert_eq!(world.refuses(&dns), Reason::NaclEgressDeny);
    let seen = world.step(world.device_of(web), &with_ttl(dns.clone(), 1), 0);
    assert!(matches!(seen.verdict, Verdict::Reply { reason: Reason::TtlExpired, .. }), "{seen:?}");
    assert_eq!(source(&seen.bytes), NAT_PRIVATE);
    // A denial before the gateway applies there.
    world.reload(&acl(HOME, deny, ALLOW_ALL));
    assert_eq!(world.refuses(&with_ttl(dns, 1)), Reason::NaclEgressDeny);
}

/// An ACL that admits replies of TCP and UDP, and nothing else.
const NO_ICMP: &str = r#"
    { rule = 1, action = "allow", protocol = "tcp", ports = "0-65535", cidr = "0.0.0.0/0" },
    { rule = 2, action = "allow", protocol = "udp", ports = "0-65535", cidr = "0.0.0.0/0" }"#;

fn too_big(task: Ipv4Addr, sport: u16) -> Vec<u8> {
    let (src, dst) = (SocketAddrV4::new(task, sport), SocketAddrV4::new(EXAMPLE, 53));
    builder::udp(src, dst, &[7; 1473])
}

/// Network ACLs are stateless, also for packets that a NAT gateway itself sends (spec 4.4, 5).
/// Before, those crossed none of them.
#[test]
fn regression_the_gateways_own_errors_cross_the_acls_on_their_way_to_the_task() {
    for (subnet, egress, ingress) in [(HOME, ALLOW_ALL, NO_ICMP), (PUBLIC, NO_ICMP, ALLOW_ALL)] {
        let lab = format!("mtu = 9001\n{}", acl(subnet, egress, ingress));
        let mut world = World::new(&lab);
        let web = world.task("web", 1);
        let device = world.device_of(web);
        // Time exceeded for a packet of no flow, then of a flow; then fragmentation needed.
        let dns = udp(web, 5353, (EXAMPLE, 53));
        let first = world.step(device, &with_ttl(dns.clone(), 1), 0);
        world.opens(&dns);
        let later = world.step(device, &with_ttl(dns, 1), 0);
        let big = world.step(device, &too_big(web, 5353), 0);
        for (seen, expected) in [
            (first, Reason::TtlExpiredNoAnswer),
            (later, Reason::TtlExpiredNoAnswer),
            (big, Reason::MtuExceededNoAnswer),
        ] {
            let Verdict::Drop { reason, decided_by } = seen.verdict else { panic!("{seen:?}") };
            assert_eq!(reason, expected);
            assert!(matches!(decided_by, RuleRef::NetworkAclImplicitDeny(..)), "{decided_by:?}");
        }
    }
    // If the messages that path MTU discovery and traceroute need are allowed, both are answered.
    let icmp = format!(
        "{NO_ICMP}, {{ rule = 3, action = \"allow\", protocol = \"icmp\", cidr = \"10.0.0.0/24\" }}"
    );
    let lab = format!("mtu = 9001\n{}", acl(HOME, ALLOW_ALL, &icmp));
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let device = world.device_of(web);
    let ttl = world.step(device, &with_ttl(udp(web, 5353, (EXAMPLE, 53)), 1), 0);
    assert_eq!(ttl.reason(), Some(Reason::TtlExpired));
    assert_eq!(world.step(device, &too_big(web, 5353), 0).reason(), Some(Reason::MtuExceeded));
}

/// Toward the server too: the gateway's error leaves its subnet like any packet.
#[test]
fn regression_the_gateways_own_errors_cross_the_acls_on_their_way_to_the_server() {
    let mut world = World::new(&acl(PUBLIC, NO_ICMP, ALLOW_ALL));
    let (out, link) = world.opens(&udp(world.task("web", 1), 5353, (EXAMPLE, 53)));
    let seen = world.arrive(link, &with_ttl(answer(out), 1), 0);
    assert_eq!(seen.reason(), Some(Reason::TtlExpiredNoAnswer));
    assert!(seen.bytes.is_empty());
}

/// Before, the step was that of the flow table, which only remembered the verdict.
#[test]
fn regression_a_cached_drop_is_shown_at_the_stage_that_decided() {
    let lab = super::peering::peered("10.9.0.0/16", NOTHING);
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let (out, link) = world.opens(&syn(web, 1, (super::peering::CACHE, 443)));
    let wish = Wish { steps: true, queue: 100, queue_bytes: 1 << 20, ..Wish::default() };
    let watch = world.engine.watchers().watch(wish);
    let reply = segment(out.reversed(), SYN_ACK, 500, 101);
    assert_eq!(world.stays_out(link, &reply), Reason::ReplyNotRoutedBack);
    let packet = seen(std::iter::from_fn(|| watch.next()));
    assert!(packet.hit);
    let [known, dropped] = packet.steps[..] else { panic!("{packet:?}") };
    assert_eq!((known.stage, known.outcome), (Stage::FlowTable, Outcome::Pass));
    assert_eq!((dropped.stage, dropped.outcome), (Stage::RouteTableReturn, Outcome::Drop));
    assert!(matches!(dropped.rule, Some(RuleRef::RouteTable(_))), "{dropped:?}");
    let Component::RouteTable(_, subnet) = dropped.component else { panic!("{dropped:?}") };
    assert_eq!(world.snapshot.subnet(subnet).id, "subnet-cache");
}

/// An answered packet is not shown as dropped at the stage that denies its flow.
#[test]
fn a_packet_that_is_answered_at_the_gateway_has_no_step_of_a_drop() {
    let deny = &format!("{DENY_EXAMPLE}, {ALLOW_ALL}");
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let dns = udp(web, 5353, (EXAMPLE, 53));
    world.opens(&dns);
    world.reload(&acl(PUBLIC, deny, ALLOW_ALL));
    assert_eq!(world.refuses(&dns), Reason::NaclEgressDeny);
    let dropped = watched(&world, &dns);
    assert_eq!(stages(&dropped.steps), [Stage::FlowTable, Stage::NetworkAclEgress]);
    let answered = watched(&world, &with_ttl(dns, 1));
    assert!(matches!(answered.verdict, Verdict::Reply { .. }), "{answered:?}");
    assert_eq!(stages(&answered.steps), [Stage::FlowTable]);
}

/// If the server's own reply has no route back, the gateway's own message still has one.
#[test]
fn regression_the_gateways_own_errors_do_not_take_the_servers_path() {
    let detour = format!("{TO_NAT} {{ destination = \"10.9.0.0/16\", target = \"nat\" }},");
    let lab = super::peering::peered("10.9.0.0/16", NOTHING);
    let to_peer = r#"{ destination = "10.9.0.0/16", target = "pcx" }"#;
    let lab = with(&lab, &format!("{TO_NAT} {to_peer},"), &detour);
    let lab = with(&lab, TO_IGW, &format!("{TO_IGW}, {to_peer}"));
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let (cache, device) = (super::peering::CACHE, world.device_of(web));
    let evidence = world.explain(&udp(web, 5353, (cache, 53)));
    assert_eq!(evidence.denial.unwrap().reason, Reason::ReplyNotRoutedBack);
    assert_eq!(evidence.outside.unwrap().src(), NAT_PRIVATE);
    let first = world.step(device, &with_ttl(udp(web, 5353, (cache, 53)), 1), 0);
    assert_eq!(first.reason(), Some(Reason::TtlExpired));
    world.opens(&udp(web, 5353, (cache, 53)));
    let later = world.step(device, &with_ttl(udp(web, 5353, (cache, 53)), 1), 0);
    assert_eq!(later.reason(), Some(Reason::TtlExpired));
    for seen in [first, later] {
        assert_eq!((source(&seen.bytes), destination(&seen.bytes)), (NAT_PRIVATE, web));
    }
}

/// In the gateway's own subnet its errors cross no ACL.
#[test]
fn the_gateways_own_errors_cross_no_acl_within_its_subnet() {
    let lab = with(LAB, "subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = [\"subnet-public\"]");
    let lab = with(&lab, PUBLIC, &format!("{PUBLIC}\nnetwork_acl = \"acl\""));
    let lab = with(&lab, TO_IGW, r#"{ destination = "0.0.0.0/0", target = "nat" }"#);
    let lab = format!("{lab}[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n");
    let mut world = World::new(&lab);
    let web = world.task("web", 1);
    let seen = world.step(world.device_of(web), &with_ttl(udp(web, 5353, (EXAMPLE, 53)), 1), 0);
    assert_eq!(
        seen.reason(),
        Some(Reason::TtlExpired),
        "although what is behind routes back to it"
    );
}

/// One address of the gateway answers a flow, from its first packet on.
#[test]
fn a_flow_is_answered_by_the_gateways_address_that_it_takes() {
    let more = "public_ip = \"198.51.100.7\"\nsecondary_public_ips = [\"198.51.100.8\"]";
    let mut world = World::new(&with(LAB, NAT, more));
    let web = world.task("web", 1);
    let device = world.device_of(web);
    for sport in [1, 2, 3] {
        let dns = udp(web, sport, (EXAMPLE, 53));
        let first = world.step(device, &with_ttl(dns.clone(), 1), 0);
        world.opens(&dns);
        let later = world.step(device, &with_ttl(dns, 1), 0);
        assert_eq!(source(&first.bytes), source(&later.bytes), "{sport}");
    }
}

/// A flow whose gateway has lost its route is shown with its port there.
#[test]
fn a_tracked_flow_is_shown_with_its_own_port_where_its_gateway_leads_nowhere() {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let dns = udp(web, 5353, (EXAMPLE, 53));
    let (out, _) = world.opens(&dns);
    world.reload(&with(LAB, TO_IGW, NOTHING));
    let packet = watched(&world, &dns);
    world.were_dropped(Reason::NatNoRoute, 1);
    let translated = packet.steps.iter().find(|step| step.stage == Stage::NatGateway).unwrap();
    let Detail::Translated { after, .. } = translated.detail else { panic!("{translated:?}") };
    assert_eq!((after.src, after.sport), (NAT_PRIVATE, out.sport));
}

#[test]
fn a_resource_that_is_no_endpoint_takes_every_protocol_that_its_groups_admit() {
    let mut world = World::new(LAB);
    assert!(world.snapshot.resource(ResourceIx(0)).endpoint.is_none());
    let web = world.task("web", 1);
    world.opens(&ping(web, DB, 1));
    let sent = world.explain(&udp(web, 1, (DB, 53)));
    assert_eq!(sent.denial, None);
    assert_eq!(sent.outside.unwrap().tuple().src, ENI_A);
}
