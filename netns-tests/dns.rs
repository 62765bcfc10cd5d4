//! Exempt addresses (spec 4.3) and DNS (spec 2.5, 8), from real tasks over real sockets.

use crate::support::lab::{Lab, can_run};
use crate::support::{run, run_ok};
use egret::explain::EniRow;
use egret::linux::Netns;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
const TIME_SYNC: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 123);

/// A group whose only rule is not for DNS, and a network ACL that denies everything. The other VPC
/// has the same addresses and no DNS.
const LAB: &str = r#"
apprunner_public_ip = "198.51.100.99"
region = "eu-central-1"
limits = { dns_packets_per_second = 200 }

[[vpc]]
id = "vpc-a"
cidr = "10.0.0.0/16"
enable_dns_hostnames = true
[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "eu-central-1a"
cidr = "10.0.1.0/24"
network_acl = "acl-deny"
[[network_acl]]
id = "acl-deny"
vpc = "vpc-a"
[[security_group]]
id = "sg-app"
vpc = "vpc-a"
egress = [{ protocol = "tcp", ports = "5432", to = "0.0.0.0/0" }]
[[resource]]
name = "db"
aliases = ["orders.cluster.eu-central-1.rds.amazonaws.com"]
subnet = "subnet-a"
address = "10.0.1.10"
listen = ["5432/tcp"]
[[private_zone]]
name = "corp.internal"
vpcs = ["vpc-a", "vpc-b"]
records = [
    { name = "db", type = "A", values = ["10.0.1.10"], ttl = 17 },
    { name = "orders", type = "CNAME", values = ["db.corp.internal"] },
    { name = "many", type = "TXT", values = ["LONG", "two"] },
]

[[vpc]]
id = "vpc-b"
cidr = "10.0.0.0/16"
enable_dns_support = false
[[subnet]]
id = "subnet-b"
vpc = "vpc-b"
availability_zone = "eu-central-1a"
cidr = "10.0.1.0/24"
[[resource]]
name = "db-b"
subnet = "subnet-b"
address = "10.0.1.11"

[[internet_host]]
name = "example"
aliases = ["www.example.com", "shadow.corp.internal"]
address = "203.0.113.10"

[[vpc_connector]]
name = "connector-a"
subnets = ["subnet-a"]
security_groups = ["sg-app"]
[[vpc_connector]]
name = "connector-b"
subnets = ["subnet-b"]
[[service]]
name = "web"
vpc_connector = "connector-a"
tasks = 2
[[service]]
name = "twin"
vpc_connector = "connector-b"
[[service]]
name = "public"
egress = "default"
"#;

/// A database of a peer, and an endpoint of image registries. The two VPCs have different
/// addresses.
const PEERED: &str = r#"
apprunner_public_ip = "198.51.100.99"
region = "us-east-1"

[[vpc]]
id = "vpc-app"
cidr = "10.0.0.0/16"
enable_dns_hostnames = true
[[vpc]]
id = "vpc-data"
cidr = "10.1.0.0/16"
[[subnet]]
id = "app-a"
vpc = "vpc-app"
availability_zone = "us-east-1a"
cidr = "10.0.1.0/24"
route_table = "rtb-app"
[[subnet]]
id = "app-b"
vpc = "vpc-app"
availability_zone = "us-east-1b"
cidr = "10.0.2.0/24"
route_table = "rtb-app"
[[subnet]]
id = "data-a"
vpc = "vpc-data"
availability_zone = "us-east-1a"
cidr = "10.1.1.0/24"
route_table = "rtb-data"
[[route_table]]
id = "rtb-app"
vpc = "vpc-app"
routes = [{ destination = "10.1.0.0/16", target = "pcx" }]
[[route_table]]
id = "rtb-data"
vpc = "vpc-data"
routes = [{ destination = "10.0.0.0/16", target = "pcx" }]
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-app"
accepter_vpc = "vpc-data"
[[security_group]]
id = "sg-data"
vpc = "vpc-data"
ingress = [{ protocol = "tcp", ports = "5432", from = "10.0.0.0/16" }]
[[resource]]
name = "orders"
aliases = ["orders.c1.us-east-1.rds.amazonaws.com"]
public_dns_name = true
subnet = "data-a"
address = "10.1.1.10"
security_groups = ["sg-data"]
listen = ["5432/tcp"]
[[resource]]
name = "cache"
aliases = ["cache.abc123.use1.cache.amazonaws.com"]
subnet = "data-a"
address = "10.1.1.11"
[[vpc_endpoint]]
id = "vpce-dkr"
vpc = "vpc-app"
kind = "interface"
service = "com.amazonaws.us-east-1.ecr.dkr"
subnets = ["app-a", "app-b"]
addresses = ["10.0.1.200", "10.0.2.200"]
security_groups = ["sg-dkr"]
listen = ["443/tcp"]
[[security_group]]
id = "sg-dkr"
vpc = "vpc-app"
ingress = [{ protocol = "tcp", ports = "443", from = "10.0.0.0/16" }]

[[vpc_connector]]
name = "connector"
subnets = ["app-a", "app-b"]
[[service]]
name = "web"
vpc_connector = "connector"
[[service]]
name = "public"
egress = "default"
"#;

fn lab() -> Lab {
    Lab::up("auto", &LAB.replace("LONG", &"x".repeat(250)).replace("\"two\"", &many()))
}

/// Returns strings that make an answer larger than 1,232 bytes.
fn many() -> String {
    let texts: Vec<String> = (0..8).map(|n| format!("\"{}\"", n.to_string().repeat(200))).collect();
    texts.join(", ")
}

fn question(name: &str, record_type: RecordType) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message.to_vec().unwrap()
}

