//! Pings, and errors about other packets, reach their destination through two translations.

use crate::support::frames;
use crate::support::lab::{Lab, for_both_kinds, snmp};
use egret::linux::{Mac, Netns};
use etherparse::{IcmpEchoHeader, Icmpv4Type, icmpv4};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    equal_identifiers_of_two_tasks_do_not_collide,
    a_closed_port_refuses_a_datagram_through_nat_and_without,
    traceroute_shows_the_nat_gateway_by_its_private_address,
    traceroute_shows_the_nat_gateway_whatever_is_behind_it,
    packets_that_are_too_big_are_answered_with_the_mtu,
    an_acl_without_icmp_keeps_the_nat_gateways_own_errors_from_the_task,
    an_error_about_nothing_of_ours_goes_nowhere,
    a_large_ping_comes_back_inside_the_vpc_and_dies_at_a_nat_gateway,
);

pub const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const NAT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 20);
pub const TASK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);

/// A NAT gateway, and two tasks of one service behind it.
pub const LAB: &str = r#"
[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"

[[subnet]]
id = "subnet-public"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.0.0/24"
route_table = "rtb-public"

[[subnet]]
id = "subnet-private"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-private"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"
private_ip = "10.0.0.100"

[[security_group]]
id = "sg-all"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]

[[resource]]
name = "db"
subnet = "subnet-private"
address = "10.0.1.10"
security_groups = ["sg-all"]

[[resource]]
name = "far"
subnet = "subnet-private"
address = "10.0.1.20"
security_groups = ["sg-all"]

[[internet_host]]
name = "host"
address = "203.0.113.10"

[[internet_host]]
name = "router"
address = "203.0.113.1"

