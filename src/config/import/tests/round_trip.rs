//! Tests that any account that a lab can have is read unchanged out of its lab file.

use super::*;
use crate::config::spec::{Destination, Peer, Spec, Target};
use crate::packet::Protocol;
use crate::vpc::{AclAction, ProtocolMatch, TrafficMatch};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Generates a protocol in EC2's spelling, and its fields.
fn traffic() -> impl Strategy<Value = (String, Option<i64>, Option<i64>)> {
    let ports =
        (0_i64..=65_535, 0_i64..=65_535).prop_map(|(a, b)| (Some(a.min(b)), Some(a.max(b))));
    let spelled = |names: [&'static str; 2]| prop::sample::select(names.to_vec());
    prop_oneof![
        (spelled(["tcp", "6"]), ports.clone()),
        (spelled(["udp", "17"]), ports),
        (spelled(["icmp", "1"]), (0_i64..=255, 0_i64..=255).prop_map(|(t, c)| (Some(t), Some(c)))),
        (spelled(["icmp", "1"]), Just((Some(-1), Some(-1)))),
        (spelled(["-1", "-1"]), Just((None, None))),
        (spelled(["50", "47"]), Just((Some(-1), Some(-1)))),
    ]
    .prop_map(|(protocol, (from, to))| (protocol.to_owned(), from, to))
}

fn cidr() -> impl Strategy<Value = ipnetwork::Ipv4Network> {
    (any::<u32>(), 0_u8..=32).prop_map(|(bits, prefix)| {
        let network = ipnetwork::Ipv4Network::new(Ipv4Addr::from(bits), prefix).unwrap();
        ipnetwork::Ipv4Network::new(network.network(), prefix).unwrap()
    })
}

const GROUPS: [&str; 3] = ["sg-app", "sg-1", "sg-2"];

fn rules() -> impl Strategy<Value = Vec<SecurityGroupRule>> {
    let peer = prop_oneof![
        3 => cidr().prop_map(RulePeer::Cidr),
        1 => prop::sample::select(GROUPS.to_vec()).prop_map(|id| RulePeer::SecurityGroup(id.to_owned())),
        1 => Just(RulePeer::PrefixList("pl-1".to_owned())),
    ];
    let rule = (traffic(), peer, prop::option::of("[ -~]{0,12}"));
    let rule = rule.prop_map(|((ip_protocol, from_port, to_port), peer, description)| {
        let origin = origin("rule");
        SecurityGroupRule { ip_protocol, from_port, to_port, peer, description, origin }
    });
    vec(rule, 0..12)
}

/// An entry by its direction and number.
type Keyed = ((bool, i64), ((String, Option<i64>, Option<i64>), ipnetwork::Ipv4Network, bool));

fn entries() -> impl Strategy<Value = Vec<AclEntry>> {
    let entry = (traffic(), cidr(), any::<bool>());
    btree_map((any::<bool>(), 1_i64..32_767), entry, 0..8).prop_map(|entries| {
        let entry = |((is_egress, rule_number), (traffic, cidr_block, allow)): Keyed| {
            let (protocol, from, to) = traffic;
            let is_icmp = protocol == "1" || protocol == "icmp";
            let pair = from.zip(to);
            let direction = if is_egress { AclDirection::Egress } else { AclDirection::Ingress };
            AclEntry {
                direction,
                rule_number,
                allow,
                protocol,
                cidr_block,
                ports: pair.filter(|_| !is_icmp),
                icmp: pair.filter(|_| is_icmp),
                origin: origin("entry"),
            }
        };
        entries.into_iter().map(entry).collect()
    })
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let target = prop_oneof![
        Just(RouteTarget::NatGateway("nat-1".to_owned())),
        Just(RouteTarget::Gateway("igw-1".to_owned())),
    ];
    // Outside the VPC's block: inside it AWS has rules of its own.
    let destination = (11_u8..=160, any::<u16>(), 8_u8..=32).prop_map(|(first, rest, prefix)| {
        let address = u32::from(first) << 24 | u32::from(rest) << 8;
        let block = ipnetwork::Ipv4Network::new(Ipv4Addr::from(address), prefix).unwrap();
        ipnetwork::Ipv4Network::new(block.network(), prefix).unwrap()
    });
    btree_map(destination, (target, any::<bool>()), 0..6).prop_map(|routes| {
        let one = |(destination, (target, blackhole))| Route {
            destination: RouteDestination::Cidr(destination),
            target,
            blackhole,
            propagated: false,
            origin: origin("route"),
        };
        routes.into_iter().map(one).collect()
    })
}

prop_compose! {
    fn accounts()(
        rules in vec((rules(), rules()), 3),
        entries in entries(),
        routes in routes(),
        hosts in btree_set(4_u8..255, 0..5),
        list in btree_set(cidr(), 1..4),
        name in prop::option::of("\\PC{0,20}"),
    ) -> Account {
        let mut account = account();
        account.vpcs[0].name = name;
        account.security_groups = GROUPS
            .iter()
            .zip(rules)
            .map(|(id, (ingress, egress))| group(id, ingress, egress))
            .collect();
        account.network_acls.push(NetworkAcl {
            id: "acl-1".into(),
            vpc: "vpc-1".into(),
            subnets: vec!["subnet-a".into()],
            entries,
            ..NetworkAcl::default()
        });
        account.route_tables.push(table("rtb-1", &["subnet-a"], routes));
        account.prefix_lists.push(PrefixList {
            id: "pl-1".into(),
            name: None,
            entries: Some(list.into_iter().collect()),
            origin: origin("list"),
        });
        account.network_interfaces = hosts
            .into_iter()
            .map(|host| interface(&format!("eni-{host}"), "subnet-data", &format!("10.0.3.{host}"), &["sg-1"]))
            .collect();
        account
    }
}

/// Returns traffic in one spelling: all ports of TCP are 0 to 65535, and if ports have no meaning
/// there are none.
fn of_account(protocol: &str, from: Option<i64>, to: Option<i64>) -> String {
    let any = |field: Option<i64>| field.filter(|field| *field != -1);
    match protocol {
        "tcp" | "6" => format!("tcp {:?}-{:?}", from.unwrap(), to.unwrap()),
        "udp" | "17" => format!("udp {:?}-{:?}", from.unwrap(), to.unwrap()),
        "icmp" | "1" => format!("icmp {:?} {:?}", any(from), any(to)),
        "-1" => "all".to_owned(),
        number => number.to_owned(),
    }
}

fn of_spec(traffic: &TrafficMatch) -> String {
    let ports = traffic.ports;
    match traffic.protocol {
        ProtocolMatch::All => "all".to_owned(),
        ProtocolMatch::Is(Protocol::Tcp) => format!("tcp {}-{}", ports.from, ports.to),
        ProtocolMatch::Is(Protocol::Udp) => format!("udp {}-{}", ports.from, ports.to),
        ProtocolMatch::Is(Protocol::Icmp) => {
            format!("icmp {:?} {:?}", traffic.icmp.icmp_type, traffic.icmp.code)
        }
        ProtocolMatch::Is(Protocol::Other(number)) => number.to_string(),
    }
}

fn said_by_account(account: &Account) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for group in &account.security_groups {
        for (way, rules) in [("in", &group.ingress), ("out", &group.egress)] {
            for rule in rules {
                let peer = match &rule.peer {
                    RulePeer::Cidr(block) => block.to_string(),
                    RulePeer::SecurityGroup(id) | RulePeer::PrefixList(id) => id.clone(),
                };
                let traffic = of_account(&rule.ip_protocol, rule.from_port, rule.to_port);
                facts.insert(format!("{} {way} {traffic} {peer}", group.id));
            }
        }
    }
    for entry in &account.network_acls[0].entries {
        let pair = entry.ports.or(entry.icmp);
        let traffic = of_account(&entry.protocol, pair.map(|p| p.0), pair.map(|p| p.1));
        let (direction, number, allow) = (entry.direction, entry.rule_number, entry.allow);
        facts.insert(format!("acl {direction:?} {number} {allow} {traffic} {}", entry.cidr_block));
    }
    for route in &account.route_tables[1].routes {
        let (RouteTarget::NatGateway(id) | RouteTarget::Gateway(id)) = &route.target else {
            panic!()
        };
        let RouteDestination::Cidr(block) = &route.destination else { panic!() };
        facts.insert(format!("route {block} {id} {}", route.blackhole));
    }
    for interface in &account.network_interfaces {
        facts.insert(format!("{} {}", interface.id, interface.addresses[0].address));
    }
    facts
}

