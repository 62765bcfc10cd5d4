//! Compares the steps of a packet with its path, hop by hop, and the links of whole networks with
//! those of their addresses.

use super::agreement::{BYTES_OF_A_QUESTION, destinations, packet, question};
use super::generator::{self, Tape};
use super::world::*;
use crate::pipeline::{Component, Detail, Evidence, Outcome, Stage, Step};
use crate::vpc::path::{self, Attachment, DeadEnd, Hop, Hops, Lead, Link, Middlebox, ReturnTo};
use crate::vpc::{
    Direction, EniIx, NatAddress, NatGatewayIx, Parts, RuleRef, Snapshot, SubnetIx, Target, Task,
};
use ipnetwork::Ipv4Network;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The record that the walk makes of a hop: stage, component, and the route of a table.
type Mark = (Stage, Component, Option<RuleRef>);

fn acl(snapshot: &Snapshot, subnet: SubnetIx) -> Component {
    Component::NetworkAcl(snapshot.subnet(subnet).network_acl, subnet)
}

fn table(snapshot: &Snapshot, subnet: SubnetIx) -> Component {
    Component::RouteTable(snapshot.subnet(subnet).route_table, subnet)
}

fn middlebox(middlebox: Middlebox) -> Component {
    match middlebox {
        Middlebox::Appliance(ix) => Component::NetworkInterface(ix),
        Middlebox::Endpoint(ix) => Component::GatewayLoadBalancerEndpoint(ix),
    }
}

fn of_request(snapshot: &Snapshot, hop: Hop) -> Mark {
    match hop {
        Hop::NetworkAcl { subnet, direction: Direction::Egress, .. } => {
            (Stage::NetworkAclEgress, acl(snapshot, subnet), None)
        }
        Hop::NetworkAcl { subnet, direction: Direction::Ingress, .. } => {
            (Stage::NetworkAclIngress, acl(snapshot, subnet), None)
        }
        Hop::RouteTable { subnet, route } => (Stage::RouteTable, table(snapshot, subnet), route),
        Hop::Middlebox { middlebox: ix, .. } => (Stage::Middlebox, middlebox(ix), None),
        Hop::NatGateway(ix) => (Stage::NatGateway, Component::NatGateway(ix), None),
        Hop::AppRunner => (Stage::AppRunner, Component::AppRunner, None),
        Hop::InternetGateway(vpc) => {
            (Stage::InternetGateway, Component::InternetGateway(vpc), None)
        }
        Hop::PublicEndpoint(ix) => {
            let vpc = snapshot.subnet(snapshot.resource(ix).subnet).vpc;
            (Stage::InternetGateway, Component::InternetGateway(vpc), None)
        }
        Hop::GatewayEndpoint(ix) => (Stage::GatewayEndpoint, Component::GatewayEndpoint(ix), None),
        Hop::Peering(ix) => (Stage::Peering, Component::Peering(ix), None),
        Hop::Resource(_, ix) => (Stage::Deliver, Component::Resource(ix), None),
        Hop::Internet => (Stage::Deliver, Component::Internet, None),
        Hop::EndpointService(ix) => (Stage::Deliver, Component::GatewayEndpoint(ix), None),
    }
}

/// Returns the marks of a reply. The gateways pass replies without a step, and a local route that
/// only delivers has none.
fn of_reply(snapshot: &Snapshot, hops: &[Hop]) -> Vec<Mark> {
    let mut behind_middlebox = false;
    let mut marks = Vec::new();
    for hop in hops {
        match *hop {
            Hop::NetworkAcl { subnet, .. } => {
                marks.push((Stage::NetworkAclReturn, acl(snapshot, subnet), None));
            }
            Hop::RouteTable { subnet, route } => {
                if behind_middlebox || !is_local(snapshot, route.unwrap()) {
                    marks.push((Stage::RouteTableReturn, table(snapshot, subnet), route));
                }
            }
            Hop::Middlebox { middlebox: ix, .. } => {
                behind_middlebox = true;
                marks.push((Stage::MiddleboxReturn, middlebox(ix), None));
            }
            Hop::NatGateway(_) | Hop::PublicEndpoint(_) => behind_middlebox = false,
            Hop::InternetGateway(_) | Hop::GatewayEndpoint(_) | Hop::Peering(_) => {}
            _ => panic!("no hop of a reply: {hop:?}"),
        }
    }
    marks
}

fn is_local(snapshot: &Snapshot, route: RuleRef) -> bool {
    let RuleRef::Route(table, position) = route else { panic!("no route: {route:?}") };
    snapshot.route_table(table).routes[usize::from(position)].target == Target::Local
}

const REQUEST: [Stage; 10] = [
    Stage::NetworkAclEgress,
    Stage::NetworkAclIngress,
    Stage::RouteTable,
    Stage::Middlebox,
    Stage::NatGateway,
    Stage::AppRunner,
    Stage::InternetGateway,
    Stage::GatewayEndpoint,
    Stage::Peering,
    Stage::Deliver,
];
const REPLY: [Stage; 3] =
    [Stage::NetworkAclReturn, Stage::RouteTableReturn, Stage::MiddleboxReturn];