[[vpc_connector]]
name = "app"
subnets = ["subnet-private"]
security_groups = ["sg-all"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "app"
tasks = 2
"#;

fn lab_with_far_host(device: &str, settings: &str) -> (Lab, Netns) {
    let mut lab = Lab::up(device, &format!("{settings}\n{LAB}"));
    let far = lab.far("internet", "net0", &[HOST]);
    (lab, far)
}

/// Checklist I1: two tasks ping one host with one identifier.
fn equal_identifiers_of_two_tasks_do_not_collide(device: &str) {
    let (lab, far) = lab_with_far_host(device, "");
    std::thread::scope(|scope| {
        for task in ["web", "web/2"] {
            let lab = &lab;
            scope.spawn(move || {
                let said = lab.exec_ok(task, &format!("ping -n -e 7 -c 5 -i 0.05 -W 2 {HOST}"));
                assert!(said.contains("5 received") && !said.contains("DUP"), "{said}");
            });
        }
    });
    let mut flows = lab.flows();
    flows.sort_by_key(|flow| flow.task);
    assert_eq!(flows.iter().map(|flow| flow.packets_in).collect::<Vec<_>>(), [5, 5]);
    assert!(flows.iter().all(|flow| flow.inside.ends_with(" id 7")), "{flows:?}");
    assert_ne!(flows[0].outside, flows[1].outside);
    assert_ne!(flows[0].eni_port, flows[1].eni_port);
    assert_eq!(snmp(&far, "Icmp", "InCsumErrors"), 0);
}

/// Checklist T9: a closed port is reported to the task.
fn a_closed_port_refuses_a_datagram_through_nat_and_without(device: &str) {
    let (mut lab, _far_host) = lab_with_far_host(device, "");
    let far = lab.far("vpc-a", "vpc0", &[FAR]);
    let mut task = lab.task("web");
    for destination in [HOST, FAR] {
        assert_eq!(task.ask(&json!(["udp", destination, 9, 0, 5, 5.0])), "ECONNREFUSED");
        assert_eq!(task.ask(&json!(["tcp", destination, 9, 0, 5.0])), "ECONNREFUSED");
    }
    assert_eq!(snmp(&lab.netns("web-1"), "Icmp", "InCsumErrors"), 0);
    assert_eq!(snmp(&far, "Udp", "NoPorts"), 1);
    assert_eq!(lab.drops(), []);
}

/// Checklist I9: the NAT gateway's private address is the source of its errors.
fn traceroute_shows_the_nat_gateway_by_its_private_address(device: &str) {
    let (lab, _far) = lab_with_far_host(device, "");
    for options in ["-I", "-T -p 443", "-U -p 33434"] {
        let said =
            lab.exec_ok("web", &format!("traceroute {options} -n -q 1 -N 1 -w 2 -m 5 {HOST}"));
        let hops: Vec<_> =
            said.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        let expected = [NAT, ROUTER, HOST].map(|hop| hop.to_string());
        assert_eq!(hops, expected, "{options}: {said}");
    }
    let said = lab.exec("web", &format!("ping -n -c 1 -t 1 -W 2 {HOST}")).1;
    assert!(
        said.contains(&format!("From {NAT}")) && said.contains("Time to live exceeded"),
        "{said}"
    );
    assert!(lab.packets_dropped("ttl-expired") >= 4);
}

/// The gateway's own subnet has no path to the internet, and the gateway is a hop nevertheless.
fn traceroute_shows_the_nat_gateway_whatever_is_behind_it(device: &str) {
    let lab = Lab::up(device, &LAB.replace("target = \"igw-a\"", "target = \"blackhole\""));
    let said = lab.exec_ok("web", &format!("traceroute -U -n -q 1 -N 1 -w 1 -m 2 {HOST}"));
    let hops: Vec<_> =
        said.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(hops, [NAT.to_string().as_str(), "*"], "{said}");
    assert_eq!(lab.packets_dropped("ttl-expired"), 1);
    assert_eq!(lab.packets_dropped("nat-blackhole"), 1);
}

/// Network ACLs are stateless, also for what a NAT gateway sends itself: a rule must let ICMP in.
fn an_acl_without_icmp_keeps_the_nat_gateways_own_errors_from_the_task(device: &str) {
    let acl = |more: &str| {
        let at = "route_table = \"rtb-private\"\n\n[[route_table]]";
        let with_acl =
            "route_table = \"rtb-private\"\nnetwork_acl = \"acl-private\"\n\n[[route_table]]";
        assert_eq!(LAB.matches(at).count(), 1);
        format!(
            "mtu = 9001\ninternet_mtu = 1400\n{}
[[network_acl]]
id = \"acl-private\"
vpc = \"vpc-a\"
egress = [{{ rule = 100, action = \"allow\", protocol = \"all\", cidr = \"0.0.0.0/0\" }}]
ingress = [
    {{ rule = 100, action = \"allow\", protocol = \"tcp\", ports = \"all\", cidr = \"0.0.0.0/0\" }},
    {{ rule = 110, action = \"allow\", protocol = \"udp\", ports = \"all\", cidr = \"0.0.0.0/0\" }},
    {more}
]
",
            LAB.replace(at, with_acl)
        )
    };
    // Packets of 1,500 bytes with "don't fragment", which are larger than the MTU of the NAT
    // gateway's next link.
    let send = |lab: &Lab| {
        lab.exec("web", &format!("traceroute -F -U -n -q 1 -w 1 -f 2 -m 2 {HOST} 1500")).1
    };
    let closed = Lab::up(device, &acl(""));
    let drop = closed.drops_for("mtu-exceeded-no-answer", "* of acl-private ingress", || {
        let said = send(&closed);
        assert!(!said.contains("!F"), "{said}");
    });
    assert_eq!(drop.destination, Some(HOST.into()));
    let open = Lab::up(
        device,
        &acl("{ rule = 120, action = \"allow\", protocol = \"icmp\", cidr = \"10.0.0.0/24\" }"),
    );
    let said = send(&open);
    assert!(said.contains(&NAT.to_string()) && said.contains("!F-1400"), "{said}");
}

/// Checklist U13: too large a packet is answered with the MTU.
fn packets_that_are_too_big_are_answered_with_the_mtu(device: &str) {
    let (mut lab, _far_host) = lab_with_far_host(device, "mtu = 9001\ninternet_mtu = 1400");
    lab.far("vpc-a", "vpc0", &[FAR]);
    // egret answers in the name of the NAT gateway; then the task's kernel knows the MTU, and
    // refuses by itself.
    lab.drops_for("mtu-exceeded", "packet", || {
        let said = lab.exec("web", &format!("ping -n -M do -s 1373 -c 1 -W 2 {HOST}")).1;
        assert!(said.contains(&format!("From {NAT}")) && said.contains("mtu = 1400"), "{said}");
    });
    let said = lab.exec("web", &format!("ping -n -M do -s 1373 -c 1 -W 2 {HOST}")).1;
    assert!(said.contains("message too long, mtu=1400"), "{said}");
    assert!(lab.pings("web", &format!("-M do -s 1372 {HOST}")));
    // A router beyond the ENI answers, whose link has a smaller MTU than the VPC's.
    let said = lab.exec("web", &format!("ping -n -M do -s 4000 -c 1 -W 2 {FAR}")).1;
    assert!(said.contains("From 10.0.1.10") && said.contains("mtu = 1500"), "{said}");
    assert!(lab.pings("web", &format!("-M do -s 1472 {FAR}")));
}

/// Checklist T10: an error that quotes no known flow is dropped.
fn an_error_about_nothing_of_ours_goes_nowhere(device: &str) {
    let (lab, far) = lab_with_far_host(device, "");
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    assert!(task.open("kept", HOST, 443).is_u64());
    let (public, port) = server.peers()[0];
    assert_eq!(public, PUBLIC);
    task.ok(&json!(["sniff", "eth0"]));

    let unreachable = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
    let error = |quoted: &[u8]| frames::icmp(HOST, PUBLIC, unreachable.clone(), quoted);
    let mut send = |packet: &[u8]| {
        server.ok(&json!(["frames", "eth0", frames::ipv4(Mac::near(HOST), packet)]));
    };
    lab.drops_for("icmp-error-no-flow", "flow-table", || {
        send(&error(&frames::udp(PUBLIC, HOST, 443)));
    });
    // The error quotes an existing connection, but with another port of the host.
    let mut quoted = frames::tcp_ack(PUBLIC, HOST, 8443);
    quoted[20..22].copy_from_slice(&port.to_be_bytes());
    lab.drops_for("icmp-error-no-flow", "flow-table", || send(&error(&quoted)));
    lab.drops_for("malformed-icmp-quote", "packet", || send(&error(&[0x46; 3])));
    lab.drops_for("malformed-icmp-checksum", "packet", || {
        let mut broken = error(&frames::udp(PUBLIC, HOST, 443));
        broken[22] ^= 1;
        send(&broken);
    });
    let request = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 1 });
    lab.drops_for("unsolicited", "flow-table", || send(&frames::icmp(HOST, PUBLIC, request, b"")));
    assert_eq!(task.sniffed("eth0"), []);

    // An error about the connection itself arrives, and does not end it.
    let mut quoted = frames::tcp_ack(PUBLIC, HOST, 443);
    quoted[20..22].copy_from_slice(&port.to_be_bytes());
    send(&error(&quoted));
    task.ok(&json!(["say", "kept"]));
    let sniffed = snmp(&lab.netns(&format!("web-{}", 1)), "Icmp", "InDestUnreachs");
    assert_eq!(sniffed, 1, "to {TASK}");
}

/// As in AWS, only fragments of UDP pass a NAT gateway. Two tasks ping at once, whose fragments
/// must not mix. Checklist U14.
fn a_large_ping_comes_back_inside_the_vpc_and_dies_at_a_nat_gateway(device: &str) {
    let (mut lab, _far_host) = lab_with_far_host(device, "");
    let far = lab.far("vpc-a", "vpc0", &[FAR]);
    std::thread::scope(|scope| {
        for task in ["web", "web/2"] {
            let lab = &lab;
            scope.spawn(move || {
                let ping = format!("ping -n -c 5 -i 0.05 -W 2 -s 4000 {FAR}");
                let said = lab.exec_ok(task, &ping);
                assert!(said.contains("5 received"), "{said} {:#?}", lab.drops());
            });
        }
    });
    assert_eq!(snmp(&far, "Ip", "ReasmFails"), 0);
    assert_eq!(snmp(&far, "Icmp", "InCsumErrors"), 0);
    let drop = lab.drops_for("nat-fragment", "", || {
        assert!(!lab.pings("web", &format!("-s 4000 {HOST}")));
    });
    assert_eq!(drop.destination, Some(HOST.into()));
}
