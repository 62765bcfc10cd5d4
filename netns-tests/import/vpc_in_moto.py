"""Fills a VPC at an EC2 endpoint, and prints the ids as JSON.

python3 vpc_in_moto.py ENDPOINT VPC_ID SG_APP_ID

The VPC and the first security group exist already: the test made them with the AWS CLI.
"""

import json
import sys

import boto3


def main(endpoint, vpc, sg_app):
    ec2 = boto3.client("ec2", endpoint_url=endpoint, region_name="us-east-1")
    ids = {"vpc": vpc, "sg_app": sg_app}

    def named(kind, name):
        return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]

    # The public names of AWS services lead to interface endpoints where both attributes are on.
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})

    def subnet(name, cidr, zone):
        made = ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=cidr,
            AvailabilityZone=f"us-east-1{zone}",
            TagSpecifications=named("subnet", name),
        )
        ids[name] = made["Subnet"]["SubnetId"]

    subnet("public_a", "10.0.0.0/24", "a")
    subnet("public_b", "10.0.1.0/24", "b")
    subnet("private_a", "10.0.10.0/24", "a")
    subnet("private_b", "10.0.11.0/24", "b")
    subnet("data", "10.0.20.0/24", "a")

    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    eip = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=ids["public_a"], AllocationId=eip)
    ids["igw"], ids["nat"] = igw, nat["NatGateway"]["NatGatewayId"]

    def table(name, subnets, **target):
        made = ec2.create_route_table(VpcId=vpc, TagSpecifications=named("route-table", name))
        ids[name] = made["RouteTable"]["RouteTableId"]
        for one in subnets:
            ec2.associate_route_table(RouteTableId=ids[name], SubnetId=ids[one])
        if target:
            ec2.create_route(
                RouteTableId=ids[name], DestinationCidrBlock="0.0.0.0/0", **target
            )

    table("rtb_public", ["public_a", "public_b"], GatewayId=igw)
    table("rtb_private", ["private_a", "private_b"], NatGatewayId=ids["nat"])
    # Subnet `data` keeps the main table, which no answer of the API lists as its table.

    def group(name):
        made = ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)
        ids[name] = made["GroupId"]

    group("sg_db")
    group("sg_endpoint")

    partners = ec2.create_managed_prefix_list(
        PrefixListName="partners",
        AddressFamily="IPv4",
        MaxEntries=5,
        Entries=[{"Cidr": "203.0.113.0/28", "Description": "billing"}],
    )
    ids["partners"] = partners["PrefixList"]["PrefixListId"]

    def tcp(port, **peer):
        return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peer}

    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=sg_app, IpPermissions=[everything])
    ec2.authorize_security_group_egress(
        GroupId=sg_app,
        IpPermissions=[
            tcp(5432, UserIdGroupPairs=[{"GroupId": ids["sg_db"]}]),
            tcp(6379, UserIdGroupPairs=[{"GroupId": ids["sg_db"]}]),
            tcp(443, PrefixListIds=[{"PrefixListId": ids["partners"]}]),
            tcp(443, IpRanges=[{"CidrIp": "10.0.0.0/16"}]),
        ],
    )
    ec2.authorize_security_group_ingress(
        GroupId=ids["sg_db"],
        IpPermissions=[
            tcp(5432, UserIdGroupPairs=[{"GroupId": sg_app}]),
            tcp(8080, IpRanges=[{"CidrIp": "10.0.0.0/16"}]),
        ],
    )
    ec2.authorize_security_group_ingress(
        GroupId=ids["sg_endpoint"],
        IpPermissions=[tcp(443, UserIdGroupPairs=[{"GroupId": sg_app}])],
    )

    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    ids["acl"] = acl

    def entry(number, action, protocol, ports, cidr, egress):
        ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=number,
            RuleAction=action,
            Protocol=protocol,
            PortRange={"From": ports[0], "To": ports[1]},
            CidrBlock=cidr,
            Egress=egress,
        )

    # The ACL denies zone b in the subnet `data`; its ingress is open otherwise, and so are replies.
    entry(90, "deny", "6", (5432, 5432), "10.0.11.0/24", False)
    entry(100, "allow", "6", (0, 65535), "10.0.0.0/16", False)
    entry(100, "allow", "6", (1024, 65535), "10.0.0.0/16", True)
    for one in ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [ids["data"]]}]
    )["NetworkAcls"][0]["Associations"]:
        if one["SubnetId"] == ids["data"]:
            ec2.replace_network_acl_association(
                AssociationId=one["NetworkAclAssociationId"], NetworkAclId=acl
            )

    gateway = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.us-east-1.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[ids["rtb_private"]],
    )
    ids["s3"] = gateway["VpcEndpoint"]["VpcEndpointId"]
    interface = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.us-east-1.secretsmanager",
        VpcEndpointType="Interface",
        SubnetIds=[ids["private_a"], ids["private_b"]],
        SecurityGroupIds=[ids["sg_endpoint"]],
        PrivateDnsEnabled=True,
    )
    ids["secrets"] = interface["VpcEndpoint"]["VpcEndpointId"]

    def database(name, subnet, address):
        made = ec2.create_network_interface(
            SubnetId=ids[subnet],
            PrivateIpAddress=address,
            Groups=[ids["sg_db"]],
            Description="RDSNetworkInterface",
            TagSpecifications=named("network-interface", name),
        )
        ids[name] = made["NetworkInterface"]["NetworkInterfaceId"]

    database("orders-db", "data", "10.0.20.10")
    database("reports-db", "private_a", "10.0.10.20")
    print(json.dumps(ids))


main(*sys.argv[1:])
