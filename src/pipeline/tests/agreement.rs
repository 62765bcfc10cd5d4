//! Compares the engine with the oracle: verdict and reason, dry and live, on random labs.

use super::generator::{self, Tape};
use super::oracle::{self, DeliveredTo, Expected, Ports, Question};
use super::peering::{BACK, CACHE, peered};
use super::world::*;
use crate::flow::FlowTable;
use crate::packet::{Protocol, VnetHeader, builder};
use crate::pipeline::{Component, Denial, Evidence, FlowOutcome, Link, Reason, Stage, Verdict};
use crate::pipeline::{Detail, Outcome, Step};
use crate::vpc::{RuleRef, Target};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Lists the destinations of probes: everything that has an address, its neighbours, and addresses
/// that should not be reached.
pub(super) fn destinations(world: &World) -> Vec<Ipv4Addr> {
    let plan = &world.lab.plan;
    let mut all: Vec<Ipv4Addr> = world.lab.spec.resources.iter().map(|r| r.address.value).collect();
    let endpoints = world.lab.spec.vpc_endpoints.iter();
    all.extend(endpoints.flat_map(|endpoint| {
        (0..endpoint.subnets.len()).filter_map(|n| plan.endpoint_address(endpoint, n))
    }));
    all.extend(all.clone());
    let public = world.lab.spec.resources.iter().filter_map(|r| r.public_ip.as_ref());
    all.extend(public.flat_map(|at| [at.value; 4]));
    all.extend(plan.enis.iter().map(|e| e.address));
    let own = || plan.nat_gateways.values().flat_map(|n| &n.addresses);
    all.extend(own().map(|own| own.private));
    all.extend(own().filter_map(|own| own.public));
    all.extend(plan.apprunner_address);
    all.extend(plan.enis.iter().filter_map(|eni| eni.public_address));
    all.extend([EXAMPLE; 8]);
    let others = [
        "203.0.113.10",
        "203.0.113.10",
        "203.0.113.9",
        "203.0.113.200",
        "192.0.2.1",
        "198.18.0.1",
        "8.8.8.8",
        "10.0.0.77",
        "10.0.1.10",
        "10.1.1.11",
        "10.0.200.1",
        "10.99.0.1",
        "10.0.0.2",
        "169.254.169.254",
        "169.254.169.253",
        "169.254.170.2",
        "192.168.1.1",
        "172.20.0.10",
        "172.16.0.1",
        "100.64.0.1",
        "0.0.0.1",
    ];
    all.extend(others.iter().map(|a| a.parse::<Ipv4Addr>().unwrap()));
    all
}

pub(super) fn question(tape: &mut Tape<'_>, destinations: &[Ipv4Addr]) -> Question {
    let to = tape.pick(destinations);
    let port = tape.pick(&[443, 5432, 53, 80, 1023, 40_000]);
    match tape.below(6) {
        0..=2 => Question { to, protocol: Protocol::Tcp, port, icmp: (0, 0) },
        3 => Question { to, protocol: Protocol::Udp, port, icmp: (0, 0) },
        4 => Question { to, protocol: Protocol::Icmp, port: 0, icmp: (8, 0) },
        _ => Question {
            to,
            protocol: Protocol::Other(tape.pick(&[50, 47, 132])),
            port: 0,
            icmp: (0, 0),
        },
    }
}

pub(super) fn packet(ask: &Question, from: Ipv4Addr, sport: u16) -> Vec<u8> {
    match ask.protocol {
        Protocol::Tcp => syn(from, sport, (ask.to, ask.port)),
        Protocol::Udp => udp(from, sport, (ask.to, ask.port)),
        Protocol::Icmp => builder::icmp_echo_request(from, ask.to, sport, 1, b""),
        Protocol::Other(number) => other(number, from, ask.to),
    }
}

/// Returns the ports that a dry run looked at, from its own evidence.
fn ports_seen(evidence: &Evidence) -> Ports {
    let mut ports = Ports::default();
    for step in &evidence.steps {
        if let (Detail::Translated { after, .. }, Outcome::Translate) = (step.detail, step.outcome)
        {
            match step.stage {
                Stage::PortLease => ports.eni = after.sport,
                Stage::NatGateway | Stage::AppRunner => ports.nat = after.sport,
                _ => {}
            }
        }
    }
    ports
}

