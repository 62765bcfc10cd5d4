//! A resource is reached by its public address: over the internet, through its VPC's internet
//! gateway, and back.

use crate::support::lab::{CLOSED_FLOWS_STAY, Lab, for_both_kinds, snmp};
use crate::support::offloaded::until_offloaded;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

for_both_kinds!(
    statement_2_public_endpoints_are_reached_from_default_egress_and_through_a_nat_gateway,
    each_check_of_the_endpoints_vpc_refuses_by_name,
    explain_and_reach_say_what_the_wire_does,
    errors_and_fragments_are_mapped_too,
    many_bytes_arrive_as_they_were_sent,
    the_kernel_carries_flows_to_and_from_a_public_endpoint,
    a_reload_moves_and_removes_a_public_address,
    regression_a_moved_public_address_takes_no_flow_past_the_groups_of_its_new_owner,
    a_task_with_a_public_address_of_its_own_is_seen_by_it,
);

const API: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);
const API_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const CLOSED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 51);
const HIDDEN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 52);
const GUARDED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
const OWN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 54);
const OWN_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 20);
const MUTE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 55);
const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const APP_RUNNER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 99);

/// Two VPCs with the same addresses: `vpc-a` has the tasks and a NAT gateway, `vpc-b` the
/// endpoints.
const LAB: &str = r#"
apprunner_public_ip = "198.51.100.99"

[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
internet_gateway = "igw-a"

[[vpc]]
id = "vpc-b"
cidr = "10.0.0.0/16"
internet_gateway = "igw-b"

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

[[subnet]]
id = "subnet-api"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-api"

[[subnet]]
id = "subnet-hidden"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.0.2.0/24"
route_table = "rtb-hidden"

[[subnet]]
id = "subnet-guarded"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.0.3.0/24"
route_table = "rtb-api"
network_acl = "acl-guarded"

[[subnet]]
id = "subnet-mute"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.0.4.0/24"
route_table = "rtb-api"
network_acl = "acl-mute"

[[route_table]]
id = "rtb-public"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]

[[route_table]]
id = "rtb-private"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-a" }]

[[route_table]]
id = "rtb-api"
vpc = "vpc-b"
routes = [{ destination = "0.0.0.0/0", target = "igw-b" }]

[[route_table]]
id = "rtb-hidden"
vpc = "vpc-b"

[[nat_gateway]]
id = "nat-a"
subnet = "subnet-public"
public_ip = "198.51.100.7"

