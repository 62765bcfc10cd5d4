//! Tests reloads: the changes that end a flow, those that do not, and that a flow keeps its port
//! (spec 4.4, surprise 9).

use super::world::*;
use crate::flow::Space;
use crate::packet::{TcpFlags, Tuple};
use crate::pipeline::{Device, Link, NatPair, Reason};
use crate::vpc::{EniIx, NatGatewayIx, VpcIx};
use std::net::Ipv4Addr;

const OUT: (Ipv4Addr, u16) = (EXAMPLE, 443);
const LOCAL: (Ipv4Addr, u16) = (DB, 5432);
const EGRESS_443: &str = r#"{ protocol = "tcp", ports = "443", to = "0.0.0.0/0" },"#;
const INGRESS_5432: &str = r#"{ protocol = "tcp", ports = "5432", from = "sg-app" },"#;
const DEFAULT_ROUTE: &str = r#"{ destination = "0.0.0.0/0", target = "nat" },"#;

fn data(task: Ipv4Addr, to: (Ipv4Addr, u16)) -> Vec<u8> {
    tcp(task, 40_000, to, ACK, 101, 501)
}

fn data_back(out: Tuple) -> Vec<u8> {
    segment(out.reversed(), TcpFlags::ACK, 501, 101)
}

/// Returns the lab with an ACL on `subnet-a`.
fn with_acl(rules: &str) -> String {
    with(LAB, "cidr = \"10.0.1.0/24\"", "cidr = \"10.0.1.0/24\"\nnetwork_acl = \"acl\"")
        + &format!("[[network_acl]]\nid = \"acl\"\nvpc = \"vpc\"\n{rules}")
}

/// Makes a web task with a connection to the database and one to the internet.
fn connected() -> (World, Ipv4Addr, Tuple, Tuple) {
    let mut world = World::new(LAB);
    let web = world.task("web", 1);
    let (local, _) = world.connects(web, 40_000, LOCAL);
    let (out, _) = world.connects(web, 40_000, OUT);
    (world, web, local, out)
}

/// Checklist SG, 5.6; Surprise 9.
#[test]
fn a_group_change_cuts_no_tracked_flow_and_refuses_new_ones() {
    let (mut world, web, local, out) = connected();
    world.reload(&with(&with(LAB, EGRESS_443, ""), INGRESS_5432, ""));
    assert_eq!(world.passes(&data(web, OUT)).0, out, "and it keeps its port");
    assert_eq!(world.passes(&data(web, LOCAL)).0, local);
    world.comes_back(Link::Internet, &data_back(out));
    world.comes_back(Link::Vpc(VpcIx(0)), &data_back(local));
    assert_eq!(world.refuses(&syn(web, 40_001, OUT)), Reason::SgEgressImplicitDeny);
    assert_eq!(world.refuses(&syn(web, 40_001, LOCAL)), Reason::SgIngressImplicitDeny);
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 1);
}

#[test]
fn the_reply_may_be_the_first_to_meet_the_new_configuration() {
    let (mut world, web, local, out) = connected();
    world.reload(&with(LAB, EGRESS_443, ""));
    world.comes_back(Link::Internet, &data_back(out));
    world.comes_back(Link::Vpc(VpcIx(0)), &data_back(local));
    assert_eq!(world.passes(&data(web, OUT)).0, out);
}

