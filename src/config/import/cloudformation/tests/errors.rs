//! Tests of templates that CloudFormation would refuse: the errors, and that there is no panic.

use super::*;

#[test]
fn a_file_that_is_no_template() {
    let texts = [
        "",
        "{",
        "{\"Resources\": {\"A\": {\"Type\": \"AWS::EC2::VPC\", \"Prop",
        "[1]",
        "just text",
        "a: 1",
        "Resources: [1]",
        "Resources: {A: 1}",
        "Resources:\n  A: {Type: AWS::EC2::VPC, Properties: []}",
        "Resources: {A: {}}",
        "Resources: {a-b: {Type: X}}",
        "Resources: {}\nConditions: 1",
    ];
    let said: Vec<String> = texts.iter().map(|text| refused(text)).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn circles() {
    let of_resources = "
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: a, VpcId: !Ref Net, SecurityGroupIngress: [{IpProtocol: -1, SourceSecurityGroupId: !Ref B}]}}
  B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: !Sub 'for ${C.GroupId}', VpcId: !Ref Net}}
  C: {Type: AWS::EC2::SecurityGroup, DependsOn: [Net, A], Properties: {GroupDescription: a, VpcId: !Ref Net}}
";
    let of_conditions = "
Conditions:
  A: !Not [!Condition B]
  B: !And [!Condition C, !Equals [a, b]]
  C: !Condition A
Resources:
  Net: {Type: AWS::EC2::VPC, Condition: B, Properties: {CidrBlock: 10.0.0.0/16}}
";
    let of_one = "
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: !GetAtt Net.CidrBlock}}
";
    insta::assert_snapshot!(
        [refused(of_resources), refused(of_conditions), refused(of_one)].join("\n")
    );
}

/// A branch that is not taken depends on nothing.
#[test]
fn a_circle_through_a_branch_that_is_not_taken_is_none() {
    let template = "
Conditions:
  Never: !Equals [a, b]
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: !If [Never, !Ref B, a], VpcId: !Ref Net}}
  B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: !Ref A, VpcId: !Ref Net}}
";
    assert_eq!(accepted(template, &[]).0.security_groups.len(), 2);
}

/// The objects of a macro or a module do not exist yet, so no name can be unknown.
#[test]
fn names_and_circles_of_what_is_to_be_expanded_are_not_judged() {
    let made = "
Transform: AWS::Serverless-2016-10-31
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Api: {Type: AWS::Serverless::Function, Properties: {A: !Ref ApiRole, B: !Ref Alarm}}
  Alarm: {Type: AWS::CloudWatch::Alarm, Properties: {A: !Ref Api}}
";
    let module = "
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Made: {Type: Team::Net::Thing::MODULE}
Outputs:
  Bucket: {Value: !Ref MadeBucket}
";
    assert_eq!(accepted(made, &[]).0.vpcs.len(), 1);
    assert_eq!(accepted(module, &[]).0.vpcs.len(), 1);
}

#[test]
fn names_that_nothing_has() {
    let template = "
Parameters:
  Block: {Type: String, Default: 10.0.0.0/16}
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: !Ref Blok}}
  Subnet: {Type: AWS::EC2::Subnet, Properties: {VpcId: !GetAtt Nett.VpcId, CidrBlock: !Sub '${Block}${!x}${Blocks.A}'}}
Outputs:
  Net: {Value: !Sub ['${A}${B}', {A: !Ref Subnets}]}
";
    insta::assert_snapshot!(refused(template));
}

#[test]
fn properties_of_a_wrong_form() {
    let template = "
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0, EnableDnsSupport: maybe}}
  Net2: {Type: AWS::EC2::VPC, Properties: {CidrBlock: [10.0.0.0/16]}}
  Net3: {Type: AWS::EC2::VPC, Properties: {EnableDnsSupport: true}}
  Subnet: {Type: AWS::EC2::Subnet, Properties: {CidrBlock: 10.0.0.0/24}}
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: a
      VpcId: !Ref Net
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: http, ToPort: 80, CidrIp: 10.0.0.0/8}
        - {FromPort: 80, ToPort: 80, CidrIp: 10.0.0.0/8}
        - all
        - {IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: everyone}
  Table: {Type: AWS::EC2::RouteTable, Properties: {VpcId: {a: b}}}
  Route: {Type: AWS::EC2::Route, Properties: {RouteTableId: !Ref Table, DestinationCidrBlock: 0.0.0.0/0}}
  Entry: {Type: AWS::EC2::NetworkAclEntry, Properties: {NetworkAclId: acl-1, RuleNumber: 1, Protocol: 6, RuleAction: maybe, CidrBlock: 0.0.0.0/0}}
  Entry2: {Type: AWS::EC2::NetworkAclEntry, Properties: {NetworkAclId: acl-1, RuleNumber: 1, Protocol: 6, RuleAction: allow, CidrBlock: 0.0.0.0/0, PortRange: {From: 1}}}
  Nat: {Type: AWS::EC2::NatGateway, Properties: {SubnetId: !Ref Subnet, SecondaryPrivateIpAddresses: [10.0.0.300]}}
";
    insta::assert_snapshot!(refused(template));
}