[[network_acl]]
id = "acl-guarded"
vpc = "vpc-b"
egress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]
ingress = [
    { rule = 90, action = "deny", protocol = "all", cidr = "198.51.100.7/32" },
    { rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
]

[[network_acl]]
id = "acl-mute"
vpc = "vpc-b"
egress = [{ rule = 100, action = "allow", protocol = "tcp", ports = "443", cidr = "0.0.0.0/0" }]
ingress = [{ rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]

[[security_group]]
id = "sg-app"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]

[[security_group]]
id = "sg-api"
vpc = "vpc-b"
ingress = [
    { protocol = "all", from = "198.51.100.7/32" },
    { protocol = "all", from = "198.51.100.99/32" },
]

[[security_group]]
id = "sg-closed"
vpc = "vpc-b"
ingress = [{ protocol = "tcp", ports = "443", from = "10.0.0.0/8" }]

[[resource]]
name = "api"
subnet = "subnet-api"
address = "10.0.1.10"
public_ip = "203.0.113.50"
security_groups = ["sg-api"]

[[resource]]
name = "closed"
subnet = "subnet-api"
address = "10.0.1.11"
public_ip = "203.0.113.51"
security_groups = ["sg-closed"]
listen = ["443/tcp"]

[[resource]]
name = "hidden"
subnet = "subnet-hidden"
address = "10.0.2.10"
public_ip = "203.0.113.52"
security_groups = ["sg-api"]
listen = ["443/tcp"]

[[resource]]
name = "guarded"
subnet = "subnet-guarded"
address = "10.0.3.10"
public_ip = "203.0.113.53"
security_groups = ["sg-api"]
listen = ["443/tcp"]

[[resource]]
name = "mute"
subnet = "subnet-mute"
address = "10.0.4.10"
public_ip = "203.0.113.55"
security_groups = ["sg-api"]
listen = ["443/tcp"]

[[resource]]
name = "decoy"
subnet = "subnet-private"
address = "10.0.1.10"
security_groups = ["sg-app"]
listen = ["443/tcp", "53/udp"]

[[resource]]
name = "own"
subnet = "subnet-public"
address = "10.0.0.20"
public_ip = "203.0.113.54"
security_groups = ["sg-app"]

[[vpc_connector]]
name = "conn"
subnets = ["subnet-private"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "conn"

[[service]]
name = "pub"
egress = "default"

[[internet_host]]
name = "host"
address = "203.0.113.10"
"#;

/// Statement 2: the server sees the sender's public address at its own private one, although
/// another VPC has the same address.
fn statement_2_public_endpoints_are_reached_from_default_egress_and_through_a_nat_gateway(
    device: &str,
) {
    let lab = Lab::up(device, &format!("{LAB}{CLOSED_FLOWS_STAY}"));
    let mut api = Lab::agent(&lab.netns("vpc-b"));
    let mut own = Lab::agent(&lab.netns("vpc-a"));
    for (server, address) in [(&mut api, API_PRIVATE), (&mut own, OWN_PRIVATE)] {
        server.ok(&json!(["serve", address, 443]));
        server.ok(&json!(["serve_udp", address, 53]));
    }
    for (task, seen) in [("web", NAT), ("pub", APP_RUNNER)] {
        let mut agent = lab.task(task);
        for (server, public) in [(&mut api, API), (&mut own, OWN)] {
            agent.tcp(public, 443);
            agent.udp(public, 53);
            let peers = server.peers();
            assert_eq!(peers.len(), 2, "{task} {public}");
            assert!(peers.iter().all(|(peer, _)| *peer == seen), "{task} {public}: {peers:?}");
            assert!(lab.pings(task, &public.to_string()), "{task} {public}");
        }
    }
    let flows = lab.flows();
    assert_eq!(flows.len(), 12, "{flows:#?}");
    assert!(flows.iter().all(|f| f.packets_out > 0 && f.packets_in > 0), "{flows:#?}");
    assert_eq!(lab.drops(), []);
}

/// Statement 2: the network ACL, the groups and the route table of the endpoint can each drop, and
/// are named.
fn each_check_of_the_endpoints_vpc_refuses_by_name(device: &str) {
    let lab = Lab::up(device, LAB);
    let (mut web, mut public) = (lab.task("web"), lab.task("pub"));
    web.tcp_times_out(CLOSED, 443);
    assert!(lab.packets_dropped("sg-ingress-implicit-deny") > 0, "the ENI itself would be let in");
    public.tcp_times_out(CLOSED, 443);
    assert!(lab.packets_dropped("sg-ingress-implicit-deny") > 0, "{:#?}", lab.drops());
    web.tcp_times_out(GUARDED, 443);
    assert!(lab.packets_dropped("nacl-ingress-deny") > 0, "{:#?}", lab.drops());
    public.tcp(GUARDED, 443);
    for task in [&mut web, &mut public] {
        task.tcp_times_out(HIDDEN, 443);
        task.tcp_times_out(MUTE, 443);
    }
    assert!(lab.packets_dropped("reply-not-routed-back") > 0, "{:#?}", lab.drops());
    assert!(lab.packets_dropped("nacl-return-implicit-deny") > 0, "{:#?}", lab.drops());
}

fn explain_and_reach_say_what_the_wire_does(device: &str) {
    let lab = Lab::up(device, LAB);
    for (service, to, code, says) in [
        ("web", API, 0, "FORWARD"),
        ("pub", API, 0, "FORWARD"),
        ("web", OWN, 0, "FORWARD"),
        ("pub", OWN, 0, "FORWARD"),
        ("web", CLOSED, 1, "sg-ingress-implicit-deny"),
        ("pub", CLOSED, 1, "sg-ingress-implicit-deny"),
        ("web", GUARDED, 1, "nacl-ingress-deny"),
        ("pub", GUARDED, 0, "FORWARD"),
        ("web", HIDDEN, 1, "reply-not-routed-back"),
        ("pub", HIDDEN, 1, "reply-not-routed-back"),
        ("web", MUTE, 1, "nacl-return-implicit-deny"),
        ("pub", MUTE, 1, "nacl-return-implicit-deny"),
    ] {
        for file in [String::new(), format!(" --config {}", lab.file().display())] {
            let out = lab.egret(&format!("explain {service} {to}:443{file} --json"));
            let said = String::from_utf8_lossy(&out.stdout);
            assert_eq!(out.status.code(), Some(code), "{service} {to}{file}: {said}");
            let wanted = if code == 0 { "\"forward\"" } else { says };
            assert!(said.contains(wanted), "{service} {to}{file}: {said}");
        }
    }
    let rows = lab.egret_ok("reach --to 203.0.113.50:443");
    assert!(rows.contains("nat-a > igw-a > igw-b"), "{rows}");
    assert!(rows.contains("app-runner > igw-b"), "{rows}");
}

fn errors_and_fragments_are_mapped_too(device: &str) {
    let mut lab = Lab::up(device, LAB);
    let far = lab.far("vpc-b", "vpc0", &[API_PRIVATE]);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve_udp", API_PRIVATE, 53]));
    for task in ["web", "pub"] {
        let mut agent = lab.task(task);
        // The port is closed: the error quotes the packet as the server had it.
        assert_eq!(agent.ask(&json!(["udp", API, 9, 0, 5, 5.0])), "ECONNREFUSED", "{task}");
        assert_eq!(agent.ask(&json!(["tcp", API, 9, 0, 5.0])), "ECONNREFUSED", "{task}");
        // A datagram in three fragments is echoed.
        let answer = agent.ask(&json!(["udp", API, 53, 0, 4000, 10.0]));
        assert!(answer.as_u64().is_some(), "{task}: {answer} {:#?}", lab.drops());
    }
    for netns in [&far, &lab.netns("web-1"), &lab.netns("pub-1")] {
        for protocol in ["Tcp", "Udp", "Icmp"] {
            assert_eq!(snmp(netns, protocol, "InCsumErrors"), 0, "{protocol} in {}", netns.name());
        }
    }
    assert_eq!(snmp(&far, "Udp", "NoPorts"), 2);
    assert_eq!(lab.drops(), []);
}

fn many_bytes_arrive_as_they_were_sent(device: &str) {
    const SIZE: u32 = 20 << 20;
    let mut lab = Lab::up(device, &format!("{LAB}{CLOSED_FLOWS_STAY}"));
    let far = lab.far("vpc-b", "vpc0", &[API_PRIVATE]);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve_exchange", API_PRIVATE, 9000, SIZE]));
    for task in ["web", "pub"] {
        let mut agent = lab.task(task);
        let Value::Array(here) = agent.ask(&json!(["exchange", API, 9000, SIZE])) else {
            panic!("no transfer: {:#?}", lab.drops())
        };
        let there = server.ask(&json!(["digests"]));
        assert_eq!(there, json!([[here[0], "in"], [here[1], "out"]]), "{task}");
        assert_ne!(here[0], here[1]);
    }
    for netns in [&far, &lab.netns("web-1"), &lab.netns("pub-1")] {
        assert_eq!(snmp(netns, "Tcp", "InCsumErrors"), 0, "{}", netns.name());
    }
    assert_eq!(lab.verdicts(), []);
}

/// One entry of the flow cache does what the internet gateways and the NAT do, and another one
/// reverses it for the replies.
fn the_kernel_carries_flows_to_and_from_a_public_endpoint(device: &str) {
    let mut lab = Lab::up(device, &format!("offload = \"on\"\n{LAB}"));
    let far = lab.far("vpc-b", "vpc0", &[API_PRIVATE]);
    let mut api = Lab::agent(&far);
    api.ok(&json!(["serve", API_PRIVATE, 443]));
    for task in ["web", "pub"] {
        let mut agent = lab.task(task);
        let port = u16::try_from(agent.open("kept", API, 443).as_u64().unwrap()).unwrap();
        let before = until_offloaded(&lab, &mut agent, "kept", port).offloaded;
        (0..20).for_each(|_| agent.ok(&json!(["say", "kept", 10.0])));
        let after = until_offloaded(&lab, &mut agent, "kept", port).offloaded;
        let out = after.packets_out - before.packets_out;
        let back = after.packets_in - before.packets_in;
        // The second look exchanges a line too.
        assert!(out > 20 && back > 20, "{task}: {before:?} {after:?}");
        agent.ok(&json!(["close", "kept"]));
    }
    for netns in [&far, &lab.netns("web-1"), &lab.netns("pub-1")] {
        assert_eq!(snmp(netns, "Tcp", "InCsumErrors"), 0, "{}", netns.name());
    }
    assert_eq!(lab.drops(), []);
}

/// One Elastic IP is associated with another interface, and one is released.
fn a_reload_moves_and_removes_a_public_address(device: &str) {
    let lab = Lab::up(device, LAB);
    let mut api = Lab::agent(&lab.netns("vpc-b"));
    api.ok(&json!(["serve", API_PRIVATE, 443]));
    let mut other = Lab::agent(&lab.netns("vpc-b"));
    other.ok(&json!(["serve", "10.0.1.11", 8080]));
    let mut web = lab.task("web");
    web.tcp(API, 443);
    let apply = |text: &str| {
        let head = format!("lab = \"{}\"\ndevice = \"{}\"\n", lab.name(), lab.device());
        std::fs::write(lab.file(), format!("{head}{text}")).unwrap();
        lab.egret_ok(&format!("apply {}", lab.file().display()));
    };
    let moved = LAB
        .replace("public_ip = \"203.0.113.50\"\n", "")
        .replace("public_ip = \"203.0.113.51\"", "public_ip = \"203.0.113.50\"")
        .replace("security_groups = [\"sg-closed\"]", "security_groups = [\"sg-api\"]");
    apply(&moved);
    web.tcp(API, 8080);
    assert_eq!(other.peers().len(), 1, "the other resource has the address now");
    web.tcp_times_out(CLOSED, 443);
    assert!(lab.packets_dropped("no-such-internet-host") > 0, "{:#?}", lab.drops());
    apply(&moved.replace("public_ip = \"203.0.113.50\"\n", ""));
    web.tcp_times_out(API, 8080);
    apply(LAB);
    web.tcp(API, 443);
}

/// The groups of the resource that had the address admitted the flow: the groups of its new owner
/// are asked.
fn regression_a_moved_public_address_takes_no_flow_past_the_groups_of_its_new_owner(device: &str) {
    let lab = Lab::up(device, &format!("offload = \"on\"\n{LAB}"));
    let mut api = Lab::agent(&lab.netns("vpc-b"));
    api.ok(&json!(["serve_udp", API_PRIVATE, 53]));
    api.ok(&json!(["serve_udp", "10.0.1.11", 53]));
    let mut web = lab.task("web");
    let from = 40_000;
    let mut say = |patience: f64| web.ask(&json!(["udp", API, 53, from, 5, patience]));
    (0..20).for_each(|_| assert_eq!(say(10.0), json!(from)));
    let moved = LAB
        .replace("public_ip = \"203.0.113.50\"\n", "")
        .replace("public_ip = \"203.0.113.51\"", "public_ip = \"203.0.113.50\"");
    let head =
        format!("lab = \"{}\"\ndevice = \"{}\"\noffload = \"on\"\n", lab.name(), lab.device());
    std::fs::write(lab.file(), format!("{head}{moved}")).unwrap();
    lab.egret_ok(&format!("apply {}", lab.file().display()));
    assert_eq!(say(0.4), "timeout");
    assert_eq!(say(0.4), "timeout");
    assert!(lab.packets_dropped("sg-ingress-implicit-deny") > 0, "{:#?}", lab.drops());
}

/// The task is a Fargate task with a public address: its internet gateway maps the source, the
/// endpoint's the destination.
fn a_task_with_a_public_address_of_its_own_is_seen_by_it(device: &str) {
    let direct = "[[vpc_connector]]\nname = \"direct\"\nsubnets = [\"subnet-public\"]\n\
                  security_groups = [\"sg-app\"]\n[[service]]\nname = \"batch\"\nkind = \"fargate\"\n\
                  vpc_connector = \"direct\"\nassign_public_ip = true\n";
    let open = LAB.replace("from = \"198.51.100.99/32\"", "from = \"198.51.100.0/24\"");
    let lab = Lab::up(device, &format!("{open}{direct}"));
    let mut api = Lab::agent(&lab.netns("vpc-b"));
    api.ok(&json!(["serve", API_PRIVATE, 443]));
    let mut batch = lab.task("batch");
    let port = batch.tcp(API, 443);
    let peers = api.peers();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].1, port, "neither gateway changes a port");
    assert!(![NAT, APP_RUNNER].contains(&peers[0].0), "{peers:?}");
    assert!(lab.pings("batch", &API.to_string()));
    assert_eq!(lab.drops(), []);
}