/// Checklist SG, 5.6; Surprise 9.
#[test]
fn an_acl_change_acts_at_once_and_taking_it_back_too() {
    let (mut world, web, local, out) = connected();
    world.reload(&with_acl("egress = []\ningress = [{ rule = 1, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]\n"));
    assert_eq!(world.refuses(&data(web, OUT)), Reason::NaclEgressImplicitDeny);
    assert_eq!(world.refuses(&data(web, LOCAL)), Reason::NaclEgressImplicitDeny);
    // The other list judges replies.
    world.comes_back(Link::Internet, &data_back(out));
    world.comes_back(Link::Vpc(VpcIx(0)), &data_back(local));
    world.reload(&with_acl("ingress = []\negress = [{ rule = 1, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]\n"));
    world.passes(&data(web, OUT));
    assert_eq!(world.stays_out(Link::Internet, &data_back(out)), Reason::NaclReturnImplicitDeny);
    world.reload(&with_acl("egress = []\ningress = []\n"));
    assert_eq!(world.refuses(&data(web, OUT)), Reason::NaclEgressImplicitDeny);
    assert_eq!(world.stays_out(Link::Internet, &data_back(out)), Reason::NaclReturnImplicitDeny);
    assert_eq!(
        world.stays_out(Link::Vpc(VpcIx(0)), &data_back(local)),
        Reason::NaclReturnImplicitDeny
    );
    world.reload(LAB);
    assert_eq!(world.passes(&data(web, OUT)).0, out, "the same port as before");
    world.comes_back(Link::Internet, &data_back(out));
}

/// Checklist 5.6.
#[test]
fn a_route_change_acts_at_once() {
    let (mut world, web, local, out) = connected();
    world.reload(&with(LAB, DEFAULT_ROUTE, ""));
    assert_eq!(world.refuses(&data(web, OUT)), Reason::NoRoute);
    assert_eq!(world.passes(&data(web, LOCAL)).0, local);
    world.reload(LAB);
    assert_eq!(world.passes(&data(web, OUT)).0, out);
}