/// Sends a question from a namespace, and returns the answer, if one comes.
fn over_udp(from: &Netns, server: Ipv4Addr, bytes: &[u8]) -> Option<Vec<u8>> {
    over_udp_within(LONG, from, server, bytes)
}

/// The longest wait for an answer that must not come.
const SHORT: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(30);

fn over_udp_within(
    patience: Duration,
    from: &Netns,
    server: Ipv4Addr,
    bytes: &[u8],
) -> Option<Vec<u8>> {
    from.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.connect((server, 53)).unwrap();
        socket.send(bytes).unwrap();
        let mut answer = vec![0; 4096];
        socket.recv(&mut answer).ok().map(|len| answer[..len].to_vec())
    })
    .unwrap()
}

fn over_tcp(from: &Netns, server: Ipv4Addr, bytes: &[u8]) -> Vec<u8> {
    from.run(|| {
        let mut stream = TcpStream::connect((server, 53)).unwrap();
        let len = u16::try_from(bytes.len()).unwrap();
        stream.write_all(&len.to_be_bytes()).unwrap();
        stream.write_all(bytes).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut answer).unwrap();
        answer
    })
    .unwrap()
}

fn ask(from: &Netns, server: Ipv4Addr, name: &str, record_type: RecordType) -> Message {
    let answer = over_udp(from, server, &question(name, record_type));
    let answer = answer.unwrap_or_else(|| panic!("no answer about {name} from {server}"));
    let message = Message::from_vec(&answer).unwrap();
    assert!(message.metadata.recursion_available && message.metadata.recursion_desired);
    message
}

fn addresses(from: &Netns, name: &str) -> Vec<Ipv4Addr> {
    let message = ask(from, RESOLVER, name, RecordType::A);
    let answers = message.answers.iter();
    let address = |data: &RData| if let RData::A(a) = data { Some(a.0) } else { None };
    answers.filter_map(|record| address(&record.data)).collect()
}