/// Returns the ports of a live flow.
fn ports_of(flows: &FlowTable<FlowOutcome>, from: Ipv4Addr, sport: u16) -> Ports {
    let mut ports = Ports::default();
    flows.for_each(|entry| {
        let inside = entry.flow.egress.tuple();
        if inside.src == from && (inside.sport == sport || !inside.protocol.has_ports()) {
            ports.eni = entry.flow.eni.as_ref().map_or(0, |(_, lease)| lease.port());
            ports.nat = entry.flow.nat.as_ref().map_or(0, |(_, lease)| lease.port());
        }
    });
    ports
}

fn said(world: &World, evidence: &Evidence) -> Expected {
    let reason = evidence.denial.map(|Denial { reason, .. }| reason);
    match (evidence.outside, reason) {
        (None, Some(reason)) => Expected::Dies(reason),
        (Some(_), reply_dies) => {
            let local = evidence.steps.iter().find_map(|step| match step.component {
                Component::Resource(r) => Some(world.snapshot.resource(r).subnet),
                _ => None,
            });
            let served = evidence.steps.iter().any(|step| matches!(step.detail, Detail::Exempt(_)));
            let endpoint = evidence.steps.iter().find_map(|step| match step.component {
                Component::GatewayEndpoint(ix) => Some(world.snapshot.gateway_endpoint(ix)),
                _ => None,
            });
            let place = match (local, endpoint) {
                (Some(subnet), _) => DeliveredTo::Vpc(
                    world.snapshot.vpc(world.snapshot.subnet(subnet).vpc).id.clone(),
                ),
                (None, Some(endpoint)) => DeliveredTo::Endpoint(endpoint.id.clone()),
                (None, None) if served => DeliveredTo::Services,
                (None, None) => DeliveredTo::Internet,
            };
            Expected::Reaches { place, reply_dies }
        }
        (None, None) => panic!("neither a way out nor a denial: {evidence:?}"),
    }
}

/// Returns the live engine's verdict on the first packet and on its answer.
fn done(world: &World, bytes: &[u8]) -> Expected {
    let seen = world.push(world.device_of(source(bytes)), bytes, VnetHeader::default());
    let (out, link) = match seen.verdict {
        Verdict::Forward { link, .. } => (seen.tuple.unwrap(), link),
        Verdict::Drop { reason, .. } => return Expected::Dies(reason),
        Verdict::Reply { .. } | Verdict::Hold => panic!("nothing to answer: {seen:?}"),
    };
    assert_checksums(&seen.bytes);
    let place = match link {
        Link::Internet => DeliveredTo::Internet,
        Link::Endpoint(endpoint) => {
            DeliveredTo::Endpoint(world.snapshot.gateway_endpoint(endpoint).id.clone())
        }
        Link::Vpc(vpc) => DeliveredTo::Vpc(world.snapshot.vpc(vpc).id.clone()),
        Link::PublicEndpoint(ix) => {
            let subnet = world.snapshot.subnet(world.snapshot.resource(ix).subnet);
            DeliveredTo::Vpc(world.snapshot.vpc(subnet.vpc).id.clone())
        }
        Link::Services => DeliveredTo::Services,
        Link::Task(_) => panic!("a task's packet came back: {seen:?}"),
    };
    let back = world.push(world.device_toward(link, out.src), &answer(out), VnetHeader::default());
    if let Verdict::Forward { link, .. } = back.verdict {
        assert_eq!(link, Link::Task(source(bytes)));
        assert_eq!(destination(&back.bytes), source(bytes));
    }
    Expected::Reaches { place, reply_dies: back.reason() }
}

/// Bytes per question: service, task, destination, port, protocol, and the number of another
/// protocol.
pub(super) const BYTES_OF_A_QUESTION: usize = 6;

/// Builds a lab from the bytes, asks it questions, and compares. Returns, for each question, the
/// verdict, and whether a peering connection that is not active stopped it behind a NAT gateway,
/// and whether request or reply met a middlebox.
fn agree(lab: &[u8], questions: &[u8]) -> Vec<(Expected, bool, bool)> {
    let text = generator::lab(&mut Tape::new(lab));
    let world = World::new(&text);
    let destinations = destinations(&world);
    let services: Vec<(String, u16)> =
        world.lab.spec.services.iter().map(|s| (s.name.value.clone(), s.tasks)).collect();
    let mut reached = Vec::new();
    for (number, bytes) in questions.chunks(BYTES_OF_A_QUESTION).enumerate() {
        let mut tape = Tape::new(bytes);
        let (service, tasks) = tape.pick(&services);
        let task = 1 + tape.below(usize::from(tasks)) as u16;
        let ask = question(&mut tape, &destinations);
        reached.push(agree_on(&world, (&service, task), ask, 1000 + number as u16, &text));
    }
    reached
}