/// Compares the steps of some stages with a list; `dropped` is set if the packet got no further
/// than the last step.
#[track_caller]
fn compare(steps: &[Step], hops: &[Mark], dead_end: Option<DeadEnd>, dropped: bool) {
    let met = |step: &Step, (stage, component, route): Mark| {
        let by_table = stage == Stage::RouteTable || stage == Stage::RouteTableReturn;
        let rest = step.stage == stage && (!by_table || step.rule == route);
        // A drop has the stage of its reason: at a gateway, an appliance or a resource that may be
        // another.
        let of_its_own = matches!(
            component,
            Component::NatGateway(_)
                | Component::NetworkInterface(_)
                | Component::Resource(_)
                | Component::AppRunner
                | Component::Vpc(_)
        );
        step.component == component && (rest || step.outcome == Outcome::Drop && of_its_own)
    };
    for (step, hop) in steps.iter().zip(hops) {
        assert!(met(step, *hop), "{step:?} is not {hop:?} of {hops:?}");
    }
    match steps.get(hops.len()..).unwrap_or(&[]) {
        [] if steps.len() == hops.len() => {
            assert!(dropped || dead_end.is_none(), "passed {dead_end:?}");
        }
        [] => assert!(dropped, "the walk ends before {:?}", hops[steps.len()]),
        [last] => {
            assert!(dead_end.is_some() && last.outcome == Outcome::Drop, "{last:?} is on no list");
        }
        more => panic!("on no list: {more:?}"),
    }
}

fn of_stages(evidence: &Evidence, stages: &[Stage]) -> Vec<Step> {
    evidence.steps.iter().filter(|step| stages.contains(&step.stage)).copied().collect()
}

/// Returns the address that a NAT gateway gave the request.
fn nat_address(snapshot: &Snapshot, evidence: &Evidence) -> Option<(NatGatewayIx, NatAddress)> {
    evidence.steps.iter().find_map(|step| match (step.component, step.detail) {
        (Component::NatGateway(ix), Detail::Translated { after, .. }) => {
            let mut all = snapshot.nat_gateway(ix).addresses.iter();
            Some((ix, *all.find(|own| own.private == after.src).unwrap()))
        }
        _ => None,
    })
}

/// Compares the steps of `egret explain` with the path of the packet. Returns the path, unless the
/// packet is for an exempt address, which has none.
#[track_caller]
fn follow(world: &World, task: &Task, bytes: &[u8]) -> Option<(Hops, Hops)> {
    let (snapshot, to) = (&world.snapshot, destination(bytes));
    let evidence = world.explain(bytes);
    if evidence.steps.iter().any(|step| matches!(step.detail, Detail::Exempt(_))) {
        return None;
    }
    let from = snapshot.attachment(task).unwrap();
    let path = path::resolve(snapshot, from, to);
    assert_eq!(path.request, path::request(snapshot, from, to));
    let marks: Vec<_> =
        path.request.as_slice().iter().map(|hop| of_request(snapshot, *hop)).collect();
    let steps = of_stages(&evidence, &REQUEST);
    compare(&steps, &marks, path.request.dead_end, evidence.outside.is_none());
    if evidence.outside.is_none() {
        assert_eq!(of_stages(&evidence, &REPLY), []);
        return Some((path.request, Hops::default()));
    }
    let return_to = match from {
        Attachment::AppRunner => ReturnTo::AppRunner,
        Attachment::Eni(eni) => {
            let address = snapshot.eni(eni).address;
            ReturnTo::Eni { eni, address, nat_gateway: nat_address(snapshot, &evidence) }
        }
    };
    let reply = path::reply(snapshot, return_to, to);
    assert_eq!(reply, path.reply, "all addresses of a gateway are of one subnet");
    let steps = of_stages(&evidence, &REPLY);
    let dropped = evidence.denial.is_some();
    compare(&steps, &of_reply(snapshot, reply.as_slice()), reply.dead_end, dropped);
    Some((path.request, reply))
}

fn longest(leads: &[Lead], to: Ipv4Addr) -> Lead {
    let of = leads.iter().filter(|lead| lead.to.contains(to));
    *of.max_by_key(|lead| lead.to.prefix()).expect("the leads hold every address")
}

/// Returns the link that route tables see: to them, a public endpoint is on the internet.
fn by_tables(link: Link) -> Link {
    if let Link::PublicEndpoint(_) = link { Link::Internet } else { link }
}

/// Compares a list with the lead of the whole network that contains its destination. The checks at
/// the end of a VPC do not concern route tables.
#[track_caller]
fn agrees(lead: Lead, hops: &Hops, to: Ipv4Addr) {
    match hops.dead_end {
        None => assert_eq!(lead.end, Ok(by_tables(hops.link())), "{to}"),
        Some(DeadEnd::NoInterface(vpc)) => assert_eq!(lead.end, Ok(Link::Vpc(vpc)), "{to}"),
        Some(DeadEnd::EniAddress(_) | DeadEnd::NatAddress(_)) => {
            assert!(matches!(lead.end, Ok(Link::Vpc(_))), "{to} {lead:?}");
        }
        Some(dead_end) => assert_eq!(lead.end, Err(dead_end), "{to}"),
    }
}

