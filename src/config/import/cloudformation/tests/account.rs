//! Tests of templates as accounts.

use super::super::super::{Imported, NetworkAcl, Order, RouteTarget, RulePeer, SecurityGroup};
use super::*;

const YAML: &str = include_str!("templates/shop.yaml");
const JSON: &str = include_str!("templates/shop.json");

/// Returns a template with these resources.
fn with(resources: &str) -> String {
    format!(
        "Resources:\n  Net: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: 10.0.0.0/16}}}}\n{resources}"
    )
}

#[track_caller]
fn group(account: &Account, id: &str) -> SecurityGroup {
    account.security_groups.iter().find(|group| group.id == id).unwrap().clone()
}

#[track_caller]
fn acl(account: &Account, id: &str) -> NetworkAcl {
    account.network_acls.iter().find(|acl| acl.id == id).unwrap().clone()
}

/// Formats the traffic and the peer of rules, in short.
fn rules(rules: &[super::super::super::SecurityGroupRule]) -> Vec<String> {
    let one = |rule: &super::super::super::SecurityGroupRule| {
        let peer = match &rule.peer {
            RulePeer::Cidr(block) => block.to_string(),
            RulePeer::SecurityGroup(id) | RulePeer::PrefixList(id) => id.clone(),
        };
        let port = |port: Option<i64>| port.map_or("*".to_owned(), |port| port.to_string());
        format!("{} {}-{} {peer}", rule.ip_protocol, port(rule.from_port), port(rule.to_port))
    };
    rules.iter().map(one).collect()
}

#[test]
fn a_template_is_an_account() {
    let (account, findings) = accepted(YAML, &[]);
    insta::assert_debug_snapshot!("shop", account);
    insta::assert_snapshot!("shop_findings", shown(&findings));
}

/// The whole import: a template becomes a lab.
#[test]
fn a_template_is_a_lab() {
    let (account, findings) = accepted(YAML, &[]);
    let order = Order { source: "shop.yaml".into(), ..Order::default() };
    let imported = Imported::from_account(account, findings, &order).unwrap();
    insta::assert_snapshot!("shop_lab", imported.text());
}

#[test]
fn json_and_yaml_are_the_same_account() {
    for environment in ["prod", "staging"] {
        let parameters = [("EnvironmentName", environment), ("VpcCidr", "10.30.0.0/16")];
        let (yaml, yaml_findings) = accepted(YAML, &parameters);
        let (json, json_findings) = accepted(JSON, &parameters);
        assert_eq!(yaml, json);
        assert_eq!(shown(&yaml_findings), shown(&json_findings));
        assert_eq!(yaml.vpcs[0].cidr_blocks[0].to_string(), "10.30.0.0/16");
    }
}

#[test]
fn conditions_and_parameters_choose_what_is_made() {
    let (prod, _) = accepted(YAML, &[]);
    let (staging, _) = accepted(YAML, &[("EnvironmentName", "staging")]);
    assert_eq!((prod.nat_gateways.len(), staging.nat_gateways.len()), (2, 1));
    let target = |account: &Account| {
        let table =
            account.route_tables.iter().find(|table| table.id == "PrivateRouteTableB").unwrap();
        table.routes[0].target.clone()
    };
    assert_eq!(target(&prod), RouteTarget::NatGateway("NatB".to_owned()));
    assert_eq!(target(&staging), RouteTarget::NatGateway("NatA".to_owned()));
    let names = |account: &Account| -> Vec<String> {
        account.network_interfaces.iter().map(|i| i.id.clone()).collect()
    };
    assert!(!names(&prod).contains(&"Bastion".to_owned()));
    assert!(names(&staging).contains(&"Bastion".to_owned()));
    assert_eq!(
        group(&staging, "DatabaseGroup").ingress[1].origin.path,
        "Resources.DatabaseGroup.Properties.SecurityGroupIngress[1]"
    );
    assert_eq!(
        group(&prod, "DatabaseGroup").ingress[1].origin.path,
        "Resources.DatabaseGroup.Properties.SecurityGroupIngress[2]"
    );
}