/// Compares the answers to a question, dry and live, of engine and oracle, and returns them.
#[track_caller]
fn agree_on(
    world: &World,
    (service, task): (&str, u16),
    ask: Question,
    sport: u16,
    text: &str,
) -> (Expected, bool, bool) {
    let from = world.task(service, task);
    let bytes = packet(&ask, from, sport);
    let evidence = world.explain(&bytes);
    let dry = oracle::expect(&world.lab, service, task, ask, ports_seen(&evidence));
    assert_eq!(said(world, &evidence), dry, "explain, {service}/{task} {ask:?}\n{text}");
    let live = done(world, &bytes);
    let ports = ports_of(world.engine.flows(), from, sport);
    let expected = oracle::expect(&world.lab, service, task, ask, ports);
    let expected = on_the_wire(world, expected, ask.to);
    assert_eq!(live, expected, "handle, {service}/{task} {ask:?}\n{text}");
    // A protocol without ports has one lease per destination: give it back.
    world.engine.forget_task(world.now, &world.snapshot, from);
    let is_middlebox = |step: &Step| {
        matches!(
            step.component,
            Component::NetworkInterface(_) | Component::GatewayLoadBalancerEndpoint(_)
        )
    };
    let through = evidence.steps.iter().any(is_middlebox);
    (live, is_stopped_by_a_peering_behind(world, &evidence), through)
}

/// Returns the verdict on a packet that the configuration lets out: a public address may have no
/// host in the lab.
fn on_the_wire(world: &World, expected: Expected, to: Ipv4Addr) -> Expected {
    let is_public = matches!(
        expected,
        Expected::Reaches { place: DeliveredTo::Internet | DeliveredTo::Endpoint(_), .. }
    );
    let has_host = world.lab.spec.internet_hosts.iter().any(|host| host.address.value == to);
    if is_public && !has_host { Expected::Dies(Reason::NoSuchInternetHost) } else { expected }
}

/// Decides whether a NAT gateway drops a packet because the route of its own subnet is to a peering
/// connection that is not active.
fn is_stopped_by_a_peering_behind(world: &World, evidence: &Evidence) -> bool {
    let Some(Denial { reason: Reason::NatBlackhole, decided_by }) = evidence.denial else {
        return false;
    };
    let RuleRef::Route(table, position) = decided_by else { panic!("no route: {decided_by:?}") };
    let target = &world.snapshot.route_table(table).routes[usize::from(position)].target;
    *target == Target::Blackhole(Some("pcx".to_owned()))
}

/// A route to a connection that is not active is a blackhole; behind a NAT gateway it is the
/// gateway's (spec 3.3, 6).
#[test]
fn an_inactive_peering_connection_is_a_blackhole_before_and_behind_a_nat_gateway() {
    let route = r#"{ destination = "10.9.0.0/16", target = "pcx" },"#;
    let direct = with(&peered("10.9.0.0/16", BACK), "to = \"sg-db\"", "to = \"0.0.0.0/0\"");
    let way_out = r#"routes = [{ destination = "0.0.0.0/0", target = "igw" }]"#;
    let behind = with(
        &with(&direct, route, ""),
        way_out,
        &format!("routes = [{route} {{ destination = \"0.0.0.0/0\", target = \"igw\" }}]"),
    );
    let ask = Question { to: CACHE, protocol: Protocol::Tcp, port: 443, icmp: (0, 0) };
    for state in ["pending-acceptance", "rejected", "expired", "deleted"] {
        for (lab, reason) in [(&direct, Reason::RouteBlackhole), (&behind, Reason::NatBlackhole)] {
            let accepter = "accepter_vpc = \"vpc-2\"";
            let lab = with(lab, accepter, &format!("{accepter}\nstate = \"{state}\""));
            let world = World::new(&lab);
            let (said, behind, _) = agree_on(&world, ("web", 1), ask, 1, &lab);
            assert_eq!((said, behind), (Expected::Dies(reason), reason == Reason::NatBlackhole));
        }
    }
    let world = World::new(&behind);
    let (refused, ..) = agree_on(&world, ("web", 1), ask, 1, &behind);
    assert_eq!(refused, Expected::Dies(Reason::SgIngressBehindNat), "active, it gets through");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_with_the_oracle(
        lab in proptest::collection::vec(any::<u8>(), 0..900),
        questions in proptest::collection::vec(any::<u8>(), 6..360),
    ) {
        agree(&lab, &questions);
    }
}

