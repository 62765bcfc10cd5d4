//! Tests of implied objects in the tables, and of egret's choices.

use super::*;
use crate::packet::Protocol;
use crate::vpc::{
    Connectivity, Destination, Direction, Egress, EniIx, GatewayEndpointIx, Interface, NatAddress,
    NatGatewayIx, NatGatewayState, Peer, PeeringIx, PrefixListIx, ProtocolMatch, Route,
    RouteTableIx, SecurityGroupIx, ServiceIx, SubnetIx, Target, Traffic, VpcIx,
};
use std::net::Ipv4Addr;
use std::time::Duration;

fn snapshot(text: &str) -> Snapshot {
    lab(text).lower(Generation(7))
}

fn target(snapshot: &Snapshot, table: RouteTableIx, address: [u8; 4]) -> Option<Target> {
    let (_, route) = snapshot.route_table(table).lookup(Ipv4Addr::from(address))?;
    Some(route.target.clone())
}

fn tcp(port: u16) -> Traffic {
    Traffic { protocol: Protocol::Tcp, port, icmp: (0, 0) }
}

#[test]
fn two_connectors_with_the_same_subnets_and_groups_share_their_enis() {
    let snapshot = snapshot(THREE_AZ);
    let connectors = [0, 1].map(|service| match snapshot.service(ServiceIx(service)).egress {
        Egress::Vpc(connector) => connector,
        Egress::Default => panic!("web and api use connectors"),
    });
    assert_ne!(connectors[0], connectors[1]);
    assert_eq!(snapshot.parts().enis.len(), 3 + 2 + 2);
    for task in 1..=3 {
        let eni = snapshot.choose_eni(ServiceIx(0), task);
        assert!(eni.is_some());
        assert_eq!(eni, snapshot.choose_eni(ServiceIx(1), task));
    }
}

#[test]
fn the_order_of_groups_makes_no_other_eni() {
    let text = based(
        r#"
[[security_group]]
id = "sg-1"
vpc = "vpc-a"
[[security_group]]
id = "sg-2"
vpc = "vpc-a"
[[vpc_connector]]
name = "one"
subnets = ["subnet-a"]
security_groups = ["sg-2", "sg-1"]
[[vpc_connector]]
name = "two"
subnets = ["subnet-a2", "subnet-a"]
security_groups = ["sg-1", "sg-2"]
[[service]]
name = "x"
vpc_connector = "one"
[[service]]
name = "y"
vpc_connector = "two"
"#,
    );
    let snapshot = snapshot(&text);
    assert_eq!(snapshot.parts().enis.len(), 2);
    let groups = [SecurityGroupIx(0), SecurityGroupIx(1)];
    assert_eq!(
        snapshot.hyperplane_eni(crate::vpc::ServiceKind::AppRunner, SubnetIx(0), &groups),
        Some(EniIx(0))
    );
    assert_eq!(
        snapshot.hyperplane_eni(crate::vpc::ServiceKind::AppRunner, SubnetIx(1), &groups),
        Some(EniIx(1))
    );
}

#[test]
fn a_connector_that_no_service_uses_has_no_eni() {
    let text = based("[[vpc_connector]]\nname = \"idle\"\nsubnets = [\"subnet-a\"]\n");
    assert_eq!(snapshot(&text).parts().enis.len(), 0);
}

/// Users have these ids in notes and captures: they may never change.
#[test]
fn ids_and_device_names_are_the_same_on_every_machine() {
    let plan = lab(THREE_AZ).plan;
    let enis: Vec<_> = plan.enis.iter().map(|e| format!("{} {}", e.id, e.device)).collect();
    insta::assert_snapshot!(format!("{}\n{}", enis.join("\n"), plan.nat_gateways["nat-a"].device));
    for device in plan.enis.iter().map(|e| &e.device) {
        assert!(device.len() <= 15);
    }
}