/// EC2 gives a new group a rule that allows all egress, and CloudFormation removes it with the
/// first rule of its own.
#[test]
fn a_group_without_egress_rules_allows_all_egress() {
    let template = with(
        "  None: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net}}
  Empty: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupEgress: []}}
  One: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupEgress: [{IpProtocol: tcp, FromPort: 1, ToPort: 2, CidrIp: 10.0.0.0/8}]}}
  Apart: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net}}
  ApartRule: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt Apart.GroupId, IpProtocol: udp, FromPort: 53, ToPort: 53, CidrIp: 10.0.0.0/8}}
  ApartRule2: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt Apart.GroupId, IpProtocol: -1, CidrIp: 0.0.0.0/0}}
",
    );
    let (account, findings) = accepted(&template, &[]);
    let egress = |id| rules(&group(&account, id).egress);
    assert_eq!(egress("None"), ["-1 *-* 0.0.0.0/0"]);
    assert_eq!(egress("Empty"), ["-1 *-* 0.0.0.0/0"]);
    assert_eq!(egress("One"), ["tcp 1-2 10.0.0.0/8"]);
    assert_eq!(egress("Apart"), ["udp 53-53 10.0.0.0/8", "-1 *-* 0.0.0.0/0"]);
    assert_eq!(count(&findings, FindingKind::Assumed), 1);
}

#[test]
fn defaults_of_a_vpc_are_there_when_they_are_named() {
    let template = with(
        "  In: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !GetAtt Net.DefaultSecurityGroup, IpProtocol: tcp, FromPort: 1, ToPort: 1, CidrIp: 10.0.0.0/8}}
  Entry: {Type: AWS::EC2::NetworkAclEntry, Properties: {NetworkAclId: !GetAtt Net.DefaultNetworkAcl, RuleNumber: '50', Protocol: '17', RuleAction: deny, Egress: 'true', CidrBlock: 0.0.0.0/0, PortRange: {From: '53', To: '53'}}}
",
    );
    let (account, _) = accepted(&template, &[]);
    let default = group(&account, "Net.DefaultSecurityGroup");
    assert!(default.default);
    assert_eq!(rules(&default.ingress), ["-1 *-* Net.DefaultSecurityGroup", "tcp 1-1 10.0.0.0/8"]);
    assert_eq!(rules(&default.egress), ["-1 *-* 0.0.0.0/0"]);
    let acl = acl(&account, "Net.DefaultNetworkAcl");
    let numbers: Vec<i64> = acl.entries.iter().map(|entry| entry.rule_number).collect();
    assert_eq!((acl.default, numbers), (true, vec![100, 100, 50]));
    assert_eq!((acl.entries[2].ports, acl.entries[2].protocol.as_str()), (Some((53, 53)), "17"));
}

#[test]
fn nothing_is_dropped_in_silence() {
    let template = "
Transform: [AWS::LanguageExtensions, Team::Macro]
Parameters:
  Block: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /net/block}
