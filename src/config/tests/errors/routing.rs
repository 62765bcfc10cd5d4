//! Tests of routes and their targets: gateways, endpoints, peering connections, middleboxes.

use super::*;

mistakes! {
    route_already_exists: "route-already-exists" at "\"0.0.0.0/0\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }, { destination = "0.0.0.0/0", target = "blackhole" }]"#;
    local_route_replaced: "local-route-replaced" at "\"igw-a\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "10.0.0.0/16", target = "igw-a" }]"#;
    no_internet_gateway: "no-internet-gateway" at "\"igw-a\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-b"
routes = [{ destination = "0.0.0.0/0", target = "igw-a" }]"#;
    unattached_internet_gateway: "no-internet-gateway" at "\"igw-x\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-b"
routes = [{ destination = "0.0.0.0/0", target = "igw-x" }]"#;
    interface_endpoint_as_target: "not-a-route-target" at "\"vpce\"" in r#"[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "203.0.113.0/24", target = "vpce" }]"#;
    peering_with_itself: "peering-with-itself" at "\"vpc-b\"" in r#"[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-b"
accepter_vpc = "vpc-b""#;
    peering_of_vpcs_that_overlap: "peering-overlap" at "\"vpc-c\"" in r#"[[vpc]]
id = "vpc-c"
cidr = ["10.2.0.0/16", "10.0.128.0/17"]
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-c""#;
    a_second_peering_of_two_vpcs: "peered-already" at "\"pcx-2\"" in r#"[[vpc_peering_connection]]
id = "pcx-gone"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
state = "deleted"
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
[[vpc_peering_connection]]
id = "pcx-2"
requester_vpc = "vpc-b"
accepter_vpc = "vpc-a""#;
    peers_that_cannot_be_told_apart: "peers-overlap" at "\"vpc-c\"" in r#"[[vpc]]
id = "vpc-c"
cidr = ["10.2.0.0/16", "10.1.128.0/17"]
[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-b"
accepter_vpc = "vpc-a"
[[vpc_peering_connection]]
id = "pcx-2"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-c""#;
    state_of_a_peering: "unknown-word" at "\"gone\"" in r#"[[vpc_peering_connection]]
id = "pcx"
requester_vpc = "vpc-a"
accepter_vpc = "vpc-b"
state = "gone""#;
    gateway_endpoint_without_its_list: "missing-key" at "[[vpc_endpoint]]" in r#"[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3""#;
    gateway_endpoint_to_tasks: "endpoint-not-public" at "\"pl\"" in r#"[[prefix_list]]
id = "pl"
entries = ["100.64.0.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl""#;
    gateway_endpoint_to_its_vpc: "endpoint-not-public" at "\"pl\"" in r#"[[prefix_list]]
id = "pl"
entries = ["10.1.2.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl""#;
    gateway_endpoint_to_everything: "endpoint-not-public" at "\"pl\"" in r#"[[prefix_list]]
id = "pl"
entries = ["0.0.0.0/1", "203.0.113.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl""#;
    gateway_endpoint_and_another_destination: "gateway-endpoint-route" at "\"192.0.2.0/24\"" in r#"[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "192.0.2.0/24", target = "vpce" }]"#;
    gateway_endpoint_and_the_table_of_another_vpc: "wrong-vpc" at "\"rtb\"" in r#"[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
route_tables = ["rtb"]
[[route_table]]
id = "rtb"
vpc = "vpc-b""#;
    two_gateway_endpoints_for_one_table: "route-already-exists" at "\"rtb\"" in r#"[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
route_tables = ["rtb"]
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "pl", target = "igw-a" }]"#;
    gateway_endpoint_with_the_name_of_a_vpc: "namespace-clash" at "\"vpc-b\"" in r#"[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24"]
[[vpc_endpoint]]
id = "vpc-b"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl""#;
    two_subnets_of_a_zone: "two-subnets-of-a-zone" at "\"subnet-z\"" in r#"[[subnet]]
id = "subnet-z"
vpc = "vpc-a"
availability_zone = "us-east-1a"
cidr = "10.0.9.0/24"
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
subnets = ["subnet-a", "subnet-z"]"#;
    address_without_subnet: "address-without-subnet" at "\"10.0.1.201\"" in r#"[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
subnets = ["subnet-a"]
addresses = ["10.0.1.200", "10.0.1.201"]"#;
    gateway_endpoint_with_a_subnet: "not-of-a-gateway-endpoint" at "\"subnet-a\"" in r#"[[prefix_list]]
id = "pl"
entries = ["203.0.113.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
subnets = ["subnet-a"]"#;
    gateway_endpoint_with_an_address: "not-of-a-gateway-endpoint" at "\"10.0.1.200\"" in r#"[[prefix_list]]
id = "pl"
entries = ["203.0.113.0/24"]
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
addresses = ["10.0.1.200"]"#;
    gateway_endpoint_with_a_group: "not-of-a-gateway-endpoint" at "\"sg\"" in r#"[[prefix_list]]
id = "pl"
entries = ["203.0.113.0/24"]
[[security_group]]
id = "sg"
vpc = "vpc-a"
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway"
service = "com.amazonaws.us-east-1.s3"
prefix_list = "pl"
security_groups = ["sg"]"#;
    interface_endpoint_with_route_tables: "not-a-route-target" at "\"rtb\"" in r#"[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "interface"
service = "com.amazonaws.us-east-1.sqs"
route_tables = ["rtb"]
[[route_table]]
id = "rtb"
vpc = "vpc-a""#;
    a_resource_as_target: "not-a-route-target" at "\"firewall\"" in r#"[[resource]]
name = "firewall"
subnet = "subnet-a"
address = "10.0.1.20"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "firewall" }]"#;
    an_unknown_network_interface: "dangling-id" at "\"eni-x\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "eni-x" }]"#;
    a_network_interface_of_another_vpc: "wrong-vpc" at "\"eni-b\"" in r#"[[vpc]]
id = "vpc-z"
cidr = "10.9.0.0/16"
[[subnet]]
id = "subnet-z"
vpc = "vpc-z"
availability_zone = "us-east-1a"
cidr = "10.9.0.0/24"
[[resource]]
name = "firewall"
subnet = "subnet-z"
address = "10.9.0.20"
network_interface = "eni-b"
source_dest_check = false
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "0.0.0.0/0", target = "eni-b" }]"#;
    a_check_of_nothing: "check-without-interface" at "false" in r#"[[resource]]