#[test]
fn every_eni_has_an_address_of_its_subnet_that_nothing_else_has() {
    let snapshot = snapshot(THREE_AZ);
    for (position, eni) in snapshot.parts().enis.iter().enumerate() {
        assert!(snapshot.subnet(eni.subnet).cidr.contains(eni.address));
        assert_eq!(
            snapshot.interface(VpcIx(0), eni.address),
            Some(Interface::Eni(EniIx::from(position)))
        );
    }
}

#[test]
fn chosen_addresses_go_around_given_and_reserved_ones() {
    let text = based(
        r#"
[[nat_gateway]]
id = "nat-1"
subnet = "subnet-a"
[[nat_gateway]]
id = "nat-2"
subnet = "subnet-a"
connectivity = "private"
private_ip = "10.0.1.6"
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.4"
[[internet_host]]
name = "first"
address = "198.51.100.1"
[[vpc_connector]]
name = "one"
subnets = ["subnet-a"]
[[service]]
name = "web"
vpc_connector = "one"
[[service]]
name = "open"
"#,
    );
    let snapshot = snapshot(&text);
    let [one, two] = [0, 1].map(|n| snapshot.nat_gateway(NatGatewayIx(n)).clone());
    assert_eq!(one.private_address(), Ipv4Addr::new(10, 0, 1, 5));
    assert_eq!(one.public_address(), Some(Ipv4Addr::new(198, 51, 100, 2)));
    assert_eq!(two.private_address(), Ipv4Addr::new(10, 0, 1, 6));
    assert_eq!((two.public_address(), two.connectivity), (None, Connectivity::Private));
    assert_eq!(snapshot.eni(EniIx(0)).address, Ipv4Addr::new(10, 0, 1, 7));
    assert_eq!(snapshot.parts().apprunner_address, Some(Ipv4Addr::new(198, 51, 100, 3)));
    assert_ne!(one.device, two.device);
}

#[test]
fn secondary_addresses_are_given_or_chosen() {
    let text = based(
        r#"
[[nat_gateway]]
id = "nat-1"
subnet = "subnet-a"
private_ip = "10.0.1.9"
secondary_public_ips = ["198.51.100.1", "203.0.113.7"]
secondary_private_ips = ["10.0.1.4"]
[[nat_gateway]]
id = "nat-2"
subnet = "subnet-a"
connectivity = "private"
secondary_private_ip_count = 7
"#,
    );
    let snapshot = snapshot(&text);
    let [one, two] = [0, 1].map(|n| snapshot.nat_gateway(NatGatewayIx(n)).addresses.clone());
    let own = |last, public: [u8; 4]| NatAddress {
        private: Ipv4Addr::new(10, 0, 1, last),
        public: Some(Ipv4Addr::from(public)),
    };
    let expected = [own(9, [198, 51, 100, 2]), own(4, [198, 51, 100, 1]), own(5, [203, 0, 113, 7])];
    assert_eq!(one, expected);
    let private: Vec<u8> = two.iter().map(|own| own.private.octets()[3]).collect();
    assert_eq!(private, [6, 7, 8, 10, 11, 12, 13, 14]);
    assert!(two.iter().all(|own| own.public.is_none()));
    for own in one.iter().chain(&two) {
        let found = snapshot.interface(VpcIx(0), own.private);
        assert!(matches!(found, Some(Interface::NatGateway(_))), "{own:?}");
    }
}

#[test]
fn no_service_with_public_egress_needs_no_public_address() {
    assert_eq!(snapshot(MINIMAL).parts().apprunner_address, None);
    let given = based("apprunner_public_ip = \"203.0.113.99\"\n[[service]]\nname = \"open\"\n");
    let expected = Some(Ipv4Addr::new(203, 0, 113, 99));
    assert_eq!(snapshot(&given).parts().apprunner_address, expected);
}