Conditions:
  Maybe: !Equals [!Ref Block, a]
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Fn::ForEach::Zones: [Zone, [a, b], {'Subnet${Zone}': {Type: AWS::EC2::Subnet}}]
  Perhaps: {Type: AWS::EC2::InternetGateway, Condition: Maybe}
  PoolNet: {Type: AWS::EC2::VPC, Properties: {Ipv4IpamPoolId: ipam-pool-1, Ipv4NetmaskLength: 16}}
  Table: {Type: AWS::EC2::RouteTable, Properties: {VpcId: !Ref Net}}
  Transit: {Type: AWS::EC2::TransitGateway}
  ToTransit: {Type: AWS::EC2::Route, Properties: {RouteTableId: !Ref Table, DestinationCidrBlock: 10.0.0.0/8, TransitGatewayId: !Ref Transit}}
  ToUnknown: {Type: AWS::EC2::Route, Properties: {RouteTableId: !Ref Table, DestinationCidrBlock: !Ref Block, GatewayId: local}}
  ToElsewhere: {Type: AWS::EC2::Route, Properties: {RouteTableId: rtb-1, DestinationCidrBlock: 10.0.0.0/8, GatewayId: local}}
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: a
      VpcId: !Ref Net
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: 1, ToPort: 1, CidrIp: !ImportValue Office}
        - {IpProtocol: tcp, FromPort: 2, ToPort: 2, CidrIp: !Sub '${Host.PublicIp}/32'}
        - {IpProtocol: tcp, FromPort: 3, ToPort: 3}
        - !If [Maybe, {IpProtocol: tcp}, !Ref AWS::NoValue]
        - {IpProtocol: tcp, FromPort: 4, ToPort: 4, CidrIp: 10.0.0.0/8}
  Host: {Type: AWS::EC2::Instance, Properties: {}}
  Classic: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a}}
  Propagation: {Type: AWS::EC2::VPNGatewayRoutePropagation, Properties: {RouteTableIds: [!Ref Table], VpnGatewayId: vgw-1}}
  Module: {Type: Team::Net::Thing::MODULE}
  Nested: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: x}}
  Connector: {Type: AWS::AppRunner::VpcConnector, Properties: {Subnets: [!GetAtt Nested.Outputs.Subnet]}}
  Custom: {Type: Custom::Thing, Properties: {ServiceToken: x}}
  Policy: {Type: AWS::IAM::Policy}
  Orphan: {Type: AWS::EC2::SubnetRouteTableAssociation, Properties: {RouteTableId: rtb-1, SubnetId: subnet-1}}
";
    let (account, findings) = accepted(template, &[]);
    insta::assert_snapshot!(shown(&findings));
    assert_eq!(rules(&group(&account, "Group").ingress), ["tcp 4-4 10.0.0.0/8"]);
    let table = &account.route_tables[0];
    assert_eq!(table.routes.len(), 1);
    // With the value, the part is understood.
    let (account, _) = accepted(template, &[("Block", "192.168.0.0/16")]);
    assert_eq!(account.route_tables[0].routes.len(), 2);
}

#[test]
fn a_parameter_is_wanted_only_where_a_verdict_depends_on_it() {
    let template = "
Parameters:
  Owner: {Type: String}
  Office: {Type: String}
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16, Tags: [{Key: Name, Value: !Sub '${Owner}-net'}]}}
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties: {GroupDescription: !Ref Owner, VpcId: !Ref Net, SecurityGroupIngress: [{IpProtocol: -1, CidrIp: !Ref Office}]}
";
    insta::assert_snapshot!(refused(template));
    let (account, _) = accepted(template, &[("Office", "198.51.100.0/24")]);
    assert_eq!(account.vpcs[0].name, None);
    let (account, _) = accepted(template, &[("Office", "198.51.100.0/24"), ("Owner", "me")]);
    assert_eq!(account.vpcs[0].name.as_deref(), Some("me-net"));
}

#[test]
fn databases_of_a_cluster_are_where_the_cluster_is() {
    let template = with(
        "  A: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Net, CidrBlock: 10.0.1.0/24}}
  Group: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net}}
  Subnets: {Type: AWS::RDS::DBSubnetGroup, Properties: {SubnetIds: [!Ref A]}}
  Cluster: {Type: AWS::RDS::DBCluster, Properties: {Engine: aurora-mysql, DBSubnetGroupName: !Ref Subnets, VpcSecurityGroupIds: [!Ref Group]}}
  Writer: {Type: AWS::RDS::DBInstance, Properties: {DBClusterIdentifier: !Ref Cluster, Engine: aurora-mysql}}
  Lone: {Type: AWS::RDS::DBInstance, Properties: {Engine: mysql}}
",
    );
    let (account, findings) = accepted(&template, &[]);
    let [writer] = account.network_interfaces.as_slice() else {
        panic!("{:?}", account.network_interfaces)
    };
    assert_eq!((writer.id.as_str(), writer.subnet.as_str()), ("Writer", "A"));
    assert_eq!(
        (writer.security_groups.as_slice(), writer.listen.as_slice()),
        (&["Group".to_owned()][..], &["3306/tcp".to_owned()][..])
    );
    assert!(shown(&findings).contains("database Lone | it names no subnet group"));
}