/// Surprise 11 of spec 14 with real packets, and the addresses of the names.
#[test]
fn names_resolve_through_no_security_group_and_no_network_acl() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let web = lab.netns("web-1");
    let db = Ipv4Addr::new(10, 0, 1, 10);
    for name in [
        "db.",
        "DB.",
        "orders.cluster.eu-central-1.rds.amazonaws.com.",
        "ip-10-0-1-10.eu-central-1.compute.internal.",
        "db.corp.internal.",
        "orders.corp.internal.",
    ] {
        assert_eq!(addresses(&web, name), [db], "{name}");
    }
    assert_eq!(addresses(&web, "www.example.com."), [Ipv4Addr::new(203, 0, 113, 10)]);

    // The query is as a program makes it, with the search list of resolv.conf.
    assert!(lab.exec_ok("web", "getent ahostsv4 db").starts_with("10.0.1.10"));
    assert!(lab.exec_ok("web", "getent hosts orders.corp.internal").starts_with("10.0.1.10"));
    assert!(lab.exec_ok("web", "getent hosts 10.0.1.10").contains("ip-10-0-1-10"));
    assert!(lab.exec_ok("public", "getent hosts www.example.com").starts_with("203.0.113.10"));
    assert!(!lab.exec("public", "getent hosts db").0, "no VPC's names for a public service");

    // A name that does not exist has no address, and the answer says for how long that may be
    // cached (RFC 2308).
    for name in
        ["nobody.", "shadow.corp.internal.", "db-b.", "ip-10-1-1-10.eu-central-1.compute.internal."]
    {
        let message = ask(&web, RESOLVER, name, RecordType::A);
        assert_eq!(message.metadata.response_code, ResponseCode::NXDomain, "{name}");
        assert!(matches!(message.authorities[0].data, RData::SOA(_)));
    }
    let shadowed = ask(&web, RESOLVER, "shadow.corp.internal.", RecordType::A);
    assert_eq!(shadowed.authorities[0].name.to_string(), "corp.internal.");
    let other_type = ask(&web, LINK_LOCAL, "db.", RecordType::AAAA);
    assert_eq!(other_type.metadata.response_code, ResponseCode::NoError);
    assert!(other_type.answers.is_empty() && !other_type.authorities.is_empty());
    let ttl = ask(&web, RESOLVER, "db.corp.internal.", RecordType::A).answers[0].ttl;
    assert_eq!(ttl, 17);

    // The answer is too large for UDP: truncated there, whole over TCP.
    let cut = ask(&web, RESOLVER, "many.corp.internal.", RecordType::TXT);
    assert!(cut.metadata.truncation);
    let whole = over_tcp(&web, LINK_LOCAL, &question("many.corp.internal.", RecordType::TXT));
    assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 9);

    // Nothing was filtered, and no flow was created.
    assert!(lab.drops().is_empty(), "{:?}", lab.drops());
    assert!(lab.flows().is_empty(), "{:?}", lab.flows());
    // But the ENI has counted the questions and the answers.
    let enis: Vec<EniRow> = lab.rows("enis");
    let carried = |eni: &EniRow| eni.packets_out > 8 && eni.packets_in > 8;
    assert!(enis.iter().any(carried), "{enis:?}");
    let explained = lab.egret_ok("explain web 10.0.0.2:53/udp");
    assert!(explained.contains("Route 53 Resolver"), "{explained}");
    assert!(explained.contains("no security group or network ACL filters this"), "{explained}");
}

/// AWS's names of managed databases are public, whichever VPC has their addresses.
#[test]
fn a_public_name_of_a_peers_database_resolves_and_leads_there() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", PEERED);
    let (web, orders) = (lab.netns("web-1"), Ipv4Addr::new(10, 1, 1, 10));
    let name = "orders.c1.us-east-1.rds.amazonaws.com";
    assert_eq!(addresses(&web, &format!("{name}.")), [orders]);
    for task in ["web", "public"] {
        let found = lab.exec_ok(task, &format!("getent ahostsv4 {name}"));
        assert!(found.starts_with("10.1.1.10"), "{task}: {found}");
    }
    lab.task("web").tcp(orders, 5432);
    for private in ["orders.", "cache.", "cache.abc123.use1.cache.amazonaws.com."] {
        let message = ask(&web, RESOLVER, private, RecordType::A);
        assert_eq!(message.metadata.response_code, ResponseCode::NXDomain, "{private}");
    }
}