#[test]
fn a_flow_that_would_leave_by_another_gateway_is_ended() {
    let two = LAB.to_owned()
        + "[[nat_gateway]]\nid = \"nat-2\"\nsubnet = \"subnet-public\"\npublic_ip = \"198.51.100.8\"\n";
    let moved = with(&two, DEFAULT_ROUTE, r#"{ destination = "0.0.0.0/0", target = "nat-2" },"#);
    let mut world = World::new(&two);
    let web = world.task("web", 1);
    let (out, link) = world.connects(web, 40_000, OUT);
    let (other, _) = world.connects(world.task("web", 2), 40_000, OUT);
    world.reload(&moved);
    assert_eq!(world.drops_with(&data(web, OUT), -1), Reason::FlowMoved);
    assert_eq!(world.refuses(&data(web, OUT)), Reason::TcpNoFlow);
    assert_eq!(world.stays_out(link, &data_back(out)), Reason::Unsolicited);
    assert_eq!(world.arrive(link, &data_back(other), -1).reason(), Some(Reason::FlowMoved));
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
    let (again, _) = world.opens(&syn(web, 40_000, OUT));
    assert_eq!(again.src, Ipv4Addr::new(198, 51, 100, 8));
}

#[test]
fn a_datagram_whose_flow_moved_begins_another_one() {
    let two = LAB.to_owned()
        + "[[nat_gateway]]\nid = \"nat-2\"\nsubnet = \"subnet-public\"\npublic_ip = \"198.51.100.8\"\n";
    let mut world = World::new(&two);
    let web = world.task("web", 1);
    world.opens(&udp(web, 5353, (EXAMPLE, 53)));
    world.reload(&with(&two, DEFAULT_ROUTE, r#"{ destination = "0.0.0.0/0", target = "nat-2" },"#));
    let (out, _) = world.passes(&udp(web, 5353, (EXAMPLE, 53)));
    assert_eq!(out.src, Ipv4Addr::new(198, 51, 100, 8));
    assert_eq!(world.leased(Space::INTERNET, NAT_PUBLIC), 0);
}

/// Positions in tables move when a file gains objects; a flow must identify its ENI and gateway by
/// more than that.
#[test]
fn regression_a_flow_survives_new_objects_in_front_of_its_own() {
    let (mut world, web, local, out) = connected();
    let grown = with(
        LAB,
        "[[nat_gateway]]\nid = \"nat\"",
        "[[nat_gateway]]\nid = \"nat-0\"\nsubnet = \"subnet-public\"\npublic_ip = \"198.51.100.8\"\nprivate_ip = \"10.0.0.200\"\n[[nat_gateway]]\nid = \"nat\"",
    );
    let grown = with(
        &grown,
        "[[vpc_connector]]\nname = \"connector\"",
        "[[vpc_connector]]\nname = \"first\"\nsubnets = [\"subnet-data\"]\nsecurity_groups = [\"sg-app\"]\n[[vpc_connector]]\nname = \"connector\"",
    );
    let grown = with(
        &grown,
        "[[service]]\nname = \"web\"",
        "[[service]]\nname = \"early\"\negress = \"vpc\"\nvpc_connector = \"first\"\n[[service]]\nname = \"web\"",
    );
    world.reload(&grown);
    let (eni, nat) = (Device::Eni(EniIx(1)), NatGatewayIx(1));
    assert_eq!(world.device_of(web), eni, "it has another position now");
    let named = NatPair { eni: Some(EniIx(1)), nat_gateway: Some(nat) };
    let carried = |world: &World| {
        let tallies = world.engine.tallies(&world.snapshot);
        tallies.iter().find(|(path, _)| *path == named).map(|(_, tally)| tally.sent.packets())
    };
    assert_eq!(carried(&world), Some(2));
    world.engine.flows().for_each(|entry| {
        let flow = &entry.flow;
        let path = NatPair::of(&world.snapshot, flow).unwrap();
        let expected = flow.nat.is_some().then_some(nat);
        assert_eq!((path.eni, path.nat_gateway), (named.eni, expected));
        let task = world.snapshot.task(web).unwrap();
        assert_eq!(flow.service_in(&world.snapshot), Some(task.service));
    });
    assert_eq!(world.passes(&data(web, OUT)).0, out);
    assert_eq!(carried(&world), Some(3));
    assert_eq!(world.passes(&data(web, LOCAL)).0, local);
    world.comes_back(Link::Internet, &data_back(out));
    world.comes_back(Link::Vpc(VpcIx(0)), &data_back(local));
}

/// The ENI at which a flow was made is removed, and the table of ENIs is shorter than its position.
#[test]
fn regression_a_flow_whose_eni_is_removed_is_ended_without_a_panic() {
    let acl = "egress = []\ningress = []\n";
    let mut world = World::new(LAB);
    let two = world.task("web", 2);
    let (out, link) = world.connects(two, 40_000, OUT);
    let (ping_out, _) = world.opens(&ping(two, EXAMPLE, 3));
    let shorter =
        with(&with_acl(acl), "subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = [\"subnet-a\"]");
    world.reload(&shorter);
    let quoted = ping(NAT_PUBLIC, EXAMPLE, ping_out.sport);
    let error = crate::packet::builder::icmp_error(EXAMPLE, NAT_PUBLIC, 3, 1, &quoted);
    assert_eq!(world.stays_out(link, &error), Reason::IcmpErrorNoFlow);
    assert_eq!(world.drops_with(&data(two, OUT), -1), Reason::FlowMoved);
    assert_eq!(world.stays_out(link, &data_back(out)), Reason::Unsolicited);
}

#[test]
fn a_task_removed_from_the_configuration_loses_its_flows() {
    let (mut world, web, _, out) = connected();
    world.snapshot = world.lab.lower(crate::vpc::Generation(2));
    assert_eq!(world.arrive(Link::Internet, &data_back(out), -1).reason(), Some(Reason::FlowMoved));
    let device = crate::pipeline::Device::Eni(crate::vpc::EniIx(0));
    let seen = world.step(device, &data(web, LOCAL), -1);
    assert_eq!(seen.reason(), Some(Reason::FlowMoved));
    let seen = world.step(device, &syn(web, 1, LOCAL), 0);
    assert_eq!(seen.reason(), Some(Reason::SourceUnknown));
}

/// Checklist SG.
#[test]
fn an_icmp_error_meets_the_new_acl() {
    let (mut world, _, _, out) = connected();
    world.reload(&with_acl("egress = [{ rule = 1, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]\ningress = [{ rule = 1, action = \"allow\", protocol = \"tcp\", ports = \"all\", cidr = \"0.0.0.0/0\" }]\n"));
    let error =
        crate::packet::builder::icmp_error(EXAMPLE, NAT_PUBLIC, 3, 4, &segment(out, ACK, 101, 501));
    assert_eq!(world.stays_out(Link::Internet, &error), Reason::NaclReturnImplicitDeny);
    world.reload(LAB);
    world.comes_back(Link::Internet, &error);
}

/// A VPC's position was once its address space.
#[test]
fn regression_a_flow_survives_a_vpc_in_front_of_its_own() {
    let (mut world, web, local, out) = connected();
    let first = "[[vpc]]\nid = \"first\"\ncidr = \"10.0.0.0/16\"\n[[vpc]]\nid = \"vpc\"";
    world.reload(&with(LAB, "[[vpc]]\nid = \"vpc\"", first));
    assert_eq!(world.passes(&data(web, LOCAL)), (local, Link::Vpc(VpcIx(1))));
    assert_eq!(world.passes(&data(web, OUT)).0, out);
    world.comes_back(Link::Vpc(VpcIx(1)), &data_back(local));
    world.comes_back(Link::Internet, &data_back(out));
    world.reload(LAB);
    assert_eq!(world.passes(&data(web, LOCAL)), (local, Link::Vpc(VpcIx(0))));
    world.comes_back(Link::Vpc(VpcIx(0)), &data_back(local));
}

/// During a reload one worker has the new configuration while another is still in a batch under the
/// old one. The first worker's decision counts for the second, and a verdict of the old
/// configuration does not come back.
#[test]
fn regression_a_worker_that_is_behind_goes_by_what_the_others_decided() {
    let (mut world, web, local, out) = connected();
    let behind = world.snapshot.clone();
    let moved = with(
        LAB,
        "[[vpc_connector]]\nname = \"connector\"",
        "[[vpc_connector]]\nname = \"first\"\nsubnets = [\"subnet-data\"]\nsecurity_groups = [\"sg-app\"]\n[[vpc_connector]]\nname = \"connector\"",
    );
    let moved = with(
        &moved,
        "[[service]]\nname = \"web\"",
        "[[service]]\nname = \"early\"\negress = \"vpc\"\nvpc_connector = \"first\"\n[[service]]\nname = \"web\"",
    );
    world.reload(&moved);
    assert_eq!(world.passes(&data(web, OUT)).0, out);
    world.passes(&data(web, LOCAL));
    let generations = |world: &World| {
        let mut seen = Vec::new();
        world.engine.flows().for_each(|entry| seen.push(entry.generation.0));
        seen
    };
    assert_eq!(generations(&world), [2, 2]);
    let new = std::mem::replace(&mut world.snapshot, behind);
    assert_eq!(world.device_of(web), Device::Eni(EniIx(0)), "it has another position there");
    assert_eq!(world.passes(&data(web, OUT)).0, out);
    world.comes_back(Link::Internet, &data_back(out));
    world.comes_back(Link::Vpc(VpcIx(0)), &data_back(local));
    assert_eq!(generations(&world), [2, 2]);
    world.snapshot = new;
    assert_eq!(world.passes(&data(web, OUT)).0, out);
}

/// The rule of a denial is a position in its own configuration's tables: the count says which
/// configuration that is.
#[test]
fn regression_a_worker_behind_the_reload_denies_by_its_own_rules() {
    let deny = with_acl(
        "egress = [{ rule = 7, action = \"deny\", protocol = \"all\", cidr = \"0.0.0.0/0\" }]\ningress = []\n",
    );
    let (mut world, web, _, out) = connected();
    let behind = world.snapshot.clone();
    world.reload(&deny);
    assert_eq!(world.refuses(&data(web, OUT)), Reason::NaclEgressDeny);
    let ahead = std::mem::replace(&mut world.snapshot, behind);
    assert_eq!(world.passes(&data(web, OUT)).0, out, "no rule of its own denies it");
    world.snapshot = ahead;
    assert_eq!(world.refuses(&data(web, OUT)), Reason::NaclEgressDeny);
    for (key, _) in world.engine.drops().rows() {
        assert_eq!(key.generation, world.snapshot.generation);
    }
}
