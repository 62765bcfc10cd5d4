//! The properties of each type (spec 11.1). CloudFormation refuses a property that the type does
//! not have, and a misspelt one changes the meaning: a group without its `SecurityGroupEgress`
//! allows everything out.

use super::fault::Fault;
use super::tree::Place;
use crate::config::names;

/// The certainty that a name which is not listed does not exist.
#[derive(Clone, Copy)]
enum List {
    /// AWS has not changed the type for years.
    Closed,
    /// AWS adds properties to it now and then.
    Grows,
}

/// A type, or a property whose values are maps, and its names.
type Names = (&'static str, List, &'static [&'static str]);

const TYPES: [Names; 27] = [
    (
        "AWS::EC2::VPC",
        List::Grows,
        &[
            "CidrBlock",
            "EnableDnsHostnames",
            "EnableDnsSupport",
            "InstanceTenancy",
            "Ipv4IpamPoolId",
            "Ipv4NetmaskLength",
            "Tags",
        ],
    ),
    (
        "AWS::EC2::VPCCidrBlock",
        List::Grows,
        &[
            "AmazonProvidedIpv6CidrBlock",
            "CidrBlock",
            "Ipv4IpamPoolId",
            "Ipv4NetmaskLength",
            "Ipv6CidrBlock",
            "Ipv6CidrBlockNetworkBorderGroup",
            "Ipv6IpamPoolId",
            "Ipv6NetmaskLength",
            "Ipv6Pool",
            "VpcId",
        ],
    ),
    (
        "AWS::EC2::Subnet",
        List::Grows,
        &[
            "AssignIpv6AddressOnCreation",
            "AvailabilityZone",
            "AvailabilityZoneId",
            "CidrBlock",
            "EnableDns64",
            "EnableLniAtDeviceIndex",
            "Ipv4IpamPoolId",
            "Ipv4NetmaskLength",
            "Ipv6CidrBlock",
            "Ipv6CidrBlocks",
            "Ipv6IpamPoolId",
            "Ipv6Native",
            "Ipv6NetmaskLength",
            "MapPublicIpOnLaunch",
            "OutpostArn",
            "PrivateDnsNameOptionsOnLaunch",
            "Tags",
            "VpcId",
        ],
    ),
    ("AWS::EC2::RouteTable", List::Closed, &["Tags", "VpcId"]),
    (
        "AWS::EC2::Route",
        List::Grows,
        &[
            "CarrierGatewayId",
            "CoreNetworkArn",
            "DestinationCidrBlock",
            "DestinationIpv6CidrBlock",
            "DestinationPrefixListId",
            "EgressOnlyInternetGatewayId",
            "GatewayId",
            "InstanceId",
            "LocalGatewayId",
            "NatGatewayId",
            "NetworkInterfaceId",
            "OdbNetworkArn",
            "RouteTableId",
            "TransitGatewayId",
            "VpcEndpointId",
            "VpcPeeringConnectionId",
        ],
    ),
    ("AWS::EC2::SubnetRouteTableAssociation", List::Closed, &["RouteTableId", "SubnetId"]),
    ("AWS::EC2::GatewayRouteTableAssociation", List::Closed, &["GatewayId", "RouteTableId"]),
    ("AWS::EC2::InternetGateway", List::Closed, &["Tags"]),
    (
        "AWS::EC2::VPCGatewayAttachment",
        List::Closed,
        &["InternetGatewayId", "VpcId", "VpnGatewayId"],
    ),
    (
        "AWS::EC2::VPCPeeringConnection",
        List::Grows,
        &[
            "AssumeRoleRegion",
            "PeerOwnerId",
            "PeerRegion",
            "PeerRoleArn",
            "PeerVpcId",
            "Tags",
            "VpcId",
        ],
    ),
    (
        "AWS::EC2::PrefixList",
        List::Closed,
        &["AddressFamily", "Entries", "MaxEntries", "PrefixListName", "Tags"],
    ),
    (
        "AWS::EC2::SecurityGroup",
        List::Closed,
        &[
            "GroupDescription",
            "GroupName",
            "SecurityGroupEgress",
            "SecurityGroupIngress",
            "Tags",
            "VpcId",
        ],
    ),
    (
        "AWS::EC2::SecurityGroupIngress",
        List::Closed,
        &[
            "CidrIp",
            "CidrIpv6",
            "Description",
            "FromPort",
            "GroupId",
            "GroupName",
            "IpProtocol",
            "SourcePrefixListId",
            "SourceSecurityGroupId",
            "SourceSecurityGroupName",
            "SourceSecurityGroupOwnerId",
            "ToPort",
        ],
    ),
    (
        "AWS::EC2::SecurityGroupEgress",
        List::Closed,
        &[
            "CidrIp",
            "CidrIpv6",
            "Description",
            "DestinationPrefixListId",
            "DestinationSecurityGroupId",
            "FromPort",
            "GroupId",
            "IpProtocol",
            "ToPort",
        ],
    ),
    ("AWS::EC2::NetworkAcl", List::Closed, &["Tags", "VpcId"]),
    (
        "AWS::EC2::NetworkAclEntry",
        List::Closed,
        &[
            "CidrBlock",
            "Egress",
            "Icmp",
            "Ipv6CidrBlock",
            "NetworkAclId",
            "PortRange",
            "Protocol",
            "RuleAction",
            "RuleNumber",
        ],
    ),
    ("AWS::EC2::SubnetNetworkAclAssociation", List::Closed, &["NetworkAclId", "SubnetId"]),
    (
        "AWS::EC2::NatGateway",
        List::Grows,
        &[
            "AllocationId",
            "AvailabilityMode",
            "AvailabilityZoneAddresses",
            "ConnectivityType",
            "MaxDrainDurationSeconds",
            "PrivateIpAddress",
            "SecondaryAllocationIds",
            "SecondaryPrivateIpAddressCount",
            "SecondaryPrivateIpAddresses",
            "SubnetId",
            "Tags",
            "VpcId",
        ],
    ),
    (
        "AWS::EC2::VPCEndpoint",
        List::Grows,
        &[
            "DnsOptions",
            "IpAddressType",
            "PolicyDocument",
            "PrivateDnsEnabled",
            "ResourceConfigurationArn",
            "RouteTableIds",
            "SecurityGroupIds",
            "ServiceName",
            "ServiceNetworkArn",
            "ServiceRegion",
            "SubnetIds",
            "Tags",
            "VpcEndpointType",
            "VpcId",
        ],
    ),
    ("AWS::EC2::VPCBlockPublicAccessOptions", List::Grows, &["InternetGatewayBlockMode"]),
    (
        "AWS::EC2::NetworkInterface",
        List::Grows,
        &[
            "ConnectionTrackingSpecification",
            "Description",
            "EnablePrimaryIpv6",
            "GroupSet",
            "InterfaceType",
            "Ipv4PrefixCount",
            "Ipv4Prefixes",
            "Ipv6AddressCount",
            "Ipv6Addresses",
            "Ipv6PrefixCount",
            "Ipv6Prefixes",
            "PrivateIpAddress",
            "PrivateIpAddresses",
            "PublicIpDnsHostnameTypeSpecification",
            "SecondaryPrivateIpAddressCount",
            "SourceDestCheck",
            "SubnetId",
            "Tags",
        ],
    ),
    (
        "AWS::EC2::NetworkInterfaceAttachment",
        List::Grows,
        &[
            "DeleteOnTermination",
            "DeviceIndex",
            "EnaQueueCount",
            "EnaSrdSpecification",
            "InstanceId",
            "NetworkInterfaceId",
        ],
    ),
    (
        "AWS::AppRunner::VpcConnector",
        List::Closed,
        &["SecurityGroups", "Subnets", "Tags", "VpcConnectorName"],
    ),
    (
        "AWS::AppRunner::Service",
        List::Grows,
        &[
            "AutoScalingConfigurationArn",
            "EncryptionConfiguration",
            "HealthCheckConfiguration",
            "InstanceConfiguration",
            "NetworkConfiguration",
            "ObservabilityConfiguration",
            "ServiceName",
            "SourceConfiguration",
            "Tags",
        ],
    ),
    (
        "AWS::EFS::MountTarget",
        List::Grows,
        &[
            "FileSystemId",
            "IpAddress",
            "IpAddressType",
            "Ipv6Address",
            "SecurityGroups",
            "SubnetId",
        ],
    ),
    (
        "AWS::EC2::EIP",
        List::Grows,
        &[
            "Address",
            "Domain",
            "InstanceId",
            "IpamPoolId",
            "NetworkBorderGroup",
            "PublicIpv4Pool",
            "Tags",
            "TransferAddress",
        ],
    ),
    (
        "AWS::EC2::EIPAssociation",
        List::Grows,
        &["AllocationId", "EIP", "InstanceId", "NetworkInterfaceId", "PrivateIpAddress"],
    ),
];

/// The names of properties whose values are maps. No two types use such a name with another
/// meaning.
const PARTS: [Names; 6] = [
    (
        "SecurityGroupIngress",
        List::Closed,
        &[
            "CidrIp",
            "CidrIpv6",
            "Description",
            "FromPort",
            "IpProtocol",
            "SourcePrefixListId",
            "SourceSecurityGroupId",
            "SourceSecurityGroupName",
            "SourceSecurityGroupOwnerId",
            "ToPort",
        ],
    ),
    (
        "SecurityGroupEgress",
        List::Closed,
        &[
            "CidrIp",
            "CidrIpv6",
            "Description",
            "DestinationPrefixListId",
            "DestinationSecurityGroupId",
            "FromPort",
            "IpProtocol",
            "ToPort",
        ],
    ),
    ("PortRange", List::Closed, &["From", "To"]),
    ("Icmp", List::Closed, &["Code", "Type"]),
    (
        "NetworkConfiguration",
        List::Grows,
        &["EgressConfiguration", "IngressConfiguration", "IpAddressType"],
    ),
    ("EgressConfiguration", List::Closed, &["EgressType", "VpcConnectorArn"]),
];

/// A property that its type does not have.
pub(super) enum Stray {
    /// CloudFormation refuses it.
    Refused(Fault),
    /// AWS may have added it since.
    Unlisted { key: String, what: String, consequence: String },
}

/// Returns those of the properties that a type of resource does not have.
pub(super) fn strays_of_type<'k>(
    kind: &str,
    properties: impl Iterator<Item = (&'k str, Place)>,
) -> Vec<Stray> {
    strays(TYPES.iter().find(|(of, ..)| *of == kind), properties)
}

/// Returns those of the properties that an element of the property of this name does not have.
pub(super) fn strays_of_part<'k>(
    property: &str,
    properties: impl Iterator<Item = (&'k str, Place)>,
) -> Vec<Stray> {
    strays(PARTS.iter().find(|(of, ..)| *of == property), properties)
}

fn strays<'k>(
    known: Option<&Names>,
    properties: impl Iterator<Item = (&'k str, Place)>,
) -> Vec<Stray> {
    let Some((of, list, names)) = known else { return Vec::new() };
    properties
        // A macro replaces itself by a result of its own.
        .filter(|(key, _)| !names.contains(key) && !key.starts_with("Fn::"))
        .map(|(key, place)| {
            let message = format!("{of} has no property {key}");
            let help = names::suggestion(key, names);
            match list {
                List::Closed => Stray::Refused(Fault::new(place, message, help)),
                List::Grows => Stray::Unlisted {
                    key: key.to_owned(),
                    what: format!("line {}: {message}, as far as egret knows", place.line),
                    consequence: format!("it is ignored; {help}"),
                },
            }
        })
        .collect()
}