/// The labs must reach every verdict, or agreement would mean little.
#[test]
fn the_generated_labs_reach_every_reason_of_the_walk() {
    let config = Config { cases: 1, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut inactive_peerings_behind = 0;
    for _ in 0..1400 {
        let mut bytes = |count| {
            proptest::collection::vec(any::<u8>(), count).new_tree(&mut runner).unwrap().current()
        };
        for (expected, peering_behind, through) in agree(&bytes(1000), &bytes(360)) {
            inactive_peerings_behind += usize::from(peering_behind);
            let word = match expected {
                Expected::Dies(reason) => reason.name().to_owned(),
                Expected::Reaches { reply_dies: Some(reason), .. } if through => {
                    format!("through a middlebox, {}", reason.name())
                }
                Expected::Reaches { place: DeliveredTo::Internet, .. } if through => {
                    "internet through a middlebox".to_owned()
                }
                Expected::Reaches { place: DeliveredTo::Vpc(_), .. } if through => {
                    "vpc through a middlebox".to_owned()
                }
                Expected::Reaches { place: DeliveredTo::Internet, reply_dies } => {
                    format!("internet {reply_dies:?}")
                }
                Expected::Reaches { place: DeliveredTo::Services, reply_dies } => {
                    format!("services {reply_dies:?}")
                }
                Expected::Reaches { place: DeliveredTo::Endpoint(_), reply_dies } => {
                    format!("endpoint {reply_dies:?}")
                }
                Expected::Reaches { place: DeliveredTo::Vpc(_), reply_dies } => {
                    format!("vpc {reply_dies:?}")
                }
            };
            *seen.entry(word).or_default() += 1;
        }
    }
    let reasons = [
        Reason::SgEgressNoRules,
        Reason::SgEgressImplicitDeny,
        Reason::SgIngressNoRules,
        Reason::SgIngressImplicitDeny,
        Reason::NaclEgressDeny,
        Reason::NaclEgressImplicitDeny,
        Reason::NaclIngressDeny,
        Reason::NaclIngressImplicitDeny,
        Reason::NoRoute,
        Reason::RouteBlackhole,
        Reason::SgIngressBehindNat,
        Reason::SgIngressPublicAddress,
        Reason::SourceDestCheck,
        Reason::MiddleboxLoop,
        Reason::ApplianceSgIngress,
        Reason::ApplianceSgEgress,
        Reason::SgIngressBehindMiddlebox,
        Reason::PeeringOutsideCidr,
        Reason::EndpointProtocol,
        Reason::InterfaceEndpointProtocol,
        Reason::NatGatewayState,
        Reason::NatProtocol,
        Reason::NatNoRoute,
        Reason::NatRoutesToNat,
        Reason::NatBlackhole,
        Reason::NatAddress,
        Reason::IgwNoPublicAddress,
        Reason::IgwPrivateDestination,
        Reason::IgwSharedDestination,
        Reason::IgwPrivateNat,
        Reason::NatHairpin,
        Reason::EniAddress,
        Reason::NoInterface,
        Reason::NoSuchInternetHost,
        Reason::ExemptAddressUnserved,
        Reason::DnsSupportDisabled,
        Reason::DestinationNotUnicast,
        Reason::AppRunnerPrivateDestination,
    ];
    assert!(inactive_peerings_behind > 0, "no inactive peering connection behind a NAT gateway");
    let missing: Vec<_> = reasons.iter().filter(|r| !seen.contains_key(r.name())).collect();
    assert!(missing.is_empty(), "not reached: {missing:?}; reached {seen:#?}");
    for word in [
        "internet None",
        "internet Some(NaclReturnDeny)",
        "internet Some(NaclReturnImplicitDeny)",
        "endpoint None",
        "endpoint Some(NaclReturnDeny)",
        "endpoint Some(NaclReturnImplicitDeny)",
        "services None",
        "vpc None",
        "vpc Some(ReplyNotRoutedBack)",
        "vpc Some(NaclReturnDeny)",
        "internet through a middlebox",
        "vpc through a middlebox",
        "through a middlebox, source-dest-check",
        "through a middlebox, appliance-sg-ingress",
        "through a middlebox, reply-not-routed-back",
        "vpc Some(NaclReturnImplicitDeny)",
    ] {
        assert!(seen.contains_key(word), "not reached: {word}; reached {seen:#?}");
    }
}