name = "firewall"
subnet = "subnet-a"
address = "10.0.1.20"
source_dest_check = false"#;
    a_network_interface_twice: "duplicate-id" at "\"eni-fw\"" in r#"[[resource]]
name = "firewall"
subnet = "subnet-a"
address = "10.0.1.20"
network_interface = "eni-fw"
[[resource]]
name = "other"
subnet = "subnet-a"
address = "10.0.1.21"
network_interface = "eni-fw"
"#;
    a_gateway_load_balancer_endpoint_in_no_subnet: "endpoint-without-subnet" at "\"vpce\"" in r#"[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-1""#;
    a_gateway_load_balancer_endpoint_in_two_subnets: "two-subnets" at "\"subnet-b\"" in r#"[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-1"
subnets = ["subnet-a", "subnet-b"]"#;
    a_gateway_load_balancer_endpoint_with_a_group: "not-of-a-gateway-load-balancer-endpoint" at "\"sg\"" in r#"[[security_group]]
id = "sg"
vpc = "vpc-a"
[[vpc_endpoint]]
id = "vpce"
vpc = "vpc-a"
kind = "gateway-load-balancer"
service = "com.amazonaws.vpce.us-east-1.vpce-svc-1"
subnets = ["subnet-a"]
security_groups = ["sg"]"#;
    a_transit_gateway_as_target: "target-unsupported" at "\"tgw-1\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "10.8.0.0/16", target = "tgw-1" }]"#;
    a_prefix_list_within_the_vpc: "more-specific-route" at "\"pl\"" in r#"[[prefix_list]]
id = "pl"
entries = ["192.0.2.0/24", "10.0.1.0/25"]
[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "pl", target = "nat" }]"#;
    route_for_half_a_subnet: "more-specific-route" at "\"10.0.1.0/25\"" in r#"[[nat_gateway]]
id = "nat"
subnet = "subnet-a"
[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "10.0.1.0/25", target = "nat" }]"#;
    subnet_to_an_internet_gateway: "more-specific-route" at "\"igw-a\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "10.0.1.0/24", target = "igw-a" }]"#;
    link_local_route: "reserved-destination" at "\"169.254.169.0/24\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "169.254.169.0/24", target = "igw-a" }]"#;
    local_elsewhere: "not-local" at "\"192.168.0.0/16\"" in r#"[[route_table]]
id = "rtb"
vpc = "vpc-a"
routes = [{ destination = "192.168.0.0/16", target = "local" }]"#;
}