fn first_route(hops: &Hops) -> Option<RuleRef> {
    hops.as_slice().iter().find_map(|hop| match hop {
        Hop::RouteTable { route, .. } => Some(*route),
        _ => None,
    })?
}

/// Compares the results for whole networks with the lists for addresses in them.
fn networks_agree(snapshot: &Snapshot, addresses: &[Ipv4Addr]) {
    let Parts { enis, nat_gateways, .. } = snapshot.parts();
    for (eni, subnet) in (0..).map(EniIx).zip(enis.iter().map(|eni| eni.subnet)) {
        let leads = path::leads(snapshot, subnet);
        let prefixes = path::prefixes(snapshot, subnet);
        for &to in addresses {
            let hops = path::request(snapshot, Attachment::Eni(eni), to);
            let lead = longest(&leads, to);
            agrees(lead, &hops, to);
            assert_eq!(lead.nat_gateway, hops.nat_gateway(), "{to}");
            match hops.dead_end {
                Some(DeadEnd::NoRoute(_) | DeadEnd::Blackhole(..) | DeadEnd::Loop(..)) => {}
                _ => assert_eq!(lead.route, first_route(&hops), "{to}"),
            }
            if hops.dead_end.is_none() {
                assert_eq!(
                    link_of(snapshot, subnet, &prefixes, to),
                    Some(by_tables(hops.link())),
                    "{to}"
                );
            }
        }
    }
    for ix in (0..nat_gateways.len()).map(NatGatewayIx::from) {
        let leads = path::leads_beyond(snapshot, ix);
        for &to in addresses {
            agrees(longest(&leads, to), &path::request_beyond(snapshot, ix, to), to);
        }
    }
}

/// Returns the link of the longest prefix that leads anywhere.
fn link_of(
    snapshot: &Snapshot,
    from: SubnetIx,
    prefixes: &BTreeSet<Ipv4Network>,
    to: Ipv4Addr,
) -> Option<Link> {
    let longest =
        prefixes.iter().filter(|prefix| prefix.contains(to)).max_by_key(|prefix| prefix.prefix());
    path::link(snapshot, from, *longest?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn steps_of_a_walk_are_the_hops_of_its_path(
        lab in proptest::collection::vec(any::<u8>(), 0..500),
        questions in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        let world = World::new(&generator::lab(&mut Tape::new(&lab)));
        let (destinations, tasks) = (destinations(&world), world.tasks().collect::<Vec<_>>());
        for bytes in questions.chunks(BYTES_OF_A_QUESTION) {
            let mut tape = Tape::new(bytes);
            let from = tape.pick(&tasks);
            let ask = question(&mut tape, &destinations);
            let task = *world.snapshot.task(from).unwrap();
            follow(&world, &task, &packet(&ask, from, 1000));
        }
    }

    #[test]
    fn networks_are_led_where_their_addresses_are(
        lab in proptest::collection::vec(any::<u8>(), 0..500),
        more in proptest::collection::vec(any::<u32>(), 0..20),
    ) {
        let world = World::new(&generator::lab(&mut Tape::new(&lab)));
        let mut addresses = destinations(&world);
        addresses.extend(more.into_iter().map(Ipv4Addr::from));
        networks_agree(&world.snapshot, &addresses);
    }
}

/// Returns the name of a variant.
fn name(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// The random labs must have all that the properties compare.
#[test]
fn random_labs_have_every_hop_and_dead_end() {
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 500);
    let mut met = BTreeSet::new();
    for _ in 0..400 {
        let tape = bytes.new_tree(&mut runner).unwrap().current();
        let world = World::new(&generator::lab(&mut Tape::new(&tape)));
        for from in world.tasks() {
            let task = *world.snapshot.task(from).unwrap();
            for to in destinations(&world) {
                let Some((request, reply)) = follow(&world, &task, &syn(from, 1000, (to, 443)))
                else {
                    continue;
                };
                let ends = request.dead_end.into_iter().chain(reply.dead_end);
                met.extend(ends.map(|dead_end| name(&dead_end)));
                met.extend(request.as_slice().iter().chain(reply.as_slice()).map(name));
            }
        }
    }
    let expected = [
        "AppRunner",
        "Blackhole",
        "EndpointService",
        "EniAddress",
        "GatewayEndpoint",
        "Internet",
        "InternetGateway",
        "Loop",
        "Middlebox",
        "NatAddress",
        "NatBlackhole",
        "NatGateway",
        "NatLoop",
        "NatNoRoute",
        "NatToNat",
        "NetworkAcl",
        "NoInterface",
        "NoRoute",
        "NotRoutedBack",
        "OutsidePeer",
        "Peering",
        "PublicEndpoint",
        "Resource",
        "RouteTable",
    ];
    assert_eq!(met.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