fn said_by_spec(spec: &Spec) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for group in &spec.security_groups {
        for (way, rules) in [("in", Some(&group.ingress)), ("out", group.egress.as_ref())] {
            for rule in rules.unwrap() {
                let peer = match &rule.peer.value {
                    Peer::Cidr(block) => block.to_string(),
                    Peer::SecurityGroup(id) | Peer::PrefixList(id) => id.clone(),
                };
                facts.insert(format!("{} {way} {} {peer}", group.id.value, of_spec(&rule.traffic)));
            }
        }
    }
    for acl in &spec.network_acls {
        let ways = [("Ingress", &acl.ingress), ("Egress", &acl.egress)];
        for (way, rules) in ways {
            for rule in rules {
                let (number, allow) = (*rule.number, rule.action == AclAction::Allow);
                let traffic = of_spec(&rule.traffic);
                facts.insert(format!("acl {way} {number} {allow} {traffic} {}", rule.cidr));
            }
        }
    }
    let table = spec.route_tables.iter().find(|table| *table.id == *"rtb-1").unwrap();
    for route in &table.routes {
        let Destination::Cidr(block) = &route.destination.value else { panic!() };
        let (id, blackhole) = match &route.target.value {
            Target::NatGateway(id) | Target::InternetGateway(id) => (id, false),
            Target::Blackhole(Some(id)) => (id, true),
            Target::Local
            | Target::VpcEndpoint(_)
            | Target::Peering(_)
            | Target::NetworkInterface(_)
            | Target::Blackhole(None) => panic!("{route:?}"),
        };
        facts.insert(format!("route {block} {id} {blackhole}"));
    }
    for resource in &spec.resources {
        facts.insert(format!("{} {}", resource.name.value, *resource.address));
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn an_account_comes_back_out_of_its_lab_file(account in accounts()) {
        let imported = imported(account.clone());
        prop_assert_eq!(said_by_spec(&imported.lab.spec), said_by_account(&account));
        // The result is stable: the same source is the same file, and the file the same lab.
        let again = self::imported(account);
        prop_assert_eq!(again.text(), imported.text());
        let read = Lab::parse("lab.toml", imported.text()).unwrap();
        prop_assert_eq!(said_by_spec(&read.spec), said_by_spec(&imported.lab.spec));
    }
}
