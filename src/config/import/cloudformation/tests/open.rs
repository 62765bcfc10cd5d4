//! Tests of values that a template leaves open, or that egret does not know: they are reported if a
//! verdict depends on them, and never allow more.

use super::super::super::SecurityGroup;
use super::*;

/// Returns a template with these resources.
fn with(resources: &str) -> String {
    format!(
        "Resources:\n  Net: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: 10.0.0.0/16}}}}\n{resources}"
    )
}

/// Returns the protocols of a group's egress rules.
#[track_caller]
fn egress(account: &Account, id: &str) -> Vec<String> {
    let is_it = |group: &&SecurityGroup| group.id == id;
    let group = account.security_groups.iter().find(is_it).unwrap();
    group.egress.iter().map(|rule| rule.ip_protocol.clone()).collect()
}

#[test]
fn egress_rules_that_are_left_out_do_not_open_a_group() {
    let template = with(
        "  Six: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupEgress: [{IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIpv6: '::/0'}]}}
  Open: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupEgress: [{IpProtocol: tcp, CidrIp: !ImportValue Office}]}}
  None: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupEgress: [!Ref AWS::NoValue]}}
",
    );
    let (account, findings) = accepted(&template, &[]);
    assert_eq!(egress(&account, "Six"), [""; 0]);
    assert_eq!(egress(&account, "Open"), [""; 0]);
    assert_eq!(egress(&account, "None"), ["-1"]);
    assert!(shown(&findings).contains("another stack exports Office"));
}

#[test]
fn a_rule_apart_takes_the_default_rule_away_and_no_other() {
    let template = with(
        "  Six: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net}}
  SixRule: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt Six.GroupId, IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIpv6: '::/0'}}
  Own: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupEgress: [{IpProtocol: -1, CidrIp: 0.0.0.0/0}]}}
  OwnRule: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt Own.GroupId, IpProtocol: udp, FromPort: 53, ToPort: 53, CidrIp: 10.0.0.0/8}}
",
    );
    let (account, findings) = accepted(&template, &[]);
    assert_eq!(egress(&account, "Six"), [""; 0]);
    assert_eq!(egress(&account, "Own"), ["-1", "udp"]);
    let said = shown(&findings);
    assert!(said.contains("security group Six | an AWS::EC2::SecurityGroupEgress adds"), "{said}");
    assert!(!said.contains("security group Own"), "{said}");
}

#[test]
fn a_type_of_ec2_that_egret_does_not_know_is_not_understood() {
    let template = with(
        "  Propagation: {Type: AWS::EC2::RouteServerPropagation, Properties: {}}
  Insights: {Type: AWS::EC2::NetworkInsightsPath, Properties: {}}
  Routes: {Type: AWS::EC2::TransitGatewayRoute, Properties: {}}
",
    );
    let (_, findings) = accepted(&template, &[]);
    assert_eq!(count(&findings, FindingKind::NotUnderstood), 1);
    assert_eq!(count(&findings, FindingKind::LeftOut), 1);
    let said = shown(&findings);
    assert!(
        said.contains("egret does not know the type AWS::EC2::RouteServerPropagation"),
        "{said}"
    );
}

#[test]
fn an_invented_value_decides_no_condition() {
    let template = |name: &str| {
        format!(
            "Conditions: {{IsProd: !Equals [!Sub 'x${{{name}}}', x222222222222]}}\n{}",
            with(
                "  Gate: {Type: AWS::EC2::InternetGateway, Condition: IsProd}
  Named: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, GroupName: !Ref AWS::AccountId}}
"
            )
        )
    };
    for name in ["AWS::AccountId", "AWS::StackName"] {
        let (_, findings) = accepted(&template(name), &[]);
        assert_eq!(count(&findings, FindingKind::NotUnderstood), 1);
        let said = shown(&findings);
        assert!(said.contains(&format!("give it with --parameter {name}=VALUE")), "{said}");
        let (account, findings) = accepted(&template(name), &[(name, "222222222222")]);
        assert_eq!(account.internet_gateways.len(), 1);
        assert_eq!(findings.all(), []);
    }
}

#[test]
fn a_cluster_without_instances_and_prefixes_of_an_interface_are_said() {
    let template = with(
        "  A: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Net, CidrBlock: 10.0.1.0/24}}
  Subnets: {Type: AWS::RDS::DBSubnetGroup, Properties: {SubnetIds: [!Ref A]}}
  Used: {Type: AWS::RDS::DBCluster, Properties: {Engine: aurora-mysql, DBSubnetGroupName: !Ref Subnets}}
  Alone: {Type: AWS::RDS::DBCluster, Properties: {Engine: aurora-mysql, DBSubnetGroupName: !Ref Subnets}}
  Writer: {Type: AWS::RDS::DBInstance, Properties: {DBClusterIdentifier: !Ref Used, Engine: aurora-mysql}}
  Node: {Type: AWS::EC2::NetworkInterface, Properties: {SubnetId: !Ref A, Ipv4PrefixCount: 1}}
",
    );
    let (_, findings) = accepted(&template, &[]);
    let said = shown(&findings);
    assert!(
        said.contains("database cluster Alone | no instance of the template is in it"),
        "{said}"
    );
    assert!(!said.contains("database cluster Used"), "{said}");
    assert!(said.contains("network interface Node | IPv4 prefixes"), "{said}");
}

/// Thousands of faults, each of which takes a walk through the tree to find its path.
#[test]
fn a_repeated_fault_is_reported_once() {
    let fault = Fault::new(tree::Place::default(), "the same", "fix it");
    let again = || Fault::new(tree::Place::default(), "the same", "fix it");
    let errors = errors(&Origin::file("a"), None, vec![fault, again(), again()]);
    assert_eq!(errors.0.len(), 1);
}

/// AWS adds properties to some types; and a misspelt one may have decided a verdict.
#[test]
fn a_property_that_egret_does_not_know_is_not_understood() {
    let template = with(
        "  A: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Net, CidrBlock: 10.0.1.0/24, AvailabilityZon: us-east-1a, Tags: []}}
",
    );
    let (account, findings) = accepted(&template, &[]);
    assert_eq!(account.subnets.len(), 1);
    assert_eq!(count(&findings, FindingKind::NotUnderstood), 1);
    let said = shown(&findings);
    assert!(said.contains("line 3: AWS::EC2::Subnet has no property AvailabilityZon"), "{said}");
    assert!(said.contains("did you mean \"AvailabilityZone\"?"), "{said}");
    assert!(said.contains("Resources.A.Properties.AvailabilityZon"), "{said}");
}

#[test]
fn the_findings_name_what_can_stand_for_functions_and_services() {
    let template = with(
        "  F: {Type: AWS::Lambda::Function, Properties: {VpcConfig: {SubnetIds: [subnet-1]}}}
  S: {Type: AWS::ECS::Service, Properties: {}}
",
    );
    let said = shown(&accepted(&template, &[]).1);
    assert!(said.contains("a [[service]] with kind = \"lambda\""), "{said}");
    assert!(said.contains("a [[service]] with kind = \"fargate\""), "{said}");
}
