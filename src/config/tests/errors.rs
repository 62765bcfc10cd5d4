//! Tests of one mistake at a time: its rule, and the text that is underlined.

use super::*;

macro_rules! mistakes {
    ($($name:ident: $rule:literal at $text:literal in $addition:literal;)*) => {$(
        #[test]
        fn $name() {
            check($rule, $text, $addition);
        }
    )*};
}

mod routing;

#[track_caller]
pub(super) fn check(rule: &str, text: &str, addition: &str) {
    let errors = errors(&based(addition));
    let found: Vec<_> = errors.iter().map(|e| (e.rule, e.text.as_str())).collect();
    assert_eq!(found, [(rule, text)], "\n{errors}");
    let error = &errors[0];
    assert!(!error.help.is_empty() && !error.message.is_empty());
    let line = based(addition).lines().nth(error.line as usize - 1).unwrap().to_owned();
    let column = line.char_indices().nth(error.column as usize - 1).map_or(line.len(), |(i, _)| i);
    assert!(line[column..].starts_with(text), "{line:?} column {}", error.column);
}

mistakes! {
    unknown_section: "unknown-key" at "vpcs" in "[[vpcs]]\nid = \"x\"";
    unknown_key: "unknown-key" at "protcol" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "tcp", protcol = "tcp", ports = 1, to = "10.0.0.0/8" }]"#;
    missing_key: "missing-key" at "[[security_group]]" in "[[security_group]]\nid = \"sg\"";
    missing_ports: "missing-key" at r#"{ protocol = "tcp", to = "10.0.0.0/8" }"# in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "tcp", to = "10.0.0.0/8" }]"#;
    wrong_type: "wrong-type" at "7" in "region = 7";
    no_region: "bad-region" at "\"mars\"" in "region = \"mars\"";
    no_region_of_a_vpc: "bad-region" at "\"us-east-1a\"" in r#"[[vpc]]
id = "vpc-z"
cidr = "10.99.0.0/16"
region = "us-east-1a""#;
    no_queue: "out-of-range" at "0" in "queues = 0";
    too_many_queues: "out-of-range" at "17" in "queues = 17";
    queues_of_a_plain_device: "plain-device-queues" at "4" in "device = \"plain\"\nqueues = 4";
    single_table: "wrong-type" at "[service]" in "[service]\nname = \"web\"";
    section_that_is_a_key: "wrong-type" at "5" in "service = 5";
    duplicate_id: "duplicate-id" at "\"subnet-a\"" in r#"[[subnet]]
id = "subnet-a"
vpc = "vpc-a"
availability_zone = "us-east-1c"
cidr = "10.0.3.0/24""#;
    duplicate_route_target: "duplicate-id" at "\"igw-a\"" in r#"[[nat_gateway]]
id = "igw-a"
subnet = "subnet-a""#;
    dangling_id: "dangling-id" at "\"subnet-x\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-x""#;
    dangling_target: "dangling-id" at "\"nat-x\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-x" }]"#;
    dangling_peer: "dangling-id" at "\"sg-x\"" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = ["sg-x"] }]"#;
    bad_id: "bad-name" at "\"a b\"" in r#"[[prefix_list]]
id = "a b"
entries = []"#;
    bad_lab_name: "bad-name" at "\"My Lab\"" in "lab = \"My Lab\"";
    bad_service_name: "bad-name" at "\"a.b\"" in "[[service]]\nname = \"a.b\"";
    id_with_another_meaning: "bad-name" at "\"local\"" in r#"[[nat_gateway]]
id = "local"
subnet = "subnet-a""#;
    unknown_word: "unknown-word" at "\"tap\"" in "device = \"tap\"";
    table_of_another_vpc: "wrong-vpc" at "\"rtb-a\"" in r#"[[route_table]]
id = "rtb-a"
vpc = "vpc-a"
[[subnet]]
id = "subnet-b2"
vpc = "vpc-b"
availability_zone = "us-east-1a"
cidr = "10.1.2.0/24"
route_table = "rtb-a""#;
    group_of_another_vpc: "wrong-vpc" at "\"sg-b\"" in r#"[[security_group]]
id = "sg-b"
vpc = "vpc-b"
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10"
security_groups = ["sg-b"]"#;
    peer_of_another_vpc: "wrong-vpc" at "\"sg-b\"" in r#"[[security_group]]
id = "sg-b"
vpc = "vpc-b"
[[security_group]]
id = "sg-a"
vpc = "vpc-a"
ingress = [{ protocol = "all", from = "sg-b" }]"#;
    connector_in_two_vpcs: "wrong-vpc" at "\"subnet-b\"" in r#"[[vpc_connector]]
name = "two"
subnets = ["subnet-a", "subnet-b"]"#;
    nat_gateway_of_another_vpc: "wrong-vpc" at "\"nat-b\"" in r#"[[nat_gateway]]
