//! `Fn::GetAtt`: attributes that are the resource's own id, that repeat a property, and that only
//! AWS knows.

use super::evaluate::Evaluate;
use super::fault::Fault;
use super::tree::Place;
use super::value::Value;

/// Attributes that are another name for the value of `Ref`, or for the same object.
const IDS: [(&str, &str); 26] = [
    ("AWS::AppRunner::Service", "ServiceArn"),
    ("AWS::AppRunner::VpcConnector", "VpcConnectorArn"),
    ("AWS::EC2::EIP", "AllocationId"),
    ("AWS::EC2::EIP", "PublicIp"),
    ("AWS::EC2::Instance", "InstanceId"),
    ("AWS::EC2::InternetGateway", "InternetGatewayId"),
    ("AWS::EC2::NatGateway", "NatGatewayId"),
    ("AWS::EC2::NetworkAcl", "Id"),
    ("AWS::EC2::NetworkInterface", "Id"),
    ("AWS::EC2::PrefixList", "PrefixListId"),
    ("AWS::EC2::RouteTable", "RouteTableId"),
    ("AWS::EC2::SecurityGroup", "GroupId"),
    ("AWS::EC2::SecurityGroup", "Id"),
    ("AWS::EC2::Subnet", "SubnetId"),
    ("AWS::EC2::TransitGateway", "Id"),
    ("AWS::EC2::TransitGatewayAttachment", "Id"),
    ("AWS::EC2::VPC", "VpcId"),
    ("AWS::EC2::VPCEndpoint", "Id"),
    ("AWS::EC2::VPCPeeringConnection", "Id"),
    ("AWS::EC2::VPNGateway", "VPNGatewayId"),
    ("AWS::Lambda::Function", "Arn"),
    ("AWS::ECS::Service", "ServiceArn"),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerArn"),
    ("AWS::RDS::DBCluster", "DBClusterIdentifier"),
    ("AWS::RDS::DBInstance", "DBInstanceIdentifier"),
    ("AWS::EC2::FlowLog", "Id"),
];

/// Attributes that repeat a property: type, attribute, property.
const PROPERTIES: [(&str, &str, &str); 11] = [
    ("AWS::EC2::Instance", "AvailabilityZone", "AvailabilityZone"),
    ("AWS::EC2::Instance", "PrivateIp", "PrivateIpAddress"),
    ("AWS::EC2::NetworkInterface", "PrimaryPrivateIpAddress", "PrivateIpAddress"),
    ("AWS::EC2::NetworkInterface", "SubnetId", "SubnetId"),
    ("AWS::EC2::SecurityGroup", "VpcId", "VpcId"),
    ("AWS::EC2::Subnet", "AvailabilityZone", "AvailabilityZone"),
    ("AWS::EC2::Subnet", "AvailabilityZoneId", "AvailabilityZoneId"),
    ("AWS::EC2::Subnet", "CidrBlock", "CidrBlock"),
    ("AWS::EC2::Subnet", "VpcId", "VpcId"),
    ("AWS::EC2::VPC", "CidrBlock", "CidrBlock"),
    ("AWS::EC2::NatGateway", "PrivateIpAddress", "PrivateIpAddress"),
];

impl<'t> dyn Evaluate<'t> + '_ {
    /// Returns an attribute of a resource. An attribute that is known only when the stack is
    /// created is a reference.
    pub(super) fn attribute(
        &self,
        id: &str,
        attribute: &str,
        place: Place,
    ) -> Result<Value, Fault> {
        let resource = self.resource(id, place)?;
        if IDS.contains(&(resource.kind, attribute)) {
            return Ok(Value::reference(place, id, None));
        }
        if resource.kind == "AWS::CloudFormation::Stack" {
            return Ok(Value::unknown(
                place,
                format!("{attribute} of {id} comes from a nested stack"),
                "import that stack's own template, or write the value in its place",
            ));
        }
        let repeated =
            PROPERTIES.iter().find(|(kind, name, _)| *kind == resource.kind && *name == attribute);
        let property = repeated.and_then(|(_, _, property)| resource.property(property));
        if let Some(property) = property {
            let value =
                self.scope().within(format!("{id}.{attribute}"), place, || self.value(property))?;
            if !value.is_absent() {
                return Ok(Value { place, ..value });
            }
        }
        Ok(Value::reference(place, id, Some(attribute)))
    }
}