#[test]
fn a_vpc_has_a_table_an_acl_and_a_group_by_itself() {
    let snapshot = snapshot(BASE);
    for (position, vpc) in (0..).zip(&snapshot.parts().vpcs) {
        let table = snapshot.route_table(vpc.main_route_table);
        assert_eq!((table.id.clone(), table.main), (format!("{}/main", vpc.id), true));
        let local = [(Destination::Cidr(vpc.cidrs[0]), Target::Local, 0)];
        let routes: Vec<_> =
            table.routes.iter().map(|r| (r.destination, r.target.clone(), r.line)).collect();
        assert_eq!(routes, local);

        let acl = snapshot.network_acl(vpc.default_network_acl);
        assert_eq!((acl.id.clone(), acl.line), (format!("{}/default", vpc.id), 0));
        for direction in [Direction::Egress, Direction::Ingress] {
            assert_eq!(acl.rules(direction)[0].number, 100);
            assert!(acl.evaluate(direction, tcp(1), Ipv4Addr::new(192, 0, 2, 1)).is_some());
        }

        let group = snapshot.security_group(vpc.default_security_group);
        assert_eq!((group.id.clone(), group.vpc), (format!("{}/default", vpc.id), VpcIx(position)));
        assert_eq!(group.ingress[0].peer, Peer::SecurityGroup(vpc.default_security_group));
        assert_eq!(group.egress[0].peer, Peer::Cidr("0.0.0.0/0".parse().unwrap()));
    }
    let subnet = snapshot.subnet(SubnetIx(2));
    assert_eq!(subnet.route_table, snapshot.vpc(VpcIx(1)).main_route_table);
    assert_eq!(subnet.network_acl, snapshot.vpc(VpcIx(1)).default_network_acl);
}

#[test]
fn declared_defaults_take_the_place_of_implied_ones() {
    let text = based(
        r#"
[[vpc]]
id = "vpc-c"
cidr = "10.2.0.0/16"
main_route_table = "rtb-c"
[[route_table]]
id = "rtb-a"
vpc = "vpc-a"
main = true
routes = [
  { destination = "0.0.0.0/0", target = "igw-a" },
  { destination = "10.0.0.0/16", target = "local" },
]
[[route_table]]
id = "rtb-c"
vpc = "vpc-c"
[[security_group]]
id = "sg-a"
vpc = "vpc-a"
default = true
egress = []
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10"
"#,
    );
    let snapshot = snapshot(&text);
    let main = |vpc| snapshot.vpc(VpcIx(vpc)).main_route_table;
    assert_eq!((main(0), main(2)), (RouteTableIx(0), RouteTableIx(1)));
    assert!([0, 2].iter().all(|vpc| snapshot.route_table(main(*vpc)).main));
    assert_eq!(snapshot.subnet(SubnetIx(0)).route_table, RouteTableIx(0));
    assert_eq!(snapshot.parts().route_tables.len(), 3);
    let local = &snapshot.route_table(RouteTableIx(0)).routes[0];
    assert_eq!(local.target, Target::Local);
    assert!(local.line > 0, "the local route is written out");
    assert_eq!(snapshot.route_table(RouteTableIx(0)).routes.len(), 2);
    let group = snapshot.vpc(VpcIx(0)).default_security_group;
    assert_eq!(group, SecurityGroupIx(0));
    assert_eq!(snapshot.parts().resources[0].security_groups, [group]);
    assert!(snapshot.security_group(group).egress.is_empty());
}

#[test]
fn routes_lead_to_their_targets() {
    let snapshot = snapshot(THREE_AZ);
    let internet = [203, 0, 113, 10];
    let [public, private, isolated] = [0, 1, 2].map(RouteTableIx);
    assert_eq!(target(&snapshot, public, internet), Some(Target::InternetGateway));
    let nat = Target::NatGateway(NatGatewayIx(0));
    assert_eq!(target(&snapshot, private, internet), Some(nat));
    assert_eq!(target(&snapshot, isolated, internet), None);
    assert_eq!(target(&snapshot, isolated, [10, 0, 48, 10]), Some(Target::Local));
}