id = "nat-b"
subnet = "subnet-b"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "nat-b" }]"#;
    main_table_of_another_vpc: "wrong-vpc" at "\"rtb-a\"" in r#"[[vpc]]
id = "vpc-c"
cidr = "10.2.0.0/16"
main_route_table = "rtb-a"
[[route_table]]
id = "rtb-a"
vpc = "vpc-a""#;
    peering_of_other_vpcs: "wrong-vpc" at "\"pcx\"" in r#"[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-b"
accepter_vpc = "vpc-c"
[[vpc]]
id = "vpc-c"
cidr = "10.2.0.0/16"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "10.1.0.0/16", target = "pcx" }]"#;
    overlapping_subnets: "cidr-overlap" at "\"10.0.1.128/25\"" in r#"[[subnet]]
id = "subnet-c"
vpc = "vpc-a"
availability_zone = "us-east-1c"
cidr = "10.0.1.128/25""#;
    overlapping_blocks: "cidr-overlap" at "\"10.2.128.0/17\"" in r#"[[vpc]]
id = "vpc-c"
cidr = ["10.2.0.0/16", "10.2.128.0/17"]"#;
    subnet_outside_vpc: "subnet-outside-vpc" at "\"10.9.0.0/24\"" in r#"[[subnet]]
id = "subnet-c"
vpc = "vpc-a"
availability_zone = "us-east-1c"
cidr = "10.9.0.0/24""#;
    address_outside_subnet: "address-outside-subnet" at "\"10.0.2.10\"" in r#"[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.2.10""#;
    reserved_address: "reserved-address" at "\"10.0.1.3\"" in r#"[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.3""#;
    broadcast_address: "reserved-address" at "\"10.0.1.255\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
private_ip = "10.0.1.255""#;
    duplicate_address: "duplicate-address" at "\"10.0.1.10\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
private_ip = "10.0.1.10"
[[resource]]
name = "db"
subnet = "subnet-a"
address = "10.0.1.10""#;
    duplicate_public_address: "duplicate-address" at "\"203.0.113.10\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
public_ip = "203.0.113.10"
[[internet_host]]
name = "example"
address = "203.0.113.10""#;
    private_elastic_ip: "not-public" at "\"10.9.9.9\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
public_ip = "10.9.9.9""#;
    elastic_ip_on_private_gateway: "public-ip-on-private" at "\"198.51.100.1\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
connectivity = "private"
public_ip = "198.51.100.1""#;
    impossible_host: "bad-address" at "\"224.0.0.1\"" in r#"[[internet_host]]
name = "example"
address = "224.0.0.1""#;
    bad_protocol: "bad-protocol" at "\"sctpp\"" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "sctpp", to = "0.0.0.0/0" }]"#;
    protocol_too_large: "bad-protocol" at "256" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = 256, to = "0.0.0.0/0" }]"#;
    reversed_ports: "bad-ports" at "\"443-80\"" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "tcp", ports = "443-80", to = "0.0.0.0/0" }]"#;
    port_too_large: "bad-ports" at "70000" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "tcp", ports = 70000, to = "0.0.0.0/0" }]"#;
    icmp_on_tcp: "icmp-field" at "8" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "tcp", ports = 1, icmp_type = 8, to = "0.0.0.0/0" }]"#;
    ports_on_icmp: "icmp-field" at "\"all\"" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "icmp", ports = "all", to = "0.0.0.0/0" }]"#;
    icmp_code_without_type: "icmp-field" at "4" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "icmp", icmp_code = 4, to = "0.0.0.0/0" }]"#;
    bad_cidr: "bad-cidr" at "\"10.0.0.0/33\"" in r#"[[prefix_list]]
id = "pl"
entries = ["10.0.0.0/33"]"#;
    address_instead_of_cidr: "bad-cidr" at "\"10.0.0.1\"" in r#"[[prefix_list]]
id = "pl"
entries = ["10.0.0.1"]"#;
    block_of_a_wrong_size: "bad-cidr" at "\"10.2.0.0/8\"" in "[[vpc]]\nid = \"vpc-c\"\ncidr = \"10.2.0.0/8\"";
    ipv6: "ipv6" at "\"::/0\"" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
egress = [{ protocol = "all", to = "::/0" }]"#;
    duplicate_rule: "duplicate-rule" at "100" in r#"[[network_acl]]
id = "acl"
vpc = "vpc-a"
egress = [
  { rule = 100, action = "allow", protocol = "all", cidr = "0.0.0.0/0" },
  { rule = 100, action = "deny", protocol = "all", cidr = "10.0.0.0/8" },
]"#;
    rule_number_reserved: "out-of-range" at "32767" in r#"[[network_acl]]