#[test]
fn parameters_that_cannot_be() {
    let template = "
Parameters:
  Kind: {Type: string}
  None: {Default: a}
  Port: {Type: Number, Default: http}
  Small: {Type: Number, Default: 5, MinValue: 10}
  Short: {Type: String, Default: abc, MaxLength: 2, ConstraintDescription: two letters}
  Zone: {Type: String, Default: c, AllowedValues: [a, b]}
  Block: {Type: String, Default: 10.0.0.0, AllowedPattern: '.*/\\d+'}
  Secret: {Type: String, Default: pass, MinLength: 8, NoEcho: true}
  Ports: {Type: List<Number>, Default: '1, two'}
  Listed: {Type: CommaDelimitedList, Default: [a, b]}
  Either: {Type: CommaDelimitedList, Default: 'a,b', AllowedValues: [c, 'a,b']}
  Each: {Type: CommaDelimitedList, Default: 'a,c', AllowedValues: [a, b]}
  Java: {Type: String, Default: abc, AllowedPattern: '(?!x).*'}
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
";
    let given = [("Zones", "a"), ("Zone", "d"), ("AWS::Region", "eu-west-1")];
    let errors = import(template, "vpc.yaml", &options(&given)).unwrap_err();
    insta::assert_snapshot!(errors);
    let whole = "
Parameters:
  Zone: {Type: String, Default: c}
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
";
    let errors = import(whole, "vpc.yaml", &options(&given)).unwrap_err();
    insta::assert_snapshot!("misnamed", errors);
}

/// Each condition is the next one's: more than a stack would hold.
#[test]
fn a_long_chain_ends_with_an_error() {
    let mut template = String::from("Conditions:\n  C0: !Equals [a, a]\n");
    for position in 1..3000 {
        template.push_str(&format!("  C{position}: !Not [!Condition C{}]\n", position - 1));
    }
    template.push_str("Resources:\n  Net: {Type: AWS::EC2::VPC, Condition: C2999, Properties: {CidrBlock: 10.0.0.0/16}}\n");
    assert!(refused(&template).contains("goes through more than 200 values"));
    let mut template = String::from(
        "Resources:\n  R0: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}\n",
    );
    for position in 1..3000 {
        template.push_str(&format!("  R{position}: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: !GetAtt R{}.CidrBlock}}}}\n", position - 1));
    }
    assert!(refused(&template).contains("goes through more than 200 values"));
}

/// Each resource has the text of the one before it twice.
#[test]
fn text_that_doubles_ends_with_an_error() {
    let mut template = String::from(
        "Resources:\n  R0: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 'xxxxxxxxxxxxxxxx'}}\n",
    );
    for position in 1..40 {
        let before = position - 1;
        template.push_str(&format!("  R{position}: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: !Sub '${{R{before}.CidrBlock}}${{R{before}.CidrBlock}}'}}}}\n"));
    }
    assert!(refused(&template).contains("the template's expressions are too large together"));
}

#[test]
fn ten_thousand_rules_are_read_and_of_ten_thousand_mistakes_the_first_are_listed() {
    let mut template = String::from(
        "Resources:\n  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}\n  Group:\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      GroupDescription: a\n      VpcId: !Ref Net\n      SecurityGroupIngress:\n",
    );
    for position in 0..10_000 {
        template.push_str(&format!("        - {{IpProtocol: tcp, FromPort: {position}, ToPort: {position}, CidrIp: 10.0.0.0/8}}\n"));
    }
    assert_eq!(accepted(&template, &[]).0.security_groups[0].ingress.len(), 10_000);
    let errors = import(&template.replace("10.0.0.0/8", "10.0.0.0/80"), "vpc.yaml", &options(&[]))
        .unwrap_err();
    assert_eq!(errors.0.len(), 10_000);
    assert!(errors.to_string().ends_with("\n… and 9,950 more errors"));
    assert_eq!(
        errors.0[9].origin.to_string(),
        "vpc.yaml:18: Resources.Group.Properties.SecurityGroupIngress[9].CidrIp"
    );
    let apart: String = (0..10_000)
        .map(|position| format!("  R{position}: {{Type: AWS::EC2::SecurityGroupIngress, Properties: {{GroupId: !Ref Group, IpProtocol: tcp, FromPort: 1, ToPort: 2, CidrIp: 10.0.0.0/8}}}}\n"))
        .collect();
    let template = format!(
        "Resources:\n  Net: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: 10.0.0.0/16}}}}\n  Group: {{Type: AWS::EC2::SecurityGroup, Properties: {{GroupDescription: a, VpcId: !Ref Net}}}}\n{apart}"
    );
    assert_eq!(accepted(&template, &[]).0.security_groups[0].ingress.len(), 10_000);
}

/// However a template is cut, and whichever of its bytes is changed: an account or an error, and no
/// panic.
#[test]
fn pieces_of_a_template() {
    for text in [include_str!("templates/shop.yaml"), include_str!("templates/shop.json")] {
        for at in (0..text.len()).step_by(331).filter(|at| text.is_char_boundary(*at)) {
            let (before, after) = text.split_at(at);
            let _ = import(before, "vpc.yaml", &options(&[]));
            for other in [":", "}", "[", "&a ", "*a ", "!Ref ", "\n"] {
                let _ = import(
                    &format!("{before}{other}{}", after.get(1..).unwrap_or_default()),
                    "vpc.yaml",
                    &options(&[]),
                );
            }
        }
    }
}

/// A misspelt property is not an absent one: the group would allow everything out.
#[test]
fn properties_that_a_type_has_not() {
    let template = "
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  A:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: a
      VpcId: !Ref Net
      SecurityGroupEgres: [{IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: 0.0.0.0/0}]
      SecurityGroupIngress: [{IpProtocol: tcp, FromPrt: 443, ToPort: 443, CidrIp: 0.0.0.0/0}]
";
    let said = refused(template);
    let group = "vpc.yaml:9: Resources.A.Properties.SecurityGroupEgres: AWS::EC2::SecurityGroup has no property SecurityGroupEgres\n  did you mean \"SecurityGroupEgress\"?";
    assert!(said.contains(group), "{said}");
    let rule = "Resources.A.Properties.SecurityGroupIngress[0].FromPrt: SecurityGroupIngress has no property FromPrt\n  did you mean \"FromPort\"?";
    assert!(said.contains(rule), "{said}");
}