#[test]
fn every_kind_of_target() {
    let text = based(
        r#"
[[nat_gateway]]
id = "nat-gone"
subnet = "subnet-a"
public_ip = "198.51.100.7"
state = "deleted"
[[nat_gateway]]
id = "nat-new"
subnet = "subnet-a"
public_ip = "198.51.100.7"
state = "pending"
[[prefix_list]]
id = "pl-s3"
entries = ["192.0.2.0/25", "198.51.100.128/25"]
[[vpc_endpoint]]
id = "vpce-s3"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl-s3"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-b"
accepter_vpc = "vpc-a"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [
  { destination = "0.0.0.0/0", target = "nat-gone" },
  { destination = "10.0.2.0/24", target = "nat-new" },
  { destination = "pl-s3", target = "vpce-s3" },
  { destination = "10.1.0.0/16", target = "pcx" },
  { destination = "192.0.2.128/26", target = "blackhole" },
  { destination = "192.0.2.192/26", target = "eni-x", state = "blackhole" },
]
"#,
    );
    let snapshot = snapshot(&text);
    let target = |address| target(&snapshot, RouteTableIx(0), address).unwrap();
    assert_eq!(target([203, 0, 113, 1]), Target::Blackhole(Some("nat-gone".into())));
    assert_eq!(target([10, 0, 2, 9]), Target::NatGateway(NatGatewayIx(0)));
    assert_eq!(target([192, 0, 2, 1]), Target::GatewayEndpoint(GatewayEndpointIx(0)));
    assert_eq!(target([198, 51, 100, 200]), Target::GatewayEndpoint(GatewayEndpointIx(0)));
    assert_eq!(target([10, 1, 0, 1]), Target::Peering(PeeringIx(0)));
    assert_eq!(target([192, 0, 2, 129]), Target::Blackhole(None));
    assert_eq!(target([192, 0, 2, 193]), Target::Blackhole(Some("eni-x".into())));
    assert_eq!(target([10, 0, 1, 9]), Target::Local);
    let gateways = &snapshot.parts().nat_gateways;
    assert_eq!(gateways.len(), 1, "a deleted NAT gateway has no interface");
    assert_eq!((gateways[0].id.as_str(), gateways[0].state), ("nat-new", NatGatewayState::Pending));
}

