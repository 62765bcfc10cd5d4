//! The internet sees only the public address of a task, and reaches a task only where the task has
//! asked for it.

use crate::support::comes;
use crate::support::frames;
use crate::support::lab::{FLOWS_EXPIRE_SOON, Lab, for_both_kinds, snmp};
use egret::linux::{Mac, Netns};
use serde_json::json;
use std::net::Ipv4Addr;

for_both_kinds!(
    the_internet_sees_public_addresses_and_nothing_else,
    equal_source_ports_of_two_tasks_do_not_collide,
    odd_but_legal_datagrams_pass_and_so_do_the_errors_about_their_echoes,
    unsolicited_packets_do_not_come_in,
    default_egress_has_its_own_address_and_no_vpc,
    ports_run_out_for_one_destination_only_and_come_back,
    an_idle_connection_ends_with_a_reset,
);

const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
const DB: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const APP_RUNNER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

/// Two services behind one NAT gateway and on one ENI, and a third one without a connector.
const LAB: &str = r#"
apprunner_public_ip = "198.51.100.77"

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
id = "sg-app"
vpc = "vpc-a"

[[security_group]]
id = "sg-db"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "0.0.0.0/0" }]

[[resource]]
name = "db"
subnet = "subnet-private"
address = "10.0.1.10"
security_groups = ["sg-db"]
listen = ["5432/tcp"]

[[internet_host]]
name = "host"
address = "203.0.113.10"

[[internet_host]]
name = "other-host"
address = "203.0.113.20"

[[internet_host]]
name = "router"
address = "203.0.113.1"
listen = ["443/tcp"]

[[vpc_connector]]
name = "one"
subnets = ["subnet-private"]
security_groups = ["sg-app"]

[[vpc_connector]]
name = "two"
subnets = ["subnet-private"]
security_groups = ["sg-app"]

[[service]]
name = "web"
egress = "vpc"
vpc_connector = "one"
tasks = 2

[[service]]
name = "api"
egress = "vpc"
vpc_connector = "two"

[[service]]
name = "direct"
egress = "default"
"#;

/// Brings up the lab with both hosts in a further namespace.
fn lab_with_far_hosts(device: &str, more: &str) -> (Lab, Netns) {
    let mut lab = Lab::up(device, &format!("{LAB}\n{more}"));
    let far = lab.far("internet", "net0", &[HOST, OTHER_HOST]);
    (lab, far)
}

/// 5.1: nothing private gets out.
fn the_internet_sees_public_addresses_and_nothing_else(device: &str) {
    let (lab, far) = lab_with_far_hosts(device, "");
    let mut internet = Lab::agent(&lab.netns("internet"));
    internet.ok(&json!(["sniff", "net0"]));
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    server.ok(&json!(["serve_udp", HOST, 53]));
    for (task, public) in
        [("web", PUBLIC), ("web/2", PUBLIC), ("api", PUBLIC), ("direct", APP_RUNNER)]
    {
        let mut task = lab.task(task);
        for _ in 0..5 {
            task.tcp(HOST, 443);
            task.udp(HOST, 53);
        }
        let peers = server.peers();
        assert_eq!(peers.len(), 10);
        assert!(
            peers.iter().all(|&(address, port)| address == public && port >= 1024),
            "{peers:?}"
        );
    }
    assert!(lab.pings("web", &HOST.to_string()) && lab.pings("direct", &HOST.to_string()));
    // Whatever else the tasks try, refused or not, only the same two addresses come out.
    lab.exec("web", "ping -n -c 1 -W 0.2 -s 4000 203.0.113.10");
    lab.exec("direct", "ping -n -c 1 -W 0.2 10.0.1.10");
    lab.exec("web", "traceroute -n -q 1 -w 0.2 -m 4 -U 203.0.113.10");
    let mut seen: Vec<_> = internet.sniffed("net0").into_iter().map(|(source, _)| source).collect();
    seen.sort();
    assert_eq!(seen, [PUBLIC.to_string(), APP_RUNNER.to_string()]);
    for protocol in ["Tcp", "Udp", "Icmp"] {
        assert_eq!(snmp(&far, protocol, "InCsumErrors"), 0, "{protocol}");
    }
}