#[test]
fn private_zones_have_the_records_whose_values_are_known() {
    let template = with(
        "  Zone: {Type: AWS::Route53::HostedZone, Properties: {Name: Shop.Internal., VPCs: [{VPCId: !Ref Net, VPCRegion: !Ref AWS::Region}]}}
  Public: {Type: AWS::Route53::HostedZone, Properties: {Name: example.com}}
  Db: {Type: AWS::RDS::DBInstance, Properties: {Engine: mysql}}
  One: {Type: AWS::Route53::RecordSet, Properties: {HostedZoneId: !Ref Zone, Name: db.shop.internal., Type: A, TTL: '60', ResourceRecords: [10.0.0.9]}}
  Two: {Type: AWS::Route53::RecordSet, Properties: {HostedZoneName: shop.internal., Name: rds.shop.internal, Type: CNAME, TTL: 60, ResourceRecords: [!GetAtt Db.Endpoint.Address]}}
  Group:
    Type: AWS::Route53::RecordSetGroup
    Properties:
      HostedZoneId: !Ref Zone
      RecordSets:
        - {Name: www.shop.internal, Type: CNAME, TTL: 300, ResourceRecords: [db.shop.internal.]}
        - {Name: alias.shop.internal, Type: A, AliasTarget: {DNSName: x, HostedZoneId: y}}
        - {Name: text.shop.internal, Type: TXT, TTL: 300, ResourceRecords: ['\"a b\"']}
",
    );
    let (account, findings) = accepted(&template, &[]);
    let [zone] = account.private_zones.as_slice() else { panic!("{:?}", account.private_zones) };
    assert_eq!(
        (zone.name.as_str(), zone.vpcs.as_slice()),
        ("shop.internal", &["Net".to_owned()][..])
    );
    let records: Vec<String> = zone
        .records
        .iter()
        .map(|r| format!("{} {} {}", r.name, r.record_type, r.values.join(",")))
        .collect();
    assert_eq!(
        records,
        [
            "db.shop.internal A 10.0.0.9",
            "www.shop.internal CNAME db.shop.internal",
            "text.shop.internal TXT a b"
        ]
    );
    let said = shown(&findings);
    assert!(
        said.contains("the CNAME record of rds.shop.internal, whose values AWS chooses"),
        "{said}"
    );
    assert!(said.contains("the A record of alias.shop.internal"), "{said}");
}

#[test]
fn exports_of_another_stack_are_given_as_parameters() {
    let template = with(
        "  Group: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupIngress: [{IpProtocol: -1, CidrIp: !ImportValue {'Fn::Sub': '${AWS::StackName}:Office'}}]}}
",
    );
    let (account, findings) = accepted(&template, &[("stack:Office", "198.51.100.0/24")]);
    assert_eq!(rules(&group(&account, "Group").ingress), ["-1 *-* 198.51.100.0/24"]);
    assert_eq!(count(&findings, FindingKind::NotUnderstood), 0);
    let (_, findings) = accepted(&template, &[]);
    assert!(shown(&findings).contains("give its value with --parameter stack:Office=VALUE"));
}

/// The CDK's `Vpc` construct removes the rules of the default group.
#[test]
fn the_cdk_restricts_the_default_group() {
    let template = with(
        "  Restrict: {Type: Custom::VpcRestrictDefaultSG, Properties: {ServiceToken: x, DefaultSecurityGroupId: !GetAtt Net.DefaultSecurityGroup, Account: !Ref AWS::AccountId}}
",
    );
    let (account, findings) = accepted(&template, &[]);
    let default = group(&account, "Net.DefaultSecurityGroup");
    assert!(default.default && default.ingress.is_empty() && default.egress.is_empty());
    assert_eq!(findings.all(), []);
}