#[test]
fn a_list_of_peers_is_as_many_rules() {
    let text = based(
        r#"
[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24"]
[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [
  { protocol = 6, ports = "all", to = ["sg", "pl", "10.0.0.0/8"] },
  { protocol = "17", ports = 53, to = "vpc-a/default" },
]
"#,
    );
    let snapshot = snapshot(&text);
    let rules = &snapshot.security_group(SecurityGroupIx(0)).egress;
    let peers: Vec<_> = rules.iter().map(|rule| rule.peer).collect();
    let default = snapshot.vpc(VpcIx(0)).default_security_group;
    assert_eq!(
        peers,
        [
            Peer::SecurityGroup(SecurityGroupIx(0)),
            Peer::PrefixList(PrefixListIx(0)),
            Peer::Cidr("10.0.0.0/8".parse().unwrap()),
            Peer::SecurityGroup(default),
        ]
    );
    assert_eq!(rules[3].traffic.protocol, ProtocolMatch::Is(Protocol::Udp));
    assert_eq!((rules[3].traffic.ports.from, rules[3].traffic.ports.to), (53, 53));
    assert_eq!(rules[0].line, rules[2].line);
    assert!(snapshot.security_group(SecurityGroupIx(0)).ingress.is_empty());
}

#[test]
fn acl_rules_are_in_the_order_of_their_numbers() {
    let text = based(
        r#"
[[network_acl]]
id = "acl"
vpc = "vpc-a"
egress = [
  { rule = 200, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
  { rule = 10, action = "deny", protocol = "icmp", icmp_type = 3, icmp_code = -1, cidr = "0.0.0.0/0" },
]
"#,
    );
    let snapshot = snapshot(&text);
    let acl = &snapshot.parts().network_acls[0];
    let numbers: Vec<_> = acl.egress.iter().map(|rule| rule.number).collect();
    assert_eq!(numbers, [10, 200]);
    assert!(acl.ingress.is_empty());
    let icmp = acl.egress[0].traffic.icmp;
    assert_eq!((icmp.icmp_type, icmp.code), (Some(3), None));
}

#[test]
fn settings_reach_the_snapshot() {
    let text = based(
        "lab = \"my-lab\"\nmtu = 9001\ninternet_mtu = 1400\ndevice = \"plain\"\ntask_cidr = \"172.16.0.0/12\"\n\
         [limits]\nnat_connections_per_destination = 5\neni_connections = 6\n\
         [timeouts]\ntcp_idle = \"5m\"\nport_quarantine = \"500ms\"\ntime_scale = 100\n",
    );
    let lab = lab(&text);
    assert_eq!(
        (lab.name.as_str(), lab.device, lab.time_scale),
        ("my-lab", DeviceKind::Plain, 100.0)
    );
    assert_eq!(lab.task_cidr.to_string(), "172.16.0.0/12");
    let snapshot = lab.lower(Generation(7));
    let parts = snapshot.parts();
    assert_eq!((parts.lab.as_str(), snapshot.generation), ("my-lab", Generation(7)));
    assert_eq!((parts.mtu.task, parts.mtu.vpc, parts.mtu.internet), (9001, 9001, 1400));
    assert_eq!(
        (parts.limits.nat_connections_per_destination, parts.limits.eni_connections),
        (5, 6)
    );
    assert_eq!(parts.timeouts.tcp_idle, Duration::from_secs(3));
    assert_eq!(parts.timeouts.port_quarantine, Duration::from_millis(5));
    assert_eq!(parts.timeouts.udp_idle, Duration::from_millis(3500));
}

/// The smallest lab.
const HOST: &str = "\n[[internet_host]]\nname = \"example\"\naddress = \"203.0.113.10\"\n";

#[test]
fn a_device_has_one_queue_unless_the_file_says_otherwise() {
    assert_eq!(lab(HOST).spec.queues, 1);
    assert_eq!(lab(&format!("queues = 16{HOST}")).spec.queues, 16);
    assert_eq!(lab(&format!("device = \"plain\"\nqueues = 1{HOST}")).spec.queues, 1);
}

#[test]
fn a_file_that_gives_no_name_is_a_lab_called_egret() {
    let lab = lab(HOST);
    assert_eq!((lab.name.as_str(), lab.device), ("egret", DeviceKind::Auto));
    assert_eq!(lab.task_cidr.to_string(), "100.64.0.0/10");
    assert_eq!(lab.lint().iter().map(|d| d.rule).collect::<Vec<_>>(), ["empty-lab"]);
}

#[test]
fn lines_are_those_of_the_file() {
    let snapshot = snapshot(THREE_AZ);
    let line = |number: u32| THREE_AZ.lines().nth(number as usize - 1).unwrap();
    for route in &snapshot.route_table(RouteTableIx(0)).routes {
        let Route { target: Target::InternetGateway, line: number, .. } = route else { continue };
        assert!(line(*number).contains("igw-demo"));
    }
    for group in &snapshot.parts().security_groups {
        for rule in group.ingress.iter().filter(|rule| rule.line > 0) {
            assert!(line(rule.line).contains("from = "), "{}", line(rule.line));
        }
    }
    for service in &snapshot.parts().services {
        assert_eq!(line(service.line), "[[service]]");
    }
}

/// With zero, a port is free again immediately; no other time can be zero.
#[test]
fn only_the_quarantine_can_be_no_time() {
    let lab = lab(&format!("[timeouts]\nport_quarantine = \"0s\"\ntcp_idle = \"1ms\"\n{HOST}"));
    let timeouts = &lab.spec.timeouts;
    assert_eq!(
        (timeouts.port_quarantine, timeouts.tcp_idle),
        (Duration::ZERO, Duration::from_millis(1))
    );
}
