//! The VPC of this layer's tests, built by hand: a private subnet with a connector, a public one
//! with a NAT gateway.
#![allow(clippy::panic, reason = "tests")]

use crate::packet::{Inside, Protocol, Tuple};
use crate::pipeline::Evidence;
use crate::vpc::*;
use ipnetwork::Ipv4Network;
use std::net::Ipv4Addr;

pub(crate) const VPC: VpcIx = VpcIx(0);
pub(crate) const PRIVATE_A: SubnetIx = SubnetIx(0);
pub(crate) const PUBLIC_A: SubnetIx = SubnetIx(1);
pub(crate) const RTB_PRIVATE: RouteTableIx = RouteTableIx(0);
pub(crate) const RTB_PUBLIC: RouteTableIx = RouteTableIx(1);
pub(crate) const SG_APP: SecurityGroupIx = SecurityGroupIx(0);
pub(crate) const SG_DB: SecurityGroupIx = SecurityGroupIx(1);
pub(crate) const ACL_PRIVATE: NetworkAclIx = NetworkAclIx(0);
pub(crate) const ACL_DEFAULT: NetworkAclIx = NetworkAclIx(1);
pub(crate) const NAT_A: NatGatewayIx = NatGatewayIx(0);
pub(crate) const ENI_A: EniIx = EniIx(0);
pub(crate) const ORDERS_DB: ResourceIx = ResourceIx(0);

pub(crate) const ENI_ID: &str = "eni-0a1b2c3d4e5f60718";
pub(crate) const TASK_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
pub(crate) const ENI_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
pub(crate) const NAT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
pub(crate) const NAT_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const ORDERS_DB_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
pub(crate) const EXAMPLE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// Names a line of a lab file that is called `lab.toml`.
pub(crate) fn lab_toml(line: Line) -> String {
    format!("lab.toml:{line}")
}

/// Returns the snapshot, with task 1 of `web` running.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot::build(Generation(3), parts()).with_task(Task {
        service: ServiceIx(0),
        number: 1,
        address: TASK_ADDRESS,
        eni: Some(ENI_A),
    })
}

/// Returns the tables of [`snapshot`], for a test that changes one thing.
pub(crate) fn parts() -> Parts {
    Parts {
        lab: "egret".into(),
        vpcs: vec![vpc()],
        subnets: subnets(),
        route_tables: route_tables(),
        security_groups: security_groups(),
        network_acls: network_acls(),
        nat_gateways: vec![nat_gateway()],
        enis: vec![Eni::new(
            ENI_ID.into(),
            "eni-0a1b2c3d".into(),
            PRIVATE_A,
            vec![SG_APP],
            ENI_ADDRESS,
        )],
        connectors: vec![Connector {
            name: "prod".into(),
            kind: ServiceKind::AppRunner,
            subnets: vec![PRIVATE_A],
            security_groups: vec![SG_APP],
            assign_public_ip: false,
            line: 60,
        }],
        services: vec![Service {
            name: "web".into(),
            kind: ServiceKind::AppRunner,
            egress: Egress::Vpc(ConnectorIx(0)),
            tasks: 1,
            line: 65,
        }],
        resources: vec![Resource {
            network_interface: None,
            aliases: vec!["db.corp.example".to_owned()],
            public_dns_name: false,
            endpoint: None,
            private_dns: None,
            name: "orders-db".into(),
            subnet: PRIVATE_A,
            address: ORDERS_DB_ADDRESS,
            public_address: None,
            security_groups: vec![SG_DB],
            listen: vec![Listen::new(Speaks::Tcp, 5432)],
            line: 50,
        }],
        internet_hosts: vec![InternetHost {
            aliases: Vec::new(),
            name: "example".into(),
            address: EXAMPLE,
            listen: vec![Listen::new(Speaks::Tcp, 443), Listen::new(Speaks::Udp, 53)],
            line: 55,
        }],
        ..Parts::default()
    }
}

pub(crate) fn tcp(src: Ipv4Addr, sport: u16, dst: Ipv4Addr, dport: u16) -> Tuple {
    Tuple { protocol: Protocol::Tcp, src, dst, sport, dport }
}