id = "acl"
vpc = "vpc-a"
egress = [{ rule = 32767, action = "allow", protocol = "all", cidr = "0.0.0.0/0" }]"#;
    two_main_tables: "two-main-tables" at "true" in r#"[[route_table]]
id = "rtb-1"
vpc = "vpc-a"
main = true
[[route_table]]
id = "rtb-2"
vpc = "vpc-a"
main = true"#;
    two_default_groups: "two-defaults" at "true" in r#"[[security_group]]
id = "sg-1"
vpc = "vpc-a"
default = true
[[security_group]]
id = "sg-2"
vpc = "vpc-a"
default = true"#;
    vpc_without_connector: "egress-without-connector" at "\"vpc\"" in "[[service]]\nname = \"web\"\negress = \"vpc\"";
    connector_with_default: "connector-without-egress" at "\"one\"" in r#"[[vpc_connector]]
name = "one"
subnets = ["subnet-a"]
[[service]]
name = "web"
egress = "default"
vpc_connector = "one""#;
    empty_connector: "empty-list" at "[]" in "[[vpc_connector]]\nname = \"one\"\nsubnets = []";
    repeated_subnet: "repeated" at "\"subnet-a\"" in r#"[[vpc_connector]]
name = "one"
subnets = ["subnet-a", "subnet-a"]"#;
    repeated_port: "repeated" at "\"53/udp\"" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["53/udp", "53/tcp", "53/udp"]"#;
    bad_listen: "bad-listen" at "\"53\"" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["53"]"#;
    listen_word: "bad-listen" at "\"443/htps\"" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/htps"]"#;
    port_of_two_languages: "repeated" at "\"443/https\"" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/tcp", "443/https"]"#;
    port_in_two_modes: "repeated" at "{ port = \"443/https\", mode = \"refuse\" }" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = ["443/https", { port = "443/https", mode = "refuse" }]"#;
    listener_mode: "unknown-word" at "\"reject\"" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = [{ port = "443/https", mode = "reject" }]"#;
    listener_key: "unknown-key" at "ports" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = [{ port = "443/https", ports = 1, mode = "refuse" }]"#;
    listener_without_mode: "missing-key" at "{ port = \"443/https\" }" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = [{ port = "443/https" }]"#;
    delay_without_time: "missing-key" at "{ port = \"443/https\", mode = \"delay\" }" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = [{ port = "443/https", mode = "delay" }]"#;
    delay_of_nobody: "delay-without-answer" at "\"2s\"" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = [{ port = "443/https", mode = "blackhole", delay = "2s" }]"#;
    delay_too_long: "bad-duration" at "\"601s\"" in r#"[[internet_host]]
name = "example"
address = "203.0.113.10"
listen = [{ port = "443/https", mode = "delay", delay = "601s" }]"#;
    too_short_a_grace: "bad-duration" at "\"999ms\"" in "offload_grace = \"999ms\"";
    too_long_a_grace: "bad-duration" at "\"601s\"" in "offload_grace = \"601s\"";
    grace_for_nothing: "no-offload" at "\"5s\"" in "offload = \"off\"\noffload_grace = \"5s\"";
    duration_without_unit: "bad-duration" at "350" in "[timeouts]\ntcp_idle = 350";
    bad_duration: "bad-duration" at "\"350\"" in "[timeouts]\ntcp_idle = \"350\"";
    no_time_at_all: "bad-duration" at "\"0s\"" in "[timeouts]\ntcp_opening = \"0s\"";
    bad_time_scale: "out-of-range" at "0" in "[timeouts]\ntime_scale = 0";
    too_many_connections: "out-of-range" at "64513" in "[limits]\nnat_connections_per_destination = 64513";
    bad_mtu: "out-of-range" at "9002" in "mtu = 9002";
    task_cidr_in_a_vpc: "task-cidr-overlap" at "\"10.1.0.0/16\"" in "task_cidr = \"10.1.64.0/20\"";
    task_cidr_on_the_internet: "task-cidr-overlap" at "\"100.64.0.9\"" in r#"[[internet_host]]
name = "example"
address = "100.64.0.9""#;
    task_cidr_too_small: "task-cidr-too-small" at "\"192.168.0.0/30\"" in "task_cidr = \"192.168.0.0/30\"\n[[service]]\nname = \"web\"\ntasks = 3";
    task_cidr_in_public_space: "task-cidr-not-private" at "\"192.0.2.0/24\"" in "task_cidr = \"192.0.2.0/24\"";
    task_cidr_beyond_private_space: "task-cidr-not-private" at "\"192.168.0.0/15\"" in "task_cidr = \"192.168.0.0/15\"";
    task_cidr_of_all: "task-cidr-not-private" at "\"0.0.0.0/0\"" in "task_cidr = \"0.0.0.0/0\"";
    task_cidr_of_an_elastic_ip: "task-cidr-not-private" at "\"203.0.113.0/24\"" in r#"task_cidr = "203.0.113.0/24"