/// As in AWS's public DNS, the name resolves to the public address, except for the VPC itself and
/// for peers that are allowed the private one.
#[test]
fn a_public_name_resolves_to_the_public_address_outside_of_its_vpc() {
    if !can_run() {
        return;
    }
    let (peer, public) = ("10.1.1.10", "192.0.2.10");
    let endpoint = PEERED
        .replace(
            "id = \"vpc-data\"\n",
            "id = \"vpc-data\"\ninternet_gateway = \"igw-data\"\nenable_dns_hostnames = true\n",
        )
        .replace("address = \"10.1.1.10\"", "address = \"10.1.1.10\"\npublic_ip = \"192.0.2.10\"");
    let lab = Lab::up("auto", &endpoint);
    let name = "orders.c1.us-east-1.rds.amazonaws.com";
    let resolved = |task: &str| {
        let found = lab.exec_ok(task, &format!("getent ahostsv4 {name}"));
        found.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!([resolved("web"), resolved("public")], [public, public]);
    let explained = |task: &str| {
        let said = lab.egret(&format!("explain {task} {name}:5432"));
        String::from_utf8(said.stdout).unwrap()
    };
    assert!(explained("web").contains(public), "{}", explained("web"));
    let text = std::fs::read_to_string(lab.file()).unwrap();
    let accepter = "accepter_vpc = \"vpc-data\"\n";
    let allowed = text.replace(accepter, &format!("{accepter}accepter_dns_resolution = true\n"));
    assert_ne!(allowed, text);
    std::fs::write(lab.file(), allowed).unwrap();
    lab.egret_ok(&format!("apply {}", lab.file().display()));
    assert_eq!([resolved("web"), resolved("public")], [peer, public]);
    assert!(explained("web").contains(peer), "{}", explained("web"));
    lab.task("web").tcp(peer.parse().unwrap(), 5432);
}

/// Without the wildcard, no image could be pulled through the endpoint.
#[test]
fn a_registrys_name_resolves_to_all_interfaces_of_its_endpoint() {
    if !can_run() {
        return;
    }
    let lab = Lab::up("auto", PEERED);
    let web = lab.netns("web-1");
    let interfaces = [Ipv4Addr::new(10, 0, 1, 200), Ipv4Addr::new(10, 0, 2, 200)];
    let apex = "dkr.ecr.us-east-1.amazonaws.com.";
    let registry = format!("123456789012.{apex}");
    assert_eq!(addresses(&web, &registry), interfaces);
    for interface in interfaces {
        lab.task("web").tcp(interface, 443);
    }
    let message = ask(&web, RESOLVER, &registry, RecordType::A);
    assert_eq!(message.answers[0].name.to_string(), registry, "not the wildcard's own name");
    let message = ask(&web, RESOLVER, apex, RecordType::A);
    assert_eq!(message.metadata.response_code, ResponseCode::NoError);
    assert!(message.answers.is_empty());
    assert_eq!(message.authorities[0].name.to_string(), apex);
    assert!(!lab.exec("public", &format!("getent hosts {registry}")).0, "another VPC's endpoint");
}

#[test]
fn malformed_questions_do_no_harm_and_no_other_host_may_answer() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let web = lab.netns("web-1");
    let good = question("db.", RecordType::A);
    for cut in [0, 1, 11, 12, good.len() - 1] {
        over_udp_within(SHORT, &web, LINK_LOCAL, &good[..cut]);
    }
    let mut two = good.clone();
    two[5] = 2;
    two.extend_from_slice(&good[12..]);
    let answer = over_udp(&web, LINK_LOCAL, &two).unwrap();
    assert_eq!(Message::from_vec(&answer).unwrap().metadata.response_code, ResponseCode::FormErr);
    let mut update = good.clone();
    update[2] = 0x10;
    let answer = over_udp(&web, LINK_LOCAL, &update).unwrap();
    assert_eq!(Message::from_vec(&answer).unwrap().metadata.response_code, ResponseCode::NotImp);
    assert_eq!(addresses(&web, "db."), [Ipv4Addr::new(10, 0, 1, 10)], "it still answers");

    // A VPC host with the resolver's address sends to a task: no ENI has that address there.
    let task = lab.ps().iter().find(|row| row.service == "web").unwrap().address;
    let vpc = lab.netns("vpc-a");
    run_ok(&vpc, &format!("ip address add {LINK_LOCAL}/32 dev vpc0"));
    lab.drops_for("no-owner", "", || {
        let sent = vpc.run(|| {
            let socket = UdpSocket::bind((LINK_LOCAL, 53)).unwrap();
            socket.send_to(b"forged", (task, 1024)).unwrap()
        });
        assert_eq!(sent.unwrap(), 6);
    });
}