fn vpc() -> Vpc {
    Vpc {
        id: "vpc-prod".into(),
        space: Space::nth_vpc(0),
        cidrs: vec![network("10.0.0.0/16")],
        enable_dns_support: true,
        enable_dns_hostnames: false,
        internet_gateway: Some(InternetGateway { id: "igw-prod".into(), line: 6 }),
        main_route_table: RTB_PRIVATE,
        default_network_acl: ACL_DEFAULT,
        default_security_group: SG_APP,
        line: 3,
    }
}

fn subnets() -> Vec<Subnet> {
    let subnet = |id: &str, cidr, route_table, network_acl, line| Subnet {
        id: id.into(),
        vpc: VPC,
        availability_zone: "us-east-1a".into(),
        cidr: network(cidr),
        route_table,
        network_acl,
        line,
    };
    vec![
        subnet("subnet-private-a", "10.0.1.0/24", RTB_PRIVATE, ACL_PRIVATE, 8),
        subnet("subnet-public-a", "10.0.0.0/24", RTB_PUBLIC, ACL_DEFAULT, 13),
    ]
}

fn route_tables() -> Vec<RouteTable> {
    let route = |destination, target, line| Route {
        destination: Destination::Cidr(network(destination)),
        target,
        line,
    };
    let local = || route("10.0.0.0/16", Target::Local, 0);
    vec![
        RouteTable::new(
            "rtb-private".into(),
            VPC,
            vec![local(), route("0.0.0.0/0", Target::NatGateway(NAT_A), 21)],
            true,
            18,
        ),
        RouteTable::new(
            "rtb-public".into(),
            VPC,
            vec![local(), route("0.0.0.0/0", Target::InternetGateway, 26)],
            false,
            23,
        ),
    ]
}

fn security_groups() -> Vec<SecurityGroup> {
    let group = |id: &str, egress, ingress, line| SecurityGroup {
        id: id.into(),
        vpc: VPC,
        egress,
        ingress,
        line,
    };
    let rule = |port, peer, line| SecurityGroupRule { traffic: tcp_port(port), peer, line };
    let to_db = rule(6379, Peer::SecurityGroup(SG_DB), 40);
    let to_web = rule(443, Peer::Cidr(network("0.0.0.0/0")), 41);
    let from_app = rule(5432, Peer::SecurityGroup(SG_APP), 44);
    vec![
        group("sg-app", vec![to_db, to_web], vec![], 39),
        group("sg-db", vec![], vec![from_app], 43),
    ]
}

fn network_acls() -> Vec<NetworkAcl> {
    let rule = |number, action, traffic, cidr, line| AclRule {
        number,
        action,
        traffic,
        cidr: network(cidr),
        line,
    };
    let all = |line| rule(200, AclAction::Allow, TrafficMatch::ALL, "0.0.0.0/0", line);
    let deny_ssh = rule(100, AclAction::Deny, tcp_port(22), "10.0.0.0/16", 31);
    let acl = |id: &str, egress, ingress, line| NetworkAcl {
        id: id.into(),
        vpc: VPC,
        egress,
        ingress,
        line,
    };
    vec![
        acl("acl-private", vec![deny_ssh, all(32)], vec![all(34)], 30),
        acl("default", vec![all(0)], vec![all(0)], 0),
    ]
}

fn nat_gateway() -> NatGateway {
    NatGateway {
        id: "nat-a".into(),
        device: "nat-0a1b2c3d".into(),
        subnet: PUBLIC_A,
        connectivity: Connectivity::Public,
        state: NatGatewayState::Available,
        addresses: vec![NatAddress { private: NAT_ADDRESS, public: Some(NAT_PUBLIC) }],
        open_addresses: Vec::new(),
        line: 46,
    }
}

fn tcp_port(port: u16) -> TrafficMatch {
    TrafficMatch {
        protocol: ProtocolMatch::Is(Protocol::Tcp),
        ports: PortMatch { from: port, to: port },
        icmp: IcmpMatch::ALL,
    }
}

fn network(text: &str) -> Ipv4Network {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Returns evidence of a packet without any steps.
pub(crate) fn evidence(inside: Tuple) -> Evidence {
    Evidence {
        generation: Generation(3),
        inside: Inside::new(inside),
        outside: None,
        denial: None,
        admitted_by: None,
        steps: Vec::new(),
    }
}
