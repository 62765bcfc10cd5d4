//! Tests of the public addresses of a template's objects.

use super::*;
use crate::config::import::PublicAddress::{self, Known, None as Nothing, Unknown};

/// Returns a template with a subnet that maps public addresses, one that does not, and these
/// resources.
fn with(resources: &str) -> String {
    format!(
        "Resources:
  Net: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: 10.0.0.0/16}}}}
  Open: {{Type: AWS::EC2::Subnet, Properties: {{VpcId: !Ref Net, CidrBlock: 10.0.0.0/24, MapPublicIpOnLaunch: true}}}}
  Shut: {{Type: AWS::EC2::Subnet, Properties: {{VpcId: !Ref Net, CidrBlock: 10.0.1.0/24}}}}
  Group: {{Type: AWS::RDS::DBSubnetGroup, Properties: {{DBSubnetGroupDescription: a, SubnetIds: [!Ref Open]}}}}
{resources}"
    )
}

/// Returns the public addresses of the interfaces, by id.
#[track_caller]
fn public(resources: &str) -> Vec<(String, PublicAddress)> {
    let (account, _) = accepted(&with(resources), &[]);
    let interfaces = account.network_interfaces.iter();
    interfaces.map(|one| (one.id.clone(), one.public_address_at(0))).collect()
}

#[track_caller]
fn check(resources: &str, expected: &[(&str, PublicAddress)]) {
    let expected: Vec<_> =
        expected.iter().map(|(id, public)| ((*id).to_owned(), *public)).collect();
    assert_eq!(public(resources), expected);
}

#[test]
fn an_instance_gets_one_as_it_says_or_else_as_its_subnet_does() {
    let of_subnet = Unknown("MapPublicIpOnLaunch of its subnet");
    check(
        "  A: {Type: AWS::EC2::Instance, Properties: {SubnetId: !Ref Open}}
  B: {Type: AWS::EC2::Instance, Properties: {SubnetId: !Ref Shut}}
  C: {Type: AWS::EC2::Instance, Properties: {NetworkInterfaces: [{SubnetId: !Ref Open, AssociatePublicIpAddress: false}]}}
  D: {Type: AWS::EC2::Instance, Properties: {NetworkInterfaces: [{SubnetId: !Ref Shut, AssociatePublicIpAddress: true}]}}
  E: {Type: AWS::EC2::Instance, Properties: {NetworkInterfaces: [{SubnetId: !Ref Open}]}}
  F: {Type: AWS::EC2::Instance, Properties: {NetworkInterfaces: [{SubnetId: !Ref Open}, {SubnetId: !Ref Open}]}}
  G: {Type: AWS::EC2::NetworkInterface, Properties: {SubnetId: !Ref Open}}
",
        &[
            ("G", Nothing),
            ("A", of_subnet),
            ("B", Nothing),
            ("C", Nothing),
            ("D", Unknown("AssociatePublicIpAddress")),
            ("E", of_subnet),
            ("F", Nothing),
            ("F.2", Nothing),
        ],
    );
}

#[test]
fn an_elastic_ip_address_is_of_the_instance_or_interface_that_it_names() {
    let elastic = Unknown("an Elastic IP address");
    check(
        "  Eni: {Type: AWS::EC2::NetworkInterface, Properties: {SubnetId: !Ref Shut}}
  Spare: {Type: AWS::EC2::NetworkInterface, Properties: {SubnetId: !Ref Shut}}
  A: {Type: AWS::EC2::Instance, Properties: {SubnetId: !Ref Shut}}
  B: {Type: AWS::EC2::Instance, Properties: {NetworkInterfaces: [{DeviceIndex: 0, SubnetId: !Ref Shut}, {DeviceIndex: 1, NetworkInterfaceId: !Ref Spare}]}}
  C: {Type: AWS::EC2::Instance, Properties: {SubnetId: !Ref Shut}}
  OfA: {Type: AWS::EC2::EIP, Properties: {InstanceId: !Ref A}}
  Loose: {Type: AWS::EC2::EIP}
  OfB: {Type: AWS::EC2::EIPAssociation, Properties: {AllocationId: !GetAtt Loose.AllocationId, InstanceId: !Ref B}}
  OfEni: {Type: AWS::EC2::EIPAssociation, Properties: {AllocationId: !GetAtt Loose.AllocationId, NetworkInterfaceId: !Ref Eni}}
  OfC: {Type: AWS::EC2::EIPAssociation, Properties: {EIP: 192.0.2.7, InstanceId: !Ref C}}
",
        &[
            ("Eni", elastic),
            ("Spare", Nothing),
            ("A", elastic),
            ("B", elastic),
            ("C", Known("192.0.2.7".parse().unwrap())),
        ],
    );
}