/// Checklist T7: one ENI has flows of two tasks with equal source ports.
fn equal_source_ports_of_two_tasks_do_not_collide(device: &str) {
    let (lab, far) = lab_with_far_hosts(device, "");
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut tasks = [lab.task("web"), lab.task("web/2"), lab.task("api")];
    for task in &mut tasks {
        assert_eq!(task.ask(&json!(["open", "a", HOST, 443, 5000])), 5000);
    }
    for task in &mut tasks {
        assert_eq!(task.ask(&json!(["say", "a"])), "ok");
    }
    let mut peers = server.peers();
    peers.sort();
    peers.dedup();
    assert_eq!(peers.len(), 3, "three ports of one address: {peers:?}");
    // All three flows, of two services and two connectors, use one ENI.
    let flows = lab.flows();
    assert_eq!(flows.len(), 3);
    assert!(flows.iter().all(|flow| flow.eni == flows[0].eni && flow.inside.ends_with(":5000")));
    assert!(flows.iter().all(|flow| flow.nat_gateway.as_deref() == Some("nat-a")));
    let enis: Vec<egret::explain::EniRow> = lab.rows("enis");
    let eni = enis.iter().find(|eni| eni.id == flows[0].eni).unwrap();
    assert_eq!((eni.services.len(), eni.connectors.len(), eni.tasks), (2, 2, 3));
}

/// Datagrams without a checksum (RFC 768 allows it), and with options in the header. Nothing
/// listens to the echoes, and the errors that say so are translated on their way out. Checklist I5,
/// RFC 3022.
fn odd_but_legal_datagrams_pass_and_so_do_the_errors_about_their_echoes(device: &str) {
    let (lab, far) = lab_with_far_hosts(device, "");
    let mut internet = Lab::agent(&lab.netns("internet"));
    internet.ok(&json!(["sniff", "net0"]));
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve_udp", HOST, 53]));
    let source = Ipv4Addr::new(100, 64, 0, 1);
    let plain = || frames::udp(source, HOST, 53);
    let without_checksum = frames::with(plain(), |p| p[26..28].fill(0));
    let with_options = frames::with(plain(), |p| {
        p[0] = 0x46;
        p[3] += 4;
        p.splice(20..20, [1, 1, 1, 0]);
    });
    let mut task = lab.task("web");
    for packet in [without_checksum, with_options] {
        let frame = frames::ipv4(Mac::near(source), &packet);
        task.ok(&json!(["frames", "eth0", frame]));
    }
    // Everything sent before it on the same path has arrived when this datagram has.
    task.udp(HOST, 53);
    assert_eq!(server.peers().len(), 3);
    assert!(lab.pings("web", &HOST.to_string()));
    assert_eq!(snmp(&far, "Icmp", "InDestUnreachs"), 2);
    assert_eq!(snmp(&far, "Icmp", "InCsumErrors"), 0);
    assert!(internet.sniffed("net0").iter().all(|(source, _)| *source == PUBLIC.to_string()));
    assert_eq!(lab.drops(), []);
}

/// Checklist U8, T4. Statement 30: inbound packets that no task has asked for are dropped.
fn unsolicited_packets_do_not_come_in(device: &str) {
    let (lab, far) = lab_with_far_hosts(device, "");
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve_udp", HOST, 53]));
    let mut task = lab.task("web");
    task.ok(&json!(["sniff", "eth0"]));
    task.udp(HOST, 53);
    let (_, port) = server.peers()[0];
    let sniffed = task.sniffed("eth0");
    assert_eq!(sniffed, [(HOST.to_string(), 1)]);
    for address in [PUBLIC, APP_RUNNER] {
        lab.drops_for("unsolicited", "flow-table", || server.tcp_times_out(address, 443));
    }
    // The port is in use, but not towards this host: filtering is by address and port.
    lab.drops_for("unsolicited", "flow-table", || {
        let answer = server.ask(&json!(["udp", PUBLIC, port, 54, 5, 0.3]));
        assert_eq!(answer, "timeout");
    });
    lab.drops_for("unsolicited", "flow-table", || {
        lab.exec_internet(&format!("ping -n -c 1 -W 0.3 -I 203.0.113.1 {PUBLIC}"));
    });
    let eni = lab.flows()[0].eni.clone();
    let enis: Vec<egret::explain::EniRow> = lab.rows("enis");
    let eni = enis.iter().find(|row| row.id == eni).unwrap().address.unwrap();
    let mut vpc = Lab::agent(&lab.netns("vpc-a"));
    lab.drops_for("unsolicited", "flow-table", || vpc.tcp_times_out(eni, 443));
    lab.drops_for("no-owner", "", || vpc.tcp_times_out(Ipv4Addr::new(10, 0, 1, 99), 443));
    // A task's own address is no outside address of any device.
    lab.drops_for("no-owner", "", || vpc.tcp_times_out(Ipv4Addr::new(100, 64, 0, 1), 443));
    assert_eq!(task.sniffed("eth0"), sniffed);
}

