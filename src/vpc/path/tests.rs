//! Tests of the lists of hops, for each kind of path.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "tests")]

mod leads;

use super::*;
use crate::config::Lab;
use crate::vpc::{
    Destination, Direction, EniIx, Generation, NatAddress, NatGatewayIx, PeeringIx, RuleRef,
    SubnetIx, VpcIx,
};
use ipnetwork::Ipv4Network;
use std::fmt::Write;

/// Subnets of `vpc`, by the last word of their ids and tables, and of `vpc-2`.
const SUBNETS: [(&str, &str, &str); 6] = [
    ("vpc", "public", "10.0.0.0/24"),
    ("vpc", "a", "10.0.1.0/24"),
    ("vpc", "data", "10.0.3.0/24"),
    ("vpc", "fw", "10.0.4.0/24"),
    ("vpc", "gwlb", "10.0.5.0/24"),
    ("vpc-2", "cache", "10.9.1.0/24"),
];

/// Tasks in `a`; gateways, middleboxes and resources for routes and probes.
const OBJECTS: &str = r#"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc"
accepter_vpc = "vpc-2"
[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
[[nat_gateway]]
id = "nat"
subnet = "public"
[[nat_gateway]]
id = "nat-private"
subnet = "public"
connectivity = "private"
[[nat_gateway]]
id = "nat-own"
subnet = "a"
[[nat_gateway]]
id = "nat-fw"
subnet = "fw"
connectivity = "private"
[[resource]]
name = "neighbour"
subnet = "a"
address = "10.0.1.10"
[[resource]]
name = "db"
subnet = "data"
address = "10.0.3.10"
[[resource]]
name = "cache"
subnet = "cache"
address = "10.9.1.10"
[[resource]]
name = "firewall"
subnet = "fw"
address = "10.0.4.10"
network_interface = "eni-fw"
source_dest_check = false
[[vpc_endpoint]]
id = "vpce-gwlb"
vpc = "vpc"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-1"
subnets = ["gwlb"]
[[vpc_connector]]
name = "c"
subnets = ["a"]
[[service]]
name = "web"
egress = "vpc"
vpc_connector = "c"
[[service]]
name = "public"
egress = "default"
"#;

fn table(vpc: &str, id: &str, routes: &str) -> String {
    let routes = routes.split(", ").filter(|route| !route.is_empty()).map(|route| {
        let (destination, target) = route.split_once(" > ").unwrap();
        format!("{{ destination = \"{destination}\", target = \"{target}\" }}")
    });
    let routes = routes.collect::<Vec<_>>().join(", ");
    format!("[[route_table]]\nid = \"rtb-{id}\"\nvpc = \"{vpc}\"\nroutes = [{routes}]\n")
}

fn subnet(vpc: &str, id: &str, cidr: &str) -> String {
    format!(
        "[[subnet]]\nid = \"{id}\"\nvpc = \"{vpc}\"\navailability_zone = \"us-east-1a\"\ncidr = \"{cidr}\"\n\
         route_table = \"rtb-{id}\"\n"
    )
}

/// Lowers the lab with these routes, `destination > target, ...`, of the tables of subnets.
#[track_caller]
fn lab(routes: &[(&str, &str)]) -> Snapshot {
    lab_and(routes, "")
}

#[track_caller]
fn lab_and(routes: &[(&str, &str)], more: &str) -> Snapshot {
    let mut text = "[[vpc]]\nid = \"vpc\"\ncidr = \"10.0.0.0/16\"\ninternet_gateway = \"igw\"\n\
                    [[vpc]]\nid = \"vpc-2\"\ncidr = \"10.9.0.0/16\"\ninternet_gateway = \"igw-2\"\n"
        .to_owned();
    for (vpc, id, cidr) in SUBNETS {
        let own = routes.iter().find(|(of, _)| *of == id).map_or("", |(_, routes)| routes);
        text += &subnet(vpc, id, cidr);
        text += &table(vpc, id, own);
    }
    match Lab::parse("lab.toml", &(text + OBJECTS + more)) {
        Ok(lab) => lab.lower(Generation(1)),
        Err(errors) => panic!("{errors}"),
    }
}

const ENI: Attachment = Attachment::Eni(EniIx(0));
const DB: &str = "10.0.3.10";
const CACHE: &str = "10.9.1.10";
const HOST: &str = "203.0.113.10";

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn ix(snapshot: &Snapshot, id: &str) -> SubnetIx {
    snapshot.parts().subnets.iter().position(|subnet| subnet.id == id).unwrap().into()
}

fn gateway(snapshot: &Snapshot, id: &str) -> NatGatewayIx {
    snapshot.parts().nat_gateways.iter().position(|gateway| gateway.id == id).unwrap().into()
}

fn route_of(snapshot: &Snapshot, rule: RuleRef) -> String {
    match rule {
        RuleRef::Route(table, position) => {
            match snapshot.route_table(table).routes[usize::from(position)].destination {
                Destination::Cidr(network) => network.to_string(),
                Destination::PrefixList(list) => snapshot.prefix_list(list).id.clone(),
            }
        }
        RuleRef::RouteTable(table) => snapshot.route_table(table).id.clone(),
        other => panic!("no route: {other:?}"),
    }
}

fn hop(snapshot: &Snapshot, hop: Hop) -> String {
    let id = |subnet| &snapshot.subnet(subnet).id;
    match hop {
        Hop::NetworkAcl { subnet, direction, crossed } => {
            let way = if direction == Direction::Egress { "out" } else { "in" };
            format!("{way} {}{}", id(subnet), if crossed { "" } else { " (same)" })
        }
        Hop::RouteTable { subnet, route: Some(route) } => {
            format!("{}: {}", id(subnet), route_of(snapshot, route))
        }
        Hop::RouteTable { subnet, route: None } => format!("{}: none", id(subnet)),
        Hop::Middlebox { middlebox, saw_request } => {
            let name = match middlebox {
                Middlebox::Appliance(ix) => &snapshot.resource(ix).name,
                Middlebox::Endpoint(ix) => &snapshot.gateway_load_balancer_endpoint(ix).id,
            };
            format!("{name}{}", if saw_request { " (saw request)" } else { "" })
        }
        Hop::NatGateway(ix) => snapshot.nat_gateway(ix).id.clone(),
        Hop::AppRunner => "App Runner".to_owned(),
        Hop::InternetGateway(vpc) => {
            snapshot.vpc(vpc).internet_gateway.as_ref().unwrap().id.clone()
        }
        Hop::PublicEndpoint(ix) => {
            let vpc = snapshot.subnet(snapshot.resource(ix).subnet).vpc;
            format!("{} (in)", snapshot.vpc(vpc).internet_gateway.as_ref().unwrap().id)
        }
        Hop::GatewayEndpoint(ix) => snapshot.gateway_endpoint(ix).id.clone(),
        Hop::Peering(ix) => snapshot.peering(ix).id.clone(),
        Hop::Resource(_, ix) => format!("[{}]", snapshot.resource(ix).name),
        Hop::Internet => "[internet]".to_owned(),
        Hop::EndpointService(_) => "[service]".to_owned(),
    }
}

/// Formats the hops and the end of a list.
fn shown(snapshot: &Snapshot, hops: &Hops) -> String {
    let each: Vec<_> = hops.as_slice().iter().map(|h| hop(snapshot, *h)).collect();
    let mut text = each.join(" > ");
    if let Some(dead_end) = hops.dead_end {
        let _ = write!(text, " ! {}", end(snapshot, dead_end));
    }
    text
}

fn end(snapshot: &Snapshot, dead_end: DeadEnd) -> String {
    let id = |subnet| &snapshot.subnet(subnet).id;
    let nat = |ix| &snapshot.nat_gateway(ix).id;
    let route = |rule| route_of(snapshot, rule);
    match dead_end {
        DeadEnd::NoRoute(at) => format!("NoRoute {}", id(at)),
        DeadEnd::Blackhole(at, rule) => format!("Blackhole {} {}", id(at), route(rule)),
        DeadEnd::Loop(at, rule) => format!("Loop {} {}", id(at), route(rule)),
        DeadEnd::NatNoRoute(ix) => format!("NatNoRoute {}", nat(ix)),
        DeadEnd::NatBlackhole(ix, rule) => format!("NatBlackhole {} {}", nat(ix), route(rule)),
        DeadEnd::NatLoop(ix, rule) => format!("NatLoop {} {}", nat(ix), route(rule)),
        DeadEnd::NatToNat(ix, rule) => format!("NatToNat {} {}", nat(ix), route(rule)),
        DeadEnd::OutsidePeer(ix) => format!("OutsidePeer {}", snapshot.peering(ix).id),
        DeadEnd::NoInterface(vpc) => format!("NoInterface {}", snapshot.vpc(vpc).id),
        DeadEnd::EniAddress(_) => "EniAddress".to_owned(),
        DeadEnd::NatAddress(ix) => format!("NatAddress {}", nat(ix)),
        DeadEnd::NotRoutedBack(at, rule) => format!("NotRoutedBack {} {}", id(at), route(rule)),
    }
}

/// Checks the lists of the request and of the reply.
#[track_caller]
fn check(snapshot: &Snapshot, to: &str, request: &str, reply: &str) {
    let path = resolve(snapshot, ENI, ip(to));
    let found = (shown(snapshot, &path.request), shown(snapshot, &path.reply));
    assert_eq!(found, (request.to_owned(), reply.to_owned()));
}

/// Checks the list of a request that does not arrive, which has no reply.
#[track_caller]
fn dies(snapshot: &Snapshot, to: &str, request: &str) {
    check(snapshot, to, request, "");
}

#[test]
fn same_subnet_asks_neither_acls_nor_routes() {
    check(&lab(&[]), "10.0.1.10", "out a (same) > a: none > [neighbour]", "");
}

fn return_to(snapshot: &Snapshot, nat_gateway: Option<(NatGatewayIx, Ipv4Addr)>) -> ReturnTo {
    let eni = EniIx(0);
    let nat_gateway = nat_gateway.map(|(ix, private)| {
        let mut all = snapshot.nat_gateway(ix).addresses.iter();
        let own = all.find(|own| own.private == private);
        (ix, own.copied().unwrap_or(NatAddress { private, public: None }))
    });
    ReturnTo::Eni { eni, address: snapshot.eni(eni).address, nat_gateway }
}

#[test]
fn local_crosses_both_acls_there_and_back() {
    let request = "out a > a: 10.0.0.0/16 > in data > [db]";
    check(&lab(&[]), DB, request, "out data > data: 10.0.0.0/16 > in a");
}

const OUT: (&str, &str) = ("public", "0.0.0.0/0 > igw");

#[test]
fn nat_gateway_consults_its_own_table_before_its_own_acl() {
    let snapshot = lab(&[("a", "0.0.0.0/0 > nat"), OUT]);
    check(
        &snapshot,
        HOST,
        "out a > a: 0.0.0.0/0 > in public > nat > public: 0.0.0.0/0 > out public > igw > [internet]",
        "igw > in public > nat > out public > public: 10.0.0.0/16 > in a",
    );
    let path = resolve(&snapshot, ENI, ip(HOST));
    assert_eq!(path.request.nat_gateway(), Some(gateway(&snapshot, "nat")));
    assert!(path.request.pass_internet_gateway());
    let beyond = "public: 0.0.0.0/0 > out public > igw > [internet]";
    let from_gateway = request_beyond(&snapshot, gateway(&snapshot, "nat"), ip(HOST));
    assert_eq!(shown(&snapshot, &from_gateway), beyond);
    let back = "out public > public: 10.0.0.0/16 > in a";
    let nat = gateway(&snapshot, "nat");
    let from_gateway =
        reply_beyond(&snapshot, (EniIx(0), snapshot.eni(EniIx(0)).address), nat, ip(HOST));
    assert_eq!(shown(&snapshot, &from_gateway), format!("nat > {back}"));
}

#[test]
fn nat_gateway_in_the_subnet_of_the_eni_is_reached_without_crossing_an_acl() {
    // One table leads the task's packets and the gateway's own.
    let snapshot = lab(&[("a", "0.0.0.0/0 > nat-own, 203.0.113.0/24 > igw")]);
    dies(
        &snapshot,
        "198.18.0.1",
        "out a (same) > a: 0.0.0.0/0 > in a (same) > nat-own ! NatToNat nat-own 0.0.0.0/0",
    );
    check(&snapshot, HOST, "out a > a: 203.0.113.0/24 > igw > [internet]", "igw > in a");
}

#[test]
fn nat_gateway_in_the_subnet_of_a_middlebox_is_entered_from_there() {
    let routes = [("a", "0.0.0.0/0 > eni-fw"), ("fw", "0.0.0.0/0 > nat-fw")];
    dies(
        &lab(&routes),
        HOST,
        "out a > a: 0.0.0.0/0 > in fw > firewall > out fw (same) > fw: 0.0.0.0/0 > in fw (same) > nat-fw \
         ! NatToNat nat-fw 0.0.0.0/0",
    );
}

#[test]
fn nat_gateway_behind_a_middlebox() {
    let snapshot = lab(&[("a", "0.0.0.0/0 > eni-fw"), ("fw", "0.0.0.0/0 > nat"), OUT]);
    check(
        &snapshot,
        HOST,
        "out a > a: 0.0.0.0/0 > in fw > firewall > out fw > fw: 0.0.0.0/0 > in public > nat > \
         public: 0.0.0.0/0 > out public > igw > [internet]",
        "igw > in public > nat > out public > public: 10.0.0.0/16 > in a",
    );
}

#[test]
fn middlebox_behind_a_nat_gateway() {
    let routes = [
        ("a", "0.0.0.0/0 > nat"),
        ("public", "0.0.0.0/0 > vpce-gwlb"),
        ("gwlb", "0.0.0.0/0 > igw"),
    ];
    check(
        &lab(&routes),
        HOST,
        "out a > a: 0.0.0.0/0 > in public > nat > public: 0.0.0.0/0 > out public > in gwlb > vpce-gwlb > \
         out gwlb > gwlb: 0.0.0.0/0 > igw > [internet]",
        "igw > in public > nat > out public > public: 10.0.0.0/16 > in a",
    );
}

#[test]
fn private_nat_gateway_leads_to_a_resource_of_the_vpc_by_a_route_to_its_subnet() {
    check(
        &lab(&[("a", "10.0.3.0/24 > nat-private")]),
        DB,
        "out a > a: 10.0.3.0/24 > in public > nat-private > public: 10.0.0.0/16 > out public > in data > [db]",
        "out data > data: 10.0.0.0/16 > in public > nat-private > out public > public: 10.0.0.0/16 > in a",
    );
}

#[test]
fn private_nat_gateway_leads_to_an_internet_gateway_that_judges_it_there() {
    check(
        &lab(&[("a", "0.0.0.0/0 > nat-private"), OUT]),
        HOST,
        "out a > a: 0.0.0.0/0 > in public > nat-private > public: 0.0.0.0/0 > out public > igw > [internet]",
        "igw > in public > nat-private > out public > public: 10.0.0.0/16 > in a",
    );
}

#[test]
fn peering_there_and_back() {
    let there = "out a > a: 10.9.0.0/16 > pcx > in cache > [cache]";
    let back = [("a", "10.9.0.0/16 > pcx"), ("cache", "10.0.1.0/24 > pcx")];
    check(&lab(&back), CACHE, there, "out cache > cache: 10.0.1.0/24 > pcx > in a");
    let none = [("a", "10.9.0.0/16 > pcx")];
    check(&lab(&none), CACHE, there, "out cache ! NotRoutedBack cache rtb-cache");
    let astray = [none[0], ("cache", "10.0.0.0/8 > igw-2, 10.0.9.0/24 > pcx")];
    check(&lab(&astray), CACHE, there, "out cache ! NotRoutedBack cache 10.0.0.0/8");
    let removed = [none[0], ("cache", "10.0.1.0/24 > blackhole, 10.0.0.0/16 > pcx")];
    check(&lab(&removed), CACHE, there, "out cache ! NotRoutedBack cache 10.0.1.0/24");
}

#[test]
fn peering_leads_no_further_than_the_peer() {
    let snapshot = lab(&[("a", "0.0.0.0/0 > pcx"), ("cache", "0.0.0.0/0 > igw-2")]);
    dies(&snapshot, HOST, "out a > a: 0.0.0.0/0 ! OutsidePeer pcx");
    dies(&snapshot, "10.9.1.77", "out a > a: 0.0.0.0/0 > pcx > in cache ! NoInterface vpc-2");
    dies(&snapshot, "10.9.7.1", "out a > a: 0.0.0.0/0 > pcx ! NoInterface vpc-2");
}

#[test]
fn gateway_endpoint_before_and_behind_a_nat_gateway() {
    let before = lab(&[("a", "pl > vpce, 0.0.0.0/0 > nat"), OUT]);
    check(&before, "192.0.2.1", "out a > a: pl > vpce > [service]", "vpce > in a");
    let behind = lab(&[("a", "0.0.0.0/0 > nat"), ("public", "pl > vpce, 0.0.0.0/0 > igw")]);
    check(
        &behind,
        "192.0.2.1",
        "out a > a: 0.0.0.0/0 > in public > nat > public: pl > out public > vpce > [service]",
        "vpce > in public > nat > out public > public: 10.0.0.0/16 > in a",
    );
}

/// Returns the lab text and the hops of `length` appliances in a row, each in a subnet of its own,
/// to the database's subnet.
fn chain(length: usize) -> (String, String) {
    let mut text = String::new();
    let mut hops = "out a > a: 10.0.3.0/24".to_owned();
    for n in 1..=length {
        let next = format!("10.0.3.0/24 > eni-{}", n + 1);
        let routes = if n < length { next.as_str() } else { "" };
        let (id, net) = (format!("box-{n}"), 20 + n);
        text += &subnet("vpc", &id, &format!("10.0.{net}.0/24"));
        text += &table("vpc", &id, routes);
        let _ = writeln!(
            text,
            "[[resource]]\nname = \"{n}\"\nsubnet = \"{id}\"\naddress = \"10.0.{net}.10\"\n\
             network_interface = \"eni-{n}\"\nsource_dest_check = false"
        );
        if n <= 8 {
            let by = if n < length { "10.0.3.0/24" } else { "10.0.0.0/16" };
            let _ = write!(hops, " > in {id} > {n} > out {id}");
            if n < 8 || n == length {
                let _ = write!(hops, " > {id}: {by}");
            }
        }
    }
    (text, hops)
}

#[test]
fn eight_middleboxes_in_a_row_are_passed_and_nine_are_not() {
    let first = [("a", "10.0.3.0/24 > eni-1")];
    let (more, hops) = chain(8);
    let reply = "out data > data: 10.0.0.0/16 > in a";
    check(&lab_and(&first, &more), DB, &format!("{hops} > in data > [db]"), reply);
    let (more, hops) = chain(9);
    dies(&lab_and(&first, &more), DB, &format!("{hops} ! Loop box-8 10.0.3.0/24"));
}

#[test]
fn middlebox_that_leads_back_to_a_subnet_is_a_loop() {
    let itself = lab(&[("a", "0.0.0.0/0 > eni-fw"), ("fw", "0.0.0.0/0 > eni-fw")]);
    let first = "out a > a: 0.0.0.0/0 > in fw > firewall";
    dies(&itself, HOST, &format!("{first} > out fw ! Loop fw 0.0.0.0/0"));
    let two = [
        ("a", "0.0.0.0/0 > eni-fw"),
        ("fw", "0.0.0.0/0 > vpce-gwlb"),
        ("gwlb", "0.0.0.0/0 > eni-fw"),
    ];
    let second = "out fw > fw: 0.0.0.0/0 > in gwlb > vpce-gwlb > out gwlb";
    dies(&lab(&two), HOST, &format!("{first} > {second} ! Loop gwlb 0.0.0.0/0"));
}

#[test]
fn middlebox_in_the_subnet_of_the_destination_delivers_without_a_route() {
    check(
        &lab(&[("a", "10.0.4.0/24 > eni-fw"), ("fw", "10.0.1.0/24 > blackhole")]),
        "10.0.4.10",
        "out a > a: 10.0.4.0/24 > in fw > firewall > out fw (same) > fw: none > [firewall]",
        "out fw ! NotRoutedBack fw 10.0.1.0/24",
    );
}

#[test]
fn dead_ends_of_the_own_subnet() {
    let snapshot = lab(&[("a", "203.0.113.0/24 > blackhole")]);
    dies(&snapshot, "198.18.0.1", "out a ! NoRoute a");
    dies(&snapshot, HOST, "out a ! Blackhole a 203.0.113.0/24");
    dies(&snapshot, "10.0.3.77", "out a > a: 10.0.0.0/16 > in data ! NoInterface vpc");
    dies(&snapshot, "10.0.99.1", "out a > a: 10.0.0.0/16 ! NoInterface vpc");
    dies(&snapshot, "10.0.1.77", "out a (same) > a: none ! NoInterface vpc");
    let eni = snapshot.eni(EniIx(0)).address.to_string();
    dies(&snapshot, &eni, "out a (same) > a: none ! EniAddress");
    let nat = snapshot.nat_gateway(gateway(&snapshot, "nat")).private_address().to_string();
    dies(&snapshot, &nat, "out a > a: 10.0.0.0/16 > in public ! NatAddress nat");
}

#[test]
fn dead_ends_behind_a_middlebox_are_of_its_subnet() {
    let first = "out a > a: 0.0.0.0/0 > in fw > firewall > out fw";
    let nothing = lab(&[("a", "0.0.0.0/0 > eni-fw")]);
    dies(&nothing, HOST, &format!("{first} ! NoRoute fw"));
    let removed = lab(&[("a", "0.0.0.0/0 > eni-fw"), ("fw", "0.0.0.0/0 > blackhole")]);
    dies(&removed, HOST, &format!("{first} ! Blackhole fw 0.0.0.0/0"));
}

#[test]
fn dead_ends_behind_a_nat_gateway_are_its_own() {
    let dies_at = |public: &str, end: &str| {
        let snapshot = lab(&[("a", "0.0.0.0/0 > nat"), ("public", public)]);
        dies(&snapshot, HOST, &format!("out a > a: 0.0.0.0/0 > in public > nat{end}"));
    };
    dies_at("", " ! NatNoRoute nat");
    dies_at("203.0.113.0/24 > blackhole", " ! NatBlackhole nat 203.0.113.0/24");
    dies_at("0.0.0.0/0 > nat-own", " ! NatToNat nat 0.0.0.0/0");
    dies_at("0.0.0.0/0 > pcx", " > public: 0.0.0.0/0 > out public ! OutsidePeer pcx");
    let own = lab(&[("a", "0.0.0.0/0 > nat-fw"), ("fw", "0.0.0.0/0 > eni-fw")]);
    dies(&own, HOST, "out a > a: 0.0.0.0/0 > in fw > nat-fw ! NatLoop nat-fw 0.0.0.0/0");
}

#[test]
fn reply_depends_on_the_nat_gateway_that_it_returns_to() {
    let snapshot = lab(&[
        ("public", "10.9.0.0/16 > pcx"),
        ("fw", "10.9.0.0/16 > pcx"),
        ("cache", "10.0.0.0/24 > pcx"),
    ]);
    let to = |nat_gateway: Option<&str>| {
        let nat_gateway = nat_gateway.map(|id| {
            let ix = gateway(&snapshot, id);
            (ix, snapshot.nat_gateway(ix).private_address())
        });
        shown(&snapshot, &reply(&snapshot, return_to(&snapshot, nat_gateway), ip(CACHE)))
    };
    assert_eq!(
        to(Some("nat-private")),
        "out cache > cache: 10.0.0.0/24 > pcx > in public > nat-private > out public > public: 10.0.0.0/16 > in a"
    );
    assert_eq!(to(Some("nat-fw")), "out cache ! NotRoutedBack cache rtb-cache");
    // The ENI has no route there any more; the peer still answers.
    assert_eq!(to(None), "out cache ! NotRoutedBack cache rtb-cache");
}

#[test]
fn reply_to_a_request_that_lost_its_route_returns_by_the_peering_connection() {
    let snapshot = lab(&[("cache", "10.0.0.0/16 > pcx")]);
    let to = return_to(&snapshot, None);
    let found = shown(&snapshot, &reply(&snapshot, to, ip(CACHE)));
    assert_eq!(found, "out cache > cache: 10.0.0.0/16 > pcx > in a");
}

#[test]
fn reply_through_a_middlebox_knows_whether_it_saw_the_request() {
    let direct = "out a > a: 10.0.0.0/16 > in data > [db]";
    let inspected =
        "out a > a: 10.0.3.0/24 > in fw > firewall > out fw > fw: 10.0.0.0/16 > in data > [db]";
    let back = |box_: &str| {
        format!("out data > data: 10.0.1.0/24 > in fw > {box_} > out fw > fw: 10.0.0.0/16 > in a")
    };
    let data = ("data", "10.0.1.0/24 > eni-fw");
    check(&lab(&[data]), DB, direct, &back("firewall"));
    let both = lab(&[("a", "10.0.3.0/24 > eni-fw"), data]);
    check(&both, DB, inspected, &back("firewall (saw request)"));
    let only_there = lab(&[("a", "10.0.3.0/24 > eni-fw")]);
    check(&only_there, DB, inspected, "out data > data: 10.0.0.0/16 > in a");
}

#[test]
fn app_runner_leads_to_the_internet_and_keeps_no_list_of_replies() {
    let snapshot = lab(&[]);
    let path = resolve(&snapshot, Attachment::AppRunner, ip(HOST));
    assert_eq!(shown(&snapshot, &path.request), "App Runner > [internet]");
    assert_eq!((path.reply, path.request.link()), (Hops::default(), Link::Internet));
}