[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
public_ip = "203.0.113.7""#;
    nine_addresses: "too-many-addresses" at "\"nat\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
secondary_private_ip_count = 8"#;
    addresses_and_their_count: "addresses-and-count" at "\"10.0.1.30\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
connectivity = "private"
secondary_private_ips = ["10.0.1.30"]
secondary_private_ip_count = 2"#;
    secondary_public_on_private: "public-ip-on-private" at "\"198.51.100.9\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
connectivity = "private"
secondary_public_ips = ["198.51.100.9"]"#;
    secondary_address_twice: "duplicate-address" at "\"198.51.100.9\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
public_ip = "198.51.100.9"
secondary_public_ips = ["198.51.100.9"]"#;
    secondary_address_outside_the_subnet: "address-outside-subnet" at "\"10.9.9.9\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
secondary_private_ips = ["10.9.9.9"]"#;
    regional_gateway: "regional-nat-gateway" at "\"regional\"" in r#"[[nat_gateway]]
id = "nat"
availability_mode = "regional""#;
    vpc_called_internet: "namespace-clash" at "\"internet\"" in "[[vpc]]\nid = \"internet\"\ncidr = \"10.2.0.0/16\"";
    vpc_called_like_a_task: "namespace-clash" at "\"web-1\"" in "[[vpc]]\nid = \"web-1\"\ncidr = \"10.2.0.0/16\"\n[[service]]\nname = \"web\"";
}

#[test]
fn a_subnet_without_room_for_an_eni() {
    let mut text = String::from(
        "[[subnet]]\nid = \"small\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1c\"\ncidr = \"10.0.9.0/28\"\n\
         [[vpc_connector]]\nname = \"one\"\nsubnets = [\"small\"]\n\
         [[service]]\nname = \"web\"\nvpc_connector = \"one\"\n",
    );
    for last in 4..15 {
        text += &format!(
            "[[resource]]\nname = \"r{last}\"\nsubnet = \"small\"\naddress = \"10.0.9.{last}\"\n"
        );
    }
    check("subnet-full", "\"small\"", &text);
}

#[test]
fn more_routes_than_a_table_can_hold() {
    let routes: String = (0..65_535u32)
        .map(|n| {
            let address = std::net::Ipv4Addr::from(0xcb00_7100 + n);
            format!("{{ destination = \"{address}/32\", target = \"igw-a\" }},\n")
        })
        .collect();
    let text = format!("[[route_table]]\nid = \"rtb\"\nvpc = \"vpc-a\"\nroutes = [{routes}]");
    check("too-many", "\"rtb\"", &text);
}

#[test]
fn a_broken_object_does_not_make_references_to_it_dangle() {
    check(
        "bad-cidr",
        "\"10.0.3.0/x\"",
        "[[subnet]]\nid = \"s\"\nvpc = \"vpc-a\"\navailability_zone = \"us-east-1c\"\ncidr = \"10.0.3.0/x\"\n\
         [[nat_gateway]]\nid = \"nat\"\nsubnet = \"s\"",
    );
}

#[test]
fn a_missing_file_is_a_diagnostic() {
    let errors = Lab::load("no/such/lab.toml").unwrap_err();
    assert_eq!((errors.len(), errors[0].rule, errors[0].line), (1, "unreadable-file", 0));
    assert!(errors[0].message.contains("no/such/lab.toml"));
}

#[test]
fn a_file_is_loaded_under_its_own_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lab.toml");
    std::fs::write(&path, MINIMAL).unwrap();
    let lab = Lab::load(&path).unwrap();
    assert_eq!(lab.file, path.display().to_string());
    assert_eq!(lab.source(), MINIMAL);
}

#[test]
fn file_without_a_section_is_an_error_on_its_first_line() {
    for text in ["", "\n# nothing\n", "lab = \"shop\"\nregion = \"us-east-1\"\n", "[timeouts]\n"] {
        let errors = Lab::parse("lab.toml", text).unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| (e.rule, e.line)).collect();
        assert_eq!(found, [("empty-lab", 1)], "{text:?}");
    }
    // A file with other errors gets no such error.
    let errors = Lab::parse("lab.toml", "[[vpc]]\nid = 7\n").unwrap_err();
    assert!(errors.iter().all(|error| error.rule != "empty-lab"), "{errors}");
    // The API creates services, which send packets.
    assert!(Lab::parse("lab.toml", "[apprunner]\napi = \"127.0.0.1:0\"\n").is_ok());
    assert!(Lab::parse("lab.toml", "[[service]]\nname = \"web\"\negress = \"default\"\n").is_ok());
}