/// Statement 1, and Statement 2 where an internet host stands for the application in a VPC.
fn default_egress_has_its_own_address_and_no_vpc(device: &str) {
    let (lab, far) = lab_with_far_hosts(device, "");
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut direct = lab.task("direct");
    direct.tcp(HOST, 443);
    assert_eq!(server.peers()[0].0, APP_RUNNER);
    lab.drops_for("apprunner-private-destination", "app-runner", || {
        direct.tcp_times_out(DB, 5432);
    });
    lab.drops_for("nat-hairpin", "app-runner", || direct.tcp_times_out(PUBLIC, 443));
    lab.drops_for("nat-hairpin", "igw-a", || lab.task("web").tcp_times_out(APP_RUNNER, 443));
    lab.drops_for("nat-gateway-address", "nat-a", || {
        lab.task("web").tcp_times_out(Ipv4Addr::new(10, 0, 0, 100), 443);
    });
}

/// Checklist 5.4: ports run out for one destination only, and are released.
fn ports_run_out_for_one_destination_only_and_come_back(device: &str) {
    let limits = "[limits]\nnat_connections_per_destination = 5\n[timeouts]\ntime_scale = 20.0\n";
    let (lab, far) = lab_with_far_hosts(device, limits);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    server.ok(&json!(["serve", HOST, 8443]));
    server.ok(&json!(["serve", OTHER_HOST, 443]));
    let mut task = lab.task("web");
    for name in ["a", "b", "c", "d", "e"] {
        assert!(task.open(name, HOST, 443).is_u64());
    }
    lab.drops_for("nat-ports-exhausted", "nat-a", || task.tcp_times_out(HOST, 443));
    task.tcp(OTHER_HOST, 443);
    task.tcp(HOST, 8443);
    task.ok(&json!(["say", "a"]));
    // A port is free again some time after both ends have closed (here a 20th of the usual time).
    // The kernel retries for longer than that.
    task.ok(&json!(["close", "a"]));
    task.tcp(HOST, 443);
    task.ok(&json!(["say", "e"]));
}

/// The timeout is 3.5 s instead of 350. An ENI alone sends nothing when a flow has expired; a NAT
/// gateway sends a reset to the inside. Checklist T5.
fn an_idle_connection_ends_with_a_reset(device: &str) {
    let (lab, far) = lab_with_far_hosts(device, FLOWS_EXPIRE_SOON);
    let mut server = Lab::agent(&far);
    server.ok(&json!(["serve", HOST, 443]));
    let mut task = lab.task("web");
    task.tcp_from(0, HOST, 443);
    assert!(task.open("idle in the VPC", DB, 5432).is_u64());
    assert!(task.open("idle", HOST, 443).is_u64());
    let have_expired = || {
        let flows = lab.flows();
        let mut established = flows.iter().filter(|flow| flow.state == "established");
        established.all(|flow| {
            assert!(flow.expires_ms <= 3500, "{flow:?}");
            false
        })
    };
    assert!(comes(have_expired), "{:?}", lab.flows());
    let mut internet = Lab::agent(&lab.netns("internet"));
    internet.ok(&json!(["sniff", "net0"]));
    lab.drops_for("flow-expired", "flow-table", || {
        assert_eq!(task.ask(&json!(["say", "idle"])), "ECONNRESET");
    });
    assert_eq!(internet.sniffed("net0"), [], "to the task only");
    lab.drops_for("flow-expired", "flow-table", || {
        assert_eq!(task.ask(&json!(["say", "idle in the VPC", 0.4])), "timeout");
    });
    task.tcp(HOST, 443);
}