#[test]
fn dns_support_off_is_silence_and_too_many_packets_are_counted() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let (web, twin) = (lab.netns("web-1"), lab.netns("twin-1"));
    let ask_db = question("db-b.", RecordType::A);
    let drop = lab.drops_for("dns-support-disabled", "", || {
        assert_eq!(over_udp_within(SHORT, &twin, RESOLVER, &ask_db), None);
        assert_eq!(over_udp_within(SHORT, &twin, LINK_LOCAL, &ask_db), None);
    });
    assert_eq!(drop.service.as_deref(), Some("twin"));
    let explained = lab.egret("explain twin 10.0.0.2:53/udp");
    let said = String::from_utf8(explained.stdout).unwrap();
    assert!(said.contains("enable_dns_support = true"), "{said}");

    // Questions count, answers do not, for all tasks of the ENI together.
    let bytes = question("db.", RecordType::A);
    let burst = |from: &Netns| {
        let socket = from.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
        socket.connect((RESOLVER, 53)).unwrap();
        for _ in 0..300 {
            socket.send(&bytes).unwrap();
        }
        // The socket stays open until the end: if it were closed, late answers would cause ICMP
        // errors, which count as well.
        socket
    };
    let mut open = Vec::new();
    let dropped = loop {
        // A slow machine may take longer than a second for 200 of them, and the router answers when
        // it gets to them.
        open.extend([burst(&web), burst(&lab.netns("web-2"))]);
        let dropped = lab.packets_dropped("dns-throttled");
        if dropped > 0 || open.len() == 40 {
            break dropped;
        }
    };
    let sent = open.len() as u64 * 300;
    assert!((1..=sent - 200).contains(&dropped), "{dropped} of {sent}");
    let row = lab.drops().into_iter().find(|row| row.reason == "dns-throttled").unwrap();
    assert_eq!(row.service.as_deref(), Some("web"));
}

#[test]
fn time_and_task_metadata_are_there_and_instance_metadata_is_not() {
    if !can_run() {
        return;
    }
    let lab = lab();
    let sent = lab.netns("web-1").run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let mut question = [0; 48];
        question[0] = 4 << 3 | 3;
        socket.send_to(&question, (TIME_SYNC, 123)).unwrap();
        let mut answer = [0; 512];
        let (len, from) = socket.recv_from(&mut answer).unwrap();
        assert_eq!((len, from.ip()), (48, TIME_SYNC.into()));
        u32::from_be_bytes(answer[40..44].try_into().unwrap())
    });
    let since_1970 = sent.unwrap().wrapping_sub(2_208_988_800);
    let date: u32 = String::from_utf8(run(&lab.netns("web-1"), "date +%s").stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(date.abs_diff(since_1970) < 60, "{date} {since_1970}");

    let address =
        lab.ps().iter().find(|row| row.service == "web" && row.task == 2).unwrap().address;
    let metadata = lab.netns("web-2").run(|| {
        let mut stream = TcpStream::connect("169.254.170.2:80").unwrap();
        stream.write_all(b"GET /v2/metadata HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let metadata = metadata.unwrap();
    let (_, body) = metadata.split_once("\r\n\r\n").unwrap();
    let task: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(task["Family"], "web");
    assert_eq!(task["Containers"][0]["Networks"][0]["IPv4Addresses"][0], address.to_string());
    assert_eq!(task["AvailabilityZone"], "eu-central-1a");

    lab.drops_for("exempt-address-unserved", "", || {
        lab.task("web").tcp_times_out(Ipv4Addr::new(169, 254, 169, 254), 80);
    });
}