#[test]
fn an_elastic_ip_address_can_be_of_a_secondary_address() {
    let (account, _) = accepted(
        &with(
            "  Eni: {Type: AWS::EC2::NetworkInterface, Properties: {SubnetId: !Ref Shut, PrivateIpAddresses: [{PrivateIpAddress: 10.0.1.20, Primary: true}, {PrivateIpAddress: 10.0.1.21, Primary: false}]}}
  Second: {Type: AWS::EC2::EIPAssociation, Properties: {EIP: 192.0.2.7, NetworkInterfaceId: !Ref Eni, PrivateIpAddress: 10.0.1.21}}
",
        ),
        &[],
    );
    let interface = &account.network_interfaces[0];
    assert_eq!(interface.public_address_at(0), Nothing);
    assert_eq!(interface.public_address_at(1), Known("192.0.2.7".parse().unwrap()));
}

#[test]
fn an_elastic_ip_address_of_an_object_elsewhere_is_listed() {
    let (_, findings) = accepted(
        &with(
            "  Lost: {Type: AWS::EC2::EIPAssociation, Properties: {EIP: 192.0.2.7, InstanceId: i-0123456789abcdef0}}\n",
        ),
        &[],
    );
    let said = shown(&findings);
    assert!(
        said.contains("it is of i-0123456789abcdef0, which the template does not have in a subnet"),
        "{said}"
    );
}

#[test]
fn a_database_has_one_if_it_is_publicly_accessible() {
    let accessible = Unknown("PubliclyAccessible");
    check(
        "  A: {Type: AWS::RDS::DBInstance, Properties: {DBSubnetGroupName: !Ref Group, Engine: postgres, PubliclyAccessible: true}}
  B: {Type: AWS::RDS::DBInstance, Properties: {DBSubnetGroupName: !Ref Group, Engine: postgres, PubliclyAccessible: 'false'}}
  C: {Type: AWS::RDS::DBInstance, Properties: {DBSubnetGroupName: !Ref Group, Engine: postgres}}
  Cluster: {Type: AWS::RDS::DBCluster, Properties: {DBSubnetGroupName: !Ref Group, Engine: aurora-mysql}}
  D: {Type: AWS::RDS::DBInstance, Properties: {DBClusterIdentifier: !Ref Cluster, Engine: aurora-mysql, PubliclyAccessible: true}}
  E: {Type: AWS::RDS::DBCluster, Properties: {DBSubnetGroupName: !Ref Group, Engine: mysql, DBClusterInstanceClass: db.m5d.large, PubliclyAccessible: true}}
",
        &[("A", accessible), ("B", Nothing), ("C", Nothing), ("D", accessible), ("E", accessible)],
    );
}

#[test]
fn a_load_balancer_has_some_unless_it_is_internal() {
    let facing = Unknown("an internet-facing load balancer");
    check(
        "  A: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {Subnets: [!Ref Open, !Ref Shut]}}
  B: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {Subnets: [!Ref Shut], Scheme: internal}}
  C: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {Subnets: [!Ref Shut], Scheme: internet-facing, Type: network}}
  D: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {Subnets: [!Ref Shut], Type: gateway}}
  E: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {Subnets: [!Ref Shut], IpAddressType: dualstack-without-public-ipv4}}
",
        &[("A", facing), ("A.2", facing), ("B", Nothing), ("C", facing), ("D", Nothing), ("E", Nothing)],
    );
}
